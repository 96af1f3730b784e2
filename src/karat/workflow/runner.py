"""Drives the one loop for a person: saves, signals, the progress bar, pictures of progress, and the doctor's visits."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import safetensors.torch
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from karat.data import Data
from karat.errors import DivergedError, FitError, KaratError, RunError
from karat.families.generator import Batches, Learned
from karat.output import write_whole
from karat.recipe import Recipe
from karat.run import Run
from karat.synthesizer import Single, Synthesizer
from karat.synthesizer.building import line_of, put, weights_of
from karat.synthesizer.single import FITTED_MOST
from karat.training import doctor, pace
from karat.training import loop as training
from karat.training.divergence import REMEDY
from karat.worth.ledger import Entry, Ledger

PICTURES = 64
SHEETS = (64, 16, 4, 1)  # records on a picture of how far it has come: the most that are affordable
PICTURED = 0.02  # share of the time so far that may have gone into such pictures
SAVED = 0.01  # share of the time that goes into checkpoints, where they take long
FEW = 100  # steps, under which a person is told that they were few


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
        raise RunError(f"the checkpoint is damaged ({type(error).__name__}: {line_of(error)}); train anew.") from None


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
        single = Single(data.codec, model, data.classes)
        single.widen(data, plan.seed)
    with state.spending("saving", plan):
        run.save_model(safetensors.torch.save(single.weights()))
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


def fit(run: Run, whole: Synthesizer, data: Data, plan: training.Plan, console: Console) -> float:
    """Fits what learns without gradients and saves it; the seconds it took. Interrupted when asked to stop."""
    limit = None if plan.minutes is None else 60 * plan.minutes
    began = plan.now()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), console=console,
        transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with _signals() as asked, bar:
        task = bar.add_task("fitting", total=1.0)
        if len(data.train) > FITTED_MOST:
            console.print(f"fitting to {FITTED_MOST:,} of {len(data.train):,} rows, drawn at random")
        for share in whole.fit(data, plan.seed, limit):
            bar.update(task, completed=share)
            if asked:
                raise Interrupted(
                    f"stopped at {share:.0%}; a fit cannot be continued. Begin anew with `karat train {run.path}`.",
                    128 + asked[0],
                )
        whole.widen(data, plan.seed)
    seconds = plan.now() - began
    run.save_model(safetensors.torch.save(whole.weights()))
    run.put("doctor.json", [])
    picture(run, whole, 100)
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
                self._of(copied).glimpse(1)
                self.each, self.tried = self.plan.now() - middle, True
            self.settled, middle = self.plan.now() - began, self.plan.now()
            if n := self._most(room - self.settled):
                picture(self.run, self._of(copied), percent, n)
                self.each = (self.plan.now() - middle) / n

    def _of(self, model: Learned) -> Single:
        return Single(self.data.codec, model, self.data.classes)

    def last(self, model: Learned) -> None:
        """The sheet by the finished model, as large as what was kept of the budget for it allows; none of a single record
        that would take far longer.
        """
        if self.each > 4 * self._kept:
            return
        n = max(SHEETS[-1], self._most(self._kept))
        with self.state.spending("previews", self.plan):
            picture(self.run, self._of(model), 100, n)


def picture(run: Run, whole: Synthesizer, percent: int, n: int = PICTURES) -> None:
    """Saves a sheet of `n` records that are made of one fixed noise."""
    codec = whole.codec
    write_whole(run.file(f"samples/{percent:03d}{codec.sheets}"), codec.sheet(whole.glimpse(n), 8))


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
