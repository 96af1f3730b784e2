"""JPEG: the label stands in XMP, in a segment APP1 of its own (TC260-PG-20259A). Segments: ITU-T T.81, Annex B.

Labels in the EXIF user comment, as others write them, are read, and blanked where another is put in.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from karat.errors import DataError
from karat.provenance import xmp
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, Texts

XMP, EXIF = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
WRAPPED = re.compile(rb'\{"AIGC":\s*\{[^{}]*\}\s*\}')
SOI, EOI, SOS, APP0, APP1 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1
ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a body
MOST = 65533  # bytes of a segment's body


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the picture has exactly this label, or none; DataError where `data` is not a whole JPEG."""
    edits: list[Edit] = []
    former, first = None, 2
    for kind, start, end in _segments(data):
        if kind == APP0 and start == first:
            first = end
        if kind == APP1 and data[start + 4 : start + 4 + len(XMP)] == XMP:
            former = data[start + 4 + len(XMP) : end].decode(errors="replace") if former is None else former
            edits.append((start, end, b""))
        elif kind == APP1 and data[start + 4 : start + 4 + len(EXIF)] == EXIF:
            edits += [(start + m.start(), start + m.end(), b" " * len(m[0])) for m in WRAPPED.finditer(data[start:end])]
    packet = xmp.packet(former, texts)
    if packet is None:
        return edits
    body = XMP + packet.encode()
    if len(body) > MOST:
        raise DataError(f"the XMP of this JPEG would take {len(body):,} bytes; a segment has {MOST:,}. Take some out.")
    return sorted([*edits, (first, first, struct.pack(">BBH", 0xFF, APP1, len(body) + 2) + body)])


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is not a whole JPEG."""
    found: list[tuple[str, str]] = []
    for kind, start, end in _segments(data):
        body = data[start + 4 : end] if kind == APP1 else b""
        if body.startswith(XMP):
            found += xmp.words(body[len(XMP) :].decode(errors="replace"))
        elif body.startswith(EXIF):
            found += [(KEYWORD, m[0].decode(errors="replace")) for m in WRAPPED.finditer(body)]
    return found


def _segments(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """(marker, begin, end) of every segment before the pixels."""
    if data[:3] != b"\xff\xd8\xff":
        raise DataError(f"this is not a JPEG: it starts with {data[:8]!r}. Make or copy it again.")
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 4 > len(data) or data[at] != 0xFF:
            raise DataError(
                f"this JPEG has no segment at byte {at}; it is cut short or damaged. Make or copy it again."
            )
        kind = data[at + 1]
        end = at + 2 if kind in ALONE else at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if end > len(data):
            raise DataError(f"this JPEG ends inside its segment at byte {at}; it was cut short. Make or copy it again.")
        if kind == SOS:
            if data.rfind(bytes((0xFF, EOI)), end) < 0:
                raise DataError("this JPEG has no end; it was cut short. Make or copy it again.")
            return
        if kind == EOI:
            raise DataError("this JPEG holds no picture. Make or copy it again.")
        yield kind, at, end
        at = end
