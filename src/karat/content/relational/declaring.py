"""What was found of related tables, as the TOML that a person corrects."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from karat.content.relational.database import Relation
from karat.content.table.mining import wording
from karat.content.table.schema.columns import Schema
from karat.content.table.tables import Tables


def declared(
    tables: Mapping[str, Tables],
    relations: Sequence[Relation],
    single: Schema | None,
    between: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The TOML that a person corrects: every table with its columns, what holds between them, and every relation.

    single: the schema of the one file whose rows were parted; then what was found of its sequences and its columns.
    """
    if single is not None:
        (r,) = relations
        found = (("series", r.order), ("entity", r.entity)) if r.cut else ()
        lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in found if v is not None]
        return "".join(lines) + wording.declared(single, between)
    out = ["# What Karat found in the tables. Correct what is wrong and give this file back with --schema.", ""]
    for name, whole in tables.items():
        keys = {k for r in relations if r.parent == name for k in r.keys} | {
            c for r in relations if r.child == name for c in r.columns
        }
        keys = {k for k in keys if whole.layout.columns[k].made}
        key = next((r.key for r in relations if r.parent == name and len(r.keys) == 1), None)
        own = replace(whole.unfound, columns=tuple(c for c in whole.schema.columns if c.name not in keys))
        text = wording.declared(own, [one for one in between if one["table"] == name and "relation" not in one])
        lines = [line for line in text.splitlines() if not line.startswith("#") or line.startswith("# found: ")]
        body = (
            "\n".join(lines).replace("[columns]", "[table.columns]").replace("[[constraint]]", "[[table.constraint]]")
        )
        head = [
            f"name = {json.dumps(name, ensure_ascii=False)}",
            *([f"key = {json.dumps(key, ensure_ascii=False)}"] if key is not None else []),
        ]
        out += ["[[table]]", *head, body.strip(), ""]
    for r in relations:
        one = len(r.columns) == 1
        pairs = {
            "child": r.child,
            "column": r.column if one else list(r.columns),
            "parent": r.parent,
            "key": r.key if one else list(r.keys),
            "order": r.order,
        }
        out += [
            "[[relation]]",
            *(f"{k} = {json.dumps(v if v is not None else '', ensure_ascii=False)}" for k, v in pairs.items()),
            *_rules(r, [one for one in between if one.get("relation") == r.text]),
            "",
        ]
    text = "\n".join(out)
    tomllib.loads(text)
    return text


def _rules(relation: Relation, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of TOML: what holds between parent and children, as declared and as found."""
    lines = [f"  {json.dumps(text, ensure_ascii=False)}," for text in relation.rules]
    for one in found:
        text = json.dumps(one["constraint"]["rule"], ensure_ascii=False)
        lines += [f"  # {' '.join(str(one['comment']).split())}", f"  {text},"]
    return ["rules = [", *lines, "]"] if lines else []
