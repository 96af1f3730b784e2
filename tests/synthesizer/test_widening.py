"""Whatever the recipe, rows of a table are drawn through a kernel that keeps what it knows by heart from coming out again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from byheart import ByHeart

import karat
from karat import data
from karat.content.table.tables import Tables
from karat.errors import RunError
from karat.families.generator import Generator
from karat.request import Request
from karat.space import Codes, Fields
from karat.synthesizer import Single, load, load_codec, widening
from karat.synthesizer.single import FACTOR, WIDTH

Draw = Callable[[int, np.random.Generator], pd.DataFrame]


def apart(n: int, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"age": rng.integers(18, 81, n), "boss": rng.integers(1, 61, n)})


def related(n: int, rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(50, 15, n)
    return pd.DataFrame({"x": np.rint(x).astype(int), "y": np.rint(0.8 * x + rng.normal(0, 4, n)).astype(int)})


def mixed(n: int, rng: np.random.Generator) -> pd.DataFrame:
    z, k = rng.choice(list("pqrs"), n), rng.poisson(6, n).astype(float)
    k[rng.random(n) < 0.2] = np.nan
    return pd.DataFrame({"z": z, "k": k, "w": np.round(rng.normal(0, 1, n) + 2 * (z == "p"), 1)})


def table(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)))


def loaded(draw: Draw, n: int, seed: int) -> data.Data:
    return data.load(table(draw(round(n / 0.9), np.random.default_rng(seed))), options={}, seed=seed)


def shares(found: data.Data, model: Generator, draw: Draw, seed: int) -> tuple[float, float]:
    """How often rows that are made, and rows of the source never seen, equal one learned from."""
    codec = found.codec
    assert isinstance(codec, Tables)

    def cells(records: object) -> list[tuple[object, ...]]:
        return list(zip(*[c.to_pylist() for c in codec.printed(records).columns], strict=True))

    real = set(cells(found.records("train")))
    made = [row for block in Single(codec, model, ()).stream(Request(4_000, seed + 1)) for row in cells(block.records)]
    fresh = codec.conform(Tables.read(table(draw(4_000, np.random.default_rng(seed + 100))), {}).records)
    return float(np.mean([row in real for row in made])), float(np.mean([row in real for row in cells(fresh)]))


@pytest.mark.parametrize("kind", [Codes, Fields])
@pytest.mark.parametrize("draw", [mixed, *(pytest.param(draw, marks=pytest.mark.exam) for draw in (apart, related))])
def test_what_a_model_knows_by_heart_comes_out_no_oftener_than_unseen_rows_do(draw: Draw, kind: type) -> None:
    found = []
    for seed in range(3):
        known = loaded(draw, 300, seed)
        model = ByHeart(known, kind)
        before, _ = shares(known, model, draw, seed)
        assert widening.widen(model, known, seed) > 0
        found.append((before, *shares(known, model, draw, seed)))
    before, made, unseen = np.mean(found, 0)
    assert made <= unseen + 0.04  # how often unseen rows do is known within 0.03 of one table
    assert before > unseen + (0.2 if kind is Fields else 0.0)  # codes of few rows leave the values open


def test_the_kernel_changes_no_column_and_keeps_what_relates_two_numbers() -> None:
    found = loaded(related, 900, 0)
    model, codec = ByHeart(found, Codes), found.codec
    assert isinstance(codec, Tables)
    factor = torch.from_numpy(codec.correlated(found.records("train")))
    real = codec.view_values(found.records("train"))
    for width in (0.3, 1.0):
        model.kernel = (width, factor)
        points = widening.drawn(model, codec, model.points.repeat(8, 1), np.random.default_rng(0))
        made = codec.view_values(codec.decode(points))
        for j in range(2):
            shares = np.linspace(0.05, 0.95, 19)
            assert np.abs(np.quantile(made[:, j], shares) - np.quantile(real[:, j], shares)).max() <= 2
        assert np.corrcoef(made.T)[0, 1] > np.corrcoef(real.T)[0, 1] - 0.03


def test_choices_and_gaps_keep_their_shares_through_the_kernel() -> None:
    found = loaded(mixed, 900, 0)
    model, codec = ByHeart(found, Fields), found.codec
    assert isinstance(codec, Tables)
    model.kernel = (0.8, torch.from_numpy(codec.correlated(found.records("train"))))
    points = widening.drawn(model, codec, model.points.repeat(8, 1), np.random.default_rng(0))
    made, real = (codec.view_values(t) for t in (codec.decode(points, model.space), found.records("train")))
    assert abs(np.isnan(made[:, 1]).mean() - np.isnan(real[:, 1]).mean()) < 0.02
    assert (
        np.abs(np.bincount(made[:, 0].astype(int)) / len(made) - np.bincount(real[:, 0].astype(int)) / len(real)).max()
        < 0.02
    )


def test_given_cells_are_not_moved() -> None:
    found = loaded(mixed, 300, 0)
    model, codec = ByHeart(found, Codes), found.codec
    model.kernel = (1.0, torch.from_numpy(codec.correlated(found.records("train"))))
    made = next(Single(codec, model, ()).stream(Request(200, given="z=q"))).records
    assert set(made.cells["z"].to_pylist()) == {"q"}
    assert len(set(made.cells["w"].to_pylist())) > 10


def test_a_model_that_copies_nothing_has_no_kernel_nor_has_one_whose_rows_leave_no_choice() -> None:
    def few(n: int, rng: np.random.Generator) -> pd.DataFrame:
        return pd.DataFrame({"a": rng.choice(list("abc"), n), "b": rng.choice(list("xyz"), n)})

    def wide(n: int, rng: np.random.Generator) -> pd.DataFrame:
        return pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))

    for draw in (few, wide):
        found = loaded(draw, 300, 0)
        model = ByHeart(found, Codes)
        assert widening.widen(model, found, 0) == 0 and model.kernel is None


def test_a_run_keeps_its_kernel_and_one_of_another_table_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = table(pd.DataFrame({"a": rng.integers(0, 9, 60), "b": rng.integers(0, 9, 60)}))
    run = karat.train(frame, recipe="cart", out=tmp_path / "run")
    codec = load_codec(run)
    assert isinstance(codec, Tables)
    model = load(run, torch.device("cpu")).model
    assert model.kernel is not None and model.kernel[1].shape == (2, 2)
    import safetensors.torch

    held = safetensors.torch.load(run.load_model())
    for name, bad in ((WIDTH, torch.tensor(7.0)), (FACTOR, torch.eye(3).double())):
        run.save_model(safetensors.torch.save({**held, name: bad}))
        with pytest.raises(RunError, match="kernel is of another table"):
            load(run, torch.device("cpu"))
