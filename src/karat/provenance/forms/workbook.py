"""Excel workbooks: the label stands in the custom properties (docProps/custom.xml; ISO/IEC 29500-1, 22.3; TC260-PG-20258A)."""

from __future__ import annotations

import html
import io
import re
import zipfile
import zlib
from xml.sax.saxutils import escape

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

CUSTOM, TYPES, LINKS = "docProps/custom.xml", "[Content_Types].xml", "_rels/.rels"
FORMAT = "{D5CDD505-2E9C-101B-9397-08002B2CF9AE}"
MOST = 1 << 20  # bytes of a part that is unpacked here
TOTAL = 1 << 32  # of all parts
EMPTY = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<Properties '
    'xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" '
    'xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"></Properties>'
)
TYPE = (
    '<Override PartName="/docProps/custom.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'custom-properties+xml"/>'
)
LINK = (
    '<Relationship Id="rIdKarat" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
    'custom-properties" Target="docProps/custom.xml"/>'
)
PROPERTY = re.compile(r'<property\b[^>]*\bname="(AIGC|KARAT)"[^>]*>(.*?)</property>', re.DOTALL)
VALUE = re.compile(r"<vt:lpwstr[^>]*>(.*?)</vt:lpwstr>", re.DOTALL)


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the workbook has exactly this label, or none; DataError where `data` is no whole workbook.

    Every part is packed anew, in its order and with a clock that stands still.
    """
    out = io.BytesIO()
    with _opened(data) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        custom = PROPERTY.sub("", _text(old, CUSTOM) if CUSTOM in names else EMPTY)
        entries = {} if texts is None else texts.entries
        pids = [int(n) for n in re.findall(r'\bpid="(\d{1,9})"', custom)]
        ours = "".join(
            _property(key, text, max(pids, default=1) + k) for k, (key, text) in enumerate(entries.items(), 1)
        )
        changed = {
            CUSTOM: custom.replace("</Properties>", f"{ours}</Properties>"),
            TYPES: _with(_text(old, TYPES), TYPE, "</Types>"),
            LINKS: _with(_text(old, LINKS), LINK, "</Relationships>"),
        }
        for name in [*names, *({CUSTOM} - set(names))]:
            part = changed[name].encode() if name in changed else _read(old, name, TOTAL)
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            new.writestr(info, part, zipfile.ZIP_STORED if name == CUSTOM else zipfile.ZIP_DEFLATED)
    return [(0, len(data), out.getvalue())]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole workbook."""
    with _opened(data) as book:
        custom = _text(book, CUSTOM) if CUSTOM in book.namelist() else ""
    found = [(match[1], VALUE.search(match[2])) for match in PROPERTY.finditer(custom)]
    return [(key, html.unescape(value[1])) for key, value in found if value is not None]


def bare(data: Buffer) -> list[Edit]:
    """The workbook as its digest has it: names and contents of all parts but the label's, however they are packed."""
    with _opened(data) as book:
        parts = [b"%s\0%s" % (n.encode(), _read(book, n, TOTAL)) for n in sorted(book.namelist()) if n != CUSTOM]
        custom = PROPERTY.sub("", _text(book, CUSTOM) if CUSTOM in book.namelist() else EMPTY)
    return [(0, len(data), b"\0".join([*parts, custom.encode()]))]


def _opened(data: Buffer) -> zipfile.ZipFile:
    try:
        book = zipfile.ZipFile(io.BytesIO(data[:]))
        size = sum(entry.file_size for entry in book.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise DataError(f"this is no whole workbook ({error}). Make or copy it again.") from None
    if TYPES not in book.namelist() or LINKS not in book.namelist():
        raise DataError("this zip is no workbook: it does not list its parts. Make or copy it again.")
    if size > max(TOTAL // 64, 200 * len(data)) or size > TOTAL:
        raise DataError(f"the parts of this workbook would swell to {size:,} bytes, as bombs do. It is refused.")
    return book


def _read(book: zipfile.ZipFile, name: str, most: int) -> bytes:
    try:
        with book.open(name) as part:
            found = part.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        raise DataError(f"{name} of this workbook cannot be unpacked ({error}). Make or copy it again.") from None
    if len(found) > most:
        raise DataError(f"{name} of this workbook is larger than {most:,} bytes. Save it again.")
    return found


def _text(book: zipfile.ZipFile, name: str) -> str:
    return _read(book, name, MOST).decode(errors="replace")


def _with(text: str, element: str, end: str) -> str:
    return text if "docProps/custom.xml" in text else text.replace(end, element + end)


def _property(key: str, text: str, number: int) -> str:
    assert key in (KEYWORD, OWN)
    return f'<property fmtid="{FORMAT}" pid="{number}" name="{key}"><vt:lpwstr>{escape(text)}</vt:lpwstr></property>'
