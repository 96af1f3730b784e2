"""The gate against near copies of training records, and what it is measured on."""

from __future__ import annotations

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

    def note(self) -> str | None:
        if self.finder is None:
            return f"copies of training records were not looked for: {self.why}"
        if self.finder.blind:
            return "copies of training records cannot be told here: unseen real records are as like them, or they are too few"
        return None


def recall(finder: Finder, train: View, rng: np.random.Generator) -> dict[str, float]:
    """The share of training records that is found, by each way in which they are altered."""
    return {how: float(finder.copied(view).mean()) for how, view in PLANTED[type(train)](train, rng).items()}
