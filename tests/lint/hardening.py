#!/usr/bin/env python3
"""The program's ELF file has the defences that cmake/WitanCompiler.cmake asks for.

    hardening.py PROGRAM

Position independent, read-only relocations bound at start, no executable stack, stack
protector, fortified calls, no RPATH. A sanitizer's build brings its own and is skipped."""
import re
import subprocess
import sys


def readelf(*arguments):
    return subprocess.run(["readelf", "--wide", *arguments], check=True, text=True,
                          capture_output=True).stdout


def main():
    program = sys.argv[1]
    header, segments = readelf("-h", program), readelf("-l", program)
    dynamic, symbols = readelf("-d", program), readelf("--dyn-syms", program)
    if re.search(r"__(asan|tsan|ubsan|llvm_profile)_", readelf("-s", program)):
        print("built with a sanitizer: not judged")
        return 77
    found = {
        "position independent (PIE)": re.search(r"Type:\s+DYN", header)
                                      and re.search(r"FLAGS_1.*PIE", dynamic),
        "relocations read-only (RELRO)": "GNU_RELRO" in segments,
        "bound at start (NOW)": re.search(r"FLAGS.*(BIND_NOW|NOW)", dynamic),
        "stack not executable": re.search(r"GNU_STACK.*RW\s", segments)
                                and not re.search(r"GNU_STACK.*RWE", segments),
        "no RPATH": not re.search(r"\((RPATH|RUNPATH)\)", dynamic),
        "stack protector": "__stack_chk_fail" in symbols,
        "fortified calls": re.search(r"__\w+_chk\b(?<!__stack_chk)", symbols),
    }
    for what, good in found.items():
        print("ok " if good else "BAD", what)
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
