"""Verbs that take the fields of their options as arguments."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

from karat.errors import FitError
from karat.options.kinds import COUNT

P = ParamSpec("P")
Options = TypeVar("Options")
R = TypeVar("R")


def takes_fields(kind: Callable[P, Options]) -> Callable[[Callable[[Options], R]], Callable[P, R]]:
    """Makes of a verb that takes the options `kind` a function that takes their fields as arguments, with their help.

    The function's signature is that of the dataclass, to a type checker as to `inspect.signature`; an argument that is no
    field is refused by the dataclass with a TypeError that names it.
    """

    def over(verb: Callable[[Options], R]) -> Callable[P, R]:
        @functools.wraps(verb)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            options = kind(*args, **kwargs)
            _check_texts(options)
            return verb(options)

        plain, full = get_type_hints(kind), get_type_hints(kind, include_extras=True)
        own = [p.replace(annotation=plain[name]) for name, p in inspect.signature(kind).parameters.items()]
        call.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: _whole(full[p.name]) for p in own}  # what the command line reads
        call.__doc__ = _unwrapped(inspect.getdoc(kind) or "")
        return call

    return over


def _whole(kind: Any) -> Any:
    """The same type, for which the command line takes whole numbers alone: by itself it would round 1.5 to 2."""
    return Annotated[kind, COUNT] if kind in (int, int | None) else kind


TEXTS = (
    "given",
    "label",
    "balance",
    "shard",
    "prompt",
    "stop",
    "producer",
    "target",
    "require",
    "labels",
    "holdout",
    "set",
    "reviewer",
    "plan",
)


def _check_texts(options: object) -> None:
    """FitError for words that UTF-8 cannot write: a terminal in another encoding hands such bytes over as half characters."""
    for name in TEXTS:
        value = getattr(options, name, None)
        for text in value if isinstance(value, list | tuple) else [] if value is None else [value]:
            try:
                str(text).encode()
            except UnicodeEncodeError:
                if name == "given" and os.path.exists(text):  # a file may be called anything
                    continue
                flag = "class" if name == "label" else name
                raise FitError(f"--{flag} {text!r} is no text in UTF-8, which was wanted.") from None
            if "\0" in str(text):
                raise FitError(f"--{name} {text!r} holds a zero byte; text without one was wanted.")


def _unwrapped(text: str) -> str:
    """A docstring whose descriptions are one line each, for a terminal to lay out to its own width."""
    flat = re.sub(r"(?m)(^ {4}\S.*)\n {4}(?=\S)", r"\1 ", text)
    return text if flat == text else _unwrapped(flat)
