"""How often made records meet training records, beside how often they meet records that nobody learned from.

In a table that lists every case once, real rows never equal each other, and rows of any model that has learned what they are
like equal some. What was learned by heart is met oftener than what was kept apart (cf. the data-copying test of Meehan et
al., https://arxiv.org/abs/2004.05675), and nothing else tells the two apart: both are of one kind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from karat.assays.chance import LEVEL
from karat.assays.finding import Finding
from karat.words import Sentence, said

BESIDE = "if met as unseen records are"  # what a score is held against where it says
LEAST = 10  # different unseen records that are met, or half of all, from which on that tells how often others should be


@dataclass(frozen=True)
class Met:
    """How many made records would meet a training one if they met each of these as often as each unseen one.

    due: made records.   own, other: the variances, of how many meet training records and of how many are due: as many times
    that of how often one record is met as there are records.
    """

    due: float
    own: float
    other: float

    @classmethod
    def of(cls, had: Iterable[Hashable], learned: int, met: Iterable[Hashable], unseen: int) -> Met | None:
        """had, met: for each made record that meets one the training record, or the unseen one.   learned, unseen: how many
        different ones there are.   None where too few unseen ones are met.
        """
        ours, theirs = Counter(had), Counter(met)
        if not theirs or len(theirs) < min(LEAST, unseen / 2):
            return None
        ratio = learned / unseen
        sizes = (ours, learned), (theirs, unseen)
        own, other = (sum(c * c for c in side.values()) - side.total() ** 2 / size for side, size in sizes)
        return cls(ratio * theirs.total(), own, ratio**2 * other)

    def summary(self, n: int) -> Sentence:
        """In words, of `n` made records."""
        return said("; if unseen records are met as often as training ones, {due:.1%} would", due=self.due / n)

    def more(self, count: int) -> bool:
        """Whether `count` made records that meet training ones are more than due, beyond chance."""
        return count - self.due > LEVEL * math.sqrt(self.own + self.other)

    def sees(self, made: float, unseen: float, more: float) -> bool:
        """Whether `more` records than due would be, of so many times as many made and unseen ones."""
        return more > LEVEL * math.sqrt(made * (self.own + self.other / unseen))


def beside(met: Met | None, n: int, finding: Finding) -> Finding:
    """The same of `n` made records, held against how many are due to meet training ones, where that is known."""
    return finding if met is None else replace(finding, real=min(1.0, met.due / n), beside=BESIDE)
