#!/usr/bin/env python3
"""A federation behind a network that misbehaves: every client talks through a proxy that
delays, stalls, resets, falls silent, throttles or flips bits. Ten rounds complete with the
simulator's result; a flipped byte ends a session and never changes a label.

    WITAN_PROGRAM=build/witan python3 tests/integration/test_faults.py [-v] [NAME...]"""

import os
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_proxy import FaultProxy, Faults  # noqa: E402
from federation import Federation, simulate  # noqa: E402

SEED = int(os.environ.get("WITAN_SEED", time.time_ns() % 1000000))

TEN = {
    "rounds": 10,
    "clients": 3,
    "models": "linear,mlp(16)",
    "transfer.samples": 500,
    "round.minimum_clients": 3,
    "round.absence": 0,
    "evaluate.every": 5,
}


class Network(unittest.TestCase):
    runs = 0

    @classmethod
    def setUpClass(cls):
        print(f"WITAN_SEED={SEED}", flush=True)
        cls.temporary = tempfile.TemporaryDirectory(prefix="witan-faults-")
        cls.expected = simulate(TEN, cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def through(self, faults, disturb=None, timeout=180):
        """Runs the experiment behind a proxy; returns the proxy's counts."""
        since = time.monotonic()
        with Federation(TEN, root=self.temporary.name) as f:
            f.start()
            host, port = f.endpoint[len("tcp://"):].rsplit(":", 1)
            type(self).runs += 1
            with FaultProxy((host, int(port)), faults, SEED + self.runs) as proxy:
                endpoint = f"tcp://127.0.0.1:{proxy.port}"
                # Enrolment is a command of a person and is not repeated for ever.
                for i, name in enumerate(["site-a", "site-b", "site-c"]):
                    self.enrol_calmly(f, proxy, name, i, endpoint)
                for name in f.clients:
                    f.run(name)
                if disturb is not None:
                    disturb(f, proxy)
                f.finish(timeout)
                counts = dict(proxy.counts)
            self.assertEqual(f.digests(), self.expected)
            text = "\n".join(c.text() for c in f.clients.values())
        seconds = time.monotonic() - since
        print(f"{self._testMethodName}: {seconds:.1f} s, {counts}", flush=True)
        return counts, text

    @staticmethod
    def enrol_calmly(federation, proxy, name, seat, endpoint):
        faults, proxy.faults = proxy.faults, Faults()
        federation.enrol(name, client=seat, endpoint=endpoint)
        proxy.faults = faults

    def test_delay(self):
        counts, _ = self.through(Faults(delay=(0.005, 0.06)))
        self.assertGreater(counts["chunks"], 100)

    def test_stalls(self):
        counts, _ = self.through(Faults(stall=0.05, stall_s=0.4))
        self.assertGreater(counts["stalls"], 0)

    def test_resets(self):
        counts, _ = self.through(Faults(reset=0.02, spare_bytes=2000))
        self.assertGreater(counts["resets"], 0)

    def test_closes(self):
        counts, _ = self.through(Faults(close=0.02, spare_bytes=2000))
        self.assertGreater(counts["closes"], 0)

    def test_half_open(self):
        """Connections fall silent without a word; heartbeats find out."""
        for _ in range(4):  # one in a hundred runs has none
            counts, _ = self.through(Faults(silent=0.01, spare_bytes=2000))
            if counts["silences"] > 0:
                break
        self.assertGreater(counts["silences"], 0)

    def test_throttle(self):
        counts, _ = self.through(Faults(rate=64_000))
        self.assertGreater(counts["bytes"], 100_000)

    def test_flipped_bits(self):
        counts, text = self.through(Faults(flip=0.02, spare_bytes=2000))
        self.assertGreater(counts["flips"], 0)
        # A session that ended was followed by a new one.
        self.assertGreater(text.count("connected to"), 3)

    def test_partition(self):
        """Nothing passes for a while, then everything again."""
        def cut(federation, proxy):
            federation.coordinator.wait_line("round 3")
            proxy.cut = True
            time.sleep(5.0)
            proxy.drop_all()
            proxy.cut = False
        self.through(Faults(delay=(0.01, 0.02)), disturb=cut)


if __name__ == "__main__":
    unittest.main()
