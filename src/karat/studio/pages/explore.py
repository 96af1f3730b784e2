"""Explore: what lies between made things, what real ones are nearest to them, and what rows become under conditions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from karat.content.askable import Askable, askable
from karat.content.showing import Passage, Row, Shown, of_records
from karat.errors import DataError, FitError, RunError
from karat.options import MakeOptions
from karat.request import Request as Asked
from karat.run import Run
from karat.server.answers import HEADER, Labelled, header_of
from karat.server.engine import unless_gone
from karat.server.guard import caller_of
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio import showing, spread
from karat.studio.page import rendered, router
from karat.studio.pages.make import given_of
from karat.studio.subject import run_page, subject
from karat.studio.training import training_of
from karat.studio.work import command
from karat.synthesizer import Synthesizer
from karat.synthesizer.latent import AXES, Latent, has_latents
from karat.workflow.making import Labelling, label_of

ROUTER = router()
SIDE, STEPS, ITEMS, NEAR = 7, 9, 12, 5
ROWS, BASE = 200, 400  # that are drawn under conditions, and without
REACHES = (1.0, 2.0, 3.0)
KEPT = 32
CACHED = {"Cache-Control": "private, max-age=600"}


@dataclass(frozen=True)
class View:
    """What is looked at.   label: class, "" for all.   way: "directions", "between" or "items".   across, down: directions, from 1.

    reach: spreads to each side.   one, other: items of the seed, from 1.
    """

    label: str = ""
    seed: int = 0
    way: str = "directions"
    across: int = 1
    down: int = 2
    reach: float = 2.0
    one: int = 1
    other: int = 2

    def query(self, **other: Any) -> str:
        return urlencode({**vars(replace(self, **other))})


_kept: OrderedDict[tuple[Any, ...], list[Shown]] = (
    OrderedDict()
)  # by run, model and view, for the requests of its pictures


@ROUTER.get("/runs/{name}/explore", response_model=None)
async def explore(request: Request, name: str) -> HTMLResponse:
    """A grid for families that have a latent space, sliders for tables whose cells can be given, else what the run makes."""
    about = subject(request, name)
    synth = await run_in_threadpool(served(request).engine.synthesizer, about.name)
    columns = askable(synth.codec)
    if columns and not has_latents(synth):
        return await _rows_page(request, name, columns)
    return await run_in_threadpool(_grid_page, request, name, synth)


def _grid_page(request: Request, name: str, synth: Synthesizer) -> HTMLResponse:
    about = subject(request, name)
    run, view = about.run, _view(request, about.run, synth)
    latent = has_latents(synth)
    shown = _shown(run, synth, view)
    items = _shown(run, synth, replace(view, way="items")) if latent else shown
    asked = {"class": view.label} if view.label else {}
    answer = run_page(
        request,
        about,
        "explore.html.j2",
        "explore",
        command=command("make", about.path.name, n=ITEMS, seed=view.seed, **asked),
        view=view,
        classes=_classes(run, synth),
        latent=latent,
        axes=range(1, (len(Latent.of(synth, view.label or None).axes) if latent else 0) + 1),
        reaches=REACHES,
        items=_told(items),
        grid=_told(shown) if view.way != "items" else [],
        side=SIDE,
        address=f"/runs/{quote(name, '')}/explore",
    )
    answer.headers[HEADER] = header_of(label_of(run, MakeOptions(run.path, seed=view.seed)))
    return answer


@ROUTER.get("/runs/{name}/explore/thing/{at}")
def thing(request: Request, name: str, at: int) -> Response:
    """One picture or sound of a view, with its label inside."""
    run, synth, view = _asked(request, name)
    shown = _at(_shown(run, synth, view), at)
    if isinstance(shown, Passage | Row):
        raise Problem(404, "not_found", "that is shown as text.")
    content, kind = showing.blob(shown)
    label = label_of(run, MakeOptions(run.path, seed=view.seed))
    suffix = ".png" if kind == "image/png" else ".wav"
    return Labelled(Labelling(label).mark(f"{at}{suffix}", content), label, kind, headers=CACHED)


@ROUTER.get("/runs/{name}/explore/near/{at}")
def near(request: Request, name: str, at: int) -> HTMLResponse:
    """The training records that look most like a thing of a view, as a part of the page."""
    run, synth, view = _asked(request, name)
    shown = _at(_shown(run, synth, view), at)
    try:
        training = training_of(run)
        found, why = training.nearest(shown, NEAR), ""
    except (RunError, FitError, DataError) as error:
        found, why, training = [], str(error), None
    values = {
        "found": list(zip(found, _told([one.shown for one in found]), strict=True)),
        "searched": 0 if training is None else training.count,
        "total": 0 if training is None else training.total,
        "thing": _told([shown])[0],
        "source": f"/runs/{quote(name, '')}/explore/thing/{at}?{view.query()}",
        "records": f"/runs/{quote(name, '')}/record/",
    }
    text = rendered(request, "explore_near.html.j2", why=why, at=at, **values)
    label = label_of(run, MakeOptions(run.path, seed=view.seed))
    return HTMLResponse(text, headers={"Cache-Control": "no-store", HEADER: header_of(label)})


@ROUTER.get("/runs/{name}/explore/rows", response_model=None)
async def rows(request: Request, name: str) -> HTMLResponse:
    """Rows under the conditions of the sliders, as a part of the page."""
    about = subject(request, name)
    synth = await run_in_threadpool(served(request).engine.synthesizer, about.name)
    values, label = await _under(request, name, askable(synth.codec))
    text = rendered(request, "explore_rows.html.j2", **values)
    return HTMLResponse(text, headers={"Cache-Control": "no-store", HEADER: label})


async def _rows_page(request: Request, name: str, columns: Sequence[Askable]) -> HTMLResponse:
    about = subject(request, name)
    values, label = await _under(request, name, columns)
    given = ", ".join(values["given"])
    line = command("make", about.path.name, n=ROWS, given=given or None)
    sliders = [spread.slider(each, request.query_params, i) for i, each in enumerate(columns)]
    address = f"/runs/{quote(name, '')}/explore"
    values |= {"sliders": sliders, "address": address}
    answer = run_page(request, about, "explore_table.html.j2", "explore", command=line, **values)
    answer.headers[HEADER] = label
    return answer


async def _under(request: Request, name: str, columns: Sequence[Askable]) -> tuple[dict[str, Any], str]:
    """What the conditions in the address make of the other columns, beside what they are without any; and the label."""
    here = served(request)
    given = given_of(columns, spread.conditions(columns, request.query_params))
    who = caller_of(request).name
    options = MakeOptions(subject(request, name).path)

    async def drawn(n: int, text: str | None) -> tuple[list[Row], str]:
        asked = Asked(n, 0, given=text)
        found = await unless_gone(request, here.engine.draw(name, asked, options, gates=False, caller=who))
        shown = [one for block in found.blocks for one in of_records(found.codec, block.records)]
        return [one for one in shown if isinstance(one, Row)], header_of(found.label)

    values: dict[str, Any] = {"given": given, "wrong": "", "rows": [], "bars": []}
    base, label = await drawn(BASE, None)
    made = base
    if given:
        try:
            made, label = await drawn(ROWS, ", ".join(given))
        except (Problem, DataError, FitError) as error:
            values["wrong"] = error.message if isinstance(error, Problem) else str(error)
    held = spread.held(columns, request.query_params)
    free = {each.column for each, holds in zip(columns, held, strict=True) if not holds}
    values["rows"] = [one.cells for one in made[:10]]
    values["bars"] = spread.charts(base, made if given else [], free)
    return values, label


def _asked(request: Request, name: str) -> tuple[Run, Synthesizer, View]:
    about = subject(request, name)
    synth = served(request).engine.synthesizer(about.name)
    return about.run, synth, _view(request, about.run, synth)


def _classes(run: Run, synth: Synthesizer) -> list[str]:
    """Those to choose from, "" for any, which a decoder that is told the class has not."""
    return [*([] if has_latents(synth) and Latent.of(synth, None).kind is not None else [""]), *run.spec["classes"]]


def _told(shown: Sequence[Shown]) -> list[tuple[str, Shown, Markup]]:
    """Each thing with its kind, and how it goes where it is a sound."""
    return [(showing.kind(one), one, showing.wave(one)) for one in shown]


def _at(shown: list[Shown], at: int) -> Shown:
    if not 0 <= at < len(shown):
        raise Problem(404, "not_found", f"there are {len(shown)} things in this view, and none is number {at}.")
    return shown[at]


def _view(request: Request, run: Run, synth: Synthesizer) -> View:
    """What the address asks for; what it does not say, or says wrongly, is as usual."""
    asked, plain = request.query_params, View()

    def number(name: str, low: int, high: int) -> int:
        text = asked.get(name, "")
        there = text.isdecimal() and len(text) < 10 and low <= int(text) <= high
        return int(text) if there else int(getattr(plain, name))

    ways = ("directions", "between", "items") if has_latents(synth) else ("items",)
    way, label, classes = asked.get("way", ""), asked.get("label", ""), _classes(run, synth)
    return View(
        label if label in classes else classes[0],
        number("seed", 0, 10**9),
        way if way in ways else ways[0],
        number("across", 1, AXES),
        number("down", 1, AXES),
        next((each for each in REACHES if asked.get("reach") == str(each)), plain.reach),
        number("one", 1, ITEMS),
        number("other", 1, ITEMS),
    )


def _shown(run: Run, synth: Synthesizer, view: View) -> list[Shown]:
    """The things of a view, kept for the requests of its pictures."""
    key = (run.path, run.spec.get("models", [""])[0], view)
    if key not in _kept:
        _kept[key] = _made(synth, view)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return _kept[key]


def _made(synth: Synthesizer, view: View) -> list[Shown]:
    if not has_latents(synth):
        block = synth.draw(Asked(ITEMS, view.seed, label=view.label or None))
        return of_records(synth.codec, block.records)
    latent = Latent.of(synth, view.label or None)
    most = len(latent.axes)
    if view.way == "items":
        z = latent.items(ITEMS, view.seed)
    elif view.way == "between":
        z = latent.items(ITEMS, view.seed)
        z = latent.between(z[view.one - 1], z[view.other - 1], STEPS)
    else:
        z = latent.grid(min(view.across, most) - 1, min(view.down, most) - 1, SIDE, view.reach)
    return of_records(synth.codec, latent.made(z, view.seed))
