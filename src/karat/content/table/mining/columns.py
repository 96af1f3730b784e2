"""The columns of a table as relations are looked for in them: numbers, codes of values, and which cells are there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import EXACT, NUMBERS, flat, present
from karat.content.table.rules.expressions import DAY, Cells
from karat.content.table.schema.columns import Column, Schema

ROWS = 4000  # in which relations are looked for first
DECIMALS = 6  # that are looked for in numbers
MOST = 150  # columns among which relations are looked for: their pairs grow as the square
MOST_NUMBERS = 120  # of those, numbers, dates and times among which formulas are looked for


@dataclass(frozen=True)
class Number:
    """A column of numbers, dates or times.

    values: float64 [n], NaN where missing or infinite: numbers, or seconds of dates and times.   unit: what it may be compared
    with.   decimals: as many as all values keep to; -1 where they keep to none.
    """

    name: str
    values: np.ndarray
    unit: str
    decimals: int
    day: bool

    @cached_property
    def half(self) -> float:
        """Half a unit of the last decimal."""
        return 0.5 * 10.0**-self.decimals if self.decimals >= 0 else 0.0

    @cached_property
    def spread(self) -> float:
        known = self.values[~np.isnan(self.values)]
        return float(known.std()) if len(known) else 0.0

    @cached_property
    def varies(self) -> bool:
        known = self.values[~np.isnan(self.values)]
        return len(known) > 1 and bool((known != known[0]).any())


def nameable(schema: Schema) -> list[Column]:
    """The columns that relations may hold between: all but what is made anew or constant, and what no rule can name."""
    return [c for c in schema.columns if not c.made and c.kind != "constant" and c.name and "`" not in c.name]


class Columns:
    """The first columns of a table that relations may hold between, all rows of it or a sample."""

    def __init__(self, cells: pa.Table, schema: Schema) -> None:
        there = set(cells.column_names)
        self.kinds: dict[str, Column] = {c.name: c for c in nameable(schema) if c.name in there}
        self.kinds = dict(list(self.kinds.items())[:MOST])
        self.arrays = {name: flat(cells[name]) for name in self.kinds}
        self.rows = len(cells)
        self._codes: dict[str, tuple[np.ndarray, int]] = {}

    def some(self, rows: np.ndarray) -> Columns:
        """These rows of all columns."""
        out = Columns.__new__(Columns)
        index = pa.array(rows)
        out.kinds, out.rows, out._codes = self.kinds, len(rows), {}
        out.arrays = {name: array.take(index) for name, array in self.arrays.items()}
        return out

    @cached_property
    def there(self) -> dict[str, np.ndarray]:
        """bool [n] of each column: which cells are not missing."""
        return {name: present(array) for name, array in self.arrays.items()}

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """The columns of numbers, dates and times that hold more than one value."""
        out = {}
        cells = Cells(self.arrays)
        for name, column in self.kinds.items():
            if column.kind not in NUMBERS:
                continue
            values = cells.number(name)
            values = np.where(np.isfinite(values) & (np.abs(values) < EXACT), values, np.nan)
            unit = "moment" if column.kind in ("date", "datetime") else "time" if column.kind == "time" else "number"
            if column.kind == "date":
                values = values * DAY
            number = Number(name, values, unit, _decimals(values), column.kind == "date")
            if number.varies:
                out[name] = number
        return out

    def codes(self, name: str) -> tuple[np.ndarray, int]:
        """int64 [n] of a column, -1 where missing, and how many different values there are."""
        if name not in self._codes:
            coded = self.arrays[name].dictionary_encode()
            indices = coded.indices.fill_null(-1) if coded.indices.null_count else coded.indices
            whole = np.asarray(indices.to_numpy(zero_copy_only=False)).astype(np.int64)
            self._codes[name] = whole, len(coded.dictionary)
        return self._codes[name]

    @cached_property
    def truths(self) -> dict[str, np.ndarray]:
        """float64 [n] of each column of truths, or of 0 and 1; NaN where missing."""
        out = {}
        for name, column in self.kinds.items():
            array = self.arrays[name]
            if column.kind == "boolean" and pa.types.is_boolean(array.type):
                yes = np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), np.float64)
                out[name] = np.where(self.there[name], yes, np.nan)
            elif name in self.numbers and column.kind in ("integer", "decimal"):
                values = self.numbers[name].values
                if np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
                    out[name] = values
        return out


def _decimals(values: np.ndarray) -> int:
    known = values[~np.isnan(values)]
    for places in range(DECIMALS + 1):
        if (np.abs(np.round(known, places) - known) <= 1e-9 * np.maximum(1.0, np.abs(known))).all():
            return places
    return -1


def sample_of(cells: pa.Table, rows: int, rng: np.random.Generator) -> tuple[pa.Table, np.ndarray]:
    """At most so many rows, drawn, in their order; and which they are."""
    if len(cells) <= rows:
        return cells, np.arange(len(cells))
    index = np.sort(rng.choice(len(cells), rows, replace=False))
    return cells.take(pa.array(index)), index
