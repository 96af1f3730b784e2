"""What a generator of related tables makes, measured: each table by itself, and how well the tables hang together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from karat.assays import relational
from karat.assays.discovery import examined
from karat.assays.finding import Finding
from karat.assays.keys import KEYS
from karat.assays.relational.case import Case
from karat.assays.relational.changing import judged
from karat.assays.relational.copying import without_rows
from karat.assays.relational.gathered import gathered, hanging, named
from karat.assays.relational.kin import independent, records, thinned
from karat.assays.relational.windows import summaries
from karat.assays.table import joint
from karat.assays.table.tables import examine as examine_table
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import DatabaseView, TableView

ALIKE = frozenset(KEYS) - set(
    joint.FINDS
)  # of rows of which several belong together: exact tests take each as drawn alone
WINDOWS = (
    "precision",
    "two-sample auc",
    "column shapes",
    "copy rate",
    "membership",
    "class balance",
)  # and what goes with each
WHOLE = ("two-sample auc", "out of range", "combinations")  # of rows with all that hangs on them


def examine(
    train: DatabaseView,
    unseen: DatabaseView,
    made: DatabaseView,
    *,
    target: str | None = None,
    seed: int = 0,
    apart: bool = True,
) -> list[Finding]:
    """What each table is worth by itself, and how well the tables hang together.

    target: "table.column", or None.   A table with fewer than 20 rows among the unseen is judged by its relations only.
    Raises DataError for a target that is none.
    """
    names = [f"{name}.{column}" for name, table in train.tables.items() for column in table.names]
    if target is not None and target not in names:
        raise DataError(f"--target {target}: wanted a table and its column, such as {names[-1]}.")
    out: list[Finding] = []
    children = {tie.child for tie in train.ties if tie.makes}
    of = {name: i for i, tie in enumerate(train.ties) if tie.cut for name in (tie.parent, tie.child)}
    for name in train.tables:
        parts = [side.tables[name] for side in (train, unseen, made)]
        keys: Collection[str] | None = None
        whole = None
        if name in of:
            parts, keys = _of_series(name, Case(train, unseen, made, of[name], seed))
        elif name in children:
            keys, whole = ALIKE, parts[0]  # what was copied may be any training row
            rows = independent((train, unseen, made), name, seed)
            parts = [part.take(at) for part, at in zip(parts, rows, strict=True)]
        if min(map(len, parts)) < FEWEST or not parts[0].width:
            continue
        aim = target.removeprefix(f"{name}.") if target is not None and target.startswith(f"{name}.") else None
        for finding in examine_table(*parts, whole=whole, target=aim, seed=seed, keys=keys, apart=apart):
            out.append(replace(finding, table=name, detail=without_rows(finding.detail)))
        out += whole_rows(name, (train, unseen, made), seed, name in children)
    return [*out, *tied(train, unseen, made, seed, apart)]


def whole_rows(name: str, sides: Sequence[DatabaseView], seed: int, several: bool) -> list[Finding]:
    """What rows of the table are like with all that hangs on them; none where nothing does.

    several: whether more than one may belong to one record: exact tests take each as drawn alone.
    """
    ties = hanging(sides[0], name)
    if not ties:
        return []
    parts = gathered(sides, name, ties)
    if several:
        rng, kin = np.random.default_rng([seed, 37]), [records(side, name) for side in sides]
        rows = thinned(parts, kin, seed, [rng.permutation(len(of)) for of in kin])
        parts = [part.take(np.sort(at)) for part, at in zip(parts, rows, strict=True)]
    if min(map(len, parts)) < FEWEST:
        return []
    called, keys = named(name, [sides[0].ties[i] for i in ties]), WHOLE[:1] if several else WHOLE
    found = examine_table(*parts, seed=seed, keys=keys)
    return [replace(f, table=called, detail=without_rows(f.detail)) for f in found if f.key in keys]


def _of_series(name: str, case: Case) -> tuple[list[TableView], Collection[str] | None]:
    """What is judged of the windows of series: what each is like; of their steps only what each cell and row says by itself."""
    tables = [side.tables[case.ties[0].child] for side in case.sides]
    if name == case.ties[0].child:
        return tables, ("rules", "formatting", "missingness")
    columns = judged(tables[0], case.ties[0])
    if not columns:
        return [side.tables[name] for side in case.sides], None
    sides = zip(case.sides, tables, case.ties, strict=True)
    return [summaries(side.tables[name], table, tie, columns) for side, table, tie in sides], WINDOWS


def tied(train: DatabaseView, unseen: DatabaseView, made: DatabaseView, seed: int, apart: bool) -> list[Finding]:
    """How well the tables hang together: children per parent, keys, parent with child, a row with the one before it."""
    return [f for i in range(len(made.ties)) for f in examined(relational, Case(train, unseen, made, i, seed, apart))]
