"""Columns that are the greatest or the least of a few others, or of another and a constant at which it is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas.worked import Formulas, Worked, enough, judged, slack_of
from karat.content.table.mining.relation import plain, quoted

OFTEN = 0.02  # share of the rows in which each of them must be the one
MOST = 5  # columns
FEWEST = 6  # different values of a column
SHIFTS = log(1000)  # of the distances that one is chosen from by which another column is moved


def extremes(numbers: Sequence[Number], known: Formulas) -> None:
    """Adds to `known` the columns that are the greatest or the least of others."""
    tests = log(max(1, 2 * len(numbers) ** 2))
    for target in numbers:
        if target.name in known.lefts or len(np.unique(target.values)) < FEWEST:
            continue
        others = [n for n in numbers if n.name != target.name and n.unit == target.unit and n.day == target.day]
        others = [n for n in others if target.name not in known.ancestors(n.name)]
        for word, sign in (("max", 1), ("min", -1)):
            found = _extreme(target, others, word, sign, tests)
            if found is not None and known.add(found):
                break


def _extreme(target: Number, others: Sequence[Number], word: str, sign: int, tests: float) -> Worked | None:
    """The column as the greatest (sign 1) or the least (-1) of as few as are needed."""
    y = target.values
    pool = [(quoted(n.name), n.name, n.values) for n in others if _bounds(n.values, y, sign)]
    if not pool:
        return _beyond(target, others, word, sign, tests)
    end = float(np.nanmin(y) if sign > 0 else np.nanmax(y))
    if target.unit == "number":
        pool.append((plain(end), "", np.full(len(y), end)))
    left, chosen = ~np.isnan(y), list[tuple[str, str, np.ndarray]]()
    while left.any() and len(chosen) < MOST:
        best = max(pool, key=lambda one: int((left & (y == one[2])).sum()))
        if (left & (y == best[2])).sum() < OFTEN * len(y):
            break
        chosen.append(best)
        left &= y != best[2]
    names = [name for _, name, _ in chosen if name]
    if len(chosen) < 2 or not names:
        return None
    values = np.stack([value for *_, value in chosen])
    value = (values.max if sign > 0 else values.min)(0)
    right = f"{word}({', '.join(text for text, name, _ in pool if text in [one[0] for one in chosen])})"
    found = judged("extreme", target, right, names, value, 0.0, tests + len(chosen) * log(len(pool)))
    if found is None:
        return None
    alone = [(y == one) & ((values == y).sum(0) == 1) for one in values]
    lost = int((~np.isnan(value) & (y != value)).sum())
    return found if all(enough(int(mine.sum()), lost, found) for mine in alone) else None


def _beyond(target: Number, others: Sequence[Number], word: str, sign: int, tests: float) -> Worked | None:
    """The column as what another is beyond a constant, and else nothing: hours of more than eight, an amount less an excess."""
    y = target.values
    ends, counts = np.unique(y[~np.isnan(y)], return_counts=True)
    end = ends[0 if sign > 0 else -1]
    if target.unit != "number" or counts[0 if sign > 0 else -1] < OFTEN * len(y):
        return None
    best = None
    for other in others:
        apart = (y - other.values)[(y != end) & ~np.isnan(y) & ~np.isnan(other.values)]
        if len(apart) < evidence.FEWEST:
            continue
        places = max(target.decimals, other.decimals)
        shifts, many = np.unique(np.round(apart, places) if places >= 0 else apart, return_counts=True)
        by = float(shifts[many.argmax()])
        moved = other.values + by
        if many.max() < (1 - evidence.RARELY) * len(apart) or by == 0 or not _bounds(moved, y, sign):
            continue
        value = np.maximum(end, moved) if sign > 0 else np.minimum(end, moved)
        right = f"{word}({plain(end)}, {quoted(other.name)} {'+' if by > 0 else '-'} {plain(abs(by))})"
        found = judged("extreme", target, right, [other.name], value, 0.0, tests + SHIFTS)
        lost = int((~np.isnan(value) & (np.abs(y - value) > slack_of(value, 0.0))).sum()) if found is not None else 0
        ends_alone, moved_alone = int((moved < end if sign > 0 else moved > end).sum()), int((y != end).sum())
        if found is not None and enough(ends_alone, lost, found) and enough(moved_alone, lost, found):
            best = found if best is None or found.exceptions < best.exceptions else best
    return best


def _bounds(other: np.ndarray, y: np.ndarray, sign: int) -> bool:
    """Whether y [n] is hardly ever beyond the other column, and often it."""
    known = ~(np.isnan(other) | np.isnan(y))
    rows = int(known.sum())
    near = 1e-9 * np.maximum(1.0, np.abs(other[known]))
    if rows < evidence.FEWEST or (np.abs(y[known] - other[known]) <= near).mean() < OFTEN:
        return False
    return int((sign * (y[known] - other[known]) < -near).sum()) <= evidence.most(rows)
