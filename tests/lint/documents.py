#!/usr/bin/env python3
"""Documents that must not drift from the program or from each other.

- every option that --help names stands in the man page, and the other way round
- every relative link of every Markdown file leads to a file
- every experiment of sim/experiments is accepted by the program (a dry split of what it
  can reach: a data path that is not there is reported as such, nothing else is)
- the version in CMakeLists.txt is the one of the man pages and of the changelog

  documents.py PROGRAM
"""
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def options(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text.replace("\\-", "-")))


def check_man_pages(program, errors):
    pages = {"witan.1": [["--help"], ["--version"]]}
    for path in glob.glob(os.path.join(ROOT, "docs", "man", "witan-*.1")):
        page = os.path.basename(path)
        pages[page] = [[page[len("witan-"):-len(".1")], "--help"]]
    for page, calls in pages.items():
        told = options(read(f"docs/man/{page}"))
        for call in calls:
            helped = options(subprocess.run([program, *call], stdout=subprocess.PIPE, text=True,
                                            check=True).stdout)
            # The overview shows options of sim in its examples.
            helped -= {"reference"} if page == "witan.1" else set()
            for option in sorted(helped - told - {"help"}):
                errors.append(f"docs/man/{page}: --{option} of `witan {' '.join(call)}` is missing")
            if page != "witan.1":
                for option in sorted(told - helped - {"help"}):
                    errors.append(f"docs/man/{page}: --{option} is not in the help")


def check_links(errors):
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "*.md"], stdout=subprocess.PIPE, text=True)
    files = [name for name in listed.stdout.split("\0") if name]
    if listed.returncode != 0 or not files:
        files = [os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/*.md") + glob.glob(f"{ROOT}/docs/**/*.md", recursive=True)]
    for name in files:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(name)):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not os.path.exists(os.path.join(ROOT, os.path.dirname(name), target)):
                errors.append(f"{name}: link to {target} leads nowhere")
    return len(files)


def check_experiments(program, errors):
    paths = sorted(glob.glob(os.path.join(ROOT, "sim", "experiments", "*.json")))
    for path in paths:
        done = subprocess.run([program, "data", "split", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True)
        # One that says where its data come from ("_data") cannot go on without them.
        text = read(path)
        if done.returncode != 0 and not (('"format": "idx"' in text and "data.path" in done.stderr) or
                                         ('"_data"' in text and "data" in done.stderr)):
            errors.append(f"{os.path.relpath(path, ROOT)}: {done.stderr.strip()}")
    return len(paths)


def check_version(errors):
    version = re.search(r"project\(witan VERSION ([0-9.]+)", read("CMakeLists.txt")).group(1)
    for path in sorted(glob.glob(os.path.join(ROOT, "docs", "man", "*.1"))):
        if f'"witan {version}"' not in read(path):
            errors.append(f"{os.path.relpath(path, ROOT)}: not of version {version}")
    if f"## {version}" not in read("CHANGELOG.md"):
        errors.append(f"CHANGELOG.md: nothing about {version}")


def main():
    errors = []
    check_man_pages(sys.argv[1], errors)
    links, experiments = check_links(errors), check_experiments(sys.argv[1], errors)
    check_version(errors)
    for error in errors:
        print(error)
    print(f"{links} documents, {experiments} experiments, {len(errors)} errors")
    return 1 if errors or links < 10 or experiments < 3 else 0


if __name__ == "__main__":
    sys.exit(main())
