"""Safetensors: the label stands in the metadata of the header (https://huggingface.co/docs/safetensors/index)."""

from __future__ import annotations

import json
from typing import Any

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

MOST = 100_000_000  # bytes of a header, as the format allows


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the file has exactly this label, or none; DataError where `data` is no whole safetensors file."""
    end, header = _header(data)
    known = header.pop("__metadata__", {})
    kept = {k: v for k, v in known.items() if k not in (KEYWORD, OWN)}
    kept |= {} if texts is None else texts.entries
    written = json.dumps({"__metadata__": kept, **header} if kept else header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return [(0, end, len(written).to_bytes(8, "little") + written)]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole safetensors file."""
    known = _header(data)[1].get("__metadata__", {})
    return [(key, known[key]) for key in (KEYWORD, OWN) if isinstance(known.get(key), str)]


def _header(data: Buffer) -> tuple[int, dict[str, Any]]:
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size]) if size <= min(MOST, len(data)) else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise DataError("this is no safetensors file: it has no header. Copy it again, or train anew.")
    last = 0
    for name, entry in header.items():
        if name != "__metadata__":
            try:
                last = max(last, *map(int, entry["data_offsets"]))
            except (KeyError, TypeError, ValueError, OverflowError):  # which infinity is
                raise DataError(
                    f"the header of these weights says nothing of where {name!r} lies. Copy it again."
                ) from None
    if 8 + size + last != len(data):
        raise DataError(
            f"these weights end at byte {len(data):,}, and {8 + size + last:,} were wanted. Copy them again."
        )
    return 8 + size, header
