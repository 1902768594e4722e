"""Golden vectors of the num room: softmax and optimiser steps.

PyTorch in float64 on float32 inputs. Run from any directory:
  /usr/bin/python3 tests/golden/gen/num.py
"""
import pathlib

import numpy as np
import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "num"
STEPS, COUNT = 5, 37


def softmax(generator):
    z = (generator.normal(0, 1, (7, 11)) * 20).astype(np.float32)
    np.save(OUT / "softmax_z.npy", z)
    wide = torch.tensor(z.astype(np.float64))
    for name, temp in (("half", 0.5), ("one", 1.0), ("four", 4.0)):
        np.save(OUT / f"softmax_{name}.npy", torch.softmax(wide / temp, 1).numpy())
    np.save(OUT / "log_sum_exp.npy", torch.logsumexp(wide, 1).numpy())


def update(generator):
    start = generator.normal(0, 1, COUNT).astype(np.float32)
    gradients = generator.normal(0, 1, (STEPS, COUNT)).astype(np.float32)
    np.save(OUT / "update_start.npy", start)
    np.save(OUT / "update_gradients.npy", gradients)
    makers = {
        "sgd": lambda w: torch.optim.SGD(w, 0.1, weight_decay=0.01),
        "momentum": lambda w: torch.optim.SGD(w, 0.05, momentum=0.9, weight_decay=0.02),
        "adam": lambda w: torch.optim.Adam(w, 0.01, (0.8, 0.95), 1e-6, weight_decay=0.03),
        "adamw": lambda w: torch.optim.AdamW(w, 0.01, (0.9, 0.999), 1e-8, weight_decay=0.1),
    }
    for name, maker in makers.items():
        w = torch.tensor(start.astype(np.float64), requires_grad=True)
        optimiser = maker([w])
        for gradient in gradients:
            w.grad = torch.tensor(gradient.astype(np.float64))
            optimiser.step()
        np.save(OUT / f"update_{name}.npy", w.detach().numpy())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(7)
    softmax(generator)
    update(generator)


main()
