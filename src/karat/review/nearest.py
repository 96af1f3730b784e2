"""The training record that looks most like a shown thing, by what a person sees of both: pixels, spectra, words, cells.

A thing and the records are compared as they are shown, so that made, real and scrambled things are treated alike. The judge's
own measures of closeness (`karat.assays`) are finer, and are what a verdict goes by.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.assays.neighbours import Components, components, distances
from karat.content.showing import Passage, Pixels, Row, Shown, Sound

SIDE = 16  # pixels, and bands and moments of a sound, along each axis at most
FIRST = 5000  # records, of which the components and the spreads of columns are taken, and which are read at a time
HASHED = 1024  # places of pieces of text
LEADING = 64  # components that are compared
PIECE = 3  # characters


@dataclass(frozen=True)
class Near:
    """A record among those that were searched, and its distance in the mean distance of those compared: 0 is the same."""

    at: int
    distance: float


class Nearest:
    """What is nearest among `records`, all shown in one form."""

    def __init__(self, records: Iterable[Shown]) -> None:
        rest = iter(records)
        shown = list(itertools.islice(rest, FIRST))
        assert shown, "nothing to search"
        self.columns = [name for name, _ in shown[0].cells] if isinstance(shown[0], Row) else []
        self.scales = _scales(shown)
        flat = self._flat(shown)
        self.basis: Components = components(flat, LEADING)
        parts = [self.basis.of(flat)]
        while shown := list(itertools.islice(rest, FIRST)):
            parts.append(self.basis.of(self._flat(shown)))
        self.base: Tensor = torch.cat(parts)
        self.unit = float(self.base.square().sum(1).mean().sqrt()) or 1.0

    def of(self, shown: Shown, most: int = 1) -> list[Near]:
        """The `most` nearest, the nearest first; none where the thing has another form than the records."""
        vector = self._vector(shown)
        if vector.shape != self.basis.centre.shape:
            return []
        at = self.basis.of(torch.from_numpy(vector)[None])
        found = distances(at, self.base)[0].sqrt()
        far, rows = found.topk(min(most, len(found)), largest=False)
        return [Near(int(row), float(d) / self.unit) for d, row in zip(far, rows, strict=True)]

    def _flat(self, shown: Sequence[Shown]) -> Tensor:
        return torch.from_numpy(np.stack([self._vector(one) for one in shown]))

    def _vector(self, shown: Shown) -> np.ndarray:
        """float32 [d]."""
        match shown:
            case Pixels(pixels):
                return _pooled(pixels.astype(np.float32) / 255, SIDE, SIDE).ravel()
            case Sound(wave, _):
                return _spectrum(wave.mean(1))
            case Passage(text):
                return _hashed(text[i : i + PIECE] for i in range(max(1, len(text) - PIECE + 1)))
            case Row(cells):
                given = dict(cells)
                return np.concatenate(
                    [_cell(name, given.get(name), self.scales) for name in self.columns] or [np.zeros(0, np.float32)]
                )


def _scales(shown: Sequence[Shown]) -> dict[str, tuple[float, float]]:
    """Centre and spread of the columns of rows whose cells are all numbers."""
    rows = [dict(one.cells) for one in shown if isinstance(one, Row)]
    out = {}
    for name in rows[0] if rows else ():
        numbers = [_number(row.get(name)) for row in rows]
        there = np.array([x for x in numbers if x is not None])
        if len(there) and len(there) == sum(row.get(name) not in (None, "") for row in rows):
            out[name] = (float(there.mean()), float(there.std()) or 1.0)
    return out


def _number(text: str | None) -> float | None:
    try:
        found = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return found if np.isfinite(found) else None


def _cell(name: str, value: str | None, scales: dict[str, tuple[float, float]]) -> np.ndarray:
    """A number in its column's spread; any other cell by a hash, so that two different ones are about as far as two spreads."""
    if name in scales:
        centre, spread = scales[name]
        number = _number(value)
        return np.array([0.0 if number is None else np.clip((number - centre) / spread, -3, 3)], np.float32)
    out = np.zeros(16, np.float32)
    if value is not None:
        out[zlib.crc32(f"{name}={value}".encode("utf-8", "surrogatepass")) % 16] = 1.5
    return out


def _hashed(pieces: Iterable[str]) -> np.ndarray:
    out = np.zeros(HASHED, np.float32)
    for piece in pieces:
        out[zlib.crc32(piece.lower().encode("utf-8", "surrogatepass")) % HASHED] += 1
    norm = float(np.linalg.norm(out))
    return out / norm if norm else out


def _spectrum(wave: np.ndarray) -> np.ndarray:
    """The logarithm of the magnitudes in SIDE bands at SIDE moments."""
    width = max(64, len(wave) // SIDE)
    parts = np.pad(wave, (0, max(0, width * SIDE - len(wave))))[: width * SIDE].reshape(SIDE, width)
    bands = np.abs(np.fft.rfft(parts * np.hanning(width), axis=1))
    return _pooled(np.log1p(100 * bands)[..., None].astype(np.float32), SIDE, SIDE).ravel()


def _pooled(grid: np.ndarray, high: int, wide: int) -> np.ndarray:
    """[h, w, c] as averages of blocks, [at most high, at most wide, c]."""
    rows, columns = (
        np.linspace(0, size, min(size, most), endpoint=False).astype(int)
        for size, most in zip(grid.shape[:2], (high, wide), strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(grid, rows, 0), columns, 1)
    counts = np.outer(np.diff([*rows, grid.shape[0]]), np.diff([*columns, grid.shape[1]]))
    return np.asarray(sums / counts[..., None], np.float32)
