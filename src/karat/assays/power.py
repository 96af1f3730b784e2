"""How many records a finding needs before it can see its fault: at fewer, silence says nothing.

The fault that a finding must see is fixed where it is made, as a share or a gap that matters. Two cases:

A score with a standard error e is raised beyond `LEVEL` e. A gap g is seen in 19 of 20 tries where (LEVEL + 1.80) e <= g.
The error falls with the root of both samples, e^2 = c (1/n + 1/m), so that 1/n + 1/m <= g^2 / (c (LEVEL + 1.80)^2).

A count is raised by an exact test. A share g is seen in 19 of 20 tries where the count that 19 of 20 samples of size n
reach, the 5% quantile of the binomial (n, g), is raised; of a group that is missing the count is 0.

So the same reckoning says what the least fault is that the records at hand show (`Sample.least`).
The findings of one report are one family: at most one report of 20 on unseen real records may raise anything at all. At `LEVEL`
errors that holds of some hundred findings, whose errors a dozen draws estimate: more than any report has but one of many related
tables. There every score must be off by more (`corrected`), so that a table or a finding that is added does not make a report
accuse real records more often. Counts are judged by exact tests, whose chance is small enough for a hundred thousand.

Whether findings keep that promise is measured by planting each fault at just this size (docs/references.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from karat.assays.chance import LEVEL, ROUNDS
from karat.assays.finding import MOST, Finding, Sample

OFTEN = 0.95  # of tries in which the fault is seen
NORMAL = 1.6449  # standard errors below which so many normal draws do not fall
REACH = (
    1.7959  # and estimated standard errors: Student's t of the 11 degrees of freedom that `chance.ROUNDS` draws have
)
STEPS = 40  # of a search
FAMILY = 0.05  # of the reports on unseen real records, at most, in which anything is raised
EASY = 3  # times as many made records are no trouble

GAPS = {
    "two-sample auc": 0.2,  # a classifier that is right 70 times of 100, where guessing is 50
    "precision": 0.15,  # of the records no good, that is far from any real one
    "density": 0.2,
    "clipped density": 0.2,
    "recall": 0.2,  # of the real records that have their like without it
    "coverage": 0.15,
    "clipped coverage": 0.15,
    "rare categories": 0.5,  # half of the records of rare categories
    "column shapes": 0.2,  # of the rows would have to move in one column, or in a pair of columns
    "column pairs": 0.2,
    "three-way marginals": 0.2,
    "cardinality": 0.2,
    "gaps": 0.2,
    "cardinality pairs": 0.2,
    "parent-child auc": 0.2,
    "parent-child pairs": 0.2,
    "sequences": 0.2,
    "changes": 0.2,
    "autocorrelation": 0.1,  # of the correlation itself
    "volatility": 0.1,
    "cross-correlation": 0.2,
    "drawdown": 0.2,
    "leverage": 0.1,
    "seasonality": 0.2,  # standard deviations of a change
    "usefulness": 0.5,  # of what real records teach beyond guessing
    "forecast": 0.3,  # of what real steps teach: what is lost where steps come in any order
    "lift": 0.1,
    "invented words": 0.1,  # of the words
    "ct": 0.15,  # an unseen record and a made one, and the made one is the nearer in 65 of 100 pairs
    "authenticity": 0.2,
    "sharpness": 0.2,  # of the detail of real data
    "detail": 0.2,
    "descriptor": 0.5,  # standard deviations by which a mean is off
    "coherence": 0.3,  # of the words that real passages take up again
    "length": 0.2,
    "layout": 0.2,
    "own-feature mauve": 0.2,
    "distinct-2": 0.1,
    "self-bleu": 0.1,
    "fluency": 0.1,  # of the bits per character of real text
    "compression": 0.1,
    "singling out": 0.15,  # of the attempts succeed that would fail on unseen rows
    "linkability": 0.15,
    "inference": 0.15,
    "loss attack": 0.15,
    "shadow attack": 0.15,
    "membership": 0.15,  # an attacker who is right 65 times of 100
    "nearest record share": 0.15,
}  # the gap between made and real that matters, of each score
SHARES = ("precision", "recall", "coverage", "clipped coverage", "authenticity")  # those that are shares of records
COPIES = 0.05  # of the made records are training records
STRAY = 0.01  # of the records are read as of a class that they are not of
GROUP = 0.1  # of real records belong to the group that is missing
BAD = 0.1  # of the made records break a rule, loop, lack a cell
OTHERWISE = 0.3  # of a column's cells are printed otherwise
TWICE = 0.2  # of real records belong to the group that is made twice as often


def of_score(error: float, gap: float, n: int, m: int, unit: float = 1.0, beyond: float = 0.0) -> tuple[Sample, ...]:
    """What a score of `n` made and `m` unseen records whose difference has the standard `error` needs to see `gap` units.

    beyond: a difference up to which it is no fault, however sure.
    """
    return _of_gap(lambda _: error, gap, n, m, unit, beyond)


def scored(
    key: str, error: float, n: int, m: int, unit: float = 1.0, floor: float = 0.0, beyond: float = 0.0
) -> tuple[Sample, ...]:
    """`of_score` for the gap of `GAPS`, in units of `unit`; of a share, the score of real records.

    Twelve draws of few records may all score the same. A share moves, at its fault, at least as a binomial one does.
    floor: how far two samples of real records lie apart, for a distance of samples, which is never 0. A fault and chance do
    not add up to it, but their squares do, and both fall with the root of the samples: beside a floor f the gap is
    (f^2 + g^2)^(1/2) - f, and is seen as if the error were (e^2 + 2 e f / (LEVEL + 1.80))^(1/2).
    """

    def at(gap: float) -> float:
        least = unit / (2 * LEVEL * math.sqrt(min(n, m)))
        if key in SHARES:
            real = (min(1.0, max(0.0, unit)) * m + 1) / (m + 2)  # all of thirty do not say that all are
            left = real * (1 - gap)
            least = math.sqrt(left * (1 - left) / n + real * (1 - real) / m)
        own = max(error, least)
        return math.sqrt(own**2 + 2 * own * max(floor, 0.0) / (LEVEL + REACH))

    return _of_gap(at, GAPS[key], n, m, unit, beyond)


def of_count(sees: Callable[[int, int, float], bool], n: int, m: int, fault: float) -> tuple[Sample, ...]:
    """What a test needs that `sees` a `fault`, a share, at some numbers of made and unseen records, and at all larger ones.

    Of one side alone where that does, of the made ones rather: they cost nothing, until they would have to be many because
    the others are few.
    """
    least = _least(lambda share: sees(n, m, share), fault)

    def enough(made: int, real: int) -> bool:
        return sees(made, real, fault)

    if enough(n, m):
        return _both(n, m, 0, least)
    mine, other = _smallest(lambda size: enough(size, m), n), _smallest(lambda size: enough(n, size), m)
    if mine is not None and (other is None or mine <= max(EASY * n, n * other / m)):
        return (Sample(n, mine, "made", least),)
    if other is not None:
        return (Sample(m, other, "unseen real", least),)
    both = _smallest(lambda size: enough(max(size, n), max(size, m)), min(n, m))
    return _both(n, m, MOST if both is None else both, least)


def reached(n: int, share: float) -> int:
    """The count of `n` that 19 of 20 samples of records reach of which a `share` are at fault."""
    from scipy.stats import binom

    return int(binom.ppf(1 - OFTEN, n, share))


def reached_apart(n: int, share: float, m: int, other: float) -> tuple[int, int]:
    """The likeliest pair of counts, of `n` and of `m`, among those as near to each other as one draw of 20 brings them.

    share, other: the shares of records that are marked on each side, the larger one first.
    """
    a, b = share * (1 - share) / n, other * (1 - other) / m
    short = NORMAL / math.sqrt(a + b)
    return max(0, round(n * (share - short * a))), min(m, round(m * (other + short * b)))


def _of_gap(
    error: Callable[[float], float], gap: float, n: int, m: int, unit: float, beyond: float
) -> tuple[Sample, ...]:
    """`of_score`, of an error that hangs on the gap itself."""

    def seen(share: float) -> float:
        """How many times what must be passed a gap is, chance alone reckoned with."""
        return share * unit / ((LEVEL + REACH) * max(error(share), 1e-12))

    least = _least(lambda share: seen(share) >= 1 and share * unit >= beyond + REACH * error(share), gap)
    now = 1 / max(n, 1) + 1 / max(m, 1)
    if not math.isfinite(error(gap)):
        return _both(n, m, max(n, m) + 1, None)
    allowed = now * seen(gap) ** 2
    if now <= allowed:
        return _both(n, m, 0, least)
    for mine, other, side in ((n, m, 0), (m, n, 1)):
        if 1 / other <= allowed / 2:  # enough of the other for this side alone to do
            needs = math.ceil(1 / (allowed - 1 / other))
            return _both(n, m, needs, least)[side : side + 1] if needs > mine else _both(n, m, 0, least)
    return _both(n, m, math.ceil(2 / allowed), least)


def _least(seen: Callable[[float], bool], fault: float) -> float | None:
    """The smallest share of a fault that is `seen`, as are all larger ones, to one part in twenty; None where all is unseen.

    fault: the one that matters, near which it is looked for first.
    """
    low, high = (0.0, fault) if seen(fault) else (fault, 1.0)
    if high > fault and not seen(1.0):
        return None
    for _ in range(STEPS):
        middle = math.sqrt(max(low, high / 1000) * high)
        low, high = (low, middle) if seen(middle) else (middle, high)
        if high <= 1.05 * low:
            break
    return high


def _both(n: int, m: int, needs: int, least: float | None) -> tuple[Sample, ...]:
    needs = min(needs, MOST)
    return Sample(n, needs, "made", least), Sample(m, needs, "unseen real", least)


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


def level(findings: int) -> float:
    """How many standard errors a score must be off where a report has so many findings; never less than `LEVEL`.

    Bonferroni's correction, by Student's t of the degrees of freedom that `ROUNDS` draws have.
    """
    from scipy.stats import t

    return max(LEVEL, float(t.isf(FAMILY / (2 * max(1, findings)), ROUNDS - 1)))


def corrected(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of one report, the limits of scores as far from real data's as so many findings need."""
    wider = level(len(findings)) / LEVEL
    return [_widened(f, wider) if wider > 1 and f.key in GAPS and math.isfinite(f.real) else f for f in findings]


def _widened(f: Finding, by: float) -> Finding:
    above, below = (None if x is None else f.real + by * (x - f.real) for x in (f.limit.above, f.limit.below))
    if above is None and below is None:
        return f
    limit = replace(f.limit, above=above, below=below)
    return replace(f, limit=limit, raised=f.raised and (limit.broken(f.value) or not f.limit.broken(f.value)))
