"""What a number is like on each day of the week, in each month and at each time of the day, and how far it stays away from it.

Of each series by itself: `y = level + season + d`, where `d` keeps a part of itself from one step to the next. The parts are
fitted by least squares to what a step does not keep of the one before (Cochrane & Orcutt, 1949), and taken where they gain more
than their number of free values costs (Schwarz, "Estimating the dimension of a model", 1978).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from karat.content.relational.database import Family
from karat.content.relational.series.calendar import Calendar

HOURS = 48  # times of the day that are told apart, at most
ROUNDS = 3  # in which what is kept and the parts are fitted in turn
KEPT = 0.5  # share that a step keeps, from which a number is learned so where it has no season
MOST = 0.98  # that is kept of what returns


@dataclass(frozen=True)
class Season:
    """parts: float64 [series, phases] by name: "level" (one phase), "week", "year", "day".   keep: share of the distance from them
    that lasts to the next step.
    """

    parts: Mapping[str, np.ndarray]
    keep: float

    def of(self, who: np.ndarray, when: np.ndarray, calendar: Calendar) -> np.ndarray:
        """float64 [n]: what is to be expected of the series `who` [n] (-1: one that was never seen) at moments [n]."""
        phase = phases(when, calendar)
        out = np.zeros(len(who))
        for name, part in self.parts.items():
            mean = part.mean(0)
            out += np.where(who >= 0, part[np.maximum(who, 0), phase[name]], mean[phase[name]])
        return out

    def state(self) -> dict[str, Any]:
        return {"parts": {name: part.tolist() for name, part in self.parts.items()}, "keep": self.keep}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        parts = {str(name): np.array(part, np.float64) for name, part in state["parts"].items()}
        keep = float(state["keep"])
        fine = all(part.ndim == 2 and np.isfinite(part).all() for part in parts.values())
        if not fine or not set(parts) <= {"level", "week", "year", "day"} or not 0 <= keep <= 1:
            raise ValueError("a season has finite parts for each series, and keeps a share of 0 to 1")
        return cls(parts, keep)


def phases(when: np.ndarray, calendar: Calendar) -> dict[str, np.ndarray]:
    """int64 [n]: the phase of each moment by name; of a calendar of days or months."""
    out = {"level": np.zeros(len(when), np.int64)}
    if calendar.beat:
        return out
    day = np.floor_divide(np.nan_to_num(when).astype(np.int64), 86_400_000_000)
    out["year"] = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    if calendar.days:
        out["week"] = (day + 3) % 7
        out["day"] = calendar.slot(when) * min(calendar.slots, HOURS) // calendar.slots
    return out


def fit(
    y: np.ndarray, who: np.ndarray, when: np.ndarray, calendar: Calendar, family: Family, wanders: bool
) -> Season | None:
    """The season of values [n]; None where there is none and no step keeps much of the one before.

    wanders: whether it keeps all of it.
    """
    later = np.flatnonzero(family.before >= 0)
    back = family.before[later]
    phase = phases(when, calendar)
    names: list[str] = [] if wanders else ["level"]
    keep, parts, cost = _fitted(y, who, phase, names, later, back, wanders)
    for name in ("day", "week", "year"):
        if name in phase and len(np.unique(phase[name])) > 1:
            more = _fitted(y, who, phase, [*names, name], later, back, wanders)
            if more[2] < cost:
                names, (keep, parts, cost) = [*names, name], more
    if not set(names) - {"level"} and (wanders or keep < KEPT):
        return None
    return Season(parts, keep)


def _fitted(
    y: np.ndarray,
    who: np.ndarray,
    phase: Mapping[str, np.ndarray],
    names: Sequence[str],
    later: np.ndarray,
    back: np.ndarray,
    wanders: bool,
) -> tuple[float, dict[str, np.ndarray], float]:
    """What is kept, the parts, and the information criterion: less is better."""
    series = int(who.max()) + 1
    size = {name: int(phase[name].max()) + 1 for name in names}
    width = sum(size.values())
    column = (
        np.stack([phase[name] + sum(size[n] for n in names[:i]) for i, name in enumerate(names)], 1) if names else None
    )
    keep, best = (1.0 if wanders else 0.0), np.zeros((series, width))
    free, squares = 0, 0.0
    for _ in range(1 if wanders else ROUNDS):
        free, squares = 0, 0.0
        for one in range(series):
            mine = who[later] == one
            goal = y[later[mine]] - keep * y[back[mine]]
            if column is None:
                squares += float(((goal - goal.mean()) ** 2).sum())
                free += 1
                continue
            x = np.zeros((int(mine.sum()), width))
            rows = np.arange(len(x))[:, None]
            np.add.at(x, (rows, column[later[mine]]), 1.0)
            np.add.at(x, (rows, column[back[mine]]), -keep)
            drift = goal.mean() if wanders else 0.0
            best[one], _, rank, _ = np.linalg.lstsq(x, goal - drift, rcond=1e-9)
            squares += float(((goal - drift - x @ best[one]) ** 2).sum())
            free += int(rank)
        if not wanders:
            away = y - (best[who[:, None], column].sum(1) if column is not None else 0.0)
            keep = float(
                np.clip((away[later] * away[back]).sum() / max(float((away[back] ** 2).sum()), 1e-300), 0.0, MOST)
            )
    ends = np.cumsum([0, *size.values()])
    parts = {name: best[:, ends[i] : ends[i + 1]] for i, name in enumerate(names)}
    return keep, parts, len(later) * math.log(max(squares / max(len(later), 1), 1e-300)) + free * math.log(len(later))
