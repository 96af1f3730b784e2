"""Explore: what lies between made things, what real ones are nearest to them, and what rows become under conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from karat.content.askable import Askable, askable
from karat.content.showing import Passage, Row, Shown, of_records
from karat.errors import DataError, FitError, RunError
from karat.options import MakeOptions
from karat.request import Request as Asked
from karat.server.answers import HEADER, Labelled, header_of
from karat.server.engine import unless_gone
from karat.server.guard import caller_of
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio import showing, spread
from karat.studio.page import rendered, router, told
from karat.studio.pages.make import given_of
from karat.studio.scenes import ITEMS, REACHES, Scene, scene_of
from karat.studio.subject import run_page, subject
from karat.studio.training import training_of
from karat.studio.work import command
from karat.synthesizer.latent import has_latents
from karat.workflow.making import Labelling, label_of

ROUTER = router()
NEAR = 5  # real records beside a thing
ROWS, BASE = 200, 400  # that are drawn under conditions, and without
CACHED = {"Cache-Control": "private, max-age=600"}


@ROUTER.get("/runs/{name}/explore", response_model=None)
async def explore(request: Request, name: str) -> HTMLResponse:
    """A grid for families that have a latent space, sliders for tables whose cells can be given, else what the run makes."""
    about = subject(request, name)
    loaded = await served(request).engine.open(about.name)
    columns = askable(loaded.synth.codec)
    if columns and not has_latents(loaded.synth):
        return await _rows_page(request, name, columns)
    scene = await _scene(request, name)
    view, run = scene.view, scene.run
    grid = scene.shown if view.way != "items" else []
    await _count(request, name, sum(isinstance(one, Passage | Row) for one in (*scene.items, *grid)))
    asked = {"class": view.label} if view.label else {}
    answer = run_page(
        request,
        about,
        "explore.html.j2",
        "explore",
        command=command("make", about.path.name, n=ITEMS, seed=view.seed, **asked),
        view=view,
        classes=scene.classes,
        latent=scene.axes > 0,
        axes=range(1, scene.axes + 1),
        reaches=REACHES,
        items=_told(scene.items),
        grid=_told(grid),
        address=f"/runs/{quote(name, '')}/explore",
    )
    answer.headers[HEADER] = header_of(label_of(run, MakeOptions(run.path, seed=view.seed)))
    return answer


@ROUTER.get("/runs/{name}/explore/thing/{at}")
async def thing(request: Request, name: str, at: int) -> Response:
    """One picture or sound of a view, with its label inside."""
    scene = await _scene(request, name)
    shown = scene.at(at)
    if isinstance(shown, Passage | Row):
        raise Problem(404, "not_found", "that is shown as text.")
    await _count(request, name, 1)
    content, kind = showing.blob(shown)
    label = label_of(scene.run, MakeOptions(scene.run.path, seed=scene.view.seed))
    suffix = ".png" if kind == "image/png" else ".wav"
    return Labelled(Labelling(label).mark(f"{at}{suffix}", content), label, kind, headers=CACHED)


@ROUTER.get("/runs/{name}/explore/near/{at}")
async def near(request: Request, name: str, at: int) -> HTMLResponse:
    """The training records that look most like a thing of a view, as a part of the page."""
    scene = await _scene(request, name)
    await _count(request, name, int(isinstance(scene.at(at), Passage | Row)))
    return await run_in_threadpool(_near, request, name, scene, at)


def _near(request: Request, name: str, scene: Scene, at: int) -> HTMLResponse:
    shown, run = scene.at(at), scene.run
    try:
        training = training_of(run)
        found, why = training.nearest(shown, NEAR), ""
    except (RunError, FitError, DataError) as error:
        found, why, training = [], told(request, error).message, None
    values = {
        "found": list(zip(found, _told([one.shown for one in found]), strict=True)),
        "searched": 0 if training is None else training.count,
        "total": 0 if training is None else training.total,
        "thing": _told([shown])[0],
        "source": f"/runs/{quote(name, '')}/explore/thing/{at}?{scene.view.query()}",
        "records": f"/runs/{quote(name, '')}/record/",
    }
    text = rendered(request, "explore_near.html.j2", why=why, at=at, **values)
    label = label_of(run, MakeOptions(run.path, seed=scene.view.seed))
    return HTMLResponse(text, headers={"Cache-Control": "no-store", HEADER: header_of(label)})


@ROUTER.get("/runs/{name}/explore/rows", response_model=None)
async def rows(request: Request, name: str) -> HTMLResponse:
    """Rows under the conditions of the sliders, as a part of the page."""
    about = subject(request, name)
    loaded = await served(request).engine.open(about.name)
    values, label = await _under(request, name, askable(loaded.synth.codec))
    text = rendered(request, "explore_rows.html.j2", **values)
    return HTMLResponse(text, headers={"Cache-Control": "no-store", HEADER: label})


async def _rows_page(request: Request, name: str, columns: Sequence[Askable]) -> HTMLResponse:
    about = subject(request, name)
    values, label = await _under(request, name, columns)
    given = ", ".join(values["given"])
    line = command("make", about.path.name, n=ROWS, given=given or None)
    values["address"] = f"/runs/{quote(name, '')}/explore"
    answer = run_page(request, about, "explore_table.html.j2", "explore", command=line, **values)
    answer.headers[HEADER] = label
    return answer


async def _under(request: Request, name: str, columns: Sequence[Askable]) -> tuple[dict[str, Any], str]:
    """What the conditions in the address make of the other columns, beside what they are without any; and the label."""
    here = served(request)
    who, asked_for = caller_of(request), request.query_params
    options = MakeOptions(subject(request, name).path)

    async def drawn(n: int, text: str | None) -> tuple[list[Row], str]:
        asked = Asked(n, 0, given=text)
        found = await unless_gone(request, here.engine.draw(name, asked, options, gates=False, caller=who))
        shown = [one for block in found.blocks for one in of_records(found.codec, block.records)]
        return [one for one in shown if isinstance(one, Row)], header_of(found.label)

    base, label = await drawn(BASE, None)
    columns, made = [spread.bounded(each, base) for each in columns], base
    sliders = [spread.slider(each, asked_for, i) for i, each in enumerate(columns)]
    given = given_of(columns, spread.conditions(columns, asked_for))
    values: dict[str, Any] = {"sliders": sliders, "given": given, "wrong": ""}
    if given:
        try:
            made, label = await drawn(ROWS, ", ".join(given))
        except (Problem, DataError, FitError) as error:
            values["wrong"] = told(request, error).message
    free = {one.column.column for one in sliders if not one.held}
    values["rows"] = [one.cells for one in made[:10]]
    values["bars"] = spread.charts(base, made if given else [], free)
    return values, label


async def _scene(request: Request, name: str) -> Scene:
    """What the address asks for, computed in the thread that draws."""
    asked = dict(request.query_params)
    return await served(request).engine.look(subject(request, name).name, lambda loaded: scene_of(loaded, asked))


async def _count(request: Request, name: str, items: int) -> None:
    """Takes what a view shows from the quota of who asks: things as text at once, pictures and sounds as they are fetched."""
    if items:
        await served(request).engine.count(name, items, caller_of(request))


def _told(shown: Sequence[Shown]) -> list[tuple[str, Shown, Markup]]:
    """Each thing with its kind, and how it goes where it is a sound."""
    return [(showing.kind(one), one, showing.wave(one)) for one in shown]
