"""Two runs, or folders of made things, side by side before people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from karat.errors import FitError
from karat.options import ReviewOptions
from karat.review.decisions import Decisions
from karat.review.plan import wanted
from karat.review.preference import Counts, Pairs, ask
from karat.review.screen import screen
from karat.workflow.people.reviewing import PLAN, Looked

FILE = "review/preferences.jsonl"
SURE = 0.05


@dataclass(frozen=True)
class Preferred:
    """What people liked better, so far."""

    names: tuple[str, str]
    counts: Counts
    left: int
    report: Path | None = None

    def __str__(self) -> str:
        if not self.counts.n:
            return "no pair was looked at."
        share, low, high = self.counts.share()
        first, second = self.names
        better = "neither is liked better than chance explains"
        if self.counts.chance < SURE:
            better = f"{first if self.counts.first > self.counts.second else second} is liked better"
        rest = f" {self.left:,} pairs are left: the same command goes on with them." if self.left else ""
        return (
            f"{first} was liked better {self.counts.first:,} times, {second} {self.counts.second:,}, neither "
            f"{self.counts.ties:,}: {first} in {share:.0%} of pairs (95% interval {low:.0%} to {high:.0%}, ties half); {better} "
            f"(sign test, p = {self.counts.chance:.2g}).{rest}"
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "report": None, "chance": self.counts.chance}


def compare(one: Looked, two: Looked, options: ReviewOptions) -> Preferred:
    """Asks a reviewer; FitError where the two are one, or not of one kind."""
    if one.place.resolve() == two.place.resolve():
        raise FitError(f"{one.place} was named twice; name two runs, or two folders, of which one may be better.")
    kinds = [type(each.things[0].show()).__name__.lower() for each in (one, two)]
    if kinds[0] != kinds[1]:
        raise FitError(f"{one.place} holds {kinds[0]} and {two.place} {kinds[1]}; compare like with like.")
    most = min(len(one.things), len(two.things))
    n = min(most, wanted(options.plan or PLAN, most) if options.n is None else options.n)
    first, second = ((each.place if each.run is None else each.run.path).name for each in (one, two))
    home = one.place.with_name(f"{one.place.name}.preferences.jsonl") if one.run is None else one.run.path / FILE
    pairs = Pairs((first, second), (one.things, two.things), Decisions(home), n, options.reviewer)
    with screen() as shown:
        ask(pairs, shown)
    return Preferred((first, second), pairs.counts, n - len(pairs.done))
