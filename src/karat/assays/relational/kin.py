"""Rows that belong to one record are kin: they may be alike, so that they are fewer witnesses than they are rows.

Chance is reckoned by rows. Where those of one record are alike, samples of rows vary less than samples of records do, and real
records would be accused. So few rows of each record are looked at that their being alike does not matter: of rows that are
independent all, of rows that repeat one another one of each record. How alike they are is the intraclass correlation, by which
the variance of a mean grows by 1 + (rows of a record - 1) times it (Kish, "Survey Sampling", 1965).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from karat.assays.table.sheet import binned, finite, ranks
from karat.views import DatabaseView, TableView

GROWN = 0.2  # by which the variance of a mean may be greater than that of independent rows
ROWS = 10_000  # training rows by which it is told how alike they are, in whole records
COLUMNS = 20  # columns that are looked at, alone and in pairs
BINS = 4  # of a column


def records(view: DatabaseView, table: str) -> np.ndarray:
    """int64 [rows of the table]: which rows belong to one record; a row that hangs on nobody is its own."""
    tie = next((t for t in view.ties if t.makes and t.child == table), None)
    n = len(view.tables[table])
    if tie is None:
        return np.arange(n)
    of = records(view, tie.parent)
    there = tie.links >= 0
    out = np.where(there, 0, int(of.max(initial=-1)) + 1 + np.arange(n))
    out[there] = of[tie.links[there]]
    return out


def alone(record: np.ndarray, rows: np.ndarray, most: int = 1) -> np.ndarray:
    """Of `rows` the first `most` of each record, in the order in which they are given.   record: of each row that there is."""
    of = record[rows]
    order = np.argsort(of, kind="stable")
    first = np.searchsorted(of[order], of[order])
    return np.asarray(rows[np.sort(order[np.arange(len(order)) - first < most])])


def independent(sides: Sequence[DatabaseView], table: str, seed: int) -> list[np.ndarray]:
    """Rows of the table on each side, the training one first, as many of each record as may count as independent."""
    kin = [records(side, table) for side in sides]
    rng = np.random.default_rng([seed, 34])
    some = thinned([side.tables[table] for side in sides], kin, seed, [rng.permutation(len(of)) for of in kin])
    return [np.sort(rows) for rows in some]


def thinned(
    parts: Sequence[TableView], kin: Sequence[np.ndarray], seed: int, orders: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Rows of each part, the training one first, as many of each record as may count as independent.

    kin: which rows of each belong to one record.   orders: in which the rows are taken; as they stand by default.
    """
    most = witnesses(parts[0], kin[0], seed)
    orders = [np.arange(len(of)) for of in kin] if orders is None else orders
    return [alone(of, order, most) for of, order in zip(kin, orders, strict=True)]


def witnesses(table: TableView, record: np.ndarray, seed: int) -> int:
    """How many rows of a record may be looked at, of the table whose rows belong to `record` [n]; at least 1."""
    _, record, many = np.unique(record, return_inverse=True, return_counts=True)
    top = int(many.max(initial=1))
    if top == 1 or not table.width:
        return top
    shuffled = np.random.default_rng([seed, 35]).permutation(len(many))
    chosen = shuffled[: max(2, int(np.searchsorted(np.cumsum(many[shuffled]), ROWS)))]
    rows = np.flatnonzero(np.isin(record, chosen))

    def grown(most: int) -> float:
        """By how much the variance of a mean of so many rows of each record grows where they are all the same."""
        capped = np.minimum(many, most)
        return float((capped**2).sum() / capped.sum()) - 1

    alike = likeness(table.take(rows), record[rows], GROWN / grown(2))
    low, high = 1, top
    while low < high:  # the largest number at which the variance grows by no more
        middle = (low + high + 1) // 2
        low, high = (middle, high) if grown(middle) * alike <= GROWN else (low, middle - 1)
    return low


def likeness(table: TableView, record: np.ndarray, enough: float = math.inf) -> float:
    """The greatest intraclass correlation of the ranks of a number, or of the classes of a column or of two; 0 to 1.

    enough: beyond which no greater one is looked for.
    """
    (codes,) = binned([table], BINS)
    codes = codes[:, :COLUMNS]
    numbers = [table.values[:, j] for j in table.numbers if j < COLUMNS]
    placed = (ranks(finite(x), np.nan_to_num(x, nan=float(np.nanmean(x)))) for x in numbers if not np.isnan(x).all())
    together = (codes[:, i] * (BINS + 2) + codes[:, j] for i in range(codes.shape[1]) for j in range(i))
    greatest = 0.0
    for x in itertools.chain(placed, codes.T, together):
        greatest = max(greatest, intraclass(x, record))
        if greatest > enough:
            break
    return greatest


def intraclass(values: np.ndarray, record: np.ndarray) -> float:
    """The intraclass correlation of numbers [n], or of whole ones as classes, in records [n], by the one-way analysis of
    variance; that of classes by their indicators, all together.
    """
    _, record, many = np.unique(record, return_inverse=True, return_counts=True)
    n, k = len(values), len(many)
    if np.issubdtype(values.dtype, np.floating):
        x = values - values.mean()
        total, inside = float((x**2).sum()), float((np.bincount(record, x) ** 2 / many).sum())
    else:
        classes, of, common = np.unique(values, return_inverse=True, return_counts=True)
        cell, count = np.unique(record * len(classes) + of, return_counts=True)
        mean = float((common.astype(float) ** 2).sum()) / n
        total, inside = n - mean, float((count.astype(float) ** 2 / many[cell // len(classes)]).sum()) - mean
    if k < 2 or n == k or total <= 0:
        return 0.0
    between, within = inside / (k - 1), (total - inside) / (n - k)
    size = (n - float((many.astype(float) ** 2).sum()) / n) / (k - 1)
    return max(0.0, (between - within) / max(between + (size - 1) * within, 1e-300))
