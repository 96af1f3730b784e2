"""Tables as one file of SQLite, with their keys, and with room for a label."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.feather as feather

from karat.output import scratch
from karat.provenance.forms.database import add_slots

SUFFIXES = (".db", ".sqlite")
Key = tuple[str, tuple[str, ...], str, tuple[str, ...]]  # child, its columns, parent, its keys


def write(tables: Mapping[str, Iterator[pa.Table]], file: IO[bytes], keys: Sequence[Key] = ()) -> None:
    """The tables, each of at least one block of rows, by their names, as a database; the same rows give the same bytes.

    Whole numbers, numbers and text stay what they are; dates and times are text in ISO 8601, decimals text with all digits.
    """
    with scratch() as aside:
        place = aside / "made.db"
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as base:
            base.execute("PRAGMA journal_mode = OFF")  # nothing of this file is kept where it is not finished
            base.execute("PRAGMA synchronous = OFF")
            base.execute("BEGIN")
            for name, blocks in tables.items():
                _fill(base, name, blocks, [key for key in keys if key[0] == name], _unique(name, keys))
            base.execute("COMMIT")
            add_slots(base)
        with place.open("rb") as made:
            shutil.copyfileobj(made, file)


def write_packed(tables: Mapping[str, bytes], file: IO[bytes], keys: Sequence[Key]) -> None:
    """The same of tables as Feather; keys of tables that are not among them are left out."""
    read = {name: iter([feather.read_table(pa.BufferReader(blob))]) for name, blob in tables.items()}
    write(read, file, [key for key in keys if {key[0], key[2]} <= set(tables)])


def _unique(name: str, keys: Sequence[Key]) -> list[tuple[str, ...]]:
    """The keys by which others speak of the table's rows."""
    return list(dict.fromkeys(columns for _, _, parent, columns in keys if parent == name))


def _fill(
    base: sqlite3.Connection,
    name: str,
    blocks: Iterator[pa.Table],
    foreign: Sequence[Key],
    unique: Sequence[tuple[str, ...]],
) -> None:
    for i, block in enumerate(blocks):
        if i == 0:
            parts = [f"{_quoted(column.name)} {_kind(column.type)}" for column in block.schema]
            parts += [f"UNIQUE ({_listed(columns)})" for columns in unique]
            parts += [
                f"FOREIGN KEY ({_listed(columns)}) REFERENCES {_quoted(parent)} ({_listed(wanted)})"
                for _, columns, parent, wanted in foreign
            ]
            base.execute(f"CREATE TABLE {_quoted(name)} ({', '.join(parts)})")
        marks = ", ".join("?" * block.num_columns)
        columns = [_values(column) for column in block.columns]
        base.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", zip(*columns, strict=True))


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "INTEGER"
    return "REAL" if pa.types.is_floating(kind) else "TEXT"


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Cells as SQLite takes them; a whole number that it has no room for, of 64 bits without a sign, is text."""
    if pa.types.is_uint64(column.type) or _kind(column.type) == "TEXT":
        return list(column.cast(pa.string()).to_pylist())
    return list(column.to_pylist())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))
