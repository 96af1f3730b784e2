"""What goes with what in columns of which one determines the other: one price per article."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.table.convert import put
from karat.content.table.encoding.coding import Choices, present


@dataclass(frozen=True, eq=False)
class Lookup:
    """The pairs of values of two columns that training rows hold, and how often. The first determines the second.

    nearly: whether it has exceptions: then which of its values goes with one of the first is drawn in every row.
    """

    pairs: Choices
    nearly: bool = False

    @classmethod
    def fit(cls, left: str, right: str, columns: Mapping[str, pa.Array], nearly: bool) -> Self:
        both = present(columns[left]) & present(columns[right])
        pairs = Choices.fit((left, right), [columns[name].filter(pa.array(both)) for name in (left, right)])
        return cls(pairs, nearly)

    @property
    def left(self) -> str:
        return self.pairs.names[0]

    @property
    def right(self) -> str:
        return self.pairs.names[1]

    def broken(self, left: pa.Array, right: pa.Array) -> np.ndarray:
        """bool [n]: rows whose values do not go together; a missing cell, or a value never seen on the left, goes with any."""
        index = self.pairs.index([left, right])
        known = self._groups(0)[0].index([left]) >= 0
        return np.asarray((index < 0) & known & present(right) & present(left))

    def mended(self, left: pa.Array, right: pa.Array, rng: np.random.Generator) -> pa.Array:
        """`right` [n], where it does not go with `left` one that does, as often as training rows have it."""
        wrong = self.broken(left, right)
        if self.nearly:
            wrong |= (self._groups(0)[0].index([left]) >= 0) & present(right)
        return self._drawn(left, right, np.flatnonzero(wrong), 0, rng)

    def turned(self, left: pa.Array, right: pa.Array, rows: np.ndarray, rng: np.random.Generator) -> pa.Array:
        """`left` [n], in these rows one that goes with `right`, as far as there is one."""
        known = self._groups(1)[0].index([right.take(pa.array(rows))]) >= 0
        return self._drawn(right, left, rows[known], 1, rng)

    def _drawn(self, given: pa.Array, now: pa.Array, rows: np.ndarray, side: int, rng: np.random.Generator) -> pa.Array:
        if not len(rows):
            return now
        values, order, ends = self._groups(side)
        group = values.index([given.take(pa.array(rows))])
        total = np.append(0.0, np.cumsum(self.pairs.counts[order], dtype=np.float64))
        low, high = total[ends[group]], total[ends[group + 1]]
        place = np.searchsorted(total, low + rng.random(len(rows)) * (high - low), side="right") - 1
        place = np.clip(place, ends[group], ends[group + 1] - 1)
        return put(now, rows, self.pairs.values[1 - side].take(pa.array(order[place])))

    def _groups(self, side: int) -> tuple[Choices, np.ndarray, np.ndarray]:
        return self._by_left if side == 0 else self._by_right

    @cached_property
    def _by_left(self) -> tuple[Choices, np.ndarray, np.ndarray]:
        return self._grouped(0)

    @cached_property
    def _by_right(self) -> tuple[Choices, np.ndarray, np.ndarray]:
        return self._grouped(1)

    def _grouped(self, side: int) -> tuple[Choices, np.ndarray, np.ndarray]:
        """The values of one side, the pairs in their order, and where those of each begin: [k + 1]."""
        values = self.pairs.values[side].unique()
        known = Choices((self.pairs.names[side],), (values,), np.ones(len(values), np.int64))
        group = known.index([self.pairs.values[side]])
        order = np.argsort(group, kind="stable")
        return known, order, np.searchsorted(group[order], np.arange(len(values) + 1))

    def state(self) -> dict[str, Any]:
        return {**self.pairs.state(), "nearly": self.nearly}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(Choices.restore(state), bool(state["nearly"]))
