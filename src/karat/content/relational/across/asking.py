"""Conditions on related tables, by the table that they are about: `customers.segment=gold, products.kind=pen`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from karat.content.relational.across.rule import Across
from karat.content.relational.steps import Steps, rows_name
from karat.content.roles import Conditioning
from karat.content.table.rules.conditions import in_quotes, names_file, pieces
from karat.content.table.rules.expressions import unknown
from karat.errors import DataError

Asked = Mapping[str, Conditioning]  # of rows of root tables, by table
Piece = tuple[str, bool, str, bool]  # name, whether it is negated, value, whether that stood in quotes


def conditionings(
    given: str | None,
    balance: str | None,
    roots: Mapping[str, int],
    steps: Mapping[str, Steps],
    across: Sequence[Across],
    rng: np.random.Generator,
) -> Asked:
    """What rows of root tables are to hold, by table.

    roots: how many rows each is to have.   A name without a table is a column of the first. A file of partial rows is of
    that too. Raises DataError for a table or a column that is none or whose rows are drawn for a parent, and for what is
    worked out of children.
    """
    first = next(iter(roots))
    asked: dict[str, str | None] = {}
    if given is not None and names_file(given):
        cells = steps[first].what.conditions.partial(Path(given)).cells
        held = [name for name in cells.column_names if cells[name].null_count < len(cells)]
        for name in held:
            _refuse_solved(first, name, given, across)
        asked[first] = given
    elif given is not None:
        by_table: dict[str, list[Piece]] = {}
        for name, negated, value, quoted in pieces(given):
            table, column = _placed(name, given, roots, steps)
            by_table.setdefault(table, []).append((column, negated, value, quoted))
        for table, mine in by_table.items():
            asked[table] = ", ".join(_spelled(p) for piece in mine for p in _counted(table, piece, given, across))
    of = first
    if balance is not None:
        of, balance = _placed(balance, balance, roots, steps)
        _refuse_solved(of, balance, balance, across)
        asked.setdefault(of, None)
    return {
        table: steps[table].what.conditioning(text, balance if table == of else None, roots[table], rng)
        for table, text in asked.items()
    }


def _placed(name: str, text: str, roots: Mapping[str, int], steps: Mapping[str, Steps]) -> tuple[str, str]:
    """The table and the column that a condition names."""
    first = next(iter(roots))
    if name in steps[first].what.layout.columns:
        return first, name
    table = max((t for t in steps if name.startswith(f"{t}.")), key=len, default=None)
    if table is None:
        head, dot, _ = name.partition(".")
        if dot:
            near = get_close_matches(head, list(steps), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(steps)}."
            raise DataError(f"the condition {text!r} is on {name!r}, and {head!r} is no table; {hint}")
        raise DataError(f"the condition {text!r} is on {name!r}, {unknown(name, _columns(steps[first]))}")
    column = name[len(table) + 1 :]
    if table not in roots:
        maker = steps[table].maker
        assert maker is not None
        raise DataError(
            f"the condition {text!r} is on {name!r}, and rows of {table} are drawn for those of {maker.parent}; "
            f"conditions are on {', '.join(roots)}."
        )
    if column not in _columns(steps[table]):
        raise DataError(f"the condition {text!r} is on {name!r}, {unknown(column, _columns(steps[table]))}")
    return table, column


def _columns(steps: Steps) -> list[str]:
    """Columns of a table that may be given: those that it has, and not how many children there are."""
    return [name for name in steps.what.layout.columns if name not in {rows_name(r) for r in steps.counted}]


def _counted(table: str, piece: Piece, text: str, across: Sequence[Across]) -> list[Piece]:
    """The condition, and the same on how many children there are where the column counts them."""
    counts = [one for one in across if (one.relation.parent, one.name, one.kind) == (table, piece[0], "count")]
    if counts:
        return [piece, *((rows_name(one.relation), *piece[1:]) for one in counts)]
    _refuse_solved(table, piece[0], text, across)
    return [piece]


def _refuse_solved(table: str, column: str, text: str, across: Sequence[Across]) -> None:
    for one in across:
        if (one.relation.parent, one.name) == (table, column) and (not one.rowwise or one.kind == "="):
            raise DataError(
                f"{table}.{column} cannot be given in {text!r}: it is worked out of the rows of {one.relation.child} "
                f"({one.text}). Leave it out, or train with --no-discover."
            )


def _spelled(piece: Piece) -> str:
    """The condition as text."""
    name, negated, value, quoted = piece
    return in_quotes(name) + ("!=" if negated else "=") + (in_quotes(value) if quoted else value)
