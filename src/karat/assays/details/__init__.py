"""What a finding holds beside its number: one type for each kind of finding, as `report.json` has it.

`records` has those of pictures and sounds and of what several views share, `rows` those of tables, `passages` those of
text; `keys.KEYS` says which key has which. A field is called in JSON as it is here, with spaces for underscores; one that has a
default is left out where it has it, as parts that only one view of the records has (the columns of a table).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

Pair = tuple[int, int, float]  # a made and a training record, and how near they are
Curve = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A part of the report: `to_dict` gives its JSON, and `read` makes the same of it again."""

    def to_dict(self) -> dict[str, Any]:
        values = ((f, getattr(self, f.name)) for f in fields(self))
        return {_called(f): _json(v) for f, v in values if not (v is None and f.default is None)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """The detail that gave `values`; KeyError where a field is missing that has no default."""
        kinds = get_type_hints(cls)
        known = [f for f in fields(cls) if f.default is MISSING or _called(f) in values]
        return cls(**{f.name: _read(kinds[f.name], values[_called(f)]) for f in known})


def _called(f: Any) -> str:
    return str(f.metadata.get("json", f.name.replace("_", " ")))


def _json(value: Any) -> Any:
    if isinstance(value, Detail):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {k: _json(v) for k, v in value.items()}
    return [_json(v) for v in value] if isinstance(value, tuple) else value


def _read(kind: Any, value: Any) -> Any:
    args = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return None if value is None and NoneType in args else _read(args[0], value)
    if get_origin(kind) is tuple:
        each = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_read(one, v) for one, v in zip(each, value, strict=True))
    if isinstance(value, Mapping):
        return kind.read(value) if not args else {k: _read(args[1], v) for k, v in value.items()}
    return math.nan if value is None and kind is float else value  # JSON has no NaN
