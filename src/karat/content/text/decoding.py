"""Bytes to text: the encoding that was told, marked or is plausible, and what is no text at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from karat.content import encodings
from karat.content.table.io import packed
from karat.content.text.budget import afford
from karat.errors import DataError

LIMIT = 64 * 2**20  # bytes of text that are taken
BLOCK = 2**20
_ODD = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAGIC = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"PK\x03\x04": "a zip (or an Office document)",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
    b"GIF8": "a GIF picture",
    b"RIFF": "a sound or picture in RIFF",
    b"SQLite format 3": "a database",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x1f\x8b": "gzip",
}
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


@dataclass(frozen=True)
class How:
    """What a person said of the reading: columns of text and label, the encoding, what a document is, bytes at most."""

    text: str | None = None
    label: str | None = None
    encoding: str | None = None
    documents: str = "auto"
    limit: int = LIMIT


def decoded(blob: bytes, place: str, encoding: str | None, offset: int = 0) -> tuple[str, str, str]:
    """The text of `blob`, the encoding (as told, by its mark, UTF-8, or what makes plausible text of it), and what to ask a
    person where two are plausible, else "".

    offset: where in the file `blob` begins, for messages. Line ends stay as they are.
    """
    for mark, name in _BOMS:
        if blob.startswith(mark) and encoding in (None, name):
            return _strict(blob[len(mark) :], place, name, offset + len(mark)), name, ""
    if encoding is not None:
        return _strict(blob, place, encodings.named(encoding), offset), encoding, ""
    for magic, what in _MAGIC.items():
        if blob.startswith(magic):
            raise DataError(f"{place} is {what}, by its first bytes, and no text; give the text itself.")
    if b"\0" in blob[:BLOCK]:
        head = blob[:BLOCK]
        for name, empty, filled in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
            ends = head.count(b"\n\0") if name == "utf-16-le" else head.count(b"\0\n")  # wide characters have no zeros
            if empty.count(0) > min(0.4 * len(empty), ends + 1) and filled.count(0) < 0.2 * empty.count(0):
                return _strict(blob, place, name, offset), name, ""
    question = ""
    try:
        text = blob.decode("utf-8")
        taken = "utf-8"
        shifted = encodings.escaped(blob) if b"\x1b$" in blob else None
        if shifted is not None:
            text, taken = _strict(blob, place, shifted, offset), shifted
    except UnicodeDecodeError as error:
        start = max(0, blob.rfind(b"\n", 0, error.start) + 1, error.start - BLOCK // 2)
        sample = blob[start : start + BLOCK]
        judged = encodings.judge(sample)
        guess = judged.encoding
        if guess is None or _reach(blob, guess) < error.start:  # a part of it alone is written so
            byte, line = error.start, blob.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{place} is not UTF-8 at byte offset {offset + byte:,}{_line(line, offset)} (0x{blob[byte]:02x}), and no other "
                "encoding makes text of all of it. Mend it, or name the encoding, as in --set data.encoding=gb18030."
            ) from None
        text, taken, question = _strict(blob, place, guess, offset), guess, judged.question(sample, place)
    _refuse_binary(text, place, taken, offset)
    return text, taken, question


def _strict(blob: bytes, place: str, encoding: str, offset: int) -> str:
    try:
        return blob.decode(encoding)
    except UnicodeError as error:
        byte = getattr(error, "start", 0)
        line = _line(blob.count(b"\n", 0, byte) + 1, offset)
        raise DataError(
            f"{place} is not {encoding} at byte offset {offset + byte:,}{line} (0x{blob[byte]:02x}). Mend the file, or name "
            "another encoding with --set data.encoding=..."
        ) from None


def _reach(blob: bytes, encoding: str) -> int:
    """How many bytes can be read so."""
    try:
        blob.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return len(blob)


def _line(number: int, offset: int) -> str:
    return f", line {number:,}" if offset <= 4 else ""  # the lines before a stretch from the middle were not counted


def _refuse_binary(text: str, place: str, encoding: str, offset: int) -> None:
    head = text[:BLOCK]
    at = text.find("\0")
    odd = _ODD.search(head) if at < 0 else None
    if at < 0 and (odd is None or len(_ODD.findall(head)) <= max(2, 0.001 * len(head))):
        return
    at = at if odd is None else odd.start()
    byte, line = len(text[:at].encode(encoding)), text.count("\n", 0, at) + 1
    raise DataError(
        f"{place} holds the byte 0x{ord(text[at]):02x} at offset {offset + byte:,}{_line(line, offset)}: it is no text, or "
        "UTF-16 without a mark (then --set data.encoding=utf-16-le)."
    )


def _blocks(path: Path, limit: int) -> tuple[list[tuple[int, bytes]], int]:
    """Stretches of a file with their offsets, whole lines where lines are short, and how many bytes the file has.

    All of it as one, where it has no more than `limit`; else `limit` bytes of it, evenly spread. What is packed is unpacked
    only as far as it is taken.
    """
    if path.name.lower().endswith(".gz"):
        unpacked = bytearray()
        with packed.opened(path, "gzip") as file:
            while len(unpacked) <= limit and (part := file.read(min(BLOCK, limit + 1 - len(unpacked)))):
                unpacked += part
                afford(path, len(unpacked))
        size = len(unpacked)
        end = size if size <= limit else max(unpacked.rfind(b"\n", 0, limit), limit // 2) + 1
        return [(0, bytes(unpacked[:end]))], size
    size = path.stat().st_size
    afford(path, min(size, limit))
    with path.open("rb") as file:
        if size <= limit:
            return [(0, file.read())], size
        count = max(1, limit // BLOCK)
        out = []
        for k in range(count):
            start = (size - limit // count) * k // max(1, count - 1)
            file.seek(start)
            blob = file.read(limit // count)
            first = 0 if start == 0 else blob.find(b"\n") + 1
            stop = blob.rfind(b"\n") + 1
            if stop <= first:  # no line ends here: from one character to another, as UTF-8 marks them
                first = next((i for i in range(4) if blob[i] & 0xC0 != 0x80), 0) if start else 0
                stop = next((i for i in range(len(blob) - 1, len(blob) - 5, -1) if blob[i] & 0xC0 != 0x80), len(blob))
            out.append((start + first, blob[first:stop]))
    return out, size


def _partial_note(taken: int, size: int, path: Path) -> tuple[str, ...]:
    if path.name.lower().endswith(".gz"):
        return (f"The first {taken:,} bytes of {path.name}, unpacked, were taken (--set data.limit=...).",)
    return (
        f"{taken:,} of the {size:,} bytes of {path.name}, in stretches spread evenly over it, were taken (--set data.limit=...).",
    )


def decoded_blocks(path: Path, how: How) -> tuple[list[tuple[int, str]], str, tuple[str, ...], str]:
    """Stretches with their offsets, the encoding, a note where they are not all, and which encodings are in question."""
    blocks, size = _blocks(path, how.limit)
    if not size:
        raise DataError(f"{path} is empty; some 20,000 characters of text were wanted.")
    encoding, question = how.encoding, ""
    if len(blocks) > 1 and encoding is None:
        _, encoding, question = decoded(blocks[0][1], str(path), None)
        if encoding.startswith("utf-16") or encoding.startswith("utf-32"):  # where a stretch begins cannot be told
            with path.open("rb") as file:
                blocks = [(0, file.read(how.limit // 4 * 4))]
    out = []
    for offset, blob in blocks:
        text, encoding, open_ = decoded(blob, str(path), encoding, offset)
        question = question if question else open_
        out.append((offset, text))
    taken = sum(len(blob) for _, blob in blocks)
    return (
        out,
        str(encoding),
        (*(_partial_note(taken, size, path) if taken < size else ()), *filter(None, [question])),
        question,
    )


def lined(text: str) -> tuple[str, str]:
    """The text with \\n at line ends, and what most of them were."""
    if "\r" not in text:
        return text, "\n"
    pairs = text.count("\r\n")
    newline = "\r\n" if 2 * pairs > text.count("\n") else "\n"
    return text.replace("\r\n", "\n").replace("\r", "\n"), newline
