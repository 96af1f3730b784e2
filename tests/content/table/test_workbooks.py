"""Workbooks of Excel: a sheet by its name, dates, formulas, titles, and bombs."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pytest

from karat.content import Tables, recognise
from karat.content.table.io import sources
from karat.content.table.io.sources import open_table
from karat.errors import DataError, FitError, TooLarge, UnsafeFile
from karat.verbs import look

ROWS = [
    [
        i,
        f"name {i % 7}",
        i / 4,
        i % 3 == 0,
        dt.date(2024, 1, i % 28 + 1),
        dt.datetime(2024, 5, 1, i % 24, 30),
        f"=A{i + 2}*2",
        f"00{i}",
    ]
    for i in range(120)
]
HEADER = ["id", "name", "price", "ok", "day", "at", "double", "code"]


def book(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


def test_a_sheet_is_a_table_and_is_written_as_a_sheet(tmp_path: Path) -> None:
    file = book(tmp_path / "t.xlsx", {"Data": [HEADER, *ROWS], "Notes": [["a note"]]})
    assert recognise(file) is Tables
    contents = Tables.read(file, {})
    kinds = {column.name: column.kind for column in contents.records.facts.schema.columns}
    assert {**kinds, "id": "", "name": "", "double": ""} == {
        "id": "",
        "name": "",
        "price": "decimal",
        "ok": "boolean",
        "day": "date",
        "at": "datetime",
        "double": "",
        "code": kinds["code"],
    }
    notes = " ".join(contents.facts["notes"])
    assert "'Notes' too (--set data.sheet=NAME)" in notes and "'double' hold nothing; formulas count only once" in notes
    codec = Tables.fit(contents, np.arange(len(contents.records)))
    assert codec.wholes[0] == ".xlsx"
    blob = codec.pack(contents.records, ".xlsx")
    assert blob == codec.pack(contents.records, ".xlsx"), "the same rows give the same bytes"
    (tmp_path / "made.xlsx").write_bytes(blob)
    made = openpyxl.load_workbook(tmp_path / "made.xlsx")["Data"]
    found = [[cell.value for cell in row] for row in made.iter_rows()]
    assert found[0] == HEADER
    assert found[6][:4] == ROWS[5][:4] and found[6][7] == "005"
    assert found[6][4].date() == ROWS[5][4] and found[6][5] == ROWS[5][5]
    text = codec.pack(contents.records, ".csv").decode()
    assert text.splitlines()[6].startswith("5,name 5,1.25,false,2024-01-06,2024-05-01 05:30:00,")


def test_a_sheet_is_chosen_by_name_and_a_wrong_name_lists_them(tmp_path: Path) -> None:
    file = book(tmp_path / "t.xlsx", {"Empty": [], "One": [["a", "b"], [1, 2]], "Two": [["c", "d"], [3, 4], [5, 6]]})
    assert open_table(file, {}).cells.column_names == ["a", "b"]
    assert open_table(file, {"sheet": "Two"}).cells.to_pydict() == {"c": ["3", "5"], "d": ["4", "6"]}
    with pytest.raises(FitError, match="no sheet 'Three'; it has 'Empty', 'One', 'Two'"):
        open_table(file, {"sheet": "Three"})
    with pytest.raises(DataError, match="no sheet holds a header and rows .'Empty'"):
        open_table(file, {"sheet": "Empty"})
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FitError, match="not a workbook"):
        open_table(tmp_path / "t.csv", {"sheet": "One"})


def test_titles_blank_rows_merged_headers_and_errors_are_seen(tmp_path: Path) -> None:
    rows = [
        ["Report of May"],
        [],
        ["id", None, "city", "score"],
        [1, 2, "Rome", "#N/A"],
        [],
        [3, 4, "Oslo", 1.5],
        [5, 6, " ", 2],
    ]
    file = book(tmp_path / "t.xlsx", {"S": rows})
    raw = open_table(file, {})
    assert raw.cells.to_pydict() == {
        "id": ["1", "3", "5"],
        "column_2": ["2", "4", "6"],
        "city": ["Rome", "Oslo", None],
        "score": [None, "1.5", "2"],
    }
    notes = " ".join(raw.notes)
    assert (
        "1 row above the header" in notes
        and "column_2" in notes
        and "1 cells hold errors" in notes
        and "Empty rows" in notes
    )
    with pytest.raises(DataError, match="'S', row 1 names the column 'a' twice"):
        open_table(book(tmp_path / "u.xlsx", {"S": [["a", "a"], [1, 2]]}), {})
    with pytest.raises(DataError, match="'S', row 40 has a cell beyond the 2 columns"):
        open_table(book(tmp_path / "v.xlsx", {"S": [["a", "b"], *[[1, 2]] * 38, [1, 2, 3]]}), {})


def test_text_that_looks_like_a_formula_is_written_as_text() -> None:
    blob = sources.write(pa.table({"a": ["=1+1", "x"], "n": [1, None]}), ".xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(blob)).active
    assert (
        sheet["A2"].value == "=1+1"
        and sheet["A2"].data_type == "s"
        and sheet["B2"].value == 1
        and sheet["B3"].value is None
    )


def patched(file: Path, name: str, change: Any) -> Path:
    """The workbook with one of its parts changed."""
    out = file.with_name("bad.xlsx")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            data = old.read(entry)
            new.writestr(entry, change(data) if entry == name else data)
    return out


def test_bombs_in_workbooks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = book(tmp_path / "t.xlsx", {"S": [["a", "b"], *[[i, f"x{i}"] for i in range(50)]]})
    laughs = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml"):
        with pytest.raises(UnsafeFile, match=f"{part} declares a document type"):
            open_table(patched(file, part, lambda data: laughs + data[data.find(b"?>") + 2 :]), {})
    with pytest.raises(UnsafeFile, match="would swell"):
        open_table(patched(file, "xl/styles.xml", lambda data: data + b" " * (80 * 2**20)), {})
    lying = patched(
        file, "xl/worksheets/sheet1.xml", lambda data: data.replace(b'ref="A1:B51"', b'ref="A1:XFD1048576"')
    )
    assert open_table(lying, {}).cells.shape == (50, 2), "what a sheet says of its size is not believed"
    far = patched(file, "xl/worksheets/sheet1.xml", lambda data: data.replace(b'r="B51"', b'r="XFD51"'))
    with pytest.raises(DataError, match="beyond the 2 columns|more than 10,000 columns"):
        open_table(far, {})
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", b"<sst>" + b"<si><t>x</t></si>" * 9999 + b"</sst>")
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.001")
    with pytest.raises(TooLarge, match="would need about"):
        open_table(file, {})


@pytest.mark.parametrize("cut", [30, 400, 4000])
def test_a_damaged_workbook_is_refused_in_words(cut: int, tmp_path: Path) -> None:
    file = book(tmp_path / "t.xlsx", {"S": [["a", "b"], *[[i, f"x{i}"] for i in range(50)]]})
    (tmp_path / "cut.xlsx").write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DataError, match=str(tmp_path)):
        open_table(tmp_path / "cut.xlsx", {})
    broken = patched(file, "xl/worksheets/sheet1.xml", lambda data: data[: len(data) // 2])
    with pytest.raises(DataError, match="no workbook that can be read"):
        open_table(broken, {})


def test_look_shows_a_workbook(tmp_path: Path) -> None:
    file = book(tmp_path / "t.xlsx", {"Data": [HEADER, *ROWS]})
    told = look(file, probe=False)
    assert told["count"] == 120 and told["kind"] == "table"
