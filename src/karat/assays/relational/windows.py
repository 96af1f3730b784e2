"""Series as a judge compares them: what a window of steps is like, so that windows are records; and steps with what came before.

A step of a series is no record: it follows from the one before it, and lies where the series was. Of a window is measured how
its numbers change, which does not hang on when it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karat.assays.relational.changing import Column, Moves
from karat.views import Columns, TableView, Tie

LAGS = 5  # changes before a step by which it is foretold, and as many and twice as many whose mean size is
CALENDAR = {"days": 86_400.0, "seconds": 1.0}  # of the units of moments, in seconds
PAIRS = 3  # columns whose changes are compared with each other's
RUN = 5  # changes one after another by which copies are told
WEEK, YEAR = 7, 12


def summaries(parents: TableView, table: TableView, tie: Tie, columns: Sequence[Column]) -> TableView:
    """A row for each window with steps: its series' own columns, and the spread, the sum, the least, the greatest and the order
    of the changes in it.
    """
    moves = Moves.of(table, tie, columns)
    owners = np.unique(tie.links[tie.links >= 0])
    known = np.isfinite(moves.change).astype(float)
    many = np.maximum(np.stack([moves.summed(k) for k in known.T], 1), 1)
    mean = np.stack([moves.summed(x) for x in moves.change.T], 1) / many
    away = moves.change - mean[moves.owner]
    square = np.maximum(_summed(moves, away**2) / many, 1e-300)
    size = np.abs(away)
    size = size - (_summed(moves, size) / many)[moves.owner]
    back = moves.lags(1)[1]
    names, values = [], []
    for j, c in enumerate(columns):
        steps = moves.change[:, j]
        low, high = np.full(moves.parents, np.inf), np.full(moves.parents, -np.inf)
        there = np.isfinite(steps)
        np.minimum.at(low, moves.owner[there], steps[there])
        np.maximum.at(high, moves.owner[there], steps[there])
        sizes = np.maximum(moves.summed(size[:, j] ** 2), 1e-300)
        names += [f"{c.name}: {what}" for what in ("spread", "change", "least", "greatest", "order", "order of sizes")]
        values += [
            np.sqrt(square[:, j]),
            mean[:, j] * many[:, j],
            np.where(np.isfinite(low), low, np.nan),
            np.where(np.isfinite(high), high, np.nan),
            moves.summed(_product(away[:, j], back)) / (many[:, j] * square[:, j]),
            moves.summed(_product(size[:, j], back)) / sizes,
        ]
    for i in range(min(PAIRS, len(columns))):
        for j in range(i):
            both = moves.summed(away[:, i] * away[:, j]) / many[:, i]
            names.append(f"{columns[j].name} with {columns[i].name}")
            values.append(both / np.sqrt(square[:, i] * square[:, j]))
    own = [j for j, name in enumerate(parents.names) if name != tie.column]
    seen = Columns(
        (*(parents.names[j] for j in own), *names), (*(parents.columns.choices[j] for j in own), *([()] * len(names)))
    )
    return TableView(seen, np.hstack([parents.values[owners][:, own], np.stack(values, 1)]))


def lagged(table: TableView, tie: Tie, columns: Sequence[Column]) -> tuple[TableView, np.ndarray]:
    """A row for each step with enough before it: its change and the size of its change in each column, the changes before, their
    mean sizes, and when it is; and the window int64 [n] of each.
    """
    moves = Moves.of(table, tie, columns)
    lags = moves.lags(2 * LAGS)
    names, values = [], []
    for j, c in enumerate(columns):
        before = np.stack([np.where(back >= 0, moves.change[back, j], np.nan) for back in lags])
        names += [f"change of {c.name}", f"size of the change of {c.name}"]
        values += [moves.change[:, j], np.abs(moves.change[:, j])]
        names += [f"{c.name} {k} back" for k in range(1, LAGS + 1)]
        values += list(before[1 : LAGS + 1])
        names += [f"size of {c.name} over {k}" for k in (LAGS, 2 * LAGS)]
        values += [_mean(np.abs(before[1 : k + 1])) for k in (LAGS, 2 * LAGS)]
    for name, phase in phases(table, tie).items():
        names.append(name)
        values.append(phase[tie.links >= 0].astype(float))
    full = np.stack(values, 1)
    enough = np.flatnonzero(np.isfinite(full[:, 0]) & (lags[LAGS + 1] >= 0) & np.isfinite(full).any(1))
    return TableView(Columns(tuple(names), ((),) * len(names)), full[enough]), moves.owner[enough]


def runs(table: TableView, tie: Tie, columns: Sequence[Column], every: int = 1) -> TableView:
    """A row for each run of 5 changes, or for one that ends at each `every`-th step of a sequence: those of all columns.

    Wherever a window begins, steps that were copied are runs of the steps that they were copied from; of as many different
    digits as float32 has, so that what was written and read again, or multiplied, is the same.
    """
    moves = Moves.of(table, tie, columns)
    back = np.stack(moves.lags(RUN))
    change = moves.change[back[:RUN]].astype(np.float32).astype(float)
    there = (back[RUN] >= 0) & np.isfinite(change).all(0).any(1) & (tie.place[tie.links >= 0] % every == 0)
    names = tuple(f"{c.name} {k} back" for k in range(RUN) for c in columns)
    return TableView(Columns(names, ((),) * len(names)), np.hstack(list(change[:, there])))


def phases(table: TableView, tie: Tie) -> dict[str, np.ndarray]:
    """int64 [n]: which day of the week, month and hour each row lies in, as far as there are several; of moments only."""
    if tie.order not in table.names or not table.columns.units:
        return {}
    j = table.names.index(tie.order)
    unit = CALENDAR.get(table.columns.units[j])
    if unit is None:
        return {}
    second = np.nan_to_num(table.values[:, j]) * unit
    day = np.floor(second / 86_400).astype(np.int64)
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % YEAR
    out = {"day of the week": (day + 3) % WEEK, "month": month, "hour": (second // 3600).astype(np.int64) % 24}
    return {name: phase for name, phase in out.items() if len(np.unique(phase)) > 1}


def _summed(moves: Moves, values: np.ndarray) -> np.ndarray:
    return np.stack([moves.summed(x) for x in values.T], 1)


def _product(x: np.ndarray, back: np.ndarray) -> np.ndarray:
    return np.where(back >= 0, x * x[back], np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """float64 [n]: the mean of what is known of values [k, n]; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(0)
    return np.asarray(np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan))
