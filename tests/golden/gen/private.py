"""Golden vectors of private epochs: gradients of single rows, their norms, and one step of
SGD on the mean of the clipped gradients. PyTorch in float64 on float32 parameters.

Run from any directory: /usr/bin/python3 tests/golden/gen/private.py
The shapes are those of tests/unit/nn/network_rig.h.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from sequence import Model

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "private"
ROWS, FEATURES, HIDDEN, OUTPUTS, LENGTH, WIDTH = 6, 6, 5, 4, 5, 4
LR = 0.5


def as_f32(values):
    return torch.tensor(np.asarray(values).astype(np.float32).astype(np.float64))


def write(name, leaves, loss_of_row):
    rows = []
    for row in range(ROWS):
        gradient = torch.autograd.grad(loss_of_row(row), leaves)
        rows.append(torch.cat([g.ravel() for g in gradient]))
    rows = torch.stack(rows)
    norms = rows.norm(dim=1)
    clip = float(np.float32(norms.median() * 1.01))  # some are longer, some shorter
    mean = (rows * (clip / norms).clamp(max=1.0)[:, None]).mean(0)
    block = torch.cat([leaf.detach().ravel() for leaf in leaves])
    save = lambda part, values, kind: np.save(OUT / f"{name}_{part}.npy",
                                              np.asarray(values).astype(kind))
    save("block", block, "f4")
    save("gradients", rows, "f8")
    save("norms", torch.cat([norms, torch.tensor([clip])]), "f8")
    save("stepped", block - LR * mean, "f8")


def mlp(generator):
    x = as_f32(generator.normal(0, 1, (ROWS, FEATURES)))
    label = generator.integers(0, OUTPUTS, ROWS)
    leaves = [as_f32(generator.normal(0, 0.5, shape)).requires_grad_()
              for shape in ((HIDDEN, FEATURES), (HIDDEN,), (OUTPUTS, HIDDEN), (OUTPUTS,))]

    def loss(row):
        hidden = F.relu(F.linear(x[row:row + 1], leaves[0], leaves[1]))
        return F.cross_entropy(F.linear(hidden, leaves[2], leaves[3]),
                               torch.tensor(label[row:row + 1]))

    np.save(OUT / "mlp_x.npy", x.numpy().astype("f4"))
    np.save(OUT / "mlp_label.npy", label.astype("i4"))
    write("mlp", leaves, loss)


def lstm(generator):
    model = Model(("lstm", WIDTH, 1, 1, LENGTH, OUTPUTS, ROWS, LENGTH), generator)
    tokens = generator.integers(0, OUTPUTS, (ROWS, LENGTH + 1))

    def loss(row):
        z = model.forward(torch.tensor(tokens[row:row + 1, :-1]))
        return F.cross_entropy(z[0], torch.tensor(tokens[row, 1:]))

    np.save(OUT / "lstm_tokens.npy", tokens.astype("i4"))
    write("lstm", list(model.tensors.values()), loss)


OUT.mkdir(parents=True, exist_ok=True)
mlp(np.random.default_rng(3200))
lstm(np.random.default_rng(3201))
