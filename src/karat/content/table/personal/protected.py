"""Columns that say who somebody is, by which people must be treated alike: declared, or known by their names."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from karat.content.table.schema.columns import Schema
from karat.errors import FitError

# As laws against discrimination name them (Charter of Fundamental Rights of the European Union, article 21), in headers.
NAMES = frozenset(
    "sex gender race ethnicity ethnic religion nationality citizenship disability geschlecht herkunft sexe genre sexo raza "
    "性别 民族 种族 宗教 国籍 籍贯".split()
)


def of(schema: Schema, there: Collection[str] | None = None) -> tuple[str, ...]:
    """The columns that were declared; where none was, those that have such a name. Only those that are `there`, where given."""
    kinds = ("category", "boolean", "integer")
    few = [column.name for column in schema.columns if column.kind in kinds]
    named = schema.protected or [name for name in few if NAMES & set(re.split(r"[\W_]+", name.lower()))]
    return tuple(name for name in named if there is None or name in there)


def declared(value: Any, names: list[str], where: str) -> tuple[str, ...]:
    """The columns of `protected = ["sex", "race"]`, or "sex,race"; FitError where one is none of `names`."""
    listed = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise FitError(f'{where}: protected = {value!r}; wanted names of columns such as ["sex", "race"].')
    for name in listed:
        if name not in names:
            there = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
            raise FitError(f"{where}: protected names {name!r}, which is no column. There are: {there}.")
    return tuple(dict.fromkeys(listed))


def note(schema: Schema) -> list[str]:
    """What to say of columns that are taken for protected ones by their names."""
    names = () if schema.protected else of(schema)
    others = "; --set data.protected=COLUMN,COLUMN names others."
    return [f"A report looks at the groups of {' and '.join(names)} one by one{others}"] if names else []
