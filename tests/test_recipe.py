"""Recipes are data: unknown names are refused with the nearest known one, wrong types with the wanted one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from karat import recipe as recipes
from karat.errors import FitError
from karat.recipe import Recipe
from karat.space import Codes, Fields, Grid


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_fits_its_dataclasses_and_survives_json(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.family in recipes.families() and recipe.train.enough > 0
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert recipes.config(again) == recipes.config(recipe) and again.train == recipe.train
    assert recipes.fingerprint(again) == recipes.fingerprint(recipe)


def test_the_famous_names_are_there() -> None:
    assert {"mlp-gan", "dcgan", "wgan-gp", "cgan", "gan", "vae", "diffusion", "ddpm"} <= set(recipes.names())


@pytest.mark.parametrize(
    "name, changes, words",
    [
        ("difusion", [], "no recipe 'difusion'. Did you mean diffusion?"),
        ("zzz", [], "There are: auto, autoregressive"),
        ("vae", ["model.latnet=3"], "no setting 'model.latnet'. Did you mean model.latent?"),
        ("vae", ["train.bach=3"], "Did you mean train.batch?"),
        ("vae", ["modle.latent=3"], "no recipe key 'modle'. Did you mean model?"),
        ("vae", ["latent=3"], "wanted the form table.key=value"),
        ("vae", ["model.latent"], "wanted the form table.key=value"),
        ("vae", ["model.latent=many"], "model.latent='many': wanted int"),
        ("vae", ["model.latent=3.5"], "model.latent=3.5: wanted int"),
        ("vae", ["model.latent=true"], "wanted int"),
        ("vae", ["model.beta=true"], "wanted float"),
        ("vae", ["model.prior=mixtures"], "Did you mean mixture?"),
        ("gan", ["model.conditional=1"], "wanted bool"),
        ("gan", ["model.betas=0.5"], "model.betas=0.5"),
        ("gan", ['model.betas=["a","b"]'], "model.betas"),
        ("gan", ["model.betas=[0.1,0.2,0.3]"], "model.betas"),
        ("diffusion", ["model.vae.latnet=3"], "Did you mean model.vae.latent?"),
        ("diffusion", ["model.vae=3"], "model.vae=3"),
        ("diffusion", ["model.width.x=3"], "model.width"),
        ("vae", ["train=3"], "wanted the form"),
        ("vae", ["family.x=3"], "family"),
        ("no/such.toml", [], "no/such.toml"),
    ],
)
def test_what_is_not_there_or_not_of_the_kind_is_refused_with_what_was_wanted(
    name: str, changes: list[str], words: str
) -> None:
    with pytest.raises(FitError) as refused:
        recipes.load(name, changes)
    assert words in str(refused.value)


def test_settings_reach_the_config() -> None:
    recipe = recipes.load(
        "diffusion",
        [
            "model.vae.latent=7",
            "model.lr=1e-3",
            "model.steps=3",
            "train.minutes=2",
            "model.betas=[0.5, 0.9]",
            "model.sampler=euler",
        ],
    )
    config = recipes.config(recipe)
    assert (config.vae.latent, config.lr, config.steps, config.betas) == (7, 1e-3, 3, (0.5, 0.9))
    assert config.sampler == "euler" and recipe.train.minutes == 2.0
    assert recipes.fingerprint(recipe) != recipes.fingerprint(recipes.load("diffusion"))


def test_a_persons_own_toml_is_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('family = "vae"\n[model]\nlatent = 5\n[train]\nbatch = 8\n')
    recipe = recipes.load(str(file), ["model.beta=2"])
    assert (recipe.name, recipe.train.batch, recipes.config(recipe).latent) == ("mine", 8, 5)
    for text, words in (
        ("family = ", "not valid TOML"),
        ('family = "vea"\n', "Did you mean vae?"),
        ("[model]\nlatent = 5\n", "family"),
        ('family = "vae"\nmodel = 3\n', "model"),
        ('family = "vae"\ncolour = 3\n', "no recipe key 'colour'"),
    ):
        file.write_text(text)
        with pytest.raises(FitError) as refused:
            recipes.load(str(file))
        assert words in str(refused.value), text
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FitError, match="mine.toml"):
        recipes.load(str(file))


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    share: float = 0.5


def test_whole_numbers_are_numbers_and_lists_are_tuples() -> None:
    made: Any = recipes.settings(Outer, {"inner": {"sizes": [3]}, "share": 1}, "x")
    assert made == Outer(Inner((3,)), 1.0) and isinstance(made.share, float)


def test_a_recipe_takes_its_own_settings_where_it_meets_content_in_fields(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'family = "vae"\n[train]\nbatch = 32\n[model]\nlatent = 8\nbeta = 2.0\n'
        "[fields.train]\nbatch = 256\n[fields.model]\nlatent = 16\n"
    )
    grid, fields = Grid(1, (8, 8)), Fields((1, 2))
    plain = recipes.load(str(file), spaces=(grid, fields))
    assert (plain.train.batch, dict(plain.model)) == (32, {"latent": 8, "beta": 2.0})
    table = recipes.load(str(file), ["model.beta=1"], spaces=(Codes((3,), (False,)), fields))
    assert (table.train.batch, dict(table.model)) == (256, {"latent": 16, "beta": 1})
    assert recipes.load(str(file), ["model.latent=4"], spaces=(fields,)).model["latent"] == 4, (
        "a person's own word wins"
    )


def test_large_points_come_in_smaller_batches_and_a_batch_that_was_asked_for_stays() -> None:
    def batch(side: int, *changes: str) -> int:
        return recipes.load("vae", changes, None, (Grid(1, (side, side)),)).train.batch

    assert (batch(28), batch(64), batch(500)) == (128, 24, 16)
    assert batch(64, "train.batch=100") == 100
