"""Rows of a table are drawn together or independently of each other, whatever the family, and in random order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from byheart import ByHeart

import karat
from karat import data
from karat.content.table import tables
from karat.content.table.tables import Tables
from karat.families import trees
from karat.families.generator import Generator
from karat.request import Request
from karat.space import Codes, Fields
from karat.synthesizer import Single


@pytest.fixture(scope="module")
def found() -> data.Data:
    rng = np.random.default_rng(0)
    z = rng.choice(list("pqr"), 1000, p=[0.5, 0.3, 0.2])
    frame = pd.DataFrame({"z": z, "w": np.round(rng.normal(0, 1, 1000) + 2 * (z == "p"), 2), "k": rng.poisson(3, 1000)})
    return data.load(frame, options={}, seed=0)


@pytest.fixture(scope="module", params=["codes", "fields", "trees"])
def whole(request: pytest.FixtureRequest, found: data.Data) -> Single:
    if request.param != "trees":
        return Single(found.codec, ByHeart(found, Codes if request.param == "codes" else Fields), ())
    model: Generator = trees.Model(found.codec.spaces[0], 0, trees.Config(rounds=2))
    assert isinstance(model, trees.Model)
    assert list(model.fit(found.points("train"), None, 0, None))[-1] == 1.0
    return Single(found.codec, model, ())


def seen(whole: Single, request: Request) -> np.ndarray:
    assert isinstance(whole.codec, Tables)
    return whole.codec.view_values(whole.draw(request).records)


def shares(rows: np.ndarray) -> list[float]:
    return [(rows[:, 0] == 0).mean(), (rows[:, 1] > 0.7).mean(), (rows[:, 2] > 3).mean()]


def test_rows_made_together_keep_to_the_shares_and_independent_ones_stray_by_chance(whole: Single) -> None:
    together, alone = (
        np.std([shares(seen(whole, Request(200, k, independent=by))) for k in range(20)], 0) for by in (False, True)
    )
    assert (together < 0.85 * alone).all() and together.mean() < 0.65 * alone.mean()
    assert (alone > 0.022).all(), "0.035 is what 200 independent rows stray by"


def test_the_first_rows_are_a_fair_sample_of_all(whole: Single) -> None:
    first, rest = [], []
    for k in range(20):
        rows = seen(whole, Request(200, k))
        first.append(shares(rows[:50]))
        rest.append(shares(rows[50:]))
    off = np.mean(first, 0) - np.mean(rest, 0)
    assert np.abs(off).max() < 4.5 * 0.07 / 20**0.5, "in no place are rows of one kind more often than in another"
    assert np.std(first, 0).max() < 0.1, "nor do rows of one kind come in a row: 0.07 is chance"


def test_independent_rows_are_the_draws_of_the_model_itself(found: data.Data) -> None:
    model = ByHeart(found, Codes)
    made = Single(found.codec, model, ()).draw(Request(300, 5, independent=True)).records
    alone = found.codec.decode(
        model.sample(300, None, torch.Generator().manual_seed(5)), model.space, np.random.default_rng(5)
    )
    assert made.cells.equals(alone.cells)


def test_what_is_given_stays_and_the_rest_keeps_to_the_shares_together(found: data.Data) -> None:
    whole = Single(found.codec, ByHeart(found, Codes), ())
    assert isinstance(found.codec, Tables)
    spread = []
    for by in (False, True):
        made = [next(whole.stream(Request(200, k, given="z=q", independent=by))).records for k in range(20)]
        assert all(set(rows.cells["z"].to_pylist()) == {"q"} for rows in made)
        spread.append(np.std([(found.codec.view_values(rows)[:, 2] > 3).mean() for rows in made]))
    assert spread[0] < 0.75 * spread[1]


def test_a_block_is_the_same_however_many_follow_it(whole: Single, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "AT_ONCE", 150)
    alone = next(iter(whole.stream(Request(150, 3)))).records.cells
    assert next(iter(whole.stream(Request(450, 3)))).records.cells.equals(alone)


def test_who_makes_rows_says_whether_they_are_independent(tmp_path: Path, found: data.Data) -> None:
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"z": r.choice(list("pq"), 300), "k": r.integers(0, 9, 300)})
    run = karat.train(frame, out=tmp_path / "run", threads=1, set=["model.rounds=2"])
    together, alone = (
        np.std([(run.make(100, seed=k, independent=by)["z"] == "p").mean() for k in range(8)]) for by in (False, True)
    )
    assert together < 0.02 < alone
    karat.make(run, n=100, seed=1, independent=True, out=tmp_path / "x.csv", threads=1)
    assert pd.read_csv(tmp_path / "x.csv").equals(run.make(100, seed=1, independent=True).astype({"z": str}))
