"""The rows as few levels a column, and every odd combination among them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from karat.assays.table.columns import sampled
from karat.assays.table.joint.counting import Counted, Odd, count
from karat.assays.table.joint.levels import Levels
from karat.assays.table.tables import EMBEDDED, Case

PAIRS = 600  # of columns, at most
TRIPLES = 60
OUTCOMES = 400  # triples of an outcome and two groups
NEVER = 0.005  # share of the real rows with the others, below which a value hardly ever comes with them
CELLS = 60_000_000  # rows times combinations of columns, at most


@dataclass(frozen=True)
class Survey:
    """levels, and by them the made, the training and the unseen rows [n, c].

    outcomes: columns that are looked at by group, the target first.   counted: what is odd.
    """

    levels: Levels
    made: np.ndarray
    train: np.ndarray
    unseen: np.ndarray
    outcomes: tuple[int, ...]
    counted: Counted

    @cached_property
    def real(self) -> np.ndarray:
        return np.concatenate([self.train, self.unseen])

    def of_groups(self, odd: Odd) -> bool:
        """Whether it is one of how an outcome is distributed in a group, and not of values that hardly ever come together."""
        return bool(set(odd.columns) & set(self.outcomes)) and min(of.shares[1] for of in odd.among) >= NEVER

    def rows(self, odd: Odd) -> np.ndarray:
        """bool [made rows]: those that have the combination."""
        return np.asarray((self.made[:, list(odd.columns)] == odd.codes).all(1))


def survey(case: Case) -> Survey:
    levels = Levels.fit(case.train)
    few = case.train.take(np.arange(min(len(case.train), EMBEDDED)))
    made, train, unseen = (levels.of(side) for side in (case.made, few, case.unseen))
    outcomes = _outcomes(case)
    most = CELLS // (len(made) + len(train) + len(unseen))
    wanted = _wanted(case, outcomes)[: max(most, PAIRS // 6)]
    return Survey(
        levels, made, train, unseen, outcomes, count(made, np.concatenate([train, unseen]), levels.sizes, wanted)
    )


def _outcomes(case: Case) -> tuple[int, ...]:
    """The target and the protected columns."""
    names = case.train.names
    named = ([case.target] if case.target is not None else []) + list(case.train.columns.protected)
    return tuple(names.index(name) for name in dict.fromkeys(named) if name in names)


def _wanted(case: Case, outcomes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Pairs and triples of columns: first those of an outcome with a group, or two, then any."""
    rng, width = np.random.default_rng([case.seed, 61]), case.train.width
    groups = [j for j, choices in enumerate(case.train.columns.choices) if choices]
    out = [tuple(sorted((o, j))) for o in outcomes for j in range(width) if j != o]
    pairs: list[tuple[int, ...]] = [
        tuple(sorted((o, *two)))
        for o in outcomes[:1]
        for two in itertools.combinations(range(width), 2)
        if o not in two
    ]
    pairs.sort(key=lambda three: -len(set(three) & {*groups, *outcomes}))
    out += sampled(width, 2, PAIRS, rng) if width > 1 else []
    out += pairs[:OUTCOMES]
    out += sampled(width, 3, TRIPLES, rng) if width > 2 else []
    return list(dict.fromkeys(out))
