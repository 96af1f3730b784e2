"""Differential privacy: what noise costs, who may still spend how much of it, and noise drawn without floating point.

Neighbours differ by one row, added or taken away. Costs are counted in zero-concentrated differential privacy (Bun &
Steinke, https://arxiv.org/abs/1605.02065), where they add up, and told as (epsilon, delta) by the conversion of Canonne,
Kamath & Steinke (https://arxiv.org/abs/2004.00010), whose discrete Gaussian is the noise of every count here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from karat.errors import FitError

CODEC = 0.2  # share of the whole budget that a codec spends on ranges, bins and categories; the family has the rest
SLACK = 0.1  # share of delta that is kept for categories nobody declared
WIDEST = (
    10_000.0  # rows of standard deviation; past it the sampler's 64-bit integers would not do, nor would the result
)


# What the model and its run tell of the rows without noise, whatever is declared.
PUBLIC = (
    "the header, the number and the order of the columns, and the types of a file that has types",
    "how a file of text is written: its delimiter, quotes, encoding and line ends",
    "the power of ten of the number of rows (in delta, where none is given, and in the noise of nothing else)",
    "all that the schema declares: kinds, places, formats, bounds, categories, how missing cells are spelled, rules",
)
INFERRED = (
    "what is inferred of each column from its cells: kind, places, format, zone, how missing cells and truth are spelled, "
    "the one value of a constant, the entries of a dictionary, whether all values differ (--public-schema)"
)


@dataclass(frozen=True)
class Asked:
    """What a fit with differential privacy is to keep.

    delta: 0 for one by the magnitude of the number of rows.   seed: of noise that can be repeated, which is private to
    nobody who knows it; None for noise that cannot.   inferred: whether what the cells show of the schema is public.
    """

    epsilon: float
    delta: float = 0.0
    seed: int | None = None
    inferred: bool = False

    def delta_of(self, rows: int) -> float:
        """delta; FitError where it would allow giving away rows whole."""
        delta = self.delta if self.delta > 0 else default_delta(rows)
        if delta * magnitude(rows) > 1:
            raise FitError(
                f"delta={delta:g} is more than 1 in {magnitude(rows):,} rows: it would allow giving rows away whole."
            )
        return delta

    def source(self) -> Source:
        return Source(self.seed)

    def public(self) -> tuple[str, ...]:
        """A sentence for each thing that is told without noise."""
        return (*PUBLIC, INFERRED) if self.inferred else PUBLIC


def magnitude(rows: int) -> int:
    """The power of ten at or below `rows`: all that is taken for public of how many rows there are."""
    return int(10 ** (len(str(max(1, rows))) - 1))


def default_delta(rows: int) -> float:
    """A power of ten of at most 1e-6 and less than 1 / (10 rows), by the magnitude of `rows` alone."""
    return min(1e-6, 0.01 / magnitude(rows))


def epsilon_of(rho: float, delta: float) -> float:
    """The least epsilon for which rho-zCDP implies (epsilon, delta): Canonne et al., section 2.3."""
    if rho <= 0:
        return 0.0

    def at(log_a: float) -> float:  # a = alpha - 1
        a = math.exp(log_a)
        return (1 + a) * rho + (-math.log(delta) - (1 + a) * math.log1p(1 / a) - math.log(a)) / a

    low, high = -30.0, 30.0  # at() falls, then rises
    for _ in range(200):
        x, y = low + (high - low) / 3, high - (high - low) / 3
        if at(x) < at(y):
            high = y
        else:
            low = x
    return max(0.0, at(low))


def rho_of(epsilon: float, delta: float) -> float:
    """The largest rho whose zCDP implies (epsilon, delta)."""
    low, high = 0.0, epsilon  # rho-zCDP never promises less than epsilon = rho
    for _ in range(200):
        middle = (low + high) / 2
        if epsilon_of(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def gaussian_delta(sigma: float, epsilon: float) -> float:
    """The exact delta of Gaussian noise `sigma` on a sum that one row moves by 1: Balle & Wang, theorem 8.

    https://arxiv.org/abs/1805.06530. Noise on k such sums counts as one of sigma / sqrt(k).
    """

    def phi(x: float) -> float:
        return math.erfc(-x / math.sqrt(2)) / 2

    return phi(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * phi(-0.5 / sigma - epsilon * sigma)


def gaussian_epsilon(sigma: float, delta: float) -> float:
    """The exact epsilon of Gaussian noise `sigma` at `delta`; what an audit is held against."""
    low, high = 0.0, 1.0
    while gaussian_delta(sigma, high) > delta:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if gaussian_delta(sigma, middle) > delta:
            low = middle
        else:
            high = middle
    return high


@dataclass(frozen=True)
class Spending:
    """One use of the budget: what for, its zCDP, its part of delta, and how far one row can move what was asked."""

    what: str
    rho: float
    delta: float
    sensitivity: float


class Budget:
    """How much privacy may be spent, and what it was spent on.

    rho, delta: all of it: rho-zCDP but for a probability delta.
    noise_scale: 1. Anything less is a broken accountant, which the audit must catch; nothing but Python can ask for it.
    """

    def __init__(self, rho: float, delta: float = 0.0, *, noise_scale: float = 1.0) -> None:
        self.rho, self.delta, self.noise_scale = rho, delta, noise_scale
        self.spent: list[Spending] = []

    @classmethod
    def of(cls, epsilon: float, delta: float, *, noise_scale: float = 1.0) -> Budget:
        """The whole budget of (epsilon, delta): SLACK of delta for unknown categories, the rest for the noise."""
        if not (0 < epsilon < math.inf and 0 < delta < 1):
            raise FitError(
                f"epsilon={epsilon:g}, delta={delta:g}: wanted an epsilon above 0 and a delta between 0 and 1."
            )
        return cls(rho_of(epsilon, (1 - SLACK) * delta), SLACK * delta, noise_scale=noise_scale)

    def part(self, share: float) -> Budget:
        """A budget of its own with that share of this one's whole; together the shares must not pass 1."""
        if not 0 < share <= 1:
            raise FitError(f"a share of {share:g} of the privacy budget: wanted one above 0 and up to 1.")
        return Budget(share * self.rho, share * self.delta, noise_scale=self.noise_scale)

    @property
    def left(self) -> float:
        """rho that is not spent."""
        return max(0.0, self.rho - math.fsum(s.rho for s in self.spent))

    @property
    def left_delta(self) -> float:
        return max(0.0, self.delta - math.fsum(s.delta for s in self.spent))

    def spend(self, what: str, rho: float, sensitivity: float, delta: float = 0.0) -> None:
        """Enters a use of the budget; FitError, and nothing entered, where it is more than is left."""
        if not (rho > 0 and delta >= 0):
            raise FitError(f"{what}: a spending of rho={rho:g}, delta={delta:g} is no spending; wanted more than 0.")
        if rho > self.left + 1e-9 * self.rho or delta > self.left_delta + 1e-9 * self.delta:
            raise FitError(
                f"{what} costs rho={rho:.4g}, delta={delta:.3g}, and of the privacy budget rho={self.left:.4g}, "
                f"delta={self.left_delta:.3g} is left. Raise epsilon, or ask for less."
            )
        self.spent.append(Spending(what, rho, delta, sensitivity))

    def to_dict(self) -> dict[str, Any]:
        """JSON for the run folder and the report."""
        return {"rho": self.rho, "delta": self.delta, "spent": [asdict(s) for s in self.spent]}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Budget:
        """The budget that gave `d`."""
        made = cls(float(d["rho"]), float(d["delta"]))
        made.spent = [Spending(s["what"], s["rho"], s["delta"], s["sensitivity"]) for s in d["spent"]]
        return made


def told(budgets: Iterable[Budget], delta: float) -> tuple[float, float]:
    """The (epsilon, delta) that all spendings together cost, where `delta` is the whole's."""
    every = [s for b in budgets for s in b.spent]
    return epsilon_of(math.fsum(s.rho for s in every), (1 - SLACK) * delta), delta


class Source:
    """Where noise comes from: the operating system's secure generator, or with a seed a stream that can be drawn again.

    Whoever knows the seed can take the noise away again: a seed is for tests and audits, and voids the guarantee.
    """

    def __init__(self, seed: int | None = None) -> None:
        mixed = None if seed is None else np.random.SeedSequence(seed & 2**64 - 1)
        self._stream = None if mixed is None else np.random.Philox(mixed)

    def words(self, n: int) -> np.ndarray:
        """uint64 [n], uniform."""
        if self._stream is None:
            return np.frombuffer(os.urandom(8 * n), np.uint64).copy()
        return np.asarray(self._stream.random_raw(n), np.uint64).reshape(n)

    def below(self, bound: np.ndarray) -> np.ndarray:
        """int64 [n], exactly uniform on 0 .. bound - 1 for each of `bound` [n], at least 1."""
        b = bound.astype(np.uint64)
        first = (np.uint64(2**64 - 1) - b + np.uint64(1)) % b  # 2^64 mod b: what would come once too often
        out = self.words(len(b))
        again = np.flatnonzero(out < first)
        while len(again):
            out[again] = self.words(len(again))
            again = again[out[again] < first[again]]
        return (out % b).astype(np.int64)

    def gumbel(self, n: int) -> np.ndarray:
        """float64 [n], standard Gumbel, with 128 bits in the tail that decides a choice."""
        high, low = self.words(n), self.words(n)
        small = (high.astype(np.float64) + (low.astype(np.float64) + 0.5) * 2.0**-64) * 2.0**-64
        return -np.log(-np.log1p(-np.minimum(small, 1 - 2.0**-53)))


def _flips(source: Source, over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """bool [n], each True with probability exactly exp(-over / under); integers (Canonne et al., algorithm 1)."""
    whole, rest = np.divmod(over, under)
    result = np.zeros(len(over), bool)
    live, k = np.arange(len(over)), 1
    while len(live):  # how many independent events rest / under, then 1 / 2, 1 / 3, ... happen in a row
        happens = source.below(under[live]) < rest[live]
        if k > 1:
            happens &= source.below(np.full(len(live), k)) == 0
        result[live[~happens]] = k % 2 == 1
        live, k = live[happens], k + 1
    live, done = np.flatnonzero(result & (whole > 0)), 0
    while len(live):  # and exp(-1) for every whole
        kept = _one_over_e(source, len(live))
        result[live[~kept]] = False
        live, done = live[kept], done + 1
        live = live[whole[live] > done]
    return result


def _one_over_e(source: Source, n: int) -> np.ndarray:
    """bool [n], each True with probability exactly 1 / e."""
    result = np.zeros(n, bool)
    live, k = np.arange(n), 1
    while len(live):
        happens = source.below(np.full(len(live), k)) == 0
        result[live[~happens]] = k % 2 == 1
        live, k = live[happens], k + 1
    return result


def discrete_gaussian(source: Source, n: int, over: int, under: int) -> np.ndarray:
    """int64 [n] of the discrete Gaussian with sigma^2 = over / under, exactly (Canonne et al., algorithm 3)."""
    t = math.isqrt(over // under) + 1
    out = np.zeros(n, np.int64)
    todo = np.arange(n)
    while len(todo):
        m = len(todo)
        u = source.below(np.full(m, t))
        ok = _flips(source, u, np.full(m, t))
        v = np.zeros(m, np.int64)
        live = np.flatnonzero(ok)
        while len(live):
            live = live[_one_over_e(source, len(live))]
            v[live] += 1
        minus = source.below(np.full(m, 2)) == 1
        size = u + t * v
        ok &= ~(minus & (size == 0))
        ok &= v < 20  # what lies 20 t out would pass the next step with probability below exp(-170)
        keep = np.flatnonzero(ok)
        gap = np.abs(size[keep] * (t * under) - over)
        passed = _flips(source, gap * gap, np.full(len(keep), 2 * over * t * t * under))
        keep = keep[passed]
        out[todo[keep]] = np.where(minus[keep], -size[keep], size[keep])
        todo = np.delete(todo, keep)
    return out


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
    scores: np.ndarray, rho: float, budget: Budget, source: Source, what: str, *,
    sensitivity: float = 1.0, weights: np.ndarray | None = None,
) -> int:  # fmt: skip
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


def tail(p: float) -> float:
    """The z for which a standard normal passes z with probability p."""
    low, high = 0.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        if math.erfc(middle / math.sqrt(2)) / 2 > p:
            low = middle
        else:
            high = middle
    return high
