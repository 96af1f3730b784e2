"""What long stretches of a series are like in all, so that of several paths one is kept that is like one of them.

A path is one draw: its calm and wild years come as they come, and its standard deviation lies a tenth or more from that of the
series it was learned from, while a person asks for a series like hers. So several are drawn side by side, and the nearest is
kept to a stretch of training steps as long (as approximate Bayesian computation does: Tavare et al., 1997): by standard deviation
and kurtosis of changes, and by the autocorrelation of their sizes (Cont, "Empirical properties of asset returns", 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

LAGS = 20  # steps, up to which sizes of changes are compared
PARTS = (1, 2, 4)  # into which a series is cut
FEWEST = 100  # steps, from which on they say what a stretch is like
PATHS = 16  # of which one is kept
MOST = 100_000  # steps that are drawn for them
SCALE = np.array(
    [0.1, 0.3, 0.1]
)  # of a standard deviation and a kurtosis as factors, and of an autocorrelation: what matters


@dataclass(frozen=True)
class Stretches:
    """Of each of `PARTS` the mean number of steps of a part, and float64 [parts, series, k, 2 + LAGS], the `summary` of each."""

    lengths: tuple[float, ...]
    parts: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, change: np.ndarray, who: np.ndarray, when: np.ndarray) -> Self:
        """change: float64 [n, k] of the training rows of series [n] at moments [n], NaN where there is none before."""
        series = [np.flatnonzero(who == one) for one in range(int(who.max(initial=0)) + 1)]
        series = [rows[np.argsort(when[rows], kind="stable")] for rows in series]
        cut = [[np.array_split(rows, many) for rows in series] for many in PARTS]
        return cls(
            tuple(float(np.mean([len(part) for rows in each for part in rows])) for each in cut),
            tuple(
                np.stack([np.stack([summary(change[rows[i]]) for rows in each]) for i in range(many)])
                for many, each in zip(PARTS, cut, strict=True)
            ),
        )

    def wanted(self, n: int, rng: np.random.Generator) -> np.ndarray | None:
        """float64 [series, k, 2 + LAGS]: what one stretch of about `n` steps is like; None where none is so short."""
        if n < max(FEWEST, self.lengths[-1] / np.sqrt(2)):
            return None
        parts = self.parts[int(np.argmin(np.abs(np.log(np.array(self.lengths) / n))))]
        return np.asarray(parts[rng.integers(len(parts))])

    def state(self) -> dict[str, Any]:
        return {"lengths": list(self.lengths), "parts": [np.round(part, 6).tolist() for part in self.parts]}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        parts = tuple(np.array(part, np.float64) for part in state["parts"])
        if len(parts) != len(state["lengths"]) or any(p.ndim != 4 or p.shape[3] != 2 + LAGS for p in parts):
            raise ValueError("what stretches of a series are like was wanted for each length")
        return cls(tuple(float(x) for x in state["lengths"]), parts)


def summary(change: np.ndarray) -> np.ndarray:
    """float64 [k, 2 + LAGS] of changes [n, k] one after another: the logarithms of standard deviation and kurtosis, and the
    autocorrelations of their sizes. No lag reaches over a row whose change is not known at all, as what was before it is not there.
    """
    k = change.shape[1]
    gone = np.isnan(change).all(1)
    spread = np.full((len(change) + LAGS * int(gone.sum()), k), np.nan)
    spread[np.arange(len(change)) + LAGS * np.cumsum(gone)] = change
    there = np.isfinite(spread)
    away = np.where(there, spread - _mean(spread, there), 0)
    many = np.maximum(there.sum(0), 1)
    second, fourth = (np.maximum((away**power).sum(0) / many, 1e-300) for power in (2, 4))
    size = np.abs(np.where(there, spread, 0))
    size = np.where(there, size - _mean(size, there), 0)
    power = np.maximum((size**2).sum(0) / many, 1e-300)
    out = [np.log(second) / 2, np.log(fourth) - 2 * np.log(second)]
    for lag in range(1, LAGS + 1):
        both = np.maximum((there[lag:] & there[:-lag]).sum(0), 1)
        out.append((size[lag:] * size[:-lag]).sum(0) / both / power)
    return np.stack(out, 1)


def _mean(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """float64 [k]: of those of `values` [n, k] that are there."""
    return np.asarray(np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1))


def apart(made: Sequence[np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """float64 [n]: how far the summaries [k, 2 + LAGS] of n series lie from those wanted of them [n, k, 2 + LAGS]."""
    off = np.abs(np.stack(list(made)) - wanted) if len(made) else np.abs(wanted)
    off = np.concatenate([off[..., :2], off[..., 2:].max(-1, keepdims=True)], -1) / SCALE
    return np.asarray((off**2).sum(-1).mean(-1))
