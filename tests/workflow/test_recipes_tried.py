"""A recipe that stands for several: the one whose made rows teach most, of those that lean on no row learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawings import save_pictures

import karat
from karat.data import Data, load
from karat.errors import FitError
from karat.training import loop
from karat.workflow.several.choosing import FEWEST, choose

BLIND = 'family = "trees"\n[model]\nleaf = 90\nboost = false\n'  # so large that no column knows of another
COPIER = 'family = "trees"\n[model]\nleaf = 1\nboost = false\nprune = false\n'
HOUR = loop.Plan(minutes=60.0)


def table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).round(4)
    told = x[:, 0] - x[:, 1] + 0.3 * rng.normal(size=n)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "kind": np.where(told > 0, "up", "down")})


def recipe(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.toml")


@pytest.fixture
def data(tmp_path: Path) -> Data:
    table(270).to_csv(tmp_path / "told.csv", index=False)
    return load(tmp_path / "told.csv")


def test_the_recipe_whose_rows_teach_most_is_chosen(data: Data, tmp_path: Path) -> None:
    name, (first, second) = choose(data, ("cart", recipe(tmp_path, "blind", BLIND)), (), 0, HOUR)
    assert first.loss is not None and second.loss is not None and second.loss > first.loss + 0.3
    assert name == "cart"


def test_a_recipe_that_leans_on_the_rows_learned_from_is_not_chosen_however_much_it_teaches(
    data: Data, tmp_path: Path
) -> None:
    blind, copier = recipe(tmp_path, "blind", BLIND), recipe(tmp_path, "copier", COPIER)
    name, (first, second) = choose(data, (blind, copier), (), 0, HOUR)
    assert first.loss is not None and second.loss is not None and second.loss < first.loss - 0.3
    assert name == blind and second.leans and not first.leans and "too many" in str(second)


def test_what_half_of_the_budget_leaves_no_time_for_is_not_tried_and_the_first_is_taken(data: Data) -> None:
    name, tried = choose(data, ("trees", "cart"), (), 0, loop.Plan(minutes=1e-6))
    assert name == "trees" and [trial.loss for trial in tried] == [None, None]
    assert all("half of the budget" in str(trial) for trial in tried)


def test_of_too_few_rows_nothing_is_tried(tmp_path: Path) -> None:
    table(FEWEST).to_csv(tmp_path / "few.csv", index=False)
    assert choose(load(tmp_path / "few.csv"), ("cart", "trees"), (), 0, HOUR) == ("cart", [])


def test_a_run_is_of_the_recipe_chosen_and_says_what_was_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    either = recipe(tmp_path, "either", f'family = "trees"\namong = ["{recipe(tmp_path, "blind", BLIND)}", "cart"]\n')
    run = karat.train(table(270), recipe=either, out=tmp_path / "run", threads=1)
    assert run.spec["recipe"]["name"] == "cart"
    assert [line.split()[0] for line in run.spec["tried"]] == ["blind", "cart"]
    assert run.spec["tried"][1] in capsys.readouterr().out.replace("\n", " ")
    again = karat.train(table(270), recipe=either, out=tmp_path / "again", threads=1)
    assert again.make(20, seed=1).equals(run.make(20, seed=1))


def test_pictures_are_told_to_name_a_recipe(tmp_path: Path) -> None:
    save_pictures(tmp_path / "pictures", 130)
    with pytest.raises(FitError, match="one table"):
        karat.train(tmp_path / "pictures", recipe="auto", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
