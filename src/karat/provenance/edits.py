"""A label is put into a file as edits of its bytes, so that a file of many gigabytes is not copied for it."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import IO, Any

Buffer = bytes | mmap.mmap
Edit = tuple[
    int, int, bytes
]  # what is from the first byte to before the second becomes these; sorted, none over another
BLOCK = 1 << 20


def edited(data: Buffer, edits: Sequence[Edit]) -> bytes:
    """The bytes with the edits made."""
    return b"".join(_pieces(data, edits))


def digest(data: Buffer, edits: Sequence[Edit]) -> str:
    """SHA-256 (hex) of the bytes with the edits made."""
    found = hashlib.sha256()
    for piece in _pieces(data, edits):
        found.update(piece)
    return found.hexdigest()


def edit_file(file: IO[bytes], data: Buffer, edits: Sequence[Edit]) -> None:
    """Makes the edits in an open file whose bytes are `data`: only what is behind the first that moves anything is written."""
    moved = [i for i, (start, end, new) in enumerate(edits) if end - start != len(new)]
    fixed = edits[: moved[0]] if moved else edits
    rest = None
    if moved:
        first = edits[moved[0]][0]
        shifted = [(start - first, end - first, new) for start, end, new in edits[moved[0] :]]
        rest = first, edited(data[first:], shifted)
    for start, _, new in fixed:
        file.seek(start)
        file.write(new)
    if rest is not None:
        file.seek(rest[0])
        file.write(rest[1])
        file.truncate()
    file.flush()


def mapped(file: IO[bytes]) -> Buffer:
    """The bytes of an open file, from the disk as they are read."""
    file.flush()
    size = os.fstat(file.fileno()).st_size
    return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""


def _pieces(data: Buffer, edits: Sequence[Edit]) -> Iterator[Any]:
    at = 0
    for start, end, new in (*edits, (len(data), len(data), b"")):
        for block in range(at, start, BLOCK):
            yield data[block : min(start, block + BLOCK)]
        yield new
        at = end
