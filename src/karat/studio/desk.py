"""Reviews under way. What was decided stands in the run's file alone: whatever this keeps can be lost at any moment."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karat.content.showing import Passage, Row, Shown, things
from karat.errors import FitError, RunError
from karat.options import ReviewOptions
from karat.output import to_json
from karat.review.decisions import REASONS
from karat.review.plan import wanted
from karat.run import Run
from karat.workflow.people import reviewing
from karat.workflow.people.reviewing import Looked, Review, made_in
from karat.worth.ledger import Ledger
from karat.worth.prices import find

KEPT = 8  # reviews whose things stay at hand
LONGEST = 200_000  # characters of a text that comes back mended
VERDICTS = ("accept", "reject", "edit", "undo")


@dataclass(frozen=True)
class Press:
    """What a press of a key says.   press: an id of its own, by which it counts once however often it is sent.

    position: of the look that it is about, from 0; of an undo, of the one after.   text: of a passage or cells (by name) that
    were mended.   seconds, mending: of looking, mending among them, and of mending.
    """

    press: str
    verdict: str
    position: int
    reason: str = ""
    seconds: float = 0.0
    mending: float = 0.0
    text: str | dict[str, str | None] | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS or not 0 < len(self.press) <= 64:
            raise FitError(
                f"{self.verdict!r}, press {self.press[:64]!r}: wanted {', '.join(VERDICTS)}, and an id of the press."
            )
        if self.reason not in ("", *REASONS.values()):
            raise FitError(f"{self.reason[:80]!r} is no reason; there are: {', '.join(REASONS.values())}.")
        if not all(0 <= x < 1e9 for x in (self.seconds, self.mending)):
            raise FitError("seconds of looking and mending were wanted, at least 0.")


def press_of(sent: Any) -> Press:
    """A press as a page sends it; FitError for what none sends."""
    fields = {f.name for f in dataclasses.fields(Press)}
    if not isinstance(sent, dict) or not {"press", "verdict", "position"} <= set(sent) <= fields:
        raise FitError(f"a press with some of {', '.join(sorted(fields))} was wanted.")
    texts = all(isinstance(sent.get(name, ""), str) for name in ("press", "verdict", "reason"))
    numbers = all(type(sent.get(name, 0)) in (int, float) for name in ("seconds", "mending"))
    text = sent.get("text")
    cells = isinstance(text, dict) and all(isinstance(cell, str | None) for cell in text.values())
    if not texts or not numbers or type(sent["position"]) is not int or not (cells or isinstance(text, str | None)):
        raise FitError("the press holds other types than a page sends.")
    return Press(**sent)


class Desk:
    """One reviewer's way through what lies at one place."""

    def __init__(self, looked: Looked, options: ReviewOptions) -> None:
        self.looked = looked
        self.session, _ = reviewing.session_of(looked, options)
        self.few = options.plan != "all" and self.session.n < wanted(self.session.plan, reviewing.ANY)
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        return len(self.session.looks)

    def position(self) -> int:
        """How far the review is, whoever brought it there."""
        with self._lock:
            self.session.read_again()
            return len(self.session.done)

    def shown(self, position: int) -> Shown:
        """What is looked at there; FitError where nothing is."""
        if not 0 <= position < self.total:
            raise FitError(f"look {position}: there are {self.total}.")
        return self.session.shown(self.session.looks[position])

    def enter(self, presses: Sequence[Press]) -> list[str]:
        """Writes down what is new; ids of the presses that are not: their look was decided otherwise meanwhile."""
        refused = []
        with self._lock:
            session = self.session
            session.read_again()
            left = session.look is not None
            for one in presses:
                if one.press in session.presses:
                    continue
                try:
                    entered = one.position == len(session.done) and self._entered(one)
                except FitError:  # what came back mended is no such thing
                    entered = False
                if not entered:
                    refused.append(one.press)
            if left and session.look is None:
                self._conclude()
        return refused

    def mend(self, press: Press, name: str, blob: bytes) -> bool:
        """Enters an edit whose file was sent; False where the look was decided otherwise meanwhile."""
        with self._lock:
            session = self.session
            session.read_again()
            if press.press in session.presses:
                return True
            if press.position != len(session.done) or session.look is None:
                return False
            suffix = Path(name).suffix.lower()
            own = session.thing
            if own is not None and suffix != Path(own.name).suffix.lower():
                raise FitError(
                    f"{name[-80:]!r} came back for {own.name!r}; a file ending in {Path(own.name).suffix} was wanted."
                )
            self._edit(press, blob)
            if session.look is None:
                self._conclude()
        return True

    def _entered(self, one: Press) -> bool:
        session = self.session
        if one.verdict == "undo":
            return session.undo(one.press)
        if session.look is None:
            return False
        if one.verdict == "edit":
            self._edit(one, self._mended(one))
        else:
            session.decide(one.verdict, one.reason, seconds=one.seconds, press=one.press)
        return True

    def _edit(self, one: Press, blob: bytes) -> None:
        thing, kept = self.session.thing, ""
        if thing is not None:
            kept = reviewing.mended(self.looked, self._named(one, Path(thing.name).name.replace(":", "-")), blob)
        self.session.decide("edit", mended=kept, mending=one.mending, seconds=one.seconds, press=one.press)

    @staticmethod
    def _named(one: Press, name: str) -> str:
        """As a terminal names what comes back: a passage is a text, a row is JSON, any other file stays what it was."""
        return (
            f"{Path(name).stem}.txt" if isinstance(one.text, str) else f"{name}.json" if one.text is not None else name
        )

    def _mended(self, one: Press) -> bytes:
        """The text or the cells that came back; FitError where they are of another kind than what was shown."""
        shown = self.shown(one.position)
        if isinstance(shown, Passage) and isinstance(one.text, str) and len(one.text) <= LONGEST:
            return f"{one.text}\n".encode("utf-8", "replace")
        if isinstance(shown, Row) and isinstance(one.text, dict) and set(one.text) == {name for name, _ in shown.cells}:
            return to_json(one.text)
        raise FitError("what came back is no such text or row as was shown; accept or reject it.")

    def _conclude(self) -> None:
        """Enters in the run's ledger what came of it."""
        if (run := self.looked.run) is not None:
            with Ledger(run.path / "ledger.jsonl", find(None, [run.path])).entry("review") as entry:
                entry.note = reviewing.note_of(self.outcome())

    def outcome(self) -> Review:
        return reviewing.concluded(self.looked, self.session)


class Desks:
    """The desks that were used last, by what they are about."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Desk] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, run: Run, place: str, reviewer: str, plan: str) -> Desk:
        """The desk for what `run` made at `place`, a name in its folder; RunError where it made nothing there."""
        path = next((path for path in made_in(run) if path.name == place), None)
        if path is None:
            raise RunError(f"{run.path.name} has made nothing that is called {place[:80]!r}.")
        about = (run.path, run.spec.get("models"), path.stat().st_mtime_ns, place, reviewer, plan)
        key = tuple(map(str, about))
        with self._lock:
            if key not in self._kept:
                options = ReviewOptions(path, plan=plan, reviewer=reviewer)
                self._kept[key] = Desk(Looked(path, things(path), run), options)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]
