"""How wide the next change of a number is expected to be, given the ones before it: calm days follow calm days.

The width is a mean of the sizes of changes that forgets: `base + up |e| + down max(-e, 0) + keep * width`, e being the last
change (Zakoian, "Threshold heteroskedastic models", 1994). `down` is what a fall adds to a rise of the same size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from karat.content.relational.database import Family

MOST = 50_000  # changes that are looked at
STARTS = ((0.05, 0.05, 0.9), (0.1, 0.0, 0.7))  # up, down, keep, from which is searched
LASTING = 0.998  # greatest share of a width that lasts to the next row
GAIN = 4.0  # times the logarithm of the number of changes that the log-likelihood must gain for three numbers more


@dataclass(frozen=True)
class Width:
    """The recursion of one column. mean: the width of a first row.   most: the greatest of training rows; none is made beyond it.

    fall, rise: the furthest changes of training rows, in units of their width; none goes further, as all that follow would be
    wilder for it.   low, high: the furthest as they are, as what is many units in calm days is drawn in wild ones too.   unit: of
    widths, by which units are so great that widths keep their mean, as those of training rows do (variance targeting: Francq,
    Horvath & Zakoian, 2011).
    """

    base: float
    up: float
    down: float
    keep: float
    mean: float
    most: float
    fall: float
    rise: float
    unit: float
    low: float = -1e300
    high: float = 1e300

    def after(self, width: np.ndarray, change: np.ndarray) -> np.ndarray:
        """float64 [n]: the width once `change` [n] is known that had `width` [n]."""
        new = self.base + self.up * np.abs(change) + self.down * np.maximum(-change, 0) + self.keep * width
        return np.asarray(np.minimum(new, self.most))

    def change(self, drawn: np.ndarray, width: np.ndarray) -> np.ndarray:
        """float64 [n]: the change that was `drawn` in units of `width` [n]."""
        return np.asarray(np.clip(np.clip(drawn, self.fall, self.rise) * width * self.unit, self.low, self.high))

    def state(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        numbers = {f.name: float(state[f.name]) for f in fields(cls)}
        out = cls(**numbers)
        if not all(map(math.isfinite, numbers.values())) or min(
            out.base, out.up, out.up + out.down, out.keep
        ) < 0 < min(out.mean, out.unit):
            raise ValueError("the width of changes wants numbers that are not negative")
        return out


def fit(change: np.ndarray, family: Family) -> tuple[Width | None, float]:
    """The likeliest width of changes [n], NaN where there is none before, None where all are as wide as any other; and the
    negative log-likelihood of a change.

    Changes divided by their width are taken as of a Laplace distribution, so that a crash is one large change among others.
    """
    from scipy.optimize import minimize
    from scipy.signal import lfilter

    size = _side_by_side(np.abs(change), family)
    fall = _side_by_side(np.maximum(-change, 0), family)
    known = np.isfinite(size)
    many, mean = int(known.sum()), float(size[known].mean()) if known.any() else 0.0
    if not mean > 0:
        return None, -math.inf
    size, fall = np.nan_to_num(size / mean), np.nan_to_num(fall / mean)
    falls = float(fall[known].mean())

    def widths(up: float, down: float, keep: float) -> np.ndarray:
        news = 1 - up - down * falls - keep + up * size + down * fall
        news[:, 1:], news[:, 0] = news[:, :-1].copy(), 1.0
        return np.asarray(lfilter([1.0], [1.0, -keep], news, axis=1))

    def cost(x: np.ndarray) -> float:
        up, down, keep = map(float, x)
        if min(up, up + down, keep) < 0 or keep + up + down * falls > LASTING:
            return math.inf
        width = np.maximum(widths(up, down, keep), 1e-3)
        return float((np.log(width) + size / width)[known].mean())

    found = [minimize(cost, x, method="Nelder-Mead", options={"maxfev": 200, "xatol": 1e-3}) for x in STARTS]
    best = min(found, key=lambda r: float(r.fun))
    if (1.0 - best.fun) * many < GAIN * math.log(many):
        return None, 1.0 + math.log(mean)
    up, down, keep = map(float, best.x)
    wide = np.maximum(widths(up, down, keep), 1e-3)
    warm = known & (_side_by_side(family.warm.astype(float), family) == 1)
    units, most = ((size - 2 * fall) / wide)[warm], mean * float(wide[known].max())
    base, ends = mean * (1 - up - down * falls - keep), (float(units.min()), float(units.max()))
    moves = up * np.abs(units).mean() + down * np.maximum(-units, 0).mean()
    unit = float((up + down * falls) / moves) if moves > 0 else 1.0
    furthest = float(np.nanmin(change)), float(np.nanmax(change))
    width = Width(base, up, max(down, -up), keep, mean, most, *ends, unit, *furthest)
    return width, float(best.fun) + math.log(mean)


def _side_by_side(values: np.ndarray, family: Family) -> np.ndarray:
    """float64 [sequences, rows]: `values` [n] of the longest sequences, NaN behind their ends and in first rows."""
    heads, who, many = np.unique(family.heads, return_inverse=True, return_counts=True)
    order = np.argsort(-many, kind="stable")
    long = order[(many[order] >= many.max() / 2) & (np.cumsum(many[order]) - many[order] < MOST)]
    place = np.full(len(heads), -1)
    place[long] = np.arange(len(long))
    rows = np.flatnonzero((place[who] >= 0) & (family.place < MOST))
    out = np.full((len(long), min(int(many.max()), MOST)), np.nan)
    out[place[who[rows]], family.place[rows]] = values[rows]
    out[:, 0] = np.nan
    return out
