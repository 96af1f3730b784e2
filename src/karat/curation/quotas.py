"""How many are made of each class: what is asked of the generator for each of them."""

from __future__ import annotations

from dataclasses import replace

from karat.content.table.rules.conditions import in_quotes
from karat.errors import FitError
from karat.request import Request


def parsed(text: str) -> tuple[str | None, dict[str, int]]:
    """The column, where one is named, and how many of each class; FitError for what cannot be read.

    "cat=300, dog=100", or of a table "income: >50K=300, <=50K=100".
    """
    first = text.split("=")[0]
    column, _, rest = text.partition(":") if ":" in first else ("", "", text)
    out: dict[str, int] = {}
    for piece in rest.split(","):
        name, equals, number = piece.rpartition("=")
        if not equals or not name.strip() or not number.strip().isdecimal() or int(number) < 1:
            raise FitError(f"--classes {piece.strip()!r}: wanted a class and how many, as cat=300, dog=100.")
        if name.strip() in out:
            raise FitError(f"--classes: {name.strip()!r} is there twice.")
        out[name.strip()] = int(number)
    return column.strip() or None, out


def requests(request: Request, text: str, target: str | None, columns: bool = False) -> list[Request]:
    """One request for each class, in their order, each of a seed of its own.

    target: the column of a table, where none is named.   columns: whether the content has columns, one of which is meant.
    """
    column, wanted = parsed(text)
    if columns and column is None and target is None:
        raise FitError(f"--classes {text}: of which column? Name it before them, as in 'COLUMN: {text}'.")
    if request.label is not None or request.balance is not None:
        raise FitError("--classes says how many of each class; leave --class and --balance out.")
    out = []
    for k, (name, n) in enumerate(wanted.items()):
        own = request.again(n, 1000 + k)
        if column is None and target is None:
            out.append(replace(own, label=name))
        else:
            cell = f"{in_quotes(str(column if column is not None else target))}={in_quotes(name)}"
            out.append(replace(own, given=cell if request.given is None else f"{request.given}, {cell}"))
    return out
