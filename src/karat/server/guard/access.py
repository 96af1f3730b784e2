"""What each route asks of a key. A route that is not listed is not served, and the application does not start with one.

A test compares these tables with the routes of the application.
"""

from __future__ import annotations

from dataclasses import dataclass
from re import Pattern
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

OPEN = "open"  # without a key
ANY = "any"  # with any key
MAKE, READ, TRAIN, REVIEW, ADMIN = "make", "read", "train", "review", "admin"

HEALTH = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": READ,
    "GET /openapi.json": ANY,
}
API: dict[str, str] = {
    "GET /v1/models": ANY,
    "GET /v1/models/{model}": ANY,
    "POST /v1/images/generations": MAKE,
    "POST /v1/audio/speech": MAKE,
    "POST /v1/completions": MAKE,
    "POST /v1/rows": MAKE,
    "GET /v1/runs": READ,
    "GET /v1/runs/{name}": READ,
    "POST /v1/runs/{name}/make": MAKE,
    "GET /v1/runs/{name}/report": READ,
    "POST /v1/look": TRAIN,
    "POST /v1/check": READ,
    "POST /v1/content_provenance_checks": READ,
    "GET /v1/uploads": TRAIN,
    "POST /v1/uploads": TRAIN,
    "DELETE /v1/uploads/{name}": TRAIN,
}
JOBS: dict[str, str] = {
    "POST /v1/train": TRAIN,
    "POST /v1/train/price": TRAIN,
    "POST /v1/runs/{name}/assay": TRAIN,
    "POST /v1/jobs": TRAIN,
    "GET /v1/jobs": READ,
    "GET /v1/jobs/{job}": READ,
    "DELETE /v1/jobs/{job}": TRAIN,
    "POST /v1/jobs/{job}/cancel": TRAIN,
    "POST /v1/jobs/{job}/resume": TRAIN,
    "GET /v1/jobs/{job}/log": READ,
    "GET /v1/jobs/{job}/events": READ,
}
STUDIO: dict[str, str] = {
    "GET /login": OPEN,
    "POST /login": OPEN,
    "POST /logout": ANY,
    "GET /": READ,
    "POST /language": OPEN,
    "POST /role": ANY,
    "GET /static/{name}": OPEN,  # styles and scripts, which are the same everywhere
    "GET /runs": READ,
    "GET /runs/{name}": READ,
    "GET /runs/{name}/verdict": READ,
    "GET /runs/{name}/report": READ,
    "GET /runs/{name}/permission": READ,
    "GET /runs/{name}/training": READ,
    "GET /runs/{name}/training/live": READ,
    "GET /runs/{name}/samples/{file}": READ,
    "GET /runs/{name}/money": READ,
    "GET /runs/{name}/notes": READ,
    "GET /compare": READ,
    "GET /compare/{key}": READ,
    "GET /compare/{key}/page": READ,
    "GET /bin": READ,
    "GET /data": TRAIN,
    "GET /data/look": TRAIN,
    "GET /data/look/part": TRAIN,
    "GET /data/sheet": TRAIN,
    "GET /data/recipes": TRAIN,
    "POST /data/upload": TRAIN,
    "POST /try": TRAIN,
    "POST /train": TRAIN,
    "POST /compare": TRAIN,
    "POST /runs/{name}/stop": TRAIN,
    "POST /runs/{name}/continue": TRAIN,
    "POST /runs/{name}/assay": TRAIN,
    "POST /runs/{name}/money": TRAIN,
    "POST /runs/{name}/notes": TRAIN,
    "POST /runs/{name}/sign": REVIEW,
    "POST /runs/{name}/delete": ADMIN,
    "POST /bin/restore": ADMIN,
    "GET /check": READ,
    "POST /check": READ,
    "GET /runs/{name}/make": MAKE,
    "POST /runs/{name}/make": MAKE,
    "GET /runs/{name}/made/{place}": READ,
    "GET /runs/{name}/made/{place}/thing/{at}": READ,
    "GET /runs/{name}/made/{place}/file/{file}": READ,
    "GET /runs/{name}/made/{place}/archive": READ,
    "GET /runs/{name}/explore": MAKE,
    "GET /runs/{name}/explore/thing/{at}": MAKE,
    "GET /runs/{name}/explore/near/{at}": REVIEW,
    "GET /runs/{name}/explore/rows": MAKE,
    "GET /runs/{name}/review": REVIEW,
    "GET /runs/{name}/review/look/{position}": REVIEW,
    "GET /runs/{name}/review/file/{position}": REVIEW,
    "GET /runs/{name}/review/near/{position}": REVIEW,
    "GET /runs/{name}/record/{at}": REVIEW,
    "POST /runs/{name}/review/presses": REVIEW,
    "POST /runs/{name}/review/undo": REVIEW,
    "POST /runs/{name}/review/mended": REVIEW,
}
SCOPE = HEALTH | API | JOBS | STUDIO

# Routes that take files: their bodies may have as many megabytes as --upload says, others' one.
UPLOADS: set[str] = {
    "POST /check",
    "POST /data/upload",
    "POST /runs/{name}/review/mended",
    "POST /v1/check",
    "POST /v1/content_provenance_checks",
    "POST /v1/uploads",
}


@dataclass(frozen=True)
class Route:
    """One method of a route.   template: its path.   scope: what it asks for.   upload: whether it takes files."""

    method: str
    template: str
    pattern: Pattern[str]
    scope: str
    upload: bool


def routes_of(app: FastAPI) -> tuple[Route, ...]:
    """The routes in the order in which the application itself tries them. AssertionError for one that is not in the tables."""
    found, missing = [], []
    for context in iter_route_contexts(app.routes):
        path: Any = context.path
        mount = context.methods is None  # a folder of files: all below its path, to be read
        pattern = compile_path(f"{path}/{{path:path}}" if mount else path)[0]
        for method in ("GET", "HEAD") if mount else sorted(context.methods or ()):
            row = f"{'GET' if method == 'HEAD' else method} {path}"
            if row in SCOPE:
                found.append(Route(method, path, pattern, SCOPE[row], row in UPLOADS))
            else:
                missing.append(row)
    assert not missing, f"say in server/guard/access.py which scope these routes ask for: {missing}"
    return tuple(found)
