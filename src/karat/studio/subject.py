"""A run as a page is about it: its row, its jobs, and the tabs of its pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from karat.run import Run
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio.page import page
from karat.studio.shelf import Row, row

TABS = ("verdict", "training", "money", "make", "review", "explore", "notes")
FIRST = {"engineer": "training", "reviewer": "review", "finance": "money", "compliance": "verdict"}  # by role


@dataclass(frozen=True)
class Subject:
    """A run that is there, or one that a job is about to make."""

    name: str
    path: Path
    row: Row | None

    @property
    def run(self) -> Run:
        """The run, opened; RunError where it is not there yet, or damaged."""
        return Run.open(self.path)


def subject(request: Request, name: str) -> Subject:
    """The run served under this name; Problem(404) where there is none."""
    path = served(request).catalogue.paths().get(name)
    if path is None:
        raise Problem(404, "model_not_found", f"there is no run {name!r}; it may have been deleted, or renamed.")
    return Subject(name, path, row(name, path))


def run_page(
    request: Request, about: Subject, template: str, tab: str, *, command: str, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page of the run, with its head and its tabs; the template extends run.html.j2.   tab: one of TABS."""
    return page(request, template, command=command, status=status, subject=about, tabs=TABS, tab=tab, **values)
