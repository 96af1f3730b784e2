"""The types of a schema: what a column of a table holds, and how it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

import pyarrow as pa

Kind = Literal[
    "integer",
    "decimal",
    "boolean",
    "category",
    "date",
    "datetime",
    "time",
    "identifier",
    "text",
    "constant",
    "email",
    "phone",
    "card",
    "person id",
    "iban",
    "name",
    "address",
    "ip",
    "url",
]
Name = TypeVar("Name")
KINDS: tuple[Kind, ...] = get_args(Kind)
SENSITIVE: tuple[Kind, ...] = ("email", "phone", "card", "person id", "iban", "name", "address", "ip", "url")
MADE: tuple[Kind, ...] = ("identifier", "text", *SENSITIVE)  # made anew and not learned, unless `Column.keep`
WHOLE: tuple[Kind, ...] = ("integer", "identifier", "category", "constant")  # that whole numbers may be by themselves

# The Arrow type of each kind in a `Table`. Datetimes with a zone are kept in UTC.
LOGICAL: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
}  # every other kind is a string


@dataclass(frozen=True)
class Column:
    """One column: what it holds and how it is printed."""

    name: str
    kind: Kind
    places: int = 0  # the most decimals that are printed; for kind "decimal"; 17: as many as the value needs
    least: int | None = None  # the fewest, where zeros at the end are left out; None: always `places`
    format: str = ""  # dates and times: a strptime format (see moments.py); numbers: "${1,234.5}" (see numerals.py)
    zone: str = ""  # datetimes: "", "UTC", "+08:00" or a name such as "Europe/Berlin"; several offsets: "mixed"
    values: tuple[str, ...] = ()  # boolean: how true and false are spelled; constant: the one value; else see `arrow`
    missing: tuple[str, ...] = ()  # how missing cells are spelled, the commonest first; () where none is missing
    arrow: str = ""  # the source's own type where it has one ("int32", "dictionary<...>"), restored on decode; a
    # dictionary's entries are `values`, in their order
    low: float | None = None  # declared by a person; never inferred; of dates in days, of moments and times in seconds
    high: float | None = None
    unique: bool = False  # every value differs; kept so in what is made
    whole: bool = (
        False  # every cell of the source is a whole number of 64 bits, spelled plainly: files with types hold it as one
    )
    infinite: tuple[str, ...] = ()  # of numbers that may be infinite: how -inf and inf are spelled
    refers: str = ""  # the column of the same table, a key, whose values it holds (manager_id: "id")
    keep: bool = False  # declared by a person: learn this sensitive or text column as it is
    learn: bool = False  # declared by a person: write this column of text as it goes with the row's other columns
    notes: tuple[str, ...] = ()  # what a person should know
    learned: Mapping[str, Any] = field(default_factory=dict)  # JSON: what `sensitive.fakes` makes new values from

    @property
    def made(self) -> bool:
        """Whether new values are invented and the real ones not learned."""
        return self.kind in MADE and not self.keep


@dataclass(frozen=True)
class Schema:
    """All columns in order, the rules that hold among them, and the column that a model would predict."""

    columns: tuple[Column, ...]
    constraints: tuple[dict[str, Any], ...] = ()
    target: str | None = None
    protected: tuple[str, ...] = ()  # declared by a person: columns that say who somebody is


def as_key(column: Column, refers: str) -> Column:
    """The column as an identifier."""
    return Column(
        column.name, "identifier", missing=column.missing, arrow=column.arrow, whole=column.whole, refers=refers
    )


def alike(columns: Mapping[Name, Column], pairs: Sequence[tuple[Name, Name]]) -> dict[Name, Column]:
    """The columns, of which those that hold the same keys are whole numbers together or not at all, so that they can be joined."""
    out = dict(columns)
    for _ in pairs:  # a key that is a key of another table's in turn
        for one, other in pairs:
            if out[one].whole != out[other].whole:
                out |= {at: replace(out[at], whole=False) for at in (one, other)}
    return out
