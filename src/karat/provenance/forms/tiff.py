"""TIFF: the label stands in XMP, in tag 700 of the first directory (TC260-PG-20259A). TIFF revision 6.0, Adobe, 1992.

The packet gets room that a later one may use; where there is none, the directory is written anew behind the pixels.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from karat.errors import DataError
from karat.provenance import xmp
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import Texts

XMP_TAG = 700
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
}  # bytes of a value by its type
STRIPS, COUNTS = (273, 324), (279, 325)
ROOM = 4096  # a packet has a multiple of these bytes
TRAILER = "<?xpacket end="


class Directory(NamedTuple):
    """order: of bytes, as struct has it.   entries: 12 bytes each.   after: what follows them: where the next one is."""

    order: str
    entries: list[bytes]
    after: bytes


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the picture has exactly this label, or none (blanks in its room); DataError for no whole TIFF."""
    order, entries, after = _directory(data)
    start, end = _packet(data, order, entries)
    before, mark, behind = data[start:end].decode(errors="replace").rpartition(TRAILER)
    former = before.rstrip() + mark + behind.rstrip()
    packet = (xmp.packet(former, texts) or "").encode()
    if len(packet) <= end - start:
        return [(start, end, _filled(packet, end - start))] if end > start else []
    size = -(-len(packet) // ROOM) * ROOM
    pad = len(data) % 2
    place = len(data) + pad
    kept = [e for e in entries if struct.unpack_from(order + "H", e)[0] != XMP_TAG]
    kept.append(struct.pack(order + "HHII", XMP_TAG, 7, size, place))
    kept.sort(key=lambda e: struct.unpack_from(order + "H", e)[0])
    if place + size + 6 + 12 * len(kept) > 0xFFFFFFFF:
        raise DataError("this TIFF has no room for a label below 4 GiB. Make it smaller.")
    written = _filled(packet, size) + struct.pack(order + "H", len(kept)) + b"".join(kept) + after
    head = (4, 8, struct.pack(order + "I", place + size))
    blank: list[Edit] = [(start, end, b" " * (end - start))] if end > start else []
    return [head, *blank, (len(data), len(data), b"\0" * pad + written)]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole TIFF."""
    order, entries, _ = _directory(data)
    start, end = _packet(data, order, entries)
    return xmp.words(data[start:end].decode(errors="replace"))


def _directory(data: Buffer) -> Directory:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise DataError(f"this is not a TIFF: it starts with {data[:4]!r}. Make or copy it again.")
    at = _number(data, order + "I", 4)
    count = _number(data, order + "H", at)
    end = at + 2 + 12 * count
    if not count or end + 4 > len(data):
        raise _short(at)
    entries = [data[k : k + 12] for k in range(at + 2, end, 12)]
    for entry in entries:  # all that the first directory speaks of is there
        _, kind, many, place = struct.unpack(order + "HHII", entry)
        if SIZES.get(kind, 1) * many > 4 and place + SIZES.get(kind, 1) * many > len(data):
            raise _short(place)
    for place, size in zip(*(_numbers(data, order, entries, tags) for tags in (STRIPS, COUNTS)), strict=False):
        if place + size > len(data):
            raise _short(place)
    return Directory(order, entries, data[end : end + 4])


def _filled(packet: bytes, size: int) -> bytes:
    """The packet with blanks before its trailer: what follows that is no part of it, and who copies the whole refuses it."""
    at = packet.rfind(TRAILER.encode())
    at = len(packet) if at < 0 else at
    return packet[:at] + b" " * (size - len(packet)) + packet[at:]


def _packet(data: Buffer, order: str, entries: list[bytes]) -> tuple[int, int]:
    """Where the packet begins and ends; the same number twice where there is none."""
    for entry in entries:
        tag, kind, many, place = struct.unpack(order + "HHII", entry)
        if tag == XMP_TAG and kind in (1, 7) and many > 4:
            return place, place + many
    return 0, 0


def _numbers(data: Buffer, order: str, entries: list[bytes], tags: tuple[int, ...]) -> list[int]:
    """The values of the first of these tags that is there."""
    for entry in entries:
        tag, kind, many, place = struct.unpack(order + "HHII", entry)
        if tag in tags and kind in (3, 4):
            size = SIZES[kind] * many
            block = entry[8 : 8 + size] if size <= 4 else data[place : place + size]
            return list(struct.unpack(f"{order}{many}{'H' if kind == 3 else 'I'}", block))
    return []


def _number(data: Buffer, form: str, at: int) -> int:
    if at + struct.calcsize(form) > len(data):
        raise _short(at)
    return int(struct.unpack_from(form, data, at)[0])


def _short(at: int) -> DataError:
    return DataError(f"this TIFF speaks of what would stand at byte {at:,}; it was cut short. Make or copy it again.")
