"""The header of a safetensors file, checked before anything is allocated for it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

from karat.errors import RunError
from karat.run.record import short

TENSORS_MOST, HEADER_MOST = 1 << 16, 1 << 24  # in a weights file; bytes of its header
BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}


def safe_header(blob: bytes) -> None:
    """RunError for a safetensors file whose header lies, before anything is allocated for it.

    https://huggingface.co/docs/safetensors: the tensors' bytes follow each other in the order of their offsets, from the
    first to the last byte, without gaps.
    """
    length = struct.unpack("<Q", blob[:8])[0] if len(blob) >= 8 else HEADER_MOST + 1
    if length > min(HEADER_MOST, len(blob) - 8):
        raise RunError("a weights file has a damaged header; it is not a safetensors file written by karat.")
    try:
        pairs = json.loads(blob[8 : 8 + length].decode("utf-8"), object_pairs_hook=lambda found: found)
        names = [name for name, _ in pairs]
        if len(names) > TENSORS_MOST:
            raise ValueError(f"{len(names):,} tensors, and at most {TENSORS_MOST:,} were wanted")
        if len(set(names)) != len(names):
            raise ValueError("a name that comes twice")
        spans = sorted(_span(name, dict(entry)) for name, entry in pairs if name != "__metadata__")
        end = 0
        for begin, after, name in spans:
            if begin != end:
                raise ValueError(f"{short(name)} begins at byte {begin:,}, and {end:,} was wanted")
            end = after
        if end != len(blob) - 8 - length:
            raise ValueError(f"{len(blob) - 8 - length:,} bytes of tensors, and {end:,} were wanted")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise RunError(
            f"a weights file has a damaged header ({error}); it is not a safetensors file written by karat."
        ) from None


def _span(name: str, entry: Mapping[str, Any]) -> tuple[int, int, str]:
    """The first byte of a tensor and the one after it, which its type and its shape allow."""
    if set(entry) != {"dtype", "shape", "data_offsets"} or entry["dtype"] not in BITS:
        raise ValueError(f"{short(name)} is described as {short(entry)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    counts = [*shape, *offsets]
    if len(offsets) != 2 or len(shape) > 8 or not all(type(n) is int and 0 <= n < 2**48 for n in counts):
        raise ValueError(f"{short(name)} is described as {short(entry)}")
    if math.prod(shape) * BITS[entry["dtype"]] != 8 * (offsets[1] - offsets[0]):
        raise ValueError(f"{short(name)} takes {offsets[1] - offsets[0]:,} bytes for the shape {short(shape)}")
    return offsets[0], offsets[1], name
