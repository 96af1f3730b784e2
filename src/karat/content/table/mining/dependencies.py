"""Functional dependencies a -> b, or a, b -> c: each value of one column, or of two together, goes with one value of another.

The chance of so few exceptions is that of shuffled rows, so that a column with few values, or one whose values hardly repeat,
determines nothing by itself: of the ways to deal n rows of which c have the one and d the other value, n! / (c! d!), as many
leave each group with one value as there are ways to give the groups values. Of two columns together, rows are shuffled only
among those that agree in the one, and then in the other: each must be needed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log

import numpy as np
from scipy.special import gammaln

from karat.content.table.encoding.coding import NUMBERS
from karat.content.table.mining import evidence
from karat.content.table.mining.columns import ROWS, Columns
from karat.content.table.rules.between import commonest, joint

DETERMINES = ("category", "integer", "boolean", "date", "identifier", "text", "email", "name", "phone", "url")
REPEATED = 3  # rows of a value, from which on it says something of what goes with it
SHARE = 0.5  # of the rows must have such a value
MOST_VALUES = 0.35  # different values, as a share of the rows
NOTICED = 0.05  # share of shuffled rows that must break a dependency
PAIRED, SCREENED = (
    30,
    1000,
)  # columns, those of the fewest values, of which two together may determine another; rows that rule out


@dataclass(frozen=True)
class Dependency:
    """Each value of `left` goes with one of `right` but for `exceptions` of the `rows` whose value of `left` repeats."""

    left: tuple[str, ...]
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
    """All dependencies of a column on another, or on two, but those that follow from others.

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
                one = _dependency((a,), b, [rows.codes(a)[0]], rows.codes(b)[0], tests, rng)
                if one is not None:
                    found[a, b] = one
    # a number comes first: what is near it is alike, so that of two that go one to one it is learned better
    single = _reduced(found, sorted(names, key=lambda name: sample.kinds[name].kind not in NUMBERS))
    return single + _of_two(sample, names, lefts, found, explained, rng)


def _of_two(
    sample: Columns,
    names: Sequence[str],
    lefts: Sequence[str],
    found: dict[tuple[str, str], Dependency],
    explained: Collection[frozenset[str]],
    rng: np.random.Generator,
) -> list[Dependency]:
    """What two columns determine together of which neither does, or is determined by the other; of three columns one."""
    few = sorted((a for a in lefts if sample.codes(a)[1] > 1), key=lambda a: sample.codes(a)[1])[:PAIRED]
    tests = max(1, len(few) ** 2 * len(names))
    even = {
        c for c in names if np.bincount(sample.codes(c)[0] + 1).max() > (1 - NOTICED) * sample.rows
    }  # as good as constant
    out: list[Dependency] = []
    for a, b in combinations(few, 2):
        if (a, b) in found or (b, a) in found or frozenset((a, b)) in explained:
            continue
        x = [sample.codes(name)[0] for name in (a, b)]
        together = joint(x)
        size = np.bincount(together + 1)[1:]
        if len(size) > MOST_VALUES * size.sum() or size[size >= REPEATED].sum() < SHARE * size.sum():
            continue
        for c in names:
            alone = any((one, c) in found or frozenset((one, c)) in explained for one in (a, b))
            if c not in (a, b, *even) and not alone and not _ruled_out(together, sample.codes(c)[0]):
                one = _dependency((a, b), c, x, sample.codes(c)[0], tests, rng)
                out += [one] if one is not None else []
    # of three columns of which each two determine the third it is the finest that depends
    out.sort(key=lambda d: (d.exceptions > 0, -sample.codes(d.right)[1], d.exceptions))
    kept: list[Dependency] = []
    for one in out:
        if all(one.right != k.right and {*one.left, one.right} != {*k.left, k.right} for k in kept):
            kept.append(one)
    return kept


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


def _ruled_out(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether the first rows alone have too many exceptions."""
    known = np.flatnonzero((left >= 0) & (right >= 0))[:SCREENED]
    if not len(known):
        return True
    most, group = _commonest(left[known], right[known])
    return int((group - most).sum()) > evidence.most(int(group[group > 1].sum()))


def _dependency(
    names: tuple[str, ...],
    right_name: str,
    lefts: Sequence[np.ndarray],
    right: np.ndarray,
    tests: int,
    rng: np.random.Generator,
) -> Dependency | None:
    """lefts: the codes [n] of `names`, one or two columns, of which -1 is missing."""
    left = joint(lefts)
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
    among = [np.zeros(rows, np.int64)] if len(lefts) == 1 else [one[known][again] for one in lefts]
    most, group = _commonest(x, y)
    exceptions = int((group - most).sum())
    if rows < evidence.FEWEST or exceptions > evidence.most(rows):
        return None
    chance = min(_chance(x, y, one, rng) for one in among)
    if chance < NOTICED or not evidence.few(exceptions, rows, chance):
        return None
    log_p = log(tests) + evidence.log_choose(rows, exceptions) + max(_log_dealt(x, y, one, exceptions) for one in among)
    if log_p > log(evidence.ALPHA):
        return None
    return Dependency(names, right_name, False, rows, exceptions, chance, log_p / log(10))


def _chance(x: np.ndarray, y: np.ndarray, among: np.ndarray, rng: np.random.Generator) -> float:
    """The share of exceptions where y [n] is shuffled among the rows of each value of `among` [n]."""
    order, out = np.argsort(among, kind="stable"), []
    for _ in range(3):
        shuffled = np.empty_like(y)
        shuffled[order] = y[np.lexsort((rng.random(len(y)), among))]
        most, group = _commonest(x, shuffled)
        out.append((group - most).sum())
    return float(np.mean(out)) / len(x)


def _log_dealt(x: np.ndarray, y: np.ndarray, among: np.ndarray, exceptions: int) -> float:
    """log of the share of ways to deal y [n] among the rows of each value of `among` that give each x one value of its own
    but for so many exceptions: at most. Each value of x lies within one of `among`."""
    cells = np.unique(among * (int(y.max()) + 1) + y, return_counts=True)
    within, size = cells[0] // (int(y.max()) + 1), np.bincount(among)
    values = np.bincount(within, minlength=len(size))  # that y has beside each
    groups = np.bincount(among[np.unique(x, return_index=True)[1]], minlength=len(size))
    dealt = gammaln(cells[1] + 1).sum() - gammaln(size[size > 0] + 1).sum()
    return float(dealt + (groups * np.log(np.maximum(values, 1))).sum() + exceptions * np.log(values.max()))


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
                out.append(Dependency((a,), b, True, one.rows, one.exceptions, one.chance, one.evidence))
            continue
        if first[a] != a or first[b] != b:
            continue
        between = [c for c in names if first[c] == c and c not in (a, b) and (a, c) in found and (c, b) in found]
        if not any(found[a, c].exceptions + found[c, b].exceptions <= 2 * one.exceptions for c in between):
            out.append(one)
    return out


def counted(lefts: Sequence[np.ndarray], right: np.ndarray) -> tuple[int, np.ndarray]:
    """How many rows tell it, and bool [n]: those whose value goes with another than it mostly does."""
    left = joint(lefts)
    known = np.flatnonzero((left >= 0) & (right >= 0))
    x, y = left[known], right[known]
    size = np.bincount(x)
    broken = np.zeros(len(left), bool)
    broken[known] = commonest(x, y)[x] != y
    return int((size[x] > 1).sum()), broken
