"""Golden files of the store room, made with plain Python from the format rules.

NumPy is asked only to read back what was written. Run with /usr/bin/python3 in the
repository root; the files are committed.
"""

import json
import os
import struct

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "vectors", "store")
SIZES = {"F32": 4, "U64": 8, "U8": 1}
PACK = {"F32": "f", "U64": "Q", "U8": "B"}


def safetensors(path, tensors, metadata, dumps, pad):
    """tensors: (name, type, shape, values) in file order."""
    header, data, offset = {"__metadata__": metadata}, b"", 0
    for name, kind, shape, values in tensors:
        size = len(values) * SIZES[kind]
        header[name] = {"dtype": kind, "shape": shape,
                        "data_offsets": [offset, offset + size]}
        data += struct.pack("<%d%s" % (len(values), PACK[kind]), *values)
        offset += size
    text = dumps(header).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def npy(path, values, shape):
    inner = ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "")
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }" % inner
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    with open(path, "wb") as out:
        out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        out.write(struct.pack("<%dd" % len(values), *values))
    read = numpy.load(path)
    assert read.shape == tuple(shape) and read.ravel().tolist() == list(values)


TENSORS = [
    ("steps", "U64", [2], [1, 2**64 - 1]),
    ("net.0/weight", "F32", [2, 3], [0.5, -1.25, 3.0, 1e-38, -0.0, 1e30]),
    ("scalar", "F32", [], [7.0]),
    ("bytes-1", "U8", [3], [0, 127, 255]),
    ("none", "U8", [0], []),
]

os.makedirs(OUT, exist_ok=True)
# As this project writes: no white space, padded with spaces to 8 bytes.
safetensors(os.path.join(OUT, "own.safetensors"), TENSORS,
            {"format": "witan-test-1", "note": 'caf\u00e9 "quoted" \\ end'},
            lambda h: json.dumps(h, separators=(",", ":"), ensure_ascii=False), True)
# As another tool may write: other order, indented, escaped, unpadded.
safetensors(os.path.join(OUT, "other.safetensors"), list(reversed(TENSORS)),
            {"note": 'caf\u00e9 \U0001f989\t"quoted" \\ end', "format": "x/y"},
            lambda h: json.dumps(h, indent=1), False)
npy(os.path.join(OUT, "matrix.npy"), [1.0, -2.5, 1e300, 5e-324, 0.1, -0.0], [2, 3])
npy(os.path.join(OUT, "vector.npy"), [1.0, 0.1], [2])
npy(os.path.join(OUT, "scalar.npy"), [0.1], [])
npy(os.path.join(OUT, "empty.npy"), [], [3, 0])
