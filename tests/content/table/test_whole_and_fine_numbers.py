"""Whole numbers of 64 bits are exact and hashes are names; decimals have as many digits as real ones."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from karat.content.table.encoding import heaps
from karat.content.table.encoding.coding import Grain
from karat.content.table.schema import precision
from karat.content.table.schema.columns import Column
from karat.content.table.tables import Tables

ROWS = 300
HASHED = {
    "int64": lambda rng: pa.array(rng.integers(-(2**63), 2**63 - 1, ROWS)),
    "positive": lambda rng: pa.array(rng.integers(0, 2**63 - 1, ROWS)),
    "uint64": lambda rng: pa.array(rng.integers(0, 2**64 - 1, ROWS, np.uint64)),
    "decimal": lambda rng: pa.array(
        [Decimal(int(k)) * Decimal(10**19) for k in rng.integers(1, 10**18, ROWS)], pa.decimal128(38, 0)
    ),
}


def fitted(path: Path, cells: pa.Array) -> tuple[Tables, pa.Table]:
    """The codec, and what codes drawn at random become, read back from a file of the same kind."""
    table = pa.table({"v": cells, "age": pa.array(np.arange(len(cells)) % 60)})
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    whole = Tables.read(path, {})
    codec = Tables.fit(whole, np.arange(len(cells)))
    rng = np.random.default_rng(1)
    points = codec.encode(whole.records)[rng.integers(0, len(cells), 500)]
    made = codec.decode(points, codec.spaces[0], rng)
    out = path.with_name(f"made{path.suffix}")
    out.write_bytes(codec.pack(made, path.suffix))
    return codec, pq.read_table(out) if path.suffix != ".csv" else codec.printed(made)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", list(HASHED))
def test_a_hash_is_a_name_spread_over_its_range_of_which_none_repeats(tmp_path: Path, name: str, suffix: str) -> None:
    cells = HASHED[name](np.random.default_rng(0))
    codec, made = fitted(tmp_path / f"h{suffix}", cells)
    assert codec.schema.columns[0].kind == "identifier"
    values = [int(v) for v in made["v"].to_pylist()]
    real = [int(v) for v in cells.to_pylist()]
    assert len(set(values)) == len(values) and not set(values) & set(real)
    low, high = min(real), max(real)
    assert min(values) < low + (high - low) / 10 and max(values) > high - (high - low) / 10


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_few_numbers_at_the_ends_of_64_bits_stay_exactly_what_they_are(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    for ends in (
        np.array([1, -5, 2**63 - 1, -(2**63), 2**62 + 7]),
        np.array([1, 2, 2**64 - 1, 2**63 + 5], np.uint64),
    ):
        _, made = fitted(tmp_path / f"e{suffix}", pa.array(rng.choice(ends, ROWS)))
        assert {int(v) for v in made["v"].to_pylist()} == set(ends.tolist())


def test_times_in_nanoseconds_are_told_to_the_last_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = pa.array(1_700_000_000_000_000_000 + rng.integers(0, 10**12, ROWS))
    codec, made = fitted(tmp_path / "t.parquet", cells)
    part = codec.layout.parts[0]
    back = part.grain.array(part.grain.ticks(cells))
    assert codec.schema.columns[0].kind == "integer" and back.equals(cells)
    found = np.asarray(made["v"])
    assert found.min() >= np.asarray(cells).min() and found.max() <= np.asarray(cells).max()
    assert len(np.unique(found % 256)) > 100


@pytest.mark.parametrize("ends", [(-(2**63), 2**63 - 1), (2**63 - 100, 2**63 - 1), (-(2**63), -(2**63) + 100)])
def test_ticks_reach_the_ends_of_64_bits_and_no_further(ends: tuple[int, int]) -> None:
    cells = pa.array([ends[0], ends[1]], pa.int64())
    grain = Grain.fit(Column("v", "integer"), cells)
    assert grain.array(grain.ticks(cells)).equals(cells)
    assert grain.array(np.array([-1e300, 1e300])).cast(pa.int64()).to_pylist()[1] <= 2**63 - 1


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint32()])
def test_the_ends_of_narrow_integers_are_made_and_kept_in(tmp_path: Path, kind: pa.DataType) -> None:
    ends = np.iinfo(kind.to_pandas_dtype())
    rng = np.random.default_rng(0)
    values = np.where(rng.random(ROWS) < 0.3, ends.max, rng.integers(ends.min, ends.max, ROWS))
    _, made = fitted(tmp_path / "n.parquet", pa.array(values, kind))
    assert made.schema.field("v").type == kind and max(made["v"].to_pylist()) == ends.max


@pytest.mark.parametrize("scale", [1e300, 5e-324, 1e16])
def test_floats_of_any_size_are_made(tmp_path: Path, scale: float) -> None:
    cells = pa.array(np.random.default_rng(0).integers(1, 1000, ROWS) * scale)
    for suffix in (".csv", ".parquet"):
        _, made = fitted(tmp_path / f"f{suffix}", cells)
        found = np.asarray(made["v"].to_pylist(), float)
        assert np.isfinite(found).all() and found.max() <= max(cells.to_pylist())


def decimals(value: float) -> int:
    return max(0, -int(Decimal(repr(value)).normalize().as_tuple().exponent))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("several", [(1, 2, 5), (1, 2, 4, 8, 14), (0, 3)])
def test_made_decimals_have_as_many_digits_as_real_ones_and_never_more(
    tmp_path: Path, several: tuple[int, ...], suffix: str
) -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.1, 0.06, 0.04])[: len(several)]
    places = rng.choice(several, 2_000, p=shares / shares.sum())
    real = [round(float(x), int(k)) for x, k in zip(rng.normal(0, 3, 2_000), places, strict=True)]
    _, made = fitted(tmp_path / f"m{suffix}", pa.array(real))
    found = [decimals(float(v)) for v in made["v"].to_pylist()]
    wanted = [decimals(v) for v in real]
    assert max(found) <= max(wanted)
    for k in several:
        assert abs(np.mean(np.array(found) <= k) - np.mean(np.array(wanted) <= k)) < 0.12


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("filled", [-0.78441482, 0.12345675])
def test_one_finely_printed_value_in_place_of_what_was_missing_makes_no_other_value_fine(
    tmp_path: Path, filled: float, suffix: str
) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(900) < 0.5, np.round(rng.normal(0, 1, 900), 2), np.round(rng.normal(0, 1, 900), 6))
    values[rng.random(900) < 0.2] = filled
    _, made = fitted(tmp_path / f"f{suffix}", pa.array(values))
    found = np.array([decimals(float(v)) for v in made["v"].to_pylist() if float(v) != filled])
    assert (found > 6).mean() < 0.02 and 0.3 < (found <= 2).mean() < 0.7


@pytest.mark.parametrize("step", [0.5, 0.25, 0.02])
def test_a_lattice_whose_zeros_are_left_out_is_kept(tmp_path: Path, step: float) -> None:
    real = np.round(np.random.default_rng(0).integers(1, 200, 600) * step, 2)
    _, made = fitted(tmp_path / "l.parquet", pa.array(real))
    ticks = np.array(made["v"].to_pylist()) / step
    assert np.allclose(ticks, np.rint(ticks))


def test_the_digits_of_small_and_of_large_numbers_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.round(rng.uniform(1, 9, 500), 3), np.round(rng.uniform(100, 900, 500), 0)])
    known = precision.learn(values, False)
    assert known is not None
    chance = rng.random(200)
    assert max(map(decimals, known.rounded(rng.uniform(1, 9, 200), chance).tolist())) == 3
    assert max(map(decimals, known.rounded(rng.uniform(100, 900, 200), chance).tolist())) == 0


def test_measurements_as_they_came_and_prices_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    assert precision.learn(rng.normal(0, 1, 500), False) is None
    assert heaps.learn(rng.integers(0, 10_000, 500), "decimal", 1) is None


def test_durations_half_of_which_were_measured_in_whole_seconds_stay_so(tmp_path: Path) -> None:
    """The others are means of some, of ten significant digits as a program prints them."""
    rng = np.random.default_rng(0)
    seconds = np.exp(rng.normal(6.5, 0.8, 4000)).clip(100, 99_999)
    cells = np.where(rng.random(4000) < 0.45, np.rint(seconds), np.array([float(f"{s:.10g}") for s in seconds]))
    codec, made = fitted(tmp_path / "d.parquet", pa.array(cells))
    whole = float((np.asarray(made["v"]) % 1 == 0).mean())
    assert codec.layout.parts[0].grain.digits == 10 and abs(whole - 0.45) < 0.07
