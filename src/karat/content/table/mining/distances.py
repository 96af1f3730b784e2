"""Two columns of one unit that keep close to each other, whatever they are: b - a varies far less than either."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Columns, Number

NARROW = 0.2  # of the range of either: that of their difference, at most
EDGE = 0.005  # share of the rows at each end that a range leaves out
FEWEST = 50  # rows


@dataclass(frozen=True)
class Distance:
    """`high` - `low` lies from `least` to `most` (days of dates, seconds of other moments) in all `rows` rows."""

    low: str
    high: str
    least: float
    most: float
    days: bool
    rows: int
    chance: float
    evidence: float


def distances(columns: Columns, explained: Collection[frozenset[str]]) -> list[Distance]:
    """The tightest pairs, of each set of columns that hang together as few as join them.

    explained: sets of columns; two of one set are left out.
    """
    numbers = list(columns.numbers.values())
    found: list[tuple[float, Number, Number, np.ndarray, np.ndarray]] = []
    for i, a in enumerate(numbers):
        for b in numbers[i + 1 :]:
            if a.unit != b.unit or any({a.name, b.name} <= group for group in explained):
                continue
            both = ~(np.isnan(a.values) | np.isnan(b.values))
            if both.sum() < FEWEST:
                continue
            x, y = a.values[both], b.values[both]
            apart = _range(y - x)
            narrow = apart / max(min(_range(x), _range(y)), 1e-300)
            if narrow <= NARROW:
                found.append((narrow, a, b, x, y))
    root = {n.name: n.name for n in numbers}

    def top(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    out = []
    tests = log(max(1, len(numbers) ** 2))
    for _, a, b, x, y in sorted(found, key=lambda f: f[0]):
        if top(a.name) != top(b.name):
            one = _distance(a, b, x, y, tests)
            if one is not None:
                out.append(one)
                root[top(b.name)] = top(a.name)
    return out


def _range(values: np.ndarray) -> float:
    low, high = np.quantile(values, (EDGE, 1 - EDGE))
    return float(high - low)


def _distance(a: Number, b: Number, x: np.ndarray, y: np.ndarray, tests: float) -> Distance | None:
    apart = y - x
    least, most = float(apart.min()), float(apart.max())
    middle, reach = (least + most) / 2, (most - least) / 2
    chance = 1 - evidence.share_within(y, x + middle, reach * (1 + 1e-12))
    log_p = evidence.log_tail(0, len(x), chance) + tests + log(len(x) ** 2)
    if chance < 0.3 or log_p > log(evidence.ALPHA):
        return None
    if np.median(apart) < 0:
        a, b, least, most = b, a, -most, -least
    unit = 86_400.0 if a.day and b.day else 1.0
    return Distance(a.name, b.name, least / unit, most / unit, unit > 1, len(x), chance, log_p / log(10))
