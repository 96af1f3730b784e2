"""What lies between two columns is judged as what lies in one is: durations, margins, ratios, and relations that were found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import case

from karat.assays.details.rows import Rules
from karat.assays.table import detection, rules
from karat.assays.table.derived import quantities
from karat.views import Columns, TableView

TRIPS = Columns(("pickup", "dropoff", "fare", "total"), ((), (), (), ()), ("seconds", "seconds", "", ""))


def trips(n: int, seed: int) -> TableView:
    rng = np.random.default_rng(seed)
    begin, lasts = rng.uniform(0, 5e6, n), rng.lognormal(6.6, 0.6, n)
    fare = np.round(3 + lasts / 60 * rng.uniform(0.8, 1.2, n), 1)
    values = np.stack([begin, begin + lasts, fare, np.round(fare * rng.choice([1.0, 1.1, 1.2], n), 2)], 1)
    return TableView(TRIPS, values)


def between(view: TableView, made: np.ndarray) -> TableView:
    return replace(view, values=made)


def test_quantities_are_of_one_unit_and_closer_than_chance() -> None:
    names = {quantity.name(TRIPS.names) for quantity in quantities(trips(800, 0), 0)}
    assert {"dropoff - pickup", "total - fare", "total / fare"} <= names
    assert not any("pickup" in name and "fare" in name for name in names)


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_have_nothing_to_do_with_each_other_have_no_quantity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.stack(
        [rng.normal(size=400), rng.lognormal(size=400), rng.uniform(10, 90, 400), rng.poisson(30, 400)], 1
    )
    columns = Columns(("a", "b", "c", "d"), ((), (), (), ()))
    assert quantities(TableView(columns, values), 0) == []


def test_trips_that_end_before_they_begin_are_told_and_the_duration_is_named() -> None:
    train, unseen, real = trips(600, 0), trips(300, 1), trips(300, 2)
    made = real.values.copy()
    lasts = made[:, 1] - made[:, 0]
    made[:, 1] = made[:, 0] + np.where(np.arange(len(made)) % 2 == 0, -lasts, lasts)
    (found,) = detection.findings(case(train, unseen, between(real, made)))
    assert found.raised and found.value > 0.7 and "dropoff - pickup" in found.summary
    (silent,) = detection.findings(case(train, unseen, real))
    assert not silent.raised and silent.value < 0.58


def test_a_relation_that_was_found_is_judged_though_nobody_declared_it() -> None:
    train, unseen, real = trips(1500, 0), trips(700, 1), trips(700, 2)
    text = "pickup <= dropoff"

    def judged(view: TableView) -> TableView:
        return replace(view, broken={text: view.values[:, 0] > view.values[:, 1]}, found=frozenset({text}))

    made = real.values.copy()
    made[:25, 1] = made[:25, 0] - 60
    (found,) = rules.findings(case(*map(judged, (train, unseen, between(real, made)))))
    assert isinstance(found.detail, Rules) and found.raised and text in found.summary
    assert found.detail.declared == 0 and not found.detail.rules[0].declared
    quiet = rules.findings(case(*map(judged, (train, unseen, real))))
    assert not any(f.raised for f in quiet)
