"""Where the values of a column stand oftener than between: whole hours, multiples of 5, Tuesdays, the first of a month.

Which marks there are is found by likelihood, each as a part of those before (every minute, every hour, every day). A value
that is drawn anywhere, as a place in a bin or as a distance from another column, is moved to the nearest mark as often as
training values stand on it (heaping, or digit preference: Wang & Heitjan, "Modeling heaping in self-reported cigarette
counts", 2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from karat.content.table.digests import mixed
from karat.content.table.encoding.cycles import Cycle

LOOKED = 20_000  # values by which marks are found
DIFFERENT = 20  # values, below which they are too few to tell
MEMBERS = 8  # different values on a mark, at least
WIDE = 8  # multiples that the values must reach over
OUTSTANDING = (
    3  # times as often as is usual among values of its column: more rows than so many of one value prove no more
)
GAIN = 10.0  # nats that all values, and
EACH = 0.02  # nats that each must be likelier on average, for a mark to be one
ENOUGH = 20  # values of a power of ten that have shares of their own
MANY = 20  # rows of each of a few values that are all there are
EXACT = 2**53
SECOND, DAY = 10**6, 86_400 * 10**6
CLOCK = (1_000, SECOND, *(SECOND * s for s in (5, 10, 30, 60, 300, 600, 900, 1_800, 3_600)), DAY)
MONTH = Cycle("month", False)
Mark = tuple[
    str, tuple[int, ...]
]  # ("every", (step,)), ("weekdays", days), ("first", ()), ("last", ()), ("these", values)


@dataclass(frozen=True)
class Heaps:
    """marks: from all values to the rarest, each a part of the one before.   shares: by power of ten (None: of all) how many
    values stand on each mark beyond those that would by chance. Values are whole units: of the last decimal, days, microseconds.
    """

    marks: tuple[Mark, ...]
    shares: tuple[tuple[int | None, tuple[float, ...]], ...]

    def rounded(
        self,
        units: np.ndarray,
        level: np.ndarray,
        low: np.ndarray | float = -np.inf,
        high: np.ndarray | float = np.inf,
    ) -> np.ndarray:
        """float64 [n]: `units` float64 [n], each moved to the nearest place of the mark `level` [n].

        low, high: [n], what none is moved beyond; where no place of the mark lies between it stays.
        """
        out = units.copy()
        low, high = (np.broadcast_to(end, units.shape) for end in (low, high))
        for k, mark in enumerate(self.marks[1:], 1):
            rows = np.flatnonzero((level == k) & np.isfinite(units))
            x, least, most = units[rows], low[rows], high[rows]
            below, above = _around(mark, x)
            near = np.where(x - below <= above - x, below, above)
            some = np.isfinite(least)
            near[some] = np.where(near[some] < least[some], _around(mark, least[some])[1], near[some])
            some = np.isfinite(most)
            near[some] = np.where(near[some] > most[some], _around(mark, most[some])[0], near[some])
            good = (near >= least) & (near <= most) & ((near != 0) | (x == 0) | (mark[0] != "every"))
            out[rows[good]] = near[good]
        return out

    def on(self, units: np.ndarray) -> np.ndarray:
        """int64 [n]: the rarest mark that each of whole `units` int64 [n] stands on."""
        return np.asarray(np.sum([_on(mark, units) for mark in self.marks[1:]], 0, dtype=np.int64))

    def level(self, units: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """int64 [n]: the mark that `chance` [n], in [0, 1), draws for each value, by the shares of its power of ten."""
        known = [power for power, _ in self.shares if power is not None]
        if not known:
            return np.asarray(np.searchsorted(np.cumsum(self.shares[0][1]), chance, side="right"))
        shares, powers = dict(self.shares), _powers(units)
        nearest = np.array(known)[np.argmin(np.abs(powers[:, None] - np.array(known)), 1)]
        out = np.zeros(len(units), np.int64)
        for power in known:
            rows = nearest == power
            out[rows] = np.searchsorted(np.cumsum(shares[power]), chance[rows], side="right")
        return np.minimum(out, len(self.marks) - 1)

    def likelier(self, units: np.ndarray) -> float:
        """Nats by which whole `units` int64 [n] are likelier on average than if they stood anywhere."""
        on, weight = {mark: _on(mark, units) for mark in self.marks}, np.ones(len(units))
        return (_likelihood(self.marks, on, weight) - _likelihood(self.marks[:1], on, weight)) / max(1, len(units))

    def state(self) -> dict[str, Any]:
        return {
            "marks": [[name, list(what)] for name, what in self.marks],
            "shares": [[power, list(shares)] for power, shares in self.shares],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        marks = tuple((str(name), tuple(int(k) for k in what)) for name, what in state["marks"])
        return cls(marks, tuple((power, tuple(float(x) for x in shares)) for power, shares in state["shares"]))


def chances(values: np.ndarray, place: np.ndarray | None = None) -> np.ndarray:
    """float64 [n] in [0, 1), spread evenly: the same value at the same place has always the same."""
    bits = np.ascontiguousarray(values, np.float64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    if place is not None:
        bits = bits ^ mixed(np.ascontiguousarray(place, np.float64).view(np.uint64))
    return np.asarray((mixed(bits) >> np.uint64(11)).astype(np.float64) / 2.0**53)


def learn(units: np.ndarray, kind: str, step: int, few: bool = False) -> Heaps | None:
    """The marks of whole `units` int64 [n] of a column of a kind, all of them multiples of `step`; None where there are none.

    few: whether values of which each is held by many rows are a mark of their own, where there is no other.
    """
    units = units[:: max(1, len(units) // LOOKED)]
    every, size = np.unique(units), len(units)
    units = units[units != 0] if kind in ("integer", "decimal") else units  # a zero stands on every mark
    values, counts = np.unique(units, return_counts=True)
    if not len(values) or max(abs(int(values[0])), abs(int(values[-1]))) >= EXACT:
        return None
    weight = np.minimum(counts, OUTSTANDING * np.median(counts))
    marks = _marks(values, weight, kind, step) if len(values) >= DIFFERENT else [("every", (step,))]
    if len(marks) == 1 and few and len(every) * MANY <= size:
        return Heaps((marks[0], ("these", tuple(every.tolist()))), ((None, (0.0, 1.0)),))
    if len(marks) == 1:
        return None
    on = np.stack([_on(mark, units) for mark in marks])
    shares: list[tuple[int | None, tuple[float, ...]]] = [(None, _mixed(marks, on))]
    if kind in ("integer", "decimal"):
        power = _powers(units)
        several, many = np.unique(power, return_counts=True)
        shares += [(int(p), _mixed(marks, on[:, power == p])) for p in several[many >= ENOUGH]]
    return Heaps(tuple(marks), tuple(shares))


def _marks(values: np.ndarray, weight: np.ndarray, kind: str, step: int) -> list[Mark]:
    """The marks of different `values` [k], rising, one after another as each makes the values likeliest."""
    found: list[Mark] = [("every", (step,))]
    possible = _possible(values, weight, kind, step)
    on = {mark: _on(mark, values) for mark in [*found, *possible]}
    while True:
        now = _likelihood(found, on, weight)
        best: tuple[float, list[Mark]] = (max(GAIN, EACH * float(weight.sum())), found)
        for mark in possible:
            if mark in found or on[mark].sum() < MEMBERS:
                continue
            more = sorted([*found, mark], key=_density, reverse=True)
            if not all(_part_of(b, a) for a, b in zip(more, more[1:], strict=False)):
                continue
            at = more.index(mark)
            inside = weight[on[more[at - 1]]].sum()
            if weight[on[mark]].sum() <= inside * _density(mark) / _density(more[at - 1]):
                continue
            gain = _likelihood(more, on, weight) - now
            if gain > best[0]:
                best = gain, more
        if best[1] is found:
            return found
        found = best[1]


def _possible(values: np.ndarray, weight: np.ndarray, kind: str, step: int) -> list[Mark]:
    reach = int(values[-1]) - int(values[0])
    if kind == "date":
        days = np.bincount((values + 3) % 7, weight, 7)  # 1970-01-01 was a Thursday
        first = np.argsort(-days, kind="stable")
        return [*(("weekdays", tuple(sorted(first[:k].tolist()))) for k in range(1, 7)), ("first", ()), ("last", ())]
    steps: Sequence[int] = CLOCK
    if kind in ("integer", "decimal"):
        steps = sorted(m * 10**k for m in (1, 2, 5, 25) for k in range(len(str(reach))))
    return [("every", (s,)) for s in steps if s > step and s % step == 0 and s * WIDE <= reach]


def _on(mark: Mark, units: np.ndarray) -> np.ndarray:
    """bool [n]: which of whole `units` [n] stand on a mark."""
    name, what = mark
    if name == "every":
        return np.asarray(units % what[0] == 0)
    if name == "weekdays":
        return np.isin((units + 3) % 7, what)
    if name == "these":
        return np.isin(units, what)
    return np.asarray(MONTH.split(units + (name == "last"))[1] == 0)


def _around(mark: Mark, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n] each: the nearest places of a mark at or below, and at or above, `units` [n]."""
    name, what = mark
    if name == "every":
        return np.floor(units / what[0]) * what[0], np.ceil(units / what[0]) * what[0]
    if name == "these":
        values = np.array([-np.inf, *what, np.inf])
        return values[np.searchsorted(values, units, "right") - 1], values[np.searchsorted(values, units, "left")]
    below, above = np.floor(units).astype(np.int64), np.ceil(units).astype(np.int64)
    if name == "weekdays":
        behind = np.array([min((day - other) % 7 for other in what) for day in range(7)])
        before = np.array([min((other - day) % 7 for other in what) for day in range(7)])
        below, above = below - behind[(below + 3) % 7], above + before[(above + 3) % 7]
        return below.astype(np.float64), above.astype(np.float64)
    last = int(name == "last")
    turn, phase = MONTH.split(below + last)
    down = below - phase
    turn, phase = MONTH.split(above + last)
    up = np.where(phase == 0, above, MONTH.joined(turn + 1, np.zeros_like(turn)) - last)
    return down.astype(np.float64), up.astype(np.float64)


def _density(mark: Mark) -> float:
    """The share of all units that stand on a mark."""
    name, what = mark
    if name == "these":
        return len(what) / (what[-1] - what[0] + 1)
    return 1 / what[0] if name == "every" else len(what) / 7 if name == "weekdays" else 12 / 365.2425


def _part_of(mark: Mark, other: Mark) -> bool:
    """Whether every place of a mark is one of another."""
    if mark[0] == other[0] == "every":
        return mark[1][0] % other[1][0] == 0
    return other == ("every", (1,))


def _likelihood(marks: Sequence[Mark], on: Mapping[Mark, np.ndarray], weight: np.ndarray) -> float:
    """The log-likelihood of values of a `weight` [k] each, spread evenly over what is on a mark and not on the next."""
    total, out = float(weight.sum()), 0.0
    for k, mark in enumerate(marks):
        mine = on[mark] & ~on[marks[k + 1]] if k + 1 < len(marks) else on[mark]
        wide = _density(mark) - (_density(marks[k + 1]) if k + 1 < len(marks) else 0.0)
        rows = float(weight[mine].sum())
        out += rows * np.log(rows / total / wide) if rows else 0.0
    return out


def _mixed(marks: Sequence[Mark], on: np.ndarray) -> tuple[float, ...]:
    """The shares of values that are moved to each mark, so that with those that stand there by chance as many do as bool `on`
    [marks, n] says."""
    dense = np.array([_density(mark) for mark in marks])
    shares = np.zeros(len(marks))
    for k in range(len(marks)):
        only = on[k] & ~on[k + 1] if k + 1 < len(marks) else on[k]
        next_ = dense[k + 1] / dense[k] if k + 1 < len(marks) else 0.0
        by_chance = float((shares[:k] * dense[k] / dense[:k]).sum())
        shares[k] = max(0.0, float(only.mean()) / (1 - next_) - by_chance)
    return tuple((shares / shares.sum()).tolist())


def _powers(units: np.ndarray) -> np.ndarray:
    """int64 [n]: the power of ten of each value."""
    return np.asarray(np.floor(np.log10(np.maximum(np.abs(units.astype(np.float64)), 1.0)) + 1e-12).astype(np.int64))
