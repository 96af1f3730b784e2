"""Feather and the other files of Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.ipc as ipc

from karat.content.table.io.columnar import alike, read
from karat.content.table.io.formats import Format
from karat.content.table.table import Dialect


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    schema, same = alike(blocks)
    if any(pa.types.is_dictionary(kind) for kind in schema.types):  # all blocks share one, in such a file
        same = iter([pa.concat_tables(same).unify_dictionaries()])
    with ipc.new_file(file, schema) as arrow:
        for block in same:
            arrow.write_table(block)


FORMAT = Format((".feather", ".arrow", ".ipc"), read, _write, (".feather",))
