"""Golden vectors of text: tokens of the beginning of tiny Shakespeare, by character and
by word, as Python's regular expressions cut it.

Run from the repository root: python3 tests/golden/gen/data.py"""

import collections
import gzip
import os
import re

import numpy as np

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BYTES, MOST = 20000, 1000


def number(pieces, names):
    known = {name: i for i, name in enumerate(names)}
    return np.array([known.get(piece, 0) for piece in pieces])


def main():
    with gzip.open(f"{ROOT}/data/tinyshakespeare/input.txt.gz") as file:
        text = file.read(BYTES)
    characters = list(text.decode())
    by_code = ["<unk>"] + sorted(set(characters) | set("0123456789"))
    words = re.findall(rb"\n|[0-9A-Za-z'\x80-\xff]+|[^\s]", text)
    counts = collections.Counter(words)
    by_count = [b"<unk>"] + sorted(counts, key=lambda word: (-counts[word], word))
    vectors = f"{ROOT}/tests/golden/vectors/data"
    os.makedirs(vectors, exist_ok=True)
    np.save(f"{vectors}/characters.npy", number(characters, by_code).astype("u1"))
    np.save(f"{vectors}/words.npy", number(words, by_count[:MOST]).astype("<i4"))


if __name__ == "__main__":
    main()
