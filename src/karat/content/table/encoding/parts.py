"""The parts that a table is coded in: a number, a choice, a formula's result, and what is only there or missing.

Each encodes cells to a code and, where a bin leaves something open, a place in it; each makes its cells from both again.
Among codes (`fine`) a part is one code; among fields it is one choice, and where it has bins one number more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import NAMED, Choices, Grain, listed, present, unlisted
from karat.content.table.encoding.computed import Coded, Computed
from karat.content.table.encoding.cycles import Cycle, phases
from karat.content.table.encoding.scales import Scale
from karat.content.table.rules.constraints import Bounds
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.precision import Precision, learn


@dataclass(frozen=True)
class Number:
    """A number, date or time. With `lowers`, its distance from the greatest of these columns is what is coded, with `near`
    its distance from that column, on whichever side. With `cycle` its distance is coded where that is short, and else its
    phase, which is a part of its own, and how many turns later it is; a moment that is no distance is coded as its turn.

    missing: training rows in which it is missing.   lowers: (column, strictly greater).   middle: the tick that stands for
    a missing lower.   shown: the digits of what is not drawn as it is, by the fine and by the coarse scale.   ends: the first
    and last tick of training rows, of a moment coded as its turn and phase.
    """

    name: str
    grain: Grain
    missing: int
    fine: Scale
    coarse: Scale
    lowers: tuple[tuple[str, bool], ...] = ()
    middle: float = 0.0
    bounds: Bounds = Bounds()
    shown: tuple[Precision | None, Precision | None] = (None, None)
    near: str = ""
    cycle: Cycle | None = None
    ends: tuple[float, float] = (-np.inf, np.inf)

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns without which there is no code."""
        return (self.name, *self.bases)

    @property
    def bases(self) -> tuple[str, ...]:
        """The columns from which what is coded is a distance."""
        return (self.near,) if self.near else tuple(low for low, _ in self.lowers)

    @property
    def relative(self) -> bool:
        """Whether what is coded is not the value itself, but a distance or a turn of a cycle."""
        return bool(self.bases) or self.cycle is not None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def scale(self, fine: bool) -> Scale:
        return self.fine if fine else self.coarse

    def size(self, fine: bool) -> int:
        return self.scale(fine).size + (self.missing > 0)

    def counts(self, fine: bool) -> np.ndarray:
        """Training rows of each code."""
        counts = self.scale(fine).counts
        return np.asarray(np.append(self.missing, counts) if self.missing else counts)

    def placed(self, fine: bool) -> bool:
        """Whether a number says the place in the bin."""
        return not fine and not self.coarse.exact

    def chancy(self, fine: bool) -> bool:
        """Whether the code leaves something open."""
        return not self.scale(fine).exact

    @staticmethod
    def base_of(grain: Grain, names: Sequence[str], cells: Cells) -> np.ndarray:
        """float64 [n]: the tick at or below the greatest of the columns `names`; NaN where all are missing."""
        found = np.asarray(np.fmax.reduce([grain.at(cells.beside(name, grain.kind)) for name in names]))
        return np.where(np.isinf(found), np.nan, found)

    def _base(self, cells: Cells) -> np.ndarray | float:
        if not self.bases:
            return 0.0
        base = self.base_of(self.grain, self.bases, cells)
        return np.asarray(np.where(np.isnan(base), self.middle, base))

    def ticks(self, cells: Cells) -> np.ndarray:
        """float64 [n] of what is coded; NaN where missing."""
        ticks = self.grain.ticks(cells.columns[self.name])
        return np.where(self.grain.marks(ticks), ticks, self.apart(ticks, cells))

    def apart(self, ticks: np.ndarray, cells: Cells) -> np.ndarray:
        """float64 [n]: what is coded of `ticks` [n] of the column beside the other `cells`."""
        base = np.broadcast_to(self._base(cells), ticks.shape)
        if self.cycle is None:
            return np.asarray(ticks - base)
        if not self.bases:
            return np.where(np.isnan(ticks), np.nan, self.cycle.split(self.grain.units(ticks))[0])
        units = np.where(np.isnan(ticks), base, ticks)
        far = self.close + self.cycle.since(self.grain.units(units), self.grain.units(base))
        return np.where(ticks - base >= self.close, np.where(np.isnan(ticks), np.nan, far), ticks - base)

    def _restored(self, coded: np.ndarray, made: Cells) -> np.ndarray:
        """float64 [n]: the ticks of which `apart` is `coded` [n], a phase given by `made` where there is a cycle."""
        base = np.broadcast_to(self._base(made), coded.shape)
        if self.cycle is None:
            return np.asarray(coded + base)
        if not self.bases:
            return self._in_turn(np.rint(coded).astype(np.int64), phase_of(self, made, len(coded)))
        many = np.rint(np.maximum(coded - self.close, 0)).astype(np.int64)
        far = self.cycle.after(many, phase_of(self, made, len(coded)), self.grain.units(base))
        return np.where(coded >= self.close, self.grain.of_units(far), coded + base)

    def _in_turn(self, turn: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """float64 [n]: the ticks at a phase [n] of a turn [n]; of the turn beside it where it was not begun, or over, by then."""
        assert self.cycle is not None
        first, last = self.ends
        ticks = self.grain.of_units(self.cycle.joined(turn, phase))
        turn = turn + (ticks < first) - (ticks > last)
        return np.asarray(np.clip(self.grain.of_units(self.cycle.joined(turn, phase)), first, last))

    @property
    def close(self) -> float:
        """Ticks between two moments from which on they are told apart by the phase of the later one."""
        assert self.cycle is not None
        ends = self.grain.of_units(np.array([0, self.cycle.close]))
        return float(ends[1] - ends[0])

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        ticks, scale, place = self.ticks(cells), self.scale(fine), None
        gone = np.isnan(ticks)
        some = gone.any()
        known = np.where(gone, scale.lows[0], ticks) if some else ticks
        if self.placed(fine):
            codes, place = scale.locate(known)
        else:
            codes = scale.bins(known)
        if self.missing:
            codes = codes + 1
        if some:
            codes[gone] = 0 if self.missing else int(np.argmax(scale.counts))
            if place is not None:
                place[gone] = 0.5
        return codes, place

    def limits(self) -> tuple[float, float]:
        """The least and greatest tick that the declared bounds allow."""
        grain, b = self.grain, self.bounds
        if not grain.whole:
            kind = np.float32 if grain.single else np.float64
            low = float(np.nextafter(kind(b.low), kind(np.inf))) if b.above else b.low
            return low, float(np.nextafter(kind(b.high), kind(-np.inf))) if b.below else b.high
        low, high = -np.inf, np.inf
        if np.isfinite(b.low):
            low = float(self._above(np.array([b.low]), b.above)[0])
        if np.isfinite(b.high):
            high = float(self.beside(np.array([b.high]), -1, b.below)[0])
        return low, high

    def _above(self, natural: np.ndarray, strict: bool) -> np.ndarray:
        """The least tick [n] whose value is at least (more than, where strict) `natural` [n]; NaN kept."""
        if not self.grain.whole:
            if not strict:
                return natural
            if self.grain.single:
                return np.nextafter(natural.astype(np.float32), np.float32(np.inf)).astype(np.float64)
            return np.asarray(np.nextafter(natural, np.inf))
        finite = np.isfinite(natural)
        ticks = np.where(finite, self.grain.at(np.where(finite, natural, 0.0)), natural)
        for _ in range(2):
            value = self.grain.natural(np.where(finite, ticks, 0.0))
            ticks = ticks + (finite & (value <= natural if strict else value < natural))
        return np.asarray(ticks)

    def beside(self, natural: np.ndarray, side: int, strict: bool) -> np.ndarray:
        """The tick [n] next to `natural` [n]: at or above it where side is 1, at or below where -1; off it if strict."""
        if side > 0:
            return self._above(natural, strict)
        if not self.grain.whole:
            return np.nextafter(natural, -np.inf) if strict else natural
        ticks = np.where(np.isfinite(natural), self.grain.at(natural), natural)
        finite = np.isfinite(ticks)
        value = self.grain.natural(np.where(finite, ticks, 0.0))
        return np.asarray(ticks - (finite & (value >= natural if strict else value > natural)))

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        scale = self.scale(fine)
        bins = np.maximum(codes - 1, 0) if self.missing else codes
        ticks = scale.ticks(bins, place if place is not None else np.zeros(len(codes)))
        if self.relative:
            ticks = np.where(self.grain.marks(ticks), ticks, self._restored(ticks, made))
        ticks = self.grain.rounded(ticks)
        known = self.shown[not fine]
        if known is not None and not self.relative:  # what is drawn as it is has the digits it has
            free = ~np.isin(ticks, scale.value) & ~self.grain.marks(ticks)
            unit = 10.0**self.grain.places if self.grain.whole else 1.0
            shown = known.rounded(ticks[free] / unit) * unit
            shown = np.rint(shown) if self.grain.whole else shown
            ticks[free] = np.clip(shown, scale.lows[0], scale.highs[-1])
        for low, strict in self.lowers:
            ticks = np.fmax(ticks, self._above(made.beside(low, self.grain.kind), strict))
        if self.bounds != Bounds():
            ticks = np.clip(ticks, *self.limits())
        if self.missing:
            ticks = np.where(codes == 0, np.nan, ticks)
        return {self.name: self.grain.array(ticks)}

    def state(self) -> dict[str, Any]:
        return {
            "part": "number",
            "name": self.name,
            "grain": self.grain.state(),
            "missing": self.missing,
            "fine": self.fine.state(),
            "coarse": self.coarse.state(),
            "lowers": [list(low) for low in self.lowers],
            "middle": self.middle,
            "bounds": [_finite(self.bounds.low), _finite(self.bounds.high), self.bounds.above, self.bounds.below],
            "shown": [None if known is None else known.state() for known in self.shown],
            "near": self.near,
            "cycle": None if self.cycle is None else self.cycle.name,
            "ends": [_finite(end) for end in self.ends],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        grain = Grain.restore(state["grain"])
        low, high, above, below = state["bounds"]
        bounds = Bounds(-np.inf if low is None else low, np.inf if high is None else high, above, below)
        fine, coarse = (Scale.restore(state[name], grain.whole) for name in ("fine", "coarse"))
        lowers = tuple((str(low), bool(strict)) for low, strict in state["lowers"])
        first, second = (None if known is None else Precision.restore(known) for known in state["shown"])
        begun, over = state["ends"]
        ends = (-np.inf if begun is None else float(begun), np.inf if over is None else float(over))
        return cls(
            state["name"],
            grain,
            int(state["missing"]),
            fine,
            coarse,
            lowers,
            float(state["middle"]),
            bounds,
            (first, second),
            str(state["near"]),
            None if state["cycle"] is None else Cycle(str(state["cycle"]), grain.kind == "datetime"),
            ends,
        )

    def precise(self, ticks: np.ndarray) -> Self:
        """The part, which also knows how many digits the training `ticks` [n] have."""
        grain = self.grain
        if not grain.mixed or self.relative or grain.step != 1 or grain.origin != 0:
            return self
        fine, coarse = (ticks[~np.isin(ticks, scale.value)] for scale in (self.fine, self.coarse))
        first, second = (learn(grain.natural(some), grain.places, grain.single) for some in (fine, coarse))
        return replace(self, shown=(first, second))


class Phase(Number):
    """Where in its cycle a moment lies, as a part beside that of the column itself; none of the columns is made from it alone.

    grain: the lattice of phases.
    """

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def ticks(self, cells: Cells) -> np.ndarray:
        assert self.cycle is not None
        column = cells.columns[self.name]
        return self.grain.ticks(pa.array(phases(self.cycle, column), pa.float64(), from_pandas=True).cast(pa.int64()))

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        """The phases, under a name that no column has."""
        bins = np.maximum(codes - 1, 0) if self.missing else codes
        ticks = self.scale(fine).ticks(bins, place if place is not None else np.zeros(len(codes)))
        return {f"\0{self.name}": pa.array(self.grain.units(self.grain.rounded(ticks)))}

    def state(self) -> dict[str, Any]:
        timed = self.cycle is not None and self.cycle.timed
        return {**super().state(), "part": "phase", "timed": timed}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return replace(super().restore(state), cycle=Cycle(str(state["cycle"]), bool(state["timed"])))


def phase_of(part: Number, made: Cells, n: int) -> np.ndarray:
    """int64 [n]: the phases of a column about to be made from `made`; those that it has already where none were drawn."""
    assert part.cycle is not None
    drawn = made.columns.get(f"\0{part.name}")
    if drawn is not None:
        return np.asarray(drawn.to_numpy(zero_copy_only=False))
    if part.name not in made.columns:
        return np.zeros(n, np.int64)
    return np.asarray(np.nan_to_num(phases(part.cycle, made.columns[part.name])).astype(np.int64))


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None


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


Part = Number | Phase | Choice | Presence | Constant | Computed
PARTS: Mapping[str, type[Part]] = {
    "number": Number,
    "phase": Phase,
    "choice": Choice,
    "presence": Presence,
    "constant": Constant,
    "computed": Computed,
}


def restore_part(state: Mapping[str, Any]) -> Part:
    """The part that gave `state`."""
    return PARTS[state["part"]].restore(state)
