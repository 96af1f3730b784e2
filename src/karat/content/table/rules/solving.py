"""What a formula leaves for one of its columns where its result is given: price 10 and total 30 leave a quantity of 3.

The expression is taken apart from the outside, the span of numbers that it may have carried to the one unknown column.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.parts import Number
from karat.content.table.rules.constraints import Formula
from karat.content.table.rules.expressions import Cells, Node

Span = tuple[
    np.ndarray, np.ndarray
]  # the least and the greatest number [n] that may stand there; none where least > greatest
EASE = 1e-9  # relative error of what is worked out


def solved(formula: Formula, part: Number, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The tick [n] of the column of `part`, nearest to the one that it has, with which the formula holds; NaN where none does.

    And whether [n] it is the only one.   cells: all columns of the formula; the part's own may be missing.
    """
    cells = cells.together(formula.rule.columns(formula.right))
    left = cells.number(formula.left)
    reach = 0.5 * 10.0**-formula.places if formula.places >= 0 else 0.0
    spans = _inverse(formula, formula.right, part.name, cells, (left - reach, left + reach))
    out, alone = np.full(len(cells), np.nan), np.zeros(len(cells), bool)
    now = part.grain.ticks(cells.columns[part.name])
    for low, high in spans:
        best = np.full(len(cells), np.nan)
        ease = EASE * np.maximum(1.0, np.abs(np.where(np.isfinite(low), low, 0.0)))
        bottom, top = part.limits()
        if cells.seconds and part.grain.kind == "date":
            low, high, ease = low / 86_400, high / 86_400, ease / 86_400
        least = np.maximum(part.beside(low - ease, 1, False), bottom)
        most = np.minimum(part.beside(high + ease, -1, False), top)
        with np.errstate(invalid="ignore"):  # a span without ends has no middle
            middle = np.where(np.isfinite(least) & np.isfinite(most), (least + most) / 2, np.fmax(least, -1e300))
        middle = np.round(middle) if part.grain.whole else middle
        near = [middle + step for step in (-1, 1, -2, 2)] if part.grain.whole else []
        for tick in (np.clip(np.where(np.isnan(now), middle, now), least, most), middle, *near, least, most):
            good = np.isnan(best) & np.isfinite(tick) & (least <= most)
            good &= ~formula.broken(_with(cells, part, np.where(good, tick, np.nan)))
            best = np.where(good, tick, best)
            alone |= good & (least == most)
        with np.errstate(invalid="ignore"):
            out = np.where(np.isnan(out) | (np.abs(best - now) < np.abs(out - now)), best, out)
    return out, alone & (len(spans) == 1)


def expanded(formula: Formula, formulas: Sequence[Formula], known: Container[str]) -> Formula:
    """The formula with what other formulas work out put in its place, but for the columns that are `known`."""
    single = [f for f in formulas if len(f.alternatives) == 1]
    by = {f.left: f for f in single if f.left not in known and f.left != formula.left}

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> Node:
            name = formula.rule.name(node)
            if name not in by:
                return node
            inner = copy.deepcopy(by[name].right)
            places = by[name].places
            worked = self.visit(inner)
            if places < 0:
                return cast(Node, worked)
            return ast.Call(ast.Name("round"), [worked, ast.Constant(places)], [])

    return replace(formula, right=cast(Node, Put().visit(copy.deepcopy(formula.right))))


def _with(cells: Cells, part: Number, ticks: np.ndarray) -> Cells:
    return replace(cells, columns={**cells.columns, part.name: part.grain.array(ticks)})


def exact(formula: Formula, part: Number, cells: Cells) -> np.ndarray:
    """float64 [n]: the number that the formula would want of the column, whether it can hold it or not; NaN where none."""
    cells = cells.together(formula.rule.columns(formula.right))
    left = cells.number(formula.left)
    spans = _inverse(formula, formula.right, part.name, cells, (left, left))
    return (spans[0][0] + spans[0][1]) / 2 if spans else np.full(len(cells), np.nan)


def _inverse(formula: Formula, node: Node, name: str, cells: Cells, span: Span) -> list[Span]:
    """The spans of the column `name` with which `node` lies in `span`; none where it stands there twice and not in a line."""
    rule = formula.rule
    if isinstance(node, ast.Tuple):
        return [one for each in node.elts for one in _inverse(formula, each, name, cells, span)]
    found = [n for n in ast.walk(node) if isinstance(n, ast.Name) and rule.name(n) == name]
    if not found:
        return []
    if len(found) > 1:
        return _line(formula, node, name, cells, span)
    low, high = span
    if rule.name(node) == name:
        return [span]
    if isinstance(node, ast.UnaryOp):
        turned = (-high, -low) if isinstance(node.op, ast.USub) else span
        return _inverse(formula, node.operand, name, cells, turned)
    if isinstance(node, ast.BinOp):
        inner = node.left if any(n is found[0] for n in ast.walk(node.left)) else node.right
        known = rule.value(node.right if inner is node.left else node.left, cells)
        with np.errstate(all="ignore"):
            return _inverse(formula, inner, name, cells, _undone(node.op, inner is node.left, known, low, high))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        inner = next(arg for arg in node.args if any(n is found[0] for n in ast.walk(arg)))
        if node.func.id == "round":
            places = ast.literal_eval(node.args[1]) if len(node.args) == 2 else 0
            whole = (np.ceil(low * 10.0**places - EASE), np.floor(high * 10.0**places + EASE))
            reach = 0.5 * 10.0**-places
            return _inverse(
                formula, inner, name, cells, (whole[0] / 10.0**places - reach, whole[1] / 10.0**places + reach)
            )
        if node.func.id in ("round_up", "round_down"):
            first, last = np.ceil(low - EASE), np.floor(high + EASE)
            begun, over = (1 - EASE, 0.0) if node.func.id == "round_up" else (0.0, 1 - EASE)
            return _inverse(formula, inner, name, cells, (first - begun, last + over))
        if node.func.id == "abs":
            here = _inverse(formula, inner, name, cells, (np.maximum(low, 0), high))
            return [*here, *_inverse(formula, inner, name, cells, (-high, -np.maximum(low, 0)))]
        others = [rule.value(arg, cells) for arg in node.args if arg is not inner]
        if node.func.id == "min":
            least = np.minimum.reduce(others)
            low, high = np.where(low > least, np.inf, low), np.where(high >= least, np.inf, high)
            return _inverse(formula, inner, name, cells, (low, high))
        if node.func.id == "max":
            most = np.maximum.reduce(others)
            low, high = np.where(low <= most, -np.inf, low), np.where(high < most, -np.inf, high)
            return _inverse(formula, inner, name, cells, (low, high))
    return []


def _undone(op: ast.operator, left: bool, known: np.ndarray, low: np.ndarray, high: np.ndarray) -> Span:
    """The span of the side of `op` that is not `known` (its left one where `left`), for a result in low..high."""
    if isinstance(op, ast.Add):
        return low - known, high - known
    if isinstance(op, ast.Sub):
        return (low + known, high + known) if left else (known - high, known - low)
    if isinstance(op, ast.Mult):
        ends = np.stack([low / known, high / known])
        free = (known == 0) & (low <= 0) & (high >= 0)  # nothing times anything is nothing
        none = (known == 0) & ~free
        return (
            np.where(free, -np.inf, np.where(none, np.inf, ends.min(0))),
            np.where(free, np.inf, np.where(none, -np.inf, ends.max(0))),
        )
    if left:
        ends = np.stack([low * known, high * known])
        return ends.min(0), ends.max(0)
    middle = (low + high) / 2
    ends = np.stack([known / np.where(low * high > 0, low, middle), known / np.where(low * high > 0, high, middle)])
    return ends.min(0), ends.max(0)


def _line(formula: Formula, node: Node, name: str, cells: Cells, span: Span) -> list[Span]:
    """The same where the column stands there more than once and the expression is a line in it."""
    n = len(cells)
    values = []
    for x in (0.0, 1.0, 2.0):
        column = pa.array(np.full(n, x))
        values.append(formula.rule.value(node, replace(cells, columns={**cells.columns, name: column})))
    slope = values[1] - values[0]
    straight = (np.abs(values[2] - values[1] - slope) <= EASE * np.maximum(1, np.abs(values[2]))) & (slope != 0)
    rounds = [
        n for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "round"
    ]
    reach = sum(0.5 * 10.0 ** -(ast.literal_eval(n.args[1]) if len(n.args) == 2 else 0) for n in rounds)
    with np.errstate(all="ignore"):
        ends = np.stack([(end - values[0]) / slope for end in (span[0] - reach, span[1] + reach)])
    low, high = ends.min(0), ends.max(0)
    return [(np.where(straight, low, np.inf), np.where(straight, high, -np.inf))]
