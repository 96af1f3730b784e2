"""What a table's codec may learn under differential privacy: ranges, bins and categories, each paid from a budget.

Public, and so not protected: the header, each column's kind, printed places and format, how missing cells are spelled,
and everything a person declares in the schema. Declared bounds and categories cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from karat import privacy
from karat.privacy import Budget, Source

DEPTHS = 3, 8  # of halvings: 8 to 256 bins of about equal mass, as the budget and the number of rows allow
COUNT = 0.05  # share of a column's budget for how many values it has
SURE = 5.0  # a bin's rows, in units of what a median may be off by
FEW = 128  # printed values between the bounds that are few enough to have a bin each
RANGE = 0.3  # share of a column's budget for its bounds, where nobody declared them
OCTAVES = (
    52  # powers of two, of the last printed place, that a bound is looked for in: whole numbers a float tells apart
)


def private_bins(
    values: np.ndarray,
    places: int,
    budget: Budget,
    source: Source,
    *,
    low: float | None = None,
    high: float | None = None,
    what: str = "a column",
) -> np.ndarray:
    """Rising edges [k + 1] of k bins of about equal mass, bin i being edges[i] <= value < edges[i + 1].

    values: float [n] without missing ones; they are taken as whole multiples of 10^-places.   low, high: the least and
    the greatest value, where declared. Values outside of the first and last edge belong to the first and last bin.
    All of `budget` is spent, unless so few values lie between the bounds that each has a bin of its own.
    """
    scale = 10.0**places
    reach = 2.0**OCTAVES - 1
    whole = np.rint(np.clip(np.asarray(values, np.float64) * scale, -reach, reach)).astype(np.int64)
    rho = budget.left
    counted = COUNT * rho
    rho -= counted
    least = None if low is None else round(max(-reach, low * scale))
    most = None if high is None else round(min(reach, high * scale))
    if least is None or most is None:
        found = _bounds(whole, RANGE * rho, budget, source, f"{what}: bounds")
        least = found[0] if least is None else least
        most = found[1] if most is None else most
        most = max(least, most)
        rho -= RANGE * rho
    if most - least < FEW:
        starts = list(range(least, most + 1))
    else:
        inside = np.sort(np.clip(whole, least, most))
        rows = int(privacy.noisy_counts(np.array([len(inside)]), counted, budget, source, f"{what}: how many")[0])
        depth = _depth(rows, rho)
        starts = [least, *privacy.cuts(inside, least, most, depth, rho, budget, source, f"{what}: bins")]
    edges: np.ndarray = np.array([*starts, most + 1], np.float64) / scale
    return edges


def _depth(rows: int, rho: float) -> int:
    """How often to halve, by the budget and a noisy number of `rows`."""
    reach = max(1, rows) * math.sqrt(8 * rho / DEPTHS[0]) / SURE
    return min(DEPTHS[1], max(DEPTHS[0], math.floor(math.log2(max(1.0, reach)))))


def _bounds(whole: np.ndarray, rho: float, budget: Budget, source: Source, what: str) -> tuple[int, int]:
    """Powers of two between which the values lie, but for those too few to stand out of the noise.

    A noisy histogram over fixed bins: 0, and 2^k <= |v| < 2^(k + 1) for each sign and k.
    """
    octave = np.zeros(len(whole), np.int64)
    octave[whole != 0] = np.frexp(np.abs(whole[whole != 0]).astype(np.float64))[1]  # 1, 2, 2, 3, 3, 3, 3, ...
    at = np.clip(np.sign(whole) * octave, -OCTAVES, OCTAVES) + OCTAVES
    noisy = privacy.noisy_counts(np.bincount(at, minlength=2 * OCTAVES + 1), rho, budget, source, what)
    least = privacy.noise_width(rho) * privacy.tail(1e-4 / (2 * OCTAVES + 1))
    kept = np.flatnonzero(noisy >= least) - OCTAVES
    if not len(kept):
        kept = np.array([int(np.argmax(noisy)) - OCTAVES])
    first, last = int(kept[0]), int(kept[-1])
    low = 0 if first == 0 else 2 ** (first - 1) if first > 0 else -(2**-first) + 1
    high = 0 if last == 0 else 2**last - 1 if last > 0 else -(2 ** (-last - 1))
    return low, high


def private_categories(
    values: Sequence[str] | np.ndarray,
    budget: Budget,
    source: Source,
    *,
    declared: Sequence[str] = (),
    what: str = "a column",
) -> list[str]:
    """The categories that may be known: the declared ones, free of cost; else those common enough, the commonest first.

    values: str [n] without missing ones. All of `budget` is spent where nothing is declared. What is not in the list is
    to be coded as one "other", of which no spelling is known; the list may be empty.
    """
    if declared:
        return list(declared)
    names, counts = np.unique(np.asarray(values, dtype=np.str_), return_counts=True)
    return privacy.known(
        [str(n) for n in names], counts, budget.left, budget.left_delta, budget, source, f"{what}: categories"
    )
