"""The gate against near copies of training records, and what it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from karat.curation.copies import planting
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.views import Points, TableView, TextView, View

NEAR = "nearly equal to a training record"
PLANTED: dict[type, Any] = {TableView: planting.rows, TextView: planting.passages, Points: planting.points}


class Finder(Protocol):
    """What tells copies of the records that it was fitted to."""

    def copied(self, made: Any) -> np.ndarray: ...

    @property
    def blind(self) -> bool: ...


class Copies(Gate):
    name = "copies"

    def __init__(self, finder: Finder | None, why: str = "") -> None:
        """finder: None where there is nothing to compare with, and `why`."""
        self.finder, self.why = finder, why

    def reasons(self, some: Candidates) -> Reasons:
        if self.finder is None or self.finder.blind:
            return flagged(np.zeros(len(some), bool), NEAR)
        return flagged(self.finder.copied(some.view), NEAR)

    def foreseen(self, some: Sequence[Candidates]) -> list[Gate]:
        """For each set of candidates a gate that is asked for it first, all of which are looked at together."""
        if self.finder is None or self.finder.blind:
            return [self for _ in some]
        return [_Foreseen(self, flagged(each, NEAR)) for each in _copied(self.finder, [one.view for one in some])]

    def note(self) -> str | None:
        if self.finder is None:
            return f"copies of training records were not looked for: {self.why}"
        if self.finder.blind:
            return "copies of training records cannot be told here: unseen real records are as like them, or they are too few"
        if missed := getattr(self.finder, "missed", ""):
            return f"of training records that were altered on trial the gate against copies finds {missed}"
        return None


class _Foreseen(Gate):
    """Knows what it says of the candidates that it is asked for first."""

    name = Copies.name

    def __init__(self, copies: Copies, first: Reasons) -> None:
        self._copies, self._first = copies, first

    def reasons(self, some: Candidates) -> Reasons:
        first, self._first = self._first, self._first[:0]
        return first if len(first) == len(some) else self._copies.reasons(some)

    def note(self) -> str | None:
        return self._copies.note()


def _copied(finder: Finder, views: Sequence[View]) -> list[np.ndarray]:
    found: list[np.ndarray] = finder.each(views) if hasattr(finder, "each") else [finder.copied(view) for view in views]
    return found


def recall(finder: Finder, train: View, rng: np.random.Generator) -> dict[str, float]:
    """The share of training records that is found, by each way in which they are altered."""
    return {how: float(finder.copied(view).mean()) for how, view in PLANTED[type(train)](train, rng).items()}
