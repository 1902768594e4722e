"""A model of somebody else in the federation: the example program, built against the
shared library and the installed header alone, learns beside built-in clients, survives a
kill, and is refused what it may not do."""

import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
import federation  # noqa: E402
from federation import Federation, Process, environment  # noqa: E402

EXAMPLE = os.environ["WITAN_EXAMPLE"]
LIBRARY = os.environ["WITAN_LIBRARY"]
HEADER = os.path.join(ROOT, "common", "include", "witan", "witan.h")


def write_rows(path, rows, seed):
    """Three classes around three corners of a square, in two columns."""
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as out:
        out.write("x,y,kind\n")
        for _ in range(rows):
            kind = draw.randrange(3)
            out.write(f"{draw.gauss([0, 4, 0][kind], 1):.4f},"
                      f"{draw.gauss([0, 0, 4][kind], 1):.4f},{kind}\n")


class Foreign(Process):
    """The example instead of the program."""

    def __init__(self, arguments):
        known = federation.WITAN
        federation.WITAN = EXAMPLE
        try:
            super().__init__(arguments)
        finally:
            federation.WITAN = known


class Participant(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="witan-api-")
        self.root = self.temporary.name
        for i, name in enumerate(["public", "own-0", "own-1"]):
            write_rows(os.path.join(self.root, name + ".csv"), 400, i)

    def tearDown(self):
        self.temporary.cleanup()

    def path(self, name):
        return os.path.join(self.root, name)

    def settings(self, **over):
        settings = {"rounds": 6, "clients": 2, "data.path": self.path("public.csv"),
                    "transfer.samples": 100, "models": "linear",
                    "local.optimizer.lr": 0.05,
                    "round.minimum_clients": 2, "round.absence": 0,
                    "data.partition.key": "iid"}
        settings.update({k.replace("__", "."): v for k, v in over.items()})
        return settings

    def start(self, f):
        f.start()
        f.enrol("built-in", "--data", self.path("own-0.csv"), client=0)
        f.run("built-in")
        line = f.invite("foreign", "--client", 1)
        directory = f.directory("foreign")
        foreign = Foreign([directory, self.path("own-1.csv"), line])
        f.started.append(foreign)
        return directory, foreign

    def test_learns_beside_built_in_clients(self):
        with Federation(self.settings(), root=self.root) as f:
            _, foreign = self.start(f)
            f.finish()
            self.assertEqual(foreign.wait(20), 0, foreign.text())
            peers = {p["name"]: p for p in f.status()["peers"]}
            self.assertEqual(peers["foreign"]["model"], "softmax regression")
            self.assertGreater(peers["foreign"]["own_after"], 0.9)
            self.assertGreater(peers["built-in"]["own_after"], 0.8)
            self.assertEqual(len(f.digests()), 6)

    def test_mean_of_logits(self):
        with Federation(self.settings(fusion__key="mean", fusion__combine="logit",
                                      extract__temperature=2),
                        root=self.root) as f:
            _, foreign = self.start(f)
            f.finish()
            self.assertEqual(foreign.wait(20), 0, foreign.text())

    def test_killed_and_started_again(self):
        with Federation(self.settings(rounds=300), root=self.root) as f:
            directory, foreign = self.start(f)
            f.coordinator.wait_line("round 20 ")
            foreign.kill()
            foreign.wait()
            again = Foreign([directory, self.path("own-1.csv")])
            f.started.append(again)
            f.finish(90)
            self.assertEqual(again.wait(20), 0, again.text())
            self.assertEqual(len(f.digests()), 300)

    def test_fedavg_is_not_for_foreign_models(self):
        with Federation(self.settings(fusion__key="fedavg"), root=self.root) as f:
            _, foreign = self.start(f)
            self.assertEqual(foreign.wait(30), 1)
            self.assertIn("exchanges no soft labels", foreign.text())

    def test_not_enrolled(self):
        done = subprocess.run([EXAMPLE, self.path("nowhere"), self.path("own-1.csv")],
                              capture_output=True, text=True, env=environment(),
                              timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("join", done.stderr)

    def test_only_the_api_is_exported(self):
        names = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], check=True,
                               capture_output=True, text=True).stdout
        exported = {line.split()[-1].split("@")[0] for line in names.splitlines()}
        exported = {n for n in exported
                    if not n.startswith(("_", "__asan", "__ubsan", "__tsan"))}
        with open(HEADER, encoding="utf-8") as file:
            declared = set(re.findall(r"^WITAN_API [^;(]*?(\w+)\(", file.read(), re.MULTILINE))
        self.assertEqual(exported, declared)

    def test_the_header_stands_alone(self):
        for standard in ("c99", "c17"):
            done = subprocess.run([os.environ["WITAN_COMPILER"], f"-std={standard}",
                                   "-pedantic-errors", "-Wall", "-Wextra", "-Werror",
                                   "-fsyntax-only", "-x", "c", HEADER],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
