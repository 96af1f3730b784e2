"""Frames of pandas and polars come back with their own types, whatever these are."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from karat.content import Tables
from karat.content.table.io.sources import keep_frame
from karat.errors import DataError

N = 200
RNG = np.random.default_rng(0)
INTS = RNG.integers(0, 50, N)
DAYS = pd.to_datetime("2024-01-01") + pd.to_timedelta(INTS, unit="D")


def holed(values: Any) -> list[Any]:
    return [None if i % 7 == 0 else x for i, x in enumerate(values)]


def arrow(values: Any, kind: pa.DataType) -> Any:
    return pd.array(values, dtype=pd.ArrowDtype(kind))


PANDAS = pd.DataFrame(
    {
        "Int64": pd.array(holed(int(x) for x in INTS), dtype="Int64"),
        "Int8": pd.array(INTS, dtype="Int8"),
        "UInt16": pd.array(INTS, dtype="UInt16"),
        "Float32": pd.array(holed(x / 4 for x in INTS), dtype="Float32"),
        "boolean": pd.array(holed(bool(x % 2) for x in INTS), dtype="boolean"),
        "string": pd.array(holed("ab"[x % 2] for x in INTS), dtype="string"),
        "ordered": pd.Categorical(RNG.choice(["lo", "hi"], N), categories=["lo", "mid", "hi"], ordered=True),
        "digits": pd.Categorical(RNG.choice(["10", "5"], N), categories=["10", "5", "1"]),
        "yesno": pd.Categorical(RNG.choice(["yes", "no"], N), categories=["yes", "no"]),
        "int32": arrow(INTS, pa.int32()),
        "large": arrow(holed("xy"[x % 2] for x in INTS), pa.large_string()),
        "zoned": arrow(DAYS, pa.timestamp("ms", "Europe/Berlin")),
        "clock": arrow([dt.time(int(x) % 24, 1) for x in INTS], pa.time32("s")),
        "day": arrow([dt.date(2024, 1, 1 + int(x) % 28) for x in INTS], pa.date64()),
        "gap": pd.to_timedelta(INTS, unit="h"),
        "ns": DAYS.astype("datetime64[ns]"),
        "tz": DAYS.tz_localize("America/New_York"),
        "f4": RNG.normal(size=N).astype("float32"),
        "u1": (INTS % 7).astype("uint8"),
        "bool": INTS % 2 == 0,
    }
)
POLARS = pl.DataFrame(
    {
        "cat": pl.Series(RNG.choice(["a", "b"], N), dtype=pl.Categorical),
        "enum": pl.Series(RNG.choice(["a", "b"], N), dtype=pl.Enum(["b", "a", "z"])),
        "decimal": [Decimal(int(x)) / 4 for x in INTS],
        "gap": [dt.timedelta(hours=int(x)) for x in INTS],
        "clock": [dt.time(int(x) % 24) for x in INTS],
        "u8": pl.Series(INTS, dtype=pl.UInt64),
        "i2": pl.Series(INTS, dtype=pl.Int16),
        "at": pl.Series([dt.datetime(2024, 1, 1 + int(x) % 28) for x in INTS], dtype=pl.Datetime("ms", "UTC")),
        "text": holed("kl"[x % 2] for x in INTS),
    }
)


def made(frame: Any, path: Path) -> Path:
    """A file of rows made of the frame's codes, by a codec that was saved and loaded, as a run has it."""
    path.unlink(missing_ok=True)
    data = path.with_name("data.feather")
    data.unlink(missing_ok=True)
    contents = Tables.read(keep_frame(frame, data), {})
    codec = Tables.fit(contents, np.arange(len(contents.records)))
    codec = Tables.restore(codec.state())
    rows = codec.decode(codec.encode(contents.records), rng=np.random.default_rng(0))
    path.write_bytes(codec.pack(rows, path.suffix))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_a_pandas_frame_comes_back_with_its_types(suffix: str, tmp_path: Path) -> None:
    path = made(PANDAS, tmp_path / f"made{suffix}")
    back = pd.read_parquet(path) if suffix == ".parquet" else pd.read_feather(path)
    assert {c: str(t) for c, t in back.dtypes.items()} == {c: str(t) for c, t in PANDAS.dtypes.items()}
    assert back.dtypes.tolist() == PANDAS.dtypes.tolist()
    assert (back["gap"] % pd.Timedelta(hours=1) == pd.Timedelta(0)).all() and back[
        "Int64"
    ].isna().mean() == pytest.approx(1 / 7, abs=0.01)


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_a_polars_frame_comes_back_with_its_types(suffix: str, tmp_path: Path) -> None:
    path = made(POLARS, tmp_path / f"made{suffix}")
    back = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ipc(path)
    assert dict(back.schema) == dict(POLARS.schema)


@pytest.mark.parametrize(
    "values",
    [
        [10, 5, 1],
        [True, False],
        [1.5, 0.1],
        [dt.date(2024, 1, 2), dt.date(2023, 1, 1)],
        [pd.Timestamp("2024-01-02 10:00"), pd.Timestamp("2023-01-01")],
    ],
)
def test_a_category_of_anything_keeps_its_entries_and_their_order(values: list[Any], tmp_path: Path) -> None:
    kind = pd.CategoricalDtype(values, ordered=True)
    frame = pd.DataFrame({"a": pd.Series([values[i % 2] for i in range(N)], dtype=kind), "b": INTS})
    back = feather.read_table(made(frame, tmp_path / "made.feather")).to_pandas()
    assert back["a"].dtype == pa.Table.from_pandas(frame).to_pandas()["a"].dtype and back["a"].dtype.ordered
    assert set(back["a"]) == set(values[:2])


def test_whole_numbers_may_be_the_names_of_columns_and_an_index_its_own_column(tmp_path: Path) -> None:
    back = pd.read_parquet(made(pd.DataFrame({0: INTS, 1: RNG.normal(size=N)}), tmp_path / "made.parquet"))
    assert back.columns.tolist() == [0, 1] and back.index.tolist() == list(range(N))
    named = pd.DataFrame({"a": INTS}, index=pd.Index([f"K{i:04d}" for i in range(N)], name="key"))
    back = pd.read_parquet(made(named, tmp_path / "made.parquet"))
    assert back.index.name == "key" and back.columns.tolist() == ["a"] and back.index.is_unique
    unnamed = pd.DataFrame({"a": INTS, "b": INTS % 3}, index=RNG.permutation(N))
    assert pd.read_parquet(made(unnamed, tmp_path / "made.parquet")).columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_string(),
        pa.decimal128(12, 3),
        pa.decimal256(40, 2),
        pa.timestamp("s", "+05:30"),
        pa.duration("ms"),
        pa.time64("ns"),
        pa.dictionary(pa.int16(), pa.large_string()),
        pa.float16(),
        pa.uint64(),
    ],
)
def test_arrow_types_come_back(kind: pa.DataType, tmp_path: Path) -> None:
    if pa.types.is_dictionary(kind):
        column = pa.array(["xy"[x % 2] for x in INTS], pa.large_string()).dictionary_encode().cast(kind)
    elif pa.types.is_large_string(kind):
        column = pa.array(["xy"[x % 2] for x in INTS], kind)
    elif pa.types.is_decimal(kind):
        column = pa.array([Decimal(int(x)) / 4 for x in INTS], kind)
    elif pa.types.is_float16(kind):
        column = pa.array((INTS / 4).astype(np.float16))
    else:
        column = pa.array(INTS, pa.int64()).cast(kind)
    assert (
        feather.read_table(made(pa.table({"a": column, "b": INTS}), tmp_path / "made.feather")).schema.field("a").type
        == kind
    )
    back = pq.read_table(made(pa.table({"a": column, "b": INTS}), tmp_path / "made.parquet")).schema.field("a").type
    if pa.types.is_timestamp(kind) or pa.types.is_dictionary(
        kind
    ):  # Parquet knows no seconds, and one kind of text there
        kind = pa.timestamp("ms", "+05:30") if pa.types.is_timestamp(kind) else pa.dictionary(pa.int16(), pa.string())
    assert back == kind


@pytest.mark.parametrize("values", [[[1, 2], [3]] * 50, [{"a": 1}, {"a": 2}] * 50])
def test_nested_columns_are_refused_by_name_in_every_source(values: list[Any], tmp_path: Path) -> None:
    frame = pd.DataFrame({"deep": values, "b": range(100)})
    frame.to_parquet(tmp_path / "deep.parquet")
    for source in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), tmp_path / "deep.parquet"):
        with pytest.raises(DataError, match="deep .* cannot be learned; columns of plain values were wanted"):
            Tables.read(source, {})


@pytest.mark.parametrize("form", ["csv", "words", "moments", "parquet"])
def test_moments_of_several_zones_keep_theirs(form: str, tmp_path: Path) -> None:
    zones = ["+02:00", "-05:00", "+00:00", "+05:30"]
    words = [f"2024-0{1 + i % 9}-{1 + i % 28:02d}T{i % 24:02d}:00:00{zones[i % 4]}" for i in range(N)]
    frame = pd.DataFrame({"at": words, "k": INTS % 5})
    source: Any = frame
    if form == "moments":
        source = frame.assign(at=pd.Series([dt.datetime.fromisoformat(w) for w in words], dtype=object))
    elif form != "words":
        source = tmp_path / f"t.{form}"
        frame.to_csv(source, index=False) if form == "csv" else frame.to_parquet(source)
    contents = Tables.read(source, {})
    codec = Tables.fit(contents, np.arange(N))
    assert codec.printed(contents.records)["at"].to_pylist() == words
    made = codec.decode(codec.encode(contents.records), rng=np.random.default_rng(0))
    assert [w[19:] for w in codec.printed(made)["at"].to_pylist()] == [w[19:] for w in words]
