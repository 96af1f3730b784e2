"""Columns that are the product of two or three others, or the quotient of two, rounded to their decimals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import log
from typing import Literal

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas import sums
from karat.content.table.mining.formulas.sums import GRAINS
from karat.content.table.mining.formulas.worked import Formulas, Worked, enough, judged, slack_of
from karat.content.table.mining.relation import quoted

PROBE = 40  # rows in which products are looked for first
ALIKE, BEST = 200, 3  # rows by which the products are chosen that may be part of a sum, and how many of them
CLOSE, CLOSER = 0.7, 0.3  # correlation with that sum, and of what else there is with the rest of it


Factor = tuple[str, np.ndarray, str]
Expression = tuple[str, np.ndarray, tuple[str, ...]]


class Products:
    """The products and quotients that columns of a table may be, each with its value in every row.

    A factor may also be 1 - x, 1 + x, of shares, or 1 - x / 100, 1 + x / 100, of percentages.   without: columns that are none.
    """

    def __init__(self, numbers: Sequence[Number], without: set[str]) -> None:
        self.numbers, self.without = numbers, without
        factors = [(quoted(n.name), n.values, n.name) for n in numbers if n.name not in without]
        less = [part for n in numbers if n.name not in without for part in parts(n)]
        self.simple = [f for f in factors if not set(np.unique(f[1][~np.isnan(f[1])])) <= {0.0, 1.0}]
        self.plain = [(f"{a[0]} * {b[0]}", a[1] * b[1], (a[2], b[2])) for a, b in combinations(factors, 2)]
        self.pairs = self.plain + [
            (f"{a[0]} * {b[0]}", a[1] * b[1], (a[2], b[2])) for a in self.simple for b in less if a[2] != b[2]
        ]
        self.triples = _triples(self.simple, less)

    def plainly(self, known: Formulas) -> None:
        """Adds to `known` the columns that are a product of two or three others, rounded to their decimals."""
        for tried in (self.pairs, self.triples):
            self._each("product", self.numbers, tried, known)

    def quotients(self, known: Formulas) -> None:
        """Adds to `known` the quotients; of columns that are such of each other, the one printed most finely is worked out."""
        self._each("ratio", sorted(self.numbers, key=lambda n: -n.decimals), _quotients(self.simple), known)

    def _each(
        self,
        form: Literal["product", "ratio"],
        targets: Sequence[Number],
        tried: Sequence[Expression],
        known: Formulas,
    ) -> None:
        for target in targets:
            if target.name not in known.lefts:
                given = [t for t in tried if target.name not in t[2]]
                found = _product(form, target, given, self.numbers)
                if found is not None:
                    known.add(found)

    def within_sums(self, known: Formulas) -> None:
        """Adds to `known` the columns that are a product and something more: a fee, a constant, a tax on it, another product."""
        terms = [(quoted(n.name), n) for n in self.numbers if n.name not in self.without]
        for tried in (self.plain, self.pairs, self.triples):
            for target in self.numbers:
                if target.name in known.lefts or target.decimals < 0:
                    continue
                own = [(t, n) for t, n in terms if n.name != target.name and target.name not in known.ancestors(n.name)]
                names = {n.name for _, n in own}
                found = _within(target, own, [t for t in tried if names.issuperset(t[2])], tried is self.plain)
                if found is not None:
                    known.add(found)


def _within(
    target: Number, own: Sequence[tuple[str, Number]], given: Sequence[Expression], twice: bool
) -> Worked | None:
    """The best sum of `own` columns and one of the products `given`, or, where `twice`, two of them."""
    best = None
    for first in _alike(target, given):
        some = [sums.summed(target, [_term(first), *own])]
        if twice and some[0] is None and (rest := _rest(target, first)) is not None:
            others = [t for t in given if t[2] != first[2]]
            some = [sums.summed(target, [_term(first), _term(t), *own]) for t in _alike(rest, others, False)]
        for one in some:
            best = one if one is not None and (best is None or one.exceptions < best.exceptions) else best
    return best


def _term(one: Expression) -> tuple[str, Number]:
    return one[0], Number("\0".join(one[2]), one[1], "number", 6, False)


def _rest(target: Number, first: Expression) -> Number | None:
    """What a product leaves of a column, taken as often as it fits best."""
    known = ~(np.isnan(target.values) | np.isnan(first[1]))
    if known.sum() < evidence.FEWEST or first[1][known].std() == 0:
        return None
    slope, constant = np.polyfit(first[1][known], target.values[known], 1)
    return replace(target, values=target.values - slope * first[1] - constant)


def _alike(target: Number, given: Sequence[Expression], ranked: bool = True) -> list[Expression]:
    """The few products that go together with the column most closely, by their ranks or, where most may be 0, by their values."""
    rows = np.flatnonzero(~np.isnan(target.values))
    if not given or len(rows) < evidence.FEWEST:
        return []
    rows = rows[np.linspace(0, len(rows) - 1, min(ALIKE, len(rows))).astype(np.int64)]
    y = _standard(target.values[None, rows], ranked)[0]
    close = np.abs(_standard(np.stack([value[rows] for _, value, _ in given]), ranked) @ y) / len(rows)
    least = CLOSE if ranked else CLOSER
    return [given[k] for k in np.argsort(-close, kind="stable")[:BEST] if close[k] >= least]


def _standard(values: np.ndarray, ranked: bool) -> np.ndarray:
    """float64 [k, n]: the values, or the ranks, of each of `values` [k, n], with mean 0 and variance 1; 0 of what is missing."""
    known = np.isfinite(values)
    if ranked:
        values = np.argsort(np.argsort(np.where(known, values, -np.inf), 1), 1).astype(np.float64)
    values = np.where(known, values, 0.0)
    many = np.maximum(known.sum(1, keepdims=True), 1)
    values = np.where(known, values - values.sum(1, keepdims=True) / many, 0.0)
    return np.asarray(values / np.maximum(np.sqrt((values**2).sum(1, keepdims=True) / many), 1e-12))


def parts(number: Number) -> list[Factor]:
    """1 - x and 1 + x, where x is a share or a percentage."""
    values = number.values[~np.isnan(number.values)]
    low, high = values.min(), values.max()
    if low < 0 or high > 100 or len(np.unique(values)) < 2 or set(np.unique(values)) <= {0.0, 1.0}:
        return []
    name, x = quoted(number.name), number.values
    if high <= 1:
        return [(f"(1 - {name})", 1 - x, number.name), (f"(1 + {name})", 1 + x, number.name)]
    return [(f"(1 - {name} / 100)", 1 - x / 100, number.name), (f"(1 + {name} / 100)", 1 + x / 100, number.name)]


def _triples(factors: Sequence[Factor], parts: Sequence[Factor]) -> list[Expression]:
    """Two columns times a part, or, where there are few columns, three of them."""
    few = len(factors) <= 12
    thirds = [*parts[:24], *(factors if few else [])]
    out: list[Expression] = []
    for i, a in enumerate(factors[:30]):
        for b in factors[i + 1 : 30]:
            for c in thirds:
                names = (a[2], b[2], c[2])
                if len(set(names)) == 3 and (c[0].startswith("(") or names == tuple(sorted(names))):
                    out.append((f"{a[0]} * {b[0]} * {c[0]}", a[1] * b[1] * c[1], names))
    return out


def _quotients(factors: Sequence[Factor]) -> list[Expression]:
    out: list[Expression] = []
    for a in factors:
        for b in factors:
            if a[2] != b[2]:
                with np.errstate(all="ignore"):
                    value = a[1] / b[1]
                out.append((f"{a[0]} / {b[0]}", np.where(np.isfinite(value), value, np.nan), (a[2], b[2])))
    return out


def _product(
    form: Literal["product", "ratio"], target: Number, given: Sequence[Expression], numbers: Sequence[Number]
) -> Worked | None:
    """The best of the expressions that the column is."""
    if not given or target.decimals < 0 and form == "ratio":
        return None
    rows = np.flatnonzero(~np.isnan(target.values))
    values, counts = np.unique(target.values[rows], return_counts=True)
    other = rows[target.values[rows] != values[counts.argmax()]] if len(values) else rows
    rows = other if len(other) >= PROBE else rows  # where it is mostly 0 anything with a 0 gives that
    rows = rows[np.linspace(0, len(rows) - 1, min(PROBE, len(rows))).astype(np.int64)] if len(rows) else rows
    y = target.values[rows]
    off = np.stack([value[rows] for _, value, _ in given])
    with np.errstate(invalid="ignore"):
        near = np.abs(off - y) <= slack_of(off, target.half)
    known = ~np.isnan(off)
    likely = (near.sum(1) >= 0.8 * known.sum(1)) & (known.sum(1) >= len(rows) // 4)
    tests = log(len(given) * max(1, len(numbers)) * 3)
    best = None
    by = {n.name: n for n in numbers}
    for k in np.flatnonzero(likely)[:200]:
        text, value, names = given[k]
        coarse = target.decimals >= 0 and target.spread < GRAINS * 2 * target.half
        with np.errstate(invalid="ignore"):
            away = np.abs(target.values - value)
            on, near = ((away <= slack_of(value, half)).sum() for half in (0.0, target.half))
        rounded = bool(on < (1 - evidence.RARELY) * near)
        if rounded and coarse:
            continue
        right = f"round({text}, {target.decimals})" if rounded else text
        found = judged(form, target, right, names, value, target.half if rounded else 0.0, tests)
        better = found is not None and (best is None or found.exceptions < best.exceptions)
        if found is not None and better and all(acts(found, target, value, by[name]) for name in names):
            best = found
    return best


def acts(found: Worked, target: Number, value: np.ndarray, factor: Number) -> bool:
    """Whether a factor is needed: the product holds where it is not as it mostly is, and not nothing."""
    known = ~(np.isnan(target.values) | np.isnan(value) | np.isnan(factor.values))
    values, counts = np.unique(factor.values[known], return_counts=True)
    if len(values) < 2:
        return False
    differs = known & (factor.values != values[counts.argmax()]) & (np.abs(value) > 2 * target.half + 1e-12)
    with np.errstate(invalid="ignore"):
        holds = np.abs(target.values - value) <= slack_of(value, target.half)
    return enough(int((differs & holds).sum()), int((differs & ~holds).sum()), found)
