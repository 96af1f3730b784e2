"""CSV and its kin, of any delimiter, quoting and encoding: read into strings, and printed again as the file printed them.

The grammar is RFC 4180's (https://www.rfc-editor.org/rfc/rfc4180), with the liberties files take. Arrow parses; what is
here decides how the file is written and finds the line where something is wrong.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from karat.content import encodings
from karat.content.table.io import packed
from karat.content.table.io.plain import COLUMNS
from karat.content.table.io.sampling import Sampler
from karat.content.table.io.scanning import (
    HEAD,
    LONGEST,
    Feed,
    Foreign,
    OpenQuote,
    Packing,
    blanked,
    ends,
    first_ragged,
    packing,
    records_end,
)
from karat.content.table.io.sniffing import SINGLE, Style, commented, fields, style, unescaped
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError, FitError

SOME, WORDS, PARTED = 8, 3, 0.2  # lines by which prose is told, words of its fields, share of its lines that are blank
_BATCH = 100_000  # rows that are printed at a time
_PYTHON = {"utf-8-sig": "utf-8", "ascii": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "utf-16": "utf-16-le"}


def read(
    path: Path,
    rows: int | None = None,
    *,
    encoding: str | None = None,
    longest: int = LONGEST,
    room: float | None = None,
) -> Raw:
    """The table in a delimited text file: every column string, null where a field is empty.

    rows: at most this many, spread evenly over the file; None for all that `room` allows (bytes they come to cost; None: half
    of the memory that is free), a larger file being sampled in one pass.   encoding: where it should not be judged from
    the bytes.   longest: bytes that one line, or one quoted field, may have.
    Raises DataError naming the file and the line (the header being line 1) or byte that cannot be read.
    """
    if rows is not None and rows < 1:
        raise FitError(f"rows = {rows}; at least 1 was wanted.")
    known = None if encoding is None else _known(encoding)
    found = packing(path)
    if known is None or found.mark:
        known = found.encoding
    try:
        return _read(path, rows, found, known if known else "utf-8", longest, room)
    except Foreign as foreign:
        where = f"{path} line {foreign.line} holds bytes that are not UTF-8 (byte offset {foreign.offset})"
        if encoding is not None and not found.mark:
            raise DataError(f"{where}, as was asked for. Mend the line, or name another encoding.") from None
        shifted = encodings.escaped(foreign.sample) if foreign.escaped else None
        judged = encodings.judge(foreign.sample) if shifted is None else encodings.Judgement(shifted)
        if judged.encoding is None:
            raise DataError(
                f"{where}, nor plausible text in any other encoding. Mend the line or save the file as UTF-8, or name its "
                "encoding: --set data.encoding=..."
            ) from None
        note = f"Read as {judged.encoding}, judged from its bytes; name the encoding if letters look wrong."
        question = judged.question(foreign.sample, str(path))
    raw = _read(path, rows, found, judged.encoding, longest, room)
    return replace(raw, notes=(*raw.notes, question if question else note), question=question)


def separated(path: Path) -> bool:
    """Whether the text at `path` has rows of two or more fields, judged from its first lines.

    Prose may have one comma in each of its sentences: then every field is of several words, or blank lines part them.
    """
    try:
        found = packing(path)
        first = next(iter(Feed(path, found, found.encoding if found.encoding else "latin-1")), b"")[:HEAD]
    except DataError:
        return False
    if not first.strip() or (how := style(first)).single:
        return False
    lines = first.decode("utf-8", "replace").splitlines()
    rows = [line.split(how.delimiter) for line in lines if line.strip()]
    if how.delimiter == "\t" or len(rows) < SOME:
        return True
    wordy = sum(all(len(field.split()) >= WORDS for field in row) for row in rows)
    return len(lines) - len(rows) < PARTED * len(lines) and wordy < len(rows) / 2


def _known(encoding: str) -> str:
    name = encodings.named(encoding)
    return _PYTHON.get(name, name)


def _read(path: Path, rows: int | None, found: Packing, encoding: str, longest: int, room: float | None) -> Raw:
    feed = Feed(path, found, encoding, longest)
    chunks = iter(feed)
    first = next(chunks, b"")
    named = re.match(rb"sep=(.)\r?\n", first)  # Excel's own way to name the delimiter
    if named:
        first = first[named.end() :]
    remarks = commented(first)
    if remarks:
        first = re.split(rb"\r\n|\n|\r", first, maxsplit=remarks)[-1]
    parse = _Parser(path, first, longest, remarks + (1 if named else 0))
    sampler = Sampler(rows, room)
    for table in parse.tables(first, chunks):
        sampler.add(table)
    if not sampler.total:
        raise DataError(f"{path} has a header ({_listed(parse.names)}) and no rows; rows to learn from were wanted.")
    cells = sampler.table()
    kind = {"\r\n": feed.crlf, "\r": feed.cr, "\n": feed.lf}
    newline = max(kind, key=lambda name: kind[name]) if any(kind.values()) else "\n"
    how, names = parse.style, parse.names
    delimiter = ", " if how.spaced else how.delimiter
    dialect = Dialect(
        delimiter=delimiter,
        quote=how.quote,
        quoted=how.quoted,
        encoding=encoding,
        bom=bool(found.mark),
        newline=newline,
        packed=found.packed,
        header=how.header,
        decimal_comma=how.decimal_comma,
        quoted_columns=tuple(names[j] for j in how.quoted_columns) if how.quoted == "text" else (),
        quoted_header=how.header_quoted,
        quoted_empty=how.empty_quoted,
        unnamed=parse.unnamed,
        final_newline=parse.last in b"\r\n",
        escaped=how.escaped,
    )
    ends = sum(count > 0 for count in kind.values())
    notes = [*sampler.note(cells.num_rows), *_notes(parse, ends, remarks)]
    total = sampler.total if cells.num_rows < sampler.total else None
    return Raw(cells, "csv", str(path), dialect, total, tuple(notes))


def _notes(parse: _Parser, ends: int, remarks: int) -> list[str]:
    """What a person should know of a file with `ends` kinds of line ends and `remarks` lines above its header."""
    notes = []
    if ends > 1:
        notes.append("The lines end in several ways; what is made ends them all in the commonest.")
    if not parse.style.header:
        notes.append("The first row looks like data, so the columns are named column_1, column_2, ...")
    if parse.unnamed:
        notes.append(f"Columns without a name in the header are called {_listed(parse.unnamed)}.")
    if parse.formulas:
        notes.append("Some cells begin with '='. They are kept as they are; a spreadsheet would run them as formulas.")
    if remarks:
        notes.append(f"{remarks} line{'s' if remarks > 1 else ''} of remarks above the header were passed over.")
    if parse.blank:
        notes.append("Blank lines were passed over.")
    return notes


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


class _Parser:
    """Turns chunks of UTF-8 into tables of strings, in the style of the first chunk."""

    def __init__(self, path: Path, first: bytes, longest: int, lines: int) -> None:
        self.path, self.longest = path, longest
        self.lines = lines  # line ends before the bytes that come next
        head = first[:HEAD]
        if len(first) > HEAD:
            cut = head.rfind(b"\n")
            head = head[: cut + 1] if cut > 0 else head
        self.style: Style = style(head, packed.bare(path.name)[0].endswith((".tsv", ".tab")))
        self.delimiter, self.quote = self.style.delimiter.encode(), self.style.quote.encode()
        self.names: list[str] = []
        self.unnamed: tuple[str, ...] = ()
        self.formulas = self.blank = False
        self.last = b"\n"

    def tables(self, first: bytes, rest: Iterator[bytes]) -> Iterator[pa.Table]:
        """One table of strings for the records in each chunk."""
        carry = self._tidy(first)
        started = False
        while True:
            if carry.strip(b"\r\n") or (started and self.style.single):
                try:
                    end, opened = records_end(carry, self.delimiter, self.quote)
                except OpenQuote as error:
                    raise self._unclosed(carry, error.offset) from None
                if opened >= 0 and len(carry) - opened > self.longest:
                    raise self._unclosed(carry, opened)
                whole, carry = carry[:end], carry[end:]
                if whole and not started:
                    start = self._header(whole)
                    self.lines += ends(whole[:start])
                    whole, started = whole[start:], True
                if whole:
                    yield self._table(whole)
                    self.lines += ends(whole)
            chunk = next(rest, None)
            if chunk is None:
                break
            carry += self._tidy(chunk)
        if carry.strip(b"\r\n"):
            raise self._unclosed(carry, records_end(carry, self.delimiter, self.quote)[1])
        if not started:
            raise DataError(f"{self.path} holds only blank lines; a table with a header and rows was wanted.")

    def _tidy(self, chunk: bytes) -> bytes:
        self.last = chunk[-1:] or self.last
        if self.style.escaped:
            chunk = unescaped(chunk, self.quote)
        if self.style.spaced:
            chunk = chunk.replace(b", ", b",")
        begins = (self.delimiter, self.delimiter + self.quote, b"\n", b"\n" + self.quote)
        self.formulas = self.formulas or any(begin + b"=" in chunk for begin in begins)
        return chunk

    def _unclosed(self, chunk: bytes, offset: int) -> DataError:
        line = self.lines + ends(chunk[:offset]) + 1
        begin = chunk[offset : offset + 30].split(b"\n")[0].decode("utf-8", "replace").strip()
        return DataError(
            f"{self.path} line {line}: the quote that opens at {begin} is never closed. "
            "Close it, or double it where it is meant as a character."
        )

    def _header(self, chunk: bytes) -> int:
        """Names the columns; returns where the rows begin."""
        start = len(chunk) - len(chunk.lstrip(b"\r\n"))
        cells: list[str] = []
        end = start
        for found in fields(self.delimiter, self.quote).finditer(chunk, start):
            cell = found[1]
            if cell.startswith(self.quote) and cell.endswith(self.quote) and len(cell) > 1:
                cell = cell[1:-1].replace(self.quote * 2, self.quote)
            cells.append(cell.decode())
            end = found.end()
            if found[2] != self.delimiter:
                break
            if len(cells) > COLUMNS:
                count = blanked(chunk[start:], self.delimiter, self.quote).split(b"\n", 1)[0].count(self.delimiter)
                raise DataError(
                    f"{self.path} has {count + 1:,} columns; at most {COLUMNS:,} are read. "
                    "Keep the columns that matter, or swap rows and columns."
                )
        if not self.style.header:
            self.names = [f"column_{j + 1}" for j in range(len(cells))]
            return start
        line = self.lines + ends(chunk[:start]) + 1
        seen: dict[str, int] = {}
        unnamed = []
        for j, cell in enumerate(cells):
            if cell.strip() and cell in seen:
                raise DataError(
                    f"{self.path} line {line} names the column {cell!r} twice (fields {seen[cell]} and {j + 1}); "
                    "each column needs a name of its own. Rename one."
                )
            seen[cell] = j + 1
        for j, cell in enumerate(cells):
            if not cell.strip():
                name = f"column_{j + 1}"
                while name in seen:
                    name += "_"
                seen[name] = j + 1
                cells[j] = name
                unnamed.append(name)
        self.names, self.unnamed = cells, tuple(unnamed)
        return end

    def _table(self, chunk: bytes) -> pa.Table:
        single = self.style.single
        if not single:
            self.blank = self.blank or b"\n\n" in chunk or b"\n\r\n" in chunk or chunk[:1] in b"\r\n"
        parse = arrow_csv.ParseOptions(
            delimiter=self.style.delimiter if not single else SINGLE,
            quote_char=self.style.quote,
            newlines_in_values=self.quote in chunk,
            ignore_empty_lines=not single,
        )
        convert = arrow_csv.ConvertOptions(
            check_utf8=False,  # the feed has checked
            column_types=dict.fromkeys(self.names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=self.style.empty_quoted,
        )
        load = arrow_csv.ReadOptions(column_names=self.names, block_size=len(chunk) + 1)
        try:
            table: pa.Table = arrow_csv.read_csv(pa.py_buffer(chunk), load, parse, convert)
            return table
        except pa.ArrowInvalid as error:
            ragged = first_ragged(chunk, self.delimiter, self.quote, len(self.names))
            if ragged is None or single:
                message = str(error).split("\n")[0]
                raise DataError(
                    f"{self.path} near line {self.lines + 1} cannot be read as a table: {message}"
                ) from error
            before, count = ragged
            word = "field" if count == 1 else "fields"
            wanted = f"the header has {len(self.names)}" if self.style.header else f"the first row {len(self.names)}"
            shown = {"\t": "tab"}.get(self.style.delimiter, self.style.delimiter)
            cure = (
                "If there is a title above the header, remove it."
                if len(self.names) == 1
                else f"Mend the line; a field that holds the delimiter ({shown}) must stand in quotes."
            )
            raise DataError(
                f"{self.path} line {self.lines + before + 1} has {count} {word} where {wanted}. {cure}"
            ) from None


def write(cells: pa.Table, dialect: Dialect) -> bytes:
    """`cells` as a file in `dialect`, packed where the dialect says so.

    What `read` gives is printed byte for byte as the file had it, as far as a dialect can say: one kind of newline,
    quotes by rule. Cells of another type than string are printed as Arrow casts them.
    Raises DataError for a character that the dialect's encoding does not have.
    """
    out = io.BytesIO()
    stream(iter([cells]), dialect, out)
    return out.getvalue()


def stream(blocks: Iterator[pa.Table], dialect: Dialect, file: IO[bytes]) -> None:
    """The same, of at least one block of rows, into `file` as they come."""
    end = dialect.newline.encode("utf-8" if dialect.encoding == "utf-8" else dialect.encoding)
    held = b""  # the last newline, which a file may not end in
    with packed.packer(file, dialect.packed, "made.tsv" if dialect.delimiter == "\t" else "made.csv") as write:
        for text in _texts(blocks, dialect):
            text, held = held + text, b""
            if not dialect.final_newline and text.endswith(end):
                text, held = text[: -len(end)], end
            write(text)


def _texts(blocks: Iterator[pa.Table], dialect: Dialect) -> Iterator[bytes]:
    """The file in pieces that end where a line does."""
    if dialect.bom:
        yield "\ufeff".encode(dialect.encoding)
    for i, cells in enumerate(blocks):
        if i == 0 and dialect.header:
            names = [None if name in dialect.unnamed or not name else name for name in cells.column_names]
            head = pa.table([pa.array([name], pa.string()) for name in names], names=cells.column_names)
            yield _encoded(_printed(head, dialect, "all" if dialect.quoted_header else "minimal"), dialect)
        for start in range(0, cells.num_rows, _BATCH):
            yield _encoded(_printed(cells.slice(start, _BATCH), dialect, dialect.quoted), dialect)


def _encoded(text: bytes, dialect: Dialect) -> bytes:
    if dialect.encoding == "utf-8":
        return text
    try:
        return text.decode().encode(dialect.encoding)
    except UnicodeEncodeError as error:
        bad = error.object[error.start : error.end]
        raise DataError(f"{bad!r} cannot be written in {dialect.encoding}, the file's encoding. Use UTF-8.") from error


def _printed(cells: pa.Table, dialect: Dialect, quoted: str) -> bytes:
    """The rows of `cells` as UTF-8."""
    if not cells.num_columns:
        return b""
    q, doubled = dialect.quote, dialect.quote * 2
    within = "\\" + q if dialect.escaped else doubled
    borders = sorted({q, dialect.delimiter.strip(" ") if len(dialect.delimiter) > 1 else dialect.delimiter, "\n", "\r"})
    special = "[" + "".join("\\" + mark if mark in r"\]^-[" else mark for mark in borders) + "]"
    single = cells.num_columns == 1
    empty = doubled if dialect.quoted_empty else ""
    columns = []
    for name, column in zip(cells.column_names, cells.columns, strict=True):
        text = column if pa.types.is_large_string(column.type) else column.cast(pa.large_string())
        if dialect.escaped:
            text = pc.replace_substring(text, "\\", "\\\\")
        always = quoted == "all" or (quoted == "text" and name in dialect.quoted_columns)
        needs = always if always else pc.or_(pc.match_substring_regex(text, special), pc.equal(text, ""))
        if always or pc.any(needs).as_py():
            inner = pc.replace_substring(text, q, within)
            text = pc.if_else(needs, pc.binary_join_element_wise(_large(q), inner, _large(q), _large("")), text)
        columns.append(pc.fill_null(text, empty) if text.null_count else text)
    lines = columns[0] if single else pc.binary_join_element_wise(*columns, _large(dialect.delimiter))
    lines = pc.binary_join_element_wise(lines, _large(dialect.newline), _large(""))
    return b"".join(_characters(chunk) for chunk in lines.chunks)


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _characters(lines: pa.Array) -> bytes:
    """All strings of a large_string array, one behind the other."""
    offsets = pa.Array.from_buffers(pa.int64(), len(lines) + 1, [None, lines.buffers()[1]], offset=lines.offset)
    start, stop = offsets[0].as_py(), offsets[len(lines)].as_py()
    return bytes(memoryview(lines.buffers()[2])[start:stop]) if stop > start else b""
