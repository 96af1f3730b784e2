"""Whether one run is better than another: paired differences of findings with their intervals.

What chance does to a difference is seen in blocks: disjoint parts of the unseen records, the same for all runs, each with
its own part of what was made. A score of n records varies about as its blocks do over the root of their number (Politis,
Romano, "Large sample confidence regions based on subsamples", https://doi.org/10.1214/aos/1176325770). Several findings are
tested together: Holm's correction keeps the chance of one false "better" at 5%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from karat.assays import Finding

Word = Literal["better", "worse", "alike", "unknown"]
LEVEL = 0.05
FEWEST = 4  # blocks, or seeds of both sides together, that give an interval


@dataclass(frozen=True)
class Difference:
    """How a finding of `b` differs from the same of `a`.

    by: how much better b is, in units of the finding, with its 95% interval; NaN where there is none.   word: "alike" where both
    score at least as real data do.   times: how many times as many records (or seeds) would tell; NaN where no number is known.
    """

    finding: Finding
    a: float
    b: float
    by: float
    low: float
    high: float
    word: Word
    times: float


def gain(f: Finding, score: float) -> float:
    """How good a score of that finding is: higher is better."""
    if f.better == "neither":
        return -abs(score - f.real)
    return score if f.better == "higher" else -score


def paired(
    a: Sequence[Finding], b: Sequence[Finding], blocks: Sequence[tuple[Sequence[Finding], Sequence[Finding]]]
) -> list[Difference]:
    """The differences of two runs; blocks: the findings of both, block by block."""
    parts = [({f.name: f for f in x}, {f.name: f for f in y}) for x, y in blocks]
    found = []
    for f, g in _matched(a, b):
        each = [
            gain(y[f.name], y[f.name].value) - gain(x[f.name], x[f.name].value)
            for x, y in parts
            if f.name in x and f.name in y
        ]
        each = [d for d in each if math.isfinite(d)]
        by = gain(f, g.value) - gain(f, f.value)
        error = np.std(each, ddof=1) / math.sqrt(len(each)) if len(each) >= FEWEST else math.nan
        found.append((f, f.value, g.value, by, float(error), len(each) - 1.0))
    return _told(found)


def between(a: Sequence[Sequence[Finding]], b: Sequence[Sequence[Finding]]) -> list[Difference]:
    """The differences of two recipes, each with the findings of several seeds: Welch's t over the seeds."""
    found = []
    for f, _ in _matched(a[0], b[0]):
        sides = [[gain(f, g.value) for run in side for g in run if g.name == f.name] for side in (a, b)]
        means = [float(np.mean(side)) for side in sides]
        error, df = math.nan, math.nan
        if len(sides[0]) + len(sides[1]) >= FEWEST and min(map(len, sides)) >= 2:
            parts = [float(np.var(side, ddof=1)) / len(side) for side in sides]
            error = math.sqrt(sum(parts))
            down = sum(p * p / (len(side) - 1) for p, side in zip(parts, sides, strict=True))
            df = error**4 / down if down > 0 else math.inf
        values = [float(np.mean([g.value for run in side for g in run if g.name == f.name])) for side in (a, b)]
        found.append((f, values[0], values[1], means[1] - means[0], error, df))
    return _told(found)


def _matched(a: Sequence[Finding], b: Sequence[Finding]) -> list[tuple[Finding, Finding]]:
    other = {g.name: g for g in b}
    return [(f, other[f.name]) for f in a if f.name in other]


def _told(found: Sequence[tuple[Finding, float, float, float, float, float]]) -> list[Difference]:
    """Differences with their words; found: of each the finding, both scores, the gain, its standard error, degrees of freedom."""
    chances = [
        float(2 * stats.t.sf(abs(by) / error, df)) if error > 0 and math.isfinite(by) else math.nan
        for _, _, _, by, error, df in found
    ]
    sure = holm(chances)
    out = []
    for (f, a, b, by, error, df), certain in zip(found, sure, strict=True):
        half = float(stats.t.ppf(1 - LEVEL / 2, df)) * error if error > 0 else math.nan
        good = math.isfinite(by) and min(gain(f, a), gain(f, b)) >= gain(f, f.real)
        word: Word = "alike" if good else ("better" if by > 0 else "worse") if certain else "unknown"
        blind = word == "unknown" and half > abs(by)
        times = math.nan if not blind else math.inf if by == 0 else (half / by) ** 2
        out.append(Difference(f, a, b, by, by - half, by + half, word, times))
    return out


def holm(chances: Sequence[float]) -> list[bool]:
    """Which of the hypotheses with these p-values fall at 5% for all together; NaN is none."""
    order = sorted((i for i, p in enumerate(chances) if math.isfinite(p)), key=lambda i: chances[i])
    out = [False] * len(chances)
    for rank, i in enumerate(order):
        if chances[i] > LEVEL / (len(order) - rank):
            break
        out[i] = True
    return out
