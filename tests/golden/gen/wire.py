"""Golden bytes of the wire room: packets and handshakes by protobuf's encoding rules.

Shares no code with protobuf-c: names, numbers and types of fields are read from the
schema, bytes are made here. Writes packets.txt (name, hex), refused.txt (status, part of
the message, hex), and both as corpora of the fuzzers. Run with /usr/bin/python3 in the
repository root; the files are committed.
"""

import os
import re
import shutil
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
OUT = os.path.join(HERE, "..", "vectors", "wire")
SCHEMA = open(os.path.join(ROOT, "proto", "witan", "v1", "witan.proto")).read()
SCHEMA = re.sub(r"//[^\n]*", "", SCHEMA)
MESSAGES = {
    message: {name: (kind, int(number)) for kind, name, number in
              re.findall(r"(\w+) (\w+) = (\d+);", body)}
    for message, body in re.findall(r"message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}", SCHEMA)
}
NAN = float("nan")


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def lengthed(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def encode(message, fields):
    """Fields in the order of their numbers; zeros and empties are left out."""
    out = b""
    for name, value in sorted(fields.items(), key=lambda f: MESSAGES[message][f[0]][1]):
        kind, number = MESSAGES[message][name]
        if kind in MESSAGES:
            out += lengthed(number, encode(kind, value))
        elif kind == "double":
            bits = struct.pack("<d", value)
            out += varint(number << 3 | 1) + bits if value != 0 else b""
        elif kind in ("string", "bytes"):
            payload = value.encode() if isinstance(value, str) else value
            out += lengthed(number, payload) if payload else b""
        elif value:
            out += varint(number << 3) + varint(int(value))
    return out


def pattern(first, count):
    return bytes((first + i) & 255 for i in range(count))


def metric(accuracy, loss, ece):
    return {"accuracy": accuracy, "loss": loss, "ece": ece}


ENROLL = {"sign_key": pattern(0, 32), "transport_key": pattern(32, 32),
          "proof": pattern(64, 64)}
ENROLLED = {"client": 99999, "name": "K\u00e4the\u00a0\U0001f3e5 \u2713", "approved": True}
PLAN = {"client": 3, "name": "a" * 64, "experiment": '{\n\t"seed": 1\n}',
        "embedded_data": True, "transfer_digest": pattern(240, 32),
        "transfer_bytes": 1 << 30, "transfer_rows": 1 << 31, "classes": 65536,
        "parameters": 1 << 30}
READY = {"transfer_digest": pattern(1, 32), "samples": 1 << 31, "model": "mlp"}
OPEN = {"round": 999999, "remaining_ms": 2**64 - 1}
KNOWLEDGE = {"round": 7, "kind": 1, "codec": 1, "rows": 300, "classes": 10,
             "total": 6000, "digest": pattern(9, 32), "samples": 1234,
             "signature": pattern(128, 64)}
TOP = dict(KNOWLEDGE, kind=0, codec=2 + 256 * 32, classes=5000, total=300 * 32 * 4)
PARAMETERS = dict(KNOWLEDGE, kind=2, codec=0, rows=1, classes=1 << 30, total=1 << 32)
REFUSED = {"round": 1, "reason": 2**32 - 1, "text": "\u00e9" * 127 + "x",
           "retry_after_ms": 2**64 - 1}
FUSED = {"round": 7, "kind": 0, "codec": 0, "rows": 300, "classes": 10, "total": 12000,
         "digest": pattern(9, 32)}
DONE = {"round": 2, "train_loss": NAN, "distill_loss": -1.5,
        "own_before": metric(0.0, 0.0, 0.0), "own_after": metric(1.0, 1e308, 1.0),
        "global_before": metric(NAN, NAN, NAN), "global_after": metric(0.5, 5e-324, 0.25)}
GET = {"what": 2, "round": 5, "offset": 2**32 - 1, "size": 65536}
CHUNK = {"what": 1, "round": 5, "offset": 131072, "data": pattern(7, 300)}
ROTATE = {"transport_key": pattern(3, 32), "proof": pattern(5, 64)}
BYE = {"retry_after_ms": 5000, "finished": True, "text": "done"}
HELLO = {"version_min": 1, "version_max": 2**32 - 1, "capabilities": 2**64 - 1,
         "program": "p" * 63, "token": pattern(250, 8)}
WELCOME = {"version": 1, "capabilities": 1, "program": "witan 0.2.0",
           "wall_ms": 1700000000000, "heartbeat_ms": 3600000, "window": 64}

PACKETS = [
    ("enroll", "enroll", ENROLL),
    ("enrolled", "enrolled", ENROLLED),
    ("attach", "attach", {"program": "witan 0.2.0"}),
    ("plan", "plan", PLAN),
    ("plan-least", "plan", {}),
    ("ready", "ready", READY),
    ("ready-least", "ready", {}),
    ("open", "open", OPEN),
    ("open-least", "open", {}),
    ("knowledge", "knowledge", KNOWLEDGE),
    ("knowledge-top", "knowledge", TOP),
    ("knowledge-parameters", "knowledge", PARAMETERS),
    ("accepted", "accepted", {"round": 3, "late": True}),
    ("refused", "refused", REFUSED),
    ("fused", "fused", FUSED),
    ("done", "done", DONE),
    ("get", "get", GET),
    ("chunk", "chunk", CHUNK),
    ("ping", "ping", {"nonce": 2**64 - 1}),
    ("pong", "pong", {"nonce": 1}),
    ("rotate_request", "rotate_request", {}),
    ("rotate", "rotate", ROTATE),
    ("bye", "bye", BYE),
]


def packet(body, fields, extra=b""):
    kind, number = MESSAGES["Packet"][body]
    return lengthed(number, encode(kind, fields) + extra)


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


def refused():
    """(status, part of the message, bytes); statuses are numbers of base/status.h."""
    data, unsupported = 4, 10
    unknown = b"".join(lengthed(900 + i, b"") for i in range(17))
    cases = [
        (data, "no body", b""),
        (data, "no body", varint(900 << 3) + b"\x01"),
        (unsupported, "body 19 ", lengthed(19, b"")),
        (unsupported, "body 536870911 ", lengthed(2**29 - 1, b"what?")),
        (data, "more than 16 unknown", unknown),
        (data, "open: more than 16 unknown", packet("open", OPEN, unknown)),
        (data, "own_after: more than 16 unknown",
         lengthed(11, lengthed(5, unknown))),
        (data, "one field too many", packet("ping", {}) + packet("ping", {})),
        (data, "one field too many", packet("ping", {}) + packet("bye", {})),
        (data, "one field too many", packet("open", OPEN, b"\x08\x01")),
        (data, "done: own_before is one field too many",
         lengthed(11, lengthed(4, b"") * 2)),
        (data, "packet: no protobuf field at byte 0", b"\x00\x00"),
        (data, "packet: no protobuf field at byte 0", b"\x02\x00"),
        (data, "packet: no protobuf field at byte 0", b"\x72\x01"),
        (data, "packet: no protobuf field at byte 0", b"\x73"),
        (data, "packet: no protobuf field at byte 0", b"\x74"),
        (data, "packet: no protobuf field at byte 0", b"\x76"),
        (data, "packet: no protobuf field at byte 0", b"\x80" * 11),
        (data, "packet: no protobuf field at byte 0", b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        (data, "packet: no protobuf field at byte 0", b"\x72\x80\x80\x80\x80\x10"),
        (data, "ping: no protobuf field at byte 0", lengthed(14, b"\x08" + b"\xff" * 10)),
        (data, "wrong wire type", b"\x70\x01"),
        (data, "wrong wire type", lengthed(14, lengthed(1, b"x"))),
        (data, "wrong wire type", lengthed(3, b"\x08\x01")),
        (data, "attach: program holds a NUL", packet("attach", {"program": "a\0b"})),
        (data, "plan: experiment holds a NUL", packet("plan", {"experiment": "\0"})),
    ]

    def bad(message, body, fields, **changed):
        cases.append((data, message, packet(body, dict(fields, **changed))))

    for name, fields, body in (("sign_key", ENROLL, "enroll"),
                               ("transport_key", ENROLL, "enroll"),
                               ("proof", ENROLL, "enroll"),
                               ("transport_key", ROTATE, "rotate"),
                               ("proof", ROTATE, "rotate"),
                               ("digest", KNOWLEDGE, "knowledge"),
                               ("signature", KNOWLEDGE, "knowledge"),
                               ("digest", FUSED, "fused"),
                               ("transfer_digest", PLAN, "plan"),
                               ("transfer_digest", READY, "ready")):
        size = len(fields[name])
        for wrong in (size - 1, size + 1, 1):
            bad(f"{body}: {name} has {wrong} bytes", body, fields,
                **{name: pattern(0, wrong)})
        if name != "transfer_digest":
            bad(f"{body}: {name} has 0 bytes", body, without(fields, name))
    for name, room, fields, body in (("name", 64, ENROLLED, "enrolled"),
                                     ("name", 64, PLAN, "plan"),
                                     ("program", 63, {}, "attach"),
                                     ("model", 63, READY, "ready"),
                                     ("text", 255, REFUSED, "refused"),
                                     ("text", 255, BYE, "bye")):
        bad(f"{body}: {name} has {room + 1} bytes", body, fields, **{name: "a" * (room + 1)})
        for text in (b"\n", b"\t", b"\x1b[2J", b"a\x7f", b"\xc2\x9b1m", b"\xc2\x80", b"\xc2\x9f", b"\xff",
                     b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80",
                     b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
                     b"ok \xe2\x82", b"\xc3"):
            bad(f"{body}: {name} is not plain text", body, fields, **{name: text})
    bad("plan: experiment is not text", "plan", PLAN, experiment=b"{\x01}")
    bad("plan: experiment is not text", "plan", PLAN, experiment=b"{\r}")
    bad("plan: experiment is not text", "plan", PLAN, experiment=b"{\xff}")
    for body, fields in (("open", OPEN), ("knowledge", KNOWLEDGE), ("accepted", {}),
                         ("refused", REFUSED), ("fused", FUSED), ("done", DONE),
                         ("get", GET), ("chunk", CHUNK)):
        bad(f"{body}: round is 1000000", body, fields, round=1000000)
    bad("enrolled: client is 100000", "enrolled", ENROLLED, client=100000)
    bad("plan: client is 4294967295", "plan", PLAN, client=2**32 - 1)
    for name, most in (("transfer_bytes", 1 << 30), ("transfer_rows", 1 << 31),
                       ("classes", 65536), ("parameters", 1 << 30)):
        bad(f"plan: {name} is {most + 1}", "plan", PLAN, **{name: most + 1})
    bad("ready: samples is 2147483649", "ready", READY, samples=2**31 + 1)
    for body, fields in (("knowledge", KNOWLEDGE), ("fused", FUSED)):
        bad(f"{body}: kind is 3", body, fields, kind=3)
        for codec in (2, 3, 256, 2 + 256 * 4097, 2 + 2**31, 2**32 - 1):
            bad(f"{body}: kind {fields['kind']} has no codec {codec}", body, fields,
                codec=codec)
        bad(f"{body}: rows is 0", body, fields, rows=0)
        bad(f"{body}: rows is {2**31 + 1}", body, fields, rows=2**31 + 1)
        bad(f"{body}: rows is {2**64 - 1}", body, fields, rows=2**64 - 1)
        bad(f"{body}: classes is 0", body, fields, classes=0)
        bad(f"{body}: classes is 65537", body, fields, classes=65537)
        bad(f"{body}: classes is {2**63}", body, fields, classes=2**63)
        bad(f"{body}: total is 0", body, fields, total=0)
        bad(f"{body}: total is {2**32 + 1}", body, fields, total=2**32 + 1)
        bad(f"{body}: total is {fields['total'] + 1} bytes", body, fields,
            total=fields["total"] + 1)
        bad(f"{body}: total is {2**32} bytes", body, fields, rows=2**31, classes=65536,
            total=2**32)
        bad(f"{body}: kind 1 has no codec {2 + 256 * 4}", body, dict(fields, kind=1),
            codec=2 + 256 * 4, total=300 * 4 * 4)
        bad(f"{body}: total is {300 * 11 * 4} bytes", body, dict(fields, kind=0),
            codec=2 + 256 * 11, total=300 * 11 * 4)
        for codec in (1, 2 + 256):
            bad(f"{body}: kind 2 has no codec {codec}", body,
                dict(fields, kind=2, rows=1), codec=codec, total=20)
        bad(f"{body}: rows is 2", body, dict(fields, kind=2, codec=0), rows=2, total=80)
        bad(f"{body}: classes is {2**30 + 1}", body, dict(fields, kind=2, codec=0, rows=1),
            classes=2**30 + 1)
    bad("knowledge: samples is 2147483649", "knowledge", KNOWLEDGE, samples=2**31 + 1)
    bad("done: train_loss", "done", DONE, train_loss=float("inf"))
    bad("done: distill_loss", "done", DONE, distill_loss=float("-inf"))
    for name in ("own_before", "own_after", "global_before", "global_after"):
        for values in ((1.0000001, 0.0, 0.0), (-5e-324, 0.0, 0.0), (0.0, 0.0, 1.0000001),
                       (0.0, 0.0, -1.0), (0.0, float("inf"), 0.0),
                       (float("inf"), 0.0, 0.0)):
            bad(f"done: {name} is out", "done", DONE, **{name: metric(*values)})
    bad("get: what is 3", "get", GET, what=3)
    bad("get: size is 0", "get", GET, size=0)
    bad("get: size is 65537", "get", GET, size=65537)
    bad("get: offset is 4294967296", "get", GET, offset=2**32)
    bad("chunk: what is 4294967295", "chunk", CHUNK, what=2**32 - 1)
    bad("chunk: size is 0", "chunk", CHUNK, data=b"")
    bad("chunk: offset is 18446744073709551615", "chunk", CHUNK, offset=2**64 - 1)
    return cases


def handshakes():
    hello, welcome = encode("Hello", HELLO), encode("Welcome", WELCOME)
    least = encode("Hello", {"version_min": 1, "version_max": 1})
    none = encode("Welcome", {"heartbeat_ms": 100, "window": 1})
    return [("hello", hello), ("hello-least", least), ("welcome", welcome),
            ("welcome-none", none)]


def write(name, lines):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as out:
        out.write("".join(line + "\n" for line in lines))


def corpus(name, inputs):
    """Only these; what fuzzing found is kept in files whose names start with found-."""
    folder = os.path.join(ROOT, "tests", "fuzz", "corpus", name)
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if not old.startswith("found-"):
            os.remove(os.path.join(folder, old))
    for label, content in inputs:
        with open(os.path.join(folder, label), "wb") as out:
            out.write(content)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    good = [(label, packet(body, fields)) for label, body, fields in PACKETS]
    bad = refused()
    write("packets.txt", [f"{label} {content.hex()}" for label, content in
                          good + handshakes()])
    write("refused.txt", [f"{status}|{message}|{content.hex()}"
                          for status, message, content in bad])
    structure = [case for case in bad[:26] if case[2]]
    corpus("packet", good + [(f"refused-{i}", case[2]) for i, case in enumerate(structure)])
    wide = encode("Hello", HELLO) + b"".join(lengthed(90 + i, b"x") for i in range(16))
    corpus("hello", handshakes() + [("hello-newer", wide), ("hello-twice", b"\x08\x01" * 2)])


if __name__ == "__main__":
    main()
