"""/v1/train, /v1/jobs and what belongs to a job: its events as they come, its log, its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from karat.server.bodies import Route
from karat.server.catalogue import Catalogue
from karat.server.forms import Form, said, takes
from karat.server.guard import Caller, caller_of
from karat.server.guard.access import MAKE
from karat.server.jobs import Event, Job, Kind, State
from karat.server.jobs.asked import FORMS, OF_RUN
from karat.server.problems import Problem, below, in_fields, without_places
from karat.server.routes.documented import errors
from karat.server.served import Served, served

ROUTER = APIRouter(tags=["jobs"], route_class=Route)
Parts = Annotated[Served, Depends(served)]
Who = Annotated[Caller, Depends(caller_of)]
LOOK, BEAT = 0.3, 15.0  # seconds between two looks for events, and between two comments that keep a connection open
RETRY = 1000  # milliseconds after which a client that lost its connection comes again


class Submitted(Form):
    """A job of any kind, with the options of that verb."""

    kind: Kind
    options: dict[str, Any]


@ROUTER.post("/v1/train", status_code=202, responses=errors(403, 404, 409, 429, 503))
@takes(FORMS["train"])
def train(asked: Form, parts: Parts, caller: Who) -> dict[str, Any]:
    """Train a generator, or continue a run: a job."""
    return shown(submitted("train", asked, parts, caller), parts)


@ROUTER.post("/v1/train/price", responses=errors(404, 409))
@takes(FORMS["train"])
def price(asked: Form, parts: Parts) -> dict[str, Any]:
    """What such a training would take: minutes and money, null where nobody can say before a job looked at the data."""
    return {"object": "price", "price": parts.jobs.price(asked)}


@ROUTER.post("/v1/runs/{name}/assay", status_code=202, responses=errors(429, 503))
@takes(OF_RUN["assay"])
def assay(name: str, asked: Form, parts: Parts, caller: Who) -> dict[str, Any]:
    """Find out what the run is worth: a job, whose result is the report."""
    return shown(submitted("assay", {**said(asked), "run": name}, parts, caller), parts)


@ROUTER.post("/v1/jobs", status_code=202, responses=errors(403, 404, 409, 429, 503))
def submit(asked: Submitted, parts: Parts, caller: Who) -> dict[str, Any]:
    """A job of any kind: train, assay, look or make, with the options of that verb."""
    return shown(submitted(asked.kind, asked.options, parts, caller), parts)


def submitted(kind: Kind, given: Form | Mapping[str, Any], parts: Served, caller: Caller) -> Job:
    """The job. What a make draws, and what a training is to cost, is taken at once from what the caller's key may spend, since
    the job may outlive the key; Problem (403, 422, 429) where that is not enough, or not known."""
    if kind == "make" and MAKE not in caller.scopes:
        raise Problem(403, "missing_scope", f"the key {caller.name} may not make; it takes one with the scope {MAKE}.")
    if kind not in ("train", "make") or caller.key is None:
        return parts.jobs.submit(kind, given, caller.name)
    items: Any = 0
    money = None
    if kind == "train":
        price = parts.jobs.price(given)
        money = None if price is None else price["money"]
    else:
        items = (said(given) if isinstance(given, Form) else given).get("n")
        if not isinstance(items, int):
            raise Problem(422, "missing_field", "n is missing: by a key a job makes as many records as it says.", "n")
    with parts.guard.spending.reserve(caller.key, items, money) as charge:
        job = parts.jobs.submit(kind, given, caller.name)
        charge.keep()
    return job


@ROUTER.get("/v1/jobs")
def jobs(
    parts: Parts,
    state: Annotated[list[State] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Jobs, newest first."""
    names = run_names(parts.catalogue)
    found = [shown(job, parts, names) for job in parts.jobs.list(state or (), most=limit)]
    notes = [_text(note, parts.catalogue.hidden) for note in parts.jobs.notes]
    return {"object": "list", "data": found, "notes": notes}


@ROUTER.get("/v1/jobs/{job}")
def job(job: str, parts: Parts) -> dict[str, Any]:
    """One job."""
    return shown(parts.jobs.get(job), parts)


@ROUTER.post("/v1/jobs/{job}/cancel", responses=errors(409))
def cancel(job: str, parts: Parts) -> dict[str, Any]:
    """Take a job out of the queue, or stop it as Ctrl-C does; a training is saved, and can be resumed."""
    return shown(parts.jobs.cancel(job), parts)


@ROUTER.post("/v1/jobs/{job}/resume", responses=errors(409))
def resume(job: str, parts: Parts) -> dict[str, Any]:
    """Put a job that was cancelled or failed into the queue again; a training goes on where it was saved."""
    return shown(parts.jobs.resume(job), parts)


@ROUTER.get("/v1/jobs/{job}/log", response_class=PlainTextResponse)
def log(job: str, parts: Parts) -> str:
    """All that the job printed."""
    return without_places(parts.jobs.log(job), parts.catalogue.hidden)


@ROUTER.get("/v1/jobs/{job}/events")
async def events(
    job: str,
    request: Request,
    parts: Parts,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What happens to a job, from the beginning or after a number.

    As a stream of server-sent events where the client accepts `text/event-stream`, which ends with the job; 204 to a client
    that comes again after that end. Else as a list, at most 1,000.
    """
    hidden = parts.catalogue.hidden
    found = await asyncio.to_thread(parts.jobs.get, job)
    if last_event_id is not None:
        after = max(after, int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0)
    if "text/event-stream" not in request.headers.get("accept", ""):
        listed = await asyncio.to_thread(parts.jobs.events, job, after)
        return JSONResponse({"object": "list", "data": [told(event, hidden) for event in listed]})
    if found.over and not await asyncio.to_thread(parts.jobs.events, job, after, 1):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy that gathers would hold them back
    return StreamingResponse(_stream(parts, job, after), media_type="text/event-stream", headers=headers)


async def _stream(parts: Served, job: str, after: int) -> AsyncIterator[str]:
    """Holds nothing between two looks, so that a client who leaves leaves nothing behind."""
    yield f"retry: {RETRY}\n\n"
    loop = asyncio.get_running_loop()
    spoke = loop.time()
    jobs, hidden = parts.jobs, parts.catalogue.hidden
    while not parts.guard.draining:  # a client comes again, to the next server, with the number of its last event
        over = (await asyncio.to_thread(jobs.get, job)).over  # before the events: its last one is there then
        new = await asyncio.to_thread(jobs.events, job, after)
        for event in new:
            yield f"id: {event.number}\nevent: {event.kind}\ndata: {json.dumps(told(event, hidden))}\n\n"
            after = event.number
        if new:
            spoke = loop.time()
            continue
        if over:
            return
        if loop.time() - spoke > BEAT:
            spoke = loop.time()
            yield ": still there\n\n"
        await asyncio.sleep(LOOK)


def told(event: Event, hidden: tuple[Path, ...]) -> dict[str, Any]:
    """An event as a client sees it."""
    texts = {key: _text(value, hidden) for key, value in event.data.items() if isinstance(value, str)}
    return {"number": event.number, "time": event.time, "type": event.kind, **event.data, **texts}


def shown(job: Job, parts: Served, names: dict[Path, str] | None = None) -> dict[str, Any]:
    """The job as a client sees it, where paths are those from the served root."""
    hidden = parts.catalogue.hidden
    names = run_names(parts.catalogue) if names is None else names
    error = None if job.error is None else Problem(400, "job_failed", _text(job.error, hidden)).body()["error"]
    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "state": job.state,
        "cancelling": job.cancelling and job.state == "running",
        "run": None if job.run is None else names.get(job.run, job.run.name),
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "fraction": job.fraction,
        "place": parts.jobs.place(job),
        "options": below(job.options, hidden),
        "price": job.price,
        "result": below(job.result, hidden),
        "error": error,
    }


def run_names(catalogue: Catalogue) -> dict[Path, str]:
    """The names of runs by their folders."""
    return {path: name for name, path in catalogue.paths().items()}


def _text(text: str, hidden: tuple[Path, ...]) -> str:
    return in_fields(without_places(text, hidden))
