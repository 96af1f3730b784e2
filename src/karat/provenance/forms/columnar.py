"""Parquet and Arrow files (Feather): the label stands in the metadata of the file, where they have names and values."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from karat.errors import DataError
from karat.provenance import slots
from karat.provenance.edits import Buffer, Edit, edited
from karat.provenance.label import Texts

if TYPE_CHECKING:  # below it is imported where it is used, as help needs none of it
    import pyarrow as pa


def put_parquet(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the file has exactly this label, or an empty slot; DataError where `data` is no whole Parquet.

    A file without a slot is written anew, its row groups as they were.
    """
    found = _parquet(data)
    if slots.fitting(found, texts):
        return slots.fill(data, found, texts, _footer(data))
    out = io.BytesIO()
    with _explained("Parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        former = pq.ParquetFile(pa.BufferReader(data))
        schema = bare(former.schema_arrow)
        with pq.ParquetWriter(out, schema) as writer:
            for k in range(former.num_row_groups):
                writer.write_table(former.read_row_group(k).cast(schema))
            writer.add_key_value_metadata(slots.slots(texts))
    return _anew(data, out.getvalue(), put_parquet, texts)


def words_parquet(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole Parquet."""
    return slots.words(_parquet(data))


def put_arrow(data: Buffer, texts: Texts | None) -> list[Edit]:
    """The same of an Arrow file."""
    found = _arrow(data)
    if slots.fitting(found, texts):
        return slots.fill(data, found, texts)
    out = io.BytesIO()
    with _explained("Arrow"):
        import pyarrow as pa
        import pyarrow.ipc as ipc

        former = ipc.open_file(pa.BufferReader(data))
        kept = dict(former.schema.metadata or {}) | {k.encode(): v.encode() for k, v in slots.slots(texts).items()}
        schema = former.schema.with_metadata(kept)
        with ipc.new_file(out, schema) as writer:
            for k in range(former.num_record_batches):
                writer.write_batch(former.get_batch(k).replace_schema_metadata(kept))
    return _anew(data, out.getvalue(), put_arrow, texts)


def words_arrow(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole Arrow file."""
    return slots.words(_arrow(data))


def bare(schema: pa.Schema) -> pa.Schema:
    """The schema without slots and labels: in Parquet they stand beside it, and not a second time in Arrow's own copy."""
    kept = {k: v for k, v in (schema.metadata or {}).items() if k.decode(errors="replace") not in slots.KEYS}
    return schema.with_metadata(kept or None)


def _anew(
    data: Buffer, written: bytes, put: Callable[[Buffer, Texts | None], list[Edit]], texts: Texts | None
) -> list[Edit]:
    """One edit: the file as it was `written` with slots, filled."""
    return [(0, len(data), edited(written, put(written, texts)))]


def _parquet(data: Buffer) -> dict[str, str]:
    _footer(data)
    with _explained("Parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        return _known(pq.read_metadata(pa.BufferReader(data)).metadata)


def _footer(data: Buffer) -> int:
    """Where the footer of a Parquet begins."""
    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise DataError(f"this is not a whole Parquet: it ends with {data[-4:]!r}. Make or copy it again.")
    start = len(data) - 8 - int(struct.unpack("<I", data[-8:-4])[0])
    if start < 4:
        raise DataError("the footer of this Parquet is larger than the file. Make or copy it again.")
    return start


def _arrow(data: Buffer) -> dict[str, str]:
    if data[:6] != b"ARROW1" or data[-6:] != b"ARROW1":
        raise DataError(f"this is not a whole Arrow file: it ends with {data[-6:]!r}. Make or copy it again.")
    with _explained("Arrow"):
        import pyarrow as pa
        import pyarrow.ipc as ipc

        return _known(ipc.open_file(pa.BufferReader(data)).schema.metadata)


def _known(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key: found.decode(errors="replace") for key in slots.KEYS if (found := (metadata or {}).get(key.encode()))}


@contextlib.contextmanager
def _explained(called: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise DataError(f"this {called} file is cut short or damaged ({reason}). Make or copy it again.") from None
