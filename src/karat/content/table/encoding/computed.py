"""The part of a column that a formula works out: its result, a value of its own where there is none, and its exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import Grain
from karat.content.table.encoding.scales import ENTRIES, Scale
from karat.content.table.rules.expressions import Cells

LARGEST = 2.0**62  # of a formula's result in units; what is beyond no 64 bits hold, and it is missing
Coded = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Computed:
    """The left side of a formula: missing, worked out, or, where something on the right is missing, a value of its own.

    off: of a formula that nearly always holds, how far exceptions lie from what it gives, and more than `slack` ticks.
    """

    name: str
    grain: Grain
    missing: int
    computed: int
    alone: Scale | None
    off: Scale | None = None
    slack: float = 0.0

    @classmethod
    def fit(
        cls, name: str, grain: Grain, values: pa.Array, formula: np.ndarray, exceptions: np.ndarray | None = None
    ) -> Self:
        """values: the training cells.   formula: the right side [n], NaN where it is unknown.   exceptions: bool [n]."""
        plain = replace(
            grain, step=1, origin=0, weekdays=(), below=None, above=None, minus=None
        )  # a result may lie off the lattice of those learned from
        ticks = plain.ticks(values)
        own = np.isfinite(ticks) & np.isnan(formula)
        alone = Scale.fit(ticks[own], ENTRIES - 2, plain.whole) if own.any() else None
        gone = int(np.isnan(ticks).sum())
        part = cls(name, plain, gone, len(ticks) - gone - int(own.sum()), alone)
        away = ticks - part.result(formula)
        known = np.isfinite(away)
        odd = known & exceptions if exceptions is not None else np.zeros(len(ticks), bool)
        if not odd.any():
            return part
        slack = float(np.abs(away[known & ~odd]).max(initial=0.0))
        odd &= np.abs(away) > slack
        off = Scale.fit(away[odd], ENTRIES - 2, plain.whole) if odd.any() else None
        return replace(part, computed=part.computed - int(odd.sum()), off=off, slack=slack)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def begins(self) -> tuple[int, int, int]:
        """The codes of what is worked out, of the first value of its own, and of the first exception."""
        first = int(self.missing > 0)
        return first, first + 1, first + 1 + (0 if self.alone is None else self.alone.size)

    def size(self, fine: bool) -> int:
        return self.begins[2] + (0 if self.off is None else self.off.size)

    def counts(self, fine: bool) -> np.ndarray:
        scales = [scale.counts for scale in (self.alone, self.off) if scale is not None]
        return np.concatenate([[self.missing] if self.missing else [], [max(self.computed, 1)], *scales])

    def placed(self, fine: bool) -> bool:
        return False

    def chancy(self, fine: bool) -> bool:
        return any(scale is not None and not scale.exact for scale in (self.alone, self.off))

    def result(self, formula: np.ndarray) -> np.ndarray:
        """The ticks [n] of what a formula gives; NaN where no cell can hold it."""
        if not self.grain.whole:
            return formula
        ticks = np.rint(formula * self.grain.unit)
        return np.where(np.abs(ticks) < LARGEST, ticks, np.nan)

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        ticks = self.grain.ticks(cells.columns[self.name])
        worked, first, last = self.begins
        codes = np.full(len(ticks), worked, np.int64)
        known = ~np.isnan(ticks)
        assert formula is not None or self.alone is None and self.off is None
        if self.alone is not None and formula is not None:
            own = known & np.isnan(formula)
            codes[own] = first + self.alone.bins(ticks[own])
        if self.off is not None and formula is not None:
            away = ticks - self.result(formula)
            odd = np.isfinite(away) & (np.abs(away) > self.slack)
            codes[odd] = last + self.off.bins(away[odd])
        if self.missing:
            codes[~known] = 0
        return codes, None

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        assert formula is not None
        ticks, where = self.result(formula), place if place is not None else np.zeros(len(codes))
        _, first, last = self.begins
        if self.off is not None:
            bins = np.clip(codes - last, 0, self.off.size - 1)
            ticks = np.where(codes >= last, ticks + self.off.ticks(bins, where), ticks)
        if self.alone is not None:
            bins = np.clip(codes - first, 0, self.alone.size - 1)
            ticks = np.where(np.isnan(ticks), self.alone.ticks(bins, where), ticks)
        if self.missing:
            ticks = np.where(codes == 0, np.nan, ticks)
        return {self.name: self.grain.array(ticks)}

    def state(self) -> dict[str, Any]:
        return {
            "part": "computed",
            "name": self.name,
            "grain": self.grain.state(),
            "missing": self.missing,
            "computed": self.computed,
            "alone": None if self.alone is None else self.alone.state(),
            "off": None if self.off is None else self.off.state(),
            "slack": self.slack,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        grain = Grain.restore(state["grain"])
        alone, off = (
            None if state.get(name) is None else Scale.restore(state[name], grain.whole) for name in ("alone", "off")
        )
        slack = float(state.get("slack", 0.0))
        return cls(state["name"], grain, int(state["missing"]), int(state["computed"]), alone, off, slack)
