"""Rows and records of files that any program may write anew, in one spelling each: quotes, delimiters, blanks, the encoding of
Chinese and zeros behind a point do not count. Values do: `007` is not `7`, and a number that was rounded is another.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import os
import re
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, Any

from karat import limits
from karat.errors import DataError
from karat.provenance.files import BLOCK, COSTS
from karat.provenance.label import KEYWORD

DELIMITERS = ",;\t|"
CELL = "\x1f"  # between the cells of a row
DECIMAL = re.compile(r"(-?\d+)(\.\d*?)0*")
TRUTHS = ("True", "False", "TRUE", "FALSE")
ROWS = 1 << 20  # that a sheet can have
SHORT = 32  # characters of a cell that is remembered
CELLS = (
    10_000_000  # of a workbook, beside 200 for each of its bytes: rows are padded as far as a cell says that it stands
)
XML_COSTS = 10  # bytes of memory for each of a workbook's unpacked parts, about


class OddError(ValueError):
    """What no reader of rows takes: then the lines are what there is."""


def delimited(file: IO[bytes]) -> Iterator[bytes]:
    """The rows of CSV or TSV; OddError where a line or a cell is as long as none is."""
    lines = _lines(file)
    first = next(lines, "").removeprefix("\ufeff")
    mark = max(DELIMITERS, key=first.count)
    try:
        for row in csv.reader(_again(first, lines), delimiter=mark):
            if row:
                yield _bytes(CELL.join(map(_plain, row)))
    except csv.Error as error:
        raise OddError(str(error)) from None


def _again(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _lines(file: IO[bytes]) -> Iterator[str]:
    encoding = _encoding(file.read(BLOCK))
    file.seek(0)
    while part := file.readline(BLOCK):
        if len(part) == BLOCK and not part.endswith(b"\n"):
            raise OddError("a line is longer than a block")
        yield part.decode(encoding, "surrogateescape")


def _encoding(start: bytes) -> str:
    """UTF-8, or GB 18030 where a file begins with what is none and could be that: programs write Chinese in either."""
    for name in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            codecs.getincrementaldecoder(name)().decode(start)
            return name
    return "utf-8"


def _plain(cell: str) -> str:
    if cell[-1:] in ("0", ".") and "." in cell:
        return _shorter(cell) if len(cell) < SHORT else _number_of(cell)
    return cell.lower() if cell in TRUTHS else cell


def _number_of(cell: str) -> str:
    found = DECIMAL.fullmatch(cell)
    return cell if found is None else found[1] + (found[2] if len(found[2]) > 1 else "")


_shorter = lru_cache(1 << 12)(_number_of)  # the same cells come millions of times in what swells


def listed(file: IO[bytes]) -> Iterator[bytes]:
    """The records of JSON, of a list or on a line each; of an object what stands under its keys, but a label."""
    size = file.seek(0, os.SEEK_END)
    limits.need(COSTS * size, "reading JSON", "Check a part of it.")
    file.seek(0)
    try:
        whole = json.loads(file.read().decode("utf-8-sig"), parse_float=_number)
    except (ValueError, RecursionError):  # records on lines
        file.seek(0)
        yield from lined(file)
        return
    for name, value in whole.items() if isinstance(whole, dict) else [("", whole)]:
        if name == KEYWORD:
            continue
        yield from [_bytes(name)] if name else []
        yield from (_spelled(one) for one in (value if isinstance(value, list) else [value]))


def lined(file: IO[bytes]) -> Iterator[bytes]:
    """The records of JSON lines; a line that is no JSON as it stands. OddError where one is as long as none is."""
    for line in _lines(file):
        text = line.removeprefix("\ufeff").strip()
        if text:
            try:
                yield _spelled(json.loads(text, parse_float=_number))
            except (ValueError, RecursionError):
                yield _bytes(text)


def _spelled(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def workbook(file: IO[bytes]) -> Iterator[bytes]:
    """The rows of each sheet, as values: whole numbers as such, moments in ISO 8601, nothing of what is empty at the end."""
    import openpyxl  # as few files are workbooks

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        parts = sum(entry.file_size for entry in archive.infolist())
    limits.need(XML_COSTS * parts, "reading a workbook", "Check the sheet as .csv.")
    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    seen = 0
    for sheet in book.worksheets:
        yield b"\0"
        for i, row in enumerate(sheet.iter_rows(values_only=True)):
            seen += 1 + len(row)
            if i > ROWS or seen > CELLS + 200 * size:
                raise DataError(f"a workbook of {size:,} bytes has more than {seen - 1:,} cells, as bombs do.")
            text = CELL.join(map(_value, row)).rstrip(CELL)
            if text:
                yield _bytes(text)


def _value(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def words(text: str) -> Iterator[str]:
    """Five words after each other, or as many characters of Chinese, and the next five from the second on, and so on."""
    found = re.findall(r"[\u2e80-\u9fff\uac00-\ud7af]|[^\W\u2e80-\u9fff\uac00-\ud7af]+", text)
    for i in range(max(1, len(found) - 4)):
        yield " ".join(found[i : i + 5])
