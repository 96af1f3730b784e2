"""A score of text beside two real ones: unseen passages, which may come from elsewhere, and training passages.

The last tenth of a book is not like the rest of it. A generator that writes as the rest does is not at fault, nor would
the last tenth be in its place: only what lies outside of both is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from karat.assays.chance import LEVEL
from karat.assays.finding import Limit, Score

Scores = tuple[np.ndarray, np.ndarray | None]  # per passage [n], and the document of each [n] where known


@dataclass(frozen=True)
class Band:
    """A mean, its 95% interval, the same of unseen and of training text, and how far it lies outside of both.

    gap: 0 between the two, else the distance from the nearer one.   z: the gap in standard errors.
    errors: of the difference from the lower and from the higher of the two.
    """

    value: float
    low: float
    high: float
    real: float
    train: float
    gap: float
    z: float
    errors: tuple[float, float]

    @property
    def score(self) -> Score:
        """The mean with its interval, beside that of unseen text."""
        return Score(self.value, self.low, self.high, self.real, max(self.errors))

    def limit(self, least: float) -> Limit:
        """Where the gap is more than chance explains and more than `least`."""
        low, high = sorted((self.real, self.train))
        reach = [max(LEVEL * e, abs(least)) for e in self.errors]
        return Limit(above=high + reach[1], below=low - reach[0])


def mean_error(x: np.ndarray, documents: np.ndarray | None) -> tuple[float, float]:
    """The mean of `x` [n] and its standard error; passages of one document vary together."""
    known = ~np.isnan(x)
    x = x[known]
    if len(x) < 2:
        return (float(x.mean()) if len(x) else math.nan), math.inf
    mean = float(x.mean())
    plain = float(x.std(ddof=1)) / math.sqrt(len(x))
    if documents is None:
        return mean, plain
    _, which = np.unique(documents[known], return_inverse=True)
    groups = int(which.max()) + 1
    if not 5 <= groups < len(x):
        return mean, plain
    sums = np.bincount(which, weights=x - mean)
    return mean, max(plain, math.sqrt(float((sums**2).sum()) * groups / (groups - 1)) / len(x))


def banded(made: Scores, unseen: Scores, train: Scores) -> Band:
    """The means of per-passage scores; NaN stands for a passage that has none."""
    (value, own), (real, theirs), (other, others) = (mean_error(*x) for x in (made, unseen, train))
    ends = sorted([(real, theirs), (other, others)])
    gap, error = 0.0, 1.0
    if value < ends[0][0]:
        gap, error = value - ends[0][0], ends[0][1]
    elif value > ends[1][0]:
        gap, error = value - ends[1][0], ends[1][1]
    spread = max(math.hypot(own, error), 1e-12)
    errors = max(math.hypot(own, ends[0][1]), 1e-12), max(math.hypot(own, ends[1][1]), 1e-12)
    z = gap / spread if gap else 0.0
    return Band(value, value - 1.96 * own, value + 1.96 * own, real, other, gap, z, errors)
