"""A training is fitted to its machine and budget: what it cannot do fast is not tried, and most of a budget goes into steps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawings import pictures
from rich.console import Console
from small import LEAST, points, serving
from torch import Tensor, nn

import karat
from karat import nets, recipe
from karat.data import Data, batches, load
from karat.errors import FitError, RunError
from karat.families.generator import Batches, Learned, Player
from karat.recipe import Recipe, Training
from karat.run import Run
from karat.space import UNLIMITED, Allowance, Batch, Fields, Grid, Space
from karat.synthesizer import building
from karat.training import pace
from karat.training.loop import Plan, State
from karat.workflow import running

SMALL = Grid(1, (8, 8))


@dataclass
class Clock:
    """Seconds of a machine on which only what says so takes time."""

    seconds: float = 0.0


CLOCK = Clock()


class Ticking(Plan):
    """A budget counted by that clock."""

    def now(self) -> float:
        return CLOCK.seconds


class Costly(Learned):
    """Every point learned from and every record made takes its time; what may take as long as it likes takes all."""

    spaces = (Grid,)
    settling = 0.05

    def __init__(self, space: Space, each: float, making: float, base: float = 0.05) -> None:
        super().__init__()
        self.space, self.classes = space, 0
        self.each, self.making, self.base = each, making, base
        self.net = nn.Linear(1, 1)

    @property
    def passes(self) -> int:
        return max(1, round(3 * self.making / self.each))

    def players(self) -> dict[str, Player]:
        return {"net": Player(self.net)}

    def turns(self) -> tuple[str, ...]:
        return ("net",)

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        CLOCK.seconds += self.base + self.each * len(batch.x)
        value = self.net(batch.x.flatten(1)[:, :1]).square().mean()
        return value, {"value": value.detach()}

    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        self._take_all(time, 0.2)

    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        self._take_all(time, 0.1)

    def _take_all(self, time: Allowance, step: float) -> None:
        began, done = time.left(), 0
        while time.another(done, began) and done < 1000:
            CLOCK.seconds += step
            done += 1

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        CLOCK.seconds += self.making * n
        return torch.zeros(n, *self.space.shape)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a clock that begins anew."""
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path / "cache"))
    CLOCK.seconds = 0.0
    yield tmp_path / "cache"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    path = tmp_path_factory.mktemp("data") / "set.npz"
    np.savez(path, images=pictures(64, 8, 8, 1))
    return load(path)


def learned(
    folder: Path, data: Data, model: Learned, minutes: float, batch: int = 64, called: float | None = None
) -> tuple[Run, Plan, State]:
    """A run of `model`, asked for at `called`, and how it ended."""
    chosen = recipe.load("gan", [f"train.batch={batch}", "train.save_seconds=0.5"])
    given: dict[str, Any] = {"recipe": chosen.to_dict(), "precision": None, "track": [], "seed": 0}
    run = Run.create(folder / "run", given)
    plan, state, _ = running.learn(
        run, data, model, Ticking(minutes=minutes, batch=batch, called=called), Console(quiet=True)
    )
    return run, plan, state


@pytest.mark.parametrize("minutes", [1, pytest.param(3, marks=pytest.mark.exam)])
@pytest.mark.parametrize("making", [1e-4, 0.02, 0.5, 4.0])
@pytest.mark.parametrize("each", [2e-3, 8e-3, 2e-2])
def test_four_fifths_of_a_budget_go_into_steps_and_it_is_kept(
    minutes: float, making: float, each: float, tmp_path: Path, data: Data
) -> None:
    _, plan, state = learned(tmp_path, data, Costly(data.space, each, making), minutes)
    steps = state.seconds - sum(state.spent.values())
    assert steps >= 0.8 * 60 * minutes, state.spent
    assert state.step >= 0.9 * pace.ENOUGH
    lasted = CLOCK.seconds
    assert 0.93 * 60 * minutes <= lasted <= 1.05 * 60 * minutes
    shown = sorted(int(p.stem) for p in (tmp_path / "run").glob("samples/*"))
    assert len(shown) > 5 or making > 1e-3
    assert shown[-1:] == [100] or making > 2 * minutes
    assert plan.batch == 64 or (each * 64 + 0.05) * 100 > 0.7 * 60 * minutes


def test_what_reading_took_is_taken_from_settling_and_not_from_the_steps(tmp_path: Path, data: Data) -> None:
    settled = []
    for name, called in (("slow", -5.0), ("quick", 0.0)):
        CLOCK.seconds = 0.0
        (tmp_path / name).mkdir()
        _, _, state = learned(tmp_path / name, data, Costly(data.space, 8e-3, 1e-3), 1, called=called)
        assert state.seconds - sum(state.spent.values()) >= 0.8 * 60, state.spent
        assert 0.93 * 60 <= state.seconds <= 1.05 * 60
        settled.append(state.spent["settling"])
    assert 1.4 <= settled[0] <= settled[1] - 0.5 and settled[1] >= 5.0


def test_a_batch_of_which_too_few_steps_fit_is_made_smaller_and_the_run_keeps_it(tmp_path: Path, data: Data) -> None:
    run, plan, state = learned(tmp_path, data, Costly(data.space, 0.02, 1e-3), 1)
    assert plan.batch in (16, 24) and run.spec["batch"] == plan.batch
    assert state.drawn == state.step


def test_a_budget_that_holds_no_useful_number_of_steps_is_refused_with_what_would_fit(
    tmp_path: Path, data: Data
) -> None:
    with pytest.raises(
        FitError, match=r"a step of 8 points takes 8 s .* hold \d+ steps; .* --minutes [\d.]+, or --set data.size"
    ):
        learned(tmp_path, data, Costly(data.space, 1.0, 1e-3, 0.0), 1)
    assert not list((tmp_path / "run").glob("model-*"))


def test_a_budget_that_ends_before_a_step_is_an_error_and_leaves_nothing_to_make_from(tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"--minutes"):
        karat.train("digits", minutes=1e-5, out=tmp_path / "r", threads=1)
    run = Run.open(tmp_path / "r")
    assert run.spec["status"] == "failed"
    with pytest.raises(RunError, match="not finished"):
        karat.make(run, n=4)


def test_a_precision_that_the_processor_cannot_do_fast_is_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = building.build(Recipe("gan", "gan", "", LEAST["gan"], Training()), SMALL, 0, 0)
    flat = building.build(Recipe("gan", "gan", "", {**LEAST["gan"], "net": "mlp"}, Training()), Fields((1, 1)), 0, 0)
    assert isinstance(gan, Learned) and isinstance(flat, Learned)
    cpu = torch.device("cpu")
    for limit in ("AVX2", "AVX512_CORE", "AVX512_CORE_VNNI"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        assert nets.quick(cpu) == torch.float32
        assert pace.candidates(cpu, gan) == ("fp32", "fp32-channels-last") and pace.candidates(cpu, flat) == ("fp32",)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    able = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert pace.candidates(cpu, gan)[0] == "bf16" and set(pace.candidates(cpu, flat)) == {"bf16", "fp32"}
    able["avx512_bf16"] = False
    assert pace.candidates(cpu, gan) == ("fp32", "fp32-channels-last")


@pytest.mark.parametrize("family", ["gan", "vae", "diffusion"])
def test_the_probe_times_what_can_be_fast_and_changes_nothing(family: str) -> None:
    x, y = points(SMALL, 64)
    model = building.build(Recipe(family, family, "", LEAST[family], Training()), SMALL, 3, 0)
    assert isinstance(model, Learned)
    plan, batch = Plan(steps=5, batch=16, clock="cpu"), serving(x, y, 16)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    order = ("fp32", "fp32-channels-last")
    found = pace.probe(model, batch, plan, plan.within(60.0), order)
    assert tuple(found.times) == order and all(0 < t < 60 for t in found.times.values())
    assert found.rows == 16 and found.memory > 64 and found.round(32) >= found.round(16) > 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_probe_stops_when_its_time_is_over() -> None:
    x, _ = points(SMALL, 64)
    model = Costly(SMALL, 0.1, 0.0)
    plan = Ticking(minutes=1, batch=64)
    found = pace.probe(model, serving(x, None, 64), plan, plan.within(1.0), ("bf16", "bf16-channels-last", "fp32"))
    assert CLOCK.seconds < 8 and found.best == "bf16"
    assert 6.4 < found.round(64) < 7, "though no whole batch was ever tried"


def test_what_was_measured_is_remembered_for_this_machine_and_these_shapes(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = points(SMALL, 64)

    def measured(shape: Grid = SMALL, batch: int = 16) -> float:
        state = State()
        pace.measure(Costly(shape, 0.01, 0.0), serving(x, None, 16), Ticking(minutes=5, batch=batch), state, "auto", "")
        return state.spent["probing"]

    first, again = measured(), measured()
    assert again < 0.5 * first, "only the memory is looked at again"
    assert measured(batch=8) > again
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert measured() > 1.5 * again
    cache_entry = cache / "pace.json"
    assert len(json.loads(cache_entry.read_text())) == 3
    for damaged in ("", "[]", '{"a": 1}', '{"a": {"times": {"fp32": "x"}}}'):
        cache_entry.write_text(damaged)
        assert measured() > 1.5 * again


def test_a_cache_that_cannot_be_written_stops_no_training(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    x, _ = points(SMALL, 64)
    model = Costly(SMALL, 0.01, 0.0)
    assert pace.measure(model, serving(x, None, 16), Ticking(minutes=5, batch=16), State(), "auto", "").times


def test_batches_of_another_size_hold_the_same_records(data: Data) -> None:
    batch = batches(data, 16, 0, torch.device("cpu"))
    assert batch.sized is not None
    smaller = batch.sized(8)
    assert torch.equal(torch.cat([smaller(0)[0], smaller(1)[0]]), batch(0)[0])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_part_of_what_has_no_end_has_none_and_of_what_has_one_that_share(share: float) -> None:
    assert UNLIMITED.part(share).left() == math.inf and UNLIMITED.part(share).another(10**6, math.inf)
    CLOCK.seconds = 5.0
    part = Ticking(minutes=1).within(10.0).part(share)
    assert part.left() == pytest.approx(10 * share)
    CLOCK.seconds = 7.0
    assert part.left() == pytest.approx(max(0, 10 - 2) - 10 * (1 - share))


def test_what_came_before_the_training_counts_up_to_a_share_of_a_budget_in_time() -> None:
    CLOCK.seconds = 103.0
    assert Ticking(minutes=1, called=100.0).before() == pytest.approx(3.0 - 0.015 * 60)
    assert Ticking(minutes=1, called=10.0).before() == pytest.approx(0.08 * 60)
    assert Ticking(minutes=1).before() == 0.0 and Ticking(steps=5, called=10.0).before() == 0.0
