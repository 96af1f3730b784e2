"""What a judge sees of a table, and a table made from that: numbers and choices become typed cells again, the rest is made anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.convert import logical, put
from karat.content.table.encoding.coding import present
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Presence
from karat.content.table.encoding.parts import Number
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.columns import Column

OTHER = "another value"  # stands for a choice that no training row has


def observed(layout: Layout, seen: Sequence[tuple[str, pa.Array | None]], cells: Cells) -> np.ndarray:
    """float64 [n, len(seen)] of cells, NaN where missing; an unknown choice has the index behind the last.

    seen: each column with its known values: None for a number, nulls for one that is seen only as missing or present.
    """
    out = np.empty((len(cells.columns[seen[0][0]]), len(seen)))
    for j, (name, known) in enumerate(seen):
        column = cells.columns[name]
        if known is None:
            out[:, j] = _finite(layout, name, cells)
        elif pa.types.is_null(known.type):
            out[:, j] = present(column)
        else:
            found = pc.index_in(column, value_set=known).fill_null(len(known))
            index = np.asarray(found.to_numpy(zero_copy_only=False), np.float64)
            out[:, j] = np.where(present(column), index, np.nan)
    return out


def _finite(layout: Layout, name: str, cells: Cells) -> np.ndarray:
    """float64 [n]: numbers, days or seconds, what is infinite as far from the others as these reach."""
    out = cells.number(name)
    if not np.isinf(out).any():
        return out
    part = layout.parts[layout.part_of[name]]
    if not isinstance(part, Number):
        return np.where(np.isinf(out), np.nan, out)
    ends = np.concatenate([part.fine.lows, part.fine.highs])
    ends = part.grain.natural(ends[~part.grain.marks(ends)])
    low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 0.0)
    reach = max(high - low, 1.0)
    return np.where(out == np.inf, high + reach, np.where(out == -np.inf, low - reach, out))


def table_like(
    layout: Layout, seen: Sequence[tuple[str, pa.Array | None]], values: np.ndarray, rng: np.random.Generator
) -> pa.Table:
    """Cells whose view is `values` float64 [n, len(seen)], NaN where missing; declared rules are not enforced.

    seen: each column with its known values: None for a number, nulls for one that is seen only as missing or present.
    A number is rounded to what its column can hold, and a choice that is none becomes some unknown value.
    """
    cells: dict[str, pa.Array] = {}
    for (name, known), column in zip(seen, values.T, strict=True):
        if name not in layout.columns:  # what is read off a text
            continue
        ours = layout.columns[name]
        if known is None:
            cells[name] = _numbers(ours, column)
        elif pa.types.is_null(known.type):
            part = layout.parts[layout.part_of[name]]
            marks = part.decode((np.nan_to_num(column) > 0).astype(np.int64), None, Cells(cells), True, None)
            cells[name] = marks[name]
        else:
            cells[name] = _chosen(known, column)
    for i in layout.sequence:  # what a judge does not see has one value
        part = layout.parts[i]
        if not isinstance(part, Computed) and any(name not in cells for name in part.names):
            alone = part.decode(np.zeros(len(values), np.int64), np.zeros(len(values)), Cells(cells), True, None)
            cells |= {name: made for name, made in alone.items() if name not in cells}
    for name, ours in layout.columns.items():
        there = np.flatnonzero(present(cells[name]))
        if isinstance(layout.parts[layout.part_of[name]], Presence) and len(there):
            unique = ours.unique or any(name in group for group in layout.rules.unique)
            made = layout.invented(name, cells, there, rng, unique)
            cells[name] = put(cells[name].cast(made.type), there, made)
    return pa.table([cells[name] for name in layout.names], names=list(layout.names))


def _numbers(column: Column, values: np.ndarray) -> pa.Array:
    """Cells of numbers, days or seconds [n]."""
    gone = np.isnan(values)
    kind = logical(column)
    plain = np.where(gone, 0.0, values)
    if pa.types.is_floating(kind):
        if 0 <= column.places <= 15:
            scale = 10.0**column.places
            units = np.rint(plain * scale)
            plain = np.where(np.abs(units) < 2.0**53, units / scale, plain)
        return pa.array(plain, pa.float64(), mask=gone)
    units = np.rint(plain * (1e6 if pa.types.is_timestamp(kind) or pa.types.is_time(kind) else 1.0))
    if pa.types.is_time(kind):
        units = np.clip(units, 0, 86_400e6 - 1)
    if pa.types.is_date32(kind):
        days = np.clip(units, -(2.0**31), 2.0**31 - 1).astype(np.int32)
        return pa.array(days, pa.int32(), mask=gone).view(kind)
    whole = pa.array(np.clip(units, -(2.0**62), 2.0**62).astype(np.int64), pa.int64(), mask=gone)
    return whole if pa.types.is_integer(kind) else whole.view(kind)


def _chosen(known: pa.Array, index: np.ndarray) -> pa.Array:
    """Cells of indices [n] into `known`; what lies behind the last is a value that is none of them."""
    if pa.types.is_string(known.type):
        other, taken = OTHER, set(known.to_pylist())
        while other in taken:
            other += "*"
        values = pa.concat_arrays([known, pa.array([other], pa.string())])
    else:  # a boolean, of which training rows may know one value only
        first = bool(known[0].as_py()) if len(known) else False
        values = pa.concat_arrays([known, pa.array([not first], known.type)])
    gone = np.isnan(index)
    return values.take(pa.array(np.where(gone, 0, index).astype(np.int64), mask=gone))
