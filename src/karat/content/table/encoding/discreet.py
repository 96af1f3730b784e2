"""The layout of a table learned under differential privacy: every bin and every category is paid for.

Public, as in private.py: headers, kinds, printed places, how missing cells are spelled, the constant's value, and what a
person declares. Everything else that the ordinary layout learns (counts, lattices, who is missing) is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import NUMBERS, Choices, Grain, flat
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Choice, Constant, Presence
from karat.content.table.encoding.parts import Number, Part
from karat.content.table.encoding.private import private_bins, private_categories
from karat.content.table.encoding.scales import ENTRIES, GAP, Scale
from karat.content.table.rules.constraints import Bounds, Rules, compile_rules
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.columns import Column, Schema
from karat.errors import FitError
from karat.privacy import Budget, Source

PLACES = 6  # of decimals whose printed places are as many as each value needs


def fit_discreetly(schema: Schema, table: pa.Table, budget: Budget, source: Source) -> tuple[Layout, Budget]:
    """The layout, and the same budget with what it cost entered. The schema must hold nothing `learned`.

    Each number and category gets an equal share of rho, each category one of delta. Raises FitError for a rule that
    would have to learn combinations of values.
    """
    rules = compile_rules(schema)
    if rules.together:
        raise FitError("a rule together = [...] lists values that occur, which epsilon does not allow; take it away.")
    if any(column.learned for column in schema.columns):
        raise FitError(
            "the schema holds what was learned of made columns, which epsilon does not allow; clear `learned`."
        )
    if written := [column.name for column in schema.columns if column.learn]:
        raise FitError(
            f"column {written[0]!r}: text is learned from counts, which epsilon does not allow; take `learn` away."
        )
    columns = {column.name: column for column in schema.columns}
    cells = Cells({name: flat(table[name]) for name in table.column_names})
    made = {formula.left for formula in rules.formulas}
    known = {name: columns.get(name, Column(name, "category")) for name in table.column_names}
    numbers = [n for n, c in known.items() if c.kind in NUMBERS and n not in made]
    words = [n for n, c in known.items() if c.kind not in (*NUMBERS, "boolean", "constant") and not c.made]
    share = budget.left / max(1, len(numbers) + len(words))
    delta = budget.left_delta / max(1, len(words))
    parts: list[Part] = []
    for name, column in known.items():
        own = Budget(share, delta if name in words else 0.0, noise_scale=budget.noise_scale)
        parts.append(_part(column, cells, rules, known, own, source, name in made))
        for cost in own.spent:
            budget.spend(cost.what, cost.rho, cost.sensitivity, cost.delta)
    return Layout(schema, tuple(table.column_names), tuple(parts)), budget


def _part(
    column: Column, cells: Cells, rules: Rules, known: Mapping[str, Column], budget: Budget, source: Source, made: bool
) -> Part:
    name, values = column.name, cells.columns[column.name]
    gone = int(bool(column.missing or column.arrow))  # typed sources may always hold nulls
    if column.made:
        return Presence(name, gone, 1)
    if column.kind == "constant":
        return Constant(name, column.values[0] if column.values else None, pa.string(), gone, 1 + gone)
    if made:
        return Computed(name, _plain(column), gone, (1,), None)
    if column.kind in NUMBERS:
        return _number(column, cells, rules, known, budget, source, gone)
    if column.kind == "boolean":
        return Choice(Choices((name,), (pa.array([False, True]),), np.array([1, 1]), gone))
    there = np.asarray(values.drop_null().to_numpy(zero_copy_only=False), dtype=np.str_)
    found = private_categories(there, budget, source, what=name)
    if not found:
        return Constant(name, None, pa.string(), 1, 1)
    return Choice(Choices((name,), (pa.array(found, pa.string()),), np.ones(len(found), np.int64), gone))


def _plain(column: Column) -> Grain:
    """The lattice of what is printed and no coarser one, which would be learned."""
    if column.kind in ("datetime", "time") and column.format and "f" not in column.format:
        return Grain(column.kind, step=1_000_000 if "%S" in column.format else 60_000_000)
    if column.kind != "decimal":
        return Grain(column.kind)
    return Grain("decimal", column.places if column.places <= 15 else PLACES)


def _number(
    column: Column, cells: Cells, rules: Rules, known: Mapping[str, Column], budget: Budget, source: Source, gone: int
) -> Number:
    grain, bounds = _plain(column), rules.bounds.get(column.name, Bounds())
    lowers = tuple((order.low, order.strict) for order in rules.orders if order.high == column.name)
    part = Number(column.name, grain, gone, _even(np.array([0, 1])), _even(np.array([0, 1])), lowers, 0.0, bounds)
    ticks = part.ticks(cells)
    low, high = part.limits()
    edges = private_bins(
        ticks[np.isfinite(ticks)],
        0,
        budget,
        source,
        low=low if np.isfinite(low) and not lowers else 0.0 if lowers else None,
        high=high if np.isfinite(high) and not lowers else None,
        what=column.name,
    )
    return replace(part, fine=_even(edges), coarse=_even(edges, ENTRIES - 1))


def _even(edges: np.ndarray, most: int | None = None) -> Scale:
    """Bins [edges[i], edges[i + 1]) of whole ticks with values even in each; where they are more than `most`, joined."""
    starts, ends = edges[:-1], edges[1:] - 1
    n = len(starts)
    group = np.arange(n) if most is None or n <= most else np.arange(n) * most // n
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], n) - 1
    mass = last - first + 1
    below = (np.arange(n) - first[group]) / mass[group]
    above = below + 1 / mass[group] - GAP
    wide = starts < ends  # ticks are rounded: half of one lies on each side
    at = np.stack([group + below, group + above], 1).ravel()
    value = np.stack([starts - 0.499 * wide, ends + 0.499 * wide], 1).ravel()
    return Scale(
        at, value, starts[first].astype(np.float64), ends[last].astype(np.float64), mass.astype(np.int64), True
    )
