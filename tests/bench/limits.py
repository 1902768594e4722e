#!/usr/bin/env python3
"""Overhead, start-up and memory of the simulator, measured on whole processes.

  noop      seconds that one round of 1,000 clients adds when nobody learns or is scored:
            (time of 120 rounds - time of 20 rounds) / 100, everything written included
  start     seconds from starting the program to the end of a first round in which
            nobody learns or is scored, on the embedded data: an upper bound of start-up
  memory    peak resident memory of 1,000 clients with mlp(200) on MNIST, 3 rounds, 5,000
            transfer rows (needs --data; takes minutes)

Prints one JSON object; judges nothing.

  tests/bench/limits.py [--data DIR] [--repeats 5]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WITAN = os.path.join(ROOT, "build", "witan")


def sim(folder, *arguments):
    """Wall seconds of the process, and its result."""
    out = os.path.join(folder, str(time.monotonic_ns()))
    begin = time.perf_counter()
    done = subprocess.run([WITAN, "sim", *arguments, "--out", out, "--quiet", "--json"],
                          stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - begin
    return seconds, json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="MNIST directory, for the memory figure")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    noop = os.path.join(ROOT, "sim", "experiments", "overhead-1000-clients.json")
    idle = ["--set", "local.epochs=0", "--set", "distill.epochs=0", "--set", "rounds=1",
            "--set", "fusion.key=local", "--set", "evaluate.every=0", "--set", "save.models=false"]
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        added = []
        for _ in range(args.repeats):
            few, _ignored = sim(folder, noop, "--set", "rounds=20")
            many, _ignored = sim(folder, noop, "--set", "rounds=120")
            added.append((many - few) / 100)
        result["noop_round_1000_clients_s"] = round(statistics.median(added), 5)
        starts = [sim(folder, *idle)[0] for _ in range(args.repeats)]
        result["start_to_end_of_idle_round_s"] = round(statistics.median(starts), 4)
        if args.data:
            experiment = os.path.join(ROOT, "sim", "experiments", "mnist-1000-clients.json")
            seconds, run = sim(folder, experiment, "--set", f"data.path={args.data}")
            result["mnist_1000_clients"] = {
                "seconds": round(seconds, 1),
                "peak_rss_gib": round(run["peak_rss_bytes"] / 2**30, 3),
                "round_seconds": [round(s, 1) for s in run["round_seconds"]],
                "fuse_s": round(run["seconds_per_round"]["fuse"], 2)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
