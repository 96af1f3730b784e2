"""What is heard in a sound, as numbers of each: how long, how loud, how bright, how high.

Loudness is weighted as ITU-R BS.1770 weights it (https://www.itu.int/rec/R-REC-BS.1770), over what sounds, ungated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

QUIET = 1e-3  # 60 dB below the peak
WINDOW, STEP = 0.064, 0.032  # seconds
LOWEST, HIGHEST = 60.0, 500.0  # Hz of voices
VOICED = 0.5  # of a frame's own power that comes back one period later
# BS.1770, tables 1 and 2: numerator and denominator at 48 kHz
NEIGHBOURS = 4  # spectrograms compared wave by wave
SAME = (
    0.93  # correlation of two waves at their best shift: that of noise 8 dB below; two takes of a word stay below 0.92
)
EXACT = (
    0.9999  # correlation of two waves of a steady tone where both begin, beyond that of another take in another phase
)
SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)
BASS = (1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)


def descriptors(waves: Tensor, rate: int) -> dict[str, np.ndarray]:
    """float64 [n] by name and unit, of waves [n, channels, samples]; NaN where a sound is silent or has no pitch."""
    parts = [_descriptors(part.float(), rate) for part in waves.split(256)]
    if not parts:
        parts = [_descriptors(torch.zeros(0, 1, 64), rate)]
    return {name: torch.cat([part[name] for part in parts]).double().numpy() for name in parts[0]}


def lengths(waves: Tensor) -> Tensor:
    """Samples up to the last one within 60 dB of the peak, long [n], of waves [n, channels, samples]; 0 where silent."""
    loud = waves.abs().amax(1)
    sounding = loud > QUIET * loud.amax(1, keepdim=True)
    last = loud.shape[1] - sounding.flip(1).int().argmax(1)
    return last * sounding.any(1)


def doubles(waves: Tensor, points: Callable[[Tensor], Tensor]) -> np.ndarray:
    """int64 [k, 2]: pairs of waves [n, channels, samples] that correlate by `SAME` or more at their best shift.

    A steady tone matches itself a period later, and so every other of its pitch at some shift: tones are the same only where
    they correlate by `EXACT` as they stand, or from where both begin.

    points: their log-mel spectrograms [n, channels, mels, frames]. Waves are compared with the four whose spectrograms
    are nearest once both begin where they sound.
    """
    looks = torch.cat([_look(points(part)) for part in waves.split(256)]) if len(waves) else torch.zeros(0, 1)
    found: set[tuple[int, int]] = set()
    for start in range(0, len(looks), 1024):
        near = looks[start : start + 1024] @ looks.T
        near.diagonal(start).fill_(-1)
        best = near.topk(min(NEIGHBOURS, max(len(looks) - 1, 0)), dim=1)
        rows, column = torch.nonzero(best.values > 0.8, as_tuple=True)
        others = best.indices[rows, column].tolist()
        found |= {(min(a, b), max(a, b)) for a, b in zip((rows + start).tolist(), others, strict=True)}
    pairs = torch.tensor(sorted(found), dtype=torch.long).reshape(-1, 2)
    kept = [torch.zeros(0, 2, dtype=torch.long)]  # an empty tensor splits into one empty part, which no FFT takes
    for part in pairs.split(128) if len(pairs) else ():
        kept.append(part[_same(waves[part[:, 0]].mean(1), waves[part[:, 1]].mean(1))])
    out: np.ndarray = torch.cat(kept).numpy()
    return out


def _look(points: Tensor) -> Tensor:
    """Unit vectors [n, d]: 40 dB below the peak of each spectrogram, from where it begins to sound, at half the detail."""
    mel = points.mean(1)
    reach = 0.9  # 40 dB of about 90
    depth = (mel - mel.amax((1, 2), keepdim=True) + reach).clamp_min(0)
    first = (depth.amax(1) > 0).int().argmax(1)
    place = torch.arange(depth.shape[2]) + first[:, None]
    inside = (place < depth.shape[2])[:, None]
    begun = depth.gather(2, place.clamp_max(depth.shape[2] - 1)[:, None].expand_as(depth)) * inside
    small = F.avg_pool2d(begun[:, None], 2).flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1, eps=1e-6)


def _same(a: Tensor, b: Tensor) -> Tensor:
    """bool [k]: whether waves [k, samples] are one recording, as `doubles` says."""
    size = 2 * a.shape[1]
    left, right = torch.fft.rfft(a, n=size), torch.fft.rfft(b, n=size)
    power = (a.square().sum(1) * b.square().sum(1)).sqrt().clamp_min(1e-12)
    matches = torch.fft.irfft(left * right.conj(), n=size).abs() / power[:, None]
    begun = (_begins(a) - _begins(b)) % size
    there = torch.maximum(matches[:, 0], matches.gather(1, begun[:, None])[:, 0])
    steady = torch.minimum(_repeats(left, size), _repeats(right, size)) >= SAME
    return torch.where(steady, there >= EXACT, matches.amax(1) >= SAME)


def _begins(waves: Tensor) -> Tensor:
    """The first sample [k] of waves [k, samples] that sounds."""
    return (waves.abs() > QUIET * waves.abs().amax(1, keepdim=True)).int().argmax(1)


def _repeats(spectrum: Tensor, size: int) -> Tensor:
    """How well each wave matches itself [k] at some later shift, once it has ceased to match itself by half."""
    own = torch.fft.irfft(spectrum.abs().square(), n=size)[:, : size // 2]
    own = own / own[:, :1].clamp_min(1e-12)
    left = (own < 0.5).int().cummax(1).values.bool()
    best: Tensor = own.masked_fill(~left, 0.0).amax(1)
    return best


def _descriptors(waves: Tensor, rate: int) -> dict[str, Tensor]:
    long = lengths(waves)
    silent = long == 0
    power = torch.fft.rfft(waves).abs().square().sum(1)
    place = torch.arange(power.shape[1]) * rate / waves.shape[2]
    twice = torch.full_like(place, 2.0)
    twice[0] = 1.0
    heard = (power * (twice * _weight(place))).sum(1) / waves.shape[2] / long.clamp_min(1)
    loudness = (10 * heard.clamp_min(1e-20).log10() - 0.691).masked_fill(silent, torch.nan)
    mono = waves.mean(1)
    size, step = 2 * round(WINDOW * rate / 2), round(STEP * rate)
    mono = F.pad(mono, (0, max(0, size - mono.shape[1])))
    framed = mono.unfold(1, size, step) * torch.hann_window(size)
    spectrum = torch.fft.rfft(framed, n=2 * size)
    magnitude = spectrum.abs()
    tone = torch.arange(size + 1) * (rate / 2 / size)
    total = magnitude.sum(1)
    bright = ((total * tone).sum(1) / total.sum(1).clamp_min(1e-12)).masked_fill(silent, torch.nan)
    return {
        "length (s)": long / rate,
        "loudness (dB)": loudness,
        "brightness (Hz)": bright,
        "pitch (Hz)": _pitch(magnitude, rate, size),
    }


def _pitch(magnitude: Tensor, rate: int, size: int) -> Tensor:
    """Hz [n]: the median over the voiced frames, of their magnitudes [n, frames, bins]; NaN where fewer than 3 are voiced."""
    back = torch.fft.irfft(magnitude.square(), n=2 * size)[..., :size]
    window = torch.hann_window(size)
    own = torch.fft.irfft(torch.fft.rfft(window, n=2 * size).abs().square(), n=2 * size)[:size]
    least, most = max(2, int(rate / HIGHEST)), min(size // 2, int(rate / LOWEST))
    strength = back[..., : most + 1] / own[: most + 1] * own[0] / back[..., :1].clamp_min(1e-12)
    inner = strength[..., least - 1 : most + 1]
    if inner.shape[-1] < 3:
        return torch.full((len(magnitude),), torch.nan)
    peaks = (inner[..., 1:-1] > inner[..., :-2]) & (inner[..., 1:-1] >= inner[..., 2:])
    best = inner[..., 1:-1].masked_fill(~peaks, 0.0)
    # the first peak nearly as strong as the strongest: twice the period is as strong as once
    first = (best >= 0.9 * best.amax(-1, keepdim=True)).int().argmax(-1)
    height = best.gather(-1, first[..., None])[..., 0]
    power = back[..., 0]
    voiced = (height > VOICED) & (power > 1e-3 * power.amax(1, keepdim=True))
    hertz = (rate / (first + least)).masked_fill(~voiced, torch.nan)
    middle: Tensor = hertz.nanmedian(1).values
    return middle.masked_fill(voiced.sum(1) < 3, torch.nan)


def _weight(place: Tensor) -> Tensor:
    """What the ear makes of the power at frequencies [k] in Hz."""
    turn = torch.exp(-2j * torch.pi * place.clamp_max(24_000).double() / 48_000)
    total = torch.ones_like(turn)
    for above, below in (SHELF, BASS):
        rise, fall = (sum(c * turn**i for i, c in enumerate(part)) for part in (above, below))
        total = total * rise / fall
    return total.abs().square().float()
