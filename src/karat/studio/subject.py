"""A run as a page is about it: its row, its jobs, and the tabs of its pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from karat.run import Run
from karat.server.jobs import Job
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio.page import page
from karat.studio.shelf import Row, row
from karat.studio.work import OPEN, at_work, jobs_of
from karat.worth.prices import FILE_NAME

TABS = ("verdict", "training", "money", "permission", "make", "review", "explore", "notes")
FIRST = {"engineer": "training", "reviewer": "review", "finance": "money", "compliance": "permission"}  # by role


@dataclass(frozen=True)
class Subject:
    """A run that is there, or one that a job is about to make, which has no row yet.   jobs: newest first."""

    name: str
    path: Path
    row: Row | None
    jobs: tuple[Job, ...]

    @property
    def run(self) -> Run:
        """The run, opened; RunError where it is not there yet, or damaged."""
        return Run.open(self.path)

    @property
    def prices(self) -> Path | None:
        """The price list by which it was assayed last, where it has none of its own."""
        if (self.path / FILE_NAME).is_file():
            return None
        named = (job.options.get("prices") for job in self.jobs if job.kind == "assay")
        return next((Path(path) for path in named if path and Path(path).is_file()), None)

    @property
    def working(self) -> Job | None:
        """The job of it that is done now, else the first of those that wait."""
        return next((job for job in reversed(self.jobs) if job.state in OPEN), None)


def subject(request: Request, name: str) -> Subject:
    """The run of this name, or what a job is to make under it; Problem(404) where there is none."""
    parts = served(request)
    path = parts.catalogue.paths().get(name)
    if path is not None:
        return Subject(name, path, row(name, path), tuple(jobs_of(parts, path)))
    for job in [*at_work(parts), *parts.jobs.list(("failed", "cancelled"))]:
        if job.run is not None and job.run.name == name:
            return Subject(name, job.run, None, tuple(jobs_of(parts, job.run)))
    raise Problem(404, "model_not_found", f"there is no run {name!r}; it may have been deleted, or renamed.")


def run_page(
    request: Request, about: Subject, template: str, tab: str, *, command: str, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page of the run, with its head and its tabs; the template extends run.html.j2.   tab: one of TABS."""
    return page(request, template, command=command, status=status, subject=about, tabs=TABS, tab=tab, **values)
