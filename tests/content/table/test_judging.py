"""What holds between columns of training rows is judged in any rows, whether or not a generator was told of it."""

from __future__ import annotations

from collections.abc import Callable

import business
import numpy as np
import pyarrow as pa
import pytest
from cases import case

from karat.assays.details.rows import Rules
from karat.assays.table import rules
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.data import Data, load


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    column = pa.array(values).cast(table[name].type)
    return table.set_column(table.column_names.index(name), name, column)


def every_fifth(table: pa.Table, name: str, change: Callable[[np.ndarray], np.ndarray]) -> pa.Table:
    values = table[name].to_numpy().copy()
    values[::5] = change(values)[::5]
    return with_column(table, name, values)


FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "an order": (lambda t: every_fifth(t, "shipped", lambda x: x - np.timedelta64(40, "D")), "ordered <= shipped"),
    "a product": (lambda t: every_fifth(t, "amount", lambda x: x + 1), "amount = price * qty"),
    "one price per article": (lambda t: every_fifth(t, "price", lambda x: np.roll(x, 1)), "article -> price"),
    "what is missing": (lambda t: every_fifth(t, "status", lambda x: np.roll(x, 1)), "status"),
}


@pytest.fixture(scope="module")
def orders() -> Data:
    return load(business.orders(1200, np.random.default_rng(0)).to_pandas(), options={"discover": False}, holdout=0.3)


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_that_break_what_was_found_are_counted_and_named(orders: Data, fault: str) -> None:
    assert isinstance(orders.codec, Tables) and not orders.codec.found
    break_it, rule = FAULTS[fault]
    records = orders.contents.records
    judge = orders.codec.judging(records[orders.train])
    train, unseen = (judge.view(records[rows]) for rows in (orders.train, orders.holdout))
    wrong = judge.view(judge.conform(Table(break_it(records[orders.holdout].cells), records.facts)))
    (found,) = rules.findings(case(train, unseen, wrong))
    assert isinstance(found.detail, Rules)
    assert found.raised and any(rule in kept.rule for kept in found.detail.rules if kept.off), found.summary
    (quiet,) = rules.findings(case(train, unseen, unseen))
    assert not quiet.raised and isinstance(quiet.detail, Rules) and quiet.detail.declared == 0


def test_what_the_generator_was_told_is_no_rule_that_a_person_declared() -> None:
    data = load(business.trips(600, np.random.default_rng(1)).to_pandas())
    assert isinstance(data.codec, Tables) and data.codec.found
    view = data.codec.judging(data.contents.records[data.train]).view(data.contents.records)
    assert set(view.broken) == set(view.found) and not any(bad.any() for bad in view.broken.values())
