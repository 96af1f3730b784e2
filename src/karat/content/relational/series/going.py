"""Where series stand when more steps of them are to be made: where the real ones began, anywhere in them, or behind given rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from karat import limits
from karat.content.relational import changes, sequences
from karat.content.relational.database import WARM, Database, Family, Relation, amounts, handed
from karat.content.relational.progress import Sequences
from karat.content.relational.series import stretches
from karat.content.relational.series.stretches import Stretches
from karat.content.relational.steps import Before, Steps
from karat.content.relational.unfolding import Unfolding
from karat.content.table.io import sources
from karat.content.table.rules.conditions import names_file
from karat.content.table.schema.columns import Schema
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import DataError, FitError
from karat.views import DatabaseView, View

STARTS = 500  # places in the training rows that are kept
TRIES = 64  # draws of a condition, so that each value of a range is among them
STEP = 300  # bytes of memory that a step comes to at least while it is made


def with_starts(known: Mapping[str, Steps], name: str, train: Database, wholes: Mapping[str, Tables]) -> Steps:
    """The steps of the table `name` with places from which made series go on, and what stretches of them are like.

    First where each series begins, then others, evenly.
    """
    steps = known[name]
    before, family = _history(known, name, train, wholes)
    heads = np.lexsort((before.when, family.place < WARM))
    heads = heads[family.place[heads] >= 2]
    _, first = np.unique(before.up[heads], axis=0, return_index=True)
    rest = np.flatnonzero(family.place >= min(WARM, int(family.place.max())))
    rest = rest[np.argsort(before.when[rest], kind="stable")]
    others = rest[np.unique(np.linspace(0, len(rest) - 1, STARTS).astype(np.int64))]
    kept = before.take(np.concatenate([heads[np.sort(first)], others]))
    for i, j in zip(
        *np.nonzero(np.isnan(kept.past)), strict=True
    ):  # what is not known yet begins in the middle of its series
        values = before.past[before.who == kept.who[i], j]
        kept.past[i, j] = np.nanmedian(values) if np.isfinite(values).any() else np.nan
    change = _changes(steps, before.level, before.past)
    return replace(steps, starts=kept, stretches=Stretches.fit(change, before.who, before.when))


def begun(
    steps: Steps,
    wholes: Mapping[str, Tables],
    relation: Relation,
    n: int | None,
    text: str | None,
    rng: np.random.Generator,
) -> Sequences:
    """Series that go on from `n` of the kept places, or from the first of each series where None.   text: conditions on these."""
    kept = steps.starts
    assert kept is not None
    heads = len(np.unique(kept.up, axis=0))
    rows = np.arange(heads) if n is None else np.arange(heads, len(kept.place))
    if text is not None:
        asked = wholes[relation.parent].conditions
        cells = asked.pin(asked.given(text), TRIES, rng).numpy()[:, None]
        rows = rows[((cells < 0) | (cells == kept.up[rows] - 1)).all(2).any(0)]
        if not len(rows):
            raise DataError(
                f"--given {text}: no series is so; those that were learned keep what never changes of them."
            )
    rows = rows if n is None else rng.choice(rows, n)
    return Sequences.going(steps, wholes[relation.child], kept.take(rows))


def rows_in(text: str | None, relation: Relation, wholes: Mapping[str, Tables]) -> bool:
    """Whether what is given is a file with rows of the child, and not one of partial parents."""
    if text is None or not names_file(text):
        return False
    own = set(wholes[relation.child].layout.names) - set(relation.columns)
    return bool(own & set(sources.open_table(Path(text), {}).cells.column_names))


def given(wholes: Mapping[str, Tables], single: Schema, names: tuple[str, ...], text: str, relation: Relation) -> Table:
    """The rows in a file from which series are to go on.   single, names: of the one file that rows were parted from."""
    parent, child = wholes[relation.parent], wholes[relation.child]
    above = [part for part in parent.layout.parts if not set(part.names) & set(child.layout.names)]
    parts = tuple(part for part in (*above, *child.layout.parts) if set(part.names) <= set(names))
    layout = replace(child.layout, schema=single, names=names, parts=parts)
    rows = replace(child, origin=replace(child.origin, schema=single), layout=layout).conditions.partial(Path(text))
    for name in (relation.order, relation.entity):
        if name is not None and rows.cells[name].null_count:
            raise DataError(f"{text}: some rows have no {name}; a series goes on from steps that all have one.")
    return rows


def after(
    known: Mapping[str, Steps], relation: Relation, past: Database, wholes: Mapping[str, Tables]
) -> tuple[Sequences, np.ndarray]:
    """Where each series or entity of `past` stands behind its last row, and which row of the parent it is of [n]."""
    name, steps = relation.child, known[relation.child]
    before, family = _history(known, name, past, wholes)
    last = np.flatnonzero(family.left == 0)
    going = Sequences.going(steps, wholes[name], before.take(last))
    going.add(np.arange(len(last)), past.tables[name][last].cells, before.when[last])
    for change, values in zip(steps.changes, going.past.T, strict=True):
        if np.isnan(values).any():
            raise DataError(f"the last step of a series has no {change.column}, from which the next one follows.")
    return going, past.links[relation][last]


def path(work: Unfolding, relation: Relation, going: Sequences, n: int) -> Database:
    """`n` steps of each series: of several paths that which, in all, is most like a stretch of training steps as long."""
    steps, name = work.steps[relation.child], relation.child
    wanted = None if steps.stretches is None or not steps.changes else steps.stretches.wanted(n, work.rng)
    many = len(going.ups)
    paths = min(stretches.PATHS, stretches.MOST // max(1, n * many))
    if wanted is None or paths < 2 or (going.who < 0).any():
        return grown(work, relation, going, n)
    made = grown(work, relation, going.repeated(paths), n)
    link, order = work.link[name], made.cells(name, str(relation.order))
    family, who = Family.of(link, paths * many, order), np.tile(going.who, paths)
    values = [amounts(made.cells(name, c.column)) for c in steps.changes]
    away = changes.away(steps.changes, values, steps.expected(who[link], amounts(order)))
    change = _changes(steps, *sequences.known_before(away, family))
    rows = np.lexsort((family.place, link))
    own = np.split(change[rows], np.flatnonzero(np.diff(link[rows])) + 1)
    far = stretches.apart([stretches.summary(x) for x in own], wanted[who]).reshape(paths, many)
    # series that move together are kept together
    best = far.argmin(0) if steps.together is None else np.full(many, far.sum(1).argmin())
    return made[best * many + np.arange(many)]


def _changes(steps: Steps, now: np.ndarray, past: np.ndarray) -> np.ndarray:
    """float64 [n, k]: of values [n, k] from those of the rows before, NaN where there are none."""
    of = {c.column: c for c in steps.changes}  # the same as another column is no logarithm, though that one is
    columns = zip((of[c.of[0]] for c in steps.changes), now.T, past.T, strict=True)
    parts = [np.where(np.isnan(b), np.nan, c.scaled(a) - c.scaled(b)) for c, a, b in columns]
    return np.stack(parts, 1) if parts else np.zeros((len(now), 0))


def grown(work: Unfolding, relation: Relation, going: Sequences, n: int, of: pa.Table | None = None) -> Database:
    """`n` more steps of each series, or of the rows `of` the parent, one for each."""
    name, parent = relation.child, relation.parent
    above, total = work.wholes[parent], np.full(len(going.ups), n)
    steps = replace(work.steps[name], latest=np.inf)
    limits.need(STEP * float(total.sum(dtype=float)), f"{name} ({total.sum():,} steps)", "Lower -n.")
    if of is None:
        of = above.decode(torch.from_numpy(np.maximum(going.ups - 1, 0)), above.spaces[0], work.rng).cells
        window = pa.array(range(len(total))).cast(pa.string())
        of = of.set_column(of.column_names.index(relation.key), relation.key, window)
    work.tables[parent], work.up[parent] = of, going.ups
    work.grow(steps, going, total, None, len(total))
    return Database({t: Table(work.tables[t], work.wholes[t].origin) for t in (parent, name)}, work.relations)


def of_view(wholes: Mapping[str, Tables], relation: Relation | None, seen: View) -> Database:
    """Windows of series that a judge sees as `seen`, none of which goes on from another; FitError for other tables."""
    if relation is None or not isinstance(seen, DatabaseView):
        raise FitError("related tables cannot be made from what a judge sees of them; series can.")
    tables = {name: wholes[name].unview(view).cells for name, view in seen.tables.items()}
    window = pa.array(2 * np.arange(len(seen))).cast(pa.string())
    link = pa.array(next(tie.links for tie in seen.ties if tie.cut))
    for name, key, cells in (
        (relation.parent, relation.key, window),
        (relation.child, relation.column, window.take(link)),
    ):
        tables[name] = tables[name].set_column(tables[name].column_names.index(key), key, cells)
    return Database({name: Table(cells, wholes[name].origin) for name, cells in tables.items()}, (relation,))


def _history(
    known: Mapping[str, Steps], name: str, data: Database, wholes: Mapping[str, Tables]
) -> tuple[Before, Family]:
    """What was known before each row, and who stood where."""
    maker = known[name].maker
    assert maker is not None
    above = sequences.encoded(wholes[maker.parent], data.tables[maker.parent], known[maker.parent])
    return sequences.history(known[name], data, wholes[name], handed(above, data.links[maker]))
