"""What holds between parents and their children, from the rows alone.

Parents are independent rows, so that what is worked out of the children of each is one more column beside the parent's own,
and equal columns are found by the evidence of the relations within one table. Orders are looked for in one child of each
parent, and counted in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from math import log

import numpy as np

from karat.content.relational.across.rule import Across, Kind, aggregate, declared, parsed, rule, text_of
from karat.content.relational.database import Database, Relation
from karat.content.table.mining import evidence, orders
from karat.content.table.mining.columns import Columns, Number
from karat.content.table.mining.formulas.worked import judged

MOST = 16  # columns of numbers of either table that are looked at
PRODUCTS = 8  # columns of children of which products are looked at
KINDS: tuple[Kind, ...] = ("sum", "min", "max", "first", "last")
PARENTS = 4000  # that are looked at first


Rows = Callable[[Relation], Database]  # the rows in which those of a relation are whole: all children of each parent


def found(data: Rows, relations: tuple[Relation, ...], sought: bool) -> tuple[Across, ...]:
    """What a person declares of the relations, and, where it is `sought`, what is discovered beside it."""
    stated = tuple(declared(text, data(r), r) for r in relations for text in r.rules)
    return stated + (beside(data, relations) if sought else ())


def beside(data: Rows, relations: tuple[Relation, ...]) -> tuple[Across, ...]:
    """What is discovered and not declared."""
    known = {_about(parsed(text, r)) for r in relations for text in r.rules}
    return tuple(one for one in discover(data, relations) if _about(one) not in known)


def _about(one: Across) -> tuple[Relation, str, tuple[str, ...]]:
    """What only one rule is about: a column of the parent, or one of the children beside it."""
    return one.relation, one.name, one.columns if one.rowwise else ()


def discover(data: Rows, relations: tuple[Relation, ...]) -> tuple[Across, ...]:
    """The rules across each relation: one aggregate for each of the parent's columns, and what each child's are beside them."""
    out: list[Across] = []
    for relation in (r for r in relations if not r.cut):  # windows of a series are no parents
        base = data(relation)
        mine, theirs = _numbers(base, relation.parent, relation), _numbers(base, relation.child, relation)
        if not mine:
            continue
        rowwise = [] if relation.own else _rowwise(base, relation, mine, theirs)
        same = {(one.name, one.columns) for one in rowwise if one.kind == "="}
        solved = {(one.relation.parent, one.name) for one in out if not one.rowwise}
        found = [
            one
            for one in _aggregates(base, relation, mine, theirs)
            if (relation.parent, one.name) not in solved and (one.name, one.columns) not in same
        ]
        implied = {(one.name, column) for one in found for column in one.columns}
        out += [*found, *(one for one in rowwise if (one.name, one.columns[0]) not in implied)]
    return tuple(out)


def _numbers(data: Database, table: str, relation: Relation) -> list[Number]:
    """Columns of numbers, dates and times, but for keys."""
    keys = {*relation.columns} if table == relation.child else set[str]()
    keys |= {*relation.keys} if table == relation.parent else set()
    known = Columns(data.tables[table].cells, data.tables[table].facts.schema)
    return [n for name, n in known.numbers.items() if name not in keys][:MOST]


def _aggregates(data: Database, relation: Relation, mine: list[Number], theirs: list[Number]) -> Iterator[Across]:
    """Of each of the parent's columns the aggregate that it is, with fewest exceptions and the plainest of equals."""
    tried = list(_candidates(data, relation, theirs))
    tests = log(max(1, len(tried) * len(mine)))
    parents = len(data.tables[relation.parent])
    some = np.random.default_rng(0).permutation(parents)[:PARENTS]
    for left in mine:
        best: tuple[int, Across] | None = None
        few = Number(left.name, left.values[some], left.unit, left.decimals, left.day)
        for kind, columns, value, unit, decimals in tried:
            if unit != left.unit:
                continue
            half = left.half if kind == "sum" and 0 <= left.decimals < decimals else 0.0
            text = text_of(relation, left.name, kind, columns)
            held = judged("aggregate", few, text, columns, value[some], half, tests)
            if held is None or best is not None and held.exceptions >= best[0]:
                continue
            one = rule(relation, left.name, kind, columns, half, held.chance, held.evidence).counted(data)
            if one.found.exceptions <= evidence.most(one.found.rows):
                best = held.exceptions, one
        if best is not None:
            yield best[1]


def _candidates(
    data: Database, relation: Relation, theirs: list[Number]
) -> Iterator[tuple[Kind, tuple[str, ...], np.ndarray, str, int]]:
    """(kind, columns, value of each parent, unit, decimals) of each aggregate, the plainest first."""
    yield "count", (), aggregate("count", [], data, relation), "number", 0
    for kind in KINDS:
        for n in theirs:
            if kind != "sum" or n.unit == "number":
                yield kind, (n.name,), aggregate(kind, [n.values], data, relation), n.unit, n.decimals
    plain = [n for n in theirs if n.unit == "number"][:PRODUCTS]
    for a, b in combinations(plain, 2):
        value = aggregate("sum", [a.values, b.values], data, relation)
        yield "sum", (a.name, b.name), value, "number", max(a.decimals, 0) + max(b.decimals, 0)


def _rowwise(data: Database, relation: Relation, mine: list[Number], theirs: list[Number]) -> list[Across]:
    """What each child's columns are beside its parent's: the same, never less, never more."""
    link = data.links[relation]
    rows = np.random.default_rng(0).permutation(np.flatnonzero(link >= 0))
    rows = rows[np.unique(link[rows], return_index=True)[1]]  # one of each parent: these are independent
    rows = np.sort(np.random.default_rng(1).permutation(rows)[:PARENTS])
    if len(rows) < evidence.FEWEST:
        return []
    tests = max(1, 2 * len(mine) * len(theirs))
    found: list[Across] = []
    for b in theirs:
        y = Number(b.name, b.values[rows], b.unit, b.decimals, b.day)
        mates: list[Across] = []
        for a in mine:
            if a.unit != b.unit:
                continue
            x = Number(a.name, a.values[link[rows]], a.unit, a.decimals, a.day)
            same = judged("equal", x, b.name, [b.name], y.values, 0.0, log(tests))
            if same is not None:
                mates = [rule(relation, a.name, "=", (b.name,), 0.0, same.chance, same.evidence)]
                break
            both = ~(np.isnan(x.values) | np.isnan(y.values))
            if both.sum() >= evidence.FEWEST:
                kinds: tuple[Kind, Kind] = ("<=", ">=")
                for kind, (low, high) in zip(kinds, ((x, y), (y, x)), strict=True):
                    one = orders.ordered(low, high, low.values[both], high.values[both], tests)
                    if one is not None:
                        mates.append(rule(relation, a.name, kind, (b.name,), 0.0, one.chance, one.evidence))
        counted = [one.counted(data) for one in mates]
        found += [one for one in counted if one.found.exceptions <= evidence.most(one.found.rows)]
    return _reduced(found, mine, theirs)


def _reduced(found: list[Across], mine: list[Number], theirs: list[Number]) -> list[Across]:
    """Without the orders that follow from another and an order within one of the tables."""
    values = {"mine": {n.name: n.values for n in mine}, "theirs": {n.name: n.values for n in theirs}}

    def follows(one: Across, other: Across) -> bool:
        if one is other or one.kind != other.kind or one.kind == "=" or other.found.exceptions > one.found.exceptions:
            return False
        nearer = []
        for side, a, b in (("mine", one.name, other.name), ("theirs", one.columns[0], other.columns[0])):
            x, y = values[side][a], values[side][b]
            known = ~(np.isnan(x) | np.isnan(y))
            # of <= the parent's greater and the child's lesser column lie between
            up = (one.kind == "<=") == (side == "mine")
            nearer.append(a == b or bool(known.any() and ((x <= y) if up else (x >= y))[known].all()))
        return all(nearer)

    kept: list[Across] = []
    for one in found:
        if not any(follows(one, other) for other in kept):
            kept = [other for other in kept if not follows(other, one)] + [one]
    return kept
