#!/usr/bin/env python3
"""kill -9 at random moments: the coordinator, the clients, both. What comes out is what
the simulator says, no client trains a round twice for the coordinator's crashes, and a
killed coordinator serves again in less than two seconds.

    WITAN_PROGRAM=build/witan python3 tests/integration/test_crash.py [-v] [NAME...]

WITAN_KILLS=500 kills the coordinator more often; WITAN_SEED= replays the moments."""

import os
import random
import statistics
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_proxy import FaultProxy, Faults  # noqa: E402
from federation import SLOW, Federation, simulate  # noqa: E402

SEED = int(os.environ.get("WITAN_SEED", time.time_ns() % 1000000))
KILLS = int(os.environ.get("WITAN_KILLS", "100"))

# Rounds of about a tenth of a second, so that kills fall into every phase.
BUSY = {
    "rounds": 25,
    "clients": 3,
    "models": "linear,mlp(16)",
    "local.epochs": 2,
    "transfer.samples": 200,
    "round.minimum_clients": 3,
    "round.absence": 0,
    "evaluate.every": 5,
}


class Crash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"WITAN_SEED={SEED}", flush=True)
        cls.temporary = tempfile.TemporaryDirectory(prefix="witan-crash-")
        cls.expected = simulate(BUSY, cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def check_digests(self, federation):
        self.assertEqual(federation.digests(), self.expected)
        self.assertEqual(len(self.expected), BUSY["rounds"])

    def check_trained_once(self, federation):
        for name, client in federation.clients.items():
            trained = [l for l in client.lines if ": training" in l]
            self.assertEqual(len(trained), len(set(l.split("round ")[1] for l in trained)),
                             f"{name} trained a round twice:\n" + client.text())
            self.assertEqual(len(trained), BUSY["rounds"], client.text())

    def test_coordinator_is_killed(self):
        draw = random.Random(SEED)
        kills, runs, recoveries, unfinished = 0, 0, [], 0
        while kills < KILLS:
            runs += 1
            with Federation(BUSY, root=self.temporary.name) as f:
                f.start()
                names = f.members(BUSY["clients"])
                for name in names:
                    f.run(name)
                while f.coordinator.alive() and kills < KILLS:
                    time.sleep(draw.uniform(0.0, 0.8) * SLOW)
                    if not f.coordinator.alive():
                        break
                    f.coordinator.kill()
                    f.coordinator.wait()
                    kills += 1
                    since = time.monotonic()
                    f.start(wait=False)
                    if draw.random() < 0.8:  # else it is killed while it starts
                        f.ready()
                        recoveries.append(time.monotonic() - since)
                    else:
                        unfinished += 1
                if f.coordinator.alive():
                    f.ready()
                f.finish(120)
                self.check_digests(f)
                self.check_trained_once(f)
        self.assertGreaterEqual(kills, KILLS)
        print(f"coordinator killed {kills} times in {runs} experiments ({unfinished} times "
              f"again while it started); serving again after "
              f"{statistics.median(recoveries) * 1000:.0f} ms (median), "
              f"{max(recoveries) * 1000:.0f} ms (longest); digests equal in all", flush=True)
        self.assertLess(statistics.median(recoveries), 2.0 * SLOW)

    def test_clients_are_killed(self):
        draw = random.Random(SEED + 1)
        kills = 0
        while kills < 20:
            with Federation(BUSY, root=self.temporary.name) as f:
                f.start()
                names = f.members(BUSY["clients"])
                for name in names:
                    f.run(name)
                f.coordinator.wait_line("round 1 of")
                while f.coordinator.alive() and kills < 20:
                    name = draw.choice(names)
                    f.clients[name].kill()
                    f.clients[name].wait()
                    kills += 1
                    f.run(name)
                    time.sleep(draw.uniform(0.05, 0.6) * SLOW)
                f.finish(120)
                self.check_digests(f)
        print(f"clients killed {kills} times; digests equal", flush=True)

    def test_a_killed_client_goes_on_with_its_upload(self):
        """400 kB over a slow line: after the kill the coordinator asks for what it lacks;
        at most one chunk (64 KiB) is sent twice."""
        public = os.path.join(self.temporary.name, "public.csv")
        with open(public, "w", encoding="utf-8") as out:
            out.write("x,y,kind\n")
            for i in range(13000):
                out.write(f"{i % 97},{i % 89},{i % 10}\n")
        settings = {"rounds": 1, "clients": 1, "data.path": public, "data.label": "kind",
                    "transfer.samples": 10000, "models": "linear", "extract.codec": "f32",
                    "data.partition.key": "iid", "evaluate.every": 0, "round.absence": 0}
        upload, chunk = 10000 * 10 * 4, 65536
        with Federation(settings, root=self.temporary.name) as f:
            f.start()
            port = int(f.endpoint.rsplit(":", 1)[1])
            with FaultProxy(("127.0.0.1", port), Faults(), SEED) as proxy:
                f.enrol("site-a", "--data", public, "--label", "kind",
                        endpoint=f"tcp://127.0.0.1:{proxy.port}")
                client = f.run("site-a")
                client.wait_line("training")
                proxy.faults = Faults(rate=200_000)
                sent = proxy.counts["bytes_up"]
                while proxy.counts["bytes_up"] - sent < 0.4 * upload:
                    time.sleep(0.005)
                client.kill()
                client.wait()
                proxy.faults = Faults()
                again = f.run("site-a")
                f.finish(60)
                sent = proxy.counts["bytes_up"] - sent
            self.assertNotIn("training", again.text())
            self.assertEqual(len(f.digests()), 1)
        twice = sent - upload
        print(f"killed at 40 % of an upload of {upload} bytes: {sent} bytes went up in all "
              f"({twice} more, handshakes and framing included)", flush=True)
        self.assertLess(twice, chunk + 30_000)

    def test_everybody_is_killed(self):
        draw = random.Random(SEED + 2)
        with Federation(BUSY, root=self.temporary.name) as f:
            f.start()
            names = f.members(BUSY["clients"])
            for _ in range(6):
                for name in names:
                    f.run(name)
                time.sleep(draw.uniform(0.4, 1.2) * SLOW)
                everybody = [f.coordinator, *f.clients.values()]
                draw.shuffle(everybody)
                for process in everybody:
                    process.kill()
                for process in everybody:
                    process.wait()
                f.start()
            for name in names:
                f.run(name)
            f.finish(120)
            self.check_digests(f)

    def test_paused_clients_return(self):
        """SIGSTOP for longer than three heartbeats, then SIGCONT."""
        import signal
        draw = random.Random(SEED + 3)
        with Federation(BUSY, root=self.temporary.name) as f:
            f.start()
            names = f.members(BUSY["clients"])
            for name in names:
                f.run(name)
            f.coordinator.wait_line("round 2")
            name = draw.choice(names)
            f.clients[name].kill(signal.SIGSTOP)
            time.sleep(4.0 * SLOW)
            f.clients[name].kill(signal.SIGCONT)
            f.finish(120)
            self.check_digests(f)


if __name__ == "__main__":
    unittest.main()
