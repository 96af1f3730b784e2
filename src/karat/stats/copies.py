"""Whether drawn rows are copies: how often they equal rows learned from, beside how often these equal each other.

A row that was set aside equals one of the others as often as an unseen one would (leave-one-out; the missing mass of Good,
1953, is its complement), so that a model which copies no row can be told from one that does without rows kept apart.
"""

from __future__ import annotations

import numpy as np

CHANCE = 0.5  # standard deviations by which copies may be more than expected
MORE = 0.1  # of what equals rows kept apart, by which half of the rows may be met oftener: all of them are less so
LOOKED = 4_000  # drawn rows that tell


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


def as_often(drawn: np.ndarray, own: np.ndarray, other: np.ndarray) -> bool:
    """Whether rows of `drawn` [m, columns] equal one of `own`, learned from, no oftener than one of `other`, both [n, columns].

    What leans on the rows that it learned from does not meet others as often, however few rows there are to choose from.
    """
    _, which = np.unique(np.concatenate([own, other, drawn]), axis=0, return_inverse=True)
    mine, theirs, new = np.split(which.reshape(-1), [len(own), len(own) + len(other)])
    held, kept = float(np.isin(new, mine).mean()), float(np.isin(new, theirs).mean())
    spread = np.sqrt(2 * max(kept, 1 / len(other)) * (1 - kept) / len(other))
    return bool(held <= (1 + MORE) * kept + CHANCE * spread)
