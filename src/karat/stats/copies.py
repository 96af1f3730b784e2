"""Whether drawn rows are copies: how often they equal rows learned from, beside how often these equal each other.

A row that was set aside equals one of the others as often as an unseen one would (leave-one-out; the missing mass of Good,
1953, is its complement), so that a model which copies no row can be told from one that does without rows kept apart.

Draws that come close to rows learned from oftener than they should are drawn anew. A model of few rows leans on them: it
gives them, and rows that differ from one in a single cell, more than their due, by about as much as a model of a part of them
gives these more than the rest. Rejection sampling (von Neumann, 1951) takes that back. Taking made rows out that equal unique
real ones is the usual last step before data is given away (`sdc` of Nowok, Raab & Dibben, 2016); here only as many go as come
too often.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from karat.errors import RunError

CHANCE = 0.5  # standard deviations by which copies may be more than expected
MORE = 0.1  # of what equals rows kept apart, by which half of the rows may be met oftener: all of them are less so
LOOKED = 4_000  # drawn rows that tell
WASTED = 0.25  # of the draws that are refused, at most


def copies(real: np.ndarray, drawn: np.ndarray, leans: float = 0.0) -> bool:
    """Whether rows of `drawn` [m, columns] equal one of `real` [n, columns] oftener than another of `real` does.

    leans: share of `drawn` by which they may. Not where they would as often if no column knew of the others: then the columns
    leave no choice, and what ties them together is not to blame.
    """
    if not real.shape[1]:
        return False
    step = max(1, len(drawn) // real.shape[1])
    apart = np.stack([np.roll(column, j * step) for j, column in enumerate(drawn.T)], 1)
    both = np.concatenate([real, drawn, apart])
    _, which = np.unique(both, axis=0, return_inverse=True)
    mine, theirs, loose = np.split(which.reshape(-1), [len(real), len(real) + len(drawn)])
    held = np.bincount(mine, minlength=int(which.max()) + 1)
    expected, found = float((held[mine] > 1).mean()), float((held[theirs] > 0).mean())
    # equal rows come two at a time, so that their share varies as one of half the rows
    spread = np.sqrt(2 * max(expected, 1 / len(real)) * (1 - expected) / len(real))
    return bool(found > max(expected + CHANCE * spread, float((held[loose] > 0).mean())) + leans)


def as_often(held: float, kept: float, n: int) -> bool:
    """Whether draws that equal a row learned from, a share `held`, are no more than those that equal one of as many kept apart.

    kept: the share of those, of `n` rows in all.   What leans on the rows that it learned from does not meet others as often,
    however few rows there are to choose from.
    """
    spread = np.sqrt(2 * max(kept, 1 / n) * (1 - kept) / n)
    return bool(held <= (1 + MORE) * kept + CHANCE * spread)


class Learned:
    """Which rows equal one of those learned from, or differ from one in a single cell, told by digests of these."""

    def __init__(self, digests: np.ndarray) -> None:
        """digests uint64 [columns + 1, n]: of whole rows, then of rows without each column, all in ascending order."""
        self.digests = digests

    @classmethod
    def of(cls, rows: np.ndarray) -> Learned:
        """Of `rows` int64 [n, columns]."""
        return cls(np.sort(digests_of(rows), 1))

    def kinds(self, rows: np.ndarray) -> np.ndarray:
        """int64 [m], of `rows` int64 [m, columns]: 0 equal to one learned from, 1 a single cell from one, 2 others."""
        met = [held(mine, asked) for mine, asked in zip(self.digests, digests_of(rows), strict=True)]
        return np.where(met[0], 0, np.where(np.any(met, 0), 1, 2))


class Refusal:
    """`passing` [3]: the share of drawn rows of each kind that is let pass."""

    def __init__(self, learned: Learned, passing: np.ndarray) -> None:
        self.learned, self.passing = learned, passing

    @classmethod
    def fit(cls, learned: Learned, drawn: np.ndarray, leans: np.ndarray, unseen: np.ndarray) -> Refusal | None:
        """What brings draws down to their due; None where no draws need be refused, or more than `WASTED` of them.

        Shares [2] of rows that equal one learned from, and that are a single cell from one at most: `drawn`, and of `unseen`
        ones, below which no draws are refused.   leans [2]: how many times as often as unseen rows those learned from are met.
        """
        odds = [np.maximum(x, 1e-9) / np.maximum(1 - x, 1e-9) for x in (unseen, drawn)]
        equal, near = drawn * np.clip(np.maximum(1 / leans, odds[0] / odds[1]), 0, 1)
        passing = np.array([equal / max(drawn[0], 1e-9), (near - equal) / max(drawn[1] - drawn[0], 1e-9), 1.0]).clip(
            0, 1
        )
        refused = 1 - passing @ np.diff([0.0, *drawn, 1.0])
        return cls(learned, passing) if 0 < refused <= WASTED else None

    def stays(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """bool [m]: which of the drawn `rows` int64 [m, columns] are kept."""
        return np.asarray(rng.random(len(rows)) < self.passing[self.learned.kinds(rows)])

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        return {"digests": self.learned.digests.view(np.int64), "passing": self.passing}

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], columns: int) -> Refusal:
        """What gave `weights`, for rows of so many `columns`; RunError where they cannot be any."""
        digests, passing = np.asarray(weights["digests"]), np.asarray(weights["passing"], np.float64)
        good = digests.ndim == 2 and len(digests) == columns + 1 and digests.shape[1] > 0 and digests.dtype == np.int64
        if not good or passing.shape != (3,) or not (passing.min() >= 0 and passing.max() <= 1 and passing[2] > 0):
            raise RunError("what tells which rows were learned from is damaged. Train the run again.")
        return cls(Learned(np.sort(digests.view(np.uint64), 1)), passing)


def shares(kinds: np.ndarray) -> np.ndarray:
    """float64 [2], of `kinds` [m]: the share that is 0, and at most 1."""
    return np.array([(kinds <= k).mean() for k in (0, 1)])


def unseen(rows: np.ndarray) -> np.ndarray:
    """The `shares` [2] of unseen rows beside `rows` int64 [n, columns]: of each of these beside all others."""
    met = []
    for digests in digests_of(rows):
        _, which, many = np.unique(digests, return_inverse=True, return_counts=True)
        met.append(many[which] > 1)
    return np.array([met[0].mean(), np.any(met, 0).mean()])


def digests_of(rows: np.ndarray) -> np.ndarray:
    """uint64 [columns + 1, n], of `rows` int64 [n, columns]: sums of a number for each cell, all of them, then all but one."""
    each = rows.T.astype(np.uint64) + (np.arange(1, rows.shape[1] + 1, dtype=np.uint64)[:, None] << np.uint64(32))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64: Steele, Lea & Flood, 2014
        each = (each ^ (each >> np.uint64(shift))) * np.uint64(factor)
    each ^= each >> np.uint64(31)
    whole = each.sum(0, dtype=np.uint64)
    return np.concatenate([whole[None], whole[None] - each])


def held(ascending: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """bool [m]: which of `asked` [m] are among `ascending` [n]."""
    at = np.minimum(np.searchsorted(ascending, asked), len(ascending) - 1)
    return np.asarray(ascending[at] == asked)
