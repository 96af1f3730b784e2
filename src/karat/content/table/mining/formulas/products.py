"""Columns that are the product of two or three others, or the quotient of two, rounded to their decimals."""

from __future__ import annotations

from collections.abc import Sequence
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
CLOSE = 0.7  # correlation of ranks with that sum


Factor = tuple[str, np.ndarray, str]
Expression = tuple[str, np.ndarray, tuple[str, ...]]


def products(numbers: Sequence[Number], known: Formulas, without: set[str]) -> None:
    """Adds to `known` the columns that are a product of two or three others, or else a quotient, rounded to their decimals.

    A factor may also be 1 - x, 1 + x, of shares, or 1 - x / 100, 1 + x / 100, of percentages.
    """
    factors = [(quoted(n.name), n.values, n.name) for n in numbers if n.name not in without]
    parts = [part for n in numbers if n.name not in without for part in _parts(n)]
    simple = [f for f in factors if not set(np.unique(f[1][~np.isnan(f[1])])) <= {0.0, 1.0}]
    plain: list[Expression] = [(f"{a[0]} * {b[0]}", a[1] * b[1], (a[2], b[2])) for a, b in combinations(factors, 2)]
    pairs = plain + [(f"{a[0]} * {b[0]}", a[1] * b[1], (a[2], b[2])) for a in simple for b in parts if a[2] != b[2]]
    triples = _triples(simple, parts)
    forms: tuple[tuple[Literal["product", "ratio"], list[Expression]], ...] = (
        ("product", pairs),
        ("product", triples),
        ("ratio", _quotients(simple)),
    )
    for form, tried in forms:  # of columns that are quotients of each other, the one printed most finely is worked out
        for target in sorted(numbers, key=lambda n: -n.decimals) if form == "ratio" else numbers:
            if target.name not in known.lefts:
                given = [t for t in tried if target.name not in t[2]]
                found = _product(form, target, given, numbers)
                if found is not None:
                    known.add(found)
        if tried is triples:  # before anything is a quotient of what a sum is made of
            for some in (plain, pairs, triples):
                _within_sums(numbers, known, without, some)


def _within_sums(numbers: Sequence[Number], known: Formulas, without: set[str], tried: Sequence[Expression]) -> None:
    """Adds to `known` the columns that are a product and something more: a fee, a constant, a tax on it."""
    terms = [(quoted(n.name), n) for n in numbers if n.name not in without]
    for target in numbers:
        if target.name in known.lefts or target.decimals < 0:
            continue
        given = [
            t for t in tried if target.name not in t[2] and not any(target.name in known.ancestors(n) for n in t[2])
        ]
        best = None
        for text, value, names in _alike(target, given):
            term = text, Number("\0".join(names), value, "number", 6, False)
            own = [(t, n) for t, n in terms if n.name != target.name and target.name not in known.ancestors(n.name)]
            found = sums.summed(target, [term, *own])
            better = found is not None and (best is None or found.exceptions < best.exceptions)
            best = found if better else best
        if best is not None:
            known.add(best)


def _alike(target: Number, given: Sequence[Expression]) -> list[Expression]:
    """The few products that go together with the column most closely, each more closely than any of its factors."""
    rows = np.flatnonzero(~np.isnan(target.values))
    if not given or len(rows) < evidence.FEWEST:
        return []
    rows = rows[np.linspace(0, len(rows) - 1, min(ALIKE, len(rows))).astype(np.int64)]
    y = _standard(target.values[None, rows])[0]
    close = np.abs(_standard(np.stack([value[rows] for _, value, _ in given])) @ y) / len(rows)
    return [given[k] for k in np.argsort(-close, kind="stable")[:BEST] if close[k] >= CLOSE]


def _standard(values: np.ndarray) -> np.ndarray:
    """float64 [k, n]: the ranks of each of values [k, n], with mean 0 and variance 1; 0 of what is missing or one value."""
    known = np.isfinite(values)
    ranks = np.argsort(np.argsort(np.where(known, values, -np.inf), 1), 1).astype(np.float64)
    many = np.maximum(known.sum(1, keepdims=True), 1)
    ranks = np.where(known, ranks - (ranks * known).sum(1, keepdims=True) / many, 0.0)
    return np.asarray(ranks / np.maximum(np.sqrt((ranks**2).sum(1, keepdims=True) / many), 1e-12))


def _parts(number: Number) -> list[Factor]:
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
        if found is not None and better and all(_acts(found, target, value, by[name]) for name in names):
            best = found
    return best


def _acts(found: Worked, target: Number, value: np.ndarray, factor: Number) -> bool:
    """Whether a factor is needed: the product holds where it is not as it mostly is, and not nothing."""
    known = ~(np.isnan(target.values) | np.isnan(value) | np.isnan(factor.values))
    values, counts = np.unique(factor.values[known], return_counts=True)
    if len(values) < 2:
        return False
    differs = known & (factor.values != values[counts.argmax()]) & (np.abs(value) > 2 * target.half + 1e-12)
    with np.errstate(invalid="ignore"):
        holds = np.abs(target.values - value) <= slack_of(value, target.half)
    return enough(int((differs & holds).sum()), int((differs & ~holds).sum()), found)
