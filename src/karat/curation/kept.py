"""What a run keeps for its gates: no record of the data, but what tells copies of them, and how often they equal each other.

Whoever has the run and a record can tell whether it was learned from. Of a private run nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch

from karat.content.codec import Block
from karat.curation.copies import Finder
from karat.curation.copies.passages import Passages
from karat.curation.copies.rows import Rows
from karat.curation.gate import Candidates
from karat.curation.repeats import chance, digests
from karat.data import Data
from karat.errors import RunError
from karat.run import safe_header
from karat.views import TableView, TextView

LOOKED = 1_000_000  # training records whose equals are counted
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
    def of(cls, data: Data, seed: int) -> Kept | None:
        """None for private data, and for related tables, which no gate looks at."""
        if data.budget is not None or not data.codec.gated:
            return None
        some = Candidates(data.codec, Block(data.records("train", LOOKED, seed), None))
        view = data.view("train")
        finder = FINDERS[type(view)].fit(view, seed) if type(view) in FINDERS else None
        return cls(finder, chance(digests(data.codec, some)))

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
            raise RunError("what a run keeps for its gates is damaged. Train it again.")
        for kind in FINDERS.values():
            name = f"{kind.__name__.lower()}."
            if own := {key.removeprefix(name): array for key, array in arrays.items() if key.startswith(name)}:
                return cls(kind.restore(own), float(arrays[CHANCE][0]))
        return cls(None, float(arrays[CHANCE][0]))
