"""What is infinite, and -0.0, is a value of its own in a column of numbers, alike in CSV, Parquet and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as csv
import pytest

import karat
from karat.content import Tables
from karat.content.table.io.sources import open_table
from karat.data import load
from karat.errors import DataError

N = 400
FORMS = ("csv", "parquet", "feather", "pandas", "polars", "arrow")


def columns(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    ratio = np.round(rng.uniform(1, 90, N), 2)
    ratio[rng.random(N) < 0.06] = np.inf
    deep = rng.normal(size=N)
    deep[rng.random(N) < 0.05], deep[rng.random(N) < 0.05] = np.inf, -np.inf
    whole = rng.integers(-40, 40, N).astype(float)
    whole[:2] = -np.inf
    zero = np.round(rng.normal(size=N), 1)
    zero[rng.random(N) < 0.2] = -0.0
    zero[rng.random(N) < 0.2] = 0.0
    return {"ratio": ratio, "deep": deep, "whole": whole, "zero": zero, "a": rng.integers(0, 9, N)}


def source(form: str, folder: Path) -> Any:
    frame = pd.DataFrame(columns())
    if form == "csv":
        frame["whole"] = [f"{x:.0f}" for x in frame["whole"]]
        frame.to_csv(folder / "t.csv", index=False)
        return folder / "t.csv"
    if form == "parquet":
        frame.to_parquet(folder / "t.parquet")
        return folder / "t.parquet"
    if form == "feather":
        frame.to_feather(folder / "t.feather")
        return folder / "t.feather"
    return {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": pa.table(columns())}[form]


@pytest.mark.parametrize("form", FORMS)
def test_infinite_cells_stay_in_a_column_of_numbers_in_every_source(form: str, tmp_path: Path) -> None:
    contents = Tables.read(source(form, tmp_path), {})
    codec = Tables.restore(Tables.fit(contents, np.arange(N)).state())
    kinds = {c.name: c.kind for c in codec.schema.columns}
    assert {kinds[name] for name in ("ratio", "deep", "whole", "zero")} == {"decimal"}
    real = contents.records.cells.to_pandas()
    for space in codec.spaces:
        made = codec.decode(codec.encode(contents.records, space), space, np.random.default_rng(0)).cells.to_pandas()
        for name in ("ratio", "deep", "whole"):
            for end in (np.inf, -np.inf):
                assert (made[name] == end).tolist() == (real[name] == end).tolist()
            known = made[name][np.isfinite(made[name])]
            assert known.between(
                real[name][np.isfinite(real[name])].min(), real[name][np.isfinite(real[name])].max()
            ).all()
        own = [(np.signbit(t["zero"]) & (t["zero"] == 0)).to_numpy() for t in (real, made)]
        assert own[0].tolist() == own[1].tolist() and 0.1 < own[0].mean() < 0.3
    seen = codec.view(contents.records)
    assert np.isfinite(seen.values).all()


@pytest.mark.parametrize("form", FORMS)
def test_infinite_cells_are_written_as_they_were_read(form: str, tmp_path: Path) -> None:
    data = source(form, tmp_path)
    contents = Tables.read(data, {})
    codec = Tables.fit(contents, np.arange(N))
    suffix = codec.origin.suffix
    path = tmp_path / f"back{suffix}"
    path.write_bytes(codec.pack(contents.records, suffix))
    if form == "csv":
        assert path.read_bytes() == (tmp_path / "t.csv").read_bytes()
    first, again = (open_table(x, {}).cells.to_pandas() for x in (data, path))
    for name in ("ratio", "deep", "whole", "zero"):
        one, two = (np.asarray(t[name], np.float64) for t in (first, again))
        assert np.array_equal(one, two) and np.array_equal(np.signbit(one), np.signbit(two))


@pytest.mark.parametrize("word", ["inf", "Inf", "INF", "Infinity", "+inf", "∞"])
def test_infinity_is_spelled_as_the_file_does(word: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    low = "-" + word.removeprefix("+")
    cells = [word if u < 0.1 else low if u < 0.2 else f"{1000 * u:,.2f} €" for u in rng.random(300)]
    cells[5] = ""
    (tmp_path / "t.csv").write_text("x;n\n" + "\n".join(f"{c};{i % 7}" for i, c in enumerate(cells)) + "\n")
    contents = Tables.read(tmp_path / "t.csv", {})
    column = contents.records.facts.schema.columns[0]
    assert column.kind == "decimal" and column.infinite == (low, word)
    codec = Tables.fit(contents, np.arange(300))
    assert codec.pack(contents.records, ".csv").decode() == (tmp_path / "t.csv").read_text()


def test_a_run_of_infinite_cells_is_made_and_assayed(tmp_path: Path) -> None:
    run = karat.train(source("csv", tmp_path), out=tmp_path / "run", threads=1)
    karat.make(run, n=400, out=tmp_path / "made.csv", threads=1)
    made = csv.read_csv(tmp_path / "made.csv")
    assert np.isinf(made["ratio"]).mean() == pytest.approx(0.06, abs=0.04)
    assert (np.array(made["whole"]) == -np.inf).sum() < 12
    karat.make(run, n=20, given="ratio=inf", out=tmp_path / "some.csv", threads=1)
    assert np.isinf(csv.read_csv(tmp_path / "some.csv")["ratio"]).all()
    karat.make(run, n=20, given="ratio=..50", out=tmp_path / "few.csv", threads=1)
    assert (np.array(csv.read_csv(tmp_path / "few.csv")["ratio"]) <= 50).all()
    findings = karat.assay(run, threads=1, out=tmp_path / "report.html")
    assert findings


@pytest.mark.parametrize(
    "values", [[np.inf] * 300, [np.inf, -np.inf] * 150, [np.inf, np.nan, 1.5] * 100, [-0.0, 0.0] * 150]
)
def test_columns_of_little_else_are_tables_too(values: list[float], tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": values, "n": np.arange(300) % 7})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, tmp_path / "t.csv"):
        contents = Tables.read(data, {})
        codec = Tables.restore(Tables.fit(contents, np.arange(300)).state())
        made = codec.decode(codec.encode(contents.records), rng=np.random.default_rng(0))
        words = [sorted({str(x) for x in codec.printed(t)["x"].to_pylist()}) for t in (contents.records, made)]
        assert words[0] == words[1]


def test_a_whole_number_is_never_infinite(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "x,n\n" + "\n".join(f"{'inf' if i == 9 else i * 7 % 90},{i % 5}" for i in range(200)) + "\n"
    )
    (tmp_path / "t.toml").write_text('[columns]\nx = { kind = "integer" }\n')
    with pytest.raises(DataError, match="column 'x', row 10: 'inf' is no integer"):
        load(tmp_path / "t.csv", options={"schema": tmp_path / "t.toml"})


def test_what_is_below_or_above_what_can_be_measured_lies_beyond_all_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true = np.exp(rng.normal(1, 1.2, N))
    cells = ["<0.5" if x < 0.5 else ">20" if x > 20 else f"{x:.2f}" for x in true]
    pd.DataFrame({"crp": cells, "ward": rng.choice(list("ABC"), N)}).to_csv(tmp_path / "labs.csv", index=False)
    contents = Tables.read(tmp_path / "labs.csv", {})
    column = contents.records.facts.schema.columns[0]
    assert column.kind == "decimal" and column.infinite == ("<0.5", ">20") and not column.missing
    assert "'<0.5' and '>20' says on which side" in column.notes[0]
    read = contents.records.cells["crp"].to_numpy()
    assert (np.isneginf(read) == (true < 0.5)).all() and (np.isposinf(read) == (true > 20)).all()
    run = karat.train(tmp_path / "labs.csv", out=tmp_path / "run", threads=1)
    karat.make(run.path, n=300, out=tmp_path / "new.csv", threads=1)
    made = pd.read_csv(tmp_path / "new.csv", dtype=str)["crp"]
    assert 5 < (made == "<0.5").sum() < 60 and 3 < (made == ">20").sum() < 60
    known = made[~made.str.match("[<>]")].astype(float)
    assert known.min() >= 0.5 and known.max() <= 20


def test_several_limits_make_words_of_a_column_and_what_to_do_is_said() -> None:
    rng = np.random.default_rng(0)
    cells = ["<0.5"] * 9 + ["<0.02"] * 9 + [f"{x:.2f}" for x in rng.uniform(1, 9, 382)]
    column = Tables.read(pd.DataFrame({"x": cells, "y": rng.integers(0, 9, N)}), {}).records.facts.schema.columns[0]
    assert column.kind == "category" and "missing" in column.notes[0] and "--schema" in column.notes[0]
