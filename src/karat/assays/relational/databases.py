"""What a generator of related tables makes, measured: each table by itself, and how well the tables hang together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from karat.assays import relational
from karat.assays.details import Detail
from karat.assays.details.records import CopyRate, NearCopies
from karat.assays.discovery import examined
from karat.assays.finding import Finding
from karat.assays.table.tables import examine as examine_table
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import DatabaseView, Tie


@dataclass(frozen=True)
class Case:
    """What an assay of related tables judges: how the rows of one table name those of another.

    number: of this tie among those of each side.
    """

    train: DatabaseView
    unseen: DatabaseView
    made: DatabaseView
    number: int
    seed: int = 0

    @property
    def sides(self) -> tuple[DatabaseView, DatabaseView, DatabaseView]:
        return self.train, self.unseen, self.made

    @property
    def ties(self) -> tuple[Tie, Tie, Tie]:
        """The tie of the training, the unseen and the made rows."""
        t, u, m = (side.ties[self.number] for side in self.sides)
        return t, u, m


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
    return [f for i in range(len(made.ties)) for f in examined(relational, Case(train, unseen, made, i, seed))]
