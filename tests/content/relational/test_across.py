"""What holds between a parent and its children: found in the rows, listed, declared, kept in what is made, and judged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shops
from cases import case

import karat
from karat.assays.table.rules import findings
from karat.content import Related
from karat.content.relational.across.discovery import discover
from karat.content.relational.across.rule import Across
from karat.content.relational.database import Database
from karat.content.table.table import Table
from karat.data import Data, load
from karat.errors import DataError, FitError
from karat.run import Run


def rows(tables: shops.Tables, folder: Path) -> Database:
    found = load(shops.written(tables, folder)).contents.records
    assert isinstance(found, Database)
    return found


def texts(data: Database) -> set[str]:
    return {one.text for one in discover(lambda _: data, data.relations)}


@pytest.mark.parametrize("customers", [40, 300])
@pytest.mark.parametrize("exceptions", [0.0, 0.01])
def test_what_was_put_between_tables_is_found_and_nothing_else(
    customers: int, exceptions: float, tmp_path: Path
) -> None:
    data = rows(shops.shop(customers, np.random.default_rng(customers), exceptions), tmp_path)
    assert texts(data) == shops.PLANTED


@pytest.mark.parametrize("kind", ["min", "first", "last"])
def test_an_aggregate_is_told_from_the_others(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(60), 1 + rng.poisson(3, 60))
    x = np.round(rng.normal(50, 20, len(who)), 2)
    of = {"min": np.min, "first": lambda v: v[0], "last": lambda v: v[-1]}[kind]
    told = [float(of(x[who == i])) for i in range(60)]
    key = np.array([f"K{i:03d}" for i in range(60)])
    data = rows(
        {
            "parents": pa.table({"parent_id": key, "told": told}),
            "children": pa.table({"parent_id": key[who], "x": x}),
        },
        tmp_path,
    )
    assert texts(data) == {f"parents.told = {kind}(children.x)"}


def test_aggregates_are_found_over_keys_of_a_table_to_itself_and_keys_with_a_role(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    key = np.array([f"S{i:03d}" for i in range(80)])
    boss = np.r_[0, [rng.integers(0, i) for i in range(1, 80)]]
    reports = np.bincount(boss[1:], minlength=80)
    staff = {"staff_id": key, "manager_id": pa.array([None, *key[boss[1:]]]), "reports": reports}
    home, away = rng.integers(0, 80, 400), rng.integers(0, 80, 400)
    goals = rng.poisson(1.5, 400)
    games = {"home_team_id": [f"T{i:03d}" for i in home], "away_team_id": [f"T{i:03d}" for i in away], "goals": goals}
    teams = {"team_id": [f"T{i:03d}" for i in range(80)], "home_games": np.bincount(home, minlength=80)}
    teams |= {"conceded": np.bincount(away, goals, minlength=80).astype(int)}
    data = rows({"staff": pa.table(staff), "teams": pa.table(teams), "games": pa.table(games)}, tmp_path)
    found = {(one.text, one.relation.column) for one in discover(lambda _: data, data.relations)}
    assert found == {
        ("staff.reports = count(staff)", "manager_id"),
        ("teams.home_games = count(games)", "home_team_id"),
        ("teams.conceded = sum(games.goals)", "away_team_id"),
    }


def test_nothing_is_found_between_tables_that_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    for seed in range(2):  # the exam below asks 120
        assert not texts(rows(shops.independent(np.random.default_rng([21, seed])), tmp_path / str(seed)))


@pytest.mark.exam
def test_nothing_is_found_between_120_pairs_of_such_tables(tmp_path: Path) -> None:
    for seed in range(120):
        assert not texts(rows(shops.independent(np.random.default_rng([22, seed])), tmp_path / str(seed))), seed


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("across") / "shop"
    return load(shops.written(shops.shop(200, np.random.default_rng(5), 0.01), folder))


@pytest.fixture(scope="module")
def run(found: Data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("across")
    return karat.train(
        shops.written(shops.shop(200, np.random.default_rng(5), 0.01), folder / "shop"),
        out=folder / "run",
        threads=1,
        set=["model.rounds=5"],
    )


def broken(codec: Related, made: Database) -> dict[str, float]:
    return {one.text: one.counted(made).found.rate for one in codec.across}


def test_every_made_parent_is_what_its_children_say(found: Data, run: Run, tmp_path: Path) -> None:
    karat.make(run, n=200, out=tmp_path / "made", seed=2, threads=1)
    assert isinstance(found.codec, Related)
    made = found.codec.conform(load(tmp_path / "made").contents.records)
    rates = broken(found.codec, made)
    assert set(rates) == shops.PLANTED
    total = rates.pop("orders.total = sum(items.price * items.quantity)")
    assert not any(rates.values()), rates
    assert 0 < total < 0.04  # of an order in a hundred it is 4.90 more


def test_rules_are_listed_written_and_come_back(found: Data, tmp_path: Path) -> None:
    assert isinstance(found.codec, Related)
    between = found.codec.between(found.contents.records)
    words = [one["words"] for one in between]
    assert any(w.startswith("customers.last_order is the latest orders.order_date: in all") for w in words), words
    assert any("of orders break it" in w and w.startswith("orders.total is the sum of") for w in words), words
    schema = tmp_path / "shop.toml"
    schema.write_text(found.codec.declared(between))
    folder = shops.written(shops.shop(200, np.random.default_rng(5), 0.01), tmp_path / "shop")
    again = load(folder, options={"schema": str(schema), "discover": False}).codec
    assert isinstance(again, Related) and {one.text for one in again.across} == shops.PLANTED
    back = Related.restore(json.loads(json.dumps(again.state())))
    assert back.across == again.across


def test_nothing_is_looked_for_with_no_discover(tmp_path: Path) -> None:
    folder = shops.written(shops.shop(40, np.random.default_rng(1)), tmp_path)
    codec = load(folder, options={"discover": False}).codec
    assert isinstance(codec, Related) and not codec.across


@pytest.mark.parametrize(
    "rule, says",
    [
        ("orders.total = median(items.price)", "cannot be read; wanted such as orders.total = sum"),
        ("orders.totl = sum(items.price)", "orders.totl is not there"),
        ("orders.channel = max(items.price)", "orders.channel is category"),
        ("customers.spent = sum(items.price)", "speaks of customers, items"),
        ("orders.total = sum(items.price)", "is broken by"),
    ],
)
def test_a_rule_across_tables_that_cannot_be_is_refused(rule: str, says: str, tmp_path: Path) -> None:
    folder = shops.written(shops.shop(60, np.random.default_rng(1)), tmp_path / "shop")
    schema = tmp_path / "rules.toml"
    schema.write_text(
        '[[relation]]\nchild = "items"\ncolumn = "order_id"\nparent = "orders"\nkey = "order_id"\n'
        f"rules = [{json.dumps(rule)}]\n"
    )
    with pytest.raises((FitError, DataError), match=says):
        load(folder, options={"schema": str(schema)})


def test_a_judge_says_how_often_made_parents_are_not_what_their_children_say(found: Data) -> None:
    codec = found.codec.judging(found.contents.records[found.train])
    data = dataclasses.replace(found, codec=codec)
    records = found.contents.records
    wrong = dict(records.tables)
    cells = wrong["customers"].cells
    spent = np.asarray(cells["spent"].to_pylist())
    place = cells.column_names.index("spent")
    wrong["customers"] = Table(cells.set_column(place, "spent", pa.array(spent[::-1])), wrong["customers"].facts)
    told = []
    for made in (records, Database(wrong, records.relations, records.facts)):
        view = codec.view(made)
        told.append(float(view.tables["customers"].broken["customers.spent = sum(orders.total)"].mean()))
        assert "customers.spent = sum(orders.total)" in view.tables["customers"].found
    assert told[0] == 0 and told[1] > 0.5
    sides = (data.view("train"), data.view("holdout"), codec.view(Database(wrong, records.relations)))
    (rules,) = findings(case(*(side.tables["customers"] for side in sides)))
    assert rules.raised and "customers.spent = sum(orders.total)" in rules.summary


def test_a_rule_survives_its_state(found: Data) -> None:
    assert isinstance(found.codec, Related)
    for one in found.codec.across:
        state = json.loads(json.dumps(one.state()))
        assert Across.restore(state, found.codec.relations) == one


def test_what_is_given_of_tables_holds_in_them_and_counts_are_kept(run: Run, tmp_path: Path) -> None:
    given = "customers.segment=gold, orders_placed=2..4, products.listed=5..30"
    with pytest.raises(DataError, match=r"products.listed cannot be given .* worked out of the rows of items"):
        karat.make(run, n=20, out=tmp_path / "made", given=given, seed=1, threads=1)
    karat.make(run, n=20, out=tmp_path / "made", given=given.rpartition(",")[0], seed=1, threads=1)
    made = load(tmp_path / "made").contents.records
    assert set(made.cells("customers", "segment").to_pylist()) == {"gold"}
    placed = made.cells("customers", "orders_placed").to_pylist()
    many = np.bincount(next(link for r, link in made.links.items() if r.child == "orders"), minlength=20)
    assert placed == many.tolist() and set(placed) <= {2, 3, 4}


@pytest.mark.parametrize(
    "given, says",
    [
        ("custmers.segment=gold", "'custmers' is no table; did you mean 'customers'"),
        ("customers.segmnt=gold", "which is no column; the nearest is 'segment'"),
        ("segmnt=gold", "which is no column; the nearest is 'segment'"),
        ("customers.segment=golden", "golden"),
        (
            "orders.channel=web",
            "rows of orders are drawn for those of customers; conditions are on customers, products",
        ),
        ("spent=100", "customers.spent cannot be given .* worked out of the rows of orders"),
    ],
)
def test_a_condition_on_tables_that_cannot_be_kept_is_refused(given: str, says: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises((DataError, FitError), match=says):
        karat.make(run, n=5, out=tmp_path / "made", given=given, threads=1)


def test_a_file_of_rows_may_not_give_what_is_worked_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("segment,spent\ngold,100\n")
    with pytest.raises(DataError, match="customers.spent cannot be given"):
        karat.make(run, out=tmp_path / "made", given=str(tmp_path / "some.csv"), threads=1)
