"""Tables in JSON and packed files: read, and written as they came."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from karat.content import Tables, Texts, recognise
from karat.content.table.io import packed, sources
from karat.content.table.io.sources import open_table
from karat.data import load
from karat.errors import DataError, FitError, UnsafeFile
from karat.verbs import look

CSV = b"id,name,score\n" + b"".join(b"%d,name %d,%d.5\n" % (i, i % 7, i % 11) for i in range(300))
RECORDS = [
    {
        "id": i,
        "name": f"n{i % 7} é",
        "score": None if i % 50 == 3 else i / 8,
        "ok": i % 3 == 0,
        "at": f"2024-01-{i % 28 + 1:02}",
    }
    for i in range(300)
]


def made_again(path: Path) -> bytes:
    """The table at `path` written in its own form, all its rows."""
    contents = Tables.read(path, {})
    codec = Tables.fit(contents, np.arange(len(contents.records)))
    return codec.pack(contents.records, codec.wholes[0])


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    return bytes(out.getvalue())


PACKED = {
    "t.csv.gz": gzip.compress(CSV),
    "t.csv.bz2": bz2.compress(CSV),
    "t.csv.xz": lzma.compress(CSV),
    "t.csv.zst": zstd(CSV),
    "t.csv.zip": zipped({"a.csv": CSV}),
    "t.zip": zipped({"in/a.csv": CSV, "__MACOSX/x": b"1"}),
    "two.csv.bz2": bz2.compress(CSV[:2000]) + bz2.compress(CSV[2000:]),
    "two.csv.xz": lzma.compress(CSV[:2000]) + lzma.compress(CSV[2000:]),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_table_is_read_and_written_packed_the_same_way(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(PACKED[name])
    assert recognise(file) is Tables
    raw = open_table(file, {})
    assert raw.cells.num_rows == 300 and raw.dialect is not None
    out = made_again(file)
    again = tmp_path / f"again{'.csv.zip' if name == 't.zip' else name[name.index('.') :]}"
    again.write_bytes(out)
    assert packed.form_of(again) == raw.dialect.packed and open_table(again, {}).cells == raw.cells
    assert out == made_again(file), "the same rows give the same bytes"


@pytest.mark.parametrize("name", [name for name in PACKED if name != "t.zip"])
def test_a_packed_table_that_is_cut_or_damaged_is_refused_in_our_words(name: str, tmp_path: Path) -> None:
    whole = PACKED[name]
    for blob in (whole[: len(whole) // 2], whole[:40] + b"damage" + whole[46:], whole[:9]):
        file = tmp_path / name
        file.write_bytes(blob)
        with pytest.raises(DataError) as caught:
            if open_table(file, {}).cells.num_rows == 300:  # some formats find damage only in their last bytes
                raise DataError(str(file))
        assert str(file) in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.ndjson.gz", "wrapped.json", "columns.json", "lines.json"])
def test_records_in_json_are_a_table_and_are_written_as_records(name: str, tmp_path: Path) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in RECORDS)
    text = {
        "t.json": json.dumps(RECORDS, indent=1),
        "wrapped.json": json.dumps({"count": 300, "data": RECORDS}),
        "columns.json": json.dumps({key: [row[key] for row in RECORDS] for key in RECORDS[0]}),
    }.get(name, lines)
    file = tmp_path / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert recognise(file) is Tables
    contents = Tables.read(file, {})
    kinds = {column.name: column.kind for column in contents.records.facts.schema.columns}
    assert kinds["score"] == "decimal" and kinds["at"] == "date" and kinds["ok"] == "boolean", kinds
    out = made_again(file)
    out = gzip.decompress(out) if name.endswith("gz") else out
    lined = name in ("t.jsonl", "t.ndjson.gz", "lines.json")
    found = [json.loads(line) for line in out.splitlines()] if lined else json.loads(out)
    assert (found["data"] if name == "wrapped.json" else found) == RECORDS
    assert lined == any("Taken for a table" in note for note in contents.facts["notes"])


def test_fields_that_are_missing_or_come_late_are_empty_and_objects_come_and_go(tmp_path: Path) -> None:
    rows = [
        {"id": i, "who": {"name": f"n{i}", "age": i % 90}} | ({"late": 1.50} if i > 250 else {}) for i in range(300)
    ]
    file = tmp_path / "t.json"
    file.write_text(json.dumps(rows))
    raw = open_table(file, {})
    assert raw.cells.column_names == ["id", "who.name", "who.age", "late"] and raw.cells["late"].null_count == 251
    assert "who.name" in " ".join(raw.notes)
    found = json.loads(made_again(file))
    assert found[7] == {**rows[7], "late": None} and found[299] == rows[299]


def test_numbers_are_spelled_as_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("".join(f'{{"id": {10**17 + i}, "price": {i}.50, "code": "00{i}"}}\n' for i in range(100)))
    assert '{"id": 100000000000000003, "price": 3.50, "code": "003"}' in made_again(file).decode()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.json", '[{"a": 1}, {"a": ]', "is no JSON: character"),
        ("t.json", "[[1, 2], [3, 4]]", "record 1 is a list"),
        ("t.json", '{"a": 1}', "no list of records"),
        ("t.json", '{"a": [{"x": 1}], "b": [{"y": 1}]}', "several lists of records .'a', 'b'"),
        ("t.json", '[{"a": [1, 2]}]', "field 'a' of record 1 holds a list"),
        ("t.json", "[]", "no records"),
        ("t.json", "[" * 100_000, "nested too deeply"),
        ("t.json", '[{"a": ' * 50_000, "nested too deeply"),
        ("t.jsonl", '{"a": 1, "b": 2}\n{"a": 1, "b": }\n', "line 2 is no JSON: character 15"),
        ("t.jsonl", '{"a": 1, "b": 2}\n3\n', "record 2 is a single value"),
        ("t.json", json.dumps([{f"c{j}": 1 for j in range(20_000)}]), "20,000 fields; at most 10,000"),
    ],
)
def test_what_is_no_table_in_json_is_said_with_its_place(name: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        open_table(file, {})
    assert str(file) in str(caught.value) and len(str(caught.value)) < 400


def test_lines_of_json_are_text_or_a_table_by_their_fields_and_a_person_may_choose(tmp_path: Path) -> None:
    prose = "It was a dark and stormy night, and nobody had thought of bringing a lamp. " * 4
    cases = {
        "text": [{"text": "short"}],
        "text ": [{"text": "short", "label": "a"}],
        "text  ": [{"id": 1, "text": prose, "date": "2024", "by": "x"}],
        "text   ": [{"messages": [{"role": "user", "content": "hi"}], "n": 1, "m": 2}],
        "text    ": ["just", "strings"],
        "table": [{"text": "yes", "price": 3, "n": 4}],
        "table ": [{"a": 1, "b": "x"}],
        "table  ": [{"age": 3, "city": "Rome", "review": "fine"}],
    }
    for kind, rows in cases.items():
        file = tmp_path / "t.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows * 50))
        assert recognise(file) is (Texts if kind.startswith("text") else Tables), rows
    assert recognise(file, {"text": "review"}) is Texts and recognise(file, {"as": "text"}) is Texts
    assert recognise(file, {"as": "table"}) is Tables
    with pytest.raises(FitError, match="data.as=picture; table or text was wanted"):
        recognise(file, {"as": "picture"})


def test_a_column_of_prose_is_proposed_to_be_learned_as_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "the meal was good but service slow and our table near a door that never closed in winter"
    words = text.split()
    rows = [f'{i},{i % 5},"{" ".join(rng.choice(words, 25))}"' for i in range(300)]
    file = tmp_path / "t.csv"
    file.write_text("id,stars,review\n" + "\n".join(rows) + "\n")
    said = " ".join(look(file, probe=False)["warnings"])
    assert "--set data.learn=review learns to write it" in said and "--set data.text=review text alone" in said
    assert load(file, options={"text": "review"}).codec.name == "text"


KINDS: dict[str, tuple[bytes, str, type[Exception]]] = {
    "t.pdf": (b"%PDF-1.7\n", "a PDF", DataError),
    "t.docx": (zipped({"[Content_Types].xml": b"", "word/document.xml": b""}), "Word document", DataError),
    "t.pt": (
        zipped({"archive/data.pkl": b"", "archive/version": b"3"}),
        "PyTorch file.*pickles can run code",
        UnsafeFile,
    ),
    "t.pkl": (b"\x80\x04\x95\x10\0\0\0", "Python pickle", UnsafeFile),
    "t.joblib": (b"\x80\x03ccollections", "Python pickle", UnsafeFile),
    "t.mp4": (b"\0\0\0\x20ftypisom" + bytes(40), "a film or sound", DataError),
    "t.exe": (b"MZ\x90\0\x03\0\0\0\x04", "a Windows program", DataError),
    "t.html": (b"<!DOCTYPE html><html>", "a web page", DataError),
    "t.svg": (b'<svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing", DataError),
    "t.xml": (b"<?xml version='1.0'?><a/>", "XML", DataError),
    "t.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file", DataError),
    "t.h5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5", DataError),
    "t.sas7bdat": (bytes(12) + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011"), "a SAS table", DataError),
    "t.sav": (b"$FL2@(#) SPSS DATA FILE", "an SPSS table", DataError),
    "t.dta": (b"<stata_dta><header>", "a Stata table", DataError),
    "t.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office file such as .xls", DataError),
    "t.ods": (
        zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}),
        "OpenDocument workbook",
        DataError,
    ),
    "t.rar": (b"Rar!\x1a\x07\0", "RAR archive", DataError),
    "t.7z": (b"7z\xbc\xaf\x27\x1c", "7z archive", DataError),
    "t.tar": (bytes(257) + b"ustar\0" + bytes(300), "tar archive", DataError),
    "t.dat": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull", DataError),
    "t.avro": (b"Obj\x01\x04\x14", "Avro", DataError),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_wrong_kind_is_called_what_it_is_whatever_its_name(name: str, tmp_path: Path) -> None:
    data, said, kind = KINDS[name]
    for called in (name, "t.csv", "t.odd", *(["t.csv.gz"] if not data.startswith(b"PK") else [])):
        file = tmp_path / called
        file.write_bytes(gzip.compress(data) if called.endswith(".gz") else data)
        with pytest.raises(kind, match=said) as caught:
            recognise(file).read(file, {})
        assert str(file) in str(caught.value) and len(str(caught.value)) < 300
    if name == "t.pdf":
        assert not sources.recognises(tmp_path / "t.pdf")
