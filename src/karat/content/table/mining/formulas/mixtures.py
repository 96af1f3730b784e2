"""Columns that are one of a few multiples of another, or it and one of a few distances, or else one of a few constants.

A tip is nothing or 10, 15 or 20 % of the fare, a tax 7 or 19 % of the net amount, a bill is due 14, 30 or 60 days after it was
issued. What makes this no chance is that it fails as soon as it is laid one step beside: of columns that merely go together,
as many rows lie one cent off a multiple as on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas.sums import GRAINS, times
from karat.content.table.mining.formulas.worked import Formulas, Worked, slack_of
from karat.content.table.mining.relation import Form, plain, quoted

PROBES = 200  # rows that propose multiples and distances
MOST = 12  # alternatives
LEAST = 0.015  # share of the rows that an alternative must have
OFTEN = 3  # different values of the other column, at least, that an alternative is seen with
APART = 0.6  # share of the rows, at least, that must break it where they are laid one step beside
PLACES, OVER = 4, 1000  # decimals of a multiple; or one by at most so much
TRIED = log(5000)  # of the multiples or distances that an alternative is chosen from
STEPS = (
    86_400,
    43_200,
    3600,
    1800,
    1000,
    900,
    600,
    500,
    300,
    250,
    100,
    60,
    50,
    30,
    25,
    20,
    15,
    10,
    5,
    2,
)  # of a lattice


@dataclass(frozen=True)
class Line:
    """A multiple of another column, or its distance from it, or a constant.   rounded: whether only rounded ones fit."""

    text: str
    value: np.ndarray
    rounded: bool = False


def mixtures(numbers: Sequence[Number], known: Formulas, without: set[str]) -> None:
    """Adds to `known` the columns that are one of a few multiples of another, or lie a few distances from it.

    without: columns that are no terms.
    """
    every = [n for n in numbers if n.decimals >= 0]
    tests = log(max(1, len(every) ** 2))
    found = []
    for target in every:
        bases = [b for b in every if b.name not in {target.name, *without} and b.unit == target.unit]
        for base in bases if target.name not in known.lefts else ():
            if target.name not in known.ancestors(base.name):
                one = _mixture(target, base, tests)
                found += [one] if one is not None else []
    for one in sorted(found, key=lambda w: (w.exceptions, w.right.count(" - "), len(w.right))):
        known.add(one)


def _mixture(target: Number, base: Number, tests: float) -> Worked | None:
    """The best of what `target` is of `base`."""
    there = ~(np.isnan(target.values) | np.isnan(base.values))
    rows = int(there.sum())
    if rows < evidence.FEWEST:
        return None
    y, x = target.values[there], base.values[there]
    heavy = np.zeros(0)
    if target.unit == "number":
        values, counts = np.unique(y, return_counts=True)
        heavy = values[counts >= max(OFTEN, 2 * LEAST * rows)]
    free = ~np.isin(y, heavy)
    best = None
    kinds = (_multiples, _distances) if target.unit == "number" else (_distances,)
    for kind in kinds:
        lines = kind(target, base, x[free], y[free])
        one = _judged(target, base, lines, heavy, there, tests) if lines else None
        if one is not None and (best is None or one.exceptions < best.exceptions):
            best = one
    return best


def _multiples(target: Number, base: Number, x: np.ndarray, y: np.ndarray) -> list[Line]:
    """The multiples that many of the rows x, y [n] propose, each the shortest number that fits."""
    large = np.flatnonzero((x != 0) & (y != 0))
    large = large[np.abs(x[large]) >= np.median(np.abs(x[large]))] if len(large) else large
    if len(large) < OFTEN or target.spread < GRAINS * 2 * target.half:
        return []
    some = large[np.linspace(0, len(large) - 1, min(PROBES, len(large))).astype(np.int64)]
    r = y[some] / x[some]
    reach = (target.half + 1e-9 * np.abs(y[some])) / np.abs(x[some])
    proposed = np.full(len(some), np.nan)
    with np.errstate(divide="ignore"):
        over = 1 / np.round(1 / r)
    shortest = [*(np.round(r, places) for places in range(PLACES)), over, np.round(r, PLACES)]
    for i, c in enumerate(shortest):
        fits = np.isnan(proposed) & (np.abs(c - r) <= reach) & (c != 0) & (i != PLACES or np.abs(r) * OVER >= 1)
        proposed[fits] = c[fits]
    lines = []
    for c in _often(proposed):
        value = c * base.values
        near = np.abs(target.values - value) <= slack_of(value, target.half)
        exact = np.abs(target.values - value) <= slack_of(value, 0.0)
        rounded = bool(exact.sum() < (1 - evidence.RARELY) * near.sum())
        lines.append(Line(times(quoted(base.name), c), value, rounded))
    return lines


def _distances(target: Number, base: Number, x: np.ndarray, y: np.ndarray) -> list[Line]:
    """The distances that many of the rows x, y [n] have."""
    places = max(target.decimals, base.decimals)
    some = np.linspace(0, len(x) - 1, min(PROBES, len(x))).astype(np.int64) if len(x) else np.zeros(0, np.int64)
    unit = 86_400.0 if target.day and base.day else 1.0
    lines = []
    for d in _often(np.round(y[some] - x[some], places)):
        by = f" {'+' if d > 0 else '-'} {plain(round(abs(d) / unit, places))}" if d else ""
        lines.append(Line(quoted(base.name) + by, base.values + d))
    return lines


def _often(proposed: np.ndarray) -> list[float]:
    """The values [n] that come often; none where they leave many rows out."""
    values, counts = np.unique(proposed[~np.isnan(proposed)], return_counts=True)
    order = np.argsort(-counts, kind="stable")[: MOST + 4]
    order = order[counts[order] >= max(2, LEAST * len(proposed))]
    return [] if counts[order].sum() < APART * len(proposed) else sorted(map(float, values[order]))


def _judged(
    target: Number, base: Number, lines: Sequence[Line], heavy: np.ndarray, there: np.ndarray, tests: float
) -> Worked | None:
    """The mixture of as many of the lines as are needed, and of heavy constants, if it is none by chance."""
    y, x = target.values[there], base.values[there]
    rows, step, half = len(y), _step(target, y), target.half if any(line.rounded for line in lines) else 0.0
    chosen, left, rest = list[Line](), ~np.isin(y, heavy), list(lines)
    while rest and len(chosen) < MOST:
        best = max(rest, key=lambda line: int((_on(y, line, there, half) & left).sum()))
        rest.remove(best)
        if (_on(y, best, there, half) & left).sum() < max(OFTEN, LEAST * rows):
            break
        if _stands(x[left], y[left], best.value[there][left], half, step):
            chosen.append(best)
            left &= ~_on(y, best, there, half)
    if not chosen:
        return None
    covered = np.logical_or.reduce([_on(y, line, there, half) for line in chosen])
    heavy = np.array([v for v in heavy if (~covered & (y == v)).sum() >= max(OFTEN, LEAST * rows)])
    fixed = np.isin(y, heavy)
    exceptions = int((~covered & ~fixed).sum())
    if len(chosen) + len(heavy) < 2 or exceptions > evidence.most(rows):
        return None
    pairs = _different(x[~fixed], y[~fixed])
    seen, value = y[~fixed][pairs], np.stack([line.value[there][~fixed][pairs] for line in chosen])
    off = int((~covered & ~fixed)[~fixed][pairs].sum())
    chance = 1 - max(
        sum(evidence.share_within(seen, one, slack_of(one, half)) for one in value),
        _beside(seen, value, half, step),
    )
    if chance < APART or not evidence.few(off, len(seen), chance):
        return None
    log_p = evidence.log_tail(off, len(seen), chance) + tests + (len(chosen) + len(heavy)) * TRIED
    if log_p > log(evidence.ALPHA):
        return None
    constants = [Line(plain(v), np.full(len(there), v)) for v in heavy]
    chosen.sort(key=lambda line: lines.index(line))
    form, right = _spelled(target, [*constants, *chosen], there, half, exceptions)
    return Worked(form, target.name, right, (base.name,), rows, exceptions, chance, log_p / log(10))


def _spelled(
    target: Number, lines: Sequence[Line], there: np.ndarray, half: float, exceptions: int
) -> tuple[Form, str]:
    """One of the lines; or always the greatest of them, or the least, as of a fee of 2 % but at least 1.50."""
    y, values = target.values[there], np.stack([line.value[there] for line in lines])
    for word, value in (("max", values.max(0)), ("min", values.min(0))):
        if (~_near(y, value, half)).sum() <= exceptions:
            right = f"{word}({', '.join(line.text for line in lines)})"
            return "extreme", f"round({right}, {target.decimals})" if half else right
    words = [f"round({line.text}, {target.decimals})" if line.rounded else line.text for line in lines]
    return "mixture", f"({', '.join(words)})"


def _near(y: np.ndarray, value: np.ndarray, half: float) -> np.ndarray:
    return np.asarray(np.abs(y - value) <= slack_of(value, half))


def _on(y: np.ndarray, line: Line, there: np.ndarray, half: float) -> np.ndarray:
    """bool: which of the cells y lie on the line."""
    return _near(y, line.value[there], half)


def _stands(x: np.ndarray, y: np.ndarray, value: np.ndarray, half: float, step: float) -> bool:
    """Whether more of the different pairs x, y [n] lie on a line than chance brings there, or than lie one step beside it."""
    on = _near(y, value, half)
    if len(np.unique(x[on])) < OFTEN:
        return False
    pairs = _different(x, y)
    y, value, on = y[pairs], value[pairs], on[pairs]
    share = max(evidence.share_within(y, value, slack_of(value, half)), _beside(y, value[None], half, step))
    return evidence.log_tail(len(y) - int(on.sum()), len(y), 1 - share) + TRIED <= log(evidence.ALPHA)


def _beside(y: np.ndarray, values: np.ndarray, half: float, step: float) -> float:
    """The share of y [n] that lies on one of the lines [k, n] once it is moved a few steps: more than they may differ anyway."""
    apart = max(step, 4 * float(slack_of(y, 0.0).max()))
    moves = (-3, -2, 2, 3) if half else (-3, -2, -1, 1, 2, 3)
    return max(float(_near(y + k * apart, values, half).any(0).mean()) for k in moves)


def _different(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The first row of each pair of values that x, y [n] hold."""
    return np.unique(x + 1j * y, return_index=True)[1]


def _step(number: Number, values: np.ndarray) -> float:
    """The step of the lattice that nine of ten values [n] lie on."""
    unit = 86_400.0 if number.day else 10.0**-number.decimals
    ticks = np.rint(values / unit).astype(np.int64)
    for step in STEPS:
        if np.bincount(ticks % step).max() >= 0.9 * len(ticks):
            return step * unit
    return unit
