"""Waves as log-mel spectrograms in [-1, 1], and back to waves that can be listened to.

`Mel.shaped(rate, seconds)` chooses the shape of the grid, `.levelled(waves)` its range of loudness, both once for a data
set; `.points(waves)` gives float32 [n, channels, mels, frames], low tones first, and `.waves(points)` float32
[n, channels, samples] for any finite points. -1 is silence and comes back as exact zeros; +1 is the loudest of the data.
No sound is scaled by itself, so loudness is kept. Frame i stands for the samples [i * hop, (i + 1) * hop).

Way back: magnitudes by multiplicative updates of a non-negative least squares fit (Lee & Seung, "Algorithms for
non-negative matrix factorization", 2000, https://papers.nips.cc/paper/1861), a first phase in which every spectral peak
turns on at its own frequency and takes its neighbours along (Beauregard et al., "Single pass spectrogram inversion", 2015,
https://doi.org/10.1109/ICDSP.2015.7251907), then fast Griffin-Lim (Perraudin et al., 2013,
https://doi.org/10.1109/WASPAA.2013.6701851).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat import limits
from karat.space import Grid

STEP = 0.016  # seconds between frames; a window is four steps, long enough to part the harmonics of a low voice
LONGEST_STEP = 0.024
MOST_FRAMES = 256
LOWEST = 20.0  # Hz
FITS = 12  # updates of the magnitudes
ROUNDS = 8  # of Griffin-Lim; more of them bring levels nearer, and leave more flutter
MOMENTUM = 0.99
STANDS_OUT = -0.7  # of a mel, by which a frame sounds: models leave silence low and even, faint ends have peaks
TOGETHER = 160_000  # bins worked on at once: they stay in a core's cache
TINY = 1e-9


@dataclass(frozen=True)
class Mel:
    """The log-mel spectrogram of one data set.

    rate: samples per second.   hop: samples from frame to frame.   top: dB of +1, where a full-scale tone has about
    20 log10(hop).   span: dB from -1 to +1.   gate: a frame whose mean over the mels is below is silent where nothing
    sounds behind it (or before it), unless one of its mels stands out.
    """

    rate: int
    hop: int
    mels: int
    frames: int
    top: float = 30.0
    span: float = 90.0
    gate: float = -0.9  # what a model leaves in silence is above -1

    @classmethod
    def shaped(cls, rate: int, seconds: float) -> Self:
        """A grid for sounds of up to `seconds`: 64 or 80 mels, a multiple of 16 frames up to 256."""
        frames = min(MOST_FRAMES, 16 * max(1, math.ceil(seconds / STEP / 16 - 0.02)))
        step = min(max(STEP, seconds / frames), LONGEST_STEP)
        hop = max(16, 16 * round(step * rate / 16))
        return cls(rate, hop, 64 if rate <= 12_000 else 80, frames)

    @classmethod
    def longest(cls, rate: int) -> float:
        """Seconds of the longest sound that one grid holds."""
        return MOST_FRAMES * (16 * round(LONGEST_STEP * rate / 16)) / rate

    @property
    def window(self) -> int:
        return 4 * self.hop

    @property
    def samples(self) -> int:
        return self.frames * self.hop

    def grid(self, channels: int) -> Grid:
        return Grid(channels, (self.mels, self.frames))

    def levelled(self, waves: Tensor) -> Self:
        """The same shape with a range that holds the `waves` [n, channels, samples]: from their loudest to 50 dB below
        the peaks of the quietest tenth, at least 70 and at most 100 dB."""
        waves = waves[waves.abs().amax((1, 2)) > 0]
        if not len(waves):
            return self
        levels = torch.cat([self._levels(part) for part in waves.split(256)])
        peaks = levels.amax((1, 2, 3))
        top = float(peaks.max())
        floor = float(peaks.quantile(0.1)) - 50  # lower lies noise, which is hard to learn and not heard
        return replace(self, top=round(top, 2), span=round(min(max(top - floor, 70.0), 100.0), 1))

    def points(self, waves: Tensor) -> Tensor:
        """float32 [n, channels, mels, frames] in [-1, 1] of waves [n, channels, samples]; exactly -1 where all is zero."""
        out = torch.empty((*waves.shape[:2], self.mels, self.frames))
        for start in range(0, len(waves), 64):
            part = waves[start : start + 64].float()
            x = ((self._levels(part) - self.top) * (2 / self.span) + 1).clamp_(-1, 1)
            dead = (part.reshape(*part.shape[:2], self.frames, self.hop) == 0).all(3).all(1)
            out[start : start + 64] = x.masked_fill_(dead[:, None, None], -1.0)
        return out

    def waves(self, points: Tensor, rounds: int = ROUNDS) -> Tensor:
        """float32 [n, channels, samples] within [-1, 1] of any `points` [n, channels, mels, frames]; the same each time.

        Channels share the phase of their sum, which keeps where a sound stands between them. A sound ends in the middle
        of its last frame that is not silent. One that would clip is turned down as a whole.
        """
        n, channels = points.shape[:2]
        x = points.detach().to("cpu", torch.float32).nan_to_num(-1.0, 1.0, -1.0).clamp(-1, 1)
        out = torch.empty((n, channels, self.samples))
        at_once = max(1, TOGETHER // (self.frames * (self.window // 2 + 1)))
        for start in range(0, n, at_once):
            limits.pause()
            out[start : start + at_once] = self._sounded(x[start : start + at_once], rounds)
        return out

    def trimmed(self, waves: Tensor) -> Tensor:
        """`waves` [n, channels, samples] with zeros from a hop behind, and to a hop before, what `waves` would let sound."""
        begin, end = self._extent(self.points(waves))
        some = end > begin
        end = torch.where(end < self.samples, end + self.hop, end) * some
        return waves * self._fades((begin - self.hop).clamp_min(0), end)[:, None]

    def _levels(self, waves: Tensor) -> Tensor:
        """dB [n, channels, mels, frames]."""
        magnitude = self._spectrum(waves).abs() @ _bank(self.rate, self.window, self.mels).T
        return magnitude.clamp_min_(TINY).log10_().mul_(20).transpose(2, 3)

    def _spectrum(self, waves: Tensor) -> Tensor:
        """complex [..., frames, bins]; beyond its ends a wave is silent."""
        edge = (self.window - self.hop) // 2
        framed = F.pad(waves, (edge, self.window - self.hop - edge)).unfold(-1, self.window, self.hop)
        spectrum: Tensor = torch.fft.rfft(framed * _hann(self.window))
        return spectrum

    def _wave(self, spectrum: Tensor) -> Tensor:
        """The wave [..., samples] whose frames are nearest to `spectrum` [..., frames, bins]."""
        framed: Tensor = torch.fft.irfft(spectrum, n=self.window).mul_(_hann(self.window))
        framed = framed.unflatten(-1, (4, self.hop))
        whole = framed.new_zeros((*framed.shape[:-3], self.frames + 3, self.hop))
        for j in range(4):
            whole[..., j : j + self.frames, :] += framed[..., j, :]
        edge = (self.window - self.hop) // 2
        weight = _overlap(self.window, self.hop, self.frames)
        return whole.flatten(-2)[..., edge : edge + self.samples] * weight[edge : edge + self.samples]

    def _sounded(self, x: Tensor, rounds: int) -> Tensor:
        """Waves [n, channels, samples] of points in [-1, 1]."""
        begin, end = self._extent(x)
        mel = torch.where(x > -1, 10 ** (((x - 1) * (self.span / 2) + self.top) / 20), 0.0).transpose(2, 3)
        magnitude = _unmelled(
            mel, _bank(self.rate, self.window, self.mels), _inverse(self.rate, self.window, self.mels)
        )
        total = magnitude.sum(1)
        wave, spectrum = self._phased(total, rounds)
        waves = wave[:, None]
        if x.shape[1] > 1:
            waves = self._wave(spectrum[:, None] * (magnitude / total.clamp_min(TINY)[:, None]))
        waves = waves * self._fades(begin, end)[:, None]
        return waves / waves.abs().amax((1, 2), keepdim=True).clamp_min(1.0)

    def _phased(self, magnitude: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
        """A wave [n, samples] with the magnitude [n, frames, bins], and its spectrum of exactly that magnitude."""
        spectrum = magnitude * _first_phase(magnitude, self.hop, self.window)
        before: Tensor | None = None
        for _ in range(rounds):
            now = self._spectrum(self._wave(spectrum))
            ahead = now if before is None else torch.add(now, now - before, alpha=MOMENTUM)
            before = now
            spectrum = ahead * (magnitude / (ahead.abs() + TINY))
        return self._wave(spectrum), spectrum

    def _extent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """First sample that sounds and the one behind the last, long [n] each; 0 and 0 where all is silent."""
        loud = (x.mean((1, 2)) > self.gate) | (x.amax((1, 2)) > STANDS_OUT)
        first = loud.int().argmax(1)
        last = self.frames - 1 - loud.flip(1).int().argmax(1)
        end = torch.where(last < self.frames - 1, last * self.hop + self.hop // 2, self.samples)
        some = loud.any(1)
        return first * self.hop * some, end * some

    def _fades(self, begin: Tensor, end: Tensor) -> Tensor:
        """[n, samples]: 1 where it sounds, a quarter of a hop of cosine at an edge within, 0 outside."""
        place = torch.arange(self.samples) + 0.5
        length = self.hop / 4
        rise = torch.where(begin[:, None] == 0, 1.0, ((place - begin[:, None]) / length).clamp(0, 1))
        fall = torch.where(end[:, None] == self.samples, 1.0, ((end[:, None] - place) / length).clamp(0, 1))
        return (0.5 - 0.5 * torch.cos(math.pi * torch.minimum(rise, fall))) * (end > begin)[:, None]


def _unmelled(mel: Tensor, bank: Tensor, inverse: Tensor) -> Tensor:
    """Magnitudes [..., bins], none negative, whose mels come nearest to `mel` [..., mels]."""
    found = (mel @ inverse).clamp_min(1e-4)
    wanted = mel @ bank
    for _ in range(FITS):
        found *= wanted / ((found @ bank.T) @ bank).clamp_min_(TINY)
    return found


def _first_phase(magnitude: Tensor, hop: int, window: int) -> Tensor:
    """Unit complex [n, frames, bins]: each bin turns with the peak nearest to it, from where that peak's place stood."""
    n, frames, bins = magnitude.shape
    log = magnitude.clamp_min(TINY).log()
    left, here, right = log[..., :-2], log[..., 1:-1], log[..., 2:]
    peak = F.pad((here > left) & (here >= right), (1, 1))
    bend = (left - 2 * here + right).clamp_max(-1e-6)
    shift = F.pad((0.5 * (left - right) / bend).clamp(-0.5, 0.5), (1, 1))  # a parabola through the peak
    place = torch.arange(bins)
    below = torch.where(peak, place, -(10**6)).cummax(-1).values
    above = torch.where(peak, place, 10**6).flip(-1).cummin(-1).values.flip(-1)
    own = torch.where(place - below <= above - place, below, above).clamp_(0, bins - 1)
    turn = (place + shift) * (2 * math.pi * hop / window)
    phase, now = torch.empty_like(magnitude), magnitude.new_zeros(n, bins)
    for t in range(frames):
        now = (now + turn[:, t]).gather(1, own[:, t])
        phase[:, t] = now
    # phases are of the window's middle, and the transform counts from its start: half a turn from bin to bin
    return torch.polar(torch.ones_like(phase), phase + math.pi * place)


@lru_cache(maxsize=4)
def _hann(window: int) -> Tensor:
    return torch.hann_window(window)


@lru_cache(maxsize=4)
def _overlap(window: int, hop: int, frames: int) -> Tensor:
    """1 / (sum of squared windows) at every sample from the start of the first window."""
    total = torch.zeros((frames - 1) * hop + window)
    for t in range(frames):
        total[t * hop : t * hop + window] += _hann(window) ** 2
    return 1 / total.clamp_min(1e-3)


@lru_cache(maxsize=4)
def _bank(rate: int, window: int, mels: int) -> Tensor:
    """Triangles [mels, bins], equally wide on the mel scale 2595 log10(1 + f / 700), each of sum 1."""
    lowest, highest = (2595 * math.log10(1 + f / 700) for f in (LOWEST, rate / 2))
    edges = 700 * (10 ** (np.linspace(lowest, highest, mels + 2) / 2595) - 1)
    place = np.arange(window // 2 + 1) * rate / window
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((place - low) / (middle - low), (high - place) / (high - middle)))
    return torch.from_numpy(bank / bank.sum(1, keepdims=True)).float()


@lru_cache(maxsize=4)
def _inverse(rate: int, window: int, mels: int) -> Tensor:
    """[mels, bins]: the pseudo-inverse of the triangles."""
    inverse: Tensor = torch.linalg.pinv(_bank(rate, window, mels).double())
    return inverse.T.float().contiguous()
