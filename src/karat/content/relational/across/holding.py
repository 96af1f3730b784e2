"""Made tables in which what holds between parents and children holds: the parent's total is worked out of its children.

The children are drawn given the parent's row, with the total that was drawn for it and what of it is left, so that they
follow it closely; then the total becomes what they say. So no child is changed, and the total is as far from what was drawn
as the last child was from what was left. Changing the children instead would spoil prices that a list has, and whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pyarrow as pa

from karat.content.relational.across.rule import Across, aggregate
from karat.content.relational.changes import names
from karat.content.relational.database import Database, amounts, from_amounts
from karat.content.table.convert import logical, put
from karat.content.table.encoding.coding import flat
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import FitError


def arranged(across: Sequence[Across]) -> list[Across]:
    """Those that are kept, each after what it is worked out of; one that would go round in a circle is left out.

    An order with exceptions is learned as anything else is.
    """
    before: dict[tuple[str, str], list[tuple[str, str]]] = {}
    kept: dict[tuple[str, str], list[Across]] = {}
    for one in sorted(across, key=lambda one: one.rowwise):
        if one.kind in ("<=", ">=") and one.found.exceptions:
            continue
        mine = one.relation.parent, one.name
        theirs = [(one.relation.child, c) for c in one.columns]
        target, sources = (theirs[0], [mine]) if one.rowwise else (mine, theirs)
        tried = {**before, target: [*before.get(target, []), *sources]}
        try:
            tuple(TopologicalSorter(tried).static_order())
        except CycleError:
            continue
        before = tried
        kept.setdefault(target, []).append(one)
    return [one for node in TopologicalSorter(before).static_order() for one in kept.get(node, [])]


def hold(made: Database, across: Sequence[Across], wholes: Mapping[str, Tables], rng: np.random.Generator) -> Database:
    """The made rows in which every rule holds as often as it was learned."""
    tables = dict(made.tables)
    data = Database(tables, made.relations, made.facts)  # keys stay as they are, and so do the links by them
    for one in arranged(across):
        if len(data.tables[one.relation.parent]) and len(data.tables[one.table]):
            name, column, values = _wanted(one, data, made, rng)
            tables[name] = replaced(tables[name], wholes[name], column, values, rng)
    return data


def _wanted(one: Across, data: Database, drawn: Database, rng: np.random.Generator) -> tuple[str, str, np.ndarray]:
    """The table, the column and its values float64 [n] by which a rule holds; NaN where missing."""
    r = one.relation
    if not one.rowwise:
        return r.parent, one.name, _solved(one, data, rng)
    link, column = data.links[r], one.columns[0]
    mine, now = amounts(data.cells(r.child, column)), amounts(data.cells(r.parent, one.name))[link]
    if one.kind == "=":
        return r.child, column, np.where(link >= 0, now, mine)
    # as far from the parent's as it was drawn, where that was worked out anew meanwhile, but nowhere beyond all others
    moved = mine + np.nan_to_num(now - amounts(drawn.cells(r.parent, one.name))[link])
    moved = np.clip(moved, np.nanmin(mine, initial=np.inf), np.nanmax(mine, initial=-np.inf))
    fit = (np.fmax if one.kind == "<=" else np.fmin)(moved, now)
    return r.child, column, np.where(np.isnan(mine) | (link < 0), mine, fit)


def _solved(one: Across, data: Database, rng: np.random.Generator) -> np.ndarray:
    """float64 [parents]: what the parent's column becomes."""
    drawn, should = amounts(data.cells(one.relation.parent, one.name)), one.value(data)
    children = aggregate("count", [], data, one.relation) > 0
    if one.apart:
        off = rng.random(len(should)) < one.found.rate
        should = should + np.where(off, rng.choice(np.array(one.apart), len(should)), 0)
    out = np.where(np.isnan(should), drawn, should)
    if one.loose:
        out[children & np.isnan(drawn)] = np.nan
    if one.empty:
        out[~children] = np.nan
    return out


def matched(values: np.ndarray, share: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """`values` [m] of parents, of which each is to have a `share` of the children, as values of these, `theirs` [n], in the
    same order: what a list of articles costs is then what is paid for them.
    """
    known = np.sort(theirs[~np.isnan(theirs)])
    there = np.flatnonzero(~np.isnan(values))
    if 0 < len(few := np.unique(known)) <= len(there):  # as many of each as of another, and none left out
        known, share = few, np.ones(len(values))
    if not len(known) or not len(there):
        return values
    order = there[np.argsort(values[there], kind="stable")]
    middle = (np.cumsum(share[order]) - share[order] / 2) / share[order].sum()
    out = values.copy()
    out[order] = known[np.minimum((middle * len(known)).astype(np.int64), len(known) - 1)]
    return out


def replaced(table: Table, whole: Tables, column: str, values: np.ndarray, rng: np.random.Generator) -> Table:
    """The table with these values [n] of a column, and what hangs on it in its rows made to fit."""
    own, before = whole.layout.columns[column], flat(table.cells[column])
    if own.kind == "decimal" and own.places <= 15:
        values = np.round(values, own.places)
    drawn = amounts(before)
    changed = np.flatnonzero((values != drawn) & ~(np.isnan(values) & np.isnan(drawn)))
    if not len(changed):
        return table
    cells = from_amounts(values[changed], own.kind).cast(logical(own))
    place = table.cells.column_names.index(column)
    fresh = replace(table, cells=table.cells.set_column(place, column, put(before, changed, cells)))
    if not any(names(rule, column) for rule in whole.schema.constraints):
        return fresh
    return _mended(fresh, table, whole, column, changed[~np.isnan(values[changed])], rng)


def _mended(
    fresh: Table, drawn: Table, whole: Tables, column: str, rows: np.ndarray, rng: np.random.Generator
) -> Table:
    """`fresh` in which the rules of its own table hold around the new cells of a column in `rows`.

    A row in which no other cells fit stays as it was `drawn`, and a judge says so.
    """
    if not len(rows):
        return fresh
    some = fresh[rows]
    given = Table(some.cells.select([column]), some.facts)
    try:
        mended = whole.conditions.restore(some, given, rng).cells
    except FitError:
        if len(rows) > 1:
            for part in np.array_split(rows, 2):
                fresh = _mended(fresh, drawn, whole, column, part, rng)
            return fresh
        mended = drawn[rows].cells
    out = {n: put(flat(fresh.cells[n]), rows, flat(mended[n])) for n in fresh.cells.column_names}
    return replace(fresh, cells=pa.table(out))
