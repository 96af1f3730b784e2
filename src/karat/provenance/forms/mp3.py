"""MP3: the label stands in ID3, in frames TXXX (TC260-PG-202510A). https://id3.org/id3v2.4.0-structure, id3v2.3.0."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

SAYS = "AI-generated"
HEAD = 10
ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the sound has exactly this label, or none; DataError where `data` is no MP3."""
    version, end = _tag(data)
    kept = b"".join(frame for frame in _frames(data, version, end) if _texts(frame)[0] not in (KEYWORD, OWN, SAYS))
    if texts is not None:
        entries = {**texts.entries, SAYS: texts.says}
        kept += b"".join(_frame(version, key, text) for key, text in entries.items())
    new = b"ID3" + bytes((version, 0, 0)) + _safe(len(kept)) + kept if kept else b""
    return [(0, end, new)]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no MP3."""
    return [found for frame in _frames(data, *_tag(data)) if (found := _texts(frame))[0] in (KEYWORD, OWN)]


def _tag(data: Buffer) -> tuple[int, int]:
    """Version and end of the tag; 4 and 0 where there is none. What follows it is sound."""
    version, end = 4, 0
    if data[:3] == b"ID3" and len(data) > HEAD:
        version, flags = data[3], data[5]
        end = HEAD + _unsafe(data[6:HEAD])
        if version not in (3, 4) or flags:
            raise DataError("this MP3 has a tag of an old or rare kind (ID3v2.2, or with flags). Save it with ID3v2.4.")
    head = int.from_bytes(data[end : end + 4], "big")  # of a frame of sound: sync, version, layer, rates
    if end + 4 > len(data) or head >> 21 != 0x7FF or not head >> 17 & 3 or head >> 12 & 15 == 15 or head >> 10 & 3 == 3:
        raise DataError(
            f"this is not an MP3, or it is cut short: no sound begins at byte {end:,}. Make or copy it again."
        )
    return version, end


def _frames(data: Buffer, version: int, end: int) -> Iterator[bytes]:
    """Every frame of the tag with its head; room at its end is none."""
    at = HEAD
    while at + HEAD <= end and data[at]:
        size = _unsafe(data[at + 4 : at + 8]) if version == 4 else struct.unpack_from(">I", data, at + 4)[0]
        if at + HEAD + size > end:
            raise DataError(f"the tag of this MP3 is damaged at byte {at:,}. Make or copy it again.")
        yield data[at : at + HEAD + size]
        at += HEAD + size


def _texts(frame: bytes) -> tuple[str, str]:
    """Description and value of a frame TXXX; nothing of any other."""
    if frame[:4] != b"TXXX" or len(frame) <= HEAD or frame[HEAD] >= len(ENCODINGS):
        return "", ""
    name, _, value = frame[HEAD + 1 :].decode(ENCODINGS[frame[HEAD]], "replace").partition("\0")
    return name, value.lstrip("\ufeff").rstrip("\0")


def _frame(version: int, key: str, text: str) -> bytes:
    body = b"\x03" if version == 4 else b"\0"
    body += key.encode() + b"\0" + text.encode("utf-8" if version == 4 else "latin-1", "replace")
    return b"TXXX" + (_safe(len(body)) if version == 4 else struct.pack(">I", len(body))) + b"\0\0" + body


def _safe(size: int) -> bytes:
    """A number in the low seven bits of four bytes."""
    if size >= 1 << 28:
        raise DataError("the tag of this MP3 has no room for a label. Take something out of it.")
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _unsafe(four: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=True))
