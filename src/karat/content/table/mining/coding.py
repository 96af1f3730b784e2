"""Which of the relations that were found a generator keeps, as rules of the schema that it learns with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content.table.mining.columns import Columns
from karat.content.table.mining.relation import Relation
from karat.content.table.rules.constraints import Rules, compile_rules
from karat.content.table.schema.columns import Schema
from karat.errors import DataError

LOOKED = 100_000  # rows, at most, by which is told whether a distance scatters
SCATTERS = 0.05  # bits that a distance may hold beyond the column that is coded by it


def kept(found: Sequence[Relation], schema: Schema, cells: pa.Table) -> list[Relation]:
    """The relations that can be coded beside the rules of the schema and each other.

    Where one is missing and the other says nothing, what nearly holds is left to be learned as anything else is; so is an order
    that nearly holds of a column that stands on few values and of its distances on many, such as a limit in tens of thousands
    above what was spent: coded as distances it would stand anywhere.
    cells: the training rows.
    """
    out: list[Relation] = []
    columns = Columns(cells.take(np.arange(k := min(len(cells), LOOKED)) * len(cells) // max(1, k)), schema)
    for one in sorted(found, key=lambda r: not r.always):
        if not one.always and (one.form == "missing" or one.form == "order" and _scatters(one, columns)):
            continue
        try:
            rules = compile_rules(with_rules(schema, [*out, one]))
        except DataError:  # it goes round in a circle with another
            continue
        if all(_coded(other, rules) for other in (*out, one)):
            out.append(one)
    return out


def _scatters(one: Relation, columns: Columns) -> bool:
    """Whether a column of an order says less by itself than by its distance from the one before."""
    known = columns.numbers
    for low, high in pairwise(one.columns):
        x, y = known[low].values, known[high].values
        there = ~(np.isnan(x) | np.isnan(y))
        if _bits(np.round(y - x, 6)[there]) > _bits(y[there]) + SCATTERS:
            return True
    return False


def _bits(values: np.ndarray) -> float:
    """The entropy of values [n] as they were counted."""
    shares = np.unique(values, return_counts=True)[1] / max(1, len(values))
    return -float((shares * np.log2(shares)).sum())


def _coded(one: Relation, rules: Rules) -> bool:
    """Whether a relation holds by how its columns are coded. Rows that would have to be drawn until it holds are another
    population than those that a generator draws."""
    names = one.columns
    if one.form == "dependency":
        return names in [(*d.left, d.right) for d in rules.looked_up]
    links = list(pairwise(names))
    near = [(n.low, n.high) for n in rules.near.values()]
    if one.form == "order":
        held = near if not one.always else [(o.low, o.high) for o in rules.orders]
        return all(link in held for link in links)
    if one.form == "distance" and " <= " in one.text:
        return names in near or names[::-1] in near
    if one.form in ("missing", "one of many"):
        return True
    return one.text in [f.rule.text for f in rules.formulas]


def with_rules(schema: Schema, found: Sequence[Relation]) -> Schema:
    """The schema with the relations as rules, behind those that a person declared."""
    rules: tuple[dict[str, Any], ...] = tuple(dict(one.constraint) for one in found)
    return replace(schema, constraints=(*schema.constraints, *rules))
