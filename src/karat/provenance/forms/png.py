"""PNG: the label stands in XMP (TC260-PG-20259A), before the pixels; what a person reads in `Software` and `Comment`.

Chunks: PNG specification, third edition (https://www.w3.org/TR/png-3/#5Chunk-layout). Labels in a tEXt chunk `AIGC` (Annex B
of the guide), as others write them, are read and replaced.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from karat.errors import DataError
from karat.provenance import xmp
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OURS, Texts

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP = b"XML:com.adobe.xmp"
LABEL_LIMIT = 1 << 20  # bytes of inflated text that a label may take: a bomb is not a label
ALL_LIMIT = 1 << 24  # and all texts of a picture together: thousands of them are a bomb too

Chunk = tuple[bytes, bytes, int]  # kind, body, where it begins


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the picture has exactly this label, or none. Pixels and all other chunks stay byte for byte.

    XMP of another hand is kept, less a label in it. Raises DataError where `data` is not a whole PNG.
    """
    edits: list[Edit] = []
    former = None
    for body, at, keyword, text in _texts(data):
        said = "" if text is None else text.decode(errors="replace")
        ours = (keyword == b"Comment" and OURS.fullmatch(said)) or (
            keyword == b"Software" and said.startswith("karat ")
        )
        if keyword == XMP and text is not None:
            former = said if former is None else former
        elif keyword != KEYWORD.encode() and not ours:
            continue
        edits.append((at, at + 12 + len(body), b""))
    new = b""
    if texts is not None:
        new += _pack(b"tEXt", b"Software\0" + texts.tool.encode("latin-1", "replace"))
        new += _pack(b"tEXt", b"Comment\0" + texts.says.encode("latin-1", "replace"))
    packet = xmp.packet(former, texts)
    if packet is not None:  # not compressed; no language, no translated keyword
        new += _pack(b"iTXt", XMP + b"\0\0\0\0\0" + packet.encode())
    first = len(SIGNATURE) + 25  # behind IHDR
    return [(first, first, new), *edits]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; also one that is none. Raises DataError where `data` is not a whole PNG."""
    found: list[tuple[str, str]] = []
    for _, _, keyword, text in _texts(data):
        if keyword == KEYWORD.encode():
            found.append((KEYWORD, "" if text is None else text.decode(errors="replace")))
        if keyword == XMP and text is not None:
            found += xmp.words(text.decode(errors="replace"))
    return found


def _texts(data: Buffer) -> Iterator[tuple[bytes, int, bytes | None, bytes | None]]:
    """Of every chunk its body, where it begins, and its keyword and text as `_text` has them, as far as all texts may go."""
    left = ALL_LIMIT
    for kind, body, at in _chunks(data):
        keyword, text = _text(kind, body, min(left, LABEL_LIMIT))
        left -= len(text or b"") if kind != b"tEXt" else 0
        yield body, at, keyword, text


def _chunks(data: Buffer) -> Iterator[Chunk]:
    """Every chunk, IHDR first and IEND last; what follows IEND is no part of the picture."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        raise DataError(f"this is not a PNG: it starts with {data[:8]!r}. Make or copy it again.")
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise DataError(
                f"this PNG ends at byte {len(data)} inside a chunk; it was cut short. Make or copy it again."
            )
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        if len(body) != size or at + 12 + size > len(data):
            raise DataError(
                f"this PNG ends inside its chunk {kind!r} at byte {at}; it was cut short. Make or copy it again."
            )
        (found,) = struct.unpack_from(">I", data, at + 8 + size)
        if found != zlib.crc32(kind + body):
            raise DataError(
                f"the chunk {kind!r} at byte {at} of this PNG fails its checksum. Make or copy the file again."
            )
        if at == len(SIGNATURE) and (kind, size) != (b"IHDR", 13):
            raise DataError(f"this PNG starts with a chunk {kind!r} where IHDR must stand. Make or copy it again.")
        yield kind, body, at
        at += 12 + size


def _pack(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _text(kind: bytes, body: bytes, most: int) -> tuple[bytes | None, bytes | None]:
    """Keyword and text of a text chunk; text None where it does not inflate, or to more than `most` bytes."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return None, None
    keyword, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return keyword, rest
    if kind == b"zTXt":
        return keyword, _inflate(rest[1:], most)
    packed, rest = rest[:1], rest[2:]
    parts = rest.split(b"\0", 2)
    if len(parts) != 3:
        return keyword, None
    return keyword, _inflate(parts[2], most) if packed == b"\1" else parts[2]


def _inflate(packed: bytes, most: int) -> bytes | None:
    if most < 1:
        return None
    machine = zlib.decompressobj()
    try:
        text = machine.decompress(packed, most)
    except zlib.error:
        return None
    return text if machine.eof else None
