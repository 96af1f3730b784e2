"""The columns of a table as few levels each, so that combinations of their values can be counted, and said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from karat.assays.table.sheet import finite
from karat.views import Columns, TableView
from karat.words import Sentence, said, together

COMMON = 20  # values of a column that are levels of their own, the commonest
SHARE, ROWS = 0.01, 10  # of the training rows that such a choice has, at least
BINS = 8  # that numbers are cut into, where they have more values
HEAP = 0.1  # share of the rows that makes one number a level of its own


@dataclass(frozen=True)
class Level:
    """One column. A choice goes through `to`, code -> level; a number lies between `edges`.   words: of each level."""

    to: np.ndarray | None
    edges: np.ndarray
    words: tuple[str, ...]


@dataclass(frozen=True)
class Levels:
    """All columns of a table, as the training rows show them."""

    names: tuple[str, ...]
    columns: tuple[Level, ...]

    @classmethod
    def fit(cls, train: TableView) -> Levels:
        return cls(train.names, tuple(_level(train, j) for j in range(train.width)))

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(column.words) for column in self.columns)

    def of(self, sheet: TableView) -> np.ndarray:
        """int64 [n, columns]."""
        out = np.empty((len(sheet), len(self.columns)), np.int64)
        for j, column in enumerate(self.columns):
            if column.to is not None:
                out[:, j] = column.to[sheet.codes(j)]
            else:
                values = sheet.values[:, j]
                codes = np.searchsorted(column.edges, values, "right")
                out[:, j] = np.where(np.isnan(values), len(column.words) - 1, codes)
        return out

    def said(self, columns: Sequence[int], codes: Sequence[int]) -> Sentence:
        """A combination in words: "sex = Female and age 17 to 22"."""
        pairs = zip(columns, codes, strict=True)
        parts = (said("{name} {level}", name=self.names[j], level=self.columns[j].words[code]) for j, code in pairs)
        return together(parts, said(" and "))


def spoken(columns: Columns, j: int, value: float) -> str:
    """A cell of column `j` of a view in words: a choice, a number, a date."""
    choices, unit = columns.choices[j], columns.units[j] if columns.units else ""
    if np.isnan(value):
        return "missing"
    if choices:
        return choices[int(value)] if value < len(choices) else "a value that no training row has"
    try:
        if unit == "days":
            return (date(1970, 1, 1) + timedelta(days=round(value))).isoformat()
        if unit == "seconds":
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(value))).strftime("%Y-%m-%d %H:%M")
    except OverflowError:
        pass
    if unit == "seconds of a day":
        return f"{int(value) // 3600:02d}:{int(value) // 60 % 60:02d}"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"


def _level(train: TableView, j: int) -> Level:
    choices = train.columns.choices[j]
    if choices:
        counts = np.bincount(train.codes(j), minlength=len(choices) + 2)[: len(choices)]
        # what is rare in training rows, and what these lack, is one: else no training row had what only they do not know
        common = [i for i in np.argsort(-counts, kind="stable")[:COMMON] if counts[i] >= max(SHARE * len(train), ROWS)]
        to = np.full(len(choices) + 2, len(common))
        to[common], to[-1] = np.arange(len(common)), len(common) + 1
        return Level(
            to,
            np.zeros(0),
            (*(said("= {value}", value=choices[i]) for i in common), said("= a rarer value"), said("missing")),
        )
    known = finite(train.values[:, j])
    edges = _edges(known)
    places = np.searchsorted(edges, known, "right")
    words = []
    for code in range(len(edges) + 1):
        mine = known[places == code]
        low, high = (spoken(train.columns, j, x) for x in (mine[0], mine[-1])) if len(mine) else ("below", "all")
        words.append(f"= {low}" if low == high else said("{low} to {high}", low=low, high=high))
    return Level(None, edges, (*words, said("missing")))


def _edges(known: np.ndarray) -> np.ndarray:
    """Where the sorted numbers `known` are cut: between all of them if these are few, else around heaps and by quantiles."""
    distinct, counts = np.unique(known, return_counts=True)
    if len(distinct) <= COMMON:
        return distinct[1:]
    heaps = distinct[counts >= HEAP * len(known)]
    rest = known[~np.isin(known, heaps)]
    cuts = rest[(len(rest) * np.arange(1, BINS)) // BINS] if len(rest) else rest
    edges: np.ndarray = np.unique(np.concatenate([cuts, heaps, np.nextafter(heaps, np.inf)]))
    inner: np.ndarray = edges[edges > known[0]]
    return inner
