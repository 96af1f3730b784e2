"""A small causal transformer over tokens in which each place sees the last few, and its steps one code at a time.

RMSNorm, rotary places (https://arxiv.org/abs/2104.09864), normalised queries and keys (https://arxiv.org/abs/2010.04245),
squared ReLU (https://arxiv.org/abs/2109.08668), no biases, attention to a sliding window (https://arxiv.org/abs/2004.05150).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat.nets import quick

BASE = 1000.0  # of the rotary frequencies
SHARPNESS = 3.0  # of attention, times what is usual: normalised queries and keys cannot grow


class Transformer(nn.Module):
    """Codes, and features of each place, to numbers such as the logits of the code that follows.

    `mix` [depth, 4, width, width] (queries, keys, values, out), `up` and `down` are stacks of matrices, for Muon. The head
    and all that writes into the sum begin at zero, and so do the outputs.
    """

    MATRICES = ("mix", "up", "down")

    def __init__(
        self, vocab: int, out: int, kinds: int, features: int, *, width: int, depth: int, heads: int, span: int
    ) -> None:
        """out: outputs at each place.   kinds: classes, and one for none; or 0.   features: numbers that come with a place.

        span: codes that a place sees.
        """
        super().__init__()
        self.width, self.depth, self.heads, self.span = width, depth, heads, span
        self.embed = nn.Parameter(torch.randn(vocab, width) * 0.5)
        self.kind = nn.Parameter(torch.randn(kinds, width) * 0.5)
        self.features = nn.Parameter(torch.randn(width, features) * 0.02)
        spread = 0.6 / width**0.5
        self.mix = nn.Parameter(torch.randn(depth, 4, width, width) * spread)
        self.up = nn.Parameter(torch.randn(depth, 4 * width, width) * spread)
        self.down = nn.Parameter(torch.zeros(depth, width, 4 * width))
        self.head = nn.Parameter(torch.zeros(out, width))
        with torch.no_grad():
            self.mix[:, 3] = 0

    def forward(self, x: Tensor, features: Tensor | None, kind: Tensor | None) -> Tensor:
        """Outputs [b, T, out], in float32, after each of `x` [b, T]; features [b, T, features], kind [b].

        Products are in bfloat16 under autocast, on machines that multiply it.
        """
        dtype = self._dtype(x.device)
        with torch.autocast(x.device.type, enabled=False):
            return self._forward(x, features, kind, dtype)

    @staticmethod
    def _dtype(device: torch.device) -> torch.dtype:
        return quick(device) if torch.is_autocast_enabled(device.type) else torch.float32

    def _forward(self, x: Tensor, features: Tensor | None, kind: Tensor | None, dtype: torch.dtype) -> Tensor:
        length = x.shape[1]
        short = -length % self.span if length > self.span else 0
        if short:
            x = F.pad(x, (0, short))
            features = None if features is None else F.pad(features, (0, 0, 0, short))
        h = F.embedding(x, self.embed)
        if features is not None:
            h = h + F.linear(features.to(dtype), self.features.to(dtype)).float()
        if kind is not None:
            h = h + F.embedding(kind, self.kind)[:, None]
        h = _norm(h)
        mix, up, down = (w.to(dtype).unbind(0) for w in (self.mix, self.up, self.down))
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * self.frequencies(x.device)
        turn = angle.cos()[:, None], angle.sin()[:, None]
        mask = _mask(x.shape[1], self.span, x.device)
        for i in range(self.depth):
            h = h + F.linear(self._attend(_norm(h).to(dtype), mix[i], turn, mask), mix[i][3]).float()
            h = h + F.linear(F.linear(_norm(h).to(dtype), up[i]).relu().square(), down[i]).float()
        out = F.linear(_norm(h).to(dtype), self.head.to(dtype)).float()
        return out[:, :length]

    def frequencies(self, device: torch.device) -> Tensor:
        half = self.width // self.heads // 2
        return BASE ** -(torch.arange(half, device=device) / half)

    def _attend(self, h: Tensor, weight: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """What each place [b, T, width] takes from the last `span`; blocks of places see themselves and the block before."""
        b, length, width = h.shape
        each = width // self.heads
        qkv = F.linear(h, weight[:3].reshape(3 * width, width))
        qk = _norm(qkv[..., : 2 * width].float().view(b, length, 2 * self.heads, each))
        one, two = qk.chunk(2, -1)
        cos, sin = turn
        qk = torch.cat([one * cos - two * sin, one * sin + two * cos], -1).to(h.dtype)
        blocks = mask.shape[1]

        def block(z: Tensor) -> Tensor:
            return z.reshape(b, blocks, -1, self.heads, each)

        def windows(z: Tensor) -> Tensor:
            z = block(z)
            before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
            return (z if blocks == 1 else torch.cat([before, z], 2)).transpose(2, 3)

        q, k = block(qk[:, :, : self.heads]).transpose(2, 3), windows(qk[:, :, self.heads :])
        score = (q @ k.transpose(-1, -2)).float().mul_(SHARPNESS * each**-0.5).add_(mask)
        out = score.softmax(-1).to(h.dtype) @ windows(qkv[..., 2 * width :])
        return out.transpose(2, 3).reshape(b, length, width)


def _norm(h: Tensor) -> Tensor:
    return F.rms_norm(h, h.shape[-1:])


def _mask(length: int, span: int, device: torch.device) -> Tensor:
    """What is added to scores: [1, blocks, 1, span, 2 * span], or [1, 1, 1, length, length] where one block holds all."""
    if length <= span:
        i = torch.arange(length, device=device)
        return torch.where(i <= i[:, None], 0.0, -1e9)[None, None, None]
    i, j = torch.arange(span, device=device)[:, None], torch.arange(-span, span, device=device)
    near = torch.where((j <= i) & (i - j < span), 0.0, -1e9)
    first = near.masked_fill(j < 0, -1e9)
    return torch.stack([first] + [near] * (length // span - 1))[None, :, None]


class Steps:
    """n sequences that go on code by code: what `Transformer.forward` gives at the last place, without reading it all again.

    Keys and values of the last `span` places lie in one ring, so that a sequence may be as long as it likes.
    """

    def __init__(self, net: Transformer, n: int, kind: Tensor | None, dtype: torch.dtype) -> None:
        device = net.embed.device
        self.heads, self.depth, self.span, self.dtype = net.heads, net.depth, net.span, dtype
        each = net.width // net.heads
        self.layers = list(_layers(net, dtype))
        self.features, self.head = (w.detach().to(dtype).T.contiguous() for w in (net.features, net.head))
        self.embed = net.embed.detach()
        self.kind = None if kind is None else F.embedding(kind, net.kind.detach())
        self.ring = torch.zeros(net.depth, 2, n, net.heads, net.span, each, dtype=dtype, device=device)
        self.frequencies = net.frequencies(device).double()
        self.scale = SHARPNESS * each**-0.5
        self.at = 0

    def step(self, codes: Tensor, features: Tensor | None) -> Tensor:
        """Outputs [n, out] after `codes` [n]; features [n, features]."""
        n, heads = len(codes), self.heads
        h = F.embedding(codes, self.embed)
        if features is not None:
            h = h + (features.to(self.dtype) @ self.features).float()
        if self.kind is not None:
            h = h + self.kind
        h = _norm(h)
        width = h.shape[1]
        angle = self.at * self.frequencies
        turn = torch.complex(angle.cos(), angle.sin()).to(torch.complex64)
        slot, filled = self.at % self.span, min(self.at + 1, self.span)
        for (mix, out, up, down), (key, value) in zip(self.layers, self.ring, strict=True):
            qkv = _norm(h).to(self.dtype) @ mix
            qk = _norm(qkv[:, : 2 * width].float().view(n, 2 * heads, -1))
            qk = torch.view_as_real(torch.view_as_complex(qk.view(n, 2 * heads, -1, 2)) * turn).flatten(2)
            key[:, :, slot] = qk[:, heads:]
            value[:, :, slot] = qkv[:, 2 * width :].view(n, heads, -1)
            # two products are 5 times as quick as torch's fused attention where there is one query
            score = torch.bmm(qk[:, :heads].to(self.dtype).reshape(n * heads, 1, -1), key.flatten(0, 1).mT).float()
            if filled < self.span:
                score[:, :, filled:] = -torch.inf
            taken = torch.bmm(score.mul_(self.scale).softmax(-1).to(self.dtype), value.flatten(0, 1))
            h = h + (taken.reshape(n, width) @ out).float()
            h = h + ((_norm(h).to(self.dtype) @ up).relu_().square_() @ down).float()
        self.at += 1
        return (_norm(h).to(self.dtype) @ self.head).float()

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        self.ring = self.ring[:, :, rows]
        self.kind = None if self.kind is None else self.kind[rows]


class SingleSteps:
    """As `Steps`, for one sequence on the CPU, in numpy: there calls cost more than products, and these are cheaper."""

    def __init__(self, net: Transformer, kind: Tensor | None) -> None:
        each = net.width // net.heads
        self.heads, self.span = net.heads, net.span
        self.layers = [tuple(w.numpy() for w in layer) for layer in _layers(net, torch.float32)]
        self.embed, self.features, self.head = (
            w.detach().numpy() for w in (net.embed, net.features.T.contiguous(), net.head.T)
        )
        self.head = np.ascontiguousarray(self.head)
        self.kind = np.float32(0) if kind is None else net.kind.detach().numpy()[int(kind)]
        self.ring = np.zeros((net.depth, 2, net.heads, net.span, each), np.float32)
        self.frequencies = net.frequencies(torch.device("cpu")).double().numpy()
        self.scale = np.float32(SHARPNESS * each**-0.5)
        self.at = 0

    def step(self, codes: Tensor, features: np.ndarray | None) -> np.ndarray:
        """Outputs [1, out] after the one of `codes` [1]; features [features]."""
        h = self.embed[int(codes)] + self.kind
        if features is not None:
            h = h + features.astype(np.float32) @ self.features
        h = h * _shrink(h)
        width, heads = len(h), self.heads
        angle = self.at * self.frequencies
        turn = (np.cos(angle) + 1j * np.sin(angle)).astype(np.complex64)
        slot, filled = self.at % self.span, min(self.at + 1, self.span)
        for (mix, out, up, down), (key, value) in zip(self.layers, self.ring, strict=True):
            # a norm is one number, so it may follow the product; of normalised queries and keys it drops out
            qkv = h @ mix
            qk = qkv[: 2 * width].reshape(2 * heads, -1)
            qk = (qk.view(np.complex64) * turn).view(np.float32)
            qk *= (np.einsum("hi,hi->h", qk, qk) / qk.shape[1] + EPSILON)[:, None] ** np.float32(-0.5)
            key[:, slot] = qk[heads:]
            value[:, slot] = (qkv[2 * width :] * _shrink(h)).reshape(heads, -1)
            score = np.matmul(key[:, :filled], qk[:heads, :, None])[:, :, 0] * self.scale
            np.exp(score, out=score)  # of at most 3 sqrt(each)
            taken = np.matmul(score[:, None], value[:, :filled])[:, 0] / score.sum(1, keepdims=True)
            h = h + taken.ravel() @ out
            wide = np.maximum(h @ up, 0)
            wide *= wide
            h = h + (wide @ down) * _shrink(h) ** 2
        self.at += 1
        logits: np.ndarray = (h @ self.head) * _shrink(h)
        return logits[None]

    def keep(self, rows: Tensor) -> None:
        """The one goes on."""


EPSILON = np.float32(torch.finfo(torch.float32).eps)  # as torch's RMSNorm


def _shrink(h: np.ndarray) -> np.float32:
    return np.float32((float(h @ h) / len(h) + float(EPSILON)) ** -0.5)


def _layers(net: Transformer, dtype: torch.dtype) -> Iterator[tuple[Tensor, ...]]:
    """Of each layer the matrices that make queries, keys and values, out, up and down, to be multiplied from the right.

    The halves of queries and keys that rotary pairs up lie side by side, so that a pair is one complex number.
    """
    each = net.width // net.heads
    pairs = torch.arange(each, device=net.mix.device).view(2, -1).T.flatten()
    order = (torch.arange(net.heads, device=net.mix.device)[:, None] * each + pairs).flatten()
    for mix, up, down in zip(net.mix.detach(), net.up.detach(), net.down.detach(), strict=True):
        qkv = torch.cat([mix[0][order], mix[1][order], mix[2]])
        yield tuple(w.to(dtype).T.contiguous() for w in (qkv, mix[3], up, down))
