"""What the columns are is found from the cells, printed for a person, and corrected by him in TOML."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError, FitError


def raw(columns: dict[str, list[str | None]], comma: bool = False) -> Raw:
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    return Raw(table, "csv", "table.csv", Dialect(decimal_comma=comma))


def kind(cells: list[str | None], name: str = "x") -> Column:
    return schema.infer(raw({name: cells})).columns[0]


rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "cells", "wanted"),
    [
        ("flag", ["0", "1"] * 20, "integer"),
        ("ok", ["yes", "no"] * 20, "boolean"),
        ("ok", ["是", "否"] * 20, "boolean"),
        ("since", [str(x) for x in rng.integers(1_600_000_000, 1_700_000_000, 300)], "integer"),
        ("education-num", [str(x) for x in rng.integers(1, 17, 300)], "integer"),
        ("zip", [f"{x:05d}" for x in rng.integers(0, 60, 300)], "category"),
        ("size", ["S", "M", "L"] * 20, "category"),
        ("workclass", ["?", "Private", "State-gov"] * 20, "category"),
        ("id", [str(k) for k in range(1, 41)], "identifier"),
        ("row", [str(k) for k in range(100, 140)], "identifier"),
        ("year", [str(k) for k in range(1980, 2020)], "integer"),
        ("order", [f"ORD-{x:07d}" for x in rng.permutation(10**6)[:300]], "identifier"),
        ("token", ["".join(rng.choice(list("ABC0123456789"), 8)) for _ in range(300)], "identifier"),
        ("customer_id", [str(x) for x in rng.integers(10_000, 10_200, 2000)], "category"),
        ("nr", [f"{x}9999999999999" for x in rng.integers(10**6, 10**7, 300)], "identifier"),
        ("city", [f"City {x}" for x in rng.integers(0, 200, 2000)], "category"),
        ("note", [" ".join(rng.choice(list("abcdefgh"), 9)) + " and more" for _ in range(300)], "text"),
        ("评论", ["".join(rng.choice(list("今天收到货物质量很好"), 15)) for _ in range(300)], "text"),
        ("all", ["x"] * 40, "constant"),
        ("none", [None] * 40, "constant"),
        ("one", ["5"], "constant"),
        ("file_name", [f"scan {x}" for x in rng.integers(0, 20, 300)], "category"),
        ("year-month", ["2024-01", "2024-02", "2023-12"] * 5, "date"),
        ("version", ["1.2.3", "1.2.4", "2.0.0"] * 20, "category"),
        ("hours", ["25:00", "30:10"] * 20, "category"),
    ],
)
def test_a_column_is_what_its_cells_and_its_header_say(name: str, cells: list[str | None], wanted: str) -> None:
    assert kind(cells, name).kind == wanted


def test_a_marker_is_missing_among_numbers_and_an_ordinary_value_among_words() -> None:
    assert kind(["1", "2", "?", None]).missing == ("?", "")
    assert "spelled" in kind(["1", "2", "?", None]).notes[0]
    assert kind(["a", "b", "?", "None", "NA"]).missing == ()
    assert kind(["a", "b", "\\N", "\\N"]).missing == ("\\N",)
    assert kind(["a", "b", "\\N", None]).missing == ("",)
    assert kind(["2024-01-31", "NaT"]).missing == ("NaT",)
    assert kind(["NA", "NA", "NA"]).values == ("NA",)


def test_day_and_month_are_told_apart_by_the_data_or_a_person_is_told() -> None:
    assert kind(["13/05/2024", "01/02/2024"]).format == "%d/%m/%Y"
    assert kind(["05/13/2024", "01/02/2024"]).format == "%m/%d/%Y"
    open_ = kind(["01/02/2024", "03/04/2024"])
    assert open_.format == "%m/%d/%Y" and "%d/%m/%Y" in open_.notes[0]
    assert kind([f"{d:02d}/03/2024" for d in range(1, 12)]).format == "%d/%m/%Y"  # days in a row


def test_a_whole_number_column_of_pandas_with_gaps_is_whole() -> None:
    column = kind([None if k % 3 == 0 else f"{k}.0" for k in range(120)])
    assert (column.kind, column.format) == ("integer", "{1234.5}.0")


def test_decimals_are_marked_as_the_whole_file_marks_them() -> None:
    found = schema.infer(raw({"x": ["1,234", "2,500"]}, comma=True))
    assert (found.columns[0].kind, found.columns[0].format, found.columns[0].places) == ("decimal", "{1234,5}", 3)


def test_a_column_that_is_nearly_numbers_is_said_to_be() -> None:
    column = kind([str(k) for k in range(99)] + ["n/k", "tbd"])
    assert column.kind != "decimal" and "98.0% of the cells look like numbers" in column.notes[0]


def test_40_rows_500_columns_and_no_column_are_all_tables() -> None:
    table = pa.table({f"列 {k}": pa.array(rng.integers(0, 9, 40)).cast(pa.string()) for k in range(500)})
    assert {c.kind for c in schema.infer(Raw(table, "csv", "wide.csv", Dialect())).columns} == {"integer"}
    assert schema.infer(Raw(pa.table({}), "csv", "empty.csv", Dialect())).columns == ()


def test_nested_columns_are_refused_by_name() -> None:
    table = pa.table({"tags": pa.array([["a"], ["b"]])})
    with pytest.raises(DataError, match="'tags' holds list"):
        schema.infer(Raw(table, "parquet", "x.parquet"))


FOUND = schema.infer(
    raw(
        {
            "age": ["39", "50", "?"],
            '收入 "元"\n': ["1.50", "2.25", "3.00"],
            "day": ["2024-01-31", "2024-02-28", "2023-12-01"],
            "a.b = [c]": ["x", "y", "x"],
            "e-mail": ["ann@mail.com", "bob@mail.com", "cat@mail.com"],
        }
    )
)


def test_the_toml_that_look_writes_is_read_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    told = Schema(FOUND.columns, ({"rule": "start < end"}, {"together": ["age", "day"]}), "age")
    path.write_text(schema.to_toml(told), encoding="utf-8")
    assert schema.read(path, FOUND) == told
    assert set(tomllib.loads(schema.to_toml(told))["columns"]) == {c.name for c in FOUND.columns}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1, unique=True), st.text(max_size=9))
def test_any_header_gives_valid_toml_and_json(names: list[str], note: str) -> None:
    found = Schema(tuple(Column(n, "category", missing=("?", n), notes=(note,)) for n in names), (), names[0])
    read = tomllib.loads(schema.to_toml(found))
    assert list(read["columns"]) == names and read["target"] == names[0]
    assert schema.from_dict(json.loads(json.dumps(schema.to_dict(found)))) == found


def test_what_a_person_declares_is_laid_over_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(
        'target = "age"\n[columns]\nage = { kind = "category" }\nday = { low = 2020-01-01, high = 2030-01-01 }\n'
        '[columns."e-mail"]\nkeep = true\n[[constraint]]\nrule = "0 <= age"\n'
    )
    read = schema.read(path, FOUND)
    by = {c.name: c for c in read.columns}
    assert by["age"].kind == "category" and by["age"].missing == ("?",)
    assert by["day"].low == 18262.0 and by["day"].format == "%Y-%m-%d"
    assert by["e-mail"].keep and not by["e-mail"].made
    assert read.constraints == ({"rule": "0 <= age"},) and read.target == "age"


def test_a_category_declared_to_be_a_number_is_read_as_one(tmp_path: Path) -> None:
    source = raw({"x": ["1.5", "20", "n/k"] * 10})
    path = tmp_path / "schema.toml"
    path.write_text('[columns]\nx = { kind = "decimal", missing = "n/k" }\n')
    found = schema.read(path, schema.infer(source))
    parsed = values.parse(source, found)
    assert parsed.column(0)[:3].to_pylist() == [1.5, 20.0, None]
    assert values.printed(parsed, found).equals(source.cells)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colums = 1\n", "line 1: unknown key: 'colums'; did you mean 'columns'"),
        ('\n[columns]\nagee = { kind = "integer" }\n', "line 3: unknown column: 'agee'; did you mean 'age'"),
        (
            '[columns]\nage = { kind = "intger" }\n',
            "line 2: unknown kind of column 'age': 'intger'; did you mean 'integer'",
        ),
        ('[columns.age]\nkin = "integer"\n', "line 2: unknown key of column 'age': 'kin'; did you mean 'kind'"),
        ('[columns]\nage = "integer"\n', "line 2: 'age' = 'integer'; wanted for example"),
        ("[columns]\nage = { places = 99 }\n", "places = 99; wanted a whole number from 0 to 17"),
        ('[columns]\nday = { format = "%Q" }\n', "%Q is no part of a date"),
        ('[columns]\nday = { kind = "datetime", zone = "Mars" }\n', "zone = 'Mars'; wanted"),
        ('[columns]\nage = { format = "kg" }\n', "'kg' shows no number"),
        ("[columns]\nage = { low = 3, high = 1 }\n", "low = 3 is above high = 1"),
        ('target = "agee"\n', "unknown target column: 'agee'; did you mean 'age'"),
        ("[columns\n", "is not valid TOML"),
    ],
)
def test_what_the_toml_cannot_mean_is_refused_with_the_nearest_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(text)
    with pytest.raises(FitError) as error:
        schema.read(path, FOUND)
    assert said in str(error.value) and str(path) in str(error.value)


def test_the_description_never_shows_what_is_personal() -> None:
    n = 60
    source = raw(
        {
            "name": [f"Real{chr(97 + k % 26)} Person{chr(97 + k // 26)}" for k in range(n)],
            "e-mail": [f"real{k}@person.com" for k in range(n)],
            "age": [None if k % 4 == 0 else str(k % 30) for k in range(n)],
            "sex": ["Male", "Male", "Female"] * 20,
            "paid": [f"{k}.50" for k in range(n)],
        }
    )
    found = schema.infer(source)
    rows = {row["name"]: row for row in schema.describe(found, values.parse(source, found))}
    assert rows["age"]["missing"] == 0.25 and rows["age"]["holds"] == "0 to 29"
    assert rows["sex"]["holds"] == "Male 67%, Female 33%" and rows["sex"]["distinct"] == 2
    assert rows["paid"]["holds"] == "0.50 to 59.50"
    assert rows["name"]["kind"] == "name" and rows["e-mail"]["kind"] == "email"
    assert "eal" not in rows["name"]["holds"] + rows["e-mail"]["holds"]
    assert json.dumps(list(rows.values()))


def test_what_a_declared_kind_is_made_from_is_learned_from_the_cells(tmp_path: Path) -> None:
    source = raw({"code": [f"K{k % 7}" for k in range(70)]})
    path = tmp_path / "schema.toml"
    path.write_text('[columns]\ncode = { kind = "identifier" }\n')
    found = schema.read(path, schema.infer(source))
    assert not found.columns[0].learned
    assert schema.learn(found, values.parse(source, found)).columns[0].learned
