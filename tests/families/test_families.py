"""The contract of every family in every space, and every variant of the losses and samplers that come with the install."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from small import LEAST, assert_inside, keeps_the_contract, learn, points, sampled, serving

from karat import recipe as recipes
from karat.errors import FitError
from karat.families.generator import Fitted, Generator, Learned
from karat.recipe import Recipe, Training
from karat.space import Codes, Fields, Grid, Space, Tokens
from karat.synthesizer import building
from karat.training.loop import Plan, State, train

SMALL = Grid(1, (8, 8))
SPACES: list[Space] = [SMALL, Grid(3, (12, 10)), Grid(1, (28, 28)), Fields((1, 1, 3, 4))]
SPACES.append(Codes((5, 9, 2, 3), (True, True, False, False)))
SPACES.append(Tokens(24, 15))


def home(family: str) -> Space:
    """The first of the spaces above in which the family can live."""
    return next(space for space in SPACES if isinstance(space, recipes.module(family).Model.spaces))


def taught(model: Generator, x: torch.Tensor, y: torch.Tensor | None, steps: int, seed: int = 0) -> None:
    """Has learned a little of `x`."""
    if isinstance(model, Fitted):
        list(model.fit(x, y, seed, None))
    else:
        assert isinstance(model, Learned)
        learn(model, serving(x, y, 64), steps, seed=seed)


def build(family: str, space: Space, classes: int, **model: Any) -> Learned:
    settings = {**LEAST.get(family, {}), **model}
    return building.build(Recipe(family, family, "", settings, Training()), space, classes, seed=0)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("family", recipes.families())
def test_every_family_keeps_the_contract_in_every_space_it_claims(family: str, space: Space, classes: int) -> None:
    if not isinstance(space, recipes.module(family).Model.spaces):
        with pytest.raises(FitError, match="lives in"):
            build(family, space, classes)
        return
    x, y = points(space, 64 if space.numel > 500 else 256)
    keeps_the_contract(build(family, space, classes), space, x, y if classes else None)


GAN = [
    {"loss": loss, "penalty": penalty, "every": every}
    for loss in ("nonsaturating", "hinge", "wasserstein", "relativistic")
    for penalty, every in (("none", 1), ("gp", 1), ("r1", 1), ("r1r2", 2))
] + [
    {"net": "mlp"},
    {"net": "article", "dropout": 0.3},
    {"conditional": True},
    {"conditional": True, "loss": "wasserstein", "penalty": "gp", "critics": 3},
    {"cells": 5},
    {"augment": 1.0},
    {"pack": 4, "net": "mlp"},
    {"pack": 3, "loss": "wasserstein", "penalty": "gp", "every": 1, "temperature": 0.5},
    {"conditional": True, "augment": 0.5, "penalty": "r1r2", "every": 1},
]
VAE: list[dict[str, Any]] = [
    *({"prior": prior} for prior in ("mixture", "gaussian", "standard")),
    {"free_bits": 0.2},
    {"conditional": True},
    {"beta": 4.0, "net": "mlp"},
]
DIFFUSION: list[dict[str, Any]] = [
    *(
        {"parametrisation": clock, "sampler": sampler, "steps": 4}
        for clock in ("flow", "edm", "ddpm")
        for sampler in ("heun", "euler", "ddim")
    ),
    {"guidance": 2.0},
    {"guidance": 2.0, "cells": 4, "conditional": False},
    {"conditional": False},
    {"steps": 1},
    {"parametrisation": "edm", "steps": 1},
    {"net": "mlp"},
    {"latent": True, "cells": 4, "vae": LEAST["vae"]},
    {"latent": True, "cells": 4, "conditional": False, "source": "mixture", "vae": LEAST["vae"]},
    {"latent": True, "parametrisation": "edm", "vae": LEAST["vae"]},
    {"latent": True, "parametrisation": "ddpm", "sampler": "ddim", "vae": LEAST["vae"], "conditional": False},
    {"latent": True, "guidance": 2.0, "vae": {**LEAST["vae"], "prior": "standard"}},
]
VARIANTS = [("gan", v) for v in GAN] + [("vae", v) for v in VAE] + [("diffusion", v) for v in DIFFUSION]


def _name(value: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in value.items() if k != "vae") if isinstance(value, dict) else str(value)


@pytest.mark.parametrize("family, model", VARIANTS, ids=_name)
@pytest.mark.parametrize("space", [SMALL, Fields((1, 2, 3))], ids=str)
def test_every_variant_learns_and_samples(family: str, model: dict[str, Any], space: Space) -> None:
    if model.get("net", "auto") not in ("auto", "mlp") and isinstance(space, Fields):
        with pytest.raises(FitError, match="those that can"):
            build(family, space, 3, **model)
        return
    x, y = points(space, 96)
    made = build(family, space, 3, **model)
    before = {
        name: {k: v.clone() for k, v in player.module.state_dict().items()} for name, player in made.players().items()
    }
    state = learn(made, serving(x, y, 64), 4)
    assert state.skipped == 0
    for name, player in made.players().items():
        assert state.turns[name] > 0
        after = player.module.state_dict()
        assert any(not torch.equal(before[name][k], v) for k, v in after.items()), f"{name} has not moved"
    out = made.sample(7, None, torch.Generator().manual_seed(0))
    assert_inside(space, out)
    assert out.shape == (7, *space.shape)


def test_every_choice_of_every_config_is_tried_above() -> None:
    tried = {"gan": GAN, "vae": VAE, "diffusion": DIFFUSION}
    for family, variants in tried.items():
        for f in dataclasses.fields(recipes.module(family).Config):
            choices = re.fullmatch(r"Literal\[(.*)\]", str(f.type))
            for choice in re.findall(r'"([\w-]+)"', choices[1]) if choices else []:
                seen = {v.get(f.name, f.default) for v in variants}
                assert choice in seen or choice in ("conv", f.default), f"{family}.{f.name}={choice} is not tried"


def test_a_conditional_gan_without_labels_is_refused_in_words() -> None:
    with pytest.raises(FitError, match="needs labels"):
        build("gan", SMALL, 0, conditional=True)
    with pytest.raises(FitError, match="needs labels"):
        building.build(recipes.load("cgan"), SMALL, 0, 0)


def test_packs_and_classes_exclude_each_other_and_a_batch_must_hold_a_pack() -> None:
    with pytest.raises(FitError, match="judges no classes"):
        build("gan", SMALL, 3, pack=10, cells=5)
    made = build("gan", SMALL, 0, pack=65)
    x, _ = points(SMALL, 64)
    with pytest.raises(FitError, match=r"train\.batch of at least 65"):
        learn(made, serving(x, None, 64), 1)


def test_a_gan_learns_how_often_each_choice_is_taken() -> None:
    """Choices have a gradient: without one, the shares would stay where they began."""
    space = Fields((4, 1))
    rng = torch.Generator().manual_seed(0)
    wanted = torch.tensor([0.6, 0.25, 0.1, 0.05])
    which = torch.multinomial(wanted, 2000, replacement=True, generator=rng)
    x = torch.cat([torch.nn.functional.one_hot(which, 4).float(), which[:, None] / 2 - 0.75], 1)
    made = build("gan", space, 0, width=8, critic_width=8, every=4)
    learn(made, serving(x, None, 128), 400, size=128)
    out = made.sample(4000, None, torch.Generator().manual_seed(1))
    assert float((out[:, :4].mean(0) - wanted).abs().sum()) < 0.4, out[:, :4].mean(0)


def test_numbers_that_a_vae_cannot_tell_keep_their_spread() -> None:
    space = Fields((3, 1))
    rng = torch.Generator().manual_seed(0)
    which = torch.randint(3, (2000,), generator=rng)
    x = torch.cat([torch.nn.functional.one_hot(which, 3).float(), torch.rand(2000, 1, generator=rng) * 2 - 1], 1)
    made = build("vae", space, 0, latent=2, beta=3.0)
    learn(made, serving(x, None, 128), 150, size=128)
    out = made.sample(4000, None, torch.Generator().manual_seed(1))
    assert abs(float(out[:, 3].std()) - 0.577) < 0.1, "a uniform number between -1 and 1 has a deviation of 0.577"


@pytest.mark.parametrize("classes", [0, 3])
def test_a_critic_changes_the_decoder_and_leaves_the_encoder_as_it_was(classes: int) -> None:
    x, y = points(SMALL, 96)
    made = build("vae", SMALL, classes, critic=0.5, critic_width=4)
    batch = serving(x, y if classes else None, 32)
    plan, state, kept = Plan(steps=40, batch=32), State(), {}
    for progress in train(made, batch, plan, state):
        if progress.step == 21:
            kept = {k: v.clone() for k, v in made.autoencoder.named_parameters()}
    assert state.turns == {"autoencoder": 20, "critic": 20, "decoder": 20}
    for name, weight in made.autoencoder.named_parameters():
        assert torch.equal(weight, kept[name]) == name.startswith("encoder."), name
    assert_inside(SMALL, made.sample(5, None, torch.Generator().manual_seed(0)))


def test_a_sharpened_decoder_is_tempered_to_the_detail_wanted() -> None:
    x, y = points(SMALL, 96)
    made = build("vae", SMALL, 3, critic=0.5, critic_width=4)
    batch, rng = serving(x, y, 32), torch.Generator().manual_seed(0)
    learn(made, batch, 40)
    assert made.begun and made.before is not None
    decoder, true = made.autoencoder["decoder"], made._detail([x])
    soft = made._detail(made._refresh(20, rng)) - true
    made.before.load_state_dict(decoder.state_dict())
    with torch.no_grad():
        for weight in decoder.parameters():
            weight *= 2.0
    grainy = made._detail(made._refresh(20, rng)) - true
    assert grainy > soft + 0.3
    for share in (0.4, 0.6):
        wanted = soft + share * (grainy - soft)
        tempered = copy.deepcopy(made)
        tempered.config = dataclasses.replace(made.config, detail=math.exp(wanted))
        with torch.no_grad():
            tempered._temper(batch, rng)
            assert abs(tempered._detail(tempered._refresh(20, rng)) - true - wanted) < 0.1


def test_the_decoder_before_the_critic_is_not_shipped() -> None:
    x, y = points(SMALL, 96)
    made, again = (build("vae", SMALL, 3, critic=0.5, critic_width=4) for _ in range(2))
    learn(made, serving(x, y, 32), 20)
    assert not any(name.startswith("before") for name in made.weights())
    again.put(made.weights())
    one, two = (m.eval().sample(5, None, torch.Generator().manual_seed(1)) for m in (made, again))
    assert torch.equal(one, two)


def test_a_walk_in_latents_ends_in_a_sharpened_decoder_that_is_told_the_class() -> None:
    x, y = points(SMALL, 96)
    inner = {**LEAST["vae"], "critic": 0.5, "critic_width": 4, "conditional": True}
    made = build("diffusion", SMALL, 3, latent=True, share=0.5, vae=inner)
    state = learn(made, serving(x, y, 32), 20)
    assert state.turns == {"autoencoder": 5, "critic": 5, "decoder": 5, "denoiser": 10}
    rng = torch.Generator().manual_seed(0)
    assert_inside(SMALL, made.sample(5, None, rng))
    assert_inside(SMALL, made.sample(3, torch.arange(3), rng))


def test_a_critic_of_what_is_no_grid_is_refused_in_words() -> None:
    with pytest.raises(FitError, match="a critic sharpens grids"):
        build("vae", Fields((1, 2)), 0, critic=0.5)


def test_a_mixture_has_no_component_of_a_few_points_however_often_they_are_seen() -> None:
    x, y = points(SMALL, 96)
    made = build("vae", SMALL, 0, components=50)
    learn(made, serving(x, y, 64), 100)
    assert int((made.mixture.log_weight.exp() > 0).sum()) == 96 // 16


def test_a_gan_that_was_not_told_classes_refuses_to_make_one() -> None:
    x, y = points(SMALL, 64)
    made = build("gan", SMALL, 3)
    learn(made, serving(x, y, 64), 2)
    with pytest.raises(FitError, match="not trained on classes"):
        made.sample(2, torch.zeros(2, dtype=torch.long), torch.Generator().manual_seed(0))


def test_a_class_that_is_asked_for_is_what_is_made() -> None:
    """Three kinds of different brightness: the VAE's mixtures must keep them apart after a short training."""
    x, y = points(SMALL, 600)
    made = build("vae", SMALL, 3, latent=4)
    learn(made, serving(x, y, 64), 150)
    means = [float(made.sample(200, torch.full((200,), k), torch.Generator().manual_seed(k)).mean()) for k in range(3)]
    truth = [float(x[y == k].mean()) for k in range(3)]
    for mean, wanted in zip(means, truth, strict=True):
        assert abs(mean - wanted) < 0.2, (means, truth)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_builds_and_learns_on_small_points(name: str) -> None:
    chosen = recipes.load(name)
    if chosen.family == "vae":  # the fit of the whole mixture is another test's
        chosen = recipes.load(name, ["model.components=6", "model.iterations=2"])
    space = home(chosen.family)
    made = building.build(chosen, space, 3, 0)
    x, y = points(space, 96)
    taught(made, x, y, 3)
    assert_inside(space, made.sample(5, None, torch.Generator().manual_seed(0)))
    assert chosen.about.strip(), "a recipe says what it is"


def test_the_batch_of_a_draw_does_not_change_its_neighbours() -> None:
    """Rows are independent: a class asked for in one row leaves the others as they are."""
    x, y = points(SMALL, 256)
    made = build("vae", SMALL, 3)
    learn(made, serving(x, y, 32), 5)
    a = made.sample(6, torch.tensor([0, 1, 2, 0, 1, 2]), torch.Generator().manual_seed(0))
    assert a.shape[0] == 6 and len({row.numpy().tobytes() for row in a}) == 6


def test_two_trainings_with_one_seed_give_the_same_bytes_and_another_seed_others() -> None:
    for family in recipes.families():
        made = []
        space = home(family)
        x, y = points(space, 96)
        for seed in (0, 0, 1):
            settings = Recipe(family, family, "", LEAST.get(family, {}), Training())
            model = building.build(settings, space, 3, seed)
            taught(model, x, y, 3, seed)
            learned = b"".join(w.contiguous().numpy().tobytes() for w in model.weights().values())
            made.append((sampled(model, 4, 0), learned))
        assert made[0] == made[1], family
        if not isinstance(model, Fitted):  # what is learned in closed form may need no chance
            assert made[0] != made[2], family


def example() -> str:
    """The family of CONTRIBUTING.md."""
    text = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if "class Model(Learned)" in block)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_family_from_a_file_outside_the_package_keeps_the_same_contract(tmp_path: Path, space: Space) -> None:
    file = tmp_path / "mine.py"
    file.write_text(example(), encoding="utf-8")
    chosen = recipes.load("", family=str(file))
    x, _ = points(space, 128)
    if not isinstance(space, recipes.module(chosen.family, chosen.digest).Model.spaces):
        with pytest.raises(FitError, match="lives in"):
            building.build(chosen, space, 0, 0)
        return
    keeps_the_contract(building.build(chosen, space, 0, 0), space, x, None)


def test_a_file_that_is_no_family_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="does not exist"):
        recipes.load("", family=str(tmp_path / "none.py"))
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(FitError, match="exports no Config"):
        recipes.load("", family=str(tmp_path / "empty.py"))
    (tmp_path / "broken.py").write_text("def (:\n")
    with pytest.raises(FitError, match="broken.py"):
        recipes.load("", family=str(tmp_path / "broken.py"))
