#!/usr/bin/python3
"""Perplexity of token models on a text they have not seen: witan against PyTorch after the
same steps of Adam from the same parameters on the same minibatches of characters. Prints one
JSON object with both perplexities and their ratio; judges nothing.

The text is data/tinyshakespeare, its last tenth held out. PyTorch's LSTM has two biases where
witan has their sum; the second is frozen at zero, or Adam would move the sum twice as far.

Needs python3-torch, python3-numpy and a release build (cmake --preset release).

  tests/bench/compare_perplexity.py [--build build] [--steps 300] [--models 'lstm(128)' ...]
"""
import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "torch"))
import sequence_torch  # noqa: E402


def draw_windows(args):
    with gzip.open(args.text, "rt", encoding="utf-8") as file:
        text = file.read()
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    tokens = np.array([letters[letter] for letter in text], dtype=np.uint32)
    generator, edge = np.random.default_rng(1), len(tokens) * 9 // 10
    train = generator.integers(0, edge - args.length - 1, args.steps * args.batch)
    held = np.linspace(edge, len(tokens) - args.length - 1, args.windows).astype(int)
    starts = np.concatenate([train, held])[:, None]
    return len(letters), tokens[starts + np.arange(args.length + 1)]


def run_witan(args, model, vocabulary, windows):
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("windows", "initial")]
        windows.tofile(names[0])
        command = [os.path.join(args.build, "tests", "bench", "bench_perplexity"), model,
                   str(vocabulary), str(args.length), str(args.steps), str(args.batch),
                   str(args.lr)] + names
        result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return json.loads(result.stdout), np.fromfile(names[1], dtype=np.float32)


def pairs(model, kind, layers):
    """PyTorch's tensors in the order of witan's block."""
    yield model.embedding.weight
    if kind == "transformer":
        yield model.position.weight
        for block in model.net.layers:
            attention = block.self_attn
            yield from (block.norm1.weight, block.norm1.bias, attention.in_proj_weight,
                        attention.in_proj_bias, attention.out_proj.weight,
                        attention.out_proj.bias, block.norm2.weight, block.norm2.bias,
                        block.linear1.weight, block.linear1.bias, block.linear2.weight,
                        block.linear2.bias)
        yield from (model.net.norm.weight, model.net.norm.bias)
    else:
        for layer in range(layers):
            part = lambda name: getattr(model.net, f"{name}_l{layer}")
            yield from (part("weight_ih"), part("bias_ih"), part("weight_hh"))
            if kind == "gru":
                yield part("bias_hh")
            else:
                nn.init.zeros_(part("bias_hh")).requires_grad_(False)
    yield from (model.head.weight, model.head.bias)


def build_torch(text, length, initial):
    kind, numbers = re.fullmatch(r"(\w+)\(([\d,]+)\)", text).groups()
    numbers = [int(n) for n in numbers.split(",")]
    layers = numbers[1] if len(numbers) > 1 else 1
    if kind == "transformer":
        model = sequence_torch.Transformer(*numbers[:3], length)
    else:
        model = sequence_torch.Recurrent({"lstm": nn.LSTM, "gru": nn.GRU}[kind], numbers[0],
                                         layers)
    at = 0
    with torch.no_grad():
        for tensor in pairs(model, kind, layers):
            tensor.copy_(torch.from_numpy(initial[at:at + tensor.numel()]).view_as(tensor))
            at += tensor.numel()
    assert at == len(initial), "the blocks differ"
    return model


def run_torch(args, text, vocabulary, windows, initial):
    sequence_torch.VOCABULARY = vocabulary
    model = build_torch(text, args.length, initial)
    learnt = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.Adam(learnt, args.lr, foreach=True)
    windows = torch.from_numpy(windows.astype(np.int64))

    def loss_of(part):
        z = model(part[:, :-1])
        return nn.functional.cross_entropy(z.reshape(-1, vocabulary), part[:, 1:].reshape(-1))

    for step in range(args.steps):
        adam.zero_grad(set_to_none=True)
        loss = loss_of(windows[step * args.batch:(step + 1) * args.batch])
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 5.0)
        adam.step()
    model.eval()
    with torch.no_grad():
        return loss.item(), loss_of(windows[args.steps * args.batch:]).exp().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--text", default=os.path.join(ROOT, "data", "tinyshakespeare",
                                                       "input.txt.gz"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--windows", type=int, default=200, help="held out")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--models", nargs="+",
                        default=["lstm(128)", "gru(128)", "transformer(128,2,4)"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    vocabulary, windows = draw_windows(args)
    report = {"steps": args.steps, "batch": args.batch, "length": args.length, "lr": args.lr,
              "vocabulary": vocabulary, "held_out": args.windows, "models": {}}
    for text in args.models:
        witan, initial = run_witan(args, text, vocabulary, windows)
        loss, perplexity = run_torch(args, text, vocabulary, windows, initial)
        report["models"][text] = {
            "witan": witan["perplexity"], "torch": round(perplexity, 5),
            "ratio": round(witan["perplexity"] / perplexity, 5),
            "last_loss": {"witan": witan["last_loss"], "torch": round(loss, 5)}}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
