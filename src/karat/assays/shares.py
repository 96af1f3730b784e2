"""Whether two counts differ by more than chance: normal scores to rank by, the exact test to decide.

The exact test is Fisher's: the hypergeometric tail. Of rare things a normal score says too little: 87 copies among 2,000
made rows and none among 569 real ones have a score of 5 and a chance of 1e-9.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

CERTAIN = 2.87e-7  # the chance of a normal draw beyond `LEVEL`


def scores(count: np.ndarray, n: int, other: np.ndarray, m: int) -> np.ndarray:
    """z [k] of the shares `count` of `n` against `other` of `m`, pooled, with Yates' correction."""
    pooled = (count + other) / (n + m)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    gap = count / n - other / m
    slack = (1 / n + 1 / m) / 2
    z: np.ndarray = np.sign(gap) * np.maximum(np.abs(gap) - slack, 0) / spread
    return z


@lru_cache(1 << 14)  # what a finding needs is searched for among the same few numbers
def tail(count: int, n: int, other: int, m: int) -> float:
    """P(at least `count` of the `count + other` marked ones fall among the first `n` of `n + m`)."""
    marked = count + other
    x = torch.arange(count, min(n, marked) + 1, dtype=torch.float64)

    def choose(a: float, b: torch.Tensor) -> torch.Tensor:
        whole = torch.tensor(float(a), dtype=torch.float64)
        return torch.lgamma(whole + 1) - torch.lgamma(b + 1) - torch.lgamma(whole - b + 1)

    total = choose(n + m, torch.tensor(float(marked), dtype=torch.float64))
    return min(1.0, float(torch.exp(choose(n, x) + choose(m, marked - x) - total).sum()))


def certain(count: int, n: int, other: int, m: int) -> bool:
    """Whether `count` of `n` and `other` of `m` differ by the exact test, by as little chance as beyond `LEVEL` errors."""
    return (tail(count, n, other, m) if count * m > other * n else tail(other, m, count, n)) < CERTAIN


def all_certain(count: np.ndarray, n: int, other: np.ndarray, m: int) -> np.ndarray:
    """`certain` [k] of many counts [k] at once."""
    more = count * m > other * n
    p = np.ones(len(count))
    p[more] = tails(count[more], n, other[more], m)
    p[~more] = tails(other[~more], m, count[~more], n)
    sure: np.ndarray = p < CERTAIN
    return sure


def tails(count: np.ndarray, n: int, other: np.ndarray, m: int) -> np.ndarray:
    """`tail` of many counts [k] at once."""
    from scipy.stats import hypergeom

    p: np.ndarray = np.asarray(hypergeom.sf(count - 1, n + m, count + other, n), np.float64)
    return p
