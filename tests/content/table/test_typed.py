"""Files with types, made from a file of words, hold what a person expects: numbers that join, dates, text with its zeros."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from karat.content import Related, Tables
from karat.errors import FitError

N = 60
ROWS = pd.DataFrame(
    {
        "id": range(1000, 1000 + N),
        "boss_id": [1000 + i // 3 if i % 4 else None for i in range(N)],
        "customer_id": [i % 7 for i in range(N)],
        "zip": [f"{811 * i % 10_000:05d}" for i in range(N)],
        "vast": [str(2**63 + i * 7919) for i in range(N)],
        "far": [2**62 + i * 7919 for i in range(N)],
        "member": ["yes" if i % 3 else "no" for i in range(N)],
        "day": pd.date_range("2024-01-01", periods=N).strftime("%d.%m.%Y"),
        "at": pd.date_range("2024-01-01", periods=N, freq="7h", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
        "items": [i % 9 + 1 if i % 5 else None for i in range(N)],
        "seven": [7] * N,
    }
).astype({"boss_id": "Int64", "items": "Int64"})
WHOLE = ("id", "boss_id", "customer_id", "far", "items", "seven")


def drawn(folder: Path, rows: pd.DataFrame = ROWS, name: str = "t.csv") -> tuple[Tables, Any]:
    """A codec of the rows as a file of words, and what it makes of their points."""
    place = folder / name
    if place.suffix == ".csv":
        rows.to_csv(place, index=False)
    else:
        rows.to_json(place, orient="records", lines=True)
    contents = Tables.read(place, {})
    codec = Tables.fit(contents, np.arange(len(rows)))
    return codec, codec.decode(codec.encode(contents.records))


READ = {
    ".parquet": lambda blob: pq.read_table(io.BytesIO(blob)),
    ".feather": lambda blob: feather.read_table(io.BytesIO(blob)),
    ".orc": lambda blob: orc.read_table(io.BytesIO(blob)),
}


@pytest.mark.parametrize("suffix", READ)
def test_columns_of_a_csv_have_the_types_that_a_reader_expects(suffix: str, tmp_path: Path) -> None:
    codec, made = drawn(tmp_path)
    found = READ[suffix](codec.pack(made, suffix))
    assert {name: str(found.schema.field(name).type) for name in WHOLE} == dict.fromkeys(WHOLE, "int64")
    kinds = {name: str(found.schema.field(name).type) for name in ("zip", "vast", "member", "day")}
    assert kinds == {"zip": "string", "vast": "string", "member": "bool", "day": "date32[day]"}
    assert pa.types.is_timestamp(found.schema.field("at").type)
    assert found["boss_id"].null_count and found["items"].null_count
    assert set(found["zip"].combine_chunks().to_pylist()) and all(len(x) == 5 for x in found["zip"].to_pylist())
    rows = found.to_pandas()
    bosses = rows.merge(rows[["id"]], left_on="boss_id", right_on="id", suffixes=("", "_of"))
    assert len(bosses) == found.num_rows - found["boss_id"].null_count


def test_lines_of_json_and_a_workbook_have_numbers_where_a_csv_had_them(tmp_path: Path) -> None:
    codec, made = drawn(tmp_path)
    lines = pd.read_json(io.BytesIO(codec.pack(made, ".jsonl")), lines=True, dtype=False)
    assert lines["id"].dtype == "int64" and lines["far"].dtype == "int64" and lines["member"].dtype == bool
    assert isinstance(lines["zip"][0], str) and int(lines["far"][3]) == int(made.cells["far"][3].as_py())
    sheet = pd.read_excel(io.BytesIO(codec.pack(made, ".xlsx")), dtype=object)
    assert isinstance(sheet["id"][0], int) and sheet["zip"].map(type).eq(str).all()
    assert list(sheet["far"]) == [
        str(x) for x in made.cells["far"].to_pylist()
    ]  # digits that a workbook would lose stay text
    assert sheet["at"][0].startswith("2024-01-")  # a cell has no zone


def test_a_frame_keeps_every_digit_of_whole_numbers_of_which_some_are_missing(tmp_path: Path) -> None:
    rows = ROWS[["id"]].assign(far=[2**62 + i * 7919 if i % 4 else None for i in range(N)]).astype("Int64")
    codec, made = drawn(tmp_path, rows)
    frame = codec.in_python([made])
    assert frame["far"].dtype == "Int64" and frame["id"].dtype == "int64"
    assert [int(x) for x in frame["far"].dropna()] == [int(x) for x in made.cells["far"].to_pylist() if x is not None]


def test_words_of_json_stay_words_though_they_look_like_numbers(tmp_path: Path) -> None:
    rows = ROWS[["id", "customer_id"]].assign(code=[str(5000 + i) for i in range(N)])
    codec, made = drawn(tmp_path, rows, "t.jsonl")
    found = pq.read_table(io.BytesIO(codec.pack(made, ".parquet"))).schema
    assert [str(found.field(name).type) for name in rows] == ["int64", "int64", "string"]


def test_a_made_key_that_is_no_number_is_named_before_a_file_is_written(tmp_path: Path) -> None:
    codec, made = drawn(tmp_path)
    odd = made.cells.set_column(0, "id", pa.array(["A7", *made.cells["id"].to_pylist()[1:]], pa.string()))
    with pytest.raises(FitError, match=r"'id' held whole numbers.*A7.*\.csv"):
        codec.pack(type(made)(odd, made.facts), ".parquet")


@pytest.mark.parametrize("padded", [False, True])
def test_parents_and_children_in_a_database_join_by_keys_of_one_type(padded: bool, tmp_path: Path) -> None:
    keys = [f"{i:04d}" if padded and i == 3 else str(1000 + i) for i in range(40)]
    folder = tmp_path / "shop"
    folder.mkdir()
    pd.DataFrame({"customer_id": keys, "age": [20 + i for i in range(40)]}).to_csv(
        folder / "customers.csv", index=False
    )
    of = [key for i, key in enumerate(keys) for _ in range(i % 3 + (i != 3)) if i != 3]  # the padded one has no orders
    orders = pd.DataFrame(
        {"order_id": range(1, len(of) + 1), "customer_id": of, "items": [i % 5 for i in range(len(of))]}
    )
    orders.to_csv(folder / "orders.csv", index=False)
    contents = Related.read(folder, {})
    codec = Related.fit(contents, np.arange(len(contents.records)))
    with (tmp_path / "made.db").open("wb") as file:
        packed = codec.packed(contents.records, None, ".feather")
        from karat.content.table.io import lite

        lite.write_packed(packed, file, [(r.child, r.columns, r.parent, r.keys) for r in codec.relations])
    base = sqlite3.connect(tmp_path / "made.db")
    kinds = {base.execute(f"SELECT typeof(customer_id) FROM {name} GROUP BY 1").fetchall()[0][0] for name in packed}
    assert kinds == {"text" if padded else "integer"}
    (joined,) = base.execute("SELECT count(*) FROM orders JOIN customers USING (customer_id)").fetchone()
    assert joined == len(of)
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    frames = {name: feather.read_table(io.BytesIO(blob)).to_pandas() for name, blob in packed.items()}
    assert len(frames["orders"].merge(frames["customers"], on="customer_id")) == len(of)


def test_a_table_of_three_rows_makes_keys_without_a_zero_before_them() -> None:
    from karat.content.table.personal import sensitive
    from karat.content.table.schema.columns import Column

    learned = sensitive.learn(Column("id", "identifier"), pa.array(["10", "20", "35"]), np.ones(3, np.int64))
    made = sensitive.fakes(Column("id", "identifier", learned=learned), 60, np.random.default_rng(0)).to_pylist()
    assert not any(text.startswith("0") for text in made)
    assert {len(text) for text in made} == {2}
