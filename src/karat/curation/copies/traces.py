"""How many training rows a row agrees with: in all, in all but one cell, in numbers nearly. Told by digests of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from karat.curation.copies.planting import decimals
from karat.stats.copies import digests_of
from karat.views import TableView, plain

WIDTHS = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)  # of intervals, in standard deviations
OFFSETS = 4  # at which the intervals of one width begin: what crosses a border of one is inside others
MOVED = 0.15  # of the last decimal of a column, below which noise of a hundredth of its spread does not move it
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Met:
    """How many training rows agree with each row [n]: whole, without one cell [n, c] that differs, in each cell [n, c], without
    all numbers that noise would move, and with these in intervals [n, widths], summed over offsets."""

    whole: np.ndarray
    one: np.ndarray
    cell: np.ndarray
    rest: np.ndarray
    near: np.ndarray


class Traces:
    """Digests of rows.   scale [c]: the standard deviation of a column of numbers that noise would move, 0 of others.   exact:
    uint32 [2c + 1, n] of rows, rows without each cell, and cells, rest: [n], coarse: [widths * offsets, n], each ascending."""

    def __init__(self, scale: np.ndarray, exact: np.ndarray, rest: np.ndarray, coarse: np.ndarray) -> None:
        self.scale, self.exact, self.rest, self.coarse = scale, exact, rest, coarse
        self.moves = np.flatnonzero(scale)

    @classmethod
    def of(cls, train: TableView) -> Self:
        scale = np.zeros(train.width)
        for j in train.numbers:
            known = train.values[:, j][~np.isnan(train.values[:, j])]
            spread = float(known.std()) if len(known) else 0.0
            scale[j] = spread if 0.01 * spread >= MOVED * 10.0 ** -decimals(known) else 0.0
        return cls._sorted(scale, train.values)

    def again(self, values: np.ndarray) -> Self:
        """The same of other rows."""
        return self._sorted(self.scale, values)

    @classmethod
    def _sorted(cls, scale: np.ndarray, values: np.ndarray) -> Self:
        out = cls(scale, *(np.zeros((0, 0), np.uint32) for _ in range(3)))
        out.exact, out.rest, out.coarse = (np.sort(each, -1) for each in out._digests(values))
        return out

    def met(self, values: np.ndarray) -> Met:
        exact, rest, coarse = self._digests(values)
        each = np.stack([_count(known, asked) for known, asked in zip(self.exact, exact, strict=True)])
        near = np.zeros((len(WIDTHS) if len(self.moves) else 0, len(values)), np.int64)
        for k, (known, asked) in enumerate(zip(self.coarse, coarse, strict=True)):
            near[k // OFFSETS] += _count(known, asked)
        whole, one, cell = np.split(each, (1, len(self.scale) + 1))
        return Met(whole[0], (one - whole).T, cell.T, _count(self.rest, rest), near.T)

    def _digests(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cells = plain(values).view(np.int64).reshape(values.shape)
        rest = digests_of(cells[:, self.scale == 0])[0]
        moving, coarse = values[:, self.moves], []
        for width in WIDTHS if len(self.moves) else ():
            for offset in range(OFFSETS):
                begins = (offset + GOLDEN * np.arange(1, len(self.moves) + 1)) / OFFSETS
                at = np.floor(np.nan_to_num(moving) / (width * self.scale[self.moves]) + begins % 1)
                inside = np.where(moving == 0, -(2.0**40), np.where(np.isnan(moving), -(2.0**41), at))
                coarse.append(rest + digests_of(inside.astype(np.int64))[0])
        far = np.array(coarse, np.uint64).reshape(len(coarse), len(values))
        exact = digests_of(cells)
        return _short(np.concatenate([exact, exact[0] - exact[1:]])), _short(rest), _short(far)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it."""
        held = {"exact": self.exact, "near": self.rest, "coarse": self.coarse}
        return {"scale": self.scale, **{name: each.view(np.int32) for name, each in held.items()}}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What gave the arrays; KeyError or ValueError where they cannot be any."""
        exact, rest, coarse = (arrays[name].view(np.uint32) for name in ("exact", "near", "coarse"))
        out = cls(arrays["scale"], exact, rest, coarse)
        high = len(WIDTHS) * OFFSETS if len(out.moves) else 0
        n = len(rest)
        if n < 1 or exact.shape != (2 * len(out.scale) + 1, n) or coarse.shape != (high, n):
            raise ValueError("its digests do not go together")
        return out


def _short(digests: np.ndarray) -> np.ndarray:
    """uint32: half of each digest, which meets another one of 100,000 by chance once in 40,000."""
    return np.asarray((digests >> np.uint64(32)).astype(np.uint32))


def _count(ascending: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """int64 [m]: how many of `ascending` each of `asked` [m] is."""
    return np.searchsorted(ascending, asked, "right") - np.searchsorted(ascending, asked, "left")
