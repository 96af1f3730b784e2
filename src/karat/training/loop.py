"""The one training loop: players, turns, a budget, averaged weights; the k-th step is a pure function of (seed, k)."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from karat.errors import DivergedError, FitError, KaratError
from karat.events import Progress
from karat.families.generator import Batches, Learned, Player
from karat.space import UNLIMITED, Allowance, Batch
from karat.training import divergence
from karat.training.divergence import LOWER, NUMERIC, REMEDY
from karat.training.optimizers import Muon

Precision = Literal["fp32", "fp32-channels-last", "bf16", "bf16-channels-last"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "bf16-channels-last", "fp32-channels-last")
PREPARING = 0.04  # share of a budget in time that preparing for a player's first turn may take
READING = (
    0.08  # and that what came before it, such as reading the data, counts at most: that does not depend on a budget
)
STARTING = 0.015  # and of that not counted: a budget is kept within 5%, and four fifths of it are for steps
CLOSING = 0.02  # and that is kept for what follows the training, at most
BESIDE = 0.19  # and of all that is not steps, which is why settling takes less where other things took more
THREADS_MOST = 4096  # more than any machine runs at once
LOST = 20  # turns in a row without a finite loss and gradient, after which a training has diverged
LOOKED = 10  # rounds between two looks at it
COOLING = 0.3  # rounds in which the rate falls to 0 after a model has learned all it can, for each that it took


@dataclass(frozen=True)
class Plan:
    """A budget: exactly one of minutes, steps (rounds of turns) and samples (points seen); and what the loop needs.

    clock: what a minute is: "wall", or "cpu" (seconds this process computed) on a machine shared with others.
    called: when by that clock a person asked for it, where what went by since then counts.
    shared: whether the number of threads may follow what others leave of the processor.
    """

    minutes: float | None = None
    steps: int | None = None
    samples: int | None = None
    batch: int = 64
    average: float = 0.998
    seed: int = 0
    precision: Precision = "fp32"
    clock: Literal["wall", "cpu"] = "wall"
    called: float | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("minutes", "steps", "samples") if getattr(self, name) is not None]
        if len(given) != 1:
            raise FitError(
                f"a budget is one of minutes, steps or samples; {' and '.join(given) or 'none'} given. "
                "Say for example --minutes 5."
            )
        if not 0 < getattr(self, given[0]) < math.inf or self.batch < 2:
            raise FitError(
                f"{given[0]}={getattr(self, given[0])} with batch={self.batch}: a budget must be positive, and a batch at least 2."
            )
        if not 0 <= self.average < 1:
            raise FitError(f"average={self.average}: wanted a share of at least 0 and under 1, such as 0.998.")

    def now(self) -> float:
        return time.process_time() if self.clock == "cpu" else time.monotonic()

    def before(self) -> float:
        """Seconds of a budget in time that went by before the training, beyond STARTING of it and up to READING of it."""
        if self.called is None or self.minutes is None:
            return 0.0
        budget = 60 * self.minutes
        return min(max(0.0, self.now() - self.called - STARTING * budget), READING * budget)

    def within(self, seconds: float, preview: bool = False) -> Allowance:
        """What may take so many seconds from now on."""
        end = self.now() + seconds
        return Allowance(lambda: max(0.0, end - self.now()), preview)

    def preparing(self) -> Allowance:
        """What may be done before a player's first turn."""
        return UNLIMITED if self.minutes is None else self.within(60 * self.minutes * PREPARING)

    def used(
        self, step: int, drawn: int, seconds: float, settling: float, closing: float = 0.0, beside: float = 0.0
    ) -> float:
        """The fraction of the learning budget used, in [0, 1].

        Of a budget in time the share `settling` is kept for the end, and `closing` seconds for what follows that, less where
        `beside` seconds went into other things than steps.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        if self.samples is not None:
            return min(1.0, drawn * self.batch / self.samples)
        assert self.minutes is not None
        return min(1.0, seconds / max(1e-9, 60 * self.minutes - self.kept(settling, closing, beside)))

    def kept(self, settling: float, closing: float, beside: float = 0.0) -> float:
        """Seconds of a budget in time that are not for training, of which `beside` went into other things than steps so far."""
        assert self.minutes is not None
        budget = 60 * self.minutes
        closing = min(CLOSING * budget, closing)
        # settling has a least cost: up to three seconds more are kept for it, at most as much again
        wanted = settling * budget + min(settling * budget, 3.0)
        left = BESIDE * budget - closing - beside
        return closing + max(settling * budget / 2, min(wanted, left))


@dataclass
class Best:
    """The averaged weights of all players that fitted a validation part best; score: how badly.   last: the latest score."""

    step: int
    fraction: float
    score: float
    last: float
    averages: dict[str, list[Tensor]]

    def numbers(self) -> dict[str, float]:
        return {"step": self.step, "fraction": self.fraction, "validation": self.score, "last": self.last}


@dataclass
class State:
    """Where a run is: all that a continued run needs beside the model's own weights."""

    step: int = 0
    drawn: int = 0
    seconds: float = 0.0
    settled: bool = False
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)  # "net", and "net muon" for its matrices
    averages: dict[str, list[Tensor]] = field(default_factory=dict)
    skipped: int = 0  # turns whose loss or gradient was not finite
    spent: dict[str, float] = field(default_factory=dict)  # seconds by what they were for, where that was not training
    turns: dict[str, int] = field(default_factory=dict)  # taken by each player
    finished: tuple[int, float] | None = None  # the round and fraction at which the model had learned all it can
    closing: float = 0.0  # seconds that what follows the training will take
    prepared: set[str] = field(default_factory=set)  # players that were prepared in this process
    sizes: dict[str, Tensor] = field(default_factory=dict)  # root mean squares beyond which a player's weights diverged
    losses: divergence.Losses = field(default_factory=dict)  # in this process
    best: Best | None = None  # of those scored so far, where weights are chosen
    trial: bool = False  # it is timed only: no weight moves

    @contextlib.contextmanager
    def spending(self, on: str, plan: Plan) -> Iterator[None]:
        """Counts what is done meanwhile as time that was not for training."""
        began = plan.now()
        try:
            yield
        finally:
            self.spent[on] = self.spent.get(on, 0.0) + plan.now() - began

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is a tensor, by name, for one safetensors file."""
        out: dict[str, Tensor] = {}
        for name, optimiser in self.optimisers.items():
            for i, p in enumerate(optimiser.param_groups[0]["params"]):
                for key, value in optimiser.state.get(p, {}).items():
                    out[f"optimiser.{name}.{i}.{key}"] = torch.as_tensor(value).detach().cpu()
        kept = {"average": self.averages, "best": {} if self.best is None else self.best.averages}
        for kind, averages in kept.items():
            for name, average in averages.items():
                for i, value in enumerate(average):
                    out[f"{kind}.{name}.{i}"] = value.detach().cpu()
        return out

    def numbers(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "drawn": self.drawn,
            "seconds": self.seconds,
            "settled": self.settled,
            "skipped": self.skipped,
            "turns": self.turns,
            "finished": self.finished,
            "spent": self.spent,
            "best": None if self.best is None else self.best.numbers(),
        }

    @staticmethod
    def restore(model: Learned, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> State:
        """The state whose `numbers()` and `tensors()` these are, for `model` laid out as it will be trained."""
        state = State(
            numbers["step"],
            numbers["drawn"],
            numbers["seconds"],
            numbers["settled"],
            skipped=numbers["skipped"],
            turns=dict(numbers["turns"]),
            finished=None if (at := numbers.get("finished")) is None else (int(at[0]), float(at[1])),
            spent=dict(numbers.get("spent", {})),
        )
        state.begin(model)
        for name, optimiser in state.optimisers.items():
            for i, p in enumerate(optimiser.param_groups[0]["params"]):
                prefix = f"optimiser.{name}.{i}."
                kept = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
                if kept:
                    # the fused optimiser walks memory in order, so its state must lie as the weights do
                    optimiser.state[p] = {
                        k: v.to(p.device).clone() if k == "step" else torch.empty_like(p).copy_(v)
                        for k, v in kept.items()
                    }
        for name, average in state.averages.items():
            for i, value in enumerate(average):
                value.copy_(tensors[f"average.{name}.{i}"])
        if (best := numbers.get("best")) is not None:
            averages = {
                name: [torch.empty_like(v).copy_(tensors[f"best.{name}.{i}"]) for i, v in enumerate(average)]
                for name, average in state.averages.items()
            }
            fraction, score, last = (float(best[key]) for key in ("fraction", "validation", "last"))
            state.best = Best(int(best["step"]), fraction, score, last, averages)
        return state

    def used(self, fraction: float) -> float:
        """The share of the schedule that is behind; `fraction`: of the budget.

        A model that has learned all it can does not stop at the peak rate: what is left of its schedule is run through in a
        few more rounds, in proportion to those it took.
        """
        if self.finished is None:
            return fraction
        step, reached = self.finished
        return min(1.0, max(fraction, reached + (1 - reached) * (self.step - step) / max(1.0, COOLING * step)))

    def reached(self, plan: Plan, model: Learned, seconds: float) -> float:
        """The share of the schedule that is behind after `seconds`."""
        beside = sum(self.spent.values())
        return self.used(plan.used(self.step, self.drawn, seconds, model.settling, self.closing, beside))

    def begin(self, model: Learned) -> None:
        """Optimisers and averages for every player of `model`."""
        for name, player in model.players().items():
            matrices = [player.module.get_parameter(key) for key in player.matrices]
            others = [p for p in player.module.parameters() if all(p is not m for m in matrices)]
            self.optimisers[name] = torch.optim.Adam(others, lr=player.lr, betas=player.betas, fused=True)
            if matrices:
                self.optimisers[f"{name} muon"] = Muon(matrices, player.matrix_lr, player.matrix_decay)
            self.averages[name] = [p.detach().clone() for p in player.module.parameters()]
            self.turns.setdefault(name, 0)
            self.sizes[name] = divergence.largest(player)

    def diverged(self, model: Learned) -> str:
        """Says what is wrong with the weights of `model`, or "" where they are sound."""
        return divergence.grown(model.players(), self.sizes, self.step)


def train(model: Learned, batch: Batches, plan: Plan, state: State) -> Iterator[Progress]:
    """Learns until the budget is used, yielding after every round; `model` and `state` are changed in place.

    When it ends, `model` holds the averaged weights and is settled. Raises DivergedError when the loss stays non-finite or
    the weights grow beyond all measure, and FitError when the budget ended before a step.
    """
    device = next(model.parameters()).device
    if state.settled:
        return
    lay_out(model, plan.precision)
    if not state.optimisers:
        if wrong := divergence.hopeless(model.players()):
            raise DivergedError(f"{wrong}. {LOWER}.")
        state.begin(model)
    began = plan.now() - state.seconds
    players, turns = model.players(), model.turns()
    bad = dict.fromkeys(players, 0)  # turns in a row; the others' good ones do not excuse a player's
    model.train()
    while (fraction := state.reached(plan, model, plan.now() - began)) < 1.0:
        active = [name for name in turns if players[name].start <= fraction < players[name].stop]
        metrics = _take_turns(model, players, active, batch, plan, state, fraction, bad)
        if device.type != "cpu" and state.step % 100 == 99 and not all(bool(v.isfinite()) for v in metrics.values()):
            raise DivergedError(f"a loss was not finite at step {state.step}. {REMEDY}")
        state.step += 1
        if (state.step < LOOKED or state.step % LOOKED == 0) and (wrong := state.diverged(model)):
            raise DivergedError(f"{wrong}. {REMEDY}")
        state.seconds = plan.now() - began
        if state.finished is None and model.finished:
            state.finished = state.step, fraction
        yield Progress(
            state.step,
            state.reached(plan, model, state.seconds),
            state.seconds,
            state.drawn * plan.batch,
            metrics,
        )
    _finish(model, players, batch, plan, state, began)


def _take_turns(
    model: Learned,
    players: dict[str, Player],
    active: list[str],
    batch: Batches,
    plan: Plan,
    state: State,
    fraction: float,
    bad: dict[str, int],
) -> dict[str, Tensor]:
    """One round: a turn of each active player; what they saw. `bad` counts the turns in a row that were not finite."""
    device = next(model.parameters()).device
    for name in active:  # all before the first turn, whose points may serve the next: no weight may move between
        if name not in state.prepared:
            if state.turns[name] == 0:  # a continued run has taken them: a later player may have gone on from there
                _take_averages(players, state, finished_at=fraction)
            prepare(model, batch, plan, state, name)
    metrics: dict[str, Tensor] = {}
    x = y = None
    for i, name in enumerate(active):
        if name == active[0] or x is None:
            x, y = batch(state.drawn)
            state.drawn += 1
        seed = _mix(plan.seed, state.step, i)
        rng = torch.Generator(device).manual_seed(seed)
        if device.type == "cpu":  # torch.manual_seed formats the stack for each kind of device that is not in use
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
        with autocast(device, plan.precision):
            loss, shown = model.loss(Batch(x, y, fraction, rng), name)
        metrics.update(shown)
        if _update(state, name, players[name], loss, fraction, plan.average):
            divergence.note(state.losses, name, loss)
            bad[name] = 0
            continue
        bad[name] += 1
        state.skipped += 1
        if bad[name] > LOST:
            raise DivergedError(
                f"the loss of the {name} was not finite for {LOST} turns, up to step {state.step}. {REMEDY}"
            )
    return metrics


def _finish(model: Learned, players: dict[str, Player], batch: Batches, plan: Plan, state: State, began: float) -> None:
    """The averaged weights, settled; errors as `train` says."""
    if not any(state.turns.values()):
        spent = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in state.spent.items())
        raise FitError(
            f"the budget ended before the first step ({spent or 'nothing was done'}), so there is nothing to make anything "
            "from. Give more --minutes, or less to learn: a smaller --set data.size or model.width."
        )
    if wrong := state.diverged(model) or divergence.lost(state.losses, state.step):
        raise DivergedError(f"{wrong}. {REMEDY}")
    if state.best is not None:
        state.averages = state.best.averages
    _take_averages(players, state, finished_at=2.0)
    with state.spending("settling", plan):
        left = UNLIMITED
        if plan.minutes is not None:
            closing = min(CLOSING * 60 * plan.minutes, state.closing)
            left = plan.within(60 * plan.minutes - closing - (plan.now() - began))
        lay_out(model, "fp32")
        settle(model, batch, left, state.drawn * plan.batch)
        model.eval()
    state.settled, state.seconds = True, plan.now() - began


def prepare(model: Learned, batch: Batches, plan: Plan, state: State, name: str) -> None:
    """Prepares `model` for the turns of the player `name`, once in a process."""
    if name not in state.prepared:
        with state.spending("preparing", plan):
            model.prepare(batch, name, plan.preparing())
        model.train()
        state.prepared.add(name)


def settle(model: Learned, batch: Batches, time: Allowance, points: int) -> None:
    """Settles `model`; DivergedError where its numbers are such that nothing can be fitted to them."""
    try:
        model.settle(batch, time, points)
    except (ValueError, RuntimeError) as error:  # torch's LinAlgError is a RuntimeError
        if isinstance(error, KaratError) or not NUMERIC.search(f"{type(error).__name__} {error}"):
            raise
        raise DivergedError(
            f"what the model says of its data is not finite ({type(error).__name__}). {REMEDY}"
        ) from None
    if name := divergence.unreadable(model.weights()):
        raise DivergedError(f"what was learned is not finite (in {name[:60]!r}). {REMEDY}")


def preview(model: Learned, batch: Batches, state: State, time: Allowance) -> Learned:
    """A copy of `model` with averaged weights, settled within `time`, for a picture of how far it has come."""
    copied = copy.deepcopy(model)
    lay_out(copied, "fp32")
    _take_averages(copied.players(), state, finished_at=2.0)
    settle(copied, batch, time, 1_000)
    return copied.eval()


def _update(state: State, name: str, player: Player, loss: Tensor, fraction: float, average: float) -> bool:
    """Moves the weights of `player` down the gradient of `loss`; on a CPU not where that is not finite, and says so."""
    kept = state.averages[name]
    parameters: list[Tensor] = list(player.module.parameters())
    for p in parameters:
        p.grad = None
    careful = loss.device.type == "cpu"  # elsewhere every look would wait for the device
    if careful and not math.isfinite(loss.item()):
        return False
    loss.backward(inputs=parameters)  # others' gradients are not even computed
    slopes = [p.grad for p in parameters if p.grad is not None]
    if careful and not math.isfinite(torch.nn.utils.get_total_norm(slopes).item()):
        return False
    turn = state.turns[name]
    rate = 0.0 if state.trial else _rate(fraction, turn, player)
    for key, peak in ((name, player.lr), (f"{name} muon", player.matrix_lr)):
        if key in state.optimisers:
            state.optimisers[key].param_groups[0]["lr"] = peak * rate
            state.optimisers[key].step()
    state.turns[name] = turn + 1
    with torch.no_grad():
        decay = min(average, 1 - 1 / (0.1 * turn + 1))
        torch._foreach_lerp_(kept, parameters, 1 - decay)
    return True


def _rate(fraction: float, turn: int, player: Player) -> float:
    """1 at the peak: a warm-up in steps, flat, then linear to 0 at the end of the player's part of the budget."""
    part = (fraction - player.start) / (player.stop - player.start)
    return min(1.0, (turn + 1) / max(1, player.warmup)) * min(1.0, max(0.0, (1 - part) / max(1e-9, 1 - player.flat)))


@torch.no_grad()
def _take_averages(players: dict[str, Player], state: State, finished_at: float) -> None:
    """Players whose part is over at this fraction take their averaged weights, those who play later last."""
    for name, player in players.items():
        if player.stop <= finished_at and state.turns[name] > 0:
            for p, kept in zip(player.module.parameters(), state.averages[name], strict=True):
                p.copy_(kept)


def _mix(seed: int, step: int, turn: int) -> int:
    """A seed for this turn, far from its neighbours' (splitmix64)."""
    x = (seed * 0x9E3779B97F4A7C15 + step * 64 + turn + 1) & (2**64 - 1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * factor) & (2**64 - 1)
    return (x ^ (x >> 31)) & (2**63 - 1)


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Matrix products and convolutions in bfloat16, where the precision says so."""
    if precision.startswith("bf16"):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def lay_out(model: nn.Module, precision: Precision) -> None:
    """Puts the weights of `model` in the memory format of `precision`; the averages and optimisers made after it follow."""
    wanted = torch.channels_last if precision.endswith("channels-last") else torch.contiguous_format
    for p in model.parameters():
        if p.dim() == 4:
            p.data = p.data.contiguous(memory_format=wanted)


def tune_machine(threads: int | None) -> None:
    """Settings of this process that change speed and nothing else: threads, and how memory is kept.

    glibc returns and refetches every large block by default, which costs small nets on a CPU 17 to 27% of their time.
    """
    if threads is not None:
        if not 1 <= threads <= THREADS_MOST:
            raise FitError(f"threads={threads}: wanted from 1 to {THREADS_MOST:,}.")
        torch.set_num_threads(threads)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            for option, value in ((-3, 1 << 25), (-1, (1 << 31) - 1), (-2, 1 << 26)):  # mmap, trim, top pad
                libc.mallopt(option, value)
