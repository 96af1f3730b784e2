"""Sounds: a keyed pattern in how loud each frequency is beside its neighbours, moment by moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.content import visible
from karat.content.archive import Piece, list_folder, list_zip, open_zip
from karat.content.audio.decoding import opened, without_notes
from karat.content.audio.sounds import Sounds
from karat.content.audio.waves import SUFFIXES, VAST, peek
from karat.errors import DataError
from karat.watermarks import spread
from karat.watermarks.detection import Detection, best_of, detection
from karat.watermarks.scheme import Watermark

WINDOW = 0.032  # seconds, of which every half is a frame
LOWEST, HIGHEST = 900.0, 0.45  # Hz, and share of the rate, between which there is a mark; lower, each harmonic is heard
TOGETHER = 2  # frames that have one sign
CLIP = 0.5  # nats of power
ROOM = 0.22  # nats of amplitude that a frequency changes by at most: 1.9 dB
FLOOR = 1e-4  # of the mean power, below which nothing is heard
EARLIER, LOST = 12, 0.25  # frames that come before a sound, share of its beginning that is gone: how far is searched


@dataclass(frozen=True)
class SoundWatermark(Watermark):
    technique = "pattern in a sound's frequencies"
    codec: Sounds

    @cached_property
    def window(self) -> int:
        """Samples."""
        return 1 << round(math.log2(WINDOW * self.codec.mel.rate))

    @cached_property
    def band(self) -> slice:
        """Frequencies of a spectrum."""
        return slice(max(1, round(LOWEST / self.codec.mel.rate * self.window)), int(HIGHEST * self.window))

    @cached_property
    def frames(self) -> int:
        """Of a sound of the run, a multiple of TOGETHER."""
        return -(-(2 * self.codec.mel.samples // self.window + 1) // TOGETHER) * TOGETHER

    @cached_property
    def patterns(self) -> Tensor:
        cells = (self.band.stop - self.band.start) * (self.frames // TOGETHER)
        return spread.patterns(self.key, "sound", cells)

    def spectrum(self, waves: Tensor) -> Tensor:
        """complex [n, window / 2 + 1, t] of waves [n, k]."""
        hann = torch.hann_window(self.window)
        return torch.stft(waves, self.window, self.window // 2, window=hann, pad_mode="constant", return_complex=True)

    def relief(self, power: Tensor) -> Tensor:
        """How loud each frequency of the band is beside its two neighbours, [n, band, t] in units of the clip."""
        floor = FLOOR * power.mean((1, 2), keepdim=True) + 1e-12
        log = (power + floor).log()
        beside = (log[:, :-2] + log[:, 2:]) / 2
        return (log[:, 1:-1] - beside)[:, self.band.start - 1 : self.band.stop - 1] / CLIP

    def cells(self, relief: Tensor, earlier: int = 0) -> Tensor:
        """[n, cells] of the relief [n, band, t], whose first `earlier` frames come before the sound, or where < 0 are gone."""
        placed = F.pad(relief, (-earlier, self.frames + earlier - relief.shape[2]))
        return F.avg_pool1d(placed, TOGETHER).flatten(1)

    def embedded(self, records: Any, rng: np.random.Generator) -> np.ndarray:
        """Waves [n, samples, channels], silent where they were and at the depth of a written file."""
        out, full = np.empty_like(records), float(1 << (self.codec.bits - 1))
        samples = records.shape[1]

        def moved(x: Tensor, change: Tensor) -> Tensor:
            return x * change.exp()[:, None]

        def coefficients(x: Tensor) -> Tensor:
            mono = self._heard(x, samples).mean(1)
            return self.cells(self.relief(self.spectrum(mono).abs().square()))

        for start in range(0, len(records), spread.AT_ONCE):
            waves = torch.from_numpy(np.array(records[start : start + spread.AT_ONCE], np.float32)).transpose(1, 2)
            pattern = self.patterns[torch.from_numpy(rng.integers(spread.NONCES, size=len(waves)))]
            flat = self.spectrum(waves.flatten(0, 1))
            x = flat.view(len(waves), -1, *flat.shape[1:])
            room = torch.full((len(x), *flat.shape[1:]), ROOM)
            done = spread.embedded(x, pattern, coefficients, room, moved)
            made = self._heard(done, samples)
            sounding = waves.abs().amax(1).flip(1).cummax(1)[0].flip(1) > 0
            made = (made * sounding[:, None] * full).round().clamp(-full, full - 1) / full
            out[start : start + len(waves)] = made.transpose(1, 2).numpy()
        found: np.ndarray = out
        return found

    def _heard(self, spectra: Tensor, samples: int) -> Tensor:
        """Waves [n, channels, samples] of spectra [n, channels, f, t]."""
        hann = torch.hann_window(self.window)
        waves = torch.istft(spectra.flatten(0, 1), self.window, self.window // 2, window=hann, length=samples)
        return waves.view(*spectra.shape[:2], samples)

    def read(self, path: Path) -> Sequence[np.ndarray]:
        """Waves [k, channels] of any length, at the run's rate."""
        rate = self.codec.mel.rate
        if path.is_dir():
            return [_decoded(piece, rate) for piece in list_folder(path, SUFFIXES, "sounds").pieces]
        if path.suffix.lower() == ".zip":
            with open_zip(path) as archive:
                return [_decoded(piece, rate) for piece in list_zip(path, archive, SUFFIXES, "sounds").pieces]
        return [_decoded(Piece(path.name, path.stat().st_size, 0, lambda: path.open("rb")), rate)]

    def detect(self, records: Any) -> Detection:
        """records: waves [k, channels] of any lengths, at the run's rate.   Equal ones count once where all are put together."""
        p = self.each(records)
        _, first = np.unique([np.asarray(one).tobytes() for one in records], return_index=True)
        return detection(self.technique, p, p[np.sort(first)])

    def each(self, records: Any) -> np.ndarray:
        """The p values [n] of sounds."""
        most = self.codec.mel.samples + EARLIER * self.window // 2
        bare = [visible.unheard(np.asarray(one, np.float32), self.codec.mel.rate) for one in records]
        mono = [one.mean(1)[:most] for one in bare]
        p = np.ones(len(mono))
        for start in range(0, len(mono), spread.AT_ONCE):
            part = mono[start : start + spread.AT_ONCE]
            waves = torch.zeros(len(part), max(self.window, *map(len, part)))
            for i, one in enumerate(part):
                waves[i, : len(one)] = torch.from_numpy(one)
            p[start : start + len(part)] = self.p_value(waves)
        return p

    def p_value(self, waves: Tensor) -> np.ndarray:
        """The p values [n] of waves [n, k], that may begin earlier or later than the sound did."""
        relief = self.relief(self.spectrum(waves).abs().square())
        shifts = [k for k in range(-int(LOST * self.frames), EARLIER + 1) if k]
        z = [spread.correlated(self.cells(relief, k), self.patterns).amax(1) for k in (0, *shifts)]
        chances = [spread.chance_of(one.double().numpy()) for one in z]
        here = best_of(chances[0], spread.NONCES)
        elsewhere = best_of(np.min(chances[1:], 0), spread.NONCES * len(shifts))
        found: np.ndarray = np.minimum(1.0, 2 * np.minimum(here, elsewhere))
        return found


def _decoded(piece: Piece, rate: int) -> np.ndarray:
    """float32 [k, channels] of a sound file, at another rate; DataError where it cannot be read."""
    import soxr

    head = peek(piece)
    if isinstance(head, str):
        raise DataError(f"{piece.name} cannot be read: {head}.")
    with piece.open() as file, opened(file, piece.size, piece.name) as sound, without_notes(piece.name):
        wave = sound.read(min(head.frames, 60 * head.rate), dtype="float32", always_2d=True)
    if not (np.abs(wave) < VAST).all():
        raise DataError(f"{piece.name} holds numbers that are no sound (NaN, infinite or vast).")
    return wave if head.rate == rate else np.asarray(soxr.resample(wave, head.rate, rate), np.float32)
