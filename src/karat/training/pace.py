"""How a training is fitted to the machine before its first step: precision, memory, and a batch of which enough steps fit.

What the processor cannot do fast is not tried; the rest is timed on a throwaway copy, the best known first, within a small
share of the budget, and remembered for this machine and these shapes.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from karat import limits
from karat.cache import cache_folder
from karat.errors import FitError, KaratError
from karat.events import Progress
from karat.families.generator import Learned
from karat.nets import quick
from karat.output import write_whole
from karat.space import Allowance, Batches, Grid
from karat.training.loop import PRECISIONS, Plan, Precision, State, prepare, train

PROBING, PROBED = 0.03, 2.0  # share of a budget in time, and seconds, that timing may take
KEPT = 200  # machines and shapes remembered
HOPELESS = 20.0  # seconds that a round of a few points takes where no second one is timed
SLOWER = 4.0  # times as long as the best so far, after which a precision is not tried further
ENOUGH, FEWEST = 100, 8  # steps that a budget should hold, and has to
SHARE = 0.8  # of what is left of a budget, that will go into steps
NOISE = 0.97  # of the time of the best known precision: another must take less to be preferred
NUMBERS = 48  # times the numbers of a batch: less than any net keeps of it for its gradient
LOWER = "Lower --set train.batch, --set model.width or --set data.size."


@dataclass(frozen=True)
class Pace:
    """What was measured: seconds of a round of `rows` points in each precision, what a round takes apart from its points
    and for each (`base`, `each`, in the fastest), and the bytes that a point keeps for its gradient.
    """

    times: dict[str, float]
    rows: int
    base: float
    each: float
    memory: float

    @property
    def best(self) -> Precision:
        """The fastest, the best known where another gains nothing to speak of; of the order in which they were tried."""
        first, *others = self.times
        chosen = min(self.times, key=lambda name: self.times[name])
        wanted = chosen if self.times[chosen] < NOISE * self.times[first] else first
        return next(p for p in PRECISIONS if p == wanted)

    def round(self, points: int) -> float:
        """Seconds of a round of so many points."""
        return self.base + self.each * points

    def why(self) -> str:
        """What the choice rests on, in words."""
        others = [name for name in self.times if name != self.best]
        if not others:
            return "by what this processor can do"
        gains = ", ".join(
            f"{self.times[name] / self.times[self.best]:.2f} times the speed of {name}" for name in others
        )
        return f"{gains} on this machine"


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor in words: its model, and what it and its library can do."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = dict(reversed([(k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]))
        name = fields.get("model name", name)
        if "model" in fields:
            name += f" (family {fields.get('cpu family', '?')}, model {fields['model']})"
    bf16 = "bf16" if quick(torch.device("cpu")) == torch.bfloat16 else "no bf16"
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, {bf16}"


def candidates(device: torch.device, model: Learned) -> tuple[Precision, ...]:
    """The precisions that can be fast on this device, the best known first."""
    convolves = any(p.dim() == 4 for p in model.parameters())
    if device.type == "cpu" and quick(device) != torch.bfloat16:
        return ("fp32", "fp32-channels-last") if convolves else ("fp32",)
    if not convolves:
        return ("bf16", "fp32")
    if device.type == "cuda":
        return ("bf16-channels-last", "bf16", "fp32-channels-last", "fp32")
    return ("bf16", "bf16-channels-last", "fp32", "fp32-channels-last")


def probe(
    model: Learned, batch: Batches, plan: Plan, time: Allowance, order: Sequence[Precision], known: Pace | None = None
) -> Pace:
    """Times `order` in turn on a throwaway copy of `model`, which is prepared for its first turns, within `time`.

    First a few points tell how many can be afforded, and what memory a point takes; TooLarge where a whole batch would take
    more than there is. The first precision is always measured; one that is far slower is left after its first round.
    """
    if known is not None:
        _require_memory(model, plan.batch, known.memory)
        return known
    few = min(plan.batch, model.smallest)
    _require_memory(model, few, 4.0 * NUMBERS * model.space.numel)
    trial = _Trial(copy.deepcopy(model), batch, plan)
    began = time.left()
    cold, kept = trial.weighed(order[0], few)
    memory, twice = kept / few, min(plan.batch, 2 * few)
    if twice > few and time.left() > 0:  # what does not grow with the points is kept once
        memory = (trial.weighed(order[0], twice)[1] - kept) / (twice - few)
    _require_memory(model, plan.batch, memory)
    if cold > HOPELESS:
        return Pace({order[0]: cold}, few, 0.0, cold / few, memory)
    small = trial.round(order[0], few)  # the first round also loads and builds what all use: it is no measure
    if time.left() <= 0:
        return Pace({order[0]: small}, few, 0.0, small / few, memory)
    afforded = few * time.left() / max(1e-9, small * (1 + 2 * len(order)))
    rows = min(plan.batch, max(2 * few, int(afforded)))
    times: dict[str, float] = {}
    for precision in order:
        best = min(times.values(), default=math.inf)
        expected = small * rows / few if not times else best
        if times and time.left() < 2 * expected:
            break
        first = trial.round(precision, rows)
        if first > SLOWER * best + 0.1:
            continue
        times[precision] = trial.round(precision, rows)
        while time.left() > began / 2 and trial.rounds < 4:
            times[precision] = min(times[precision], trial.round(precision, rows))
    fastest = min(times.values())
    each = max(0.0, (times[order[0]] - small) / (rows - few)) if rows > few else fastest / rows
    each = min(each * fastest / times[order[0]], fastest / rows)
    return Pace(times, rows, max(0.0, fastest - each * rows), each, memory)


class _Trial:
    """Rounds of a copy whose weights stay as they are."""

    def __init__(self, model: Learned, batch: Batches, plan: Plan) -> None:
        self.model, self.batch, self.plan = model, batch, plan
        self.running: tuple[tuple[Precision, int], Iterator[Progress]] | None = None
        self.rounds = 0

    def weighed(self, precision: Precision, points: int) -> tuple[float, float]:
        """Seconds of a round, and the bytes that are kept in it for the gradient."""
        kept = 0.0

        def keep(t: Tensor) -> Tensor:
            nonlocal kept
            if not (t.is_leaf and t.requires_grad):  # not the weights themselves
                kept += t.numel() * t.element_size()
            return t

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            seconds = self.round(precision, points)
        return seconds, kept

    def round(self, precision: Precision, points: int) -> float:
        """Seconds of the next round of the first players."""
        key = (precision, points)
        if self.running is None or self.running[0] != key:
            sized = self.batch.sized
            cut = replace(self.batch, nth=lambda k: _cut(self.batch(k), points)) if sized is None else sized(points)
            plan = replace(self.plan, minutes=None, samples=None, steps=10**9, batch=points, precision=precision)
            state = State(trial=True, prepared=set(self.model.players()))
            self.running, self.rounds = (key, train(self.model, cut, plan, state)), 0
        began = self.plan.now()
        next(self.running[1])
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        self.rounds += 1
        return self.plan.now() - began


def _require_memory(model: Learned, points: int, each: float) -> None:
    """TooLarge where so many points that keep `each` bytes leave no memory for the rest of a step."""
    if model.device.type == "cpu":
        limits.need(1.5 * each * points, f"a step of {points:,} points", LOWER)


def _cut(pair: tuple[Tensor, Tensor | None], points: int) -> tuple[Tensor, Tensor | None]:
    x, y = pair
    return x[:points], None if y is None else y[:points]


def measure(
    model: Learned, batch: Batches, plan: Plan, state: State, asked: str, settings: str, most: float = PROBED
) -> Pace:
    """The pace of `model` here, prepared for its first turns; from the cache where it was measured before.

    asked: a precision, "auto" for the fastest, or "quick" for bfloat16 where the hardware multiplies it.   settings: what
    else tells this training from others of the same shapes.
    """
    players = model.players()
    for name in dict.fromkeys(model.turns()):
        if players[name].start <= 0:
            prepare(model, batch, plan, state, name)
    if asked == "auto":
        order = candidates(model.device, model)
    elif asked == "quick":
        order = ("bf16" if quick(model.device) == torch.bfloat16 else "fp32",)
    else:
        order = tuple(p for p in PRECISIONS if p == asked)
    key = _key(model, plan, order, settings)
    cache_entry = cache_folder(None) / "pace.json"
    known = _shelved(cache_entry)
    with state.spending("probing", plan):
        seconds = most if plan.minutes is None else min(most, PROBING * 60 * plan.minutes)
        pace = probe(model, batch, plan, plan.within(seconds), order, known.get(key))
    if key not in known:
        with contextlib.suppress(OSError, KaratError):  # without a cache it is measured again
            kept = dict([*known.items(), (key, pace)][-KEPT:])
            write_whole(cache_entry, json.dumps({k: asdict(v) for k, v in kept.items()}).encode())
    return pace


def _key(model: Learned, plan: Plan, order: Sequence[Precision], settings: str) -> str:
    environment = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "KMP_AFFINITY")]
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else processor()
    parts = [
        model.device.type,
        device,
        torch.__version__,
        torch.get_num_threads(),
        *environment,
        settings,
        plan.batch,
        plan.clock,
        order,
        type(model.space).__name__,
        model.space,
        model.classes,
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _shelved(cache_entry: Path) -> dict[str, Pace]:
    """What the cache holds; nothing where it cannot be read as that."""
    out: dict[str, Pace] = {}
    try:
        for key, entry in json.loads(cache_entry.read_text(encoding="utf-8")).items():
            times = {p: float(entry["times"][p]) for p in entry["times"] if p in PRECISIONS}
            numbers = [float(entry[name]) for name in ("base", "each", "memory")]
            if times and all(math.isfinite(v) and v >= 0 for v in (*times.values(), *numbers)):
                out[key] = Pace(times, int(entry["rows"]), *numbers)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return out


def fit_batch(model: Learned, plan: Plan, pace: Pace, state: State, spent: float) -> tuple[Plan, str]:
    """`plan` with a batch of which enough steps fit into its minutes, and what was changed, in words.

    spent: seconds of the budget that are gone. FitError where not even of the smallest batch enough steps fit.
    """
    if plan.minutes is None:
        return plan, ""
    left = SHARE * max(0.0, 60 * plan.minutes - plan.kept(model.settling, state.closing, spent) - spent)
    steps = left / max(1e-9, pace.round(plan.batch))
    if steps >= ENOUGH:
        return plan, ""
    least = min(plan.batch, model.smallest)
    wanted = max(least, int((left / ENOUGH - pace.base) / max(1e-12, pace.each)) // 8 * 8) if pace.each else least
    fewer = min(plan.batch, wanted)
    steps = left / max(1e-9, pace.round(fewer))
    if steps < FEWEST:
        needed = (ENOUGH * pace.round(least) / SHARE + spent) / 60 / max(0.1, 1 - 2 * model.settling)
        smaller = ""
        if isinstance(model.space, Grid) and len(model.space.size) == 2:
            side = int(min(model.space.size) * min(1.0, (steps / ENOUGH) ** 0.5) // 4 * 4)
            smaller = f"--set data.size={max(8, side)}, "
        raise FitError(
            f"a step of {least} points takes {pace.round(least):.2g} s on this machine, so that {plan.minutes:g} minutes hold "
            f"{int(steps)} steps; at least {FEWEST} are wanted, better {ENOUGH}. Give --minutes {max(needed, 0.01):.2g}, or "
            f"{smaller}a smaller --set model.width or another --recipe."
        )
    if fewer == plan.batch:
        return plan, f"only about {int(steps)} steps fit into {plan.minutes:g} minutes; what is made will show it"
    return replace(plan, batch=fewer), (
        f"batch {fewer} instead of {plan.batch}, of which {plan.minutes:g} minutes would hold "
        f"{int(left / pace.round(plan.batch))} steps"
    )
