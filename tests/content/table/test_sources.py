"""Every source of a table gives its rows in its own types, and no password is ever seen."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import karat
from karat.content import Related, Tables, recognise
from karat.content.table.io import sources
from karat.content.table.io.engines import Foreign
from karat.content.table.io.sources import open_table, recognises, without_password
from karat.content.table.io.sql import foreign_keys, single_select
from karat.data import load
from karat.errors import DataError, FitError, KaratError

SOME = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int32()),
        "price": pa.array([Decimal("1.50"), None, Decimal("2.25")], pa.decimal128(8, 2)),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "at": pa.array([dt.datetime(2024, 1, day) for day in (1, 2, 3)], pa.timestamp("ns", "Europe/Berlin")),
        "ok": [True, None, False],
    }
)


# Files of Arrow's and Parquet's


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_files_of_columns_keep_their_types_and_are_written_the_same_way(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"t{suffix}"
    file.write_bytes(sources.write(SOME, suffix))
    raw = open_table(file, {})
    assert raw.cells.equals(SOME) and raw.source == "parquet" and raw.place == str(file) and raw.total is None
    assert sources.write(raw.cells, suffix) == file.read_bytes() == sources.write(SOME, suffix)


def test_old_feather_and_arrow_streams_are_read(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    feather.write_feather(table, tmp_path / "v2.feather", compression="lz4")
    with pa.OSFile(str(tmp_path / "s.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    for name in ("v2.feather", "s.arrow"):
        assert open_table(tmp_path / name, {}).cells.equals(table)


def test_rows_of_a_parquet_file_are_spread_over_it(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"i": np.arange(50_000)}), file, row_group_size=7000)
    raw = open_table(file, {"rows": 500})
    at = raw.cells["i"].to_numpy()
    assert raw.total == 50_000 and len(at) == 500 and np.diff(at).max() <= 200 and (np.diff(at) == 100).mean() > 0.98
    assert (at[0], at[-1]) == (0, 49_999), "the first and the last are among them"
    assert "500 of 50,000 rows" in raw.notes[0]


# Frames


def test_a_pandas_frame_comes_and_goes_with_its_types(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": np.array([1, 2, 3], np.int16),
            "kind": pandas.Categorical(["u", "v", "u"]),
            "maybe": pandas.array([1, None, 3], dtype="Int64"),
            "at": pandas.date_range("2024-01-01", periods=3, tz="UTC"),
            "text": ["x", None, "z"],
        },
        index=[7, 8, 9],
    )
    raw = open_table(frame, {})
    assert raw.source == "frame" and raw.cells.column_names == list(frame.columns)
    (tmp_path / "t.parquet").write_bytes(sources.write(raw.cells.slice(0, 2), ".parquet"))
    back = pandas.read_parquet(tmp_path / "t.parquet")
    pandas.testing.assert_frame_equal(back, frame.iloc[:2].reset_index(drop=True))


def test_a_pandas_index_counts_only_where_it_has_a_name(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.5, 2.5]}, index=pandas.Index(["a", "b"], name="key"))
    assert open_table(frame, {}).cells.column_names == ["key", "x"]
    frame.index.name = None
    assert open_table(frame, {}).cells.column_names == ["x"]
    frame.to_parquet(tmp_path / "t.parquet")
    raw = open_table(tmp_path / "t.parquet", {})
    assert raw.cells.column_names == ["x"]
    pandas.DataFrame({"x": range(10)}).to_parquet(tmp_path / "r.parquet")
    half = open_table(tmp_path / "r.parquet", {}).cells.slice(0, 5)
    (tmp_path / "h.parquet").write_bytes(sources.write(half, ".parquet"))
    assert len(pandas.read_parquet(tmp_path / "h.parquet").index) == 5


def test_a_polars_frame_is_a_table() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [dt.date(2024, 1, 1), None]})
    for given in (frame, frame.lazy()):
        cells = open_table(given, {}).cells
        assert cells.to_pydict() == {"a": [1, None], "b": ["x", "y"], "c": [dt.date(2024, 1, 1), None]}
        assert not pa.types.is_string_view(cells.schema.field("b").type)


def test_arrow_tables_and_batches_are_tables() -> None:
    assert open_table(SOME, {}).cells.equals(SOME)
    assert open_table(SOME.combine_chunks().to_batches()[0], {}).cells.num_rows == 3
    assert open_table(SOME, {"rows": 2}).total == 3


def test_a_column_of_mixed_values_is_refused_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="mixed"):
        open_table(pandas.DataFrame({"mixed": [1, "a", 2.5]}), {})


# Text


def test_a_delimited_file_is_opened_and_written_in_its_dialect(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("größe;name\r\n1,75;Änne\r\n1,80;Jörg\r\n".encode("cp1252"))
    raw = open_table(str(file), {})
    assert raw.source == "csv" and sources.write(raw.cells, ".csv", raw.dialect) == file.read_bytes()
    packed = sources.write(raw.cells, ".csv.gz", raw.dialect)
    (tmp_path / "t.csv.gz").write_bytes(packed)
    assert open_table(tmp_path / "t.csv.gz", {}).cells.equals(raw.cells)
    assert sources.write(raw.cells, ".tsv").startswith("größe\tname\n1,75\t".encode())


def test_a_file_of_another_kind_is_refused_with_what_is_read(tmp_path: Path) -> None:
    file = tmp_path / "t.odd"
    file.write_text("{}")
    with pytest.raises(DataError, match=r"ends in .odd; tables end in .csv"):
        open_table(file, {})
    with pytest.raises(FitError, match=r"not written as .odd"):
        sources.write(SOME, ".odd")
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(FitError, match="not a database"):
        open_table(tmp_path / "t.csv", {"query": "SELECT 1"})
    with pytest.raises(FitError, match="rows = 0"):
        open_table(tmp_path / "t.csv", {"rows": 0})


# What is a table


def test_tables_are_recognised_and_pictures_are_not(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": "p"}], "label": [1]}), tmp_path / "hf.parquet")
    pq.write_table(pa.table({"img": [b"x"]}), tmp_path / "raw.parquet")
    pq.write_table(SOME, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "t.txt").write_text("a\tb\n1\t2\n")
    (tmp_path / "prose.txt").write_text(
        "It was a dark night.\nThe rain fell, they say, in torrents.\nExcept at times.\n"
    )
    (tmp_path / "fake.db").write_bytes(b"not a database at all")
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    sqlite3.connect(tmp_path / "t.db").execute("create table t (a)").connection.close()
    assert [name for name in sorted(os.listdir(tmp_path)) if recognises(tmp_path / name)] == [
        "t.csv",
        "t.db",
        "t.parquet",
        "t.txt",
    ]
    assert recognises("postgresql://somebody@host/db") and recognises(SOME) and recognises(str(tmp_path / "t.csv"))
    assert not recognises([1, 2]) and not recognises(tmp_path) and not recognises(np.zeros(3))


SENTENCE = "The cat {} a tree, and the sea is {}."
WAYS, HUES = ("sees", "likes", "paints", "climbs"), ("blue", "grey", "far")


@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_sentences_that_have_a_comma_each_are_no_table(between: str, tmp_path: Path) -> None:
    lines = [SENTENCE.format(WAYS[i % 4], HUES[i % 3]) for i in range(60)]
    (tmp_path / "notes.txt").write_text(between.join(lines) + "\n")
    assert not recognises(tmp_path / "notes.txt")
    (tmp_path / "names.txt").write_text("\n\n".join(f"Rossi, Anna {i}" for i in range(60)) + "\n")
    assert not recognises(tmp_path / "names.txt"), "blank lines part what is no row"


def test_a_table_in_a_txt_stays_one_though_it_holds_sentences(tmp_path: Path) -> None:
    rows = [f'{i},{WAYS[i % 4]},"{SENTENCE.format(WAYS[i % 4], HUES[i % 3])}"' for i in range(60)]
    (tmp_path / "t.txt").write_text("id,way,note\n" + "\n".join(rows) + "\n")
    assert recognises(tmp_path / "t.txt")
    (tmp_path / "tabs.txt").write_text("a\tb\n" + "one two three\tfour five six\n" * 60)
    assert recognises(tmp_path / "tabs.txt")
    (tmp_path / "gaps.txt").write_text("a,b\n" + "1,2\n3,4\n5,6\n7,8\n\n" * 20)
    assert recognises(tmp_path / "gaps.txt")


# SQL


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop ?#.sqlite"
    connection = sqlite3.connect(file)
    connection.execute('create table orders (id integer, total real, "the name" text, mixed, empty text)')
    connection.executemany(
        "insert into orders values (?, ?, ?, ?, null)",
        [(i, i / 2, f"n{i}", i if i % 2 else "x") for i in range(50_000)],
    )
    connection.execute("create table pictures (id integer, data blob)")
    connection.execute("insert into pictures values (1, x'00ff')")
    connection.execute('create view "odd ""name""" as select id from orders where id < 3')
    connection.commit()
    connection.close()
    return file


def test_sqlite_gives_a_table_or_a_query(shop: Path) -> None:
    raw = open_table(shop, {"table": "orders"})
    assert raw.source == "sql" and raw.cells.num_rows == 50_000 and "orders" in raw.place
    assert raw.cells.schema.types == [pa.int64(), pa.float64(), pa.string(), pa.string(), pa.string()]
    assert raw.cells["mixed"].to_pylist()[:3] == ["x", "1", "x"] and raw.cells["empty"].null_count == 50_000
    asked = open_table(shop, {"query": "SELECT id, total AS t FROM orders WHERE id < 10 ORDER BY id DESC; -- all\n"})
    assert asked.cells["id"].to_pylist() == list(range(9, -1, -1))
    assert open_table(shop, {"table": 'odd "name"'}).cells.num_rows == 3
    assert open_table(shop, {"table": "orders", "rows": 100}).total == 50_000


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({}, FitError, r'holds the tables odd "name", orders, pictures. Name one'),
        ({"table": "order"}, FitError, r"no table 'order'.*Did you mean orders\?"),
        ({"table": "orders", "query": "SELECT 1"}, FitError, r"both a query and a table"),
        ({"query": "DROP TABLE orders"}, FitError, r"not a single SELECT"),
        ({"query": "SELECT 1; DROP TABLE orders"}, FitError, r"not a single SELECT"),
        ({"query": "WITH x AS (SELECT 1) DELETE FROM orders"}, DataError, r"cannot be read"),
        ({"query": "SELECT nowhere FROM orders"}, DataError, r"no such column: nowhere"),
        ({"query": "SELECT id FROM orders WHERE id < 0"}, DataError, r"has no rows"),
        ({"query": "SELECT id, id FROM orders"}, DataError, r"the column 'id' twice"),
        ({"table": "pictures"}, DataError, r"the column data holds bytes"),
        ({"query": 7}, FitError, r"query = 7; text was wanted"),
    ],
)
def test_what_a_database_does_not_give_is_said(options: dict, kind: type[KaratError], said: str, shop: Path) -> None:
    with pytest.raises(kind, match=said):
        open_table(shop, options)
    assert open_table(shop, {"table": "orders", "rows": 1}).total == 50_000


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ';' AS a",
        'select 1 as ";"',
        "-- a; b\nSELECT 1 /* ; */ ; ",
        "(SELECT 1) UNION (SELECT 2)",
        "with a as (select $x$;$x$) select * from a",
        r"SELECT E'it\'s; so'",
        "SELECT 1;\n-- the end;",
    ],
)
def test_a_semicolon_may_stand_where_it_ends_nothing(query: str) -> None:
    assert single_select(query).rstrip(" ;")


@pytest.mark.parametrize(
    "query", ["", ";", "DELETE FROM a", r"SELECT E'\'; DROP TABLE a; --'; SELECT 1", "SELECT 1;;x"]
)
def test_more_than_one_select_is_refused(query: str) -> None:
    with pytest.raises(FitError, match="single SELECT"):
        single_select(query)


def test_duckdb_gives_its_own_types(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    file = tmp_path / "t.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT range::INTEGER AS i, (range * 1.5)::DECIMAL(10, 2) AS d, DATE '2024-01-01' + range::INT "
            "AS day, CASE WHEN range % 2 = 0 THEN 'a' END AS s FROM range(1000); CREATE TABLE l AS SELECT [1, 2] AS many; "
            "CREATE SCHEMA other; CREATE TABLE other.t AS SELECT 1 AS x"
        )
    raw = open_table(file, {"table": "t"})
    assert raw.cells.schema.types == [pa.int32(), pa.decimal128(10, 2), pa.date32(), pa.string()]
    assert raw.cells["d"][3].as_py() == Decimal("4.50") and raw.cells["s"].null_count == 500
    assert open_table(file, {"table": "other.t"}).cells.to_pydict() == {"x": [1]}
    assert open_table(file, {"query": "SELECT i FROM t ORDER BY i", "rows": 10}).total == 1000
    with pytest.raises(FitError, match="l, other.t, t"):
        open_table(file, {})
    with pytest.raises(DataError, match="many"):
        open_table(file, {"table": "l"})
    with pytest.raises(DataError, match="SOME"):
        open_table(file, {"query": "SELECT * FROM SOME"})


# Passwords


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://u:pw@host:5432/db", "postgresql://u@host:5432/db"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql:///db?host=/run&user=a@b", "postgresql:///db?host=/run&user=a@b"),
        ("postgresql://u:p@s/s#w@host/db", "postgresql://u@host/db"),
        ("postgresql://u:p?w@host/db", "postgresql://u@host/db"),
        ("postgres://u:p%40w@h/db?sslmode=require&password=x&PASSWORD=y", "postgres://u@h/db?sslmode=require"),
        ("postgresql://h/db?password=x", "postgresql://h/db"),
        ("data/table.csv", "data/table.csv"),
    ],
)
def test_a_url_is_kept_without_its_password(url: str, kept: str) -> None:
    assert without_password(url) == kept


@pytest.mark.parametrize("secret", ["s3cret-word", "s3cret/word", "s3cret@word", "s3cret%20word"])
def test_no_error_shows_the_password(secret: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DataError) as caught:
        open_table(f"postgresql://me:{secret}@127.0.0.1:1/db", {"table": "t"})
    said = repr(caught.value) + repr(caught.value.__cause__)
    assert "s3cret" not in said and "postgresql://me@127.0.0.1:1/db" in said


def _server_programs() -> Path | None:
    places = [Path(found).parent for found in [shutil.which("initdb")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "pg_ctl").exists() and (place / "initdb").exists()), None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL, password included, of a PostgreSQL server of our own."""
    psycopg = pytest.importorskip("psycopg")
    programs = _server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here")
    root = os.geteuid() == 0
    folder = Path(tmp_path_factory.mktemp("pg"))
    if root:  # the server refuses to run as root
        if shutil.which("runuser") is None or subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        folder = Path(tempfile.mkdtemp(prefix="karat-pg"))
        shutil.chown(folder, "postgres")
    as_user = ["runuser", "-u", "postgres", "--"] if root else []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    word = folder / "word"
    word.write_text("pg-s3cret")
    if root:
        shutil.chown(word, "postgres")
    made = [
        programs / "initdb",
        "-D",
        folder / "data",
        "-U",
        "owner",
        "-A",
        "scram-sha-256",
        "--pwfile",
        word,
        "-E",
        "UTF8",
    ]
    control = [programs / "pg_ctl", "-D", folder / "data", "-w"]
    address = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*as_user, *map(str, made), "--locale=C"], **quiet)
    subprocess.run([*as_user, *map(str, control), "-o", address, "-l", str(folder / "log"), "start"], **quiet)
    url = f"postgresql://owner:pg-s3cret@127.0.0.1:{port}/postgres"
    try:
        with psycopg.connect(url) as connection:
            connection.execute(
                "CREATE TABLE orders AS SELECT i::int AS id, (i * 1.5)::numeric(10, 2) AS price, (i / 8.0)::numeric AS ratio, "
                "CASE WHEN i % 3 > 0 THEN 'n' || i END AS name, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour' AS at, "
                "date '2024-01-01' + i AS day, i % 2 = 0 AS even, i::float8 AS x, md5(i::text)::uuid AS key, "
                "time '10:00' AS clock FROM generate_series(0, 29999) AS i; "
                "CREATE TABLE odd (payload jsonb, tags text[], raw bytea); CREATE SCHEMA sales; "
                "CREATE SEQUENCE counter; CREATE TABLE sales.items AS SELECT 1 AS a"
            )
        yield url
    finally:
        subprocess.run([*as_user, *map(str, control), "-m", "immediate", "stop"], **quiet)
        if root:
            shutil.rmtree(folder)


def test_postgresql_gives_its_own_types_and_keeps_no_password(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = open_table(server, {"table": "orders"})
    assert raw.cells.schema.types == [
        pa.int32(),
        pa.decimal128(10, 2),
        pa.decimal128(38, 20),
        pa.string(),
        pa.timestamp("us", "UTC"),
        pa.date32(),
        pa.bool_(),
        pa.float64(),
        pa.string(),
        pa.time64("us"),
    ]
    assert raw.cells.num_rows == 30_000 and raw.cells["name"].null_count == 10_000
    assert raw.cells["price"][3].as_py() == Decimal("4.50") and raw.cells["x"][7].as_py() == 7.0
    assert "s3cret" not in repr(raw) and raw.place == f"{without_password(server)}, table orders"
    asked = {"query": "SELECT id FROM orders WHERE name LIKE 'n1%' ORDER BY id;"}
    with pytest.raises(DataError, match="password"):
        open_table(without_password(server), asked)
    monkeypatch.setenv("PGPASSWORD", "pg-s3cret")
    again = open_table(without_password(server), asked)
    assert again.cells["id"][0].as_py() == 1
    assert open_table(server, {"table": "sales.items"}).cells.to_pydict() == {"a": [1]}
    assert open_table(server, {"table": "orders", "rows": 300}).total == 30_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "holds the tables odd, orders, sales.items"),
        ({"table": "odd"}, "the column raw holds bytes"),
        ({"query": "SELECT payload, tags FROM odd"}, "payload, tags holds nested"),
        ({"query": "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d"}, "cannot be read"),
        ({"query": "SELECT nowhere FROM orders"}, '"nowhere" does not exist'),
        ({"query": "SELECT nextval('counter')"}, "read-only"),
    ],
)
def test_what_postgresql_does_not_give_is_said(server: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(KaratError) as caught:
        open_table(server, options)
    assert said in str(caught.value) and "s3cret" not in repr(caught.value)
    with pytest.raises(DataError, match="password"):
        open_table(server.replace("pg-s3cret", "wrong-s3cret"), {"table": "orders"})


def test_a_database_of_one_table_needs_no_name(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "one.db")) as base, base:
        base.execute("create table only (a integer)")
        base.executemany("insert into only values (?)", [(i,) for i in range(40)])
    assert len(karat.look(tmp_path / "one.db", probe=False)["columns"]) == 1


def test_keys_that_postgresql_declares_are_relations_and_its_tables_are_read_together(server: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mail")
    url = server.removesuffix("/postgres") + "/mail"
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE SCHEMA post; CREATE TABLE users (id int PRIMARY KEY, chief int REFERENCES users, age int); "
            "CREATE TABLE post.boxes (town text, number int, size int, PRIMARY KEY (town, number)); "
            "CREATE TABLE letters (a int REFERENCES users, t text, k int, FOREIGN KEY (t, k) REFERENCES post.boxes); "
            "INSERT INTO users SELECT i, CASE WHEN i > 2 THEN 1 + i % (i / 2) END, 20 + i % 40 FROM generate_series(1, 80) AS i; "
            "INSERT INTO post.boxes SELECT chr(97 + i % 5), i / 5, i % 7 FROM generate_series(0, 39) AS i; "
            "INSERT INTO letters SELECT 1 + i % 80, chr(97 + i % 5), i % 40 / 5 FROM generate_series(0, 299) AS i"
        )
    assert foreign_keys(url) == [
        Foreign("users", ("chief",), "users", ("id",)),
        Foreign("letters", ("a",), "users", ("id",)),
        Foreign("letters", ("t", "k"), "post.boxes", ("town", "number")),
    ]
    assert recognise(url) is Related and recognise(url, {"table": "users"}) is Tables
    found = load(url)
    assert isinstance(found.codec, Related) and "s3cret" not in found.path
    assert {r.text for r in found.codec.relations} == {
        "users.chief = users.id",
        "letters.a = users.id",
        "letters.t, k = post.boxes.town, number",
    }
