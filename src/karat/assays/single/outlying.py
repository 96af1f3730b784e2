"""Whether made records are in one way further out than real ones: a picture whose half is black, a passage of nonsense.

What is off in one record of twenty moves no average, and what does not change which real records lie next to it moves no share
of neighbours. So numbers are read off each record, and the made ones are counted that lie beyond nearly all real ones, by the
same exact test as values of a table that lie out of range: beyond the furthest real one, and beyond all but a few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from karat.assays.chance import wilson
from karat.assays.details.rows import Beyond, Example, OutOfRange
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.table.joint.counting import level_of
from karat.assays.table.joint.ranges import Measured, Outside, outside, seen, within
from karat.words import Sentence, count, said, term, together

LEAST = 0.01  # of the made records, more than of real ones
TIMES = 2.0  # and times as many
SLACK = 0.1  # standard deviations of real records that made ones may go further
SHARES = (0.003, 0.01)  # of the real records, beyond which made ones are counted too
ROWS = 3  # that are shown of each


@dataclass(frozen=True)
class Read:
    """What is read off records: `train`, `unseen`, `made` float64 [n], NaN where it cannot be read.

    step: a difference that nobody would notice.
    """

    name: str
    train: np.ndarray
    unseen: np.ndarray
    made: np.ndarray
    step: float = 0.0

    def side(self, upper: bool) -> Measured:
        """The same with real records that go as much further as nobody would notice, or as is little beside how they differ."""
        real = np.concatenate([self.train, self.unseen])
        slack = (1 if upper else -1) * max(
            self.step, SLACK * float(np.nanstd(real)) if np.isfinite(real).any() else 0.0
        )
        return Measured(self.name, None, self.train + slack, self.unseen + slack, self.made)


def judged(
    measures: Sequence[Read], thing: str, shown: Callable[[int], Example] | None = None
) -> tuple[list[Finding], list[Outside]]:
    """Outliers: the share of made records that are in one way beyond all real ones; and which these are, where it is raised.

    measures: by name, of some real records, of the unseen and the made ones; `train` are such as nothing was fitted to, and may
    be none.   thing: what one record is called.   shown: a made record, by its place, for a person.
    """
    if not measures:
        return [], []
    n, m, more = len(measures[0].made), len(measures[0].unseen), min(len(one.train) for one in measures)
    aside = sorted({0, 1, 3, *(round(share * (m + more)) for share in SHARES)})
    level = level_of(2 * len(aside) * len(measures))
    sides = [(one.side(upper), upper) for one in measures for upper in (True, False)]
    found = [x for one, upper in sides if (x := outside(one, upper, "{:.3g}".format, aside)) is not None]
    off = [x for x in found if x.p < level and _much(x.beyond)]
    off.sort(key=lambda x: x.beyond.real - x.beyond.made)
    which = np.logical_or.reduce([np.zeros(n, bool), *(_furthest(*side) for side in sides)])
    value, (low, high) = float(which.mean()), wilson(int(which.sum()), n)
    real = within([one.side(True) for one in measures if len(one.train)], m)
    rows = [_told(x, shown) for x in off]
    also = said(
        "where in one way {least:.0%} more of the made records than of real ones are beyond, and chance does not explain it",
        least=LEAST,
    )
    finding = scored(
        "outliers",
        Score(value, low, high, real, 0.0),
        Limit(also=also),
        _summary(value, rows, thing),
        detail=OutOfRange(columns=tuple(rows)),
        samples=seen(n, m, more, level, LEAST),
        raised=bool(off),
    )
    return [finding], off


def _much(of: Beyond) -> bool:
    return of.made - of.real >= LEAST and of.made >= TIMES * of.real


def _furthest(one: Measured, upper: bool) -> np.ndarray:
    """bool [n]: the made records beyond all real ones."""
    real = np.concatenate([one.train, one.unseen])
    real = real[np.isfinite(real)]
    if not len(real):
        return np.zeros(len(one.made), bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(one.made > real.max() if upper else one.made < real.min())


def _told(x: Outside, shown: Callable[[int], Example] | None) -> Beyond:
    rows = np.flatnonzero(x.which)[:ROWS] if shown is not None else ()
    examples = tuple(shown(int(i)) for i in rows) if shown is not None else ()
    return Beyond(**{**vars(x.beyond), "off": True, "examples": examples})


def _summary(value: float, rows: Sequence[Beyond], thing: str) -> Sentence:
    if not rows:
        return said(
            "{value:.2%} of the made {thing}s are in one way beyond all real ones.", value=value, thing=term(thing)
        )
    told = []
    for row in rows[:3]:
        text = said(
            "{column} is {bound} in all but {real:.2%} of the real {thing}s; {made:.2%} of the made ones lie beyond, to {furthest}",
            **vars(row),
            thing=term(thing),
        )
        told.append(text)
    text = together(told, said(". "))
    return text + (said(". And {n} more such ways.", n=count(len(rows) - 3)) if len(rows) > 3 else said("."))
