"""Files of SQLite and DuckDB; the latter are only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from karat.content.table.io import lite
from karat.content.table.io.formats import Format
from karat.content.table.io.sql import read_database
from karat.content.table.table import Dialect
from karat.errors import FitError


def _starts(start: bytes) -> bool:
    return start[:15] == b"SQLite format 3" or start[8:12] == b"DUCK"


def _holds(path: Path, suffix: str) -> bool:
    with path.open("rb") as file:
        return _starts(file.read(16))


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    if suffix not in lite.SUFFIXES:
        raise FitError(f"tables are not written as {suffix}; {' and '.join(lite.SUFFIXES)} are databases of SQLite.")
    lite.write({"made": blocks}, file)


FORMAT = Format(
    (".db", ".sqlite", ".sqlite3", ".duckdb"),
    lambda path, rows, options: read_database(path, options.get("query"), options.get("table"), rows),
    _write,
    lite.SUFFIXES,
    options=("query", "table"),
    holds=_holds,
    starts=_starts,
)
