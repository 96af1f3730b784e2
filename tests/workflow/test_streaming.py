"""What is made goes to disk block by block: as many as are asked for, in room that does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat
from karat.content.table import bloom, tables
from karat.content.table.bloom import BloomFilter, Past
from karat.errors import FitError, TooLarge
from karat.run import Run
from karat.synthesizer import single
from karat.workflow import making

ROWS = 300
KEYS = ["key", "ref", "code", "email", "number", "wide"]


def _small_blocks(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(tables, "AT_ONCE", rows)
    monkeypatch.setattr(single, "GIVEN_AT_ONCE", rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a table with running keys, codes, e-mails, and numbers that are declared to differ."""
    home, r = tmp_path_factory.mktemp("table"), np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "key": np.arange(1, ROWS + 1),
            "ref": [f"R-{i:06d}" for i in r.permutation(ROWS)],
            "code": [f"{x:08x}" for x in r.integers(0, 2**32, ROWS)],
            "email": [f"ab{i}@example.com" for i in range(ROWS)],
            "number": 10 * r.permutation(ROWS),
            "wide": r.integers(0, 2**50, ROWS),
            "a": r.integers(0, 50, ROWS),
            "size": r.choice(["small", "middle", "large"], ROWS, p=[0.7, 0.2, 0.1]),
            "pay": np.round(r.normal(9, 3, ROWS), 2),
        }
    )
    frame.to_csv(home / "d.csv", index=False)
    (home / "s.toml").write_text('[[constraint]]\nunique = "number"\n[[constraint]]\nunique = "wide"\n')
    return karat.train(home / "d.csv", schema=home / "s.toml", out=home / "run", threads=1, set=["model.rounds=2"])


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 200 rows, so that few rows make many of them."""
    _small_blocks(monkeypatch, 200)


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix in (".json", ".jsonl"):
        return pd.read_json(path, lines=path.suffix == ".jsonl")
    return (
        pd.read_feather(path)
        if path.suffix == ".feather"
        else pd.read_csv(path, sep="\t" if ".tsv" in path.name else ",")
    )


@pytest.mark.parametrize(
    "suffix",
    [
        ".csv",
        ".parquet",
        *(pytest.param(x, marks=pytest.mark.exam) for x in (".csv.gz", ".tsv", ".feather", ".json", ".jsonl")),
    ],
)
def test_what_must_differ_differs_across_blocks(run: Run, tmp_path: Path, blocks: None, suffix: str) -> None:
    goal = tmp_path / f"x{suffix}"
    karat.make(run, n=1150, out=goal, threads=1)
    made = read(goal)
    assert len(made) == 1150 and list(made.columns) == [*KEYS, "a", "size", "pay"]
    for name in KEYS:
        assert not made[name].duplicated().any(), name
    again = tmp_path / f"again{suffix}"
    karat.make(run, n=1150, out=again, threads=1)
    assert again.read_bytes() == goal.read_bytes(), "the same seed, the same bytes"


def test_one_block_is_what_it_was_without_a_stream(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    karat.make(run, n=199, out=tmp_path / "a.csv", threads=1)
    _small_blocks(monkeypatch, 199)
    karat.make(run, n=199, out=tmp_path / "b.csv", threads=1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    karat.make(run, n=500, out=tmp_path / "c.csv", threads=1)
    rows = (tmp_path / "c.csv").read_text().splitlines()
    assert rows[0] == (tmp_path / "a.csv").read_text().splitlines()[0] and sum(row == rows[0] for row in rows) == 1


def test_made_rows_are_balanced_over_all_blocks(tmp_path: Path, blocks: None) -> None:
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"a": r.integers(0, 9, 400), "size": r.choice(list("xyzuvwt"), 400)})
    own = karat.train(frame, out=tmp_path / "run", threads=1, set=["model.rounds=2"])
    karat.make(own, n=1003, balance="size", out=tmp_path / "x.csv", threads=1)
    counts = read(tmp_path / "x.csv")["size"].value_counts()
    assert len(counts) == 7 and counts.sum() == 1003 and counts.max() - counts.min() <= 1


def test_rows_to_complete_come_back_in_order_from_many_blocks(run: Run, tmp_path: Path, blocks: None) -> None:
    part = pd.DataFrame({"a": np.arange(730) % 50, "size": np.where(np.arange(730) % 3, "small", "large")})
    part.to_csv(tmp_path / "part.csv", index=False)
    for name in ("x.csv", "y.csv"):
        karat.make(run, given=str(tmp_path / "part.csv"), out=tmp_path / name, threads=1)
    made = read(tmp_path / "x.csv")
    assert made[["a", "size"]].equals(part) and not any(made[name].duplicated().any() for name in KEYS)
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "y.csv").read_bytes()


def test_numbers_that_run_out_are_said_in_whatever_block(tmp_path: Path, blocks: None) -> None:
    frame = pd.DataFrame({"n": np.arange(400) * 3 % 400, "a": np.arange(400) % 7})
    frame.to_csv(tmp_path / "d.csv", index=False)
    schema = '[columns]\nn = { kind = "integer" }\n[[constraint]]\nunique = "n"\n[[constraint]]\nrule = "n <= 899"\n'
    (tmp_path / "s.toml").write_text(schema)
    own = karat.train(
        tmp_path / "d.csv", schema=tmp_path / "s.toml", out=tmp_path / "run", threads=1, set=["model.rounds=2"]
    )
    try:
        karat.make(own, n=900, out=tmp_path / "x.csv", threads=1)
    except FitError as error:
        assert "must differ" in str(error)
    else:
        made = read(tmp_path / "x.csv")["n"]
        assert not made.duplicated().any() and made.max() <= 899
    with pytest.raises(FitError, match="must differ|different"):
        karat.make(own, n=2000, out=tmp_path / "y.csv", threads=1)
    assert not (tmp_path / "y.csv").exists()


def test_a_filter_never_takes_an_old_value_for_new_and_seldom_a_new_one_for_old() -> None:
    r = np.random.default_rng(0)
    old, new = (r.integers(0, 2**63, 20_000).astype(np.uint64) for _ in range(2))
    known = BloomFilter(20_000)
    known.add(old)
    assert known.has(old).all() and known.has(new).mean() < 0.002
    dense = Past(1000).values(("n",), -50.0, 2000)
    dense.add(np.arange(-50.0, 950.0, 2))
    assert dense.has(np.arange(-50.0, 950.0)).tolist() == [True, False] * 500, "whole numbers are told apart exactly"
    with pytest.raises(TooLarge, match="must all differ"):
        BloomFilter(10**14)
    assert bloom.BITS == 16


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "folder", "x.npy"])
def test_more_than_the_disk_holds_is_refused_before_it_is_begun(run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(TooLarge, match=r"1,000,000,000,000,000 rows would take about .* are free"):
        karat.make(run, n=10**15, out=tmp_path / name, threads=1)
    assert not any(tmp_path.iterdir())


def test_a_stream_that_turns_out_too_large_stops_early(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = making.Counted(10**12, "row", tmp_path / "x.csv")
    with pytest.raises(TooLarge, match="more rows would take about"):
        counted.check(4_000_000, 50_000)
    making.Counted(60_000, "row", tmp_path / "x.csv").check(4_000_000, 50_000)


def test_related_tables_that_do_not_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = np.random.default_rng(0)
    (tmp_path / "shop").mkdir()
    pd.DataFrame({"buyer_id": range(1, 201), "a": r.integers(0, 9, 200)}).to_csv(
        tmp_path / "shop" / "buyers.csv", index=False
    )
    orders = pd.DataFrame({"order_id": range(1, 501), "buyer_id": r.integers(1, 201, 500), "b": r.integers(0, 9, 500)})
    orders.to_csv(tmp_path / "shop" / "orders.csv", index=False)
    own = karat.train(tmp_path / "shop", out=tmp_path / "run", threads=1)
    with pytest.raises(TooLarge, match="with all that hangs on them would need about"):
        karat.make(own, n=10**9, out=tmp_path / "made", threads=1)
    assert not (tmp_path / "made").exists()


def test_passages_are_written_as_they_come_and_in_every_form_alike(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    words = ["cat", "dog", "sea", "sun", "Rome", "Bonn", "Lyon", "goes", "sees", "under", "over", "a", "the"]
    text = "".join(" ".join(r.choice(words, 12)) + ".\n" for _ in range(900))
    (tmp_path / "t.txt").write_text(text)
    own = karat.train(tmp_path / "t.txt", recipe="ngram", out=tmp_path / "run", threads=1)
    for name in ("x.txt", "x.jsonl", "x.csv"):
        karat.make(own, n=600, out=tmp_path / name, threads=1)
    told = [json.loads(line)["text"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert len(told) == 600 and pd.read_csv(tmp_path / "x.csv", keep_default_na=False)["text"].tolist() == told
    whole = "<|endoftext|>\n".join(one.removesuffix("\n") + "\n" for one in told)
    assert (tmp_path / "x.txt").read_text() == whole


PEAK = (
    "import resource, sys, karat; karat.make(sys.argv[1], n=int(sys.argv[2]), out=sys.argv[3], threads=1); "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
)


@pytest.mark.exam
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_million_rows_take_no_more_memory_than_a_few(run: Run, tmp_path: Path, suffix: str) -> None:
    peaks = []
    for n in (200_000, 2_000_000):
        command = [sys.executable, "-c", PEAK, str(run.path), str(n), str(tmp_path / f"{n}{suffix}")]
        told = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        peaks.append(int(told.stdout.splitlines()[-1]))
    assert peaks[1] < peaks[0] + 60, peaks
