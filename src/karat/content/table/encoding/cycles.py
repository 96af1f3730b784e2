"""Dates and moments as turns of a calendar's cycle and the phase in it: the season, the day of the month or week, the hour.

How far one moment lies from another, told as one number, loses where in the year it is: a career of 4,321 days ends in
autumn only if it began in spring. Told as the phase, and as how many turns after that of the other moment, both stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import DAY, present, whole_units

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Cycle:
    """A cycle by its name: "year", "month", "week" or "day". Moments are whole days, or microseconds where `timed`, since 1970.

    A phase is the moment's place in a turn in the same unit; in a year, months have 31 days each, so that the first of a month
    is the same phase in all years, and what a month does not have is its last day.
    """

    name: str
    timed: bool

    @property
    def day(self) -> int:
        return DAY if self.timed else 1

    @property
    def close(self) -> int:
        """How near another moment is told by its distance, whatever its phase: about a twelfth of a turn."""
        return {"day": self.day // 12, "week": self.day, "month": 3 * self.day, "year": 30 * self.day}[self.name]

    def split(self, moments: np.ndarray) -> Split:
        """int64 [n] each: the turn and the phase of moments int64 [n]."""
        days, rest = np.divmod(moments, self.day)
        if self.name == "day":
            return days, rest
        if self.name == "week":
            turn, at = np.divmod(days + 3, 7)  # 1970-01-01 was a Thursday
            return turn, at * self.day + rest
        month = days.astype("datetime64[D]").astype("datetime64[M]")
        at = days - month.astype("datetime64[D]").astype(np.int64)
        turn = month.astype(np.int64)
        if self.name == "year":
            turn, of = np.divmod(turn, 12)
            at = 31 * of + at
        return turn, at * self.day + rest

    def joined(self, turn: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """int64 [n]: the moments at a phase [n] of a turn [n]."""
        at, rest = np.divmod(phase, self.day)
        if self.name == "day":
            return np.asarray(turn * self.day + phase)
        if self.name == "week":
            return np.asarray((turn * 7 + at - 3) * self.day + rest)
        month = turn
        if self.name == "year":
            of, at = np.divmod(at, 31)
            month = turn * 12 + of
        first, following = (
            (month + k).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for k in (0, 1)
        )
        return np.asarray(np.minimum(first + at, following - 1) * self.day + rest)

    def since(self, moments: np.ndarray, base: np.ndarray) -> np.ndarray:
        """int64 [n]: how many turns after that of `base` [n] a moment's [n] is: 0 in the same year, whatever the days between."""
        return np.asarray(self.split(moments)[0] - self.split(base)[0])

    def after(self, many: np.ndarray, phase: np.ndarray, base: np.ndarray) -> np.ndarray:
        """int64 [n]: the moments at a phase [n] so `many` turns after `base` [n]; later by one where it was over by then."""
        begun, first = self.split(base)
        return self.joined(begun + np.maximum(many, phase < first), phase)


CYCLES = ("day", "week", "month", "year")


def phases(cycle: Cycle, cells: pa.Array) -> np.ndarray:
    """float64 [n]: the phase of each cell, NaN where missing."""
    return np.where(present(cells), cycle.split(whole_units(cells))[1], np.nan)
