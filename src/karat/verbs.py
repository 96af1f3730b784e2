"""Everything a person can ask. The command line and the Python API are these functions; their docstrings are the help.

Nothing heavy is imported until a verb is used, so that `karat --help` answers at once.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from karat.run import Run

if TYPE_CHECKING:
    from rich.console import Console

    from karat.data import Data
    from karat.office import Assay

    RunLike = str | Path | Run
else:  # the command line reads these signatures: it types a run as its folder, and must not import torch
    Assay, RunLike = Any, str

PREVIEWED = ("vae", "diffusion", "gan", "cgan", "dcgan", "wgan-gp", "mlp-gan", "ddpm")


def look(
    data: str, *, size: int | None = None, probe: bool = True, threads: int | None = None, prices: Path | None = None
) -> dict[str, Any]:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost.

    Parameters
    ----------
    data
        A folder of pictures (one sub-folder per class, or flat), a zip of one, IDX, .npy, .npz, .parquet, or `digits`.
    size
        Side in pixels that the pictures are brought to.
    probe
        Measure minutes and memory of each recipe on this machine; a few seconds each.
    threads
        CPU threads to use.
    prices
        A prices.toml; without it no money is named.
    """
    from karat import probing
    from karat import training as loop
    from karat.data import load, survey
    from karat.worth.prices import find

    loop.tune_machine(threads)
    found = load(data, size=size)
    told = survey(found)
    told["recipes"] = probing.estimates(found, PREVIEWED, find(prices, [Path.cwd()]), measure=probe)
    probing.show(told, _console())
    return told


def train(
    data: str,
    *,
    recipe: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    family: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    set: Sequence[str] = (),
    tensorboard: bool = False,
    prices: Path | None = None,
) -> Run:
    """Train a generator on data, or continue a run exactly where it stopped.

    Parameters
    ----------
    data
        What to learn from (see `karat look`), or the folder of a run to continue.
    recipe
        vae (the default), diffusion, ddpm, gan, cgan, dcgan, wgan-gp, mlp-gan, or the path of your own .toml.
    minutes
        Budget in minutes, kept within 5%. Of minutes, steps and samples give one; the default is the recipe's own.
    steps
        Budget in steps of the training loop.
    samples
        Budget in training samples seen.
    seed
        Seed of everything random.
    out
        Folder of the run; runs/<data>-<recipe> by default.
    family
        A Python file of your own that exports Config and Model, in place of a recipe.
    device
        auto, cpu, cuda, cuda:1 or mps.
    threads
        CPU threads to use.
    set
        Deeper settings, such as model.width=64, model.lr=1e-3, train.batch=128, train.precision=fp32, data.size=64.
    tensorboard
        Also write TensorBoard events into the run.
    prices
        A prices.toml; without it the ledger keeps seconds and no money.
    """
    from karat import training as loop
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(threads)
    _check_seed(seed)
    console = _console()
    place = Path(data)
    if Run.is_run(place):
        run = Run.open(place)
        if threads is None:  # as the run began: another number of threads adds in another order
            loop.tune_machine(run.spec.get("threads"))
        with run.lock(), Ledger(run.path / "ledger.jsonl", find(prices, [place, Path.cwd()])).entry("train") as entry:
            other_seed = seed not in (0, run.spec["seed"])
            given = (recipe, family, out, set, other_seed, tensorboard and not run.spec["tensorboard"])
            return _continue(run, entry, console, device, (minutes, steps, samples), given)
    return _begin(
        data, recipe, (minutes, steps, samples), seed, out, family, device, set, tensorboard, prices, console, threads
    )


def _begin(
    data: str,
    recipe: str | None,
    budget: tuple[float | None, int | None, int | None],
    seed: int,
    out: Path | None,
    family: str | None,
    device: str,
    changes: Sequence[str],
    tensorboard: bool,
    prices: Path | None,
    console: Console,
    threads: int | None,
) -> Run:
    from karat import __version__, runner
    from karat import recipe as recipes
    from karat.data import load
    from karat.errors import FitError
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    if recipe is not None and family is not None:
        raise FitError(f"--recipe {recipe} and --family {family} both say what to train; give one of them.")
    own = [c for c in changes if not c.startswith("data.")]
    size = _data_size([c for c in changes if c.startswith("data.")])
    chosen = recipes.load("vae" if recipe is None else recipe, own, family)
    plan = runner.with_budget(chosen, *budget, seed)
    where = runner.choose_device(device)
    found = load(data, size=size)
    model = runner.build(chosen, found.space, len(found.classes), seed)
    folder = _free(Path("runs") / f"{Path(data).stem}-{chosen.name}") if out is None else out
    declared = find(prices, [folder, Path.cwd()])
    if tensorboard:
        runner.need_tensorboard()
    run = Run.create(
        folder,
        {
            "id": uuid.uuid4().hex[:12], "version": __version__, "data": str(Path(data).resolve() if Path(data).exists() else data),
            "size": size, "fingerprint": found.fingerprint, "seed": seed, "recipe": chosen.to_dict(),
            "minutes": plan.minutes, "steps": plan.steps, "samples": plan.samples, "precision": None,
            "tensorboard": tensorboard, "classes": list(found.classes), "threads": threads,
        },
    )  # fmt: skip
    with (
        run.lock(),
        Ledger(folder / "ledger.jsonl", declared).entry("train", where.type) as entry,
    ):
        run.put("codec.json", {"name": found.codec.name, **found.codec.state()})
        _greet(console, found, chosen.name, plan, runner.describe(where))
        return _drive(run, found, model.to(where), plan, entry, console)


def _continue(
    run: Run,
    entry: Any,
    console: Console,
    device: str,
    budget: tuple[float | None, int | None, int | None],
    given: tuple[Any, ...],
) -> Run:
    from karat import runner
    from karat.data import load
    from karat.errors import DataError, FitError, RunError
    from karat.recipe import Recipe

    if any(x for x in given):
        raise FitError(
            f"{run.path} is a run: its recipe and settings are fixed. Continue it with `karat train {run.path}`, "
            "or train anew from the data with another --out."
        )
    spec = run.spec
    kind = next(i for i, name in enumerate(("minutes", "steps", "samples")) if spec[name] is not None)
    if all(b is None for b in budget):
        if spec["status"] == "trained":
            raise RunError(f"{run.path} has used its budget; give it more with --minutes or --steps, or assay it.")
        budget = (spec["minutes"], spec["steps"], spec["samples"])
    elif budget[kind] is None:
        name = ("minutes", "steps", "samples")[kind]
        raise FitError(f"{run.path} counts its budget in {name}; give the new total as --{name}.")
    elif budget[kind] <= spec[("minutes", "steps", "samples")[kind]] and spec["status"] == "trained":
        raise FitError(f"{run.path} has used its budget; --minutes, --steps and --samples give the new, larger total.")
    try:
        found = load(spec["data"], size=spec["size"])
    except DataError as error:
        raise RunError(f"the data of {run.path} cannot be read again: {error}") from None
    if found.fingerprint != spec["fingerprint"]:
        raise RunError(
            f"{spec['data']} has changed since {run.path} was begun (fingerprint {found.fingerprint[:12]} instead of "
            f"{spec['fingerprint'][:12]}). Train anew, or bring the old data back."
        )
    recipe = Recipe.from_dict(spec["recipe"])
    plan = runner.with_budget(recipe, *budget, spec["seed"])
    where = runner.choose_device(device)
    entry.device = where.type
    model = runner.build(recipe, found.space, len(found.classes), spec["seed"]).to(where)
    run.put("codec.json", {"name": found.codec.name, **found.codec.state()})
    run.update({"minutes": plan.minutes, "steps": plan.steps, "samples": plan.samples})
    _greet(console, found, recipe.name, plan, runner.describe(where))
    return _drive(run, found, model, plan, entry, console)


def _drive(run: Run, found: Data, model: Any, plan: Any, entry: Any, console: Console) -> Run:
    """Trains and closes the books of the run, however it ends."""
    from dataclasses import replace

    from karat import runner
    from karat import training as loop
    from karat.data import batches
    from karat.errors import DivergedError
    from karat.recipe import Recipe

    began = plan.now()
    device = next(model.parameters()).device
    blob = run.load_checkpoint()
    precision, why = run.spec["precision"], "as the run began"
    if precision is None:
        batch = batches(found, plan.batch, plan.seed, device)
        precision, why = runner.pick_precision(Recipe.from_dict(run.spec["recipe"]), model, batch, plan, device)
        run.update({"precision": precision, "device": device.type})
    plan = replace(plan, precision=precision)
    if blob is None:
        state = loop.State(seconds=plan.now() - began)  # choosing the precision is part of the budget
        run.truncate("history.jsonl", -1.0)
    else:
        state = runner.restore(blob, model, precision)
        if run.spec["status"] == "training":  # it was killed: nobody closed its books
            runner.book_lost_time(run, state.seconds)
        state.settled = False
        run.truncate("history.jsonl", plan.used(state.step, state.drawn, state.seconds, model.settling) + 1e-9)
        console.print(f"continuing at step {state.step:,}, {state.seconds:,.0f} s in")
    console.print(f"precision {precision} ({why})")
    run.update({"status": "training"})
    try:
        notices = runner.drive(run, model, found, plan, state, console, bool(run.spec["tensorboard"]))
    except runner.Interrupted:
        entry.status = "interrupted"
        run.update({"status": "interrupted"})
        raise
    except DivergedError:
        run.update({"status": "diverged"})
        raise
    seen = state.drawn * plan.batch
    run.update({"status": "trained", "step": state.step, "seconds": state.seconds, "trained_samples": seen})
    console.print(
        f"trained: {state.step:,} steps, {seen:,} samples in {state.seconds:,.1f} s"
        + (f"; the doctor noticed: {', '.join(n.name for n in notices)}" if notices else "")
    )
    console.print(f"run: {run.path}   next: karat assay {run.path}   karat make {run.path} -n 100")
    return run


def assay(
    run: RunLike | None = None,
    *,
    real: str | None = None,
    made: str | None = None,
    n: Annotated[int, Parameter(name=["-n", "--number"])] = 5000,
    require: Sequence[str] = (),
    out: Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    prices: Path | None = None,
    eyes: Path | None = None,
) -> Assay:
    """Find out what a generator is worth: findings, each beside the score that unseen real data gets, and a verdict.

    Parameters
    ----------
    run
        The folder of a run; or leave it out and give --real and --made.
    real
        Real data (see `karat look`), for samples that karat did not make.
    made
        Those samples: a folder, zip, .npy, ...; or reference:NAME (oracle, bootstrap, copier, collapser, blurrer,
        skewer, shuffler, noise), a generator of known worth that proves the scales.
    n
        How many samples to draw from the run, or of the reference.
    require
        A condition such as "coverage>=0.8"; the exit code is 1 when one does not hold. May be given several times.
    out
        Folder of the report; <run>/report by default.
    seed
        Seed of the samples and of the judge.
    threads
        CPU threads to use.
    prices
        A prices.toml: what things cost and what they are worth to you. `src/karat/worth/prices.toml` is a template.
    eyes
        A local folder with a pretrained encoder to judge by, in place of the judge's own.
    """
    from karat import office
    from karat import training as loop
    from karat.errors import FitError
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(threads)
    if n < 1:
        raise FitError(f"-n {n}: at least 1 was wanted.")
    _check_seed(seed)
    if run is not None:
        if real is not None or made is not None:
            raise FitError("give either a run, or --real with --made, not both.")
        opened = run if isinstance(run, Run) else Run.open(Path(run))
        folder = opened.path / "report" if out is None else out
        declared = find(prices, [opened.path, Path.cwd()])
        ledger = Ledger(opened.path / "ledger.jsonl", declared)
        with ledger.entry("assay"):
            job = office.of_run(opened, n, seed, eyes)
    else:
        if real is None or made is None:
            raise FitError("say what to assay: `karat assay RUN`, or `karat assay --real DATA --made SAMPLES`.")
        folder = Path("assay") if out is None else out
        declared = find(prices, [Path.cwd()])
        ledger = Ledger(folder / "ledger.jsonl", declared)
        with ledger.entry("assay"):
            job = office.of_files(real, made, n, seed, eyes)
    result = office.conclude(job, folder, ledger.entries(), declared, require, seed)
    console = _console()
    console.print(str(result), highlight=False, soft_wrap=True)
    console.print(f"report: {result.report}", soft_wrap=True)
    for line in result.failed:
        console.print(f"required: {line}", soft_wrap=True)
    return result


def make(
    run: RunLike,
    *,
    n: Annotated[int, Parameter(name=["-n", "--number"])] = 64,
    out: Path | None = None,
    klass: Annotated[str | None, Parameter(name="--class")] = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    producer: str = "karat",
    prices: Path | None = None,
) -> list[Path]:
    """Make new content and write it as ordinary files, each labelled as AI-made.

    Parameters
    ----------
    run
        The folder of a finished run.
    n
        How many to make.
    out
        A folder for PNG files (the default, <run>/made), or a file ending in .npy, .npz or .zip.
    klass
        Make this class only, by its name.
    seed
        Seed of what is made; the same seed gives the same content.
    device
        auto, cpu, cuda or mps.
    threads
        CPU threads to use.
    producer
        Your name or code in the label of origin: ASCII, without spaces.
    prices
        A prices.toml; without it the ledger keeps seconds and no money.
    """
    from karat import making, runner
    from karat import training as loop
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(threads)
    _check_seed(seed)
    opened = run if isinstance(run, Run) else Run.open(Path(run))
    goal = opened.path / "made" if out is None else Path(out)
    where = runner.choose_device(device)
    with Ledger(opened.path / "ledger.jsonl", find(prices, [opened.path, Path.cwd()])).entry(
        "make", where.type
    ) as entry:
        files = making.make(opened, n, goal, klass, seed, where, producer)
        entry.items = n
    _console().print(f"made {n:,}: {goal}", soft_wrap=True)
    return files


def demo(*, seconds: float = 25.0, out: Path = Path("runs/demo"), seed: int = 0, threads: int = 1) -> Assay:
    """Look, train, assay, make and report on real handwriting that comes with the install, in about a minute.

    Parameters
    ----------
    seconds
        Seconds of training.
    out
        Folder of the run; what a former demo left there is replaced.
    seed
        Seed of everything random.
    threads
        CPU threads to use.
    """
    import shutil

    from karat.errors import RunError

    if Run.is_run(out):
        if Run.open(out).spec.get("data") != "digits":
            raise RunError(f"{out} holds a run on other data; choose another --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    console = _console()
    console.rule("look")
    look("digits", probe=False, threads=threads)
    console.rule("train")
    prices = out / "prices.toml"
    prices.write_text(DEMO_PRICES, encoding="utf-8")
    run = train("digits", minutes=seconds / 60, seed=seed, out=out, threads=threads)
    console.rule("make")
    make(run, n=100, out=out / "made", seed=seed, threads=threads)
    console.rule("assay")
    return assay(run, n=2000, seed=seed, threads=threads)


DEMO_PRICES = """# What the demo declares. Change it and run `karat assay runs/demo` again: the verdict follows.
rights = "licensed: CC BY 4.0"  # scikit-learn's digits, UCI Optical Recognition of Handwritten Digits
currency = "USD"
cpu_core_hour = 0.05
"""


def _console() -> Console:
    from rich.console import Console

    return Console(file=sys.stdout)


def _greet(console: Console, found: Data, recipe: str, plan: Any, device: str) -> None:
    budget = (f"{plan.minutes:g} minutes" if plan.minutes is not None else
              f"{plan.steps:,} steps" if plan.steps is not None else f"{plan.samples:,} samples")  # fmt: skip
    kinds = f"{len(found.classes)} classes" if found.classes else "no labels"
    shape = "x".join(map(str, found.space.shape))
    console.print(
        f"{found.path}: {len(found.train):,} to learn from, {len(found.holdout):,} set aside, {kinds}, {shape}"
    )
    for note in (*found.notes, *(f"skipped {name}: {why}" for name, why in found.contents.skipped)):
        console.print(note)
    console.print(f"recipe {recipe}, {budget}, on {device}")


def _check_seed(seed: int) -> None:
    from karat.errors import FitError

    if not 0 <= seed < 2**62:
        raise FitError(f"seed {seed}: wanted a whole number from 0 to {2**62 - 1}.")


def _data_size(changes: Sequence[str]) -> int | None:
    from karat.errors import FitError

    size = None
    for change in changes:
        key, _, value = change.partition("=")
        if key != "data.size" or not value.isdigit():
            raise FitError(f"--set {change!r}: the setting of data is data.size, a whole number of pixels.")
        size = int(value)
    return size


def _free(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that holds no run."""
    i, free = 1, path
    while free.exists():
        i += 1
        free = path.with_name(f"{path.name}-{i}")
    return free
