"""Golden vectors of the search over fills: NumPy in float64.

Run from the repository root: /usr/bin/python3 tests/golden/gen/search.py
A chain of the first order over the 21 tokens of tests/unit/privacy/canary_forms.h and the
template "id {d2}-{d1}s"; every fill's -ln p, and the ranks of a product of three
distributions with many ties and zeros."""

import itertools
import os

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "privacy")
NAMES = ["<unk>", "7", "0", "a", "1", " ", "9", "2", "-", "3", "b",
         "{", "4", "}", "5", "6", "8", "é", "i", "d", "s"]
DIGITS = sorted(NAMES.index(d) for d in "0123456789")


def save(name, array):
    np.save(os.path.join(OUT, name + ".npy"), np.ascontiguousarray(array))


def main():
    random = np.random.default_rng(20)
    table = (3 * random.standard_normal((21, 21))).astype(np.float32)
    p = table.astype(np.float64)
    p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    surprise = []
    for a, b, c in itertools.product(DIGITS, repeat=3):
        tokens = [NAMES.index(" "), a, b, NAMES.index("-"), c, NAMES.index("s")]
        surprise.append(-sum(np.log(p[x, y]) for x, y in zip(tokens, tokens[1:])))
    save("search_table", table)
    save("search_surprise", np.array(surprise))

    q = random.integers(0, 6, (3, 21)) / 8.0
    floored = np.maximum(q[:, DIGITS], 0.5 / 65535)
    products = np.einsum("i,j,k->ijk", *floored).ravel()
    ranks = (products[None, :] >= products[:, None] * (1 - 1e-13)).sum(axis=1)
    save("product_p", q.astype(np.float32))
    save("product_rank", ranks.astype(np.float64))


main()
