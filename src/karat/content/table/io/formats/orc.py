"""ORC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.orc as orc

from karat.content.table.io.columnar import alike, first_line, read
from karat.content.table.io.formats import Format
from karat.content.table.table import Dialect
from karat.errors import FitError


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    _, same = alike(blocks, noted=False)
    try:
        with orc.ORCWriter(file) as rows:
            for block in same:
                rows.write(block)
    except pa.ArrowException as error:
        raise FitError(f"ORC has no place for these columns ({first_line(error)}); write .parquet.") from error


FORMAT = Format((".orc",), read, _write, (".orc",))
