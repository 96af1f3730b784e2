"""A lower bound on the epsilon of a fit that calls itself private, from canaries planted at random in one fit.

Steinke, Nasr & Jagielski, "Privacy auditing with one (1) training run" (https://arxiv.org/abs/2305.08846). A bound above
the promised epsilon convicts; one below it proves nothing, for a better attack may exist.
"""

from __future__ import annotations

import math

import numpy as np

from karat.errors import DataError

SHARES = (1.0, 0.5, 0.25, 0.125)  # of the canaries guessed at, the surest ones; each is a test of its own
FEWEST = 16


def lower_bound(included: np.ndarray, scores: np.ndarray, delta: float, confidence: float = 0.95) -> float:
    """The epsilon that the fit exceeds with that confidence; 0 where nothing is shown.

    included: bool [m], whether each canary was put among the rows, by a fair coin of its own.   scores: float [m], the
    higher the likelier it is in, by anybody who sees the fit and the canaries but not the coins.
    Raises DataError for fewer than 16 canaries, scores that are no numbers, or different lengths.
    """
    included, scores = np.asarray(included, bool), np.asarray(scores, np.float64)
    m = len(included)
    if m < FEWEST or scores.shape != (m,) or np.isnan(scores).any():
        raise DataError(
            f"{m} canaries with {scores.shape} scores: wanted a score for each of at least {FEWEST} canaries."
        )
    order = np.argsort(scores, kind="stable")
    best = 0.0
    for share in SHARES:
        half = max(1, round(share * m / 2))
        right = int((~included[order[:half]]).sum()) + int(included[order[-half:]].sum())
        best = max(best, bound_of(m, 2 * half, right, delta, (1 - confidence) / len(SHARES)))
    return best


def bound_of(m: int, guesses: int, right: int, delta: float, level: float) -> float:
    """The largest epsilon under which `right` of `guesses` about `m` canaries have a chance of at most `level`."""
    if chance(m, guesses, right, 0.0, delta) > level:
        return 0.0
    low, high = 0.0, 1.0
    while chance(m, guesses, right, high, delta) <= level and high < 64:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        if chance(m, guesses, right, middle, delta) <= level:
            low = middle
        else:
            high = middle
    return low


def chance(m: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """How likely an (epsilon, delta)-private fit lets `right` or more of `guesses` come true, at most: theorem 5.2."""
    k = np.arange(guesses + 1)
    log_p, log_q = -math.log1p(math.exp(-epsilon)), -math.log1p(math.exp(epsilon))
    choose = np.array([math.lgamma(guesses + 1) - math.lgamma(i + 1) - math.lgamma(guesses - i + 1) for i in k])
    mass = np.exp(choose + k * log_p + (guesses - k) * log_q)
    least = float(mass[right:].sum())
    if right == 0:
        return 1.0
    below = np.cumsum(mass[:right][::-1])  # P(right - i <= W < right) for i = 1 ..
    worst = float((below / np.arange(1, right + 1)).max())
    return min(1.0, least + 2 * m * delta * worst)
