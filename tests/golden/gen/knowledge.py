"""Golden vectors of soft-label codecs and statistics (NumPy, float64).

Run from the repository root: python3 tests/golden/gen/knowledge.py
Label distributions (EPD) are written as docs/fusion.md states them, not as the C code
computes them: no blocks, no transposition, no cancelled factors."""

import os

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
FLOOR = 1e-6


def save(name, array):
    np.save(os.path.join(OUT, name + ".npy"), np.ascontiguousarray(array))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def floored(q):
    q = q / q.sum(-1, keepdims=True)
    q = np.maximum(q, FLOOR)
    return q / q.sum(-1, keepdims=True)


def epd_mean(F):
    return floored(F.mean(1))


def epd_argmax(F):
    return floored(np.eye(F.shape[2])[F.argmax(2)].mean(1))


def epd_mean_normalised(F):
    mean = F.mean(1)
    return floored(mean / mean.mean(0, keepdims=True))


def epd_shift(F):
    M, C = F.shape[1:]
    R = min(M, 2000)
    F = F[:, [i * M // R for i in range(R)]]
    out = []
    for P in F:
        r = np.full(C, 1.0 / C)
        for _ in range(400):
            u = P / r
            u = u / u.sum(1, keepdims=True)
            new = floored(r * u.mean(0) / (1.0 / C))
            change = np.abs(new - r).max()
            r = new
            if change < 1e-6:
                break
        out.append(r)
    return np.array(out)


ESTIMATORS = [epd_mean, epd_argmax, epd_mean_normalised, epd_shift]


def council(rng, clients, rows, classes):
    """Soft labels of clients with skewed priors on balanced rows: [N, M, C] float32."""
    score = rng.normal(size=(rows, classes))
    score[np.arange(rows), np.arange(rows) % classes] += 2.0
    prior = rng.dirichlet(np.full(classes, 0.5), size=clients) + 0.02
    z = score[None] + np.log(prior)[:, None] + 0.5 * rng.normal(
        size=(clients, rows, classes))
    return softmax(z).astype(np.float32)


def largest_remainders(p):
    """Units of 1/65535 whose sum is 65535; fractions told apart to 2^-15."""
    p = p.astype(np.float64)
    fixed = np.floor(p * (65535.0 * 32768.0 / p.sum())).astype(np.int64)
    units, fraction = fixed // 32768, fixed % 32768
    order = np.argsort(-fraction, kind="stable")
    units[order[:65535 - units.sum()]] += 1
    assert units.sum() == 65535
    return units


def top_pairs(p, k):
    """The k largest of a row as (class, units), and the row that these decode to."""
    p = p.astype(np.float64)
    best = np.sort(np.argsort(-p, kind="stable")[:k])
    rest = np.delete(p, best).sum()
    units = largest_remainders(np.append(p[best], rest))[:k]
    order = np.lexsort((best, -units))
    decoded = np.full(len(p), (65535 - units.sum()) / 65535 / max(1, len(p) - k))
    decoded[best] = units / 65535
    return np.stack([best[order], units[order]], axis=1), decoded


def top_codec(rng):
    for classes, k, rows in ((10, 3, 60), (40, 40, 10), (500, 32, 8)):
        p = softmax(3.0 * rng.normal(size=(rows, classes))).astype(np.float32)
        p[0] = 1.0 / classes
        p[1] = 0.0
        p[1, classes // 2] = 1.0
        p[2] = softmax(np.round(rng.normal(size=classes)))  # many equal values
        pairs, decoded = zip(*[top_pairs(row, k) for row in p])
        name = "knowledge/top_%d" % classes
        save(name + "_p", p)
        save(name + "_pairs", np.array(pairs, dtype=np.int32))
        save(name + "_decoded", decoded)


def codecs(rng):
    for classes, rows in ((2, 20), (10, 60), (32, 10), (33, 10), (500, 4)):
        p = softmax(3.0 * rng.normal(size=(rows, classes))).astype(np.float32)
        p[0] = 1.0 / classes
        p[1] = 0.0
        p[1, classes // 2] = 1.0
        name = "knowledge/u16_%d" % classes
        save(name + "_p", p)
        save(name + "_units", np.array([largest_remainders(row) for row in p],
                                       dtype=np.int32))
    z = (6.0 * rng.normal(size=(12, 5))).astype(np.float32)
    z[3] = [40, 0, -10, 4, 3]
    log_p = np.log(softmax(z.astype(np.float64))).astype(np.float32)
    save("knowledge/u16_log_p", log_p)
    depth = np.clip(-log_p.astype(np.float64), 0, 32)
    save("knowledge/u16_log_units", np.floor(depth * 65535 / 32 + 0.5).astype(np.int32))


def expected_calibration_error(confidence, correct, bins):
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean()
                                         - confidence[inside].mean())
    return error


def scores(rng):
    N, C = 200, 7
    z = (2.0 * rng.normal(size=(N, C))).astype(np.float32)
    y = np.where(rng.random(N) < 0.6, z.argmax(1), rng.integers(0, C, N))
    p = softmax(z.astype(np.float64))
    confidence, correct = p.max(1), (p.argmax(1) == y).astype(float)
    loss = -np.log(p[np.arange(N), y]).mean()
    save("knowledge/score_z", z)
    save("knowledge/score_y", y.astype(np.int32))
    save("knowledge/score", [correct.mean(), loss,
                             expected_calibration_error(confidence, correct, 15)])
    given = np.array([.95, .90, .85, .80, .72, .65, .55, .52, .35, .31])
    right = np.array([1, 1, 0, 1, 1, 0, 1, 0, 0, 1.0])
    assert abs(expected_calibration_error(given, right, 10) - 0.234) < 1e-12


def summaries(rng):
    values = rng.random(23)
    lowest = np.sort(values)[:3]
    save("knowledge/summary_values", values)
    save("knowledge/summary", [values.mean(), values.std(), values.min(), lowest.mean()])


def main():
    rng = np.random.default_rng(20240318)
    codecs(rng)
    scores(rng)
    summaries(rng)
    F = council(rng, 5, 40, 4)
    save("knowledge/epd_labels", F)
    save("knowledge/epd", [estimate(F.astype(np.float64)) for estimate in ESTIMATORS])
    many = council(rng, 2, 2500, 3)  # more rows than shift looks at
    save("knowledge/epd_shift_labels", many)
    save("knowledge/epd_shift", epd_shift(many.astype(np.float64)))
    top_codec(rng)


if __name__ == "__main__":
    main()
