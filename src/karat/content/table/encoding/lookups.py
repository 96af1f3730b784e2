"""What goes with what in columns of which one determines the other: one price per article."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.table.convert import put
from karat.content.table.encoding.coding import Choices, present

FEWEST, STEPS = 20, 0.1  # values of a number, and the share of them at which what goes with it changes, at most


def _numbers(column: pa.Array) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


@dataclass(frozen=True, eq=False)
class Lookup:
    """The combinations of values of columns that training rows hold, and how often. The others determine the last.

    nearly: whether it has exceptions: then which of its values goes with the others is drawn in every row.
    """

    pairs: Choices
    nearly: bool = False

    @classmethod
    def fit(cls, left: Sequence[str], right: str, columns: Mapping[str, pa.Array], nearly: bool) -> Self:
        there = pa.array(np.logical_and.reduce([present(columns[name]) for name in (*left, right)]))
        pairs = Choices.fit((*left, right), [columns[name].filter(there) for name in (*left, right)])
        return cls(pairs, nearly)

    @property
    def left(self) -> tuple[str, ...]:
        return self.pairs.names[:-1]

    @property
    def right(self) -> str:
        return self.pairs.names[-1]

    def broken(self, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """bool [n]: rows whose values do not go together; a missing cell, or values never seen on the left, go with any."""
        return np.asarray((self.pairs.index([columns[name] for name in self.pairs.names]) < 0) & self._known(columns))

    def _known(self, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """bool [n]: rows that miss none of the cells and whose left side was seen."""
        there = np.logical_and.reduce([present(columns[name]) for name in self.pairs.names])
        return np.asarray(there & (self._groups(0)[0].index([columns[name] for name in self.left]) >= 0))

    def mended(self, columns: Mapping[str, pa.Array], rng: np.random.Generator) -> pa.Array:
        """The right column [n], where it does not go with the left ones one that does, as often as training rows have it."""
        wrong = self._known(columns) if self.nearly else self.broken(columns)
        right = self._drawn(columns, np.flatnonzero(wrong), 0, rng)[self.right]
        rows, place = self._between(columns)
        return put(right, rows, self.pairs.values[-1].take(pa.array(place))) if len(rows) else right

    def _between(self, columns: Mapping[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose left number is none of those seen, but lies between two that go with the same; and a place of these.

        Of a rebate from 10, 50 and 100 pieces on, 73 is between 72 and 75. Only where it goes by steps: an article's number between
        two others tells nothing of its price.
        """
        seen, order = self._steps
        if not len(seen):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        there = np.logical_and.reduce([present(columns[name]) for name in self.pairs.names])
        rows = np.flatnonzero(there)
        asked = _numbers(columns[self.left[0]].take(pa.array(rows)))
        above = np.searchsorted(seen, asked)
        inside = (above > 0) & (above < len(seen)) & (seen[np.minimum(above, len(seen) - 1)] != asked)
        rows, below, above = rows[inside], order[above[inside] - 1], order[above[inside]]
        code = self.pairs.values[-1].dictionary_encode().indices.to_numpy(zero_copy_only=False)
        same = code[below] == code[above]
        return rows[same], below[same]

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers on the left in their order, and the pair of each; none where the right side does not go by steps."""
        kind, none = self.pairs.values[0].type, (np.zeros(0), np.zeros(0, np.int64))
        if self.nearly or len(self.left) > 1 or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return none
        left = _numbers(self.pairs.values[0])
        order = np.argsort(left, kind="stable")
        code = self.pairs.values[-1].dictionary_encode().indices.to_numpy(zero_copy_only=False)[order]
        steps = int((code[1:] != code[:-1]).sum())
        return (left[order], order) if len(left) >= FEWEST and steps <= STEPS * len(left) else none

    def turned(
        self, columns: Mapping[str, pa.Array], rows: np.ndarray, rng: np.random.Generator
    ) -> dict[str, pa.Array]:
        """The left columns [n], in these rows such as go with the right one, as far as there are any."""
        known = self._groups(1)[0].index([columns[self.right].take(pa.array(rows))]) >= 0
        return self._drawn(columns, rows[known], 1, rng)

    def _drawn(
        self, columns: Mapping[str, pa.Array], rows: np.ndarray, given: int, rng: np.random.Generator
    ) -> dict[str, pa.Array]:
        """The columns of the side that is not `given` (0: the left, 1: the right), drawn in these rows."""
        names = self._names(1 - given)
        if not len(rows):
            return {name: columns[name] for name in names}
        values, order, ends = self._groups(given)
        group = values.index([columns[name].take(pa.array(rows)) for name in self._names(given)])
        total = np.append(0.0, np.cumsum(self.pairs.counts[order], dtype=np.float64))
        low, high = total[ends[group]], total[ends[group + 1]]
        place = np.searchsorted(total, low + rng.random(len(rows)) * (high - low), side="right") - 1
        place = pa.array(order[np.clip(place, ends[group], ends[group + 1] - 1)])
        known = dict(zip(self.pairs.names, self.pairs.values, strict=True))
        return {name: put(columns[name], rows, known[name].take(place)) for name in names}

    def _names(self, side: int) -> tuple[str, ...]:
        return self.left if side == 0 else (self.right,)

    def _groups(self, side: int) -> tuple[Choices, np.ndarray, np.ndarray]:
        return self._by_left if side == 0 else self._by_right

    @cached_property
    def _by_left(self) -> tuple[Choices, np.ndarray, np.ndarray]:
        return self._grouped(self.left, self.pairs.values[:-1])

    @cached_property
    def _by_right(self) -> tuple[Choices, np.ndarray, np.ndarray]:
        return self._grouped((self.right,), self.pairs.values[-1:])

    def _grouped(self, names: tuple[str, ...], values: tuple[pa.Array, ...]) -> tuple[Choices, np.ndarray, np.ndarray]:
        """The values of one side, the combinations in their order, and where those of each begin: [k + 1]."""
        if len(names) == 1:
            distinct = values[0].unique()
            known = Choices(names, (distinct,), np.ones(len(distinct), np.int64))
        else:
            known = Choices.fit(names, values)
        group = known.index(values)
        order = np.argsort(group, kind="stable")
        return known, order, np.searchsorted(group[order], np.arange(known.size + 1))

    def state(self) -> dict[str, Any]:
        return {**self.pairs.state(), "nearly": self.nearly}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(Choices.restore(state), bool(state["nearly"]))
