"""The label of origin in the header of Parquet and Arrow files, where those who write them put names and values."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from karat.provenance.label import KEYWORD, parse

SUFFIXES = (".parquet", ".feather")


def read_label(path: Path) -> dict[str, str] | None:
    """The fields of its label; None where it has none or is no whole file of its format."""
    try:
        if path.suffix.lower() == ".parquet":
            schema = pq.read_schema(path)
        else:
            with pa.memory_map(str(path)) as file:
                schema = ipc.open_file(file).schema
    except (OSError, pa.ArrowException):
        return None
    label = (schema.metadata or {}).get(KEYWORD.encode())
    return None if label is None else parse(label.decode(errors="replace"))
