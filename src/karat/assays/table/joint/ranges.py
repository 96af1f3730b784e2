"""Whether made rows hold what lies outside of real rows: an age of 150, hours below 0, a delivery a month after its order.

Real rows of another draw go beyond those that are known, too: the furthest of n + N alike rows is one of the n with chance
n / (n + N), and the k furthest are with about its k-th power. So counts beyond the furthest real value are compared by the
exact test that all counts are, whatever the distribution and however long its tails. A lone outlier among the real rows hides
nothing, as what lies beyond all but one and all but three of them is looked at as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from karat.assays import power
from karat.assays.chance import wilson
from karat.assays.details.rows import Beyond, OutOfRange
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.shares import tail
from karat.assays.table.derived import quantities
from karat.assays.table.joint.counting import LEAST, level_of
from karat.assays.table.joint.levels import spoken
from karat.assays.table.joint.showing import examples
from karat.assays.table.sheet import finite
from karat.assays.table.tables import Case
from karat.words import Sentence, said, together

ASIDE = (0, 1, 3)  # real values, the furthest, that may be outliers
SHOWN = 12
STRANGE = "one of the training rows' values"


@dataclass(frozen=True)
class Measured:
    """A number of each row: of a column, or between two.   at: the column whose units it has."""

    name: str
    at: int | None
    train: np.ndarray
    unseen: np.ndarray
    made: np.ndarray


@dataclass(frozen=True, eq=False)
class Outside:
    """Which made rows [n] lie outside on one side, the chance of so many, and what is said of them."""

    which: np.ndarray
    p: float
    beyond: Beyond


def finding(case: Case) -> Finding:
    """Out of range: the share of made rows with a value that lies outside of all real rows."""
    train, unseen, made = case.train, case.unseen, case.made
    every = [*_numbers(case)]
    strangers = [j for j, choices in enumerate(train.columns.choices) if choices]
    tests = 2 * len(ASIDE) * len(every) + len(strangers)
    level = level_of(tests)

    def told(at: int | None) -> Callable[[float], str]:
        return "{:.4g}".format if at is None else partial(spoken, train.columns, at)

    sides = [(measured, upper) for measured in every for upper in (True, False)]
    found = [one for measured, upper in sides if (one := outside(measured, upper, told(measured.at)))]
    found += [one for j in strangers if (one := _strange(case, j))]
    n, m = len(made), len(unseen)
    any_made = np.logical_or.reduce([np.zeros(n, bool), *(one.which for one in found)])
    value, (low, high) = float(any_made.mean()), wilson(int(any_made.sum()), n)
    real = within(every, m)
    off = [one for one in found if one.p < level and one.which.sum() / n - one.beyond.real >= LEAST]
    order = sorted(found, key=lambda one: (one not in off, -one.beyond.made))
    rows = tuple(_shown(case, one, one in off) for one in order[:SHOWN])
    also = said(
        "where one column holds {least:.1%} more of such values than real ones, and chance does not explain it",
        least=LEAST,
    )
    samples = seen(n, m, len(train), level, LEAST)
    score = Score(value, low, high, real, 0.0)
    return scored(
        "out of range",
        score,
        Limit(also=also),
        _summary(value, real, rows),
        detail=OutOfRange(columns=rows),
        samples=samples,
        raised=bool(off),
    )


def seen(n: int, m: int, more: int, level: float, least: float) -> tuple[Sample, ...]:
    """What it takes to see made rows that no real one is like; `more` real ones take part beside the `m` unseen ones."""

    def sees(made: int, real: int, share: float) -> bool:
        count = power.reached(made, share)
        return count / made >= least and tail(count, made, 0, real + more) < level

    return power.of_count(sees, n, m, power.BAD)


def _numbers(case: Case) -> Iterator[Measured]:
    """The columns of numbers, and what lies between two that real rows keep close."""
    sides = case.train, case.unseen, case.made
    for j in case.train.numbers:
        yield Measured(case.train.names[j], j, *(side.values[:, j] for side in sides))
    for between in quantities(case.train, case.seed):
        yield Measured(between.name(case.train.names), None, *(between.of(side) for side in sides))


def outside(of: Measured, upper: bool, told: Callable[[float], str], aside: Sequence[int] = ASIDE) -> Outside | None:
    """What lies above (or below) nearly all real values, by the number of those left aside that speaks most clearly.

    told: a value in words.   aside: how many real values, the furthest, may be left aside.
    """
    sign = 1 if upper else -1
    real, there = finite(sign * np.concatenate([of.train, of.unseen])), ~np.isnan(of.made)
    n, m = int(there.sum()), len(real)
    if not n or not m:
        return None
    with np.errstate(invalid="ignore"):
        mine = sign * of.made
        tried = [(real[-1 - k], mine > real[-1 - k]) for k in aside if k < m]
        options = [
            (tail(int(which.sum()), n, int((real > bound).sum()), m), bound, which)
            for bound, which in tried
            if which.any()
        ]
    if not options:
        return None
    p, bound, which = min(options, key=lambda option: option[0])
    furthest = float(mine[which].max())
    middle = float(np.median(real))
    word = "at most {value}" if upper else "at least {value}"
    return Outside(
        which,
        p,
        Beyond(
            column=of.name,
            made=float(which.mean()),
            real=float((real > bound).sum() / m),
            bound=said(word, value=told(sign * bound)),
            furthest=told(sign * furthest),
            times=float((furthest - middle) / (bound - middle)) if bound > middle else None,
            off=False,
            examples=(),
        ),
    )


def _strange(case: Case, j: int) -> Outside | None:
    """Choices that no training row has; unseen rows have some as well where there are many rare ones."""
    strange = len(case.train.columns.choices[j])
    which, theirs = case.made.codes(j) == strange, int((case.unseen.codes(j) == strange).sum())
    if not which.any():
        return None
    p = tail(int(which.sum()), len(case.made), theirs, len(case.unseen))
    beyond = Beyond(
        column=case.train.names[j],
        made=float(which.mean()),
        real=theirs / len(case.unseen),
        bound=STRANGE,
        furthest="another",
        times=None,
        off=False,
        examples=(),
    )
    return Outside(which, p, beyond)


def within(every: Sequence[Measured], m: int) -> float:
    """The share of unseen rows with a number outside of the training rows."""
    outside = np.zeros(m, bool)
    for of in every:
        known = finite(of.train)
        if len(known):
            with np.errstate(invalid="ignore"):
                outside |= (of.unseen < known[0]) | (of.unseen > known[-1])
    return float(outside.mean())


def _shown(case: Case, one: Outside, off: bool) -> Beyond:
    names = [name for name in case.train.names if name in one.beyond.column] if off else []
    shown = examples(case.made, one.which, [case.train.names.index(name) for name in names]) if off else ()
    return Beyond(**{**vars(one.beyond), "off": off, "examples": shown})


def _summary(value: float, real: float, rows: tuple[Beyond, ...]) -> Sentence:
    off = [row for row in rows if row.off]
    if not off:
        return said(
            "{value:.2%} of what was made holds a value outside of all real rows; of unseen rows {real:.2%} lie outside of the "
            "training ones.",
            value=value,
            real=real,
        )
    told = []
    for row in off[:4]:
        if row.bound == STRANGE:
            told.append(
                said("{column}: {made:.2%} of the made rows hold a value that no training row has", **vars(row))
            )
            continue
        keep = "all real rows" if row.real == 0 else "all but {real:.3%} of the real rows"
        text = said(
            "{column} is {bound} in {keep}; {made:.2%} of the made ones lie beyond, to {furthest}",
            column=row.column,
            bound=row.bound,
            keep=said(keep, real=row.real),
            made=row.made,
            furthest=row.furthest,
        )
        if row.times is not None and row.times >= 1.05:
            text += said(", {times:.3g} times as far from the middle", times=row.times)
        told.append(text)
    return together(told, said(". ")) + (said(". And more.") if len(off) > 4 else said("."))
