"""What lies beyond the greatest value seen: the upper tail of a column whose values thin out slowly.

Above a high value the tail of nearly every distribution is a generalized Pareto one (Pickands, "Statistical inference using
extreme order statistics", 1975). Its shape is the estimate of Zhang & Stephens, "A new and efficient estimation method for the
generalized Pareto distribution" (2009), drawn towards that of an exponential tail where few values tell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FEWEST = 20  # values of a tail, below which its shape is not known
SHARE = 0.1  # of all values that a tail is, at most
DOUBT = 10  # imaginary values that speak for an exponential tail
HALVINGS = 8  # of the chance of the last piece that are drawn from: of n values, up to what one of some 50 n would be


class Tail(NamedTuple):
    """Above `above` the chance of more than x there is (1 + shape (x - above) / scale)^(-1 / shape)."""

    above: float
    shape: float
    scale: float

    def beyond(self, chance: np.ndarray) -> np.ndarray:
        """The value that a value above `above` exceeds with the `chance` [k], from 0 excluded to 1."""
        return np.asarray(self.above + self.scale / self.shape * np.expm1(-self.shape * np.log(chance)))

    def higher(self, above: float) -> Tail:
        """The same tail above a greater value."""
        return Tail(above, self.shape, self.scale + self.shape * (above - self.above))


def tail_of(values: np.ndarray, zero: float) -> Tail | None:
    """The upper tail of `values` [n], rising; None where it is no heavier than an exponential one, ends in a value that
    repeats, as what is cut off does, or begins below `zero`: what lies on one side of it stays there."""
    n = len(values)
    many = int(min(SHARE * n, 3 * np.sqrt(n)))
    if many < FEWEST or values[-1] == values[-2]:
        return None
    above, over = float(values[-many - 1]), values[-many:] - values[-many - 1]
    over = over[over > 0]
    if above <= zero or len(over) < FEWEST:
        return None
    k, unit = len(over), float(over[-1])
    over = over / unit
    grid = np.arange(1, 31 + int(np.sqrt(k))) - 0.5
    rates = 1 + (1 - np.sqrt(len(grid) / grid)) / (3 * over[int(k / 4 + 0.5) - 1])
    rates = rates[rates != 0]  # an exponential tail, which has no shape
    shapes = np.log1p(-rates[:, None] * over).mean(1)
    likely = k * (np.log(-rates / shapes) - shapes - 1)
    weight = np.exp(likely - likely.max())
    rate = float((rates * weight).sum() / weight.sum())
    shape = float(np.log1p(-rate * over).mean())
    scale = -shape / rate
    shape *= k / (k + DOUBT)
    return Tail(above, shape, scale * unit) if shape > 0 and scale * unit > 0 else None
