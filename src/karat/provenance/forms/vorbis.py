"""FLAC and OGG (Vorbis and Opus): the label stands in their Vorbis comments (TC260-PG-202510A).

https://www.xiph.org/vorbis/doc/v-comment.html; FLAC: RFC 9639; OGG: RFC 3533; Opus in OGG: RFC 7845.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OURS, OWN, Texts

COMMENT = 4  # the number of its block in FLAC
SAYS = "DESCRIPTION"
VORBIS, OPUS = b"\x03vorbis", b"OpusTags"
CONTINUED, FULL = 1, 255  # a page's flag; a lacing value behind which the packet goes on


def put_flac(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the sound has exactly this label, or none; DataError where `data` is no whole FLAC."""
    blocks = list(_blocks(data))
    start, end = next(((s, e) for kind, s, e in blocks if kind == COMMENT), (blocks[0][2], blocks[0][2]))
    body = _comments(data[start + 4 : end] if end > start else b"\0" * 8, texts)[0]
    if len(body) > 0xFFFFFF:
        raise DataError("the comments of this FLAC have no room for a label. Take some out.")
    last = 0x80 if data[start] & 0x80 and end > start else 0
    new = bytes((last | COMMENT,)) + len(body).to_bytes(3, "big") + body
    if end == start and len(blocks) == 1:  # the first block was the last one
        first = blocks[0][1]
        new = bytes((0x80 | COMMENT,)) + new[1:]
        return [(first, first + 1, bytes((data[first] & 0x7F,))), (start, end, new)]
    return [(start, end, new)]


def words_flac(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole FLAC."""
    return [x for kind, start, end in _blocks(data) if kind == COMMENT for x in _labels(data[start + 4 : end])]


def put_ogg(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the sound has exactly this label, or none; DataError where `data` is no whole OGG.

    Pages between the first and the samples are laid out anew, and all later ones renumbered where their number changes.
    """
    header = _header(data)
    mark = header.mark
    body, rest = _comments(header.packets[0][len(mark) :], texts)
    packets = [mark + body + rest, *header.packets[1:]]
    pages = _paged(packets, header.serial)
    edits: list[Edit] = [(header.start, header.end, b"".join(pages))]
    shift = len(pages) - header.pages
    if shift:
        at = header.end
        while at < len(data):
            page = _page(data, at)
            if page.serial != header.serial:
                break
            edits.append((at, page.end, _numbered(data[at : page.end], page.number + shift)))
            at = page.end
    return edits


def words_ogg(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole OGG."""
    header = _header(data)
    return _labels(header.packets[0][len(header.mark) :])


def _blocks(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """(kind, begin, end) of every metadata block."""
    if data[:4] != b"fLaC":
        raise DataError(f"this is not a FLAC: it starts with {data[:4]!r}. Make or copy it again.")
    at, last = 4, False
    while not last:
        if at + 4 > len(data):
            raise _short("FLAC", at)
        last, kind = bool(data[at] & 0x80), data[at] & 0x7F
        end = at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
        if end > len(data):
            raise _short("FLAC", at)
        yield kind, at, end
        at = end
    if data[at : at + 1] != b"\xff":
        raise _short("FLAC", at)


def _split(body: bytes) -> tuple[bytes, list[bytes], bytes]:
    """The vendor, the comments, and what follows them."""
    try:
        (size,) = struct.unpack_from("<I", body, 0)
        vendor, at = body[4 : 4 + size], 4 + size
        (count,) = struct.unpack_from("<I", body, at)
        at += 4
        found = []
        for _ in range(count):
            (size,) = struct.unpack_from("<I", body, at)
            if at + 4 + size > len(body):
                raise struct.error
            found.append(body[at + 4 : at + 4 + size])
            at += 4 + size
    except struct.error:
        raise DataError("the comments of this sound are damaged. Make or copy it again.") from None
    return vendor, found, body[at:]


def _comments(body: bytes, texts: Texts | None) -> tuple[bytes, bytes]:
    """The comments with this label and no other, or without; and what followed them."""
    vendor, found, rest = _split(body)
    kept = []
    for one in found:
        key, _, value = one.partition(b"=")
        name = key.decode("ascii", "replace").upper()
        if name not in (KEYWORD, OWN) and not (name == SAYS and OURS.fullmatch(value.decode(errors="replace"))):
            kept.append(one)
    if texts is not None:
        kept += [f"{key}={text}".encode() for key, text in (*texts.entries.items(), (SAYS, texts.says))]
    listed = b"".join(struct.pack("<I", len(one)) + one for one in kept)
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(kept)) + listed, rest


def _labels(body: bytes) -> list[tuple[str, str]]:
    out = []
    for one in _split(body)[1]:
        key, _, value = one.decode(errors="replace").partition("=")
        if key.upper() in (KEYWORD, OWN):
            out.append((key.upper(), value))
    return out


class Page(NamedTuple):
    """laces: lengths of the segments.   body: where they begin."""

    flags: int
    serial: int
    number: int
    laces: bytes
    body: int
    end: int


class Header(NamedTuple):
    """The packets behind the first, whose pages are `start` to `end`; the first of them begins with `mark`."""

    mark: bytes
    packets: list[bytes]
    serial: int
    start: int
    end: int
    pages: int


def _page(data: Buffer, at: int) -> Page:
    if data[at : at + 5] != b"OggS\0" or at + 27 > len(data):
        raise _short("OGG", at)
    flags, _, serial, number, check, count = struct.unpack_from("<BqIIIB", data, at + 5)
    laces = data[at + 27 : at + 27 + count]
    body = at + 27 + count
    end = body + sum(laces)
    if len(laces) != count or end > len(data):
        raise _short("OGG", at)
    if _checksum(data[at : at + 22] + b"\0\0\0\0" + data[at + 26 : end]) != check:
        raise DataError(f"the page at byte {at:,} of this OGG fails its checksum. Make or copy it again.")
    return Page(flags, serial, number, laces, body, end)


def _header(data: Buffer) -> Header:
    first = _page(data, 0)
    head = data[first.body : first.end]
    mark, wanted = (VORBIS, 2) if head[:7] == b"\x01vorbis" else (OPUS, 1)
    if head[:7] != b"\x01vorbis" and head[:8] != b"OpusHead":
        raise DataError("this OGG holds neither Vorbis nor Opus alone. Save it as one of them.")
    packets: list[bytes] = []
    at, pages, part = first.end, 0, bytearray()
    while len(packets) < wanted:
        page = _page(data, at)
        if page.serial != first.serial:
            raise DataError("this OGG holds several streams side by side. Save the sound alone.")
        place = page.body
        for lace in page.laces:
            part += data[place : place + lace]
            place += lace
            if lace < FULL:
                packets.append(bytes(part))
                part.clear()
        at, pages = page.end, pages + 1
    if part or len(packets) > wanted or not packets[0].startswith(mark):
        raise DataError("the comments of this OGG do not stand where they must. Make or copy it again.")
    if data.rfind(b"OggS") >= 0:
        _page(data, data.rfind(b"OggS\0"))  # the last one is whole too
    return Header(mark, packets, first.serial, first.end, at, pages)


def _paged(packets: list[bytes], serial: int) -> list[bytes]:
    """The packets as pages from number 1 on."""
    laces: list[int] = []
    for packet in packets:
        laces += [FULL] * (len(packet) // FULL) + [len(packet) % FULL]
    whole = b"".join(packets)
    pages: list[bytes] = []
    at = 0
    for k in range(0, len(laces), FULL):
        part = laces[k : k + FULL]
        size = sum(part)
        flags = CONTINUED if k and laces[k - 1] == FULL else 0
        granule = 0 if any(lace < FULL for lace in part) else -1  # no packet ends on it
        head = b"OggS\0" + struct.pack("<BqIIIB", flags, granule, serial, len(pages) + 1, 0, len(part))
        pages.append(_sealed(head + bytes(part) + whole[at : at + size]))
        at += size
    return pages


def with_serial(data: bytes, serial: int) -> bytes:
    """The OGG of one stream with that number, which encoders draw at random."""
    pages, at = [], 0
    while at < len(data):
        page = _page(data, at)
        blank = struct.pack("<I", serial) + data[at + 18 : at + 22] + b"\0\0\0\0"
        pages.append(_sealed(data[at : at + 14] + blank + data[at + 26 : page.end]))
        at = page.end
    return b"".join(pages)


def _numbered(page: bytes, number: int) -> bytes:
    return _sealed(page[:18] + struct.pack("<I", number) + b"\0\0\0\0" + page[26:])


def _sealed(page: bytes) -> bytes:
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _table() -> list[int]:
    out = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        out.append(value)
    return out


TABLE = _table()


def _checksum(page: bytes) -> int:
    """The CRC of RFC 3533, which is not that of zlib."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ TABLE[value >> 24 ^ byte]
    return value


def _short(called: str, at: int) -> DataError:
    return DataError(f"this {called} ends or is damaged at byte {at:,}. Make or copy it again.")
