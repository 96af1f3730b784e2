"""Each illness is named with its evidence and remedy, on histories and on real trainings that have it; health is silent."""

from __future__ import annotations

from typing import Any

import pytest
from small import LEAST, points, serving

from karat.recipe import Recipe, Training
from karat.space import Grid
from karat.synthesizer import building
from karat.training import diagnostics as diagnostics
from karat.training import session
from karat.training.loop import Plan, State, train

SMALL = Grid(1, (8, 8))


def history(n: int = 40, **values: float) -> list[dict[str, float]]:
    return [{"fraction": (i + 1) / n, "step": i, "skipped": 0, **values} for i in range(n)]


HEALTHY = {"separated": 0.7, "slope/critic": 0.1, "slope/generator": 0.3, "active": 0.9, "spread": 0.9}


@pytest.mark.parametrize(
    "name, values",
    [
        ("non-finite loss", {"skipped": 2}),
        ("saturated discriminator", {"separated": 0.999}),
        ("vanishing gradients", {"slope/generator": 1e-9}),
        ("posterior collapse", {"active": 0.0}),
        ("mode collapse", {"spread": 0.1}),
    ],
)
def test_every_illness_is_named_alone_with_what_to_do(name: str, values: dict[str, float]) -> None:
    (notice,) = diagnostics.watch(history(**{**HEALTHY, **values}))
    assert notice.name == name and notice.fraction == 1.0
    assert notice.evidence and ("--set" in notice.remedy or "loss" in notice.remedy)
    assert set(notice.to_dict()) == {"name", "fraction", "evidence", "remedy"}


def test_health_and_ignorance_are_silent() -> None:
    assert (
        diagnostics.watch([]) == []
        and diagnostics.watch(history()) == []
        and diagnostics.watch(history(**HEALTHY)) == []
    )
    assert diagnostics.watch(history(2, separated=1.0)) == [], "two records are no evidence"
    early = [{**r, "fraction": r["fraction"] / 20} for r in history(separated=1.0)]
    assert diagnostics.watch(early) == [], "the first tenth is no evidence"


def test_one_bad_record_among_good_ones_is_no_illness() -> None:
    records = history(**HEALTHY)
    records[-1] = {**records[-1], "separated": 1.0, "spread": 0.0, "active": 0.0}
    assert diagnostics.watch(records) == []


def records_of(family: str, steps: int, **settings: Any) -> list[dict[str, float]]:
    """The history that a session would keep of a real training."""
    x, _ = points(SMALL, 256)
    recipe = Recipe(family, family, "", {**LEAST[family], **settings}, Training())
    model = building.build(recipe, SMALL, 0, 0)
    state, out = State(), []
    for p in train(model, serving(x, None, 32), Plan(steps=steps, batch=32), state):
        if p.step % 5 == 0:
            out.append(session.record(p, model, state))
    return out


def names(records: list[dict[str, float]]) -> set[str]:
    return {n.name for n in diagnostics.watch(records)}


@pytest.mark.exam
def test_a_vae_whose_divergence_costs_too_much_collapses_its_posterior() -> None:
    assert "posterior collapse" in names(records_of("vae", 150, beta=50.0, prior="gaussian"))
    assert names(records_of("vae", 150, beta=0.2, prior="gaussian")) == set()


def test_a_gan_whose_critic_runs_ahead_without_a_penalty_is_saturated() -> None:
    sick = records_of("gan", 150, lr=1e-5, critic_lr=1e-2, penalty="none", net="mlp", critic_width=32)
    assert "saturated discriminator" in names(sick)


@pytest.mark.exam
def test_a_gan_whose_generator_does_not_learn_varies_too_little() -> None:
    sick = records_of("gan", 100, lr=1e-7, critic_lr=1e-2, penalty="none")
    assert "mode collapse" in names(sick)


@pytest.mark.exam
def test_a_gan_of_the_install_on_easy_data_is_not_called_sick() -> None:
    assert names(records_of("gan", 300, lr=2e-3, critic_lr=2e-3, gamma=1.0, width=16, critic_width=16)) == set()
