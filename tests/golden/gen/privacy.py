"""Golden vectors of the privacy room: mpmath with 40 digits, NumPy in float64.

Run from the repository root: /usr/bin/python3 tests/golden/gen/privacy.py
Integrals are taken numerically and tails summed term by term, as their definitions read;
nothing here shares a series or a continued fraction with the C code."""

import os

import mpmath as mp
import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "privacy")
mp.mp.dps = 40


def save(name, array):
    os.makedirs(OUT, exist_ok=True)
    np.save(os.path.join(OUT, name + ".npy"), np.ascontiguousarray(array, dtype=np.float64))


def rows(function, arguments):
    return np.array([[float(x) for x in args] + [float(function(*map(mp.mpf, args)))]
                     for args in arguments])


def log_phi(x):
    return mp.log(mp.ncdf(x))


def binomial_tail(n, p, k):
    n, k = int(n), int(k)
    return mp.log(mp.fsum(mp.binomial(n, i) * p**i * (1 - p)**(n - i)
                          for i in range(k, n + 1)))


def beta_cdf(a, b, x):
    """I_x(a, b); whole a and b: Pr[Bin(a + b - 1, x) >= a], the sum itself."""
    if a == int(a) and b == int(b):
        return mp.exp(binomial_tail(a + b - 1, x, a))
    return mp.betainc(a, b, 0, x, regularized=True)


def skew_pdf(t, a):
    return 2 * mp.npdf(t) * mp.ncdf(a * t)


def log_skew_cdf(a, u):
    # A lower tail falls within 1 / (|u| (1 + a^2)); the body bends around 0.
    width = 1 / (1 + abs(u) * (1 + (a * a if a > 0 else 0)))
    ends = {float(u - width * s) for s in (400, 100, 40, 20, 10, 5, 2, 1, 0)}
    ends |= {float(x) for x in np.linspace(-9, 9, 73) if x < u}
    ends = [mp.mpf(e) for e in sorted(ends)]
    return mp.log(mp.quad(lambda t: skew_pdf(t, a), ends))


def beta_quantile(a, b, p):
    low, high = mp.mpf(0), mp.mpf(1)
    for _ in range(70):
        middle = (low + high) / 2
        if beta_cdf(a, b, middle) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


# --- accountant -------------------------------------------------------------------------

def sampled_gaussian(q, s, a):
    """Renyi divergence of order a of (1-q) N(0, s^2) + q N(1, s^2) from N(0, s^2)."""
    def f(z):
        ratio = (1 - q) + q * mp.exp((2 * z - 1) / (2 * s * s))
        return mp.npdf(z, 0, s) * ratio**a
    ends = [mp.mpf(x) for x in (-40, -20, -10, -5, 0, 1, 2, 4, 7, 10, 15, 20, 40, 80, 160)]
    return mp.log(mp.quad(f, [e * s for e in ends])) / (a - 1)


def laplace(e, a):
    """Both directions are equal: densities exp(-|x| e) and exp(-|x - 1| e), times e / 2."""
    f = lambda x: e / 2 * mp.exp(-a * abs(x) * e - (1 - a) * abs(x - 1) * e)
    return mp.log(mp.quad(f, [-mp.inf, -5, 0, 1, 5, mp.inf])) / (a - 1)


def discrete(p, q, a):
    return mp.log(mp.fsum(x**a * y**(1 - a) for x, y in zip(p, q))) / (a - 1)


def pure(e, a):
    x = 1 / (1 + mp.exp(-e))
    return discrete([x, 1 - x], [1 - x, x], a)


def response(K, p, a):
    K = int(K)
    keep, other = 1 - p + p / K, p / K
    return discrete([keep] + [other] * (K - 1), [other, keep] + [other] * (K - 2), a)


# --- scores -----------------------------------------------------------------------------

def lira(phi, shadow, member, online, pooled):
    S, E = shadow.shape
    out = []
    dev = {s: np.concatenate([shadow[member[:, e] == s, e] - shadow[member[:, e] == s, e].mean()
                              for e in range(E)]) for s in (0, 1)}
    free = {s: sum((member[:, e] == s).sum() - 1 for e in range(E)) for s in (0, 1)}
    for e in range(E):
        mu = {s: shadow[member[:, e] == s, e].mean() for s in (0, 1)}
        sd = {s: np.sqrt((dev[s]**2).sum() / free[s]) if pooled
              else shadow[member[:, e] == s, e].std(ddof=1) for s in (0, 1)}
        if online:
            out.append(float(mp.log(mp.npdf(phi[e], mu[1], sd[1])) -
                             mp.log(mp.npdf(phi[e], mu[0], sd[0]))))
        else:
            out.append(float(log_phi((phi[e] - mu[0]) / sd[0])))
    return out


def rmia(tx, ox, ix, tz, oz, iz, a, gamma):
    px = tx / ((ox + (a * ox + 1 - a if ix is None else ix)) / 2)
    pz = tz / ((oz + (a * oz + 1 - a if iz is None else iz)) / 2)
    return (px[:, None] / pz[None, :] >= gamma).mean(1)


def skew_fit(x):
    """Maximum likelihood by L-BFGS from either sign of the shape; the better one."""
    return max((skew_fit_from(x, shape) for shape in (-1., 1.)), key=lambda fit: fit[3])


def skew_fit_from(x, shape):
    import torch
    data = torch.tensor(x, dtype=torch.float64)
    m, s = data.mean(), data.std(unbiased=False)
    y = (data - m) / s
    p = torch.tensor([-0.5 * shape, 0.1, shape], dtype=torch.float64, requires_grad=True)

    def nll(p):
        u = (y - p[0]) / torch.exp(p[1])
        return (0.5 * u * u - torch.special.log_ndtr(p[2] * u)).mean() + p[1]
    opt = torch.optim.LBFGS([p], max_iter=2000, tolerance_grad=1e-13,
                            tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = nll(p)
        loss.backward()
        return loss
    opt.step(closure)
    q = p.detach()
    value = nll(q) + 0.5 * np.log(2 * np.pi) - np.log(2) + torch.log(s)
    return [float(m + s * q[0]), float(s * torch.exp(q[1])), float(q[2]),
            float(-value * len(x))]


def main():
    grid = [-1e4, -500, -60, -38, -37, -35.4, -30, -10, -5, -1, -.1, 0, .1, 1, 5, 8, 20]
    save("log_normal_cdf", rows(log_phi, [(x,) for x in grid]))
    save("log_erfc", rows(lambda x: mp.log(mp.erfc(x)),
                          [(x,) for x in (-3, -.5, 0, .5, 3, 10, 24.9, 25, 25.1, 40, 1e3)]))
    betas = [(1, 500, 1e-5), (2.5, .5, .3), (30, 70, .1), (30, 70, .9), (1000, 9001, .08),
             (9000, 1001, .92), (5000, 5001, .4), (.5, .5, 1e-8), (3, 4, .999)]
    save("log_beta_cdf", rows(lambda a, b, x: mp.log(beta_cdf(a, b, x)),
                              betas))
    save("beta_quantile", rows(beta_quantile,
         [(1, 500, .005), (473, 512, .025), (755, 951, .975), (90, 11, .05), (2, 999, 1e-6),
          (999, 2, 1e-6), (.5, 3, .2)]))
    save("gamma_tail", rows(lambda a, x: mp.gammainc(a, x, mp.inf, regularized=True),
         [(1, .5), (1, 30), (10, 3), (10, 14.4), (10, 60), (200, 150), (200, 240), (5000, 5200),
          (.5, 2)]))
    save("log_binomial_tail", rows(binomial_tail,
         [(10, .5, 8), (100, .731058578630005, 90), (100, .5, 100), (1000, .3, 500),
          (1000, .6, 550), (3, .9, 1)]))
    save("log_skew_normal_cdf", rows(log_skew_cdf,
         [(a, u) for a in (-20, -2, -.5, .5, 1, 4, 30)
          for u in (-60, -8, -2, -.6, -.05, .02, .8, 3)]))

    save("sampled_gaussian", rows(sampled_gaussian,
         [(q, s, a) for q in (.01, .2) for s in (1, 2.5) for a in (1.5, 2, 2.5, 3, 7.3, 8)]))
    save("laplace", rows(laplace, [(e, a) for e in (.1, 1, 3) for a in (1.5, 2, 4, 10)]))
    save("pure", rows(pure, [(e, a) for e in (1e-4, .1, 1, 5, 30) for a in (1.1, 2, 9.5, 64)]))
    save("response", rows(response, [(K, p, a) for K in (2, 3, 10) for p in (.05, .3, 1)
                                     for a in (1.1, 2, 16)]))

    rng = np.random.default_rng(2212)
    S, E = 8, 12
    shadow = rng.normal(0, 2, (S, E)) + rng.normal(0, 1, E)
    member = np.array([[(s + e) % 2 for e in range(E)] for s in range(S)])
    member[0] = 1 - member[0]
    shadow += 1.5 * member
    phi = rng.normal(1, 3, E)
    save("lira_input", np.vstack([phi, shadow, member]))
    save("lira", [lira(phi, shadow, member, o, p) for o in (1, 0) for p in (0, 1)])

    c = [rng.uniform(.01, 1, n) for n in (9, 9, 9, 40, 40, 40)]
    save("rmia_input", np.concatenate(c))
    save("rmia", [rmia(c[0], c[1], None, c[3], c[4], None, .3, 1.),
                  rmia(c[0], c[1], None, c[3], c[4], None, 1., 1.5),
                  rmia(*c[:3], *c[3:], .3, 1.)])

    samples = []
    for a in (4., -2.):
        d = a / np.sqrt(1 + a * a)
        z = d * abs(rng.normal(size=2000)) + np.sqrt(1 - d * d) * rng.normal(size=2000)
        samples.append(50 + 7 * z)
    save("skew_sample", samples)
    save("skew_fit", [skew_fit(x) for x in samples])


if __name__ == "__main__":
    main()
