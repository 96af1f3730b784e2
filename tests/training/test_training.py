"""The loop keeps its budget, its averages and its schedule, and a continued run equals an unbroken one bit for bit."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import resuming
import torch
from processes import Forked
from small import LEAST, learn, points, sampled, serving
from torch import Tensor, nn

from karat import recipe as recipes
from karat.errors import DivergedError, FitError
from karat.families.generator import Learned, Player
from karat.recipe import Recipe, Training
from karat.space import Allowance, Batch, Batches, Codes, Fields, Grid, Space, Tokens
from karat.synthesizer import building
from karat.training import divergence
from karat.training import loop as training
from karat.training.loop import Plan, State, train
from karat.workflow import checkpoints

SMALL = Grid(1, (8, 8))


class Toy(Learned):
    """Two players, each with two numbers, pulled towards `goal`; `spoil` says at which turns a loss is not finite."""

    spaces = (Fields,)

    def __init__(self, spoil: Callable[[int, str], bool] = lambda step, player: False) -> None:
        super().__init__()
        self.space, self.classes, self.spoil, self.calls = Fields((1, 1)), 0, spoil, 0
        self.first, self.second = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
        nn.init.ones_(self.first.weight)
        nn.init.ones_(self.second.weight)
        self.settled: list[float | None] = []
        self.sizes: list[int] = []

    def players(self) -> dict[str, Player]:
        return {"first": Player(self.first, lr=0.1), "second": Player(self.second, lr=0.01, warmup=10, flat=0.0)}

    def turns(self) -> tuple[str, ...]:
        return ("first", "second")

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        self.sizes.append(len(batch.x))
        value = (self.get_submodule(player)(batch.x) - 3).square().mean()
        if self.spoil(self.calls, player):
            value = value * math.nan
        return value, {player: value.detach()}

    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        self.settled.append(time.left())

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        return torch.zeros(n, 2)


def numbers(n: int = 64) -> Callable[[int], tuple[Tensor, Tensor | None]]:
    x, _ = points(Fields((1, 1)), n)
    return serving(x, None, 8)


def test_a_budget_in_steps_is_exact_and_settles_once() -> None:
    toy, state = Toy(), State()
    seen = list(train(toy, numbers(), Plan(steps=7, batch=8), state))
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert [p.fraction for p in seen] == pytest.approx([k / 7 for k in range(1, 8)])
    assert seen[-1].fraction == 1.0 and seen[-1].samples == 7 * 8
    assert toy.settled == [math.inf] and state.settled and not toy.training
    assert list(train(toy, numbers(), Plan(steps=7, batch=8), state)) == [], "a settled run has nothing to do"
    assert toy.settled == [math.inf]


def test_a_budget_in_samples_counts_the_points_seen() -> None:
    toy, state = Toy(), State()
    seen = list(train(toy, numbers(), Plan(samples=100, batch=8), state))
    assert seen[-1].samples == 104 and seen[-2].samples == 96, "it ends with the batch that reaches the budget"
    gan = building.build(Recipe("gan", "gan", "", {**LEAST["gan"], "critics": 3}, Training()), SMALL, 0, 0)
    x, _ = points(SMALL, 64)
    last = list(train(gan, serving(x, None, 8), Plan(samples=240, batch=8), State()))[-1]
    assert last.step == 10 and last.samples == 240, "every critic turn sees a batch of its own, the generator none"


@pytest.mark.parametrize("family, settings", [("gan", {}), ("vae", {"components": 60, "iterations": 10_000})])
def test_a_budget_in_minutes_is_kept(family: str, settings: dict[str, int]) -> None:
    """In seconds of computing, so that the test means the same on a busy machine."""
    x, y = points(SMALL, 256)
    recipe = Recipe(family, family, "", {**LEAST[family], **settings}, Training())
    model = building.build(recipe, SMALL, 3, 0)
    began, state = time.process_time(), State()
    for _ in train(model, serving(x, y, 64), Plan(minutes=0.8 / 60, batch=64, clock="cpu"), state):
        pass
    used = time.process_time() - began
    # a busy machine makes a last piece of work as long again; ten thousand rounds of settling would take many seconds
    assert used < 0.8 + 0.5
    assert used > 0.8 * 0.95 * (1 - model.settling)
    assert state.seconds == pytest.approx(used, abs=0.25)


@pytest.mark.parametrize("given", [{}, {"minutes": 1.0, "steps": 5}, {"steps": 0}, {"minutes": -1.0}, {"samples": -5}])
def test_a_budget_is_one_positive_number(given: dict[str, float]) -> None:
    with pytest.raises(FitError, match=r"budget is one of|must be positive"):
        Plan(**given)  # type: ignore[arg-type]


def left_by_another_process(folder: Path, *which: str) -> Path:
    command = [sys.executable, resuming.__file__, str(folder), *which]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def every_half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return left_by_another_process(tmp_path_factory.mktemp("every half"), "all")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints that another process, a fork of this one, left at the stops of the cases of a plain run."""
    folder = tmp_path_factory.mktemp("halves")
    other = Forked(lambda: resuming.leave(folder, resuming.SOON))
    assert other.wait() == 0, other.said()
    return folder


UNBROKEN: dict[tuple[str, str], tuple[dict[str, Tensor], bytes]] = {}


@pytest.mark.parametrize("name, precision, stop", resuming.SOON)
def test_a_run_continued_by_another_process_equals_the_unbroken_one_bit_for_bit(
    name: str, precision: training.Precision, stop: int, halves: Path
) -> None:
    continues(name, precision, stop, halves)


@pytest.mark.exam
@pytest.mark.parametrize("name, precision, stop", resuming.CASES)
def test_a_run_continued_by_another_process_equals_the_unbroken_one_in_every_precision(
    name: str, precision: training.Precision, stop: int, every_half: Path
) -> None:
    continues(name, precision, stop, every_half)


def continues(name: str, precision: training.Precision, stop: int, halves: Path) -> None:
    """From the checkpoint of another process to the very weights and samples of a run that was never stopped."""
    if (name, precision) not in UNBROKEN:
        model, batch = resuming.begin(name)
        for _ in resuming.go(model, batch, precision, State()):
            pass
        UNBROKEN[name, precision] = (dict(model.state_dict()), sampled(model, 5, 0))
    weights, made = UNBROKEN[name, precision]

    model, batch = resuming.begin(name)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.5)  # nothing may be left of how it began
    state = checkpoints.restore(resuming.file_of(halves, name, precision, stop).read_bytes(), model, precision)
    assert state.step == stop and not state.settled
    for _ in resuming.go(model, batch, precision, state):
        pass
    assert state.step == resuming.STEPS
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), f"{key} differs"
    assert sampled(model, 5, 0) == made


def test_the_averages_are_the_exponential_average_of_the_weights() -> None:
    toy, average, mean = Toy(), 0.9, torch.ones(1, 2)
    for turn, _ in enumerate(train(toy, numbers(), Plan(steps=300, batch=8, average=average), State())):
        decay = min(average, 1 - 1 / (0.1 * turn + 1))
        mean = decay * mean + (1 - decay) * toy.first.weight.detach()
        last = toy.first.weight.detach().clone()
    assert torch.allclose(toy.first.weight, mean, atol=1e-5), "a finished model holds its averages"
    assert not torch.allclose(toy.first.weight, last, atol=1e-5)


def test_rates_warm_up_stay_and_fall_to_nothing() -> None:
    toy, state = Toy(), State()
    rates = {"first": [], "second": []}  # type: dict[str, list[float]]
    for _ in train(toy, numbers(), Plan(steps=200, batch=8), state):
        for name, optimiser in state.optimisers.items():
            rates[name].append(optimiser.param_groups[0]["lr"])
    first, second = rates["first"], rates["second"]
    assert [first[k] for k in (0, 24, 49, 99, 150, 199)] == pytest.approx([0.002, 0.05, 0.1, 0.1, 0.05, 0.001])
    assert [second[k] for k in (0, 9, 100, 199)] == pytest.approx([0.001, 0.01 * 191 / 200, 0.005, 0.01 / 200])


class Learnt(Toy):
    """Says after 50 rounds that there is no more to learn."""

    @property
    def finished(self) -> bool:
        return self.calls >= 100


def test_a_model_that_has_learned_all_it_can_comes_to_rest_before_it_ends() -> None:
    toy, state = Learnt(), State()
    rates, reached = [], []
    for progress in train(toy, numbers(), Plan(steps=1000, batch=8), state):
        rates.append(state.optimisers["first"].param_groups[0]["lr"])
        reached.append(progress.fraction)
    assert state.step == 65, "three more rounds for each ten"
    assert reached == sorted(reached) and reached[-1] == 1.0 and state.settled
    assert rates[49] == pytest.approx(0.1) and 0 < rates[-1] < 0.02 and rates[50:] == sorted(rates[50:], reverse=True)
    again, half = Learnt(), State()
    for progress in train(again, numbers(), Plan(steps=1000, batch=8), half):
        if progress.step == 57:
            break
    other = Learnt()
    back = checkpoints.restore(checkpoints.checkpoint(again, half), other, "fp32")
    assert back.finished == half.finished is not None
    list(train(other, numbers(), Plan(steps=1000, batch=8), back))
    assert back.step == 65 and torch.equal(other.first.weight, toy.first.weight)


def test_a_turn_whose_loss_is_not_finite_is_skipped_and_counted() -> None:
    toy, state = Toy(lambda call, player: call in (5, 6, 9)), State()
    for _ in train(toy, numbers(), Plan(steps=30, batch=8), state):
        pass
    assert state.skipped == 3 and state.step == 30
    assert state.turns == {"first": 28, "second": 29}
    assert all(bool(p.isfinite().all()) for p in toy.parameters())


def test_a_loss_that_stays_non_finite_ends_the_training_and_says_what_to_do() -> None:
    toy, state = Toy(lambda call, player: call > 10), State()
    with pytest.raises(DivergedError, match=r"not finite for 20 turns.*Lower the rate"):
        for _ in train(toy, numbers(), Plan(steps=1000, batch=8), state):
            pass
    assert state.step < 30
    assert all(bool(p.isfinite().all()) for p in toy.parameters())


def test_a_player_that_fails_is_not_excused_by_another_that_does_not() -> None:
    toy, state = Toy(lambda call, player: player == "second"), State()
    with pytest.raises(DivergedError, match="loss of the second"):
        for _ in train(toy, numbers(), Plan(steps=1000, batch=8), state):
            pass
    assert state.step <= 21


def test_a_diverged_family_of_the_install_is_named() -> None:
    x, _ = points(SMALL, 64)
    recipe = Recipe("vae", "vae", "", {**LEAST["vae"], "lr": 1e30}, Training())
    with pytest.raises(DivergedError, match="autoencoder"):
        learn(building.build(recipe, SMALL, 0, 0), serving(x, None, 16), 400)


def test_the_seeds_of_turns_differ_from_each_other() -> None:
    seeds = {training._mix(seed, step, turn) for seed in (0, 1, 2, -1) for step in range(500) for turn in range(6)}
    assert len(seeds) == 4 * 500 * 6
    assert all(0 <= s < 2**63 for s in seeds)


def test_chance_in_a_loss_comes_from_the_step_and_not_from_before() -> None:
    """Whatever the caller did to the global generator, a training is the same."""
    made = []
    for noise in (1, 2):
        x, y = points(SMALL, 64)
        recipe = Recipe("gan", "gan", "", {**LEAST["gan"], "net": "article", "dropout": 0.5}, Training())
        model = building.build(recipe, SMALL, 3, 0)
        torch.manual_seed(noise)
        learn(model, serving(x, y, 16), 3)
        made.append(sampled(model, 4, 0))
    assert made[0] == made[1]


def test_a_preview_leaves_the_training_as_it_was() -> None:
    for family in ("gan", "vae", "diffusion"):
        x, y = points(SMALL, 64)
        made = []
        for looked in (False, True):
            model = building.build(Recipe(family, family, "", LEAST[family], Training()), SMALL, 3, 0)
            state = State()
            for p in train(model, serving(x, y, 16), Plan(steps=6, batch=16), state):
                if looked and p.step in (2, 4):
                    quick = training.preview(model, serving(x, y, 16), state, Plan(steps=6).within(0.05, preview=True))
                    assert quick.sample(3, None, torch.Generator().manual_seed(0)).isfinite().all()
            made.append(sampled(model, 4, 0))
        assert made[0] == made[1], family


DIVERGING: list[tuple[str, Space, dict[str, Any]]] = [
    ("vae", SMALL, {}),
    ("vae", SMALL, {"critic": 0.35}),
    ("vae", Fields((1, 3, 1)), {}),
    ("gan", SMALL, {"critic_lr": 1000.0}),
    ("gan", SMALL, {"critic_lr": 1000.0, "penalty": "none"}),
    ("gan", Fields((1, 3, 1)), {"critic_lr": 1000.0}),
    ("diffusion", SMALL, {}),
    ("diffusion", SMALL, {"latent": True, "vae": {"lr": 1000.0}}),
    ("anyorder", Codes((3, 30, 5), (False, True, False)), {}),
    ("autoregressive", Tokens(16, 12), {}),
    ("masked", Tokens(16, 12), {}),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rate", [2.0, 1000.0])
@pytest.mark.parametrize("family, space, settings", DIVERGING)
def test_three_steps_at_a_rate_far_too_high_are_called_divergence_in_every_family(
    family: str, space: Space, settings: dict[str, Any], rate: float
) -> None:
    x, _ = points(space, 128)
    recipe = Recipe(family, family, "", {**LEAST.get(family, {}), **settings, "lr": rate}, Training())
    model = building.build(recipe, space, 0, 0)
    assert isinstance(model, Learned)
    with pytest.raises(DivergedError, match="would move each of its weights.*Lower the rate"):
        for _ in train(model, serving(x, None, 16), Plan(steps=3, batch=16), State()):
            pass


SPACES: tuple[Space, ...] = (
    Grid(1, (28, 28)),
    Grid(3, (96, 96)),
    Grid(1, (4096,)),
    Fields((1,) * 20 + (30,)),
    Codes((3, 30), (False, True)),
    Tokens(64, 500),
)


@pytest.mark.parametrize("name", sorted(recipes.names()))
def test_ten_times_the_rate_of_a_recipe_is_not_called_divergence_before_it_was_tried(name: str) -> None:
    for space in SPACES:
        try:
            chosen = recipes.load(name, [], None, (space,))
            model = building.build(chosen, space, 3, 0)
        except FitError:
            continue
        if isinstance(model, Learned):
            players = {k: replace(p, lr=10 * p.lr, matrix_lr=10 * p.matrix_lr) for k, p in model.players().items()}
            assert not divergence.hopeless(players), space


class Rising(Toy):
    """Its loss grows at every turn and its weights hardly move."""

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        value, seen = super().loss(batch, player)
        return value * 3.0**self.calls, seen


def test_a_loss_that_has_risen_beyond_all_measure_ends_as_divergence_though_the_weights_are_sound() -> None:
    with pytest.raises(DivergedError, match="the loss of the .* began at .* and was"):
        list(train(Rising(), numbers(), Plan(steps=12, batch=8), State()))
    list(train(Rising(), numbers(), Plan(steps=2, batch=8), State()))  # three turns: it has risen by 9


class Unsettled(Toy):
    """Settling leaves a number in it that is none, or is infinite."""

    def __init__(self, left: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros_like(left))
        self.left = left

    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        self.get_buffer("kept").copy_(self.left)


def test_statistics_that_are_not_finite_after_settling_end_as_divergence() -> None:
    for left in (torch.tensor([0.0, math.nan]), torch.tensor([math.inf]), torch.tensor(math.nan)):
        with pytest.raises(DivergedError, match="not finite .in 'kept'"):
            list(train(Unsettled(left), numbers(), Plan(steps=2, batch=8), State()))
    list(train(Unsettled(torch.tensor(math.inf)), numbers(), Plan(steps=2, batch=8), State()))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "family, space, settings",
    [
        ("vae", SMALL, {"lr": 0.3}),
        ("gan", SMALL, {"lr": 0.3, "critic_lr": 0.3}),
        ("gan", Fields((1, 3, 1)), {"lr": 0.3, "critic_lr": 0.3}),
    ],
)
def test_a_rate_a_hundred_times_too_high_is_called_divergence_within_a_few_hundred_steps(
    family: str, space: Space, settings: dict[str, Any]
) -> None:
    x, _ = points(space, 128)
    recipe = Recipe(family, family, "", {**LEAST.get(family, {}), **settings}, Training())
    model = building.build(recipe, space, 0, 0)
    assert isinstance(model, Learned)
    with pytest.raises(DivergedError, match="have grown to .* Lower"):
        for _ in train(model, serving(x, None, 16), Plan(steps=1000, batch=16), State()):
            pass


def test_stacked_matrices_may_grow_to_the_size_at_which_each_of_them_keeps_its_input() -> None:
    space = Tokens(32, 20)
    model = building.build(Recipe("autoregressive", "autoregressive", "", {}, Training()), space, 0, 0)
    assert isinstance(model, Learned)
    (player,) = model.players().values()
    named = [(name, p) for name, p in player.module.named_parameters() if p.numel()]
    most = {name: float(size) for (name, _), size in zip(named, divergence.largest(player), strict=True)}
    stacked = {name: p for name, p in named if p.dim() == 3 and not p.any()}
    assert stacked, "these begin at nought, and learn at once"
    for name, p in stacked.items():
        assert most[name] == pytest.approx(divergence.OUTGROWN * p.shape[-1] ** -0.5)
    half = {"net": divergence.sizes(player) / 2 + 1e-9}
    assert "have grown" in divergence.grown({"net": player}, half, 1000)
    assert divergence.grown({"net": player}, half, 5000) == "", "weights that wander grow with the root of the steps"


class Steep(Toy):
    """Its loss is finite and the gradient of it is not, at one turn or from one on."""

    def __init__(self, steep: Callable[[int], bool]) -> None:
        super().__init__()
        self.steep = steep

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        value, seen = super().loss(batch, player)
        if self.steep(self.calls):
            value = value + (self.get_submodule(player).weight * 0).sum().sqrt()
        return value, seen


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    toy, state = Steep(lambda call: call in (5, 9)), State()
    for _ in train(toy, numbers(), Plan(steps=30, batch=8), state):
        pass
    assert state.skipped == 2 and all(bool(p.isfinite().all()) for p in toy.parameters())
    with pytest.raises(DivergedError, match="not finite for 20 turns"):
        list(train(Steep(lambda call: call > 10), numbers(), Plan(steps=100, batch=8), State()))


def test_points_that_are_not_finite_are_skipped_or_end_the_training_in_time() -> None:
    good = numbers()

    def spoiled(from_batch: int, until: int) -> Batches:
        def nth(k: int) -> tuple[Tensor, Tensor | None]:
            x, y = good(k)
            return (x * math.nan if from_batch <= k < until else x), y

        return Batches(64, nth, lambda most: good(0))

    toy, state = Toy(), State()
    list(train(toy, spoiled(5, 7), Plan(steps=30, batch=8), state))
    assert state.skipped == 4 and all(bool(p.isfinite().all()) for p in toy.parameters())
    with pytest.raises(DivergedError):
        list(train(Toy(), spoiled(5, 10**9), Plan(steps=100, batch=8), State()))


def test_a_budget_that_ended_before_a_step_is_no_training() -> None:
    with pytest.raises(FitError, match="before the first step .*, so there is nothing to make anything from"):
        list(train(Toy(), numbers(), Plan(minutes=1, batch=8), State(seconds=60.0)))
