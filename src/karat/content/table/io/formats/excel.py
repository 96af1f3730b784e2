"""Workbooks of Excel: one sheet of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from karat.content.table.io import workbook
from karat.content.table.io.formats import Format
from karat.content.table.io.plain import bare_columns
from karat.content.table.table import Dialect
from karat.errors import FitError


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    if suffix != ".xlsx":
        raise FitError(f"tables are not written as {suffix}; .xlsx is a workbook without macros.")
    whole = pa.concat_tables(blocks)  # a sheet has a million rows at most
    if dialect is None:
        dated = tuple(c.name for c in whole.schema if pa.types.is_date(c.type) or pa.types.is_timestamp(c.type))
        dialect = Dialect(form="xlsx", bare=bare_columns(whole.schema), dated=dated)
    file.write(workbook.write(whole, dialect))


FORMAT = Format(
    (".xlsx", ".xlsm"),
    lambda path, rows, options: workbook.read(path, rows, options.get("sheet")),
    _write,
    (".xlsx",),
    options=("sheet",),
    form=lambda suffix: "xlsx" if suffix == ".xlsx" else "",
)
