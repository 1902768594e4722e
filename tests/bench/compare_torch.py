#!/usr/bin/env python3
"""Times witan against a plain PyTorch loop on the same samples, alternately, in one run.

Both sides read the same index lists (torch/make_split.py), run the same algorithm (local
epoch, soft labels, mean of logits, distillation epoch; Adam 1e-3, batch 64; mlp(200),
lenet, cnn) and time rounds without evaluation. The reference is torch/fkd_torch.py as it
stands: one process, two threads; --best adds its best tuning found (two processes,
channels last). Prints one JSON object with the medians and the ratio; judges nothing.

Needs python3-torch and MNIST (scripts/fetch-data mnist prints the directory).

  tests/bench/compare_torch.py --data DIR [--rounds 3] [--repeats 2] [--best]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def run(command, **more):
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **more)
    return json.loads(result.stdout.strip().splitlines()[-1])


def torch_round(args, split, best):
    environment = dict(os.environ)
    command = ["/usr/bin/python3", os.path.join(HERE, "torch", "fkd_torch.py"), "--data", args.data,
               "--split", split, "--rounds", str(args.rounds), "--opt", "adam", "--fuse", "logits"]
    if best:
        environment.update(MALLOC_MMAP_THRESHOLD_="1000000000", MALLOC_TRIM_THRESHOLD_="8000000000",
                           MALLOC_TOP_PAD_="268435456")
        command += ["--channels-last", "--procs", "2", "--threads", "1"]
    return run(command, env=environment)


def witan_round(args, split, folder):
    return run([os.path.join(ROOT, "build", "witan"), "sim",
                os.path.join(ROOT, "sim", "experiments", "mnist-alpha-0.5.json"),
                "--set", f"data.path={args.data}", "--set", "data.partition.key=file",
                "--set", f"data.partition.path={split}", "--set", f"rounds={args.rounds}",
                "--set", "fusion.key=mean", "--set", "fusion.combine=logit",
                "--set", "evaluate.every=0", "--set", "evaluate.before_distill=false",
                "--set", "save.seconds=100000", "--set", "save.models=false",
                "--threads", "2", "--quiet", "--json", "--out", folder])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--alpha", default="0.5")
    parser.add_argument("--best", action="store_true", help="also time the tuned PyTorch form")
    args = parser.parse_args()
    rows = {"witan": [], "torch_as_shipped": [], "torch_best": []}
    with tempfile.TemporaryDirectory() as folder:
        split = os.path.join(folder, "split")
        subprocess.run(["/usr/bin/python3", os.path.join(HERE, "torch", "make_split.py"), "--data", args.data,
                        "--out", split, "--alpha", args.alpha], check=True, stdout=sys.stderr)
        for repeat in range(args.repeats):
            result = witan_round(args, split, os.path.join(folder, f"run{repeat}"))
            rows["witan"] += result["round_seconds"]
            accuracy = {"witan": result["global"]["mean"]}
            machine = result["machine"]
            result = torch_round(args, split, False)
            rows["torch_as_shipped"].append(result["sec_per_round_median"])
            accuracy["torch"] = result["acc_after_distill"]
            if args.best:
                rows["torch_best"].append(torch_round(args, split, True)["sec_per_round_median"])
    medians = {name: statistics.median(values) for name, values in rows.items() if values}
    print(json.dumps({
        "seconds_per_round": {name: round(value, 3) for name, value in medians.items()},
        "ratio_to_torch": {name: round(medians["witan"] / value, 3)
                           for name, value in medians.items() if name != "witan"},
        "global_accuracy": accuracy, "machine": machine,
        "all": {name: [round(v, 3) for v in values] for name, values in rows.items() if values},
    }, indent=1))


if __name__ == "__main__":
    main()
