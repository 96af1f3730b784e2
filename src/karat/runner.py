"""Drives the one loop for a person: saves, signals, the progress bar, pictures of progress, and the doctor's visits."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import time
import zlib
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

from karat import doctor, training
from karat.data import Data, batches
from karat.errors import FitError, KaratError, RunError
from karat.families.generator import Batches, Fitted, Generator, Learned
from karat.modalities import codec_named
from karat.modalities.cache import cache_folder
from karat.modalities.codec import Codec
from karat.nets import quick
from karat.output import write_whole
from karat.recipe import Recipe, config, fingerprint, module
from karat.run import Run, safe_header
from karat.space import Space
from karat.typed import misfit
from karat.worth.ledger import Entry, Ledger

PICTURES = 64
PICTURED = 0.05  # share of the time at most that goes into pictures on the way, where one takes over a second
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
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


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
    torch.manual_seed(seed)
    made: Generator = exported.Model(space, classes, config(recipe))
    if isinstance(made, Learned):
        made.players()  # refuses impossible rates and shares before a run is begun
    return made


def pick_precision(
    recipe: Recipe, model: Learned, batch: Batches, plan: training.Plan, device: torch.device
) -> tuple[training.Precision, str]:
    """The fastest precision on this machine and why; measured once and remembered, so that the same seed stays the same."""
    if recipe.train.precision != "auto":
        chosen: Any = recipe.train.precision
        return chosen, "as asked"
    key = "-".join([
        device.type, torch.__version__, str(torch.get_num_threads()), fingerprint(recipe),
        "x".join(map(str, model.space.shape)), str(model.classes),
    ])  # fmt: skip
    shelf = cache_folder(None) / "precision.json"
    try:
        known = json.loads(shelf.read_text())
    except (OSError, ValueError):
        known = {}
    times = known.get(key)
    if times is None:
        seconds = 2.0 if plan.minutes is None else min(2.0, plan.minutes)
        times = training.probe(model, batch, plan, seconds)
        if len(times) < len(training.PRECISIONS):
            able = quick(device) == torch.bfloat16
            return ("bf16" if able else "fp32"), "the machine is too busy to measure; by what its processor can do"
        shelf.parent.mkdir(parents=True, exist_ok=True)
        write_whole(shelf, json.dumps({**known, key: times}).encode())
    best: training.Precision = min(times, key=lambda name: times[name])
    # a gain under 3% is noise: stay plain
    if times[best] > 0.97 * times["fp32"]:
        best = "fp32"
    return best, f"{times['fp32'] / times[best]:.2f} times the speed of plain fp32 on this machine"


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
    put(model, weights_of(blob))
    return model.to(device).eval()


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
    plan: training.Plan,
    state: training.State,
    console: Console,
    tensorboard: bool,
) -> list[doctor.Notice]:
    """Trains to the end of the plan and saves the finished model; raises Interrupted, with all saved, when asked to stop."""
    device = next(model.parameters()).device
    batch = batches(data, plan.batch, plan.seed, device, model.space)
    writer = _tensorboard(run) if tensorboard else None
    history = run.lines("history.jsonl")
    notices: dict[str, doctor.Notice] = {}
    budget = 60 * plan.minutes if plan.minutes is not None else None
    save_seconds = Recipe.from_dict(run.spec["recipe"]).train.save_seconds
    next_record, next_picture, saved = state_fraction(history), 0.1, time.monotonic()
    while next_picture <= next_record:
        next_picture += 0.1
    shown, afforded = time.monotonic(), 0.0
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
                if p.seconds >= afforded:
                    began = plan.now()
                    quick = training.preview(model, batch, state, 0.3 if budget is None else min(0.45, 0.002 * budget))
                    picture(run, data, quick, tenth * 10)
                    took = plan.now() - began
                    afforded = p.seconds + (took / PICTURED if took > 1 else 0)
                if not console.is_terminal:
                    console.print(
                        f"{tenth * 10}%  step {p.step:,}  {p.samples / p.seconds:,.0f} samples/s  {_losses(p)}"
                    )
            if asked or now - saved > save_seconds or p.fraction >= 1.0:
                run.save_checkpoint(state.step, checkpoint(model, state))
                saved = time.monotonic()
            if asked:
                code = 128 + asked[0]
                raise Interrupted(
                    f"stopped at {p.fraction:.0%} (step {p.step:,}); all is saved. Continue with `karat train {run.path}`.",
                    code,
                )
    weights = {k: v.detach().cpu().contiguous() for k, v in model.weights().items()}
    run.save_model(safetensors.torch.save(weights))
    run.put("doctor.json", [n.to_dict() for n in notices.values()])
    picture(run, data, model, 100)
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
    seconds = plan.now() - began
    run.save_model(safetensors.torch.save({k: v.cpu().contiguous() for k, v in model.weights().items()}))
    run.put("doctor.json", [])
    picture(run, data, model, 100)
    return seconds


def picture(run: Run, data: Data, model: Generator, percent: int) -> None:
    """Saves what `model` makes of one fixed noise, as a sheet of 64."""
    y = None
    if model.heeds:  # every class in turn
        y = torch.arange(PICTURES, device=model.device) % model.classes
    points = model.sample(PICTURES, y, torch.Generator(model.device).manual_seed(0)).cpu()
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
    if own.precision not in ("auto", *training.PRECISIONS):
        raise FitError(f"train.precision={own.precision!r}: there are auto, {', '.join(training.PRECISIONS)}.")
    if own.clock not in ("wall", "cpu"):
        raise FitError(f"train.clock={own.clock!r}: there are wall and cpu.")
    plan = training.Plan(minutes, steps, samples, own.batch, own.average, seed)
    return replace(plan, clock="cpu" if own.clock == "cpu" else "wall")
