"""Convolutional nets for grids of one axis, such as waves: an encoder or critic, a decoder or generator, and a denoiser.

The samples enter and leave in patches, by one convolution with a long kernel each, so that the layers between see a few
hundred places; strides of four from there (Donahue et al., WaveGAN, https://arxiv.org/abs/1802.04208).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat.nets.conv import MinibatchSpread, ending
from karat.nets.mlp import TimeEmbedding

PLACES = 512  # that the inner layers see, at most
INNER = 4  # stride between them


def patch(length: int) -> int:
    """Samples that enter together: the least power of two that leaves at most 512 places."""
    size = 1
    while -(-length // size) > PLACES:
        size *= 2
    return size


def levels(length: int) -> int:
    """How often the places are brought down fourfold, to at least four of them."""
    places, n = -(-length // patch(length)), 0
    while places >= 4 * INNER and n < 3:
        places, n = -(-places // INNER), n + 1
    return n


def grain(length: int) -> int:
    """What the length is padded to a multiple of."""
    return int(patch(length) * INNER ** levels(length))


class LineEncoder(nn.Module):
    """[n, channels, length] -> [n, out]; with `spread`, a critic that sees collapse."""

    def __init__(
        self, channels: int, length: int, out: int, width: int, hidden: int = 0, norm: bool = True, spread: bool = False
    ) -> None:
        super().__init__()
        self.pad = -length % grain(length)
        size, c, wide = patch(length), channels, width
        layers: list[nn.Module] = []
        for i in range(levels(length) + 1):
            stride = size if i == 0 else INNER
            kernel = 3 * stride if stride > 1 else 3
            layers.append(nn.Conv1d(c, wide, kernel, stride, (kernel - stride) // 2, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm1d(wide))
            layers.append(nn.SiLU() if norm else nn.LeakyReLU(0.2))
            c, wide = wide, 2 * wide
        if spread:
            layers.append(LineSpread())
            c += 1
        features = c * ((length + self.pad) // grain(length))
        layers.append(nn.Flatten())
        layers += ending(features, out, hidden, norm)
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(F.pad(x, (0, self.pad)))
        return y


class LineSpread(MinibatchSpread):
    """`MinibatchSpread` for [n, channels, places]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., None])[..., 0]


class LinePatchCritic(nn.Module):
    """[n, channels, length] -> scores [n, out, patches + 1]: of overlapping patches, then of the whole; not normalised."""

    def __init__(self, channels: int, length: int, out: int, width: int) -> None:
        super().__init__()
        self.pad = -length % grain(length)
        layers: list[nn.Module] = []
        c, wide = channels, width
        for i in range(max(1, levels(length))):
            stride = patch(length) if i == 0 else INNER
            kernel = 3 * stride if stride > 1 else 3
            layers += [nn.Conv1d(c, wide, kernel, stride, (kernel - stride) // 2), nn.LeakyReLU(0.2)]
            c, wide = wide, 2 * wide
        self.body = nn.Sequential(*layers)
        self.patches = nn.Conv1d(c, out, 3, 1, 1)
        places = self.body(torch.zeros(1, channels, length + self.pad)).shape[2]
        self.whole = nn.Sequential(
            nn.Conv1d(c, c, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(c * ((places + 1) // 2), out)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(F.pad(x, (0, self.pad)))
        return torch.cat([self.patches(h), self.whole(h)[:, :, None]], 2)


class LineDecoder(nn.Module):
    """[n, latent] -> raw [n, channels, length]: transposed convolutions, the last one laying down whole patches.

    Its kernels overlap threefold, so that patches meet without a seam.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        latent: int,
        width: int,
        hidden: int = 0,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        n, size = levels(length), patch(length)
        self.length = length
        places = (length + -length % grain(length)) // grain(length)
        c = width * 2**n
        dense: list[nn.Module] = []
        features = latent
        if hidden:
            dense += [nn.Linear(latent, hidden, bias=False), nn.BatchNorm1d(hidden), activation()]
            features = hidden
        dense += [nn.Linear(features, c * places, bias=False), nn.BatchNorm1d(c * places), activation()]
        layers: list[nn.Module] = [nn.Sequential(*dense), nn.Unflatten(1, (c, places))]
        for _ in range(n):
            layers += [
                nn.ConvTranspose1d(c, c // 2, 3 * INNER, INNER, INNER, bias=False),
                nn.BatchNorm1d(c // 2),
                activation(),
            ]
            c //= 2
        kernel = 3 * size if size > 1 else 3
        layers.append(nn.ConvTranspose1d(c, channels, kernel, size, (kernel - size) // 2))
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        raw: Tensor = self.body(z)
        return raw[..., : self.length]


class LineBlock(nn.Module):
    """Two convolutions along the line, dilated; the second scaled and shifted by the embedding, beginning at zero."""

    def __init__(self, width: int, dilation: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(max(1, width // 16), width)
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.film = nn.Linear(embedding, 2 * width)
        self.norm2 = nn.GroupNorm(max(1, width // 16), width, affine=False)
        self.conv2 = nn.Conv1d(width, width, 1)
        for layer in (self.film, self.conv2):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(e)[:, :, None].chunk(2, 1)
        out: Tensor = x + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return out


class LineDenoiser(nn.Module):
    """[n, channels, length], times [n], classes [n] -> [n, channels, length].

    A U-Net of two resolutions over patches, its blocks dilated 1, 2, 4, ... (WaveNet, https://arxiv.org/abs/1609.03499).
    Index `conditions` stands for "no class".
    """

    def __init__(self, channels: int, length: int, width: int, conditions: int, depth: int = 1) -> None:
        super().__init__()
        size = patch(length)
        self.length, self.pad = length, -length % (size * INNER)
        embedding = 2 * width
        self.time = TimeEmbedding(embedding, top=200.0)
        self.label = nn.Embedding(conditions + 1, embedding)
        nn.init.normal_(self.label.weight, std=0.5)
        kernel = 3 * size if size > 1 else 3
        self.enter = nn.Conv1d(channels, width, kernel, size, (kernel - size) // 2)
        self.above = nn.ModuleList(LineBlock(width, 2 ** (i % 4), embedding) for i in range(2 * depth))
        self.shrink = nn.Conv1d(width, 2 * width, INNER, INNER)
        self.below = nn.ModuleList(LineBlock(2 * width, 2 ** (i % 5), embedding) for i in range(4 * depth))
        self.grow = nn.ConvTranspose1d(2 * width, width, INNER, INNER)
        self.join = nn.Conv1d(2 * width, width, 1)
        self.after = nn.ModuleList(LineBlock(width, 2 ** (i % 4), embedding) for i in range(2 * depth))
        self.norm = nn.GroupNorm(max(1, width // 16), width)
        self.leave = nn.ConvTranspose1d(width, channels, kernel, size, (kernel - size) // 2)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        e = F.silu(self.time(t) + self.label(y))
        h = self.enter(F.pad(x, (0, self.pad)))
        for block in self.above:
            h = block(h, e)
        deep = self.shrink(h)
        for block in self.below:
            deep = block(deep, e)
        h = self.join(torch.cat([h, self.grow(deep)], 1))
        for block in self.after:
            h = block(h, e)
        out: Tensor = self.leave(F.silu(self.norm(h)))
        return out[..., : self.length]
