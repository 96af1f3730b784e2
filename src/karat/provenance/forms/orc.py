"""ORC: the label stands in the user metadata of the footer (https://orc.apache.org/specification/ORCv1/)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

METADATA, FOOTER_LENGTH, COMPRESSION = 5, 1, 2  # numbers of fields: of the footer, and of the postscript
MOST = 1 << 28


class Tail(NamedTuple):
    """start, end: of the footer.   packed: whether it is made of compressed chunks.   postscript: its bytes."""

    start: int
    end: int
    packed: bool
    postscript: bytes


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the file has exactly this label, or none; DataError where `data` is no whole ORC."""
    tail = _tail(data)
    edits: list[Edit] = [(start, end, b"") for start, end, _, _ in _entries(data, tail)]
    new = b"" if texts is None else b"".join(_entry(key, text, tail.packed) for key, text in texts.entries.items())
    size = tail.end - tail.start - sum(end - start for start, end, _ in edits) + len(new)
    rest = b"".join(raw for number, _, raw in _fields(tail.postscript) if number != FOOTER_LENGTH)
    postscript = _varint(FOOTER_LENGTH << 3) + _varint(size) + rest
    return [*edits, (tail.end, len(data), new + postscript + bytes((len(postscript),)))]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole ORC."""
    return [(key, text) for _, _, key, text in _entries(data, _tail(data))]


def _tail(data: Buffer) -> Tail:
    if data[:3] != b"ORC" or len(data) < 8:
        raise DataError(f"this is not an ORC: it starts with {data[:3]!r}. Make or copy it again.")
    end = len(data) - 1 - data[-1]
    postscript = data[end:-1]
    if end < 3 or not postscript.endswith(b"ORC"):
        raise _damaged()
    known = {number: value for number, value, _ in _fields(postscript)}
    size = known.get(FOOTER_LENGTH, 0)
    if not isinstance(size, int) or not 0 < size < min(end, MOST):
        raise _damaged()
    return Tail(end - size, end, known.get(COMPRESSION, 0) != 0, postscript)


def _entries(data: Buffer, tail: Tail) -> Iterator[tuple[int, int, str, str]]:
    """Begin, end, keyword and text of each entry of a label; in a compressed footer those in a chunk of their own."""
    whole = data[tail.start : tail.end]
    parts = _chunks(whole) if tail.packed else [(0, whole, None)]
    for start, block, size in parts:
        at = start
        for number, value, raw in _fields(block):
            if number == METADATA and isinstance(value, bytes):
                known = {k: v for k, v, _ in _fields(value)}
                key, text = known.get(1), known.get(2)
                if (
                    isinstance(key, bytes)
                    and isinstance(text, bytes)
                    and key.decode(errors="replace") in (KEYWORD, OWN)
                ):
                    first, last = (at, at + len(raw)) if size is None else (start, start + size)
                    yield tail.start + first, tail.start + last, key.decode(), text.decode(errors="replace")
            at += len(raw)


def _chunks(footer: bytes) -> list[tuple[int, bytes, int]]:
    """Begin, content and size of each chunk that is stored as it is."""
    out, at = [], 0
    while at + 3 <= len(footer):
        head = int.from_bytes(footer[at : at + 3], "little")
        size = 3 + (head >> 1)
        if at + size > len(footer):
            raise _damaged()
        if head & 1:
            block = footer[at + 3 : at + size]
            if block[:1] == bytes((METADATA << 3 | 2,)):
                out.append((at, block, size))
        at += size
    return out


def _entry(key: str, text: str, packed: bool) -> bytes:
    item = b"\x0a" + _varint(len(key)) + key.encode() + b"\x12" + _varint(len(text.encode())) + text.encode()
    field = bytes((METADATA << 3 | 2,)) + _varint(len(item)) + item
    return (len(field) << 1 | 1).to_bytes(3, "little") + field if packed else field


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes, bytes]]:
    """Number, value and bytes of each field of a message (https://protobuf.dev/programming-guides/encoding/)."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _read_varint(message, at)
        elif tag & 7 == 2:
            size, at = _read_varint(message, at)
            value, at = message[at : at + size], at + size
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
            value, at = message[at : at + size], at + size
        else:
            raise _damaged()
        if at > len(message):
            raise _damaged()
        yield tag >> 3, value, message[start:at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise _damaged()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _damaged() -> DataError:
    return DataError("this ORC has no whole footer; it is cut short or damaged. Make or copy it again.")
