"""The bins of a number: where they begin and end, and how values lie inside them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from karat.content.table.encoding.coding import EXACT, Grain
from karat.content.table.encoding.tails import HALVINGS, tail_of

LEVELS = 1000  # codes of a number
ENTRIES = 32  # choices that stand for a number, with its place between them, among fields
FEWEST = 16  # rows in a bin where values hardly repeat: a density told by k of them is 1/k too high where they are
SPIKE = 5  # rows of a value that stands out among those beside it, and so is a bin of its own
RARE = 0.05  # share of many rows whose values hardly repeat, below which these may stand alone
BESIDE = 4  # values on each side that it is compared with
KNOTS = 8  # most pieces of a bin's quantile function
ROWS_A_PIECE = 12  # fewer follow the training values so closely that these come out again oftener than by chance
FINE_KNOTS, FEWEST_COARSE = 64, 20  # the same, and rows in a bin, where there are few bins
ROWS_A_TAIL = 5  # in the first and the last bin, which are long: what is even inside another is not so there
REPEATED = 3  # mean count of a bin's values from which they are drawn as they are
PERCENTAGES = 90.0  # the greatest value from which on, up to 100, a column is taken for percentages; up to 1 for shares
GAP = 2.0**-34  # between two steps of a quantile function


@dataclass(frozen=True, eq=False)
class Scale:
    """Bins over the ticks of a column, and inside each the quantile function of its training values.

    at, value: float64 [k], the quantile function of all bins laid end to end: `at` is the bin plus the share of its mass.
    lows, highs, counts: [bins], the least and greatest training value and the number of training rows.
    """

    at: np.ndarray
    value: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    counts: np.ndarray
    whole: bool

    @classmethod
    def fit(cls, ticks: np.ndarray, most: int, whole: bool, fewest: int = FEWEST, knots: int = KNOTS) -> Self:
        """At most `most` bins over `ticks` [n]: one per value where these are few, else of equal mass.

        A value heavier than a bin stands alone.
        """
        v, c = np.unique(ticks, return_counts=True)
        group, scattered = _groups(v, c, most, whole, fewest)
        first = np.flatnonzero(np.diff(group, prepend=-1))
        last = np.append(first[1:], len(v)) - 1
        rows = np.append(0, np.cumsum(c))
        mass = rows[last + 1] - rows[first]
        distinct = last - first + 1
        stair = (distinct == 1) & ((mass >= SPIKE) | (not scattered))
        if not (whole and _gaps_by_chance(mass, distinct, v[last] - v[first] + 1)):
            stair |= (distinct > 1) & (mass >= REPEATED * distinct)
        lows, highs = _reaching(v[first], v[last], distinct, stair, whole)
        mine = stair[group]
        g, m = group[mine], mass[group[mine]]
        below = (rows[:-1][mine] - rows[first[g]]) / m
        above = (rows[1:][mine] - rows[first[g]]) / m - GAP
        at, value = [g + below, g + above], [v[mine], v[mine]]
        every = np.repeat(v, c)
        pieces = np.clip(mass // ROWS_A_PIECE, 1, knots)
        pieces[[0, -1]] = np.clip(mass[[0, -1]] // ROWS_A_TAIL, 1, knots)
        for k in np.unique(pieces[~stair]):
            b = np.flatnonzero(~stair & (pieces == k))
            share = np.linspace(0, 1, k + 1)
            place = rows[first[b]][:, None] + share * (mass[b] - 1)[:, None]
            smooth = np.interp(place, np.arange(len(every)), every)
            smooth[:, 0], smooth[:, -1] = lows[b] - 0.499 * whole, highs[b] + 0.499 * whole
            at.append((b[:, None] + share * (1 - GAP)).ravel())
            value.append(smooth.ravel())
        for i, upper in ((0, False), (len(mass) - 1, True)):
            if not stair[i]:
                share = _outward(mass[i], pieces[i])
                share = share if upper else 1 - share
                at.append(i + share)
                value.append(np.interp(rows[first[i]] + share * (mass[i] - 1), np.arange(len(every)), every))
        ends, values = np.concatenate(at), np.concatenate(value)
        order = np.argsort(ends, kind="stable")
        return cls(ends[order], values[order], lows, highs, mass, whole)

    @classmethod
    def joined(cls, scales: Sequence[Scale]) -> Self:
        """One scale of several that lie one above the other."""
        begin = np.cumsum([0, *(scale.size for scale in scales[:-1])])
        at = np.concatenate([scale.at + first for scale, first in zip(scales, begin, strict=True)])
        value, lows, highs, counts = (
            np.concatenate([getattr(scale, name) for scale in scales]) for name in ("value", "lows", "highs", "counts")
        )
        return cls(at, value, lows, highs, counts, scales[0].whole)

    def reaching(self, ticks: np.ndarray, zero: float) -> Scale:
        """The scale that goes on beyond `ticks` [n], rising, on each side of `zero` on which these thin out slowly."""
        return self._upper(ticks, zero)._mirrored()._upper(-ticks[::-1], -zero)._mirrored()

    def _upper(self, ticks: np.ndarray, zero: float) -> Scale:
        """With the last piece of the quantile function drawn out along the upper tail of `ticks` [n]."""
        tail = tail_of(ticks, zero) if self.lows[-1] < self.highs[-1] else None
        if tail is None or self.value[-2] < tail.above:
            return self
        share = 0.5 ** np.arange(HALVINGS + 1)
        at = self.at[-1] - (self.at[-1] - self.at[-2]) * share
        value = tail.higher(float(self.value[-2])).beyond(share)
        # a shape that is estimated too heavy would reach without end: no further again than the greatest has come
        most = min(2 * float(self.highs[-1]) - tail.above, EXACT)
        if value[-1] > most:
            kept = np.append(value[:-1] < most, True)
            at, value = at[kept], np.append(value[:-1][kept[:-1]], most)
        highs = np.append(self.highs[:-1], np.floor(value[-1]) if self.whole else value[-1])
        if not highs[-1] > self.highs[-1]:
            return self
        at, value = np.append(self.at[:-2], at), np.append(self.value[:-2], value)
        return Scale(at, value, self.lows, highs, self.counts, self.whole)

    def _mirrored(self) -> Scale:
        at, value, lows, highs = self.size - self.at[::-1], -self.value[::-1], -self.highs[::-1], -self.lows[::-1]
        return Scale(at, value, lows, highs, self.counts[::-1], self.whole)

    @property
    def size(self) -> int:
        return len(self.lows)

    @property
    def exact(self) -> bool:
        """Whether each bin holds one value."""
        return bool((self.lows == self.highs).all())

    def bins(self, ticks: np.ndarray) -> np.ndarray:
        """int64 [n]: the bin of each tick, the nearest where it lies between two."""
        return np.asarray(np.searchsorted((self.highs[:-1] + self.lows[1:]) / 2, ticks, side="left"), np.int64)

    def locate(self, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bin [n] of each tick and its place in it, a share of the bin's mass in [0, 1)."""
        b = self.bins(ticks)
        inside = np.clip(ticks, self.lows[b], self.highs[b])
        left = np.searchsorted(self.value, inside, side="left")
        right = np.searchsorted(self.value, inside, side="right") - 1
        before = np.clip(left - 1, 0, len(self.at) - 1)
        left = np.clip(left, 0, len(self.at) - 1)
        rise = self.value[left] - self.value[before]
        share = np.divide(inside - self.value[before], rise, out=np.zeros_like(inside), where=rise > 0)
        between = self.at[before] + share * (self.at[left] - self.at[before])
        place = np.where(right >= left, (self.at[left] + self.at[np.maximum(right, left)]) / 2, between)
        return b, np.clip(place - b, 0, 1 - GAP)

    def ticks(self, bins: np.ndarray, place: np.ndarray) -> np.ndarray:
        """float64 [n]: the tick at a place [n] of a bin [n]."""
        if self.exact:
            return np.asarray(self.lows[bins])
        out = np.interp(bins + np.minimum(place, 1 - 2 * GAP), self.at, self.value)
        if self.whole:
            out = np.rint(out)
        return np.asarray(np.clip(out, self.lows[bins], self.highs[bins]))

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name).tolist() for name in ("at", "value", "lows", "highs", "counts")}

    @classmethod
    def restore(cls, state: Mapping[str, Any], whole: bool) -> Self:
        at, value, lows, highs = (np.array(state[name], np.float64) for name in ("at", "value", "lows", "highs"))
        if (
            not at.ndim == value.ndim == lows.ndim == highs.ndim == 1
            or at.shape != value.shape
            or lows.shape != highs.shape
        ):
            raise ValueError("the bins of a number are lists of as many numbers as there are bins")
        return cls(at, value, lows, highs, np.array(state["counts"], np.int64), whole)


def _outward(mass: int, pieces: int) -> np.ndarray:
    """Shares of the last of the `pieces` of a bin of `mass` rows that halve it towards its end, as long as rows tell of each: one
    value far out would else draw all rows of a large piece after it."""
    most = int(np.log2(max(1.0, mass / pieces / ROWS_A_TAIL)))
    return np.asarray(1 - 0.5 ** np.arange(1, most + 1) / pieces)


def _groups(v: np.ndarray, c: np.ndarray, most: int, whole: bool, fewest: int) -> tuple[np.ndarray, bool]:
    """int64 [values], rising from 0: the bin of each distinct value `v` with count `c`; and whether hardly one repeats.

    Values that hardly repeat do not stand alone: what is unseen lies between them as often as on them.
    """
    n = int(c.sum())
    alone = c >= n / most if n / most >= fewest else _stands_out(v, c, whole)
    rare, rows = int((~alone).sum()), int(c[~alone].sum())
    dense = whole and v[-1] - v[0] <= 4 * len(v)
    scattered = fewest > 1 and rare >= SPIKE and rare > rows / (fewest if dense else REPEATED)
    scattered = scattered and rows >= (RARE * n if n / most >= fewest else 0)
    if len(v) <= most and not scattered:
        return np.arange(len(v)), False
    least = float(fewest if scattered else 1)
    target = max(n / most, least)
    for _ in range(8):  # mass that heavy values take is not there for the bins between them
        heavy = c >= target
        room = most - int(heavy.sum())
        light = int(c[~heavy].sum())
        better = max(least, light / room) if room > 0 else target
        if not light or better >= target * 0.98:
            break
        target = better
    while True:
        group = _fill(c, target, (alone if scattered else False) | (c >= target))
        if group[-1] < most:
            return group, scattered
        target *= 1.1
        alone = alone & (c >= target)


def _stands_out(v: np.ndarray, c: np.ndarray, whole: bool) -> np.ndarray:
    """bool [values]: which of the values are held by more rows than those beside them would give by chance."""
    spread = np.zeros(len(v))
    if whole:
        total = np.append(0, np.cumsum(c))
        first, last = np.maximum(np.arange(len(v)) - BESIDE, 0), np.minimum(np.arange(len(v)) + BESIDE, len(v) - 1)
        spread = (total[last + 1] - total[first] - c) / np.maximum(v[last] - v[first], 1)
    return np.asarray(c >= np.maximum(SPIKE, spread + 4 * np.sqrt(spread) + 3))


def _gaps_by_chance(mass: np.ndarray, distinct: np.ndarray, wide: np.ndarray) -> bool:
    """Whether bins of `mass` rows that hold `distinct` of the `wide` whole numbers they span lack only what chance leaves out."""
    many = distinct > 1
    seen = -wide[many] * np.expm1(mass[many] * np.log1p(-1 / wide[many]))
    return bool(distinct[many].sum() >= 0.8 * seen.sum())


def _reaching(
    lows: np.ndarray, highs: np.ndarray, distinct: np.ndarray, stair: np.ndarray, whole: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The ends [bins] of bins of training values from `lows` to `highs`: what lies between two smooth ones is shared by them.

    As far as it is no wider than a bin's own values lie apart.
    """
    low, high = lows.astype(np.float64), highs.astype(np.float64)
    gap = low[1:] - high[:-1]
    apart = np.where(distinct > 1, (high - low) / np.maximum(distinct - 1, 1), np.inf)
    half = 0.5 if whole else 0.49
    up, down = np.minimum(gap * half, apart[:-1]), np.minimum((gap - whole) * half, apart[1:])
    between = ~stair[1:] & ~stair[:-1]
    if whole:
        up, down = np.floor(up), np.floor(down)
    high[:-1] += np.where(between, up, 0.0)
    low[1:] -= np.where(between, down, 0.0)
    return low, high


def _fill(c: np.ndarray, target: float, heavy: np.ndarray) -> np.ndarray:
    """Groups of equal mass near `target` in each run of values that are not `heavy`, which stand alone."""
    run = np.cumsum(heavy)
    light = np.where(heavy, 0, c)
    mass = np.bincount(run, light)
    before = np.cumsum(light) - light
    first = np.full(len(mass), np.iinfo(np.int64).max)
    np.minimum.at(first, run[~heavy], before[~heavy])
    parts = np.maximum(1, np.floor(mass / target))[run]
    part = np.floor((before - np.minimum(first, before[-1] + 1)[run]) * parts / np.maximum(mass[run], 1))
    part = np.where(heavy, -1, np.clip(part, 0, parts - 1))
    new = np.ones(len(c), bool)
    new[1:] = heavy[1:] | heavy[:-1] | (run[1:] != run[:-1]) | (part[1:] != part[:-1])
    return np.asarray(np.cumsum(new) - 1)


def fit_scales(ticks: np.ndarray, grain: Grain, missing: bool, apart: float | None = None) -> tuple[Scale, Scale]:
    """The scale of a number among codes and the one among fields, of training ticks [n] without NaN.

    Ticks that stand for what is no number have a bin of their own.   apart: no bin reaches from below it to above it.
    """
    fine, coarse = _within(ticks, grain, missing, apart)
    known = np.sort(ticks[~grain.marks(ticks)])
    if grain.kind not in ("integer", "decimal") or not len(known):
        return fine, coarse
    zero, one, most, hundred = grain.at(np.array([0.0, 1.0, PERCENTAGES, 100.0])) if apart is None else np.zeros(4)
    if known[0] >= zero and (known[-1] <= one or most <= known[-1] <= hundred):
        return fine, coarse
    return fine.reaching(known, zero), coarse.reaching(known, zero)


def _within(ticks: np.ndarray, grain: Grain, missing: bool, apart: float | None) -> tuple[Scale, Scale]:
    """The two scales, of which none goes beyond training ticks [n]."""
    alone = grain.marks(ticks)
    cut = apart is not None and bool((ticks < apart).any()) and bool((ticks > apart).any())
    if not alone.any() and not cut:
        fine = Scale.fit(ticks, LEVELS, grain.whole)
        return fine, Scale.fit(ticks, ENTRIES - missing, grain.whole, FEWEST_COARSE, FINE_KNOTS)
    zero = grain.minus if grain.minus is not None and (ticks == grain.minus).any() else -np.inf
    cuts = [-np.inf, *sorted({zero, apart if apart is not None and cut else zero} - {-np.inf}), np.inf]
    marked = [ticks[ticks == mark] for mark in np.unique(ticks[alone])]
    pieces = [ticks[~alone & (ticks > low) & (ticks < high)] for low, high in itertools.pairwise(cuts)]
    parts = [*marked, *(part for part in pieces if len(part))]
    parts.sort(key=lambda part: float(part[0]) if len(part) == 1 or part[0] == part[-1] else float(np.median(part)))
    both = []
    for most, fewest, knots in ((LEVELS, FEWEST, KNOTS), (ENTRIES - missing, FEWEST_COARSE, FINE_KNOTS)):
        rooms = [max(2, int((most - len(marked)) * len(part) / len(ticks))) for part in parts]
        both.append(
            Scale.joined(
                [Scale.fit(part, room, grain.whole, fewest, knots) for part, room in zip(parts, rooms, strict=True)]
            )
        )
    return both[0], both[1]


def only(scale: Scale, low: float, high: float) -> np.ndarray:
    """float64 [bins]: training rows of each bin that lie in [low, high], taken as even inside a bin."""
    span = scale.highs - scale.lows
    inside = np.minimum(scale.highs, high) - np.maximum(scale.lows, low)
    share = np.divide(inside, span, out=np.ones_like(span), where=span > 0)
    return np.asarray(np.where(inside < 0, 0.0, np.maximum(share, 1e-9) * scale.counts))


@dataclass(frozen=True)
class Reach:
    """The least and the greatest tick of a column, as it would be drawn by itself, and of the training rows' column that it is
    told by. A distance of -3 is one thing beside 100 games and another beside 2: the column stays between its ends whatever it is
    told by, but that beside one beyond `lowest` or `highest`, as given ones may lie, it goes as far beyond."""

    least: float
    most: float
    lowest: float
    highest: float

    @classmethod
    def fit(cls, ticks: np.ndarray, base: np.ndarray, grain: Grain) -> Self | None:
        """Of training `ticks` [n] that stand for numbers, and the `base` [m] of some; None of no rows."""
        if not len(ticks) or not len(base):
            return None
        scale, _ = fit_scales(ticks, grain, False)
        return cls(float(scale.lows[0]), float(scale.highs[-1]), float(base.min()), float(base.max()))

    def ends(self, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest tick [n] beside `base` [n]."""
        beyond = base - np.clip(base, self.lowest, self.highest)
        return self.least + np.minimum(beyond, 0), self.most + np.maximum(beyond, 0)

    def narrowed(self, low: np.ndarray, high: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What of `low` to `high` [n] lies within it; where nothing does, what lies nearest to it."""
        least, most = self.ends(base)
        return np.clip(low, np.fmin(least, high), high), np.clip(high, low, np.fmax(most, low))

    def state(self) -> list[float]:
        return [self.least, self.most, self.lowest, self.highest]

    @classmethod
    def restore(cls, state: Sequence[float]) -> Self:
        least, most, lowest, highest = map(float, state)
        return cls(least, most, lowest, highest)
