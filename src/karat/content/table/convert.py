"""Cells of one type read as another: somebody else's columns as ours, a few words as the cells of a column."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.encoding.coding import NUMBERS, flat
from karat.content.table.rules.expressions import moment
from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import LOGICAL, WHOLE, Column, Schema
from karat.content.table.schema.inference import UNEVEN
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError, FitError

PRINTED = ("integer", "decimal", "boolean", "date", "datetime", "time")
EXAMPLES = {
    "integer": "17",
    "decimal": "17.5",
    "date": "2024-01-31",
    "datetime": "2024-01-31 12:00:00",
    "time": "12:00:00",
}


def logical(column: Column) -> pa.DataType:
    """The Arrow type of the column in a `Table`."""
    return LOGICAL.get(column.kind, pa.string())


def as_kind(ours: Column, column: pa.Array, spelled: pa.Array, kind: str | None) -> pa.Array:
    """Cells of our column `ours` from somebody's cells `column` of `kind`, which his source spells `spelled`.

    Raises DataError naming the column and a cell that cannot be read so.
    """
    wanted = logical(ours)
    if column.type == wanted and (kind == ours.kind or wanted == pa.string()):
        return column
    try:
        if wanted == pa.string():
            words = spelled.cast(pa.string())
            return (
                words if not column.null_count else pc.if_else(column.is_valid(), words, pa.scalar(None, pa.string()))
            )
        if not pa.types.is_string(column.type) and not pa.types.is_boolean(wanted):
            return column.cast(wanted)
        return _from_words(ours, spelled.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the column {ours.name!r} is {kind or column.type} there and {ours.kind} here, and cannot be read so ({error})."
        ) from error


def _from_words(ours: Column, words: pa.Array) -> pa.Array:
    gone = pc.is_in(words, value_set=pa.array([*ours.missing, ""], pa.string()))
    words = pc.if_else(gone, pa.scalar(None, pa.string()), words)
    if ours.kind == "boolean":
        return pc.if_else(words.is_null(), pa.scalar(None, pa.bool_()), pc.equal(words, true_of(ours)))
    raw = Raw(pa.table({ours.name: words}), "csv", "that table")
    return flat(values.parse(raw, Schema((ours,)))[ours.name])


LOOKED = 20_000  # cells by which it is told how somebody prints


def otherwise(ours: Column, cells: pa.Array, theirs: pa.Array) -> tuple[float, str, str] | None:
    """The share of `cells` that are there and are not spelled as our column prints them, with an example of both.

    theirs: the same cells as their source spells them, strings where it is a delimited file.   None where that cannot be
    told: of kinds that are their spelling, or of real cells that are not all printed alike.
    """
    if ours.kind not in PRINTED or any(UNEVEN in note for note in ours.notes):
        return None
    if not pa.types.is_string(theirs.type):  # typed: a whole number that became a fraction, unless to hold a hole
        whole = ours.arrow.startswith(("int", "uint")) and pa.types.is_floating(theirs.type) and not theirs.null_count
        return (1.0, str(theirs.type), ours.arrow) if whole else None
    if ours.arrow:
        return None
    there = pc.and_(cells.is_valid(), theirs.is_valid())
    some, spelled = (x.filter(there)[:LOOKED] for x in (cells, theirs))
    if not len(some):
        return None
    mine = flat(values.printed(pa.table({ours.name: some}), Schema((ours,)))[ours.name])
    apart = np.flatnonzero(pc.not_equal(mine, spelled).to_numpy(zero_copy_only=False))
    if not len(apart):
        return None
    return len(apart) / len(some), spelled[int(apart[0])].as_py(), mine[int(apart[0])].as_py()


def true_of(column: Column) -> str:
    """How the boolean column spells true."""
    return column.values[0] if column.values else "true"


def parsed_cells(raw: Raw, columns: dict[str, Column], source: str) -> pa.Table:
    """All `columns` in order from a table that has some of them: what is absent is missing."""
    some = [columns[name] for name in raw.cells.column_names]
    if raw.source == "csv" and source == "csv":
        cells = values.parse(raw, Schema(tuple(some)))
        kinds: dict[str, Any] = {column.name: column.kind for column in some}
        spelled = cells
    else:
        found = schema.infer(raw)
        cells = values.parse(raw, found)
        kinds = {column.name: column.kind for column in found.columns}
        spelled = values.printed(cells, found)
    out = []
    for name, column in columns.items():
        if name not in cells.column_names:
            out.append(pa.nulls(len(cells), logical(column)))
        elif name not in kinds:
            out.append(flat(cells[name]))  # the zones of mixed offsets
        else:
            out.append(as_kind(column, flat(cells[name]), flat(spelled[name]), kinds[name]))
    return pa.table(out, names=list(columns))


def cell(column: Column, text: str, source: str) -> pa.Array:
    """The one cell that `text` spells in the column, as its source prints it or plainly; DataError where it cannot be."""
    try:
        found = _cell(column, text, source)
        vast = pa.types.is_floating(found.type) and math.isinf(found[0].as_py()) and "inf" not in text.lower()
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):  # more than its type holds, half of a character
        vast = True
    if vast:
        raise DataError(f"{text[:80]!r} is nothing that a cell of {column.name!r} can hold.")
    return found


def _cell(column: Column, text: str, source: str) -> pa.Array:
    wanted = logical(column)
    if wanted == pa.string():
        return pa.array([text], pa.string())
    if column.kind == "boolean":
        spelled = [word.lower() for word in column.values] if column.values else ["true", "false"]
        if text.lower() not in (*spelled, "true", "false"):
            raise DataError(f"{text[:80]!r} is no value of {column.name!r}; it has {' and '.join(spelled)}.")
        return pa.array([text.lower() in (spelled[0], "true")], pa.bool_())
    if source == "csv":
        try:
            raw = Raw(pa.table({column.name: pa.array([text], pa.string())}), "csv", "the condition")
            read = flat(values.parse(raw, Schema((column,)))[column.name])
            if read.null_count == 0:
                return read
        except (DataError, pa.ArrowInvalid):
            pass  # a person may well write 1200 where the file prints $1,200.00
    try:
        natural = moment(text, wanted, text)
    except DataError as error:
        raise DataError(
            f"{text[:80]!r} is no value of {column.name!r}; wanted such as {EXAMPLES[column.kind]}."
        ) from error
    if column.kind == "integer" and not float(natural).is_integer():
        raise DataError(f"{text[:80]!r} is no value of {column.name!r}, which holds whole numbers.")
    if column.kind in NUMBERS[:2]:
        return pa.array([natural]).cast(wanted)
    if column.kind == "date":
        return pa.array([int(natural)], pa.int32()).view(wanted)
    return pa.array([round(natural * 1e6)], pa.int64()).view(wanted)


def put(column: pa.Array, rows: np.ndarray, new: pa.Array) -> pa.Array:
    """The column with `new` at `rows`."""
    index = np.arange(len(column))
    index[rows] = len(column) + np.arange(len(rows))
    return pa.concat_arrays([column, new.cast(column.type)]).take(pa.array(index))


def typed(cells: pa.Table, known: Schema, dialect: Dialect) -> pa.Table:
    """The logical cells of a file of words with the types that a reader expects of them.

    Moments have their zone, those of mixed offsets beside them as text; keys and categories that were whole numbers in the
    whole source, and no words of JSON or of a workbook, are int64. Raises FitError for a cell that is none.
    """
    out = cells
    for column in known.columns:
        i, cell = out.column_names.index(column.name), flat(out[column.name])
        if column.kind == "datetime" and column.zone:
            named = pa.timestamp("us", "UTC" if column.zone == "mixed" else column.zone)
            out = out.set_column(i, column.name, cell.view(pa.int64()).view(named))
        elif column.whole and logical(column) == pa.string() and column.kind in WHOLE and _bare(column, dialect):
            out = out.set_column(i, column.name, _whole(column, cell))
    return out


def _bare(column: Column, dialect: Dialect) -> bool:
    """Whether the file could have held the cells as text and did not."""
    return dialect.form == "delimited" or column.name in dialect.bare


def _whole(column: Column, cells: pa.Array) -> pa.Array:
    try:
        return cells.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise FitError(
            f"the column {column.name!r} held whole numbers in the training data, and not all made cells are such ({error}). "
            "Write .csv, where cells are text."
        ) from None
