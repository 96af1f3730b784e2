"""A folder of Parquet files may be one table in parts, as Spark, Dask and karat itself write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.content import recognise
from karat.content.table.io.sources import open_table
from karat.data import load
from karat.errors import DataError


def parted(folder: Path, names: Sequence[str], rows: int = 40) -> Path:
    """A folder of Parquet files of one table, `rows` each, numbered on in the order of the names."""
    folder.mkdir()
    for k, name in enumerate(names):
        at = np.arange(k * rows, (k + 1) * rows)
        pq.write_table(pa.table({"at": at, "kind": pa.array(at % 3).cast(pa.string())}), folder / name)
    return folder


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("big", ["part-9.parquet", "part-10.parquet", "part-11.parquet"]),
        ("big.parquet", ["a.parquet", "b.parquet"]),
        ("big", ["part-00000-6f1e-c000.snappy.parquet", "part-00001-6f1e-c000.snappy.parquet"]),
    ],
)
def test_a_folder_of_parquet_parts_is_one_table_in_the_order_of_their_numbers(
    tmp_path: Path, folder: str, names: list[str]
) -> None:
    place = parted(tmp_path / folder, names)
    for beside in ("_SUCCESS", ".part-9.parquet.crc", "label.json"):
        (place / beside).write_bytes(b"{}")
    assert recognise(place).name == "table"
    raw = open_table(place, {})
    assert raw.cells["at"].to_pylist() == list(range(40 * len(names))) and raw.total is None
    found = load(place)
    assert len(found.contents.records) == 40 * len(names) and found.codec.wholes[0] == ".parquet"
    assert open_table(place, {"rows": 20}).total == 40 * len(names)


def test_parquet_files_of_other_columns_or_names_are_related_tables(tmp_path: Path) -> None:
    place = parted(tmp_path / "shop", ["buyers.parquet", "orders.parquet"])
    assert recognise(place).name == "related"
    pq.write_table(pa.table({"z": [1.5] * 40}), place / "orders2.parquet")
    (place / "buyers.parquet").rename(place / "orders1.parquet")
    (place / "orders.parquet").unlink()
    assert recognise(place).name == "related", "the columns differ"


def test_a_part_with_other_columns_is_named(tmp_path: Path) -> None:
    place = parted(tmp_path / "big", [f"part-{k}.parquet" for k in range(3)])
    pq.write_table(pa.table({"at": [1.5], "kind": ["0"]}), place / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1\.parquet has the columns at: double.* and part-0\.parquet beside it"):
        open_table(place, {})
