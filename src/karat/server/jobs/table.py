"""Jobs and their events, in SQLite (https://www.sqlite.org/wal.html).

A change of a job and the events that tell of it are one transaction, so that after a kill both are there or neither. Every
commit is synced to disk; there are two in a second at most while a job runs.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from karat.output import make_folder
from karat.server.problems import Problem

Kind = Literal["train", "assay", "look", "make"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OPEN: tuple[State, ...] = ("queued", "running")
ENDED: tuple[State, ...] = ("succeeded", "failed", "cancelled")
DAMAGED = "jobs_damaged"
LAYOUT = 1  # of the tables below
LONGEST = 1000  # jobs that may wait
STOP, KILL = 1, 2  # what is asked of a job that runs
PATIENCE = 10.0  # seconds to wait for another process's transaction
TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    turn INTEGER NOT NULL UNIQUE,  -- the order of the queue
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    options TEXT NOT NULL,         -- JSON
    run TEXT,                      -- its folder
    caller TEXT NOT NULL,
    created REAL NOT NULL,         -- seconds since 1970, as all times
    started REAL,
    ended REAL,
    begun INTEGER NOT NULL DEFAULT 0,      -- times that a worker took it
    cancelling INTEGER NOT NULL DEFAULT 0, -- STOP or KILL
    deaths INTEGER NOT NULL DEFAULT 0,     -- of its workers, since it last got further
    reached REAL NOT NULL DEFAULT 0,       -- the fraction at the last death
    fraction REAL NOT NULL DEFAULT 0,
    logged INTEGER NOT NULL DEFAULT 0,     -- bytes of the log that are events
    result TEXT,                   -- JSON
    error TEXT,
    price TEXT                     -- JSON
);
CREATE INDEX jobs_by_state ON jobs (state, turn);
CREATE TABLE events (
    job TEXT NOT NULL REFERENCES jobs (id),
    number INTEGER NOT NULL,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,            -- JSON
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Event:
    """What happened to a job. Numbers begin at 1 and have no gaps.

    kind: "state" (data: state, and error where it failed), "message" (text: a line that the verb printed), "point" (run, step
    and fraction; the numbers themselves are the row of the run's history.jsonl with that step), "sample" (name: a file in the
    run's folder samples).
    """

    number: int
    time: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job as it stands in the table.

    run: the folder of the run that it makes or uses, if any.   times: seconds since 1970.   fraction: of a training's budget.
    result: what the verb found or made, as of `karat --json`.   error: why it failed, as the command line would say it.
    begun: how often a worker took it up.   price: what it is to take (see `pricing`).
    """

    id: str
    kind: Kind
    state: State
    options: dict[str, Any]
    run: Path | None
    caller: str
    created: float
    started: float | None
    ended: float | None
    begun: int
    cancelling: bool
    fraction: float
    result: dict[str, Any] | None
    error: str | None
    price: dict[str, Any] | None

    @property
    def over(self) -> bool:
        return self.state in ENDED


COLUMNS = (
    "id, kind, state, options, run, caller, created, started, ended, begun, cancelling, fraction, result, error, price"
)


class Table:
    """The tables, for one process; threads take turns.

    Problem (507 where the disk is full, else 503) where they cannot be read or written: what was committed stays.
    """

    def __init__(self, path: Path) -> None:
        """Opens what is there, or begins anew."""
        make_folder(path.parent, private=True)
        self.path, self._turn = path, threading.RLock()
        with explained(path):
            self._db = sqlite3.connect(path, PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            with explained(path):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
            self._found()
        except BaseException:
            self._db.close()
            raise

    def check(self) -> None:
        """Looks through the whole file; Problem where it is damaged."""
        found = self._read("PRAGMA quick_check(1)")[0][0]
        if found != "ok":
            raise Problem(503, DAMAGED, f"{self.path} is damaged ({' '.join(found.split())}).")

    def close(self) -> None:
        with self._turn:
            self._db.close()

    def add(
        self, kind: Kind, options: Mapping[str, Any], run: Path | None, caller: str, price: Mapping[str, Any] | None
    ) -> Job:
        """A new job at the end of the queue; Problem (409) where another that is not over trains the same run, (429)
        where too many wait."""
        name = "job-" + secrets.token_hex(6)
        with self._transaction() as db:
            if run is not None and kind == "train":
                taken = "SELECT id FROM jobs WHERE run = ? AND kind = 'train' AND state IN ('queued', 'running')"
                if (other := db.execute(taken, (str(run),)).fetchone()) is not None:
                    raise Problem(
                        409,
                        "run_is_taken",
                        f"{run.name} is to be trained by {other[0]} already; wait for its end.",
                        "run",
                    )
            if db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0] >= LONGEST:
                message = f"{LONGEST} jobs wait already; ask again when some are done."
                raise Problem(429, "queue_full", message, headers={"retry-after": "60"})
            turn = db.execute("SELECT coalesce(max(turn), 0) + 1 FROM jobs").fetchone()[0]
            db.execute(
                "INSERT INTO jobs (id, turn, kind, state, options, run, caller, created, price) "
                "VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
                (
                    *(name, turn, kind, json.dumps(options), None if run is None else str(run), caller, time.time()),
                    None if price is None else json.dumps(price),
                ),
            )
            self._tell(db, name, [("state", {"state": "queued"})])
        return self.get(name)

    def get(self, name: str) -> Job:
        """The job of that id; KeyError where there is none."""
        rows = self._read(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (name,))
        if not rows:
            raise KeyError(name)
        return _job(rows[0])

    def jobs(
        self, states: Sequence[str] = (), run: Path | None = None, most: int = 100, *, results: bool = False
    ) -> list[Job]:
        """Newest first: those in one of the `states`, if any are named, and of that run, if it is.

        results: with what they found or made, which is a whole report; None without.
        """
        wanted = f"state IN ({','.join('?' * len(states))})" if states else "1"
        of_run, values = ("1", []) if run is None else ("run = ?", [str(run)])
        columns = COLUMNS if results else COLUMNS.replace("result", "NULL")
        asked = f"SELECT {columns} FROM jobs WHERE {wanted} AND {of_run} ORDER BY turn DESC LIMIT ?"
        return [_job(row) for row in self._read(asked, (*states, *values, most))]

    def queue(self) -> list[str]:
        """The ids of those that wait, in their order."""
        return [row[0] for row in self._read("SELECT id FROM jobs WHERE state = 'queued' ORDER BY turn")]

    def events(self, name: str, after: int = 0, most: int = 1000) -> list[Event]:
        """Those of the job with numbers beyond `after`, in their order."""
        asked = "SELECT number, time, kind, data FROM events WHERE job = ? AND number > ? ORDER BY number LIMIT ?"
        return [Event(n, at, kind, json.loads(data)) for n, at, kind, data in self._read(asked, (name, after, most))]

    def tell(self, name: str, told: Iterable[tuple[str, Mapping[str, Any]]], **changes: Any) -> None:
        """Adds events to the job and changes columns of it, both or neither."""
        with self._transaction() as db:
            self._tell(db, name, told)
            if changes:
                columns = ", ".join(f"{column} = ?" for column in changes)
                db.execute(f"UPDATE jobs SET {columns} WHERE id = ?", (*changes.values(), name))

    def column(self, name: str, column: str) -> Any:
        return self._read(f"SELECT {column} FROM jobs WHERE id = ?", (name,))[0][0]

    def move(self, name: str, before: Sequence[str], to: State, **changes: Any) -> bool:
        """Whether the job was in one of the states `before`: then it is now in the state `to`, and its events say so."""
        with self._transaction() as db:
            marks = ",".join("?" * len(before))
            columns = "".join(f", {column} = ?" for column in changes)
            asked = f"UPDATE jobs SET state = ?{columns} WHERE id = ? AND state IN ({marks})"
            moved = db.execute(asked, (to, *changes.values(), name, *before)).rowcount == 1
            if moved:
                told = {"state": to} | {k: v for k, v in changes.items() if k == "error" and v is not None}
                self._tell(db, name, [("state", told)])
        return moved

    def last(self, name: str) -> None:
        """Puts the job behind all others that were ever asked for."""
        with self._transaction() as db:
            db.execute("UPDATE jobs SET turn = (SELECT max(turn) + 1 FROM jobs) WHERE id = ?", (name,))

    def _tell(self, db: sqlite3.Connection, name: str, told: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        last = db.execute("SELECT coalesce(max(number), 0) FROM events WHERE job = ?", (name,)).fetchone()[0]
        now = time.time()
        rows = [(name, last + i, now, kind, json.dumps(data)) for i, (kind, data) in enumerate(told, 1)]
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)

    def _read(self, asked: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._turn, explained(self.path):
            return self._db.execute(asked, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Holds the tables alone: what the body reads nobody changes before it writes."""
        with self._turn, explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    def _found(self) -> None:
        """Makes the tables where there are none."""
        with self._transaction() as db:
            layout = db.execute("PRAGMA user_version").fetchone()[0]
            if layout == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {LAYOUT}")
            elif layout != LAYOUT:
                raise Problem(
                    503,
                    "jobs_of_another_version",
                    f"{self.path} holds jobs in layout {layout}, of another version of karat; this one reads layout {LAYOUT}. "
                    "Serve with that version, or move the file away: the runs stay as they are.",
                )


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What SQLite says of a failure, as a `Problem`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            message = f"the disk of {path} is full. Free some room; nothing that was written is lost."
            raise Problem(507, "disk_full", message) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            message = f"{path} is damaged ({error}). A server that is started sets it aside and begins a new one."
            raise Problem(503, DAMAGED, message) from error
        raise Problem(503, "jobs_unusable", f"{path} cannot be used now: {error}.") from error


def _job(row: Sequence[Any]) -> Job:
    name, kind, state, options, run, caller, created, started, ended, begun, cancelling, fraction, *rest = row
    result, error, price = rest
    return Job(
        *(name, kind, state, json.loads(options), None if run is None else Path(run), caller, created, started, ended),
        *(begun, bool(cancelling), fraction, None if result is None else json.loads(result), error),
        None if price is None else json.loads(price),
    )
