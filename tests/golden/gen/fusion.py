"""Golden vectors of fusion weights and fused targets (NumPy, float64).

Run from the repository root: python3 tests/golden/gen/fusion.py"""

import numpy as np

from knowledge import ESTIMATORS, council, save, softmax, top_pairs


def js(p, q):
    m = 0.5 * (p + q)
    return 0.5 * kl(p, m) + 0.5 * kl(q, m)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum()


def cosine(p, q):
    return 1.0 - p @ q / (np.linalg.norm(p) * np.linalg.norm(q))


def total_variation(p, q):
    return 0.5 * np.abs(p - q).sum()


def hellinger(p, q):
    return np.sqrt(max(0.0, 1.0 - np.sqrt(p * q).sum()))


DIVERGENCES = [js, kl, cosine, total_variation, hellinger]
BETAS = [0.0, 1.0, 10.0]


def weights(epd, d, beta, include_self=True, neighbours=0, minimum=0.0):
    N = len(epd)
    a = np.array([[np.exp(-beta * d(epd[n], epd[m])) for m in range(N)]
                  for n in range(N)])
    if not include_self:
        np.fill_diagonal(a, 0.0)
    W = a / a.sum(1, keepdims=True)
    for row in W:
        best = row.argmax()
        keep = np.ones(N, dtype=bool)
        if neighbours:
            keep[np.argsort(-row, kind="stable")[neighbours:]] = False
        keep[row < minimum] = False
        keep[best] = True
        row[~keep] = 0.0
    return W / W.sum(1, keepdims=True)


def top(rng):
    """Soft labels that travel as their k largest: cut, fused, cut again. Rows whose k-th
    class is decided by a rounding error are left out."""
    N, C, k = 4, 60, 6
    F = council(rng, N, 60, C)
    W = rng.dirichlet(np.ones(N), size=N)
    seen = np.array([[top_pairs(row, k)[1] for row in client] for client in F])
    fused = np.einsum("nm,mxc->nxc", W, seen)
    falling = -np.sort(-fused, axis=2)
    clear = (falling[:, :, k - 1] - falling[:, :, k] > 1e-6).all(0)
    assert clear.sum() >= 20
    F, seen, fused = F[:, clear][:, :20], seen[:, clear][:, :20], fused[:, clear][:, :20]
    save("fusion/top_labels", F)
    save("fusion/top_weights", W)
    save("fusion/top_fused", [[top_pairs(row, k)[1] for row in client]
                              for client in fused])
    save("fusion/top_epd", [estimate(seen) for estimate in ESTIMATORS])


def main():
    E = np.array([(.6, .3, .1), (.5, .35, .15), (.1, .2, .7)])
    assert np.allclose(weights(E, kl, 1.0)[0], (.426483, .416952, .156565), atol=1e-6)
    assert np.allclose(weights(E, kl, 10.0)[0], (.556250, .443725, .000025), atol=1e-6)

    rng = np.random.default_rng(2403118)
    F = council(rng, 5, 40, 4)
    save("fusion/labels", F)
    P = F.astype(np.float64)
    epds = [estimate(P) for estimate in ESTIMATORS]
    save("fusion/divergences", [[[d(p, q) for q in epds[0]] for p in epds[0]]
                                for d in DIVERGENCES])
    save("fusion/weights", [[[weights(epd, d, beta) for beta in BETAS]
                             for d in DIVERGENCES] for epd in epds])
    save("fusion/weights_options",
         [weights(epds[0], js, 10.0, include_self=False),
          weights(epds[0], js, 10.0, neighbours=2),
          weights(epds[0], js, 10.0, minimum=0.2),
          weights(epds[0], js, 10.0, include_self=False, neighbours=3, minimum=0.3)])
    W = weights(epds[0], js, 10.0)
    save("fusion/fused_probability", np.einsum("nm,mxc->nxc", W, P))
    P8 = np.maximum(P, 1e-8)
    save("fusion/fused_logit", softmax(np.einsum("nm,mxc->nxc", W, np.log(P8))))
    top(rng)


if __name__ == "__main__":
    main()
