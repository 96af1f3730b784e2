"""Relations as a person reads them: a sentence, and how often it is broken and where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from karat.content.table.mining.discovery import discover
from karat.content.table.mining.relation import Relation
from karat.content.table.schema import schema as schemas
from karat.content.table.schema.columns import Schema

SECONDS = {"datetime", "time"}
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def listed(cells: pa.Table, schema: Schema, known: Sequence[Relation]) -> list[dict[str, Any]]:
    """The relations between the columns of these cells as JSON, each with its words and a comment for a schema.

    known: those of a large part of the rows: among other columns none are looked for.
    """
    about = {name for one in known for name in one.columns}
    cells = cells.select([name for name in cells.column_names if name in about])
    return [
        {
            **r.to_dict(),
            "always": r.always,
            "words": description(r, schema),
            "comment": comment(r, sentence(r, schema)),
        }
        for r in (discover(cells, schema) if about else [])
    ]


def declared(schema: Schema, between: Sequence[Mapping[str, Any]]) -> str:
    """The schema as TOML, with what `listed` gave as rules."""
    own = schema.constraints
    comments = {len(own) + i: str(found["comment"]) for i, found in enumerate(between)}
    return schemas.to_toml(
        replace(schema, constraints=(*own, *(dict(found["constraint"]) for found in between))), comments
    )


def sentence(relation: Relation, schema: Schema) -> str:
    """What the relation says."""
    kinds = {column.name: column.kind for column in schema.columns}
    names = relation.columns
    if relation.form == "dependency":
        return f"each {' and '.join(names[:-1])} has one {names[-1]}"
    if relation.form == "order":
        strict = re.findall(r" (<=?) ", _bare(relation))
        before, after = ("before", "after") if kinds[names[0]] in ("date", "datetime", "time") else ("below", "above")
        links = list(zip(names, strict, names[1:], strict=False))
        return ", ".join(f"{a} is {f'{before}' if s == '<' else f'never {after}'} {b}" for a, s, b in links)
    if relation.form == "one of many":
        return f"one of {', '.join(names[:-1])} and {names[-1]} is true at a time"
    if relation.form == "missing":
        return relation.text.replace("`", "").replace(" iff ", " exactly where ")
    if relation.form == "distance":
        return _distance(relation, kinds[names[0]])
    if relation.form == "mixture":
        return relation.text.replace(" in (", " is one of ", 1).removesuffix(")")
    return relation.text


def description(relation: Relation, schema: Schema) -> str:
    """The sentence, with the rule that says it, and the rows that break it."""
    rule = f" ({relation.text})" if relation.form in ("dependency", "order", "distance") else ""
    return counted(relation, f"{sentence(relation, schema)}{rule}")


def counted(relation: Relation, text: str, table: str = "") -> str:
    """`text` of the relation, and the rows that break it: those of `table`, where it is about several."""
    of = f" of {table}" if table else ""
    if relation.always:
        return f"{text}: in all {relation.rows:,} rows{of}"
    low, high = relation.interval
    rows = ", ".join(f"{i + 1:,}" for i in relation.first)
    more = ", ..." if relation.exceptions > len(relation.first) else ""
    s = "" if relation.exceptions == 1 else "s"
    return (
        f"{text}: nearly always; {relation.exceptions:,} of {relation.rows:,} rows{of} break{'s' if not s else ''} it "
        f"({_share(relation.rate)}, between {_share(low)} and {_share(high)}), row{s} {rows}{more}"
    )


def comment(relation: Relation, text: str, table: str = "") -> str:
    """The same in a few words, for a line of a schema."""
    of = f" of {table}" if table else ""
    if relation.always:
        return f"found: {text}, in all {relation.rows:,} rows{of}"
    return f"found: {text}, but in {relation.exceptions:,} of {relation.rows:,} rows{of}"


def _bare(relation: Relation) -> str:
    return re.sub(r"`[^`]*`", "x", relation.text)


def _distance(relation: Relation, kind: str) -> str:
    names, text = relation.columns, relation.text.replace("`", "")
    constant = re.fullmatch(r".* = .* \+ (\S+)", text)
    if constant:
        return (
            f"{names[0]} is {_span(float(constant[1]), kind)} after {names[1]}"
            if kind
            in (
                "date",
                "datetime",
                "time",
            )
            else text.replace(" = ", " is ")
        )
    ends = re.fullmatch(r"(\S+) <= (.*) <= (\S+)", text)
    if ends is None:
        return text
    return f"{ends[2]} lies between {_span(float(ends[1]), kind)} and {_span(float(ends[3]), kind)}"


def _span(x: float, kind: str) -> str:
    if kind not in ("date", *SECONDS):
        return f"{x:,.10g}"
    if kind == "date":
        return f"{x:,g} day{'' if x == 1 else 's'}"
    size, word = next(((s, w) for s, w in UNITS if abs(x) >= s and x % s == 0), (1, "second"))
    return f"{x / size:,g} {word}{'' if x / size == 1 else 's'}"


def _share(x: float) -> str:
    return f"{x:.2%}" if x >= 1e-4 or x == 0 else f"{x:.1e}"
