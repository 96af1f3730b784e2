"""SQLite: the label stands in a table `AIGC` of two columns, key and value."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from karat import limits
from karat.errors import DataError
from karat.provenance import slots
from karat.provenance.edits import Buffer, Edit, edited
from karat.provenance.label import KEYWORD, Texts

LONGEST = 1 << 20  # bytes of a cell, or as many as the file has
STEPS = 10_000  # of its engine at once
SMALL = "Take a part of it, or write .parquet."


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the database has exactly this label, or empty slots; DataError where `data` is no whole SQLite file."""
    with opened(data) as base:
        found = _values(base)
        if slots.fitting(found, texts):
            return slots.fill(data, found, texts)
        add_slots(base, texts)
        written = base.serialize()
    return [(0, len(data), edited(written, put(written, texts)))]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole SQLite file."""
    with opened(data) as base:
        return slots.words(_values(base))


def add_slots(base: sqlite3.Connection, texts: Texts | None = None) -> None:
    """A table with an empty slot for each text, in place of what is called so."""
    base.execute("PRAGMA secure_delete = ON")  # nothing of a former label stays in the file
    base.execute(f"DROP TABLE IF EXISTS {KEYWORD}")
    base.execute(f"CREATE TABLE {KEYWORD} (key TEXT, value TEXT)")
    base.executemany(f"INSERT INTO {KEYWORD} VALUES (?, ?)", slots.slots(texts).items())
    base.commit()


def _values(base: sqlite3.Connection) -> dict[str, str]:
    named = base.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (KEYWORD,))
    if not named.fetchone()[0]:
        return {}
    rows = base.execute(f"SELECT key, value FROM {KEYWORD} LIMIT 16").fetchall()
    return {key: value for key, value in rows if key in slots.KEYS and isinstance(value, str)}


@contextlib.contextmanager
def opened(data: Buffer) -> Iterator[sqlite3.Connection]:
    """The database in memory: nothing of it can reach a file, and columns that are worked out have no room to swell in.

    DataError where it is no whole SQLite file, or reading it takes far more steps than its bytes can need.
    """
    if data[:16] != b"SQLite format 3\0":
        raise DataError(f"this is not an SQLite database: it starts with {data[:16]!r}. Make or copy it again.")
    limits.need(2 * len(data), "reading the label of a database", SMALL)
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as base:
            base.deserialize(data[:])
            base.execute("PRAGMA trusted_schema = OFF")
            base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(len(data), LONGEST))
            left = iter(range(100 + len(data) // STEPS))
            base.set_progress_handler(lambda: next(left, None) is None, 100 * STEPS)  # what is not None or 0 ends it
            pages, size = (int(base.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "page_size"))
            if pages * size > len(data):
                raise DataError("this database is cut short. Make or copy it again.")
            yield base
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise DataError(f"this database is damaged ({error}). Make or copy it again.") from None
