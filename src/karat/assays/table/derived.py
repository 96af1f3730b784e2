"""Quantities between two columns that a judge of single columns cannot see: how far apart they lie, and their ratio.

Boosted trees cut one column at a time. That a trip ends after it began, or that a total is a little more than the fare,
is a thin diagonal to them, which a thousand cuts miss and one cut of the difference finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from karat.views import TableView
from karat.words import said

ROWS = 2_000  # training rows by which pairs are chosen
COLUMNS = 80  # of numbers, the first, that are paired
MOST = 12  # quantities
LEVELS = 10  # different values of a column that is paired, at least
TIGHT = 0.6  # of the width that the quantity would have if the columns had nothing to do with each other, at most
SIDED = 0.02  # rows on the wrong side of an order, at most, where it would be ten times as many by chance
ENDS = (0.02, 0.98)


@dataclass(frozen=True)
class Quantity:
    """`high` - `low`, or `high` / `low`, of two columns of a view."""

    low: int
    high: int
    ratio: bool

    def of(self, view: TableView) -> np.ndarray:
        """float64 [n], NaN where it cannot be told."""
        a, b = view.values[:, self.low], view.values[:, self.high]
        if not self.ratio:
            return np.asarray(b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            out = b / a
        return np.where(np.isfinite(out), out, np.nan)

    def name(self, names: tuple[str, ...]) -> str:
        return said("{one} / {other}" if self.ratio else "{one} - {other}", one=names[self.high], other=names[self.low])


def quantities(train: TableView, seed: int) -> list[Quantity]:
    """At most 12 differences and ratios of two columns of one unit that training rows keep closer than chance would.

    A column of moments is paired with such ones alone. The tightest come first. The same seed chooses the same.
    """
    rng = np.random.default_rng([seed, 53])
    some = rng.permutation(len(train))[:ROWS]
    values = train.values[some]
    other = rng.permutation(len(values))
    units = train.columns.units or ("",) * train.width
    numbers = [j for j in train.numbers if len(np.unique(values[~np.isnan(values[:, j]), j])) >= LEVELS]
    found: list[tuple[float, Quantity]] = []
    for a, b in combinations(numbers[:COLUMNS], 2):
        if units[a] == units[b]:
            found += _between(values, other, a, b, ratios=not units[a])
    found.sort(key=lambda one: one[0])
    return [quantity for _, quantity in found[:MOST]]


def _between(values: np.ndarray, other: np.ndarray, a: int, b: int, ratios: bool) -> Iterator[tuple[float, Quantity]]:
    """The difference and the ratio of two columns where they are tight: how tight they are, and what they are."""
    x, y, z = values[:, a], values[:, b], values[other, b]
    low, high = (a, b) if np.nan_to_num(np.nanmedian(y - x) if not np.isnan(y - x).all() else 0.0) >= 0 else (b, a)
    own, by_chance = y - x, z - x
    tight = _tightness(own, by_chance)
    wrong, expected = _wrong(own, low == a), _wrong(by_chance, low == a)
    if wrong <= SIDED and expected > 10 * max(wrong, 0.005):
        tight = min(tight, wrong / expected)
    if tight < TIGHT:
        yield tight, Quantity(low, high, False)
    positive = [(v > 0) | np.isnan(v) for v in (x, y, z)]
    if ratios and all(p.mean() > 0.98 for p in positive):
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.where(v > 0, np.log(v), np.nan) for v in (x, y, z)]
        tight = _tightness(logs[1] - logs[0], logs[2] - logs[0])
        if tight < TIGHT:
            yield tight, Quantity(low, high, True)


def _tightness(own: np.ndarray, by_chance: np.ndarray) -> float:
    """The width of what is there over the width that chance gives; infinite where too little is known."""
    own, by_chance = own[~np.isnan(own)], by_chance[~np.isnan(by_chance)]
    if min(len(own), len(by_chance)) < 30:
        return np.inf
    width, wide = (float(np.diff(np.quantile(v, ENDS))[0]) for v in (own, by_chance))
    return width / wide if wide > 0 else np.inf


def _wrong(apart: np.ndarray, upwards: bool) -> float:
    known = apart[~np.isnan(apart)]
    return float(((known < 0) if upwards else (known > 0)).mean()) if len(known) else 1.0
