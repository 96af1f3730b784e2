"""Whether steps of sequences were copied: runs of changes that training steps have too, at any time and wherever windows begin."""

from __future__ import annotations

from dataclasses import replace

from karat.assays.details import Detail
from karat.assays.details.records import CopyRate, NearCopies
from karat.assays.finding import Finding
from karat.assays.relational.case import Case
from karat.assays.relational.changing import judged
from karat.assays.relational.windows import RUN, runs
from karat.assays.table.linkage import copies
from karat.space import JUDGED as FEWEST

FINDS = ("copy rate",)


def findings(case: Case) -> list[Finding]:
    """Of sequences whose numbers change: at other times or after another first row, rows that were copied equal none.

    Training runs may overlap, the others do not, as chance takes them as independent.
    """
    where, ties = case.ties[0].child, case.ties
    tables = [side.tables[where] for side in case.sides]
    columns = judged(tables[0], ties[0]) if ties[0].makes else []
    if not columns:
        return []
    every = (1, RUN, RUN)
    train, unseen, made = (runs(table, tie, columns, k) for table, tie, k in zip(tables, ties, every, strict=True))
    if min(map(len, (train, unseen, made))) < FEWEST:
        return []
    found = copies(train, unseen, made, case.apart, what=f"{RUN}-step run")
    return [replace(found, table=f"runs of {where}", detail=without_rows(found.detail))]


def without_rows(detail: Detail | None) -> Detail | None:
    """The same without pairs of rows: the rows of a table are no records here."""
    if isinstance(detail, CopyRate):
        return replace(detail, pairs=None, same=None)
    return replace(detail, pairs=None) if isinstance(detail, NearCopies) else detail
