"""What noise costs and who may still spend how much of it.

Neighbours differ by one row, added or taken away. Costs are counted in zero-concentrated differential privacy (Bun &
Steinke, https://arxiv.org/abs/1605.02065), where they add up, and told as (epsilon, delta) by the conversion of Canonne,
Kamath & Steinke (https://arxiv.org/abs/2004.00010)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from karat.errors import FitError
from karat.privacy.noise import Source

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
class Target:
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


def composed(budgets: Iterable[Budget], delta: float) -> tuple[float, float]:
    """The (epsilon, delta) that all spendings together cost, where `delta` is the whole's."""
    every = [s for b in budgets for s in b.spent]
    return epsilon_of(math.fsum(s.rho for s in every), (1 - SLACK) * delta), delta


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
