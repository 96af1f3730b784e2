"""What holds between columns of a table, as it was found in its rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from karat.content.table.rules.expressions import FUNCTIONS

Form = Literal[
    "equal",
    "order",
    "distance",
    "sum",
    "linear",
    "product",
    "ratio",
    "mixture",
    "extreme",
    "dependency",
    "one of many",
    "missing",
    "monotone",
    "aggregate",
]
SHOWN = 5  # rows that break a relation and are named
RESERVED = {"if", "then", "iff", "and", "or", "not", "in", "is", "missing", "true", "false", "nearly", *FUNCTIONS}


@dataclass(frozen=True)
class Relation:
    """A relation between `columns`, and how often rows break it.

    constraint: the entry of a schema that declares it; `nearly = true` in one that has exceptions.   rows: those in which it
    can be told, as nothing it speaks of is missing.   first: the first rows that break it, counted from 0.   chance: the
    share of rows that would break it if the columns had nothing to do with each other.   evidence: log10 of the probability
    of so few exceptions by chance, times the number of relations that were looked at; at most log10 of `evidence.ALPHA`.
    """

    form: Form
    constraint: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: int
    exceptions: int
    first: tuple[int, ...]
    chance: float
    evidence: float

    @property
    def always(self) -> bool:
        return self.exceptions == 0

    @property
    def rate(self) -> float:
        """The share of rows that break it."""
        return self.exceptions / self.rows if self.rows else 0.0

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The share of rows that break it, with 95 % confidence: Wilson, "Probable inference" (1927)."""
        n, z = self.rows, 1.959964
        if n == 0:
            return 0.0, 1.0
        middle = (self.rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(self.rate * (1 - self.rate) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def text(self) -> str:
        """The rule as a schema has it, in one line."""
        if "rule" in self.constraint:
            return str(self.constraint["rule"])
        key = next(key for key in ("together", "unique") if key in self.constraint)
        return f"{key} {', '.join(self.constraint[key])}"

    def to_dict(self) -> dict[str, Any]:
        """The relation as JSON."""
        return {
            "form": self.form,
            "constraint": dict(self.constraint),
            "columns": list(self.columns),
            "rows": self.rows,
            "exceptions": self.exceptions,
            "first": list(self.first),
            "chance": self.chance,
            "evidence": self.evidence,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """The relation that gave `d`."""
        return cls(
            d["form"],
            dict(d["constraint"]),
            tuple(d["columns"]),
            int(d["rows"]),
            int(d["exceptions"]),
            tuple(d["first"]),
            float(d["chance"]),
            float(d["evidence"]),
        )


def quoted(name: str) -> str:
    """The column as a rule names it; ValueError for a header with a backquote, which no rule can name."""
    if re.fullmatch(r"[^\W\d]\w*", name) and name.lower() not in RESERVED:
        return name
    if "`" in name or not name:
        raise ValueError(f"a rule cannot name the column {name!r}")
    return f"`{name}`"


def plain(x: float) -> str:
    """A number as a rule has it: whole ones without a point, never with an exponent."""
    if float(x).is_integer() and abs(x) < 1e15:
        return str(int(x))
    return np.format_float_positional(x, trim="-")
