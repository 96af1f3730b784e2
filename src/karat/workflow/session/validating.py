"""How badly a model fits the validation part of its data, by which `train --keep-best` chooses weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from karat.assays.neighbours import components
from karat.assays.points.fidelity import kernel_distance
from karat.data import Data
from karat.families.generator import SAME, Learned

COMPONENTS = 32  # of the points, in which made and validation records are compared
LOOKED = 256  # records that are scored
MADE = 2  # times as many as there are validation records


@dataclass(frozen=True)
class Validation:
    """points [n, *space.shape] that are not learned from, of classes `labels` [n] where there are some."""

    points: Tensor
    labels: Tensor | None
    seed: int

    @classmethod
    def of(cls, data: Data, model: Learned, seed: int) -> Validation:
        """The whole of it, at most `LOOKED` records where those that belong together are many."""
        return cls(data.points("validation", LOOKED, seed, model.space), data.labels("validation", LOOKED, seed), seed)

    def passes(self, model: Learned) -> int:
        return len(self.points) * (MADE * model.passes if _game(model) else SAME)

    def score(self, model: Learned) -> float:
        """The mean loss of the records; of a game of several players, whose losses do not say how good it is, the kernel distance
        (https://arxiv.org/abs/1801.01401) of what is made from the records in their leading components.
        """
        if not _game(model):
            return float(model.losses(self.points, self.labels, self.seed).mean())
        real = self.points.flatten(1).float()
        n = MADE * len(real)
        y = None if self.labels is None or not model.conditional else self.labels.repeat(MADE).to(model.device)
        rng = torch.Generator(model.device).manual_seed(self.seed)
        made = model.sample(n, y, rng).cpu().flatten(1).float()
        seen = components(real, COMPONENTS)
        a, b = seen.of(real), seen.of(made)
        unit = a.square().mean().sqrt().clamp_min(1e-9)
        return kernel_distance(a / unit, b / unit)


def _game(model: Learned) -> bool:
    return len(model.players()) > 1
