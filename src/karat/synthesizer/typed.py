"""Whether objects that were made from a stranger's JSON hold what their annotations say, all the way down."""

from __future__ import annotations

import collections.abc
import dataclasses
import math
import types
import typing
from collections.abc import Hashable
from functools import lru_cache
from typing import Any


def misfit(value: Any) -> str | None:
    """What in `value`, an object with annotated attributes, is of another type than annotated: "mel.rate is '8000'"; None
    where nothing is. Numbers must be finite unless they are in an array or in a list of values.
    """
    found = _amiss(value, "")
    if found is None:
        return None
    where, wrong = found
    shown = repr(wrong)
    return f"{where} is {shown if len(shown) <= 60 else shown[:57] + '...'}"


Found = tuple[
    str, Any
]  # where something is wrong, and what it is: said only at the end, as printing an array takes long


def _amiss(value: Any, where: str) -> Found | None:
    """The first wrong thing in an object with annotated attributes."""
    for name, hint in _hints(type(value)).items():  # type: ignore[arg-type]
        if name in vars(value):
            found = _wrong(vars(value)[name], hint, f"{where}.{name}" if where else name)
            if found is not None:
                return found
    return None


@lru_cache(maxsize=512)
def _hints(kind: Hashable) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(typing.cast(Any, kind))
    except (NameError, TypeError):  # names that only the type checker knows
        return {}
    return {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}


def _wrong(value: Any, hint: Any, where: str) -> Found | None:
    """The first thing in `value` that `hint` does not allow."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, str | typing.TypeVar):
        return None
    if origin in (typing.Union, types.UnionType):
        found = [_wrong(value, one, where) for one in inner]
        return None if None in found else found[-1]
    if origin is typing.Literal:
        return (
            None
            if any(value is one or (type(value) is type(one) and value == one) for one in inner)
            else (where, value)
        )
    if hint in (None, type(None), int, float):
        return None if _plain(value, hint) else (where, value)
    kind: Any = origin if origin is not None else hint
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False) or kind is collections.abc.Callable:
        return None
    if not isinstance(value, kind):
        return (where, value)
    if inner and isinstance(value, tuple | list | set | frozenset | collections.abc.Mapping):
        return _wrong_inside(value, inner, where)
    if dataclasses.is_dataclass(value) or type(value).__module__.startswith("karat."):
        return _amiss(value, where)
    return None


def _plain(value: Any, hint: Any) -> bool:
    """Whether `value` is None, a whole number or a number other than NaN, as `hint` says; True and False are none."""
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not (isinstance(value, float) and math.isnan(value))
    return value is None


def _wrong_inside(value: Any, inner: tuple[Any, ...], where: str) -> Found | None:
    """The first thing in a tuple, a list, a set or a table that the hints of its elements, `inner`, do not allow."""
    if isinstance(value, tuple) and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            return (where, value)
        pairs = zip(value, inner, strict=True)
        return next((w for i, (x, h) in enumerate(pairs) if (w := _wrong(x, h, f"{where}[{i}]"))), None)
    if isinstance(value, collections.abc.Mapping) and len(inner) == 2:
        for key, one in value.items():
            found_key = _wrong(key, inner[0], f"a key of {where}")
            found_one = found_key if found_key is not None else _wrong(one, inner[1], f"{where}[{str(key)[:40]!r}]")
            if found_one is not None:
                return found_one
        return None
    if isinstance(value, list | tuple | set | frozenset) and inner:
        return next((w for i, x in enumerate(value) if (w := _wrong(x, inner[0], f"{where}[{i}]"))), None)
    return None
