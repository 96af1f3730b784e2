"""Columns that are worked out from others, as they are found and accepted; and the simplest of them, equal ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.relation import Form, plain, quoted

ACTIVE = 2  # rows, at least, that a term must be needed for
NEAR = 1e-9  # relative difference below which two results are equal


@dataclass(frozen=True)
class Worked:
    """`left` is `right`, an expression of `names`, in all but `exceptions` of `rows` rows.

    vector: the coefficients of a sum by column, 0 = vector . columns + constant; None of others.
    """

    form: Form
    left: str
    right: str
    names: tuple[str, ...]
    rows: int
    exceptions: int
    chance: float
    evidence: float
    vector: dict[str, float] | None = None

    @property
    def text(self) -> str:
        """The rule that says it."""
        return f"{quoted(self.left)} {'in' if self.form == 'mixture' else '='} {self.right}"

    @property
    def support(self) -> frozenset[str]:
        return frozenset((self.left, *self.names))


def slack_of(value: np.ndarray, half: float) -> np.ndarray:
    """How far a result [n] of an expression may lie from what stands there."""
    return np.asarray(NEAR * np.maximum(1.0, np.abs(value)) + half)


def judged(
    form: Form,
    left: Number,
    right: str,
    names: Sequence[str],
    value: np.ndarray,
    half: float,
    tests: float,
    vector: dict[str, float] | None = None,
) -> Worked | None:
    """The relation if `value` [n] is the column but for few rows, and shuffled rows would say otherwise.

    half: by how much a result may differ.   tests: log of the number of expressions that were tried.
    """
    known = ~(np.isnan(left.values) | np.isnan(value))
    rows = int(known.sum())
    if rows < evidence.FEWEST:
        return None
    x, y = left.values[known], value[known]
    slack = slack_of(y, half)
    exceptions = int((np.abs(x - y) > slack).sum())
    if exceptions > evidence.most(rows, evidence.WORKED):
        return None
    chance = 1 - evidence.share_within(x, y, slack)
    log_p = evidence.log_tail(exceptions, rows, chance) + tests
    if not evidence.few(exceptions, rows, chance, evidence.WORKED) or log_p > log(evidence.ALPHA):
        return None
    return Worked(form, left.name, right, tuple(names), rows, exceptions, chance, log_p / log(10), vector)


class Formulas:
    """Formulas as they are accepted: no column is worked out twice, or from itself."""

    def __init__(self) -> None:
        self.found: list[Worked] = []

    @property
    def lefts(self) -> set[str]:
        return {w.left for w in self.found}

    def ancestors(self, name: str) -> set[str]:
        """The columns that a column is worked out from, directly or not."""
        out: set[str] = set()
        queue = [name]
        while queue:
            mine = queue.pop()
            new = {n for w in self.found if w.left == mine for n in w.names} - out
            out |= new
            queue.extend(new)
        return out

    def add(self, one: Worked) -> bool:
        """Whether the formula could be added."""
        circle = any(one.left in self.ancestors(name) for name in one.names)
        if one.left in self.lefts or circle or any(one.support == w.support for w in self.found):
            return False
        self.found.append(one)
        return True


def equal(numbers: Sequence[Number], known: Formulas) -> None:
    """Adds to `known` the columns that hold the same as an earlier one, or dates and times always as long after it."""
    tests = log(max(1, len(numbers) ** 2))
    # from the column that is missing least: where it is missing nothing is known of the others
    complete = sorted(numbers, key=lambda n: int(np.isnan(n.values).sum()))
    for i, b in enumerate(complete):
        for a in complete[:i]:
            if a.unit != b.unit or a.name in known.lefts:
                continue
            found = judged("equal", b, quoted(a.name), [a.name], a.values, 0.0, tests)
            if found is None and a.unit == "moment" and a.day == b.day:
                found = _later(a, b, tests)
            if found is not None and known.add(found):
                break


def _later(a: Number, b: Number, tests: float) -> Worked | None:
    """The later of two columns of moments as the earlier one and a constant: days of dates, seconds of others."""
    apart = (b.values - a.values)[~(np.isnan(a.values) | np.isnan(b.values))]
    if not len(apart):
        return None
    values, counts = np.unique(apart, return_counts=True)
    constant = float(values[counts.argmax()])
    if constant < 0:
        a, b, constant = b, a, -constant
    unit = 86_400.0 if a.day else 1.0
    right = f"{quoted(a.name)} + {plain(constant / unit)}"
    return judged("distance", b, right, [a.name], a.values + constant, 0.0, tests + log(len(apart)))


def enough(held: int, lost: int, found: Worked) -> bool:
    """Whether a relation that holds in `held` rows only by one of its terms, and not in `lost`, holds there by no chance."""
    lucky = -held * log(max(1 - found.chance, 1e-12))
    return held >= ACTIVE and held > 2 * lost and lucky >= -log(evidence.ALPHA)
