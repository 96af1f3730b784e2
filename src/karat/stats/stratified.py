"""Draws for many rows at once that keep to their chances together, not only on average.

Rows that are alike lie side by side, and in every stretch of them as many come out one way as their chances add up to, but
for one: systematic sampling with implicit stratification (Madow & Madow, "On the theory of systematic sampling", 1944;
Cochran, "Sampling Techniques", chapter 8). A row by itself comes out as if it had been drawn alone. So a made table strays
from what was learned by less than independent draws would, and does not add their chance to that of the data.
"""

from __future__ import annotations

import numpy as np

LEVELS = 5  # columns in which rows are told alike
BITS = 64 // (LEVELS + 1)  # of the key that each of them has, of a hash, and chance behind them
# its multiples, less their whole part, are as even as any sequence without an end (Weyl, 1916)
GOLDEN = (5**0.5 - 1) / 2
COARSE = 8  # values of a column in which candidates are told apart
PAIRS = 120  # of columns, at most
STEPS = 512  # in which candidates are decided on; those of one step do not see each other


def alike(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: the rows of `cells` [n, columns] in an order in which those alike in the first column lie together, among
    these those alike in the second too, and so on through LEVELS columns.

    Which stretch comes first, and the rows within the last, are left to chance, anew in every call: columns drawn in one and
    the same order would follow each other, as two do that each take every other row.
    """
    key = rng.integers(0, 1 << BITS, len(cells), np.uint64)
    mixed = np.zeros(len(cells), np.uint64)
    for level in range(min(LEVELS, cells.shape[1])):
        mixed = (mixed ^ cells[:, level].astype(np.uint64)) + rng.integers(0, 1 << 63, dtype=np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        key |= (mixed >> np.uint64(64 - BITS)) << np.uint64((LEVELS - level) * BITS)
    chance = rng.permutation(len(cells))  # those of one key are many, and stay in no order of their own
    return chance[np.argsort(key[chance], kind="stable")]


def systematic(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool [n]: one draw for each `chance` [n], of which every stretch holds as many as its chances add up to, but for one."""
    reached = np.floor(np.cumsum(chance) + rng.random())
    return np.asarray(np.diff(reached, prepend=0.0) > 0.5)


def levels(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [n], each anywhere in [0, 1), those of rows that are alike in `cells` [n, columns] spread over all of it.

    To draw by: the outcome whose share of the sum of the chances, in their order, a level falls in.
    """
    out = np.empty(len(cells))
    out[alike(cells, rng)] = (rng.random() + GOLDEN * np.arange(len(cells))) % 1.0
    return out


def dealt(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: an index from each range [low, high).

    Those of the same range are spread evenly over it, in chance order; those of ranges that follow each other fall on ever
    other parts of theirs, so that where what is indexed lies in order within each range, they are even together too.
    """
    n = len(low)
    if not n:
        return np.zeros(0, np.int64)
    chance = rng.permutation(n)
    by = chance[np.argsort((low * (int(high.max()) + 1) + high)[chance], kind="stable")]
    first, last = low[by], high[by]
    begins = np.concatenate([[True], (first[1:] != first[:-1]) | (last[1:] != last[:-1])])
    start, which = np.flatnonzero(begins), np.cumsum(begins) - 1
    many = np.diff(np.append(start, n))
    shift = (rng.random() + GOLDEN * np.arange(len(start))) % 1.0
    at = (np.arange(n) - start[which] + shift[which]) / many[which]
    out = np.empty(n, np.int64)
    out[by] = np.minimum(first + (at * (last - first)).astype(np.int64), last - 1)
    return out


def coarse(cells: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """int64 [n, columns] below COARSE: parts of equally many rows of an `ordered` column; its commonest values of another."""
    out = np.empty(cells.shape, np.int64)
    for j in range(cells.shape[1]):
        _, which, many = np.unique(cells[:, j], return_inverse=True, return_counts=True)
        if ordered[j]:
            place = (np.cumsum(many) - many / 2) * COARSE // max(1, len(cells))
        else:
            place = np.empty(len(many))
            place[np.argsort(-many, kind="stable")] = np.arange(len(many))
        out[:, j] = np.minimum(place, COARSE - 1)[which]
    return out


def balanced(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool [n]: where to keep the row of `first` [n, columns], of values below COARSE, and where that of `second`.

    So that of every value, and of every pair of values, as many rows are kept as are not, nearly: step by step the row is kept
    of whose values fewer were kept so far (a walk that balances itself: Alweiss, Liu & Sawhney, "Discrepancy minimization via
    a self-balancing walk", 2021; halving: Dwivedi & Mackey, "Kernel thinning", 2021). Where there is nothing to balance,
    chance decides, and with it all that follows, so that each of two rows is kept as often as the other.
    """
    n, d = first.shape
    pairs = [(i, j) for i in range(d) for j in range(i)]
    if len(pairs) > PAIRS:
        pairs = [pairs[k] for k in rng.choice(len(pairs), PAIRS, replace=False)]
    more = np.zeros(COARSE * d + COARSE * COARSE * len(pairs), np.int64)  # of each, how many more were kept than not

    def places(rows: np.ndarray) -> np.ndarray:
        single = rows + COARSE * np.arange(d)
        both = [COARSE * rows[:, i] + rows[:, j] + COARSE * (d + COARSE * k) for k, (i, j) in enumerate(pairs)]
        return np.concatenate([single, *(at[:, None] for at in both)], 1)

    keep = np.zeros(n, bool)
    chance = rng.random((n, 1))[:, 0] < 0.5
    step = -(-n // STEPS)
    for start in range(0, n, step):
        some = slice(start, start + step)
        a, b = places(first[some]), places(second[some])
        lead: np.ndarray = more[b].sum(1) - more[a].sum(1)
        keep[some] = np.where(lead == 0, chance[some], lead > 0)
        sign = (2 * keep[some].astype(np.int64) - 1)[:, None]
        np.add.at(more, a, np.broadcast_to(sign, a.shape))
        np.add.at(more, b, np.broadcast_to(-sign, b.shape))
    return keep
