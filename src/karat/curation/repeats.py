"""Whether a made record equals one made before, where real records hardly ever equal each other."""

from __future__ import annotations

import numpy as np

from karat.content.codec import Codec
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.views import row_digests

REPEATED = "equal to another made record"
USUAL = 0.01  # of real records, as many as are made, that may equal another before equal ones are left alone
MOST = 4_000_000  # records that are remembered, 8 bytes each, however many are made
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


class Seen:
    """Digests that were met, in sorted runs of which each is at least twice as long as the next, so that many stay cheap."""

    def __init__(self) -> None:
        self.runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def has(self, asked: np.ndarray) -> np.ndarray:
        """bool [n]."""
        out = np.zeros(len(asked), bool)
        for run in self.runs:
            out |= run[np.minimum(np.searchsorted(run, asked), len(run) - 1)] == asked
        return out

    def add(self, new: np.ndarray) -> None:
        run = np.sort(new)
        while self.runs and len(self.runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self.runs.pop(), run]), kind="stable")
        if len(run):
            self.runs.append(run)


class Repeats(Gate):
    name = "repeats"

    def __init__(self, n: int, chance: float) -> None:
        """n: how many are made.   chance: that two real records are equal."""
        self.on = n * chance / 2 <= USUAL
        self.seen, self.full = Seen(), False

    def reasons(self, some: Candidates) -> Reasons:
        if not self.on:
            return flagged(np.zeros(len(some), bool), REPEATED)
        mine = digests(some.codec, some)
        again = np.ones(len(mine), bool)
        again[np.unique(mine, return_index=True)[1]] = False
        again |= self.seen.has(mine)
        self.full = len(self.seen) >= MOST
        if not self.full:
            self.seen.add(mine[~again])
        return flagged(again, REPEATED)

    def note(self) -> str | None:
        return f"records equal to one of the first {MOST:,} were looked for, and to no later one" if self.full else None
