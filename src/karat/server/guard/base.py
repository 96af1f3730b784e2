"""A small SQLite file of the server's own, that outlives it and that several servers may share."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from karat.output import make_folder
from karat.output.files import private


class Base:
    """The file at `path`, made when it is first needed, with `tables`. All its methods may be called from any thread."""

    def __init__(self, path: Path, tables: str) -> None:
        self.path, self._tables = path, tables
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other has beside it; undone by an exception."""
        with self._reading() as base:
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
            except BaseException:
                if base.in_transaction:  # a full disk has undone it already
                    base.execute("ROLLBACK")
                raise
            base.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """OSError where the disk is full, as of any other file."""
        with self._lock:
            try:
                yield self._connected()
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path) from error
                raise

    def _connected(self) -> sqlite3.Connection:
        if self._open is None:
            make_folder(self.path.parent, private=True)
            os.close(private(str(self.path), os.O_RDWR | os.O_CREAT))  # its mode before anything is in it
            self._open = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            self._open.execute("PRAGMA journal_mode = WAL")
            self._open.execute("PRAGMA synchronous = NORMAL")
            self._open.executescript(self._tables)
        return self._open
