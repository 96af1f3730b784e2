"""Review: one thing a screen, one key an answer, into the same file as `karat review`."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from karat.assays.chance import exact
from karat.content.showing import Passage, Row, Shown
from karat.errors import DataError, FitError, RunError
from karat.options import MakeOptions
from karat.review.decisions import REASONS
from karat.review.plan import wanted
from karat.run import Run
from karat.server.answers import HEADER, Labelled, header_of
from karat.server.bodies import FIELDS, strict_json
from karat.server.guard import caller_of
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio import showing
from karat.studio.desk import Desk, Desks, Press, press_of
from karat.studio.forms import check
from karat.studio.page import go, rendered, router, told
from karat.studio.subject import run_page, subject
from karat.studio.training import training_of
from karat.studio.work import command
from karat.workflow.making import label_of
from karat.workflow.people.reviewing import made_in

ROUTER = router()
PLANS = ("5%", "1%", "all")
PRIVATE = {"Cache-Control": "private, max-age=600"}
LONGEST_NAME = 60
desks = Desks()


@ROUTER.get("/runs/{name}/review")
def review(request: Request, name: str, of: str = "", by: str = "", plan: str = "5%") -> HTMLResponse:
    """What can be reviewed; with `of` the review itself, and when all was looked at what came of it."""
    about, by = subject(request, name), _reviewer(request, by)
    run = about.run
    asked: dict[str, Any] = {"name": name, "of": of, "by": by, "plan": plan}
    if not of:
        places = [path.name for path in made_in(run)]
        values = {
            "places": places,
            "plans": PLANS,
            "keyed": caller_of(request).key is not None,
            "address": _address(name),
            **asked,
        }
        return run_page(request, about, "review_start.html.j2", "review", command=_command(run, "", plan), **values)
    desk = _desk(request, run, of, by, plan)
    position = desk.position()
    values = {"desk": desk, "position": position, "reasons": REASONS, **asked}
    values |= {"address": _address(name), "query": _query(of, by, plan), "few": desk.few}
    line = _command(run, by, plan)
    if position < desk.total:
        return run_page(request, about, "review.html.j2", "review", command=line, **values)
    found = desk.outcome()
    values |= {"found": found, "codes": {reason: key for key, reason in REASONS.items()}}
    seen, faults = found.outcome.reviewed.seen, found.outcome.faults
    interval = exact(faults, seen) if seen else (0.0, 1.0)
    return run_page(request, about, "review_end.html.j2", "review", command=line, interval=interval, **values)


@ROUTER.get("/runs/{name}/review/look/{position}")
def look(request: Request, name: str, position: int, of: str, by: str = "", plan: str = "5%") -> HTMLResponse:
    """One look, as a part of the page."""
    run = served(request).catalogue.run(name)
    source = f"{_address(name)}/file/{position}?{_query(of, by, plan)}"
    shown = _desk(request, run, of, by, plan).shown(position)
    answer = _fragment(request, "review_look.html.j2", shown, source, position=position)
    answer.headers[HEADER] = header_of(label_of(run, MakeOptions(run.path)))
    return answer


@ROUTER.get("/runs/{name}/review/file/{position}")
def file(request: Request, name: str, position: int, of: str, by: str = "", plan: str = "5%") -> Response:
    """The picture or the sound of a look. It has the same label whether it is made or a real one in hiding."""
    run = served(request).catalogue.run(name)
    return _blob(run, _desk(request, run, of, by, plan).shown(position))


@ROUTER.get("/runs/{name}/review/near/{position}")
def near(request: Request, name: str, position: int, of: str, by: str = "", plan: str = "5%") -> HTMLResponse:
    """The training record that looks most like what is looked at, or why none is shown."""
    run = served(request).catalogue.run(name)
    shown = _desk(request, run, of, by, plan).shown(position)
    try:
        training = training_of(run)
        found = training.nearest(shown)
    except (RunError, FitError, DataError) as error:
        why = told(request, error).message
        return _fragment(request, "review_near.html.j2", None, "", why=why, found=None, searched=0, total=0)
    values = {"found": found[0] if found else None, "searched": training.count, "total": training.total, "why": ""}
    first = found[0] if found else None
    source = "" if first is None else f"/runs/{quote(name, '')}/record/{first.at}"
    return _fragment(request, "review_near.html.j2", None if first is None else first.shown, source, **values)


@ROUTER.get("/runs/{name}/record/{at}")
def record(request: Request, name: str, at: int) -> Response:
    """The picture or the sound of a training record among those that are searched."""
    training = training_of(served(request).catalogue.run(name))
    if not 0 <= at < training.count:
        raise Problem(404, "not_found", f"there are {training.count:,} records, and none is number {at}.")
    content, kind = showing.blob(training.record(at))
    return Response(content, media_type=kind, headers=PRIVATE)


@ROUTER.post("/runs/{name}/review/presses")
async def presses(request: Request, name: str, of: str, by: str = "", plan: str = "5%") -> JSONResponse:
    """Enters presses of keys, in their order; what was entered before counts once."""
    sent = strict_json(await request.body())
    if not isinstance(sent, list) or len(sent) > 1000:
        raise FitError("a list of at most 1,000 presses was wanted.")
    found = [press_of(one) for one in sent]
    return await run_in_threadpool(_entered, request, name, of, by, plan, found)


def _entered(request: Request, name: str, of: str, by: str, plan: str, found: list[Press]) -> JSONResponse:
    desk = _desk(request, served(request).catalogue.run(name), of, by, plan)
    return _answer(desk, desk.enter(found))


@ROUTER.post("/runs/{name}/review/undo")
def undo(request: Request, name: str, of: str, by: str = "", plan: str = "5%") -> RedirectResponse:
    """Takes the last decision back, from the page that says what came of all."""
    desk = _desk(request, served(request).catalogue.run(name), of, by, plan)
    desk.enter([Press(secrets.token_hex(16), "undo", desk.position())])
    return go(f"{_address(name)}?{_query(of, by, plan)}")


@ROUTER.post("/runs/{name}/review/mended")
async def mended(request: Request, name: str, of: str, by: str = "", plan: str = "5%") -> JSONResponse:
    """Enters an edit of a picture or a sound: the file that came back, as a form."""
    async with request.form(**FIELDS) as form:
        back = form.get("file")
        if back is None or isinstance(back, str):
            raise FitError("the file that was mended is missing.")
        try:
            at, looked, mending = int(str(form["position"])), float(str(form["seconds"])), float(str(form["mending"]))
            press = Press(str(form["press"]), "edit", at, "", looked, mending)
        except (KeyError, ValueError) as error:
            raise FitError(f"an edit needs press, position, seconds and mending ({error}).") from None
        blob, named = await back.read(), str(back.filename)
    desk = _desk(request, served(request).catalogue.run(name), of, by, plan)
    kept = await run_in_threadpool(desk.mend, press, named, blob)
    return _answer(desk, [] if kept else [press.press])


def _answer(desk: Desk, refused: list[str]) -> JSONResponse:
    return JSONResponse({"position": desk.position(), "total": desk.total, "refused": refused})


def _desk(request: Request, run: Run, of: str, by: str, plan: str) -> Desk:
    wanted(plan, 1)  # refuses what is no plan
    return desks.of(run, of, _reviewer(request, by), plan)


def _reviewer(request: Request, by: str) -> str:
    """Who decides: the name of the key, where there is one, for nobody else may decide under it."""
    caller = caller_of(request)
    return check("by", by[:LONGEST_NAME]) if caller.key is None else caller.name


def _blob(run: Run, shown: Shown) -> Response:
    if isinstance(shown, Passage | Row):
        raise Problem(404, "not_found", "that is shown as text.")
    content, kind = showing.blob(shown)
    return Labelled(content, label_of(run, MakeOptions(run.path)), kind, headers=PRIVATE)


def _fragment(request: Request, template: str, shown: Shown | None, source: str, **values: Any) -> HTMLResponse:
    about: dict[str, Any] = {"kind": "", "shown": None, "wave": Markup()}
    if shown is not None:
        about = {"kind": showing.kind(shown), "shown": shown, "wave": showing.wave(shown)}
    text = rendered(request, template, source=source, **about, **values)
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


def _query(of: str, by: str, plan: str) -> str:
    return urlencode({"of": of, "by": by, "plan": plan})


def _address(name: str) -> str:
    return f"/runs/{quote(name, '')}/review"


def _command(run: Run, by: str, plan: str) -> str:
    return command("review", run.path.name, plan=None if plan == PLANS[0] else plan, reviewer=by or None)
