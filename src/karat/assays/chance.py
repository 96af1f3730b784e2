"""What chance alone does to a score: real data in the generator's place, many times, at the same sample sizes.

Made and unseen real records are both compared with the same training records. Unseen real subsets of `size` records
show the score that a perfect generator would get and how much it moves. A finding is raised when the score of what was
made is further off than chance explains (`LEVEL` standard errors) and by more than matters.

The findings of a report are one family (`karat.assays.power`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.assays.finding import Limit, Score
from karat.assays.keys import KEYS

LEVEL = 5.0
ROUNDS = 12
GROUPS = 6
HANDFUL = 6


@dataclass(frozen=True)
class Draws:
    """Which rows take part: `size` per draw; `unseen` random subsets, `made` disjoint ones, from `n_unseen` records."""

    size: int
    unseen: tuple[Tensor, ...]
    made: tuple[Tensor, ...]
    n_unseen: int

    @property
    def groups(self) -> tuple[Tensor, ...]:
        """The first made draw with one sixth left out at a time: the delete-a-group jackknife."""
        parts = self.made[0].tensor_split(GROUPS)
        return tuple(torch.cat([*parts[:i], *parts[i + 1 :]]) for i in range(GROUPS))


def draw(n_unseen: int, n_made: int, rng: np.random.Generator, most: int = 2000) -> Draws:
    """Draws of min(n_made, n_unseen / 2, most) rows."""
    size = min(n_made, n_unseen // 2, most)
    order = torch.from_numpy(rng.permutation(n_made))
    unseen = tuple(torch.from_numpy(rng.permutation(n_unseen)[:size]) for _ in range(ROUNDS))
    return Draws(size, unseen, tuple(order[i * size : (i + 1) * size] for i in range(min(4, n_made // size))), n_unseen)


def least_of(least: float, draws: Draws) -> float:
    """`least`, or more where draws are so small that a handful of rows would make it: their chance cannot be resampled."""
    return max(least, HANDFUL / draws.size)


def resampled(
    of_unseen: Callable[[Tensor], float], of_made: Callable[[Tensor], float], draws: Draws, share: bool = False
) -> Score:
    """The score of subsets.

    Subsets of a finite pool vary less than fresh samples: their spread is divided by sqrt(1 - size / pool), and the
    difference of a fresh sample and the pool's mean has variance (1 / made draws + size / pool) of a fresh sample's.

    share: whether it is one of the records of a draw, whose spread is at least that of one record, and of a binomial share of
    what made and unseen ones score together: where nearly all draws of few records score 1, they do not say how others vary.
    """
    null = np.array([of_unseen(rows) for rows in draws.unseen])
    values = np.array([of_made(rows) for rows in draws.made])
    taken = draws.size / draws.n_unseen
    fresh = float(null.std(ddof=1)) / math.sqrt(1 - taken)
    if share:
        both = min(1.0, max(0.0, float(null.mean() + values.mean()) / 2))
        fresh = max(fresh, 1 / draws.size, math.sqrt(both * (1 - both) / draws.size))
    error = max(fresh * math.sqrt(1 / len(values) + taken), 1e-12)
    left = np.array([of_made(rows) for rows in draws.groups])
    own = math.sqrt((GROUPS - 1) / GROUPS * float(((left - left.mean()) ** 2).sum()) / len(values))
    value, real = float(values.mean()), float(null.mean())
    return Score(value, value - 1.96 * own, value + 1.96 * own, real, error)


def averaged(made: Tensor, unseen: Tensor, share: bool = False) -> Score:
    """The mean of a per-record score, `made` [n] against `unseen` [m].

    share: whether it is one of [0, 1]: thirty of thirty records that score 1 do not say that all do, so that the error of
    the unseen ones' mean is at least one record's.
    """
    value, real = float(made.double().mean()), float(unseen.double().mean())
    pooled = float(torch.cat([made, unseen]).double().std())
    own = float(made.double().std()) / math.sqrt(len(made))
    spread = max(own, pooled / math.sqrt(len(made)))
    theirs = max(float(unseen.double().std()) / math.sqrt(len(unseen)), 1 / len(unseen) if share else 0.0)
    error = max(math.hypot(spread, theirs), 1e-12)
    return Score(value, value - 1.96 * own, value + 1.96 * own, real, error)


def wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share: `count` of `n`."""
    share, square = count / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return 0.0 if count == 0 else max(0.0, middle - half), 1.0 if count == n else min(1.0, middle + half)


def exact(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, `count` of `n` > 0 (https://doi.org/10.1093/biomet/26.4.404)."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1 - tail, count + 1, n - count))
    return low, high


def limit_of(key: str, score: Score, least: float, also: str = "") -> Limit:
    """Where `score` is off by more than chance and by more than `least`, in the direction that is a fault of the finding `key`."""
    better, reach = KEYS[key].better, max(least, LEVEL * score.error)
    below = None if better == "lower" else score.real - reach
    above = None if better == "higher" else score.real + reach
    return Limit(above, below, also)


def outside(a: Limit, b: Limit) -> Limit:
    """What is broken where both are, on the same side."""
    sides = (a.above, b.above), (a.below, b.below)
    above, below = ([x for x in side if x is not None] for side in sides)
    return Limit(max(above) if len(above) == 2 else None, min(below) if len(below) == 2 else None)


def fewest(n: int, raises: Callable[[int], bool]) -> int:
    """The smallest count of `n` that `raises`, which is so for all larger ones as well; n + 1 where none does."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if raises(middle) else (middle + 1, high)
    return low


def limit_of_share(n: int, raises: Callable[[int], bool], only: str = "", also: str = "") -> Limit:
    """The share, of `n`, above which a count `raises`; 1 where no count could."""
    return Limit(above=min(1.0, (fewest(n, raises) - 1) / n), also=also, only=only)
