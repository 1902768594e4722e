#!/usr/bin/env python3
"""Training tokens a second of token models: witan on one core against PyTorch with one and
two threads, alternately, in one run. Prints one JSON object with the ratios to PyTorch's
better thread count, of the fastest and of the median steps, to one thread per second of
processor time (which a busy machine distorts less), and the time of the exact enumeration
of 10^6 fills; judges nothing.

Needs python3-torch and a release build (cmake --preset release).

  tests/bench/compare_sequence.py [--build build] [--seconds 3] [--repeats 2]
                                  [--models 'lstm(200,2,50)' ...]
"""
import argparse
import json
import os
import statistics
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def run(command, **variables):
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                            env={**os.environ, **variables})
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=["lstm(200,2,50)"])
    args = parser.parse_args()
    bench = os.path.join(args.build, "tests", "bench", "bench_sequence")
    report = {"load": os.getloadavg()[0], "models": {}}
    for model in args.models:
        rows = {"witan": [], "torch_1_thread": [], "torch_2_threads": []}
        for _ in range(args.repeats):
            result = run([bench, str(args.seconds), model])
            rows["witan"].append(result["train"][0])
            report.update(kernels=result["kernels"], exposure=result["exposure"])
            for threads, key in ((1, "torch_1_thread"), (2, "torch_2_threads")):
                rows[key].append(run(["/usr/bin/python3",
                                      os.path.join(HERE, "torch", "sequence_torch.py"),
                                      "--model", model, "--threads", str(threads),
                                      "--seconds", str(args.seconds)],
                                     OMP_NUM_THREADS=str(threads),
                                     OPENBLAS_NUM_THREADS=str(threads),
                                     OMP_WAIT_POLICY="passive"))  # or it drowns under load
        best = {key: max(r["tokens_per_second"] for r in row) for key, row in rows.items()}
        cpu = {key: max(r["tokens_per_cpu_second"] for r in row) for key, row in rows.items()}
        median = {key: statistics.median(r["median"] for r in row) for key, row in rows.items()}
        rivals = ("torch_1_thread", "torch_2_threads")
        report["models"][model] = {
            "tokens_per_second": best, "median": median, "tokens_per_cpu_second": cpu,
            "ratio": round(best["witan"] / max(best[k] for k in rivals), 2),
            "ratio_to_1_thread": round(best["witan"] / best["torch_1_thread"], 2),
            "ratio_per_cpu_second": round(cpu["witan"] / cpu["torch_1_thread"], 2),
            "ratio_of_medians": round(median["witan"] / max(median[k] for k in rivals), 2)}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
