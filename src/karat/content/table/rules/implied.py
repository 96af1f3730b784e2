"""What follows from given cells by the rules, and what cannot be given together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.convert import logical, put
from karat.content.table.encoding.coding import present
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Choice, Constant
from karat.content.table.encoding.parts import Number
from karat.content.table.encoding.scales import Scale
from karat.content.table.rules.conditions import Condition, Given, listed, out_of_vocabulary
from karat.content.table.rules.constraints import Formula
from karat.content.table.rules.expressions import Cells, cells_of
from karat.content.table.rules.solving import exact, expanded, solved
from karat.errors import DataError


def implied(layout: Layout, table: pa.Table) -> pa.Table:
    """Partial rows with the cells that their given ones leave no choice for: what a formula's result leaves for one column.

    DataError, with the row, where no value of the column will do.
    """
    cells = dict(cells_of(table).columns)
    for _ in layout.rules.formulas:  # one solved for may be what another lacked
        before = dict(cells)
        every = layout.rules.formulas
        known = {name for name, column in cells.items() if column.null_count < len(column)}
        for formula in (*every, *(expanded(f, every, known) for f in every)):
            names = formula.rule.columns(formula.right)
            there = {name: present(cells[name]) for name in (formula.left, *names)}
            for name in names:
                part = layout.parts[layout.part_of[name]]
                rows = np.flatnonzero(
                    np.logical_and.reduce([there[n] for n in (formula.left, *names) if n != name]) & ~there[name]
                )
                if not len(rows) or not isinstance(part, (Number, Computed)):
                    continue
                some = Cells({n: column.take(pa.array(rows)) for n, column in cells.items()})
                own = part if isinstance(part, Number) else plain_part(part)
                ticks, alone = solved(formula, own, some)
                if np.isnan(ticks).any() and not formula.nearly:
                    row = int(np.flatnonzero(np.isnan(ticks))[0])
                    given = ", ".join(
                        f"{n} = {some.columns[n][row].as_py()}" for n in (formula.left, *names) if n != name
                    )
                    raise DataError(unsolved(layout, formula, [name], given, some, row, int(rows[row])))
                if isinstance(part, Number):
                    cells[name] = put(cells[name], rows[alone], own.grain.array(ticks[alone]))
        if all(cells[name] is before[name] for name in cells):
            break
    return pa.table(list(cells.values()), names=list(cells))


def implied_conditions(layout: Layout, given: Given) -> Given:
    """The conditions, and those that follow from them as in `implied`."""
    fixed = {n: c.cell for n, c in given.items() if c.kind == "is" and c.cell is not None and not c.missing}
    table = pa.table(
        [fixed.get(n, pa.nulls(1, logical(c))) for n, c in layout.columns.items()], names=list(layout.columns)
    )
    full = implied(layout, table)
    out = dict(given)
    for name in layout.columns:
        cell = full[name].combine_chunks()
        if name not in fixed and not cell.null_count:
            if name in given and not given[name].holds(Cells({name: cell}))[0]:
                raise DataError(
                    f"{listed([given[name]])} does not go with what the other conditions leave for {name!r}: {cell[0].as_py()}."
                )
            out[name] = Condition(name, "is", str(cell[0].as_py()), cell)
    return out


def known_cells(layout: Layout, table: pa.Table, place: str) -> None:
    """DataError for a cell of partial rows, with its row, that no training row has in a column of known values."""
    cells = cells_of(table).columns
    for part in layout.parts:
        for name in part.names:
            column, known = cells[name], None
            if isinstance(part, Choice):
                known = part.choices.values[part.names.index(name)]
            elif isinstance(part, Constant) and part.value is not None:
                known = pa.array([part.value], part.type)
            if known is None or pa.types.is_null(column.type):
                continue
            seen = np.asarray(pc.is_in(column, value_set=known.cast(column.type)).to_numpy(zero_copy_only=False), bool)
            unknown = np.flatnonzero(~seen & present(column))
            if len(unknown):
                row = int(unknown[0])
                raise DataError(f"{place}, row {row + 1}: {out_of_vocabulary(name, str(column[row].as_py()), known)}")


def plain_part(part: Computed) -> Number:
    """A number of the same lattice, with no bounds."""
    scale = Scale.fit(np.array([0.0, 1.0]), 2, part.grain.whole)
    return Number(part.name, part.grain, 0, scale, scale)


def unsolved(
    layout: Layout, formula: Formula, free: Sequence[str], given: str, cells: Cells, row: int, shown: int | None = None
) -> str:
    """Why no cell of the columns `free` keeps the formula in a row of `cells`."""
    where, rule = f"row {(row if shown is None else shown) + 1}", f"{formula.rule.text!r}"
    part = layout.parts[layout.part_of[free[0]]]
    if len(free) > 1 or not isinstance(part, (Number, Computed)):
        names = " and ".join(map(repr, free))
        return f"{where}: no {names} as training rows have them were found with which {rule} holds for {given}; give one too."
    one = Cells({n: column.take(pa.array([row])) for n, column in cells.columns.items()})
    wanted = float(exact(formula, part if isinstance(part, Number) else plain_part(part), one)[0])
    why = "none is left for it"
    if np.isfinite(wanted):
        column = layout.columns[free[0]]
        why = f"it would have to be {wanted:.6g}"
        if column.kind == "integer" and not wanted.is_integer():
            why += ", and it holds whole numbers"
        elif column.kind == "decimal" and part.grain.whole:
            why += f", and it has {part.grain.places} decimals" if part.grain.places else ", and it holds whole numbers"
    return f"{where}: no {free[0]!r} keeps {rule} with {given}: {why}. Give other cells."
