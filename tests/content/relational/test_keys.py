"""Keys between tables and within one: declared in databases, told by names and values, of one column or several."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest

import karat
from karat.content import Related, Tables
from karat.content.relational import naming
from karat.content.relational.database import Database, Relation, joined
from karat.content.relational.links import circular
from karat.data import load
from karat.errors import FitError
from karat.recipe import load as recipe
from karat.request import Request
from karat.synthesizer import Hierarchical

Rows = dict[str, list[Any]]


def save(folder: Path, **tables: Rows) -> Path:
    """The tables as .csv files; None is an empty cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in tables.items():
        lines = zip(*([("" if x is None else str(x)) for x in column] for column in columns.values()), strict=True)
        (folder / f"{name}.csv").write_text("\n".join([",".join(columns), *map(",".join, lines)]) + "\n")
    return folder


def learned(source: Any, n: int = 120, seed: int = 0, **options: Any) -> tuple[Related, Database]:
    """The codec of these tables and a database of `n` first rows that chains of trees made of them."""
    data = load(source, options=options)
    codec = data.codec
    assert isinstance(codec, Related)
    chains = Hierarchical(codec, recipe("trees", spaces=codec.spaces), 0)
    list(chains.learn(data.records("train"), 0))
    return codec, chains.draw(Request(n, seed)).records


def relation(codec: Related, text: str) -> Relation:
    return next(r for r in codec.relations if r.text == text)


def resolved(made: Database, r: Relation) -> float:
    """The share of keys that are there which lead somewhere."""
    there = ~made.absent(r)
    return float((made.links[r][there] >= 0).mean())


def boss(rng: np.random.Generator, n: int) -> list[int | None]:
    """Of rows 1 to n: rows 1 and 2 have none, every other one before it."""
    return [None, None, *(int(rng.integers(1, min(i, 30) + 1)) for i in range(2, n))]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_keys_that_a_database_declares_are_relations_and_all_made_ones_resolve(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    users = list(zip(range(1, 151), rng.integers(20, 60, 150).tolist(), boss(rng, 150), strict=True))
    letters = [(i, *(int(x) for x in rng.integers(1, 151, 2)), int(rng.integers(1, 20))) for i in range(1, 401)]
    path = tmp_path / f"mail.{kind}"
    script = [
        "create table users(id integer primary key, age integer, chief integer)",
        "create table letters(id integer primary key, a integer references USERS, b integer references users(ID), len integer)",
    ]
    script[0] = script[0].replace("chief integer", "chief integer references users(id)")
    if kind == "sqlite":
        base: Any = sqlite3.connect(path)
    else:
        duckdb = pytest.importorskip("duckdb")
        base = duckdb.connect(str(path))
    for line in script:
        base.execute(line)
    base.executemany("insert into users values (?, ?, ?)", users)
    base.executemany("insert into letters values (?, ?, ?, ?)", letters)
    base.commit()
    base.close()
    codec, made = learned(path)
    assert {r.text for r in codec.relations} == {
        "users.chief = users.id",
        "letters.a = users.id",
        "letters.b = users.id",
    }
    assert all(resolved(made, r) == 1 for r in codec.relations)
    own = made.links[relation(codec, "users.chief = users.id")]
    assert not circular(own) and 0 < (own < 0).sum() < 12  # nobody is above himself, and somebody is above nobody


def test_of_two_keys_that_a_database_declares_of_one_column_the_first_is_kept_and_it_is_said(tmp_path: Path) -> None:
    """Both were, and the second made `make` end in a KeyError."""
    with sqlite3.connect(tmp_path / "d.db") as base:
        base.execute("create table a (id integer primary key, x integer)")
        base.execute("create table c (id integer primary key, y integer)")
        base.execute(
            "create table o (n integer, a_id integer, foreign key (a_id) references a(id), foreign key (a_id) references c(id))"
        )
        for name in "ac":
            base.executemany(f"insert into {name} values (?, ?)", [(i, i % 9) for i in range(40)])
        base.executemany("insert into o values (?, ?)", [(i % 7, i * 7 % 40) for i in range(80)])
    base.close()
    found = load(tmp_path / "d.db")
    assert [r.columns for r in found.codec.relations] == [("a_id",)]
    assert any("is declared beside" in note and "follows the first" in note for note in found.notes)


def test_a_key_of_several_columns_is_declared_kept_and_shared(tmp_path: Path) -> None:
    """tenants <- users (tenant, number) <- tasks, whose project is one of the tenant's: all keys of a row agree."""
    rng = np.random.default_rng(1)
    tenants = [[i, "abc"[i % 3]] for i in range(1, 41)]
    users = [[t, k, int(rng.integers(20, 60))] for t, _ in tenants for k in range(1, int(rng.integers(3, 9)))]
    projects = [[t, f"P{k}", int(rng.integers(1, 99))] for t, _ in tenants for k in range(1, int(rng.integers(2, 6)))]
    tasks = []
    for i in range(1, 501):
        t = int(rng.integers(1, 41))
        mine = [[u[1] for u in users if u[0] == t], [p[1] for p in projects if p[0] == t]]
        tasks.append(
            [i, t, int(rng.choice(mine[0])), str(rng.choice(mine[1])) if i % 5 else None, int(rng.integers(1, 9))]
        )
    path = tmp_path / "work.sqlite"
    with sqlite3.connect(path) as base:
        base.executescript(
            "create table tenants(id integer primary key, kind text);"
            "create table users(tenant integer references tenants, number integer, age integer, primary key(tenant, number));"
            "create table projects(tenant integer references tenants, code text, size integer, primary key(tenant, code));"
            "create table tasks(id integer primary key, tenant integer, user integer, project text, hours integer,"
            " foreign key(tenant, user) references users, foreign key(tenant, project) references projects(tenant, code));"
        )
        for name, rows in (("tenants", tenants), ("users", users), ("projects", projects), ("tasks", tasks)):
            base.executemany(f"insert into {name} values ({', '.join('?' * len(rows[0]))})", rows)
    base.close()
    codec, made = learned(path, n=60)
    keys = {"tasks.tenant, user = users.tenant, number", "tasks.tenant, project = projects.tenant, code"}
    assert keys <= {r.text for r in codec.relations}
    for r in codec.relations:
        assert resolved(made, r) == 1, r.text
    for name, columns in (("users", ("tenant", "number")), ("projects", ("tenant", "code"))):
        pairs = list(zip(*(made.cells(name, c).to_pylist() for c in columns), strict=True))
        assert len(set(pairs)) == len(pairs)
    gone = made.absent(relation(codec, "tasks.tenant, project = projects.tenant, code")).mean()
    assert gone == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(
    ("column", "parent", "key"),
    [
        ("home_team_id", "teams", "team_id"),
        ("awayTeamId", "Teams", "TeamId"),
        ("billing_address_id", "addresses", "id"),
        ("shipping_address", "addresses", "address_id"),
        ("origin_iata", "airports", "iata"),
        ("team_id_home", "teams", "team_id"),
        ("team2_id", "teams", "team_id"),
        ("winner_player", "players", "id"),
        ("from_account_no", "accounts", "account_no"),
        ("customer", "customers", "customer_id"),
        ("created_by_user_id", "public.users", "id"),
    ],
)
def test_a_name_with_a_role_fits_the_key_that_it_plays_it_for(column: str, parent: str, key: str) -> None:
    assert naming.alike(column, parent, key, False)


@pytest.mark.parametrize(
    ("column", "parent", "key"),
    [
        ("goals", "teams", "team_id"),
        ("id", "teams", "id"),
        ("name", "teams", "name"),
        ("status_code", "teams", "code"),
        ("paid", "teams", "id"),
        ("product_id", "orders", "id"),
    ],
)
def test_a_name_that_says_nothing_of_a_table_fits_none_of_its_keys(column: str, parent: str, key: str) -> None:
    assert not naming.alike(column, parent, key, False)


def test_two_roles_of_one_table_are_found_and_never_the_same_row_where_they_never_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    teams = {"team_id": list(range(1, 41)), "city": [f"C{i % 7}" for i in range(40)]}
    home = rng.integers(1, 41, 600)
    away = (home - 1 + rng.integers(1, 40, 600)) % 40 + 1
    games = {"game_id": range(1, 601), "home_team_id": home, "away_team_id": away, "goals": rng.poisson(2, 600)}
    codec, made = learned(save(tmp_path / "league", teams=teams, games=games), n=80)  # type: ignore[arg-type]
    assert {r.text for r in codec.relations} == {
        "games.home_team_id = teams.team_id",
        "games.away_team_id = teams.team_id",
    }
    assert all(resolved(made, r) == 1 for r in codec.relations)
    one, two = (made.cells("games", c).to_pylist() for c in ("home_team_id", "away_team_id"))
    assert not any(a == b for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("said", [True, False])
def test_a_table_that_joins_two_has_no_pair_twice(said: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    employees = {"employee_id": range(1, 121), "age": rng.integers(20, 60, 120)}
    departments = {"department_id": range(1, 9), "floor": rng.integers(1, 5, 8)}
    pairs = [(e, int(d)) for e in range(1, 121) for d in rng.permutation(8)[: rng.integers(1, 7)] + 1]
    works = {"employee_id": [e for e, _ in pairs], "department_id": [d for _, d in pairs]}
    folder = save(tmp_path / "firm", employees=employees, departments=departments, works_in=works)  # type: ignore[arg-type]
    options = {}
    if said:
        options["schema"] = tmp_path / "firm.toml"
        options["schema"].write_text(
            '[[table]]\nname = "works_in"\n[[table.constraint]]\nunique = ["employee_id", "department_id"]\n'
        )
    codec, made = learned(folder, n=200, **options)
    assert all(resolved(made, r) == 1 for r in codec.relations)
    rows = list(zip(*(made.cells("works_in", c).to_pylist() for c in works), strict=True))
    assert len(set(rows)) == len(rows) > 400


def test_a_key_with_a_column_beside_it_differs_in_every_row(tmp_path: Path) -> None:
    """One mark of each pupil in each subject, one measure of each place on each day."""
    rng = np.random.default_rng(4)
    pupils = {"pupil_id": range(1, 101), "age": rng.integers(7, 18, 100)}
    rows = [(p, s, int(rng.integers(1, 7))) for p in range(1, 101) for s in rng.permutation(list("abcdefgh"))[:5]]
    marks = {"pupil_id": [r[0] for r in rows], "subject": [r[1] for r in rows], "mark": [r[2] for r in rows]}
    codec, made = learned(save(tmp_path / "school", pupils=pupils, marks=marks), n=150)  # type: ignore[arg-type]
    assert ("pupil_id", "subject") in codec.steps["marks"].unique
    found = list(zip(*(made.cells("marks", c).to_pylist() for c in ("pupil_id", "subject")), strict=True))
    assert len(set(found)) == len(found) > 600


def test_a_sequence_ends_where_there_are_no_other_rows_to_be_had_also_the_longest(tmp_path: Path) -> None:
    """Twelve subjects in any order of which each pupil has all: the last are hard to meet by chance."""
    rng = np.random.default_rng(0)
    pupils = {"pupil_id": range(60), "age": rng.integers(7, 18, 60)}
    rows = [(p, s) for p in range(60) for s in rng.permutation(list("abcdefghijkl"))]
    marks = {"pupil_id": [r[0] for r in rows], "subject": [r[1] for r in rows], "mark": rng.integers(1, 7, len(rows))}
    data = load(save(tmp_path / "school", pupils=pupils, marks=marks))  # type: ignore[arg-type]
    codec = data.codec
    assert isinstance(codec, Related)
    chains = Hierarchical(codec, recipe("trees", spaces=codec.spaces), 0)
    list(chains.learn(data.records("train"), 0))
    for seed in range(8):
        made = chains.draw(Request(1, seed)).records.cells("marks", "subject").to_pylist()
        assert 6 < len(made) == len(set(made)) <= 12


def test_keys_that_lead_nowhere_and_missing_ones_are_made_as_often_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    shops = {"shop_id": [f"S{i:04d}" for i in range(100)], "size": rng.integers(1, 9, 100)}
    goods = {"good_id": range(1, 21), "price": rng.integers(1, 99, 20)}
    n = 2000
    shop = [
        None if u < 0.1 else f"S{9000 + int(u * 999)}" if u < 0.115 else f"S{int(s):04d}"
        for u, s in zip(rng.random(n), rng.integers(0, 100, n), strict=True)
    ]
    good = ["" if u < 0.2 else f"{int(g)}.0" for u, g in zip(rng.random(n), rng.integers(1, 21, n), strict=True)]
    sales = {"shop_id": shop, "good_id": good, "paid": rng.integers(1, 50, n)}
    folder = save(tmp_path / "town", shops=shops, goods=goods, sales=sales)  # type: ignore[arg-type]
    codec, made = learned(folder, n=100)
    assert {r.text for r in codec.relations} == {"sales.shop_id = shops.shop_id", "sales.good_id = goods.good_id"}
    r = relation(codec, "sales.shop_id = shops.shop_id")
    assert made.absent(r).mean() == pytest.approx(0.1, abs=0.02)
    assert 1 - resolved(made, r) == pytest.approx(0.0167, abs=0.01)
    r = relation(codec, "sales.good_id = goods.good_id")  # pandas prints whole numbers with gaps as 12.0
    assert made.absent(r).mean() == pytest.approx(0.2, abs=0.03) and resolved(made, r) == 1
    printed = codec.tables["sales"].printed(made.tables["sales"])["good_id"].drop_null().to_pylist()
    assert all(word.endswith(".0") for word in printed)


def test_keys_are_related_by_values_alone_only_where_chance_would_not_do_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    names = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(80)]
    people = {"id": names, "age": rng.integers(20, 60, 80)}
    places = {"id": range(1, 301), "size": rng.integers(1, 9, 300)}
    pets = {"keeper": rng.choice(names, 300), "home_id": rng.integers(1, 300, 300), "years": rng.integers(1, 15, 300)}
    found = load(save(tmp_path / "zoo", people=people, places=places, pets=pets))  # type: ignore[arg-type]
    assert isinstance(found.codec, Related)
    assert [r.text for r in found.codec.relations] == ["pets.keeper = people.id"]
    assert any("pets.home_id may refer to places.id" in note for note in found.notes)


def test_a_row_that_is_above_itself_stays_so_and_circles_may_be_where_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    n = 200
    top = [i if i < 11 else int(rng.integers(1, i)) for i in range(1, n + 1)]
    partner = [i + 1 if i % 2 else i - 1 for i in range(1, n + 1)]
    staff = {"staff_id": range(1, n + 1), "manager_id": top, "partner_id": partner, "pay": rng.integers(1, 99, n)}
    other = {"a": range(40), "b": range(40)}
    codec, made = learned(save(tmp_path / "firm", staff=staff, other=other), n=300)  # type: ignore[arg-type]
    r = relation(codec, "staff.manager_id = staff.staff_id")
    link = made.links[r].copy()
    own = link == np.arange(len(link))
    assert own.mean() == pytest.approx(0.05, abs=0.04) and own.any() and (link >= 0).all()
    link[own] = -1
    assert not circular(link)
    assert resolved(made, relation(codec, "staff.partner_id = staff.staff_id")) == 1


def test_words_of_several_columns_are_the_same_only_where_the_columns_are() -> None:
    one = [pa.array(["a", "a:", "1", None]), pa.array(["b", "b", "2", "x"])]
    two = [pa.array(["a:", "1", "a"]), pa.array(["b", "2", ":b"])]
    assert joined(one, two).tolist() == [-1, 0, 1, -1]


def test_a_declared_relation_of_two_columns_comes_back_from_its_toml(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    slots = [(y, k) for y in range(2000, 2020) for k in "abcd"]
    halls = {"year": [y for y, _ in slots], "part": [k for _, k in slots], "seats": rng.integers(10, 99, 80)}
    at = rng.integers(0, 80, 300)
    talks = {"y": [slots[i][0] for i in at], "p": [slots[i][1] for i in at], "minutes": rng.integers(5, 60, 300)}
    folder = save(tmp_path / "fair", halls=halls, talks=talks)  # type: ignore[arg-type]
    toml = tmp_path / "fair.toml"
    toml.write_text('[[relation]]\nchild = "talks"\ncolumn = ["y", "p"]\nparent = "halls"\nkey = ["year", "part"]\n')
    codec, made = learned(folder, n=60, schema=toml)
    assert [r.text for r in codec.relations] == ["talks.y, p = halls.year, part"]
    assert resolved(made, codec.relations[0]) == 1
    rows = list(zip(*(made.cells("halls", c).to_pylist() for c in ("year", "part")), strict=True))
    assert len(set(rows)) == len(rows) and {y for y, _ in rows} <= set(range(2000, 2020))
    toml.write_text(codec.declared())
    again = load(folder, options={"schema": toml})
    assert isinstance(again.codec, Related) and again.codec.relations == codec.relations


def test_a_run_of_such_tables_is_kept_and_makes_the_same_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    users = {"id": range(1, 81), "parent_id": boss(rng, 80), "age": rng.integers(20, 60, 80)}
    visits = {"user_id": rng.integers(1, 81, 300), "len": rng.integers(1, 99, 300)}
    run = karat.train(save(tmp_path / "site", users=users, visits=visits), out=tmp_path / "run", threads=1)  # type: ignore[arg-type]
    for name in ("one", "two"):
        karat.make(run, n=50, out=tmp_path / name, threads=1)
    assert (tmp_path / "one" / "users.csv").read_bytes() == (tmp_path / "two" / "users.csv").read_bytes()
    made = csv.read_csv(tmp_path / "one" / "users.csv")
    assert set(made["parent_id"].drop_null().to_pylist()) <= set(made["id"].to_pylist())
    karat.assay(run, threads=1, out=tmp_path / "report.html")


def staff(n: int, rng: np.random.Generator) -> Rows:
    """One table whose rows refer to rows of it, in no order."""
    spots = rng.permutation(n) + 1
    above = [None if b is None else int(spots[b - 1]) for b in boss(rng, n)]
    rows = rng.permutation(n)
    return {
        "id": spots[rows].tolist(),
        "manager_id": [above[i] for i in rows],
        "age": rng.integers(20, 60, n).tolist(),
        "place": rng.choice(list("abc"), n).tolist(),
    }


@pytest.mark.parametrize("form", ["numbers", "words", "uuids"])
def test_one_table_that_refers_to_itself_is_made_so_without_circles(form: str, tmp_path: Path) -> None:
    rows = staff(300, np.random.default_rng(10))
    if form != "numbers":
        names = {i: f"E-{i:05d}" if form == "words" else str(uuid.UUID(int=i * 7**40 % 2**128)) for i in rows["id"]}
        rows |= {c: [None if x is None else names[x] for x in rows[c]] for c in ("id", "manager_id")}
    data = load(save(tmp_path, staff=rows) / "staff.csv")
    codec = data.codec
    assert isinstance(codec, Tables) and {c.name: c.refers for c in codec.schema.columns}["manager_id"] == "id"
    for seed in range(3):
        points = codec.encode(data.records("train"))
        made = codec.decode(points, rng=np.random.default_rng(seed)).cells
        ids, above = (made[c].combine_chunks() for c in ("id", "manager_id"))
        assert len(set(ids.to_pylist())) == len(ids) and not set(map(str, rows["id"])) & set(ids.to_pylist())
        link = joined([above], [ids])
        assert above.null_count == 2 and ((link >= 0).sum() == len(link) - 2) and not circular(link)
        named = np.bincount(link[link >= 0], minlength=len(link))
        assert 0.7 < (named == 0).mean() < 0.97  # a tenth of the rows is above the others


def test_what_refers_is_declared_in_toml_and_given_cells_are_followed(tmp_path: Path) -> None:
    rows = staff(200, np.random.default_rng(11))
    rows["trusts"] = [int(i) for i in np.random.default_rng(1).integers(1, 201, 200)]
    path = save(tmp_path, staff=rows) / "staff.csv"
    assert isinstance(load(path).codec, Tables)
    (tmp_path / "staff.toml").write_text('[columns]\ntrusts = { refers = "id" }\n')
    run = karat.train(path, schema=tmp_path / "staff.toml", out=tmp_path / "run", threads=1)
    karat.make(run, n=150, out=tmp_path / "made.csv", threads=1)
    made = csv.read_csv(tmp_path / "made.csv")
    assert set(made["trusts"].to_pylist()) <= set(made["id"].to_pylist())
    (tmp_path / "some.csv").write_text("id,age\n" + "\n".join(f"{9000 + i},30" for i in range(60)) + "\n")
    karat.make(run, given=str(tmp_path / "some.csv"), out=tmp_path / "more.csv", threads=1)
    more = csv.read_csv(tmp_path / "more.csv")
    assert more["id"].to_pylist() == list(range(9000, 9060))
    assert set(more["trusts"].to_pylist()) | set(more["manager_id"].drop_null().to_pylist()) <= set(range(9000, 9060))
    (tmp_path / "staff.toml").write_text('[columns]\ntrusts = { refers = "idd" }\n')
    with pytest.raises(FitError, match="did you mean 'id'"):
        load(path, options={"schema": tmp_path / "staff.toml"})


@pytest.mark.parametrize("name", ["position", "member_id"])
def test_numbers_from_one_on_in_any_order_stay_a_permutation(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    rows = {name: (rng.permutation(300) + 1).tolist(), "age": rng.integers(20, 60, 300).tolist()}
    run = karat.train(save(tmp_path, list=rows) / "list.csv", out=tmp_path / "run", threads=1)
    karat.make(run, n=300, out=tmp_path / "made.csv", threads=1)
    made = np.array(csv.read_csv(tmp_path / "made.csv")[name])
    assert np.sort(made).tolist() == list(range(made.min(), made.min() + 300))
    assert 0.3 < (np.diff(made) > 0).mean() < 0.7
