"""What a run keeps for its gates: no record of the data, but what tells copies of them, and how often they equal each other.

Whoever has the run and a record can tell whether it was learned from. Of a private run nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch

from karat.curation.copies import Finder
from karat.curation.copies.passages import Passages
from karat.curation.copies.rows import Rows
from karat.curation.repeats import chance, pairs
from karat.data import Data
from karat.errors import RunError
from karat.run import safe_header
from karat.views import TableView, TextView, View, row_digests

LOOKED = 1_000_000  # training records that are looked at
DRAWN = 2000  # rows of the generator that show whether the cells leave it a choice
CHANCE = "chance"
FINDERS: Mapping[type, Any] = {
    TableView: Rows,
    TextView: Passages,
}  # of pictures and sounds nothing less than the records will do


@dataclass(frozen=True)
class Kept:
    """finder: what tells copies, where that can be kept.   chance: that two training records are equal, at most."""

    finder: Finder | None
    chance: float

    @classmethod
    def of(cls, data: Data, seed: int, draw: Callable[[int], Any]) -> Kept | None:
        """None for private data, and for related tables, which no gate looks at.   draw: so many records of the generator."""
        if data.budget is not None or not data.codec.gated:
            return None
        kind = type(data.codec.view(data.contents.records, data.train[:1]))
        if (
            kind not in FINDERS
        ):  # pictures may be more than memory holds, and equal ones were dropped when they were read
            return cls(None, pairs(data.duplicates, len(data.train)))
        view: Any = data.view("train", LOOKED, seed)
        finder = FINDERS[kind].fit(view, seed)
        if hasattr(finder, "settle"):
            return cls(finder, max(_settled(finder, data, view, seed, draw), chance(row_digests(view.values))))
        return cls(finder, pairs(data.duplicates, len(view)))

    def blob(self) -> bytes:
        """A safetensors file."""
        arrays = {} if self.finder is None else self.finder.arrays()  # type: ignore[attr-defined]
        name = type(self.finder).__name__.lower()
        tensors = {f"{name}.{key}": torch.from_numpy(np.ascontiguousarray(array)) for key, array in arrays.items()}
        return safetensors.torch.save({**tensors, CHANCE: torch.tensor([self.chance], dtype=torch.float64)})

    @classmethod
    def restore(cls, blob: bytes) -> Kept:
        """What gave `blob`; RunError where it cannot be any."""
        safe_header(blob)
        arrays = {key: tensor.numpy() for key, tensor in safetensors.torch.load(blob).items()}
        if CHANCE not in arrays or arrays[CHANCE].shape != (1,):
            raise RunError(
                "what a run keeps for its gates has another form than this version gives it. Train it again."
            )
        for kind in FINDERS.values():
            name = f"{kind.__name__.lower()}."
            if own := {key.removeprefix(name): array for key, array in arrays.items() if key.startswith(name)}:
                return cls(kind.restore(own), float(arrays[CHANCE][0]))
        return cls(None, float(arrays[CHANCE][0]))


def _settled(finder: Any, data: Data, train: View, seed: int, draw: Callable[[int], Any]) -> float:
    """Lifts bars of the finder where the cells leave no choice, and tells how likely a draw equals an unseen row."""
    unseen = data.view("holdout", LOOKED, seed)
    if finder.blind or not len(unseen):
        return 0.0
    return float(finder.settle(data.codec.view(draw(min(DRAWN, len(data.train)))), train, unseen))
