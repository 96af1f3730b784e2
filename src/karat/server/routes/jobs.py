"""/v1/train, /v1/jobs and what belongs to a job: its events as they come, its log, its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
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
    return shown(submitted("train", asked, parts, caller), parts, caller)


@ROUTER.post("/v1/train/price", responses=errors(404, 409))
@takes(FORMS["train"])
def price(asked: Form, parts: Parts) -> dict[str, Any]:
    """What such a training would take: minutes and money, null where nobody can say before a job looked at the data."""
    return {"object": "price", "price": parts.jobs.price(asked)}


@ROUTER.post("/v1/runs/{name}/assay", status_code=202, responses=errors(429, 503))
@takes(OF_RUN["assay"])
def assay(name: str, asked: Form, parts: Parts, caller: Who) -> dict[str, Any]:
    """Find out what the run is worth: a job, whose result is the report."""
    return shown(submitted("assay", {**said(asked), "run": name}, parts, caller), parts, caller)


@ROUTER.post("/v1/jobs", status_code=202, responses=errors(403, 404, 409, 429, 503))
def submit(asked: Submitted, parts: Parts, caller: Who) -> dict[str, Any]:
    """A job of any kind: train, assay, look or make, with the options of that verb."""
    return shown(submitted(asked.kind, asked.options, parts, caller), parts, caller)


def submitted(kind: Kind, given: Form | Mapping[str, Any], parts: Served, caller: Caller) -> Job:
    """The job; Problem (403, 422) for a make whose caller may not make, or by a key does not say how much."""
    if kind == "make" and MAKE not in caller.scopes:
        raise Problem(403, "missing_scope", f"the key {caller.name} may not make; it takes one with the scope {MAKE}.")
    if kind == "make" and caller.key is not None:
        number = (said(given) if isinstance(given, Form) else given).get("n")
        if not isinstance(number, int):
            raise Problem(422, "missing_field", "n is missing: by a key a job makes as many records as it says.", "n")
    return parts.jobs.submit(kind, given, caller)


@ROUTER.get("/v1/jobs")
def jobs(
    parts: Parts,
    caller: Who,
    state: Annotated[list[State] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Jobs, newest first."""
    found = listed(parts.jobs.list(state or (), most=limit), parts, caller)
    notes = [_text(note, parts.catalogue.hidden) for note in parts.jobs.notes]
    return {"object": "list", "data": found, "notes": notes}


@ROUTER.get("/v1/jobs/{job}")
def job(job: str, parts: Parts, caller: Who) -> dict[str, Any]:
    """One job. What was asked and found, and why it failed, is told to who asked for it, and to an admin."""
    return shown(parts.jobs.get(job), parts, caller)


@ROUTER.delete("/v1/jobs/{job}", status_code=204, responses=errors(403, 409))
def delete(job: str, parts: Parts, caller: Who) -> None:
    """Forget a job that is over, with its events and its log; what it made stays."""
    parts.jobs.delete(job, caller)


@ROUTER.post("/v1/jobs/{job}/cancel", responses=errors(403, 409))
def cancel(job: str, parts: Parts, caller: Who) -> dict[str, Any]:
    """Take a job out of the queue, or stop it as Ctrl-C does; a training is saved, and can be resumed."""
    return shown(parts.jobs.cancel(job, caller), parts, caller)


@ROUTER.post("/v1/jobs/{job}/resume", responses=errors(403, 409, 429))
def resume(job: str, parts: Parts, caller: Who) -> dict[str, Any]:
    """Put a job that was cancelled or failed into the queue again; a training goes on where it was saved."""
    return shown(parts.jobs.resume(job, caller), parts, caller)


@ROUTER.get("/v1/jobs/{job}/log", response_class=PlainTextResponse, responses=errors(403))
def log(job: str, parts: Parts, caller: Who) -> str:
    """All that the job printed, for who asked for it and an admin."""
    return without_places(parts.jobs.log(job, caller), parts.catalogue.hidden)


@ROUTER.get("/v1/jobs/{job}/events")
async def events(
    job: str,
    request: Request,
    parts: Parts,
    caller: Who,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What happens to a job, from the beginning or after a number.

    What it printed, and why it failed, is told to who asked for it, and to an admin.

    As a stream of server-sent events where the client accepts `text/event-stream`, which ends with the job; 204 to a client
    that comes again after that end. Else as a list, at most 1,000.
    """
    found = await asyncio.to_thread(parts.jobs.get, job)
    tell = partial(told, hidden=parts.catalogue.hidden, private=not caller.owns(found.caller))
    if last_event_id is not None:
        after = max(after, int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0)
    if "text/event-stream" not in request.headers.get("accept", ""):
        listed = await asyncio.to_thread(parts.jobs.events, job, after)
        return JSONResponse({"object": "list", "data": [tell(event) for event in listed]})
    if found.over and not await asyncio.to_thread(parts.jobs.events, job, after, 1):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy that gathers would hold them back
    return StreamingResponse(_stream(parts, job, after, tell), media_type="text/event-stream", headers=headers)


async def _stream(parts: Served, job: str, after: int, tell: Callable[[Event], dict[str, Any]]) -> AsyncIterator[str]:
    """Holds nothing between two looks, so that a client who leaves leaves nothing behind."""
    yield f"retry: {RETRY}\n\n"
    loop = asyncio.get_running_loop()
    spoke = loop.time()
    jobs = parts.jobs
    while not parts.guard.draining:  # a client comes again, to the next server, with the number of its last event
        try:
            over = (await asyncio.to_thread(jobs.get, job)).over  # before the events: its last one is there then
        except Problem:  # it was deleted, or the table cannot be read now: who comes again is told
            return
        new = await asyncio.to_thread(jobs.events, job, after)
        for event in new:
            yield f"id: {event.number}\nevent: {event.kind}\ndata: {json.dumps(tell(event))}\n\n"
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


def told(event: Event, hidden: tuple[Path, ...], private: bool) -> dict[str, Any]:
    """An event as a client sees it.   private: without what may quote the data."""
    data = {key: value for key, value in event.data.items() if not (private and key in ("text", "error"))}
    texts = {key: _text(value, hidden) for key, value in data.items() if isinstance(value, str)}
    return {"number": event.number, "time": event.time, "type": event.kind, **data, **texts}


def shown(job: Job, parts: Served, caller: Caller) -> dict[str, Any]:
    """The job as the caller may see it, where paths are those from the served root."""
    return listed([job], parts, caller)[0]


def listed(found: Sequence[Job], parts: Served, caller: Caller) -> list[dict[str, Any]]:
    names, places = run_names(parts.catalogue), parts.jobs.places()
    return [_shown(job, parts, names, places.get(job.id), caller.owns(job.caller)) for job in found]


def _shown(job: Job, parts: Served, names: Mapping[Path, str], place: int | None, own: bool) -> dict[str, Any]:
    hidden = parts.catalogue.hidden
    said = _text(job.error or "", hidden) if own else "who asked for the job, and an admin, are told why it failed."
    error = None if job.error is None else Problem(400, "job_failed", said).body()["error"]
    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "state": job.state,
        "own": own,
        "cancelling": job.cancelling and job.state == "running",
        "run": None if job.run is None else names.get(job.run, job.run.name),
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "fraction": job.fraction,
        "place": place,
        "options": below(job.options, hidden) if own else {},
        "price": job.price,
        "cost": job.cost,
        "result": below(job.result, hidden) if own else None,
        "error": error,
    }


def run_names(catalogue: Catalogue) -> dict[Path, str]:
    """The names of runs by their folders."""
    return {path: name for name, path in catalogue.paths().items()}


def _text(text: str, hidden: tuple[Path, ...]) -> str:
    return in_fields(without_places(text, hidden))
