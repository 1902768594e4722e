#!/usr/bin/env python3
"""Who may include whom (docs/architecture.md), and what rooms may not call.

Reads every C file below common/, coordinator/, client/, sim/ and cli/. Fails on an
include that goes upward, on a third-party header outside its room, on a room or core that
prints, exits, asks for the time or allocates behind the allocator's back.
"""
import os
import re
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

MAY = {
    "base": set(),
    "num": {"base"},
    "nn": {"num", "base"},
    "data": {"num", "base"},
    "knowledge": {"num", "base"},
    "privacy": {"data", "knowledge", "num", "base"},
    "fusion": {"knowledge", "num", "base"},
    "wire": {"knowledge", "base"},
    "store": {"base"},
    "config": {"nn", "base"},
    "report": {"base"},
    "include": set(),
    "secure": {"base"},
    "transport": {"base"},
    "coordinator/core": {"wire", "fusion", "knowledge", "base"},
    "client/core": {"wire", "nn", "privacy", "knowledge", "num", "base"},
    "setup": {"coordinator/core", "client/core", "config", "store", "wire", "fusion",
              "privacy", "knowledge", "data", "nn", "num", "base"},
    "audit": {"setup", "client/core", "config", "store", "report", "fusion", "privacy",
              "knowledge", "data", "nn", "num", "base"},
    "sim": {"setup", "privacy", "coordinator/core", "client/core", "report", "config", "store", "wire", "fusion",
            "knowledge", "data", "nn", "num", "base"},
    "coordinator/shell": {"coordinator/core", "setup", "transport", "secure", "wire", "store",
                          "config", "report", "fusion", "privacy", "knowledge", "data", "nn", "num",
                          "base"},
    "client/shell": {"include", "client/core", "setup", "transport", "secure", "wire", "store", "config",
                     "report", "fusion", "privacy", "knowledge", "data", "nn", "num", "base"},
    "cli": {"audit", "privacy", "coordinator/shell", "client/shell", "setup", "secure", "transport", "wire", "sim",
            "report", "config", "store", "data", "fusion", "knowledge", "nn", "num",
            "base"},
}
THIRD_PARTY = {
    "sodium.h": {"base", "secure"},
    "zmq.h": {"transport"},
    "protobuf-c/protobuf-c.h": {"wire"},
    "witan/v1/witan.pb-c.h": {"wire"},
    "sqlite3.h": {"store"},
    "cblas.h": {"num"},
    "openblas_config.h": {"num"},
    "zlib.h": {"data"},
    "zip.h": {"data"},
    "csv.h": {"data"},
    "cJSON.h": {"config", "setup", "audit", "client/shell"},
    "pthread.h": {"sim", "transport", "coordinator/shell", "client/shell"},
}
STANDARD = {
    "assert.h", "ctype.h", "dirent.h", "errno.h", "fcntl.h", "float.h", "ftw.h", "getopt.h",
    "ifaddrs.h", "immintrin.h", "inttypes.h", "langinfo.h", "limits.h", "locale.h", "math.h", "net/if.h", "netdb.h", "poll.h", "pwd.h",
    "sched.h", "stdatomic.h",
    "signal.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
    "string.h", "strings.h", "time.h", "unistd.h", "cpuid.h",
}
# Rooms are silent, never end the program, never ask for the time, take memory from the
# allocator that they were handed.
BANNED = {
    "printf": "rooms are silent", "puts": "rooms are silent", "perror": "rooms are silent",
    "exit": "rooms never end the program", "time": "time is handed in",
    "gettimeofday": "time is handed in", "clock_gettime": "time is handed in",
    "malloc": "use the allocator", "calloc": "use the allocator",
    "realloc": "use the allocator", "strdup": "use the allocator",
    "rand": "use base/random.h", "random": "use base/random.h",
    "drand48": "use base/random.h",
}
EVERYWHERE = {"strcpy", "strcat", "sprintf", "vsprintf", "strtok", "gets", "atoi", "atol",
              "atof", "alloca"}
# The one place that may: a bug report, the heap, and the pool's timed wait.
ALLOWED = {("common/base/status.c", "abort"), ("sim/pool.c", "clock_gettime"),
           ("client/shell/participant.c", "clock_gettime")}


def room_of(path):
    parts = path.split(os.sep)
    if parts[0] == "common":
        return parts[1]
    if parts[0] in ("coordinator", "client"):
        return "/".join(parts[:2])
    return parts[0]


def include_room(name):
    parts = name.split("/")
    if parts[0] in ("coordinator", "client"):
        return "/".join(parts[:2])
    return "include" if parts[0] == "witan" else parts[0]


def strip(text):
    """Without comments and strings, so that words in them do not count."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: " " * 1 + "\n" * m.group(0).count("\n"), text, flags=re.S)


def check_includes(path, room, text, errors):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        kind, name = match.groups()
        where = f"{path}:{number}"
        if kind == "<":
            if name in THIRD_PARTY:
                if room not in THIRD_PARTY[name]:
                    errors.append(f"{where}: <{name}> is fenced to {sorted(THIRD_PARTY[name])}")
            elif name not in STANDARD and not name.startswith(("sys/", "arpa/", "netinet/")):
                errors.append(f"{where}: <{name}> is neither standard nor in the table")
            continue
        target = include_room(name)
        if target != room and target not in MAY[room]:
            errors.append(f"{where}: {room} may not include {target} (\"{name}\")")


def check_calls(path, room, text, errors):
    code = strip(text)
    for number, line in enumerate(code.splitlines(), 1):
        for call in re.findall(r'(?<![\w.>])([a-z_0-9]+)\s*\(', line):
            if (path, call) in ALLOWED:
                continue
            if call in EVERYWHERE:
                errors.append(f"{path}:{number}: {call} is banned everywhere")
            elif call in BANNED and room != "cli":
                errors.append(f"{path}:{number}: {call}: {BANNED[call]}")


def main():
    errors, files, rooms = [], 0, set()
    for top in ("common", "coordinator", "client", "sim", "cli"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if not name.endswith((".c", ".h", ".inc", ".S")):
                    continue
                full = os.path.join(folder, name)
                path = os.path.relpath(full, ROOT)
                room = room_of(path)
                if room not in MAY:
                    errors.append(f"{path}: room {room} is not in the table")
                    continue
                rooms.add(room)
                files += 1
                with open(full, encoding="utf-8") as file:
                    text = file.read()
                if not name.endswith(".S"):
                    check_includes(path, room, text, errors)
                    check_calls(path, room, text, errors)
    for error in errors:
        print(error)
    print(f"{files} files in {len(rooms)} rooms, {len(errors)} errors")
    if files < 40 or rooms != set(MAY):
        print("fewer files or rooms than there are: the check itself is broken")
        return 1
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
