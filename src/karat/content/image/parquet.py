"""Pictures in Parquet, as Hugging Face writes them: a column of bytes or {bytes, path}, perhaps one of classes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from karat.content.archive import ASIDE, ENTRIES, LARGEST, Piece
from karat.errors import DataError

LABELS = ("label", "labels", "class", "target", "fine_label", "category", "coarse_label")


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files at `path`, itself one or a folder holding some."""
    if path.is_dir():
        return sorted(file for file in [*path.glob("*.parquet"), *path.glob("*/*.parquet")] if file.is_file())
    return [path] if path.suffix.lower() == ".parquet" else []


def is_aside(file: Path) -> bool:
    """Whether the publisher set this file aside: test-00000-of-00001.parquet, validation/0000.parquet."""
    return file.parent.name.lower() in ASIDE or file.stem.lower().split("-")[0].split("_")[0] in ASIDE


class Tables:
    """Parquet files opened for their picture column; iterated, one Piece per row, few rows in memory at a time."""

    def __init__(self, files: list[Path]) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise DataError(f"{files[0]} needs pyarrow to be read: pip install 'karat[parquet]'.") from error
        self.tables: list[tuple[Path, Any]] = []
        for file in files:
            try:
                self.tables.append((file, pq.ParquetFile(file)))
            except (OSError, ValueError) as error:
                raise DataError(f"{file} is not readable Parquet ({str(error).splitlines()[0]}).") from error
        self.count = sum(table.metadata.num_rows for _, table in self.tables)
        if self.count > ENTRIES:
            raise DataError(f"{files[0].parent} holds {self.count:,} rows; at most {ENTRIES:,} are read.")
        self.split = len({is_aside(file) for file in files}) == 2

    def __iter__(self) -> Iterator[Piece]:
        for file, table in self.tables:
            picture, label, names = _columns(file, table)
            row = 0
            for batch in table.iter_batches(batch_size=64, columns=[picture] + ([label] if label else [])):
                pictures = batch.column(picture).to_pylist()
                labels = batch.column(label).to_pylist() if label else [None] * len(pictures)
                for found, value in zip(pictures, labels, strict=True):
                    data = found.get("bytes") if isinstance(found, dict) else found
                    yield Piece(
                        f"{file.name}:{row}",
                        len(data or b""),
                        0,
                        _opener(data),
                        _class(value, names),
                        self.split and is_aside(file),
                    )
                    row += 1


def _opener(data: bytes | None) -> Any:
    def opened() -> BinaryIO:
        if data is None:
            raise ValueError("holds no bytes (a path in a table is never followed)")
        if len(data) > LARGEST:
            raise ValueError(f"is over {LARGEST // 2**20} MB")
        return io.BytesIO(data)

    return opened


def _class(value: object, names: list[str]) -> str | None:
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return None if value is None else str(value)


def _columns(file: Path, table: Any) -> tuple[str, str | None, list[str]]:
    import pyarrow as pa

    schema = table.schema_arrow
    pictures = [f.name for f in schema if _holds_bytes(pa, f.type)]
    pictures.sort(key=lambda name: name.lower() not in ("image", "img", "picture", "images"))
    if not pictures:
        listed = ", ".join(f"{f.name} ({f.type})" for f in schema)
        raise DataError(f"{file} holds the columns {listed}; a column of picture bytes was wanted.")
    whole = {
        f.name
        for f in schema
        if pa.types.is_integer(f.type) or pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    }
    label = next((name for name in LABELS if name in whole), None)
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        names = [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):  # not written by Hugging Face: the numbers are the names
        names = []
    return pictures[0], label, names


def _holds_bytes(pa: Any, kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(
            kind.field(i).name == "bytes" and _holds_bytes(pa, kind.field(i).type) for i in range(kind.num_fields)
        )
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
