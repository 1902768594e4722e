#!/usr/bin/env python3
"""Coordinator and clients as real processes over TCP: the same experiment as in the
simulator, members that come late and are thrown out, restarts, a full disk, separate hosts.

    WITAN_PROGRAM=build/witan python3 tests/integration/test_deploy.py [-v] [NAME...]"""

import base64
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from federation import SLOW, SMALL, WITAN, Federation, simulate, witan  # noqa: E402


# Two small language models on the text inside the program.
TEXT = {"models": "lstm(12),gru(12)", "data__format": "text", "data__limit": 150,
        "data__text__window": 24, "transfer__samples": 20, "data__partition__key": "iid",
        "rounds": 2, "evaluate__batch": 16}


class Deploy(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="witan-deploy-")
        self.root = self.temporary.name

    def tearDown(self):
        self.temporary.cleanup()

    def run_all(self, **over):
        with Federation(SMALL, root=self.root, **over) as f:
            f.start()
            for name in f.members(f.settings["clients"]):
                f.run(name)
            f.finish()
            return f.digests(), simulate(f.settings, self.root), f.status()

    # --- one experiment, two worlds ---------------------------------------------------
    def test_equals_the_simulator(self):
        for over in ({"clients": 3, "round__minimum_clients": 3},
                     {"fusion__combine": "logit", "extract__codec": "f32"},
                     {"fusion__key": "mean", "local__optimizer__key": "sgd",
                      "local__optimizer__momentum": 0.9},
                     {"fusion__key": "fedavg", "models": "mlp(8)"},
                     {"fusion__key": "local"},
                     # Half of the seats are asked: all must be there before it opens.
                     {"clients": 4, "participation": 0.5, "round__grace": 20},
                     # Language models, the k largest of a row, swing without noise: scores
                     # are functions of plan, rows and seed.
                     {**TEXT, "extract__codec": "top", "extract__top": 8},
                     {**TEXT, "swing__gap": "true", "swing__rules": "true",
                      "swing__epochs": 1},
                     {"swing__gap": "true", "swing__reference": "heard",
                      "swing__density": 3, "swing__radius": 4, "swing__shards": 3,
                      "swing__clip": 5}):
            with self.subTest(over):
                deployed, simulated, status = self.run_all(**over)
                self.assertEqual(len(deployed), over.get("rounds", SMALL["rounds"]))
                self.assertEqual(deployed, simulated)
                self.assertTrue(status["finished"])

    def test_results_are_kept(self):
        deployed, _, status = self.run_all(rounds=2)
        self.assertEqual([r["answered"] for r in status["rounds"]], [2, 2])
        for peer in status["peers"]:
            self.assertGreater(peer["own_after"], 0.2)
            self.assertLess(peer["own_after"], 1.01)

    # --- who takes part ---------------------------------------------------------------
    def test_a_late_joiner_enters_at_the_next_round(self):
        with Federation(SMALL, root=self.root, clients=3, rounds=400,
                        round__target_clients=2, local__epochs=3) as f:
            f.start()
            for name in f.members(2):
                f.run(name)
            f.coordinator.wait_line("round 2")
            f.enrol("late", client=2)
            f.run("late")
            f.finish()
            rounds = f.status()["rounds"]
            self.assertEqual(rounds[0]["asked"], 2)
            self.assertEqual(rounds[-1]["asked"], 3)

    def test_a_silent_client_does_not_hang_the_round(self):
        with Federation(SMALL, root=self.root, clients=3, rounds=4,
                        round__minimum_clients=2, round__target_clients=3,
                        round__absence=1, local__epochs=3) as f:
            f.start()
            names = f.members(3)
            for name in names:
                f.run(name)
            f.coordinator.wait_line("round 2")
            f.clients[names[2]].kill()
            f.clients[names[2]].wait()
            f.clients[names[2]] = None
            f.finish(60)
            self.assertEqual(len(f.digests()), 4)
            self.assertIn("site-c", f.coordinator.text())

    def test_revoked_within_a_second(self):
        with Federation(SMALL, root=self.root, rounds=5000, round__minimum_clients=1,
                        evaluate__every=0) as f:
            f.start()
            names = f.members(2)
            for name in names:
                f.run(name)
            f.coordinator.wait_line("round 3")
            since = time.monotonic()
            witan("peers", "revoke", names[0], "--state", f.state)
            told = time.monotonic()
            client = f.clients[names[0]]
            end = told + 10 * SLOW
            while time.monotonic() < end and client.alive():
                if any("revoked" in l or "let us in" in l or "lost" in l
                       for l in client.lines):
                    break
                time.sleep(0.01)
            else:
                if client.alive():
                    self.fail("the revoked client noticed nothing:\n" + client.text())
            gone = time.monotonic()
            print(f"revoked: command {told - since:.3f} s, session dead after "
                  f"{gone - since:.3f} s", flush=True)
            self.assertLess(gone - told, 1.0 * SLOW)
            reached = len(f.digests())
            f.coordinator.wait_line(f"round {reached + 3}", 20)
            peers = {p["name"]: p for p in f.status()["peers"]}
            self.assertEqual(peers[names[0]]["state"], "revoked")
            self.assertFalse(peers[names[0]]["connected"])

    def test_a_new_transport_key_while_working(self):
        """`peers rotate` reaches a client that is connected; its key file changes, the
        federation goes on, and the old key does not open the door any more."""
        with Federation(SMALL, root=self.root, rounds=300, local__epochs=3) as f:
            f.start()
            names = f.members(2)
            for name in names:
                f.run(name)
            f.coordinator.wait_line("round 3")
            path = os.path.join(f.directory(names[0]), "identity.key")
            with open(path, "rb") as file:
                before = file.read()
            witan("peers", "rotate", names[0], "--state", f.state)
            end = time.monotonic() + 20 * SLOW
            after = before
            while after == before and time.monotonic() < end:
                time.sleep(0.02)
                with open(path, "rb") as file:
                    after = file.read()
            self.assertNotEqual(after, before, f.clients[names[0]].text())
            f.finish()
            self.assertEqual(f.digests(), simulate(f.settings, self.root))

    # --- stop and go on ---------------------------------------------------------------
    def test_sigterm_drains_and_a_restart_goes_on(self):
        with Federation(SMALL, root=self.root, rounds=60, local__epochs=2) as f:
            f.start()
            for name in f.members(2):
                f.run(name)
            f.coordinator.wait_line("round 5")
            f.coordinator.kill(signal.SIGTERM)
            self.assertEqual(f.coordinator.wait(20), 130)
            done = len(f.digests())
            self.assertGreaterEqual(done, 4)
            self.assertTrue(all(r["phase"] == "ended" for r in f.status()["rounds"]))
            f.start()
            f.finish()
            self.assertEqual(f.digests(), simulate(f.settings, self.root))

    def test_clients_stop_on_sigterm(self):
        with Federation(SMALL, root=self.root, rounds=40, local__epochs=2) as f:
            f.start()
            names = f.members(2)
            for name in names:
                f.run(name)
            f.coordinator.wait_line("round 3")
            f.clients[names[0]].kill(signal.SIGTERM)
            self.assertEqual(f.clients[names[0]].wait(20), 130)
            f.run(names[0])
            f.finish()
            self.assertEqual(f.digests(), simulate(f.settings, self.root))

    def test_another_experiment_is_refused(self):
        with Federation(SMALL, root=self.root) as f:
            f.start()
            f.coordinator.kill(signal.SIGTERM)
            f.coordinator.wait(20)
            done = witan("coordinator", "--listen", f.listen, "--state", f.state,
                         "--set", "rounds=99", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("another experiment", done.stderr)

    def test_two_coordinators_on_one_state(self):
        with Federation(SMALL, root=self.root) as f:
            f.start()
            done = witan("coordinator", "--listen", "tcp://127.0.0.1:*", "--state", f.state,
                         check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    # --- own data ---------------------------------------------------------------------
    def write_csv(self, path, rows, seed):
        import random
        draw = random.Random(seed)
        with open(path, "w", encoding="utf-8") as out:
            out.write("height,weight,age,kind\n")
            for _ in range(rows):
                kind = draw.randrange(2)
                out.write(f"{draw.gauss(1.6 + 0.2 * kind, 0.1):.4f},"
                          f"{draw.gauss(60 + 20 * kind, 8):.3f},{draw.randrange(20, 80)},"
                          f"{'ab'[kind]}\n")

    def test_own_data_and_model(self):
        public = os.path.join(self.root, "public.csv")
        self.write_csv(public, 400, 1)
        settings = {"rounds": 4, "clients": 2, "data.path": public, "data.label": "kind",
                    "transfer.samples": 100, "models": "linear",
                    "round.minimum_clients": 2, "data.partition.key": "iid"}
        with Federation(settings, root=self.root) as f:
            f.start()
            for i, model in enumerate(["mlp(8)", "linear"]):
                own = os.path.join(self.root, f"own-{i}.csv")
                self.write_csv(own, 300, 2 + i)
                f.enrol(f"site-{i}", "--data", own, "--label", "kind", "--model", model)
                f.run(f"site-{i}")
            f.finish()
            for peer in f.status()["peers"]:
                self.assertGreater(peer["own_after"], 0.7, peer)

    def test_data_of_another_shape(self):
        public = os.path.join(self.root, "public.csv")
        self.write_csv(public, 400, 1)
        other = os.path.join(self.root, "other.csv")
        with open(other, "w", encoding="utf-8") as out:
            out.write("x,kind\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(100)))
        settings = {"rounds": 2, "clients": 1, "data.path": public, "data.label": "kind",
                    "transfer.samples": 50, "models": "linear"}
        with Federation(settings, root=self.root) as f:
            f.start()
            f.enrol("site-a", "--data", other, "--label", "kind")
            client = f.run("site-a")
            self.assertEqual(client.wait(20), 3)
            self.assertIn("shape", client.text())
            done = witan("doctor", "--state", f.directory("site-a"), check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("shape", done.stdout + done.stderr)

    # --- protection ---------------------------------------------------------------------
    def test_noise_is_nobody_elses(self):
        """A deployed client's noise is not the simulator's: no seed draws it again."""
        noisy = {"swing__noise": "gaussian", "swing__sigma": 0.05, "rounds": 1}
        deployed, simulated, _ = self.run_all(**noisy)
        again, _, _ = self.run_all(**noisy)
        self.assertNotEqual(deployed, simulated)
        self.assertNotEqual(deployed, again)

    def test_a_client_insists_on_protection(self):
        with Federation(SMALL, root=self.root, rounds=2) as f:
            f.start()
            f.enrol("careful", "--protect", "swing.noise=gaussian", "--protect",
                    "swing.sigma=0.1")
            f.enrol("plain")
            for name in ("careful", "plain"):
                f.run(name)
            f.finish()
            self.assertNotEqual(f.digests(), simulate(f.settings, self.root))
            done = witan("join", "witan1:none", "--state", f.directory("x"), "--protect",
                         "rounds=1", check=False)
            self.assertEqual(done.returncode, 2)

    def test_canaries_in_a_client(self):
        """A client plants its own canaries, once and for all; they change what it trains
        on and nothing that the others do."""
        settings = {k.replace("__", "."): v for k, v in {**SMALL, **TEXT}.items()}
        plan = os.path.join(self.root, "plan.json")
        witan("canary", "plan", *[a for k, v in settings.items()
                                  for a in ("--set", f"{k}={v}")],
              "--template", "id {d4}", "--repetitions", "0,2", "--per-level", 2,
              "--holders", "0", "--references", 200, "--out", plan)
        with Federation(settings, root=self.root) as f:
            f.start()
            names = f.members(2)
            f.run(names[0], "--canaries", plan)
            f.run(names[1])
            f.finish()
            deployed = f.digests()
            self.assertEqual(len(deployed), 2)
            witan("sim", *[a for k, v in settings.items() for a in ("--set", f"{k}={v}")],
                  "--canaries", plan, "--out", os.path.join(self.root, "run"), "--quiet")
            with open(os.path.join(self.root, "run", "metrics.jsonl"),
                      encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
            self.assertEqual(deployed,
                             {line["round"]: line["exchange"] for line in lines[::2]})
            self.check_own_audits(f, names)

    def check_own_audits(self, f, names):
        """The client that planted canaries measures its final model; the other cannot."""
        done = witan("audit", f.directory(names[0]))
        self.assertIn("exact rank among all 10000 fills", " ".join(done.stdout.split()))
        with open(os.path.join(f.directory(names[0]), "audit.json"),
                  encoding="utf-8") as file:
            audit = json.load(file)
        self.assertEqual(audit["rounds"], f.settings["rounds"])
        counts = {(e["place"], e["repetitions"]): e["count"] for e in audit["exposure"]}
        for level in (0, 2):
            self.assertEqual(counts["teachers", level], 2)
            self.assertEqual(counts["students", level], 0)
        done = witan("audit", f.directory(names[1]), check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("witan client --canaries PLAN", done.stderr)

    # --- the machine ------------------------------------------------------------------
    def test_disk_full(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to mount a small file system")
        small = os.path.join(self.root, "small")
        os.mkdir(small, 0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs",
                                  small], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("mount is not allowed here: " + mounted.stderr.strip())
        try:
            with Federation(SMALL, root=self.root, rounds=6, transfer__samples=1500,
                            local__epochs=2, data__limit=3000) as f:
                f.state = os.path.join(small, "coordinator")
                f.start()
                names = f.members(2)
                for name in names:
                    f.run(name)
                f.coordinator.wait_line("round 2")
                ballast = os.path.join(small, "ballast")
                with open(ballast, "wb", buffering=0) as out:
                    try:
                        while True:
                            out.write(bytes(4096))
                    except OSError:
                        pass
                f.coordinator.wait_line("space", 30)
                time.sleep(1.0)
                self.assertTrue(f.coordinator.alive(), f.coordinator.text())
                os.remove(ballast)
                f.finish(90)
                self.assertEqual(f.digests(), simulate(f.settings, self.root))
        finally:
            subprocess.run(["umount", "-l", small], check=False)

    def test_separate_hosts(self):
        """Coordinator and clients in network namespaces with their own addresses."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            self.skipTest("needs root and iproute2 for network namespaces")
        tag = f"w{os.getpid() % 100000}"
        hub, leaves = tag + "h", [tag + "a", tag + "b"]
        made = []

        def ip(*arguments):
            return subprocess.run(["ip", *arguments], capture_output=True, text=True)

        def must(*arguments):
            done = ip(*arguments)
            if done.returncode != 0:
                raise unittest.SkipTest("network namespaces are not allowed here: "
                                        + done.stderr.strip())
        try:
            for name in (hub, *leaves):
                must("netns", "add", name)
                made.append(name)
                must("-n", name, "link", "set", "lo", "up")
            for i, leaf in enumerate(leaves):
                must("link", "add", f"{leaf}0", "netns", leaf, "type", "veth", "peer",
                     "name", f"{leaf}1", "netns", hub)
                must("-n", hub, "addr", "add", f"10.99.{i}.1/24", "dev", f"{leaf}1")
                must("-n", leaf, "addr", "add", f"10.99.{i}.2/24", "dev", f"{leaf}0")
                for name, end in ((hub, "1"), (leaf, "0")):
                    must("-n", name, "link", "set", f"{leaf}{end}", "up")
            with Federation(SMALL, root=self.root, rounds=6, local__epochs=3) as f:
                f.listen = "tcp://0.0.0.0:7700"
                f.start(prefix=["ip", "netns", "exec", hub])
                for i, leaf in enumerate(leaves):
                    line = f.invite(leaf, "--endpoint", f"tcp://10.99.{i}.1:7700",
                                    "--client", i)
                    f.clients[leaf] = f._start(
                        ["join", line, "--state", f.directory(leaf)],
                        ["ip", "netns", "exec", leaf])
                f.coordinator.wait_line("round 2")
                # The cable of one host is pulled for a while.
                must("-n", leaves[0], "link", "set", f"{leaves[0]}0", "down")
                time.sleep(5.0)
                must("-n", leaves[0], "link", "set", f"{leaves[0]}0", "up")
                f.finish(90)
                self.assertEqual(f.digests(), simulate(f.settings, self.root))
        finally:
            for name in made:
                ip("netns", "del", name)

    # --- secrets ----------------------------------------------------------------------
    def test_no_secret_is_printed_or_left_open(self):
        with Federation(SMALL, root=self.root) as f:
            f.start()
            lines = []
            for name in ("site-a", "site-b"):
                lines.append(f.invite(name, "--client", len(lines)))
                f.clients[name] = f._start(["join", lines[-1], "--state", f.directory(name)])
            f.finish()
            output = f.coordinator.text() + "".join(c.text() for c in f.clients.values())
            output += json.dumps(f.status())
            for path in glob.glob(os.path.join(f.root, "*", "*.key")):
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600, path)
                with open(path, encoding="ascii") as file:
                    for word in file.read().split():
                        if len(word) >= 40:
                            self.assertNotIn(word, output)
            for line in lines:
                self.assertNotIn(line[20:60], output)
            for folder in glob.glob(os.path.join(f.root, "*")):
                self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700, folder)
            for path in glob.glob(os.path.join(f.root, "*", "**", "*"), recursive=True):
                if os.path.isfile(path):
                    self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)


if __name__ == "__main__":
    unittest.main()
