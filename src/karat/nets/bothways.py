"""A small transformer over tokens in which each place sees all others: for filling in what is hidden.

The same blocks as the causal one: RMSNorm, rotary places (https://arxiv.org/abs/2104.09864), normalised queries and keys
(https://arxiv.org/abs/2010.04245), squared ReLU (https://arxiv.org/abs/2109.08668), no biases.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 1000.0  # of the rotary frequencies
SHARPNESS = 3.0  # of attention, times what is usual: normalised queries and keys cannot grow


class BothWays(nn.Module):
    """Codes [b, T], some of them hidden, to the logits [b, T, vocab] of every place, in float32.

    `mix` [depth, 4, width, width] (queries, keys, values, out), `up` and `down` are stacks of matrices, for Muon. The head
    and all that writes into the sum begin at zero.
    """

    MATRICES = ("mix", "up", "down")

    def __init__(self, codes: int, vocab: int, kinds: int, *, width: int, depth: int, heads: int) -> None:
        """codes: that can be read, the sign for what is hidden among them.   kinds: classes, and one for none; or 0."""
        super().__init__()
        self.width, self.heads = width, heads
        spread = 0.6 / width**0.5
        self.embed = nn.Parameter(torch.randn(codes, width) * 0.5)
        self.kind = nn.Parameter(torch.randn(kinds, width) * 0.5)
        self.mix = nn.Parameter(torch.randn(depth, 4, width, width) * spread)
        self.up = nn.Parameter(torch.randn(depth, 4 * width, width) * spread)
        self.down = nn.Parameter(torch.zeros(depth, width, 4 * width))
        self.head = nn.Parameter(torch.zeros(vocab, width))
        with torch.no_grad():
            self.mix[:, 3] = 0

    def forward(self, x: Tensor, kind: Tensor | None) -> Tensor:
        b, length = x.shape
        h = F.embedding(x, self.embed)
        if kind is not None:
            h = h + F.embedding(kind, self.kind)[:, None]
        h = _norm(h)
        half = self.width // self.heads // 2
        frequency = BASE ** -(torch.arange(half, device=x.device) / half)
        angle = torch.arange(length, device=x.device)[:, None] * frequency
        cos, sin = angle.cos(), angle.sin()
        for mix, up, down in zip(self.mix, self.up, self.down, strict=True):
            seen = F.linear(_norm(h), mix[:3].flatten(0, 1)).view(b, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            q, k = (_turn(_norm(part), cos, sin) for part in seen[:2])
            attended = F.scaled_dot_product_attention(q.to(seen.dtype) * SHARPNESS, k.to(seen.dtype), seen[2])
            h = h + F.linear(attended.transpose(1, 2).reshape(b, length, -1), mix[3])
            h = h + F.linear(F.linear(_norm(h), up).relu().square(), down)
        return F.linear(_norm(h), self.head).float()


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
