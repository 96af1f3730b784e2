"""What a reference generator is, of whatever kind of view, and what it draws from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from karat.views import DatabaseView, Points, TableView, TextView

V = TypeVar("V", Points, TableView, TextView, DatabaseView)


@dataclass(frozen=True)
class Case(Generic[V]):
    """What a reference generator draws from.

    train: the training records.   unseen: those that it may emit, which no judge will see.   n: how many it makes.
    rng: chance.   target: the column of a table that is predicted, or None.
    """

    train: V
    unseen: V
    n: int
    rng: np.random.Generator
    target: str | None = None

    def fresh(self) -> V:
        """Unseen real records: at most `n`, as many as there are."""
        return self.unseen.take(self.rng.permutation(len(self.unseen))[: self.n])


@dataclass(frozen=True)
class Reference(Generic[V]):
    """A generator whose worth is known.

    make: draws records of a case.   must: findings that must speak of what it makes by default and of what is worse.
    dial: the keyword of `make` by which it is worse, "" where it has none.   strengths: of the dial, from weak to strong.
    usual: the strength from which on the findings promise to see it, where there are enough records.
    phrase: the strength in words, as "{strength:.0%} copies".
    """

    make: Callable[..., V]
    must: tuple[str, ...] = ()
    dial: str = ""
    strengths: tuple[float, ...] = ()
    usual: float = 0.0
    phrase: str = ""


def oracle(case: Case[V]) -> V:
    """Unseen real records: nothing is wrong with them."""
    return case.fresh()


def bootstrap(case: Case[V]) -> V:
    """Training records drawn again."""
    return case.train.take(case.rng.integers(len(case.train), size=case.n))


def overdrawn(case: Case[V], inside: np.ndarray, times: float) -> V:
    """Unseen real records of which those `inside` (bool [unseen]) are `times` as many, none of them twice."""
    if inside.all() or not inside.any():
        return case.fresh()
    fraction = min(0.9, times * float(inside.mean()))
    size = min(case.n, int(inside.sum() / fraction), int((~inside).sum() / (1 - fraction)))
    many = round(fraction * size)
    rows = [case.rng.permutation(np.flatnonzero(side)) for side in (inside, ~inside)]
    return case.unseen.take(case.rng.permutation(np.concatenate([rows[0][:many], rows[1][: size - many]])))
