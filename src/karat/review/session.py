"""One reviewer's way through a review, apart from what shows it: a terminal, a page and a test all drive this."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from karat.content.showing import Passage, Row, Shown, Sound, Thing, Things, scrambled
from karat.errors import DataError
from karat.output import digest
from karat.review.decisions import Decision, Decisions, standing
from karat.review.plan import Look, queue
from karat.terminal import shown as harmless

IDLE = 120.0  # seconds of one look that count at most: who takes longer is at something else
SEEING = 0.3  # seconds below which nobody sees what is shown, decides and presses a key
READING = 200.0  # characters in a second, of who skims
HEARING = 0.5  # of a sound's length


@dataclass
class Session:
    """A review under way.   reals: real records, to be shown among the made ones.   model: of the run that made the things.

    plan, n: how many are looked at, as `plan.wanted` says.   reviewer: a name, "" for none.   clock: seconds.
    What was decided before of the same things by the same reviewer stands, and the review goes on behind it.
    """

    things: Things
    decisions: Decisions
    plan: str
    n: int
    reviewer: str = ""
    reals: Sequence[Shown] = ()
    model: str = ""
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        names = self.things.mark
        self.review = digest(f"{names} {self.n} {len(self.reals)} {self.model}".encode())[:16]
        self.seed = int(names[:12], 16)
        self.looks = queue(len(self.things), self.n, len(self.reals), self.reviewer, self.seed)
        self.done: list[Decision] = []
        self.presses: set[str] = set()  # of keys, whose decisions are written down
        self.read_again()
        self._since: float | None = None

    def read_again(self) -> None:
        """Takes up what was decided elsewhere meanwhile: in another window, or in a terminal."""
        mine = [d for d in self.decisions.all() if (d.review, d.reviewer) == (self.review, self.reviewer)]
        self.done = standing(mine)[: len(self.looks)]
        self.presses = {d.press for d in mine if d.press}

    @property
    def look(self) -> Look | None:
        """What is to be looked at now; None when all was."""
        return self.looks[len(self.done)] if len(self.done) < len(self.looks) else None

    @property
    def thing(self) -> Thing | None:
        """The made thing that is looked at; None where it is a real or a scrambled one."""
        look = self.look
        return self.things[look.at] if look is not None and look.role in ("made", "again") else None

    def show(self) -> Shown:
        """What is to be looked at now. The clock runs from here on."""
        look = self.look
        assert look is not None
        shown = self.shown(look)
        self._since = self.clock()
        return shown

    def shown(self, look: Look) -> Shown:
        """What is looked at then, whenever that is."""
        if look.role == "real":
            return self.reals[look.at]
        try:
            found = self.things[look.at].show()
        except DataError as error:  # a damaged file is for the reviewer to reject
            return Passage(str(error))
        if look.role != "scrambled":
            return found
        return scrambled(found, np.random.default_rng([self.seed, look.at]))

    def decide(
        self,
        verdict: str,
        reason: str = "",
        mended: str = "",
        mending: float = 0.0,
        seconds: float | None = None,
        press: str = "",
    ) -> Decision:
        """Writes down what is said of the thing that is looked at, which is then the next one.

        seconds: of looking, where what shows the things measured them; else those since `show`.   press: see `Decision`.
        """
        look = self.look
        assert look is not None and verdict in ("accept", "reject", "edit")
        if seconds is None:
            seconds = 0.0 if self._since is None else self.clock() - self._since
        taken = max(0.0, seconds - mending)
        thing = self.thing
        decision = Decision(
            verdict,
            self.reviewer,
            self.review,
            look.role,
            "" if thing is None else harmless(thing.name),
            "" if thing is None else thing.mark(),
            reason,
            round(min(taken, IDLE), 3),
            taken > IDLE,
            round(least_seconds(self.shown(look)), 3),
            self.model,
            mended,
            round(mending, 3),
            press=press,
        )
        self.decisions.add(decision)
        self.done.append(decision)
        self.presses |= {press} - {""}
        self._since = None
        return decision

    def undo(self, press: str = "") -> bool:
        """Takes the decision before back; False where there is none."""
        if not self.done:
            return False
        last = self.done[-1]
        self.decisions.add(Decision("undo", self.reviewer, self.review, name=last.name, mark=last.mark, press=press))
        self.done.pop()
        self.presses |= {press} - {""}
        self._since = None
        return True


def least_seconds(shown: Shown) -> float:
    """Seconds below which nobody can have looked: read, or heard, and pressed a key."""
    match shown:
        case Passage(text):
            return SEEING + len(text) / READING
        case Sound(wave, rate):
            return SEEING + HEARING * len(wave) / rate
        case Row(cells):
            return SEEING + sum(len(value or "") for _, value in cells) / READING
    return SEEING
