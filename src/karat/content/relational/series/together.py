"""Series of one file that move together: how a change differs from what those of other series at the same moment let expect.

Changes in units of their width, of one moment, are correlated from series to series; each is learned and drawn given those of the
series that stand before it (the Cholesky decomposition of their correlations), of which some may not be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

CHANCE = 4.0  # times what the correlation of as many independent pairs is by chance
MATTERS = 0.1  # correlation, up to which series are taken as independent
LEAST = 0.05  # of the variance of a change that the others do not say, at least


@dataclass(frozen=True)
class Together:
    """Of each of k columns: float64 [k, series] standard deviations of units, [k, series, series] their correlations."""

    spread: np.ndarray
    correlation: np.ndarray

    @classmethod
    def fit(cls, units: np.ndarray, who: np.ndarray, when: np.ndarray) -> Self | None:
        """Of units [n, k] of series [n] at moments [n], NaN where unknown; None where no two series go together."""
        if who.max(initial=0) == 0 or not units.shape[1]:
            return None
        side = beside(units, who, when)[0]
        spread = np.nan_to_num(np.nanstd(side, 0, where=np.isfinite(side))).T
        out = np.tile(np.eye(side.shape[1]), (units.shape[1], 1, 1))
        for j, a, b in np.ndindex(out.shape):
            both = np.isfinite(side[:, a, j]) & np.isfinite(side[:, b, j])
            x, y = side[both, a, j], side[both, b, j]
            if a < b and both.sum() > 2 and min(x.std(), y.std()) > 0:
                r = float(np.corrcoef(x, y)[0, 1])
                out[j, a, b] = out[j, b, a] = r if abs(r) > max(MATTERS, CHANCE / np.sqrt(both.sum())) else 0.0
        return cls(spread, out) if (out != np.eye(side.shape[1])).any() else None

    def expected(self, one: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float64 [n, k] each: what is to be expected of series `one` where the units of others are [n, series, k], NaN where not
        known, and the part of its standard deviation that is left; only those that stand before it are looked at.
        """
        mean, left = np.zeros((len(others), len(self.spread))), np.ones((len(others), len(self.spread)))
        for j, (spread, correlation) in enumerate(zip(self.spread, self.correlation, strict=True)):
            known = np.isfinite(others[:, :one, j]) & (spread[:one] > 0)
            for pattern in np.unique(known, axis=0):
                rows, of = (known == pattern).all(1), np.flatnonzero(pattern)
                weight = np.linalg.lstsq(correlation[np.ix_(of, of)], correlation[of, one], rcond=1e-6)[0]
                mean[rows, j] = spread[one] * (others[rows][:, of, j] / spread[of]) @ weight
                left[rows, j] = np.sqrt(max(1 - float(weight @ correlation[of, one]), LEAST))
        return mean, left

    def apart(self, units: np.ndarray, who: np.ndarray, when: np.ndarray) -> np.ndarray:
        """float64 [n, k]: how far units lie from what is to be expected, in parts of what is left."""
        side, moment = beside(units, who, when)
        out = units.copy()
        for one in range(1, len(self.spread[0])):
            rows = np.flatnonzero(who == one)
            mean, left = self.expected(one, side[moment[rows]])
            out[rows] = (units[rows] - mean) / left
        return out

    def state(self) -> dict[str, Any]:
        return {"spread": self.spread.tolist(), "correlation": self.correlation.tolist()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        spread, correlation = (np.array(state[name], np.float64) for name in ("spread", "correlation"))
        if spread.ndim != 2 or correlation.shape != (*spread.shape, spread.shape[1]):
            raise ValueError("correlations of each column among its series were wanted")
        return cls(spread, correlation)


def beside(units: np.ndarray, who: np.ndarray, when: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [moments, series, k]: units [n, k] of series [n] at moments [n], NaN where there are none; and each row's moment."""
    moment = np.unique(when, return_inverse=True)[1]
    side = np.full((int(moment.max(initial=0)) + 1, int(who.max(initial=0)) + 1, units.shape[1]), np.nan)
    side[moment[who >= 0], who[who >= 0]] = units[who >= 0]
    return side, moment


@dataclass
class Drawn:
    """The units [series, k] that were drawn so far, by the path and the moment."""

    at: dict[tuple[int, float], np.ndarray] = field(default_factory=dict)

    def joined(self, of: Together, units: np.ndarray, one: int, when: np.ndarray, path: np.ndarray) -> np.ndarray:
        """float64 [n, k]: the inverse of `apart` for draws [n, k] of series `one` (-1: a new one) at moments [n] of paths [n]."""
        if one < 0:
            return units
        blank = np.full(of.spread.T.shape, np.nan)
        places = list(zip(path.tolist(), when.tolist(), strict=True))
        others = np.stack([self.at.setdefault(place, blank.copy()) for place in places])
        mean, left = of.expected(one, others)
        out = np.asarray(mean + left * units)
        for place, each in zip(places, out, strict=True):
            self.at[place][one] = each
        return out
