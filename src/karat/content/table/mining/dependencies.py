"""Functional dependencies a -> b: each value of one column goes with one value of another (one price per article).

The chance of so few exceptions is that of shuffled rows, so that a column with few values, or one whose values hardly repeat,
determines nothing by itself: of the ways to deal n rows of which c have the one and d the other value, n! / (c! d!), as many
leave each group with one value as there are ways to give the groups values.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np

from karat.content.table.encoding.coding import NUMBERS
from karat.content.table.mining import evidence
from karat.content.table.mining.columns import ROWS, Columns
from karat.content.table.rules.between import commonest

DETERMINES = ("category", "integer", "boolean", "date", "identifier", "text", "email", "name", "phone", "url")
REPEATED = 3  # rows of a value, from which on it says something of what goes with it
SHARE = 0.5  # of the rows must have such a value
MOST_VALUES = 0.35  # different values, as a share of the rows
NOTICED = 0.05  # share of shuffled rows that must break a dependency


@dataclass(frozen=True)
class Dependency:
    """Each value of `left` goes with one of `right` but for `exceptions` of the `rows` whose value of `left` repeats."""

    left: str
    right: str
    one_to_one: bool
    rows: int
    exceptions: int
    chance: float
    evidence: float


def dependencies(
    sample: Columns,
    full: Columns,
    explained: Collection[frozenset[str]],
    worked_out: Collection[str],
    rng: np.random.Generator,
) -> list[Dependency]:
    """All dependencies between two columns but those that follow from others.

    sample, full: some rows and all.   explained: pairs of which one is worked out from the other alone.   worked_out: columns
    that determine nothing and are not determined, for they are results themselves.
    """
    names = [name for name in sample.kinds if sample.codes(name)[1] > 1 and name not in worked_out]
    lefts = [name for name in names if sample.kinds[name].kind in DETERMINES]
    tests = max(1, len(lefts) * len(names))
    found: dict[tuple[str, str], Dependency] = {}
    for a in lefts:
        rows = sample if _repeats(a, sample) else _repeating(a, sample, full, rng)
        for b in names if rows is not None else ():
            if a != b and frozenset((a, b)) not in explained and rows is not None:
                one = _dependency(a, b, rows.codes(a)[0], rows.codes(b)[0], tests, rng)
                if one is not None:
                    found[a, b] = one
    # a number comes first: what is near it is alike, so that of two that go one to one it is learned better
    return _reduced(found, sorted(names, key=lambda name: sample.kinds[name].kind not in NUMBERS))


def _repeats(name: str, columns: Columns) -> bool:
    """Whether the values of a column repeat often enough that it may determine others."""
    codes, size = columns.codes(name)
    return size <= MOST_VALUES * max(1, int((codes >= 0).sum()))


def _repeating(name: str, sample: Columns, full: Columns, rng: np.random.Generator) -> Columns | None:
    """All rows of some values of a column, where these repeat in the table and hardly in the sample; else None."""
    if full is sample or not _repeats(name, full):
        return None
    codes, size = full.codes(name)
    counts = np.bincount(codes[codes >= 0], minlength=size)
    drawn = rng.permutation(size)
    chosen = np.zeros(size, bool)
    chosen[drawn[: int(np.searchsorted(np.cumsum(counts[drawn]), ROWS)) + 1]] = True
    return full.some(np.flatnonzero((codes >= 0) & chosen[codes]))


def _dependency(
    a: str, b: str, left: np.ndarray, right: np.ndarray, tests: int, rng: np.random.Generator
) -> Dependency | None:
    known = (left >= 0) & (right >= 0)
    x, y = left[known], right[known]
    if len(x) < evidence.FEWEST:
        return None
    size = np.bincount(x)
    again = size[x] > 1
    if size[size >= REPEATED].sum() < SHARE * len(x):
        return None
    x, y = x[again], y[again]
    rows = len(x)
    most, group = _commonest(x, y)
    exceptions = int((group - most).sum())
    if rows < evidence.FEWEST or exceptions > evidence.most(rows):
        return None
    shuffled = [_commonest(x, rng.permutation(y)) for _ in range(3)]
    chance = float(np.mean([(g - m).sum() for m, g in shuffled])) / rows
    if chance < NOTICED or not evidence.few(exceptions, rows, chance):
        return None
    counts = np.bincount(y)
    log_p = log(tests) + len(group) * log((counts > 0).sum()) + evidence.log_choose(rows, exceptions)
    log_p += exceptions * log((counts > 0).sum()) + sum(lgamma(c + 1) for c in counts) - lgamma(rows + 1)
    if log_p > log(evidence.ALPHA):
        return None
    return Dependency(a, b, False, rows, exceptions, chance, log_p / log(10))


def _commonest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each value of x: the rows with the commonest y beside it, and all its rows."""
    pairs, counts = np.unique(x * (int(y.max()) + 1) + y, return_counts=True)
    of = pairs // (int(y.max()) + 1)
    first = np.flatnonzero(np.diff(of, prepend=-1))
    return np.maximum.reduceat(counts, first), np.add.reduceat(counts, first)


def _reduced(found: dict[tuple[str, str], Dependency], names: Sequence[str]) -> list[Dependency]:
    """Of columns that determine each other one way only, from the first of `names`; and nothing that follows from two others."""
    first: dict[str, str] = {}  # of each column the first of those that it goes one to one with
    for name in names:
        twins = [other for other in first.values() if (name, other) in found and (other, name) in found]
        first[name] = twins[0] if twins else name
    out = []
    for (a, b), one in found.items():
        if first[a] == first[b]:
            if first[b] == a:
                out.append(Dependency(a, b, True, one.rows, one.exceptions, one.chance, one.evidence))
            continue
        if first[a] != a or first[b] != b:
            continue
        between = [c for c in names if first[c] == c and c not in (a, b) and (a, c) in found and (c, b) in found]
        if not any(found[a, c].exceptions + found[c, b].exceptions <= 2 * one.exceptions for c in between):
            out.append(one)
    return out


def counted(left: np.ndarray, right: np.ndarray) -> tuple[int, np.ndarray]:
    """How many rows tell it, and bool [n]: those whose value goes with another than it mostly does."""
    known = np.flatnonzero((left >= 0) & (right >= 0))
    x, y = left[known], right[known]
    size = np.bincount(x)
    broken = np.zeros(len(left), bool)
    broken[known] = commonest(x, y)[x] != y
    return int((size[x] > 1).sum()), broken
