"""The assay of tables on whatever a table can be: small, wide, empty, constant, with huge categories."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cases import case

from karat.assays import Finding, find
from karat.assays.classifier import boosted
from karat.assays.table import cells, rules
from karat.assays.table.tables import examine
from karat.errors import DataError
from karat.views import Columns, TableView


def split(columns: Columns, values: np.ndarray, parts: tuple[int, int, int]) -> tuple[TableView, TableView, TableView]:
    cut = np.cumsum(parts)
    return tuple(TableView(columns, v) for v in np.split(values, cut)[:3])  # type: ignore[return-value]


def whole(findings: list[Finding]) -> list[Finding]:
    """The same findings, once they are seen to be whole."""
    assert len({f.name for f in findings}) == len(findings)
    for f in findings:
        assert len(f.summary) > 20 and f.summary.endswith(".")
        if f.why:  # could not be measured, and says so
            assert np.isnan([f.value, f.low, f.high, f.real]).all() and f.state == "cannot tell", f
            continue
        assert np.isfinite([f.value, f.low, f.high, f.real]).all(), f
        assert f.low <= f.value <= f.high, f
        json.dumps(f.to_dict(), allow_nan=False)
    return findings


def raised(findings: list[Finding]) -> set[str]:
    return {f.name for f in whole(findings) if f.raised}


def mixed(n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a price, a whole number that follows it, a group and whether it is sold."""
    group = rng.choice(3, n, p=[0.7, 0.2, 0.1])
    price = np.round(rng.lognormal(group, 0.5), 2)
    count = np.round(price * 2 + rng.normal(0, 1, n))
    sold = (price + rng.normal(0, 1, n) > 2).astype(float)
    return np.stack([price, count, group, sold], 1)


MIXED = Columns(("price", "count", "group", "sold"), ((), (), ("a", "b", "c"), ("no", "yes")))


@pytest.mark.parametrize("column", ["number", "choice"])
def test_forty_rows_of_one_column_are_judged(column: str) -> None:
    rng = np.random.default_rng(0)
    columns = Columns(("only",), ((),) if column == "number" else (("x", "y", "z"),))
    values = rng.normal(size=(60, 1)) if column == "number" else rng.integers(0, 3, (60, 1)).astype(float)
    assert raised(examine(*split(columns, values, (20, 20, 20)))) == set()


def test_forty_rows_of_a_mixed_table_are_judged_and_not_accused() -> None:
    values = mixed(60, np.random.default_rng(0))
    assert raised(examine(*split(MIXED, values, (20, 20, 20)), target="sold")) == set()


def test_missing_constant_and_empty_columns_and_huge_categories_are_judged() -> None:
    rng = np.random.default_rng(0)
    n = 900
    names = ("price", "count", "group", "sold", "empty", "constant", "id", "never", "holes")
    many = tuple(f"v{i}" for i in range(50_000))
    columns = Columns(names, (*MIXED.choices, (), (), many, ("x", "y"), ("p", "q")))
    extra = np.stack(
        [np.full(n, np.nan), np.full(n, 3.0), rng.integers(0, 50_001, n), np.full(n, np.nan), rng.integers(0, 2, n)], 1
    ).astype(float)
    extra[rng.random(n) < 0.3, 4] = np.nan
    values = np.hstack([mixed(n, rng), extra])
    values[rng.random(n) < 0.3, 0] = np.nan
    train, unseen, made = split(columns, values, (400, 250, 250))
    findings = examine(train, unseen, made, target="price")
    assert raised(findings) == set()
    assert find(findings, "usefulness").detail.measure == "R2"
    filled = made.values.copy()
    filled[:, 0] = np.nan_to_num(filled[:, 0], nan=1.0)
    told = find(cells.findings(case(train, unseen, TableView(columns, filled))), "missingness")
    assert told.raised and "price is missing in 0.0% of what was made" in told.summary


@pytest.mark.parametrize("wide", [80, pytest.param(500, marks=pytest.mark.exam)])
def test_more_columns_than_rows_are_judged(wide: int) -> None:
    rng = np.random.default_rng(0)
    columns = Columns(tuple(f"c{j}" for j in range(wide)), ((), ("x", "y", "z", "w")) * (wide // 2))
    values = rng.integers(0, 4, (120, wide)).astype(float)
    findings = whole(examine(*split(columns, values, (60, 30, 30))))
    assert {f.name for f in findings if f.raised} == set()


def test_findings_are_the_same_for_the_same_seed() -> None:
    parts = split(MIXED, mixed(90, np.random.default_rng(0)), (30, 30, 30))
    first, again = (examine(*parts, target="sold", seed=3) for _ in range(2))
    assert [f.to_dict() for f in first] == [f.to_dict() for f in again]


def test_a_declared_rule_that_is_broken_is_named() -> None:
    rng = np.random.default_rng(0)
    parts = split(MIXED, mixed(900, rng), (300, 300, 300))
    flags = [np.zeros(300, bool), np.zeros(300, bool), np.arange(300) < 30]
    sheets = [TableView(MIXED, s.values, {"start < end": b}) for s, b in zip(parts, flags, strict=True)]
    told = find(rules.findings(case(sheets[0], sheets[1], sheets[2])), "rules")
    assert told.raised and "start < end (broken by 10.00%, real 0.00%)" in told.summary and told.value >= 0.1


def test_numbers_that_are_printed_otherwise_are_found() -> None:
    train, unseen, made = split(MIXED, mixed(900, np.random.default_rng(0)), (300, 300, 300))
    values = made.values.copy()
    values[:, 0] += np.random.default_rng(1).uniform(-0.004, 0.004, 300)
    told = find(cells.findings(case(train, unseen, TableView(MIXED, values))), "formatting")
    assert told.raised and "price" in told.summary and "printed" in told.summary


def test_the_report_can_show_the_columns_side_by_side_worst_first() -> None:
    train, unseen, made = split(MIXED, mixed(600, np.random.default_rng(0)), (200, 200, 200))
    values = made.values.copy()
    values[:, 1] += 5
    shown = find(examine(train, unseen, TableView(MIXED, values)), "column shapes").detail.columns
    assert shown[0].name == "count" and shown[0].score < shown[0].real_score - 0.2
    for column in shown:
        assert len(column.bins.names) == len(column.bins.made) == len(column.bins.real)
        assert sum(column.bins.made) == pytest.approx(1) and column.missing.to_dict() == {"made": 0.0, "real": 0.0}


def test_what_cannot_be_judged_is_refused() -> None:
    train, unseen, made = split(MIXED, mixed(90, np.random.default_rng(0)), (30, 30, 30))
    with pytest.raises(DataError, match="5 made rows are too few"):
        examine(train, unseen, made.take(np.arange(5)))
    other = Columns(("price", "count", "group", "sold"), ((), (), ("a", "b"), ("no", "yes")))
    with pytest.raises(DataError, match="the made rows have other columns"):
        examine(train, unseen, TableView(other, np.zeros((30, 4))))
    with pytest.raises(DataError, match="'profit' is no column; there are: price"):
        examine(train, unseen, made, target="profit")


RATES = (0.0, 0.01, 0.5, 0.99, 1.0)
HOLES = [(real, made) for real in RATES for made in RATES]


def riddled(n: int, side: int, seed: int) -> TableView:
    """Numbers and choices of which every share in `RATES` is missing in real data (side 0) with every one in made (1)."""
    rng = np.random.default_rng(seed)
    age = rng.normal(size=n)
    drawn = []
    for choice in (False, True):
        for rates in HOLES:
            column = rng.integers(0, 3, n).astype(float) if choice else rng.normal(size=n)
            column[rng.permutation(n)[: round(rates[side] * n)]] = np.nan
            drawn.append(column)
    names = tuple(f"{kind} {a:.0%} {b:.0%}" for kind in ("number", "choice") for a, b in HOLES)
    choices = ((),) * len(HOLES) + (("a", "b", "c"),) * len(HOLES)
    columns = Columns((*names, "age", "grown"), (*choices, (), ("no", "yes")))
    return TableView(columns, np.stack([*drawn, age, (age + rng.normal(size=n) > 0).astype(float)], 1))


@pytest.mark.parametrize("n", [20, pytest.param(120, marks=pytest.mark.exam)])
def test_tables_of_every_missingness_in_real_and_made_are_judged_and_the_difference_is_raised(n: int) -> None:
    found = whole(examine(riddled(n, 0, 0), riddled(n, 0, 1), riddled(n, 1, 2)))
    assert find(found, "missingness").raised


def test_tables_of_every_missingness_that_are_alike_are_not_accused() -> None:
    assert raised(examine(riddled(200, 0, 0), riddled(120, 0, 1), riddled(120, 0, 2))) == set()


@pytest.mark.parametrize("known", [0, 1, 2, 8])
def test_a_column_with_hardly_a_value_neither_stops_the_judge_nor_is_taught(known: int) -> None:
    """Also where all that is known falls to one fold, or to the rows by which boosting stops, of more than 10,000."""
    rng = np.random.default_rng(known)
    values = np.concatenate([mixed(200, rng), np.full((200, 1), np.nan)], 1)
    values[rng.permutation(200)[:known], 4] = rng.normal(size=known)
    columns = Columns((*MIXED.names, "fine"), (*MIXED.choices, ()))
    assert raised(examine(*split(columns, values, (100, 50, 50)), target="fine")) == set()
    x = np.full((12_000, 2), np.nan)
    x[:known, 0] = 1.0
    assert np.isfinite(boosted([False, False], 0)(x, rng.random(12_000) < 0.5)(x)).all()


def related_numbers(n: int, seed: int) -> np.ndarray:
    """Rows of two numbers that go together, one that does not, and a group that follows the first."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b, c = a + rng.normal(0, 0.5, n), rng.normal(size=n)
    return np.stack([a, b, c, (a > 0).astype(float)], 1)


FOUR = Columns(("a", "b", "c", "over"), ((), (), (), ("no", "yes")))


@pytest.mark.parametrize("outliers", [1, pytest.param(3, marks=pytest.mark.exam)])
@pytest.mark.parametrize(
    "where", ["made", "unseen", *(pytest.param(w, marks=pytest.mark.exam) for w in ("train", "all"))]
)
def test_outliers_of_a_column_accuse_nobody_wherever_they_are(where: str, outliers: int) -> None:
    sheets = {}
    for i, (name, n) in enumerate((("train", 800), ("unseen", 250), ("made", 250))):
        values = related_numbers(n, 3 * outliers + i)
        if where in (name, "all"):
            values[:outliers, 1] = 1e6 * (-1.0) ** np.arange(outliers)
            values[:outliers, 2] = 1e6
        sheets[name] = TableView(FOUR, values)
    assert raised(examine(sheets["train"], sheets["unseen"], sheets["made"], target="b")) == set()


def test_an_outlier_does_not_hide_that_columns_no_longer_go_together() -> None:
    train, unseen, made = (related_numbers(n, i) for i, n in enumerate((800, 250, 250)))
    for values in (train, unseen, made):
        values[0, :3] = 1e6
    made[:, 0] = np.random.default_rng(0).permutation(made[:, 0])
    found = examine(*(TableView(FOUR, x) for x in (train, unseen, made)))
    assert find(found, "column pairs").raised
