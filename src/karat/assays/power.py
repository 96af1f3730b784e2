"""How many records a finding needs before it can see its fault: at fewer, silence says nothing.

The fault that a finding must see is fixed where it is made, as a share or a gap that matters. Two cases:

A score with a standard error e is raised beyond `LEVEL` e. A gap g is seen in nine of ten tries where (LEVEL + 1.28) e <= g.
The error falls with the root of both samples, e^2 = c (1/n + 1/m), so that 1/n + 1/m <= g^2 / (c (LEVEL + 1.28)^2).

A count is raised by an exact test. A share g is seen in nine of ten tries where the count that nine of ten samples of size n
reach, the 10% quantile of the binomial (n, g), is raised; of a group that is missing the count is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from karat.assays.chance import LEVEL
from karat.assays.finding import MOST, Sample

NINE = 1.2816  # standard errors below which nine of ten normal draws do not fall
EASY = 3  # times as many made records are no trouble

GAPS = {
    "two-sample auc": 0.2,  # a classifier that is right 70 times of 100, where guessing is 50
    "precision": 0.15,  # of the records no good
    "density": 0.2,
    "clipped density": 0.2,
    "recall": 0.2,  # a fifth of real records without their like
    "coverage": 0.15,
    "clipped coverage": 0.15,
    "rare categories": 0.5,  # half of the records of rare categories
    "column shapes": 0.2,  # of the rows would have to move in one column, or in a pair of columns
    "column pairs": 0.2,
    "three-way marginals": 0.2,
    "cardinality": 0.2,
    "gaps": 0.2,
    "pairs": 0.2,
    "usefulness": 0.5,  # of what real records teach beyond guessing
    "lift": 0.1,
    "sharpness": 0.2,  # of the detail of real data
    "detail": 0.2,
    "descriptor": 0.5,  # standard deviations by which a mean is off
    "length": 0.2,
    "layout": 0.2,
    "own-feature mauve": 0.2,
    "distinct-2": 0.1,
    "self-bleu": 0.1,
    "fluency": 0.1,  # of the bits per character of real text
    "compression": 0.1,
    "membership": 0.15,  # an attacker who is right 65 times of 100
    "nearest record share": 0.15,
}  # the gap between made and real that matters, of each score
SHARES = ("precision", "recall", "coverage", "clipped coverage")  # those that are shares of records
COPIES = 0.05  # of the made records are training records
STRAY = 0.01  # of the records are read as of a class that they are not of
GROUP = 0.1  # of real records belong to the group that is missing
BAD = 0.1  # of the made records break a rule, loop, lack a cell
OTHERWISE = 0.3  # of a column's cells are printed otherwise
TWICE = 0.2  # of real records belong to the group that is made twice as often


def of_score(error: float, gap: float, n: int, m: int, level: float = LEVEL) -> tuple[Sample, ...]:
    """What a score of `n` made and `m` unseen records whose difference has the standard `error` needs to see `gap`."""
    now = 1 / max(n, 1) + 1 / max(m, 1)
    if not math.isfinite(error):
        return _both(n, m, max(n, m) + 1)
    allowed = now * (gap / ((level + NINE) * max(error, 1e-12))) ** 2
    if now <= allowed:
        return _both(n, m, 0)
    for mine, other, side in ((n, m, 0), (m, n, 1)):
        if 1 / other <= allowed / 2:  # enough of the other for this side alone to do
            needs = math.ceil(1 / (allowed - 1 / other))
            return _both(n, m, needs)[side : side + 1] if needs > mine else _both(n, m, 0)
    return _both(n, m, math.ceil(2 / allowed))


def scored(key: str, error: float, n: int, m: int, unit: float = 1.0) -> tuple[Sample, ...]:
    """`of_score` for the gap of `GAPS`, in units of `unit`.

    Twelve draws of few records may all score the same. A share moves, at its fault, at least as a binomial one does.
    """
    gap = GAPS[key]
    least = math.sqrt(gap * (1 - gap) * (1 / n + 1 / m)) if key in SHARES else 1 / (2 * LEVEL * math.sqrt(min(n, m)))
    return of_score(max(error, unit * least), gap * unit, n, m)


def of_count(sees: Callable[[int, int], bool], n: int, m: int) -> tuple[Sample, ...]:
    """What a test needs that `sees` its fault at some numbers of made and unseen records, and at all larger ones.

    Of one side alone where that does, of the made ones rather: they cost nothing, until they would have to be many because
    the others are few.
    """
    if sees(n, m):
        return _both(n, m, 0)
    mine, other = _smallest(lambda size: sees(size, m), n), _smallest(lambda size: sees(n, size), m)
    if mine is not None and (other is None or mine <= max(EASY * n, n * other / m)):
        return (Sample(n, mine, "made"),)
    if other is not None:
        return (Sample(m, other, "unseen real"),)
    both = _smallest(lambda size: sees(max(size, n), max(size, m)), min(n, m))
    return _both(n, m, MOST if both is None else both)


def reached(n: int, share: float) -> int:
    """The count of `n` that nine of ten samples of records reach of which a `share` are at fault."""
    from scipy.stats import binom

    return int(binom.ppf(0.1, n, share))


def reached_apart(n: int, share: float, m: int, other: float) -> tuple[int, int]:
    """The likeliest pair of counts, of `n` and of `m`, among those as near to each other as one draw of ten brings them.

    share, other: the shares of records that are marked on each side, the larger one first.
    """
    a, b = share * (1 - share) / n, other * (1 - other) / m
    short = NINE / math.sqrt(a + b)
    return max(0, round(n * (share - short * a))), min(m, round(m * (other + short * b)))


def _both(n: int, m: int, needs: int) -> tuple[Sample, ...]:
    return Sample(n, min(needs, MOST), "made"), Sample(m, min(needs, MOST), "unseen real")


def _smallest(sees: Callable[[int], bool], start: int) -> int | None:
    high = max(start, 8)
    while not sees(high):
        high *= 2
        if high > MOST:
            return None
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if sees(middle) else (middle + 1, high)
    return high
