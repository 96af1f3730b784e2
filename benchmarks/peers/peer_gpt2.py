"""Hugging Face's GPT-2 at the size and settings of nanoGPT's configuration for a CPU, on characters, in its own environment.

https://github.com/karpathy/nanoGPT (train_shakespeare_char on a CPU: 4 layers of 128, 64 characters, batches of 12, AdamW at
1e-3 falling to 1e-4 along a cosine). Prints one line of JSON; CPU seconds of training, importing and compiling left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

BLOCK, BATCH, PEAK, FLOOR, WARM = 64, 12, 1e-3, 1e-4, 100
SPOKEN = 256  # characters of a sequence that is made


def train(codes: Tensor, vocab: int, seconds: float, seed: int) -> tuple[GPT2LMHeadModel, float, int]:
    torch.manual_seed(seed)
    shape = {"n_layer": 4, "n_head": 4, "n_embd": 128, "n_positions": SPOKEN + 1, "vocab_size": vocab}
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(**shape, **still, bos_token_id=0, eos_token_id=None, pad_token_id=0))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    began, steps = time.process_time(), 0
    while (done := (time.process_time() - began) / seconds) < 1:
        rate = (
            PEAK * min(1, (steps + 1) / WARM) * (FLOOR / PEAK + (1 - FLOOR / PEAK) * (1 + math.cos(math.pi * done)) / 2)
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        start = torch.randint(len(codes) - BLOCK - 1, (BATCH, 1))
        x = codes[start + torch.arange(BLOCK + 1)]
        loss = F.cross_entropy(model(x[:, :-1]).logits.flatten(0, 1), x[:, 1:].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        steps += 1
    return model.eval(), time.process_time() - began, steps


@torch.no_grad()
def bits(model: GPT2LMHeadModel, before: Tensor, codes: Tensor) -> float:
    """Bits of each of `codes`, in windows of the training context that slide by half of it."""
    half = BLOCK // 2
    stream = torch.cat([before[-BLOCK:], codes])
    padded = F.pad(stream, (0, BLOCK))
    starts = torch.arange(half - 1, len(stream) - 1 - half, half)
    nats, count = 0.0, 0
    for part in starts.split(256):
        x = padded[part[:, None] + torch.arange(BLOCK + 1)]
        each = F.cross_entropy(model(x[:, :-1]).logits.transpose(1, 2), x[:, 1:], reduction="none")[:, half:]
        real = part[:, None] + torch.arange(half + 1, BLOCK + 1) < len(stream)
        nats, count = nats + float(each[real].sum()), count + int(real.sum())
    assert count == len(codes), (count, len(codes))
    return nats / count / math.log(2)


@torch.no_grad()
def speed(model: GPT2LMHeadModel, n: int) -> float:
    """Characters per CPU second of `generate` with its cache."""
    start = torch.ones(n, 1, dtype=torch.long)
    how = {"do_sample": True, "top_k": 0, "use_cache": True, "attention_mask": torch.ones_like(start)}
    model.generate(start, max_new_tokens=8, **how)
    began = time.process_time()
    made = model.generate(start, max_new_tokens=SPOKEN, **how)
    return (made.numel() - n) / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--aside", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=120, help="CPU seconds to train for")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = Path(args.text).read_text(encoding="utf-8")
    symbols = {c: i for i, c in enumerate(sorted(set(text)))}
    codes = torch.tensor([symbols[c] for c in text])
    cut = int(len(text) * (1 - args.aside))
    model, spent, steps = train(codes[:cut], len(symbols), args.seconds, args.seed)
    answer = {"version": importlib.metadata.version("transformers"), "train": spent, "steps": steps}
    answer |= {"weights": sum(p.numel() for p in model.parameters()), "bits": bits(model, codes[:cut], codes[cut:])}
    print(json.dumps(answer | {f"speed_{n}": speed(model, n) for n in args.batches}))


if __name__ == "__main__":
    main()
