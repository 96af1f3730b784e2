"""Columns that go up in steps with another: what is charged by begun halves of a kilogram or by begun hours, and full years."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas.worked import NEAR, Formulas, Worked, judged
from karat.content.table.mining.relation import plain, quoted
from karat.content.table.rules.expressions import ceiled, floored

UNITS = (1, 60, 3600, 24, 7, 12, 1000)  # of one column in a unit of the other
PROBES = 100  # rows that are looked at first
STEPS, FEW = 5, 2  # in a standard deviation, from which on one says something, and where no row is an exception


def steps(
    numbers: Sequence[Number], known: Formulas, without: set[str], extra: Sequence[tuple[str, Number]] = ()
) -> None:
    """Adds to `known` the columns that are another rounded up, or down, to a multiple. extra: expressions, as columns."""
    terms = [(quoted(n.name), n) for n in numbers if n.name not in without] + list(extra)
    tests = log(max(2, 2 * len(UNITS) * len(terms) * len(numbers)))
    for target in numbers:
        step = 0.0 if target.name in known.lefts or target.decimals < 0 else _step(target)
        if step <= 0 or target.spread < FEW * step:
            continue
        best = None
        for text, term in terms:
            own = term.name.split("\0")
            if target.name in own or any(target.name in known.ancestors(name) for name in own):
                continue
            for found in _stepped(target, step, text, term, tests):
                best = found if best is None or found.exceptions < best.exceptions else best
        if best is not None and (target.spread >= STEPS * step or not best.exceptions):
            known.add(best)


def _step(target: Number) -> float:
    """What all values of a column are multiples of."""
    unit = 2 * target.half
    ticks = np.rint(target.values[~np.isnan(target.values)] / unit).astype(np.int64)
    return float(np.gcd.reduce(ticks)) * unit if len(ticks) else 0.0


def _stepped(target: Number, step: float, text: str, term: Number, tests: float) -> list[Worked]:
    """What the column is of a term that does not only stand on the same steps."""
    both = np.flatnonzero(~(np.isnan(target.values) | np.isnan(term.values)))
    if len(both) < evidence.FEWEST:
        return []
    some = both[np.linspace(0, len(both) - 1, min(PROBES, len(both))).astype(np.int64)]
    out = []
    for unit in UNITS:
        for word, way in (("round_up", ceiled), ("round_down", floored)):
            by = unit * step
            y, x = target.values[some], term.values[some] / by
            value = way(x) * step
            if (np.abs(value - y) > NEAR * np.maximum(1, np.abs(y))).mean() > evidence.WORKED:
                continue
            if (np.abs(x - np.round(x)) <= NEAR * np.maximum(1, np.abs(x))).mean() > 0.5:  # it stands there anyway
                continue
            value = way(term.values / by) * step
            inner = text if by == 1 else f"{text} / {plain(round(by, 12))}"
            right = f"{word}({inner})" + ("" if step == 1 else f" * {plain(round(step, 12))}")
            found = judged("linear", target, right, term.name.split("\0"), value, 0.0, tests)
            out += [] if found is None else [found]
    return out
