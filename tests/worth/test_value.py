"""Unit cost, sample sizes and net value against the reference's worked figures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.assays.finding import Finding, Limit
from karat.worth.inputs import inputs_of
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.value import Input, appraise, breakeven_exchange, levelised, sample_size, unit_cost

MADE = Cost(runs=3, made=1000, item_cpu_seconds=2.0, item_gpu_seconds=0.0, cpu_seconds=3600.0, money=0.05)
DECLARED = Prices(
    currency="USD",
    cpu_core_hour=0.05,
    alternative_cost_per_item=1.5,
    items_wanted=10_000,
    review_seconds_per_item=20,
    review_hour=30,
    acceptance=(41, 50),
)


def points(**changed: float) -> list[Input]:
    values = {
        "alternative cost": 1.0,
        "items wanted": 100.0,
        "generation cost": 0.1,
        "review seconds": 0.0,
        "review price": 0.0,
        "gate share": 1.0,
        "accepted share": 0.5,
        "computing": 10.0,
        "fixed cost": 0.0,
        "escape loss": 0.0,
        "horizon": 1.0,
        "discount rate": 0.0,
        "persistence": 1.0,
    }
    values |= {name.replace("_", " "): value for name, value in changed.items()}
    return [Input(name, "declared", "point", value) for name, value in values.items()]


@pytest.mark.parametrize(("share", "cost"), [(0.6, 0.28), (0.3, 0.56), (0.1, 1.69)])
def test_the_worked_example_of_the_unit_cost(share: float, cost: float) -> None:
    assert unit_cost(2 * 3 / 3600, 20 * 30 / 3600, 0.8, share) == pytest.approx(cost, abs=0.005)


@pytest.mark.parametrize(("defects", "n"), [(0.05, 59), (0.01, 299), (0.001, 2995)])
def test_zero_defect_sample_sizes(defects: float, n: int) -> None:
    assert sample_size(defects) == n
    assert (1 - defects) ** n <= 0.05 < (1 - defects) ** (n - 1)


def test_levelised_cost_discounts_items_as_it_does_costs() -> None:
    assert levelised([10, 5, 5], [0, 10, 10], 0.0) == pytest.approx(1.0)
    assert levelised([0, 5, 5], [0, 10, 10], 0.3) == pytest.approx(0.5)
    assert levelised([10, 5], [0, 10], 0.25) == pytest.approx((10 + 4) / 8)


def test_value_of_certain_inputs_is_plain_arithmetic() -> None:
    value = appraise(points(), seed=0, label_cost=0.1)
    assert value.npv == pytest.approx(-10 + 100 * (1.0 - 0.2))
    assert value.cpa == pytest.approx(0.2 + 10 / 100) and value.lcaa == pytest.approx(0.3)
    assert value.p_pays == value.p_cheaper == 1.0
    assert value.payback_years == pytest.approx(10 / 80)
    assert value.breakeven == pytest.approx(3.0) and breakeven_exchange(0.3, 0.0) == math.inf
    assert value.assumed_share == 0 and value.evpi == 0 and value.never == 0


def test_two_years_of_decay_and_discount() -> None:
    value = appraise(points(horizon=2.0, discount_rate=0.1, persistence=0.5), seed=0)
    assert value.npv == pytest.approx(-10 + 0.8 * (50 * 0.5 / 1.1 + 50 * 0.25 / 1.21))


def test_what_costs_more_than_today_never_pays_back() -> None:
    value = appraise(points(alternative_cost=0.15), seed=0)
    assert value.p_pays == 0 and value.never == 1 and value.payback_years is None


def test_same_seed_same_value_and_shares_are_shares() -> None:
    inputs, missing = inputs_of([], MADE, DECLARED)
    assert missing == ()
    a, b, c = (appraise(inputs, seed) for seed in (0, 0, 1))
    assert a == b and a != c
    assert 0 <= a.assumed_share <= 1 and a.cpa_low < a.cpa < a.cpa_high and a.tail <= a.npv_low
    assert {i.tag for i in inputs} == {"measured", "declared", "assumed"}


def test_the_assumed_share_is_all_or_nothing_where_one_input_varies() -> None:
    for tag, share in (("assumed", 1.0), ("measured", 0.0)):
        inputs = [i for i in points() if i.name != "accepted share"] + [Input("accepted share", tag, "beta", 20, 20)]
        assert appraise(inputs, 0).assumed_share == pytest.approx(share, abs=0.05)


def test_a_draw_depends_on_its_own_name_only() -> None:
    one = Input("accepted share", "measured", "beta", 42, 10).draw(3, 100)
    assert np.array_equal(one, Input("accepted share", "assumed", "beta", 42, 10, basis="else").draw(3, 100))
    assert not np.array_equal(one, Input("gate share", "measured", "beta", 42, 10).draw(3, 100))


def test_what_is_undeclared_is_named_and_never_priced_in_another_currency() -> None:
    _, missing = inputs_of([], Cost(), Prices())
    assert missing[:2] == ("alternative_cost_per_item", "items_wanted")
    _, missing = inputs_of([], MADE, Prices(currency="EUR", alternative_cost_per_item=1, items_wanted=10))
    assert set(missing) == {"cpu_core_hour", "review_hour"}


def test_a_measured_gate_share_is_used() -> None:
    gate = Finding(
        key="gate share", value=0.8, low=0.75, high=0.85, real=1.0, raised=False, summary="", limit=Limit(below=0.0)
    )
    inputs, _ = inputs_of([gate], MADE, DECLARED)
    found = next(i for i in inputs if i.name == "gate share")
    assert found.tag == "measured" and found.a == 0.8


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.01, 1), st.floats(0.01, 1))
def test_more_acceptance_is_never_dearer(generation: float, review: float, gate: float, share: float) -> None:
    assert unit_cost(generation, review, gate, share) >= unit_cost(generation, review, gate, 1.0) - 1e-9
    assert unit_cost(generation, review, gate, share) >= (generation + gate * review)
