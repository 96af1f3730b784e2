"""Declared rules are read without evaluating anything, and hold in every row that is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from karat.content.table.encoding.layout import Layout
from karat.content.table.rules.constraints import check, compile_rules
from karat.content.table.rules.expressions import cells_of, parse
from karat.content.table.schema.columns import Column, Schema
from karat.errors import DataError, FitError

COLUMNS = (
    Column("start", "date"),
    Column("end", "date"),
    Column("price", "decimal", places=2),
    Column("qty", "integer"),
    Column("total", "decimal", places=2),
    Column("age", "integer"),
    Column("married", "boolean"),
    Column("spouse", "category"),
    Column("city", "category"),
    Column("country", "category"),
    Column("code", "integer"),
)
CITIES = (("Paris", "France"), ("Lyon", "France"), ("Berlin", "Germany"), ("北京", "中国"))


def table(n: int = 600, missing: float = 0.0, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    start = rng.integers(18_000, 19_000, n)
    price = rng.integers(100, 9999, n)
    qty = rng.integers(1, 9, n)
    married = rng.random(n) < 0.5
    place = rng.integers(0, 4, n)
    gone = [pa.array(rng.random(n) < missing) for _ in range(5)]

    def some(values: pa.Array, i: int) -> pa.Array:
        return pa.compute.if_else(gone[i], pa.scalar(None, values.type), values)

    return pa.table(
        {
            "start": some(pa.array(start.astype(np.int32)).view(pa.date32()), 0),
            "end": some(pa.array((start + rng.integers(1, 40, n)).astype(np.int32)).view(pa.date32()), 1),
            "price": some(pa.array(price / 100), 2),
            "qty": some(pa.array(qty), 3),
            "total": some(pa.array(price * qty / 100), 4),
            "age": pa.array(rng.integers(0, 101, n)),
            "married": pa.array(married),
            "spouse": pa.array(
                [("Ann" if r < 0.5 else "Bo") if m else None for m, r in zip(married, rng.random(n), strict=True)]
            ),
            "city": pa.array([CITIES[i][0] for i in place]),
            "country": pa.array([CITIES[i][1] for i in place]),
            "code": pa.array(rng.permutation(100_000)[:n]),
        }
    )


RULES: tuple[dict[str, Any], ...] = (
    {"rule": "start < end"},
    {"rule": "total = price * qty"},
    {"rule": "0 <= age <= 120"},
    {"rule": "if married then spouse is not missing"},
    {"rule": "if not married then spouse is missing"},
    {"rule": "price + qty < 100"},
    {"together": ["city", "country"]},
    {"unique": ["code"]},
)


def anything(layout: Layout, n: int, fine: bool, seed: int = 0) -> pa.Table:
    """Rows of codes that no model would give."""
    rng = np.random.default_rng(seed)
    sizes = [layout.parts[i].size(fine) for i in layout.coded]
    codes = np.stack([rng.integers(0, size, n) for size in sizes], 1)
    return layout.decode(codes, {}, fine, rng)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("fine", [True, False])
def test_every_rule_holds_in_every_row_whatever_the_codes(missing: float, fine: bool) -> None:
    layout = Layout.fit(Schema(COLUMNS, RULES), table(missing=missing))
    made = anything(layout, 3000, fine)
    cells = cells_of(made)
    assert {text: int(bad.sum()) for text, bad in layout.broken(cells).items() if bad.any()} == {}
    start, end = cells.number("start"), cells.number("end")
    assert not (start >= end).any()
    known = ~np.isnan(cells.number("price")) & ~np.isnan(cells.number("qty")) & ~np.isnan(cells.number("total"))
    off = cells.number("total") - cells.number("price") * cells.number("qty")
    assert np.abs(off[known]).max() < 0.005
    assert set(zip(made["city"].to_pylist(), made["country"].to_pylist(), strict=True)) <= set(CITIES)
    assert len(set(made["code"].to_pylist())) == 3000
    assert (np.isnan(start).any(), np.isnan(end).any()) == (missing > 0, missing > 0)


def test_a_result_whose_factors_are_missing_keeps_a_value_of_its_own() -> None:
    real = table(missing=0.3)
    layout = Layout.fit(Schema(COLUMNS, RULES[:2]), real)
    codes, places = layout.encode(cells_of(real), True)
    made = layout.decode(codes, places, True, np.random.default_rng(0))
    assert made["total"].null_count == real["total"].null_count


def test_gaps_are_as_long_as_those_learned() -> None:
    real = table()
    layout = Layout.fit(Schema(COLUMNS, RULES[:1]), real)
    codes, places = layout.encode(cells_of(real), True)
    made = cells_of(layout.decode(codes, places, True, np.random.default_rng(0)))
    levels = np.linspace(0.05, 0.95, 19)
    gaps = [np.quantile(c.number("end") - c.number("start"), levels) for c in (made, cells_of(real))]
    assert np.abs(gaps[0] - gaps[1]).max() <= 2


def test_a_chain_of_orders_meets_its_bounds() -> None:
    columns = tuple(Column(name, "integer") for name in "abc")
    rng = np.random.default_rng(0)
    a = rng.integers(0, 10, 500)
    b = a + rng.integers(1, 5, 500)
    c = b + rng.integers(0, 5, 500)
    real = pa.table({"a": a, "b": b, "c": c})
    layout = Layout.fit(
        Schema(columns, ({"rule": "0 <= a < b <= c"}, {"rule": "c <= 15"})), real.filter(pa.array(c <= 15))
    )
    made = cells_of(anything(layout, 5000, True))
    a, b, c = (made.number(name) for name in "abc")
    assert (a >= 0).all() and (a < b).all() and (b <= c).all() and (c <= 15).all()


def test_a_number_above_a_finer_one_is_rounded_to_the_right_side() -> None:
    columns = (Column("low", "decimal", places=2), Column("high", "integer"))
    rng = np.random.default_rng(0)
    low = rng.integers(0, 1000, 400) / 100
    real = pa.table({"low": low, "high": np.ceil(low + 0.01 + rng.random(400)).astype(int)})
    layout = Layout.fit(Schema(columns, ({"rule": "high > low"},)), real)
    made = cells_of(anything(layout, 5000, True))
    assert (made.number("high") > made.number("low")).all()


def test_a_rule_that_is_hard_to_meet_by_chance_is_met_by_taking_rows_that_do() -> None:
    columns = tuple(Column(name, "integer") for name in "ab")
    v = np.arange(8_000) % 200
    layout = Layout.fit(Schema(columns, ({"rule": "abs(a - b) <= 0"},)), pa.table({"a": v, "b": v}))
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 200, (300, 2))
    codes[0] = 7
    made = layout.decode(codes, {}, True, rng)
    assert made["a"].equals(made["b"])


def test_more_unique_rows_than_there_are_values_is_refused() -> None:
    layout = Layout.fit(
        Schema((Column("a", "category"),), ({"unique": "a"},)), pa.table({"a": [str(i) for i in range(50)]})
    )
    with pytest.raises(FitError, match="60 rows were asked for and 'a' must differ"):
        layout.decode(np.zeros((60, 1), np.int64), {}, True, np.random.default_rng(0))
    assert (
        len(set(layout.decode(np.zeros((20, 1), np.int64), {}, True, np.random.default_rng(0))["a"].to_pylist())) == 20
    )


def test_unique_whole_numbers_go_on_above_the_greatest_when_none_are_left() -> None:
    schema = Schema((Column("a", "integer", unique=True),))
    layout = Layout.fit(schema, pa.table({"a": np.arange(100)}))
    made = layout.decode(np.zeros((150, 1), np.int64), {}, True, np.random.default_rng(0))["a"].to_pylist()
    assert len(set(made)) == 150 and max(made) > 99


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("starts < end", "nearest is 'start'"),
        ("start <", "not understood"),
        ("__import__('os').system('x') == 0", "which is no column"),
        ("total.real > 0", "numbers, columns"),
        ("price ** qty > 1", "numbers, columns"),
        ("(lambda: 1)() = price", "numbers, columns|not understood"),
        ("spouse * 2 > 3", "holds no numbers"),
        ("5 > 3", "no column"),
        ("start < age", "compares date with integer"),
        ("10 < age < 5", "leave no value"),
        ("start > 'tomorrow'", "ISO 8601"),
    ],
)
def test_a_rule_that_cannot_be_read_says_what_is_wrong(rule: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rules = compile_rules(Schema(COLUMNS, ({"rule": rule},)))
        rules.broken(cells_of(table(10)))


def test_rules_in_a_circle_are_refused() -> None:
    with pytest.raises(DataError, match="circle"):
        compile_rules(Schema(COLUMNS, ({"rule": "start < end"}, {"rule": "end < start"})))


@pytest.mark.parametrize("entry", [{"rules": "a < b"}, {"rule": 3}, {"together": ["city"]}, {"unique": ["town"]}, {}])
def test_a_constraint_of_another_form_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        compile_rules(Schema(COLUMNS, (entry,)))


def test_headers_may_be_anything() -> None:
    names = ("education-num", "end", "结束", "a b", "class", "if")
    cells = cells_of(pa.table({name: [i, 5] for i, name in enumerate(names)}))
    assert parse("education-num < end", names).broken(cells).tolist() == [False, True]
    assert parse("结束 - end >= 1", names).broken(cells).tolist() == [False, True]
    assert parse("`a b` != class", names).broken(cells).tolist() == [False, True]
    assert parse("if `if` = 5 then class < 5", names).broken(cells).tolist() == [False, True]


def test_what_is_unknown_breaks_nothing() -> None:
    cells = cells_of(pa.table({"a": [1, None, 3], "s": ["x", None, "y"], "b": [True, None, False]}))
    names = ("a", "s", "b")
    for text, broken in (
        ("a > 2", [True, False, False]),
        ("s = 'y'", [True, False, False]),
        ("s in ('x', 'z')", [False, False, True]),
        ("s is missing", [True, False, True]),
        ("b or a > 2", [False, False, False]),
        ("if b then a > 5", [True, False, False]),
        ("not (b and s = 'x')", [True, False, False]),
        ("a / 0 > 1", [False, False, False]),
        ("round(a * 1.5) = 2", [False, False, True]),
        ("min(a, 2) < max(a, 2)", [False, False, False]),
    ):
        assert parse(text, names).broken(cells).tolist() == broken, text


def test_few_rows_that_break_a_rule_are_set_aside_and_many_refused() -> None:
    real = table(1000)
    start = real["start"].to_pylist()
    start[6] = real["end"].to_pylist()[6]
    real = real.set_column(0, "start", pa.array(start))
    rules = compile_rules(Schema(COLUMNS, RULES[:5]))
    good, notes = check(rules, real, "orders.csv", 2)
    assert np.flatnonzero(~good).tolist() == [6]
    assert notes == ["1 of 1,000 rows break the rule 'start < end', the first in line 8; they were set aside."]
    wrong = compile_rules(Schema(COLUMNS, ({"rule": "end < start"},)))
    with pytest.raises(DataError, match="orders.csv: 1,000 of 1,000 rows"):
        check(wrong, real, "orders.csv", 2)


def test_a_row_twice_under_unique_is_named() -> None:
    schema = Schema((Column("a", "integer"), Column("b", "category")), ({"unique": ["a", "b"]},))
    a = [*range(200), 3]
    b = [*(["x"] * 200), "x"]
    good, notes = check(compile_rules(schema), pa.table({"a": a, "b": b}), "t.csv", 2)
    assert np.flatnonzero(~good).tolist() == [200] and "line 202" in notes[0]
    b[3] = b[200] = None
    assert check(compile_rules(schema), pa.table({"a": a, "b": b}), "t.csv", 2)[0].all()


def test_a_declared_low_and_high_hold() -> None:
    columns = tuple(replace(c, low=18.0, high=30.0) if c.name == "age" else c for c in COLUMNS)
    layout = Layout.fit(Schema(columns), table())
    ages = anything(layout, 1000, True)["age"].to_numpy()
    assert ages.min() >= 18 and ages.max() <= 30


def test_a_layout_comes_back_from_json() -> None:
    import json

    schema = Schema(COLUMNS, RULES)
    layout = Layout.fit(schema, table(missing=0.3))
    again = Layout.restore(schema, json.loads(json.dumps(layout.state())))
    assert anything(again, 500, True).equals(anything(layout, 500, True))
    assert anything(again, 500, False).equals(anything(layout, 500, False))
