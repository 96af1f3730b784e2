"""Orders between columns: a <= b, a < b, in chains a <= b <= c, each where independent columns would break it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import erfc, log, sqrt

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Columns, Number

NOTICED = {"moment": 0.02, "time": 0.05, "number": 0.1}  # share of shuffled rows that must break an order, by unit
NEARLY = 0.1  # and one that has exceptions
CLOSE = 5  # rows with the least difference, from which on the lack of equal ones says that there are none
SURE = {"moment": 0.0, "time": 0.0, "number": log(0.01)}  # numbers of different units may scatter beside each other
NORMAL = 0.1587  # share of a normal distribution below one standard deviation under its mean
THINNER = 0.35  # exceptions, at most this share of what a normal distribution of the differences would have
EDGE = 0.25  # of the median difference, within which the differences on either side of 0 are compared
LONGEST = 6  # columns of a chain


@dataclass(frozen=True)
class Ordered:
    """`low` is at most `high` (less, where strict) but for `exceptions` of the `rows` that have both."""

    low: str
    high: str
    strict: bool
    rows: int
    exceptions: int
    chance: float
    evidence: float


def orders(columns: Columns, explained: Collection[frozenset[str]]) -> list[Ordered]:
    """All orders between two columns that one formula does not hold already, the redundant left out.

    explained: sets of columns; two of one set are not compared.
    """
    numbers = list(columns.numbers.values())
    tests = max(1, len(numbers) * (len(numbers) - 1))
    found, given = list[Ordered](), list[Ordered]()
    for i, a in enumerate(numbers):
        for b in numbers[i + 1 :]:
            both = ~(np.isnan(a.values) | np.isnan(b.values))
            if a.unit != b.unit or both.sum() < evidence.FEWEST:
                continue
            x, y = a.values[both], b.values[both]
            if any({a.name, b.name} <= group for group in explained):
                given += [Ordered(p.name, q.name, False, len(x), 0, 0.0, 0.0) for p, q in _least(a, b, x, y)]
            else:
                one = ordered(a, b, x, y, tests) or ordered(b, a, y, x, tests)
                found += [one] if one is not None else []
    return _reduced(found, columns, given)


def _least(a: Number, b: Number, x: np.ndarray, y: np.ndarray) -> list[tuple[Number, Number]]:
    """The two columns as the one is never above the other, if it is not."""
    return [(a, b)] if (x <= y).all() else [(b, a)] if (y <= x).all() else []


def ordered(low: Number, high: Number, x: np.ndarray, y: np.ndarray, tests: int) -> Ordered | None:
    """The order of `low` [n] and `high` [n], if it holds and says something."""
    broken = x > y
    exceptions, rows = int(broken.sum()), len(x)
    if exceptions > evidence.most(rows) or exceptions and not _ends_at_nothing(y - x, SURE[low.unit]):
        return None
    chance = evidence.share_above(x, y)
    if chance < (NEARLY if exceptions else NOTICED[low.unit]) or not evidence.few(exceptions, rows, chance):
        return None
    kept = evidence.log_ordered(x[~broken], y[~broken]) + evidence.log_choose(rows, exceptions) + log(tests)
    if kept > log(evidence.ALPHA):
        return None
    return Ordered(low.name, high.name, _strict(low, high, x, y), rows, exceptions, chance, kept / log(10))


def _ends_at_nothing(apart: np.ndarray, sure: float) -> bool:
    """Whether differences [n] of which few lie below 0 stop there, and do not merely thin out as they scatter.

    Either more lie as far beyond their median as 0 lies before it, or a normal distribution of their lower half has more there,
    or there are far fewer just below 0 than just above.
    sure: log of the probability that this is chance.
    """
    low, middle = np.quantile(apart, (NORMAL, 0.5))
    rows, below, beyond = len(apart), int((apart < 0).sum()), int((apart > 2 * middle).sum())
    normal = 0.5 * erfc(middle / max(middle - low, 1e-300) / sqrt(2))
    mirrored = below <= evidence.LESS * beyond and evidence.log_tail(below, below + beyond, 0.5) <= sure
    near, under = (
        int(((apart > 0) & (apart <= EDGE * middle)).sum()),
        int(((apart < 0) & (apart >= -EDGE * middle)).sum()),
    )
    fine = len(np.unique(apart[(apart > 0) & (apart <= EDGE * middle)])) >= CLOSE
    if (
        fine
        and under <= evidence.LESS * near
        and evidence.log_tail(under, under + near, 0.5) <= min(sure, log(evidence.ALPHA))
    ):
        return True
    return mirrored or below <= THINNER * normal * rows and evidence.log_tail(below, rows, normal) <= sure


def _strict(low: Number, high: Number, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether equal ones never occur although ones that are hardly different do."""
    apart = np.round(y - x, 6)
    apart = apart[apart >= 0]
    if not len(apart) or apart.min() <= 0 or low.decimals < 0 or high.decimals < 0:
        return False
    return int((apart == apart.min()).sum()) >= CLOSE and _step(low, high) >= 0.99 * apart.min()


def _step(low: Number, high: Number) -> float:
    """The least difference that the two columns can show."""
    if low.day and high.day:
        return 86_400.0
    return float(10.0 ** -max(low.decimals, high.decimals))


def _reduced(found: Sequence[Ordered], columns: Columns, given: Sequence[Ordered]) -> list[Ordered]:
    """The orders without those that follow from two others, found or `given` by formulas, as far as what lies between them is
    hardly ever missing."""
    by = {(o.low, o.high): o for o in (*given, *found)}
    out = []
    for order in found:
        between = [c for c in columns.numbers if (order.low, c) in by and (c, order.high) in by]
        implied = False
        for c in between:
            first, second = by[order.low, c], by[c, order.high]
            weaker = first.exceptions + second.exceptions <= 2 * order.exceptions
            circle = (c, order.low) in by or (order.high, c) in by
            implied |= weaker and not circle
        if not implied:
            out.append(order)
    return out


def joined(found: Sequence[Ordered]) -> list[frozenset[str]]:
    """Pairs of which an order says, directly or by others between, which is less."""
    above: dict[str, set[str]] = {}
    for order in found:
        above.setdefault(order.low, set()).add(order.high)
    out = []
    for name in above:
        reached, queue = set[str](), [name]
        while queue:
            new = above.get(queue.pop(), set()) - reached
            reached |= new
            queue.extend(new)
        out += [frozenset((name, other)) for other in reached]
    return out


def chains(found: Sequence[Ordered], columns: Columns) -> list[tuple[Ordered, ...]]:
    """The orders in runs a <= b <= c of such as hold always; each order in one run.

    A run says a <= c too where b is missing: two orders are joined only if that holds.
    """
    always = [o for o in found if not o.exceptions]
    left = list(always)
    out: list[tuple[Ordered, ...]] = []
    while left:
        run = [left.pop(0)]
        grown = True
        while grown and len(run) < LONGEST:
            grown = False
            for order in list(left):
                if order.low == run[-1].high and _joins([*run, order], columns):
                    run.append(order)
                elif order.high == run[0].low and _joins([order, *run], columns):
                    run.insert(0, order)
                else:
                    continue
                left.remove(order)
                grown = True
                break
        out.append(tuple(run))
    return out + [(o,) for o in found if o.exceptions]


def _joins(run: Sequence[Ordered], columns: Columns) -> bool:
    """Whether the first column of a run is at most the last wherever both are there."""
    names = [run[0].low, *(o.high for o in run)]
    if len(set(names)) < len(names):
        return False
    first, last = (columns.numbers[name].values for name in (names[0], names[-1]))
    strict = any(o.strict for o in run)
    known = ~(np.isnan(first) | np.isnan(last))
    return bool((first[known] < last[known]).all() if strict else (first[known] <= last[known]).all())


def counted(order: Ordered, columns: Columns) -> tuple[Ordered, np.ndarray]:
    """The order as all rows have it, and bool [n]: those that break it."""
    low, high = columns.numbers[order.low].values, columns.numbers[order.high].values
    known = ~(np.isnan(low) | np.isnan(high))
    with np.errstate(invalid="ignore"):
        broken = known & ((low >= high) if order.strict else (low > high))
        loose = known & (low > high)
    if order.strict and broken.sum() > loose.sum():
        order, broken = replace(order, strict=False), loose
    return replace(order, rows=int(known.sum()), exceptions=int(broken.sum())), broken
