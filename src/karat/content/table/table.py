"""A table on its way through the house: as its source holds it, and typed, with missing cells as a value of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Dialect:
    """How a file of words is printed, so that a made one can be printed the same way."""

    delimiter: str = ","
    quote: str = '"'
    quoted: str = "minimal"  # or "all", "text": which fields stand in quotes
    encoding: str = "utf-8"  # or gb18030, utf-16-le, latin-1, ...
    bom: bool = False
    newline: str = "\n"
    packed: str = ""  # or gzip, bzip2, xz, zstd, zip
    header: bool = True
    decimal_comma: bool = False
    quoted_columns: tuple[str, ...] = ()  # for "text": the columns whose fields always stand in quotes
    quoted_header: bool = False
    quoted_empty: bool = False  # whether an empty field is written as two quotes
    unnamed: tuple[str, ...] = ()  # columns whose name the file leaves empty
    final_newline: bool = True
    escaped: bool = False  # a quote within quotes stands behind a backslash, and is not doubled
    form: str = "delimited"  # or json, jsonl, xlsx
    bare: tuple[str, ...] = ()  # of JSON and workbooks: the columns whose cells are numbers or truths, and not text
    dated: tuple[str, ...] = ()  # of workbooks: the columns whose cells are dates
    nested: tuple[
        str, ...
    ] = ()  # of JSON: the columns that are fields of an object in the record, its names with points between
    wrap: str = ""  # of JSON: the key of the object that holds the list
    sheet: str = ""  # of workbooks


@dataclass(frozen=True)
class Raw:
    """A table as its source holds it, before any type is inferred.

    cells: from a delimited file every column is string, null where the field is empty; from Parquet, data frames and
    SQL the columns have the source's own types.   source: "csv", "parquet", "frame" or "sql".   place: for messages.
    total: how many rows the source holds, where only a sample was taken.   notes: what a person should know.
    question: what a person must say before anything learns from it, "" where nothing is open; one of the notes.
    """

    cells: pa.Table
    source: str
    place: str
    dialect: Dialect | None = None
    total: int | None = None
    notes: tuple[str, ...] = ()
    question: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of typed columns: `cells` holds each column's logical values (see `schema.LOGICAL`), null where missing."""

    cells: pa.Table
    facts: Any = field(default=None, compare=False)

    def __len__(self) -> int:
        return int(self.cells.num_rows)

    def __getitem__(self, rows: Any, /) -> Table:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return Table(self.cells.slice(start, max(0, stop - start)), self.facts)
            rows = np.arange(start, stop, step)
        index = np.asarray(rows)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        return Table(self.cells.take(pa.array(index.astype(np.int64))), self.facts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.cells.to_pylist())
