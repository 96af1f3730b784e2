"""Tables that cannot be read: each refusal names the file, the line or byte, and costs neither memory nor time."""

from __future__ import annotations

import gzip
import io
import re
import resource
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karat.content.table.io import delimited, sources
from karat.errors import DataError

ROWS = b"a,b,c\n" + b"".join(b"%d,%d,x%d\n" % (i, i * i, i) for i in range(500))


def refused(path: Path, read: Callable[[Path], object] = delimited.read) -> str:
    """The message of the refusal."""
    with pytest.raises(DataError) as caught:
        read(path)
    said = str(caught.value)
    assert str(path) in said and len(said) < 500 and said.count("\n") <= 1
    return said


def bad(tmp_path: Path, data: bytes, name: str = "bad.csv") -> str:
    file = tmp_path / name
    file.write_bytes(data)
    return refused(file)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", r"line 3 has 2 fields where the header has 3"),
        (b"a,b,c\n1,2,3\n4,5,6,7\n", r"line 3 has 4 fields where the header has 3"),
        (b'a,b\n"two\nlines",1\n2\n', r"line 4 has 1 field where the header has 2"),
        (b'a,b\n\n\n"x, y",1\n\n2,3,4\n', r"line 6 has 3 fields"),
        (b'a,b\n5" disk,1\n7" disk,"2",3\n', r"line 3 has 3 fields"),
        (b"a,b\r\n1,2\r\n3\r\n", r"line 3 has 1 field"),
        (b"a,b\r1,2\r3,4,5\r", r"line 3 has 3 fields"),
        (b"1,2,3\n4,5,6\n7,8\n", r"line 3 has 2 fields where the first row 3"),
        (b"Report 2024\n\na,b\n1,2\n3,4\n", r"line 3 has 2 fields where the header has 1. If there is a title"),
        (ROWS + b"1,2\n", r"line 502 has 2 fields"),
        (b"a,b,a\n1,2,3\n", r"line 1 names the column 'a' twice \(fields 1 and 3\)"),
        (b'\n"a","a"\n1,2\n', r"line 2 names the column 'a' twice"),
        (b"a,b\n1,\x002\n", r"line 2 holds a NUL byte, byte offset 6"),
        (b'a,b\n1,x\n2,"y\n3,z\n', r'line 3: the quote that opens at "y is never closed'),
        (b'a,b\n1,x\n2,"y\n3,"z"\n4,w\n', r'line 3: the quote that opens at "y is never closed'),
        (b'a,b\n1,"x"\n2,"y\n3,"z"\n4,"w"\n', r'line 3: the quote that opens at "y is never closed'),
        (b'a,b\n1,x\n2,"y ""and"" more\n', r"line 3: the quote that opens"),
        (b"", r"is empty"),
        (b"\n\n\n", r"only blank lines"),
        (b"a,b,c\n", r"has a header \(a, b, c\) and no rows"),
        ("name,city\nZoë,Köln\nJörg,Güstrow\nÄnne,L".encode() + b"\xff\n", r"line 4 holds bytes that are not UTF-8"),
        (b"a,b\n1,\xff\xfe\xff\n", r"line 2 holds bytes that are not UTF-8 \(byte offset 6\)"),
        ("\ufeffa,b\n1,2\n".encode("utf-16-le") + b"\x00\xd8", r"cannot be read as utf-16-le: about line 3"),
        (gzip.compress(ROWS)[:-30], r"is cut short"),
        (gzip.compress(ROWS)[:40] + b"damage" + gzip.compress(ROWS)[46:], r"is damaged"),
        (
            b"PK\x03\x04 and so on",
            r"is a zip archive that cannot be looked into, not delimited text; pack or download it again",
        ),
        (b"\x89PNG\r\n\x1a\n", r"a PNG picture"),
        (b"\x80\x04\x95\x00", r"pickles can run code"),
        (bytes(range(256)) * 20, r"NUL byte"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(data: bytes, said: str, tmp_path: Path) -> None:
    message = bad(tmp_path, data)
    assert re.search(said, message), message


_PIECES = st.sampled_from(
    [b"a", b"1.5", b",", b";", b"\t", b'"', b'""', b"\n", b"\r\n", b"\r", b"\xff", b"\x00", b" ", b"\xb1\xb1"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(_PIECES, max_size=60).map(b"".join))
def test_any_bytes_are_a_table_or_refused_in_words(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "any.csv"
    file.write_bytes(data)
    try:
        raw = delimited.read(file, longest=64)
    except DataError as error:
        assert str(file) in str(error)
    else:
        assert raw.dialect is not None and raw.cells.num_rows
        delimited.write(raw.cells, raw.dialect)


def test_a_workbook_renamed_says_what_it_is(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
    assert "workbook" in bad(tmp_path, out.getvalue())


def test_an_endless_line_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    with file.open("wb") as out:
        out.write(b"a,b\n1,2\n")
        for _ in range(40):
            out.write(b"x" * 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = refused(file, lambda path: delimited.read(path, longest=2**20))
    assert "line 3 is longer than 1 MB (the file has 40 MB)" in said
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 20_000


def test_a_packed_endless_line_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.csv.gz"
    file.write_bytes(gzip.compress(b"a,b\n" + b"1" * 50_000_000, 1))
    assert "line 2 is longer than 1 MB" in refused(file, lambda path: delimited.read(path, longest=2**20))


def test_a_quote_left_open_in_a_long_file_is_found_without_reading_it_all(tmp_path: Path) -> None:
    file = tmp_path / "open.csv"
    file.write_bytes(b'a,b\n1,"x\n' + b"2,y\n" * 500_000)
    assert "line 2: the quote" in refused(file, lambda path: delimited.read(path, longest=100_000))


def test_a_million_columns_are_refused_with_their_number(tmp_path: Path) -> None:
    names = ",".join(f"c{j}" for j in range(1_000_000)).encode()
    assert "has 1,000,000 columns; at most 10,000" in bad(tmp_path, names + b"\n" + b"1," * 999_999 + b"1\n")
    quoted = b",".join(b'"c %d"' % j for j in range(20_000))
    assert "has 20,000 columns" in bad(tmp_path, quoted + b"\n" + b"1," * 19_999 + b"1\n")


def test_thousands_of_columns_are_read(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_bytes(",".join(f"c{j}" for j in range(5000)).encode() + b"\n" + (b"1," * 4999 + b"1\n") * 3)
    assert delimited.read(file).cells.shape == (3, 5000)


def test_a_late_byte_in_another_encoding_is_judged_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "late.csv"
    file.write_bytes(b"id,city\n" + b"1,Rome\n" * 900_000 + "2,北京市\n3,上海市\n".encode("gbk"))
    raw = delimited.read(file)
    assert raw.dialect is not None and raw.dialect.encoding == "gb18030"
    assert raw.cells["city"][-1].as_py() == "上海市" and "judged" in raw.notes[0]


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_a_parquet_file_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(1000), "b": np.arange(1000.0)}), out)
    data = out.getvalue()
    file = tmp_path / "half.parquet"
    file.write_bytes(data[: int(len(data) * share)])
    assert "cut short or damaged" in refused(file, lambda path: sources.open_table(path, {}))


def test_columns_that_are_no_plain_values_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "nested.parquet"
    pq.write_table(pa.table({"id": [1, 2], "tags": [["a"], ["b", "c"]], "who": [{"x": 1}, {"x": 2}]}), file)
    said = refused(file, lambda path: sources.open_table(path, {}))
    assert "tags (list" in said and "who (struct" in said and "Unnest" in said
    with pytest.raises(DataError, match="raw \\(binary\\)"):
        sources.open_table(pa.table({"raw": [b"\x00"]}), {})


def test_a_parquet_file_without_rows_or_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), file)
    assert "no rows" in refused(file, lambda path: sources.open_table(path, {}))
    with pytest.raises(DataError, match="'a' twice"):
        sources.open_table(pa.table([[1], [2]], names=["a", "a"]), {})


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("create table t (a)")
        connection.executemany("insert into t values (?)", [(i,) for i in range(5000)])
    connection.close()
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    assert "cannot be read" in refused(file, lambda path: sources.open_table(path, {"table": "t"}))


def test_what_is_not_there_or_is_no_table_is_said(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "gone.csv", lambda path: sources.open_table(path, {}))
    with pytest.raises(DataError, match="list was given"):
        sources.open_table([1, 2, 3], {})
