"""The application: parts, routes, errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response

from karat import __version__
from karat.options import ServeOptions
from karat.server import openapi, problems
from karat.server.book import Book
from karat.server.catalogue import Catalogue
from karat.server.engine import Engine
from karat.server.guard import Guard, Middleware, routes_of
from karat.server.guard.guard import FOLDER
from karat.server.jobs import Jobs
from karat.server.problems import Problem
from karat.server.routes import data, health, jobs, models, pictures, rows, runs, sounds, texts, uploads
from karat.server.served import Served
from karat.server.uploads import Uploads

PARTS = (
    health,
    models,
    pictures,
    sounds,
    texts,
    rows,
    runs,
    data,
    uploads,
    jobs,
)  # of the API, in the order of its description


def application(
    options: ServeOptions,
    pages: Sequence[APIRouter] = (),
    failure: Callable[[Request, Problem], Response] | None = None,
) -> FastAPI:
    """The application of `karat serve`, for uvicorn or a test's client.   pages: those of the studio, and its page of a failure."""
    catalogue = catalogue_of(options)
    guard = Guard(options, catalogue.root)
    engine = Engine(catalogue, options, guard.registry, guard.spending, lambda: guard.making)
    guard.admit, guard.full, guard.failure = engine.admit, engine.full, failure
    jobs_ = Jobs(catalogue, guard.spending, options.jobs, options.history)
    uploads_ = Uploads(catalogue.uploads, catalogue.root / FOLDER / "uploads.db", options.uploads * 2**20)
    served = Served(options, catalogue, guard, Book(), engine, jobs_, uploads_)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.jobs.start()
        try:
            yield
        finally:
            for part in reversed([getattr(served, field.name) for field in fields(served)]):
                if hasattr(part, "close"):
                    await asyncio.to_thread(part.close)

    app = FastAPI(
        title="karat",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.served = served
    problems.install(app, catalogue.hidden)
    for router in (*(part.ROUTER for part in PARTS), *pages):
        app.include_router(router)
    app.openapi = lambda: openapi.described(app)  # type: ignore[method-assign]
    app.add_middleware(Middleware, guard=guard, routes=routes_of(app))
    return app


def catalogue_of(options: ServeOptions) -> Catalogue:
    """The runs that `options` name, and the folder for new ones."""
    folders = tuple(map(Path, options.runs)) or (Path("runs"),)
    root, whole = options.root, options.root is not None
    if root is None:
        root = Path(os.path.commonpath([folder.resolve() for folder in folders]))
        root = root.parent if (root / "karat.json").is_file() else root
    return Catalogue(folders, Path(root), whole)
