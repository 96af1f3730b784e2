"""The articles' convolutional GAN (Radford et al., https://arxiv.org/abs/1511.06434), and layers that make it quick on a CPU.

The network is that of the TensorFlow walk-through which the articles print: 5x5 kernels, 256-128-64 channels, dropout 0.3.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from karat.nets.conv import base


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
    cos, sin = (half @ points.T).cos(), (half @ points.T).sin()
    there = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)])
    kernels = torch.stack([(half @ taps.T).cos(), (half @ taps.T).sin()], 1)
    back = torch.cat([weight[:, None] * cos, -weight[:, None] * sin])
    return there.flatten(0, 2).to(dtype), kernels.flatten(0, 1).to(dtype), back.T.contiguous().to(dtype)


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class _WaveCorrelation(torch.autograd.Function):
    """Correlation as one matrix product a frequency; points lead, so that every Fourier transform is a matrix product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        n, c, h, w = x.shape
        out = len(weight)
        there, kernels, back = _waves((h, w), (weight.shape[2], weight.shape[3]), x.dtype)
        spectra = (there @ x.permute(2, 3, 1, 0).reshape(h * w, c * n)).view(2, -1, 2 * c, n)
        turned = (kernels @ weight.to(x.dtype).permute(2, 3, 1, 0).reshape(-1, c * out)).view(-1, 2 * c, out)
        ctx.save_for_backward(spectra, turned, weight)
        ctx.size = (h, w)
        answer = x.new_empty(2, len(turned), out, n)
        for part, into in zip(spectra, answer, strict=True):
            torch.bmm(turned.mT, part, out=into)
        y = (back @ answer.view(-1, out * n)).view(h, w, out, n).permute(3, 2, 0, 1)
        return y.contiguous(memory_format=_layout(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        spectra, turned, weight = ctx.saved_tensors
        (h, w), n, (out, c, *kernel) = ctx.size, len(slope), weight.shape
        there, kernels, back = _waves((h, w), (kernel[0], kernel[1]), slope.dtype)
        g = (back.T @ slope.permute(2, 3, 1, 0).reshape(h * w, out * n)).view(2, -1, out, n)
        parts = torch.empty_like(spectra)
        for part, into in zip(g, parts, strict=True):
            torch.bmm(turned, part, out=into)
        dx = there.T @ parts.view(-1, c * n)
        dw = torch.bmm(spectra[0], g[0].mT).baddbmm_(spectra[1], g[1].mT)
        dw = kernels.T @ dw.view(-1, c * out)
        # laid out as the weight is, else autograd copies it once more
        dw = torch.empty_like(weight).copy_(dw.view(*kernel, c, out).permute(3, 2, 0, 1))
        return dx.view(h, w, c, n).permute(3, 2, 0, 1).contiguous(), dw


class WaveConv2d(nn.Conv2d):
    """A convolution with stride 1, an odd kernel and as many zeros round the grid, that learns through its spectrum.

    On a CPU and a grid of at most 16 x 16 that is the same function at a seventh of the multiplications of a 5x5 kernel
    (Mathieu et al., https://arxiv.org/abs/1312.5851): exact in float32, and in bfloat16 with an error of 0.4%, where the
    direct sum has 0.3%. Elsewhere, and when it does not learn, it is an ordinary convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or x.shape[2] * x.shape[3] > 256 or self.bias is not None:
            return nn.Conv2d.forward(self, x)
        x = x.to(_working(x))
        with torch.autocast("cpu", enabled=False):
            y: Tensor = _WaveCorrelation.apply(x, self.weight)
        return y


def _working(x: Tensor) -> torch.dtype:
    """The type in which a convolution of `x` on the CPU would work under the autocast there is."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


Numbers = tuple[int, ...]
Steps = tuple[Numbers, Numbers]  # stride and padding


def _spread(y: Tensor, weight: Tensor, size: Numbers, steps: Steps) -> Tensor:
    """The adjoint of the convolution with `weight` from grids of `size`: one matrix product and a sum of patches."""
    patches = (weight.flatten(1).T @ y.flatten(2)).float()
    return F.fold(patches, size, weight.shape[2:], 1, steps[1], steps[0]).to(y.dtype)


def _slopes(x: Tensor, weight: Tensor, slope: Tensor, steps: Steps) -> tuple[Tensor, Tensor]:
    """What the convolution of `x` with `weight` passes back to its weight and bias."""
    _, dw, db = torch.ops.aten.convolution_backward(
        slope, x, weight, [len(weight)], *steps, [1, 1], False, [0, 0], 1, [False, True, True]
    )
    return dw, db


class _ThinDown(torch.autograd.Function):
    """A convolution that passes slopes back by `_spread`; it can be differentiated twice, as R1 wants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, steps: Steps) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = steps
        return F.conv2d(x, weight, bias, *steps)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        dx = _spread(slope, weight, tuple(x.shape[2:]), ctx.steps) if ctx.needs_input_grad[0] else None
        return dx, *_slopes(x, weight, slope, ctx.steps), None


class _ThinUp(torch.autograd.Function):
    """`_spread`, which passes slopes back by an ordinary convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, size: Numbers, steps: Steps) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = steps
        return _spread(x, weight, size, steps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        dx = F.conv2d(slope, weight, None, *ctx.steps).contiguous(memory_format=_layout(x))
        return dx, _slopes(slope, weight, x, ctx.steps)[0], None, None


class ThinConv2d(nn.Conv2d):
    """A convolution of one to four channels: on a CPU its way back is a product and a sum of patches, ten times faster."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.bias is None:
            return nn.Conv2d.forward(self, x)
        kind = _working(x)
        with torch.autocast("cpu", enabled=False):
            y: Tensor = _ThinDown.apply(
                x.to(kind),
                self.weight.to(kind),
                self.bias.to(kind),
                (self.stride, tuple(int(p) for p in self.padding)),
            )
        return y


class ThinConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution to one to four channels: on a CPU a product and a sum of patches, five times faster."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.device.type != "cpu" or self.bias is not None or output_size is not None:
            return nn.ConvTranspose2d.forward(self, x, output_size)
        steps = self.stride, tuple(int(p) for p in self.padding)
        extra = zip(x.shape[2:], *steps, self.kernel_size, self.output_padding, strict=True)
        size = tuple((side - 1) * s - 2 * p + k + more for side, s, p, k, more in extra)
        kind = _working(x)
        with torch.autocast("cpu", enabled=False):
            y: Tensor = _ThinUp.apply(x.to(kind), self.weight.to(kind), size, steps)
        return y


class LeakyDropout(nn.Module):
    """LeakyReLU(slope), then dropout at the nearest of 256 rates to `rate`, which costs one random byte a number."""

    def __init__(self, slope: float, rate: float) -> None:
        super().__init__()
        self.slope, self.dropped = slope, round(256 * rate)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(x, self.slope)
        if not self.training or self.dropped == 0:
            return y
        words = torch.empty(-(-y.numel() // 8), dtype=torch.int64, device=y.device).random_(-(2**63), None)
        # bytes from `dropped` to 255 are 1, others 0; arithmetic on bytes is vectorised where comparisons are not
        kept = words.view(torch.uint8)[: y.numel()].clamp_(self.dropped - 1, self.dropped).sub_(self.dropped - 1)
        scale = 256 / (256 - self.dropped)
        return y * kept.to(y.dtype).mul_(scale).as_strided(y.shape, torch.empty_like(y).stride())


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
            WaveConv2d(4 * width, 2 * width, 5, 1, 2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(2 * width, width, 5, 2, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.3),
            ThinConvTranspose2d(width, channels, 5, 2, 2, 1, bias=False),
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
        self.first = ThinConv2d(channels, width, 5, 2, 2)
        self.body = nn.Sequential(
            LeakyDropout(0.3, dropout),
            nn.Conv2d(width, 2 * width, 5, 2, 2),
            LeakyDropout(0.3, dropout),
            nn.Flatten(),
            nn.Linear(2 * width * last[0] * last[1], out),
        )

    def forward(self, x: Tensor) -> Tensor:
        # a grid of one channel has no layout of its own, so the second convolution's is taken on here
        h = self.first(x).contiguous(memory_format=_layout(next(self.body.parameters())))
        y: Tensor = self.body(h)
        return y
