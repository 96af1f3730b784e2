"""A delimited file's bytes on their way to the parser: unpacked, in UTF-8, cut at line ends, looked over in bounded memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from karat.content import encodings, signatures
from karat.content.table.io import packed
from karat.errors import DataError, UnsafeFile

CHUNK = 4 * 2**20
LONGEST = 16 * 2**20  # bytes of one line, or of one quoted field
HEAD = 2**18

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Foreign(Exception):
    """The bytes are not UTF-8: `sample` holds whole lines from the first beyond ASCII on, `line` is the first that is wrong.

    escaped: they are seven bits each, with the escape sequences of ISO 2022.
    """

    def __init__(self, sample: bytes, line: int, offset: int, escaped: bool = False) -> None:
        super().__init__(line)
        self.sample, self.line, self.offset, self.escaped = sample, line, offset, escaped


@dataclass(frozen=True)
class Packing:
    """What a file's first bytes say: its encoding ("" where they do not), its byte order mark, how it is packed ("": not)."""

    encoding: str
    mark: bytes
    packed: str


def packing(path: Path, json: bool = False) -> Packing:
    """Looks at the first bytes of `path`; raises DataError when it is empty, missing or no text at all."""
    try:
        form = packed.form_of(path)
        kind = signatures.of_file(path) if form in ("", "zip") else None
        if kind is None or kind.what == "a zip archive":
            with packed.opened(path, form) as file:
                start = file.read(HEAD)
            kind = signatures.of_bytes(start)
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}.") from error
    if kind is not None:
        inside = "holds" if form and kind.what != "a zip archive that cannot be looked into" else "is"
        raise (UnsafeFile if kind.unsafe else DataError)(
            f"{path} {inside} {kind.what}, not {'JSON' if json else 'delimited text'}; {kind.cure}."
        )
    if not start:
        raise DataError(f"{path} is empty; a table with a header and rows was wanted.")
    if not json and start.lstrip()[:1] in (b"{", b"[") and re.match(rb'\s*(\[\s*)*\{\s*("|\})', start):
        raise DataError(
            f"{path} is JSON, not delimited text; give it the suffix .json, or .jsonl for an object on each line."
        )
    for mark, name in _BOMS:
        if start.startswith(mark):
            return Packing(name, mark, form)
    sample = start[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    lines = (
        sample.count(b"\n\0") if odd > even else sample.count(b"\0\n")
    )  # wide characters have few zeros, line ends do
    clear = min(even, odd) == 0 and max(even, odd) > 0.15 * len(sample)
    if len(sample) >= 4 and (clear or (lines and max(even, odd) > max(2 * lines - 1, 5 * min(even, odd)))):
        return Packing("utf-16-le" if odd > even else "utf-16-be", b"", form)
    return Packing("", b"", form)


@dataclass
class Feed:
    """A file's bytes as UTF-8 chunks that end where a line ends; goes through the file once.

    lines: line ends in the chunks given so far.   crlf, cr, lf: how many of each kind.
    Raises Foreign where the file is said to be UTF-8 and is not, DataError for a NUL byte, an endless line,
    a damaged archive, or bytes that `encoding` does not know.
    """

    path: Path
    packing: Packing
    encoding: str
    longest: int = LONGEST
    lines: int = 0
    crlf: int = 0
    cr: int = 0
    lf: int = 0
    size: int = field(default=0)
    wide: bool = field(default=False)  # whether there was a character beyond ASCII

    def __iter__(self) -> Iterator[bytes]:
        carry, before = b"", 0
        for chunk in self._text():
            first = chunk.find(b"\n")
            if b"\r" in chunk:
                returned = chunk.find(b"\r")
                first = returned if first < 0 else min(first, returned)
            if len(carry) + (len(chunk) if first < 0 else first) > self.longest:
                raise DataError(
                    f"{self.path} line {before + 1} is longer than {_measure(self.longest)}{self._on_disk()}; "
                    "a table's rows end in a newline. Is it delimited text?"
                )
            last = chunk.rfind(b"\n") + 1
            if not last:
                last = chunk.rfind(b"\r", 0, len(chunk) - 1) + 1  # a final \r may be half of \r\n
            if not last:
                carry += chunk
                continue
            whole, carry = carry + chunk[:last], chunk[last:]
            self._check(whole)
            yield whole
            before = self.lines
        if carry:
            self._check(carry)
            yield carry

    def _text(self) -> Iterator[bytes]:
        """Chunks of UTF-8, not yet cut at lines and, where the file is UTF-8, not yet checked."""
        step = max(1, min(CHUNK, self.longest // 2))
        with packed.opened(self.path, self.packing.packed) as file:
            offset = len(file.read(len(self.packing.mark)))
            self.size = offset
            if self.encoding == "utf-8":
                while chunk := file.read(step):
                    yield chunk
                return
            decoder = codecs.getincrementaldecoder(self.encoding)("strict")
            done = False
            while not done:
                chunk = file.read(step)
                done, pending = not chunk, len(decoder.getstate()[0])
                try:
                    text = decoder.decode(chunk, final=done)
                except UnicodeDecodeError as error:
                    good = error.object[: error.start].decode(self.encoding, "ignore")
                    line = self.lines + good.count("\n") + 1
                    raise DataError(
                        f"{self.path} cannot be read as {self.encoding}: about line {line}, byte offset "
                        f"{offset - pending + error.start}. Save it as UTF-8, or name another: --set data.encoding=..."
                    ) from error
                offset += len(chunk)
                if text:
                    yield text.encode("utf-8", "surrogatepass")

    def _check(self, chunk: bytes) -> None:
        nul = chunk.find(0)
        if nul >= 0:
            line = self.lines + ends(chunk[:nul]) + 1
            place = f", byte offset {self.size + nul}" if self.encoding == "utf-8" else ""
            raise DataError(
                f"{self.path} line {line} holds a NUL byte{place}; text was wanted. Save the table again as UTF-8."
            )
        shift = chunk.find(b"\x1b$") if self.encoding == "utf-8" else -1
        if shift >= 0 and encodings.escaped(chunk) is not None:
            raise Foreign(chunk, self.lines + ends(chunk[:shift]) + 1, self.size + shift, True)
        if self.encoding == "utf-8" and not chunk.isascii():
            try:
                chunk.decode()
            except UnicodeDecodeError as error:
                first = re.search(rb"[\x80-\xff]", chunk)
                assert first is not None
                start = max(chunk.rfind(b"\n", 0, first.start()), chunk.rfind(b"\r", 0, first.start())) + 1
                line = self.lines + ends(chunk[: error.start]) + 1
                sample = (
                    b"" if self.wide else chunk[start:]
                )  # what was UTF-8 so far is damaged, not of another encoding
                raise Foreign(sample, line, self.size + error.start) from error
            self.wide = True
        lf = chunk.count(b"\n")
        if b"\r" in chunk:
            crlf = chunk.count(b"\r\n")
            cr = chunk.count(b"\r") - crlf
            self.crlf, self.cr, lf = self.crlf + crlf, self.cr + cr, lf - crlf
            self.lines += crlf + cr
        self.lf += lf
        self.lines += lf
        self.size += len(chunk)

    def _on_disk(self) -> str:
        return f" (the file has {_measure(self.path.stat().st_size)})"


def _measure(count: int) -> str:
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def ends(chunk: bytes) -> int:
    """How many lines end in `chunk`: at \\n, \\r\\n or a lone \\r."""
    return chunk.count(b"\n") + (chunk.count(b"\r") - chunk.count(b"\r\n") if b"\r" in chunk else 0)


def quoted_fields(delimiters: bytes, quote: bytes) -> re.Pattern[bytes]:
    """A quoted field as RFC 4180 has it, from the quote at a field's start to its closing quote, or to the end."""
    q = re.escape(quote)
    return re.compile(rb"(?:(?<=[\r\n" + re.escape(delimiters) + rb"])|\A)%b[^%b]*+(?:%b%b[^%b]*+)*+%b?" % ((q,) * 6))


def blanked(chunk: bytes, delimiters: bytes, quote: bytes) -> bytes:
    """`chunk` with every quoted field overwritten, so that what is left of delimiters and line ends counts."""
    if quote not in chunk:
        return chunk
    return quoted_fields(delimiters, quote).sub(lambda found: b"x" * len(found[0]), chunk)


class OpenQuote(Exception):
    """A quote that opens at `offset` of the chunk closes neither in its line nor cleanly in a later one."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def records_end(chunk: bytes, delimiter: bytes, quote: bytes) -> tuple[int, int]:
    """Where the last whole record of `chunk` ends, and where the quote opened that is still open there, or -1.

    chunk: begins with a record and ends with a line. Raises OpenQuote for a quote that swallowed the quote of
    another field on a later line: the one before it was never closed.
    """
    if quote not in chunk:
        return len(chunk), -1
    codes = np.frombuffer(chunk, np.uint8)
    marks = np.flatnonzero(codes == quote[0])
    before = np.where(marks > 0, codes[marks - 1], 10)
    after = np.where(marks + 1 < len(codes), codes[np.minimum(marks + 1, len(codes) - 1)], 10)
    border = np.zeros(256, bool)
    border[[10, 13, delimiter[0]]] = True
    doubled = np.zeros(len(marks), bool)  # opens right behind the mark that seemed to close
    doubled[2::2] = marks[2::2] == marks[1:-1:2] + 1
    opens = border[before[::2]] | doubled[::2]
    closes = border[after[1::2]]
    follow = doubled[2::2]
    closes[: len(follow)] |= follow
    if not (opens.all() and closes.all()):
        return _records_end_slowly(chunk, delimiter, quote)
    if len(marks) % 2 == 0:
        return len(chunk), -1
    last = len(marks) - 1
    while doubled[last]:
        last -= 2
    lines = np.flatnonzero(codes[: marks[last]] == 10)
    if not len(lines):
        lines = np.flatnonzero(codes[: marks[last]] == 13)
    outside = lines[np.searchsorted(marks, lines) % 2 == 0]
    return (int(outside[-1]) + 1 if len(outside) else 0), int(marks[last])


def _records_end_slowly(chunk: bytes, delimiter: bytes, quote: bytes) -> tuple[int, int]:
    """The same where quotes also stand inside fields, as in 5" disk: one quoted field after the other."""
    border = (b"", b"\n", b"\r", delimiter)
    for found in quoted_fields(delimiter, quote).finditer(chunk):
        text = found[0]
        if text.count(quote) % 2:
            rest = blanked(chunk[: found.start()], delimiter, quote)
            return max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1, found.start()
        if chunk[found.end() : found.end() + 1] not in border and (b"\n" in text or b"\r" in text):
            raise OpenQuote(found.start())
    return len(chunk), -1


def first_ragged(chunk: bytes, delimiter: bytes, quote: bytes, columns: int) -> tuple[int, int] | None:
    """(line ends before it, its fields) of the first record in `chunk` that has not `columns` fields, blank lines aside."""
    flat = blanked(chunk, delimiter, quote)
    for found in re.finditer(rb"[^\r\n]+", flat):
        fields = found[0].count(delimiter) + 1
        if fields != columns:
            return ends(chunk[: found.start()]), fields
    return None
