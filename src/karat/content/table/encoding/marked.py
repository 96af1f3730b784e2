"""Parts that are no number: a category, a constant, whether a cell is there, which of two in an order is the greater, and on
which mark a date stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import NAMED, Choices, Grain, listed, present, unlisted
from karat.content.table.encoding.computed import Coded
from karat.content.table.encoding.heaps import Heaps
from karat.content.table.rules.expressions import Cells


class _Marked(ABC):
    """A part of one column whose code says at most whether a cell is missing."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @abstractmethod
    def size(self, fine: bool) -> int:
        """2 where some cells are missing and some are not, else 1."""

    def placed(self, fine: bool) -> bool:
        return False

    def chancy(self, fine: bool) -> bool:
        return False

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        there = present(cells.columns[self.name]).astype(np.int64)
        return (there if self.size(fine) == 2 else np.zeros(len(there), np.int64)), None


@dataclass(frozen=True)
class Presence(_Marked):
    """A column that is made anew: only whether it is missing (code 0) is learned."""

    name: str
    missing: int
    there: int

    def size(self, fine: bool) -> int:
        return 2 if self.missing and self.there else 1

    def counts(self, fine: bool) -> np.ndarray:
        return np.array([self.missing, self.there] if self.size(fine) == 2 else [1])

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        """Marks that are missing where the cell is to be; the maker of new values fills in the others."""
        gone = codes == 0 if self.size(fine) == 2 else np.full(len(codes), self.there == 0)
        marks = pa.array(["", None], pa.string())
        return {self.name: marks.take(pa.array(gone.astype(np.int8)))}

    def state(self) -> dict[str, Any]:
        return {"part": "presence", "name": self.name, "missing": self.missing, "there": self.there}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(state["name"], int(state["missing"]), int(state["there"]))


@dataclass(frozen=True)
class Constant(_Marked):
    """A column of one value, or of none (`value` None), and perhaps missing cells (code 0)."""

    name: str
    value: Any
    type: pa.DataType
    missing: int
    rows: int

    def size(self, fine: bool) -> int:
        return 2 if 0 < self.missing < self.rows else 1

    def counts(self, fine: bool) -> np.ndarray:
        return np.array([self.missing, self.rows - self.missing] if self.size(fine) == 2 else [1])

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        values = pa.array([self.value], self.type)
        gone = codes == 0 if self.size(fine) == 2 else np.zeros(len(codes), bool)
        return {self.name: values.take(pa.array(np.zeros(len(codes), np.int64), mask=gone))}

    def state(self) -> dict[str, Any]:
        return {
            "part": "constant",
            "name": self.name,
            "value": listed(pa.array([self.value], self.type)),
            "type": str(self.type),
            "missing": self.missing,
            "rows": self.rows,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        value = unlisted(state["value"], state["type"])
        return cls(state["name"], value[0].as_py(), value.type, int(state["missing"]), int(state["rows"]))


@dataclass(frozen=True)
class Side:
    """Whether a row is one of the exceptions of an order that nearly holds (code 1), as a part beside those of its columns.

    low, name: its columns.   strict: whether equal ones are exceptions.   held, broken: training rows.
    """

    low: str
    name: str
    strict: bool
    held: int
    broken: int

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns without which there is no code."""
        return (self.low, self.name)

    def size(self, fine: bool) -> int:
        return 2 if self.held and self.broken else 1

    def counts(self, fine: bool) -> np.ndarray:
        return np.array([self.held, self.broken] if self.size(fine) == 2 else [1])

    def placed(self, fine: bool) -> bool:
        return False

    def chancy(self, fine: bool) -> bool:
        return False

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        return exceptions(self.low, self.name, self.strict, cells).astype(np.int64), None

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        """Which rows are exceptions, under a name that no column has."""
        odd = codes == 1 if self.size(fine) == 2 else np.full(len(codes), self.broken > 0)
        return {beyond(self.name): pa.array(odd)}

    def state(self) -> dict[str, Any]:
        return {"part": "side", **self.__dict__}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(state["low"], state["name"], bool(state["strict"]), int(state["held"]), int(state["broken"]))


def beyond(name: str) -> str:
    """Under which name it is said which rows are exceptions of the order of a column."""
    return f"\0beyond\0{name}"


def exceptions(low: str, high: str, strict: bool, cells: Cells) -> np.ndarray:
    """bool [n]: rows in which the column `low` is not at most (less than, where strict) `high`; none where one is missing."""
    cells = cells.together((low, high))
    x, y = cells.number(low), cells.number(high)
    with np.errstate(invalid="ignore"):
        return np.asarray(x >= y if strict else x > y)


@dataclass(frozen=True)
class Standing:
    """On which mark a column stands that is told by its distance from another, as a part beside that of the column itself."""

    name: str
    grain: Grain
    heaps: Heaps
    rows: tuple[int, ...]

    @classmethod
    def fit(cls, name: str, grain: Grain, heaps: Heaps, ticks: np.ndarray) -> Self:
        """ticks: [n] of the training rows, NaN where missing."""
        level = heaps.on(grain.units(ticks[~np.isnan(ticks)]))
        return cls(name, grain, heaps, tuple(np.bincount(level, minlength=len(heaps.marks)).tolist()))

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns without which there is no code."""
        return (self.name,)

    def size(self, fine: bool) -> int:
        return len(self.rows)

    def counts(self, fine: bool) -> np.ndarray:
        return np.array(self.rows)

    def placed(self, fine: bool) -> bool:
        return False

    def chancy(self, fine: bool) -> bool:
        return False

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        ticks = self.grain.ticks(cells.columns[self.name])
        return np.where(np.isnan(ticks), int(np.argmax(self.rows)), self.heaps.on(self.grain.units(ticks))), None

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        """The marks, under a name that no column has."""
        return {mark_of(self.name): pa.array(codes)}

    def state(self) -> dict[str, Any]:
        grain, heaps = self.grain.state(), self.heaps.state()
        return {"part": "standing", "name": self.name, "grain": grain, "heaps": heaps, "rows": list(self.rows)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        grain, heaps = Grain.restore(state["grain"]), Heaps.restore(state["heaps"])
        return cls(state["name"], grain, heaps, tuple(int(k) for k in state["rows"]))


def mark_of(name: str) -> str:
    """Under which name it is said on which mark a column stands."""
    return f"\0mark\0{name}"


@dataclass(frozen=True)
class Choice:
    """A category, a boolean, or one code for the seen combinations of several columns.

    Among fields the 64 commonest values have a choice each; the others share the last, and are drawn by frequency.
    """

    choices: Choices

    @property
    def names(self) -> tuple[str, ...]:
        return self.choices.names

    def size(self, fine: bool) -> int:
        k = self.choices.size
        return (k if fine or k <= NAMED else NAMED + 1) + (self.choices.missing > 0)

    def counts(self, fine: bool) -> np.ndarray:
        counts = self.choices.counts
        if not fine and len(counts) > NAMED:
            counts = np.append(counts[:NAMED], counts[NAMED:].sum())
        return np.append(self.choices.missing, counts) if self.choices.missing else counts

    def placed(self, fine: bool) -> bool:
        return False

    def chancy(self, fine: bool) -> bool:
        return not fine and self.choices.size > NAMED

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        columns = [cells.columns[name] for name in self.names]
        index = np.maximum(self.choices.index(columns), 0)  # the likeliest for one never seen
        if self.chancy(fine):
            index = np.minimum(index, NAMED)
        if self.choices.missing:
            index = np.where(present(columns[0]), index + 1, 0)
        return index, None

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        index = codes - 1 if self.choices.missing else codes
        if self.chancy(fine) and place is not None:
            rare = np.flatnonzero(index == NAMED)
            total = np.cumsum(self.choices.counts[NAMED:], dtype=np.float64)
            found = np.searchsorted(total, place[rare] * total[-1], side="right")
            index = index.copy()
            index[rare] = NAMED + np.minimum(found, len(total) - 1)
        return dict(zip(self.names, self.choices.take(index), strict=True))

    def state(self) -> dict[str, Any]:
        return {"part": "choice", **self.choices.state()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(Choices.restore(state))
