"""Moments that keep their season, day or hour although they are told by how far they lie from another."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from karat.content.table.encoding.coding import DAY
from karat.content.table.encoding.cycles import CYCLES, Cycle
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.parts import Phase
from karat.content.table.rules.conditions import given_cells
from karat.content.table.rules.expressions import cells_of
from karat.content.table.schema.columns import Column, Schema


def careers(rows: int = 2_000, seed: int = 0) -> pa.Table:
    """Careers that begin from April to August and end in September, up to twelve years later; a few end within days."""
    rng = np.random.default_rng(seed)
    year = rng.integers(1990, 2010, rows).astype("U4").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    begun = year + rng.integers(90, 240, rows)
    ended = (year // 365.2425 + 1970 + rng.integers(1, 12, rows)).round().astype(int).astype("U4")
    ended = ended.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + rng.integers(244, 273, rows)
    ended = np.where(rng.random(rows) < 0.05, begun + rng.integers(0, 5, rows), ended)
    dates = {"begun": begun, "ended": ended}
    return pa.table({k: pa.array(v.astype(np.int32), pa.int32()).view(pa.date32()) for k, v in dates.items()})


def layout(table: pa.Table) -> Layout:
    columns = tuple(Column(name, "date") for name in table.column_names)
    return Layout.fit(Schema(columns, ({"rule": "begun <= ended"},)), table)


def days(table: pa.Table, name: str) -> np.ndarray:
    return table[name].cast(pa.int32()).to_numpy()


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("name", CYCLES)
def test_a_moment_is_a_phase_so_many_turns_after_another(name: str, timed: bool) -> None:
    rng, cycle = np.random.default_rng(1), Cycle(name, timed)
    moments, base = rng.integers(-40_000, 40_000, (2, 5_000)) * cycle.day
    if timed:
        moments, base = moments + rng.integers(0, DAY, 5_000), base + rng.integers(0, DAY, 5_000)
    turn, phase = cycle.split(moments)
    assert (cycle.joined(turn, phase) == moments).all()
    many = cycle.since(moments, base)
    later = moments >= base
    assert (many[later] >= 0).all() and (cycle.after(many, phase, base)[later] == moments[later]).all()
    some = cycle.after(rng.integers(0, 3, 5_000), phase, base)
    assert (some >= base).all(), "never before, whatever is drawn"


def test_a_phase_that_a_month_does_not_have_is_its_last_day() -> None:
    leap, year = np.datetime64("2024-02-29"), np.array([53])  # of 2023
    phase = Cycle("year", False).split(np.array([leap.astype(np.int64)]))[1]
    assert Cycle("year", False).joined(year, phase)[0] == np.datetime64("2023-02-28").astype(np.int64)


def test_careers_that_end_in_autumn_do_so_whatever_else_is_drawn_and_never_before_they_begin() -> None:
    table = careers()
    own, rng = layout(table), np.random.default_rng(2)
    codes, places = own.encode(cells_of(table), True)
    assert not places and codes.shape[1] == 3
    mixed = np.stack([rng.permutation(column) for column in codes.T], 1)  # as a model that knows columns only
    made = own.decode(mixed, {}, True, rng)
    begun, ended = days(made, "begun"), days(made, "ended")
    assert (begun <= ended).all()
    month = ended.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12 + 1
    short = ended - begun < 30
    assert (month[~short] == 9).mean() > 0.93, "but for phases of the short careers, which come to others here"
    assert 0.03 < short.mean() < 0.08


def test_what_follows_within_days_is_told_by_its_distance_alone() -> None:
    rng = np.random.default_rng(3)
    begun = rng.integers(7_000, 12_000, 2_000).astype(np.int32)
    due = begun + rng.choice([14, 30, 60], 2_000).astype(np.int32)
    table = pa.table({"begun": pa.array(begun).view(pa.date32()), "ended": pa.array(due).view(pa.date32())})
    assert not any(isinstance(part, Phase) for part in layout(table).parts)


def test_phases_are_saved_and_given_cells_have_theirs() -> None:
    table, gone = careers(600, 4), np.arange(600) % 7 == 0
    none = pa.scalar(None, pa.date32())
    table = table.set_column(1, "ended", pc.if_else(pa.array(gone), none, table["ended"]))
    own = layout(table)
    again = Layout.restore(own.schema, json.loads(json.dumps(own.state())))
    codes = again.encode(cells_of(table), True)[0]
    assert (codes == own.encode(cells_of(table), True)[0]).all()
    back = own.decode(codes, {}, True, np.random.default_rng(5))
    assert back["ended"].is_null().equals(table["ended"].is_null())
    apart = np.abs(days(back, "ended")[~gone] - days(table, "ended")[~gone])
    assert np.median(apart) <= 15, "no further than the bins of both dates are wide"
    given = given_cells(own, table, np.random.default_rng(6))
    assert (given[~gone] == codes[~gone]).all() and (given[gone, 1:] == -1).all()


def sales(rows: int = 1_500, seed: int = 8, closed: bool = True) -> pa.Table:
    """Sales of three channels over 130 weeks, one of which is closed on Sundays."""
    rng = np.random.default_rng(seed)
    sold, channel = (
        rng.integers(19_000, 19_000 + 910, rows),
        rng.choice(["shop", "online", "phone"], rows, p=[0.6, 0.3, 0.1]),
    )
    if closed:
        sold -= (channel == "shop") & ((sold + 3) % 7 == 6)
    amount = np.round(np.exp(rng.normal(3, 0.5, rows)), 2)
    return pa.table({"sold": pa.array(sold.astype(np.int32)).view(pa.date32()), "channel": channel, "amount": amount})


def of_sales(table: pa.Table) -> Layout:
    kinds = {"sold": "date", "channel": "category", "amount": "decimal"}
    return Layout.fit(Schema(tuple(Column(n, k, 2 if n == "amount" else 0) for n, k in kinds.items())), table)


def test_a_date_whose_day_of_the_week_goes_with_another_column_is_a_week_and_a_day() -> None:
    table = sales()
    own, rng = of_sales(table), np.random.default_rng(9)
    assert [p.cycle.name for p in own.parts if isinstance(p, Phase) and p.cycle] == ["week"]
    codes = own.encode(cells_of(table), True)[0]
    apart = days(own.decode(codes, {}, True, rng), "sold") - days(table, "sold")
    assert (apart % 7 == 0).all() and np.abs(apart).max() <= 21, "no further than a bin of weeks is wide"
    again = Layout.restore(own.schema, json.loads(json.dumps(own.state())))
    mixed = np.stack([rng.permutation(column) for column in codes.T], 1)  # first and last weeks are not whole
    made = again.decode(mixed, {}, True, np.random.default_rng(10))
    assert made.equals(own.decode(mixed, {}, True, np.random.default_rng(10)))
    assert days(made, "sold").min() >= days(table, "sold").min()
    assert days(made, "sold").max() <= days(table, "sold").max()
    assert all((np.bincount((days(t, "sold") + 3) % 7) > 60).all() for t in (made, table))


def test_moments_of_office_hours_are_drawn_in_office_hours_whatever_else_there_is() -> None:
    rng = np.random.default_rng(13)
    when = rng.integers(19_000, 19_500, 3_000) * DAY + rng.integers(8 * 60, 18 * 60, 3_000) * (DAY // 1440)
    table = pa.table(
        {"when": pa.array(when, pa.int64()).cast(pa.timestamp("us")), "other": rng.choice(["a", "b"], 3_000)}
    )
    own = Layout.fit(Schema((Column("when", "datetime"), Column("other", "category"))), table)
    codes = own.encode(cells_of(table), True)[0]
    made = own.decode(np.stack([rng.permutation(c) for c in codes.T], 1), {}, True, rng)["when"]
    hour = made.cast(pa.int64()).to_numpy() % DAY // (DAY // 24)
    assert ((hour >= 8) & (hour < 18)).all()


def test_a_date_whose_days_are_like_each_other_stays_one_code() -> None:
    found = [of_sales(sales(1_000, seed, closed=False)) for seed in range(10)]
    assert not any(isinstance(part, Phase) for layout in found for part in layout.parts)
    rng = np.random.default_rng(11)  # rows of one day are alike, whatever day of the week it is
    of = np.sort(rng.integers(0, 200, 4_000))
    weather = rng.normal(size=200)[of].round(2)
    table = sales(4_000, 12, closed=False).set_column(2, "amount", pa.array(weather))
    table = table.set_column(0, "sold", pa.array((19_000 + of).astype(np.int32)).view(pa.date32()))
    assert not any(isinstance(part, Phase) for part in of_sales(table).parts)
