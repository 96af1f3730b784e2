"""Small convolutional nets for 2-D grids: an encoder or critic, and a decoder or generator.

Sized for a laptop core: 5 to 10 million multiply-adds a picture at 28x28. Steps per second decide at a budget of minutes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def halvings(size: tuple[int, ...], floor: int = 8) -> int:
    """How often the shorter side is halved until it is at most `floor`, at least once where it is above 4."""
    n, side = 0, min(size)
    while side > floor or (n == 0 and side > 4):
        side, n = (side + 1) // 2, n + 1
    return n


def base(size: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The size after `n` halvings, rounded up."""
    return tuple(-(-s // 2**n) for s in size)


class MinibatchSpread(nn.Module):
    """Adds a channel with the spread of the features over groups of eight, so that a critic sees collapse.

    Karras et al., "Progressive growing of GANs" (https://arxiv.org/abs/1710.10196), section 3.
    """

    def __init__(self, group: int = 8) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        group = self.group if n % self.group == 0 else n
        grouped = x.float().reshape(group, n // group, *x.shape[1:])
        spread = (grouped.var(0, unbiased=False) + 1e-8).sqrt().flatten(1).mean(1)
        plane = spread.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, *x.shape[2:])
        return torch.cat([x, plane.to(x.dtype)], 1)


class ConvEncoder(nn.Module):
    """[n, channels, height, width] -> [n, out]: strided convolutions that double the width as they halve the size."""

    def __init__(
        self,
        channels: int,
        size: tuple[int, ...],
        out: int,
        width: int,
        hidden: int = 0,
        norm: bool = True,
        spread: bool = False,
        deep: int = 0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c, n = channels, halvings(size)
        n += deep
        for i in range(n):
            wide = width * 2 ** min(i, 3)
            layers.append(nn.Conv2d(c, wide, 4, 2, 1, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(wide))
            layers.append(nn.SiLU() if norm else nn.LeakyReLU(0.2))
            c, size = wide, tuple((s + 2 - 4) // 2 + 1 for s in size)
        if spread:
            layers.append(MinibatchSpread())
            c += 1
        layers.append(nn.Flatten())
        features = c * size[0] * size[1]
        if hidden:
            layers.append(nn.Linear(features, hidden, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(nn.SiLU() if norm else nn.LeakyReLU(0.2))
            features = hidden
        layers.append(nn.Linear(features, out))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y


class ConvDecoder(nn.Module):
    """[n, latent] -> raw [n, channels, height, width]: transposed convolutions from the smallest grid upwards."""

    def __init__(
        self,
        channels: int,
        size: tuple[int, ...],
        latent: int,
        width: int,
        hidden: int = 0,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        n = halvings(size)
        self.size = size
        self.first = base(size, n)
        c = width * 2 ** max(0, min(n - 1, 3))
        dense: list[nn.Module] = []
        features = latent
        if hidden:
            dense += [nn.Linear(latent, hidden, bias=False), nn.BatchNorm1d(hidden), activation()]
            features = hidden
        cells = c * self.first[0] * self.first[1]
        dense += [nn.Linear(features, cells, bias=False), nn.BatchNorm1d(cells), activation()]
        layers: list[nn.Module] = [nn.Sequential(*dense), nn.Unflatten(1, (c, *self.first))]
        for i in reversed(range(n)):
            wide = max(8, int(width * 2 ** min(i - 1, 3)))  # the largest grid is the dearest: half the width there
            layers += [nn.ConvTranspose2d(c, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), activation()]
            c = wide
        layers.append(nn.Conv2d(c, channels, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        raw: Tensor = self.body(z)
        return raw[..., : self.size[0], : self.size[1]]


@lru_cache(maxsize=8)
def _waves(size: tuple[int, int], kernel: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Real matrices that turn points, kernels and spectra into each other, for a correlation with zeros outside.

    there [4 f, points] gives spectra as (re, -im) for all f, then as (im, re); kernels [2 f, taps] gives (re, im) of each
    frequency; back [points, 2 f] takes all real parts, then all imaginary ones. The period is the size and half a kernel,
    the shortest at which nothing wraps round onto a point.
    """
    period = [s + k // 2 for s, k in zip(size, kernel, strict=True)]
    every = torch.cartesian_prod(*(torch.arange(m) for m in period))
    mirror = (-every) % torch.tensor(period)
    rank, other = every @ torch.tensor([period[1], 1]), mirror @ torch.tensor([period[1], 1])
    half = every[rank <= other].double() * (2 * math.pi / torch.tensor(period, dtype=torch.float64))
    weight = torch.where(rank == other, 1.0, 2.0)[rank <= other].double() / math.prod(period)
    points = torch.cartesian_prod(*(torch.arange(s) for s in size)).double()
    taps = torch.cartesian_prod(*(torch.arange(-(k // 2), k // 2 + 1) for k in kernel)).double()
    c, s = (half @ points.T).cos(), (half @ points.T).sin()
    there = torch.stack([torch.stack([c, s], 1), torch.stack([-s, c], 1)])
    kernels = torch.stack([(half @ taps.T).cos(), (half @ taps.T).sin()], 1)
    back = torch.cat([weight[:, None] * c, -weight[:, None] * s])
    return there.flatten(0, 2).to(dtype), kernels.flatten(0, 1).to(dtype), back.T.contiguous().to(dtype)


class _WaveCorrelation(torch.autograd.Function):
    """Correlation as one matrix product a frequency; points lead, so that every Fourier transform is a matrix product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        n, c, h, w = x.shape
        out = len(weight)
        there, kernels, back = _waves((h, w), (weight.shape[2], weight.shape[3]), x.dtype)
        spectra = (there @ x.permute(2, 3, 1, 0).reshape(h * w, c * n)).view(2, -1, 2 * c, n)
        turned = (kernels @ weight.to(x.dtype).permute(2, 3, 1, 0).reshape(-1, c * out)).view(-1, 2 * c, out)
        ctx.save_for_backward(spectra, turned)
        ctx.shapes = x.shape, weight.shape
        answer = torch.stack([torch.bmm(turned.mT, part) for part in spectra])
        return (back @ answer.view(-1, out * n)).view(h, w, out, n).permute(3, 2, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        spectra, turned = ctx.saved_tensors
        (n, c, h, w), (out, _, *kernel) = ctx.shapes
        there, kernels, back = _waves((h, w), tuple(kernel), slope.dtype)
        g = (back.T @ slope.permute(2, 3, 1, 0).reshape(h * w, out * n)).view(2, -1, out, n)
        dx = there.T @ torch.stack([torch.bmm(turned, part) for part in g]).view(-1, c * n)
        dw = torch.baddbmm(torch.bmm(spectra[0], g[0].mT), spectra[1], g[1].mT)
        dw = kernels.T @ dw.view(-1, c * out)
        return dx.view(h, w, c, n).permute(3, 2, 0, 1), dw.view(*kernel, c, out).permute(3, 2, 0, 1).float()


class WaveConv2d(nn.Conv2d):
    """A convolution with stride 1, an odd kernel and as many zeros round the grid, that learns through its spectrum.

    On a CPU and a grid of at most 16 x 16 that is the same function at a seventh of the multiplications of a 5x5 kernel
    (Mathieu et al., https://arxiv.org/abs/1312.5851); the transforms are orthogonal, so bfloat16 loses no more than it
    does in the direct sum. Elsewhere, and when it does not learn, it is an ordinary convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or x.shape[2] * x.shape[3] > 256 or self.bias is not None:
            return nn.Conv2d.forward(self, x)
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        with torch.autocast("cpu", enabled=False):
            y: Tensor = _WaveCorrelation.apply(x, self.weight)
        return y


class ArticleGenerator(nn.Module):
    """The generator of the TensorFlow DCGAN walk-through that the articles print, for any size: 5x5 kernels throughout.

    Dense to 256 channels at a quarter of the size, 5x5 to 128 without a stride, then two strided steps: 64, channels.
    The first of its transposed convolutions has stride 1, which is a convolution with the kernel turned round; a plain
    convolution is the same family of functions and faster here.
    """

    def __init__(self, channels: int, size: tuple[int, ...], latent: int, width: int = 64) -> None:
        super().__init__()
        self.size = size
        self.first = base(size, 2)
        cells = 4 * width * self.first[0] * self.first[1]
        self.dense = nn.Sequential(nn.Linear(latent, cells, bias=False), nn.BatchNorm1d(cells), nn.LeakyReLU(0.3))
        self.body = nn.Sequential(
            nn.Conv2d(4 * width, 2 * width, 5, 1, 2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(2 * width, width, 5, 2, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(width, channels, 5, 2, 2, 1, bias=False),
        )

    def forward(self, z: Tensor) -> Tensor:
        h = self.dense(z).unflatten(1, (-1, *self.first))
        raw: Tensor = self.body(h)
        return raw[..., : self.size[0], : self.size[1]]


class ArticleDiscriminator(nn.Module):
    """The discriminator beside it: 5x5 convolutions with stride 2 to 64 and 128 channels, dropout, one score."""

    def __init__(self, channels: int, size: tuple[int, ...], out: int, width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        last = base(size, 2)
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, 2, 2),
            nn.LeakyReLU(0.3),
            nn.Dropout(dropout),
            nn.Conv2d(width, 2 * width, 5, 2, 2),
            nn.LeakyReLU(0.3),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(2 * width * last[0] * last[1], out),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y


def translate(x: Tensor, shift: Tensor) -> Tensor:
    """`x` [n, c, h, w] moved by `shift` [n, 2] whole pixels, edges repeated; gradients pass."""
    h, w = x.shape[2:]
    rows = (torch.arange(h, device=x.device)[None] + shift[:, :1]).clamp(0, h - 1)
    cols = (torch.arange(w, device=x.device)[None] + shift[:, 1:]).clamp(0, w - 1)
    n = torch.arange(len(x), device=x.device)
    return x[
        n[:, None, None, None],
        torch.arange(x.shape[1], device=x.device)[None, :, None, None],
        rows[:, None, :, None],
        cols[:, None, None, :],
    ]


def brighten(x: Tensor, amount: Tensor) -> Tensor:
    """`x` [n, c, h, w] with `amount` [n] added."""
    return x + amount[:, None, None, None]


def cut(x: Tensor, corner: Tensor, side: int) -> Tensor:
    """`x` with a square of `side` pixels at `corner` [n, 2] set to zero."""
    h, w = x.shape[2:]
    rows = torch.arange(h, device=x.device)[None] - corner[:, :1]
    cols = torch.arange(w, device=x.device)[None] - corner[:, 1:]
    hole = ((rows >= 0) & (rows < side))[:, None, :, None] & ((cols >= 0) & (cols < side))[:, None, None, :]
    return x * (~hole).to(x.dtype)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`x` [n, c, h, w] at `size`, antialiased."""
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
