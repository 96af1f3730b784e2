"""A delimited file becomes strings, and the strings become the same file again."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karat.content.table.io import delimited
from karat.content.table.io.sampling import cost
from karat.content.table.table import Dialect
from karat.errors import DataError, FitError

GERMAN = "Name;Größe;Preis\r\nÄnne;1,75;1.200,50\r\nJörg;1,80;3,00\r\nZoë;1,62;17,25\r\n"
CHINESE = "编号,姓名,城市,备注\n1,张伟,北京,客户已经付款\n2,王芳,上海,等待发货\n3,李娜,广州,没有问题\n4,刘洋,深圳,请联系我们\n"
TAIWAN = "編號,姓名,城市,備註\n1,陳怡君,臺北,客戶已經付款\n2,林志明,高雄,等待發貨\n3,黃淑芬,臺中,沒有問題\n"
FRENCH = "prénom,ville,prix\nZoé,Besançon,1.50\nRenée,Orléans,2.25\nFrançois,Nîmes,3.00\n"
PLAIN = "id,name,score\n1,ann,0.50\n2,bob,\n3,,1.25\n"

SAME = {
    "plain": PLAIN.encode(),
    "semicolons and decimal commas": GERMAN.encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "pipes": PLAIN.replace(",", "|").encode(),
    "colons": b"root:x:0:/root\ndaemon:x:1:/usr/sbin\nwww:x:33:/var/www\n",
    "spaces between numbers": b"x y z\n1 2 3\n4 5.5 6\n7 8 9\n",
    "carriage returns": PLAIN.replace("\n", "\r\n").encode(),
    "old Mac": PLAIN.replace("\n", "\r").encode(),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "utf-16 little": "\ufeff".encode("utf-16-le") + CHINESE.encode("utf-16-le"),
    "utf-16 big": "\ufeff".encode("utf-16-be") + GERMAN.encode("utf-16-be"),
    "utf-16 unmarked": PLAIN.encode("utf-16-le"),
    "gbk": CHINESE.encode("gbk"),
    "big5": TAIWAN.encode("big5"),
    "windows": FRENCH.encode("cp1252"),
    "chinese in utf-8": CHINESE.encode(),
    "no final newline": PLAIN.encode()[:-1],
    "no final newline utf-16": "\ufeff".encode("utf-16-le") + PLAIN[:-1].encode("utf-16-le"),
    "all quoted": b'"id","name"\r\n"1","a, b"\r\n"2",""\r\n"3","say ""hi"""\r\n',
    "text quoted": b'"id","code"\n1,"007"\n2,"12"\n3,"x"\n',
    "text quoted, names not": b'id,code\n1,"007"\n2,"12"\n3,"x"\n',
    "text quoted, empties too": b'"id","code"\n1,"007"\n2,""\n3,"x"\n',
    "needed quotes": b'id,note\n1,"a, b"\n2,"two\nlines"\n3,"a ""word"""\n4,plain\n',
    "every note has a comma": b'id,name\n1,"Doe, Ann"\n2,"Roe, Bob"\n',
    "single quotes": b"id,note\n1,'a, b'\n2,'c, d'\n3,plain\n",
    "single quotes around double ones": b'id,note\n1,\'say "hi", he\'\n2,\'a, "b"\'\n3,"odd\n4,plain\n',
    "single quotes around all of a double-quoted word": b"id;note\n1;'\"x; y\"'\n2;'it''s; \"z\"'\n",
    "double quotes around single ones": b"id,note\n1,\"a,'x',b\"\n2,\"c,'y',d\"\n3,'tis\n",
    "an apostrophe first": b"id,note\n1,'tis\n2,'twas\n3,plain\n",
    "escaped quotes": b'id,note\n1,"say \\"hi\\", he"\n2,"a \\"b\\" c \\\\ d"\n3,x\n',
    "a backslash before a closing quote": b'id,path\n1,"C:\\x, y\\"\n2,"D:\\a, b"\n',
    "a header that begins as a remark": b"#CHROM\tPOS\tREF\n1\t100\tA\n2\t200\tC\n",
    "a remark for a header": b"# x,y\n1,2.5\n2,3.5\n",
    "empty is not missing": b'id,note\n1,""\n2,\n3,x\n',
    "no header": b"1,2.5,a\n2,3.5,b\n3,4.5,a\n",
    "index without a name": b",x,y\n0,1.5,a\n1,2.5,b\n",
    "one column": b"x\n1\n2\n3\n",
    "one column with a gap": b"x\n1\n\n3\n",
    "one column of prose": b"text\nhello, you\nfine weather, is it, no\nyes\n",
    "one column of dates": b"when\n2020-01-01 12:30:00\n2020-01-02 11:31:00\n",
    "one column of decimal commas": b"x\n" + b"1,5\n2,5\n" * 20,
    "one column of quoted names": b'"name"\n"Doe, John"\n"Roe, Ann"\n',
    "decimal commas without a header": b"1,5;2,5\n3,5;4,5\n3,7;4,1\n",
    "addresses and clocks": b"url,at\nhttp://a.b/c?d=1;e=2,12:30\nhttp://x.y/z,12:31\n",
    "json in quotes": b'id,payload\n1,"{""a"": 1, ""b"": 2}"\n2,"{""a"": 3, ""b"": 2}"\n',
    "a name of two lines": b'"a\nb",c\n1,2\n',
    "one row": b"a,b\n1,x\n",
    "a space behind each comma": b"39, State-gov, 77516\n50, Private, 83311\n38, Private, 215646\n",
    "formulas": b"id,note\n1,=1+1\n2,@x\n",
    "years for names": b"country,2019,2020,2021\nA,1.5,2.5,3.5\nB,4.5,5.5,6.5\n",
    "inches": b'id,size\n1,5" disk\n2,plain\n',
}


@pytest.mark.parametrize("name", SAME)
def test_a_file_read_and_written_is_the_same_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(SAME[name])
    raw = delimited.read(file)
    assert all(kind == pa.string() for kind in raw.cells.schema.types)
    if name == "inches":  # valid, but more carefully quoted than before
        assert raw.cells["size"].to_pylist() == ['5" disk', "plain"]
        return
    assert delimited.write(raw.cells, raw.dialect) == SAME[name]


def test_adult_read_and_written_is_the_same_file(data_dir: Path) -> None:
    file = data_dir / "tables" / "adult-train.csv"
    raw = delimited.read(file)
    assert raw.cells.shape == (32561, 15) and raw.total is None and raw.notes == ()
    assert delimited.write(raw.cells, raw.dialect) == file.read_bytes()


def test_a_packed_file_stays_packed_and_its_bytes_do_not_depend_on_the_clock(tmp_path: Path) -> None:
    file = tmp_path / "t.csv.gz"
    file.write_bytes(gzip.compress(GERMAN.encode("utf-8")))
    raw = delimited.read(file)
    written = delimited.write(raw.cells, raw.dialect)
    assert raw.dialect.packed and gzip.decompress(written) == GERMAN.encode()
    assert written == delimited.write(raw.cells, raw.dialect) and written[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("semicolons and decimal commas", {"delimiter": ";", "decimal_comma": True, "newline": "\r\n"}),
        ("gbk", {"encoding": "gb18030", "header": True}),
        ("big5", {"encoding": "big5"}),
        ("windows", {"encoding": "cp1252"}),
        ("byte order mark", {"bom": True, "encoding": "utf-8"}),
        ("all quoted", {"quoted": "all", "quoted_empty": True}),
        ("text quoted", {"quoted": "text", "quoted_columns": ("code",), "quoted_header": True}),
        ("every note has a comma", {"quoted": "minimal"}),
        ("no header", {"header": False}),
        ("years for names", {"header": True, "decimal_comma": False}),
        ("plain", {"delimiter": ",", "decimal_comma": False, "quoted": "minimal", "header": True}),
        ("colons", {"delimiter": ":", "header": False}),
    ],
)
def test_the_dialect_says_how_the_file_is_written(name: str, expected: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(SAME[name])
    dialect = delimited.read(file).dialect
    assert dialect is not None
    assert {key: getattr(dialect, key) for key in expected} == expected


def test_empty_fields_are_missing_and_quoted_empty_ones_are_not_where_both_occur(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(SAME["empty is not missing"])
    assert delimited.read(file).cells["note"].to_pylist() == ["", None, "x"]
    file.write_bytes(SAME["all quoted"])
    assert delimited.read(file).cells["name"].to_pylist() == ["a, b", None, 'say "hi"']


def test_columns_without_names_get_one_and_a_note(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(SAME["index without a name"])
    raw = delimited.read(file)
    assert raw.cells.column_names == ["column_1", "x", "y"] and "column_1" in " ".join(raw.notes)
    file.write_bytes(SAME["no header"])
    assert delimited.read(file).cells.column_names == ["column_1", "column_2", "column_3"]


def test_remarks_above_the_header_are_passed_over_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for remarks in (b"# made by X, v2\n", b"# a\n#b,c,d\n", b"% a, b\r\n# c\r\n"):
        file.write_bytes(remarks + b"id,note\n1,a\n2,b\n3,c\n")
        raw = delimited.read(file)
        assert raw.cells.to_pydict() == {"id": ["1", "2", "3"], "note": ["a", "b", "c"]}
        assert "of remarks above the header" in " ".join(raw.notes)
        file.write_bytes(remarks + b"id,note\n1,a\n2,b,c\n")
        with pytest.raises(DataError, match=f"line {3 + remarks.count(b'#') + remarks.count(b'%')} has 3 fields"):
            delimited.read(file)


def test_escaped_quotes_are_quotes(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(SAME["escaped quotes"])
    assert delimited.read(file).cells["note"].to_pylist() == ['say "hi", he', 'a "b" c \\ d', "x"]


def test_mixed_newlines_are_read_and_the_commonest_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"a,b\r\n1,2\n3,4\r\n5,6\r\n")
    raw = delimited.read(file)
    assert raw.cells.to_pydict() == {"a": ["1", "3", "5"], "b": ["2", "4", "6"]}
    assert raw.dialect.newline == "\r\n" and "several ways" in " ".join(raw.notes)


def test_a_line_that_names_the_delimiter_is_heeded(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"sep=;\na;b\n1;2\n")
    assert delimited.read(file).cells.to_pydict() == {"a": ["1"], "b": ["2"]}


def test_formulas_are_data_and_a_note_says_so(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(SAME["formulas"])
    raw = delimited.read(file)
    assert raw.cells["note"].to_pylist() == ["=1+1", "@x"] and "formulas" in " ".join(raw.notes)


def test_rows_are_spread_evenly_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"i\n" + b"".join(b"%d\n" % i for i in range(10_000)))
    raw = delimited.read(file, rows=100)
    values = [int(value) for value in raw.cells["i"].to_pylist()]
    assert raw.total == 10_000 and len(values) == 100
    gaps = [b - a for a, b in zip(values, values[1:], strict=False)]
    assert gaps.count(100) >= 95 and max(gaps) <= 200, "the first and the last are among them"
    assert (values[0], values[-1]) == (0, 9999)
    assert "100 of 10,000" in raw.notes[0]
    assert delimited.read(file, rows=20_000).total is None


@pytest.mark.parametrize("pack", [False, True])
def test_a_file_larger_than_the_room_is_thinned_on_the_way(pack: bool, tmp_path: Path) -> None:
    text = b"i,text\n" + b"".join(b'%d,"row, number %d"\n' % (i, i) for i in range(400_000))
    file = tmp_path / ("t.csv.gz" if pack else "t.csv")
    file.write_bytes(gzip.compress(text, 1) if pack else text)
    raw = delimited.read(file, room=30_000_000)
    values = [int(value) for value in raw.cells["i"].to_pylist()]
    assert raw.total == 400_000 and cost(raw.cells) <= 30_000_000 < 4 * cost(raw.cells)
    gaps = [b - a for a, b in zip(values, values[1:], strict=False)]
    assert len(set(gaps[:-1])) == 1 and gaps[-1] < gaps[0], "the last one is taken beside those that are spread"
    assert (values[0], values[-1]) == (0, 399_999)
    assert "memory" in raw.notes[0]


def test_quoted_fields_may_cross_every_border_of_the_stream(tmp_path: Path) -> None:
    rows = [[str(i), f'line {i}\nmore, "said"\r\n{i}'] for i in range(2000)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([["i", "text"], *rows])
    file = tmp_path / "t.csv"
    file.write_bytes(out.getvalue().encode())
    raw = delimited.read(file, longest=1000)  # which makes the chunks 500 bytes long
    assert raw.cells["text"].to_pylist() == [text for _, text in rows]


def test_rows_and_encodings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(SAME["gbk"])
    with pytest.raises(FitError, match="at least 1"):
        delimited.read(file, rows=0)
    with pytest.raises(FitError, match="gb18030"):
        delimited.read(file, encoding="klingon")
    assert delimited.read(file, encoding="GBK").cells["城市"][0].as_py() == "北京"


def test_a_letter_that_the_encoding_lacks_is_named() -> None:
    with pytest.raises(DataError, match="'中'.*cp1252"):
        delimited.write(pa.table({"a": ["中"]}), Dialect(encoding="cp1252"))


def test_numbers_are_printed_too() -> None:
    cells = pa.table({"n": pa.array([1, None]), "x": pa.array([0.5, 2.0]), "b": pa.array([True, False])})
    assert delimited.write(cells, Dialect()) == b"n,x,b\n1,0.5,true\n,2,false\n"


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n,;\"'"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(_TEXT, min_size=3, max_size=3), min_size=1, max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_cells_survive_whatever_they_hold(
    rows: list[list[str]], quoting: int, delimiter: str, newline: str, tmp_path: Path
) -> None:
    table = [[f"{i}", *row, "x"] for i, row in enumerate(rows)]
    names = ["id", "first", "second", "third", "last"]
    dialect = Dialect(delimiter=delimiter, newline=newline, quoted="all" if quoting == csv.QUOTE_ALL else "minimal")
    columns = {name: pa.array([row[j] for row in table]) for j, name in enumerate(names)}
    written = delimited.write(pa.table(columns), dialect)
    back = list(csv.reader(io.StringIO(written.decode(), newline=""), delimiter=delimiter))
    assert back == [names, *table]
