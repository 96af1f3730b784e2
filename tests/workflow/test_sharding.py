"""Shards: many files in place of one, each a pure function of the request and its number, whoever makes it and when."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import karat
from karat.content.table.personal import shapes
from karat.errors import FitError
from karat.options import MakeOptions
from karat.provenance.reading import labelled
from karat.request import Request
from karat.run import Run
from karat.workflow import sharding

ROWS = 300
KEYS = ["key", "ref", "code", "email", "uuid", "long"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a table with a key of every form that goes on: running, mixed, hexadecimal, e-mail, UUID, of 64 bits."""
    home, r = tmp_path_factory.mktemp("keyed"), np.random.default_rng(0)
    drawn = r.bytes(16 * ROWS).hex()
    pd.DataFrame(
        {
            "key": np.arange(1, ROWS + 1),
            "ref": [f"R-{i:06d}" for i in r.permutation(ROWS)],
            "code": [f"{x:06x}" for x in r.choice(2**24, ROWS, replace=False)],
            "email": [f"ab{i}@example.com" for i in range(ROWS)],
            "uuid": ["-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:32])) for h in map(drawn.__getitem__, _cuts())],
            "long": [str(-int(x)) for x in r.integers(2**60, 2**61, ROWS)],
            "size": r.choice(["small", "middle", "large"], ROWS, p=[0.7, 0.2, 0.1]),
            "pay": np.round(r.normal(9, 3, ROWS), 2),
        }
    ).to_csv(home / "d.csv", index=False)
    return karat.train(home / "d.csv", out=home / "run", threads=1, set=["model.rounds=2"])


def _cuts() -> list[slice]:
    return [slice(32 * i, 32 * i + 32) for i in range(ROWS)]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("part-*"))}


def test_shards_hold_all_that_was_asked_for_and_no_key_twice(run: Run, tmp_path: Path) -> None:
    files = karat.make(run, n=1501, shards=30, out=tmp_path / "big.parquet", threads=1, gate=["none"])
    assert [path.name for path in files] == [f"part-{k:05d}.parquet" for k in range(30)]
    parts = [pd.read_parquet(path) for path in files]
    assert sum(map(len, parts)) == 1501 and {len(part) for part in parts} == {50, 51}
    whole = pd.concat(parts)
    assert {name: int(whole[name].duplicated().sum()) for name in KEYS} == dict.fromkeys(KEYS, 0)
    assert set(parts[0]["key"].astype(int)) == set(range(ROWS + 1, ROWS + 51)), "each has its block of running numbers"
    assert not parts[0]["pay"].equals(parts[2]["pay"]), "and draws of its own"
    assert abs((whole["size"] == "large").mean() - 0.1) < 0.04


def test_a_shard_made_alone_is_the_same_bytes_as_among_all(run: Run, tmp_path: Path) -> None:
    karat.make(run, n=200, shards=5, out=tmp_path / "all", threads=1)
    whole = digests(tmp_path / "all")
    assert list(whole) == [f"part-{k:05d}.csv" for k in range(5)], "in the form of the data"
    karat.make(run, n=200, shards=5, shard="3-4", out=tmp_path / "some", threads=1)
    karat.make(run, n=200, shards=5, shard="0", out=tmp_path / "one", threads=1)
    assert digests(tmp_path / "some") == {k: v for k, v in whole.items() if k[9] in "34"}
    assert digests(tmp_path / "one") == {k: v for k, v in whole.items() if k[9] == "0"}
    karat.make(run, n=200, shards=5, seed=1, out=tmp_path / "other", threads=1)
    assert not set(digests(tmp_path / "other").values()) & set(whole.values())


def test_every_shard_says_inside_and_in_the_manifest_what_it_is(run: Run, tmp_path: Path) -> None:
    files = karat.make(run, n=60, shards=2, out=tmp_path / "big.parquet", threads=1)
    told = json.loads((tmp_path / "big.parquet" / "label.json").read_text())
    assert told["sha256"] == digests(tmp_path / "big.parquet") and labelled(tmp_path / "big.parquet") is True
    inside = [json.loads(pq.read_metadata(path).metadata[b"AIGC"])["ProduceID"] for path in files]
    assert inside == [f"{run.id}/seed0-part{k}" for k in range(2)]
    (alone,) = karat.make(run, n=20, out=tmp_path / "x.parquet", threads=1)
    assert run.id in pq.read_metadata(alone).metadata[b"AIGC"].decode(), "as one file alone does"
    away = tmp_path / "away" / "copy.parquet"
    away.parent.mkdir()
    away.write_bytes(files[1].read_bytes())
    assert labelled(away) is True, "a copy that left its manifest behind is still labelled"


def test_a_make_that_was_stopped_goes_on_with_the_shards_that_are_not_whole(run: Run, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("8 of"):
            raise KeyboardInterrupt

    goal = tmp_path / "big"
    options = MakeOptions(run, n=240, shards=24, out=goal)
    with pytest.raises(KeyboardInterrupt):
        sharding.make(run, options, stop)
    stage = goal / ".unfinished"
    assert not list(goal.glob("part-*")), "nothing has its name before all are whole"
    left = sorted(stage.glob("part-*"))
    assert 7 <= len(left) < 24
    left[0].write_bytes(left[0].read_bytes()[:-9])
    before = left[1].stat().st_ino
    told: list[str] = []
    sharding.make(run, options, told.append)
    assert (goal / left[1].name).stat().st_ino == before, "what was whole is not made again"
    karat.make(run, n=240, shards=24, out=tmp_path / "unbroken", threads=1)
    assert digests(goal) == digests(tmp_path / "unbroken") and not stage.exists()


def test_what_cannot_be_made_in_shards_is_said_beforehand(run: Run, tmp_path: Path) -> None:
    wrong = [
        ({"shards": 20, "n": 10}, "at least a record in each"),
        ({"shards": 0, "n": 10}, "wanted from 1"),
        ({"shards": 4, "n": 10, "shard": "4"}, "there are shards 0 to 3"),
        ({"shards": 4, "n": 10, "shard": "first"}, "a number such as 7"),
        ({"n": 10, "workers": 2}, "--workers goes with --shards"),
        ({"shards": 2, "n": 10, "workers": 0}, "--workers 0"),
    ]
    for asked, says in wrong:
        with pytest.raises(FitError, match=says):
            karat.make(run, out=tmp_path / "x", **asked)
    part = tmp_path / "part.csv"
    part.write_text("size\nsmall\n")
    with pytest.raises(FitError, match="completed as a whole"):
        karat.make(run, n=10, shards=2, given=str(part), out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("of", [2, 7, 1000])
def test_codes_are_steered_to_the_shard_that_may_make_them(of: int) -> None:
    r = np.random.default_rng(0)
    known = [["\\h\\h\\h\\h\\h\\h", 0.5], ["A\\d\\d\\d\\d\\d-\\u", 0.5]]
    sides = [shapes.fill(known, 400, r, 0, (k, of)) for k in (0, of - 1)]
    assert all(len(side) >= 300 for side in sides), "most of what is drawn is its own"
    assert not set(sides[0]) & set(sides[1])
    assert {len(text) for text in sides[0]} == {6, 8}
    assert len(set(sides[0])) > 290


def test_parts_of_a_request_are_as_even_as_can_be_and_have_seeds_of_their_own() -> None:
    parts = [Request(10**9 + 1, 5).part(k, 1000) for k in range(1000)]
    assert sum(part.n for part in parts) == 10**9 + 1 and {part.n for part in parts} <= {10**6, 10**6 + 1}
    assert len({part.seed for part in parts}) == 1000 and all(0 <= part.seed < 2**62 for part in parts)
    assert [part.shard.first for part in parts] == np.cumsum([0, *(part.n for part in parts[:-1])]).tolist()
    assert Request(7, 5).part(0, 1) == Request(7, 5), "the one shard of one is the request"


@pytest.mark.exam
@pytest.mark.parametrize("on", [None, "ray"])
def test_any_number_of_workers_gives_the_same_bytes(run: Run, tmp_path: Path, on: str | None) -> None:
    if on == "ray":
        pytest.importorskip("ray")
    karat.make(run, n=4000, shards=8, out=tmp_path / "one.parquet")
    for workers in (1, 2, 4):
        place = tmp_path / f"{workers}.parquet"
        karat.make(run, n=4000, shards=8, workers=workers, on=on, out=place)
        assert digests(place) == digests(tmp_path / "one.parquet")
