"""Which weights a training ends with, where they are chosen among those of each tenth of its budget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

from karat.events import Event, Note, Progress
from karat.families.generator import Batches, Learned
from karat.space import Allowance
from karat.training.loop import Best, Plan, State, preview

SCORED = 0.02  # share of a budget in time that may go into scores, beside the last one
SETTLED = 0.45  # seconds of such a budget in which a copy is settled


class Scorer(Protocol):
    """What says how badly a model fits records that it does not learn from."""

    def passes(self, model: Learned) -> int:
        """How often a point passes the net for one score."""

    def score(self, model: Learned) -> float:
        """How badly the settled `model` fits; the same chance each time, so that scores compare."""


class Keeper:
    """Scores averaged, settled copies of a model, and keeps the best of their weights in `state`."""

    def __init__(self, scorer: Scorer | None, plan: Plan, state: State) -> None:
        self.scorer, self.plan, self.state = scorer, plan, state
        self.took: float | None = None  # seconds of the latest score

    def look(self, model: Learned, batch: Batches, p: Progress) -> None:
        """Scores the model as it is, unless that would take too long or a player is still to come, whose weights mean nothing.

        Once there is a score, the last weights of a training always have one.
        """
        state = self.state
        if self.scorer is None or not all(state.turns.values()):
            return
        if not (state.best is not None and p.fraction >= 1.0) and not self._affords(self.scorer.passes(model), p):
            return
        with state.spending("scoring", self.plan):
            began = self.plan.now()
            timed = self.plan.minutes is not None
            allowed = self.plan.within(SETTLED, preview=True) if timed else Allowance(preview=True)
            score = self.scorer.score(preview(model, batch, state, allowed))
            self.took = self.plan.now() - began
        if not math.isfinite(score):
            return
        if state.best is None or score <= state.best.score:
            averages = {name: [value.clone() for value in kept] for name, kept in state.averages.items()}
            state.best = Best(p.step, p.fraction, score, score, averages)
        state.best.last = score

    def _affords(self, passes: int, p: Progress) -> bool:
        """Whether a score more takes no larger share of the time so far than it may; by the pace of learning at first."""
        if self.plan.minutes is None:
            return True
        stepped = max(0.0, p.seconds - sum(self.state.spent.values()))
        guessed = passes * stepped / max(1, self.state.drawn * self.plan.batch) / 3  # a third: no gradient
        took = guessed if self.took is None else self.took
        return self.state.spent.get("scoring", 0.0) + took <= SCORED * p.seconds

    def said(self) -> Iterator[Event]:
        """Which weights were kept."""
        if self.scorer is None:
            return
        best = self.state.best
        if best is None:
            yield Note("kept the last weights: the budget left no time to score any (--keep-best)")
            return
        yield Note(f"kept the weights of {best.fraction:.0%} (validation {best.score:.4g}; the last: {best.last:.4g})")
