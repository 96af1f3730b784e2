"""Parquet, Arrow and ORC files in batches of bounded size: a small file may hold a great table, or say that it does."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.orc as orc
import pyarrow.parquet as pq

from karat import limits
from karat.content.table.io.plain import check
from karat.content.table.io.sampling import Sampler, laid_out
from karat.content.table.table import Raw
from karat.errors import DataError, TooLarge

PART = 2**26  # bytes of a batch
MOST = 2_000_000_000  # rows
WORDED = 1024  # rows of a batch of ORC that holds words: how long these are is not known before
LOWER = "Take fewer columns or a part of its rows, or use a machine with more memory."


def batches(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema of a Parquet, Feather, Arrow or ORC file, and its rows in parts of some 64 MB.

    Raises DataError where it is damaged or holds what no table does, TooLarge where a part alone would not fit; both also while
    the batches are gone through.
    """
    suffix = path.suffix.lower()
    called = {".parquet": "Parquet", ".orc": "ORC"}.get(suffix, "Arrow")
    try:
        schema, found = {"Parquet": _parquet, "ORC": _orc, "Arrow": _arrow}[called](path)
    except MemoryError as error:
        raise _too_large(path) from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(path, called, error) from error

    def guarded() -> Iterator[pa.RecordBatch]:
        try:
            yield from found
        except MemoryError as error:
            raise _too_large(path) from error
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise _damaged(path, called, error) from error

    return schema, guarded()


def _too_large(path: Path) -> TooLarge:
    return TooLarge(f"{path} needs more memory than the {limits.words(limits.available())} that are available. {LOWER}")


def _damaged(path: Path, called: str, error: Exception) -> DataError:
    return DataError(f"{path} is cut short or damaged, or not {called} ({first_line(error)[:200]}). Copy it again.")


def _fitting(schema: pa.Schema) -> int:
    """Rows of a batch whose cells are small."""
    return max(16, min(2**16, PART // (32 * max(1, len(schema)))))


def _sized(kind: pa.DataType) -> bool:
    """Whether every cell of the type takes as much."""
    try:
        return bool(kind.bit_width)
    except ValueError:
        return False


def _refuse_many(path: Path, rows: int) -> None:
    if rows > MOST:
        raise TooLarge(f"{path} says that it holds {rows:,} rows; at most {MOST:,} are read. Take a part of it.")


def _parquet(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with pq.ParquetFile(path) as file:
        schema, meta = file.schema_arrow, file.metadata
        check(schema, str(path))
        _refuse_many(path, meta.num_rows)
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        largest = max((g.column(j).total_uncompressed_size for g in groups for j in range(g.num_columns)), default=0)
        limits.need(1.5 * largest, f"{path} (one column of a row group)", "Write it again in smaller row groups.")
    # What is repeated is stored once: as a dictionary it stays small until it is known how many rows of it fit.
    worded = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]

    def read() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path, read_dictionary=worded) as file:
            for batch in file.iter_batches(batch_size=_fitting(schema)):
                batch.validate(full=True)  # indices that point beyond their dictionary are read as they are
                yield from _spelled(batch, schema)

    return schema, read()


def _spelled(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batch with the schema's own types, in parts that are not too large."""
    size = sum(
        laid_out(column)
        for column, field in zip(batch.columns, schema, strict=True)
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type)
    )
    rows = batch.num_rows
    step = rows if size <= PART else max(1, rows * PART // size)
    if size / max(1, rows) > PART:  # single cells are large: how large, is said before they are laid out
        limits.need(2 * size / rows, "one row", LOWER)
    for start in range(0, rows, max(1, step)):
        part = batch.slice(start, step)
        columns = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(part.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _orc(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    file = orc.ORCFile(path)
    schema = file.schema
    check(schema, str(path))
    _refuse_many(path, file.nrows)
    import pyarrow.dataset as dataset  # here, as it loads pandas

    fixed = all(field.type.num_fields == 0 and _sized(field.type) for field in schema)
    many = _fitting(schema) if fixed else min(WORDED, _fitting(schema))
    scanned = dataset.dataset(path, format="orc").scanner(
        batch_size=many, batch_readahead=0, fragment_readahead=0, use_threads=False
    )

    def read() -> Iterator[pa.RecordBatch]:
        for batch in scanned.to_batches():
            batch.validate(full=True)
            for start in range(0, batch.num_rows, _fitting(schema)):
                yield batch.slice(start, _fitting(schema))

    return schema, read()


def _arrow(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == b"FEA1":
        limits.need(2.0 * path.stat().st_size, str(path), LOWER)
        table = feather.read_table(path)
        check(table.schema, str(path))
        return table.schema, _valid(path, iter(table.to_batches()))
    mapped = pa.memory_map(str(path))
    filed = start[:6] == b"ARROW1"
    if filed:
        mapped.seek(8)
    limits.need(1.5 * _unpacked(mapped), f"{path} (one batch of rows)", "Write it again in smaller batches.")
    mapped.seek(0)
    if not filed:
        stream = ipc.open_stream(mapped)
        check(stream.schema, str(path))
        return stream.schema, _valid(path, stream)
    opened = ipc.open_file(mapped)
    check(opened.schema, str(path))
    return opened.schema, _valid(path, (opened.get_batch(i) for i in range(opened.num_record_batches)))


def _valid(path: Path, found: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, each after a look at its offsets and texts: what such a file holds is memory as it was, unchecked."""
    rows = 0
    for batch in found:
        rows += batch.num_rows
        _refuse_many(path, rows)
        batch.validate(full=True)
        for start in range(0, batch.num_rows, max(1, _fitting(batch.schema))):
            yield batch.slice(start, _fitting(batch.schema))


def _unpacked(stream: Any) -> int:
    """Bytes that the largest message of an Arrow stream takes when unpacked, as the lengths before its buffers say.

    The layout is that of https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message; each packed buffer begins with its
    length as int64, -1 where it is not packed.
    """
    largest = 0
    messages = ipc.MessageReader.open_stream(stream)
    while True:
        try:
            message = messages.read_next_message()
        except (StopIteration, EOFError):
            return largest
        if message.type not in ("record batch", "dictionary"):
            continue
        try:
            head = message.metadata.to_pybytes()
            largest = max(largest, _message_size(head, message.type == "dictionary", message.body))
        except (struct.error, IndexError, ValueError):
            raise pa.ArrowInvalid("a message whose header cannot be read") from None


def _message_size(head: bytes, wrapped: bool, body: pa.Buffer) -> int:
    def slot(table: int, index: int) -> int | None:
        """Where a field of a flatbuffers table lies."""
        vtable = table - struct.unpack_from("<i", head, table)[0]
        if 4 + 2 * index >= struct.unpack_from("<H", head, vtable)[0]:
            return None
        offset: int = struct.unpack_from("<H", head, vtable + 4 + 2 * index)[0]
        return table + offset if offset else None

    def follow(place: int | None) -> int:
        if place is None:
            raise ValueError
        return int(place + struct.unpack_from("<I", head, place)[0])

    batch = follow(slot(follow(0), 2))
    if wrapped:
        batch = follow(slot(batch, 1))
    packed = slot(batch, 3) is not None
    buffers = follow(slot(batch, 2))
    total = 0
    for i in range(struct.unpack_from("<I", head, buffers)[0]):
        at, size = struct.unpack_from("<qq", head, buffers + 4 + 16 * i)
        if size < 0 or at < 0 or at + size > body.size:
            raise ValueError
        length = struct.unpack("<q", body.slice(at, 8).to_pybytes())[0] if packed and size >= 8 else -1
        total += length if length >= 0 else size
    return total


def read(path: Path, rows: int | None, options: Mapping[str, Any]) -> Raw:
    """The table in a Parquet, Feather, Arrow or ORC file."""
    schema, found = batches(path)
    return gathered(found, schema, "parquet", str(path), rows)


def read_parts(paths: Sequence[Path], place: str, rows: int | None) -> Raw:
    """The table whose rows lie in several Parquet files, one behind the other; DataError for one with other columns."""
    schema, _ = batches(paths[0])

    def every() -> Iterator[pa.RecordBatch]:
        for path in paths:
            own, found = batches(path)
            if not own.equals(schema):
                raise DataError(
                    f"{path} has the columns {_listed(own)}, and {paths[0].name} beside it has {_listed(schema)}; parts of one "
                    "table were wanted. Put other tables elsewhere."
                )
            yield from found

    return gathered(every(), schema, "parquet", place, rows)


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)[:200]


def columns_of(path: Path) -> list[str]:
    """The names of a Parquet file's columns; none where it is damaged."""
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return []


def alike(blocks: Iterator[pa.Table], noted: bool = True) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The schema of the first block, with pandas' notes or without any, and all blocks with it."""
    first = next(blocks)
    first = first.replace_schema_metadata(_metadata(first) if noted else None)
    return first.schema, chain([first], (block.cast(first.schema) for block in blocks))


def first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def gathered(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    source: str,
    place: str,
    rows: int | None,
    room: float | None = None,
) -> Raw:
    """All rows, or as many as fit, without the index columns that pandas made up."""
    sampler = Sampler(rows, room)
    for batch in batches:
        sampler.add(pa.Table.from_batches([batch], schema=schema))
    if not sampler.total:
        raise DataError(
            f"{place} has the columns {', '.join(schema.names[:5])} and no rows; rows to learn from were wanted."
        )
    cells = _flat(sampler.table())
    unnamed = [name for name in cells.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    if unnamed and len(unnamed) < cells.num_columns:
        cells = cells.drop_columns(unnamed)
    cells = cells.replace_schema_metadata(_metadata(cells))
    total = sampler.total if cells.num_rows < sampler.total else None
    return Raw(cells, source, place, None, total, sampler.note(cells.num_rows))


def _flat(table: pa.Table) -> pa.Table:
    """Views of strings become strings: few of Arrow's functions know views."""
    fields = [
        column.with_type(pa.large_string()) if pa.types.is_string_view(column.type) else column
        for column in table.schema
    ]
    return table.cast(pa.schema(fields, table.schema.metadata))


def _metadata(table: pa.Table) -> dict[bytes, bytes] | None:
    """The table's metadata, with pandas' notes on columns and index cut to what any number of these rows may have."""
    if not table.schema.metadata:
        return None
    kept = dict(table.schema.metadata)
    try:
        notes = json.loads(kept[b"pandas"])
        notes["index_columns"] = [name for name in notes["index_columns"] if name in table.column_names]
        notes["columns"] = [note for note in notes["columns"] if note["field_name"] in table.column_names]
    except (KeyError, TypeError, ValueError):  # not written by pandas
        kept.pop(b"pandas", None)
    else:
        kept[b"pandas"] = json.dumps(notes, sort_keys=True).encode()
    return kept


def frame(parts: Sequence[bytes]) -> Any:
    """The rows of Feather files as one frame of pandas, or as a table of Arrow where pandas is not installed.

    Whole numbers of which some are missing are "Int64", which keeps every digit as the floats of NumPy would not.
    """
    joined = pa.concat_tables([feather.read_table(io.BytesIO(part)) for part in parts])
    if importlib.util.find_spec("pandas") is None:
        return joined
    pandas, out = importlib.import_module("pandas"), joined.to_pandas()
    for name, cells in zip(joined.column_names, joined.columns, strict=True):
        if cells.null_count and pa.types.is_int64(cells.type) and name in out.columns:
            out[name] = cells.to_pandas(types_mapper={pa.int64(): pandas.Int64Dtype()}.get)
    return out
