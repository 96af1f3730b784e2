"""A session as a person meets it: its events into the sinks, its books closed however it ends."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import safetensors.torch
import torch
from rich.console import Console

from karat import __version__, synthesizer
from karat import recipe as recipes
from karat.curation.kept import Kept
from karat.data import Data, batches
from karat.errors import DivergedError, KaratError
from karat.events import Event, Finished, Sink, Stopped
from karat.families.generator import Batches, Learned
from karat.output import digest
from karat.privacy import Budget as Spent
from karat.privacy import Target as Private
from karat.privacy import composed
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import TIME, Label
from karat.recipe import Recipe
from karat.request import Request
from karat.run import Run
from karat.synthesizer import Single, Synthesizer
from karat.synthesizer.single import FITTED_MOST
from karat.training import loop, pace, session
from karat.training.sharing import may_change, sharing
from karat.workflow import budgets, checkpoints, sinks
from karat.workflow.session.validating import Validation
from karat.workflow.stopping import Interrupted, signals


@dataclass(frozen=True)
class Product:
    """A synthesizer and the data it learns from, as a session sees them (see `karat.training.product`)."""

    synth: Synthesizer
    data: Data
    seed: int

    @property
    def suffix(self) -> str:
        return self.synth.codec.sheets

    def of(self, model: Learned) -> Product:
        return Product(Single(self.data.codec, model, self.data.classes), self.data, self.seed)

    def glimpse(self, n: int) -> Any:
        return self.synth.glimpse(n)

    def sheet(self, n: int) -> bytes:
        return self.synth.codec.sheet(self.synth.glimpse(n), 8)

    def checkpoint(self, state: loop.State) -> bytes:
        assert self.synth.gradient is not None
        return checkpoints.checkpoint(self.synth.gradient, state)

    def fit(self, seconds: float | None) -> Iterator[float]:
        return self.synth.fit(self.data, self.seed, seconds)

    def metrics(self) -> dict[str, float]:
        return self.synth.metrics()

    def finish(self) -> None:
        self.synth.widen(self.data, self.seed)

    def weights(self) -> bytes:
        """With a label that names no run and no time, so that the same training gives the same bytes."""
        blob = safetensors.torch.save(self.synth.weights())
        label = Label("karat", "weights", digest(blob)[:16], __version__)
        return CONTAINERS[".safetensors"].write(blob, label)


def _now() -> str:
    return datetime.now(UTC).strftime(TIME)


def follow(events: Generator[Event, None, None], taken: Sequence[Sink]) -> Event:
    """Hands every event to every sink in turn, and gives the last one."""
    last: Event | None = None
    with closing(events):
        for last in events:
            for take in taken:
                take(last)
    assert last is not None
    return last


def drive(
    run: Run, found: Data, synth: Synthesizer, where: torch.device, plan: loop.Plan, entry: Any, console: Console
) -> Run:
    """Trains or fits to the end of `plan` and closes the books of the run, however it ends."""
    model = synth.gradient
    run.update({"device": "cpu" if model is None else where.type})
    if model is None:
        return _fit(run, found, synth, plan, entry, console)
    try:
        _, state, done = learn(run, found, model.to(where), plan, console)
    except Interrupted:
        entry.status = "interrupted"
        run.update({"status": "interrupted"})
        raise
    except DivergedError:
        run.update({"status": "diverged"})
        raise
    except KaratError:
        run.update({"status": "failed"})
        raise
    _keep_for_gates(run, found)
    progress = {"step": done.step, "seconds": done.seconds, "trained_samples": done.samples, "spent": dict(done.spent)}
    kept = {} if state.best is None else {"kept": state.best.numbers()}
    run.update({"status": "trained", **progress, **kept, "ended": _now()})
    stepped = max(0.0, done.seconds - sum(done.spent.values()))
    console.print(
        f"trained: {done.step:,} steps, {done.samples:,} samples in {done.seconds:,.1f} s, {stepped:,.1f} s of them for steps"
        + (f"; noticed: {', '.join(n.name for n in done.notices)}" if done.notices else "")
    )
    _print_next(run, found, console)
    return run


def learn(
    run: Run, found: Data, model: Learned, plan: loop.Plan, console: Console
) -> tuple[loop.Plan, loop.State, Finished]:
    """The one loop, from how the run was left to its end; the plan as it was fitted to the machine.

    Raises Interrupted, with all saved, when asked to stop.
    """
    before = plan.before()
    began = plan.now() - before
    blob = run.load_checkpoint()
    fresh = loop.State()
    if before:
        fresh.spent["reading"] = before
    plan = replace(plan, batch=run.spec.get("batch") or plan.batch)
    with ExitStack() as stack:
        asked = stack.enter_context(signals())  # first: a run that says it trains is closed however early it is stopped
        look = stack.enter_context(sharing(may_change(plan, model.device)))
        with fresh.spending("probing", plan):
            most = torch.get_num_threads()
            look()
        if (threads := torch.get_num_threads()) < most:
            console.print(f"{threads} of {most} threads, since others keep this processor busy (--threads)")
        with fresh.spending("preparing", plan):
            batch = batches(found, plan.batch, plan.seed, model.device, model.space)
            tracking = [stack.enter_context(sinks.tracker(name, run, console)) for name in run.spec["track"]]
        plan, batch, why = _paced(run, model, batch, plan, fresh, began, console)
        if blob is None:
            state = replace(fresh, seconds=plan.now() - began)  # what came before the first step is part of the budget
            run.truncate("history.jsonl", -1.0)
        else:
            state = _continued(run, blob, model, plan, console)
        console.print(f"precision {plan.precision} ({why})")
        run.update({"status": "training"})
        history = run.lines("history.jsonl")
        reached = float(history[-1]["fraction"]) if history else 0.0
        bar = stack.enter_context(sinks.terminal(console, "training", reached))
        product = Product(Single(found.codec, model, found.classes), found, plan.seed)
        every = Recipe.from_dict(run.spec["recipe"]).train.save_seconds
        scorer = Validation.of(found, model, plan.seed) if len(found.validation) else None
        events = session.learn(model, batch, plan, state, product, history, every, lambda: bool(asked), scorer)
        last = follow(events, [sinks.folder(run), bar, *tracking, lambda _: look()])
        if isinstance(last, Stopped):
            how = f"(step {last.step:,}); all is saved. Continue with `karat train {run.path}`."
            raise Interrupted(f"stopped at {last.fraction:.0%} {how}", 128 + asked[0])
    assert isinstance(last, Finished)
    return plan, state, last


def _paced(
    run: Run, model: Learned, batch: Batches, plan: loop.Plan, fresh: loop.State, began: float, console: Console
) -> tuple[loop.Plan, Batches, str]:
    """The plan with the precision and the batch that this machine keeps up with, batches of that size, and why."""
    if (kept := run.spec["precision"]) is not None:
        return replace(plan, precision=kept), batch, "as the run began"
    recipe = Recipe.from_dict(run.spec["recipe"])
    measured = pace.measure(model, batch, plan, fresh, recipe.train.precision, recipes.fingerprint(recipe))
    asked = plan.batch
    plan, changed = pace.fit_batch(model, plan, measured, fresh, plan.now() - began)
    if changed:
        console.print(changed, soft_wrap=True)
    if plan.batch != asked:
        assert batch.sized is not None
        batch = batch.sized(plan.batch)
    run.update({"precision": measured.best, "batch": plan.batch})
    why = measured.why() if recipe.train.precision == "auto" else "as asked"
    return replace(plan, precision=measured.best), batch, why


def _continued(run: Run, blob: bytes, model: Learned, plan: loop.Plan, console: Console) -> loop.State:
    """The state that a checkpoint holds, its weights put into `model`; what came after it is forgotten."""
    state = checkpoints.restore(blob, model, plan.precision)
    if run.spec["status"] == "training":  # it was killed: nobody closed its books
        budgets.book_lost_time(run, state.seconds)
    state.settled = False
    run.truncate("history.jsonl", state.reached(plan, model, state.seconds) + 1e-9)
    console.print(f"continuing at step {state.step:,}, {state.seconds:,.0f} s in")
    return state


def _fit(run: Run, found: Data, synth: Synthesizer, plan: loop.Plan, entry: Any, console: Console) -> Run:
    with ExitStack() as stack:
        asked = stack.enter_context(signals())
        run.update({"status": "training", "precision": "fp64"})
        run.truncate("history.jsonl", -1.0)  # of a fit that was stopped nothing stays
        tracking = [stack.enter_context(sinks.tracker(name, run, console)) for name in run.spec["track"]]
        bar = stack.enter_context(sinks.terminal(console, "fitting", 0.0))
        product = Product(synth, found, plan.seed)
        events = session.fit(product, plan, len(found.train), FITTED_MOST, lambda: bool(asked))
        last = follow(events, [sinks.folder(run), bar, *tracking])
        if isinstance(last, Stopped):
            entry.status = "interrupted"
            run.update({"status": "interrupted"})
            how = f"a fit cannot be continued. Begin anew with `karat train {run.path}`."
            raise Interrupted(f"stopped at {last.fraction:.0%}; {how}", 128 + asked[0])
    assert isinstance(last, Finished)
    _keep_for_gates(run, found)
    rows = {} if run.spec["epsilon"] is not None else {"trained_samples": len(found.train)}  # which nobody paid for
    run.update({"status": "trained", "step": 0, "seconds": last.seconds, **rows, "ended": _now()})
    spent = synth.spent
    if spent is not None and found.budget is not None:
        _record_cost(run, found.budget, spent, console)
    console.print(f"fitted to {len(found.train):,} in {last.seconds:,.1f} s")
    _print_next(run, found, console)
    return run


def _keep_for_gates(run: Run, found: Data) -> None:
    def draw(n: int) -> Any:
        synth = synthesizer.load(run, torch.device("cpu"), found.codec)
        return synth.draw(Request(n, run.spec["seed"], independent=True)).records

    if (kept := Kept.of(found, run.spec["seed"], draw)) is not None:
        run.save_gates(kept.blob())


def _record_cost(run: Run, codec: Spent, family: Spent, console: Console) -> None:
    """What a fit has cost, and what it tells without noise, in the run and on the terminal."""
    settings = run.spec["recipe"]["model"]
    seed = run.spec["seed"] if settings.get("noise") == "seeded" else None
    asked = Private(run.spec["epsilon"], settings["delta"], seed, run.spec["options"].get("declared") is not True)
    epsilon, delta = composed([codec, family], asked.delta)
    run.put(
        "privacy.json",
        {
            "private": seed is None,
            "epsilon": epsilon,
            "delta": delta,
            "asked": asked.epsilon,
            "public": list(asked.public()),
            "codec": codec.to_dict(),
            "family": family.to_dict(),
        },
    )
    if seed is None:
        line = f"differentially private: epsilon {epsilon:.4g}, delta {delta:.2g}, one row added or taken away"
    else:
        line = f"NOT private: model.noise=seeded, and who learns the seed {seed} takes the noise away again. For tests only"
    console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print("public, without noise:", soft_wrap=True)
    for sentence in asked.public():
        console.print(f"  {sentence}", soft_wrap=True, markup=False, highlight=False)
    console.print(
        "what is not covered (the report, the hold-out, the choice among runs): docs/privacy.md", soft_wrap=True
    )


def _print_next(run: Run, found: Data, console: Console) -> None:
    wholes = found.codec.wholes
    out = f" --out made{wholes[0]}" if wholes else ""
    place = shlex.quote(str(run.path))
    console.print(f"run: {run.path}   next: karat assay {place}   karat make {place} -n 100{out}", soft_wrap=True)
