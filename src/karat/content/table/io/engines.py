"""SQLite, DuckDB and PostgreSQL, opened for reading only: their tables, keys and rows."""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from karat.content.table.io.plain import check
from karat.errors import DataError, FitError
from karat.provenance.label import KEYWORD

ROWS = 20_000  # fetched at a time
READS = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
READ_PRAGMAS = ("table_info", "table_xinfo", "foreign_key_list", "index_list", "index_info", "table_list")
_EXTRA = "pip install 'karat[sql]'"


def without_password(url: str) -> str:
    """`url` without the password that it may hold before its host or among its parameters."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    head, question, query = rest.partition("?")
    if question and "@" not in head and "@" in query and not re.match(r"\w+=", query):
        head, question, query = rest, "", ""  # a password with an unescaped question mark
    user, at, host = head.rpartition("@")
    kept = [pair for pair in query.split("&") if not re.match(r"(ssl)?password=", unquote(pair), re.I)]
    query = "?" + "&".join(kept) if question and any(kept) else ""
    return f"{scheme}://{user.partition(':')[0]}{at}{host}{query}"


@dataclass(frozen=True)
class Foreign:
    """A declared foreign key: `columns` of the table `child` hold values of `keys` of `parent`."""

    child: str
    columns: tuple[str, ...]
    parent: str
    keys: tuple[str, ...]


class Engine(ABC):
    """An open database."""

    @abstractmethod
    def tables(self) -> list[str]:
        """The tables and views, as `table` names them."""

    @abstractmethod
    def batches(self, query: str) -> Iterator[pa.Table]:
        """The rows of one SELECT, some at a time, always of the same types."""

    @abstractmethod
    def foreign_keys(self) -> list[Foreign]:
        """The declared references from table to table."""

    def whole(self, table: str) -> str:
        """The query for all of a table."""
        return f"SELECT * FROM {quoted(table)}"


def quoted(name: str) -> str:
    """A name as SQL's identifier."""
    return '"' + name.replace('"', '""') + '"'


def refuse_repeated(names: Sequence[str], place: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{place} gives the column {name!r} twice; rename one in the query (AS).")
        seen.add(name)


def refuse_bytes(names: Sequence[str], place: str, kind: str) -> None:
    if names:
        raise DataError(
            f"{place}: the column {', '.join(names)} holds {kind}; plain values were wanted. Leave it out of the query, "
            "or select what it holds as columns."
        )


def _only_reads(action: int, first: str | None, *rest: str | None) -> int:
    """Whether SQLite may do what a statement asks: read what the file itself holds, and call functions on it."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if rest[0] in ("load_extension", "fts3_tokenizer") else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if first in READ_PRAGMAS else sqlite3.SQLITE_DENY
    if (
        action == sqlite3.SQLITE_UPDATE
    ):  # so SQLite calls its own declaration of a pragma's table; the file is opened read-only
        return sqlite3.SQLITE_OK if first == "sqlite_master" else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in READS else sqlite3.SQLITE_DENY


class SQLite(Engine):
    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self.connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        self.connection.execute("PRAGMA query_only = on")
        self.connection.execute("PRAGMA trusted_schema = off")  # https://www.sqlite.org/security.html
        self.connection.set_authorizer(_only_reads)

    def close(self) -> None:
        self.connection.close()

    def tables(self) -> list[str]:
        found = self.connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND name != ? ORDER BY name",
            (KEYWORD,),  # the label of what was made is no data
        )
        return [str(name) for (name,) in found]

    def foreign_keys(self) -> list[Foreign]:
        out = []
        known = {name.lower(): name for name in self.tables()}  # names are the same in any case
        heads = {name: self._columns(name) for name in known.values()}
        for child, mine in heads.items():
            found: dict[int, list[tuple[int, str, str, str | None]]] = {}
            for number, place, parent, column, key, *_ in self.connection.execute(
                "SELECT * FROM pragma_foreign_key_list(?)", (child,)
            ):
                found.setdefault(number, []).append((place, parent, column, key))
            for _, parts in sorted(found.items(), reverse=True):  # the last declared has number 0
                parts.sort()
                parent = known.get(parts[0][1].lower())
                if parent is None:
                    continue
                primary = [c for _, c in sorted((at, c) for c, at in heads[parent].values() if at)]
                columns = [mine.get(part[2].lower(), ("", 0))[0] for part in parts]
                keys = [
                    primary[i]
                    if part[3] is None and i < len(primary)
                    else heads[parent].get(str(part[3]).lower(), ("", 0))[0]
                    for i, part in enumerate(parts)
                ]
                if all(columns) and all(keys):
                    out.append(Foreign(child, tuple(columns), parent, tuple(keys)))
        return out

    def _columns(self, table: str) -> dict[str, tuple[str, int]]:
        """Each column by its name in small letters: its name, and its place in the primary key, from 1, or 0."""
        found = self.connection.execute("SELECT name, pk FROM pragma_table_info(?)", (table,))
        return {str(name).lower(): (str(name), int(at)) for name, at in found}

    def batches(self, query: str) -> Iterator[pa.Table]:
        cursor = self.connection.execute(query)
        names = [str(column[0]) for column in cursor.description]
        refuse_repeated(names, self.place)
        types = self._types(query, names)
        schema = pa.schema(list(zip(names, types, strict=True)))
        while rows := cursor.fetchmany(ROWS):
            columns = []
            for values, kind in zip(zip(*rows, strict=True), types, strict=True):
                if kind == pa.string():
                    values = tuple(v if v is None or isinstance(v, str) else str(v) for v in values)
                columns.append(pa.array(values, kind))
            yield pa.Table.from_arrays(columns, schema=schema)

    def _types(self, query: str, names: list[str]) -> list[pa.DataType]:
        """SQLite types values, not columns: a column is of the narrowest type that holds them all."""
        types: list[pa.DataType] = []
        blobs = []
        for start in range(0, len(names), 100):
            part = names[start : start + 100]
            asked = ", ".join(
                f"max(typeof({quoted(name)}) = '{kind}')"
                for name in part
                for kind in ("integer", "real", "text", "blob")
            )
            row: tuple[Any, ...] = self.connection.execute(f"SELECT {asked} FROM ({query}\n)").fetchone()
            found = [bool(value) for value in row]
            for j, name in enumerate(part):
                integer, real, text, blob = found[4 * j : 4 * j + 4]
                if blob:
                    blobs.append(name)
                types.append(pa.string() if text or not (integer or real) else pa.float64() if real else pa.int64())
        refuse_bytes(blobs, self.place, "bytes (BLOB)")
        return types


class DuckDB(Engine):
    def __init__(self, path: Path) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise FitError(f"{path} is a DuckDB database, which needs an extra to be read: {_EXTRA}.") from error
        self.place = str(path)
        # a query or a view sees the database: no files, no network, no extensions, none of the caller's variables
        # (https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview)
        asked: dict[str, Any] = {
            "python_enable_replacements": "false",
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "lock_configuration": "true",
        }
        self.connection = duckdb.connect(str(path), read_only=True, config=asked)

    def close(self) -> None:
        self.connection.close()

    def tables(self) -> list[str]:
        found = self.connection.execute(
            "SELECT CASE WHEN table_schema = 'main' THEN table_name ELSE table_schema || '.' || table_name END "
            "FROM information_schema.tables ORDER BY 1"
        ).fetchall()
        return [str(name) for (name,) in found]

    def whole(self, table: str) -> str:
        return _schema_whole(table, self.tables())

    def foreign_keys(self) -> list[Foreign]:
        found = self.connection.execute(
            "SELECT schema_name, table_name, constraint_column_names, referenced_table, referenced_column_names "
            "FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' ORDER BY table_oid, constraint_index"
        ).fetchall()  # a foreign key leads to a table of its own schema
        return [
            Foreign(_dotted(schema, child, "main"), tuple(columns), _dotted(schema, parent, "main"), tuple(keys))
            for schema, child, columns, parent, keys in found
        ]

    def batches(self, query: str) -> Iterator[pa.Table]:
        relation = self.connection.sql(query)
        refuse_repeated(list(relation.columns), self.place)
        newer = hasattr(relation, "to_arrow_reader")
        reader = relation.to_arrow_reader(ROWS) if newer else relation.fetch_arrow_reader(ROWS)
        check(reader.schema, self.place)
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _dotted(schema: str, table: str, usual: str) -> str:
    return table if schema == usual else f"{schema}.{table}"


def _schema_whole(table: str, tables: list[str]) -> str:
    schema, dot, name = table.partition(".")
    return f"SELECT * FROM {quoted(schema)}.{quoted(name)}" if dot else f"SELECT * FROM {quoted(table)}"


# PostgreSQL's types by number (pg_type.oid), where Arrow has the same; numeric is apart, whatever else prints as text.
_ARROW = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    26: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
}
_NUMERIC, _BYTES, _JSON = 1700, 17, (114, 3802)


class PostgreSQL(Engine):
    def __init__(self, url: str) -> None:
        self.place = without_password(url)
        try:
            import psycopg
        except ImportError as error:
            raise FitError(f"{self.place} is a PostgreSQL database, which needs an extra: {_EXTRA}.") from error
        self.connection = psycopg.connect(url, connect_timeout=10, application_name="karat")
        self.connection.read_only = True

    def close(self) -> None:
        self.connection.close()

    def tables(self) -> list[str]:
        found = self.connection.execute(
            "SELECT CASE WHEN table_schema = 'public' THEN table_name ELSE table_schema || '.' || table_name END "
            "FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        ).fetchall()
        return [str(name) for (name,) in found]

    def whole(self, table: str) -> str:
        return _schema_whole(table, self.tables())

    def foreign_keys(self) -> list[Foreign]:
        names = (
            "(SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest({0}) WITH ORDINALITY AS k(number, place) "
            "JOIN pg_attribute a ON a.attrelid = {1} AND a.attnum = k.number)"
        )
        found = self.connection.execute(
            f"SELECT cs.nspname::text, c.relname::text, {names.format('f.conkey', 'f.conrelid')}, "
            f"ps.nspname::text, p.relname::text, {names.format('f.confkey', 'f.confrelid')} "
            "FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cs ON cs.oid = c.relnamespace "
            "JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace ps ON ps.oid = p.relnamespace "
            "WHERE f.contype = 'f' AND f.conparentid = 0 ORDER BY c.oid, f.oid".encode()
        ).fetchall()
        return [
            Foreign(_dotted(cs, child, "public"), tuple(columns), _dotted(ps, parent, "public"), tuple(keys))
            for cs, child, columns, ps, parent, keys in found
        ]

    def batches(self, query: str) -> Iterator[pa.Table]:
        looked = self.connection.execute(f"SELECT * FROM ({query}\n) AS karat LIMIT 0".encode())
        found = list(looked.description or ())
        names = [column.name for column in found]
        refuse_repeated(names, self.place)
        refuse_bytes([column.name for column in found if column.type_code == _BYTES], self.place, "bytes (bytea)")
        nested = [column.name for column in found if column.type_code in _JSON or column.type_display.endswith("[]")]
        refuse_bytes(nested, self.place, "nested values (json or arrays)")
        types = [
            self._numeric(query, column) if column.type_code == _NUMERIC else _ARROW.get(column.type_code, pa.string())
            for column in found
        ]
        schema = pa.schema(list(zip(names, types, strict=True)))
        with self.connection.cursor(name="karat") as cursor:
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(ROWS):
                columns = []
                for values, kind in zip(zip(*rows, strict=True), types, strict=True):
                    if kind == pa.string():
                        values = tuple(v if v is None or isinstance(v, str) else str(v) for v in values)
                    elif kind == pa.float64():
                        values = tuple(None if v is None else float(v) for v in values)
                    columns.append(pa.array(values, kind))
                yield pa.Table.from_arrays(columns, schema=schema)

    def _numeric(self, query: str, column: Any) -> pa.DataType:
        """decimal128 as declared, or wide enough for what is there; float64 where nothing is."""
        if column.precision is not None:
            places = 0 if column.scale is None else column.scale
            return pa.decimal128(column.precision, places) if column.precision <= 38 else pa.float64()
        name = quoted(column.name)
        digits = f"length(trunc(abs({name}))::text)"
        asked = f"SELECT max(scale({name})), max({digits}), bool_or({name} = 'NaN') FROM ({query}\n) AS karat"
        row = self.connection.execute(asked.encode()).fetchone()
        places, whole, special = row if row is not None else (None, None, None)
        if special or places is None or whole is None or whole + places > 38:
            return pa.float64()
        return pa.decimal128(38, places)
