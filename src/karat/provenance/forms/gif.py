"""GIF: the label stands in XMP, in an application extension (TC260-PG-20259A; XMP specification, part 3, GIF 89a)."""

from __future__ import annotations

from collections.abc import Iterator

from karat.errors import DataError
from karat.provenance import xmp
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import Texts

MARK = b"\x21\xff\x0bXMP DataXMP"
TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # by which a reader that takes the packet for sub-blocks gets out
EXTENSION, PICTURE, END = 0x21, 0x2C, 0x3B


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the picture has exactly this label, or none; DataError where `data` is no whole GIF."""
    edits: list[Edit] = [(0, 6, b"GIF89a")]  # in which extensions are known
    former = None
    for start, end in _blocks(data):
        if data[start : start + len(MARK)] == MARK:
            former = _packet(data, start, end) if former is None else former
            edits.append((start, end, b""))
    packet = xmp.packet(former, texts)
    if packet is not None:
        first = _first(data)
        edits.insert(1, (first, first, MARK + packet.encode() + TRAILER))
    return edits


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole GIF."""
    found: list[tuple[str, str]] = []
    for start, end in _blocks(data):
        if data[start : start + len(MARK)] == MARK:
            found += xmp.words(_packet(data, start, end))
    return found


def _packet(data: Buffer, start: int, end: int) -> str:
    if data[end - len(TRAILER) : end] != TRAILER:
        raise DataError(f"the XMP of this GIF at byte {start:,} does not end as it must. Make or copy it again.")
    return data[start + len(MARK) : max(start + len(MARK), end - len(TRAILER))].decode(errors="replace")


def _first(data: Buffer) -> int:
    """Where the first block begins: behind the table of colours."""
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        raise DataError(f"this is not a GIF: it starts with {data[:6]!r}. Make or copy it again.")
    if len(data) < 14:
        raise _short(len(data))
    return 13 + _colours(data[10])


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: Buffer) -> Iterator[tuple[int, int]]:
    """(begin, end) of every extension and picture, to the end of the file."""
    at = _first(data)
    while True:
        if at >= len(data):
            raise _short(at)
        kind = data[at]
        if kind == END:
            return
        if kind == EXTENSION:
            end = _sub_blocks(data, at + 2)
        elif kind == PICTURE and at + 10 < len(data):
            end = _sub_blocks(data, at + 11 + _colours(data[at + 9]))
        else:
            raise _short(at)
        yield at, end
        at = end


def _sub_blocks(data: Buffer, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    if at >= len(data):
        raise _short(at)
    return at + 1


def _short(at: int) -> DataError:
    return DataError(f"this GIF has no block at byte {at:,}; it is cut short or damaged. Make or copy it again.")
