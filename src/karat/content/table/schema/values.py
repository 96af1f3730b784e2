"""Reads the cells of a table as its schema says, and prints them the way its source did."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.schema import datetimes as moments
from karat.content.table.schema import number_formats as numerals
from karat.content.table.schema.columns import LOGICAL, Column, Kind, Schema
from karat.content.table.table import Raw
from karat.errors import DataError

ISO = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%d %H:%M:%S%.f", "time": "%H:%M:%S%.f"}
_DAY = 86_400_000_000  # microseconds


def parse(raw: Raw, schema: Schema) -> pa.Table:
    """Logical cells: the schema's columns in order with the types of `LOGICAL`, null where missing.

    A datetime column whose zone is "mixed" is in UTC and has a string column `<name> zone` right behind it. Raises
    DataError, naming the place, the column, the row (the first is 1) and the cell, where a kind cannot read one.
    """
    arrays: list[pa.Array] = []
    names: list[str] = []
    found = raw.cells.column_names
    if found != [c.name for c in schema.columns]:
        lost = [c.name for c in schema.columns if c.name not in found]
        extra = [name for name in found if name not in {c.name for c in schema.columns}]
        what = f"lacks {lost[0]!r}" if lost else f"has {extra[0]!r} too many" if extra else "has them in another order"
        raise DataError(f"{raw.place}: the schema is of {len(schema.columns)} columns, and the table {what}.")
    for k, column in enumerate(schema.columns):
        cells, zones = _parsed(chunk(raw.cells.column(k)), column, raw.place)
        arrays.append(cells)
        names.append(column.name)
        if zones is not None:
            arrays.append(zones)
            names.append(f"{column.name} zone")
    return pa.Table.from_arrays(arrays, names)


def printed(cells: pa.Table, schema: Schema) -> pa.Table:
    """The inverse of `parse`: strings as a delimited file printed them, or the Arrow types of the source."""
    arrays: list[pa.Array] = []
    place = 0
    for column in schema.columns:
        values = chunk(cells.column(place))
        place += 1
        zones = None
        if column.zone == "mixed":
            zones = chunk(cells.column(place)).cast(pa.string())
            place += 1
        arrays.append(_printed(values, column, zones))
    return pa.Table.from_arrays(arrays, [c.name for c in schema.columns])


def chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of all chunks."""
    if isinstance(column, pa.Array):
        return column
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def texts(cells: pa.Array, place: str, name: str) -> pa.Array:
    """The cells as strings; DataError where they are of a type that has no text."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return texts(cells.dictionary_decode(), place, name)
    if isinstance(cells, pa.ExtensionArray):
        return texts(cells.storage, place, name)
    if kind == pa.string():
        return cells
    try:
        return cells.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(
            f"{place}: column {name!r} holds {kind}; wanted numbers, text, dates or booleans. Take it out or convert it."
        ) from None


def native(kind: pa.DataType) -> tuple[Kind, ...]:
    """The kinds that cells of this Arrow type are without being read from text, the usual one first."""
    if pa.types.is_boolean(kind):
        return ("boolean",)
    if pa.types.is_integer(kind) or pa.types.is_duration(kind):
        return ("integer", "decimal")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return ("decimal", "integer")
    if pa.types.is_date(kind):
        return ("date", "datetime")
    if pa.types.is_timestamp(kind):
        return ("datetime",)
    return ("time",) if pa.types.is_time(kind) else ()


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type that prints as `text`; DataError where there is none."""
    if m := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", text):
        return pa.timestamp(m[1], m[2])
    if m := re.fullmatch(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)", text):
        maker: Callable[[int, int], pa.DataType] = getattr(pa, f"decimal{m[1]}")
        return maker(int(m[2]), int(m[3]))
    if m := re.fullmatch(r"dictionary<values=(.+), indices=(\w+), ordered=([01])>", text):
        return pa.dictionary(arrow_type(m[2]), arrow_type(m[1]), m[3] == "1")
    try:
        return pa.type_for_alias(text)
    except ValueError:
        raise DataError(f"{text!r} is no type that a table can be written in.") from None


def numbers(cells: pa.Array) -> pa.Array:
    """float64 of numeric cells of any Arrow type; NaN becomes null."""
    if pa.types.is_duration(cells.type):
        cells = cells.cast(pa.int64())
    if pa.types.is_decimal(cells.type):
        cells = cells.cast(pa.string()) if cells.type.bit_width > 128 else cells
    out = cells.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(out), None, out)


def _parsed(cells: pa.Array, column: Column, place: str) -> tuple[pa.Array, pa.Array | None]:
    if isinstance(cells, pa.DictionaryArray):
        cells = cells.dictionary_decode()
    if isinstance(cells, pa.ExtensionArray):
        cells = cells.storage
    logical = LOGICAL.get(column.kind, pa.string())
    if column.kind in native(cells.type):
        return _typed(cells, column, logical, place), None
    if column.kind not in LOGICAL and cells.type == pa.string() and set(column.missing) <= {""}:
        return cells, None
    coded = texts(cells, place, column.name).dictionary_encode()
    uniques = coded.dictionary
    spelled = pa.array(
        [m for m in column.missing if m != "" or not column.arrow or column.kind in LOGICAL], pa.string()
    )
    gone = pc.is_in(uniques, value_set=spelled)
    uniques = pc.if_else(gone, pa.scalar(None, pa.string()), uniques)
    zones = None
    if column.kind in LOGICAL:
        uniques, zones = _read(uniques, column, logical)
        bad = pc.and_(pc.invert(gone), uniques.is_null()).to_numpy(zero_copy_only=False)
        if bad.any():
            which = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
            rows = np.flatnonzero(np.isin(which, np.flatnonzero(bad)))
            cell = coded.dictionary[int(which[rows[0]])].as_py()
            more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
            printed_as = f" printed as {column.format!r}" if column.format else ""
            raise DataError(
                f"{place}: column {column.name!r}, row {rows[0] + 1:,}{more}: {cell[:60]!r} is no {column.kind}{printed_as}. "
                f"Correct the cell, declare another kind, or list it under missing."
            )
    return uniques.take(coded.indices), None if zones is None else zones.take(coded.indices)


def _read(uniques: pa.Array, column: Column, logical: pa.DataType) -> tuple[pa.Array, pa.Array | None]:
    if column.kind == "decimal":
        low, high = column.infinite if len(column.infinite) == 2 else ("-inf", "inf")
        spelled = pc.is_in(uniques, value_set=pa.array([low, high]))
        endless = pc.or_(pc.match_substring_regex(uniques, numerals.INFINITE), spelled)
        if pc.any(endless).as_py():
            negative = pc.or_(pc.starts_with(pc.utf8_trim_whitespace(uniques), "-"), pc.equal(uniques, low))
            finite = numerals.read(
                pc.if_else(endless, pa.scalar(None, pa.string()), uniques), numerals.Print.of(column.format), False
            )
            signed = pc.if_else(negative, pa.scalar(-np.inf), pa.scalar(np.inf))
            return pc.if_else(endless, signed, finite), None
    if column.kind in ("integer", "decimal"):
        return numerals.read(uniques, numerals.Print.of(column.format), column.kind == "integer"), None
    if column.kind == "boolean":
        true, false = column.values if len(column.values) == 2 else ("true", "false")
        yes = pc.equal(uniques, true)
        return pc.if_else(pc.or_(yes, pc.equal(uniques, false)), yes, None), None
    micros, zones = moments.read(uniques, column.format or ISO[column.kind], column.zone)
    return _moment(micros, logical), zones


def _moment(micros: pa.Array, logical: pa.DataType) -> pa.Array:
    if logical == pa.date32():
        return pc.divide(micros, _DAY).cast(pa.int32()).cast(logical)  # dates have no rest
    return micros.cast(logical)


def _typed(cells: pa.Array, column: Column, logical: pa.DataType, place: str) -> pa.Array:
    kind = cells.type
    if column.kind == "boolean":
        return cells
    if column.kind in ("integer", "decimal"):
        if column.kind == "integer" and (pa.types.is_integer(kind) or pa.types.is_duration(kind)):
            return cells.cast(pa.int64())
        values = numbers(cells)
        if column.kind == "decimal":
            return values
        return _whole(values, column, place)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        cells = cells.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.int64()).cast(pa.timestamp(kind.unit))
    return cells.cast(logical, safe=False)


def _whole(values: pa.Array, column: Column, place: str) -> pa.Array:
    x = pc.fill_null(values, 0.0).to_numpy(zero_copy_only=False)
    off = np.flatnonzero((x != np.rint(x)) | np.isinf(x))
    if len(off):
        raise DataError(
            f'{place}: column {column.name!r}, row {off[0] + 1:,}: {x[off[0]]:g} is no integer. Declare kind = "decimal".'
        )
    return values.cast(pa.int64(), safe=False)


def _printed(values: pa.Array, column: Column, zones: pa.Array | None) -> pa.Array:
    kind = arrow_type(column.arrow) if column.arrow else pa.string()
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if column.kind in native(plain):
        return _entries(_untyped(values, column, plain), column, kind)
    text = _text(values, column, zones)
    if column.missing and column.missing[0] != "":
        text = pc.fill_null(text, column.missing[0])
    if plain != pa.string():
        text = pa.nulls(len(text)) if pa.types.is_null(plain) else text.cast(plain)
    return _entries(text, column, kind)


def _text(values: pa.Array, column: Column, zones: pa.Array | None) -> pa.Array:
    if column.kind in ("integer", "decimal"):
        how = numerals.Print.of(column.format)
        least = column.places if column.least is None else column.least
        if column.kind == "decimal" and pc.any(endless := pc.is_inf(values)).as_py():
            plain = pc.if_else(endless, pa.scalar(None, values.type), values)
            text = numerals.write(plain, how, column.places, least)
            low, high = column.infinite if len(column.infinite) == 2 else ("-inf", "inf")
            return pc.if_else(endless, pc.if_else(pc.less(values, 0.0), low, high), text)
        return numerals.write(values.cast(LOGICAL[column.kind]), how, column.places, least)
    if column.kind == "boolean":
        true, false = column.values if len(column.values) == 2 else ("true", "false")
        return pc.if_else(values, true, false)
    if column.kind == "date":
        micros = pc.multiply(values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64()), _DAY)
        return moments.write(micros, column.format or ISO["date"], "")
    if column.kind in ("datetime", "time"):
        micros = values.cast(LOGICAL[column.kind]).cast(pa.int64())
        return moments.write(micros, column.format or ISO[column.kind], column.zone, zones)
    return values.cast(pa.string())


def _untyped(values: pa.Array, column: Column, kind: pa.DataType) -> pa.Array:
    """Logical values in the source's own type."""
    if pa.types.is_integer(kind) and column.kind == "decimal":
        values = pc.round(values)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = _held(values, kind)
    if pa.types.is_floating(kind):
        out = values.cast(kind, safe=False)
        return pc.fill_null(out, pa.scalar(float("nan"), kind)) if column.missing[:1] == ("nan",) else out
    if pa.types.is_decimal(kind):
        return numerals.write(values, numerals.Print(), max(kind.scale, 0), max(kind.scale, 0)).cast(kind)
    if pa.types.is_duration(kind):
        return values.cast(pa.int64(), safe=False).cast(kind)
    if pa.types.is_timestamp(kind):
        at = values.cast(pa.timestamp("us")).cast(pa.timestamp(kind.unit), safe=False)
        return at.cast(pa.int64()).cast(pa.timestamp(kind.unit, kind.tz)) if kind.tz is not None else at
    return values.cast(kind, safe=False)


def _held(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Numbers, those that lie further out than cells of a type can hold brought to its ends; endless ones stay."""
    ends, low, high = _ends(kind), 0.0, 0.0
    if pa.types.is_integer(values.type):
        low, high = max(math.ceil(ends[0]), -(2**63)), min(math.floor(ends[1]), 2**63 - 1)
    else:  # the float nearest to an end may lie beyond it
        low, high = (
            math.nextafter(x, 0.0) if abs(x) > abs(end) else x for x, end in zip(map(float, ends), ends, strict=True)
        )
    inside = pc.max_element_wise(pc.min_element_wise(values, high, skip_nulls=False), low, skip_nulls=False)
    endless = pa.types.is_floating(kind) and pa.types.is_floating(values.type)
    return pc.if_else(pc.is_inf(values), values, inside) if endless else inside


def _ends(kind: pa.DataType) -> tuple[Fraction, Fraction]:
    """The least and the greatest number that a cell of a numeric type can hold."""
    if pa.types.is_decimal(kind):
        most = Fraction(10**kind.precision - 1) / Fraction(10) ** kind.scale
        return -most, most
    if pa.types.is_floating(kind):
        most = Fraction(float(np.finfo(kind.to_pandas_dtype()).max))
        return -most, most
    whole = np.iinfo(kind.to_pandas_dtype())
    return Fraction(whole.min), Fraction(whole.max)


def _entries(values: pa.Array, column: Column, kind: pa.DataType) -> pa.Array:
    """The values as a dictionary with the entries of the source, where it had one."""
    if not pa.types.is_dictionary(kind):
        return values
    if column.values and column.kind != "boolean":
        entries = pa.array(column.values, pa.string()).cast(kind.value_type)
        indices = pc.index_in(values, value_set=entries)
        if indices.null_count == values.null_count:
            return pa.DictionaryArray.from_arrays(indices.cast(kind.index_type), entries, ordered=kind.ordered)
    coded = values.dictionary_encode()
    if len(coded.dictionary) > np.iinfo(kind.index_type.to_pandas_dtype()).max:
        return pa.DictionaryArray.from_arrays(coded.indices, coded.dictionary, ordered=kind.ordered)
    return pa.DictionaryArray.from_arrays(coded.indices.cast(kind.index_type), coded.dictionary, ordered=kind.ordered)
