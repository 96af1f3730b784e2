"""Reference generators of series: each does one thing wrong to the order of steps, and the finding for it must speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from karat.assays.references.reference import Case, Reference, oracle
from karat.assays.relational.changing import judged
from karat.views import DatabaseView, TableView, Tie

AVERAGED = 3  # steps that are smoothed into one
MOVED = 1.01  # factor by which the copied steps lie higher


Remade = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # of the steps [rows, columns] of one window, scaled


def _remade(view: DatabaseView, windows: np.ndarray, how: Remade, rng: np.random.Generator) -> DatabaseView:
    """The windows [k] with what `how` makes of the numbers in each."""
    out = view.take(windows)
    (tie,) = out.ties
    table = out.tables[tie.child]
    columns = judged(table, tie)
    values = table.values.copy()
    for w in range(len(windows)):
        rows = np.flatnonzero(tie.links == w)
        steps = np.stack([c.scaled(values[rows, c.at]) for c in columns], 1)
        for c, x in zip(columns, how(steps, rng).T, strict=True):
            values[rows, c.at] = c.natural(x)
    return replace(out, tables={**out.tables, tie.child: replace(table, values=values)})


def _fresh(case: Case[DatabaseView]) -> np.ndarray:
    return case.rng.permutation(len(case.unseen))[: case.n]


def shuffler(case: Case[DatabaseView]) -> DatabaseView:
    """Unseen windows whose changes come in another order."""

    def how(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        change = np.diff(steps, axis=0)
        return np.vstack([steps[:1], steps[:1] + np.cumsum(change[rng.permutation(len(change))], 0)])

    return _remade(case.unseen, _fresh(case), how, case.rng)


def smoother(case: Case[DatabaseView]) -> DatabaseView:
    """Unseen windows of which each step is the mean of itself and the ones before."""

    def how(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        lead = np.vstack([np.repeat(steps[:1], AVERAGED - 1, 0), steps])
        return np.asarray(np.mean([lead[i : i + len(steps)] for i in range(AVERAGED)], 0))

    return _remade(case.unseen, _fresh(case), how, case.rng)


def copier(case: Case[DatabaseView], *, share: float = 0.2) -> DatabaseView:
    """Unseen windows, but a `share` are training windows whose numbers lie one per cent higher and whose changes come a step
    later.
    """
    fresh = case.fresh()
    count = max(1, round(share * len(fresh)))

    def how(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        change = np.roll(np.diff(steps, axis=0), 1, 0)
        return np.asarray(np.vstack([steps[:1], steps[:1] + np.cumsum(change, 0)]) + np.log(MOVED))

    copies = _remade(case.train, case.rng.permutation(len(case.train))[:count], how, case.rng)
    kept = fresh.take(np.arange(count, len(fresh)))
    return _joined(kept, copies)


def _joined(a: DatabaseView, b: DatabaseView) -> DatabaseView:
    (x,), (y,) = a.ties, b.ties
    tables = {name: _stacked(a.tables[name], b.tables[name]) for name in a.tables}
    at = None if x.at is None or y.at is None else np.concatenate([x.at, y.at])
    before = np.concatenate([x.before, np.where(y.before >= 0, y.before + len(x.links), -1)])
    links = np.concatenate([x.links, y.links + len(a)])
    place = np.concatenate([x.place, y.place])
    tie = replace(x, links=links, absent=np.zeros(len(links), bool), before=before, place=place, at=at)
    return DatabaseView(tables, (tie,), len(a) + len(b))


def _stacked(a: TableView, b: TableView) -> TableView:
    broken = {rule: np.concatenate([a.broken[rule], b.broken[rule]]) for rule in a.broken}
    return TableView(a.columns, np.vstack([a.values, b.values]), broken, found=a.found)


REFERENCES: Mapping[str, Reference[DatabaseView]] = {
    "oracle": Reference(oracle),
    "shuffler": Reference(shuffler, ("volatility",)),
    "smoother": Reference(smoother, ("changes", "autocorrelation")),
    "copier": Reference(
        copier, ("copy rate", "near copies"), "share", (0.2, 0.5), 0.5, "{strength:.0%} copies of windows, shifted"
    ),
}


def has(view: DatabaseView) -> bool:
    """Whether the database is one of series whose numbers change."""
    tie: Tie | None = next((t for t in view.ties if t.cut), None)
    return tie is not None and bool(judged(view.tables[tie.child], tie))
