"""What a generator of related tables makes, measured: each table by itself, and how well the tables hang together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from karat.assays.details import Detail
from karat.assays.details.records import CopyRate, NearCopies
from karat.assays.finding import Finding
from karat.assays.relational import changing, relating
from karat.assays.table.tables import examine as examine_table
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import Columns, DatabaseView, TableView, Tie


def examine(
    train: DatabaseView, unseen: DatabaseView, made: DatabaseView, *, target: str | None = None, seed: int = 0
) -> list[Finding]:
    """What each table is worth by itself, and how well the tables hang together.

    target: "table.column", or None.   A table with fewer than 20 rows among the unseen is judged by its relations only.
    Raises DataError for a target that is none.
    """
    names = [f"{name}.{column}" for name, table in train.tables.items() for column in table.names]
    if target is not None and target not in names:
        raise DataError(f"--target {target}: wanted a table and its column, such as {names[-1]}.")
    out: list[Finding] = []
    for name in train.tables:
        parts = [side.tables[name] for side in (train, unseen, made)]
        if min(map(len, parts)) < FEWEST or not parts[0].width:
            continue
        aim = target.removeprefix(f"{name}.") if target is not None and target.startswith(f"{name}.") else None
        for finding in examine_table(*parts, target=aim, seed=seed):
            out.append(replace(finding, table=name, detail=_without_rows(finding.detail)))
    return [*out, *tied(train, unseen, made, seed)]


def _without_rows(detail: Detail | None) -> Detail | None:
    """The same without pairs of rows: the rows of a table are no records here."""
    if isinstance(detail, CopyRate):
        return replace(detail, pairs=None, same=None)
    return replace(detail, pairs=None) if isinstance(detail, NearCopies) else detail


def tied(train: DatabaseView, unseen: DatabaseView, made: DatabaseView, seed: int) -> list[Finding]:
    """How well the tables hang together: children per parent, keys, parent with child, a row with the one before it."""
    out: list[Finding] = []
    for i, tie in enumerate(made.ties):
        out.append(_dangling(train.all.ties[i], tie))
        if tie.makes:
            sizes = [_sizes(side, side.ties[i]) for side in (train, unseen, made)]
            out += relating.cardinality(tie.where, *sizes, seed=seed)
        out += _together(i, train, unseen, made, seed)
        if tie.makes:
            out += _sequences(i, train, unseen, made, seed)
            sides = (train, unseen, made)
            out += changing.findings(tie.child, [s.tables[tie.child] for s in sides], [s.ties[i] for s in sides], seed)
    return out


def _sizes(side: DatabaseView, tie: Tie) -> np.ndarray:
    return np.bincount(tie.links[tie.links >= 0], minlength=len(side.tables[tie.parent]))


def _dangling(real: Tie, made: Tie) -> Finding:
    counts = []
    for tie in (made, real):
        there = ~tie.absent
        counts += [int((tie.links[there] < 0).sum()), int(there.sum())]
    return relating.dangling(made.where, *counts)


def _together(i: int, train: DatabaseView, unseen: DatabaseView, made: DatabaseView, seed: int) -> list[Finding]:
    """How columns of parent and child go together: of a parent that makes its children in one of them, so that rows are
    independent; of another, which may lie on either side of the split, in all.
    """
    tie, parts = made.ties[i], []
    columns = _beside(made.tables[tie.parent].columns, made.tables[tie.child].columns, tie.parent, tie.child)
    for side in (train, unseen, made):
        base, link = side.all, side.all.ties[i].links
        rows = np.random.default_rng([seed, 5]).permutation(np.flatnonzero((link >= 0) & side.mine(tie.child)))
        if tie.makes:
            rows = rows[np.unique(link[rows], return_index=True)[1]]
        left = base.tables[tie.parent].values[link[rows]]
        parts.append(TableView(columns, np.hstack([left, base.tables[tie.child].values[rows]])))
    if min(map(len, parts)) < FEWEST:
        return []
    first = made.tables[tie.parent].width
    pairs = [(i, j) for i in range(first) for j in range(first, len(columns.names))]
    return relating.pairs("parent-child pairs", tie.where, "parent and child", *parts, pairs=pairs, seed=seed)


def _beside(a: Columns, b: Columns, left: str, right: str) -> Columns:
    names = (*(f"{left}.{n}" for n in a.names), *(f"{right}.{n}" for n in b.names))
    return Columns(names, (*a.choices, *b.choices))


def _sequences(i: int, train: DatabaseView, unseen: DatabaseView, made: DatabaseView, seed: int) -> list[Finding]:
    """How a row goes together with the one before it, in one pair of neighbours of each parent; and the gaps between them."""
    parts, gaps = [], []
    name, order = made.ties[i].child, made.ties[i].order
    own = made.tables[name].columns
    for side in (train, unseen, made):
        tie = side.ties[i]
        rows = np.random.default_rng([seed, 6]).permutation(np.flatnonzero((tie.before >= 0) & (tie.links >= 0)))
        rows = rows[np.unique(tie.links[rows], return_index=True)[1]]
        now, back = (side.tables[name].values[at] for at in (rows, tie.before[rows]))
        parts.append(TableView(_beside(own, own, "before", name), np.hstack([back, now])))
        if tie.at is not None:
            gaps.append(tie.at[rows] - tie.at[tie.before[rows]])
    if min(map(len, parts)) < FEWEST:
        return []
    width = len(own.names)
    pairs = [(j, width + j) for j in range(width) if own.names[j] != order]
    out = (
        relating.pairs("sequences", name, "a row and the one before it", *parts, pairs=pairs, seed=seed)
        if pairs
        else []
    )
    return [*out, *(relating.gaps(name, *gaps, seed=seed) if gaps else [])]
