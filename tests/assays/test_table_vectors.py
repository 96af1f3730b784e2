"""Shapes and pairs equal SDMetrics' figures; areas, shares and rules equal what can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from karat.assays.classifier import area
from karat.assays.shares import certain, scores, tail
from karat.assays.table.cells import GRAINS, grain
from karat.assays.table.columns import Trends, mean, shapes
from karat.assays.table.linkage import share_of
from karat.assays.table.rules import coded, discover
from karat.assays.table.sheet import embed, ranks
from karat.errors import DataError
from karat.views import Columns, TableView

COLUMNS = Columns(tuple("abcdef"), ((), (), tuple("01234"), tuple("01234"), (), ()))


def table(seed: int, n: int, shift: float) -> TableView:
    r = np.random.default_rng(seed)
    a = np.round(r.normal(shift, 1 + shift, n), 3)
    b = np.round(a * 0.5 + r.normal(0, 1, n), 2)
    c = r.integers(0, 5, n).astype(float)
    d = ((a > 0.3) + r.integers(0, 2, n)).astype(float)
    e = np.full(n, 7.0)
    f = np.round(r.exponential(2 + shift, n))
    f[r.random(n) < 0.1 + shift / 5] = np.nan
    c[r.random(n) < 0.05] = np.nan
    return TableView(COLUMNS, np.stack([a, b, c, d, e, f], 1))


# The QualityReport of sdmetrics 0.25.0 (numpy 2.4.6, pandas 2.3.3) of table(1, n, 0) and table(2, m, shift), missing
# choices None; sdmetrics 0.32.0 gives the same shapes, and the same pairs with both its thresholds set to 0 (by default
# it leaves weak pairs out). nan: sdmetrics calls the pair of a constant number undefined. a, c and c, f are numbers beside
# a choice; `shared` is ContingencySimilarity with continuous_column_names, which cuts at the real column's edges.
VECTORS = [
    (
        (400, 300, 0.3),
        [0.7783333333333333, 0.935, 0.9395789631405453, 0.9066666666666667, 1.0, 0.8487397820163488],
        0.901386457526149,
        [
            0.9421440582822298,
            0.7666666666666666,
            0.8316666666666667,
            math.nan,
            0.9543478484615081,
            0.7675,
            0.7558333333333334,
            math.nan,
            0.9368088087177628,
            0.8624999999999999,
            0.9391666666666667,
            0.6883333333333335,
            0.9066666666666667,
            0.7108333333333332,
            math.nan,
        ],
        0.8385389485106808,
        {(0, 2): 0.7225, (2, 5): 0.7033333333333334, (2, 3): 0.8624999999999999},
    ),
    (
        (1000, 700, 0.05),
        [0.9551428571428572, 0.9677142857142857, 0.9575110917982096, 0.9822857142857143, 1.0, 0.9735555555555555],
        0.9727015840827704,
        [
            0.9796966332008998,
            0.8238571428571428,
            0.8507142857142858,
            math.nan,
            0.9892881398438615,
            0.8165714285714286,
            0.8402857142857143,
            math.nan,
            0.9824372980587517,
            0.9404285714285714,
            0.9532857142857143,
            0.8451428571428572,
            0.9822857142857143,
            0.8815714285714286,
            math.nan,
        ],
        0.9071304106871976,
        {(0, 2): 0.8865714285714286, (2, 5): 0.8615714285714285, (2, 3): 0.9404285714285714},
    ),
]
PAIRS = [(i, j) for i in range(6) for j in range(i + 1, 6)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0][0]} rows")
def test_shapes_and_pairs_equal_sdmetrics(vector: tuple) -> None:  # type: ignore[type-arg]
    (n, m, shift), columns, shape, pairs, trend, shared = vector
    real, made = table(1, n, 0.0), table(2, m, shift)
    assert shapes(real, made) == pytest.approx(columns, abs=1e-12)
    assert mean(shapes(real, made)) == pytest.approx(shape, abs=1e-12)
    own = Trends(real, PAIRS, plain=True).of(made)
    assert own == pytest.approx(pairs, abs=1e-9, nan_ok=True)
    assert mean(own) == pytest.approx(trend, abs=1e-9)
    ours = dict(zip(PAIRS, Trends(real, PAIRS).of(made), strict=True))
    assert {pair: ours[pair] for pair in shared} == pytest.approx(shared, abs=1e-12)


def test_a_column_of_many_choices_is_counted_as_one_of_few() -> None:
    many = Columns(("x", "y"), (tuple(map(str, range(1000))), tuple(map(str, range(1000)))))
    rng = np.random.default_rng(0)
    real, made = (TableView(many, rng.integers(0, 4, (200, 2)).astype(float)) for _ in range(2))
    few = Columns(("x", "y"), (tuple("0123"), tuple("0123")))
    dense = Trends(TableView(few, real.values), [(0, 1)]).of(TableView(few, made.values))
    assert Trends(real, [(0, 1)]).of(made) == pytest.approx(dense)


def test_the_area_counts_ties_half() -> None:
    assert area(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert area(np.zeros(6), np.arange(6) < 2) == 0.5
    assert area(np.array([1.0, 2, 2, 3]), np.array([False, True, False, True])) == pytest.approx(0.875)


def test_the_exact_test_is_fishers() -> None:
    # the lady tasting tea: 4 of 4 right has a chance of 1 / 70, at least 3 of 4 one of 17 / 70
    assert tail(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert tail(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert scores(np.array([60]), 100, np.array([40]), 100) == pytest.approx([(0.2 - 0.01) / math.sqrt(0.5 / 100)])
    assert certain(200, 1000, 100, 1000) and not certain(2, 20, 10, 10_000)


def test_grains_are_the_coarsest_that_fit() -> None:
    values = np.array([1 / 3, 0.5, 19.99, 7, 15, 130, -400, 123456.789, 25_000])
    told = [GRAINS[i] for i in grain(values)]
    assert told == [
        "unrounded",
        "printed with 1 digit after the point",
        "printed with 2 digits after the point",
        "whole",
        "a multiple of 5",
        "a multiple of 10",
        "a multiple of 100",
        "printed with 3 digits after the point",
        "a multiple of 1000",
    ]


def test_ranks_are_in_the_middle_of_ties_and_missing_stays_missing() -> None:
    known = np.array([1.0, 2, 2, 3])
    assert ranks(known, np.array([0.0, 1, 2, 9, np.nan])) == pytest.approx([0, 0.125, 0.5, 1, np.nan], nan_ok=True)


def test_a_difference_in_one_choice_is_a_distance_of_one() -> None:
    columns = Columns(("n", "c"), ((), ("x", "y")))
    sheet = TableView(columns, np.array([[0.0, 0], [0, 1], [5, 0], [np.nan, 0]]))
    (points,) = embed([sheet], 0)
    gaps = torch.cdist(points, points).numpy()
    assert gaps[0, 1] == pytest.approx(1) and 0 < gaps[0, 2] < 1 and gaps[0, 3] >= 1


def test_projected_rows_keep_their_distances_and_their_equals() -> None:
    columns = Columns(tuple(f"c{j}" for j in range(40)), (tuple(map(str, range(30))),) * 40)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 30, (50, 40)).astype(float)
    values[1] = values[0]
    (points,) = embed([TableView(columns, values)], 0)
    assert points.shape == (50, 512) and torch.equal(points[0], points[1])
    truth = np.sqrt((values[2:3] != values[3:]).sum(1))
    near = torch.cdist(points[2:3], points[3:])[0].numpy()
    assert near / truth == pytest.approx(np.ones(47), abs=0.15)


def test_the_nearest_record_share_counts_ties_half() -> None:
    ours, theirs = torch.tensor([[0.0], [10]]), torch.tensor([[1.0], [10]])
    share, spread = share_of(torch.tensor([[0.1], [0.9], [10.0], [0.2]]), ours, theirs)
    assert share == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert spread == pytest.approx(math.sqrt((2 / 4) ** 2 + (1 / 4) ** 2) / 2)


def test_a_rule_is_found_where_one_column_determines_another() -> None:
    columns = Columns(("town", "zip", "free"), (("a", "b", "c"), (), ("x", "y")))
    rng = np.random.default_rng(0)
    town = rng.integers(0, 3, 600)
    values = np.stack([town, np.array([10.0, 20, 30])[town], rng.integers(0, 2, 600)], 1)
    sheet = TableView(columns, values)
    assert {rule.text for rule in discover(sheet, coded(sheet))} == {"town determines zip", "zip determines town"}


def test_a_sheet_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="column b holds infinite numbers"):
        TableView(Columns(("a", "b"), ((), ())), np.array([[0.0, np.inf]]))
    with pytest.raises(DataError, match="holds an index outside"):
        TableView(Columns(("a",), (("x",),)), np.array([[2.0]]))
    with pytest.raises(DataError, match="2 columns was given values of"):
        TableView(Columns(("a", "b"), ((), ())), np.zeros((3, 3)))
