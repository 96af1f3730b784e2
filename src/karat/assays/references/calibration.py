"""The judge examined: every reference generator at every strength against all findings, over seeds.

What a finding says of a planted fault is one of three things. It speaks; or it cannot tell, at so few records; or it reads "ok",
which is an error where the fault is as large as one that it promises to see. Of real data that nobody has seen every word is a
false alarm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from karat.assays.chance import exact
from karat.assays.evaluation import evaluate
from karat.assays.finding import Finding, State
from karat.assays.points.embedded import Kept
from karat.assays.references import Drawn, Plant, draw, plants
from karat.errors import FitError
from karat.views import View

UNSEEN = "unseen"  # the judge's own unseen records in the place of made ones
FINE = ("oracle", UNSEEN)  # with which nothing is wrong


@dataclass(frozen=True)
class Sides:
    """Disjoint real records of one exam, all views of one kind.

    train, unseen: what the judge compares with.   source: what a reference generator may emit, and learned: the training
    records, both in the view that references make records from.   view: how the judge sees what a reference drew.
    again: the unseen ones as made ones are seen, where that is otherwise: with all that they refer to.
    fingerprint: of the training records.   target: a column that is predicted.
    """

    train: View
    unseen: View
    learned: View
    source: View
    view: Callable[[Drawn], View]
    again: View | None = None
    fingerprint: str = ""
    target: str | None = None


@dataclass(frozen=True)
class Exam:
    """What the judge found in `made` records of one plant, and the CPU seconds that it took."""

    plant: Plant
    seed: int
    made: int
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def raised(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.findings if f.raised)

    def state(self, name: str) -> State:
        """What the finding says; one that was not made, for want of records, cannot tell."""
        return next((f.state for f in self.findings if f.name == name), "cannot tell")

    @property
    def wrong(self) -> tuple[str, ...]:
        """The findings that accuse unseen real records, or read "ok" of a fault that they promise to see."""
        if self.plant.reference in FINE:
            return self.raised
        return tuple(f for f in self.plant.findings if self.plant.due and self.state(f) == "ok")

    @property
    def blind(self) -> tuple[str, ...]:
        """The findings that ought to speak and say that they cannot tell."""
        return tuple(f for f in self.plant.findings if self.state(f) == "cannot tell")


def calibrate(
    sides: Callable[[int], Sides],
    seeds: Iterable[int],
    made: int,
    names: Sequence[str] | None = None,
    graded: bool = True,
) -> Iterator[Exam]:
    """Exams of each plant for each seed, as they are done.

    sides: the real records of a seed.   made: records that each reference makes, or as many as there are.   names: the
    references; all of the view, and the judge's own unseen records, by default.
    graded: at each of their strengths, else at the usual one.   Raises FitError for a name that is none.
    """
    for seed in seeds:
        side, kept = sides(seed), Kept()
        listed = [*plants(side.train, side.target, graded), Plant(UNSEEN)]
        known = list(dict.fromkeys(p.reference for p in listed))
        for name in names or ():
            if name not in known:
                raise FitError(f"no reference {name!r} for these data; there are: {', '.join(known)}.")
        for plant in listed:
            if names and plant.reference not in names:
                continue
            start = time.process_time()
            records = side.unseen if side.again is None else side.again
            if plant.reference != UNSEEN:
                rng = np.random.default_rng([seed, 1])
                of = (plant.reference, side.learned, side.source, made, rng, side.target, plant.strength)
                records = side.view(draw(*of))
            found = evaluate(
                side.train,
                side.unseen,
                records,
                fingerprint=side.fingerprint,
                target=side.target,
                seed=seed,
                kept=kept,
            ).findings
            yield Exam(plant, seed, len(records), tuple(found), time.process_time() - start)


@dataclass(frozen=True)
class Tally:
    """What one finding said of one plant in all exams: in how many it spoke, could not tell, and read ok."""

    plant: Plant
    finding: str
    raised: int
    blind: int
    ok: int

    @property
    def n(self) -> int:
        return self.raised + self.blind + self.ok

    @property
    def interval(self) -> tuple[float, float]:
        return exact(self.raised, self.n)


def tally(exams: Sequence[Exam]) -> list[Tally]:
    """For each plant its own findings; where nothing is wrong all that spoke, and first "anything" for the whole report."""
    out = []
    for plant in dict.fromkeys(exam.plant for exam in exams):
        mine = [exam for exam in exams if exam.plant == plant]
        if plant.reference in FINE:
            any_raised = sum(bool(exam.raised) for exam in mine)
            out.append(Tally(plant, "anything", any_raised, 0, len(mine) - any_raised))
        names = dict.fromkeys(f for exam in mine for f in exam.raised) if plant.reference in FINE else plant.findings
        for name in names:
            states = [exam.state(name) for exam in mine]
            out.append(Tally(plant, name, *(states.count(s) for s in ("raised", "cannot tell", "ok"))))
    return out


def table(exams: Sequence[Exam]) -> str:
    """All tallies as a table in Markdown, a line each; bold are findings that must speak and those that must not."""
    lines = [
        "| reference | strength | finding | found | 95% interval | cannot tell | reads ok | also raised |",
        "|---|---|---|---|---|---|---|---|",
    ]
    before: Plant | None = None
    for t in tally(exams):
        first = t.plant != before
        before = t.plant
        low, high = t.interval
        name = f"**{t.finding}**" if t.plant.due else t.finding
        others = _others(exams, t.plant) if first else ""
        strength = t.plant.phrase if first else ""
        row = (t.plant.reference if first else "", strength, name, f"{t.raised}/{t.n}", f"{low:.2f} to {high:.2f}")
        lines.append(f"| {' | '.join(row)} | {t.blind or ''} | {t.ok or ''} | {others} |")
    return "\n".join(lines)


def _others(exams: Sequence[Exam], plant: Plant) -> str:
    """Which further findings spoke of a fault, and in how many exams; a fault raises its neighbours too."""
    if plant.reference in FINE:
        return ""
    spoken = [f for exam in exams if exam.plant == plant for f in exam.raised if f not in plant.findings]
    counted = sorted(((spoken.count(f), f) for f in dict.fromkeys(spoken)), key=lambda x: -x[0])
    return ", ".join(f"{name} {count}" for count, name in counted)
