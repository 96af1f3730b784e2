"""Columns become codes and come back: exact where values are few, true to the marginal where they are many."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.content.table.encoding.coding import Choices, Grain, draw, listed, unlisted
from karat.content.table.encoding.scales import LEVELS, Scale, fit_scales, only
from karat.content.table.schema.columns import Column


def test_few_values_each_have_a_code_of_their_own() -> None:
    ticks = np.random.default_rng(0).integers(17, 90, 5000).astype(float)
    scale = Scale.fit(ticks, LEVELS, True)
    assert scale.exact and scale.size == len(np.unique(ticks))
    assert np.array_equal(scale.ticks(scale.bins(ticks), np.random.default_rng(0).random(5000)), ticks)


def test_many_values_share_bins_of_equal_mass_and_heavy_ones_stand_alone() -> None:
    rng = np.random.default_rng(0)
    ticks = np.concatenate([np.zeros(9000), rng.integers(1, 10**6, 1000)]).astype(float)
    scale = Scale.fit(ticks, 51, True)
    assert scale.size <= 51
    assert scale.lows[0] == scale.highs[0] == 0 and scale.counts[0] == 9000
    assert scale.counts[1:].max() <= 2 * scale.counts[1:].min() and scale.size > 45


@pytest.mark.parametrize("whole", [True, False])
def test_drawing_inside_bins_keeps_the_marginal_without_repeating_the_rows(whole: bool) -> None:
    rng = np.random.default_rng(1)
    ticks = np.exp(rng.normal(12, 0.6, 30_000))
    ticks = np.rint(ticks) if whole else ticks
    scale = Scale.fit(ticks, LEVELS, whole)
    made = scale.ticks(scale.bins(ticks), rng.random(len(ticks)))
    assert np.abs(np.sort(made) - np.sort(ticks)).mean() < 0.01 * ticks.std()
    unseen = np.rint(np.exp(rng.normal(12, 0.6, 30_000))) if whole else np.exp(rng.normal(12, 0.6, 30_000))
    assert np.isin(made, ticks).mean() <= np.isin(unseen, ticks).mean() + 0.01
    assert made.min() >= ticks.min() and made.max() <= ticks.max()


def test_few_scattered_values_are_not_codes_of_their_own() -> None:
    ticks = np.random.default_rng(0).integers(0, 10**6, 300).astype(float)
    scale = Scale.fit(ticks, LEVELS, True)
    assert scale.size <= 60 and scale.counts.min() >= 5


def test_repeated_values_inside_a_bin_are_drawn_as_they_are() -> None:
    ticks = np.repeat(np.arange(0, 40_000, 10.0), 10)
    scale = Scale.fit(ticks, 500, True)
    assert not scale.exact
    made = scale.ticks(scale.bins(ticks), np.random.default_rng(0).random(len(ticks)))
    assert np.isin(made, ticks).all()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=300),
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
)
def test_a_scale_is_total_and_keeps_values_in_their_bins(
    values: list[int], most: int, whole: bool, heavy: bool
) -> None:
    ticks = np.array(values * (3 if heavy else 1), float) / (1 if whole else 7)
    scale = Scale.fit(ticks, most, whole, 2, 4)
    assert scale.size <= most and scale.counts.sum() == len(ticks)
    assert (scale.lows <= scale.highs).all() and (scale.highs[:-1] < scale.lows[1:]).all()
    assert (np.diff(scale.at) >= 0).all() and (np.diff(scale.value) >= 0).all()
    bins, place = scale.locate(ticks)
    assert np.array_equal(bins, scale.bins(ticks))
    assert ((ticks >= scale.lows[bins]) & (ticks <= scale.highs[bins])).all()
    for p in (place, np.zeros(len(ticks)), np.ones(len(ticks))):
        made = scale.ticks(bins, p)
        assert ((made >= scale.lows[bins]) & (made <= scale.highs[bins])).all()
    assert np.array_equal(scale.bins(scale.ticks(bins, place)), bins)
    assert np.bincount(bins, minlength=scale.size).tolist() == scale.counts.tolist()


def test_a_place_leads_back_to_its_value() -> None:
    ticks = np.exp(np.random.default_rng(0).normal(10, 1, 20_000))
    _, coarse = fit_scales(ticks, Grain("decimal", -1), True)
    assert coarse.size <= 31
    bins, place = coarse.locate(ticks)
    assert np.allclose(coarse.ticks(bins, place), ticks, rtol=1e-6)
    assert abs(place.mean() - 0.5) < 0.01 and abs(place.std() - 12**-0.5) < 0.01


def test_a_value_never_seen_goes_to_the_nearest_bin() -> None:
    scale = Scale.fit(np.repeat([10.0, 20.0, 40.0], 9), LEVELS, True)
    assert scale.bins(np.array([-5.0, 12.0, 18.0, 29.0, 31.0, 99.0])).tolist() == [0, 0, 1, 1, 2, 2]
    wide, _ = fit_scales(np.random.default_rng(0).normal(size=9000), Grain("decimal", -1), False)
    assert wide.locate(np.array([-99.0, 99.0]))[0].tolist() == [0, wide.size - 1]


def dates(days: np.ndarray) -> pa.Array:
    return pa.array(days.astype(np.int32)).view(pa.date32())


@pytest.mark.parametrize(
    ("column", "cells", "step"),
    [
        (Column("a", "integer"), pa.array(np.arange(0, 5000, 5)), 5),
        (Column("a", "decimal", places=2), pa.array(np.arange(1, 4000) * 25 / 100), 25),
        (Column("a", "decimal", places=2), pa.array(np.arange(4000) / 100), 1),
        (Column("a", "time"), pa.array(np.arange(900) * 60_000_000).view(pa.time64("us")), 60_000_000),
        (Column("a", "integer"), pa.array([2**62, -(2**62), 5]), 1),
    ],
)
def test_the_grain_of_a_column_is_kept(column: Column, cells: pa.Array, step: int) -> None:
    grain = Grain.fit(column, cells)
    assert grain.step == step
    ticks = grain.ticks(cells)
    if step > 1:
        assert (np.diff(np.sort(ticks)) == 1).all()
    if cells[0].as_py() != 2**62:
        assert grain.array(ticks).equals(cells)
        assert Grain.restore(json.loads(json.dumps(grain.state()))) == grain


def test_days_of_the_week_that_never_occur_are_never_made() -> None:
    days = np.array([d for d in range(19_000, 19_700) if (d + 3) % 7 < 5])
    grain = Grain.fit(Column("a", "date"), dates(days))
    assert grain.weekdays == (0, 1, 2, 3, 4)
    ticks = grain.ticks(dates(days))
    assert (np.diff(ticks) == 1).all() and grain.array(ticks).equals(dates(days))
    between = grain.array(np.arange(ticks[0], ticks[-1] + 500))
    assert (((np.array(between.view(pa.int32())) + 3) % 7) < 5).all()


def test_values_without_a_lattice_stay_what_they_are() -> None:
    cells = pa.array(np.append(np.random.default_rng(0).normal(size=99), None))
    grain = Grain.fit(Column("a", "decimal", places=17), cells)
    assert not grain.whole and grain.array(grain.ticks(cells)).equals(cells)
    single = Grain.fit(Column("a", "decimal", places=17, arrow="float"), cells)
    made = np.array(single.array(np.array([0.1, 2 / 3])))
    assert np.array_equal(made, made.astype(np.float32))


def test_categories_stand_by_falling_frequency_and_missing_is_apart() -> None:
    choices = Choices.fit(("a",), (pa.array(["b", "a", "a", None, "c", "b", "a"]),))
    assert choices.values[0].to_pylist() == ["a", "b", "c"]
    assert choices.counts.tolist() == [3, 2, 1] and choices.missing == 1
    assert choices.index([pa.array(["c", "zzz", None, "a"])]).tolist() == [2, -1, -1, 0]


def test_combinations_are_one_code() -> None:
    a, b = pa.array(["x", "x", "y", None, "x"]), pa.array([1, 2, 1, 1, 1])
    choices = Choices.fit(("a", "b"), (a, b))
    assert choices.size == 4 and choices.counts[0] == 2
    index = choices.index([a, b])
    assert (index >= 0).all() and index[0] == index[4] == 0
    back = choices.take(index)
    assert back[0].equals(a) and back[1].equals(b)
    assert choices.index([pa.array(["y"]), pa.array([2])]).tolist() == [-1]
    again = Choices.restore(json.loads(json.dumps(choices.state())))
    assert again.index([a, b]).tolist() == index.tolist()


def test_drawing_follows_the_counts_and_never_takes_what_has_none() -> None:
    drawn = draw(np.array([0, 30, 0, 70, 0]), 20_000, np.random.default_rng(0))
    assert set(drawn) == {1, 3} and abs((drawn == 3).mean() - 0.7) < 0.01


def test_a_range_takes_bins_by_how_much_of_them_lies_inside() -> None:
    scale = Scale.fit(np.repeat([10.0, 20.0, 40.0], [1, 2, 7]), LEVELS, True)
    assert only(scale, 15, 40).tolist() == [0, 2, 7]
    assert only(scale, 21, 39).tolist() == [0, 0, 0]


@pytest.mark.parametrize("cells", [["a", None], [True, False], [1.5, None], [1, 2]])
def test_cells_come_back_from_json(cells: list[object]) -> None:
    for array in (pa.array(cells), dates(np.array([1, 2])), pa.array([5]).view(pa.timestamp("us"))):
        assert unlisted(json.loads(json.dumps(listed(array))), str(array.type)).equals(array)


def test_what_is_printed_with_four_significant_digits_comes_back_so() -> None:
    rng = np.random.default_rng(0)
    values = np.array([float(f"{x:.4g}") for x in np.exp(rng.normal(3, 2, 2000))])
    values[:10] = np.round(values[:10] * 1.2345, 4)  # a few keep to nothing
    places = 5
    column = Column("size", "decimal", places=places, least=0)
    grain = Grain.fit(column, pa.array(np.round(values, places)))
    assert grain.digits == 4
    made = grain.array(grain.rounded(np.exp(rng.normal(3, 2, 500)) * 10.0**places)).to_numpy()
    assert all(float(f"{x:.4g}") == x for x in made)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_prices_keep_both_decimals_however_large(spread: float) -> None:
    values = np.round(np.exp(np.random.default_rng(0).normal(4, spread, 5000)), 2)
    assert Grain.fit(Column("price", "decimal", places=2, least=2), pa.array(values)).digits == 0


@pytest.mark.parametrize("side", [1, -1])
def test_one_value_far_out_draws_hardly_a_row_after_it_in_a_large_table(side: int) -> None:
    rng = np.random.default_rng(0)
    ticks = side * np.append(np.rint(100 * (3 + rng.gamma(2, 15, 400_000))), 166_408_900)
    scale = Scale.fit(ticks, LEVELS, True)
    assert (np.diff(scale.at) >= 0).all() and (np.diff(scale.value) >= 0).all()
    bins = rng.choice(scale.size, 400_000, p=scale.counts / scale.counts.sum())
    drawn = side * scale.ticks(bins, rng.random(len(bins)))
    assert drawn.max() <= 166_408_900 and (drawn > 100_000).sum() <= 25, "of 400 rows in its bin"
