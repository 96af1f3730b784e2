"""Learning curves of real records, and how many of them what was made stands for.

The error of a learner falls as C + A n^-B with the n records that it is taught (https://arxiv.org/abs/2103.10948 for which
curves do). Added to all n real records, m made ones that bring the gain g stand for rho m real ones where
g = A (n^-B - (n + rho m)^-B). For a fixed B that is linear in the scores, so that the interval of rho is the set where the
difference of both sides is not further from 0 than its standard error allows (Fieller's method): where the curve is flat it
has no end. Exponents that fit as well are all counted in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

EXPONENTS = (0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5)
AS_WELL = 1.0  # by which the weighted squares of a fit may exceed the best one's (chi square of one degree, 68%)
REACH = 4.0  # made records stand for so many real ones at most before the curve is left: nobody measured it there
STEPS = 801


@dataclass(frozen=True)
class Measured:
    """Scores of several arms over paired seeds, and what they are known to move by.

    arms: names.   scores: [seeds, arms].   left_out: [groups, arms], means over the seeds with a group of the test records
    left out.   share: by arm, the part of all its records that each seed drew (0 where they were the same in all).
    least: standard error of a difference of two arms, at least: equal scores on a few test records are not equal for certain.
    """

    arms: tuple[str, ...]
    scores: np.ndarray
    left_out: np.ndarray
    share: np.ndarray
    least: float = 0.0

    @property
    def mean(self) -> np.ndarray:
        means: np.ndarray = self.scores.mean(0)
        return means

    def at(self, arm: str) -> int:
        return self.arms.index(arm)

    @property
    def drawn(self) -> np.ndarray:
        """Covariance of the means [arms, arms] by the seeds and by the records that they drew from.

        Of draws that hold a share f of the records the spread is 1 - f of a fresh sample's of that size, and what is known
        of all records moves by f of the latter, f / (1 - f) of the spread.
        """
        seeds = len(self.scores)
        moved = (self.scores - self.mean) * np.sqrt(1 / seeds + self.share / (1 - self.share))
        return np.asarray(moved.T @ moved / max(seeds - 1, 1))

    @property
    def covariance(self) -> np.ndarray:
        """The same, and by the test records."""
        groups, left = len(self.left_out), self.left_out - self.left_out.mean(0)
        return np.asarray(self.drawn + (groups - 1) / groups * left.T @ left)

    def difference(self, a: str, b: str) -> tuple[float, float]:
        """How much arm `a` scores above arm `b`, and the standard error of that."""
        c = np.zeros(len(self.arms))
        c[self.at(a)] += 1
        c[self.at(b)] -= 1
        return float(c @ self.mean), math.sqrt(max(float(c @ self.covariance @ c), self.least**2))


@dataclass(frozen=True)
class Rate:
    """How many real records one made one stands for, with its 95% interval; infinite where the curve does not reach."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Real records [k] by number, and the arms of `measured` that were taught them.

    luck: variance of the score of all real records over draws of them, of which there is one.
    """

    sizes: np.ndarray
    arms: tuple[str, ...]
    measured: Measured
    luck: float

    def fits(self, alone: str) -> list[tuple[float, float, np.ndarray]]:
        """By exponent B: by how much the squares of its fit exceed the best one's, and A as weights of the scores of all arms.

        The last weight is that of 1. The luck of the real records (`alone`) is in the mean over their parts as much as in all of
        them, and does not tilt the curve; what is beyond them has some of its own.
        """
        at = [self.measured.at(arm) for arm in self.arms]
        error = 1 - self.measured.mean[at]
        variance = np.diag(self.measured.drawn)[at]  # other test records would move all of them alike
        varies = variance > 1e-15
        n = self.sizes[self.arms.index(alone)]
        once = np.where(self.sizes > n, self.luck * (1 - n / self.sizes), variance[varies].min(initial=np.inf))
        weight = 1 / (np.where(varies, variance, once) + 1e-9)
        weight *= self.sizes  # no curve is a power of n from few records on: what is near counts
        found = []
        for b in EXPONENTS:
            x = self.sizes**-b
            rows = np.stack([x, np.ones_like(x)], 1)
            solve = np.linalg.pinv(rows.T * weight @ rows) @ (rows.T * weight)
            if (solve @ error)[1] < 0:  # no error is below 0
                rows = rows[:, :1]
                solve = np.linalg.pinv(rows.T * weight @ rows) @ (rows.T * weight)
            left = float((weight * (error - rows @ (solve @ error)) ** 2).sum())
            a = np.zeros(len(self.measured.arms))
            a[at] = -solve[0]  # of errors: 1 - score, and a curve's height does not change A
            found.append((left, b, a, float(solve[0].sum())))
        best = min(left for left, *_ in found)
        return [(left - best, b, np.append(a, constant)) for left, b, a, constant in found]


def exchange_rate(curve: Curve, arm: str, alone: str, n: int, m: int) -> Rate | None:
    """How many real records each of `m` made ones stands for that were added, as `arm`, to the `n` real ones of `alone`.

    Of the luck of the real ones m / (n + m) is gone where as many others come.
    None where the learning curve does not rise for certain.
    """
    from scipy.stats import t

    measured = curve.measured
    wide = float(t.ppf(0.975, max(len(measured.scores) - 1, 2)))
    grid = np.linspace(-min(1.0, 0.95 * n / m), REACH, STEPS)
    held, values, likely = np.zeros(STEPS, bool), list[float](), list[float]()
    for worse, b, weights in curve.fits(alone):
        found = _distances(
            measured, weights, arm, alone, float(n) ** -b - (n + grid * m) ** -b, curve.luck * (m / (n + m)) ** 2
        )
        if found is None:
            continue
        off, error = found
        values.append(float(grid[np.argmin(np.abs(off))]) if off[-1] < 0 < off[0] else math.copysign(math.inf, off[-1]))
        likely.append(math.exp(-worse / 2))
        if worse <= AS_WELL:
            held |= np.abs(off) <= wide * error
    if not values or held.all():
        return None
    order = np.argsort(values)
    middle = np.searchsorted(np.cumsum(np.array(likely)[order]), sum(likely) / 2)
    value = values[order[middle]]  # the median over exponents, each as likely as it fits
    inside = grid[held]
    if not len(inside):  # beyond the grid on one side
        return Rate(value, value, value)
    low = -math.inf if held[0] else float(inside[0])
    return Rate(value, low, math.inf if held[-1] else float(inside[-1]))


def _distances(
    measured: Measured, weights: np.ndarray, arm: str, alone: str, reach: np.ndarray, luck: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Per step: the gain less what the curve has risen there, and its standard error; None for a curve that does not rise."""
    a, constant = weights[:-1], weights[-1]
    if a @ measured.mean + constant <= 0:
        return None
    gain = np.zeros(len(measured.arms))
    gain[measured.at(arm)] += 1
    gain[measured.at(alone)] -= 1
    c = gain - reach[:, None] * a  # [steps, arms]
    off = c @ measured.mean - reach * constant
    variance = np.einsum("sa,ab,sb->s", c, measured.covariance, c) + luck
    return off, np.sqrt(np.maximum(variance, max(measured.least**2, 1e-18)))


def holm(p: Sequence[float]) -> list[float]:
    """The same p values, corrected for being several (Holm, https://www.jstor.org/stable/4615733)."""
    order, out, most = np.argsort(p), [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[i]))
        out[int(i)] = most
    return out


def parts(n: int, fewest: int) -> Iterator[int]:
    """Sizes of a learning curve below `n`, a root of two apart, from an eighth on, none with fewer than `fewest`."""
    for k in range(6, 0, -1):
        size = round(n * 2 ** (-k / 2))
        if size >= fewest:
            yield size
