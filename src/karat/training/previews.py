"""Pictures of how far a training has come, which take no more than a small share of its time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from karat.events import Event, Picture, Progress
from karat.families.generator import Batches, Learned
from karat.training.loop import CLOSING, Plan, State, preview
from karat.training.product import Product

SHEETS = (64, 16, 4, 1)  # records on a picture: the most that are affordable
PICTURED = 0.02  # share of the time so far that may have gone into pictures


class Previews:
    """What a picture costs is predicted from those before, and at first from two records alone; so many are made as are
    affordable.
    """

    MOST = SHEETS[0]

    def __init__(self, product: Product, plan: Plan, state: State) -> None:
        self.product, self.plan, self.state = product, plan, state
        self.settled = self.each = 0.0  # seconds that settling a copy takes, and then a record
        self.tried = False  # before that, what a record takes is guessed from what learning from one takes

    @property
    def closing(self) -> float:
        """Seconds that the last sheet takes."""
        return self.each * self._most(self._kept)

    @property
    def _kept(self) -> float:
        return math.inf if self.plan.minutes is None else CLOSING * 60 * self.plan.minutes / 2

    def _most(self, seconds: float) -> int:
        """Records on a sheet that takes no longer; 0 where not even the smallest does."""
        return next((n for n in SHEETS if self.each * n <= seconds), 0)

    def preview(self, model: Learned, batch: Batches, percent: int, p: Progress) -> Iterator[Event]:
        """A sheet by a settled copy of `model`; none where that would take too long."""
        timed = self.plan.minutes is not None
        room = PICTURED * p.seconds - self.state.spent.get("previews", 0.0) if timed else math.inf
        if not self.tried:
            stepped = max(0.0, p.seconds - sum(self.state.spent.values()))
            self.each = model.passes * stepped / max(1, self.state.drawn * self.plan.batch) / 3  # a third: no gradient
        if room <= 0 or self.settled > room or not self._most(room - self.settled):
            return
        with self.state.spending("previews", self.plan):
            began = self.plan.now()
            allowed = min(0.45, room / 2) if timed else 0.3
            copied = self.product.of(preview(model, batch, self.state, self.plan.within(allowed, preview=True)))
            if not self.tried:
                self.settled, middle = self.plan.now() - began, self.plan.now()
                copied.glimpse(1)
                self.each, self.tried = self.plan.now() - middle, True
            self.settled, middle = self.plan.now() - began, self.plan.now()
            if n := self._most(room - self.settled):
                yield Picture(percent, p.step, self.product.suffix, copied.sheet(n))
                self.each = (self.plan.now() - middle) / n

    def last(self) -> Iterator[Event]:
        """The sheet by the finished model, as large as what was kept of the budget for it allows; none of a single record
        that would take far longer.
        """
        if self.each > 4 * self._kept:
            return
        n = max(SHEETS[-1], self._most(self._kept))
        with self.state.spending("previews", self.plan):
            yield Picture(100, self.state.step, self.product.suffix, self.product.sheet(n))
