#!/usr/bin/env python3
"""How much of each reader the committed corpora reach, against a floor.

    tests/fuzz/coverage.py BUILD_DIRECTORY

BUILD_DIRECTORY was configured with the preset `coverage`; its replay programs run the
corpora, llvm-cov counts lines. tests/fuzz/coverage_floor.txt has a line "FILE PERCENT" for
each reader of foreign bytes. A file below its floor, a floor for a file that is not there and a
replay that fails are errors."""
import glob
import json
import os
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FLOORS = os.path.join(ROOT, "tests", "fuzz", "coverage_floor.txt")


def tool(name):
    return name + "-14"


def replay(build):
    programs = sorted(glob.glob(os.path.join(build, "tests", "**", "replay_*"), recursive=True))
    programs = [p for p in programs if os.access(p, os.X_OK) and os.path.isfile(p)]
    profiles = []
    for program in programs:
        name = os.path.basename(program)[len("replay_"):]
        profile = os.path.join(build, name + ".profraw")
        corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name)
        subprocess.run([program, corpus], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "LLVM_PROFILE_FILE": profile})
        profiles.append(profile)
    return programs, profiles


def measure(build):
    programs, profiles = replay(build)
    if not programs:
        sys.exit("no replay program in " + build)
    merged = os.path.join(build, "fuzz.profdata")
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-o", merged, *profiles],
                   check=True)
    objects = [a for p in programs[1:] for a in ("-object", p)]
    report = subprocess.run([tool("llvm-cov"), "export", "-summary-only",
                             "-instr-profile", merged, programs[0], *objects],
                            check=True, capture_output=True, text=True)
    files = json.loads(report.stdout)["data"][0]["files"]
    # Paths were mapped (cmake/WitanCompiler.cmake): what follows "/./" is ours.
    return {f["filename"].split("/./")[-1].removeprefix("./"): f["summary"]["lines"]["percent"]
            for f in files}


def main():
    covered = measure(os.path.abspath(sys.argv[1]))
    failures = 0
    with open(FLOORS, encoding="utf-8") as lines:
        for line in lines:
            line = line.split("#")[0].strip()
            if not line:
                continue
            name, floor = line.split()
            percent = covered.get(name)
            bad = percent is None or percent < float(floor)
            failures += bad
            shown = "not there" if percent is None else f"{percent:.1f} %"
            print(f"{'BELOW' if bad else 'ok   '} {name}: {shown} (floor {floor} %)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
