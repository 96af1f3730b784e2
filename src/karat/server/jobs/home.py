"""Where the jobs of a served root lie."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from karat.output.files import flock
from karat.server.problems import Problem

FOLDER = ".karat"  # hidden, so that no run is looked for in it and no client's path leads there


@dataclass(frozen=True)
class Home:
    """Below `root`: the table of jobs, the lock of the worker, a log for each job."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / FOLDER

    @property
    def table(self) -> Path:
        return self.folder / "jobs.db"

    @property
    def lock(self) -> Path:
        return self.folder / "jobs.lock"

    def log(self, job: str) -> Path:
        return self.folder / "jobs" / f"{job}.log"


@contextlib.contextmanager
def locked(home: Home) -> Iterator[bool]:
    """Whether the lock of the worker could be had, which is then held; who is killed lets go of it."""
    handle = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield flock(handle)
    finally:
        os.close(handle)


def set_aside(home: Home) -> Path:
    """Gives the table another name, which is returned; Problem where a worker is at work with it."""
    with locked(home) as mine:
        if not mine:
            raise Problem(
                503, "jobs_in_use", f"{home.table} is damaged, and in use by another server; stop that first."
            )
        i, aside = 1, home.table.with_name("jobs.damaged.db")
        while aside.exists():
            i += 1
            aside = aside.with_name(f"jobs.damaged-{i}.db")
        for suffix in ("-wal", "-shm", ""):  # the table itself last: until then it is found damaged again
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{home.table}{suffix}", f"{aside}{suffix}")
        return aside
