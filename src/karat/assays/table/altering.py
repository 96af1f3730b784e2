"""Rows altered as a copier alters them who hopes not to be found out: what copy findings must see through."""

from __future__ import annotations

import numpy as np

from karat.assays.table.sheet import finite
from karat.views import TableView


def altered(copies: np.ndarray, train: TableView, rng: np.random.Generator) -> np.ndarray:
    """`copies` [n, c] of training rows, each altered in one of three ways in turn.

    One cell is another row's; or numbers are rounded to two significant digits; or noise of a hundredth of the column's
    standard deviation is added to them, and they are kept whole where the column is whole.
    """
    out = copies.copy()
    donors = train.values[rng.integers(len(train), size=len(out))]
    numbers = list(train.numbers)
    known = {j: finite(train.values[:, j]) for j in numbers}
    spread = {j: float(x.std()) if len(x) else 0.0 for j, x in known.items()}
    whole = {j: bool((x == np.round(x)).all()) for j, x in known.items()}
    for i, row in enumerate(out):
        how = i % 3 if numbers else 0
        if how == 0:
            differs = np.flatnonzero(row != donors[i])
            cells = differs if len(differs) else np.arange(len(row))
            j = int(cells[rng.integers(len(cells))])
            row[j] = donors[i, j]
        for j in numbers if how else ():
            if np.isnan(row[j]) or row[j] == 0:
                continue
            if how == 1:
                scale = 10.0 ** (np.floor(np.log10(abs(row[j]))) - 1)
                row[j] = round(row[j] / scale) * scale
            else:
                moved = row[j] + 0.01 * spread[j] * rng.standard_normal()
                row[j] = np.round(moved) if whole[j] else moved
    return out
