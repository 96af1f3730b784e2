"""Whether values come together as in real rows: none that never do, none too often or too seldom, no row over and over (`again`).

Combinations of two and three columns are counted one by one (`counting`). What only many columns together show, such as that an
even number of six of them is "yes", no pair and no triple shows: of such columns, those of few values first, a made row has a
combination that no training row has more often than a fresh real row does. Real rows that are set aside for that, of the training
rows and the unseen ones, are as new to the others as made rows are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karat.assays.chance import fewest, wilson
from karat.assays.details.rows import Combinations
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.shares import tail
from karat.assays.table.columns import sampled
from karat.assays.table.joint.again import repeated
from karat.assays.table.joint.counting import LEAST, Odd, level_of
from karat.assays.table.joint.ranges import seen
from karat.assays.table.joint.showing import NAMED, combined, examples, told
from karat.assays.table.joint.survey import Survey
from karat.assays.table.tables import Case
from karat.views import row_digests
from karat.words import Sentence, firsts, said, together

KNOWN = 0.7  # of the training rows, in which combinations are looked up
MOST = 0.9  # of fresh rows have a new combination: beyond, hardly anything can be seen
MARGIN = 0.01
TRIPLES = 40
SHOWN = 24
KEEPS = 0.9  # of what is seen in many columns, that fewer of them must show to stand for them


@dataclass(frozen=True)
class New:
    """Of rows in `columns`: which made rows [n] have a combination that known rows lack, how many fresh rows of `fresh`."""

    columns: tuple[int, ...]
    which: np.ndarray
    count: int
    fresh: int

    @property
    def made(self) -> float:
        return float(self.which.mean())

    @property
    def real(self) -> float:
        return self.count / self.fresh

    @property
    def p(self) -> float:
        return tail(int(self.which.sum()), len(self.which), self.count, self.fresh)


class Looked:
    """Rows that are known, and fresh ones, by their levels."""

    def __init__(self, survey: Survey) -> None:
        known = int(KNOWN * len(survey.train))
        self.known, self.made = survey.train[:known], survey.made
        self.fresh = np.concatenate([survey.train[known:], survey.unseen])

    def new(self, columns: tuple[int, ...]) -> New:
        known, made, fresh = (
            row_digests(side[:, list(columns)].astype(np.float64)) for side in (self.known, self.made, self.fresh)
        )
        return New(columns, ~np.isin(made, known), int((~np.isin(fresh, known)).sum()), len(fresh))


def findings(case: Case, survey: Survey) -> list[Finding]:
    """Combinations; none of a single column."""
    if case.train.width < 2:
        return []
    looked = Looked(survey)
    tried = _tried(case, survey, looked)
    level = level_of(len(tried))
    n, m = len(case.made), len(looked.fresh)
    worst = min(tried, key=lambda one: (one.p, -one.made))
    above = max(0, fewest(n, lambda k: k / n > worst.real + MARGIN and tail(k, n, worst.count, m) < level) - 1) / n
    new = worst.made > above
    shown = _fewer(looked, worst) if new else worst
    odd = [one for one in survey.counted.odd if not survey.of_groups(one)]
    again = repeated(case)
    value, (low, high) = worst.made, wilson(int(worst.which.sum()), n)
    also = said(
        "where single values certainly come together too often or too seldom, by {least:.1%} of all rows or more",
        least=LEAST,
    )
    detail = Combinations(
        n=n,
        new=tuple(case.train.names[j] for j in shown.columns),
        made=shown.made,
        real=shown.real,
        examples=examples(case.made, shown.which, shown.columns) if new else (),
        found=len(again) + len(odd),
        odd=(*again, *(combined(case.made, survey, one, _rarest(one)) for one in odd[:SHOWN])),
    )
    samples = seen(n, len(case.unseen), m - len(case.unseen), level, MARGIN)
    return [
        scored(
            "combinations",
            Score(value, low, high, worst.real, 0.0),
            Limit(above=above, also=also),
            _summary(detail, new),
            detail=detail,
            samples=samples,
            raised=new or bool(odd) or bool(again),
        )
    ]


def _tried(case: Case, survey: Survey, looked: Looked) -> list[New]:
    """Triples, and the columns by how little they hold, more and more of them until fresh rows are often new as well."""
    width = case.train.width
    bits = []
    for j in range(width):
        shares = np.bincount(survey.train[:, j]) / len(survey.train)
        bits.append(-float((shares[shares > 0] * np.log2(shares[shares > 0])).sum()))
    order = [j for j in np.argsort(bits, kind="stable").tolist() if bits[j] > 0] or [0, 1]
    rng = np.random.default_rng([case.seed, 67])
    out = [looked.new(columns) for columns in (sampled(width, 3, TRIPLES, rng) if width > 2 else [(0, 1)])]
    for k in range(4, len(order) + 1):
        one = looked.new(tuple(order[:k]))
        out.append(one)
        if one.real > MOST:
            break
    return out


def _fewer(looked: Looked, new: New) -> New:
    """The same with fewer columns, as long as these show it."""
    excess = new.made - new.real
    for j in new.columns:
        rest = tuple(i for i in new.columns if i != j)
        if len(rest) > 1 and (one := looked.new(rest)).made - one.real >= KEEPS * excess:
            new = one
    return new


def _rarest(odd: Odd) -> int:
    """Of which value to tell: that whose others are rarest in real rows."""
    return min(range(len(odd.columns)), key=lambda i: odd.among[i].of_real)


def _summary(detail: Combinations, new: bool) -> Sentence:
    sentences = [told(one) for one in detail.odd[:NAMED]]
    if new or not sentences:
        first = said(
            "{made:.1%} of what was made has a combination of {names} that no known row has; of fresh real rows {real:.1%}",
            made=detail.made,
            names=firsts(detail.new),
            real=detail.real,
        )
        sentences.insert(0, first)
    more = detail.found - NAMED
    text = together(sentences, said(". ")) + said(".")
    return text + said(" And {n} more such combinations.", n=more) if more > 0 else text
