"""Numbers of sequences that are learned as changes: which, in which form, and that what is made of them is what was coded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import karat
from karat.content.relational import changes
from karat.content.relational.database import Family
from karat.content.relational.series import volatility
from karat.content.relational.series.volatility import Width
from karat.content.table.schema.columns import Column


def family(parents: int, rows: int) -> Family:
    return Family.of(np.repeat(np.arange(parents), rows), parents, None)


def prices(rng: np.random.Generator, parents: int = 40, rows: int = 30) -> dict[str, np.ndarray]:
    """Days of `parents` shares: what a day ends with wanders, and it begins where the last one ended."""
    out: dict[str, list[np.ndarray]] = {"low": [], "open": [], "close": [], "high": []}
    for _ in range(parents):
        close = np.exp(rng.normal(4, 1) + np.cumsum(rng.standard_t(5, rows) * 0.01))
        begun = np.append(close[0], close[:-1]) * np.exp(rng.normal(0, 0.001, rows))
        top, bottom = np.maximum(close, begun), np.minimum(close, begun)
        day = {"low": bottom * np.exp(-rng.exponential(0.004, rows)), "open": begun, "close": close}
        day["high"] = top * np.exp(rng.exponential(0.004, rows))
        for name, values in day.items():
            out[name].append(np.round(values, 2))
    return {name: np.concatenate(values) for name, values in out.items()}


def found(values: dict[str, np.ndarray], of: Family, rules: Any = (), between: Any = ()) -> dict[str, changes.Change]:
    columns = [Column(name, "decimal", 2) for name in values]
    return {c.column: c for c in changes.find(columns, values, of, rules, between)}


def test_prices_are_learned_as_returns_and_the_range_of_a_day_from_what_bounds_it() -> None:
    of = found(prices(np.random.default_rng(0)), family(40, 30))
    assert all(c.log for c in of.values())
    assert of["close"].own and of["open"].of == ("close",) and not of["open"].now
    assert {of["low"].now, of["high"].now} == {"min", "max"}
    assert set(of["low"].of) == {"open", "close"} and set(of["high"].of) >= {"open", "close"}


@pytest.mark.parametrize("kept", [0.0, 0.6, 0.89])
def test_what_returns_to_a_mean_of_its_own_is_learned_as_it_is_however_far_apart_the_means(kept: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (60, 120))
    for i in range(1, 120):
        x[:, i] = kept * x[:, i - 1] + np.sqrt(1 - kept**2) * x[:, i]
    values = {"x": (x + rng.normal(0, 30, (60, 1))).ravel()}
    assert not found(values, family(60, 120))


def test_nineteen_of_twenty_long_walks_are_learned_by_their_changes() -> None:
    walks = [np.cumsum(np.random.default_rng(seed).normal(size=1500)) for seed in range(20)]
    assert sum(len(found({"x": x}, family(1, 1500))) for x in walks) == 19


def test_a_wandering_number_whose_changes_do_not_grow_with_it_is_learned_by_differences() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(20, 400) + np.cumsum(rng.normal(0, 1, 50)) for _ in range(40)])
    (only,) = found({"x": x - x.min() + 1}, family(40, 50)).values()
    assert only.own and not only.log


def test_a_column_of_another_rule_than_an_order_stays_as_it_is() -> None:
    values = prices(np.random.default_rng(3))
    rules = [{"rule": "close = open + 1"}, {"rule": "low <= high"}]
    assert set(found(values, family(40, 30), rules)) == {"low", "high"}


def test_changes_decode_to_the_values_that_they_were_coded_from_and_keep_every_order() -> None:
    rng = np.random.default_rng(4)
    values, who = prices(rng), family(40, 30)
    of = tuple(found(values, who).values())
    now = np.stack([values[c.column] for c in of], 1)
    past = np.where(who.before[:, None] >= 0, now[who.before], np.nan)
    coded = changes.coded(of, now, past)
    of = changes.widened(of, coded, who)
    recent = changes.behind(of, who, coded)
    coded = coded / changes.widths(of, recent)
    again = changes.decoded(of, {c.column: coded[:, j] for j, c in enumerate(of)}, now, past, recent, 0 * now)
    for c in of:
        np.testing.assert_allclose(again[c.column], values[c.column], atol=0.011)
    wild = {c.column: rng.normal(0, 0.05, len(now)) for c in of}
    made = changes.decoded(of, wild, now, past, recent, 0 * now)
    assert (made["low"] <= np.minimum(made["open"], made["close"])).all()
    assert (made["high"] >= np.maximum(made["open"], made["close"])).all()


def test_what_is_told_of_changes_before_knows_no_row_behind_it() -> None:
    rng = np.random.default_rng(5)
    who, change = family(5, 10), rng.normal(size=(50, 2))
    of = tuple(
        changes.Change(name, False, (name,), width=Width(0.1, 0.1, 0.1, 0.7, 1.0, 9.0, -9.0, 9.0, 1.0)) for name in "ab"
    )
    told = changes.behind(of, who, change)
    change[who.place == 9] = 1e6
    np.testing.assert_array_equal(told, changes.behind(of, who, change))
    assert np.isnan(told[who.place == 0]).all() and np.isfinite(told[who.place > 0]).all()


def test_jumps_of_calm_days_are_no_wilder_in_wild_ones_and_tails_of_paths_are_as_heavy_as_real_ones() -> None:
    rng, rows = np.random.default_rng(7), 4_000
    level = np.zeros(rows)
    for i in range(1, rows):
        level[i] = 0.98 * level[i - 1] + 0.18 * rng.normal()
    real = np.exp(level / 2) * rng.normal(size=rows) + np.where(rng.random(rows) < 0.004, rng.normal(0, 5, rows), 0)
    width, _ = volatility.fit(np.append(np.nan, real[1:]), family(1, rows))
    assert width is not None
    wide, units = np.full(1, width.mean), np.empty(rows)
    for i, change in enumerate(real):
        units[i], wide = change / wide[0], width.after(wide, np.full(1, change))
    made, wide = np.empty((rows, 40)), np.full(40, width.mean)
    for i in range(rows):
        made[i] = width.change(rng.choice(units[400:], 40), wide)
        wide = width.after(wide, made[i])
    assert real[1:].min() <= made.min() and made.max() <= real[1:].max()

    def tails(x: np.ndarray) -> float:
        return float(np.median(((x - x.mean(0)) ** 4).mean(0) / x.var(0) ** 2))

    assert tails(made) / tails(real[:, None]) == pytest.approx(1, abs=0.3)


def test_made_prices_have_the_returns_of_real_ones_and_no_day_is_impossible(tmp_path: Path) -> None:
    real = prices(np.random.default_rng(6), 60, 20)
    names = list(real)
    lines = [",".join(["share", *names])]
    for i in range(60 * 20):
        lines.append(",".join([f"s{i // 20}", *(f"{real[n][i]:.2f}" for n in names)]))
    (tmp_path / "days.csv").write_text("\n".join(lines) + "\n")
    settings = ["data.entity=share", "model.rounds=5"]
    run = karat.train(tmp_path / "days.csv", set=settings, out=tmp_path / "run", threads=1)
    karat.make(run, n=60, out=tmp_path / "made.csv", threads=1)
    rows = [line.split(",") for line in (tmp_path / "made.csv").read_text().splitlines()[1:]]
    who = np.array([row[0] for row in rows])
    made = {n: np.array([float(row[1 + j]) for row in rows]) for j, n in enumerate(names)}
    assert (made["low"] <= np.minimum(made["open"], made["close"])).all()
    assert (made["high"] >= np.maximum(made["open"], made["close"])).all()

    def spread(close: np.ndarray, of: np.ndarray) -> float:
        return float(np.diff(np.log(close))[of[1:] == of[:-1]].std())

    assert spread(made["close"], who) == pytest.approx(spread(real["close"], np.repeat(np.arange(60), 20)), rel=0.15)


def test_what_was_found_between_columns_of_a_sequence_is_dropped_where_rows_one_after_another_need_not_keep_it() -> (
    None
):
    values = prices(np.random.default_rng(7))
    near = {"rule": "-3.5 <= close - open <= 4"}  # how far the days went that were seen
    assert set(found(values, family(40, 30), (), [near])) == set(values)
    assert set(found(values, family(40, 30), [near])) == {"low", "high"}, "but a person means what he declares"
    assert set(found(values, family(40, 30), (), [{"rule": "close = open + low"}])) == {"high"}


def test_one_mean_in_place_of_a_missing_cell_makes_no_column_finer() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.integers(-20, 20) + np.cumsum(rng.integers(-9, 10, 50)) for _ in range(40)]).astype(float)
    x[700] += 1 / 3
    (only,) = changes.find([Column("x", "decimal", 17)], {"x": x}, family(40, 50), ())
    assert only.places == 0
    x[::50] += 1 / 3
    (only,) = changes.find([Column("x", "decimal", 17)], {"x": x}, family(40, 50), ())
    assert only.places >= 15


def test_an_order_that_one_row_in_two_thousand_breaks_is_kept_among_changes() -> None:
    rng = np.random.default_rng(6)
    low = np.concatenate([rng.uniform(20, 400) + np.cumsum(rng.normal(0, 1, 50)) for _ in range(40)])
    high = low + np.concatenate([np.abs(np.cumsum(rng.normal(0, 1, 50))) for _ in range(40)])
    high[900] = low[900] - 1
    of = changes.find(
        [Column(n, "decimal", 17) for n in ("low", "high")], {"low": low, "high": high}, family(40, 50), ()
    )
    assert any(c.lows == ("low",) or c.highs == ("high",) for c in of)
