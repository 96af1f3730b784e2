"""Where the jobs of a served root lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
