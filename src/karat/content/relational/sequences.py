"""How one table is drawn given the rows it hangs on: what each chain of columns is told, and what it draws.

A row without a parent is drawn alone. The rows of one parent are drawn one after another: `when` the next one is
(its distance to the one before), then `what` it holds, each given the ancestors' columns, how many rows came and are to
come, the row before, and the means so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.relational import changes, links
from karat.content.relational.across.inheriting import Inherited, quantiles
from karat.content.relational.across.rule import Across
from karat.content.relational.database import Database, Family, Relation, amounts, from_amounts
from karat.content.relational.series import season
from karat.content.relational.series.calendar import Calendar
from karat.content.relational.series.clock import Clock, chain, distance, previous
from karat.content.relational.series.together import Together
from karat.content.relational.steps import Before, Steps, borrowed_name, expected, rows_name
from karat.content.table.encoding.coding import NUMBERS, flat, present
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.parts import Number
from karat.content.table.rules.constraints import compile_rules
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import FitError, KaratError

BORROWED = 8  # columns of another parent by which its row is chosen


def running(family: Family, values: np.ndarray, fade: float = 1.0) -> np.ndarray:
    """float64 [n]: the mean of `values` [n] over the rows of the same parent that came before; NaN where there are none.

    fade: what a row still counts one row later.
    """
    total, count = family.so_far(values, fade)
    return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)


def fit(name: str, database: Database, train: Database, whole: Tables, across: Sequence[Across] = ()) -> Steps:
    """What the rows of `train` show of table `name`; of all rows in `database` only how the file has them is seen."""
    maker = train.maker(name)
    chosen = tuple(r for r in train.relations if r.child == name and not r.makes)
    counted = tuple(r for r in train.relations if r.parent == name)
    columns = {c.name: c for c in whole.schema.columns}
    order = None if maker is None else maker.order
    link, parents = (np.full(len(train.tables[name]), -1), 0) if maker is None else train.strands(maker)
    when = None if order is None else train.cells(name, order)
    family = Family.of(link, parents, when)
    borrowed = {r.column: _lent(train, r) for r in chosen}
    edges: dict[str, np.ndarray] = {}
    ranks: dict[str, int] = {}
    clock = Clock()
    wandering: tuple[changes.Change, ...] = ()
    if maker is not None:
        ranks, edges = _numbers(train, maker, [c for c in columns.values() if c.name != order], family)
    if maker is not None and order is not None and when is not None:
        clock = (Clock.of_series if maker.cut else Clock.of)(train, maker, columns, whole, family, when)
        edges |= clock.edges
    level = None
    if maker is not None:
        fixed = {order, *ranks, *maker.columns, *(c for r in chosen for c in r.columns)}
        free = [c for c in columns.values() if c.name not in fixed and c.kind in ("integer", "decimal")]
        wandering, moving, level = _wandering(train, maker, free, whole, family, clock.calendar)
        edges = {
            k: v for k, v in edges.items() if k.removeprefix("mean ") not in {c.column for c in wandering}
        } | moving
    blank = Steps(
        table=name,
        maker=maker,
        counted=counted,
        chosen=chosen,
        borrowed=borrowed,
        ranks=ranks,
        beside=clock.beside,
        since=clock.since,
        edges=edges,
        latest=clock.latest,
        stand=_stand(database, name, maker),
        unique=_kept_apart(database, train, whole, name, ranks),
        loose=links.loose(database, name),
        tree=links.trees(database, name),
        unlike=links.unlike(database, name),
        what=whole,
        first=clock.first,
        next=clock.following,
        changes=wandering,
        level=None if clock.calendar is not None else level,
        calendar=clock.calendar,
        series=() if maker is None else train.series(maker)[1],
    )
    if maker is not None:
        since = previous(family, np.full(len(link), np.nan) if when is None else amounts(when))
        unruled = _unruled(whole, blank)
        inherited = Inherited.fit(across, maker, train, unruled, family, since, clock.until)
        blank = replace(blank, inherited=inherited, together=_together(blank, train))
    return replace(blank, what=chain(whole, *drawn(blank, train, whole)))


def _lent(train: Database, relation: Relation) -> tuple[str, ...]:
    """The columns of the row that is referred to, by which it is chosen."""
    every = train.tables[relation.parent].facts.schema.columns
    return tuple(c.name for c in every if not c.made and c.kind != "constant" and c.zone != "mixed")[:BORROWED]


def _unruled(whole: Tables, steps: Steps) -> set[str]:
    """Columns of which values are drawn, and which no rule of the table speaks of."""
    coded = {steps.order, *steps.ranks, *steps.beside, *steps.referring, *(c.column for c in steps.changes)}
    free = {c.name for c in whole.schema.columns} - coded
    return {c for c in free if not any(changes.names(rule, c) for rule in whole.schema.constraints)}


def settled(
    name: str, database: Database, train: Database, whole: Tables, across: Sequence[Across] = ()
) -> tuple[Tables, Steps]:
    """`fit`, and the table without what was found between its columns where rows that are drawn one after another need not
    keep it: what the chain does not code, but for the orders among columns that are learned as changes.
    """
    steps = fit(name, database, train, whole, across)
    coded = (*train.tables[name].facts.schema.constraints, *steps.what.schema.constraints)
    moved = {c.column for c in steps.changes}
    known = whole.schema.constraints
    kept = tuple(r for r in known if r in coded or moved and changes.orders(r) and _among(r, moved))
    if steps.maker is None or len(kept) == len(known):
        return whole, steps
    plain = replace(whole.schema, constraints=kept)
    found = tuple(one for one in whole.found if one.constraint in kept)
    less = replace(whole, origin=replace(whole.origin, schema=plain), found=found)
    less = replace(less, layout=Layout.fit(plain, train.tables[name].cells))
    return less, fit(name, database, train, less, across)


def _among(rule: Mapping[str, Any], columns: set[str]) -> bool:
    """Whether an order is one of these columns alone."""
    return {part.strip().strip('"`') for part in str(rule["rule"]).split("<=")} <= columns


def _numbers(
    train: Database, maker: Relation, columns: Sequence[Column], family: Family
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Columns that only count the rows of a parent, with the first value; and edges of the means of all other numbers."""
    ranks: dict[str, int] = {}
    edges: dict[str, np.ndarray] = {}
    for column in columns:
        if column.kind not in ("integer", "decimal"):
            continue
        cells = train.cells(maker.child, column.name)
        if column.kind == "integer" and (family.place > 0).mean() > 0.2 and not cells.null_count:
            off = amounts(cells) - family.place
            if (off == off[0]).all():
                ranks[column.name] = int(off[0])
                continue
        edges[f"mean {column.name}"] = quantiles(amounts(cells))
    return ranks, edges


def _wandering(
    train: Database, maker: Relation, free: Sequence[Column], whole: Tables, family: Family, calendar: Calendar | None
) -> tuple[tuple[changes.Change, ...], dict[str, np.ndarray], Tables | None]:
    """The columns that are learned as changes, edges of what is told of them, and the codec of their first levels."""
    name, who = maker.child, train.series(maker)[0]
    when = np.full(len(who), np.nan) if maker.order is None else amounts(train.cells(name, maker.order))
    values = {c.name: amounts(train.cells(name, c.name)) for c in free}
    declared = train.tables[name].facts.schema.constraints
    between = tuple(r for r in whole.schema.constraints if r not in declared)

    def seasonal(rows: np.ndarray, y: np.ndarray, of: Family, wanders: bool) -> season.Season | None:
        return None if calendar is None else season.fit(y, who[rows], when[rows], calendar, of, wanders)

    found = changes.find(free, values, family, declared, between, None if calendar is None else seasonal)
    away = changes.away(found, [values[c.column] for c in found], expected(found, who, when, calendar))
    now, past = known_before(away, family)
    found = changes.widened(found, changes.coded(found, now, past), family)
    return found, _of_changes(found, away, family), _levels(found, whole, train.tables[name], family)


def _of_changes(
    wandering: tuple[changes.Change, ...], values: Sequence[np.ndarray], family: Family
) -> dict[str, np.ndarray]:
    """Edges of the levels of columns that are learned as changes, and of what is told of changes before."""
    now, past = known_before(values, family)
    recent = changes.behind(wandering, family, changes.coded(wandering, now, past))
    edges = {f"level {c.column}": quantiles(x) for c, x in zip(wandering, values, strict=True) if c.own}
    k = len(wandering)
    return edges | {f"change {j // k} {wandering[j % k].column}": quantiles(x) for j, x in enumerate(recent.T)}


def known_before(values: Sequence[np.ndarray], family: Family) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n, k] each: the values, and the last known ones in rows before, NaN where there is none."""
    now = np.stack(values, 1) if values else np.zeros((len(family.place), 0))
    past = np.where(family.before[:, None] >= 0, now[family.before], np.nan)
    for j in np.flatnonzero(np.isnan(now).any(0)):
        past[:, j] = previous(family, now[:, j])
    return now, past


def _levels(wandering: tuple[changes.Change, ...], whole: Tables, rows: Table, family: Family) -> Tables | None:
    """The codec of what columns that are learned as changes are in the first rows."""
    own = {c.column for c in wandering if c.own}
    if not own:
        return None
    known = Schema(tuple(c for c in whole.schema.columns if c.name in own))
    return chain(
        whole,
        known,
        rows.cells.select([c.name for c in known.columns]).take(pa.array(np.flatnonzero(family.place == 0))),
    )


def _kept_apart(
    database: Database, train: Database, whole: Tables, name: str, ranks: Mapping[str, int]
) -> tuple[tuple[str, ...], ...]:
    """Columns in which no two rows agree, and which drawing has to keep so; FitError where it cannot."""
    maker = train.maker(name)
    own = [r for r in train.relations if r.child == name]
    fresh = {c.name for c in whole.schema.columns if c.made} - {c for r in own for c in r.columns}
    keys = {c for r in own if r == maker or not r.makes for c in r.columns}
    kept = []
    for names in links.differing(database, name, [list(names) for names in whole.layout.rules.unique]):
        if set(names) & fresh or maker is not None and set(maker.columns) <= set(names) and set(names) & set(ranks):
            continue  # different by itself
        if maker is not None and len(names) == 1 and names[0] not in keys:
            raise FitError(
                f"{name}: {', '.join(names)} cannot be kept unique in rows that are drawn for a parent; take the rule away."
            )
        kept.append(tuple(names))
    return tuple(kept)


def _stand(database: Database, name: str, maker: Relation | None) -> str:
    if maker is None:
        return "grouped"
    link = database.links[maker]
    groups = int((np.diff(link) != 0).sum()) + 1 if len(link) else 0
    if groups <= 1.05 * len(np.unique(link)):
        return "grouped"
    if maker.order is not None:
        at = amounts(database.cells(name, maker.order))
        step = np.diff(at[~np.isnan(at)])
        if len(step) and (step >= 0).mean() > 0.99:
            return "by order"
    return "mixed"


def drawn(steps: Steps, data: Database, whole: Tables) -> tuple[Schema, pa.Table]:
    """The columns that the chain `what` draws, of the rows of the table in `data`."""
    name, maker = steps.table, steps.maker
    columns = {c.name: c for c in whole.schema.columns}
    marked = {c for r in steps.chosen for c in r.columns} - (set(maker.columns) if maker is not None else set())
    hidden = {k for r in data.relations if r.parent == name for k in r.keys if columns[k].made} - marked
    hidden |= set(maker.columns) if maker is not None else set()
    hidden |= {steps.order} if steps.order is not None else set()
    hidden |= set(steps.ranks)
    at = np.zeros(0) if steps.order is None else amounts(data.cells(name, steps.order))
    moved = {} if not steps.changes else _moved(steps, data)
    hung = None if maker is None else steps.inherited.parents(data.tables[maker.parent].cells, data.links[maker])
    known: list[Column] = []
    cells: dict[str, pa.Array] = {}
    for column in whole.layout.names:
        if column in hidden:
            continue
        values = data.cells(name, column)
        if column not in columns:  # the zones of mixed offsets
            cells[column] = values
            continue
        own = replace(columns[column], unique=columns[column].unique and maker is None)
        if own.made or column in marked:
            own = Column(column, "constant")
            values = pc.if_else(values.is_valid(), pa.scalar("x", pa.string()), pa.scalar(None, pa.string()))
        elif column in steps.beside:
            own = Column(column, "integer")
            values = from_amounts(amounts(values) - at, "integer")
        elif column in moved:
            own = Column(column, "decimal", 17)
            values = moved[column]
        elif hung is not None and column in steps.inherited.hung:
            far, apart = distance(own, steps.inherited.coded(column, amounts(values), hung))
            own, values = far.columns[0], flat(apart[column])
        cells[column] = values
        known.append(own)
    for r in steps.counted:
        link = data.links[r]
        many = np.bincount(link[link >= 0], minlength=len(data.tables[name]))
        known.append(Column(rows_name(r), "integer"))
        cells[rows_name(r)] = pa.array(many.astype(np.int64))
    for r in steps.chosen:
        theirs = {c.name: c for c in data.tables[r.parent].facts.schema.columns}
        link = data.links[r]
        rows = pa.array(np.maximum(link, 0), mask=link < 0)
        for column in steps.borrowed[r.column]:
            known.append(replace(theirs[column], name=borrowed_name(r, column), unique=False, low=None, high=None))
            values = data.cells(r.parent, column)
            cells[borrowed_name(r, column)] = values.take(rows) if len(values) else pa.nulls(len(link), values.type)
    plain = tuple(c for c in known if c.name not in moved and c.name not in steps.inherited.hung)
    own_rules = tuple(rule for rule in whole.schema.constraints if "unique" not in rule and holds(rule, plain))
    drawn_alone = {c.name for c in known} - marked if maker is None else set()
    own_rules += tuple({"unique": list(names)} for names in steps.unique if set(names) <= drawn_alone)
    return Schema(tuple(known), own_rules), pa.table(cells)


def _units(steps: Steps, data: Database) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n, columns] each: changes of the columns that are learned by them, in units of their width, and their values."""
    assert steps.maker is not None
    order = None if steps.order is None else data.cells(steps.table, steps.order)
    family = Family.of(*data.strands(steps.maker), order)
    now, past = known_before(_away(steps, data), family)
    coded = changes.coded(steps.changes, now, past)
    return coded / changes.widths(steps.changes, changes.behind(steps.changes, family, coded)), now


def _together(steps: Steps, data: Database) -> Together | None:
    """How the series in `data` move together."""
    if not steps.series or steps.order is None or steps.calendar is None:
        return None
    return Together.fit(_units(steps, data)[0], *_who_and_when(steps, data))


def _who_and_when(steps: Steps, data: Database) -> tuple[np.ndarray, np.ndarray]:
    assert steps.maker is not None and steps.order is not None
    return data.series(steps.maker, steps.series)[0], amounts(data.cells(steps.table, steps.order))


def _moved(steps: Steps, data: Database) -> dict[str, pa.Array]:
    """The changes [n] of each column that is learned by them as they are drawn, missing where its cell is."""
    units, now = _units(steps, data)
    if steps.together is not None:
        units = steps.together.apart(units, *_who_and_when(steps, data))
    columns = zip(steps.changes, units.T, now.T, strict=True)
    return {c.column: pa.array(changes.filled(x), mask=np.isnan(y)) for c, x, y in columns}


def holds(rule: dict[str, Any], columns: tuple[Column, ...]) -> bool:
    """Whether the rule is one of these columns."""
    try:
        compile_rules(Schema(columns, (rule,)))
    except KaratError:
        return False
    return True


def history(steps: Steps, data: Database, whole: Tables, up: np.ndarray) -> tuple[Before, Family]:
    """What was known before each row [n] of the table in `data`, and who stood where."""
    name, maker = steps.table, steps.maker
    rows = data.tables[name]
    n = len(rows)
    if maker is None:
        blank = np.zeros(n)
        alone = Family.of(np.full(n, -1), 0, None)
        none = np.zeros((n, 0))
        return Before(
            up,
            alone.place,
            alone.left,
            none.astype(np.int64),
            none,
            blank,
            blank,
            none,
            none,
            none,
            none,
            none,
            alone.place,
            alone.place,
        ), alone
    order = None if steps.order is None else data.cells(name, steps.order)
    family = Family.of(*data.strands(maker), order)
    own = encoded(whole, rows, steps)
    codes = remembered(np.where(family.before[:, None] >= 0, own[family.before], 0), whole, steps)
    numbers = [running(family, amounts(data.cells(name, column)), steps.fade) for column in steps.means]
    means = np.stack(numbers, 1) if numbers else np.zeros((n, 0))
    at = np.full(n, np.nan) if order is None else amounts(order)
    now, past = known_before(_away(steps, data), family)
    recent = changes.behind(steps.changes, family, changes.coded(steps.changes, now, past))
    above = steps.inherited.above(data, maker, family)
    since, who = previous(family, at), data.series(maker, steps.series)[0]
    return Before(
        up, family.place, family.left, codes, means, since, at, past, recent, now, *above, who, 0 * who
    ), family


def _away(steps: Steps, data: Database) -> list[np.ndarray]:
    """Of each column that is learned by changes its values [n], of one with a season how far they lie from what is expected."""
    assert steps.maker is not None
    who = data.series(steps.maker, steps.series)[0]
    when = np.full(len(who), np.nan) if steps.order is None else amounts(data.cells(steps.table, steps.order))
    values = [amounts(data.cells(steps.table, c.column)) for c in steps.changes]
    return changes.away(steps.changes, values, steps.expected(who, when))


def encoded(whole: Tables, rows: Table, steps: Steps) -> np.ndarray:
    """int64 [n, columns]: codes of rows of a table, 1 and up; 0 for what is only known when all keys are."""
    out = np.asarray(whole.encode(rows).numpy() + 1)
    late = {c for c in steps.referring if not whole.layout.columns[c].made}
    if late:
        out[:, [j for j, i in enumerate(whole.layout.coded) if late & set(whole.layout.parts[i].names)]] = 0
    return out


def remembered(codes: np.ndarray, whole: Tables, steps: Steps) -> np.ndarray:
    """Codes [n, columns] of the row before, of columns that are learned as changes only 1 where a cell is missing: their levels
    are told apart.
    """
    changing = {c.column for c in steps.changes}
    for j, i in enumerate(whole.layout.coded):
        part = whole.layout.parts[i]
        if changing & set(part.names):
            codes[:, j] = (codes[:, j] == 1) & (isinstance(part, Number) and part.missing > 0)
    return codes


def snapped(whole: Tables, order: str, values: np.ndarray) -> np.ndarray:
    """Times [n] on the lattice of those learned from (working days, full hours)."""
    part = whole.layout.parts[whole.layout.part_of[order]]
    kind = whole.layout.columns[order].kind
    if kind not in NUMBERS or not isinstance(part, Number):
        return values
    return amounts(part.grain.array(part.grain.ticks(from_amounts(values, kind))))


def there(cells: pa.Table, name: str) -> np.ndarray:
    """bool [n]: which cells of the column are not missing."""
    return present(flat(cells[name]))
