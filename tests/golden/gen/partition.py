#!/usr/bin/env python3
"""Golden vectors of common/data/partition.c, from NumPy alone (float64).

Writes under tests/golden/vectors/partition/:
  labels.npy          u1 [3823]   training labels of data/optdigits
  split/              public.idx, client_XX.idx: an independent writer of index files
  histograms.npy      i4 [10,10]  class counts of those clients
  by_client.npy       f8 [3,3]    alpha, mean and standard error of the concentration
                                  (mean over clients of sum_c mix_c^2), 200 splits
  by_class.npy        f8 [3,5]    alpha, the same two, and of the sizes' sd / mean
Two rules: equal sizes with a Dirichlet mix per client (Hsu et al. 2019), and Dirichlet
shares per class with a minimum (NIID-Bench, Li et al. 2022).
"""
import gzip
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, '..', 'vectors', 'partition')
LABELS = os.path.join(HERE, '..', '..', '..', 'data', 'optdigits', 'train-labels-idx1-ubyte.gz')
CLIENTS, PUBLIC, CLASSES, SPLITS = 10, 500, 10, 200
ALPHAS = [0.1, 0.5, 5.0]


def by_client(y, rng, alpha):
    perm = rng.permutation(len(y))
    public, rest = perm[:PUBLIC], perm[PUBLIC:]
    per = len(rest) // CLIENTS
    pools = [list(rest[y[rest] == c]) for c in range(CLASSES)]
    prior = np.array([len(p) for p in pools], float)
    prior /= prior.sum()
    clients = []
    for _ in range(CLIENTS):
        q = rng.dirichlet(alpha * prior * CLASSES)
        got = []
        while len(got) < per:
            left = np.array([len(p) for p in pools], float)
            w = q * (left > 0)
            if w.sum() <= 1e-12:
                w = left
            n = rng.multinomial(per - len(got), w / w.sum())
            for c in range(CLASSES):
                got += [pools[c].pop() for _ in range(min(int(n[c]), len(pools[c])))]
        got = np.array(got)
        rng.shuffle(got)
        clients.append(got)
    return public, clients


def by_class(y, rng, alpha, minimum=10):
    rest = rng.permutation(len(y))[PUBLIC:]
    while True:
        clients = [[] for _ in range(CLIENTS)]
        for c in range(CLASSES):
            rows = rest[y[rest] == c]
            rng.shuffle(rows)
            p = rng.dirichlet(np.repeat(alpha, CLIENTS))
            p = p * np.array([len(k) < len(rest) / CLIENTS for k in clients])
            p /= p.sum()
            cuts = (np.cumsum(p) * len(rows)).astype(int)[:-1]
            for k, part in zip(clients, np.split(rows, cuts)):
                k.extend(part)
        if min(len(k) for k in clients) >= minimum:
            return [np.array(k) for k in clients]


def concentration(y, clients):
    mixes = [np.bincount(y[k], minlength=CLASSES) / len(k) for k in clients]
    return np.mean([np.sum(m * m) for m in mixes])


def summary(values):
    return [np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))]


def main():
    with gzip.open(LABELS, 'rb') as file:
        y = np.frombuffer(file.read(), np.uint8, offset=8)
    os.makedirs(os.path.join(OUT, 'split'), exist_ok=True)
    np.save(os.path.join(OUT, 'labels.npy'), y)

    public, clients = by_client(y, np.random.Generator(np.random.PCG64(1)), 0.3)
    public.astype('<i4').tofile(os.path.join(OUT, 'split', 'public.idx'))
    for k, rows in enumerate(clients):
        rows.astype('<i4').tofile(os.path.join(OUT, 'split', 'client_%02d.idx' % k))
    histograms = np.array([np.bincount(y[k], minlength=CLASSES) for k in clients])
    np.save(os.path.join(OUT, 'histograms.npy'), histograms.astype('<i4'))

    rng = np.random.Generator(np.random.PCG64(2))
    client_rule, class_rule = [], []
    for alpha in ALPHAS:
        values = [concentration(y, by_client(y, rng, alpha)[1]) for _ in range(SPLITS)]
        client_rule.append([alpha] + summary(values))
        splits = [by_class(y, rng, alpha) for _ in range(SPLITS)]
        sizes = [np.array([len(k) for k in s]) for s in splits]
        class_rule.append([alpha] + summary([concentration(y, s) for s in splits]) +
                          summary([np.std(n) / np.mean(n) for n in sizes]))
    np.save(os.path.join(OUT, 'by_client.npy'), np.array(client_rule))
    np.save(os.path.join(OUT, 'by_class.npy'), np.array(class_rule))
    print(np.array(client_rule), np.array(class_rule), sep='\n')


if __name__ == '__main__':
    main()
