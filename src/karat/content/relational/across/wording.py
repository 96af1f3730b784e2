"""Rules across tables as a person reads them: a sentence, how often it is broken and where, and what a schema says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karat.content.relational.across.rule import Across
from karat.content.relational.database import Database
from karat.content.table.mining import wording


def listed(across: Sequence[Across], data: Database) -> list[dict[str, Any]]:
    """The rules as JSON, each with its words and a comment for a schema."""
    out = []
    for one in across:
        own = {"always": one.found.always, "table": one.table, "relation": one.relation.text}
        kinds = {c.name: c.kind for c in data.tables[one.relation.parent].facts.schema.columns}
        plain = sentence(one, kinds[one.name] not in ("integer", "decimal"))
        text = wording.counted(one.found, plain, one.table)
        comment = wording.comment(one.found, plain, one.table)
        out.append({**one.found.to_dict(), **own, "words": text, "comment": comment})
    return out


def sentence(one: Across, moment: bool) -> str:
    """What the rule says, of moments or of numbers."""
    r = one.relation
    own, theirs = f"{r.parent}.{one.name}", " * ".join(f"{r.child}.{c}" for c in one.columns)
    if one.kind == "count":
        return f"{own} is how many rows of {r.child} refer to it"
    if one.kind == "sum":
        return f"{own} is the sum of {theirs}"
    if one.kind == "=":
        return f"{theirs} is {own}"
    if one.rowwise:
        before, after = ("before", "after") if moment else ("below", "above")
        return f"{theirs} is never {before if one.kind == '<=' else after} {own}"
    ends = {"min": "earliest", "max": "latest"} if moment else {"min": "least", "max": "greatest"}
    name = ends.get(one.kind, one.kind)
    return f"{own} is the {name} {theirs}"
