"""What is asked of the jobs of a server: to try it, to train, to stop and go on, to assay."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request

from karat.server.guard import caller_of
from karat.server.jobs import Job
from karat.server.jobs.table import Kind
from karat.server.routes.jobs import submitted
from karat.server.served import Served, served

OPEN = ("queued", "running")


def submit(request: Request, kind: Kind, options: Mapping[str, Any]) -> Job:
    return submitted(kind, options, served(request), caller_of(request))


def jobs_of(parts: Served, path: Path) -> list[Job]:
    """The jobs of the run there, newest first."""
    return list(parts.jobs.list(run=path, most=20))


def at_work(parts: Served) -> list[Job]:
    """The jobs that wait or run, the next first."""
    return list(parts.jobs.list(OPEN))[::-1]


def below(parts: Served, path: Path) -> str:
    """The path as it is named from the served root."""
    return str(path.resolve().relative_to(parts.catalogue.root.resolve()))


def command(verb: str, first: str, **options: Any) -> str:
    """The line that asks the same in a terminal; what is None or False is left out."""
    words = ["karat", verb, *([first] if first else [])]
    for name, value in options.items():
        flag = "-n" if name == "n" else f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is True:
                words.append(flag)
            elif each is not None and each is not False:
                words += [flag, f"{each:g}" if isinstance(each, float) else str(each)]
    return shlex.join(words)
