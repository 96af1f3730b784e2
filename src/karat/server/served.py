"""What every route finds at `request.app.state.served`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from karat.options import ServeOptions
from karat.server.book import Book
from karat.server.catalogue import Catalogue
from karat.server.engine import Engine
from karat.server.guard import Guard
from karat.server.jobs import Jobs
from karat.server.uploads import Uploads


@dataclass(frozen=True)
class Served:
    """The parts of a server, made once in `app.application` and closed with it."""

    options: ServeOptions
    catalogue: Catalogue
    guard: Guard
    book: Book
    engine: Engine
    jobs: Jobs
    uploads: Uploads


class Closes(Protocol):
    """A part that holds threads, processes or files."""

    def close(self) -> None: ...


def served(request: Request) -> Served:
    """The parts of the server that a request came to; for `fastapi.Depends`."""
    found: Served = request.app.state.served
    return found
