"""Whether a made record equals one made before, where real records hardly ever equal each other."""

from __future__ import annotations

import numpy as np

from karat.content.codec import Codec
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.views import row_digests

REPEATED = "equal to another made record"
USUAL = 0.01  # of real records, as many as are made, that may equal another before equal ones are left alone
FEW = 3.0  # pairs that may be where none was found: the rule of three


def digests(codec: Codec, some: Candidates) -> np.ndarray:
    """uint64 [n]: equal where records are; of rows, where all is equal that a judge compares."""
    if codec.repeats:
        return row_digests(some.view.values)  # type: ignore[union-attr]
    return np.asarray(codec.digests(some.records)[:, 0])


def chance(known: np.ndarray) -> float:
    """How likely two real records are equal, at most, by the digests [n] of some of them."""
    many = np.unique(known, return_counts=True)[1].astype(np.float64)
    return pairs(float((many * (many - 1) / 2).sum()), len(known))


def pairs(equal: float, n: int) -> float:
    """How likely two real records are equal, at most, where so many pairs of `n` are."""
    return max(FEW, equal) / max(1.0, n * (n - 1) / 2)


class Repeats(Gate):
    name = "repeats"

    def __init__(self, n: int, chance: float) -> None:
        """n: how many are made.   chance: that two real records are equal."""
        self.on = n * chance / 2 <= USUAL
        self.seen = np.zeros(0, np.uint64)

    def reasons(self, some: Candidates) -> Reasons:
        if not self.on:
            return flagged(np.zeros(len(some), bool), REPEATED)
        mine = digests(some.codec, some)
        again = np.ones(len(mine), bool)
        again[np.unique(mine, return_index=True)[1]] = False
        again |= np.isin(mine, self.seen)
        self.seen = np.concatenate([self.seen, mine[~again]])
        return flagged(again, REPEATED)
