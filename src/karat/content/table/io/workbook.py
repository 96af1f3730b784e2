"""Excel workbooks (.xlsx, ISO/IEC 29500): one sheet read row by row into strings, and written again with numbers and dates."""

from __future__ import annotations

import datetime as dt
import io
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import pyarrow as pa
import pyarrow.compute as pc

from karat import limits
from karat.content import archive
from karat.content.table.io.plain import COLUMNS
from karat.content.table.io.sampling import Sampler
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError, FitError, UnsafeFile
from karat.output import temporary

SWOLLEN = 2**22  # bytes of an entry, from which on the ratio is looked at
RATIO = 50  # most that a part which is parsed whole may swell, beyond a megabyte; Excel's own swell 5 to 20 times
TREES = 10**7  # bytes of such parts, the strings aside
TREE_COST, STRING_COST = 90, 25  # bytes of memory for each byte of them, as measured
STYLES = "xl/styles.xml"
FIXED = {
    "[Content_Types].xml",
    STYLES,
    "xl/workbook.xml",
    "xl/theme/theme1.xml",
    "docProps/core.xml",
    "docProps/custom.xml",
}
BATCH = 5000
ROWS = 2**20
TITLES = 20  # rows at most that stand above a header
STAMP = dt.datetime(1980, 1, 1)
DIGITS = 15  # of a number in a workbook that are sure to be kept: longer ones are text


def read(path: Path, rows: int | None, sheet: str | None, room: float | None = None) -> Raw:
    """The table on a sheet, the first that is not empty where none is named; every column string, null where a cell is empty.

    Of formulas the values that were saved with them are taken. Dates are printed as ISO 8601.
    Raises DataError for what is no workbook or has no such table, UnsafeFile for one that would swell or declares entities,
    FitError for a sheet that is not there.
    """
    import openpyxl  # here and below, as few tables are workbooks
    from openpyxl.utils.exceptions import InvalidFileException

    _check(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, on which no cell depends
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                return _read(path, book, rows, sheet, room)
            finally:
                book.close()
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        OSError,
        ParseError,
        zlib.error,
        EOFError,
    ) as error:
        if isinstance(error, DataError | FitError):
            raise
        message = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is no workbook that can be read ({message}). Save it again as .xlsx, or the sheet as CSV."
        ) from error


def _check(path: Path) -> None:
    """Refuses a workbook whose parts would swell, or declare a document type, before anything of it is parsed."""
    with archive.open_zip(path, ratio_from=SWOLLEN) as found:
        trees, strings = _parsed_whole(path, found)
        for entry in found.infolist():
            if entry.filename in trees | strings or entry.filename.endswith((".xml", ".rels")):
                head = _head(path, found, entry).replace(b"\0", b"")  # of UTF-16 too
                if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
                    raise UnsafeFile(
                        f"{path}: {entry.filename} declares a document type, as bombs of entities do. The workbook is refused."
                    )
        sizes = {entry.filename: (entry.file_size, entry.compress_size) for entry in found.infolist()}
        for names, most, cost, what in (
            (trees, TREES, TREE_COST, "its styles and lists of parts"),
            (strings, math.inf, STRING_COST, "its table of strings"),
        ):
            whole = sum(sizes[name][0] for name in names)
            packed = sum(sizes[name][1] for name in names)
            if whole > most or (whole > 2**20 and whole > RATIO * packed):
                raise UnsafeFile(
                    f"{path} ({what}) would swell to {limits.words(whole)}, as bombs do. Save it again, or the sheet as CSV."
                )
            limits.need(cost * whole, f"{path} ({what})", "Save the sheet as CSV, which is read in parts.")


def _head(path: Path, found: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int = 2**12) -> bytes:
    try:
        with found.open(entry) as part:
            return part.read(size)
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise DataError(f"{path}: {entry.filename} cannot be unpacked ({error}). Save it again.") from error


def _parsed_whole(path: Path, found: zipfile.ZipFile) -> tuple[set[str], set[str]]:
    """Names of the entries that openpyxl parses as trees when it opens a workbook, and of those that hold its strings.

    Sheets are read row by row. Which part is what is said by the list of content types, whatever the parts are called.
    """
    entries = {entry.filename: entry for entry in found.infolist()}
    trees = {name for name in entries if name.endswith(".rels")} | FIXED & entries.keys()
    strings, charts = set[str](), set[str]()
    for name in trees - {STYLES}:
        if entries[name].file_size > TREES:
            raise UnsafeFile(
                f"{path}: {name} has {limits.words(entries[name].file_size)}, as bombs have. Save it again."
            )
        text = _head(path, found, entries[name], TREES).decode("utf-8", "replace").replace("\0", "")
        for tag in re.findall(r"<[^>]*>", text):
            attributes = dict(re.findall(r"""([\w:]+)\s*=\s*["']([^"']*)""", tag))
            part = attributes.get("PartName", "")[1:]
            if attributes.get("ContentType", "").endswith("sharedStrings+xml"):
                strings.add(part)
            elif attributes.get("ContentType", "").endswith("main+xml"):
                trees = trees | {part}
            elif "chartsheet" in attributes.get("Type", ""):
                charts.add(attributes.get("Target", "").rpartition("/")[2])
    trees |= {name for name in entries if name.rpartition("/")[2] in charts}
    return trees & entries.keys(), strings & entries.keys()


def _read(path: Path, book: Any, rows: int | None, asked: str | None, room: float | None) -> Raw:
    names = [sheet.title for sheet in book.worksheets]
    if asked is not None and str(asked) not in names:
        raise FitError(f"{path} has no sheet {str(asked)!r}; it has {', '.join(map(repr, names[:10]))}.")
    notes: list[str] = []
    for name in [str(asked)] if asked is not None else names:
        table = _Sheet(path, name, Sampler(rows, room))
        book[name].reset_dimensions()  # what a sheet says of its size may be untrue
        table.take(book[name].iter_rows(values_only=True))
        if table.sampler.total:
            break
    else:
        listed = ", ".join(map(repr, names[:10]))
        raise DataError(f"{path}: no sheet holds a header and rows ({listed}); a table was wanted.")
    if asked is None and len(names) > 1:
        others = ", ".join(repr(other) for other in names if other != name)
        notes.append(f"The sheet {name!r} was taken; there are {others[:200]} too (--set data.sheet=NAME).")
    cells = table.sampler.table()
    for j, column in enumerate(table.names):
        if table.kinds[column] == {"date", "datetime"}:  # midnight is spelled as the other hours are
            short = pc.equal(pc.utf8_length(cells[column]), 10)
            longer = pc.binary_join_element_wise(cells[column], "00:00:00", " ")
            cells = cells.set_column(j, column, pc.if_else(short, longer, cells[column]))
    notes += [*table.notes, *table.sampler.note(cells.num_rows)]
    dialect = Dialect(
        form="xlsx",
        sheet=name,
        header=True,
        bare=tuple(n for n in table.names if table.kinds[n] and table.kinds[n] <= {"number", "truth"}),
        dated=tuple(n for n in table.names if table.kinds[n] in ({"date"}, {"datetime"}, {"date", "datetime"})),
    )
    total = table.sampler.total if cells.num_rows < table.sampler.total else None
    return Raw(cells, "csv", str(path), dialect, total, tuple(notes))


class _Sheet:
    """Rows of a sheet as columns of strings."""

    def __init__(self, path: Path, name: str, sampler: Sampler) -> None:
        self.path, self.name, self.sampler = path, name, sampler
        self.names: list[str] = []
        self.kinds: dict[str, set[str]] = {}
        self.notes: list[str] = []
        self.errors = 0

    def take(self, rows: Iterator[Sequence[Any]]) -> None:
        """All rows, the header being the first that has most of the cells that the first rows have."""
        head: list[tuple[int, Sequence[Any]]] = []
        number, blank, batch = 0, 0, list[list[str | None]]()
        for row in rows:
            number += 1
            if number > ROWS:  # openpyxl gives an empty row for each that is passed over
                raise DataError(
                    f"{self.path}, sheet {self.name!r} has a row beyond the {ROWS:,} that a sheet can have."
                )
            if not any(_filled(value) for value in row):
                blank += bool(head) or bool(self.names)
                continue
            if not self.names:
                head.append((number, row))
                if len(head) <= TITLES:
                    continue
                batch += self._begin(head)
                continue
            batch.append(self._words(row, number))
            if len(batch) >= BATCH:
                self._flush(batch)
                batch = []
        if not self.names and len(head) > 1:
            batch += self._begin(head)
        if batch:
            self._flush(batch)
        if blank and self.names:
            self.notes.append("Empty rows were passed over.")
        if self.errors:
            self.notes.append(f"{self.errors:,} cells hold errors such as #N/A; they are taken as missing.")
        empty = [name for name in self.names if not self.kinds[name]]
        if empty:
            self.notes.append(
                f"{', '.join(map(repr, empty[:3]))} hold nothing; formulas count only once Excel has saved their values."
            )

    def _begin(self, head: list[tuple[int, Sequence[Any]]]) -> list[list[str | None]]:
        counts = [sum(map(_filled, row)) for _, row in head]
        first = next(i for i, count in enumerate(counts) if 2 * count > max(counts))
        number, row = head[first]
        width = max(max((j + 1 for j, value in enumerate(r) if _filled(value)), default=0) for _, r in head[first:])
        if width > COLUMNS:
            raise DataError(
                f"{self.path}, sheet {self.name!r} has more than {COLUMNS:,} columns; keep those that matter."
            )
        if first:
            self.notes.append(
                f"{first} row{'s' if first > 1 else ''} above the header, in row {number}, were passed over."
            )
        for j in range(width):
            value = row[j] if j < len(row) else None
            name = _word(value)[0] if _filled(value) else None
            if name is not None and name in self.names:
                raise DataError(
                    f"{self.path}, sheet {self.name!r}, row {number} names the column {name!r} twice; "
                    "each column needs a name of its own."
                )
            self.names.append(f"column_{j + 1}" if name is None else name)
        unnamed = [name for j, name in enumerate(self.names) if j >= len(row) or not _filled(row[j])]
        if unnamed:
            self.notes.append(
                f"Columns without a name in the header (or under a merged one) are called {', '.join(unnamed[:5])}."
            )
        self.kinds = {name: set() for name in self.names}
        return [self._words(row, number) for number, row in head[first + 1 :]]

    def _words(self, row: Sequence[Any], number: int) -> list[str | None]:
        if any(map(_filled, row[len(self.names) :])):
            raise DataError(
                f"{self.path}, sheet {self.name!r}, row {number:,} has a cell beyond the {len(self.names)} columns of the header. "
                "Name its column, or take it out."
            )
        out: list[str | None] = []
        for j, name in enumerate(self.names):
            value = row[j] if j < len(row) else None
            wrong = isinstance(value, str) and value in _ERRORS
            self.errors += wrong
            if wrong or not _filled(value):
                out.append(None)
                continue
            word, kind = _word(value)
            self.kinds[name].add(kind)
            out.append(word)
        return out

    def _flush(self, batch: list[list[str | None]]) -> None:
        limits.need(
            100.0 * len(batch) * len(self.names),
            f"{self.path} ({len(self.names):,} columns)",
            "Keep the columns that matter.",
        )
        columns = [pa.array(list(column), pa.string()) for column in zip(*batch, strict=True)]
        self.sampler.add(pa.table(columns, names=self.names))


_ERRORS = frozenset(("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#GETTING_DATA"))


def _filled(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _word(value: Any) -> tuple[str, str]:
    """A cell as text, and what it was: "text", "number", "truth", "date", "datetime" or "time"."""
    if isinstance(value, bool):
        return ("true" if value else "false"), "truth"
    if isinstance(value, int):
        return str(value), "number"
    if isinstance(value, float):
        return (str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)), "number"
    if isinstance(value, dt.datetime):
        if value.time() == dt.time():
            return value.date().isoformat(), "date"
        return value.isoformat(" ", "seconds" if not value.microsecond else "microseconds"), "datetime"
    if isinstance(value, dt.date):
        return value.isoformat(), "date"
    if isinstance(value, dt.time | dt.timedelta):
        return str(value), "time"
    return str(value), "text"


def write(cells: pa.Table, dialect: Dialect) -> bytes:
    """A workbook of one sheet; the same rows give the same bytes. Text stays text: nothing is written as a formula."""
    if cells.num_rows > 1_048_575:
        raise FitError(
            f"a sheet holds 1,048,575 rows under its header; {cells.num_rows:,} were asked for. Write .csv or .parquet."
        )
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    with temporary():  # openpyxl keeps a sheet there until it is saved
        return _written(cells, dialect, openpyxl.Workbook(write_only=True), WriteOnlyCell)


def _written(cells: pa.Table, dialect: Dialect, book: Any, lone: Any) -> bytes:
    sheet = book.create_sheet((dialect.sheet if dialect.sheet else "made")[:31])

    def cell(text: str | None, name: str | None) -> Any:
        if text is None:
            return None
        value: Any = text
        if name in dialect.bare:
            value = text == "true" if text in ("true", "false") else _number(text)
        elif name in dialect.dated:
            value = _date(text)
        out = lone(sheet, value)
        if isinstance(value, str):
            out.data_type = "s"
        return out

    sheet.append([cell(name, None) for name in cells.column_names])
    columns = [column.cast(pa.string()).to_pylist() for column in cells.columns]
    for row in zip(*columns, strict=True):
        sheet.append([cell(text, name) for text, name in zip(row, cells.column_names, strict=True)])
    book.properties.created = book.properties.modified = STAMP
    out, again = io.BytesIO(), io.BytesIO()
    book.save(out)
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(again, "w") as new:
        for entry in old.infolist():  # with a clock that stands still
            data = old.read(entry)
            if entry.filename == "docProps/core.xml":
                data = _unstamped(data)
            new.writestr(zipfile.ZipInfo(entry.filename), data, zipfile.ZIP_DEFLATED)
    return again.getvalue()


def _unstamped(core: bytes) -> bytes:
    """The workbook's properties without the moment of saving."""
    begin, end = core.find(b"<dcterms:modified"), core.find(b"</dcterms:modified>")
    return core if begin < 0 or end < 0 else core[:begin] + core[end + len(b"</dcterms:modified>") :]


def _number(text: str) -> Any:
    try:
        return int(text) if len(text.lstrip("-")) <= DIGITS else text
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if value - value == 0 else text


def _date(text: str) -> Any:
    try:
        if len(text) <= 10:
            return dt.date.fromisoformat(text)
        at = dt.datetime.fromisoformat(text)
        return text if at.tzinfo is not None else at  # a cell has no zone
    except ValueError:
        return text
