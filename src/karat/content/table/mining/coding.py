"""Which of the relations that were found a generator keeps, as rules of the schema that it learns with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from karat.content.table.mining.relation import Relation
from karat.content.table.rules.constraints import Rules, compile_rules
from karat.content.table.schema.columns import Schema
from karat.errors import DataError


def kept(found: Sequence[Relation], schema: Schema) -> list[Relation]:
    """The relations that can be coded beside the rules of the schema and each other.

    Where one is missing and the other says nothing, what nearly holds is left to be learned as anything else is.
    """
    out: list[Relation] = []
    for one in sorted(found, key=lambda r: not r.always):
        if one.form == "missing" and not one.always:
            continue
        try:
            rules = compile_rules(with_rules(schema, [*out, one]))
        except DataError:  # it goes round in a circle with another
            continue
        if all(_coded(other, rules) for other in (*out, one)):
            out.append(one)
    return out


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
