"""What all rows of a source hold, column by column, in one pass: each value and how often, the ends, and rows that show them.

So that a sample of the rows can be given those that alone hold a value or an end, and what it loses can be said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VALUES = 100_000  # different ones of a column of words that are counted, as many as a category may have
NUMBERS = 1_000  # the same of numbers and moments, as many as may have a code of their own; of more the ends tell
SHOWN = 2  # rows that show a value: one may come to be set aside for the judge


End = tuple[tuple[float, str], int]  # what a value comes to in the order of its column, and its row


@dataclass
class Count:
    """One column so far.   values [u]: the different ones, missing among them; None once they are too many.

    counts [u]: rows of each.   rows [u, SHOWN]: some of them, -1 where there are fewer.   ends: the least and the greatest,
    of words the shortest and the longest.   moments: see the function.
    """

    values: pa.Array | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, SHOWN), np.int64))
    many: bool = False
    ends: tuple[End, End] | None = None
    moments: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def add(self, column: pa.ChunkedArray, first: int) -> None:
        """Takes the next cells, the first of them in row `first` of the source."""
        cells, values, which = together(column), None, None
        if not self.many or pa.types.is_dictionary(cells.type):
            values, which = distinct(cells)
        if not self.many:
            assert values is not None and which is not None
            self._count(values, which, first)
        numbers = plain(cells)
        if numbers is not None:
            self.moments += moments(numbers)
            self._ends(ends_of(numbers), first)
        elif self.many:
            found = ends_of(cells if values is None else values)
            if found is not None and which is not None:
                found = tuple((end, int(np.argmax(which == at))) for end, at in found)  # type: ignore[assignment]
            self._ends(found, first)

    def _ends(self, found: tuple[End, End] | None, first: int) -> None:
        """Takes the ends of cells of which the first is in row `first`."""
        if found is None:
            return
        least, greatest = ((end, first + at) for end, at in found)
        low, high = (least, greatest) if self.ends is None else self.ends
        self.ends = min(low, least), max(high, greatest, key=lambda end: end[0])

    def _count(self, values: pa.Array, which: np.ndarray, first: int) -> None:
        """Takes cells [n], of which each is `values[which]`."""
        known = pa.array([], values.type) if self.values is None else self.values
        if pa.types.is_null(known.type):  # nothing but missing cells so far
            known = known.cast(values.type)
        elif pa.types.is_null(values.type):
            values = values.cast(known.type)
        index = np.asarray(pc.index_in(values, value_set=known).fill_null(-1).to_numpy(zero_copy_only=False))
        if (index < 0).any():
            fresh = values.filter(pa.array(index < 0))
            if len(known) + len(fresh) > (VALUES if plain(values) is None else NUMBERS):
                self.ends = self.known_ends()
                self.many, self.values = True, None
                return
            known = pa.concat_arrays([known, fresh])
            index = np.asarray(pc.index_in(values, value_set=known).to_numpy(zero_copy_only=False)).astype(np.int64)
            more = len(known) - len(self.counts)
            self.counts = np.append(self.counts, np.zeros(more, np.int64))
            self.rows = np.concatenate([self.rows, np.full((more, SHOWN), -1)])
        self.values, index = known, index.astype(np.int64)[which]
        self.counts += np.bincount(index, minlength=len(known))
        for k in range(SHOWN):
            open_ = np.flatnonzero((self.rows[:, k] < 0)[index])
            if k:
                open_ = open_[self.rows[index[open_], k - 1] != first + open_]
            found, at = np.unique(index[open_], return_index=True)
            self.rows[found, k] = first + open_[at]

    def known_ends(self) -> tuple[End, End] | None:
        """The ends; of words only where they are many, as keys are."""
        if self.ends is not None or self.values is None or len(self.values) <= NUMBERS:
            return self.ends
        found = ends_of(self.values)
        if found is None:
            return None
        low, high = ((end, int(self.rows[at, 0])) for end, at in found)
        return low, high


def together(column: pa.ChunkedArray) -> pa.Array:
    """One array of all cells; only words stay keys of a dictionary, which may be far smaller than what it lays out to."""
    cells = column.combine_chunks()
    words = pa.types.is_dictionary(cells.type) and plain(cells.dictionary) is None
    return cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) and not words else cells


def distinct(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The different cells, a missing one among them, and which of them each is, int64 [n]."""
    which = None
    if pa.types.is_dictionary(cells.type):
        used, which = np.unique(cells.indices.fill_null(-1).to_numpy(zero_copy_only=False), return_inverse=True)
        cells = cells.dictionary.take(pa.array(used.astype(np.int64), mask=used < 0))  # which may repeat a value
    coded = cells.dictionary_encode("encode")
    index = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return coded.dictionary, index if which is None else index[which]


def plain(column: pa.Array) -> pa.Array | None:
    """Numbers, and moments as whole numbers in their units; None for anything else."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    if not pa.types.is_temporal(kind) or pa.types.is_interval(kind):
        return None
    return column.cast(pa.int64() if kind.bit_width == 64 else pa.int32())


def moments(numbers: pa.Array) -> np.ndarray:
    """float64 [3]: how many finite numbers there are, their sum, and the sum of their squares."""
    x = numbers.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    x = x[np.isfinite(x)]
    return np.array([len(x), x.sum(), np.square(x).sum()])


def ends_of(column: pa.Array) -> tuple[End, End] | None:
    """The ends of numbers, or of words by their length and then by the alphabet; None where there are none, or no such cells."""
    if column.null_count == len(column):
        return None
    sizes = column
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        sizes = pc.binary_length(column)
    elif plain(column) is None:
        return None
    found = []
    for side in ("min", "max"):
        size = pc.min_max(sizes)[side]
        if size.as_py() != size.as_py():  # no number at all
            return None
        if sizes is column:
            found.append(((size.as_py(), ""), pc.index(column, size).as_py()))
        else:
            word = pc.min_max(column.filter(pc.equal(sizes, size)))[side]
            found.append(((size.as_py(), word.as_py()), pc.index(column, word).as_py()))
    return found[0], found[1]


class Census:
    """Every column of a source, and the rows that show what is in them."""

    def __init__(self) -> None:
        self.columns: dict[str, Count] = {}
        self._rows: list[np.ndarray] = []
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table, first: int) -> None:
        """Takes the next rows, which are those from `first` on of the source."""
        before = {name: self._shown(count) for name, count in self.columns.items()}
        for name, column in zip(table.column_names, table.columns, strict=True):
            self.columns.setdefault(name, Count()).add(column, first)
        fresh = [np.setdiff1d(self._shown(count), before.get(name, [])) for name, count in self.columns.items()]
        rows = np.unique(np.concatenate(fresh)).astype(np.int64)
        if len(rows):
            self._rows.append(rows)
            self._tables.append(table.take(pa.array(rows - first)))

    @staticmethod
    def _shown(count: Count) -> np.ndarray:
        """int64: the rows that show the column's values and ends."""
        ends = [] if count.ends is None else [row for _, row in count.ends]
        shown = count.rows[count.rows >= 0] if count.values is not None else np.zeros(0, np.int64)
        return np.concatenate([shown, np.array(ends, np.int64)])

    def missing(self, sample: pa.Table, most: int) -> tuple[np.ndarray, pa.Table | None]:
        """At most so many rows of the source, sorted, and their cells, that show what is in no row of the sample.

        Ends and columns of few such values go first: where nearly every row has a value of its own, none is missed.
        """
        wanted: list[np.ndarray] = []
        for name, count in self.columns.items():
            cells = together(sample[name])
            if pa.types.is_dictionary(cells.type):
                cells, _ = distinct(cells)
            if count.values is not None:
                there = pc.is_in(count.values, value_set=pc.unique(cells)).to_numpy(zero_copy_only=False)
                wanted.append(count.rows[~there].ravel())
            ends = count.known_ends()
            if ends is not None:
                numbers = plain(cells)
                own = ends_of(cells if numbers is None else numbers)
                lost = [row for i, (end, row) in enumerate(ends) if own is None or own[i][0] != end]
                wanted.append(np.array(lost, np.int64))
        rows = np.zeros(0, np.int64)
        for some in sorted(wanted, key=len):
            more = np.union1d(rows, some[some >= 0])
            rows = more if len(more) <= most else rows
        if not len(rows):
            return rows, None
        known = np.concatenate(self._rows)
        tables = pa.concat_tables(self._tables, promote_options="default")
        order = np.argsort(known, kind="stable")
        at = order[np.searchsorted(known[order], rows)]
        return rows, tables.take(pa.array(at))

    def loss(self, sample: pa.Table) -> tuple[float, float]:
        """How far the sample is from all rows: the greatest difference of a value's share, and of a column's mean in standard
        deviations."""
        shares, means = [0.0], [0.0]
        for name, count in self.columns.items():
            if count.values is not None and len(count.values):
                values, which = distinct(together(sample[name]))
                index = pc.index_in(values, value_set=count.values).to_numpy()[which]
                mine = np.bincount(index, minlength=len(count.counts))
                shares.append(float(np.abs(mine / len(index) - count.counts / count.counts.sum()).max()))
            n, total, squares = count.moments
            if n:
                numbers = plain(together(sample[name]))
                assert numbers is not None
                few, part, _ = moments(numbers)
                sd = np.sqrt(max(0.0, squares / n - (total / n) ** 2))
                means.append(float(abs(part / max(few, 1) - total / n) / sd) if sd > 0 else 0.0)
        return max(shares), max(means)
