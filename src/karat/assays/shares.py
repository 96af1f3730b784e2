"""Whether two counts differ by more than chance: normal scores for many at once, the exact test where it matters.

The exact test is Fisher's: the hypergeometric tail.
"""

from __future__ import annotations

import numpy as np
import torch

from karat.assays.chance import LEVEL

CERTAIN = 1e-6


def scores(count: np.ndarray, n: int, other: np.ndarray, m: int) -> np.ndarray:
    """z [k] of the shares `count` of `n` against `other` of `m`, pooled, with Yates' correction."""
    pooled = (count + other) / (n + m)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    gap = count / n - other / m
    slack = (1 / n + 1 / m) / 2
    z: np.ndarray = np.sign(gap) * np.maximum(np.abs(gap) - slack, 0) / spread
    return z


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
    """Whether `count` of `n` and `other` of `m` differ by more than `LEVEL` standard errors and by the exact test."""
    z = float(scores(np.array([count]), n, np.array([other]), m)[0])
    if abs(z) <= LEVEL:
        return False
    return (tail(count, n, other, m) if z > 0 else tail(other, m, count, n)) < CERTAIN


def tails(count: np.ndarray, n: int, other: np.ndarray, m: int) -> np.ndarray:
    """`tail` of many counts [k] at once."""
    from scipy.stats import hypergeom

    p: np.ndarray = np.asarray(hypergeom.sf(count - 1, n + m, count + other, n), np.float64)
    return p
