"""Delimited text: .csv and its kin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO

import pyarrow as pa

from karat.content.table.io import delimited, packed
from karat.content.table.io.formats import Format
from karat.content.table.table import Dialect

DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}


def _write(blocks: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None) -> None:
    text, packing = packed.bare(suffix)
    if dialect is None:
        dialect = Dialect(delimiter=DELIMITERS.get(text, ","))
    delimited.stream(blocks, replace(dialect, packed=packed.SUFFIXES.get(packing, "")), file)


FORMAT = Format(
    (".csv", *DELIMITERS, ".txt"),
    lambda path, rows, options: delimited.read(path, rows, encoding=options.get("encoding")),
    _write,
    (".csv", ".csv.gz", ".tsv"),
    packed=True,
    form=lambda suffix: "delimited",
    holds=lambda path, suffix: not suffix.startswith(".txt") or delimited.separated(path),
)
