"""The parts that a table is coded in: a number, a choice, a formula's result, and what is only there or missing.

Each encodes cells to a code and, where a bin leaves something open, a place in it; each makes its cells from both again.
Among codes (`fine`) a part is one code; among fields it is one choice, and where it has bins one number more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.table.encoding import heaps
from karat.content.table.encoding.coding import Grain
from karat.content.table.encoding.computed import Coded, Computed
from karat.content.table.encoding.cycles import Cycle, phases
from karat.content.table.encoding.heaps import Heaps, chances
from karat.content.table.encoding.marked import Choice, Constant, Presence, Side, Standing, beyond, exceptions, mark_of
from karat.content.table.encoding.scales import Reach, Scale
from karat.content.table.rules.constraints import Bounds
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.precision import Precision, learn

Shown = Heaps | Precision | None
SELDOM = 0.1  # of the mean count of a value


@dataclass(frozen=True)
class Number:
    """A number, date or time. With `lowers`, its distance from the greatest of these columns is what is coded, with `near`
    its distance from that column, on whichever side. With `cycle` its distance is coded where that is short, and else its
    phase, which is a part of its own, and how many turns later it is; a moment that is no distance is coded as its turn.
    With `own` it is coded as what it is, and where that breaks the order it is moved to the nearest value that does not.

    missing: training rows in which it is missing.   lowers: (column, strictly greater).   middle: the tick that stands for
    a missing lower.   shown: where what is not drawn as it is stands, or the digits it has, by the fine and by the coarse scale.
    ends: the first and last tick of training rows, of a moment coded as its turn and phase.   zero: the least distance from `near`
    in ticks that is no exception of an order; None where there is none.   reach: between what the column keeps, whatever it
    is told by; None of one that is coded as it is.
    """

    name: str
    grain: Grain
    missing: int
    fine: Scale
    coarse: Scale
    lowers: tuple[tuple[str, bool], ...] = ()
    middle: float = 0.0
    bounds: Bounds = Bounds()
    shown: tuple[Shown, Shown] = (None, None)
    near: str = ""
    cycle: Cycle | None = None
    ends: tuple[float, float] = (-np.inf, np.inf)
    own: bool = False
    zero: int | None = None
    reach: Reach | None = None

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
        return bool(self.bases) and not self.own or self.cycle is not None

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
        return not self.scale(fine).exact or self.relative and self.shown[not fine] is not None

    @staticmethod
    def base_of(grain: Grain, names: Sequence[str], cells: Cells) -> np.ndarray:
        """float64 [n]: the tick at or below the greatest of the columns `names`; NaN where all are missing."""
        found = np.asarray(np.fmax.reduce([grain.at(cells.beside(name, grain.kind)) for name in names]))
        return np.where(np.isinf(found), np.nan, found)

    def _base(self, cells: Cells) -> np.ndarray | float:
        if not self.bases or self.own:
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
        coded = scale.ticks(bins, place if place is not None else np.zeros(len(codes)))
        ticks = coded
        if self.relative:
            ticks = np.where(
                self.grain.marks(ticks), ticks, self._within(self._restored(ticks, made), coded, made, fine)
            )
        ticks = self._standing(self.grain.rounded(ticks), coded, place, made, fine)
        if self.own:
            ticks = self._in_order(ticks, made, fine)
        for low, strict in self.lowers:
            ticks = np.fmax(ticks, self._above(made.beside(low, self.grain.kind), strict))
        if self.bounds != Bounds():
            ticks = np.clip(ticks, *self.limits())
        if self.missing:
            ticks = np.where(codes == 0, np.nan, ticks)
        return {self.name: self.grain.array(ticks)}

    def _span(self, coded: np.ndarray, base: np.ndarray, fine: bool) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest tick [n] of what is `coded` [n] as a distance from `base` [n], on its side of an order."""
        scale = self.scale(fine)
        low, high = np.full(len(coded), scale.lows[0]), np.full(len(coded), scale.highs[-1])
        if self.cycle is not None:
            high[:] = self.close
        if self.zero is not None:
            low = np.where(coded >= self.zero, self.zero, low)
            high = np.where(coded >= self.zero, high, self.zero - 1)
        low, high = base + low, base + high
        if self.reach is None:
            return low, high
        if self.zero is not None:  # there is room on one side alone beside the least and the greatest
            least, most = self.reach.ends(base)
            return np.clip(low, least, most), np.clip(high, least, most)
        return self.reach.narrowed(low, high, base)

    def _within(self, ticks: np.ndarray, coded: np.ndarray, made: Cells, fine: bool) -> np.ndarray:
        """float64 [n]: `ticks` [n] of what is `coded` [n], those that lie beyond what the column reaches brought back into it."""
        if self.reach is None:
            return ticks
        base = np.broadcast_to(self._base(made), ticks.shape)
        least, most = self.reach.ends(base)
        out = ticks.copy()
        if self.cycle is not None:  # by whole turns, as the phase stays
            rows = np.flatnonzero((coded >= self.close) & ((ticks < least) | (ticks > most)))
            phase, units = phase_of(self, made, len(ticks))[rows], self.grain.units(base[rows])
            many = self.cycle.since(self.grain.units(ticks[rows]), units)
            many = np.where(ticks[rows] < least[rows], many + 1, self.cycle.since(self.grain.units(most[rows]), units))
            for _ in range(2):
                out[rows] = self.grain.of_units(self.cycle.after(many, phase, units))
                many = many - (out[rows] > most[rows])
            out[rows] = np.clip(out[rows], np.fmin(base[rows], least[rows]), np.fmax(base[rows], most[rows]))
        rows = np.flatnonzero(self.by_distance(coded) & ((ticks < least) | (ticks > most)))
        back = 2 * np.where(ticks < least, least, most)[rows] - ticks[rows]
        back = np.clip(back, *(end[rows] for end in self._span(coded, base, fine)))
        if self.zero is not None:  # on the side of an order on which it was, as far as there is room
            first = self._above(made.beside(self.near, self.grain.kind), self.zero == 1)[rows]
            back = np.where(ticks[rows] >= first, np.fmax(back, np.fmin(first, most[rows])), back)
            back = np.where(ticks[rows] < first, np.fmin(back, np.fmax(first - 1, least[rows])), back)
        out[rows] = back
        return out

    def _standing(
        self, ticks: np.ndarray, coded: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool
    ) -> np.ndarray:
        """float64 [n]: `ticks` [n] as training rows show them; what is drawn as it is has the digits it has, and stands there."""
        known, scale, grain = self.shown[not fine], self.scale(fine), self.grain
        if known is None:
            return ticks
        free = ~np.isin(ticks, scale.value) if not self.relative else self.by_distance(coded)
        rows = np.flatnonzero(free & ~grain.marks(ticks) & np.isfinite(ticks))
        chance = chances(ticks[rows], None if place is None else place[rows])
        if isinstance(known, Precision):
            new = np.clip(known.rounded(ticks[rows], chance), scale.lows[0], scale.highs[-1])
        else:
            low, high = np.full(len(rows), scale.lows[0]), np.full(len(rows), scale.highs[-1])
            if self.bases and not self.own:
                base = np.broadcast_to(self._base(made), ticks.shape)[rows]
                low, high = self._span(coded[rows], base, fine)
            units, low, high = (grain.units(x).astype(np.float64) for x in (ticks[rows], low, high))
            drawn = made.columns.get(mark_of(self.name)) if self.relative else None
            level = known.level(units, chance) if drawn is None else drawn.to_numpy(zero_copy_only=False)[rows]
            new = grain.of_units(known.rounded(units, level, low, high).astype(np.int64))
        out = ticks.copy()
        out[rows] = new
        return out

    def by_distance(self, coded: np.ndarray) -> np.ndarray:
        """bool [n]: of what is `coded` [n] as a distance or a turn, that which is a distance."""
        if self.cycle is None:
            return np.ones(len(coded), bool)
        return np.asarray(coded < self.close) if self.bases else np.zeros(len(coded), bool)

    def _in_order(self, ticks: np.ndarray, made: Cells, fine: bool) -> np.ndarray:
        """float64 [n]: `ticks` [n], those on the wrong side of the columns that this one is to be beyond brought to the other.

        As far beyond as they were before, to the nearest value that training rows have where these have few.
        """
        kind, strict = self.grain.kind, self.zero == 1
        lowers = ((self.near, strict),) if self.near else self.lowers
        least = np.fmax.reduce([self._above(made.beside(low, kind), strict) for low, strict in lowers])
        odd = np.zeros(len(ticks), bool)
        if self.near:
            drawn = made.columns.get(beyond(self.name))
            if drawn is not None:
                odd = np.asarray(drawn.to_numpy(zero_copy_only=False), bool)
            elif self.name in made.columns:
                odd = exceptions(self.near, self.name, strict, made)
        out = ticks.copy()
        for wrong, side in ((~odd & (ticks < least), 1), (odd & (ticks >= least), -1)):
            rows = np.flatnonzero(wrong & np.isfinite(least))
            end = least[rows] - (side < 0)
            new = 2 * end - ticks[rows]
            if self.fine.exact:  # but for what hardly any row has
                values = self.fine.lows[self.fine.counts >= SELDOM * self.fine.counts.mean()]
                at = np.searchsorted((values[:-1] + values[1:]) / 2, new)
                first = np.searchsorted(values, end, side="left" if side > 0 else "right") - (side < 0)
                at = np.maximum(at, first) if side > 0 else np.minimum(at, first)
                there = (at >= 0) & (at < len(values))
                new = values[np.clip(at, 0, len(values) - 1)]
            else:
                known, last = self.shown[not fine], self.scale(fine).highs[-1] if side > 0 else self.scale(fine).lows[0]
                last = last if self.reach is None else self.reach.ends(end)[side > 0]
                there = (end <= last if side > 0 else end >= last) | (not self.near)
                new = np.clip(new, end, np.maximum(end, last)) if side > 0 else np.clip(new, np.minimum(end, last), end)
                if isinstance(known, Heaps):
                    units, ends = (self.grain.units(x).astype(np.float64) for x in (new, end))
                    low, high = (ends, np.inf) if side > 0 else (-np.inf, ends)
                    new = self.grain.of_units(
                        known.rounded(units, known.level(units, chances(units)), low, high).astype(np.int64)
                    )
            out[rows[there]] = new[there]
        return out

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
            "ends": [*(_finite(end) for end in self.ends), *(() if self.reach is None else self.reach.state())],
            "own": self.own,
            "zero": self.zero,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        grain = Grain.restore(state["grain"])
        low, high, above, below = state["bounds"]
        bounds = Bounds(-np.inf if low is None else low, np.inf if high is None else high, above, below)
        fine, coarse = (Scale.restore(state[name], grain.whole) for name in ("fine", "coarse"))
        lowers = tuple((str(low), bool(strict)) for low, strict in state["lowers"])
        first, second = (_shown(known) for known in state["shown"])
        begun, over, *reach = state["ends"]
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
            bool(state["own"]),
            None if state["zero"] is None else int(state["zero"]),
            Reach.restore(reach) if reach else None,
        )

    def precise(self, ticks: np.ndarray, coded: np.ndarray) -> Self:
        """The part, which also knows where the training `ticks` [n] stand that are `coded` [n] so; none of them is missing."""
        grain = self.grain
        if self.relative:
            known = self.heaps(ticks[self.by_distance(coded)])
            return replace(self, shown=(known, known))
        fine, coarse = (ticks[~np.isin(ticks, scale.value)] for scale in (self.fine, self.coarse))
        if grain.whole:
            return replace(self, shown=(self.heaps(fine), self.heaps(coarse)))
        return replace(self, shown=(learn(fine, grain.single), learn(coarse, grain.single))) if grain.mixed else self

    def heaps(self, ticks: np.ndarray) -> Heaps | None:
        """Where whole training `ticks` [n] stand; None where they stand anywhere."""
        grain = self.grain
        if not grain.whole or grain.origin % grain.step or grain.kind == "date" and grain.step > 1:
            return None
        return heaps.learn(grain.units(ticks), grain.kind, grain.step, self.relative)


def _shown(state: Mapping[str, Any] | None) -> Shown:
    """What gave `state`."""
    return None if state is None else Precision.restore(state) if "most" in state else Heaps.restore(state)


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


Part = Number | Phase | Side | Standing | Choice | Presence | Constant | Computed
PARTS: Mapping[str, type[Part]] = {
    "number": Number,
    "phase": Phase,
    "side": Side,
    "standing": Standing,
    "choice": Choice,
    "presence": Presence,
    "constant": Constant,
    "computed": Computed,
}


def restore_part(state: Mapping[str, Any]) -> Part:
    """The part that gave `state`."""
    return PARTS[state["part"]].restore(state)
