"""Workbooks that lie or swell (S5): refused in a line, before they cost time or memory."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from karat import limits
from karat.content.table.io.sources import open_table
from karat.errors import DataError, TooLarge, UnsafeFile

STRINGS = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
Harm = Callable[[dict[str, bytes]], None]


def workbook(path: Path, harm: Harm) -> Path:
    """A workbook of sixty rows whose parts `harm` has changed."""
    book = openpyxl.Workbook()
    for i in range(61):
        book.active.append(["name", "n"] if i == 0 else [f"row {i}", i])
    book.save(path)
    with zipfile.ZipFile(path) as found:
        parts = {name: found.read(name) for name in found.namelist()}
    harm(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, blob in parts.items():
            made.writestr(name, blob)
    return path


def swelling(part: str, after: bytes, piece: bytes) -> Harm:
    def harm(parts: dict[str, bytes]) -> None:
        assert after in parts[part]
        parts[part] = parts[part].replace(after, after + piece * (3_000_000 // len(piece)), 1)

    return harm


def strings(name: str) -> Harm:
    """A table of strings in a part of that name."""

    def harm(parts: dict[str, bytes]) -> None:
        told = f'<Override PartName="/{name}" ContentType="{STRINGS}"/></Types>'.encode()
        parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(b"</Types>", told)
        parts[name] = (
            b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">' + b"<si/>" * 600_000 + b"</sst>"
        )

    return harm


def far(parts: dict[str, bytes]) -> None:
    sheet = "xl/worksheets/sheet1.xml"
    row = b'<row r="2000000000"><c r="A2000000000"><v>1</v></c></row></sheetData>'
    parts[sheet] = parts[sheet].replace(b"</sheetData>", row)


def wide(parts: dict[str, bytes]) -> None:
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(
        b'<dimension ref="A1:B61"', b'<dimension ref="A1:XFD1048576"'
    )


BOMBS: dict[str, Harm] = {
    "styles": swelling("xl/styles.xml", b'<fonts count="1">', b"<font/>"),
    "strings": strings("xl/sharedStrings.xml"),
    "strings elsewhere": strings("xl/worksheets/sheet9.xml"),
    "parts": swelling("[Content_Types].xml", b"<Default", b' a="b"'),
    "relations": swelling("xl/_rels/workbook.xml.rels", b"<Relationship ", b'a="b" '),
    "sheets": swelling("xl/workbook.xml", b"<sheets>", b"<sheet/>"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_whose_parts_swell_is_refused_before_they_are_parsed(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile, match="as bombs"):
        open_table(workbook(tmp_path / "t.xlsx", BOMBS[name]), {})


def test_a_workbook_that_fits_is_read_whatever_it_says_of_its_size(tmp_path: Path) -> None:
    assert open_table(workbook(tmp_path / "t.xlsx", wide), {}).cells.num_rows == 60


def test_a_row_beyond_the_end_of_every_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="beyond the 1,048,576"):
        open_table(workbook(tmp_path / "t.xlsx", far), {})


def test_strings_that_memory_cannot_hold_are_refused_before_they_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path / "t.xlsx", lambda parts: None)
    monkeypatch.setenv("KARAT_MEMORY_GB", "1e-6")
    with pytest.raises(TooLarge, match="table of strings|styles"):
        open_table(path, {})
    assert limits.available() == 1e3
