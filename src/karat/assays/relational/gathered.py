"""What a parent is like with all its children, as a row, so that whole records are compared, and not one child at a time.

Children that are each by themselves as real ones may still be wrong together: a sensor that stands still for a day, an order all
of whose items are the same, a record that is made twice. Aggregates of the children beside the parent's columns are what the
classifier test of relational data is given (Hudovernik et al., 2410.03411).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from karat.views import Columns, DatabaseView, TableView, Tie
from karat.words import said

MOST = 10  # columns of a child
COMMON = 4  # choices of one column whose shares are measured
STEADY = 3  # rows of a sequence, from which on it is measured how long a number stays as it is
DIGITS = 12  # of what is reckoned, so that the same children in another order are the same


@dataclass(frozen=True)
class Described:
    """What the children of each parent are like: values float64 [parents].   unit: as of a column of a view; differences are
    taken of two of one unit alone.
    """

    name: str
    unit: str
    values: np.ndarray


def named(name: str, ties: Sequence[Tie]) -> str:
    """What the rows of the table with all that hangs on them are called: "orders + items + payments"."""
    return " + ".join(dict.fromkeys((name, *(tie.child for tie in ties))))


def hanging(view: DatabaseView, name: str) -> list[int]:
    """The ties whose children make one record with rows of the table; windows of series are no parents."""
    return [i for i, tie in enumerate(view.ties) if tie.makes and not tie.cut and tie.parent == name]


def gathered(sides: Sequence[DatabaseView], name: str, ties: Sequence[int]) -> list[TableView]:
    """Of each side, the training one first, a row for each row of the table: its columns and what its children are like."""
    own = sides[0].tables[name]
    commonest = [_commonest(sides[0].tables[sides[0].ties[i].child]) for i in ties]
    steady = [_steady(sides[0].ties[i]) for i in ties]
    out = []
    for side in sides:
        those = zip(ties, commonest, steady, strict=True)
        told = [d for i, common, long in those for d in _told(side, side.ties[i], common, long)]
        table = side.tables[name]
        columns = Columns(
            (*own.names, *(one.name for one in told)),
            (*own.columns.choices, *([()] * len(told))),
            (*(own.columns.units or ("",) * own.width), *(one.unit for one in told)),
            own.columns.protected,
        )
        out.append(TableView(columns, np.hstack([table.values, np.stack([_rounded(one.values) for one in told], 1)])))
    return out


def _commonest(child: TableView) -> dict[int, np.ndarray]:
    """By column of choices, those that most rows have."""
    out = {}
    for j, choices in enumerate(child.columns.choices):
        if choices:
            counts = np.bincount(child.codes(j), minlength=len(choices))[: len(choices)]
            out[j] = np.argsort(-counts, kind="stable")[:COMMON]
    return out


def _steady(tie: Tie) -> bool:
    """Whether half of the parents with children have `STEADY` and more."""
    many = np.bincount(tie.links[tie.links >= 0])
    return bool(many.any()) and float(np.median(many[many > 0])) >= STEADY


@dataclass(frozen=True)
class Kin:
    """Children [n] in the order of their parents and their places: the parent of each, and where each parent's begin.

    many: of each parent [parents], how many it has.   first: bool [n], whether a child is its parent's first.
    """

    rows: np.ndarray
    owner: np.ndarray
    many: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, tie: Tie, parents: int) -> Kin:
        rows = np.flatnonzero(tie.links >= 0)
        rows = rows[np.lexsort((tie.place[rows], tie.links[rows]))]
        owner = tie.links[rows]
        first = np.append(True, owner[1:] != owner[:-1])[: len(rows)]
        return cls(rows, owner, np.bincount(owner, minlength=parents), first)

    def summed(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.owner, values, len(self.many))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """float64 [parents]: the mean of what is known of values [n]; NaN where nothing is."""
        known = ~np.isnan(values)
        count = self.summed(known.astype(float))
        return np.where(count > 0, self.summed(np.where(known, values, 0.0)) / np.maximum(count, 1), np.nan)

    def greatest(self, values: np.ndarray) -> np.ndarray:
        """float64 [parents]: the greatest of what is known of values [n]; NaN where nothing is."""
        out, there = np.full(len(self.many), -np.inf), ~np.isnan(values)
        np.maximum.at(out, self.owner[there], values[there])
        return np.where(np.isfinite(out), out, np.nan)


def _told(side: DatabaseView, tie: Tie, common: dict[int, np.ndarray], steady: bool) -> Iterator[Described]:
    """What the children of one tie are like.   steady: whether it is measured how long a number stays as it is."""
    kin, child = Kin.of(tie, len(side.tables[tie.parent])), side.tables[tie.child]
    yield Described(said("how many {table}", table=tie.child), "rows", kin.many.astype(float))
    for j in range(min(MOST, child.width)):
        if child.names[j] == tie.order:
            continue
        name, values = f"{tie.child}.{child.names[j]}", child.values[kin.rows, j]
        if j in common:
            yield from _choices(kin, child, j, name, common[j])
            continue
        yield from _numbers(kin, values, name, child.columns.units[j] if child.columns.units else "")
        if tie.order is not None:
            yield from _steps(kin, values, name, steady)


def _rounded(x: np.ndarray) -> np.ndarray:
    """To `DIGITS` significant digits."""
    size = np.where(np.isfinite(x) & (x != 0), np.abs(x), 1.0)
    unit = 10.0 ** (np.floor(np.log10(size)) + 1 - DIGITS)
    return np.asarray(np.round(x / unit) * unit)


def _numbers(kin: Kin, values: np.ndarray, name: str, unit: str) -> Iterator[Described]:
    mean = kin.mean(values)
    yield Described(said("mean of {column}", column=name), name, mean)
    yield Described(said("least of {column}", column=name), unit or name, -kin.greatest(-values))
    yield Described(said("greatest of {column}", column=name), unit or name, kin.greatest(values))
    spread = np.sqrt(kin.mean((values - mean[kin.owner]) ** 2))
    yield Described(said("spread of {column}", column=name), name, np.where(kin.many > 1, spread, np.nan))


def _choices(kin: Kin, child: TableView, j: int, name: str, common: np.ndarray) -> Iterator[Described]:
    codes = child.codes(j)[kin.rows]
    different = np.unique(np.stack([kin.owner, codes]), axis=1)[0]
    many = np.bincount(different, minlength=len(kin.many)).astype(float)
    yield Described(said("how many different {column}", column=name), name, many)
    for code in common:
        words = said("share of {column} = {value}", column=name, value=child.columns.choices[j][code])
        yield Described(words, name, kin.mean((codes == code).astype(float)))


def _steps(kin: Kin, values: np.ndarray, name: str, steady: bool) -> Iterator[Described]:
    """Of a sequence: how far a number goes from a row to the next at most, and for how many rows it stays as it is at most."""
    change = np.where(kin.first, np.nan, np.diff(values, prepend=np.nan))
    yield Described(said("furthest step of {column}", column=name), name, kin.greatest(np.abs(change)))
    if steady:
        run = np.cumsum(~(change == 0))
        length = np.bincount(run)[run].astype(float)
        words = said("most rows in which {column} stays as it is", column=name)
        yield Described(words, "rows", kin.greatest(length))
