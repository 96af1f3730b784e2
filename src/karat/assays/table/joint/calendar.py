"""The day of the week that a moment lies on, as a column of its own: by date alone a Sunday is as good as a Monday."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import said, term

DAYS = (
    term("Monday"),
    term("Tuesday"),
    term("Wednesday"),
    term("Thursday"),
    term("Friday"),
    term("Saturday"),
    term("Sunday"),
)
UNITS = {"days": 1.0, "seconds": 86_400.0}  # of a column, and how many of them a day has
MOST = 4  # columns that get one, the first
WEEKS = 8  # that the training rows span, at least
THURSDAY = 3  # 1 January 1970


def with_weekdays(case: Case) -> Case:
    """The same rows, with such a column behind all others for each column of dates that spans weeks."""
    columns = [j for j, unit in enumerate(case.train.columns.units) if unit in UNITS and _spans(case.train, j)][:MOST]
    if not columns:
        return case
    train, unseen, made = (_extended(side, columns) for side in (case.train, case.unseen, case.made))
    return replace(case, train=train, unseen=unseen, made=made)


def _days(side: TableView, j: int) -> np.ndarray:
    return np.asarray(np.floor(side.values[:, j] / UNITS[side.columns.units[j]]))


def _spans(train: TableView, j: int) -> bool:
    days = _days(train, j)
    known = days[np.isfinite(days)]
    return len(known) > 0 and float(np.ptp(known)) >= 7 * WEEKS and len(np.unique(known % 7)) > 1


def _extended(side: TableView, columns: list[int]) -> TableView:
    weekdays = [(_days(side, j) + THURSDAY) % 7 for j in columns]  # NaN stays missing
    told = side.columns
    names = (*told.names, *(said("day of the week of {column}", column=told.names[j]) for j in columns))
    more = replace(
        told,
        names=names,
        choices=(*told.choices, *(DAYS for _ in columns)),
        units=(*told.units, *("" for _ in columns)),
    )
    return replace(side, columns=more, values=np.column_stack([side.values, *weekdays]))
