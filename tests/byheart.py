"""A model that makes its training points again, as a net does that learned from few of them for too long."""

from __future__ import annotations

import torch
from torch import Tensor

from karat import data
from karat.families.generator import Generator
from karat.space import Codes, Fields


class ByHeart(Generator):
    """Draws of the points that are learned from, each by itself."""

    spaces = (Codes, Fields)

    def __init__(self, found: data.Data, kind: type) -> None:
        super().__init__()
        self.space = next(space for space in found.codec.spaces if isinstance(space, kind))
        self.points = found.points("train", space=self.space)

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.points[torch.randint(len(self.points), (n,), generator=rng)]

    def impute(self, given: Tensor, rng: torch.Generator) -> Tensor:
        return torch.where(given < 0, self.sample(len(given), None, rng), given)

    @property
    def imputes(self) -> bool:
        return True
