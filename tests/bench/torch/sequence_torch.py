#!/usr/bin/env python3
"""Training steps of a token model in PyTorch: the counterpart of bench_sequence.

nn.Embedding, nn.LSTM (or nn.GRU, or a pre-norm transformer), nn.Linear; cross-entropy,
clip_grad_norm_ and Adam (foreach, its faster form). The same sizes, the same Adam.
Prints one JSON object.

  sequence_torch.py --model 'lstm(200,2,50)' --threads 1 [--seconds 3]
"""
import argparse
import json
import re
import statistics
import time

import torch
from torch import nn

BATCH, VOCABULARY = 64, 65


class Recurrent(nn.Module):
    def __init__(self, kind, width, layers):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.net = kind(width, width, layers)  # time first: its faster layout
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens):
        return self.head(self.net(self.embedding(tokens.t()))[0]).transpose(0, 1)


class Transformer(nn.Module):
    def __init__(self, width, layers, heads, context):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(context, width)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu",
                                           batch_first=True, norm_first=True)
        self.net = nn.TransformerEncoder(block, layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, VOCABULARY)
        self.register_buffer("mask", torch.full((context, context), -torch.inf).triu(1))

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.embedding(tokens) + self.position.weight[:length]
        return self.head(self.net(x, self.mask[:length, :length]))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lstm(200,2,50)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    name, numbers = re.fullmatch(r"(\w+)\(([\d,]+)\)", args.model).groups()
    numbers = [int(n) for n in numbers.split(",")]
    length = numbers[-1]
    if name == "transformer":
        model = Transformer(*numbers)
    else:
        model = Recurrent({"lstm": nn.LSTM, "gru": nn.GRU}[name], *numbers[:2])
    adam = torch.optim.Adam(model.parameters(), 1e-3, foreach=True)
    times, busy, start = [], [], time.perf_counter()
    while time.perf_counter() - start < args.seconds:
        text = (VOCABULARY * torch.rand(BATCH, length + 1) ** 3).long()
        before, cpu = time.perf_counter(), time.process_time()
        adam.zero_grad(set_to_none=True)
        z = model(text[:, :-1])
        loss = nn.functional.cross_entropy(z.reshape(-1, VOCABULARY), text[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        adam.step()
        times.append(time.perf_counter() - before)
        busy.append(time.process_time() - cpu)  # of all threads
    tokens = BATCH * length
    print(json.dumps({"model": args.model, "threads": args.threads, "steps": len(times),
                      "tokens_per_second": round(tokens / min(times)),
                      "median": round(tokens / statistics.median(times)),
                      "tokens_per_cpu_second": round(tokens / min(busy)),
                      "loss": round(loss.item(), 4)}))


if __name__ == "__main__":
    main()
