"""When so few exceptions are no chance: how many a relation may have, and how probable they would be among unrelated columns.

All probabilities are natural logarithms of upper bounds, so that what is said to be certain is at least as certain.
"""

from __future__ import annotations

from math import lgamma, log

import numpy as np

RARELY = 0.05  # of the rows may break what holds nearly always
WORKED = 0.12  # and a formula, which tells of each row to the last place whether it holds there
ALPHA = 1e-4  # probability that one form of relation is found anywhere in a table in which there is none
LESS = 0.2  # exceptions, at most this share of what unrelated columns would have
FEWEST = 18  # rows in which a relation must be told


def most(rows: int, rate: float = RARELY) -> int:
    """The most exceptions among so many rows that a `rate` gives but once in ten thousand samples."""
    return int(rate * rows + 3.7 * np.sqrt(rate * (1 - rate) * rows) + 1)


def few(exceptions: int, rows: int, chance: float, rate: float = RARELY) -> bool:
    """Whether exceptions are few by themselves, and beside the share `chance` of unrelated columns."""
    return rows >= FEWEST and exceptions <= most(rows, rate) and exceptions <= LESS * chance * rows


def log_tail(exceptions: int, rows: int, chance: float) -> float:
    """log P(at most so many of `rows` are exceptions), each with probability `chance`: Chernoff's bound."""
    if rows == 0 or exceptions >= chance * rows:
        return 0.0
    if chance >= 1.0:
        return -np.inf
    q = exceptions / rows
    divergence = (1 - q) * log((1 - q) / (1 - chance)) + (q * log(q / chance) if q > 0 else 0.0)
    return -rows * divergence


def log_choose(n: int, k: int) -> float:
    """log of the number of ways to choose k of n."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def log_ordered(low: np.ndarray, high: np.ndarray) -> float:
    """log P(low[i] <= high[p(i)] for all i) over all permutations p; both [n].

    Exact: in falling order each low has as many highs left that will do as there are at or above it, less those that the
    ones before it took.
    """
    n = len(low)
    falling = np.sort(low)[::-1]
    above = n - np.searchsorted(np.sort(high), falling, side="left")
    left = above - np.arange(n)
    if (left <= 0).any():
        return -np.inf
    return float(np.log(left / (n - np.arange(n))).sum())


def share_above(low: np.ndarray, high: np.ndarray) -> float:
    """The share of all pairs (i, j) in which low[i] > high[j]."""
    return float(np.searchsorted(np.sort(high), low, side="left").mean() / len(high))


def share_within(left: np.ndarray, right: np.ndarray, slack: np.ndarray | float) -> float:
    """The share of all pairs (i, j) in which left[i] is within `slack` of right[j]."""
    ordered = np.sort(left)
    found = np.searchsorted(ordered, right + slack, side="right") - np.searchsorted(ordered, right - slack, side="left")
    return float(found.mean() / len(left))
