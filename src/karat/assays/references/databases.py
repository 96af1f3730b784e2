"""Reference generators of related tables: each chooses whole records, so that every key leads where it did; one gives
children to other parents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from karat.assays.references.reference import Case
from karat.assays.references.tables import categories
from karat.views import DatabaseView, Tie

Rows = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Choice:
    """choose: the records that it makes of a case, among the training ones (from 0) and those of the source behind these.

    must: findings of the first table that must speak, and tied of its first relation.   The rest as of a `Reference`.
    """

    choose: Rows
    must: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    dial: str = ""
    strengths: tuple[float, ...] = ()
    usual: float = 0.0
    phrase: str = ""


def first(view: DatabaseView) -> str:
    """The first table, whose rows are the first records."""
    return next(iter(view.tables))


def relation(view: DatabaseView) -> Tie | None:
    """The first relation whose children belong to the record of their parent."""
    return next((tie for tie in view.ties if tie.makes), None)


def oracle(case: Case[DatabaseView]) -> np.ndarray:
    """Unseen records."""
    return len(case.train) + case.rng.permutation(len(case.unseen))[: case.n]


def bootstrap(case: Case[DatabaseView]) -> np.ndarray:
    """Training records, none twice: keys have to stay what they are."""
    return case.rng.permutation(len(case.train))[: case.n]


def copier(case: Case[DatabaseView], *, share: float = 0.1) -> np.ndarray:
    """Unseen records, but a `share` are training ones with all that hangs on them."""
    fresh = oracle(case)
    count = max(1, round(share * len(fresh)))
    return np.concatenate([bootstrap(case)[:count], fresh[count:]])


def collapser(case: Case[DatabaseView], *, least: float = 0.1) -> np.ndarray:
    """Unseen records without one category of the first table that a share of `least` to 25% of its rows have."""
    table = case.unseen.tables[first(case.unseen)]
    column, code = _group(case, least, 0.25)
    gone = np.flatnonzero(table.codes(column) == code)  # the first table's rows are the first records
    kept = np.setdiff1d(np.arange(len(case.unseen)), gone)
    return len(case.train) + case.rng.permutation(kept)[: case.n]


def skewer(case: Case[DatabaseView], *, times: float = 3.0) -> np.ndarray:
    """Unseen records of which a group of the first table, of 5% to 30%, is `times` as large a share, no record twice."""
    table = case.unseen.tables[first(case.unseen)]
    column, code = _group(case, 0.05, 0.3)
    inside = np.flatnonzero(table.codes(column) == code)
    others = case.rng.permutation(np.setdiff1d(np.arange(len(table)), inside))
    share = min(0.9, times * len(inside) / len(table))
    few = others[: round(len(inside) * (1 - share) / share)]
    return len(case.train) + np.concatenate([inside, few, np.arange(len(table), len(case.unseen))])


def _group(case: Case[DatabaseView], low: float, high: float) -> tuple[int, int]:
    found = categories(case.train.tables[first(case.train)], low, high, 20)
    return found[int(case.rng.integers(len(found)))]


COPIED = "{strength:.0%} of the records copied"
MIXED = "shuffler"  # unseen records whose children are given to other parents
REFERENCES: Mapping[str, Choice] = {
    "oracle": Choice(oracle),
    "bootstrap": Choice(bootstrap, ("copy rate",)),
    "copier": Choice(copier, ("copy rate",), (), "share", (0.05, 0.1, 0.2, 0.5), 0.2, COPIED),
    "collapser": Choice(
        collapser, ("missing classes",), (), "least", (0.05, 0.1), 0.1, "a category of {strength:.0%} to 25% lost"
    ),
    "skewer": Choice(skewer, ("class balance",), (), "times", (2, 3), 3, "one group {strength:g} times as often"),
    MIXED: Choice(oracle, (), ("parent-child auc", "parent-child pairs")),
}


def due(name: str, train: DatabaseView) -> tuple[str, ...] | None:
    """The findings that may speak of a reference, by their names; None where it can do nothing to such tables."""
    reference, tie = REFERENCES[name], relation(train)
    if reference.tied and tie is None:
        return None
    where = "" if tie is None else tie.where
    return tuple(f"{first(train)} {key}" for key in reference.must) + tuple(f"{where} {key}" for key in reference.tied)


def able(name: str, train: DatabaseView, strength: float | None) -> bool:
    """Whether it does anything to such tables: the first may have no category of that size."""
    low, high = {"collapser": (strength or 0.1, 0.25), "skewer": (0.05, 0.3)}.get(name, (0.0, 0.0))
    return not high or bool(categories(train.tables[first(train)], low, high, 20))
