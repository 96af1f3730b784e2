"""What each key has made and what that cost, and who is logged in: a small SQLite file that outlives the server.

What a request may take is entered before anything is drawn, in one transaction that also looks at the quota, so that requests at
the same time, of several servers too, never take more together than is left. What was not used is given back. Of a server that
was killed, what its last requests were to take stays entered: a quota can then end a little early, and never late.

What a job may take is entered likewise, under its id, until its cost is known: the job may outlive the server.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from karat.server.guard.base import Base
from karat.server.guard.keys import Key, Keys
from karat.server.problems import Problem

TABLES = """
CREATE TABLE IF NOT EXISTS spent (key TEXT PRIMARY KEY, items INTEGER NOT NULL, money REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (sha256 TEXT PRIMARY KEY, key TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY, key TEXT NOT NULL, items INTEGER NOT NULL, money REAL NOT NULL, since REAL NOT NULL,
    open INTEGER NOT NULL  -- until what it cost is known
) WITHOUT ROWID;
"""
SESSION = 12 * 3600.0  # seconds that a login lasts
ROUNDING = 1e-9  # of sums of money


class Charge:
    """What one request takes from the quota of its key.   items, money: reserved for it."""

    def __init__(self, items: int, money: float) -> None:
        self.items, self.money = items, money
        self.used, self.cost = 0, 0.0

    def settle(self, items: int, money: float | None) -> None:
        """Says what was really made, and what that cost; without it, all is given back."""
        self.used, self.cost = items, 0.0 if money is None else money

    def keep(self) -> None:
        """Charges all that was reserved."""
        self.settle(self.items, self.money)


class Spending(Base):
    """What the keys have spent."""

    def __init__(self, path: Path, keys: Keys) -> None:
        super().__init__(path, TABLES)
        self.keys = keys

    @contextmanager
    def reserve(self, key: Key | None, items: int, money: float | None = None) -> Iterator[Charge]:
        """Takes `items`, and `money` as far as it can be foreseen, from what the key has left, until `Charge.settle` says more.

        key: of the caller; nothing is counted for one without a quota.   money: None where the run has no prices.
        Problem (429, insufficient_quota) where less is left; (403, no_price) for a quota in money where the run has no prices.
        """
        charge = Charge(items, 0.0 if money is None else money)
        if key is None or not _counted(key, money):
            yield charge
            return
        with self._changing() as base:
            _take(base, key, charge.items, charge.money)
        try:
            yield charge
        finally:
            with self._changing() as base:
                _enter(base, key.id, charge.used - charge.items, charge.cost - charge.money)

    def hold(self, job: str, key: Key, items: int, money: float | None) -> None:
        """Takes what a job may take in all from what its key has left, until `settle`; Problem as of `reserve`."""
        if not _counted(key, money):
            return
        with self._changing() as base:
            had, paid = base.execute("SELECT items, money FROM jobs WHERE job = ?", (job,)).fetchone() or (0, 0.0)
            items, money = max(items, had), max(money or 0.0, paid)
            _take(base, key, items - had, money - paid)
            held = (job, key.id, items, money, time.time(), 1)
            base.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?)", held)

    def held(self) -> dict[str, float]:
        """The jobs whose cost is not known, and since when, in seconds since 1970."""
        if not self.path.exists():
            return {}
        with self._reading() as base:
            return dict(base.execute("SELECT job, since FROM jobs WHERE open").fetchall())

    def settle(self, job: str, items: int, money: float) -> None:
        """Enters what a job has made and cost in all in place of what was held for it."""
        with self._changing() as base:
            found = base.execute("SELECT key, items, money FROM jobs WHERE job = ? AND open", (job,)).fetchone()
            if found is not None:
                _enter(base, found[0], items - found[1], money - found[2])
                base.execute("UPDATE jobs SET items = ?, money = ?, open = 0 WHERE job = ?", (items, money, job))

    def forget(self, job: str) -> None:
        """No more is heard of a job; what was entered for it stays spent."""
        if self.path.exists():
            with self._changing() as base:
                base.execute("DELETE FROM jobs WHERE job = ?", (job,))

    def spent(self, key: Key) -> tuple[int, float]:
        """Items and money that the key has used, with what is reserved for requests under way."""
        with self._reading() as base:
            found = base.execute("SELECT items, money FROM spent WHERE key = ?", (key.id,)).fetchone()
        return (0, 0.0) if found is None else (int(found[0]), float(found[1]))

    def log_in(self, text: str) -> str | None:
        """A token that stands for the key with this text for SESSION seconds; None where there is no such key."""
        key = self.keys.find(text)
        if key is None:
            return None
        token = secrets.token_urlsafe(32)
        with self._changing() as base:
            base.execute("DELETE FROM sessions WHERE expires < ?", (time.time(),))
            base.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(token), key.id, time.time() + SESSION))
        return token

    def log_out(self, token: str) -> None:
        """The token stands for nothing from now on."""
        with self._changing() as base:
            base.execute("DELETE FROM sessions WHERE sha256 = ?", (_digest(token),))

    def logged_in(self, token: str) -> Key | None:
        """The key that a token stands for, while it is neither revoked nor expired.

        The file is asked for the token's digest: how long that takes tells nothing of the token.
        """
        if not self.path.exists():
            return None
        with self._reading() as base:
            found = base.execute(
                "SELECT key FROM sessions WHERE sha256 = ? AND expires > ?", (_digest(token), time.time())
            ).fetchone()
        return None if found is None else self.keys.of(found[0])


def _counted(key: Key, money: float | None) -> bool:
    """Whether the key has a quota; Problem where it is one in money, and there is no price."""
    if key.money is not None and money is None:
        raise Problem(403, "no_price", f"the key {key.name} has a quota in money, and there is no price for this.")
    return key.items is not None or key.money is not None


def _take(base: sqlite3.Connection, key: Key, items: int, money: float) -> None:
    """Enters so much more; Problem where that is not left."""
    base.execute("INSERT OR IGNORE INTO spent VALUES (?, 0, 0)", (key.id,))
    had, paid = base.execute("SELECT items, money FROM spent WHERE key = ?", (key.id,)).fetchone()
    _check_left(key, items, had, money, paid)
    _enter(base, key.id, items, money)


def _enter(base: sqlite3.Connection, key: str, items: int, money: float) -> None:
    base.execute("UPDATE spent SET items = items + ?, money = max(0, money + ?) WHERE key = ?", (items, money, key))


def _check_left(key: Key, items: int, had: int, money: float, paid: float) -> None:
    """Problem where the key's quota ends before the request does."""
    if key.items is not None and had + items > key.items:
        left, asked = f"{max(0, key.items - had):,} items of {key.items:,}", f"{items:,} were asked for"
    elif key.money is not None and (paid >= key.money or paid + money > key.money + ROUNDING):
        left, asked = f"{max(0.0, key.money - paid):.2f} of its money", f"this would take about {money:.2f}"
    else:
        return
    message = (
        f"the key {key.name} has {left} left, and {asked}. Who keeps the server can make a key with a larger quota."
    )
    raise Problem(429, "insufficient_quota", message, headers={"x-should-retry": "false"})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
