"""Tables that refer to each other, and rows of entities: learned together, made with keys that resolve, and judged."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pytest

import karat
from karat import recipe as recipes
from karat.assays.relational.case import Case
from karat.assays.relational.relating import findings
from karat.content import Images, Related, Tables, recognise
from karat.content.relational.database import Database, Family
from karat.data import Data, load
from karat.errors import DataError, FitError
from karat.request import Request
from karat.run import Run
from karat.synthesizer import new

CUSTOMERS = 700
DAY = np.timedelta64(1, "D")


def shop(folder: Path, seed: int = 0) -> Path:
    """customers -> orders -> items, and products beside: business buys more often and dearer, dear orders follow dear ones,
    November is dearer, the old go to the shop, where orders hold more lines, and schools buy no bags.
    """
    rng = np.random.default_rng(seed)
    n, kinds = CUSTOMERS, np.array(["pen", "book", "bag"])
    kind = kinds[np.arange(30) % 3]
    price = np.round(np.where(kind == "pen", 2, np.where(kind == "book", 15, 60)) * rng.uniform(0.7, 1.3, 30), 2)
    segment = rng.choice(["private", "business", "school"], n, p=[0.5, 0.3, 0.2])
    age = rng.integers(20, 80, n)
    signup = np.datetime64("2021-01-01") + rng.integers(0, 700, n)
    orders: list[list[Any]] = []
    items: list[list[Any]] = []
    for i in range(n):
        level = {"private": 3.5, "business": 5.5, "school": 4.5}[segment[i]]
        at, x = signup[i], level + rng.normal(0, 0.3)
        for _ in range(rng.poisson({"private": 2, "business": 6, "school": 3}[segment[i]])):
            at = at + (1 + int(rng.exponential(60))) * DAY
            x = level + 0.8 * (x - level) + rng.normal(0, 0.2)
            dear = 0.7 if at.astype("datetime64[M]").astype(int) % 12 in (9, 10, 11) else 0.0
            channel = "web" if rng.random() < (0.85 if age[i] < 50 else 0.25) else "shop"
            number = 1000 + len(orders)
            orders.append([number, f"C{1000 + i}", str(at), channel, f"{np.exp(x + dear):.2f}"])
            for line in range(1 + rng.poisson(0.5 if channel == "web" else 2)):
                fits = np.flatnonzero(kind != "bag") if segment[i] == "school" else np.arange(30)
                chosen = int(rng.choice(fits))
                items.append([number, line + 1, chosen + 1, 1 + rng.poisson(3 if kind[chosen] == "pen" else 0.2)])
    folder.mkdir(parents=True)
    _save(
        folder / "customers.csv",
        ["customer_id", "segment", "age", "signup"],
        [[f"C{1000 + i}", segment[i], age[i], signup[i]] for i in range(n)],
    )
    _save(folder / "orders.csv", ["order_id", "customer_id", "order_date", "channel", "amount"], orders)
    _save(folder / "items.csv", ["order_id", "line", "product_id", "quantity"], items)
    _save(
        folder / "products.csv",
        ["product_id", "kind", "price"],
        [[i + 1, kind[i], f"{price[i]:.2f}"] for i in range(30)],
    )
    return folder


def _save(path: Path, head: list[str], rows: list[list[Any]]) -> None:
    path.write_text("\n".join([",".join(head), *(",".join(map(str, row)) for row in rows)]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("related") / "shop")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return karat.train(folder, out=folder.parent / "run", threads=1)


@pytest.fixture(scope="module")
def made(run: Run) -> dict[str, dict[str, np.ndarray]]:
    karat.make(run, n=CUSTOMERS, out=run.path.parent / "made", seed=3, threads=1)
    return tables(run.path.parent / "made")


def tables(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    return {path.stem: columns(path) for path in sorted(folder.glob("*.csv"))}


def columns(path: Path) -> dict[str, np.ndarray]:
    table = csv.read_csv(path)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def per_customer(t: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    names, counts = np.unique(t["orders"]["customer_id"], return_counts=True)
    known = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return np.array([known.get(k, 0) for k in t["customers"]["customer_id"].tolist()])


def of_customer(t: dict[str, dict[str, np.ndarray]], column: str) -> np.ndarray:
    """The customer's column beside each order."""
    known = dict(zip(t["customers"]["customer_id"].tolist(), t["customers"][column].tolist(), strict=True))
    return np.array([known[k] for k in t["orders"]["customer_id"].tolist()])


def lag(t: dict[str, dict[str, np.ndarray]]) -> float:
    """Correlation of an order's log amount, less its segment's mean, with that of the customer's order before it."""
    x = np.log(t["orders"]["amount"].astype(float))
    segment = of_customer(t, "segment")
    for name in np.unique(segment):
        x[segment == name] -= x[segment == name].mean()
    who = t["orders"]["customer_id"]
    order = np.lexsort((t["orders"]["order_date"].astype("datetime64[D]"), who))
    same = who[order][1:] == who[order][:-1]
    return float(np.corrcoef(x[order][1:][same], x[order][:-1][same])[0, 1])


def test_keys_are_found_and_said_in_plain_words(folder: Path) -> None:
    found = load(folder)
    assert isinstance(found.codec, Related)
    assert {(r.text, r.order, r.makes) for r in found.codec.relations} == {
        ("orders.customer_id = customers.customer_id", "order_date", True),
        ("items.order_id = orders.order_id", None, True),
        ("items.product_id = products.product_id", None, False),
    }
    assert any(note.startswith("orders.customer_id refers to customers.customer_id: 0 to") for note in found.notes)


def test_a_folder_of_one_table_is_that_table_and_one_with_pictures_is_pictures(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "orders.csv", tmp_path / "orders.csv")
    assert isinstance(load(tmp_path).codec, Tables)
    shutil.copy(folder / "customers.csv", tmp_path / "customers.csv")
    assert recognise(tmp_path) is Related
    (tmp_path / "one.png").write_bytes(b"")
    assert recognise(tmp_path) is Images


def test_all_rows_of_a_customer_are_on_one_side(folder: Path) -> None:
    found = load(folder)
    sides = [found.contents.records[rows] for rows in (found.train, found.holdout)]
    for table in ("customers", "orders"):
        keys = [set(side.cells(table, "customer_id").to_pylist()) for side in sides]
        assert not keys[0] & keys[1]
    assert sum(len(side.tables["items"]) for side in sides) == len(found.contents.records.tables["items"])


def test_made_keys_are_new_differ_and_resolve(folder: Path, made: dict[str, dict[str, np.ndarray]]) -> None:
    real = tables(folder)
    assert set(made) == set(real)
    for table, key in (("customers", "customer_id"), ("orders", "order_id"), ("products", "product_id")):
        keys = made[table][key]
        assert len(np.unique(keys)) == len(keys)
        assert not set(keys.tolist()) & set(real[table][key].tolist())
    assert np.isin(made["orders"]["customer_id"], made["customers"]["customer_id"]).all()
    assert np.isin(made["items"]["order_id"], made["orders"]["order_id"]).all()
    assert np.isin(made["items"]["product_id"], made["products"]["product_id"]).all()
    for table in real:
        assert list(made[table]) == list(real[table])


def test_made_customers_have_as_many_orders_as_real_ones_of_their_segment(
    folder: Path, made: dict[str, dict[str, np.ndarray]]
) -> None:
    real = tables(folder)
    for segment in ("private", "business", "school"):
        a, b = (per_customer(t)[t["customers"]["segment"] == segment] for t in (real, made))
        assert abs(a.mean() - b.mean()) < 0.2 * a.mean()
        assert abs((a == 0).mean() - (b == 0).mean()) < 0.1
    lines = [np.unique(t["items"]["order_id"], return_counts=True)[1].mean() for t in (real, made)]
    assert lines[1] == pytest.approx(lines[0], rel=0.1)


def test_children_depend_on_parents_and_grandparents(folder: Path, made: dict[str, dict[str, np.ndarray]]) -> None:
    told = []
    for t in (tables(folder), made):
        web, old = t["orders"]["channel"] == "web", of_customer(t, "age") >= 50
        amount, segment = np.log(t["orders"]["amount"].astype(float)), of_customer(t, "segment")
        kind = dict(zip(t["products"]["product_id"].tolist(), t["products"]["kind"].tolist(), strict=True))
        bag = np.array([kind[k] == "bag" for k in t["items"]["product_id"].tolist()])
        whose = dict(zip(t["orders"]["order_id"].tolist(), segment.tolist(), strict=True))
        school = np.array([whose[k] == "school" for k in t["items"]["order_id"].tolist()])
        gap = amount[segment == "business"].mean() - amount[segment == "private"].mean()
        told.append([web[~old].mean(), web[old].mean(), gap / 10, bag[school].mean(), bag[~school].mean()])
    assert np.allclose(told[0], told[1], atol=0.08), told


def test_sequences_are_sorted_and_each_order_follows_from_the_one_before(
    folder: Path, made: dict[str, dict[str, np.ndarray]]
) -> None:
    real = tables(folder)
    who, at = made["orders"]["customer_id"], made["orders"]["order_date"].astype("datetime64[D]")
    gaps = []
    for name in np.unique(who):
        own = at[who == name]
        assert (np.diff(own) >= np.timedelta64(0)).all()
        gaps += np.diff(own).astype(int).tolist()
    assert np.mean(gaps) == pytest.approx(61, rel=0.15)
    assert lag(real) > 0.5
    assert lag(made) > 0.6 * lag(real)
    assert (at >= of_customer(made, "signup").astype("datetime64[D]")).all()
    ranks = made["items"]["line"]
    for number in np.unique(made["items"]["order_id"])[:200]:
        assert ranks[made["items"]["order_id"] == number].tolist() == list(
            range(1, (made["items"]["order_id"] == number).sum() + 1)
        )


def test_the_season_is_kept(folder: Path, made: dict[str, dict[str, np.ndarray]]) -> None:
    dearer = []
    for t in (tables(folder), made):
        x, segment = np.log(t["orders"]["amount"].astype(float)), of_customer(t, "segment")
        for name in np.unique(segment):
            x[segment == name] -= x[segment == name].mean()
        late = t["orders"]["order_date"].astype("datetime64[M]").astype(int) % 12 >= 9
        dearer.append(x[late].mean() - x[~late].mean())
    assert dearer[0] > 0.5 and dearer[1] > 0.6 * dearer[0]


def test_the_same_seed_makes_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        karat.make(run, n=50, out=tmp_path / name, seed=5, threads=1)
    karat.make(run, n=50, out=tmp_path / "c", seed=6, threads=1)
    files = {name: {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b", "c")}
    assert files["a"] == files["b"]
    assert files["a"]["orders.csv"] != files["c"]["orders.csv"]
    assert "label.json" in files["a"]


def test_given_cells_hold_in_the_first_table(run: Run, tmp_path: Path) -> None:
    karat.make(run, n=40, out=tmp_path / "made", given="segment=business, age=30..40", seed=1, threads=1)
    customers = columns(tmp_path / "made" / "customers.csv")
    assert set(customers["segment"]) == {"business"} and ((customers["age"] >= 30) & (customers["age"] <= 40)).all()
    assert len(columns(tmp_path / "made" / "orders.csv")["order_id"]) > 3 * 40


def test_rows_of_one_file_are_sequences_of_its_entities(folder: Path, tmp_path: Path) -> None:
    t = tables(folder)
    path = tmp_path / "orders.csv"
    segment = of_customer(t, "segment")
    own = t["orders"]
    rows = list(map(list, zip(own["customer_id"], segment, own["order_date"], own["amount"], strict=True)))
    _save(path, ["customer_id", "segment", "order_date", "amount"], rows)
    run = karat.train(path, set=["data.entity=customer_id"], out=tmp_path / "run", threads=1)
    assert run.get("codec.json")["steps"]["customer_id"]["counted"] == [["orders", "customer_id"]]
    karat.make(run, n=400, out=tmp_path / "made.csv", threads=1)
    made = columns(tmp_path / "made.csv")
    assert list(made) == ["customer_id", "segment", "order_date", "amount"]
    assert len(np.unique(made["customer_id"])) == 400
    for name in np.unique(made["customer_id"]):
        own = made["customer_id"] == name
        assert len(np.unique(made["segment"][own])) == 1
        assert (np.diff(made["order_date"][own].astype("datetime64[D]")) >= np.timedelta64(0)).all()
    # and each of many short ones goes on from its own last row
    few = [row for row in rows if row[0] in {r[0] for r in rows[:60]}]
    _save(tmp_path / "few.csv", ["customer_id", "segment", "order_date", "amount"], few)
    karat.make(run, n=3, given=str(tmp_path / "few.csv"), out=tmp_path / "next.csv", threads=1)
    after = columns(tmp_path / "next.csv")
    of, last = {r[0]: r[1] for r in few}, {r[0]: np.datetime64(r[2]) for r in sorted(few, key=lambda r: r[2])}
    assert sorted(after["customer_id"]) == sorted(3 * list(of))
    for name, segment, date in zip(after["customer_id"], after["segment"], after["order_date"], strict=True):
        assert segment == of[name] and np.datetime64(date) >= last[name]


def test_relations_are_declared_and_taken_away_in_toml(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        '[[table]]\nname = "orders"\n[table.columns]\namount = { kind = "decimal", places = 2 }\n'
        '[[relation]]\nchild = "orders"\ncolumn = "customer_id"\nparent = "customers"\norder = ""\n'
        '[[relation]]\nchild = "items"\ncolumn = "product_id"\nparent = ""\n'
    )
    found = load(folder, options={"schema": path})
    assert isinstance(found.codec, Related)
    assert [(r.text, r.order) for r in found.codec.relations] == [
        ("orders.customer_id = customers.customer_id", None),
        ("items.order_id = orders.order_id", None),
    ]
    twice = '[[relation]]\nchild = "orders"\ncolumn = "customer_id"\nparent = "customers"\n' * 2
    path.write_text(twice)
    with pytest.raises(FitError, match="two .* say what orders.customer_id refers to; wanted one"):
        load(folder, options={"schema": path})
    path.write_text('[[relation]]\nchild = "orders"\ncolumn = "client"\nparent = "customers"\n')
    with pytest.raises(FitError, match="'client', which orders does not have"):
        load(folder, options={"schema": path})
    path.write_text('[[relations]]\nchild = "orders"\n')
    with pytest.raises(FitError, match="unknown key 'relations'"):
        load(folder, options={"schema": path})


def test_what_was_found_can_be_given_back(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    found = load(folder)
    path.write_text(found.codec.declared())
    again = load(folder, options={"schema": path})
    assert isinstance(again.codec, Related) and isinstance(found.codec, Related)
    assert again.codec.relations == found.codec.relations
    assert again.fingerprint == found.fingerprint


def test_rows_without_a_parent_are_made_as_often(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "shop"
    there.mkdir()
    shutil.copy(folder / "customers.csv", there)
    lines = (folder / "orders.csv").read_text().splitlines()
    rng = np.random.default_rng(0)
    for i in range(1, len(lines)):
        if rng.random() < 0.1:
            cells = lines[i].split(",")
            lines[i] = ",".join([cells[0], "", *cells[2:]])
    (there / "orders.csv").write_text("\n".join(lines) + "\n")
    run = karat.train(there, out=tmp_path / "run", threads=1)
    karat.make(run, n=300, out=tmp_path / "made", threads=1)
    made = tables(tmp_path / "made")
    alone = made["orders"]["customer_id"] == ""
    assert alone.mean() == pytest.approx(0.1, abs=0.02)
    assert np.isin(made["orders"]["customer_id"][~alone], made["customers"]["customer_id"]).all()


def test_the_tables_of_a_database_are_related(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as base:
        for name, t in tables(folder).items():
            if name in ("customers", "orders"):
                base.execute(f"create table {name} ({', '.join(t)})")
                rows = list(zip(*([str(x) for x in column] for column in t.values()), strict=True))
                base.executemany(f"insert into {name} values ({', '.join('?' * len(t))})", rows)
    base.close()
    found = load(path)
    assert isinstance(found.codec, Related)
    assert [r.text for r in found.codec.relations] == ["orders.customer_id = customers.customer_id"]
    assert isinstance(load(path, options={"table": "orders"}).codec, Tables)


def test_a_recipe_that_cannot_be_told_a_parent_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FitError, match="related tables want trees or cart"):
        karat.train(folder, recipe="vae", out=tmp_path / "run")
    with pytest.raises(DataError, match="data.entity is 'client'"):
        karat.train(folder / "orders.csv", set=["data.entity=client"], out=tmp_path / "run")


def _judged(data: Data, made: Database, *ties: int) -> dict[str, bool]:
    sides = data.view("train"), data.view("holdout"), data.codec.view(made)
    return {f.name: f.raised for i in ties for f in findings(Case(*sides, i))}


def test_the_ties_speak_of_what_is_wrong_and_only_then(folder: Path, run: Run) -> None:
    data = load(folder, holdout=0.3)
    codec = data.codec
    assert isinstance(codec, Related)
    real: Database = data.records("holdout")
    half = Data(data.path, codec, data.contents, data.fingerprint, data.train, data.holdout[::2], 0)
    oracle = data.contents.records.closed(data.holdout[1::2])
    assert not any(_judged(half, oracle, 0, 1).values())

    orders = real.tables["orders"]
    turned = orders.cells.set_column(
        1,
        "customer_id",
        pc.take(orders.cells["customer_id"], pa.array(np.random.default_rng(0).permutation(len(orders)))),
    )
    shuffled = Database({**real.tables, "orders": type(orders)(turned, orders.facts)}, real.relations)
    told = _judged(data, shuffled, 0)
    assert told["orders customer_id parent-child pairs"] and told["orders sequences"]

    few = Database({**real.tables, "orders": orders[: len(orders) // 2]}, real.relations)
    told = _judged(data, few, 0, 1)
    assert told["orders customer_id cardinality"] and told["items order_id dangling keys"]


def test_who_stands_where_among_the_rows_of_a_parent() -> None:
    family = Family.of(np.array([1, 0, 1, -1, 1]), 3, pa.array([5, 1, 2, 0, None]))
    assert family.place.tolist() == [1, 0, 0, 0, 2]
    assert family.left.tolist() == [1, 0, 2, 0, 0]
    assert family.before.tolist() == [2, -1, -1, -1, 0]
    assert family.size.tolist() == [1, 3, 0]


def test_small_lists_refer_to_themselves_and_one_to_one_tables_are_made(tmp_path: Path) -> None:
    there = tmp_path / "firm"
    there.mkdir()
    _save(there / "departments.csv", ["id", "title"], [[i, f"T{i}"] for i in range(1, 6)])
    _save(
        there / "employees.csv",
        ["id", "chief", "department_id", "pay"],
        [[i, "" if i < 3 else i // 3, i % 5 + 1, 1000 + 100 * (i % 5)] for i in range(1, 200)],
    )
    _save(there / "badges.csv", ["employee_id", "colour"], [[i, "rb"[i % 2]] for i in range(1, 200, 3)])
    toml = tmp_path / "firm.toml"
    toml.write_text('[[relation]]\nchild = "employees"\ncolumn = "chief"\nparent = "employees"\nkey = "id"\n')
    run = karat.train(there, schema=toml, out=tmp_path / "run", threads=1)
    karat.make(run, n=60, out=tmp_path / "made", threads=1)
    made = tables(tmp_path / "made")
    assert len(made["employees"]["id"]) == 60 and len(made["departments"]["id"]) == 5
    assert np.isin(made["employees"]["department_id"], made["departments"]["id"]).all()
    chiefs = [c for c in made["employees"]["chief"].tolist() if c is not None]
    assert chiefs and np.isin(chiefs, made["employees"]["id"]).all()
    assert np.isin(made["badges"]["employee_id"], made["employees"]["id"]).all()
    assert len(np.unique(made["badges"]["employee_id"])) == len(made["badges"]["employee_id"])


def test_a_rule_and_a_missing_pattern_hold_in_a_sequence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[list[Any]] = []
    for i in range(120):
        at = np.datetime64("2024-01-01T08:00:00") + int(rng.integers(0, 10**6))
        for _ in range(rng.integers(1, 8)):
            at = at + int(rng.integers(60, 90_000))
            low = int(rng.integers(0, 50))
            rows.append([f"M{i}", str(at), low, low + int(rng.integers(1, 9)), "" if i % 3 == 0 else "ok"])
    _save(tmp_path / "log.csv", ["machine", "at", "low", "high", "state"], rows)
    (tmp_path / "log.toml").write_text('[[constraint]]\nrule = "low < high"\n')
    run = karat.train(
        tmp_path / "log.csv",
        set=["data.entity=machine", "data.order=at"],
        schema=tmp_path / "log.toml",
        out=tmp_path / "run",
        threads=1,
    )
    karat.make(run, n=100, out=tmp_path / "made.csv", threads=1)
    made = columns(tmp_path / "made.csv")
    assert (made["low"] < made["high"]).all()
    for name in np.unique(made["machine"]):
        own = made["machine"] == name
        assert (np.diff(made["at"][own].astype("datetime64[s]")) >= np.timedelta64(0)).all()
        assert len(np.unique(made["state"][own])) == 1


def test_tables_that_karat_did_not_make_are_brought_to_the_form_of_the_real_ones(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    karat.make(run, n=30, out=tmp_path / "made", threads=1)
    found = load(folder)
    theirs = Related.read(tmp_path / "made", {}).records
    brought = found.codec.conform(theirs)
    assert isinstance(brought, Database) and [r.text for r in brought.relations] == [
        r.text for r in found.contents.records.relations
    ]
    with pytest.raises(DataError, match="one table was given"):
        found.codec.conform(Tables.read(tmp_path / "made" / "orders.csv", {}).records)


def test_a_rule_that_sequences_cannot_keep_is_refused(tmp_path: Path) -> None:
    there, path = tmp_path / "shop", tmp_path / "shop.toml"
    there.mkdir()
    _save(there / "customers.csv", ["customer_id", "age"], [[f"C{i}", 20 + i % 40] for i in range(100)])
    orders = [[f"C{i * 7 % 100}", f"{i * 1.37 % 500:.2f}"] for i in range(300)]
    _save(there / "orders.csv", ["customer_id", "amount"], orders)
    path.write_text('[[table]]\nname = "orders"\n[table.columns]\namount = { unique = true }\n')
    with pytest.raises(FitError, match="orders: amount cannot be kept unique"):
        load(there, options={"schema": path})


def test_years_sort_the_rows_of_a_parent_and_lie_between_its_dates(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(8), 250
    first, many = rng.integers(1990, 2010, n), rng.integers(1, 7, n)
    date = [f"{y}-{m:02d}-11" for y, m in zip(first, rng.integers(4, 9, n), strict=True)]
    gone = [f"{y}-09-{d:02d}" for y, d in zip(first + many - 1, rng.integers(12, 30, n), strict=True)]
    key, who = np.array([f"P{i:03d}" for i in range(n)]), np.repeat(np.arange(n), many)
    season = np.concatenate([y + np.arange(k) for y, k in zip(first, many, strict=True)])
    people = pa.table({"player_id": key, "debut": date, "last_game": gone})
    seasons = pa.table({"player_id": key[who], "season": season, "runs": rng.poisson(20, len(who))})
    for name, table in (("people", people), ("seasons", seasons)):
        csv.write_csv(table, tmp_path / f"{name}.csv")
    data = load(tmp_path)
    assert isinstance(data.codec, Related)
    steps = data.codec.steps["seasons"]
    assert (steps.order, steps.since, steps.inherited.until) == ("season", "debut", "last_game")
    model = new(data.codec, recipes.load("trees", [], spaces=data.codec.spaces), (), 0)
    for _ in model.fit(data, 0, None):
        pass
    made = model.draw(Request(300, 1)).records
    at = made.cells("seasons", "season").to_numpy()
    link = made.links[made.relations[0]]
    for column, of, share in (("debut", np.minimum, 1.0), ("last_game", np.maximum, 0.8)):
        year = np.array([d.year for d in made.cells("people", column).to_pylist()])
        end = np.full(300, 9_999 if of is np.minimum else 0)
        of.at(end, link, at)
        with_rows = np.unique(link)
        assert (year[with_rows] == end[with_rows]).mean() >= share
