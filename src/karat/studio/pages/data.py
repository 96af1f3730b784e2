"""Own data: chosen below the served root or uploaded, what is in them, and a training of them with its budget and price."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import torch
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import UploadFile

from karat.content.image.images import BUNDLED
from karat.errors import DataError, KaratError
from karat.options import TrainOptions
from karat.output import file_name
from karat.run import Run
from karat.server.bodies import FIELDS
from karat.server.forms import NEVER
from karat.server.guard import caller_of
from karat.server.problems import Problem
from karat.server.routes.data import slowly
from karat.server.served import Served, served
from karat.studio.forms import fields_of, lines_of, read, sent
from karat.studio.page import ALONE, Viewer, go, page, rendered, router, told, viewer
from karat.studio.survey import DIGITS, Survey, Surveys, sentences
from karat.studio.work import below, command, submit

ROUTER = router()
SURVEYS = Surveys()
MOST = 500  # entries of a folder that are shown
LONG_NAME = 60  # bytes of a run's name
FIRST = ("recipe", "minutes")
WITHOUT = {"source", "data", "public_schema", *NEVER, *FIRST}  # in the form under "more"
MOST_FILES, PART = 20_000, 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file, or a folder of so many entries.   place: from the served root.   size: bytes, or entries."""

    name: str
    place: str
    folder: bool
    size: int


def entries(root: Path, folder: Path) -> list[Entry]:
    """What lies in a folder below the root: folders first, nothing hidden, no runs, no links."""
    out = []
    with os.scandir(folder) as found:
        for each in found:
            path = folder / each.name
            if each.name.startswith(".") or each.is_symlink() or Run.is_run(path):
                continue
            if each.is_dir():
                out.append(Entry(each.name, str(path.relative_to(root)), True, len(os.listdir(path))))
            elif each.is_file():
                out.append(Entry(each.name, str(path.relative_to(root)), False, each.stat().st_size))
    return sorted(out, key=lambda e: (not e.folder, e.name.lower()))


@ROUTER.get("/data")
def data(request: Request, at: str = "") -> HTMLResponse:
    """The folder `at` below the root, to choose from, and the form for an upload."""
    catalogue = served(request).catalogue
    root = catalogue.root.resolve()
    folder = catalogue.place(at, "at") if at else root
    if not folder.is_dir():
        raise Problem(400, "no_such_place", f"{at[:80]!r} is no folder; choose it as data, or its folder.", "at")
    found = entries(root, folder) if folder.exists() else []
    above = [] if not at else [("", "")] + [(p.name, str(p)) for p in reversed(PurePosixPath(at).parents) if p.name]
    return page(
        request,
        "data.html.j2",
        command=command("look", at or "DATA"),
        entries=found[:MOST],
        more=max(0, len(found) - MOST),
        at=at,
        above=above,
        upload=served(request).options.upload,
    )


@ROUTER.post("/data/upload")
async def upload(request: Request) -> Response:
    """Keeps what was sent in a new folder below ROOT/uploads, or as a file there, under names that are safe.

    Many files come as several requests, whose `into` names the folder that the first one made.
    """
    parts = served(request)
    async with request.form(max_files=MOST_FILES, max_fields=FIELDS["max_fields"], max_part_size=PART) as form:
        sent = [each for each in form.getlist("files") if isinstance(each, UploadFile) and each.filename]
        if not sent:
            raise Problem(400, "no_file", viewer(request).t("data.no_file"), "files")
        into = form.get("into")
        into = into if isinstance(into, str) and into else None
        goal = await parts.uploads.keep(sent, into, caller_of(request), "many" in form)
    place = below(parts, goal)
    if request.headers.get("accept") == "application/json":
        return JSONResponse({"into": goal.name, "place": place})
    return go(f"/data/look?place={quote(place)}")


@ROUTER.get("/data/look")
async def look(request: Request, place: str, now: str = "") -> HTMLResponse:
    """What is in the data at `place`; the survey itself comes as a part, since it may take a while, or `now` with the page."""
    _source(served(request), place)
    found = await slowly(lambda: _part(request, place)) if now else None
    return page(request, "look.html.j2", command=command("look", place), place=place, part=found)


@ROUTER.get("/data/look/part")
async def part(request: Request, place: str) -> HTMLResponse:
    return HTMLResponse(await slowly(lambda: _part(request, place)))


def _part(request: Request, place: str) -> str:
    try:
        return _looked(request, place)
    except (Problem, KaratError) as error:
        return rendered(request, "unfit.html.j2", message=told(request, error).message)


@ROUTER.get("/data/recipes")
async def recipes(request: Request, place: str) -> HTMLResponse:
    """The recipes that there are, the usual one measured on this machine."""
    found, seen = await slowly(lambda: _surveyed(served(request), place, measured=True)), viewer(request)
    values = {"survey": found, "title": lambda recipe: _title(seen, recipe), "cores": torch.get_num_threads()}
    return HTMLResponse(rendered(request, "recipes.html.j2", place=place, measured=True, **values))


@ROUTER.get("/data/sheet")
async def sheet(request: Request, place: str) -> Response:
    """Some of the records, side by side."""
    found = await slowly(lambda: _surveyed(served(request), place))
    if found.suffix == ".png":
        return Response(found.sheet, media_type="image/png")
    text = rendered(request, "sheet.html.j2", blob=found.sheet.decode("utf-8", "replace"))
    return HTMLResponse(text, headers={"Content-Security-Policy": ALONE})


def _source(parts: Served, place: str) -> Path | str:
    return BUNDLED if place == DIGITS else parts.catalogue.place(place, "place")


def _surveyed(parts: Served, place: str, measured: bool = False) -> Survey:
    return SURVEYS.of(_source(parts, place), parts.catalogue.root.resolve(), measured)


def _looked(request: Request, place: str, given: Mapping[str, Any] | None = None, wrong: str = "") -> str:
    """The survey and the form, with what was filled in before and what was wrong with it."""
    found, seen, parts = _surveyed(served(request), place), viewer(request), served(request)
    values: dict[str, Any] = {"minutes": found.budget, "discover": True} | dict(given or {})
    recipes = [(r["recipe"], _title(seen, r)) for r in found.fitting]
    shown = partial(fields_of, TrainOptions, "train", seen, values=values)
    return rendered(
        request,
        "look_part.html.j2",
        place=place,
        survey=found,
        info=found.info,
        sentences=sentences(found, seen),
        first=shown(only=FIRST, choices={"recipe": recipes}),
        more=shown(without=WITHOUT),
        name=str(values.get("name") or parts.jobs.free_run(_stem(place)).name),
        assay=values.get("assay", True),
        cores=torch.get_num_threads(),
        minutes=float(values["minutes"] or 0),
        title=lambda recipe: _title(seen, recipe),
        wrong=wrong,
        measured=False,
    )


def _title(seen: Viewer, recipe: Mapping[str, Any]) -> str:
    own = seen.language.texts.get(f"studio.recipe.{recipe['recipe']}", recipe["title"])
    return f"{recipe['recipe']}: {own}"


def _stem(place: str) -> str:
    return file_name(PurePosixPath(place).name.split(".")[0] or "run", LONG_NAME)


@ROUTER.post("/train")
async def train(request: Request) -> Response:
    """Begins a training of what was chosen, and its assay behind it, and goes to the page that shows it."""
    form = {key: str(value) for key, value in (await sent(request, lines_of(TrainOptions))).items()}
    place = form.get("place", "")
    names = [*FIRST, *(f for f in TrainOptions.__dataclass_fields__ if f not in WITHOUT)]
    try:
        options = read(form, TrainOptions, names)
        name = file_name(form.get("name", "").strip() or _stem(place), LONG_NAME)
        submit(request, "train", {"source": place, "out": name, **options})
    except (Problem, DataError) as error:
        wrong = told(request, error).message
        kept = {**form, "discover": form.get("discover") == "on", "assay": "assay" in form}
        text = await slowly(lambda: _looked(request, place, kept, wrong))
        return page(request, "look.html.j2", command=command("look", place), status=400, place=place, part=text)
    if "assay" in form:
        submit(request, "assay", {"run": name, "lang": viewer(request).code})
    return go(f"/runs/{quote(name)}/training")
