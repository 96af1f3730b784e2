"""Whether made pictures or sounds are training records, as they are or moved, turned, brighter, at another speed or with noise.

By the search of the assay (`assays.points.memory`), and by one of its own for small steps, which that one's poses miss.
Neither can be done from anything less than the training records, so these must be at hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from karat.assays.neighbours import components, distances
from karat.assays.points.memory import CROWD, searcher
from karat.curation.copies.bars import REJECTED, bar_of
from karat.views import Points

COMPARED = 600  # training records that are compared with the others, to set the bars
COMPONENTS = 64
AT_ONCE = 250
NEAR = 0.01  # of a bar: far more than rounding moves a score
VERSION = 2  # of everything below that changes a score


class Searched:
    """What tells copies of the points that it was fitted to.   bars: of both scores, where they are known from before."""

    def __init__(self, train: Points, seed: int, bars: list[float] | None = None) -> None:
        self.aligned = searcher(train.points, train.axes)
        flat = _level(train.points)
        self.basis = components(flat, COMPONENTS)
        self.base = torch.cat([self.basis.of(part) for part in flat.split(5000)])
        self.steps = list(itertools.product((-1, 0, 1), repeat=2)) if train.points.ndim == 4 else [(0,)]
        if bars is None:
            own = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:COMPARED]
            innocent = self._scores(train.points[own], own)
            bars = [bar_of(-each, REJECTED / len(innocent)) for each in innocent]
        self.bars = bars

    def copied(self, made: Points) -> np.ndarray:
        """bool [n]."""
        scores = np.stack(self._scores(made.points))
        bars = -np.array(self.bars)[:, None]
        # how a score is rounded hangs on what is looked at beside it; those that this could matter to are looked at alone
        for row in np.flatnonzero((np.abs(scores - bars) <= NEAR * np.abs(bars)).any(0)) if len(made) > 1 else ():
            scores[:, row] = np.stack(self._scores(made.points[row : row + 1]))[:, 0]
        return np.asarray((scores < bars).any(0))

    def each(self, several: Sequence[Points]) -> list[np.ndarray]:
        """The same for several sets, by one search."""
        found = self.copied(Points(torch.cat([made.points for made in several]), several[0].axes))
        return np.split(found, np.cumsum([len(made) for made in several])[:-1])

    @property
    def blind(self) -> bool:
        return not np.isfinite(self.bars).any()

    def _scores(self, points: Tensor, own: Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[n] and [n]: the distance to the nearest training record over that to the next ones, brought into register; after steps
        of one along each axis.   own: rows [n] of the training records that they are themselves."""
        near = self.aligned.search(points, own).ratio
        return near.numpy(), torch.cat(
            [
                self._stepped(points[k : k + AT_ONCE], None if own is None else own[k : k + AT_ONCE])
                for k in range(0, len(points), AT_ONCE)
            ]
        ).numpy()

    def _stepped(self, points: Tensor, own: Tensor | None) -> Tensor:
        count = min(CROWD + 1, len(self.base) - (own is not None))
        least, crowd = torch.full((len(points),), torch.inf), torch.ones(len(points))
        for step in self.steps:
            moved = points.roll(step, (2, 3)) if any(step) else points
            d = distances(self.basis.of(_level(moved)), self.base)
            if own is not None:
                d[torch.arange(len(d)), own] = torch.inf
            if any(step):
                least = torch.minimum(least, d.amin(1))
            else:
                near = d.topk(count, 1, largest=False).values.clamp_min(0)
                least, crowd = torch.minimum(least, near[:, 0]), near[:, 1:].sqrt().mean(1)
        return least.clamp_min(0).sqrt() / crowd.clamp_min(1e-9)


def _level(points: Tensor) -> Tensor:
    """Points flat [n, d], each centred and of length one: neither level nor contrast makes another record."""
    flat = points.flatten(1).float()
    flat = flat - flat.mean(1, keepdim=True)
    out: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return out
