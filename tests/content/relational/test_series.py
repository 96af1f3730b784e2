"""Series: found in a file by themselves, learned in windows, made step by step on the right days, and gone on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat
from karat.content import Related, Tables, recognise
from karat.content.relational import changes as moving
from karat.content.relational.changes import Change, behind, find
from karat.content.relational.database import Family
from karat.content.relational.series import season, stretches, volatility
from karat.content.relational.series.calendar import Calendar
from karat.content.relational.series.stretches import Stretches
from karat.content.relational.series.together import Drawn, Together
from karat.content.relational.steps import expected
from karat.content.table.schema.columns import Column
from karat.data import load
from karat.errors import KaratError
from karat.run import Run
from karat.views import DatabaseView

SMALL = ["model.rounds=5"]


def clustered(rng: np.random.Generator, n: int) -> np.ndarray:
    """Changes whose width remembers: of a fall more than of a rise."""
    out, width = np.zeros(n), 1.0
    for i, z in enumerate(rng.laplace(size=n)):
        out[i] = z * width
        width = 0.05 + 0.05 * abs(out[i]) + 0.2 * max(-out[i], 0) + 0.8 * width
    return out


def shares(n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(0.01 * clustered(rng, n)))
    days = pd.bdate_range("2015-01-01", periods=n)
    high = close * np.exp(rng.exponential(0.005, n))
    return pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "close": close.round(3), "high": high.round(3)})


def shops(days: int = 150) -> pd.DataFrame:
    rng, out = np.random.default_rng(1), []
    for shop, region, level in (
        ("Bonn", "west", 100),
        ("Celle", "north", 300),
        ("Essen", "west", 900),
        ("Ulm", "south", 50),
    ):
        visits = level * np.exp(np.cumsum(rng.normal(0, 0.05, days)))
        day = pd.date_range("2020-01-01", periods=days).strftime("%Y-%m-%d")
        out.append(pd.DataFrame({"day": day, "shop": shop, "region": region, "visits": visits.round(2)}))
    return pd.concat(out)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    shares().to_csv(folder / "shares.csv", index=False)
    shops().to_csv(folder / "shops.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    return karat.train(place / "shares.csv", set=SMALL, out=place / "run", threads=1)


def test_a_series_is_found_by_itself_and_said_in_a_sentence(place: Path) -> None:
    data = load(place / "shares.csv")
    assert isinstance(data.codec, Related) and data.codec.cut is not None
    assert any("a series of 600 steps, daily, gaps at weekends, sorted by day" in note for note in data.notes)
    assert min(len(data.train), len(data.holdout)) >= 20


@pytest.mark.parametrize("line", ["series = false", 'series = ""'])
def test_a_line_of_the_schema_refuses_a_series(place: Path, line: str) -> None:
    (place / "not.toml").write_text(line + "\n")
    assert recognise(place / "shares.csv", {"schema": str(place / "not.toml")}) is Tables
    assert isinstance(load(place / "shares.csv", options={"schema": str(place / "not.toml")}).codec, Tables)
    assert recognise(place / "shares.csv", {"as": "table"}) is Tables


def test_rows_at_irregular_times_that_say_nothing_of_each_other_are_a_table_until_a_line_says_otherwise(
    place: Path,
) -> None:
    rng = np.random.default_rng(2)
    at = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.cumsum(rng.exponential(5000, 600)).round(), unit="s")
    rows = pd.DataFrame({"at": at.strftime("%Y-%m-%d %H:%M:%S"), "amount": rng.exponential(50, 600).round(2)})
    rows.to_csv(place / "sales.csv", index=False)
    assert recognise(place / "sales.csv") is Tables
    (place / "yes.toml").write_text('series = "at"\n')
    data = load(place / "sales.csv", options={"schema": str(place / "yes.toml")})
    assert any("at irregular times" in note for note in data.notes)
    rows["amount"] = rng.normal(0, 1, 600).cumsum().round(2)
    rows.to_csv(place / "level.csv", index=False)
    assert recognise(place / "level.csv") is Related


def test_a_column_that_is_not_there_or_sorts_nothing_is_refused_by_name(place: Path) -> None:
    with pytest.raises(KaratError, match="'dya'.*'day'"):
        load(place / "shares.csv", options={"series": "dya"})
    with pytest.raises(KaratError, match="entity = "):
        load(place / "shares.csv", options={"series": "high", "schema": None, "entity": None, "rows": 10})


def test_made_steps_fall_on_days_that_real_ones_have_and_keep_their_order(run: Run, place: Path) -> None:
    karat.make(run, n=40, out=place / "made.csv", threads=1)
    made = pd.read_csv(place / "made.csv")
    days = pd.to_datetime(made["day"])
    assert (
        len(made) == 40
        and (days.diff().dropna() > pd.Timedelta(0)).all()
        and set(days.dt.day_of_week) <= {0, 1, 2, 3, 4}
    )
    assert (made["high"] >= made["close"]).all()


def test_a_series_goes_on_from_given_steps(run: Run, place: Path) -> None:
    past = shares()[:333]
    past["close"], past["high"] = past["close"] * 50, past["high"] * 50
    past.to_csv(place / "past.csv", index=False)
    karat.make(run, n=3, given=str(place / "past.csv"), out=place / "next.csv", threads=1)
    made = pd.read_csv(place / "next.csv")
    assert made["day"].tolist() == shares()["day"].tolist()[333:336]
    assert abs(np.log(made["close"][0] / past["close"].iloc[-1])) < 0.2
    for text, words in (("close=3", "which is no column"), (str(place / "gone.csv"), "gone.csv")):
        with pytest.raises(KaratError, match=words):
            karat.make(run, n=3, given=text, out=place / "x.csv", threads=1)


def test_a_panel_has_a_series_of_each_group_with_what_never_changes_of_it(place: Path) -> None:
    run = karat.train(place / "shops.csv", set=SMALL, out=place / "panel", threads=1)
    karat.make(run, n=12, out=place / "made-panel.csv", threads=1)
    made = pd.read_csv(place / "made-panel.csv")
    assert made.groupby("shop").size().to_dict() == {"Bonn": 12, "Celle": 12, "Essen": 12, "Ulm": 12}
    where = dict(shops()[["shop", "region"]].drop_duplicates().to_numpy().tolist())
    assert all(where[shop] == region for shop, region in zip(made["shop"], made["region"], strict=True))
    assert (made.groupby("shop")["day"].nunique() == 12).all()
    karat.make(run, n=2, given="region=west", out=place / "west.csv", threads=1)
    assert pd.read_csv(place / "west.csv")["shop"].tolist() == ["Bonn", "Bonn", "Essen", "Essen"]
    past = shops(40)
    past.to_csv(place / "past-panel.csv", index=False)
    karat.make(run, n=2, given=str(place / "past-panel.csv"), out=place / "next-panel.csv", threads=1)
    after = pd.read_csv(place / "next-panel.csv")
    assert set(after["day"]) == set(shops(42)["day"][40:42]) and after["shop"].tolist() == sorted(2 * list(where))
    assert all(where[shop] == region for shop, region in zip(after["shop"], after["region"], strict=True))
    with pytest.raises(KaratError, match="--balance"):
        karat.make(run, n=2, balance="shop", out=place / "x.csv", threads=1)


def test_what_is_known_before_a_step_is_never_of_a_window_set_aside(place: Path) -> None:
    data = load(place / "shares.csv")
    codec, train = data.codec, data.records("train")
    assert isinstance(codec, Related) and codec.cut is not None
    link, parents = train.strands(codec.cut)
    family = Family.of(link, parents, train.cells("shares", "day"))
    days = np.array(train.cells("shares", "day").to_pylist(), "datetime64[D]")
    later = np.flatnonzero(family.before >= 0)
    apart = (days[later] - days[family.before[later]]).astype(int)
    assert apart.max() == 3 and len(np.unique(link)) == (family.place == 0).sum() > 10


CALENDARS = {
    "daily": pd.date_range("2001-01-01", periods=300),
    "daily, gaps at weekends": pd.bdate_range("2001-01-01", periods=300),
    "weekly": pd.date_range("2001-01-03", periods=300, freq="7D"),
    "monthly": pd.date_range("2001-01-31", periods=90, freq="ME"),
    "quarterly": pd.date_range("2001-01-15", periods=90, freq="3MS") + pd.Timedelta("4D"),
    "every hour": pd.date_range("2001-01-01", periods=300, freq="h"),
    "every 10 seconds": pd.date_range("2001-01-01", periods=300, freq="10s"),
    "every 30 minutes, gaps at weekends": pd.bdate_range("2001-01-01", periods=60).repeat(5)
    + pd.to_timedelta(np.tile(np.arange(5) * 30 + 540, 60), unit="min"),
}


@pytest.mark.parametrize("words", CALENDARS)
def test_steps_of_a_calendar_are_whole_numbers_that_lead_back(words: str) -> None:
    at = CALENDARS[words].to_numpy().astype("datetime64[us]").astype(np.int64).astype(np.float64)
    calendar = Calendar.find(at, True)
    assert calendar.words(at, True) == words
    ticks = calendar.ticks(at)
    np.testing.assert_array_equal(calendar.at(ticks), at)
    assert len(np.unique(np.diff(ticks))) == 1
    np.testing.assert_array_equal(calendar.ticks(at + 1), ticks)
    assert Calendar.restore(calendar.state()) == calendar


def test_midnights_of_a_place_with_summer_time_are_days_though_they_are_two_hours_of_the_day() -> None:
    days = pd.date_range("2001-01-01", periods=600, tz="Europe/Berlin")
    at = days.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64).astype(np.float64)
    calendar = Calendar.find(at, True)
    assert calendar.slots == 2 and calendar.words(at, True).startswith("daily")


def test_a_month_end_follows_the_last_real_one() -> None:
    at = CALENDARS["monthly"].to_numpy().astype("datetime64[us]").astype(np.int64).astype(np.float64)
    after = Calendar.find(at, True).after(at[-1:], np.array([1.0]))
    assert pd.Timestamp(int(after[0]), unit="us") == pd.Timestamp("2008-07-31")


def test_widths_of_changes_are_found_where_calm_rows_follow_calm_ones_and_nowhere_else() -> None:
    rng = np.random.default_rng(3)
    one = Family.of(np.zeros(3000, np.int64), 1, None)
    width, cost = volatility.fit(clustered(rng, 3000), one)
    assert width is not None and width.down > width.up and 0.7 < width.keep < 0.9
    assert cost < volatility.fit(rng.permutation(clustered(rng, 3000)), one)[1]
    assert sum(volatility.fit(rng.laplace(size=3000), one)[0] is not None for _ in range(20)) == 0


def test_changes_in_units_of_their_width_are_no_longer_clustered() -> None:
    rng = np.random.default_rng(4)
    change = clustered(rng, 3000)
    one = Family.of(np.zeros(3000, np.int64), 1, None)
    width, _ = volatility.fit(change, one)
    of = (Change("x", False, ("x",), width=width),)
    told = behind(of, one, np.where(np.arange(3000) > 0, change, np.nan)[:, None])
    size = np.abs(change[50:] / told[50:, 1])
    raw = np.abs(change[50:])
    assert np.corrcoef(raw[1:], raw[:-1])[0, 1] > 0.15 > 0.07 > abs(np.corrcoef(size[1:], size[:-1])[0, 1])


def test_no_made_change_is_further_in_units_of_its_width_or_as_it_is_than_a_real_one() -> None:
    change = clustered(np.random.default_rng(4), 1000)
    one = Family.of(np.zeros(1000, np.int64), 1, None)
    change[0] = np.nan
    width, _ = volatility.fit(change, one)
    assert width is not None
    told = behind((Change("x", False, ("x",), width=width),), one, change[:, None])[:, 1]
    units = (change / told)[20:]
    np.testing.assert_allclose([width.fall, width.rise], [units.min(), units.max()], rtol=0.05)
    far = width.change(np.array([-100.0, 0.5, 100.0]), np.full(3, 2.0))
    plain = width.unit * np.array([2 * width.fall, 1.0, 2 * width.rise])
    np.testing.assert_allclose(far, np.clip(plain, width.low, width.high))
    assert width.low == np.nanmin(change) and width.high == np.nanmax(change)
    near = width.change(np.array([-100.0, 100.0]), np.full(2, 1e-3))
    np.testing.assert_allclose(near, width.unit * 1e-3 * np.array([width.fall, width.rise]))


def test_widths_keep_their_mean_where_changes_are_drawn_as_those_of_training_rows() -> None:
    rng, change = np.random.default_rng(8), clustered(np.random.default_rng(8), 2000)
    change[0] = np.nan
    one = Family.of(np.zeros(2000, np.int64), 1, None)
    width, _ = volatility.fit(change, one)
    assert width is not None
    told = behind((Change("x", False, ("x",), width=width),), one, change[:, None])[:, 1]
    units, wide = (change / told)[20:], np.full(500, width.mean)
    means = []
    for _ in range(400):
        wide = width.after(wide, width.change(rng.choice(units, 500), wide))
        means.append(wide.mean())
    assert 0.9 < np.mean(means[100:]) / width.mean < 1.1


def markets(days: int = 900) -> pd.DataFrame:
    """Three funds, of which the first two follow one market and the third follows none."""
    rng, date = np.random.default_rng(5), pd.date_range("2020-01-01", periods=days).strftime("%Y-%m-%d")
    market, own = rng.normal(size=days), rng.normal(size=(days, 3))
    moves = np.stack([0.8 * market + 0.6 * own[:, 0], 0.8 * market + 0.6 * own[:, 1], own[:, 2]], 1)
    prices = np.exp(3 + np.cumsum(0.01 * moves, 0)).round(3)
    return pd.concat([pd.DataFrame({"date": date, "fund": f, "price": prices[:, j]}) for j, f in enumerate("ABC")])


def test_changes_of_series_at_one_moment_are_learned_apart_and_drawn_together() -> None:
    returns = markets().set_index(["date", "fund"])["price"].unstack().apply(np.log).diff()
    units = (returns / returns.std()).stack().dropna()
    who = units.index.get_level_values("fund").map("ABC".index).to_numpy()
    when = np.unique(units.index.get_level_values("date"), return_inverse=True)[1].astype(float)
    of = Together.fit(units.to_numpy()[:, None], who, when)
    assert of is not None and 0.5 < of.correlation[0, 0, 1] < 0.8 and not of.correlation[0, 2, :2].any()
    left = of.apart(units.to_numpy()[:, None], who, when)
    assert abs(np.corrcoef(left[who == 0, 0], left[who == 1, 0])[0, 1]) < 0.02 and 0.9 < left[who == 1].std() < 1.1
    drawn = Drawn()
    back = [drawn.joined(of, left[who == one], one, when[who == one], 0 * who[who == one])[:, 0] for one in range(3)]
    np.testing.assert_allclose(np.concatenate(back), np.concatenate([units.to_numpy()[who == one] for one in range(3)]))
    assert Together.fit(np.random.default_rng(0).normal(size=(900, 1)), np.arange(900) % 3, np.arange(900) // 3) is None


@pytest.mark.exam
def test_made_series_of_one_file_move_together_where_real_ones_do(tmp_path: Path) -> None:
    markets().to_csv(tmp_path / "funds.csv", index=False)
    run = karat.train(tmp_path / "funds.csv", set=SMALL, out=tmp_path / "run", threads=1)
    made = run.make(250, seed=1).pivot(index="date", columns="fund", values="price").astype(float)
    together = np.log(made).diff().corr().to_numpy()
    assert 0.45 < together[0, 1] < 0.8 and np.abs(together[2, :2]).max() < 0.25


def gappy(place: Path) -> pd.DataFrame:
    """Prices of which one of five is missing."""
    real = shares(2500).drop(columns="high")
    real.loc[np.random.default_rng(9).random(len(real)) < 0.2, "close"] = np.nan
    real.to_csv(place / "shares.csv", index=False)
    return real


def test_a_price_with_missing_cells_is_learned_by_its_changes_from_the_last_one_known(tmp_path: Path) -> None:
    gappy(tmp_path)
    codec = load(tmp_path / "shares.csv").codec
    assert isinstance(codec, Related)
    (change,) = codec.steps["shares"].changes
    assert change.own and change.log and change.width is not None
    edges = codec.steps["shares"].edges["change 0 close"]
    assert np.isfinite(edges).all() and edges[0] < -1 < 1 < edges[-1]


@pytest.mark.exam
def test_made_prices_are_missing_as_often_as_real_ones_and_go_on_from_the_last_one_known(tmp_path: Path) -> None:
    real = gappy(tmp_path)
    run = karat.train(tmp_path / "shares.csv", set=SMALL, out=tmp_path / "run", threads=1)
    made = run.make(200, seed=1)["close"]
    assert 0.1 < made.isna().mean() < 0.3
    steps, wanted = (np.diff(np.log(x.dropna().to_numpy(float))) for x in (made, real["close"]))
    assert 0.5 < steps.std() / wanted.std() < 2
    assert abs(np.log(made.median() / real["close"][:200].median())) < 1


def test_made_steps_are_judged_beside_a_series_that_karat_did_not_learn(run: Run, place: Path) -> None:
    job = karat.assay(real=place / "shares.csv", made=shares(480), out=place / "report")
    assert "shares changes" in {finding.name for finding in job.findings}


def test_the_written_schema_of_a_series_finds_it_again(place: Path) -> None:
    text = load(place / "shops.csv").codec.declared()
    assert text.startswith('series = "day"\nentity = "shop"\n')
    (place / "shops.toml").write_text(text)
    codec = load(place / "shops.csv", options={"schema": str(place / "shops.toml")}).codec
    assert isinstance(codec, Related) and codec.cut is not None and codec.cut.entity == "shop"


def weekly(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Moments of days, and logarithms with a week, a year and a part that lasts."""
    rng = np.random.default_rng(seed)
    at = (18_000 + np.arange(n)) * 86_400e6
    day = at / 86_400e6
    d = np.zeros(n)
    for i in range(1, n):
        d[i] = 0.7 * d[i - 1] + rng.normal(0, 0.05)
    return at, 4 + 0.3 * ((day + 3) % 7 > 4) + 0.2 * np.cos(2 * np.pi * day / 365.25) + d


def test_a_season_is_found_with_what_lasts_and_none_where_there_is_none() -> None:
    at, y = weekly(1500, 5)
    one, who = Family.of(np.zeros(1500, np.int64), 1, None), np.zeros(1500, np.int64)
    calendar = Calendar.find(at, True)
    found = season.fit(y, who, at, calendar, one, wanders=False)
    assert found is not None and set(found.parts) == {"level", "week", "year"} and 0.6 < found.keep < 0.8
    week = found.parts["week"][0]
    assert week[5:].mean() - week[:5].mean() == pytest.approx(0.3, abs=0.03)
    assert season.Season.restore(found.state()).of(who, at, calendar) == pytest.approx(found.of(who, at, calendar))
    rng = np.random.default_rng(6)
    for _ in range(10):
        assert season.fit(rng.normal(size=1500), who, at, calendar, one, wanders=False) is None
        assert season.fit(np.cumsum(rng.normal(size=1500)), who, at, calendar, one, wanders=True) is None


def test_a_column_with_a_season_comes_back_from_its_distance_to_it_and_is_never_below_nothing() -> None:
    at, y = weekly(700, 7)
    one, who = Family.of(np.zeros(700, np.int64), 1, None), np.zeros(700, np.int64)
    calendar, visits = Calendar.find(at, True), np.round(np.exp(y))

    def seasonal(rows: np.ndarray, values: np.ndarray, of: Family, wanders: bool) -> season.Season | None:
        return season.fit(values, who[rows], at[rows], calendar, of, wanders)

    (change,) = of = find([Column("visits", "integer")], {"visits": visits}, one, (), (), seasonal)
    assert change.season is not None and change.log
    e = expected(of, who, at, calendar)
    away = np.stack(moving.away(of, [visits], e), 1)
    past = np.where(one.before[:, None] >= 0, away[one.before], np.nan)
    recent = behind(of, one, moving.coded(of, away, past))
    coded = {"visits": moving.coded(of, away, past)[:, 0] / moving.widths(of, recent)[:, 0]}
    again = moving.decoded(of, coded, away, past, recent, e)["visits"]
    np.testing.assert_array_equal(again, visits)
    low = moving.decoded(of, {"visits": np.full(700, -50.0)}, away, past, recent, e)["visits"]
    assert (low[1:] == 0).all()


def test_a_series_is_made_again_of_what_a_judge_sees_of_it_so_that_references_can_be_judged(place: Path) -> None:
    data = load(place / "shops.csv")
    seen, codec = data.view("train"), data.codec
    again = codec.view(codec.unview(seen))
    assert isinstance(seen, DatabaseView) and isinstance(again, DatabaseView)
    np.testing.assert_allclose(again.tables["shops"].values, seen.tables["shops"].values, rtol=1e-6)
    np.testing.assert_array_equal(again.ties[0].links, seen.ties[0].links)
    assert again.ties[0].cut and again.records == seen.records


def test_stretches_are_told_by_width_tails_and_how_long_wild_days_last() -> None:
    rng = np.random.default_rng(0)
    wild, calm = clustered(rng, 3000), rng.normal(size=3000)
    what = stretches.summary(np.stack([2 * calm, wild, 0 * calm], 1))
    assert what.shape == (3, 2 + stretches.LAGS) and np.isfinite(what).all()
    assert abs(np.exp(what[0, 0]) / 2 - 1) < 0.05 and abs(np.exp(what[0, 1]) - 3) < 0.4 and np.exp(what[1, 1]) > 5
    assert abs(what[0, 2:]).max() < 0.08 and what[1, 2:7].min() > 0.08
    # a stretch that is not there lies between: no lag reaches over it
    sign = np.r_[np.nan, np.tile([5.0, 1.0], 10), np.nan, np.tile([1.0, 5.0], 10)][:, None]
    assert abs(stretches.summary(sign)[0, 2] + 1) < 1e-9
    again = Stretches.restore(Stretches.fit(wild[:, None], np.zeros(3000, int), np.arange(3000.0)).state())
    assert again.lengths == (3000, 1500, 750) and [p.shape[0] for p in again.parts] == [1, 2, 4]
    far = stretches.apart(
        [stretches.summary(x[:, None]) for x in (calm, 1.01 * wild)], np.repeat(again.parts[0][0], 2, 0)
    )
    assert far[1] < 0.1 < 10 < far[0]
    assert again.wanted(500, rng) is None and again.wanted(5000, rng) is not None


@pytest.mark.exam
def test_of_several_paths_that_is_kept_which_is_most_like_a_stretch_of_the_series(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = np.diff(np.log(shares()["close"])).std()

    def spreads(name: str) -> np.ndarray:
        out = []
        for seed in range(4):
            karat.make(run, n=400, seed=seed, out=place / f"{name}{seed}.csv", threads=1)
            made = pd.read_csv(place / f"{name}{seed}.csv")
            assert len(made) == 400 and made["day"].is_monotonic_increasing and (made["high"] >= made["close"]).all()
            out.append(np.log(np.diff(np.log(made["close"])).std() / real))
        return np.abs(out)

    kept = spreads("kept")
    monkeypatch.setattr(stretches, "PATHS", 1)
    assert kept.mean() < spreads("one").mean()
