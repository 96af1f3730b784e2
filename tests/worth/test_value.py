"""Unit cost, sample sizes and net value against the reference's worked figures."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.errors import FitError
from karat.worth.inputs import inputs_of
from karat.worth.ledger import Cost
from karat.worth.prices import Prices, Stage
from karat.worth.value import Input, appraise, breakeven_exchange, kill_rule, levelised, sample_size, unit_cost

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
        "extra value": 0.0,
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


def test_a_gate_share_measured_by_the_ledger_is_used() -> None:
    inputs, _ = inputs_of([], replace(MADE, gated=(800, 1000)), DECLARED)
    found = next(i for i in inputs if i.name == "gate share")
    assert found.tag == "measured" and abs(found.middle() - 0.8) < 0.01 and "800 of 1,000" in found.basis


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.01, 1), st.floats(0.01, 1))
def test_more_acceptance_is_never_dearer(generation: float, review: float, gate: float, share: float) -> None:
    assert unit_cost(generation, review, gate, share) >= unit_cost(generation, review, gate, 1.0) - 1e-9
    assert unit_cost(generation, review, gate, share) >= (generation + gate * review)


def test_every_input_can_be_declared_and_none_is_then_assumed() -> None:
    prices = Prices(
        currency="EUR",
        alternative_cost_per_item=1.5,
        items_wanted=(5000, 10_000),
        generation_cost_per_item=0.01,
        review_seconds_per_item=(15, 30),
        review_hour=30,
        acceptance=(41, 50),
        gate_share=0.9,
        computing_cost=12,
        fixed_cost=100,
        escape_loss=0,
        value_horizon_years=2,
        extra_value_per_item=0.1,
        discount_rate=0.08,
        persistence=(0.6, 0.9),
    )
    inputs, missing = inputs_of([], Cost(), prices)
    assert not missing and not [i.name for i in inputs if i.tag == "assumed"]
    assert {i.name for i in inputs} == {i.name for i in points()}
    value = appraise(inputs, 0)
    assert value.assumed_share == 0
    assert {"persistence", "items wanted", "review seconds"} <= {bar.name for bar in value.tornado}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("persistence", 1.2),
        ("persistence", 0),
        ("gate_share", [0.5, 1.5]),
        ("review_hour", [30, 20]),
        ("margin", [0.1, 0.2]),
    ],
)
def test_a_share_is_a_share_and_a_range_has_two_ends(key: str, value: Any) -> None:
    with pytest.raises(FitError, match=key):
        Prices.from_mapping({key: value})


def test_a_stage_is_entered_only_where_what_lies_behind_it_is_worth_more_than_it_costs() -> None:
    pilot, launch = Stage("pilot", 5.0, 0.5), Stage("launch", 40.0, 0.8)
    gates = kill_rule(70.0, [pilot, launch])  # 0.8 * 70 = 56; 0.5 * (56 - 40) = 8
    assert [(g.worth, g.enter) for g in gates] == [(pytest.approx(8.0), True), (pytest.approx(56.0), True)]
    assert [g.enter for g in kill_rule(49.0, [pilot, launch])] == [False, False], (
        "a launch that loses makes no pilot worth it"
    )
    assert [g.enter for g in kill_rule(55.0, [pilot, launch])] == [False, True], "4 > 0 but not > 5"


def spreadsheet(rate: float, flows: list[float]) -> float:
    """Net present value as a spreadsheet has it: what is spent now, and flows at the ends of the years."""
    return flows[0] + sum(flow / (1 + rate) ** t for t, flow in enumerate(flows[1:], 1))


def test_the_net_value_of_certain_inputs_is_a_spreadsheet_s() -> None:
    # an initial 40,000 and 8,000, 9,200, 10,000, 12,000, 14,500 at 8% come to 1,922.061554932...
    assert spreadsheet(0.08, [-40_000, 8000, 9200, 10_000, 12_000, 14_500]) == pytest.approx(1922.061554932, abs=1e-9)
    certain = points(
        horizon=3.0,
        discount_rate=0.07,
        persistence=0.8,
        items_wanted=900.0,
        extra_value=0.35,
        review_seconds=12.0,
        review_price=30.0,
    )
    marginal = (0.1 + 12 * 30 / 3600) / 0.5
    flows = [-10.0, *(300 * 0.8**t * (1.35 - marginal) for t in (1, 2, 3))]
    value = appraise(certain, 0, draws=10)
    assert value.npv == pytest.approx(spreadsheet(0.07, flows), rel=1e-9)
    assert value.cpa == pytest.approx(marginal + 10 / (300 * (0.8 + 0.64 + 0.512)), rel=1e-6)


def business(rng: np.random.Generator) -> tuple[Prices, float, float]:
    """What somebody could declare of a business, and what an item truly costs and the whole is truly worth."""
    accepted, horizon, reviewed = rng.uniform(0.1, 0.95), float(rng.integers(1, 4)), int(rng.integers(40, 400))
    seconds, hour, persists = rng.uniform(10, 40), rng.uniform(20, 60), rng.uniform(0.5, 0.95)
    today, once = rng.uniform(0.3, 3.0), rng.uniform(0, 2000)

    def around(x: float, width: float) -> tuple[float, float]:
        low = x * (1 - width * rng.random())  # the truth lies anywhere in what is declared
        return low, low + x * width

    prices = Prices(
        currency="USD",
        alternative_cost_per_item=today,
        items_wanted=10_000,
        generation_cost_per_item=0.01,
        review_seconds_per_item=around(seconds, 0.4),
        review_hour=hour,
        acceptance=(int(rng.binomial(reviewed, accepted)), reviewed),
        computing_cost=0,
        fixed_cost=once,
        value_horizon_years=horizon,
        discount_rate=0.08,
        persistence=around(persists, 0.05),
    )
    marginal = (0.01 + seconds / 3600 * hour) / accepted
    kept = [10_000 / horizon * persists**t for t in range(1, int(horizon) + 1)]
    flows = [-once, *(items * (today - marginal) for items in kept)]
    return prices, marginal + once / sum(kept), spreadsheet(0.08, flows)


@pytest.mark.exam
def test_the_intervals_of_a_thousand_businesses_hold_the_truth_in_93_to_97_percent() -> None:
    rng = np.random.default_rng(14)
    held = []
    for seed in range(1000):
        prices, cost, worth = business(rng)
        inputs, missing = inputs_of([], Cost(), prices)
        assert not missing
        value = appraise(inputs, seed, draws=2000)
        held.append((value.cpa_low <= cost <= value.cpa_high, value.npv_low <= worth <= value.npv_high))
    shares = np.mean(held, axis=0)
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares


@pytest.mark.exam
def test_ten_thousand_draws_take_less_than_two_seconds() -> None:
    inputs, _ = inputs_of([], MADE, DECLARED)
    appraise(inputs, 0, draws=100)
    start = time.process_time()
    appraise(inputs, 0)
    assert time.process_time() - start < 2
