"""What a tensor means: the only thing a kind of content and a kind of model share.

A codec turns content into points of a space, a family learns to make new points of it. Neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Points are float `[channels, *size]` in [-1, 1]: pixels (2-D), waves (1-D)."""

    channels: int
    size: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, *self.size)

    @property
    def numel(self) -> int:
        return prod(self.shape)

    def surprise(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of `x` [n, *shape] under a Gaussian round `squash(raw)` whose one width is the best for the batch.

        The mean and its gradient are those of numel/2 * log(MSE): Rybkin et al., "Simple and effective VAE training
        with calibrated decoders" (https://arxiv.org/abs/2006.13202), eq. 10, up to a constant.
        """
        error = (torch.tanh(raw) - x).float().square().flatten(1).mean(1)
        width = error.mean().detach().clamp_min(1e-8)
        return self.numel / 2 * (error / width - 1 + width.log())

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """A valid point for any finite `raw`."""
        return torch.tanh(raw)


@dataclass(frozen=True)
class Fields:
    """Points are float `[sum(widths)]`: width 1 is a number in [-1, 1], width k is one of k choices, one-hot."""

    widths: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(self.widths),)

    @property
    def numel(self) -> int:
        return sum(self.widths)

    def surprise(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of `x` [n, sum(widths)]: best-width Gaussians for numbers, cross-entropy for choices."""
        total = raw.new_zeros(len(x), dtype=torch.float32)
        for r, t, width in zip(raw.split(self.widths, 1), x.split(self.widths, 1), self.widths, strict=True):
            if width == 1:
                error = (torch.tanh(r) - t).float().square()[:, 0]
                best = error.mean().detach().clamp_min(1e-8)
                total = total + (error / best - 1 + best.log()) / 2
            else:
                total = total + F.cross_entropy(r.float(), t.argmax(1), reduction="none")
        return total

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Numbers through tanh; a choice drawn from the softmax with `rng`, or the likeliest one without."""
        out = []
        for r, width in zip(raw.split(self.widths, 1), self.widths, strict=True):
            if width == 1:
                out.append(torch.tanh(r))
            elif rng is None:
                out.append(F.one_hot(r.argmax(1), width).to(r.dtype))
            else:
                p = r.float().softmax(1)
                out.append(F.one_hot(torch.multinomial(p, 1, generator=rng)[:, 0], width).to(r.dtype))
        return torch.cat(out, 1)


@dataclass(frozen=True)
class Codes:
    """Points are long `[len(sizes)]`: cell j is one of `sizes[j]` codes; where `ordered[j]`, near codes are near values."""

    sizes: tuple[int, ...]
    ordered: tuple[bool, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.sizes),)

    @property
    def numel(self) -> int:
        return len(self.sizes)

    def surprise(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of codes `x` [n, columns] under the softmax of each column's part of `raw` [n, sum(sizes)]."""
        total = raw.new_zeros(len(x), dtype=torch.float32)
        for j, part in enumerate(raw.split(self.sizes, 1)):
            total = total + F.cross_entropy(part.float(), x[:, j], reduction="none")
        return total

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Codes [n, columns] drawn from the softmax of each column's part with `rng`, or the likeliest without."""
        parts = [part.float() for part in raw.split(self.sizes, 1)]
        if rng is None:
            return torch.stack([part.argmax(1) for part in parts], 1)
        return torch.stack([torch.multinomial(part.softmax(1), 1, generator=rng)[:, 0] for part in parts], 1)


Space = Grid | Fields | Codes


@dataclass(frozen=True)
class Columns:
    """How a judge sees a table: float64 `[n, len(names)]`, missing cells NaN.

    A number is itself. Where `choices[j]` is not empty the cell is an index into it; `len(choices[j])` stands for a
    value that is none of them.
    """

    names: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)


@dataclass(frozen=True)
class Batch:
    """Points `x` [n, *shape], labels `y` [n] (long) or None, the fraction of the budget used, and where chance comes from."""

    x: Tensor
    y: Tensor | None
    progress: float
    rng: torch.Generator
