"""Drives the one loop for a person: saves, signals, the progress bar, pictures of progress, and the doctor's visits."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from karat import limits
from karat.content import codec_named
from karat.content.codec import Codec
from karat.content.table.encoding.parts import Number
from karat.content.table.tables import Tables
from karat.data import Data
from karat.errors import DivergedError, FitError, KaratError, RunError, TooLarge
from karat.families.generator import Batches, Fitted, Generator, Learned
from karat.output import write_whole
from karat.recipe import Recipe, config, module
from karat.run import Run, safe_header
from karat.space import Space
from karat.synthesizer.widening import drawn, widen
from karat.training import doctor, pace
from karat.training import loop as training
from karat.training.divergence import NUMERIC, REMEDY
from karat.typed import misfit
from karat.worth.ledger import Entry, Ledger

PICTURES = 64
SHEETS = (64, 16, 4, 1)  # records on a picture of how far it has come: the most that are affordable
PICTURED = 0.02  # share of the time so far that may have gone into such pictures
SAVED = 0.01  # share of the time that goes into checkpoints, where they take long
FEW = 100  # steps, under which a person is told that they were few
COPIES = 6  # of each weight in training: itself, its gradient, two moments, its average, and one in a checkpoint
LAYERS = 5_000
SMALLER = "Lower --set model.width, model.depth or what else makes it large."
WIDTH, FACTOR = "kernel.width", "kernel.factor"  # among the saved weights
FITTED_MOST = 1_000_000  # rows that a family without gradients is handed


class Interrupted(KaratError):
    """A person or the system asked the training to stop; all is saved. `code` is the exit code owed."""

    def __init__(self, message: str, code: int) -> None:
        self.args = (message,)
        self.code = code


def choose_device(name: str) -> torch.device:
    """The device of that name, or for "auto" the best there is: CUDA, then MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise FitError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}). Use --device cpu."
        ) from None
    return device


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA)"
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''} of {pace.processor()}"


def meet(recipe: Recipe, codec: Codec) -> Space:
    """The space in which the recipe's family meets this content; FitError naming both where there is none."""
    try:
        return codec.meet(module(recipe.family, recipe.digest).Model.spaces)
    except FitError as error:
        raise FitError(f"the recipe {recipe.name} (family {recipe.family}) does not fit: {error}") from None


def build(recipe: Recipe, space: Space, classes: int, seed: int) -> Generator:
    """The recipe's model for this space, weights drawn with `seed`; FitError when the family cannot live there."""
    exported = module(recipe.family, recipe.digest)
    if not isinstance(space, exported.Model.spaces):
        fits = ", ".join(cls.__name__ for cls in exported.Model.spaces)
        raise FitError(f"the family {recipe.family} lives in {fits}, and these data are a {type(space).__name__}.")
    if "labels" in recipe.needs and classes == 0:
        raise FitError(
            f"the recipe {recipe.name} needs labels and these data have none. Sort them into one folder per class, "
            "or use --recipe gan."
        )
    settings = config(recipe)
    weigh(lambda: exported.Model(space, classes, settings))
    torch.manual_seed(seed)
    made: Generator = exported.Model(space, classes, settings)
    if isinstance(made, Learned):
        made.players()  # refuses impossible rates and shares before a run is begun
    return made


def checkpoint(model: Learned, state: training.State) -> bytes:
    """Everything to continue from, as one safetensors file."""
    tensors = {f"model.{k}": v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    tensors |= {k: v.contiguous() for k, v in state.tensors().items()}
    return safetensors.torch.save(tensors, {"state": json.dumps(state.numbers())})


def restore(blob: bytes, model: Learned, precision: training.Precision) -> training.State:
    """Puts a checkpoint's weights into `model` and gives its state."""
    tensors = weights_of(blob)
    put(model, {k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    training.lay_out(model, precision)
    try:
        length = int.from_bytes(blob[:8], "little")
        numbers = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["state"])
        return training.State.restore(model, numbers, tensors)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise RunError(f"the checkpoint is damaged ({type(error).__name__}: {_line(error)}); train anew.") from None


def weights_of(blob: bytes) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, which may be a stranger's; RunError where it is damaged, or one is not finite."""
    safe_header(blob)
    try:
        tensors = safetensors.torch.load(blob)
    except Exception as error:  # the library has errors of its own
        raise RunError(f"a weights file is damaged ({_line(error)}); train anew.") from None
    for name, tensor in tensors.items():
        # a single number may still be infinite: the least loss of none so far
        fine = tensor.isfinite() if tensor.dim() else ~tensor.isnan()
        if tensor.is_floating_point() and not bool(fine.all()):
            raise RunError(f"the saved weights hold numbers that are not finite (in {name[:60]!r}); train anew.")
    return tensors


def put(model: Generator, weights: dict[str, torch.Tensor]) -> None:
    """Loads weights by name; RunError when they are of another model."""
    try:
        model.put(weights)
    except KaratError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError, zlib.error) as error:
        lines = str(error).splitlines()
        reason = f"{type(error).__name__}: {_line(error)}" if len(lines) < 2 else lines[1].strip()
        raise RunError(f"the saved weights do not fit the recipe: {reason[:200]}") from None


def _line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:200]


def load_codec(run: Run) -> Codec:
    """The codec that was saved with the run."""
    state = run.get("codec.json")
    try:
        codec = codec_named(state["name"]).restore({k: v for k, v in state.items() if k != "name"})
        wrong = misfit(codec)
        if wrong is None and not all(re.fullmatch(r"(\.[A-Za-z0-9]{1,12}){1,2}", suffix) for suffix in codec.wholes):
            wrong = f"its files end in {', '.join(codec.wholes)[:60]!r}"
        same = json.dumps({"name": codec.name, **codec.state()}, sort_keys=True) == json.dumps(state, sort_keys=True)
    except KaratError as error:
        raise RunError(f"{run.path / 'codec.json'} is damaged: {error}") from None
    except Exception as error:  # whatever a stranger's JSON makes of a codec
        raise RunError(
            f"{run.path / 'codec.json'} is damaged ({type(error).__name__}: {_line(error)}); train anew."
        ) from None
    if wrong is not None:
        raise RunError(f"{run.path / 'codec.json'} is damaged: {wrong}; train anew.")
    if not same:
        raise RunError(f"{run.path / 'codec.json'} is damaged: it holds what no codec would write; train anew.")
    return codec


def load_model(run: Run, codec: Codec, classes: int, device: torch.device) -> Generator:
    """The finished model of a run, ready to sample."""
    recipe = Recipe.from_dict(run.spec["recipe"])
    blob = run.load_model()
    try:
        model = build(recipe, meet(recipe, codec), classes, run.spec["seed"])
    except KaratError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise RunError(f"{run.path} is damaged: its codec and its recipe make no model ({_line(error)}).") from None
    weights = weights_of(blob)
    width, factor = weights.pop(WIDTH, None), weights.pop(FACTOR, None)
    put(model, weights)
    if width is not None and factor is not None:
        model.kernel = _kernel(width, factor, codec)
    return model.to(device).eval()


def _kernel(width: torch.Tensor, factor: torch.Tensor, codec: Codec) -> tuple[float, torch.Tensor]:
    numbers = sum(isinstance(part, Number) for part in codec.coded_parts) if isinstance(codec, Tables) else 0
    if width.numel() != 1 or not 0 < float(width) <= 1 or factor.shape != (numbers, numbers):
        raise RunError("the saved weights are damaged: their kernel is of another table; train anew.")
    return float(width), factor.double()


def _saved(model: Generator) -> dict[str, torch.Tensor]:
    """The weights of a finished model, and the kernel through which it is drawn."""
    weights = {k: v.detach().cpu().contiguous() for k, v in model.weights().items()}
    if model.kernel is None:
        return weights
    width, factor = model.kernel
    return {**weights, WIDTH: torch.tensor(width, dtype=torch.float64), FACTOR: factor.contiguous()}


def weigh(build: Callable[[], object]) -> None:
    """TooLarge when what `build` makes would not fit into memory with its gradient, moments and averages.

    It is built once without memory (https://docs.pytorch.org/docs/stable/meta.html) and counted while it is built, so that a
    depth of a billion layers is refused as well. What cannot be built that way is not counted.
    """
    count = {"layers": 0, "weights": 0, "buffers": 0}

    room = limits.SPARE * limits.available()  # asking for every layer would take longer than building it

    def refuse() -> None:
        size = 4.0 * (COPIES * count["weights"] + 2 * count["buffers"])
        if size > room:
            limits.need(size, f"a model of {count['weights']:,} weights or more", SMALLER)
        if count["layers"] > LAYERS:
            raise TooLarge(f"a model of more than {LAYERS:,} layers would not end. {SMALLER}")

    def layer(module: nn.Module, name: str, part: nn.Module | None) -> None:
        count["layers"] += 1
        refuse()

    def numbers(kind: str) -> Callable[[nn.Module, str, Any], None]:
        def counted(module: nn.Module, name: str, value: Any) -> None:
            if value is not None:
                count[kind] += value.numel()
                refuse()

        return counted

    hooks = [
        register_module_module_registration_hook(layer),
        register_module_parameter_registration_hook(numbers("weights")),
        register_module_buffer_registration_hook(numbers("buffers")),
    ]
    try:
        with torch.device("meta"):
            build()
    except KaratError:
        raise
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        if limits.EXHAUSTED.search(str(error)) or isinstance(error, MemoryError | OverflowError):
            raise TooLarge(f"a model of these settings would need more memory than can be counted. {SMALLER}") from None
    except NotImplementedError:
        pass  # a family that looks at numbers while it is built
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Numbers too small to be normal count as zero, which spares the CPU its slow path; the caller's setting comes back."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGHUP instead of dying of them; the second one kills at once."""
    got: list[int] = []

    def heard(number: int, frame: FrameType | None) -> None:
        if got:
            os._exit(128 + number)
        got.append(number)

    try:
        kept = {
            s: signal.signal(s, heard)
            for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN  # nohup ignores it: it stays so
        }
    except ValueError:  # not in the main thread: the caller's signals are not ours to take
        kept = {}
    try:
        yield got
    finally:
        for s, handler in kept.items():
            signal.signal(s, handler)


def drive(
    run: Run,
    model: Learned,
    data: Data,
    batch: Batches,
    plan: training.Plan,
    state: training.State,
    console: Console,
    tensorboard: bool,
) -> list[doctor.Notice]:
    """Trains to the end of the plan and saves the finished model; raises Interrupted, with all saved, when asked to stop."""
    writer = _tensorboard(run) if tensorboard else None
    history = run.lines("history.jsonl")
    notices: dict[str, doctor.Notice] = {}
    album = Album(run, data, plan, state)
    save_seconds = Recipe.from_dict(run.spec["recipe"]).train.save_seconds
    next_record, next_picture, saved = state_fraction(history), 0.1, time.monotonic()
    rested, took = plan.now(), 0.0  # by the budget's clock: since the last save, and what that took
    while next_picture <= next_record:
        next_picture += 0.1
    shown = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}  {task.fields[losses]}", markup=False), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    with _no_denormals(), _signals() as asked, bar:
        task = bar.add_task("training", total=1.0, rate="", losses="")
        for p in training.train(model, batch, plan, state):
            now = time.monotonic()
            if p.fraction >= next_record or p.fraction >= 1.0:
                record = _record(p, model, state)
                run.append("history.jsonl", record)
                history.append(record)
                next_record = p.fraction + 0.005
                for notice in doctor.watch(history):
                    if notice.name not in notices:
                        console.print(f"doctor: {notice.name}: {notice.evidence}. Remedy: {notice.remedy}.")
                    notices[notice.name] = notice
                if writer is not None:
                    for key, value in record.items():
                        writer.add_scalar(key, value, p.step)
            if now - shown > 0.25 and console.is_terminal:
                shown = now
                bar.update(task, completed=p.fraction, rate=f"{p.samples / p.seconds:,.0f}/s", losses=_losses(p))
            if p.fraction >= next_picture and p.fraction < 1.0:
                tenth = min(9, int(p.fraction * 10 + 1e-9))
                next_picture = (tenth + 1) / 10
                album.preview(model, batch, tenth * 10, p.seconds)
                if not console.is_terminal:
                    console.print(
                        f"{tenth * 10}%  step {p.step:,}  {p.samples / p.seconds:,.0f} samples/s  {_losses(p)}"
                    )
            due = now - saved > save_seconds and SAVED * (plan.now() - rested) >= took
            if asked or due or p.fraction >= 1.0:
                if wrong := state.diverged(model):  # what is saved is sound
                    raise DivergedError(f"{wrong}. {REMEDY}")
                began = plan.now()
                with state.spending("saving", plan):
                    run.save_checkpoint(state.step, checkpoint(model, state))
                saved, rested = time.monotonic(), plan.now()
                took = rested - began
                state.closing = max(state.closing, took + album.closing)
            if asked:
                code = 128 + asked[0]
                raise Interrupted(
                    f"stopped at {p.fraction:.0%} (step {p.step:,}); all is saved. Continue with `karat train {run.path}`.",
                    code,
                )
    ended = plan.now()
    with state.spending("settling", plan):
        widen(model, data, plan.seed)
    with state.spending("saving", plan):
        run.save_model(safetensors.torch.save(_saved(model)))
        run.put("doctor.json", [n.to_dict() for n in notices.values()])
    album.last(model)
    state.seconds += plan.now() - ended
    if writer is not None:
        writer.close()
    return list(notices.values())


def book_lost_time(run: Run, seconds: float) -> None:
    """Enters what a killed process had computed by its last save, which its own ledger entry never told."""
    ledger = Ledger(run.path / "ledger.jsonl")
    lost = seconds - sum(e.wall_seconds for e in ledger.entries() if e.verb == "train")
    if lost > 1:
        device = str(run.spec.get("device", "cpu"))
        on_gpu = lost if device in ("cuda", "mps") else 0.0
        started = datetime.now(UTC).isoformat(timespec="seconds")
        note = "killed; counted up to its last save, on one core"
        ledger.append(Entry("train", started, "failed", lost, lost, on_gpu, device=device, note=note))


def state_fraction(history: list[dict[str, Any]]) -> float:
    """How far the recorded history reaches."""
    return float(history[-1]["fraction"]) if history else 0.0


def _record(p: training.Progress, model: Learned, state: training.State) -> dict[str, float]:
    record = {"fraction": p.fraction, "step": p.step, "seconds": p.seconds, "samples": p.samples,
              "skipped": state.skipped} | {k: float(v) for k, v in p.seen.items()}  # fmt: skip
    for name, player in model.players().items():
        slopes = [g for q in player.module.parameters() if (g := q.grad) is not None]
        if slopes:
            record[f"slope/{name}"] = float(torch.nn.utils.get_total_norm(slopes))
    return record


def _losses(p: training.Progress) -> str:
    return "  ".join(f"{k} {float(v):.3g}" for k, v in list(p.seen.items())[:4])


def fit(run: Run, model: Fitted, data: Data, plan: training.Plan, console: Console) -> float:
    """Fits a family that learns without gradients and saves it; the seconds it took. Interrupted when asked to stop."""
    limit = None if plan.minutes is None else 60 * plan.minutes
    began = plan.now()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), console=console,
        transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with _signals() as asked, bar:
        task = bar.add_task("fitting", total=1.0)
        points = data.points("train", FITTED_MOST, plan.seed, model.space)
        labels = data.labels("train", FITTED_MOST, plan.seed)
        if len(points) < len(data.train):
            console.print(f"fitting to {len(points):,} of {len(data.train):,} rows, drawn at random")
        for share in model.fit(points, labels, plan.seed, limit):
            bar.update(task, completed=share)
            if asked:
                raise Interrupted(
                    f"stopped at {share:.0%}; a fit cannot be continued. Begin anew with `karat train {run.path}`.",
                    128 + asked[0],
                )
        widen(model, data, plan.seed)
    seconds = plan.now() - began
    run.save_model(safetensors.torch.save(_saved(model)))
    run.put("doctor.json", [])
    picture(run, data, model, 100)
    return seconds


class Album:
    """Pictures of how far a training has come, which take no more than a small share of its time.

    What one costs is predicted from those before, and at first from two records alone; so many are made as are affordable.
    """

    def __init__(self, run: Run, data: Data, plan: training.Plan, state: training.State) -> None:
        self.run, self.data, self.plan, self.state = run, data, plan, state
        self.settled = self.each = 0.0  # seconds that settling a copy takes, and then a record
        self.tried = False  # before that, what a record takes is guessed from what learning from one takes

    @property
    def closing(self) -> float:
        """Seconds that the last sheet takes."""
        return self.each * self._most(self._kept)

    @property
    def _kept(self) -> float:
        return math.inf if self.plan.minutes is None else training.CLOSING * 60 * self.plan.minutes / 2

    def _most(self, seconds: float) -> int:
        """Records on a sheet that takes no longer; 0 where not even the smallest does."""
        return next((n for n in SHEETS if self.each * n <= seconds), 0)

    def preview(self, model: Learned, batch: Batches, percent: int, seconds: float) -> None:
        """A sheet by a settled copy of `model`, after so many `seconds` of training; none where that would take too long."""
        timed = self.plan.minutes is not None
        room = PICTURED * seconds - self.state.spent.get("previews", 0.0) if timed else math.inf
        if not self.tried:
            stepped = max(0.0, seconds - sum(self.state.spent.values()))
            self.each = model.passes * stepped / max(1, self.state.drawn * self.plan.batch) / 3  # a third: no gradient
        if room <= 0 or self.settled > room or not self._most(room - self.settled):
            return
        with self.state.spending("previews", self.plan):
            began = self.plan.now()
            allowed = min(0.45, room / 2) if timed else 0.3
            copied = training.preview(model, batch, self.state, self.plan.within(allowed, preview=True))
            if not self.tried:
                self.settled, middle = self.plan.now() - began, self.plan.now()
                _made(copied, 1)
                self.each, self.tried = self.plan.now() - middle, True
            self.settled, middle = self.plan.now() - began, self.plan.now()
            if n := self._most(room - self.settled):
                picture(self.run, self.data, copied, percent, n)
                self.each = (self.plan.now() - middle) / n

    def last(self, model: Learned) -> None:
        """The sheet by the finished model, as large as what was kept of the budget for it allows; none of a single record
        that would take far longer.
        """
        if self.each > 4 * self._kept:
            return
        n = max(SHEETS[-1], self._most(self._kept))
        with self.state.spending("previews", self.plan):
            picture(self.run, self.data, model, 100, n)


def _made(model: Generator, n: int) -> torch.Tensor:
    """`n` points by `model` from one fixed noise, of every class in turn; DivergedError where they are no numbers."""
    y = torch.arange(n, device=model.device) % model.classes if model.heeds else None
    try:
        points = model.sample(n, y, torch.Generator(model.device).manual_seed(0)).cpu()
    except (ValueError, RuntimeError) as error:
        if isinstance(error, KaratError) or not NUMERIC.search(f"{type(error).__name__} {error}"):
            raise
        raise DivergedError(f"what is made is not finite ({type(error).__name__}). {REMEDY}") from None
    if not bool(points.isfinite().all()):
        raise DivergedError(f"what is made is not finite. {REMEDY}")
    return points


def picture(run: Run, data: Data, model: Generator, percent: int, n: int = PICTURES) -> None:
    """Saves what `model` makes of one fixed noise, as a sheet of `n`."""
    points = _made(model, n)
    points = drawn(model, data.codec, points, np.random.default_rng(0))
    sheet = data.codec.sheet(data.codec.decode(points, model.space), 8)
    write_whole(run.file(f"samples/{percent:03d}{data.codec.sheets}"), sheet)


def need_tensorboard() -> None:
    """FitError when TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise FitError("TensorBoard is not installed; pip install 'karat[tensorboard]', or leave out --tensorboard.")


def _tensorboard(run: Run) -> Any:
    need_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run.path / "tensorboard"))


def with_budget(
    recipe: Recipe, minutes: float | None, steps: int | None, samples: int | None, seed: int
) -> training.Plan:
    """The recipe's plan with the budget that was asked for, or its own."""
    own = recipe.train
    if minutes is None and steps is None and samples is None:
        minutes = own.minutes
    if own.precision not in ("auto", "quick", *training.PRECISIONS):
        raise FitError(f"train.precision={own.precision!r}: there are auto, quick, {', '.join(training.PRECISIONS)}.")
    if own.clock not in ("wall", "cpu"):
        raise FitError(f"train.clock={own.clock!r}: there are wall and cpu.")
    plan = training.Plan(minutes, steps, samples, own.batch, own.average, seed)
    return replace(plan, clock="cpu" if own.clock == "cpu" else "wall")
