"""RIFF: WAV and WebP. Chunks: Multimedia Programming Interface and Data Specifications 1.0, IBM and Microsoft, 1991.

The label of a WAV is a sub-chunk `AIGC` (TC260-PG-202510A); what a person reads, and what else is known, stands in a LIST INFO
chunk. That of a WebP is XMP (TC260-PG-20259A; https://developers.google.com/speed/webp/docs/riff_container).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from karat.errors import DataError
from karat.provenance import xmp
from karat.provenance.edits import Buffer, Edit
from karat.provenance.forms.jpeg import WRAPPED
from karat.provenance.label import KEYWORD, OURS, OWN, Texts

PIPED = (0, 0xFFFFFFFF)  # sizes in a file that was written to a pipe
INFO = {b"ISFT": "tool", b"ICMT": "says", b"IKEY": OWN}
XMP_FLAG, ALPHA_FLAG = 0x04, 0x10

Chunk = tuple[bytes, int, int, int]  # kind, where it begins, its body, its end without padding


def put_wav(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the sound has exactly this label, or none. Samples and all other chunks stay byte for byte.

    Raises DataError where `data` is no whole WAV.
    """
    chunks = list(_chunks(data, b"WAVE"))
    edits: list[Edit] = []
    for kind, start, body, end in chunks:
        if kind == b"data" and data[start + 4 : body] == struct.pack("<I", PIPED[1]):
            edits.append((start + 4, body, struct.pack("<I", end - body)))
        if kind == KEYWORD.encode() or (kind == b"LIST" and _info(data[body:end]) is not None):
            edits.append((start, min(len(data), end + (end - body) % 2), b""))
    new = b""
    if texts is not None:
        said = {"tool": texts.tool, "says": texts.says, **texts.entries}
        if KEYWORD in said:
            new += _pack(KEYWORD.encode(), said[KEYWORD].encode())
        new += _pack(b"LIST", b"INFO" + b"".join(_field(k, said[name]) for k, name in INFO.items() if name in said))
    return _resized(data, chunks, edits, new)


def words_wav(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole WAV."""
    found = []
    for kind, _, body, end in _chunks(data, b"WAVE"):
        if kind == KEYWORD.encode():
            found.append((KEYWORD, data[body:end].rstrip(b"\0").decode(errors="replace")))
        info = _info(data[body:end]) if kind == b"LIST" else None
        if info is not None and b"IKEY" in info:
            found.append((OWN, info[b"IKEY"]))
    return found


def put_webp(data: Buffer, texts: Texts | None) -> list[Edit]:
    """The same of a WebP, whose first chunk becomes VP8X where it was a simple one."""
    chunks = list(_chunks(data, b"WEBP"))
    edits: list[Edit] = []
    former = None
    for kind, start, body, end in chunks:
        if kind == b"XMP ":
            former = data[body:end].decode(errors="replace") if former is None else former
            edits.append((start, end + (end - body) % 2, b""))
        elif kind == b"EXIF":
            edits += [(body + m.start(), body + m.end(), b" " * len(m[0])) for m in WRAPPED.finditer(data[body:end])]
    packet = xmp.packet(former, texts)
    if chunks[0][0] == b"VP8X":
        at = chunks[0][2]
        flags = data[at] & ~XMP_FLAG | (XMP_FLAG if packet is not None else 0)
        edits.insert(0, (at, at + 1, bytes((flags,))))
    elif packet is not None:
        edits.insert(0, (12, 12, _extended(data, *chunks[0])))
    return _resized(data, chunks, edits, b"" if packet is None else _pack(b"XMP ", packet.encode()))


def words_webp(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole WebP."""
    found: list[tuple[str, str]] = []
    for kind, _, body, end in _chunks(data, b"WEBP"):
        if kind == b"XMP ":
            found += xmp.words(data[body:end].decode(errors="replace"))
        if kind == b"EXIF":
            found += [(KEYWORD, m[0].decode(errors="replace")) for m in WRAPPED.finditer(data[body:end])]
    return found


def _extended(data: Buffer, kind: bytes, start: int, body: int, end: int) -> bytes:
    """A VP8X chunk for a simple file, whose size stands in the first bytes of its pixels."""
    flags = XMP_FLAG
    if kind == b"VP8L":
        bits = int.from_bytes(data[body + 1 : body + 5], "little")
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
        flags |= ALPHA_FLAG if bits >> 28 & 1 else 0
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[body + k : body + k + 2], "little") & 0x3FFF for k in (6, 8))
        width, height = width - 1, height - 1
    else:
        raise DataError(f"this WebP starts with a chunk {kind!r}, and pixels were wanted. Make or copy it again.")
    sizes = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return _pack(b"VP8X", bytes((flags, 0, 0, 0)) + sizes)


def _chunks(data: Buffer, form: bytes) -> Iterator[Chunk]:
    """Every chunk of the RIFF file; what follows its end is no part of it."""
    called = "WAV" if form == b"WAVE" else "WebP"
    if data[:4] != b"RIFF" or data[8:12] != form:
        raise DataError(f"this is not a {called}: it starts with {data[:12]!r}. Make or copy it again.")
    (size,) = struct.unpack_from("<I", data, 4)
    end = len(data) if size in PIPED else 8 + size
    if end > len(data) or end <= 12:
        raise DataError(
            f"this {called} promises {end:,} bytes and has {len(data):,}; it was cut short. Make or copy it again."
        )
    at = 12
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"data" and size in PIPED[1:]:
            size = end - at - 8
        if at + 8 + size > end:
            raise DataError(
                f"this {called} ends inside its chunk {kind!r} at byte {at}; it was cut short. Make or copy it again."
            )
        yield kind, at, at + 8, at + 8 + size
        at += 8 + size + size % 2


def _resized(data: Buffer, chunks: list[Chunk], edits: list[Edit], new: bytes) -> list[Edit]:
    """The edits with a last one behind the last chunk, and the size at the head of the file."""
    _, _, body, last = chunks[-1]
    end = last + (last - body) % 2
    pad = b"\0" * (end - len(data)) if end > len(data) else b""
    if edits and edits[-1][1] >= min(end, len(data)):
        start, _, kept = edits.pop()
        edits.append((start, len(data), kept + new))
    else:
        edits.append((min(end, len(data)), len(data), pad + new))
    size = len(data) + sum(len(new) - (end - start) for start, end, new in edits) - 8
    if size > 0xFFFFFFFF:
        raise DataError(f"a RIFF file holds at most 4 GiB, and this one would have {size:,} bytes. Make shorter ones.")
    return [(4, 8, struct.pack("<I", size)), *edits]


def _pack(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _field(kind: bytes, text: str) -> bytes:
    return _pack(kind, text.encode("latin-1", "replace") + b"\0")


def _info(body: bytes) -> dict[bytes, str] | None:
    """The fields of the INFO that we wrote; None of any other."""
    if body[:4] != b"INFO":
        return None
    found, at = {}, 4
    while at + 8 <= len(body):
        kind, size = struct.unpack_from("<4sI", body, at)
        found[kind] = body[at + 8 : at + 8 + size].rstrip(b"\0").decode("latin-1")
        at += 8 + size + size % 2
    ours = found.get(b"ISFT", "").startswith("karat ") and OURS.fullmatch(found.get(b"ICMT", ""))
    return found if ours else None
