"""The assay of tables on generators of known worth: each fault is found by its own finding, the oracle raises none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from cases import case

from karat.assays import Finding, find
from karat.assays.details.records import NearCopies
from karat.assays.references.reference import Case
from karat.assays.references.tables import REFERENCES, UNAIMED, copier
from karat.assays.table import categories, cells, columns, detection, linkage, membership, rows, rules
from karat.assays.table.tables import examine
from karat.views import Columns, TableView


@pytest.fixture(scope="module")
def adult(data_dir: Path) -> TableView:
    """Rows of Adult's training part."""
    with open(data_dir / "tables" / "adult-train.csv", newline="", encoding="utf-8") as file:
        names, *lines = list(csv.reader(file))[:12_001]
    choices, values = [], []
    for column in zip(*lines, strict=True):
        number = all(cell.isdigit() for cell in column)
        known = () if number else tuple(sorted(set(column)))
        place = {cell: i for i, cell in enumerate(known)}
        choices.append(known)
        values.append([float(cell) if number else float(place[cell]) for cell in column])
    return TableView(Columns(tuple(names), tuple(choices)), np.array(values).T)


def parts(adult: TableView, seed: int) -> list[TableView]:
    """Training rows, the judge's unseen rows and the rows that references may emit."""
    order = np.random.default_rng(seed).permutation(len(adult))
    return [adult.take(some) for some in np.split(order, [2500, 3700, 4900])[:3]]


def raised(findings: list[Finding]) -> set[str]:
    return {f.name for f in findings if f.raised}


# A whole assay takes seconds; these faults are shown to the rooms whose findings must speak, the benchmark shows all.
ROOMS = {
    "bootstrap": lambda t, u, m: [*linkage.findings(of := case(t, u, m)), *membership.findings(of)],
    "collapser": lambda t, u, m: categories.findings(case(t, u, m, "income")),
    "blurrer": lambda t, u, m: [*detection.findings(of := case(t, u, m)), *cells.findings(of)],
    "skewer": lambda t, u, m: categories.findings(case(t, u, m, "income")),
    "noise": lambda t, u, m: [
        *detection.findings(of := case(t, u, m)),
        *columns.findings(of),
        *rules.findings(of),
        *rows.findings(of),
    ],
    "shuffler": lambda t, u, m: examine(t, u, m, target="income"),
}


SOON = ("copier", "collapser")


@pytest.mark.parametrize("name", [n if n in SOON else pytest.param(n, marks=pytest.mark.exam) for n in ROOMS])
def test_each_fault_is_found_by_its_own_finding(adult: TableView, name: str) -> None:
    train, unseen, source = parts(adult, 0)
    made = REFERENCES[name].make(Case(train, source, 1200, np.random.default_rng(0), "income"))
    findings = ROOMS[name](train, unseen, made)
    must = set(REFERENCES[name].must) | set(UNAIMED if name == "shuffler" else ())
    assert must <= raised(findings), {f.name: f.summary for f in findings if f.name in must and not f.raised}


def test_the_oracle_raises_nothing(adult: TableView) -> None:
    train, unseen, source = parts(adult, 0)
    findings = examine(train, unseen, source, target="income")
    assert raised(findings) == set(), [f.summary for f in findings if f.raised]


def test_unseen_rows_are_not_accused(adult: TableView) -> None:
    train, unseen, _ = parts(adult, 1)
    of = case(train, unseen, unseen)
    assert raised([*linkage.findings(of), *membership.findings(of)]) == set()


def test_altered_copies_are_found_and_shown(adult: TableView) -> None:
    train, unseen, source = parts(adult, 0)
    made = copier(Case(train, source, 1200, np.random.default_rng(0), "income"), share=0.1)
    told = find(linkage.findings(case(train, unseen, made)), "near copies")
    assert told.raised and isinstance(told.detail, NearCopies) and len(told.detail.pairs or ()) == 24
    # the copies, which stand first in the sheet, lead the pairs; sheets that were taken name the caller's rows
    assert np.mean([row < 120 for row, _, _ in told.detail.pairs or ()]) > 0.8


def test_a_category_that_is_never_made_is_named(adult: TableView) -> None:
    train, unseen, source = parts(adult, 0)
    column = adult.names.index("occupation")
    gone = adult.columns.choices[column].index("Tech-support")
    made = source.take(np.flatnonzero(source.values[:, column] != gone))
    findings = categories.findings(case(train, unseen, made, "income"))
    assert find(findings, "missing classes").missing == ("occupation = Tech-support",)
    assert find(findings, "rare categories").missing == ("occupation = Tech-support",)
