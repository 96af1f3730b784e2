"""Values stand where real ones stand, however they are coded: on multiples, hours, days of the week, on few prices."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from karat.content.table.encoding import heaps
from karat.content.table.encoding.heaps import Heaps, chances
from karat.content.table.encoding.layout import Layout
from karat.content.table.rules.expressions import cells_of
from karat.content.table.schema.columns import Column, Schema

MINUTE = 60 * 10**6


def dates(days: np.ndarray) -> pa.Array:
    return pa.array(days.astype(np.int32)).view(pa.date32())


def moments(minutes: np.ndarray) -> pa.Array:
    return pa.array(minutes * MINUTE).view(pa.timestamp("us"))


def fitted(table: pa.Table, kinds: dict[str, str], *rules: dict[str, object]) -> Layout:
    columns = tuple(Column(n, kind, 2 if kind == "decimal" else 0) for n, kind in kinds.items())
    return Layout.fit(Schema(columns, rules), table)


def mixed(own: Layout, table: pa.Table, seed: int = 0) -> pa.Table:
    """Rows of a model that knows how often each code occurs, and nothing of which come together."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.permutation(column) for column in own.encode(cells_of(table), True)[0].T], 1)
    again = Layout.restore(own.schema, json.loads(json.dumps(own.state())))
    return again.decode(codes, {}, True, rng)


@pytest.mark.parametrize("off", [0.0, 0.05])
@pytest.mark.parametrize("what", ["delivery", "rent", "hour"])
def test_what_is_told_by_its_distance_stands_on_its_day_or_hour(what: str, off: float) -> None:
    """Before it stood anywhere (86 % of deliveries off their Tuesdays), once one in twenty of the real ones did."""
    rng, n = np.random.default_rng(1), 1_000
    first = rng.integers(19_400, 20_000, n)
    free = rng.random(n) < off
    if what == "hour":
        start = first * 1_440 + rng.integers(0, 1_440, n)
        end = start + rng.integers(20, 400, n)
        end = np.where(free, end, -(-end // 60) * 60)
        table = pa.table({"a": moments(start), "b": moments(end)})
        own = fitted(table, {"a": "datetime", "b": "datetime"}, {"rule": "a <= b"})
    else:
        later = first + rng.integers(14, 40, n)
        tuesday = later + (5 - (later + 3) % 7 + 3) % 7  # the next one
        month = later.astype("datetime64[D]").astype("datetime64[M]") + 1
        on = tuesday if what == "delivery" else month.astype("datetime64[D]").astype(np.int64)
        table = pa.table({"a": dates(first), "b": dates(np.where(free, later, on))})
        rule = {"rule": "0 <= b - a <= 90"} if what == "delivery" else {"rule": "a <= b"}
        own = fitted(table, {"a": "date", "b": "date"}, rule)

    def stands(rows: pa.Table) -> float:
        if what == "hour":
            return float((rows["b"].cast(pa.int64()).to_numpy() % (60 * MINUTE) == 0).mean())
        days = rows["b"].cast(pa.int32()).to_numpy()
        if what == "delivery":
            return float(((days + 3) % 7 == 1).mean())
        return float(
            (days == days.astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(int)).mean()
        )

    made = mixed(own, table)
    assert abs(stands(made) - stands(table)) < 0.03
    a, b = (made[name].cast(pa.int32() if what != "hour" else pa.int64()).to_numpy() for name in "ab")
    assert (a <= b).all()


def test_an_order_that_nearly_holds_is_broken_as_often_as_real_rows_break_it_and_each_column_stands_where_it_stood() -> (
    None
):
    """A limit in tens of thousands, and what was spent of it; before it was left to chance (4.1 % for 2 %)."""
    rng, n = np.random.default_rng(2), 1_500
    limit = 10_000 * rng.integers(1, 60, n)
    spent = np.round(limit * rng.beta(0.6, 1.2, n)).astype(int)
    odd = rng.random(n) < 0.02
    spent[odd] = limit[odd] + rng.integers(1, 20_000, odd.sum())
    table = pa.table({"spent": pa.array(spent), "limit": pa.array(limit)})
    own = fitted(table, {"spent": "integer", "limit": "integer"}, {"rule": "spent <= limit", "nearly": True})
    made = mixed(own, table)
    low, high = (made[name].to_numpy() for name in ("spent", "limit"))
    assert (high % 10_000 == 0).all()
    assert abs((low > high).mean() - odd.mean()) < odd.mean() / 3
    held = np.sort(high)
    assert np.abs(np.quantile(held, [0.5, 0.9]) / np.quantile(limit, [0.5, 0.9]) - 1).max() < 0.25, (
        "in rows drawn apart"
    )


def test_the_few_prices_of_a_shop_stay_what_they_are_above_what_each_cost() -> None:
    rng, n = np.random.default_rng(3), 1_000
    several = np.array([4.99, 7.49, 9.99, 12.95, 14.99, 24.95, 39.9, 64.5, 99.99])
    price = rng.choice(several, n)
    cost = np.round(price * rng.beta(6, 3, n), 2)
    table = pa.table({"cost": pa.array(cost), "price": pa.array(price)})
    own = fitted(table, {"cost": "decimal", "price": "decimal"}, {"rule": "cost <= price"})
    made = mixed(own, table)
    low, high = (made[name].to_numpy() for name in ("cost", "price"))
    assert np.isin(high, several).all() and (low <= high).all()


def test_a_few_hundred_values_of_which_nearly_all_are_multiples_of_five_stay_so() -> None:
    rng = np.random.default_rng(4)
    values = np.rint(np.exp(rng.normal(6.5, 0.4, 180)) / 5).astype(int) * 5
    values[:9] += rng.integers(1, 5, 9)
    table = pa.table({"v": pa.array(values)})
    own = fitted(table, {"v": "integer"})
    codes = np.repeat(own.encode(cells_of(table), True)[0], 10, 0)
    made = own.decode(codes, {}, True, np.random.default_rng(5))["v"].to_numpy()
    assert abs((made % 5 == 0).mean() - 0.95) < 0.03


def test_values_that_stand_anywhere_have_no_marks() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for kind, units in {
            "integer": np.rint(np.exp(rng.normal(8, 1, 500))).astype(int),
            "decimal": rng.integers(1, 10**5, 500),
            "date": rng.integers(15_000, 20_000, 500),
            "datetime": rng.integers(0, 10**15, 500),
        }.items():
            assert heaps.learn(units, kind, 1) is None, (kind, seed)


def test_ages_that_were_rounded_to_tens_and_fives_by_some_are_so_by_as_many() -> None:
    rng = np.random.default_rng(6)
    ages = np.rint(rng.gamma(9, 5, 3_000)).astype(int).clip(18, 99)
    ages = np.where(rng.random(3_000) < 0.25, np.rint(ages / 10) * 10, ages).astype(int)
    known = heaps.learn(ages, "integer", 1)
    assert known is not None and ("every", (10,)) in known.marks
    anew = np.rint(np.random.default_rng(7).gamma(9, 5, 3_000)).clip(18, 99)
    level = known.level(anew, chances(anew, np.random.default_rng(8).random(3_000)))
    made = known.rounded(anew, level, np.full(3_000, 18.0))
    assert abs((made % 10 == 0).mean() - (ages % 10 == 0).mean()) < 0.04 and made.min() >= 18


def test_none_is_moved_beyond_its_ends() -> None:
    known = Heaps((("every", (1,)), ("every", (100,))), ((None, (0.0, 1.0)),))
    units, one = np.array([149.0, 151.0, 130.0, 149.0]), np.ones(4, int)
    low, high = np.array([-np.inf, -np.inf, 120.0, 101.0]), np.array([np.inf, 180.0, np.inf, 160.0])
    assert known.rounded(units, one, low, high).tolist() == [100.0, 100.0, 200.0, 149.0]


def test_counts_of_which_many_are_nothing_stay_nothing() -> None:
    """Of few different values zero is one too: before, no player was made who had not once been at bat."""
    rng, n = np.random.default_rng(0), 5_000
    homers = rng.poisson(np.where(rng.random(n) < 0.5, 0, 3))
    runs = homers + np.where(rng.random(n) < 0.6, 0, rng.geometric(0.2, n))
    table = pa.table({"homers": homers, "runs": runs})
    own = fitted(table, {"homers": "integer", "runs": "integer"}, {"rule": "homers <= runs"})
    made = mixed(own, table)["runs"].to_numpy()
    # what is drawn is not drawn together here: nothing of both is as rare as chance makes it
    assert np.mean(made == 0) == pytest.approx(np.mean(homers == 0) * np.mean(homers == runs), abs=0.03)
