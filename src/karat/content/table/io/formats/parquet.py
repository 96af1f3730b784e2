"""Parquet; a table of encoded pictures is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from karat.content.table.io.columnar import alike, read
from karat.content.table.io.formats import Format
from karat.content.table.io.plain import is_binary
from karat.content.table.table import Dialect
from karat.provenance.forms.columnar import bare

_PICTURES = re.compile(r"(^|_)(image|img|picture|photo|pixel|jpe?g|png)s?($|_|\d)", re.I)


def _holds(path: Path, suffix: str) -> bool:
    try:
        return not _pictures(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return True  # damaged: opening it says so


def _pictures(schema: pa.Schema) -> list[str]:
    """The columns that hold encoded pictures, as Hugging Face writes them."""
    found = []
    for column in schema:
        kind = column.type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if is_binary(kind) and _PICTURES.search(column.name):
            found.append(column.name)
    return found


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    """Each block is a row group; slots for a label, where the blocks bring them, stand beside the schema."""
    schema, same = alike(blocks)
    kept = bare(schema)
    slots = {key: value for key, value in (schema.metadata or {}).items() if key not in (kept.metadata or {})}
    with pq.ParquetWriter(file, kept) as writer:
        for block in same:
            writer.write_table(block.replace_schema_metadata(kept.metadata))
        writer.add_key_value_metadata(slots)


FORMAT = Format((".parquet",), read, _write, (".parquet",), holds=_holds)
