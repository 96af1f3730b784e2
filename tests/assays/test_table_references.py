"""The assay of tables on generators of known worth: each fault is found by its own finding, the oracle raises none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from karat.assays import Finding, find
from karat.assays.references_tables import REFERENCES, copier
from karat.assays.sheet import Sheet
from karat.assays.tables import examine
from karat.space import Columns


@pytest.fixture(scope="module")
def adult(data_dir: Path) -> Sheet:
    """Rows of Adult's training part."""
    with open(data_dir / "tables" / "adult-train.csv", newline="", encoding="utf-8") as file:
        names, *rows = list(csv.reader(file))[:12_001]
    choices, values = [], []
    for column in zip(*rows, strict=True):
        number = all(cell.isdigit() for cell in column)
        known = () if number else tuple(sorted(set(column)))
        place = {cell: i for i, cell in enumerate(known)}
        choices.append(known)
        values.append([float(cell) if number else float(place[cell]) for cell in column])
    return Sheet(Columns(tuple(names), tuple(choices)), np.array(values).T)


def parts(adult: Sheet, seed: int) -> list[Sheet]:
    """Training rows, the judge's unseen rows and the rows that references may emit."""
    order = np.random.default_rng(seed).permutation(len(adult))
    return [adult.take(rows) for rows in np.split(order, [2500, 4000, 5500])[:3]]


def judged(adult: Sheet, name: str, seed: int) -> list[Finding]:
    train, unseen, source = parts(adult, seed)
    made = REFERENCES[name][0](train, source, 1500, np.random.default_rng(seed), "income")
    return examine(train, unseen, made, target="income", seed=seed)


def raised(findings: list[Finding]) -> set[str]:
    return {f.name for f in findings if f.raised}


@pytest.mark.parametrize("name", [name for name in REFERENCES if name not in ("oracle", "copier")])
def test_each_fault_is_found_by_its_own_finding(adult: Sheet, name: str) -> None:
    findings = judged(adult, name, 0)
    must = set(REFERENCES[name][1])
    assert must <= raised(findings), {f.name: f.says for f in findings if f.name in must and not f.raised}
    if name == "bootstrap":
        assert not find(findings, "lift").detail["found"]


@pytest.mark.parametrize("seed", range(2))
def test_the_oracle_raises_nothing(adult: Sheet, seed: int) -> None:
    findings = judged(adult, "oracle", seed)
    assert raised(findings) == set(), [f.says for f in findings if f.raised]


def test_unseen_rows_are_not_accused(adult: Sheet) -> None:
    train, unseen, _ = parts(adult, 0)
    findings = examine(train, unseen, unseen, target="income")
    assert not raised(findings) & {"copy rate", "near copies", "nearest record share", "membership"}


def test_altered_copies_are_found_and_shown(adult: Sheet) -> None:
    train, unseen, source = parts(adult, 0)
    made = copier(train, source, 1500, np.random.default_rng(0), "income", share=0.1)
    told = find(examine(train, unseen, made, target="income"), "near copies")
    assert told.raised and len(told.detail["pairs"]) == 24
    assert np.mean([row < 150 for row, _, _ in told.detail["pairs"]]) > 0.8  # the copies stand first


def test_a_category_that_is_never_made_is_named(adult: Sheet) -> None:
    train, unseen, source = parts(adult, 0)
    column = adult.names.index("marital-status")
    gone = adult.columns.choices[column].index("Widowed")
    made = source.take(np.flatnonzero(source.values[:, column] != gone))
    findings = examine(train, unseen, made, target="income")
    assert find(findings, "missing classes").detail["missing"] == ["marital-status = Widowed"]
    assert find(findings, "rare categories").detail["missing"] == ["marital-status = Widowed"]
