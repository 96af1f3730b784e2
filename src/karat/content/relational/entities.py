"""One file as two tables: its entities with what never changes of them, and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content.codec import Contents
from karat.content.relational import relations, sequences
from karat.content.relational.database import Database, Relation
from karat.content.relational.series import cutting
from karat.content.table.convert import logical
from karat.content.table.encoding.coding import flat
from karat.content.table.mining import following
from karat.content.table.reading import Origin
from karat.content.table.rules.expressions import unknown
from karat.content.table.schema import schema
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import DataError, FitError


def contents_of(
    data: Database,
    notes: list[str],
    chosen: set[tuple[str, str]],
    single: Schema | None,
    question: str,
    sentences: list[str] | None = None,
) -> Contents:
    """The records, with the order of sequences found where nobody said it.   sentences: what to say in place of relations."""
    out = []
    for r in data.relations:
        if r.makes and (r.child, r.column) not in chosen:
            order = relations.ordered(data, r, data.tables[r.child].facts.schema.columns)
            r = replace(r, order=r.order if r.order is not None else order)
        out.append(r)
    data = Database(data.tables, tuple(out), single)
    columns = [
        {**row, "name": f"{name}.{row['name']}"}
        for name, table in data.tables.items()
        for row in schema.describe(table.facts.schema, table.cells)
    ]
    listed = ", ".join(f"{name} ({len(table):,} rows)" for name, table in data.tables.items())
    if sentences is None:
        sentences = [f"The tables are {listed}.", *relations.sentences(data)]
    sentences = [*sentences, *notes]
    if not data.relations:
        sentences.append(
            "Nothing was found that relates them: each is learned on its own. Declare a [[relation]] in --schema."
        )
    facts: dict[str, Any] = {
        "columns": columns,
        "notes": sentences,
        "tables": {n: len(t) for n, t in data.tables.items()},
    }
    facts["doubt"] = question
    return Contents(data, facts=facts)


def parted(path: Any, options: Mapping[str, Any]) -> Contents:
    """One file as two tables: its entities with what never changes of them, and its rows; of long series, windows in place of
    entities.
    """
    series, entity = cutting.declared(options)
    order = series if series is not None else options.get("order")
    read = Tables.read(path, {key: value for key, value in options.items() if key not in ("entity", "order", "series")})
    table: Table = read.records
    plain = tuple(replace(c, refers="") for c in table.facts.schema.columns)
    table = replace(table, facts=replace(table.facts, schema=replace(table.facts.schema, columns=plain)))
    names = [c.name for c in table.facts.schema.columns]
    for name in (entity, order):
        if name is not None and name not in names:
            raise DataError(f"data.{'entity' if name == entity else 'order'} is {name!r}, {unknown(name, names)}")
    gone = cutting.missing(table, entity)
    each = following.entities(table.facts.schema, table.cells)  # of rows that are learned each for itself
    notes = [note for note in read.facts["notes"] if note not in each]
    if gone.any():
        notes.append(f"{int(gone.sum()):,} rows have no {entity} and were set aside.")
        table = table[np.flatnonzero(~gone)]
    child = path.name.split(".")[0] if isinstance(path, Path) else "rows"
    found = cutting.find(table, order, entity)
    rows = 0 if found is None else cutting.rows_of_window(table, found)
    if found is not None and rows:
        return _cut(table, found, rows, child, notes, read.facts["doubt"])
    entity = found.entity if found is not None and entity is None else entity
    if entity is None:
        raise FitError(
            f"series = {order!r}: {len(table):,} rows that differ in it, {cutting.FEWEST:,} of them at least, were wanted; name "
            "the column that tells series apart, entity = ..., or say series = false."
        )
    parent = entity if entity != child else f"{entity} entities"
    data, single = split(table, entity, parent, child, None)
    if order is not None:
        data = Database(data.tables, tuple(replace(r, order=str(order)) for r in data.relations))
    return contents_of(data, notes, {(child, entity)} if order is not None else set(), single, read.facts["doubt"])


def _cut(table: Table, found: cutting.Found, rows: int, child: str, notes: list[str], question: str) -> Contents:
    """Windows of `rows` steps, with what never changes of their series, and the steps."""
    data = windowed(table, found.order, found.entity, rows, child)
    (r,) = data.relations
    aside = cutting.aside(np.array(data.cells(r.parent, r.key).to_pylist(), np.int64))
    said = [cutting.sentence(table, found, rows)]
    out = contents_of(data, notes, {(r.child, r.column)}, table.facts.schema, question, said)
    return replace(out, holdout=aside, facts={**out.facts, "columns": schema.describe(table.facts.schema, table.cells)})


def windowed(table: Table, order: str, entity: str | None, rows: int, child: str) -> Database:
    """The rows of series as those of windows."""
    names = {*table.cells.column_names, child}
    window = next(name for name in ("window", "window of steps", "window of these steps") if name not in names)
    of = pa.array(cutting.windows(table, order, entity, rows)).cast(pa.string())
    known: Schema = table.facts.schema
    wider = replace(known, columns=(*known.columns, Column(window, "identifier")))
    numbered = Table(table.cells.append_column(window, of), replace(table.facts, schema=wider))
    data, _ = split(numbered, window, f"{window}s", child, {window} | cutting.statics(table, entity))
    (r,) = data.relations
    return Database(data.tables, (replace(r, order=order, cut=rows, entity=entity),), known)


def split(table: Table, entity: str, parent: str, child: str, above: set[str] | None) -> tuple[Database, Schema]:
    """The entities with the columns `above` (None: those that never change within one), and the rows with the others."""
    origin: Origin = table.facts
    coded = flat(table.cells[entity]).cast(pa.string()).dictionary_encode()
    who = np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64)
    _, first = np.unique(who, return_index=True)
    if above is None:
        above = {entity}
        for name in table.cells.column_names:
            of = flat(table.cells[name]).dictionary_encode().indices.fill_null(-1)
            code = np.asarray(of.to_numpy(zero_copy_only=False), np.int64)
            if name != entity and len(np.unique(np.stack([who, code]), axis=1).T) == len(first) < len(who):
                above.add(name)
    columns = {c.name: relations.as_key(c, True) if c.name == entity else c for c in origin.schema.columns}
    known = replace(origin.schema, columns=tuple(columns.values()))
    tables = {}
    homeless = list(origin.schema.constraints)
    for name, mine in ((parent, above), (child, (set(table.cells.column_names) - above) | {entity})):
        kept = [c for c in table.cells.column_names if c in mine or c.removesuffix(" zone") in mine]
        cells = table.cells.select(kept)
        place = kept.index(entity)
        cells = cells.set_column(place, entity, flat(cells[entity]).cast(logical(columns[entity])))
        cells = cells.take(pa.array(np.sort(first))) if name == parent else cells
        part = Schema(tuple(columns[c] for c in kept if c in columns))
        if name == child:
            part = replace(part, columns=tuple(replace(c, unique=c.unique and c.name != entity) for c in part.columns))
        rules = tuple(r for r in origin.schema.constraints if sequences.holds(r, part.columns))
        homeless = [r for r in homeless if r not in rules]
        part = schema.learn(replace(part, constraints=rules), cells)
        tables[name] = Table(cells, replace(origin, schema=part))
    if homeless:
        raise FitError(
            f"the rule {homeless[0]} ties what never changes of a {entity} to what does, and cannot be kept in sequences."
        )
    return Database(tables, (Relation(child, (entity,), parent, (entity,)),)), known
