"""The steps of a series as whole numbers: working days, months, the hours at which a shop is open, or an even beat.

Neighbouring steps differ by one where none is left out, so that a generator that draws how many steps lie between two rows
never makes a Saturday that real rows do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

DAY = 86_400_000_000  # microseconds
SLOTS = 2_000  # times of the day that are told apart, at most
OFTEN = 4  # rows of each time of the day, on average at least, where there are several
FREQUENT = 0.5  # share of neighbours that lie one beat apart, from which steps are even
NAMES = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
UNITS = ((DAY, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second"), (1, "microsecond"))


@dataclass(frozen=True)
class Calendar:
    """Which moments there are.

    days: of the week (0 = Monday), with `times` of the day in microseconds; () where steps are no days.   month_day: of the month,
    where steps are months, 31 for the last; 0 where not.   beat: microseconds, or what an order that is no moment counts in,
    between steps that are neither; 0 where they are days or months.
    """

    days: tuple[int, ...] = ()
    times: tuple[int, ...] = (0,)
    month_day: int = 0
    beat: int = 0

    @classmethod
    def find(cls, at: np.ndarray, dated: bool) -> Self:
        """The calendar of rising `at` [n], microseconds where `dated`."""
        gaps = np.unique(np.diff(at))
        whole = bool((at == np.rint(at)).all())
        even = int(np.gcd.reduce(np.rint(gaps).astype(np.int64))) if whole and len(gaps) else 1
        beat = cls(beat=max(even, 1))
        if not dated:
            return beat
        moment = at.astype(np.int64)
        day, time = np.divmod(moment, DAY)
        times = np.unique(time)
        months = (day.astype("datetime64[D]") - day.astype("datetime64[D]").astype("datetime64[M]")).astype(
            np.int64
        ) + 1
        ends = _month_ends(day) == day
        if len(times) == 1 and len(gaps) and gaps[0] > 27 * DAY and (ends.all() or len(np.unique(months)) == 1):
            return cls(times=(int(times[0]),), month_day=31 if ends.all() else int(months[0]))
        if len(times) == 1 or len(times) <= SLOTS and len(at) >= OFTEN * len(times):
            return cls(tuple(np.unique((day + 3) % 7).tolist()), tuple(times.tolist()))
        return beat

    def ticks(self, at: np.ndarray) -> np.ndarray:
        """float64 [n]: the step at or before each of `at` [n]."""
        if self.beat:
            return np.asarray(np.floor(at / self.beat))
        day, time = np.divmod(np.rint(at).astype(np.int64), DAY)
        if self.month_day:
            month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
            return np.asarray(month - (self.at(month) > at), np.float64)
        week, of = np.divmod(day + 3, 7)
        place = np.searchsorted(self.days, of, "right") - 1
        slot = np.where(place >= 0, np.take(self.days, place) == of, False)
        slot = np.where(slot, np.searchsorted(self.times, time, "right") - 1, len(self.times) - 1)
        return np.asarray((week * len(self.days) + place) * len(self.times) + slot, np.float64)

    def at(self, ticks: np.ndarray) -> np.ndarray:
        """float64 [n]: the moment of each step."""
        if self.beat:
            return np.asarray(ticks * self.beat, np.float64)
        whole = np.rint(ticks).astype(np.int64)
        if self.month_day:
            first = whole.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
            day = np.minimum(first + self.month_day - 1, _month_ends(first))
            return np.asarray(day * DAY + self.times[0], np.float64)
        days, slot = np.divmod(whole, len(self.times))
        week, place = np.divmod(days, len(self.days))
        day = week * 7 + np.take(self.days, place) - 3
        return np.asarray(day * DAY + np.take(self.times, slot), np.float64)

    def after(self, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """float64 [n]: the moments so many steps later, at least one."""
        return self.at(self.ticks(at) + np.maximum(steps, 1))

    @property
    def slots(self) -> int:
        """Times of the day that there are, 1 where steps are no times of the day."""
        return len(self.times)

    def slot(self, at: np.ndarray) -> np.ndarray:
        """int64 [n]: which of the times of the day each moment is."""
        time = np.mod(np.rint(np.nan_to_num(at)).astype(np.int64), DAY)
        return np.asarray(np.maximum(np.searchsorted(self.times, time, "right") - 1, 0))

    def even(self, at: np.ndarray) -> bool:
        """Whether most neighbours of the rising `at` [n] are one step apart."""
        gap = np.diff(self.ticks(at))
        return len(gap) > 0 and float((gap == np.median(gap)).mean()) >= FREQUENT

    def words(self, at: np.ndarray, dated: bool) -> str:
        """How far the rising `at` [n] lie apart, for a person."""
        gap = np.diff(self.ticks(at))
        usual = float(np.median(gap))
        left = f", {int((gap > usual).sum()):,} gaps" if (gap > usual).any() else ""
        if self.month_day:
            return {1: "monthly", 3: "quarterly", 12: "yearly"}.get(int(usual), f"every {int(usual)} months") + left
        if not self.even(at):
            return "at irregular times"
        if self.beat:
            return (_every(usual * self.beat) if dated else f"each {usual * self.beat:g} after the last") + left
        free = "" if len(self.days) == 7 else ", gaps at weekends" if self.days == (0, 1, 2, 3, 4) else ""
        free = free or ("" if len(self.days) in (1, 7) else f", on {', '.join(NAMES[d] for d in self.days)}")
        if usual % self.slots == 0:  # of several times, too: midnights of a place with summer time are two
            return (
                ("weekly" if len(self.days) == 1 else "daily")
                + free
                + left.replace(" gaps", " more gaps" if free else " gaps")
            )
        return _every(float(np.median(np.diff(self.times)))) + free + left

    def state(self) -> dict[str, Any]:
        return {"days": list(self.days), "times": list(self.times), "month_day": self.month_day, "beat": self.beat}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        days, times = (tuple(int(x) for x in state[name]) for name in ("days", "times"))
        out = cls(days, times, int(state["month_day"]), int(state["beat"]))
        fine = all(0 <= d < 7 for d in days) and bool(times) and (out.beat > 0 or out.month_day > 0 or bool(days))
        if not fine or not all(0 <= t < DAY for t in times) or not 0 <= out.month_day <= 31 or out.beat < 0:
            raise ValueError("a calendar of days, times or months was wanted")
        return out


def _month_ends(day: np.ndarray) -> np.ndarray:
    """int64 [n]: the last day of the month of each day since 1970."""
    month = day.astype("datetime64[D]").astype("datetime64[M]")
    return np.asarray((month + 1).astype("datetime64[D]").astype(np.int64) - 1)


def _every(apart: float) -> str:
    unit, name = next((u, name) for u, name in UNITS if apart >= u and apart % u == 0)
    many = int(apart // unit)
    return f"every {name}" if many == 1 else f"every {many:,} {name}s"
