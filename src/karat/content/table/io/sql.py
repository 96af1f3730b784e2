"""Tables out of databases: SQLite, DuckDB and PostgreSQL, read-only, one SELECT, and never a password in what is kept.

URLs are libpq's, https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import pyarrow as pa

from karat.content.table.io.engines import DuckDB, Engine, Foreign, PostgreSQL, SQLite, without_password
from karat.content.table.io.sampling import Sampler
from karat.content.table.table import Raw
from karat.errors import DataError, FitError

SCHEMES = ("postgresql://", "postgres://")
_Answer = TypeVar("_Answer")
HARMLESS = ("host", "port", "dbname", "user", "sslmode", "connect_timeout")  # parameters of an address
_QUIET = re.compile(  # what may hold a semicolon that ends nothing
    r"--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\$\w*\$).*?\1", re.S
)


def is_url(source: object) -> bool:
    """Whether `source` is the URL of a database server."""
    return isinstance(source, str) and source.lower().startswith(SCHEMES)


@contextlib.contextmanager
def without_credentials(place: str) -> Iterator[None]:
    """Nothing of this user goes to a server that is asked within: no password or key of the environment or of his files.

    FitError for an address whose parameters name files or services of this machine.
    """
    if not is_url(place):
        yield
        return
    _, _, query = place.partition("?")
    for pair in filter(None, query.split("&")):
        name = unquote(pair.partition("=")[0])
        if name not in HARMLESS:
            raise FitError(
                f"the address has the parameter {name!r}, and in one that is not yours only {', '.join(HARMLESS)} are "
                "followed. Name the address yourself with --data."
            )
    nowhere = {
        "PGPASSFILE": os.devnull,
        "PGSERVICEFILE": os.devnull,
        "PGSYSCONFDIR": os.devnull,
        "PGSSLCERT": os.devnull,
        "PGSSLKEY": os.devnull,
        "PGGSSENCMODE": "disable",
        "PGREQUIREAUTH": "!gss,!sspi",
    }
    kept = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    for name in kept:
        del os.environ[name]
    os.environ.update(nowhere)
    try:
        yield
    finally:
        for name in nowhere:
            os.environ.pop(name, None)
        os.environ.update(kept)


def single_select(query: str) -> str:
    """`query` without comments and a final semicolon; raises FitError unless it is one SELECT (or WITH ... SELECT)."""

    def quiet(found: re.Match[str]) -> str:
        return " " if found[0].startswith(("--", "/*")) else found[0]

    text = _QUIET.sub(quiet, query).strip().rstrip("; \t\r\n")
    bare = _QUIET.sub("''", text)
    word = re.match(r"[\s(]*(\w*)", bare)
    if ";" in bare or word is None or word[1].upper() not in ("SELECT", "WITH"):
        shown = " ".join(query.split())
        raise FitError(f"the query {shown[:60]!r} is not a single SELECT; one SELECT or WITH ... SELECT was wanted.")
    return text


def read_database(place: str | Path, query: object, table: object, rows: int | None) -> Raw:
    """One table, or the rows of one query, of the database at a path or URL; exactly one of the two is to be given.

    Raises FitError where neither or both are, listing the tables, or where an extra is missing; DataError for a
    database that cannot be read. What is said, and what is kept, never holds the password.
    """
    for name, value in (("query", query), ("table", table)):
        if value is not None and not isinstance(value, str):
            raise FitError(f"{name} = {value!r}; text was wanted.")
    if query is not None and table is not None:
        raise FitError("both a query and a table were given; one of them was wanted.")
    select = single_select(str(query)) if query is not None else None
    shown = str(place) if isinstance(place, Path) else without_password(place)
    try:
        with closing(_open(place)) as database:
            if select is None:
                select = database.whole(_chosen(database, shown, table))
            sampler = Sampler(rows)
            for batch in database.batches(select):
                sampler.add(batch)
    except (FitError, DataError):
        raise
    except Exception as error:  # each driver has its own; all say something of the database
        if not _of_driver(error):
            raise
        raise DataError(f"{shown} cannot be read: {_scrubbed(error, place)}") from None
    if not sampler.total:
        raise DataError(
            f"{shown}: the {'table' if query is None else 'query'} has no rows; rows to learn from were wanted."
        )
    cells = sampler.table()
    total = sampler.total if cells.num_rows < sampler.total else None
    where = f"{shown}, table {table}" if table is not None else f"{shown}, a query"
    return Raw(cells, "sql", where, None, total, sampler.note(cells.num_rows))


def table_names(place: str | Path) -> list[str]:
    """The tables of the database at a path or URL; DataError where it cannot be read."""
    return _asked(place, lambda database: database.tables())


def foreign_keys(place: str | Path) -> list[Foreign]:
    """The foreign keys that the database at a path or URL declares, its tables named as in `table_names`."""
    return _asked(place, lambda database: database.foreign_keys())


def _asked(place: str | Path, question: Callable[[Engine], list[_Answer]]) -> list[_Answer]:
    shown = str(place) if isinstance(place, Path) else without_password(place)
    try:
        with closing(_open(place)) as database:
            return list(question(database))
    except (FitError, DataError):
        raise
    except Exception as error:  # each driver has its own
        if not _of_driver(error):
            raise
        raise DataError(f"{shown} cannot be read: {_scrubbed(error, place)}") from None


def _open(place: str | Path) -> Any:
    if not isinstance(place, Path):
        return PostgreSQL(place)
    with place.open("rb") as file:
        start = file.read(16)
    if start[:15] == b"SQLite format 3":
        return SQLite(place)
    if start[8:12] == b"DUCK":
        return DuckDB(place)
    what = "is empty" if not start else "is neither an SQLite nor a DuckDB database"
    raise DataError(f"{place} {what}; one of these was wanted.")


def _chosen(database: Engine, shown: str, table: object) -> str:
    tables = database.tables()
    if table in tables:
        return str(table)
    listed = ", ".join(tables[:20]) + (f" and {len(tables) - 20} more" if len(tables) > 20 else "")
    if not tables:
        raise DataError(f"{shown} holds no tables.")
    if table is None and len(tables) == 1:
        return tables[0]
    if table is None:
        raise FitError(f"{shown} holds the tables {listed}. Name one (data.table), or give a query (data.query).")
    near = difflib.get_close_matches(str(table), tables, 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise FitError(f"{shown} has no table {table!r}; it holds {listed}.{meant}")


def _of_driver(error: Exception) -> bool:
    driver = type(error).__module__.partition(".")[0] in ("sqlite3", "duckdb", "_duckdb", "psycopg")
    return driver or isinstance(error, OSError | pa.ArrowInvalid | UnicodeDecodeError)


def _scrubbed(error: Exception, place: str | Path) -> str:
    """What a driver said, on one line, without any piece of the password."""
    message = " ".join(str(error).split())[:300]
    if isinstance(place, Path):
        return message
    user, _, secret = place.partition("://")[2].rpartition("@")[0].partition(":")
    secrets = {secret, unquote(secret), *re.findall(r"password=([^&]*)", place), *re.split(r"[@/?#:]", secret)}
    for piece in sorted(secrets, key=len, reverse=True):
        if piece and piece != user:
            message = message.replace(piece, "***")
    return message
