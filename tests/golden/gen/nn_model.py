"""Golden vectors of whole models: forward, backward and batch-norm statistics.

PyTorch in float64 on float32 parameters and inputs. Run from any directory:
  /usr/bin/python3 tests/golden/gen/nn_model.py
The cases are the same as in tests/unit/nn/test_model_golden.c.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "nn_model"
CLASSES = 3

# name: (input H W C, samples, layers). Layers: ("dense", units), ("conv", filters, kernel,
# stride, padding), ("max", kernel, stride, padding), ("average", ...), ("group", groups)...
CASES = {
    "dense": ((1, 1, 7), 5, [("dense", 9), ("relu",), ("dense", 6), ("tanh",)]),
    "gelu": ((1, 1, 6), 4, [("dense", 8), ("gelu",), ("dense", 5), ("gelu",)]),
    "conv_pool": ((9, 7, 2), 3, [("conv", 5, 3, 1, 1), ("relu",), ("max", 2, 2, 0),
                                 ("conv", 9, 3, 1, 1), ("relu",), ("max", 2, 2, 0)]),
    "conv_wide": ((6, 6, 8), 2, [("conv", 16, 3, 1, 1), ("relu",), ("conv", 24, 3, 1, 1),
                                 ("relu",), ("max", 2, 2, 0), ("dense", 8), ("relu",)]),
    "conv_stride": ((8, 7, 3), 3, [("conv", 4, 3, 1, 0), ("tanh",), ("conv", 6, 3, 2, 1),
                                   ("relu",), ("conv", 5, 2, 3, 1)]),
    "lenet": ((12, 12, 1), 3, [("conv", 6, 5, 1, 2), ("relu",), ("max", 2, 2, 0),
                               ("conv", 16, 5, 1, 0), ("relu",), ("max", 2, 2, 0),
                               ("dense", 10), ("relu",)]),
    "max_pool": ((7, 8, 2), 3, [("conv", 4, 3, 1, 1), ("max", 3, 2, 1),
                                ("conv", 3, 1, 1, 0), ("max", 2, 1, 0)]),
    "average_pool": ((7, 8, 2), 3, [("conv", 4, 3, 1, 1), ("average", 3, 2, 1),
                                    ("average", 2, 1, 0), ("conv", 5, 2, 1, 0),
                                    ("global",)]),
    "group_norm": ((5, 4, 3), 3, [("conv", 6, 3, 1, 1), ("group", 3), ("relu",),
                                  ("conv", 8, 3, 1, 1), ("group", 1), ("gelu",)]),
    "batch_norm": ((5, 4, 3), 4, [("conv", 6, 3, 1, 1), ("batch",), ("relu",),
                                  ("dense", 7), ("batch",), ("tanh",)]),
    "residual": ((7, 6, 2), 3, [("conv", 4, 3, 1, 1), ("relu",), ("begin",),
                                ("conv", 4, 3, 1, 1), ("group", 2), ("relu",),
                                ("conv", 4, 3, 1, 1), ("end",), ("relu",), ("begin",),
                                ("conv", 6, 3, 2, 1), ("relu",), ("conv", 6, 3, 1, 1),
                                ("end",), ("relu",), ("global",)]),
}


class Model:
    def __init__(self, shape, layers, generator):
        self.layers = layers + [("dense", CLASSES)]
        self.parameters, self.buffers = [], []
        self.generator = generator
        self.plan(shape)

    def tensor(self, *shape, centre=0.0, scale=None):
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 25.0
        values = self.generator.normal(centre, scale or 1 / np.sqrt(fan_in), shape)
        leaf = torch.tensor(values.astype(np.float32).astype(np.float64), requires_grad=True)
        self.parameters.append(leaf)
        return leaf

    def plan(self, shape):
        x = torch.zeros(1, shape[2], shape[0], shape[1], dtype=torch.float64)
        self.leaves = []
        for layer in self.layers:
            kind, leaves = layer[0], ()
            channels = x.shape[1]
            if kind == "dense":
                leaves = (self.tensor(layer[1], x.numel()), self.tensor(layer[1]))
            elif kind == "conv":
                leaves = (self.tensor(layer[1], layer[2], layer[2], channels),
                          self.tensor(layer[1]))
            elif kind in ("group", "batch"):
                leaves = (self.tensor(channels, centre=1.0), self.tensor(channels))
                if kind == "batch":
                    mean = torch.tensor(self.generator.normal(0, 0.3, channels).astype("f4").astype("f8"))
                    var = torch.tensor(self.generator.uniform(0.5, 2, channels).astype("f4").astype("f8"))
                    self.buffers += [mean, var]
                    leaves += (mean, var)
            elif kind == "begin":
                self.begin = x
            elif kind == "end" and self.begin.shape != x.shape:
                stride = next(s for s in range(1, 99)
                              if (self.begin.shape[2] - 1) // s + 1 == x.shape[2]
                              and (self.begin.shape[3] - 1) // s + 1 == x.shape[3])
                leaves = (self.tensor(channels, 1, 1, self.begin.shape[1]), stride)
            self.leaves.append(leaves)
            # Statistics of one zero sample must not count.
            x = self.apply(layer, leaves, x, training=False).detach()

    def apply(self, layer, leaves, x, training):
        kind = layer[0]
        if kind == "dense":
            flat = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
            return F.linear(flat, *leaves)[:, :, None, None]
        if kind == "conv":
            return F.conv2d(x, leaves[0].permute(0, 3, 1, 2), leaves[1], layer[3], layer[4])
        if kind == "max":
            return F.max_pool2d(x, layer[1], layer[2], layer[3])
        if kind == "average":
            return F.avg_pool2d(x, layer[1], layer[2], layer[3])
        if kind == "global":
            return x.mean((2, 3), keepdim=True)
        if kind == "group":
            return F.group_norm(x, layer[1], leaves[0], leaves[1])
        if kind == "batch":
            return F.batch_norm(x, leaves[2], leaves[3], leaves[0], leaves[1], training)
        if kind == "begin":
            self.begin = x
            return x
        if kind == "end":
            shortcut = self.begin
            if leaves:
                shortcut = F.conv2d(shortcut, leaves[0].permute(0, 3, 1, 2), None, leaves[1])
            return x + shortcut
        return {"relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh}[kind](x)

    def forward(self, x, training):
        for layer, leaves in zip(self.layers, self.leaves):
            x = self.apply(layer, leaves, x, training)
        return x[:, :, 0, 0]

    def block(self):
        tensors = [p.detach() for p in self.parameters] + self.buffers
        return np.concatenate([t.numpy().ravel() for t in tensors])


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for number, (name, (shape, samples, layers)) in enumerate(CASES.items()):
        generator = np.random.default_rng(1000 + number)
        model = Model(shape, layers, generator)
        x = generator.normal(0, 1, (samples, *shape)).astype(np.float32)
        dz = generator.normal(0, 1, (samples, CLASSES)).astype(np.float32)
        nchw = torch.tensor(x.astype(np.float64)).permute(0, 3, 1, 2)
        save = lambda part, values, kind: np.save(OUT / f"{name}_{part}.npy", values.astype(kind))
        save("block", model.block(), "f4")
        save("x", x, "f4")
        save("dz", dz, "f4")
        save("eval", model.forward(nchw, False).detach().numpy(), "f8")
        z = model.forward(nchw, True)
        z.backward(torch.tensor(dz.astype(np.float64)))
        save("train", z.detach().numpy(), "f8")
        gradient = np.concatenate([p.grad.numpy().ravel() for p in model.parameters])
        save("gradient", gradient, "f8")
        if model.buffers:
            save("buffers", np.concatenate([b.numpy() for b in model.buffers]), "f8")


main()
