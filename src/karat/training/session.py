"""A training or a fit as a stream of events, from how it was left to the end of its plan.

What is done about an event is left to whoever reads it. Reading takes time, which counts as what the event is of: writing a
checkpoint as saving, writing a picture as a preview.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from karat.errors import DivergedError
from karat.events import Checkpoint, Event, Finished, Note, Notice, Picture, Progress, Record, Stopped, Weights
from karat.families.generator import Batches, Learned
from karat.training import diagnostics
from karat.training.divergence import REMEDY
from karat.training.keeping import Keeper, Scorer
from karat.training.loop import Plan, State, train
from karat.training.previews import Previews
from karat.training.product import Product

RECORDED = 0.005  # of the budget between two rows of the history
SAVED = 0.01  # share of the time that goes into checkpoints, where they take long


def learn(
    model: Learned,
    batch: Batches,
    plan: Plan,
    state: State,
    product: Product,
    history: Sequence[Mapping[str, float]],
    save_seconds: float,
    stop: Callable[[], bool],
    scorer: Scorer | None = None,
) -> Generator[Event, None, None]:
    """Trains `model` to the end of `plan`; `model` and `state` are changed in place.

    history: the rows of the part that is behind.   save_seconds: between two checkpoints, at least.   stop: asked after every
    round; once it is true, a checkpoint and Stopped are the last events.   scorer: chooses among the weights of each tenth; without
    it the last are kept. Raises what the loop raises, and DivergedError where
    a checkpoint would hold weights that have grown beyond measure.
    """
    watcher, previews = _Watcher(model, state, history), Previews(product, plan, state)
    saving = _Saving(product, plan, state, save_seconds)
    keeper = Keeper(scorer, plan, state)
    tenth = passed(state.reached(plan, model, state.seconds))
    with _no_denormals():
        for p in train(model, batch, plan, state):
            yield from watcher.after(p)
            yield p
            if passed(p.fraction) > tenth and p.fraction < 1.0:
                tenth = passed(p.fraction)
                yield from previews.preview(model, batch, 10 * tenth, p)
                keeper.look(model, batch, p)
            elif p.fraction >= 1.0:
                keeper.look(model, batch, p)
            asked = stop()
            if asked or saving.due() or p.fraction >= 1.0:
                if wrong := state.diverged(model):  # what is saved is sound
                    raise DivergedError(f"{wrong}. {REMEDY}")
                yield from saving.save(previews.closing)
            if asked:
                yield Stopped(p.step, p.fraction)
                return
    yield from keeper.said()
    ended = plan.now()
    with state.spending("settling", plan):
        product.finish()
    with state.spending("saving", plan):
        yield Weights(product.weights())
    yield from previews.last()
    state.seconds += plan.now() - ended
    notices = tuple(watcher.notices.values())
    yield Finished(state.step, state.drawn * plan.batch, state.seconds, dict(state.spent), notices)


def fit(product: Product, plan: Plan, rows: int, most: int, stop: Callable[[], bool]) -> Generator[Event, None, None]:
    """Fits what learns without gradients to `rows` rows, of which it is handed at most `most`; Stopped ends it without a
    model, since a fit cannot be continued. Its parts count as steps: of each that is due there is a row of the history, with
    what the model shows of itself in place of losses.
    """
    began, step, due = plan.now(), 0, 0.0
    if rows > most:
        yield Note(f"fitting to {most:,} of {rows:,} rows, drawn at random")
    for fraction in product.fit(None if plan.minutes is None else 60 * plan.minutes):
        step, seconds, metrics = step + 1, plan.now() - began, product.metrics()
        if fraction >= min(due, 1.0):
            due = fraction + RECORDED
            yield Record(step, {"fraction": fraction, "step": step, "seconds": seconds, **metrics})
        yield Progress(step, fraction, seconds, 0, metrics)
        if stop():
            yield Stopped(step, fraction)
            return
    product.finish()
    seconds = plan.now() - began
    yield Weights(product.weights())
    yield Picture(100, step, product.suffix, product.sheet(Previews.MOST))
    yield Finished(step, 0, seconds)


def passed(fraction: float) -> int:
    """Tenths of a budget that are behind, 9 at most."""
    return min(9, int(fraction * 10 + 1e-9))


class _Watcher:
    """Keeps the history, and looks at it for what goes wrong."""

    def __init__(self, model: Learned, state: State, history: Sequence[Mapping[str, float]]) -> None:
        self.model, self.state, self.history = model, state, [dict(row) for row in history]
        self.notices: dict[str, Notice] = {}
        self.reached = self.next = float(history[-1]["fraction"]) if history else 0.0

    def after(self, p: Progress) -> Iterator[Event]:
        """A row where one is due, and each kind of notice when it is first seen."""
        if p.fraction < min(self.next, 1.0):
            return
        self.history.append(record(p, self.model, self.state))
        self.next = p.fraction + RECORDED
        yield Record(p.step, self.history[-1])
        for notice in diagnostics.watch(self.history):
            if notice.name not in self.notices:
                yield notice
            self.notices[notice.name] = notice


class _Saving:
    """Says when a checkpoint is due, and makes it."""

    def __init__(self, product: Product, plan: Plan, state: State, every: float) -> None:
        self.product, self.plan, self.state, self.every = product, plan, state, every
        self.saved = time.monotonic()
        self.rested, self.took = plan.now(), 0.0  # by the budget's clock: since the last one, and what that took

    def due(self) -> bool:
        waited = time.monotonic() - self.saved > self.every
        return waited and SAVED * (self.plan.now() - self.rested) >= self.took

    def save(self, closing: float) -> Iterator[Event]:
        """closing: seconds that the last picture will take."""
        began = self.plan.now()
        with self.state.spending("saving", self.plan):
            yield Checkpoint(self.state.step, self.product.checkpoint(self.state))
        self.saved, self.rested = time.monotonic(), self.plan.now()
        self.took = self.rested - began
        self.state.closing = max(self.state.closing, self.took + closing)


def record(p: Progress, model: Learned, state: State) -> dict[str, float]:
    """A row of the history: how far the training is, what the players saw, and the norm of each one's last gradient."""
    row: dict[str, float] = {
        "fraction": p.fraction,
        "step": p.step,
        "seconds": p.seconds,
        "samples": p.samples,
        "skipped": state.skipped,
    }
    row |= {k: float(v) for k, v in p.metrics.items()}
    for name, player in model.players().items():
        slopes = [g for q in player.module.parameters() if (g := q.grad) is not None]
        if slopes:
            row[f"slope/{name}"] = float(torch.nn.utils.get_total_norm(slopes))
    return row


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Numbers too small to be normal count as zero, which spares the CPU its slow path; the caller's setting comes back."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
