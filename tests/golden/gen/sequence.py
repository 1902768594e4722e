"""Golden vectors of token models: logits, loss, gradient, one clipped Adam step.

PyTorch in float64 on float32 parameters. Run from any directory:
  /usr/bin/python3 tests/golden/gen/sequence.py
The cases are the same as in tests/unit/nn/test_sequence_golden.c. LSTM and GRU are
PyTorch's own (what torch.nn.LSTM calls); the transformer is written out below.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "sequence"

# name: (cell, width, layers, heads, context, vocabulary, windows, length)
CASES = {
    "lstm": ("lstm", 10, 2, 1, 9, 11, 3, 7),
    "lstm_one": ("lstm", 16, 1, 1, 8, 2, 1, 1),
    "gru": ("gru", 9, 2, 1, 9, 7, 4, 6),
    "gru_one": ("gru", 5, 1, 1, 8, 2, 1, 1),
    "transformer": ("transformer", 12, 2, 3, 8, 9, 3, 6),
    "transformer_full": ("transformer", 8, 1, 2, 5, 6, 2, 5),
    "transformer_one": ("transformer", 4, 1, 1, 3, 2, 1, 1),
}
# A large epsilon: the gradient of a key bias is zero but for rounding.
LR, CLIP, EPSILON = 0.01, 0.5, 1e-3


class Model:
    def __init__(self, case, generator):
        (self.cell, self.width, self.layers, self.heads, self.context, self.vocabulary,
         self.windows, self.length) = case
        self.generator, self.tensors = generator, {}
        d, v = self.width, self.vocabulary
        self.tensor("embedding.weight", v, d, scale=1.0)
        if self.cell == "transformer":
            self.tensor("position.weight", self.context, d, scale=0.5)
        for layer in range(self.layers):
            if self.cell == "transformer":
                self.tensor(f"{layer}.norm1.weight", d, centre=1.0)
                self.tensor(f"{layer}.norm1.bias", d)
                self.tensor(f"{layer}.qkv.weight", 3 * d, d)
                self.tensor(f"{layer}.qkv.bias", 3 * d)
                self.tensor(f"{layer}.out.weight", d, d)
                self.tensor(f"{layer}.out.bias", d)
                self.tensor(f"{layer}.norm2.weight", d, centre=1.0)
                self.tensor(f"{layer}.norm2.bias", d)
                self.tensor(f"{layer}.up.weight", 4 * d, d)
                self.tensor(f"{layer}.up.bias", 4 * d)
                self.tensor(f"{layer}.down.weight", d, 4 * d)
                self.tensor(f"{layer}.down.bias", d)
            else:
                gates = (4 if self.cell == "lstm" else 3) * d
                self.tensor(f"{layer}.input.weight", gates, d)
                self.tensor(f"{layer}.bias", gates)
                self.tensor(f"{layer}.recurrent.weight", gates, d)
                if self.cell == "gru":
                    self.tensor(f"{layer}.recurrent.bias", gates)
        if self.cell == "transformer":
            self.tensor("norm.weight", d, centre=1.0)
            self.tensor("norm.bias", d)
        self.tensor("head.weight", v, d)
        self.tensor("head.bias", v)

    def tensor(self, name, *shape, centre=0.0, scale=None):
        fan_in = shape[1] if len(shape) > 1 else 10.0
        values = self.generator.normal(centre, scale or 1 / np.sqrt(fan_in), shape)
        self.tensors[name] = torch.tensor(values.astype(np.float32).astype(np.float64),
                                          requires_grad=True)

    def recurrent(self, x):
        weights = []
        for layer in range(self.layers):
            bias = self.tensors[f"{layer}.bias"]
            weights += [self.tensors[f"{layer}.input.weight"],
                        self.tensors[f"{layer}.recurrent.weight"], bias,
                        self.tensors.get(f"{layer}.recurrent.bias", torch.zeros_like(bias))]
        start = torch.zeros(self.layers, x.shape[0], self.width, dtype=x.dtype)
        more = (weights, True, self.layers, 0.0, False, False, True)
        if self.cell == "lstm":
            return torch._VF.lstm(x, (start, start), *more)[0]
        return torch._VF.gru(x, start, *more)[0]

    def linear(self, x, name):
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (self.width,), self.tensors[f"{name}.weight"],
                            self.tensors[f"{name}.bias"])

    def transformer(self, x):
        windows, length, width = x.shape
        x = x + self.tensors["position.weight"][:length]
        hidden = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        for layer in range(self.layers):
            qkv = self.linear(self.norm(x, f"{layer}.norm1"), f"{layer}.qkv")
            q, k, v = (part.reshape(windows, length, self.heads, -1).transpose(1, 2)
                       for part in qkv.split(width, 2))
            score = q @ k.transpose(2, 3) / np.sqrt(width / self.heads)
            share = score.masked_fill(hidden, -np.inf).softmax(3)
            x = x + self.linear((share @ v).transpose(1, 2).reshape(x.shape), f"{layer}.out")
            up = F.gelu(self.linear(self.norm(x, f"{layer}.norm2"), f"{layer}.up"))
            x = x + self.linear(up, f"{layer}.down")
        return self.norm(x, "norm")

    def forward(self, tokens):
        x = self.tensors["embedding.weight"][tokens]
        x = self.transformer(x) if self.cell == "transformer" else self.recurrent(x)
        return self.linear(x, "head")

    def block(self):
        return np.concatenate([t.detach().numpy().ravel() for t in self.tensors.values()])


def models():
    for number, (name, case) in enumerate(CASES.items()):
        generator = np.random.default_rng(3000 + number)
        model = Model(case, generator)
        tokens = generator.integers(0, model.vocabulary, (model.windows, model.length + 1))
        save = lambda part, values, kind: np.save(OUT / f"{name}_{part}.npy", values.astype(kind))
        save("block", model.block(), "f4")
        save("tokens", tokens, "i4")
        z = model.forward(torch.tensor(tokens[:, :-1]))
        loss = F.cross_entropy(z.reshape(-1, model.vocabulary), torch.tensor(tokens[:, 1:]).ravel())
        loss.backward()
        save("logits", z.detach().numpy(), "f8")
        leaves = list(model.tensors.values())
        save("gradient", np.concatenate([t.grad.numpy().ravel() for t in leaves]), "f8")
        norm = torch.nn.utils.clip_grad_norm_(leaves, CLIP)
        save("loss", np.array([loss.item(), float(norm)]), "f8")
        torch.optim.Adam(leaves, LR, eps=EPSILON).step()
        save("stepped", model.block(), "f8")


def top_losses():
    """KL over k tokens and a bucket of the rest; gradients by autograd."""
    generator = np.random.default_rng(3100)
    for name, (rows, count, k, temp) in {"top_1": (5, 20, 4, 1.0), "top_3": (5, 20, 4, 3.0),
                                         "top_all": (4, 6, 6, 2.0)}.items():
        z = torch.tensor(generator.normal(0, 3, (rows, count)).astype("f4").astype("f8"),
                         requires_grad=True)
        full = generator.dirichlet(np.full(count, 0.3), rows)
        token = np.argsort(-full, 1)[:, :k].copy()
        mass = np.take_along_axis(full, token, 1).astype("f4").astype("f8")
        if k == count:
            mass /= mass.sum(1, keepdims=True)
        given, picked = torch.tensor(mass), torch.tensor(token)
        rest = (1 - given.sum(1, keepdim=True)) if k < count else torch.zeros(rows, 1)
        left = (count - k) * (rest / max(count - k, 1)) ** (1 / temp)
        q = torch.cat([given ** (1 / temp), left], 1)
        q = q / q.sum(1, keepdim=True)
        p = torch.softmax(z / temp, 1)
        chosen = p.gather(1, picked)
        others = p.scatter(1, picked, 0.0).sum(1, keepdim=True)
        parts = torch.cat([chosen, others], 1)
        term = torch.where(q > 0, q * (q.clamp_min(1e-300).log() - parts.clamp_min(1e-300).log()), 0.0)
        loss = temp ** 2 * term.sum(1).mean()
        loss.backward()
        save = lambda part, values, kind: np.save(OUT / f"{name}_{part}.npy", values.astype(kind))
        save("z", z.detach().numpy(), "f4")
        save("token", token, "i4")
        save("mass", mass, "f4")
        save("dz", z.grad.numpy(), "f8")
        save("loss", np.array([loss.item(), temp]), "f8")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    models()
    top_losses()
