"""JSON: a list of records, or one on each line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.io import jsontables, packed
from karat.content.table.io.formats import Format
from karat.content.table.io.plain import bare_columns
from karat.content.table.table import Dialect


def _form(suffix: str) -> str:
    return "jsonl" if suffix in jsontables.LINES else "json"


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    text, packing = packed.bare(suffix)
    if dialect is None:
        first = next(blocks)
        dialect = Dialect(form=_form(text), bare=bare_columns(first.schema))
        blocks = map(_finite, chain([first], blocks))
    jsontables.stream(blocks, replace(dialect, packed=packed.SUFFIXES.get(packing, "")), file)


def _finite(table: pa.Table) -> pa.Table:
    """The table with numbers that JSON does not know as missing."""
    for i, column in enumerate(table.schema):
        if pa.types.is_floating(column.type):
            cells = table.column(i)
            finite = pc.if_else(pc.is_finite(cells), cells, pa.scalar(None, column.type))
            table = table.set_column(i, column.name, finite)
    return table


FORMAT = Format(
    (".json", *jsontables.LINES),
    lambda path, rows, options: jsontables.read(path, rows, options.get("encoding")),
    _write,
    (".json", ".jsonl"),
    packed=True,
    form=_form,
    holds=lambda path, suffix: packed.bare(suffix)[0] not in jsontables.LINES or jsontables.kind_of(path) == "table",
)
