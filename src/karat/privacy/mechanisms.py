"""What may be asked of private rows: noisy counts, a choice, where to cut a number, which categories there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from karat.errors import FitError
from karat.privacy.accountant import WIDEST, Budget, tail
from karat.privacy.noise import Source, discrete_gaussian


def noise_width(rho: float) -> float:
    """The standard deviation of the noise that a count costing `rho` gets; FitError where it would hide everything."""
    over, under = _square(rho, 1.0)
    return math.sqrt(over / under)


def _square(rho: float, scale: float) -> tuple[int, int]:
    """sigma^2 as a fraction, rounded up."""
    square = scale * scale / (2 * rho)
    if not square <= WIDEST**2:
        raise FitError(
            f"the privacy budget leaves rho={rho:.3g} for one of many questions, noise of {math.sqrt(square):,.0f} rows. "
            "Raise epsilon, or learn fewer columns."
        )
    under = 16 if square < 256 else 1
    return max(1, math.ceil(square * under)), under


def noisy_counts(counts: np.ndarray, rho: float, budget: Budget, source: Source, what: str) -> np.ndarray:
    """int64 counts of any shape with discrete Gaussian noise, for rho; one row must move one cell by 1.

    rho-zCDP: Canonne et al., theorem 4.
    """
    budget.spend(what, rho, 1.0)
    over, under = _square(rho, budget.noise_scale)
    noisy: np.ndarray = discrete_gaussian(source, counts.size, over, under).reshape(counts.shape)
    return noisy + counts.astype(np.int64)


def choose(
    scores: np.ndarray,
    rho: float,
    budget: Budget,
    source: Source,
    what: str,
    *,
    sensitivity: float = 1.0,
    weights: np.ndarray | None = None,
) -> int:
    """The exponential mechanism: an index of `scores` [k], the better the likelier, for rho.

    sensitivity: how far one row can move any score.   weights: how much each counts beforehand; public.
    Gumbel noise on the scaled scores (McSherry & Talwar 2007); eps^2 / 8-zCDP by its bounded range (Cesar & Rogers,
    https://arxiv.org/abs/2004.07223).
    """
    budget.spend(what, rho, sensitivity)
    return _choice(scores, rho, budget, source, sensitivity, weights)


def _choice(
    scores: np.ndarray, rho: float, budget: Budget, source: Source, sensitivity: float, weights: np.ndarray | None
) -> int:
    epsilon = math.sqrt(8 * rho) / budget.noise_scale
    logits = np.asarray(scores, np.float64) * (epsilon / (2 * sensitivity))
    if weights is not None:
        logits = logits + np.log(weights)
    return int(np.argmax(logits + source.gumbel(len(logits))))


def cuts(
    values: np.ndarray, low: int, high: int, depth: int, rho: float, budget: Budget, source: Source, what: str
) -> list[int]:
    """Sorted whole numbers in (low, high] that cut sorted `values` [n] (whole, in low..high) into near-equal masses.

    Medians of halves of halves, `depth` deep, each by the exponential mechanism (Kaplan, Schnapp & Stemmer,
    https://arxiv.org/abs/2110.05429): one row is in one part of each depth, so a depth costs rho / depth. A cut c starts
    the part c, c+1, ...; where one value is most of a part it gets a part of its own.
    """
    budget.spend(what, rho, 0.5)
    found: set[int] = set()
    parts = [(low, high, values)]
    for _ in range(depth):
        below: list[tuple[int, int, np.ndarray]] = []
        for a, b, mine in parts:
            if a >= b:
                continue
            c = _median(mine, a, b, rho / depth, budget, source)
            at = a + 1 if c == a else c
            found.add(at)
            split = int(np.searchsorted(mine, at))
            below += [(a, at - 1, mine[:split]), (at, b, mine[split:])]
        parts = below
    return sorted(found)


def _median(values: np.ndarray, low: int, high: int, rho: float, budget: Budget, source: Source) -> int:
    """A whole number in low..high with about as many of sorted `values` below it as above."""
    own, counts = np.unique(values, return_counts=True)
    ends = np.cumsum(counts)
    n = len(values)
    # Candidates are the values themselves and the stretches between them, in each of which the score is the same.
    first = np.concatenate([own, np.concatenate([[low], own + 1])])
    last = np.concatenate([own, np.concatenate([own - 1, [high]])])
    under = np.concatenate([ends - counts, np.concatenate([[0], ends])])
    over = np.concatenate([n - ends, n - np.concatenate([[0], ends])])
    real = last >= first
    first, last, under, over = first[real], last[real], under[real], over[real]
    score = -np.maximum(0, np.maximum(2 * under - n, 2 * over - n))  # one row moves it by at most 1
    width = last.astype(np.float64) - first + 1
    i = _choice(score, rho, budget, source, 1.0, width)
    return int(first[i]) + int(source.below(np.array([int(last[i]) - int(first[i]) + 1]))[0])


def known(
    names: Sequence[str], counts: np.ndarray, rho: float, delta: float, budget: Budget, source: Source, what: str
) -> list[str]:
    """Those of the `names` found in the data that are common enough to tell, the commonest first by noisy counts.

    counts: int [k], how many rows hold each. A name that one row alone brings in passes with probability at most
    `delta`: the stability-based histogram (Korolova et al. 2009; Bun, Nissim & Stemmer, https://arxiv.org/abs/1511.08552).
    """
    if not delta > 0:
        raise FitError(
            f"{what}: names that nobody declared cost a part of delta, and none is left. Declare the values."
        )
    if not names:
        return []
    budget.spend(what, rho, 1.0, delta)
    over, under = _square(rho, budget.noise_scale)
    noisy = np.asarray(counts, np.int64) + discrete_gaussian(source, len(names), over, under)
    sigma = math.sqrt(over / under)
    least = 2 + math.ceil(sigma * tail(delta))  # P(1 + noise >= least) <= P(N(0, sigma^2) >= least - 2) <= delta
    order = np.lexsort((np.asarray(names, dtype=object).astype(str), -noisy))
    return [names[i] for i in order if noisy[i] >= least]
