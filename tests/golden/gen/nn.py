"""Golden vectors of losses, optimisers, schedules and training (PyTorch, float64).

Run from the repository root: python3 tests/golden/gen/nn.py
The Kullback-Leibler values at temperatures 1 and 4 are checked against numbers that
were computed by other means (exact dual numbers) before anything is written."""

import os

import numpy as np
import torch

OUT = os.path.join(os.path.dirname(__file__), "..", "vectors", "nn")


def save(name, array):
    if isinstance(array, torch.Tensor):
        array = array.detach().numpy()
    np.save(os.path.join(OUT, name + ".npy"), array)


def as_f32(x):
    """The nearest float32 values, in float64: what the C code gets."""
    return torch.tensor(np.asarray(x, dtype=np.float32).astype(np.float64))


def cross_entropy(z, y):
    return torch.nn.functional.cross_entropy(z, y)


def kl(z, q, temp):
    q = q ** (1.0 / temp)
    q = q / q.sum(1, keepdim=True)
    log_p = torch.log_softmax(z / temp, 1)
    return temp**2 * torch.nn.functional.kl_div(log_p, q, reduction="batchmean")


def centred(z, t):
    d = z - t
    return d - d.mean(1, keepdim=True)


def mse(z, t):
    return (centred(z, t) ** 2).mean()


def mae(z, t):
    return centred(z, t).abs().mean()


def loss_case(prefix, z, t, q, y, temps):
    save(prefix + "_z", z)
    save(prefix + "_teacher", t)
    save(prefix + "_q", q)
    save(prefix + "_label", y)
    todo = [("cross_entropy", lambda z: cross_entropy(z, y)),
            ("mse", lambda z: mse(z, t)),
            ("mae", lambda z: mae(z, t))]
    todo += [("kl_%g" % temp, lambda z, temp=temp: kl(z, q, temp)) for temp in temps]
    values = {}
    for name, function in todo:
        leaf = z.clone().requires_grad_(True)
        loss = function(leaf)
        loss.backward()
        values[name] = loss.item()
        save(prefix + "_" + name, np.concatenate([[loss.item()],
                                                  leaf.grad.numpy().ravel()]))
    return values


def losses():
    t = torch.tensor([[2.0, .5, -1.0, 0, 1.0], [-.5, 3.0, .2, -1.2, .4],
                      [.3, .1, 1.8, 1.5, -2.0], [1.0, -1.0, 0, .5, 2.5]],
                     dtype=torch.float64)
    z = torch.tensor([[1.0, 1.2, -.3, .4, .1], [.2, 1.5, .9, -.8, -.1],
                      [-.4, .6, .7, 2.0, -1.0], [.8, .3, -.6, 1.1, 1.4]],
                     dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 4])
    values = loss_case("small", z, t, torch.softmax(t, 1), y, [1, 4])
    assert abs(values["kl_1"] - 0.288137636) < 1e-9
    assert abs(values["kl_4"] - 0.353828890) < 1e-9

    # Wide logits, exact zeros in the target (truncated rows), C past one vector.
    rng = np.random.default_rng(20240311)
    z = as_f32(rng.normal(0, 12, (7, 37)))
    t = as_f32(rng.normal(0, 9, (7, 37)))
    q = torch.softmax(t, 1).numpy()
    q[q < 1e-4] = 0.0
    q[3] = 0.0
    q[3, 5] = 1.0
    q = as_f32(q / q.sum(1, keepdims=True))
    y = torch.tensor(rng.integers(0, 37, 7))
    loss_case("wide", z, t, q, y, [0.5, 1, 3])


def optimisers():
    rng = np.random.default_rng(7)
    start = as_f32(rng.normal(0, 1, 37))
    gradients = as_f32(rng.normal(0, 1, (5, 37)) * np.array([[1], [3], [.1], [1], [2]]))
    save("optimiser_start", start)
    save("optimiser_gradients", gradients)
    cases = {
        "sgd": (torch.optim.SGD, dict(lr=.1), 0),
        "sgd_momentum": (torch.optim.SGD, dict(lr=.1, momentum=.9), 0),
        "sgd_decay": (torch.optim.SGD, dict(lr=.1, momentum=.9, weight_decay=.05), 0),
        "sgd_clip": (torch.optim.SGD, dict(lr=.1, momentum=.9, weight_decay=.05), 4.0),
        "adam": (torch.optim.Adam, dict(lr=.01), 0),
        "adam_decay": (torch.optim.Adam, dict(lr=.01, weight_decay=.05), 0),
        "adam_clip": (torch.optim.Adam, dict(lr=.01, betas=(.8, .95), eps=1e-3), 4.0),
        "adamw": (torch.optim.AdamW, dict(lr=.01, weight_decay=.05), 0),
    }
    for name, (kind, options, clip) in cases.items():
        p = torch.nn.Parameter(start.clone())
        optimiser = kind([p], **options)
        path = []
        for g in gradients:
            p.grad = g.clone()
            if clip:
                torch.nn.utils.clip_grad_norm_([p], clip)
            optimiser.step()
            path.append(p.detach().numpy().copy())
        save("optimiser_" + name, np.array(path))


def schedule(make, rounds):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=.4)
    scheduler = make(optimiser)
    lr = []
    for _ in range(rounds):
        lr.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return np.array(lr)


def schedules():
    # The last of 11 rounds is at eta_min.
    save("schedule_cosine", schedule(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10, eta_min=.02), 11))
    save("schedule_step", schedule(
        lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=.3), 11))


def training():
    """An mlp(8) for 6 columns and 3 classes, 20 minibatches, cross-entropy with SGD and
    distillation with Adam. Minibatch 4, 9, ... are short."""
    rng = np.random.default_rng(99)
    x = as_f32(rng.normal(0, 1, (13, 6)))
    y = torch.tensor(rng.integers(0, 3, 13))
    q = as_f32(torch.softmax(torch.tensor(rng.normal(0, 2, (13, 3))), 1).numpy())
    start = as_f32(np.concatenate([rng.normal(0, .5, 48), rng.normal(0, .1, 8),
                                   rng.normal(0, .5, 24), rng.normal(0, .1, 3)]))
    batches = np.full((20, 4), -1, dtype=np.int64)
    for step in range(20):
        size = 2 if step % 5 == 4 else 4
        batches[step, :size] = rng.choice(13, size, replace=False)
    save("training_x", x)
    save("training_label", y)
    save("training_q", q)
    save("training_start", start)
    save("training_batches", batches)
    for name in ("train", "distill"):
        net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(),
                                  torch.nn.Linear(8, 3)).double()
        torch.nn.utils.vector_to_parameters(start.clone(), net.parameters())
        if name == "train":
            optimiser = torch.optim.SGD(net.parameters(), lr=.1, momentum=.9,
                                        weight_decay=1e-3)
        else:
            optimiser = torch.optim.Adam(net.parameters(), lr=.02)
        losses_seen = []
        for batch in batches:
            rows = batch[batch >= 0]
            optimiser.zero_grad()
            z = net(x[rows])
            loss = cross_entropy(z, y[rows]) if name == "train" else kl(z, q[rows], 2.0)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            losses_seen.append(loss.item())
        save("training_%s_losses" % name, np.array(losses_seen))
        save("training_%s_end" % name,
             torch.nn.utils.parameters_to_vector(net.parameters()))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    losses()
    optimisers()
    schedules()
    training()
