"""The program `witan` as a person, a script or a scheduler meets it: real processes,
their exit codes, what they print, what they leave, and what survives a kill.

    WITAN_PROGRAM=build/witan python3 tests/integration/test_sim_cli.py [-v] [NAME...]

WITAN_SEED= replays the moments at which processes were killed."""

import fcntl
import hashlib
import json
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

WITAN = os.path.abspath(os.environ.get("WITAN_PROGRAM", "build/witan"))
SEED = int(os.environ.get("WITAN_SEED", time.time_ns() % 1000000))
LIMIT_S = 240  # of one process, sanitizers and a busy machine included

# A run of a few hundred milliseconds whose every round is saved.
SMALL = {
    "rounds": 2,
    "clients": 4,
    "models": "linear",
    "data.limit": 500,
    "transfer.samples": 60,
    "save.seconds": 0,
}
METRIC_KEYS = {"mean", "sd", "worst", "bottom10"}
PHASES = {"train", "extract", "fuse", "distill", "evaluate"}


def environment(**more):
    """Ours, without what would change colours, widths or kernels."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        env.pop(name, None)
    env.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"})
    env.update(more)
    return env


def settings(base=SMALL, **over):
    """--set arguments; data_path stands for data.path."""
    merged = dict(base)
    merged.update({k.replace("__", "."): v for k, v in over.items()})
    return [a for k, v in merged.items() for a in ("--set", f"{k}={v}")]


def start(*arguments, **kw):
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    kw.setdefault("env", environment())
    return subprocess.Popen(
        [WITAN, *map(str, arguments)], stdin=subprocess.DEVNULL, text=True, **kw
    )


def finish(process):
    out, err = process.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def witan(*arguments, **kw):
    return finish(start(*arguments, **kw))


def complaints(done):
    """Lines of standard error, without warnings about the machine and progress."""
    return [
        line
        for line in (done.stderr or "").splitlines()
        if not line.startswith("witan: warning:") and not line.startswith("round ")
    ]


def hashes(directory):
    """Digest of every file below a directory, the lock left out."""
    result = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if name != "lock":
                with open(path, "rb") as file:
                    result[os.path.relpath(path, directory)] = hashlib.sha256(
                        file.read()
                    ).hexdigest()
    return result


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="witan-cli-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write(self, name, content):
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(self.path(name), mode) as file:
            file.write(content)
        return self.path(name)

    def check_exit(self, done, code):
        self.assertEqual(
            done.returncode,
            code,
            f"\n{' '.join(done.args)}\nstdout: {done.stdout}\nstderr: {done.stderr}",
        )

    def run_json(self, *arguments, **kw):
        """A run that must succeed: its result."""
        done = witan("sim", "--json", "--quiet", *arguments, **kw)
        self.check_exit(done, 0)
        return json.loads(done.stdout.splitlines()[-1])

    def check_error(self, done, code, *parts):
        """One line, for a person, that says where."""
        self.check_exit(done, code)
        lines = complaints(done)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("witan: "), lines[0])
        for part in parts:
            self.assertIn(part, lines[0])


class Help(Case):
    def test_help_and_version(self):
        for arguments in (
            ["--help"],
            ["-h"],
            ["help"],
            ["sim", "--help"],
            ["data", "--help"],
            ["data", "info", "--help"],
            ["data", "split", "--help"],
        ):
            done = witan(*arguments)
            self.check_exit(done, 0)
            self.assertEqual(done.stderr, "")
            self.assertIn("usage: witan", done.stdout)
            self.assertLessEqual(len(done.stdout.splitlines()), 40)
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)
        done = witan("--version")
        self.check_exit(done, 0)
        self.assertRegex(done.stdout, r"^witan \d+\.\d+\.\d+\nkernels: ")

    def test_usage_errors(self):
        done = witan()
        self.check_exit(done, 2)
        self.assertIn("usage: witan", done.stderr)
        self.check_error(witan("sum"), 2, "did you mean sim?")
        self.check_error(witan("sim", "--frobnicate"), 2, "--frobnicate")
        self.check_error(witan("sim", "--threads"), 2, "--threads")
        for threads in ("0", "-1", "1.5", "many", "99999"):
            self.check_error(witan("sim", "--threads", threads), 2, threads)
        self.check_error(witan("sim", "--reference", "mean"), 2, "mean")
        self.check_error(witan("sim", "a.json", "b.json"), 2, "b.json")
        self.check_error(witan("sim", "--resume", "x", "--out", "y"), 2, "--resume")
        self.check_error(witan("sim", "--resume", self.path("x")), 2, self.path("x"))
        self.check_error(witan("data", "inform"), 2, "inform")


class Contract(Case):
    """What the README and the wrappers of other people rely on."""

    def check_result(self, result, directory):
        self.assertEqual(result["run"], directory)
        self.assertRegex(result["digest"], "^[0-9a-f]{64}$")
        self.assertEqual(result["strategy"], "knfu")
        self.assertEqual((result["rounds"], result["clients"]), (2, 4))
        self.assertGreater(result["seconds"], 0)
        self.assertEqual(set(result["seconds_per_round"]), PHASES)
        for key in ("own", "global", "own_before_distill", "global_before_distill"):
            self.assertEqual(set(result[key]), METRIC_KEYS)
            self.assertGreaterEqual(result[key]["mean"], result[key]["worst"])
            self.assertTrue(0 <= result[key]["worst"] <= result[key]["bottom10"] <= 1)
        # u16, 60 rows, 10 classes, 4 clients, 2 rounds
        self.assertEqual(result["bytes_up"], 60 * 10 * 2 * 4 * 2)
        self.assertEqual(result["bytes_down"], result["bytes_up"])
        self.assertGreater(result["peak_rss_bytes"], 1 << 20)

    def test_json_and_run_directory(self):
        directory = self.path("run")
        done = witan("sim", "--json", "--out", directory, *settings())
        self.check_exit(done, 0)
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(len(done.stdout.splitlines()), 1)
        self.check_result(result, directory)
        self.assertIsNone(result["gained_over_local"])
        with open(os.path.join(directory, "summary.json")) as file:
            self.assertEqual(json.load(file), result)
        names = set(hashes(directory))
        expected = {"config.json", "metrics.jsonl", "summary.json", "report.html"}
        expected |= {"state.safetensors", "run.log"}
        expected |= {f"weights/round-{r:04d}.npy" for r in (1, 2)}
        expected |= {f"models/client-{n:04d}.safetensors" for n in range(4)}
        self.assertEqual(names, expected)
        self.check_metrics(os.path.join(directory, "metrics.jsonl"), result)
        self.check_weights(os.path.join(directory, "weights", "round-0002.npy"))
        with open(os.path.join(directory, "report.html")) as file:
            self.assertIn(result["digest"], file.read())

    def check_metrics(self, path, result):
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual(len(lines), 2 * 4)
        for i, line in enumerate(lines):
            self.assertEqual((line["round"], line["client"]), (i // 4 + 1, i % 4))
            self.assertTrue(line["asked"] and line["answered"] and not line["late"])
        mean = sum(line["own"]["accuracy"] for line in lines[4:]) / 4
        self.assertAlmostEqual(mean, result["own"]["mean"], 12)

    def check_weights(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.assertTrue(data.startswith(b"\x93NUMPY\x01"))
        size = struct.unpack("<H", data[8:10])[0]
        self.assertIn(b"'shape': (4, 4)", data[10 : 10 + size])
        values = struct.unpack("<16d", data[10 + size :])
        for n in range(4):
            self.assertAlmostEqual(sum(values[4 * n : 4 * n + 4]), 1.0, 12)

    def test_config_of_a_run_is_an_experiment(self):
        first = self.run_json("--out", self.path("a"), *settings())
        config = self.path("a", "config.json")
        again = self.run_json(config, "--out", self.path("b"))
        self.assertEqual(first["digest"], again["digest"])

    def test_every_setting_of_the_contract(self):
        data = self.path("idx")
        write_idx(data)
        for path, value in {
            "seed": 9,
            "rounds": 1,
            "clients": 3,
            "data.path": data,
            "data.format": "embedded",
            "data.partition.key": "iid",
            "data.partition.alpha": 0.1,
            "transfer.samples": 50,
            "models": "mlp(8),linear",
            "local.epochs": 2,
            "local.batch": 16,
            "local.optimizer.key": "sgd",
            "local.optimizer.lr": 0.05,
            "fusion.key": "mean",
            "fusion.combine": "logit",
            "fusion.beta": 1,
            "fusion.divergence": "kl",
            "fusion.epd": "shift",
            "distill.epochs": 2,
            "distill.temperature": 3,
            "participation": 0.5,
        }.items():
            with self.subTest(path=path):
                directory = self.path("set-" + path)
                over = dict(SMALL, **{"save.models": "false", path: value})
                result = self.run_json("--out", directory, *settings(over))
                with open(os.path.join(directory, "config.json")) as file:
                    found = json.load(file)
                for key in path.split("."):
                    found = found[key]
                expected = value.split(",") if path == "models" else value
                self.assertEqual(found, expected)
                self.assertGreater(result["own"]["mean"], 0)

    def test_reference(self):
        directory = self.path("run")
        result = self.run_json("--reference", "local", "--out", directory, *settings())
        self.assertTrue(0 <= result["gained_over_local"] <= 1)
        self.assertEqual(set(result["reference_own"]), METRIC_KEYS)
        alone = self.run_json(
            "--out", self.path("alone"), *settings(fusion__key="local")
        )
        self.assertEqual(result["reference_own"], alone["own"])
        self.assertEqual(result["reference_global"], alone["global"])
        plain = self.run_json("--out", self.path("plain"), *settings())
        self.assertEqual(result["digest"], plain["digest"])

    def test_threads_change_no_result(self):
        digests = {
            self.run_json(
                "--threads", n, "--out", self.path(f"threads-{n}"), *settings()
            )["digest"]
            for n in (1, 2, 8)
        }
        self.assertEqual(len(digests), 1)

    def test_default_directory(self):
        for _ in range(2):  # twice in a second: two directories
            done = witan("sim", "--quiet", *settings(), cwd=self.directory)
            self.check_exit(done, 0)
        runs = os.listdir(self.path("runs"))
        self.assertEqual(len(runs), 2)
        for name in runs:
            self.assertRegex(name, r"^optdigits-knfu-\d{8}-\d{6}")


class Interrupted(Case):
    """Stopped, killed and resumed: the same digest."""

    LONG = dict(SMALL, rounds=30, models="mlp(32)")

    def uninterrupted(self, *arguments):
        return self.run_json("--out", self.path("whole"), *arguments)["digest"]

    def wait_for(self, condition):
        for _ in range(LIMIT_S * 100):
            if condition():
                return
            time.sleep(0.01)
        self.fail("it did not get that far")

    def wait_for_rounds(self, process, directory, rounds):
        """Until so many rounds stand in the metrics, or the process ended."""
        metrics = os.path.join(directory, "metrics.jsonl")

        def far_enough():
            if process.poll() is not None:
                return True
            try:
                with open(metrics) as file:
                    return sum(1 for _ in file) >= 4 * rounds
            except OSError:
                return False

        self.wait_for(far_enough)

    def resume_command(self, done):
        lines = complaints(done)
        match = re.search(r"witan sim --resume (\S+)$", lines[-1])
        self.assertIsNotNone(match, done.stderr)
        return ["--resume", match.group(1)]

    def check_resumes(self, done, digest):
        self.check_exit(done, 130)
        result = self.run_json(*self.resume_command(done))
        self.assertEqual(result["digest"], digest)
        return result

    def test_interrupted_once(self):
        arguments = settings(self.LONG)
        digest = self.uninterrupted(*arguments)
        for number in (signal.SIGINT, signal.SIGTERM):
            directory = self.path(f"signal-{number}")
            process = start("sim", "--out", directory, *arguments)
            self.wait_for_rounds(process, directory, 2)
            process.send_signal(number)
            done = finish(process)
            self.check_resumes(done, digest)

    def test_interrupted_twice(self):
        # One long round: the first signal waits for its end, the second does not.
        slow = settings(self.LONG, rounds=3, local__epochs=400, models="mlp(64)")
        directory = self.path("twice")
        process = start("sim", "--threads", "1", "--out", directory, *slow)
        self.wait_for(lambda: os.path.exists(os.path.join(directory, "config.json")))
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        done = finish(process)
        self.check_exit(done, 130)
        self.assertIn("--resume", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(directory, "summary.json")))

        arguments = settings(self.LONG)
        digest = self.uninterrupted(*arguments)
        directory = self.path("twice-later")
        process = start("sim", "--out", directory, *arguments)
        self.wait_for_rounds(process, directory, 3)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        self.check_resumes(finish(process), digest)

    def test_interrupted_in_the_reference(self):
        arguments = ["--reference", "local", *settings(self.LONG)]
        whole = self.run_json("--out", self.path("whole"), *arguments)
        directory = self.path("run")
        process = start("sim", "--out", directory, *arguments)
        self.wait_for_rounds(process, os.path.join(directory, "reference"), 2)
        process.send_signal(signal.SIGINT)
        result = self.check_resumes(finish(process), whole["digest"])
        for key in ("gained_over_local", "reference_own", "own", "global"):
            self.assertEqual(result[key], whole[key])

    def test_killed_at_any_moment(self):
        chance = random.Random(SEED)
        arguments = settings(
            self.LONG,
            **{
                "rounds": 12,
                "faults.straggler": 0.4,
                "faults.dropout": 0.1,
                "faults.speed": 1000,
                "round.deadline": 0.6,
                "round.late": "keep",
            },
        )
        began = time.monotonic()
        digest = self.uninterrupted(*arguments)
        duration = time.monotonic() - began
        for i in range(10):
            directory = self.path(f"killed-{i}")
            first = ["--out", directory, *arguments]
            for _ in range(1 + i % 2):  # some are killed again while they resume
                begun = os.path.exists(os.path.join(directory, "config.json"))
                process = start(
                    "sim", *(["--resume", directory] if begun else first)
                )
                time.sleep(chance.uniform(0.02, 0.9 * duration))
                process.kill()
                finish(process)
            begun = os.path.exists(os.path.join(directory, "config.json"))
            result = self.run_json(*(["--resume", directory] if begun else first))
            self.assertEqual(result["digest"], digest, f"WITAN_SEED={SEED}, kill {i}")
            self.assertEqual(self.metrics("whole"), self.metrics(f"killed-{i}"))

    def metrics(self, name):
        with open(self.path(name, "metrics.jsonl"), "rb") as file:
            return file.read()

    def test_finished_run_can_be_resumed(self):
        digest = self.uninterrupted(*settings())
        self.assertEqual(
            self.run_json("--resume", self.path("whole"))["digest"], digest
        )


class Refused(Case):
    """Exit code 2 or 3 and one line that names the file and the key."""

    def test_directory_of_another_run(self):
        directory = self.path("run")
        self.run_json("--out", directory, *settings())
        before = hashes(directory)
        self.check_error(
            witan("sim", "--out", directory, *settings()), 2, directory, "--resume"
        )
        self.check_error(
            witan("sim", "--reference", "local", "--out", directory, *settings()),
            2,
            directory,
        )
        self.assertEqual(hashes(directory), before)

    def test_two_processes_on_one_directory(self):
        directory = self.path("run")
        slow = settings(Interrupted.LONG, rounds=3, local__epochs=400)
        process = start("sim", "--threads", "1", "--out", directory, *slow)
        try:
            while process.poll() is None and not os.path.exists(
                os.path.join(directory, "metrics.jsonl")
            ):
                time.sleep(0.01)
            self.assertIsNone(process.poll())
            for arguments in (["--out", directory, *slow], ["--resume", directory]):
                self.check_error(
                    witan("sim", *arguments), 1, directory, str(process.pid)
                )
        finally:
            process.kill()
            finish(process)

    def test_bad_config(self):
        for text, parts in (
            ('{"fusion": {"betta": 1}}', ["fusion.betta", "fusion.beta"]),
            ('{"rounds": "two"}', ["rounds"]),
            ('{"rounds": 0}', ["rounds"]),
            ('{"rounds": 1.5}', ["rounds"]),
            ('{"participation": 2}', ["participation"]),
            ('{"fusion": {"key": "knfuu"}}', ["fusion.key", "knfu"]),
            ('{"models": ["mlpp(3)"]}', ["models"]),
            ('{"rounds": 2', []),
            ("", []),
            ('{"rounds": 2, "rounds": 3}', ["rounds"]),
            ('{"fusion": {"key": "fedavg"}}', ["models"]),
        ):
            with self.subTest(text=text):
                path = self.write("bad.json", text)
                before = os.listdir(self.directory)
                done = witan("sim", path, "--out", self.path("run"))
                self.check_error(done, 2, path, *parts)
                self.assertEqual(os.listdir(self.directory), before)
        for assignment, part in (
            ("fusion.betta=1", "fusion.beta"),
            ("rounds=many", "rounds"),
            ("rounds", "rounds"),
            ("=3", "=3"),
            ("clients=0", "clients"),
        ):
            with self.subTest(assignment=assignment):
                self.check_error(witan("sim", "--set", assignment), 2, part)
        self.check_error(witan("sim", self.path("none.json")), 1, "none.json")

    def test_waiting_for_ever(self):
        done = witan(
            "sim", "--out", self.path("run"), *settings(faults__dropout=0.9, rounds=9)
        )
        self.check_error(done, 2, "round.deadline")

    def test_bad_data(self):
        data = self.path("idx")
        write_idx(data)
        images = os.path.join(data, "train-images-idx3-ubyte")
        with open(images, "rb") as file:
            whole = file.read()
        for content, part in (
            (whole[:-1], "train-images"),
            (whole[:10], "train-images"),
            (b"", "train-images"),
            (whole[:4] + b"\xff\xff\xff\xff" + whole[8:], "train-images"),
            (b"\x1f\x8b" + whole, "train-images"),
        ):
            with self.subTest(size=len(content)):
                with open(images, "wb") as file:
                    file.write(content)
                done = witan(
                    "sim", "--out", self.path("run"), *settings(data__path=data)
                )
                self.check_error(done, 3, part, data)
        self.check_error(
            witan("sim", "--out", self.path("run"), *settings(data__path="/nowhere")),
            1,
            "/nowhere",
        )

    def test_labels_out_of_range(self):
        data = self.path("npy")
        for label in (-1, 1 << 20):
            write_npy(data, label)
            done = witan("sim", "--out", self.path("run"), *settings(data__path=data))
            self.check_error(done, 3, "y_train.npy", data)

    def test_fewer_rows_than_clients_need(self):
        done = witan(
            "sim", "--out", self.path("run"), *settings(clients=60, data__limit=500)
        )
        self.check_error(done, 2, "data.partition.minimum")
        done = witan(
            "sim", "--out", self.path("run"), *settings(transfer__samples=100000)
        )
        self.check_error(done, 2, "transfer.samples")
        # The directory of a run that never began is free.
        self.run_json("--out", self.path("run"), *settings())

    def test_unwritable_directories(self):
        file = self.write("file", "x")
        for parent in (file, "/dev/null", "/proc"):
            done = witan("sim", "--out", os.path.join(parent, "x"), *settings())
            self.check_error(done, 1, parent)
        self.check_error(witan("sim", "--out", file, *settings()), 1, file)
        done = witan("sim", "--out", self.path("x" * 300), *settings())
        self.check_error(done, 1, "xxx")
        # Longer than any path can be: the argument itself is wrong.
        done = witan("sim", "--out", self.path("x" * 5000), *settings())
        self.check_error(done, 2, "--out")


class Disk(Case):
    def test_full(self):
        """A file size limit stands for a full disk: one line, and the run goes on."""
        digest = self.run_json("--out", self.path("whole"), *settings())["digest"]
        for i, limit in enumerate((0, 200, 3000, 15000)):
            directory = self.path(f"full-{i}")

            def limited():
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

            done = witan(
                "sim", "--out", directory, *settings(), preexec_fn=limited
            )
            self.check_error(done, 1, directory)
            self.assertNotIn("Traceback", done.stderr)
            begun = os.path.exists(os.path.join(directory, "config.json"))
            if begun:
                self.assertIn(f"witan sim --resume {directory}", done.stderr)
            result = self.run_json(
                *(
                    ["--resume", directory]
                    if begun
                    else ["--out", directory, *settings()]
                )
            )
            self.assertEqual(result["digest"], digest)

    def test_full_output(self):
        for json_too in ([], ["--json"]):
            directory = self.path("full" + "".join(json_too))
            with open("/dev/full", "w") as full:
                done = witan(
                    "sim", *json_too, "--out", directory, *settings(), stdout=full
                )
            self.check_error(done, 1, "standard output", directory)
            self.assertTrue(os.path.exists(os.path.join(directory, "report.html")))
        with open("/dev/full", "w") as full:
            done = witan("data", "info", stdout=full)
        self.check_exit(done, 1)

    def test_closed_output(self):
        """No file of the run may take the place of standard output."""
        whole = self.path("whole")
        self.run_json("--out", whole, *settings())
        for closed in ((1,), (0, 1), (0,), (0, 1, 2)):
            directory = self.path("closed-" + "".join(map(str, closed)))

            def close():
                for stream in closed:
                    os.close(stream)

            done = witan(
                "sim", "--json", "--out", directory, *settings(), preexec_fn=close
            )
            self.check_exit(done, 1 if 1 in closed else 0)
            files, expected = hashes(directory), hashes(whole)
            self.assertEqual(set(files), set(expected))
            for name in ("config.json", "metrics.jsonl"):
                self.assertEqual(files[name], expected[name])
            with open(os.path.join(directory, "lock")) as file:
                self.assertNotIn("digest", file.read())

    def test_reader_that_leaves(self):
        directory = self.path("pipe")
        process = start("sim", "--json", "--out", directory, *settings())
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1, err)
        self.assertTrue(os.path.exists(os.path.join(directory, "report.html")))


class Screen(Case):
    def test_plain_in_a_pipe(self):
        done = witan("sim", "--out", self.path("run"), *settings())
        self.check_exit(done, 0)
        for text in (done.stdout, done.stderr):
            self.assertNotIn("\x1b", text)
            self.assertNotIn("\r", text)
        rounds = [line for line in done.stderr.splitlines() if "round" in line]
        self.assertEqual(len(rounds), 2)
        self.assertIn("own mix", done.stdout)
        quiet = witan("sim", "--quiet", "--out", self.path("quiet"), *settings())
        self.assertEqual(complaints(quiet), [])

    def on_terminal(self, name, columns=100, **env):
        """What a terminal of so many columns is sent."""
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = start(
            "sim",
            "--out",
            self.path(name),
            *settings(Interrupted.LONG, rounds=6, local__epochs=20),
            stdout=child,
            stderr=child,
            env=environment(**env),
        )
        os.close(child)
        data, end = b"", time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            if select.select([parent], [], [], 1.0)[0]:
                try:
                    part = os.read(parent, 65536)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                data += part
        os.close(parent)
        self.assertEqual(process.wait(timeout=LIMIT_S), 0, data)
        return data.decode()

    def test_progress_on_a_terminal(self):
        text = self.on_terminal("color")
        self.assertRegex(text, r"\rround \d/6|\r\x1b\[[0-9;]*[mK].*round \d/6")
        self.assertRegex(text, r"\x1b\[[0-9;]*m")
        self.assertIn("\x1b[K", text)

    def test_no_color(self):
        text = self.on_terminal("plain", NO_COLOR="1")
        self.assertNotRegex(text, r"\x1b\[[0-9;]*m")
        self.assertRegex(text, r"round \d/6")

    def test_dumb_terminal(self):
        text = self.on_terminal("dumb", TERM="dumb")
        self.assertNotIn("\x1b", text)

    def test_narrow_terminal(self):
        text = self.on_terminal("narrow", columns=30)
        for line in re.split(r"[\r\n]+", text):
            shown = re.sub(r"\x1b\[[0-9;]*[mK]", "", line)
            if re.match(r"round \d/6  (train|distill|fuse|evaluate)", shown):
                self.assertLess(len(shown), 30, shown)


class Data(Case):
    def test_info(self):
        done = witan("data", "info")
        self.check_exit(done, 0)
        self.assertIn("3823 train, 1797 test", done.stdout)
        facts = json.loads(witan("data", "info", "--json").stdout)
        self.assertEqual((facts["train"], facts["test"]), (3823, 1797))
        self.assertEqual(facts["shape"], [8, 8, 1])
        self.assertEqual(sum(facts["train_classes"]), 3823)
        self.check_error(witan("data", "info", "/nowhere"), 1, "/nowhere")
        write_idx(self.path("idx"))
        facts = json.loads(witan("data", "info", self.path("idx"), "--json").stdout)
        self.assertEqual((facts["train"], facts["format"]), (400, "idx"))

    def test_split_round_trip(self):
        base = {k: v for k, v in SMALL.items() if k != "data.limit"}
        split = self.path("split")
        done = witan("data", "split", "--out", split, "--json", *settings(base))
        self.check_exit(done, 0)
        facts = json.loads(done.stdout)
        self.assertEqual(facts["clients"], 4)
        direct = self.run_json("--out", self.path("direct"), *settings(base))
        files = self.run_json(
            "--out",
            self.path("files"),
            *settings(base, data__partition__key="file", data__partition__path=split),
        )
        for key in ("own", "global", "own_before_distill", "bytes_up"):
            self.assertEqual(direct[key], files[key])
        with open(self.path("direct", "metrics.jsonl")) as a:
            with open(self.path("files", "metrics.jsonl")) as b:
                self.assertEqual(a.read(), b.read())
        self.check_error(
            witan("data", "split", "--out", split, *settings(base)), 2, split
        )
        os.truncate(os.path.join(split, "client_01.idx"), 5)
        done = witan(
            "sim",
            "--out",
            self.path("broken"),
            *settings(base, data__partition__key="file", data__partition__path=split),
        )
        self.check_error(done, 3, "client_01.idx")


def write_idx(directory, rows=400):
    """A small set of 4 x 4 pictures of three classes."""
    os.makedirs(directory, exist_ok=True)
    chance = random.Random(1)
    for stem, count in (("train", rows), ("t10k", 60)):
        labels = bytes(i % 3 for i in range(count))
        pixels = bytes(
            min(255, 60 + 120 * (p % 3 == label) + chance.randrange(40))
            for label in labels
            for p in range(16)
        )
        with open(os.path.join(directory, f"{stem}-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">IIII", 0x803, count, 4, 4) + pixels)
        with open(os.path.join(directory, f"{stem}-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">II", 0x801, count) + labels)


def write_npy(directory, odd_label, rows=300):
    """A table of two columns; one training label is odd."""
    os.makedirs(directory, exist_ok=True)

    def save(name, kind, shape, content):
        header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        header = header.ljust(117) + "\n"
        with open(os.path.join(directory, name), "wb") as file:
            file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)))
            file.write(header.encode() + content)

    for stem, count in (("train", rows), ("test", 60)):
        labels = [i % 3 for i in range(count)]
        x = [v for label in labels for v in (float(label), 1.0 - label)]
        if stem == "train":
            labels[7] = odd_label
        save(f"x_{stem}.npy", "<f4", (count, 2), struct.pack(f"<{len(x)}f", *x))
        save(f"y_{stem}.npy", "<i8", (count,), struct.pack(f"<{count}q", *labels))


if __name__ == "__main__":
    print(f"program {WITAN}, WITAN_SEED={SEED}", file=sys.stderr)
    unittest.main(verbosity=2)
