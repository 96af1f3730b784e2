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
from dataclasses import dataclass, fields
from itertools import zip_longest
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
LAYOUT = 2  # of the tables below
UPGRADES = {1: "ALTER TABLE jobs ADD COLUMN cost TEXT"}  # from each layout before to the next
EACH, ALL = 100, 10  # jobs of one caller that may wait, and how many times as many of all
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
    caller TEXT NOT NULL,          -- the id of the key
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
    price TEXT,                    -- JSON
    cost TEXT                      -- JSON
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
    begun: how often a worker took it up.   price: what it is to take, cost: what it took so far (see `pricing`).
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
    cost: dict[str, Any] | None

    @property
    def over(self) -> bool:
        return self.state in ENDED


COLUMNS = ", ".join(field.name for field in fields(Job))


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
        self,
        kind: Kind,
        options: Mapping[str, Any],
        run: Path | None,
        caller: str,
        price: Mapping[str, Any] | None,
        name: str | None = None,
        each: int = EACH,
    ) -> Job:
        """A new job at the end of the queue; Problem (409) where another that is not over trains the same run, (429) where
        `each` of this caller's wait, or too many in all.   name: of `new_name`."""
        name = new_name() if name is None else name
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
            _require_room(db, caller, each)
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
        """The ids of those that wait, in their order: callers take turns, he first whose last job was begun first.

        What is to be done with a run stays in its order, in the turns of who asked first.
        """
        waiting = self._read("SELECT id, caller, run FROM jobs WHERE state = 'queued' ORDER BY turn")
        last = dict(self._read("SELECT caller, max(coalesce(started, 0)) FROM jobs GROUP BY caller"))
        lines, of_run = dict[str, list[str]](), dict[str, str]()
        for name, caller, run in waiting:
            line = caller if run is None else of_run.setdefault(run, caller)
            lines.setdefault(line, []).append(name)
        rounds = zip_longest(*(lines[line] for line in sorted(lines, key=lambda line: last.get(line, 0.0))))
        return [name for turn in rounds for name in turn if name is not None]

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

    def remove(self, name: str) -> bool:
        """Whether the job was over: then nothing is left of it and its events."""
        with self._transaction() as db:
            if not db.execute(f"SELECT 1 FROM jobs WHERE id = ? AND state IN {ENDED}", (name,)).fetchone():
                return False
            db.execute("DELETE FROM events WHERE job = ?", (name,))
            db.execute("DELETE FROM jobs WHERE id = ?", (name,))
        return True

    def beyond(self, kept: int) -> list[str]:
        """The ids of those that are over, but for the last `kept`."""
        asked = f"SELECT id FROM jobs WHERE state IN {ENDED} ORDER BY turn DESC LIMIT -1 OFFSET ?"
        return [row[0] for row in self._read(asked, (kept,))]

    def again(self, job: Job, each: int = EACH) -> bool:
        """Whether the job was cancelled or had failed: then it waits behind all others. Problem (429) as of `add`."""
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM jobs WHERE id = ? AND state IN ('cancelled', 'failed')", (job.id,)).fetchone():
                _require_room(db, job.caller, each)
                cleared = "state = 'queued', cancelling = 0, deaths = 0, error = NULL, ended = NULL"
                turn = "turn = (SELECT max(turn) + 1 FROM jobs)"
                db.execute(f"UPDATE jobs SET {cleared}, {turn} WHERE id = ?", (job.id,))
                self._tell(db, job.id, [("state", {"state": "queued"})])
                return True
        return False

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
            elif layout in UPGRADES:
                db.execute(UPGRADES[layout])
                db.execute(f"PRAGMA user_version = {layout + 1}")
            elif layout != LAYOUT:
                raise Problem(
                    503,
                    "jobs_of_another_version",
                    f"{self.path} holds jobs in layout {layout}, of another version of karat; this one reads layout {LAYOUT}. "
                    "Serve with that version, or move the file away: the runs stay as they are.",
                )


def _require_room(db: sqlite3.Connection, caller: str, each: int) -> None:
    """Problem where `each` jobs of the caller wait, or too many in all."""
    waiting = "SELECT count(*), coalesce(sum(caller = ?), 0) FROM jobs WHERE state = 'queued'"
    every, own = db.execute(waiting, (caller,)).fetchone()
    if own >= each or every >= ALL * each:
        message = f"{own} jobs of yours wait already, and {every} in all; ask again when some are done."
        raise Problem(429, "queue_full", message, headers={"retry-after": "60"})


def new_name() -> str:
    return "job-" + secrets.token_hex(6)


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
    found = dict(zip(COLUMNS.split(", "), row, strict=True))
    plain = {
        name: None if found[name] is None else json.loads(found[name])
        for name in ("options", "result", "price", "cost")
    }
    run = None if found["run"] is None else Path(found["run"])
    return Job(**{**found, **plain, "run": run, "cancelling": bool(found["cancelling"])})
