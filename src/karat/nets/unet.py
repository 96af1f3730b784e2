"""A U-Net that denoises 2-D grids, conditioned on time and class, sized by one width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat.nets.mlp import TimeEmbedding


class Block(nn.Module):
    """Two convolutions with group normalisation; the second is scaled and shifted by the embedding and starts at zero."""

    def __init__(self, c_in: int, c_out: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(max(1, c_in // 16), c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, 1, 1)
        self.film = nn.Linear(embedding, 2 * c_out)
        self.norm2 = nn.GroupNorm(max(1, c_out // 16), c_out, affine=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1)
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)
        for layer in (self.film, self.conv2):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(e)[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        out: Tensor = self.skip(x) + h
        return out


class Attention(nn.Module):
    """Self-attention over the cells of the smallest grid, with a residual that starts at zero."""

    def __init__(self, c: int, head: int = 32) -> None:
        super().__init__()
        self.heads = max(1, c // head)
        self.norm = nn.GroupNorm(max(1, c // 16), c)
        self.qkv = nn.Conv2d(c, 3 * c, 1)
        self.out = nn.Conv2d(c, c, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w).transpose(3, 4)
        y = F.scaled_dot_product_attention(qkv[:, 0], qkv[:, 1], qkv[:, 2])
        out: Tensor = x + self.out(y.transpose(2, 3).reshape(n, c, h, w))
        return out


class UNet(nn.Module):
    """[n, channels, h, w], times [n], classes [n] -> [n, channels, h, w].

    Pixels enter 2x2 at a time (a quarter of the cost), then `levels` resolutions, widths `width * (1, 2, 3, ...)`;
    `depth` blocks a level; attention at the lowest. Index `conditions` stands for "no class".
    """

    def __init__(
        self, channels: int, size: tuple[int, ...], width: int, conditions: int, depth: int = 1, attention: bool = True
    ) -> None:
        super().__init__()
        self.patch = 2 if min(size) >= 16 else 1
        inner = tuple(-(-s // self.patch) for s in size)
        self.levels = 1
        while min(inner) // 2**self.levels >= 6 and self.levels < 4:
            self.levels += 1
        grain = self.patch * 2 ** (self.levels - 1)
        self.size = size
        self.pad = tuple(-s % grain for s in size)
        embedding = 2 * width
        self.time = TimeEmbedding(embedding, top=200.0)
        self.label = nn.Embedding(conditions + 1, embedding)
        nn.init.normal_(self.label.weight, std=0.5)
        inside = channels * self.patch**2
        widths = [width * (i + 1) for i in range(self.levels)]
        self.enter = nn.Conv2d(inside, width, 3, 1, 1)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        c = width
        for i, wide in enumerate(widths):
            self.down.append(nn.ModuleList(Block(c if j == 0 else wide, wide, embedding) for j in range(depth)))
            c = wide
            if i < self.levels - 1:
                self.shrink.append(nn.Conv2d(c, c, 2, 2))
        self.middle = Attention(c) if attention else nn.Identity()
        self.bottom = Block(c, c, embedding)
        self.up = nn.ModuleList()
        self.grow = nn.ModuleList()
        for i, wide in reversed(list(enumerate(widths))):
            self.up.append(nn.ModuleList(Block(c + wide if j == 0 else wide, wide, embedding) for j in range(depth)))
            c = wide
            if i > 0:
                self.grow.append(nn.ConvTranspose2d(c, widths[i - 1], 2, 2))
                c = widths[i - 1]
        self.leave = nn.Conv2d(c, inside, 3, 1, 1)
        self.norm = nn.GroupNorm(max(1, c // 16), c)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        e = F.silu(self.time(t) + self.label(y))
        if any(self.pad):
            x = F.pad(x, (0, self.pad[1], 0, self.pad[0]), mode="replicate")
        h = self.enter(F.pixel_unshuffle(x, self.patch))
        seen = []
        for i, blocks in enumerate(self.down):
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, e)
            seen.append(h)
            if i < self.levels - 1:
                h = self.shrink[i](h)
        h = self.bottom(self.middle(h), e)
        for i, blocks in enumerate(self.up):
            assert isinstance(blocks, nn.ModuleList)
            h = torch.cat([h, seen.pop()], 1)
            for block in blocks:
                h = block(h, e)
            if i < self.levels - 1:
                h = self.grow[i](h)
        out = F.pixel_shuffle(self.leave(F.silu(self.norm(h))), self.patch)
        return out[..., : self.size[0], : self.size[1]]
