"""Whether records are rather what a generator makes than what it learned from: a two-sample classifier, calibrated on real data.

Half of the unseen real and of the made records teach the classifier; the other half of the real ones is what a score is
held against, as in split conformal prediction (Vovk et al., 2005), so that the rate of false positives is known whatever the
classifier has learned. It knows one generator and one source of data: another generator's records may score either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from karat.assays.chance import wilson
from karat.assays.classifier import Learner, Scorer, stacked
from karat.errors import DataError

LEVEL = 0.01  # of unseen real sets that are taken for made ones
FEWEST = 100  # unseen real and made records each
SETS = 2000
APART = 8  # as many disjoint sets of unseen real records there are at least


@dataclass(frozen=True)
class Resemblance:
    """What a set of records looks like.   p_value: how often as many unseen real records look so much like made ones.

    false_positives: share of unseen real sets of this size that are taken for made ones, where neither classifier nor
    threshold had seen them, and high: the upper end of its 95% interval.   missed: share of made sets that are not found.
    items: records of a set that was compared.
    """

    resembles: bool
    p_value: float
    false_positives: float
    high: float
    missed: float
    items: int

    def __str__(self) -> str:
        looks = "resembles what the run makes" if self.resembles else "does not stand out from unseen real data"
        of = f"sets of {self.items:,}" if self.items > 1 else "records"
        return (
            f"{looks} (p = {self.p_value:.2g}); of unseen real {of}, {self.false_positives:.1%} (up to {self.high:.1%}) are "
            f"taken for made, and {self.missed:.0%} of made ones are not noticed"
        )


@dataclass(frozen=True)
class Calibrated:
    """A classifier with the scores [n] that it gives unseen real and made records which it did not learn from."""

    score: Scorer
    real: np.ndarray
    made: np.ndarray
    seed: int

    def of(self, records: Any) -> Resemblance:
        """Whether records [k, d], together, resemble what was made. As many are compared as can be calibrated."""
        rng = np.random.default_rng([self.seed, 5])
        most = max(1, len(self.real) // 2 // APART)
        given = self.score(records)
        given = rng.choice(given, most, replace=False) if len(given) > most else given
        k, level = len(given), max(LEVEL, 2 / (len(self.real) + 1))
        halves = np.array_split(rng.permutation(self.real), 2)
        wrong = [p_values(sets(a, k, rng), sets(b, k, rng)) <= level for a, b in (halves, halves[::-1])]
        rate, known = float(np.mean(np.concatenate(wrong))), len(self.real) // k
        null = sets(self.real, k, rng)
        p = float(p_values(null, np.array([given.mean()]))[0])
        missed = float((p_values(null, sets(self.made, k, rng)) > level).mean())
        return Resemblance(p <= level, p, rate, wilson(round(rate * known), known)[1], missed, k)


def calibrated(real: Any, made: Any, learner: Learner, seed: int) -> Calibrated:
    """real, made: unseen real and made records [n, d] and [m, d], arrays or sparse, of which as many are used as both have.

    DataError for fewer than 100 on a side.
    """
    n = min(real.shape[0], made.shape[0])
    if n < FEWEST:
        raise DataError(f"{n} unseen real records are too few to say what resembles them; {FEWEST} were wanted.")
    rng = np.random.default_rng([seed, 3])
    real, made, half = real[rng.permutation(real.shape[0])[:n]], made[rng.permutation(made.shape[0])[:n]], n // 2
    score = learner(stacked(made[:half], real[:half]), np.arange(2 * half) < half)
    return Calibrated(score, score(real[half:]), score(made[half:]), seed)


def sets(scores: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Mean scores of sets of `k`; of one, all of them."""
    return scores if k == 1 else rng.choice(scores, (SETS, k)).mean(1)


def p_values(null: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How often the null reaches each score, the score itself counted."""
    above = len(null) - np.searchsorted(np.sort(null), scores, side="left")
    return np.asarray((1 + above) / (1 + len(null)))
