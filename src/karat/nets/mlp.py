"""Fully connected nets: for rows of fields, for latent vectors, and for the articles' first GAN."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def stack(sizes: tuple[int, ...], activation: type[nn.Module], norm: bool = False) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1] with the activation, and batch normalisation if asked, between them."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        last = i == len(sizes) - 2
        layers.append(nn.Linear(a, b, bias=last or not norm))
        if not last:
            if norm:
                layers.append(nn.BatchNorm1d(b))
            layers.append(activation())
    return nn.Sequential(*layers)


class Flat(nn.Module):
    """A fully connected net from any shape to any shape."""

    def __init__(
        self,
        shape_in: tuple[int, ...],
        shape_out: tuple[int, ...],
        hidden: tuple[int, ...],
        activation: type[nn.Module] = nn.SiLU,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.shape_out = shape_out
        self.body = stack((_numel(shape_in), *hidden, _numel(shape_out)), activation, norm)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x.flatten(1))
        return out.reshape(len(x), *self.shape_out)


def _numel(shape: tuple[int, ...]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


class TimeEmbedding(nn.Module):
    """Log-spaced sines and cosines of a time in [0, 1], through a small net: [n] -> [n, width]."""

    frequencies: Tensor

    def __init__(self, width: int, top: float = 60.0, count: int = 16) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(0, math.log10(top), count))
        self.body = nn.Sequential(nn.Linear(2 * count, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None] * self.frequencies
        out: Tensor = self.body(torch.cat([angle.sin(), angle.cos()], 1))
        return out


class ResidualMLP(nn.Module):
    """Denoises vectors: residual blocks whose normalisation is scaled and shifted by time and class.

    The layout of adaLN-zero (Peebles & Xie, https://arxiv.org/abs/2212.09748) without attention. `conditions` is the
    number of classes; index `conditions` stands for "no class". One scale and shift per block is computed from a
    shared projection, so that the blocks cost more than their conditioning.
    """

    def __init__(self, dim: int, width: int, depth: int, conditions: int) -> None:
        super().__init__()
        self.time = TimeEmbedding(width)
        self.label = nn.Embedding(conditions + 1, width)
        self.enter = nn.Linear(dim, width)
        self.films = nn.Linear(width, 2 * width * depth)
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(depth))
        self.ups = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.downs = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        last = self.leave[1]
        assert isinstance(last, nn.Linear)
        for layer in (*self.downs, last, self.films):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        if t.numel() > 1 and bool((t == t[0]).all()) and not self.training:
            # One time for the whole batch, as in sampling: condition once per class, not once per row.
            embedding = self.time(t[:1]) + self.label.weight
            films = self.films(F.silu(embedding))[y].chunk(2 * len(self.ups), 1)
        else:
            films = self.films(F.silu(self.time(t) + self.label(y))).chunk(2 * len(self.ups), 1)
        h = self.enter(x)
        for i, (norm, up, down) in enumerate(zip(self.norms, self.ups, self.downs, strict=True)):
            h = h + down(F.silu(up(norm(h) * (1 + films[2 * i]) + films[2 * i + 1])))
        out: Tensor = self.leave(h)
        return out
