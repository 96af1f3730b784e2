"""Nets for long lines, such as waves, that work on their spectra: encoder and critic see levels, a decoder lays down frames.

Lines are compared by their log powers at two resolutions, in which a phase that is merely different does not show
(Yamamoto et al., Parallel WaveGAN, https://arxiv.org/abs/1910.11480). The decoder is a net over frequency and time whose last
step is an inverse Fourier transform (Kaneko et al., iSTFTNet, https://arxiv.org/abs/2203.02395), of tones and noise (Serra &
Smith, 1990, https://doi.org/10.2307/3680788).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat.nets.conv import ConvDecoder, ConvEncoder, MinibatchSpread

SHORTEST = 4096  # samples; under them there are too few frames
FRAMES = 96  # of a line, at most
ROWS = 64  # of frequency, in the generator's net
QUIET = 1e-5  # power, 50 dB below a line of full scale, under which levels fade out
FAINT = 1e-7  # the same where lines are compared and not judged: what is fainter is silence
SLOPE = 1 / 32  # of the critic's input: slopes by samples are so much steeper than by levels, where it is quiet
SILENT = 0.02  # level of a generated frequency, whose power is under QUIET, that is no sound
PARTS = 4  # numbers for each frequency of a frame: level and direction of a tone, level of noise


def hop(length: int) -> int:
    """Samples from frame to frame: the least power of two that leaves at most 96 frames."""
    size = ROWS
    while -(-length // size) > FRAMES:
        size *= 2
    return size


@lru_cache(maxsize=8)
def _hann(window: int, device: torch.device) -> Tensor:
    return torch.hann_window(window, device=device)


def decibels(x: Tensor, window: int, step: int, quiet: float = QUIET) -> Tensor:
    """Log powers [n, c, window // 2, frames], -1 to about 1, of lines `x` [n, c, k * step], without the constant."""
    edge = (window - step) // 2
    weight = _hann(window, x.device)
    framed = F.pad(x.float(), (edge, window - step - edge)).unfold(-1, window, step) * weight
    power = torch.view_as_real(torch.fft.rfft(framed)[..., 1:]).square().sum(-1) / weight.square().sum()
    span = math.log10(quiet)
    return (((power + quiet).log10() - span) / (0.6 * -span) - 1).transpose(2, 3)


def views(x: Tensor, quiet: float = FAINT) -> tuple[Tensor, Tensor]:
    """Log powers of lines `x` [n, c, length], with long windows, which show pitch, and with short ones, which show when."""
    step = hop(x.shape[-1])
    x = F.pad(x, (0, -x.shape[-1] % (2 * step)))
    return decibels(x, 4 * step, step, quiet), decibels(x, step, step // 2, quiet)


class SpectralEncoder(nn.Module):
    """Lines [n, channels, length] to [n, out]: what the decoder below is to lay down, seen as its rows and frames."""

    def __init__(self, channels: int, length: int, out: int, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.hop = hop(length)
        self.pad, self.fine = -length % self.hop, self.hop // ROWS
        size = (ROWS, (length + self.pad) // self.hop)
        self.net = ConvEncoder(channels * self.fine, size, out, width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        seen = decibels(F.pad(x, (0, self.pad)), 2 * self.hop, self.hop, FAINT)
        rows = seen.unflatten(2, (ROWS, self.fine)).transpose(2, 3).flatten(1, 2)
        out: Tensor = self.net(rows.to(x.dtype))
        return out


class SpectralCritic(nn.Module):
    """Lines [n, channels, length] to scores [n, out], or [n, out, patches + 1] with `patches`: theirs, then the whole's.

    Without normalisation of batches. Both views enter one net.
    """

    def __init__(self, channels: int, length: int, out: int, width: int, patches: bool = False) -> None:
        super().__init__()
        self.hop = hop(length)
        pad = -length % (2 * self.hop)
        half = (width + 1) // 2
        step = self.hop // 16  # of 2 * hop frequencies, to 32 rows
        self.long = nn.Conv2d(channels, half, (2 * step, 4), (step, 2), (step // 2, 1))
        step = self.hop // 64  # of hop // 2 frequencies
        self.short = nn.Conv2d(channels, half, (step + 2, 8), (step, 4), (1, 2))
        layers: list[nn.Module] = []
        c, rows, columns = 2 * half, 32, (length + pad) // self.hop // 2
        for wide in (2 * width, 4 * width):
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(c, wide, 4, 2, 1)]
            c, rows, columns = wide, rows // 2, columns // 2
        self.body = nn.Sequential(*layers, nn.LeakyReLU(0.2))
        self.patches = nn.Conv2d(c, out, 3, 1, 1) if patches else None
        spread = () if patches else (MinibatchSpread(),)
        self.whole = nn.Sequential(
            nn.Conv2d(c, c, 4, 2, 1),
            nn.LeakyReLU(0.2),
            *spread,
            nn.Flatten(),
            nn.Linear((c + len(spread)) * (rows // 2) * (columns // 2), out),
        )

    def forward(self, x: Tensor) -> Tensor:
        long, short = views(x * SLOPE + (x * (1 - SLOPE)).detach(), QUIET)
        h = self.body(torch.cat([self.long(long), self.short(short)], 1))
        whole: Tensor = self.whole(h)
        if self.patches is None:
            return whole
        return torch.cat([self.patches(h).flatten(2), whole[:, :, None]], 2)


class SpectralDecoder(nn.Module):
    """[n, latent] -> raw [n, channels, length]: frames of tones and noise, laid over one another.

    A tone at the middle of its frequency has the same direction in every frame. The noise is one for all lines.
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
        self.hop, self.length, self.channels = hop(length), length, channels
        self.frames = -(-length // self.hop)
        self.fine = self.hop // ROWS
        size = (ROWS, self.frames)
        self.net = ConvDecoder(channels * PARTS * self.fine, size, latent, width, hidden, activation, shuffle=True)

    def forward(self, z: Tensor) -> Tensor:
        parts = self.net(z).float().unflatten(1, (self.channels, PARTS, self.fine))
        parts = parts.transpose(3, 4).flatten(3, 4).transpose(3, 4)  # [n, channels, 4, frames, hop frequencies]
        level, cosine, sine, noise = parts.unbind(2)
        level, noise = (_gated((3 * v - 3).clamp_max(4).exp()) for v in (level, noise))
        hiss = _noise(self.frames, self.hop, z.device)
        turned = torch.stack([level * cosine + noise * hiss[0], level * sine + noise * hiss[1]], -1)
        spectrum = F.pad(turned * _turns(self.frames, self.hop, z.device)[..., None], (0, 0, 1, 0))
        framed = torch.fft.irfft(torch.view_as_complex(spectrum), n=2 * self.hop) * _hann(2 * self.hop, z.device)
        first, second = framed.split(self.hop, -1)
        whole = F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))
        return whole.flatten(2)[..., self.hop // 2 : self.hop // 2 + self.length]


def _gated(level: Tensor) -> Tensor:
    """Exactly zero under SILENT; the slope is that of `level` everywhere, so that what is silent can come back."""
    return level + ((level - SILENT).clamp_min(0) - level).detach()


@lru_cache(maxsize=8)
def _turns(frames: int, bins: int, device: torch.device) -> Tensor:
    """[frames, bins] of 1 and -1: what a tone of each bin turns by from the middle of one frame to the next, half turns."""
    t, k = torch.arange(frames, device=device)[:, None], torch.arange(1, bins + 1, device=device)
    return 1.0 - 2.0 * ((t + 1) * k % 2)


@lru_cache(maxsize=8)
def _noise(frames: int, bins: int, device: torch.device) -> Tensor:
    """[2, frames, bins]: one noise, of power 1."""
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, frames, bins, generator=rng).to(device) / 2**0.5
