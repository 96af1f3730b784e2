"""A sample of a large source holds what is rare in it, says what it loses, and knows how its keys run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.content.table.io import sampling
from karat.content.table.io.sampling import Sampler
from karat.content.table.io.sources import open_table
from karat.content.table.schema import schema
from karat.data import load

ROWS, KEPT = 30_000, 1_000


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Trips with a zone, a kind and a missing cell in three rows each, the least and the greatest fare in one."""
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "trip_id": np.arange(1, ROWS + 1),
            "code": [f"C{k}" for k in range(ROWS)],
            "zone": r.choice(["north", "south", "east"], ROWS, p=[0.7, 0.2, 0.1]),
            "kind": r.integers(0, 4, ROWS),
            "fare": np.round(r.gamma(2, 5, ROWS) + 3, 3),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 10**6, ROWS), unit="s"),
        }
    )
    odd = r.choice(ROWS, 12, replace=False)
    frame.loc[odd[:3], "zone"] = "island"
    frame.loc[odd[3:6], "kind"] = 99
    frame.loc[odd[6:9], "zone"] = None
    frame.loc[odd[9], "fare"], frame.loc[odd[10], "fare"] = 0.5, 1_664_089.0
    frame.loc[odd[11], "at"] = pd.Timestamp("1999-01-01")
    return frame


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_what_is_rare_in_all_rows_is_in_the_sample(table: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, row_group_size=4000)
    raw = open_table(path, {"rows": KEPT})
    sample, kept = raw.cells.to_pandas(), KEPT
    assert raw.total == ROWS and len(sample) == kept
    assert 1 <= (sample["zone"] == "island").sum() <= 3 and sample["zone"].isna().any() | (sample["zone"] == "").any()
    assert 1 <= (sample["kind"].astype(int) == 99).sum() <= 3
    assert sample["trip_id"].astype(int).is_monotonic_increasing, "in the order of the source"
    assert {"C0", f"C{ROWS - 1}"} <= set(sample["code"])
    if suffix == ".parquet":  # of a delimited file, what is a number is not known before all is read
        assert sample["fare"].min() == 0.5 and sample["fare"].max() == 1_664_089.0
        assert sample["at"].min() == pd.Timestamp("1999-01-01")
        assert sample["trip_id"].min() == 1 and sample["trip_id"].max() == ROWS


def test_what_is_lost_by_a_sample_is_measured_and_said(table: pd.DataFrame) -> None:
    kept = Sampler(KEPT)
    kept.add(pa.Table.from_pandas(table))
    sample = kept.table().to_pandas()
    (said,) = kept.note(len(sample))
    assert said.startswith(
        f"{KEPT:,} of {ROWS:,} rows, spread evenly over the source, were taken (--set data.rows=...)."
    )
    share = max(
        abs(sample[name].value_counts(normalize=True, dropna=False).get(value, 0) - part)
        for name in ("zone", "kind")
        for value, part in table[name].value_counts(normalize=True, dropna=False).items()
    )
    assert f"no value is off by more than {share:.2g}," in said
    assert 0 < share < 0.05


def test_nothing_is_counted_and_nothing_said_where_all_rows_are_kept(table: pd.DataFrame) -> None:
    kept = Sampler(None)
    kept.add(pa.Table.from_pandas(table))
    assert len(kept.table()) == ROWS and kept.note(ROWS) == ()


def test_the_blocks_in_which_rows_come_change_nothing(table: pd.DataFrame) -> None:
    whole, samples = pa.Table.from_pandas(table), []
    for block in (700, 30_000):
        kept = Sampler(None, room=2e6)
        for start in range(0, ROWS, block):
            kept.add(whole.slice(start, block))
        samples.append(kept)
    few, many = (kept.table() for kept in samples)
    assert len(few) < ROWS and few["zone"].to_pylist().count("island") >= 1
    assert set(few["zone"].to_pylist()) == set(many["zone"].to_pylist()) == {"north", "south", "east", "island", None}


def test_a_running_key_goes_on_behind_the_last_of_all_rows_though_a_part_was_read(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table.to_parquet(tmp_path / "d.parquet")
    known = schema.infer(open_table(tmp_path / "d.parquet", {"rows": KEPT}))
    learned = {column.name: column.learned for column in known.columns if column.kind == "identifier"}
    assert learned["trip_id"] | {"way": "sequence", "next": ROWS + 1, "step": 1} == learned["trip_id"]
    assert learned["code"] | {"way": "sequence", "prefix": "C", "next": ROWS, "step": 1} == learned["code"]


def test_a_table_takes_no_more_than_its_room_however_much_memory_is_free() -> None:
    assert Sampler(None).room <= sampling.MOST


def test_the_vocabulary_and_the_bounds_of_a_large_table_are_those_of_all_its_rows(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table.to_parquet(tmp_path / "d.parquet")
    found = load(tmp_path / "d.parquet", options={"rows": KEPT})
    columns = found.codec.viewed
    assert set(columns.choices[columns.names.index("zone")]) == {"north", "south", "east", "island"}
    values = found.contents.records.cells["fare"].to_numpy()
    assert (values.min(), values.max()) == (0.5, 1_664_089.0)
    assert pq.read_metadata(tmp_path / "d.parquet").num_rows == found.contents.facts["rows_in_source"]


def test_a_column_that_is_empty_for_a_while_is_counted_all_the_same() -> None:
    kept = Sampler(50)
    kept.add(pa.table({"a": pa.nulls(60_000), "b": np.arange(60_000)}))
    kept.add(pa.table({"a": pa.array(["x"] * 3 + [None] * 60_000), "b": np.arange(60_003)}))
    kept.add(pa.table({"a": pa.nulls(60_000), "b": np.arange(60_000)}))
    assert set(kept.table()["a"].to_pylist()) == {"x", None} and len(kept.table()) == 50
