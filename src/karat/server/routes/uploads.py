"""/v1/uploads: data that a caller sends, to be looked at and learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile

from karat.server.bodies import Route
from karat.server.guard import Caller, caller_of
from karat.server.jobs.table import OPEN
from karat.server.problems import Problem
from karat.server.routes.documented import errors
from karat.server.served import Served, served

ROUTER = APIRouter(tags=["data"], route_class=Route)
Parts = Annotated[Served, Depends(served)]
Who = Annotated[Caller, Depends(caller_of)]
Sent = Annotated[list[UploadFile], File(description="The files; a name with / in it is a path in the upload's folder.")]
Into = Annotated[str | None, Form(description="The name of an earlier upload of yours, a folder, to add files to.")]


@ROUTER.get("/v1/uploads")
def uploads(parts: Parts, caller: Who) -> dict[str, Any]:
    """What you sent, to an admin all that was sent, newest first."""
    found = [
        {"name": each.name, "place": f"uploads/{each.name}", "bytes": each.bytes, "created": each.since}
        for each in parts.uploads.of(caller)
    ]
    return {"object": "list", "data": found}


@ROUTER.post("/v1/uploads", status_code=201, responses=errors(403, 409, 507))
async def upload(request: Request, files: Sent, parts: Parts, caller: Who, into: Into = None) -> dict[str, Any]:
    """Send data: a file, or several, which lie in a folder. `place` is what a look or a training takes."""
    goal = await parts.uploads.keep(files, into, caller)
    return {"object": "upload", "name": goal.name, "place": f"uploads/{goal.name}"}


@ROUTER.delete("/v1/uploads/{name}", status_code=204, responses=errors(404, 409))
def delete(name: str, parts: Parts, caller: Who) -> None:
    """Delete what you sent; an admin deletes anybody's."""
    goal = parts.uploads.folder / name
    for job in parts.jobs.list(OPEN, most=100_000):
        if any(Path(str(job.options.get(field, ""))).is_relative_to(goal) for field in ("source", "data", "real")):
            raise Problem(409, "in_use", f"a job needs {name[:80]}; wait for its end, or cancel it.")
    parts.uploads.delete(name, caller)
