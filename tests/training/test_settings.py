"""Settings that no machine can hold, or that are no numbers, are refused in a line before anything is allocated."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawings import pictures
from torch import nn

import karat
from karat import recipe
from karat.errors import KaratError, TooLarge
from karat.run import Run
from karat.space import Codes, Fields, Grid, Tokens
from karat.synthesizer import building, weighing
from karat.workflow import budgets, probing

SPACES = (Grid(1, (28, 28)), Fields((1, 3, 1, 5)), Codes((3, 300, 5), (False, True, False)), Tokens(64, 40))
ABSURD = ("1000000000", str(2**63), "-1", "nan", "inf")


def settings(cls: type[Any], where: str) -> Iterator[tuple[str, Any]]:
    """The name and type of every setting of a dataclass, those within settings too."""
    hints = typing.get_type_hints(cls)
    for f in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[f.name]):
            yield from settings(hints[f.name], f"{where}.{f.name}")
        else:
            yield f"{where}.{f.name}", hints[f.name]


FAMILIES = list({recipe.load(name).family: name for name in recipe.names()}.values())  # a recipe of each


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAMILIES else pytest.mark.exam) for name in recipe.names()]
)
def test_no_setting_of_any_recipe_can_be_so_absurd_that_it_ends_in_a_traceback(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", "2")
    family = recipe.module(recipe.load(name).family)
    space = next(s for s in SPACES if isinstance(s, recipe.module(recipe.load(name, spaces=[s]).family).Model.spaces))
    family = recipe.module(recipe.load(name, spaces=[space]).family)
    refused, asked = 0, 0
    for key, kind in (*settings(family.Config, "model"), *settings(recipe.Training, "train")):
        for value in ABSURD:
            try:
                chosen = recipe.load(name, [f"{key}={value}"], spaces=[space])
                budgets.with_budget(chosen, None, None, None, 0)
                building.build(chosen, space, 3, 0)
            except KaratError as error:
                assert len(str(error).splitlines()) <= 2
                refused += 1
            asked += 1
            assert value != "-1" or kind not in (int, float) or refused, f"{key}=-1"
    assert refused > asked / 3


@pytest.mark.parametrize("change", ["model.width=1000000000", "model.components=1000000000", "train.batch=1000000000"])
def test_what_would_need_more_memory_than_there_is_says_how_much_and_what_to_lower(change: str, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"would need about .* Lower"):
        karat.train("digits", steps=2, out=tmp_path / "r", threads=1, set=[change])
    assert not (tmp_path / "r").exists() or Run.open(tmp_path / "r").spec["status"] == "failed"


def test_a_step_whose_activations_do_not_fit_is_refused_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", "1")
    with pytest.raises(TooLarge, match=r"a step of 100,000 points would need about .* Lower --set train.batch"):
        karat.train("digits", steps=2, out=tmp_path / "r", threads=1, set=["train.batch=100000"])


def test_a_depth_without_end_is_refused_though_each_layer_is_small() -> None:
    def build() -> nn.Module:
        return nn.ModuleList(nn.Linear(2, 2) for _ in range(10**9))

    with pytest.raises(TooLarge, match="more than 5,000 layers"):
        weighing.refuse_large(build)


def test_a_model_that_looks_at_numbers_while_it_is_built_is_built_all_the_same() -> None:
    looked = []

    def build() -> None:
        looked.append(nn.Linear(2, 2).weight.device.type)
        looked.append(nn.Linear(2, 2).weight.sum().item())

    weighing.refuse_large(build)
    assert looked == ["meta"], "it was tried without memory, could not go on, and was let through"


def test_look_tells_which_recipes_do_not_fit_into_memory_and_tries_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "set.npz", images=pictures(40, 64, 64))
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.5")
    monkeypatch.setattr(probing, "PROBE_SECONDS", 0.02)  # of each recipe that fits
    rows = {row["recipe"]: row for row in karat.look(tmp_path / "set.npz", probe=True, threads=1)["recipes"]}
    assert not rows["wgan-gp"]["fits"] and "would need about" in rows["wgan-gp"]["why"]
    assert rows["vae"]["fits"] and rows["vae"]["minutes"] > 0 and 0 < rows["vae"]["memory_mb"] < 2000
