"""What rows say of the rows beside them is told, as rows that are drawn each for itself do not keep it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from karat.content.table.tables import Tables
from karat.data import load


def notes(rows: pd.DataFrame) -> list[str]:
    return [n for n in Tables.read(rows, {}).facts["notes"] if "Rows are" in n]


@pytest.mark.parametrize("newest", [False, True])
def test_a_balance_that_goes_on_by_an_amount_is_told(newest: bool) -> None:
    rng = np.random.default_rng(0)
    amount = rng.normal(0, 90, 300).round(2)
    rows = pd.DataFrame({"amount": amount, "other": rng.normal(size=300).round(2), "balance": amount.cumsum().round(2)})
    (said,) = notes(rows[::-1] if newest else rows)
    assert said.startswith(
        f"balance is that of the row {'behind' if newest else 'before'} + amount, in 100% of the rows"
    )
    assert notes(rows.sample(frac=1, random_state=0)) == []
    endless = pd.Series(rng.normal(size=300)).mask(rng.random(300) < 0.1, np.inf)
    assert notes(pd.DataFrame({"x": endless, "y": rng.normal(size=300)})) == []
    empty = pd.DataFrame({name: np.where(rng.random(300) < 0.02, rng.integers(1, 9, 300), 0) for name in "abc"})
    assert notes(empty) == [], "columns of nothing do not go on from each other"


def test_rows_of_one_customer_that_lie_together_in_time_are_told_and_weeks_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    begun = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 200_000, 60), unit="min")
    who = rng.integers(60, size=400)
    at = pd.Series(begun[who] + pd.to_timedelta(rng.integers(0, 5000, 400), unit="min"))
    rows = pd.DataFrame({"customer": [f"C{10 + k}" for k in who], "at": at, "event": rng.choice(["view", "buy"], 400)})
    (said,) = notes(rows)
    assert (
        "customer has 60 values, 6.7 rows of each, which lie together in at" in said and "data.entity=customer" in said
    )
    times = rows.assign(day=at.dt.date, clock=at.dt.time, on=at.dt.tz_localize("UTC"))
    assert len(notes(times.drop(columns="at"))) == 1
    rows.to_csv(tmp_path / "log.csv", index=False)
    both = load(tmp_path / "log.csv", options={"entity": "customer"}).notes
    assert any("400 rows" in note for note in both) and said not in both
    assert notes(rows.assign(customer=rng.permutation(rows["customer"]))) == []
    assert notes(rows.assign(customer=at.dt.strftime("week %W"))) == []


@pytest.mark.parametrize("step", ["year", "day"])
def test_a_panel_that_has_each_country_once_a_year_is_told_and_chance_pairs_are_not(step: str) -> None:
    rng = np.random.default_rng(2)
    who, at = np.repeat(np.arange(60), 8), np.tile(np.arange(8), 60)
    when = 2015 + at if step == "year" else pd.Timestamp("2024-01-01") + pd.to_timedelta(at, unit="D")
    rows = pd.DataFrame({"country": [f"Land{k}" for k in who], step: when, "size": rng.normal(size=480).round(2)})
    (said,) = notes(rows)
    assert f"country has 60 values, each at most once for each {step}" in said and "--set data.entity=country" in said
    assert len(notes(rows.sample(frac=0.8, random_state=0))) == 1, "with gaps, and in any order"
    assert notes(rows.assign(country=rng.permutation(rows["country"]))) == []
