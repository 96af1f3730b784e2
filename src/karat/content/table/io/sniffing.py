"""How a delimited file is written, judged from its first rows: delimiter, quoting, header (after 1811.11242).

The delimiter is chosen as in van den Burg et al., "Wrangling messy CSV files by detecting row and type patterns",
https://arxiv.org/abs/1811.11242: the one that gives rows of one length, and cells that look like something.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass

from karat.content.table.io.scanning import HEAD, blanked

STRONG = (",", ";", "\t", "|")
WEAK = (":", "^", "~", "\x01", "\x1f", " ")
SINGLE = "\x1f"  # the delimiter of one column whose text holds commas
LINES = 200

_NUMBER = re.compile(r"\s*[-+(]?[$€£¥]?\s?[-+]?(\d[\d.,' ]*|\.\d+)([eE][-+]?\d+)?\s?[%€£¥$)]?\s*")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?")
_CLOCK = re.compile(r"(?<!\d)\d{1,2}:\d{2}(:\d{2})?(?!\d)|://")
_DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),(\d{1,2}|\d{4,})")
_DECIMAL_POINT = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)\.(\d{1,2}|\d{4,})")
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?", "\\n")


@dataclass(frozen=True)
class Style:
    """What the first rows say. `quoted_columns`: indices of the columns whose filled fields all stand in quotes."""

    delimiter: str
    single: bool  # nothing separates: one column
    spaced: bool  # a space follows every delimiter
    quote: str
    quoted: str
    quoted_columns: tuple[int, ...]
    header_quoted: bool
    empty_quoted: bool
    header: bool
    decimal_comma: bool
    escaped: bool = False  # a quote within quotes stands behind a backslash, and is not doubled


def style(head: bytes, tabbed: bool = False) -> Style:
    """The style of a file whose first lines, in UTF-8, are `head`; `tabbed` where its suffix says .tsv."""
    text = head.decode("utf-8", "replace")
    quote = _quote(text)
    escaped = escapes(text, quote)
    if escaped:
        head = unescaped(head, quote.encode())
        text = head.decode("utf-8", "replace")
    delimiter = _delimiter(text, quote, tabbed)
    single = not delimiter
    if single:
        delimiter = SINGLE if b"," in blanked(head, b",", quote.encode()) else ","
    lines = _rows(text, delimiter, quote)
    spaced = (
        delimiter == ","
        and quote not in text
        and len(lines) > 1
        and all(cell.startswith(" ") and not cell.startswith("  ") for row in lines for cell in row[1:])
        and any(len(row) > 1 for row in lines)
    )
    if spaced:
        lines = [[cell.lstrip(" ") for cell in row] for row in lines]
    header = _has_header(lines)
    quoted, columns, header_quoted, empty_quoted = _quoting(text, delimiter, quote, header)
    cells = Counter(
        "," if _DECIMAL_COMMA.fullmatch(cell) else "."
        for row in lines[1:]
        for cell in row
        if _DECIMAL_COMMA.fullmatch(cell) or _DECIMAL_POINT.fullmatch(cell)
    )
    return Style(
        delimiter,
        single,
        spaced,
        quote,
        quoted,
        columns,
        header_quoted,
        empty_quoted,
        header,
        cells[","] > cells["."],
        escaped,
    )


def escapes(text: str, quote: str) -> bool:
    r"""Whether quotes within quoted fields stand behind a backslash, "a \"b\" c", where RFC 4180 doubles them."""
    found = re.search(rf"(?:^|[,;\t|]){quote}[^{quote}\n]*\\{quote}(?![,;\t|\r\n{quote}]|$)", text, re.M)
    return found is not None and not re.search(rf"[^,;\t|\r\n\\{quote}]{quote}{quote}[^,;\t|\r\n{quote}]", text)


def unescaped(text: bytes, quote: bytes) -> bytes:
    """The same with quotes doubled where they stand behind a backslash, and two backslashes as one."""
    return re.sub(rb"\\([\\" + quote + rb"])", lambda found: quote * 2 if found[1] == quote else found[1], text)


def commented(head: bytes) -> int:
    """How many lines of remarks (# or %) stand above the header; a header that begins so is none."""
    lines = head[:HEAD].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    count = next((i for i, line in enumerate(lines) if line[:1] not in (b"#", b"%")), len(lines))
    if not count or not any(line.strip() for line in lines[count:]):
        return 0
    last, body = lines[count - 1], next(line for line in lines[count:] if line.strip())
    named = any(last.count(mark) == body.count(mark) > 0 for mark in (b",", b";", b"\t", b"|"))
    if named and (last[1:2] not in (b" ", b"\t") or not style(b"\n".join(lines[count:])).header):
        return count - 1
    return count


def _quote(text: str) -> str:
    """The double quote, unless single quotes stand around fields and no double ones do outside of them."""
    single = re.compile(r"(^|[,;\t|])'(?:[^'\n]|'')*'(?=[,;\t|\r\n]|$)", re.M)
    bare, around = single.subn(r"\1x", text)
    if around < 2 or re.search(r"(?:^|[,;\t|])'", bare, re.M):
        return '"'
    return '"' if re.search(r'(?:^|[,;\t|])"(?:[^"]|"")*"(?=[,;\t|\r\n]|$)', bare, re.M) else "'"


def _rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > LINES:
                break
    except csv.Error:  # a field beyond the module's limit; what came before it will do
        pass
    return rows[:-1] if len(rows) > LINES else rows


def _delimiter(text: str, quote: str, tabbed: bool) -> str:
    """The delimiter, or "" where nothing separates."""
    found: dict[str, float] = {}
    flat = blanked(text.encode(), "".join(STRONG + WEAK).encode(), quote.encode()).decode()
    for candidate in STRONG + WEAK:
        if candidate not in flat:
            continue
        rows = _rows(text, candidate, quote)
        counts = [len(row) for row in rows]
        if not counts:
            continue
        common, times = Counter(counts).most_common(1)[0]
        share = times / len(counts)
        if common < 2:
            continue
        if candidate in STRONG:
            settled = set(counts[min(5, len(counts) // 2) :]) == {common}  # below a title, perhaps
            if share < 0.9 and not (share >= 0.5 and (counts[0] == common or min(counts) >= 2 or settled)):
                continue
        elif share < 1 or len(counts) < 2 or found or not _weak_fits(candidate, flat, rows):
            continue
        if candidate == "," and counts[0] == 1 and all(_one_field(row) for row in rows[1:]):
            continue
        cells = [cell for row in rows for cell in row]
        clean = sum(_clean(cell, candidate) for cell in cells) / len(cells)
        found[candidate] = share * clean * (common - 1) / common * (2 if tabbed and candidate == "\t" else 1)
    return max(found, key=lambda candidate: found[candidate]) if found else ""


def _one_field(row: list[str]) -> bool:
    """Whether the commas between these parts are a decimal comma or prose, below a name that has none."""
    return bool(_DECIMAL_COMMA.fullmatch(",".join(row))) or all(part.startswith(" ") for part in row[1:])


def _weak_fits(candidate: str, flat: str, rows: list[list[str]]) -> bool:
    """A colon may belong to clocks, a space to prose: they separate only where nothing else explains them."""
    lines = [line for line in flat.splitlines()[: len(rows)] if line]
    if candidate == ":":
        return not all(_CLOCK.sub("", line).count(":") == 0 for line in lines[1:])
    if candidate == " ":
        cells = [cell for row in rows[1:] for cell in row]
        return sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) > 0.5 * len(cells)
    return True


def _clean(cell: str, delimiter: str) -> bool:
    if _NUMBER.fullmatch(cell) or _DATE.fullmatch(cell):
        return True
    return not any(other in cell for other in STRONG if other != delimiter) or ", " in cell


def _looks_like_data(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns: it is of another type than what is below, or never comes again."""
    if not rows:
        return True
    first, body = rows[0], rows[1:]
    if not body:
        return not any(_looks_like_data(cell) for cell in first)
    votes = 0
    for j, cell in enumerate(first):
        below = [row[j] for row in body if j < len(row) and row[j].strip().lower() not in _MISSING]
        if not below or not cell.strip():
            continue
        typed = sum(_looks_like_data(value) for value in below) >= 0.8 * len(below)
        if typed:
            votes += -1 if _looks_like_data(cell) else 1
        elif cell in below:
            votes -= 1
    if votes < 0 and _counts_up(first, body):
        return True
    return votes >= 0


def _counts_up(first: list[str], body: list[list[str]]) -> bool:
    """Whether the numbers in the first row are names: 0, 1, 2, ... of all columns, or years in steps."""
    numbers = [int(cell) for cell in first if re.fullmatch(r"\d{1,9}", cell)]
    if len(numbers) < 2 or any(_looks_like_data(cell) and not re.fullmatch(r"\d{1,9}", cell) for cell in first):
        return False
    if numbers == list(range(len(numbers))) and len(numbers) >= 3:
        return all(cell.isdigit() or not cell.strip() for cell in first)
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    years = all(1800 <= number <= 2100 for number in numbers) and len(steps) == 1 and 0 not in steps
    again = [cell for row in body[:20] for cell in row if re.fullmatch(r"(18|19|20)\d\d", cell)]
    return years and not again


def fields(delimiter: bytes, quote: bytes) -> re.Pattern[bytes]:
    """A field, its quotes included, and what ends it: matches one after the other from a record's start."""
    q, d = re.escape(quote), re.escape(delimiter)
    quoted = rb"%b[^%b]*+(?:%b%b[^%b]*+)*+%b?" % ((q,) * 6)
    return re.compile(rb"((?:" + quoted + rb")?[^\r\n" + d + rb"]*)(" + d + rb"|\r\n|\r|\n|\Z)")


def _quoting(text: str, delimiter: str, quote: str, header: bool) -> tuple[str, tuple[int, ...], bool, bool]:
    """(quoted, quoted_columns, header_quoted, empty_quoted) of the first 64 kB."""
    if quote not in text:
        return "minimal", (), False, False
    chunk = text[: 2**16].encode()
    cut = chunk.rfind(b"\n")
    chunk = chunk[: cut + 1] if cut > 0 and len(text) > 2**16 else chunk
    q, d = quote.encode(), delimiter.encode()
    row = column = 0
    filled, always, needless = Counter[int](), Counter[int](), Counter[int]()
    head = [0, 0]
    empty = [0, 0]
    for found in fields(d, q).finditer(chunk):
        if found.end() == found.start() and found.end() == len(chunk):
            break
        cell, end = found[1], found[2]
        inside = cell.startswith(q)
        blank_line = not cell and not column and end != d
        if row == 0 and header:
            head[inside] += 1
        elif cell in (b"", q + q):
            empty[inside] += not blank_line
        else:
            filled[column] += 1
            always[column] += inside
            bare = cell[1:-1] if inside else cell
            needless[column] += inside and not any(mark in bare for mark in (q, d, b"\n", b"\r"))
        column += 1
        if end != d:
            row, column = row + (not blank_line), 0
    columns = tuple(j for j in sorted(filled) if filled[j] == always[j] and needless[j])
    quoted = "minimal" if not columns else "all" if filled == always else "text"
    return quoted, columns, head[1] > head[0], empty[1] > 0 and empty[0] == 0
