#!/usr/bin/env python3
"""The audit experiment: canaries in one client, exposure in its students, by mode and seed.

  audit.py --program build/witan --experiment canaries-shakespeare.json --out runs/audit
           [--seeds 5] [--modes plain,swing+noise] [--transfers template,canaries]
           [--data DIR] [--sweep] [--threads N]

Every seed draws its own canaries, models and partitions; all modes of a seed share them.
Runs that are there already are not run again. Ends in the table of `witan audit`.
--sweep: instead of modes, a growing noise budget (falling sigma) with and without swing.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SWING = ["swing.gap=true", "swing.rules=true"]
NOISE = ["swing.noise=gaussian"]
MODES = {
    "plain": [],
    "constant": ["extract.temperature=8"],
    "noise": NOISE + ["swing.sigma=0.001"],
    "swing": SWING,
    "swing+noise": SWING + NOISE + ["swing.sigma=0.001"],
}
SIGMAS = (0.016, 0.004, 0.001, 0.00025)


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode not in (0, 4):
        sys.exit(f"{' '.join(command)}\n{done.stderr.strip()}")
    return done.stdout


def modes_of(args):
    if not args.sweep:
        names = args.modes.split(",") if args.modes else list(MODES)
        return {name: MODES[name] for name in names}
    modes = {"plain": []}
    for sigma in SIGMAS:
        modes[f"noise-{sigma}"] = NOISE + [f"swing.sigma={sigma}"]
        modes[f"swing+noise-{sigma}"] = SWING + NOISE + [f"swing.sigma={sigma}"]
    return modes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/witan")
    parser.add_argument("--experiment", required=True, help="a file beside this script, or a path")
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", help="data.path, for corpora that are fetched")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--modes", help="some of " + ",".join(MODES))
    parser.add_argument("--transfers", default="template,canaries")
    parser.add_argument("--template", default="my id is {d6}")
    parser.add_argument("--repetitions", default="0,1,4,16")
    parser.add_argument("--per-level", default="4")
    parser.add_argument("--transfer-rows", default="4")
    parser.add_argument("--set", action="append", default=[], help="a further setting of every run")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    experiment = args.experiment
    if not os.path.exists(experiment):
        experiment = os.path.join(HERE, args.experiment)
    common = [item for value in args.set for item in ("--set", value)]
    if args.data:
        common += ["--set", f"data.path={os.path.abspath(args.data)}"]
    threads = ["--threads", str(args.threads)] if args.threads else []
    os.makedirs(args.out, exist_ok=True)
    for transfer in args.transfers.split(","):
        rows = {"without": "1", "template": str(20 * int(args.transfer_rows)), "canaries": args.transfer_rows}[transfer]
        runs = []
        for seed in range(1, args.seeds + 1):
            seeded = common + ["--set", f"seed={seed}"]
            plan = os.path.join(args.out, f"plan-{transfer}-{seed}.json")
            if not os.path.exists(plan):
                run([args.program, "canary", "plan", experiment, *seeded, "--template", args.template,
                     "--repetitions", args.repetitions, "--per-level", args.per_level, "--seed", str(seed),
                     "--transfer", transfer, "--transfer-rows", rows, "--out", plan])
            for name, settings in modes_of(args).items():
                directory = os.path.join(args.out, f"{transfer}-{name}-{seed}")
                runs.append(directory)
                if not os.path.exists(os.path.join(directory, "summary.json")):
                    run([args.program, "sim", experiment, *seeded, *threads, "--canaries", plan, "--quiet",
                         "--out", directory, *[item for value in settings for item in ("--set", value)]])
                    print(f"{directory}: done", file=sys.stderr)
        compared = os.path.join(args.out, f"compared-{transfer}")
        print(run([args.program, "audit", *runs, "--output", compared, "--quiet"]))
        print(json.dumps({"compared": compared}))


if __name__ == "__main__":
    main()
