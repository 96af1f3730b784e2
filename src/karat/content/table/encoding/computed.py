"""The part of a column that a formula works out: which result it is where there are several, a value of its own where there is
none, and its exceptions.
"""

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
# exceptions that a bin of them is for, and bins at least: the rest of a row goes with its bin, and that of few rows is theirs
EACH, FEWEST = 40, 2
Coded = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Computed:
    """The left side of a formula: missing, worked out, or, where something on the right is missing, a value of its own.

    computed: training rows of each alternative of the formula.   off: of a formula that nearly always holds, how far
    exceptions lie from what it gives, and more than `slack` ticks; those from several alternatives are values of their own.
    """

    name: str
    grain: Grain
    missing: int
    computed: tuple[int, ...]
    alone: Scale | None
    off: Scale | None = None
    slack: float = 0.0
    free: bool = False

    @classmethod
    def fit(
        cls, name: str, grain: Grain, values: pa.Array, formula: np.ndarray, exceptions: np.ndarray | None = None
    ) -> Self:
        """values: the training cells.   formula: the right side [alternatives, n], NaN where unknown.   exceptions: bool [n]."""
        plain = replace(
            grain, step=1, origin=0, weekdays=(), below=None, above=None, minus=None
        )  # a result may lie off the lattice of those learned from
        ticks = plain.ticks(values)
        part = cls(name, plain, int(np.isnan(ticks).sum()), (), None)
        which, away = part.nearest(ticks, formula)
        known = np.isfinite(away)
        odd = known & exceptions if exceptions is not None else np.zeros(len(ticks), bool)
        slack = float(np.abs(away[known & ~odd]).max(initial=0.0)) if odd.any() else 0.0
        odd &= np.abs(away) > slack
        own = np.isfinite(ticks) & (np.isnan(formula[0]) | odd & (len(formula) > 1))
        worked = np.isfinite(ticks) & ~own & ~odd
        alone = Scale.fit(ticks[own], ENTRIES - 2, plain.whole) if own.any() else None
        bins = int(np.clip(odd.sum() // EACH, FEWEST, ENTRIES - 2))
        off = Scale.fit(away[odd], bins, plain.whole) if odd.any() and len(formula) == 1 else None
        counts = tuple(np.bincount(which[worked], minlength=len(formula)).tolist())
        return replace(part, computed=counts, alone=alone, off=off, slack=slack, free=bool(odd.any()))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def begins(self) -> tuple[int, int, int]:
        """The codes of what is worked out, of the first value of its own, and of the first exception."""
        first = int(self.missing > 0)
        own = first + len(self.computed)
        return first, own, own + (0 if self.alone is None else self.alone.size)

    @property
    def varied(self) -> bool:
        """Whether there are several alternatives, and exceptions from them all, which are values of their own."""
        return self.free and len(self.computed) > 1

    def size(self, fine: bool) -> int:
        return self.begins[2] + (0 if self.off is None else self.off.size)

    def counts(self, fine: bool) -> np.ndarray:
        scales = [scale.counts for scale in (self.alone, self.off) if scale is not None]
        return np.concatenate([[self.missing] if self.missing else [], np.maximum(self.computed, 1), *scales])

    def placed(self, fine: bool) -> bool:
        return False

    def chancy(self, fine: bool) -> bool:
        return any(scale is not None and not scale.exact for scale in (self.alone, self.off))

    def result(self, formula: np.ndarray) -> np.ndarray:
        """The ticks of what a formula gives; NaN where no cell can hold it."""
        if not self.grain.whole:
            return formula
        ticks = np.rint(formula * self.grain.unit)
        return np.where(np.abs(ticks) < LARGEST, ticks, np.nan)

    def nearest(self, ticks: np.ndarray, formula: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The alternative that lies nearest to `ticks` [n], and how far they lie from it; NaN where unknown."""
        away = ticks - self.result(formula)
        which = np.argmin(np.where(np.isnan(away), np.inf, np.abs(away)), 0)
        return which, away[which, np.arange(len(ticks))]

    def encode(self, cells: Cells, fine: bool, formula: np.ndarray | None) -> Coded:
        ticks = self.grain.ticks(cells.columns[self.name])
        worked, first, last = self.begins
        assert formula is not None
        which, away = self.nearest(ticks, formula)
        codes = worked + which
        known = ~np.isnan(ticks)
        odd = np.isfinite(away) & (np.abs(away) > self.slack)
        if self.alone is not None:
            own = known & (np.isnan(formula[0]) | odd & self.varied)
            codes[own] = first + self.alone.bins(ticks[own])
        if self.off is not None:
            codes[odd] = last + self.off.bins(away[odd])
        if self.missing:
            codes[~known] = 0
        return codes, None

    def decode(
        self, codes: np.ndarray, place: np.ndarray | None, made: Cells, fine: bool, formula: np.ndarray | None
    ) -> dict[str, pa.Array]:
        assert formula is not None
        worked, first, last = self.begins
        which = np.where(codes < first, np.maximum(codes - worked, 0), 0)
        ticks = self.result(formula)[which, np.arange(len(codes))]
        where = place if place is not None else np.zeros(len(codes))
        if self.off is not None:
            bins = np.clip(codes - last, 0, self.off.size - 1)
            ticks = np.where(codes >= last, ticks + self.off.ticks(bins, where), ticks)
        if self.alone is not None:
            bins = np.clip(codes - first, 0, self.alone.size - 1)
            own = np.isnan(ticks) | (codes >= first) & self.varied
            ticks = np.where(own, self.alone.ticks(bins, where), ticks)
        if self.missing:
            ticks = np.where(codes == 0, np.nan, ticks)
        return {self.name: self.grain.array(ticks)}

    def state(self) -> dict[str, Any]:
        return {
            "part": "computed",
            "name": self.name,
            "grain": self.grain.state(),
            "missing": self.missing,
            "computed": list(self.computed),
            "alone": None if self.alone is None else self.alone.state(),
            "off": None if self.off is None else self.off.state(),
            "slack": self.slack,
            "free": self.free,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        grain = Grain.restore(state["grain"])
        alone, off = (
            None if state[name] is None else Scale.restore(state[name], grain.whole) for name in ("alone", "off")
        )
        computed = tuple(int(rows) for rows in state["computed"])
        return cls(
            state["name"],
            grain,
            int(state["missing"]),
            computed,
            alone,
            off,
            float(state["slack"]),
            bool(state["free"]),
        )
