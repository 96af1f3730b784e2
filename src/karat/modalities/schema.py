"""What the columns of a table are: inferred from the data, printed for a person, corrected by him in TOML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

Kind = Literal[
    "integer", "decimal", "boolean", "category", "date", "datetime", "time", "identifier", "text", "constant",
    "email", "phone", "card", "person id", "iban", "name", "address", "ip", "url",
]  # fmt: skip
SENSITIVE: tuple[Kind, ...] = ("email", "phone", "card", "person id", "iban", "name", "address", "ip", "url")

# The Arrow type of each kind in a `Table`. Datetimes with a zone are kept in UTC.
LOGICAL: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
}  # fmt: skip  every other kind is a string


@dataclass(frozen=True)
class Column:
    """One column: what it holds and how it is printed."""

    name: str
    kind: Kind
    places: int = 0  # decimals that are printed; for kind "decimal"
    format: str = ""  # dates and times: a strptime format; numbers: what surrounds them, e.g. "${:,}" or "{:05d}"
    zone: str = ""  # datetimes: "", "UTC", "+08:00" or a name such as "Europe/Berlin"; several offsets: "mixed"
    values: tuple[str, ...] = ()  # boolean: how true and false are spelled; constant: the one value
    missing: tuple[str, ...] = ()  # how missing cells are spelled, the commonest first; () where none is missing
    arrow: str = ""  # the source's own type where it has one ("int32", "dictionary<...>"), restored on decode
    low: float | None = None  # declared by a person; never inferred
    high: float | None = None
    unique: bool = False  # every value differs; kept so in what is made
    keep: bool = False  # declared by a person: learn this sensitive or text column as it is


@dataclass(frozen=True)
class Schema:
    """All columns in order, the rules that hold among them, and the column that a model would predict."""

    columns: tuple[Column, ...]
    constraints: tuple[dict[str, Any], ...] = ()
    target: str | None = None
