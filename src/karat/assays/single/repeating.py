"""Whether made records repeat each other more than real ones do: one over and over, or many of them twice.

A choice of real records as large as what is made repeats itself as fresh real ones do. What chance draws are the groups of records
that are alike, and not the records in them, so that groups are counted by the exact test; and by the same test, of the record
that is made most often, how many are like it among the made and among all real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from karat.assays import power
from karat.assays.chance import wilson
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.shares import CERTAIN, tail
from karat.words import Sentence, count, said, term

MARGIN, FACTOR = 0.01, 1.25  # of the records, more than of real ones, and times as many
SURE = 1e-4  # the chance of so many groups, below which it is no chance
LEAST = 0.002  # of the records, that are one and the same
CHOICES = 4  # of real records, at most
MOST = 5_000  # records of each side


@dataclass(frozen=True)
class Alike:
    """Of records [n]: the group of those that are alike that each belongs to, and with how many others it is alike itself."""

    group: np.ndarray
    others: np.ndarray

    @property
    def which(self) -> np.ndarray:
        return self.others > 0

    @property
    def groups(self) -> int:
        """How many groups there are of two and more."""
        return len(np.unique(self.group[self.which]))


Pairs = tuple[np.ndarray, np.ndarray]


def grouped(n: int, pairs: Iterable[Pairs]) -> Alike:
    """Of `n` records, of which `a` [k] are alike with `b` [k] for each `a, b` of `pairs`.

    Each is there twice, as a, b and as b, a; a record may be with itself. Of pairs there are as many as records squared where
    all are alike, and so no more are held at a time than come in one go.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    group, others = np.arange(n), np.zeros(n, np.int64)
    for a, b in pairs:
        others += np.bincount(a[a != b], minlength=n)
        one, other = np.concatenate([a, np.arange(n)]), np.concatenate([b, group])  # a group is a record of it
        _, found = connected_components(coo_matrix((np.ones(len(one), bool), (one, other)), (n, n)), directed=False)
        _, first = np.unique(found, return_index=True)
        group = first[found]
    return Alike(group, others)


def choices(many: int, size: int, seed: int) -> list[np.ndarray]:
    """Rows of at most `CHOICES` choices of `size` among `many`, none in two of them."""
    order = np.random.default_rng([seed, 73]).permutation(many)
    return [np.sort(order[i * size : (i + 1) * size]) for i in range(min(CHOICES, many // max(size, 1)))]


def judged(
    made: Alike,
    real: Sequence[Alike],
    like: Callable[[int], int],
    m: int,
    thing: str,
    shown: Callable[[Sequence[int]], str],
) -> list[Finding]:
    """Repeats: the share of made records that are like another made one, beside that of choices of real records as large.

    like: how many of the `m` real records are like the made record at a place.   shown: made records that are alike, in words.
    """
    n = len(made.others)
    if not real:
        return []
    usual = float(np.mean([one.which.mean() for one in real]))
    value = float(made.which.mean())
    groups = sum(one.groups for one in real)
    limit = max(usual + MARGIN, FACTOR * usual)
    twice = value > limit and tail(made.groups, n, groups, len(real) * n) < SURE
    top = int(made.others.argmax())
    often, theirs = int(made.others[top]) + 1, like(top)
    over = often > 2 and often / n - theirs / m >= LEAST and tail(often, n, theirs, m) < CERTAIN / n
    summary = said(
        "{value:.2%} of the made {thing}s are like another made one; in as many real ones {real:.2%} are like another.",
        value=value,
        thing=term(thing),
        real=usual,
    )
    if over:
        summary += said(
            " One and the same {thing} is made {often} times; of {m} real ones {theirs} are like it: {shown}.",
            thing=term(thing),
            often=count(often),
            m=count(m),
            theirs=count(theirs),
            shown=shown([top, *np.flatnonzero(made.group == made.group[top]).tolist()]),
        )
    elif twice:
        first = int(np.flatnonzero(made.which)[0])
        pair = np.flatnonzero(made.group == made.group[first]).tolist()
        summary += said(" Such as {shown}.", shown=shown(pair))
    also = said("where one {thing} stands out by itself", thing=term(thing))
    low, high = wilson(int(made.which.sum()), n)
    return [
        scored(
            "repeats",
            Score(value, low, high, usual, 0.0),
            Limit(above=limit, only=said("where chance does not explain it"), also=also),
            summary,
            samples=seen(n, m, usual, groups, len(real)),
            raised=twice or over,
        )
    ]


def seen(n: int, m: int, usual: float, groups: int, many: int) -> tuple[Sample, ...]:
    """What it takes to see that a share of the records is made twice; `groups` are alike in `many` choices of real ones."""

    def sees(made: int, _: int, share: float) -> bool:
        reached = power.reached(made, share / 2) + round(usual * made / 2)
        known = round(groups * made / n) if n else 0
        return (
            2 * reached / made > max(usual + MARGIN, FACTOR * usual) and tail(reached, made, known, many * made) < SURE
        )

    return power.of_count(sees, n, m, power.BAD)


def numbered(rows: Sequence[int]) -> Sentence:
    """Made records by where they stood in the caller's set."""
    return said("numbers {rows}", rows=", ".join(f"{row + 1:,}" for row in rows[:4]))
