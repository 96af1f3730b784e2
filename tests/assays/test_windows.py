"""Series are judged by windows: each reference generator of series is caught by the finding that is for it, real ones by none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from karat.assays import references
from karat.assays.finding import Finding
from karat.assays.references import series
from karat.assays.relational import changing, copying, courses, forecasting
from karat.assays.relational.case import Case
from karat.assays.relational.databases import examine
from karat.assays.relational.windows import lagged, phases, summaries
from karat.views import Columns, DatabaseView, TableView, Tie

ROWS, DAY = 40, 86_400e6
PARENTS = Columns(("window",), (("x",),))
COLUMNS = Columns(("day", "price", "volume"), ((), (), ()), ("days", "", ""))


def windows(n: int, seed: int, *, leverage: float = 0.5, week: float = 0.0) -> DatabaseView:
    """Windows of a price whose falls are followed by wilder days, and of a volume that rises on Mondays by `week`."""
    rng = np.random.default_rng(seed)
    change, width = np.zeros((n, ROWS, 2)), np.full(n, 0.01)
    first = np.arange(n) * 60.0
    for t in range(ROWS):
        change[:, t, 0] = width * rng.normal(size=n)
        change[:, t, 1] = 0.02 * rng.normal(size=n) + week * ((first + t + 3) % 7 == 0)
        size = np.abs(change[:, t, 0])
        width = 0.001 + 0.75 * width + (0.2 - leverage / 5) * size + leverage * np.maximum(-change[:, t, 0], 0)
    level = np.linspace(3, 5, n)[:, None, None] + np.cumsum(change, 1)
    day = (first[:, None] + np.arange(ROWS)).reshape(-1, 1)
    link = np.repeat(np.arange(n), ROWS)
    before = np.where(np.arange(len(link)) % ROWS > 0, np.arange(len(link)) - 1, -1)
    nobody = np.zeros(len(link), bool)
    tie = Tie(
        "steps",
        "windows",
        "window",
        True,
        link,
        nobody,
        before,
        np.arange(len(link)) % ROWS,
        "day",
        day[:, 0] * DAY,
        cut=True,
    )
    steps = TableView(COLUMNS, np.hstack([day, np.exp(level).reshape(-1, 2)]))
    return DatabaseView({"windows": TableView(PARENTS, np.zeros((n, 1))), "steps": steps}, (tie,), n)


TRAIN, UNSEEN, SOURCE = windows(160, 1), windows(80, 2), windows(80, 3)


def judged(made: DatabaseView, *modules: object) -> Mapping[str, Finding]:
    case = Case(TRAIN, UNSEEN, made, 0)
    return {f.key: f for module in modules for f in module.findings(case)}  # type: ignore[attr-defined]


def drawn(name: str, strength: float | None = None) -> DatabaseView:
    out = references.draw(name, TRAIN, SOURCE, 80, np.random.default_rng(7), strength=strength).view
    assert isinstance(out, DatabaseView)
    return out


def test_fresh_real_windows_are_accused_of_nothing() -> None:
    for seed in (4, 5, 6):
        assert not [f.name for f in judged(windows(80, seed), changing, courses).values() if f.raised]


@pytest.mark.parametrize("name", ["shuffler", "smoother"])
def test_a_reference_generator_of_series_is_caught_by_what_must_speak_of_it(name: str) -> None:
    found = judged(drawn(name), changing, courses)
    assert set(series.REFERENCES[name].must) <= {key for key, f in found.items() if f.raised}
    assert found["volatility"].value > found["volatility"].real


def test_the_references_of_series_are_offered_for_series_and_those_of_records_for_other_tables() -> None:
    assert {p.reference for p in references.plants(TRAIN)} == {"oracle", "shuffler", "smoother", "copier"}
    (tie,) = TRAIN.ties
    other = DatabaseView(TRAIN.tables, (Tie(*(getattr(tie, name) for name in vars(tie) if name != "cut")),), len(TRAIN))
    chosen = {"oracle", "bootstrap", "copier", "shuffler"}  # windows have no category to lose
    assert {p.reference for p in references.plants(other)} == chosen


@pytest.mark.exam
def test_copied_windows_are_found_though_they_are_shifted() -> None:
    copied = [f.key for f in examine(TRAIN, UNSEEN, drawn("copier", 0.5)) if f.raised]
    assert {"copy rate", "near copies"} <= set(copied)
    assert not [f.name for f in examine(TRAIN, UNSEEN, windows(80, 8)) if f.raised]


def test_wilder_days_after_falls_and_rises_alike_are_missed_by_leverage_alone() -> None:
    found = judged(windows(80, 9, leverage=0.0), courses)
    assert found["leverage"].raised and not found["seasonality"].raised


def test_a_week_that_real_windows_do_not_have_is_found_and_named() -> None:
    found = judged(windows(80, 10, week=0.02), courses)["seasonality"]
    assert found.raised and "volume at day of the week 1" in found.summary


def test_the_furthest_fall_is_that_from_the_highest_step_before() -> None:
    change = np.array([np.nan, 1.0, -3.0, 2.0, -0.5, np.nan, -1.0, 5.0])
    moves = changing.Moves(change[:, None], np.array([0] * 5 + [1] * 3), np.array([-1, 0, 1, 2, 3, -1, 5, 6]), 2)
    np.testing.assert_allclose(courses.drawdowns(moves)[:, 0], [3.0, 1.0])
    deep = judged(windows(80, 11, leverage=1.0), courses)["drawdown"]
    assert deep.value < deep.real


@pytest.mark.exam
@pytest.mark.parametrize("seed", [7, 8])
def test_a_forecaster_taught_by_steps_in_another_order_foretells_less(seed: int) -> None:
    shuffled = references.draw("shuffler", TRAIN, SOURCE, 80, np.random.default_rng(seed)).view
    assert isinstance(shuffled, DatabaseView)
    real, made = (judged(view, forecasting)["forecast"] for view in (windows(80, 5 + seed), shuffled))
    assert made.raised and made.value < 0.8 * real.value, made.summary
    assert real.state == "ok" and abs(real.value - 1) < 0.1, real.summary
    assert "size of the change of price" in made.summary


@pytest.mark.exam
def test_windows_and_not_their_steps_are_what_a_forecast_has_enough_of() -> None:
    few = np.arange(20)
    (found,) = forecasting.findings(Case(TRAIN.take(np.arange(60)), UNSEEN.take(few), windows(20, 12), 0))
    assert found.state == "cannot tell" and {(s.n, s.side) for s in found.samples} >= {(20, "made")}, found.summary


def test_what_a_step_is_foretold_by_lies_before_it_and_in_its_own_window() -> None:
    (tie,) = TRAIN.ties
    table = TRAIN.tables["steps"]
    columns = changing.judged(table, tie)
    sheet, owner = lagged(table, tie, columns)
    assert len(sheet) == 160 * (ROWS - 1 - 5) and (np.bincount(owner) == ROWS - 1 - 5).all()
    change = np.diff(np.log(table.values[:ROWS, 1]))
    at = sheet.names.index
    np.testing.assert_allclose(sheet.values[0, [at("change of price"), at("price 1 back")]], change[[5, 4]], rtol=1e-6)
    assert set(phases(table, tie)) == {"day of the week", "month"}


def test_a_window_is_described_by_how_its_numbers_change_and_not_by_when_it_was() -> None:
    (tie,) = TRAIN.ties
    columns = changing.judged(TRAIN.tables["steps"], tie)
    first = summaries(TRAIN.tables["windows"], TRAIN.tables["steps"], tie, columns)
    higher = TRAIN.tables["steps"].values * [1, 3, 3] + [1000, 0, 0]
    again = summaries(TRAIN.tables["windows"], TableView(COLUMNS, higher), tie, columns)
    np.testing.assert_allclose(first.values, again.values, atol=1e-8)
    change = np.diff(np.log(TRAIN.tables["steps"].values[:ROWS, 1]))
    names = [f"price: {what}" for what in ("spread", "change", "least", "greatest")]
    mine = first.values[0, [first.names.index(n) for n in names]]
    np.testing.assert_allclose(mine, [change.std(), change.sum(), change.min(), change.max()], rtol=1e-6)


def moved_on(view: DatabaseView, by: int) -> DatabaseView:
    """The same steps cut into windows that begin `by` steps later in each; the first and the last of each are left out."""
    (tie,) = view.ties
    keep = np.flatnonzero((tie.place >= by) & (tie.place < ROWS - 5))
    at = np.full(len(tie.links) + 1, -1)
    at[keep] = np.arange(len(keep))
    assert tie.at is not None
    cut = replace(
        tie,
        links=tie.links[keep],
        absent=tie.absent[keep],
        before=at[tie.before[keep]],
        place=tie.place[keep] - by,
        at=tie.at[keep],
    )
    return DatabaseView({**view.tables, "steps": view.tables["steps"].take(keep)}, (cut,), len(view))


@pytest.mark.parametrize("by", [0, 1, 7, 13])
def test_steps_of_series_are_copies_wherever_the_windows_begin_that_they_are_judged_by(by: int) -> None:
    found = judged(moved_on(TRAIN, by), copying)["copy rate"]
    assert found.raised and found.value > 0.9, found.summary


def test_half_of_the_windows_copied_with_other_levels_are_found() -> None:
    copies, fresh = moved_on(TRAIN, 3), moved_on(SOURCE, 3)
    steps = copies.tables["steps"]
    higher = replace(steps, values=steps.values * np.array([1.0, 1.01, 3.0]))
    joined = series._joined(fresh, replace(copies, tables={**copies.tables, "steps": higher}).take(np.arange(80)))
    found = judged(joined, copying)["copy rate"]
    assert found.raised and 0.4 < found.value < 0.6, found.summary


def test_fresh_steps_are_no_copies_and_neither_are_whole_numbers_that_repeat() -> None:
    assert not judged(windows(80, 4), copying)["copy rate"].raised

    def counted(view: DatabaseView) -> DatabaseView:
        """A volume that is one of a dozen numbers on most days and the same on half of them."""
        rng = np.random.default_rng(len(view) + int(view.tables["steps"].values[0, 1] * 1e6) % 1000)
        steps = view.tables["steps"]
        volume = np.where(rng.random(len(steps)) < 0.7, 5.0, rng.integers(1, 13, len(steps)))
        price = np.round(
            steps.values[:, 1] * 0 + 100.0 + (rng.random(len(steps)) < 0.02) * rng.integers(1, 20, len(steps))
        )
        values = np.stack([steps.values[:, 0], price, volume], 1)
        return replace(view, tables={**view.tables, "steps": replace(steps, values=values)})

    train, unseen, made = (counted(view) for view in (TRAIN, UNSEEN, windows(80, 5)))
    (found,) = copying.findings(Case(train, unseen, made, 0))
    assert found.value > 0.05 and not found.raised, found.summary
