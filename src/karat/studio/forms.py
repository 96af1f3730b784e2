"""Forms made of the options of a verb: a field for each of the dataclass, read back into what differs from its defaults."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from fastapi import Request
from starlette.datastructures import FormData

from karat.server.problems import Problem
from karat.studio.page import Viewer

Kind = Literal["check", "whole", "number", "text", "lines", "choice"]
EMPTY = {"check": False, "lines": ()}
LONGEST = 10_000  # characters of a value
UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories; joiners and soft hyphens (Cf) are parts of words
TURNING = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # Unicode's Bidi_Control


@dataclass(frozen=True)
class Field:
    """One field of a form.   hint: what it does, below it.   value: as it is shown.   choices: (value, what is shown)."""

    name: str
    kind: Kind
    label: str
    hint: str
    value: str
    choices: tuple[tuple[str, str], ...] = ()


def fields_of(
    options: type,
    prefix: str,
    viewer: Viewer,
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    values: Mapping[str, Any] | None = None,
    choices: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> list[Field]:
    """The fields of the dataclass `options`, in its order or that of `only`. What they are called and what they do are
    the sentences `studio.PREFIX.NAME` and `studio.PREFIX.NAME.hint`.

    values: what is shown in place of the defaults.   choices: fields in which one of some is chosen.
    """
    known = {each.name: each for each in dataclasses.fields(options)}
    names = [name for name in (known if only is None else only) if name not in without]
    chosen, given, hints = dict(choices or {}), dict(values or {}), get_type_hints(options)
    out = []
    for name in names:
        kind, own = _kind(hints[name])
        offered = tuple(chosen[name]) if name in chosen else tuple((each, each) for each in own)
        value = given.get(name, known[name].default)
        out.append(
            Field(
                name,
                "choice" if offered else kind,
                viewer.t(f"{prefix}.{name}"),
                viewer.t(f"{prefix}.{name}.hint"),
                _shown(value),
                offered,
            )
        )
    return out


async def sent(request: Request, lines: Collection[str] = (), known: Collection[str] = ()) -> FormData:
    """The form of a request; Problem(400) for a value that is too long, or holds what cannot be seen.

    lines: fields of several lines.   known: values that stand in the data, and are taken as they are.
    """
    form = await request.form()
    for name, value in form.multi_items():
        if isinstance(value, str) and value not in known:
            check(name, value, name in lines)
    return form


def check(name: str, value: str, lines: bool = False) -> str:
    """The value; Problem(400) where it is too long, or holds control characters or marks that turn the direction of a line."""
    if len(value) > LONGEST:
        raise Problem(400, "bad_option", f"{name} is longer than {LONGEST:,} characters.", name)
    for c in value:
        unseen = unicodedata.category(c) in UNSEEN or c in TURNING
        if unseen and not (lines and c in "\r\n\t"):
            code = f"U+{ord(c):04X}"
            raise Problem(
                400, "bad_option", f"{name} holds a character that cannot be seen ({code}); leave it out.", name
            )
    return value


def read(form: Mapping[str, Any], options: type, names: Collection[str]) -> dict[str, Any]:
    """Of the fields `names`, those that a person filled in otherwise than by default; Problem(400) for what cannot be."""
    known = {each.name: each.default for each in dataclasses.fields(options)}
    hints, out = get_type_hints(options), {}
    for name in names:
        kind, _ = _kind(hints[name])
        text = str(form.get(name, "")).strip()
        value = _value(name, kind, text)
        if value != known[name] and not (kind not in EMPTY and text == ""):
            out[name] = value
    return out


def lines_of(options: type) -> frozenset[str]:
    """The fields of several lines."""
    return frozenset(name for name, hint in get_type_hints(options).items() if _kind(hint)[0] == "lines")


def _value(name: str, kind: Kind, text: str) -> Any:
    if kind == "check":
        return text == "on"
    if kind == "lines":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if kind not in ("whole", "number") or text == "":
        return text
    try:
        number = float(text.replace(",", ""))
        if kind == "number" or number.is_integer():
            return int(number) if kind == "whole" else number
    except (ValueError, OverflowError):
        pass
    wanted = "a whole number" if kind == "whole" else "a number"
    raise Problem(400, "bad_option", f"{name} is {text[:60]!r}; {wanted} was wanted.", name)


def _shown(value: Any) -> str:
    if value is None or value is dataclasses.MISSING:
        return ""
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(hint: Any) -> tuple[Kind, tuple[str, ...]]:
    """How a field of this type is filled in, and the words that it may be, where they are known."""
    if get_origin(hint) is Annotated:
        return _kind(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        kinds = [each for each in get_args(hint) if each is not type(None)]
        return _kind(kinds[0]) if len(kinds) == 1 or bool in kinds else ("text", ())
    if get_origin(hint) is Literal:
        return "choice", get_args(hint)
    if get_origin(hint) is not None:
        return "lines", ()
    kinds_of: dict[Any, Kind] = {bool: "check", int: "whole", float: "number"}
    return kinds_of.get(hint, "text"), ()
