"""The commands of a deployed federation as a person or a script meets them: help, exit
codes, what is printed where, what wrong input is answered with.

    WITAN_PROGRAM=build/witan python3 tests/integration/test_deploy_cli.py [-v] [NAME...]"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from federation import SLOW, SMALL, WITAN, Federation, Process, assignments  # noqa: E402
from federation import environment, witan  # noqa: E402

COMMANDS = ("coordinator", "invite", "join", "client", "peers", "status", "doctor")
LINE = re.compile(r"^witan1:[A-Za-z0-9_-]{100,}$")
WORDS = r"[a-z]{5}(?:-[a-z]{5}){5}"


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="witan-deploy-cli-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def check_error(self, done, code, *parts):
        """One line, for a person, that says where; nothing on standard output."""
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("witan: "), lines[0])
        for part in parts:
            self.assertIn(part, lines[0])

    def refused(self, code, *arguments, says=(), **more):
        done = witan(*arguments, check=False, **more)
        self.check_error(done, code, *((says,) if isinstance(says, str) else says))

    def federation(self, **over):
        federation = Federation(SMALL, root=self.root, **over)
        self.addCleanup(federation.__exit__)
        return federation


class Usage(Case):
    def test_help(self):
        for command in COMMANDS:
            done = witan(command, "--help")
            self.assertEqual(done.stderr, "")
            self.assertIn(f"usage: witan {command}", done.stdout)
            self.assertIn("Examples:", done.stdout)
            self.assertIn("Exit codes:", done.stdout)
            self.assertLessEqual(len(done.stdout.splitlines()), 40)
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 82)
        done = witan("--help")
        for command in COMMANDS:
            self.assertRegex(done.stdout, rf"(?m)^  {command} ")
        self.assertEqual(witan("peers", "revoke", "--help").stdout,
                         witan("peers", "--help").stdout)

    def test_wrong_arguments(self):
        state = self.path("state")
        for arguments, says in (
            (["coordinator"], "--state is missing"),
            (["coordinator", "a.json", "b.json", "--state", state], "b.json"),
            (["coordinator", "--state", state, "--listen", "7700"], "7700"),
            (["coordinator", "--state", state, "--listen", "udp://a:1"], "udp://a:1"),
            (["coordinator", "--state", state, "--listen", "tcp://127.0.0.1:70000"],
             "70000"),
            (["coordinator", "--state", state, "--advertise", "tcp://*:7700"], "tcp"),
            (["coordinator", "--state", state, "--invite", "a b"], "a b"),
            (["coordinator", "--state", state, "--heartbeat", "0"], "--heartbeat"),
            (["coordinator", "--state", state, "--drain", "long"], "--drain"),
            (["coordinator", "--state", state, "--set", "rounds"], "rounds"),
            (["coordinator", "--state", state, "--set", "round=3"], "round"),
            (["coordinator", "--state", state, "--state", state], "twice"),
            (["coordinator", "--stat", state, "--lissten", "x"], "--listen?"),
            (["coordinator", "--check-config", "--invite", "a"], "--invite"),
            (["invite", "--state", state], "NAME is missing"),
            (["invite", "site-a"], "--state is missing"),
            (["invite", "site-a", "site-b", "--state", state], "site-b"),
            (["invite", "site-a", "--state"], "--state"),
            (["invite", "site-a", "--state", ""], "--state"),
            (["invite", "site-a", "--state", state, "--ttl", "1"], "--ttl"),
            (["invite", "site-a", "--state", state, "--ttl", "1w"], "1w"),
            (["invite", "site-a", "--state", state, "--client", "-1"], "-1"),
            (["join"], "LINE is missing"),
            (["join", "witan1:a", "--token-file", "b"], "--token-file"),
            (["join", "witan1:a", "extra"], "extra"),
            (["client"], "--state is missing"),
            (["client", "here"], "here"),
            (["peers"], "list"),
            (["peers", "remove", "a", "--state", state], "remove"),
            (["peers", "list", "a", "--state", state], "a"),
            (["peers", "show", "--state", state], "NAME is missing"),
            (["status"], "--state is missing"),
            (["status", "--state", state, "--timeout", "3"], "--wait"),
            (["status", "--state", state, "--wait", "--timeout", "-3"], "-3"),
            (["doctor"], "--state is missing"),
            (["doctor", "--state", state, "--verbose"], "--verbose"),
        ):
            with self.subTest(arguments):
                self.refused(2, *arguments, says=says)
        self.assertFalse(os.path.exists(state))

    def test_directories_without_state(self):
        for arguments in (["invite", "a"], ["peers", "list"], ["peers", "show", "a"],
                          ["status"], ["doctor"], ["client"]):
            for state in (self.path("nowhere"), self.root):
                with self.subTest(arguments + [state]):
                    self.refused(1, *arguments, "--state", state, says=state)
        self.assertEqual(os.listdir(self.root), [])

    def test_check_config(self):
        done = witan("coordinator", "--check-config", *assignments(SMALL))
        self.assertIn("3 rounds, 2 seats", done.stdout)
        self.assertIn("60 rows", done.stdout)
        done = witan("coordinator", "--check-config", "--json", *assignments(SMALL))
        self.assertEqual(json.loads(done.stdout)["clients"], 2)
        done = witan("coordinator", "--check-config", "--set", "data.path=/nowhere",
                     check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere", done.stderr)


class JoinLines(Case):
    def join(self, *arguments, **more):
        return witan("join", *arguments, "--state", self.path("client"), check=False,
                     **more)

    def test_broken_lines(self):
        f = self.federation()
        f.start()
        line = f.invite("site-a")
        self.assertRegex(line, LINE)
        broken = ["", "hello", "witan1:", line[:-1], line[:60], line + "A",
                  "witan2" + line[6:], line[:30] + ("A" if line[30] != "A" else "B")
                  + line[31:]]
        for text in broken:
            with self.subTest(text[:10]):
                self.check_error(self.join("-", input=text), 2)
                self.check_error(self.join(text), 2)
        path = self.path("line.txt")
        with open(path, "w", encoding="ascii") as out:
            out.write(line[:100])
        done = self.join("--token-file", path)
        self.check_error(done, 2, path)
        self.assertNotIn(line[20:60], done.stderr)
        self.check_error(self.join("--token-file", self.path("none")), 1, "none")
        self.assertFalse(os.path.exists(self.path("client")))
        # None of this used the line up, and neither does a mistake in the options.
        self.check_error(self.join(line, "--data", self.path("none")), 1, "none")
        self.check_error(self.join(line, "--label", "x"), 2, "--data")
        self.check_error(self.join(line, "--test-fraction", "1"), 2, "--test-fraction")
        self.assertEqual(self.join(line, "--model", "perceptron", "--enrol-only").returncode,
                         2)
        self.assertEqual(self.join(line, "--enrol-only").returncode, 0)

    def test_ways_to_give_a_line(self):
        f = self.federation(clients=3)
        f.start()
        path = self.path("line.txt")
        with open(path, "w", encoding="ascii") as out:
            out.write(f.invite("by-file") + "\n")
        done = witan("join", "--token-file", path, "--state", self.path("f"), "--enroll-only")
        self.assertIn("by-file", done.stdout)
        done = witan("join", "-", "--state", self.path("i"), "--enrol-only",
                     input="  " + f.invite("by-input") + "\n")
        self.assertIn("by-input", done.stdout)
        # By default the state is kept below the user's state directory.
        home = self.path("xdg")
        done = subprocess.run([WITAN, "join", f.invite("by-default"), "--enrol-only"],
                              env=environment(XDG_STATE_HOME=home), capture_output=True,
                              text=True, timeout=60 * SLOW)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.exists(os.path.join(home, "witan/by-default/identity.key")))

    def test_used_once(self):
        f = self.federation()
        f.start()
        line = f.invite("site-a")
        self.assertEqual(self.join(line, "--enrol-only").returncode, 0)
        self.assertEqual(self.join(line, "--enrol-only").returncode, 0)  # harmless
        done = witan("join", line, "--state", self.path("thief"), "--enrol-only",
                     check=False)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("used", done.stderr)
        self.assertNotIn(line[20:60], done.stdout + done.stderr)

    def test_names_and_seats(self):
        f = self.federation()
        f.start()
        f.invite("site-a")
        state = ("--state", f.state)
        self.refused(1, "invite", "site-a", *state, says="site-a")
        self.assertRegex(f.invite("site-a", "--replace"), LINE)
        self.refused(2, "invite", "a/b", *state, says="a/b")
        self.refused(2, "invite", "b", *state, "--ttl", "59s", says="1 minute")
        self.refused(2, "invite", "b", *state, "--endpoint", "here", says="here")
        self.refused(1, "invite", "b", *state, "--client", "2", says="2")
        done = witan("invite", "site-b", *state, "--client", "1", "--ttl", "7d")
        self.assertEqual(done.stdout.count("\n"), 1)
        self.assertIn("7 d", done.stderr)
        self.assertNotIn("witan1:", done.stderr)
        self.refused(1, "invite", "site-c", *state)  # no seat is left
        told = json.loads(witan("peers", "list", *state, "--json").stdout)
        self.assertEqual([(i["name"], i["client"]) for i in told["invitations"]],
                         [("site-a", None), ("site-b", 1)])

    def test_nobody_answers(self):
        f = self.federation()
        f.start()
        line = f.invite("site-a", "--endpoint", "tcp://127.0.0.1:1")
        done = subprocess.Popen([WITAN, "join", line, "--state", self.path("client")],
                                env=environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        # The line does not stay where every user of the machine can read it.
        end = time.monotonic() + 5 * SLOW
        while time.monotonic() < end:
            with open(f"/proc/{done.pid}/cmdline", "rb") as file:
                shown = file.read().decode()
            if shown and line not in shown:
                break
            time.sleep(0.01)
        self.assertIn("****", shown)
        self.assertNotIn(line[20:60], shown)
        done.send_signal(signal.SIGTERM)
        _, err = done.communicate(timeout=20 * SLOW)
        self.assertEqual(done.returncode, 130, err)


class Members(Case):
    def test_life_of_a_member(self):
        f = self.federation()
        f.start()
        state = ("--state", f.state)
        empty = witan("peers", "list", *state).stdout
        self.assertIn("nobody", empty)
        done = witan("join", f.invite("site-a"), "--state", f.directory("site-a"),
                     "--enrol-only")
        words = re.search(WORDS, done.stdout).group(0)
        self.assertIn("witan peers show site-a", done.stdout)
        self.assertIn(f.directory("site-a"), done.stdout)
        shown = witan("peers", "show", "site-a", *state).stdout
        self.assertIn(words, shown)
        self.assertEqual(
            json.loads(witan("peers", "show", "site-a", *state, "--json").stdout)
            ["fingerprint"], words)
        f.invite("site-b")
        listed = witan("peers", "list", *state).stdout
        self.assertRegex(listed, r"(?m)^ +0  site-a  approved ")
        self.assertRegex(listed, r"(?m)^site-b +any  24 h$")
        self.refused(1, "peers", "show", "site-q", *state, says=("site-q", "site-a"))
        self.refused(1, "peers", "approve", "site-a", *state)
        self.assertIn("transport key",
                      witan("peers", "rotate", "site-a", *state).stdout)
        self.assertIn("rotation", witan("peers", "show", "site-a", *state).stdout)
        self.assertIn("revoked", witan("peers", "revoke", "site-a", *state).stdout)
        self.refused(1, "peers", "revoke", "site-a", *state)
        peers = {p["name"]: p for p in f.status()["peers"]}
        self.assertEqual(peers["site-a"]["state"], "revoked")
        ids = [e["id"] for e in f.status()["events"]]
        for event in ("rotate", "revoke", "enrolled"):
            self.assertIn(event, ids)
        self.assertRegex(f.invite("site-a"), LINE)  # the name is free again

    def test_confirm(self):
        f = self.federation(clients=1, round__minimum_clients=1)
        f.start()
        line = f.invite("site-a", "--confirm")
        client = f._start(["join", line, "--state", f.directory("site-a")])
        client.wait_line("peers approve site-a")
        time.sleep(0.5 * SLOW)
        status = f.status()
        self.assertEqual(status["rounds"], [])
        self.assertEqual(status["peers"][0]["state"], "pending")
        self.assertRegex(witan("doctor", "--state", f.state).stdout,
                         r"(?m)^warning +members .*approve")
        witan("peers", "approve", "site-a", "--state", f.state)
        f.finish(30)
        self.assertEqual(client.wait(20), 0)

    def test_open_keys_are_refused(self):
        f = self.federation()
        f.start()
        f.enrol("site-a")
        key = os.path.join(f.directory("site-a"), "identity.key")
        os.chmod(key, 0o644)
        self.refused(5, "client", "--state", f.directory("site-a"), says=("chmod", key))
        self.assertEqual(witan("doctor", "--state", f.directory("site-a"), check=False)
                         .returncode, 1)
        f.coordinator.kill(signal.SIGTERM)
        self.assertEqual(f.coordinator.wait(20), 130)
        key = os.path.join(f.state, "identity.key")
        os.chmod(key, 0o644)
        done = witan("coordinator", "--state", f.state, "--listen", "tcp://127.0.0.1:*",
                     check=False)
        self.check_error(done, 5, "chmod", key)
        done = witan("doctor", "--state", f.state, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"(?m)^bad +keys .*chmod")


class Experiment(Case):
    def test_from_start_to_end(self):
        f = self.federation()
        f.options += ["--invite", "site-a", "--invite", "site-b"]
        f.start()
        lines = dict(l.split(": ") for l in f.coordinator.lines if ": witan1:" in l)
        self.assertEqual(set(lines), {"site-a", "site-b"})
        status = f.status()
        self.assertEqual(
            (status["experiment"], status["seats"], status["rounds_planned"],
             status["finished"], status["endpoint"], status["rounds"], status["peers"]),
            ("optdigits", 2, 3, False, f.endpoint, [], []))
        done = witan("status", "--state", f.state, "--wait", "--timeout", "0.2",
                     check=False)
        self.check_error(done, 6, "not finished")
        doctor = witan("doctor", "--state", f.state).stdout
        self.assertRegex(doctor, r"(?m)^ok +port .*answers")
        # A restart asks for no experiment and prints no line again.
        f.coordinator.kill(signal.SIGTERM)
        self.assertEqual(f.coordinator.wait(20), 130)
        self.assertIn("go on with: witan coordinator --state", f.coordinator.text())
        self.assertRegex(witan("doctor", "--state", f.state).stdout,
                         r"(?m)^ok +port .*free")
        self.assertIn("does not run", witan("status", "--state", f.state).stdout)
        f.settings = {}
        f.start()
        self.assertNotIn("witan1:", f.coordinator.text())
        waiter = Process(["status", "--state", f.state, "--wait", "--json"])
        f.started.append(waiter)
        for name, line in lines.items():
            witan("join", line, "--state", f.directory(name), "--enrol-only")
            f.run(name)
        f.finish(30)
        self.assertEqual(waiter.wait(10), 0)
        self.check_result(f, json.loads(waiter.lines[-1]))

    def check_result(self, f, status):
        self.assertTrue(status["finished"])
        self.assertEqual([r["round"] for r in status["rounds"]], [1, 2, 3])
        for row in status["rounds"]:
            self.assertEqual((row["phase"], row["fused"], row["asked"], row["answered"],
                              row["late"]), ("ended", True, 2, 2, 0))
            self.assertRegex(row["exchange"], r"^[0-9a-f]{64}$")
            self.assertGreater(row["bytes_up"], 60 * 10 * 2)
            self.assertGreater(row["own_after"], 0.0)
        self.assertEqual(sorted(p["name"] for p in status["peers"]), ["site-a", "site-b"])
        self.assertEqual(status["awaited"], [])
        self.assertEqual(sorted(status["events"][0]), ["at_s", "id", "text"])
        # The table at the end, again when the finished experiment is started once more.
        for text in (f.coordinator.text(),
                     witan("coordinator", "--state", f.state, "--listen",
                           "tcp://127.0.0.1:*").stdout):
            for name in ("site-a", "site-b"):
                self.assertRegex(text, rf"(?m)^ +\d  {name}  \S+ +\d+\.\d +\d+\.\d +3 +0 ")
        done = witan("coordinator", "--state", f.state, "--listen", "tcp://127.0.0.1:*",
                     "--json")
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((result["finished"], result["rounds"], result["fused"]),
                         (True, 3, 3))
        self.assertEqual([c["answered"] for c in result["clients"]], [3, 3])
        for client in result["clients"]:
            own = [p["own_after"] for p in status["peers"] if p["name"] == client["name"]]
            self.assertEqual([client["own_last"]], own)
        text = witan("status", "--state", f.state).stdout
        self.assertIn("finished after 3 rounds", text)
        self.assertRegex(text, r"(?m)^ +3  ended +2 of 2")
        # And at a client.
        self.assertRegex(witan("status", "--state", f.directory("site-a")).stdout,
                         r"(?m)^phase +finished$")
        done = witan("status", "--state", f.directory("site-a"), "--json", "--wait")
        self.assertEqual(json.loads(done.stdout)["name"], "site-a")

    def test_service_manager(self):
        for address in (self.path("notify"), f"\0witan-{os.getpid()}"):
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(manager.close)
            manager.settimeout(20 * SLOW)
            manager.bind(address)
            process = subprocess.Popen(
                [WITAN, "coordinator", "--state", self.path(f"state-{len(address)}"),
                 "--listen", "tcp://127.0.0.1:*", *assignments(SMALL)],
                env=environment(NOTIFY_SOCKET=address.replace("\0", "@"),
                                WATCHDOG_USEC="400000"),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                told = {manager.recv(100)}
                while told < {b"READY=1", b"WATCHDOG=1"}:
                    told.add(manager.recv(100))
                process.send_signal(signal.SIGHUP)
                process.send_signal(signal.SIGSTOP)  # hangs: no sign of life
                time.sleep(0.1)
                manager.setblocking(False)
                with self.assertRaises(BlockingIOError):
                    while True:
                        manager.recv(100)
                time.sleep(0.5)
                with self.assertRaises(BlockingIOError):
                    manager.recv(100)
                manager.settimeout(20 * SLOW)
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
                while manager.recv(100) != b"STOPPING=1":
                    pass
                self.assertEqual(process.wait(20 * SLOW), 130)
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    unittest.main()
