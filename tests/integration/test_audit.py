#!/usr/bin/env python3
"""The audit journey with the real program: draw canaries, run a federation of language
models with and without swing and noise, audit both, gate on the result; wrong input.

    WITAN_PROGRAM=build/witan python3 tests/integration/test_audit.py [-v] [NAME...]

Bounds are wide: one seed and two short trainings. docs/experiments.md has five seeds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.dom.minidom

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from federation import SLOW, WITAN, assignments, environment, witan  # noqa: E402

# Three kinds of language model, the first holds the canaries.
TEXT = {
    "name": "canaries",
    "data.format": "text",
    "data.text.window": 32,
    "data.limit": 1500,
    "data.partition.key": "iid",
    "transfer.samples": 400,
    "clients": 3,
    "rounds": 2,
    "models": "lstm(48),gru(48),transformer(48,1,2)",
    "local.epochs": 6,
    "local.batch": 8,
    "local.optimizer.lr": 0.004,
    "local.optimizer.clip": 5,
    "distill.epochs": 4,
    "distill.batch": 8,
    "fusion.key": "mean",
    "evaluate.every": 0,
    "evaluate.before_distill": "false",
    "save.models": "false",
}
SWING = {
    "swing.gap": "true",
    "swing.rules": "true",
    "swing.noise": "gaussian",
    "swing.sigma": 0.001,
}
PLAN = ["--template", "my id is {d5}", "--repetitions", "0,1,16", "--per-level", 2,
        "--placement", "start", "--transfer", "canaries", "--transfer-rows", 6]
# Its space is 10^5 fills: 16.6 bits.
LARGEST = 16.6096


class Audit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="witan-audit-")
        cls.plan = cls.path("plan.json")
        cls.draw(cls.plan)
        for name, over in (("plain", {}), ("swing", SWING)):
            witan("sim", *assignments({**TEXT, **over}), "--canaries", cls.plan, "--quiet",
                  "--out", cls.path(name), timeout=300)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.root, name)

    @classmethod
    def draw(cls, out, *more, settings=TEXT, check=True):
        return witan("canary", "plan", *assignments(settings), *PLAN, *more, "--out", out,
                     check=check)

    def audit(self, *arguments, code=0):
        done = witan("audit", *arguments, "--quiet", check=False, timeout=300)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def refused(self, done, code, word):
        """One line on standard error that names what is wrong."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn(word, done.stderr)

    @staticmethod
    def mean(report, place, repetitions):
        last = max(e["round"] for e in report["exposure"])
        [it] = [e for e in report["exposure"] if e["round"] == last and
                e["place"] == place and e["repetitions"] == repetitions]
        return it["mean"]

    # --- what is measured -------------------------------------------------------------
    def test_plain_distillation_leaks_and_swing_does_not(self):
        compared = self.path("compared")
        self.audit(self.path("plain"), self.path("swing"), "--output", compared)
        with open(self.path("plain/audit.json"), encoding="utf-8") as file:
            plain = json.load(file)
        with open(self.path("swing/audit.json"), encoding="utf-8") as file:
            swing = json.load(file)
        for report in (plain, swing):
            print(report["mode"], report["utility"],
                  {place: [round(self.mean(report, place, r), 2) for r in (0, 1, 16)]
                   for place in ("teachers", "wire", "fused", "students")})
        # Controls are where chance is: 1.44, and 2 or 4 of them below 6 but for once in
        # 15 (2^-6 each, four models and places); nothing here depends on their mean.
        for report in (plain, swing):
            for place in ("teachers", "students"):
                self.assertLess(self.mean(report, place, 0), 6.0)
            # The model that holds a canary knows it: more with repetitions, in the end
            # among the likeliest 32 of 10^5 fills.
            self.assertGreater(self.mean(report, "teachers", 16), LARGEST - 5)
            self.assertGreater(self.mean(report, "teachers", 16),
                               self.mean(report, "teachers", 1))
            self.assertAlmostEqual(report["space_bits"], LARGEST, 3)
        # Students of plain distillation have it from soft labels alone ...
        self.assertGreater(self.mean(plain, "wire", 16), 8.0)
        self.assertGreater(self.mean(plain, "students", 16), 5.0)
        # ... and hardly with swing and noise: half of what is above chance at least, where
        # the experiments have four fifths, at a tenth of perplexity, where they have 2 %.
        over = self.mean(plain, "students", 16) - 1.4427
        self.assertLess(self.mean(swing, "students", 16) - 1.4427, 0.5 * over)
        self.assertLess(swing["utility"], 1.1 * plain["utility"])
        with open(os.path.join(compared, "audit.json"), encoding="utf-8") as file:
            both = json.load(file)
        self.assertEqual(len(both["runs"]), 2)
        self.assertEqual({run["mode"] for run in both["runs"]},
                         {plain["mode"], swing["mode"]})

    def test_the_page_stands_alone(self):
        self.audit(self.path("plain"))
        with open(self.path("plain/audit.html"), encoding="utf-8") as file:
            page = file.read()
        xml.dom.minidom.parseString(page)
        for word in ("http://", "https://", "<script", "@import"):
            self.assertNotIn(word, page.replace("http://www.w3.org/", ""))

    def test_a_ci_can_gate_on_it(self):
        plain = self.path("plain")
        done = self.audit(plain, "--fail-if", "exposure>3", code=4)
        self.assertIn("exposure", done.stdout)
        self.audit(plain, "--fail-if", "exposure>99", "--fail-if", "auc>=1.1")
        self.audit(plain, "--fail-if", "exposure>3", "--fail-if", "teacher<0", code=4)
        self.refused(self.audit(plain, "--fail-if", "exposre>3", code=2), 2, "exposure")
        # What was not measured is never passed in silence.
        self.assertNotEqual(witan("audit", plain, "--quiet", "--fail-if", "reduction<0.8",
                                  check=False).returncode, 0)

    def test_audits_repeat(self):
        copies = []
        for _ in range(2):
            self.audit(self.path("swing"))
            with open(self.path("swing/audit.json"), "rb") as file:
                copies.append(file.read())
        self.assertEqual(*copies)

    def test_threads_change_nothing(self):
        """Scores, references and noise included: a run is a function of config and seed."""
        digests = []
        witan("sim", *assignments({**TEXT, **SWING}), "--canaries", self.plan, "--quiet",
              "--threads", 5, "--out", self.path("threads"), timeout=300)
        for name in ("swing", "threads"):
            with open(self.path(name + "/summary.json"), encoding="utf-8") as file:
                digests.append(json.load(file)["digest"])
        self.assertEqual(*digests)

    def test_a_run_with_canaries_resumes(self):
        """Killed in the second round, resumed: the digest and the records of a run that
        was never killed."""
        whole, broken = self.path("plain"), self.path("broken")
        process = subprocess.Popen(
            [WITAN, "sim", *assignments(TEXT), "--set", "save.seconds=0", "--canaries",
             self.plan, "--quiet", "--out", broken], stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, env=environment())
        end = time.monotonic() + 120 * SLOW
        while time.monotonic() < end and not os.path.exists(
                os.path.join(broken, "state.safetensors")):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        witan("sim", "--resume", broken, "--quiet", timeout=300)
        for name in os.listdir(os.path.join(whole, "audit", "round-0002")):
            with open(os.path.join(whole, "audit", "round-0002", name), "rb") as file:
                expected = file.read()
            with open(os.path.join(broken, "audit", "round-0002", name), "rb") as file:
                self.assertEqual(file.read(), expected, name)

    # --- rows of features -------------------------------------------------------------
    def test_canaries_of_features_and_a_promise(self):
        settings = {"rounds": 2, "clients": 3, "models": "mlp(32)", "data.limit": 600,
                    "transfer.samples": 60, "local.epochs": 15, "fusion.key": "mean",
                    "save.models": "false"}
        plan, out = self.path("inputs.json"), self.path("inputs")
        witan("canary", "plan", *assignments(settings), "--input", "mislabelled",
              "--repetitions", "0,1,8", "--per-level", 10, "--holders", "0,1",
              "--references", 300, "--inclusion", 0.5, "--out", plan)
        witan("sim", *assignments(settings), "--canaries", plan, "--out", out, "--quiet")
        self.audit(out, "--shadows", 4)
        with open(os.path.join(out, "audit.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.assertGreater(self.mean(report, "teachers", 8), 4.0)  # of log2 300 = 8.2
        self.assertLess(self.mean(report, "teachers", 0), 4.0)
        attacks = {m["attack"] for m in report["membership"]}
        self.assertEqual(attacks, {"rmia", "rmia-online", "loss", "lira-online",
                                   "lira-offline"})
        self.assertTrue(any(b["epsilon"] >= 0 for b in report["bounds"]))
        # The same with DP-SGD has an epsilon, and evidence does not contradict it.
        private, out = {**settings, "local.privacy.clip": 1, "local.privacy.noise": 1}, out + "-dp"
        witan("sim", *assignments(private), "--canaries", plan, "--out", out, "--quiet")
        self.audit(out)
        with open(os.path.join(out, "audit.json"), encoding="utf-8") as file:
            report = json.load(file)
        [claim] = [c for c in report["claims"] if c["epsilon"] is not None]
        self.assertGreater(claim["epsilon"], 0)
        self.assertFalse(claim["contradicted"])
        self.assertIn("sampled gaussian", claim["sentence"])

    # --- wrong input ------------------------------------------------------------------
    def test_plans_that_cannot_be(self):
        def plan(*arguments, settings=TEXT):
            return witan("canary", "plan", *assignments(settings), *arguments, "--out",
                         self.path("no.json"), check=False)
        self.refused(plan("--template", "no hole"), 2, "hole")
        self.refused(plan("--template", "id {d2}", "--per-level", 50), 2, "fills")
        self.refused(plan("--template", "id {x3}"), 2, "column 4")
        self.refused(plan("--template", "\u00e9 {d6}"), 2, "\u00e9")
        self.refused(plan("--template", "id {d6}" + "x" * 40), 2, "window")
        self.refused(plan("--template", "id {d6}", "--holders", "7"), 2, "7")
        self.refused(plan("--template", "id {d9}", "--references", "5"), 2, "references")
        self.refused(plan("--input", "noise"), 2, "text")
        self.refused(plan("--template", "id {d6}", settings={"models": "linear"}), 2, "text")
        word = {**TEXT, "data.text.unit": "word"}
        self.refused(plan("--template", "the {d6}", settings=word), 2, "{w:")
        # Letters that Shakespeare wrote in that order after "the": a canary that is there.
        self.refused(plan("--template", "the{a1}", "--repetitions", "0,1", "--per-level",
                          13), 2, "")
        self.assertFalse(os.path.exists(self.path("no.json")))

    def test_plans_that_do_not_fit(self):
        def sim(plan, **over):
            return witan("sim", *assignments({**TEXT, **over}), "--canaries", plan, "--out",
                         self.path("no-run"), check=False)
        self.refused(sim(self.plan, **{"data.text.unit": "word"}), 2, "plan.json")
        self.refused(sim(self.plan, **{"data.format": "auto", "models": "linear"}), 2,
                     "plan.json")
        changed = self.path("changed.json")
        with open(self.plan, encoding="utf-8") as file:
            text = file.read()
        with open(changed, "w", encoding="utf-8") as file:
            file.write(text.replace('"repetitions": 16', '"repetitions": 17', 1))
        self.refused(sim(changed), 2, "changed")
        with open(changed, "w", encoding="utf-8") as file:
            file.write(text[:len(text) // 2])
        self.refused(sim(changed), 2, "changed.json")
        self.assertFalse(os.path.exists(self.path("no-run")))

    def test_runs_that_cannot_be_audited(self):
        def audit(*arguments):
            return witan("audit", *arguments, "--quiet", check=False)
        self.refused(audit(self.path("nowhere")), 1, "nowhere")
        bare = self.path("bare")
        witan("sim", "--set", "rounds=1", "--set", "clients=2", "--set", "models=linear",
              "--quiet", "--out", bare)
        self.refused(audit(bare), 2, "audit.record")
        hurt = self.path("hurt")
        shutil.copytree(self.path("plain"), hurt)
        with open(os.path.join(hurt, "config.json"), encoding="utf-8") as file:
            config = file.read()
        with open(os.path.join(hurt, "config.json"), "w", encoding="utf-8") as file:
            file.write(config.replace('"limit": 1500', '"limit": 1400'))
        self.assertEqual(audit(hurt).returncode, 3)
        with open(os.path.join(hurt, "config.json"), "w", encoding="utf-8") as file:
            file.write(config)
        record = os.path.join(hurt, "audit", "round-0002", "client-0001.safetensors")
        os.truncate(record, os.path.getsize(record) // 2)
        self.refused(audit(hurt), 3, "client-0001")

    def test_epsilon(self):
        done = witan("epsilon", "gaussian", "--clip", 5, "--temperature", 20, "--classes", 10,
                     "--queries", 1000, "--delta", 1e-5, "--target", 8, "--json")
        self.assertAlmostEqual(json.loads(done.stdout)["sigma"], 2.94, 2)
        self.refused(witan("epsilon", "swing", check=False), 2, "epsilon")
        self.assertEqual(witan("epsilon", "temperature", check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()
