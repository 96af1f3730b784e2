"""Rows spread evenly over a source of any length, with those that alone hold a value, in bounded memory and one pass."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat import limits
from karat.content.table.io.census import Census

MOST = 6e9  # bytes that a table may come to cost however much memory is free: about four million rows of ten columns
SHARE = 0.5  # of the memory that is free, that a table may come to cost until it is learned from
ROW, CELL, TIMES = (
    150,
    40,
    10,
)  # bytes that each row, each cell and each byte as read come to cost: typed, compared, split, coded

AT_ONCE = 2**16  # rows that are counted at once


def spread(count: int, rows: int) -> np.ndarray:
    """int64 [min(count, rows)]: indices spread evenly over `count` rows, in order."""
    if rows >= count:
        return np.arange(count, dtype=np.int64)
    return ((np.arange(rows, dtype=np.float64) + 0.5) * count / rows).astype(np.int64)


def cost(table: pa.Table) -> float:
    """Bytes that a table comes to take until it is learned from."""
    rows, columns = int(table.num_rows), int(table.num_columns)
    return rows * (ROW + CELL * columns) + TIMES * sum(map(laid_out, table.columns))


def laid_out(column: pa.ChunkedArray | pa.Array) -> int:
    """Bytes of a column whose every cell has its own value: a dictionary repeats a great one for a few bytes a row."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    value = column.type.value_type
    if not (pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)):
        return int(column.nbytes)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    lengths = [pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices) for chunk in chunks]
    return int(column.nbytes) + sum(int(pc.sum(each).as_py() or 0) for each in lengths)


class Sampler:
    """Keeps every row until there are too many, then every second, then every fourth, ...; and of each value and each end of a
    column that none of those holds a row or two, so that what is rare is there though most of the rows are not.

    rows: at most this many are given back; None for as many as `room` allows.   room: bytes that they may come to `cost`;
    None for half of the memory that is free, or MOST where that is less.
    """

    def __init__(self, rows: int | None, room: float | None = None) -> None:
        self.rows = rows
        self.room = min(SHARE * limits.available(), MOST) if room is None else room
        self.total = 0
        self._stride = 1
        self._kept: list[pa.Table] = []
        self._count = 0
        self._cost = 0.0
        self._census: Census | None = None  # of all rows so far, once some of them were let go
        self._loss: tuple[int, float, float] | None = None

    def add(self, table: pa.Table) -> None:
        """Takes the next rows of the source."""
        if not table.num_rows:
            return
        if self._census is not None:
            self._census.add(table, self.total)
        first = -self.total % self._stride
        self.total += table.num_rows
        if self._stride > 1:
            table = table.take(pa.array(np.arange(first, table.num_rows, self._stride)))
        self._kept.append(table)
        self._count += table.num_rows
        self._cost += cost(table)
        while self._count > 1 and (
            self._cost > self.room or (self.rows is not None and self._count > max(2 * self.rows, 100_000))
        ):
            self._thin()

    def _rows(self) -> pa.Table:
        """The rows that are kept."""
        return pa.concat_tables(self._kept, promote_options="default")

    def _counted(self, kept: pa.Table) -> None:
        """Before the first of the rows goes, all of them are counted."""
        if self._census is None:
            self._census = Census()
            for start in range(0, kept.num_rows, AT_ONCE):
                self._census.add(kept.slice(start, AT_ONCE), start)

    def _thin(self) -> None:
        kept = self._rows()
        self._counted(kept)
        self._kept = []
        self._kept = [kept.take(pa.array(np.arange(0, kept.num_rows, 2)))]
        self._stride *= 2
        self._count, self._cost = self._kept[0].num_rows, cost(self._kept[0])

    def table(self) -> pa.Table:
        """The rows that were kept, in order; at least one `add` must have come before, or ValueError is raised."""
        if not self._kept:
            raise ValueError("no rows were added")
        kept = self._rows()
        at = np.arange(kept.num_rows) * self._stride
        if self.rows is not None and kept.num_rows > self.rows:
            self._counted(kept)
            some = spread(kept.num_rows, self.rows)
            kept, at = kept.take(pa.array(some)), at[some]
        if self._census is not None:
            kept = self._completed(kept, at, self._census)
        return kept.unify_dictionaries().combine_chunks()

    def _completed(self, kept: pa.Table, at: np.ndarray, census: Census) -> pa.Table:
        """The sample, rows `at` of the source, with those that hold what it lacks, in place of others where `rows` says so."""
        most = len(at) // 4
        rows, more = census.missing(kept, most)
        while self.rows is not None and len(at) + len(rows) > self.rows:
            some = spread(len(at), self.rows - len(rows))
            kept, at = kept.take(pa.array(some)), at[some]
            rows, more = census.missing(kept, most)
        if more is not None:
            order = np.argsort(np.concatenate([at, rows]), kind="stable")
            kept = pa.concat_tables([kept, more], promote_options="default").take(pa.array(order))
        self._loss = len(rows), *census.loss(kept)
        return kept

    def note(self, kept: int) -> tuple[str, ...]:
        """What a person should know: nothing, or that these are not all the rows, and what is lost by it."""
        if kept == self.total:
            return ()
        why = (
            " (--set data.rows=...)"
            if self.rows is not None and kept == self.rows
            else f", because all of them would come to more than the {limits.words(self.room)} of memory that a table may take"
        )
        said = f"{kept:,} of {self.total:,} rows, spread evenly over the source, were taken{why}."
        if self._loss is None:
            return (said,)
        alone, share, mean = self._loss
        return (
            f"{said} All rows were counted: {alone:,} of those taken alone hold a value or an end of a column; the share of no "
            f"value is off by more than {share:.2g}, no mean by more than {mean:.2g} standard deviations.",
        )
