"""Rows drawn again until a condition holds that no code stands for: a range of what a formula works out, or several ranges.

Rejection sampling: what is kept is distributed as the model's rows in which the condition holds, all columns of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.content.table.rules.expressions import Cells
from karat.errors import FitError

EACH, LEAST = 32, 200_000  # rows drawn, at most, for each that is asked for; for all, at least
AT_ONCE = 50_000
SPARE = 1.2  # rows drawn beyond those that are foreseen to do


@dataclass(frozen=True)
class Rejection:
    """cells: long [n, columns of `Codes`], what codes say of the rows, -1 where free.   holds: bool [m], rows of cells that keep
    the conditions.   made: the cells of codes [m, columns].   sources: columns of `Codes` that the conditions which no code says
    are worked out of.   text: the conditions.
    """

    cells: Tensor
    holds: Callable[[Cells], np.ndarray]
    made: Callable[[Tensor, np.random.Generator], Cells]
    sources: tuple[int, ...]
    text: str

    def filled(self, pinned: Tensor, draw: Callable[[Tensor], Tensor], rng: np.random.Generator) -> Tensor:
        """Codes [n, columns] of rows in which the conditions hold, as far as such rows are drawn often enough.

        draw: codes drawn around cells [m, columns], -1 where free. The other rows are drawn around `pinned` cells, in which what a
        condition is worked out from is that of a row in which it holds, if there was one. Raises FitError where there was none, and
        nothing else is given of which it might be made to hold.
        """
        n = len(self.cells)
        _, alike = np.unique(self.cells.numpy(), axis=0, return_inverse=True)
        alike = alike.reshape(-1)
        out, done = pinned.clone(), np.zeros(n, bool)
        tried = 0
        while tried < max(EACH * n, LEAST) and not done.all():
            left = np.flatnonzero(~done)
            rate = (done.sum() + 1) / (tried + 1) if tried else 1.0
            some = np.resize(left, int(min(AT_ONCE, max(len(left), SPARE * len(left) / rate))))
            drawn = draw(self.cells[torch.from_numpy(some)])
            good = np.flatnonzero(self.holds(self.made(drawn, rng)))
            tried += len(some)
            for group in np.unique(alike[some[good]]):  # rows given the same share those that are drawn for them
                found, free = good[alike[some[good]] == group], left[alike[left] == group]
                m = min(len(found), len(free))
                out[torch.from_numpy(free[:m])] = drawn[torch.from_numpy(found[:m])]
                done[free[:m]] = True
        if self.sources and not done.any() and bool((self.cells < 0).all()):
            raise FitError(f"not one of {tried:,} rows that were drawn has {self.text}; give a wider range.")
        for group in np.unique(alike[~done]):
            lost, there = (np.flatnonzero(which & (alike == group)) for which in (~done, done))
            if self.sources and len(there):
                donors = torch.from_numpy(rng.choice(there, len(lost)))
                for j in self.sources:
                    out[torch.from_numpy(lost), j] = out[donors, j]
        rest = torch.from_numpy(np.flatnonzero(~done))
        if len(rest):
            out[rest] = draw(out[rest])
        return out
