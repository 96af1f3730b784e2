"""Which of two runs people like better: pairs of made things, blind, on sides that chance decides.

The interval of the share is Wilson's, ties half to each; whether it is more than chance, the exact sign test without ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from karat.content.showing import Things
from karat.output import digest
from karat.review.decisions import Decisions
from karat.review.drawing import Room, beside, drawn, page
from karat.review.screen import CTRL_D, Screen

FOOT = "1 or ← the left one   2 or → the right one   = neither   u undo   q quit"
CHOICES = {"1": "left", "left": "left", "2": "right", "right": "right", "=": "tie", "t": "tie"}


@dataclass(frozen=True)
class Counts:
    """How often the first was liked better, the second, and neither."""

    first: int = 0
    second: int = 0
    ties: int = 0

    @property
    def n(self) -> int:
        return self.first + self.second + self.ties

    @property
    def chance(self) -> float:
        """Of so uneven a count where both are liked equally: the exact sign test, two-sided."""
        n, k = self.first + self.second, min(self.first, self.second)
        return min(1.0, 2 * math.fsum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0

    def share(self) -> tuple[float, float, float]:
        """Of the first, ties half, with its interval."""
        from karat.assays.chance import wilson

        liked = self.first + self.ties / 2
        low, high = wilson(liked, self.n)  # type: ignore[arg-type]
        return liked / self.n, low, high


@dataclass
class Pairs:
    """A comparison under way.   names: of the two.   What the same reviewer decided before stands."""

    names: tuple[str, str]
    sides: tuple[Things, Things]
    decisions: Decisions
    n: int
    reviewer: str = ""
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        both = [side.mark for side in self.sides]
        self.pairs = digest(f"{self.names} {both} {self.n}".encode())[:16]
        rng = np.random.default_rng(int(self.pairs[:12], 16))
        orders = [rng.permutation(len(side))[: self.n] for side in self.sides]
        self.order = [
            (int(a), int(b), bool(turned)) for a, b, turned in zip(*orders, rng.random(self.n) < 0.5, strict=True)
        ]
        for record in self.decisions.records():
            if (record.get("pairs"), record.get("reviewer")) == (self.pairs, self.reviewer):
                self._take(str(record.get("liked")))
        self.done = self.done[: self.n]

    def _take(self, liked: str) -> None:
        if liked == "undo":
            self.done[-1:] = []
        else:
            self.done.append(liked)

    def shown(self) -> tuple[Any, Any]:
        """The left and the right thing of the pair that is looked at."""
        a, b, turned = self.order[len(self.done)]
        both = self.sides[0][a].show(), self.sides[1][b].show()
        return (both[1], both[0]) if turned else both

    def decide(self, side: str) -> None:
        """Writes down which side was liked better: left, right or tie; or undo."""
        if side in ("left", "right"):
            turned = self.order[len(self.done)][2]
            side = "first" if (side == "left") != turned else "second"
        self.decisions.put({"pairs": self.pairs, "reviewer": self.reviewer, "of": list(self.names), "liked": side})
        self._take(side)

    @property
    def counts(self) -> Counts:
        return Counts(*(self.done.count(word) for word in ("first", "second", "tie")))


def ask(pairs: Pairs, screen: Screen) -> None:
    """Asks until all pairs were looked at or the reviewer quits."""
    at = 0
    while len(pairs.done) < pairs.n:
        left, right = pairs.shown()
        half = Room(screen.room.columns // 2 - 2, screen.room.lines, screen.fine)
        one, two = (page(drawn(side, half), at, half.lines) for side in (left, right))
        lines = beside(one, two, half.columns + 4)
        screen.put(f"{len(pairs.done) + 1} of {pairs.n}: which is better?", lines, FOOT)
        key = screen.key()
        at = at + 1 if key == " " else 0
        if key in ("q", CTRL_D):
            return
        if key == "u" and pairs.done:
            pairs.decide("undo")
        elif key in CHOICES:
            pairs.decide(CHOICES[key])
