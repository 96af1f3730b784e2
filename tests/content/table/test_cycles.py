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
