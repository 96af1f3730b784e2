"""What chance alone does to a score: real data in the generator's place, many times, at the same sample sizes.

Made and unseen real records are both compared with the same training records. Unseen real subsets of `size` records
show the score that a perfect generator would get and how much it moves. A finding is raised when the score of what was
made is further off than chance explains (`LEVEL` standard errors; a report makes about twenty such tests) and by more
than matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LEVEL = 5.0
ROUNDS = 12
GROUPS = 6


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


@dataclass(frozen=True)
class Score:
    """A score with its 95% interval, what unseen real data gets, and the distance between both in standard errors."""

    value: float
    low: float
    high: float
    real: float
    z: float


def resampled(of_unseen: Callable[[Tensor], float], of_made: Callable[[Tensor], float], draws: Draws) -> Score:
    """The score of subsets.

    Subsets of a finite pool vary less than fresh samples: their spread is divided by sqrt(1 - size / pool), and the
    difference of a fresh sample and the pool's mean has variance (1 / made draws + size / pool) of a fresh sample's.
    """
    null = np.array([of_unseen(rows) for rows in draws.unseen])
    values = np.array([of_made(rows) for rows in draws.made])
    taken = draws.size / draws.n_unseen
    fresh = float(null.std(ddof=1)) / math.sqrt(1 - taken)
    error = max(fresh * math.sqrt(1 / len(values) + taken), 1e-12)
    left = np.array([of_made(rows) for rows in draws.groups])
    own = math.sqrt((GROUPS - 1) / GROUPS * float(((left - left.mean()) ** 2).sum()) / len(values))
    value, real = float(values.mean()), float(null.mean())
    return Score(value, value - 1.96 * own, value + 1.96 * own, real, (value - real) / error)


def averaged(made: Tensor, unseen: Tensor) -> Score:
    """The mean of a per-record score, `made` [n] against `unseen` [m]."""
    value, real = float(made.double().mean()), float(unseen.double().mean())
    pooled = float(torch.cat([made, unseen]).double().std())
    own = float(made.double().std()) / math.sqrt(len(made))
    spread = max(own, pooled / math.sqrt(len(made)))
    error = max(math.hypot(spread, float(unseen.double().std()) / math.sqrt(len(unseen))), 1e-12)
    return Score(value, value - 1.96 * own, value + 1.96 * own, real, (value - real) / error)


def wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share: `count` of `n`."""
    share, square = count / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return 0.0 if count == 0 else max(0.0, middle - half), 1.0 if count == n else min(1.0, middle + half)


def worse(score: Score, least: float, better: str) -> bool:
    """Whether `score` is off by more than chance and by more than `least`, in the direction that is a fault."""
    gap = score.value - score.real
    if better == "higher":
        return score.z < -LEVEL and gap < -least
    if better == "lower":
        return score.z > LEVEL and gap > least
    return abs(score.z) > LEVEL and abs(gap) > least
