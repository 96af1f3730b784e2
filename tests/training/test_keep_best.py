"""`train --keep-best`: which weights a training ends with, by records that are neither learned from nor the judge's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from small import LEAST, points, serving

import karat
from karat.data import Data, load
from karat.errors import FitError
from karat.events import Checkpoint, Event, Note, Record, Weights
from karat.families.generator import Learned
from karat.recipe import Recipe, Training
from karat.space import Grid
from karat.synthesizer import building
from karat.training import session
from karat.training.loop import Plan, State
from karat.workflow import checkpoints, learning
from karat.workflow.session.validating import Validation

SPACE, STEPS, SEED = Grid(1, (8, 8)), 30, 3
TINY = ["train.precision=fp32", "model.latent=4", "model.width=8", "model.hidden=8", "model.components=2"]


@dataclass(frozen=True)
class Plain:
    """A product without content."""

    model: Learned
    suffix: str = ".png"

    def of(self, model: Learned) -> Plain:
        return Plain(model)

    def glimpse(self, n: int) -> Any:
        return None

    def sheet(self, n: int) -> bytes:
        return b""

    def checkpoint(self, state: State) -> bytes:
        return checkpoints.checkpoint(self.model, state)

    def fit(self, seconds: float | None) -> Iterator[float]:
        yield 1.0

    def metrics(self) -> dict[str, float]:
        return {}

    def finish(self) -> None:
        return None

    def weights(self) -> bytes:
        return safetensors.torch.save(dict(self.model.weights()))


def built(family: str, **settings: Any) -> Learned:
    model = building.build(Recipe(family, family, "", {**LEAST[family], **settings}, Training()), SPACE, 0, 0)
    assert isinstance(model, Learned)
    return model


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, *SPACE.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def overfitting(state: State, model: Learned, history: list[dict[str, float]], stop_at: int | None) -> list[Event]:
    """The events of a model that learns eight records of noise by heart, as 12 others see it."""
    batch, plan = serving(noise(8, 0), None, 16), Plan(steps=STEPS, batch=16, average=0.5, seed=SEED)
    scorer = Validation(noise(12, 1), None, SEED)
    return list(
        session.learn(model, batch, plan, state, Plain(model), history, 1e9, lambda: state.step == stop_at, scorer)
    )


@pytest.fixture(scope="module")
def unbroken() -> tuple[Learned, State, list[Event]]:
    model, state = built("vae", lr=0.05), State()
    return model, state, overfitting(state, model, [], None)


def test_a_model_that_learns_a_few_records_by_heart_ends_with_the_weights_of_an_earlier_tenth(
    unbroken: tuple[Learned, State, list[Event]],
) -> None:
    model, state, events = unbroken
    best = state.best
    assert best is not None and best.fraction < 1 and best.score < best.last and best.step == STEPS * best.fraction
    assert Validation(noise(12, 1), None, SEED).score(model) == pytest.approx(best.score)
    said = [e.text for e in events if isinstance(e, Note)]
    assert said == [f"kept the weights of {best.fraction:.0%} (validation {best.score:.4g}; the last: {best.last:.4g})"]
    assert state.spent["scoring"] > 0


def test_a_choice_that_was_interrupted_ends_with_the_bytes_of_one_that_was_not(
    unbroken: tuple[Learned, State, list[Event]],
) -> None:
    first = built("vae", lr=0.05)
    events = overfitting(State(), first, [], STEPS - 7)
    saved = next(e.content for e in reversed(events) if isinstance(e, Checkpoint))
    again = built("vae", lr=0.05)
    state = checkpoints.restore(saved, again, "fp32")
    rows = [dict(e.values) for e in events if isinstance(e, Record)]
    went_on = overfitting(state, again, rows, None)
    assert _weights(went_on) == _weights(unbroken[2])
    assert state.best is not None and unbroken[1].best is not None
    assert state.best.numbers() == unbroken[1].best.numbers()


def _weights(events: list[Event]) -> bytes:
    return next(e.content for e in events if isinstance(e, Weights))


def test_a_game_is_scored_by_how_far_what_it_makes_is_from_the_records() -> None:
    model = built("gan").eval()
    own = model.sample(64, None, torch.Generator().manual_seed(1))
    near, far = (Validation(x, None, SEED).score(model) for x in (own, points(SPACE, 64)[0]))
    assert abs(near) < 0.1 * far and Validation(own, None, SEED).score(model) == near


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


def test_the_validation_part_is_of_the_training_part_and_never_the_judges(digits: Data) -> None:
    parted = digits.validated(SEED)
    assert np.array_equal(parted.holdout, digits.holdout)
    assert not np.intersect1d(parted.validation, parted.holdout).size
    assert np.array_equal(np.sort(np.concatenate([parted.train, parted.validation])), digits.train)
    assert len(parted.validation) == round(0.05 * len(digits.train))
    assert np.array_equal(digits.validated(SEED).validation, parted.validation)
    assert not np.array_equal(digits.validated(SEED + 1).validation, parted.validation)


def test_records_that_belong_together_stay_together_and_too_few_are_refused(digits: Data) -> None:
    groups = np.arange(len(digits.contents.records)) // 9
    grouped = replace(digits, contents=replace(digits.contents, groups=groups)).validated(SEED)
    assert not np.intersect1d(groups[grouped.train], groups[grouped.validation]).size
    assert len(grouped.validation) >= 64
    with pytest.raises(FitError, match="--keep-best keeps 64 of the 200 records.*at least 256"):
        replace(digits, train=digits.train[:200]).validated(SEED)


def test_a_run_records_what_it_kept_and_finds_its_validation_part_again(tmp_path: Path, digits: Data) -> None:
    settings = [*TINY, "model.iterations=2", "model.critic=0"]
    run = karat.train("digits", recipe="vae", steps=2, out=tmp_path / "r", threads=1, set=settings, keep_best=True)
    assert run.spec["kept"].keys() == {"step", "fraction", "validation", "last"}
    found = learning.again(run)
    assert len(found.validation) and np.array_equal(found.validation, digits.validated(0).validation)
    assert run.spec["fingerprint"] == digits.fingerprint


def test_what_is_fitted_at_once_refuses_to_choose_and_begins_no_run(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("a,b\n" + "".join(f"{i % 7},{'xyz'[i % 3]}\n" for i in range(120)))
    with pytest.raises(FitError, match="--keep-best: cart is fitted at once"):
        karat.train(table, recipe="cart", out=tmp_path / "r", keep_best=True)
    assert not (tmp_path / "r").exists()
