#!/usr/bin/env python3
"""What a schema below proto/ may not hold, because a peer writes the bytes.

Fails on a message that contains itself (depth would be the peer's), maps, Any, groups,
required, optional and repeated fields (numbers travel as `bytes`; memory would be the
peer's), imports, enums (unknown values: a number is checked anyway), names of fields or
numbers that are there twice, and numbers that are not contiguous: a field is retired with
`reserved`.
"""
import os
import re
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SCALARS = {"uint32", "uint64", "bool", "double", "string", "bytes"}
FIELD = re.compile(r"^(?:(\w+)\s+)?([\w.]+|map<.*>)\s+(\w+)\s*=\s*(\d+)$")


def statements(body):
    """Fields of a message, those of a oneof among them; others as they are."""
    flat = re.sub(r"oneof\s+\w+\s*\{([^}]*)\}", r"\1", body)
    return [" ".join(part.split()) for part in flat.split(";") if part.strip()]


def check_message(where, name, body, names, errors):
    """Messages that this one contains."""
    numbers, fields, contains = set(), set(), set()
    for statement in statements(body):
        if statement.startswith("reserved"):
            numbers.update(int(n) for n in re.findall(r"\d+", statement))
            continue
        match = FIELD.match(statement)
        if not match:
            errors.append(f"{where}: {name}: \"{statement}\" is no plain field")
            continue
        label, kind, field, number = match.groups()
        if label:
            errors.append(f"{where}: {name}.{field}: {label} is not used here")
        if kind in names:
            contains.add(kind)
        elif kind not in SCALARS:
            errors.append(f"{where}: {name}.{field}: type {kind} is not used here")
        if int(number) in numbers or field in fields:
            errors.append(f"{where}: {name}.{field}: name or number is there twice")
        numbers.add(int(number))
        fields.add(field)
    if numbers != set(range(1, len(numbers) + 1)):
        errors.append(f"{where}: {name}: numbers are not 1 to {len(numbers)}; "
                      "retire a field with `reserved`")
    return contains


def recursive(graph):
    found = []
    for start in graph:
        seen, todo = set(), list(graph[start])
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo.extend(graph.get(at, ()))
        if start in seen:
            found.append(start)
    return found


def check(where, text):
    """Errors of one schema, and the number of its messages."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    errors = []
    bodies = dict(re.findall(r"message\s+(\w+)\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text))
    if not re.search(r'syntax\s*=\s*"proto3"', text):
        errors.append(f"{where}: not proto3")
    for word in ("import", "enum", "extend", "extensions", "group", "option"):
        if re.search(rf"\b{word}\b\s", text):
            errors.append(f"{where}: {word} is not used here")
    if len(re.findall(r"\bmessage\s", text)) != len(bodies):
        errors.append(f"{where}: a message within a message, or a name twice")
    graph = {name: check_message(where, name, body, bodies, errors)
             for name, body in bodies.items()}
    errors += [f"{where}: {name} contains itself" for name in recursive(graph)]
    return errors, len(bodies)


BAD = {
    "message A { A a = 1; }": "contains itself",
    "message A { B b = 1; } message B { oneof x { A a = 1; } }": "contains itself",
    "message A { map<uint32, uint32> a = 1; }": "A.a: type map",
    "message A { google.protobuf.Any a = 1; }": "type google.protobuf.Any",
    "message A { repeated double a = 1; }": "repeated",
    "message A { optional uint32 a = 1; }": "optional",
    "message A { repeated group B = 1 { uint32 c = 1; } }": "group",
    "message A { float a = 1; }": "type float",
    "message A { int64 a = 1; }": "type int64",
    "message A { uint32 a = 1; uint32 b = 1; }": "twice",
    "message A { uint32 a = 1; uint32 b = 3; }": "numbers are not",
    "message A { message B { } }": "within a message",
    'import "b.proto"; message A { }': "import",
}


def main():
    errors, files, messages = [], 0, 0
    for text, expected in BAD.items():
        found, _ = check("self-test", 'syntax = "proto3";' + text)
        if not any(expected in error for error in found):
            errors.append(f"the check itself is broken: passes {text}")
    for folder, _, names in os.walk(os.path.join(ROOT, "proto")):
        for name in sorted(names):
            if name.endswith(".proto"):
                full = os.path.join(folder, name)
                with open(full, encoding="utf-8") as file:
                    found, count = check(os.path.relpath(full, ROOT), file.read())
                errors, files, messages = errors + found, files + 1, messages + count
    for error in errors:
        print(error)
    print(f"{files} schemas with {messages} messages, {len(errors)} errors")
    return 1 if errors or files == 0 or messages == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
