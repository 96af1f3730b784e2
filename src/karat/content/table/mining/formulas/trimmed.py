"""A linear fit that all but a few rows keep to exactly, whatever those few hold, and the terms that it needs.

Least trimmed squares: Rousseeuw, "Least median of squares regression" (1984); steps of concentration: Rousseeuw and Van
Driessen, "Computing LTS regression for large data sets" (2006).
"""

from __future__ import annotations

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.formulas.worked import ACTIVE

TRIMMED = 0.16  # share of the rows that a fit leaves out
STEPS, STARTS = 8, 6  # of concentration


def fitted(z: np.ndarray, y: np.ndarray, slack: np.ndarray) -> np.ndarray | None:
    """bool [n]: the rows of a fit that all but a few keep to; None where there is none.

    From all rows, then from a few drawn ones: each fit is followed by one to the rows that it misses least.
    """
    n, width = z.shape
    fewest = n - evidence.most(n, evidence.WORKED)
    rng = np.random.default_rng(n)
    kept = int(np.ceil(n * (1 - TRIMMED)))
    for start in range(1 + (STARTS if width <= 40 else 1)):
        rows = np.arange(n) if start == 0 else rng.choice(n, min(n, width + 8), replace=False)
        for _ in range(STEPS):
            w = _least_squares(z[rows], y[rows])
            new = np.sort(np.argpartition(np.abs(z @ w - y), kept - 1)[:kept])
            if len(new) == len(rows) and (new == rows).all():
                break
            rows = new
        w = np.linalg.lstsq(z[rows], y[rows], rcond=1e-10)[0]
        good = np.abs(z @ w - y) <= slack
        if good.sum() >= fewest:
            return _extended(z, y, slack, w, good)
    return None


def _extended(z: np.ndarray, y: np.ndarray, slack: np.ndarray, w: np.ndarray, good: np.ndarray) -> np.ndarray:
    """bool [n]: the rows of a fit, with those that it misses only for a column that is the same in all rows it keeps to."""
    for j in range(z.shape[1] - 1):
        mostly = z[good, j][0]
        other = np.flatnonzero(~good & (z[:, j] != mostly))
        if len(other) < ACTIVE or (z[good, j] != mostly).any():
            continue
        off, step = (y - z @ w)[other], z[other, j] - mostly
        for slope in np.unique(np.round(off / step, 9)):
            more = np.abs(off - slope * step) <= 1e-6 * np.abs(off) + slack[other]
            if more.sum() >= ACTIVE:
                good = good.copy()
                good[other[more]] = True
                break
    return good


def _least_squares(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A fast fit, good to a few digits."""
    gram = z.T @ z
    return np.asarray(np.linalg.solve(gram + 1e-9 * len(y) * np.eye(len(gram)), z.T @ y))


def eliminated(z: np.ndarray, y: np.ndarray, slack: np.ndarray, good: np.ndarray) -> list[int] | None:
    """The columns of `z`, the last of which is the constant, without those that are not needed; the least correlated go first."""
    columns = list(range(z.shape[1]))
    with np.errstate(invalid="ignore"):
        near = np.abs(z[good].T @ (y[good] - y[good].mean()))
    lost = int((~good).sum())
    # all at once that a fit gives nothing to, then one after the other
    w = np.linalg.lstsq(z[good], y[good], rcond=1e-10)[0]
    light = [j for j in columns[:-1] if np.abs(w[j] * z[good, j]).max() <= slack.min()]
    trial = [j for j in columns if j not in light]
    fewer = _lost(z[:, trial], y, slack, good)
    if fewer <= _allowed(lost):
        columns, lost = trial, min(lost, fewer)
    for j in sorted(columns[:-1], key=lambda j: near[j]):
        trial = [k for k in columns if k != j]
        fewer = _lost(z[:, trial], y, slack, good)
        if fewer <= _allowed(lost):
            columns = trial
    return columns


def _allowed(lost: int) -> int:
    return lost + 1


def _lost(z: np.ndarray, y: np.ndarray, slack: np.ndarray, good: np.ndarray) -> int:
    """How many rows a fit to some of the columns misses."""
    w = np.linalg.lstsq(z[good], y[good], rcond=1e-10)[0]
    return int((np.abs(z @ w - y) > slack).sum())
