"""A federation of real processes on this machine, for the tests: one coordinator, some
clients, each with its own directory, ports chosen by the system.

Knows nothing of the inside of a state directory: it starts `witan`, reads what it prints and
asks `witan status --json`."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

WITAN = os.path.abspath(os.environ.get("WITAN_PROGRAM", "build/witan"))
SLOW = float(os.environ.get("WITAN_SLOW", "1"))  # factor on all limits: sanitizers

# An experiment of well under a second whose every client must answer every round.
SMALL = {
    "rounds": 3,
    "clients": 2,
    "models": "linear,mlp(8)",
    "data.limit": 600,
    "transfer.samples": 60,
    "round.minimum_clients": 2,
    "round.absence": 0,
}


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    env.update({"LC_ALL": "C.UTF-8", "HOME": "/nonexistent"})
    env.update(more)
    return env


def assignments(settings):
    return [a for k, v in settings.items() for a in ("--set", f"{k}={v}")]


def witan(*arguments, check=True, timeout=60, **more):
    """Runs a command to its end; its result with stdout and stderr as text."""
    done = subprocess.run([WITAN, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout * SLOW, env=environment(), **more)
    if check and done.returncode != 0:
        raise AssertionError(f"witan {' '.join(map(str, arguments))}: exit "
                             f"{done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Process:
    """A daemon whose lines are collected while it runs."""

    def __init__(self, arguments, prefix=()):
        self.lines = []
        self._wake = threading.Condition()
        self._seen = 0
        self.process = subprocess.Popen([*prefix, WITAN, *map(str, arguments)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        env=environment())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._wake:
                self.lines.append(line.rstrip("\n"))
                self._wake.notify_all()
        with self._wake:
            self._wake.notify_all()

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        return "\n".join(self.lines)

    def wait_line(self, word, timeout=20, after=0):
        """The first line from number `after` on that contains the word."""
        end = time.monotonic() + timeout * SLOW
        with self._wake:
            while True:
                for line in self.lines[after:]:
                    if word in line:
                        return line
                if not self._reader.is_alive() and self.process.poll() is not None:
                    raise AssertionError(f"ended ({self.process.returncode}) before "
                                         f"'{word}':\n{self.text()}")
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no '{word}' in time:\n{self.text()}")
                self._wake.wait(min(left, 0.1))

    def alive(self):
        return self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            self.process.send_signal(number)

    def wait(self, timeout=60):
        try:
            code = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s:\n{self.text()}") from None
        self._reader.join(5)
        return code

    def end(self):
        if self.alive():
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()


class Federation:
    """with Federation(settings) as f: f.start(); f.join("a"); f.finish()"""

    def __init__(self, settings=None, root=None, **over):
        self.settings = dict(SMALL if settings is None else settings)
        self.settings.update({k.replace("__", "."): v for k, v in over.items()})
        self.root = tempfile.mkdtemp(prefix="witan-", dir=root)
        self.state = os.path.join(self.root, "coordinator")
        self.listen = "tcp://127.0.0.1:*"
        self.endpoint = None
        self.coordinator = None
        self.clients = {}
        self.options = ["--heartbeat", "1"]
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.end()
        shutil.rmtree(self.root, ignore_errors=True)

    # ----------------------------------------------------------------------------------
    def _start(self, arguments, prefix=()):
        process = Process(arguments, prefix)
        self.started.append(process)
        return process

    def start(self, prefix=(), wait=True):
        """Starts the coordinator, again on the same port the second time."""
        self.coordinator = self._start(
            ["coordinator", "--listen", self.listen, "--state", self.state,
             *self.options, *assignments(self.settings)], prefix)
        if wait:
            self.ready()
        return self.coordinator

    def ready(self, timeout=20):
        line = self.coordinator.wait_line("listening on tcp://", timeout)
        self.endpoint = line.split("listening on ")[1].split()[0]
        self.listen = self.endpoint
        return self.endpoint

    def directory(self, name):
        return os.path.join(self.root, name)

    def invite(self, name, *options):
        done = witan("invite", name, "--state", self.state, *options)
        return done.stdout.strip()

    def enrol(self, name, *options, client=None, endpoint=None):
        """Invites and enrols; the seat is the number of members so far."""
        seat = len(self.clients) if client is None else client
        more = ["--client", seat] + (["--endpoint", endpoint] if endpoint else [])
        line = self.invite(name, *more)
        witan("join", line, "--state", self.directory(name), "--enrol-only", *options)
        self.clients[name] = None

    def run(self, name, *options, prefix=()):
        """Starts (again) an enrolled client."""
        self.clients[name] = self._start(["client", "--state", self.directory(name), *options],
                                         prefix)
        return self.clients[name]

    def members(self, count, **more):
        names = [f"site-{chr(ord('a') + i)}" if count <= 26 else f"site-{i}"
                 for i in range(count)]
        for name in names:
            self.enrol(name, **more)
        return names

    def status(self):
        return json.loads(witan("status", "--json", "--state", self.state).stdout)

    def digests(self):
        """{round (from 1): exchange digest} of the rounds that have ended."""
        return {r["round"]: r["exchange"] for r in self.status()["rounds"]
                if r["phase"] == "ended"}

    def finish(self, timeout=120):
        """Waits until the coordinator ends well; its clients then end too."""
        code = self.coordinator.wait(timeout)
        if code != 0:
            raise AssertionError(f"coordinator: exit {code}\n{self.coordinator.text()}")
        for _ in range(5):
            end = time.monotonic() + 5 * SLOW
            while time.monotonic() < end and any(c.alive() for c in self.running()):
                time.sleep(0.01)
            if not any(c.alive() for c in self.running()):
                break
            # Whoever was away at the end hears it from a coordinator on the same state.
            self.start(wait=False)
            self.coordinator.wait(30)
        for name, client in self.clients.items():
            if client is not None:
                code = client.wait(1)
                if code != 0:
                    raise AssertionError(f"{name}: exit {code}\n{client.text()}")

    def running(self):
        return [c for c in self.clients.values() if c is not None]


def simulate(settings, root):
    """{round (from 1): exchange digest} of the same experiment in the simulator."""
    out = os.path.join(tempfile.mkdtemp(prefix="sim-", dir=root), "run")
    witan("sim", "--out", out, "--quiet", *assignments(settings), timeout=120)
    digests = {}
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if "exchange" in row:
                digests[row["round"]] = row["exchange"]
    return digests
