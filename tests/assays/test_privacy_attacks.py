"""Singling out, linking and inferring: copied rows are given away by all three, fresh ones by none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import case

from karat.assays.finding import Finding
from karat.assays.table import attacks
from karat.assays.table.attacks.trying import Predicate, alone, gaps, linked, right, widths
from karat.views import Columns, TableView

NAMES = Columns(("income", "town", "age", "job", "ill"), ((), tuple("abcdef"), (), tuple("uvwxyz"), ("no", "yes")))


def rows(n: int, seed: int) -> TableView:
    rng = np.random.default_rng(seed)
    town, job = rng.binomial(5, 0.4, n), rng.integers(0, 6, n)
    age = np.round(rng.normal(40 + 3 * town, 12), 1)
    ill = rng.random(n) < 1 / (1 + np.exp((60 - age) / 6))
    values = np.stack([np.round(rng.lognormal(3 + job / 5, 0.6), 2), town, age, job, ill], 1)
    values[rng.random(values.shape) < 0.02] = np.nan
    return TableView(NAMES, values)


def tried(train: TableView, unseen: TableView, made: TableView, seed: int = 0) -> dict[str, Finding]:
    of = replace(case(train, unseen, made, target="ill", seed=seed), attacks=True)
    return {f.key: f for f in attacks.findings(of)}


def test_rows_that_were_copied_are_singled_out_linked_and_inferred() -> None:
    train = rows(600, 0)
    made = train.take(np.random.default_rng(1).integers(600, size=1500))
    found = tried(train, rows(600, 2), made)
    assert list(found) == list(attacks.FINDS) and all(f.raised for f in found.values()), [
        f.summary for f in found.values()
    ]
    assert found["linkability"].value > 0.04 and "a guess is right of 0.1%" in found["linkability"].summary


@pytest.mark.parametrize("n", [60, 600])
def test_fresh_rows_are_accused_by_no_attack(n: int) -> None:
    for seed in range(2):
        found = tried(*(rows(k, 3 * seed + i) for i, k in enumerate((4 * n, n, 2 * n))), seed=seed)
        assert not [f.summary for f in found.values() if f.raised]
        assert n == 60 or all(f.low <= 0.03 for f in found.values())


def test_attacks_are_tried_where_they_are_asked_for_and_linked_where_there_are_two_columns() -> None:
    sides = rows(60, 0), rows(60, 1), rows(60, 2)
    assert attacks.findings(case(*sides)) == []
    one = Columns(("income",), ((),))
    assert {*tried(*(TableView(one, side.values[:, :1]) for side in sides))} == {"singling out"}


def test_missing_cells_are_like_each_other_and_unlike_all_else() -> None:
    names = Columns(("x", "c"), ((), ("a", "b")))
    some, made = (
        TableView(names, np.array(v, float)) for v in ([[np.nan, 0], [2, np.nan]], [[np.nan, np.nan], [4, 0]])
    )
    assert [gap.tolist() for gap in gaps(some, made, widths(some, made))] == [[[0, 1], [1, 1]], [[1, 0], [0, 1]]]
    assert linked(some, made, ([0], [1])) == 1
    guess, secret = np.array([100.0, 100.0, np.nan, -100.0]), np.array([104.0, 106.0, np.nan, -96.0])
    assert right(made, 0, guess, secret).tolist() == [True, False, True, True]


def test_a_description_fits_one_made_row_alone_and_says_which() -> None:
    made = rows(200, 5)
    found = alone(made, 50, 3, np.random.default_rng(0))
    assert len({*found}) == len(found) == 50 and all(p.holds(made).sum() == 1 for p in found)
    first = Predicate(((0, 1, float(np.nanmax(made.values[:, 0]))),))
    assert (
        first.holds(made).sum() == 1
        and Predicate(((1, 0, np.nan),)).holds(made).sum() == np.isnan(made.values[:, 1]).sum()
    )
