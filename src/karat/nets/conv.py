"""Small convolutional nets for 2-D grids: an encoder or critic, and a decoder or generator.

Sized for a laptop core: 5 to 10 million multiply-adds a picture at 28x28. Steps per second decide at a budget of minutes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def halvings(size: tuple[int, ...], floor: int = 8) -> int:
    """How often the shorter side is halved until it is at most `floor`, at least once where it is above 4."""
    n, side = 0, min(size)
    while side > floor or (n == 0 and side > 4):
        side, n = (side + 1) // 2, n + 1
    return n


def base(size: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The size after `n` halvings, rounded up."""
    return tuple(-(-s // 2**n) for s in size)


def ending(features: int, out: int, hidden: int, norm: bool) -> list[nn.Module]:
    """The layers from [n, features] to [n, out] at the end of an encoder or critic, by way of `hidden` where it is not 0."""
    if not hidden:
        return [nn.Linear(features, out)]
    if not norm:
        return [nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, out)]
    return [nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.SiLU(), nn.Linear(hidden, out)]


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
        layers += ending(features, out, hidden, norm)
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y


class PatchCritic(nn.Module):
    """[n, channels, height, width] -> scores [n, out, patches + 1]: of overlapping patches, then of the whole.

    Without normalisation. Texture is learned in few steps where every patch is an example: Isola et al.
    (https://arxiv.org/abs/1611.07004), section 3.2.2.
    """

    def __init__(self, channels: int, size: tuple[int, ...], out: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c, n = channels, halvings(size)
        for i in range(n):
            wide = width * 2 ** min(i, 3)
            layers += [nn.Conv2d(c, wide, 4, 2, 1), nn.LeakyReLU(0.2)]
            c = wide
            size = tuple(s // 2 for s in size)
        self.body = nn.Sequential(*layers)
        self.patches = nn.Conv2d(c, out, 3, 1, 1)
        half = tuple((s + 1) // 2 for s in size)
        self.whole = nn.Sequential(
            nn.Conv2d(c, c, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(c * half[0] * half[1], out)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return torch.cat([self.patches(h).flatten(2), self.whole(h)[:, :, None]], 2)


class ConvDecoder(nn.Module):
    """[n, latent] -> raw [n, channels, height, width]: transposed convolutions from the smallest grid upwards.

    The largest grid is the dearest. With `shuffle` its pixels come four at a time out of the grid half its size (Shi et
    al., https://arxiv.org/abs/1609.05158), a third faster; without, it has half the width of the grid before it.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, ...],
        latent: int,
        width: int,
        hidden: int = 0,
        activation: type[nn.Module] = nn.SiLU,
        shuffle: bool = False,
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
        shuffle = shuffle and n > 1
        for i in reversed(range(1 if shuffle else 0, n)):
            wide = 2 * width if shuffle else max(8, int(width * 2 ** min(i - 1, 3)))
            layers += [nn.ConvTranspose2d(c, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), activation()]
            c = wide
        if shuffle:
            layers += [nn.Conv2d(c, 4 * channels, 3, 1, 1), nn.PixelShuffle(2)]
        else:
            layers.append(nn.Conv2d(c, channels, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        raw: Tensor = self.body(z)
        return raw[..., : self.size[0], : self.size[1]]


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
