"""Runs by their names: what they learned, files of what they make, their reports."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi import Request as Http
from pydantic import BaseModel

from karat import synthesizer
from karat.content.codec import Codec
from karat.errors import RunError
from karat.options import MakeOptions
from karat.output import read_json
from karat.run import Run
from karat.server.answers import Labelled
from karat.server.bodies import Route
from karat.server.catalogue import Catalogue
from karat.server.forms import Form, form, options_of, takes
from karat.server.guard.headers import REPORT
from karat.server.problems import Problem, nearest, short, without_places
from karat.server.routes.documented import MAKING, errors, made
from karat.server.routes.drawing import check_cost, class_of, codec_of, draw, note
from karat.server.routes.models import seconds_of
from karat.server.served import served
from karat.workflow.making import label_of, request_of

ROUTER = APIRouter(tags=["runs"], route_class=Route)
REPORTS = {"json": "application/json", "html": "text/html; charset=utf-8"}
MOST = 100_000  # records of one answer that is a file


class RunLine(BaseModel):
    """A run in the list. id: its name in requests.   status: trained, or how far it is.   data: what it learned from."""

    id: str
    object: Literal["run"] = "run"
    created: int
    status: str
    recipe: str
    data: str
    classes: list[str]


class Runs(BaseModel):
    """All runs that are served."""

    object: Literal["list"] = "list"
    data: list[RunLine]


class RunAbout(RunLine):
    """A run.

    number: by which its labels name it.   fingerprint: of the data that it learned from; empty where none is kept.
    makes: the kind of its content, what: in words.   traits: of each record.   columns: of a table.   forms: what a file of what
    it makes may end in.   verdict: of its newest assay.   notes: what a person should know of how it was read.
    """

    number: str
    fingerprint: str
    seed: int
    seconds: float | None
    version: str
    makes: str | None
    what: str | None
    traits: dict[str, Any]
    columns: list[dict[str, Any]] | None
    forms: list[str]
    verdict: dict[str, Any] | None
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class FileAsked:
    """Make new content and answer with a file of it, labelled as AI-made.

    Parameters
    ----------
    form
        What the file's name would end in, of those that /v1/runs/{name} lists; by default the form of the data, a zip of
        pictures or sounds.
    """

    form: str | None = None


Asked = form(
    "MakeRequest",
    FileAsked,
    MakeOptions,
    without=("stream", "prices", "policy"),
    examples=[{"n": 100, "form": ".csv", "given": "income=>50K", "seed": 1}],
)


@ROUTER.get("/v1/runs")
async def runs(http: Http) -> Runs:
    """All runs that are served, finished or not."""
    return await asyncio.to_thread(_all, served(http).catalogue)


@ROUTER.get("/v1/runs/{name}")
async def run(name: str, http: Http) -> RunAbout:
    """What a run learned, what it makes, and what it was found to be worth."""
    catalogue = served(http).catalogue
    return await asyncio.to_thread(_about, name, catalogue.run(name), catalogue)


@ROUTER.post("/v1/runs/{name}/make", responses={**made("*/*"), **errors(*MAKING)}, response_class=Labelled)
@takes(Asked)
async def make(name: str, asked: Form, http: Http) -> Response:
    """New content of a run as one file: what `karat make` writes."""
    here = served(http)
    codec = await codec_of(here, name)
    own = here.catalogue.run(name)
    options = options_of(asked, MakeOptions, here.catalogue, run=own.path)
    class_of(own, ("label", options.label))
    request = request_of(options)
    if request.n > MOST:
        raise Problem(
            400, "too_large", f"n is {request.n:,}; a file of at most {MOST:,} is answered: ask in parts.", "n"
        )
    check_cost(codec, request.n, request.characters)
    suffix = _form(codec, options_of(asked, FileAsked, here.catalogue).form, request.n)
    drawn = await draw(http, name, request, options)
    (file, *_) = await here.engine.answer(drawn, suffix)
    await note(here, drawn, [file])
    named = {"content-disposition": f'attachment; filename="{Path(file.name).name}"'}
    return Labelled(file.content, file.label, file.media_type, headers=named)


@ROUTER.get("/v1/runs/{name}/report", responses=made(*REPORTS.values()), response_class=Labelled)
async def report(name: str, http: Http, format: Annotated[Literal["json", "html"], Query()] = "json") -> Response:
    """The report of the newest assay of a run, as numbers or as a page."""
    own = served(http).catalogue.run(name)
    try:
        blob = await asyncio.to_thread((own.path / "report" / f"report.{format}").read_bytes)
    except OSError:
        raise Problem(
            404, "no_report", f"the run {short(name)} has no report yet; POST /v1/runs/{name}/assay makes one."
        ) from None
    return Labelled(
        blob, label_of(own, MakeOptions(own.path)), REPORTS[format], headers={"Content-Security-Policy": REPORT}
    )


def forms_of(codec: Codec) -> list[str]:
    """What a file of what it makes may end in: of all records first."""
    return list(dict.fromkeys((*((".zip", ".npz", ".npy") if codec.each else ()), *codec.wholes, *codec.each)))


def _form(codec: Codec, asked: str | None, n: int) -> str:
    known = forms_of(codec)
    suffix = known[0] if asked is None else asked if asked.startswith(".") else f".{asked}"
    if suffix not in known:
        raise Problem(400, "no_such_form", f"form is {short(asked)}: {nearest(suffix, known)}", "form")
    if suffix in codec.each and n > 1:
        raise Problem(
            400,
            "no_such_form",
            f"a file {suffix} holds one {codec.thing}, and n is {n:,}: give form {known[0]}.",
            "form",
        )
    codec.place_of(Path(f"made{suffix}"), True)
    return suffix


def _all(catalogue: Catalogue) -> Runs:
    lines = []
    for name, path in catalogue.paths().items():
        try:
            lines.append(_line(name, Run.open(path)))
        except RunError:
            continue
    return Runs(data=lines)


def _line(name: str, run: Run) -> RunLine:
    spec = run.spec
    return RunLine(
        id=name,
        created=seconds_of(run),
        status=spec["status"],
        recipe=str(spec["recipe"].get("name", "")),
        data=Path(str(spec["data"])).name,
        classes=list(spec["classes"]),
    )


def _about(name: str, run: Run, catalogue: Catalogue) -> RunAbout:
    notes = list(run.notes)
    codec: Codec | None = None
    try:
        codec = synthesizer.load_codec(run)
    except RunError as error:
        notes.append(str(error))
    columns = getattr(getattr(codec, "schema", None), "columns", None)
    found = read_json(run.path / "report" / "report.json")
    verdict = found.get("verdict") if isinstance(found, dict) else None
    return RunAbout(
        **_line(name, run).model_dump(),
        number=run.id,
        fingerprint=run.spec.get("fingerprint") or "",
        seed=run.spec["seed"],
        seconds=run.spec.get("seconds"),
        version=run.spec["version"],
        makes=None if codec is None else codec.name,
        what=None if codec is None else codec.phrase(),
        traits={} if codec is None else codec.traits(),
        columns=None if columns is None else [{"name": each.name, "kind": each.kind} for each in columns],
        forms=[] if codec is None else forms_of(codec),
        verdict=verdict if isinstance(verdict, dict) else None,
        notes=[without_places(note, catalogue.hidden) for note in notes],
    )
