"""Files of SQLite and DuckDB, which are only read."""

from __future__ import annotations

from pathlib import Path

from karat.content.table.io.formats import Format
from karat.content.table.io.sql import read_database


def _starts(start: bytes) -> bool:
    return start[:15] == b"SQLite format 3" or start[8:12] == b"DUCK"


def _holds(path: Path, suffix: str) -> bool:
    with path.open("rb") as file:
        return _starts(file.read(16))


FORMAT = Format(
    (".db", ".sqlite", ".sqlite3", ".duckdb"),
    lambda path, rows, options: read_database(path, options.get("query"), options.get("table"), rows),
    options=("query", "table"),
    holds=_holds,
    starts=_starts,
)
