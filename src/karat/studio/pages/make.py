"""Make: what `karat make` makes, asked for by a form, kept in the run, shown, and taken as labelled files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from karat.content.askable import Askable, askable
from karat.content.codec import Codec
from karat.content.showing import Passage, Row
from karat.content.table.rules.conditions import in_quotes
from karat.errors import KaratError
from karat.options import MakeOptions
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import LAWS
from karat.run import Run
from karat.server.answers import HEADER, LabelledAgain, LabelledFile, header_at
from karat.server.engine import unless_gone
from karat.server.guard import caller_of
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio import made, showing
from karat.studio.forms import Field, fields_of, lines_of, read, sent
from karat.studio.page import Viewer, go, router, told, viewer
from karat.studio.subject import Subject, run_page, subject
from karat.studio.work import command
from karat.synthesizer import load_codec
from karat.workflow.making import FEW, request_of

ROUTER = router()
FIRST = ("n", "label", "prompt", "seed", "labels")
OF = {  # what further fields are for, by what a request to that content can ask (`Codec.answers`); "" for any content
    "": ("keep", "visible", "watermark", "producer"),
    "label": ("classes",),
    "given": ("given", "balance", "classes", "independent", "safe_cells"),
    "prompt": ("characters", "temperature", "top_p", "min_p", "stop"),
}
GATES = ("none", "personal", "en", "zh")
ARRAYS = (".zip", ".npz", ".npy")  # of many pictures or sounds in one file
MOST = 20_000  # made by a page at once
LARGE = 2**27  # bytes, beyond which nothing is read to be shown
SHOWN = 60  # of what was made, things that a page shows
CACHED = {"Cache-Control": "private, max-age=3600"}


@ROUTER.get("/runs/{name}/make")
def make(request: Request, name: str) -> HTMLResponse:
    about = subject(request, name)
    return _form(request, about, {"n": FEW, "seed": 0}, {})


@ROUTER.post("/runs/{name}/make", response_model=None)
async def making(request: Request, name: str) -> HTMLResponse | RedirectResponse:
    """Makes what is asked for, and goes to it; what cannot be is said above the form, which keeps what was filled in."""
    about = subject(request, name)
    codec = await run_in_threadpool(load_codec, about.run)
    offered = {value for each in askable(codec) for value in each.values}.union(about.run.spec["classes"])
    form = await sent(request, lines_of(MakeOptions), offered)
    try:
        place = await _made(request, about, codec, form)
    except (KaratError, Problem) as error:
        problem = told(request, error)
        return await run_in_threadpool(
            _form, request, about, dict(form), _conditions(form), problem.message, problem.status
        )
    return go(f"/runs/{quote(name, '')}/made/{quote(place, '')}")


@ROUTER.get("/runs/{name}/made/{place}")
def result(request: Request, name: str, place: str) -> HTMLResponse:
    about = subject(request, name)
    found = made.made(about.run, place)
    things = None if found.size > LARGE else found.things
    shown = [] if things is None else [things[i].show() for i in range(min(SHOWN, len(things)))]
    rows = [one.cells for one in shown if isinstance(one, Row)]
    answer = run_page(
        request,
        about,
        "made.html.j2",
        "make",
        command=found.told.command or command("make", about.path.name),
        made=found,
        address=f"/runs/{quote(name, '')}/made/{quote(place, '')}",
        total=None if things is None else len(things),
        shown=[(showing.kind(one), one, showing.wave(one)) for one in shown],
        rows=rows,
        dropped=made.dropped(found.told),
        files=found.files,
        beside=len(found.files) == 1 and found.files[0].suffix not in CONTAINERS,
    )
    answer.headers[HEADER] = header_at(found.path)
    return answer


@ROUTER.get("/runs/{name}/made/{place}/thing/{at}")
def thing(request: Request, name: str, place: str, at: int) -> Response:
    """One picture or sound of what was made, as a page shows it."""
    found = made.made(subject(request, name).run, place)
    things = found.things
    if not 0 <= at < len(things):
        raise Problem(404, "not_found", f"there are {len(things):,} things, and none is number {at}.")
    shown = things[at].show()
    if isinstance(shown, Passage | Row):
        raise Problem(404, "not_found", "that is shown as text.")
    content, kind = showing.blob(shown)
    return LabelledAgain(content, found.path, kind, CACHED)


@ROUTER.get("/runs/{name}/made/{place}/file/{file}")
def file(request: Request, name: str, place: str, file: str) -> Response:
    """A file of what was made, as it lies there."""
    return LabelledFile(made.made(subject(request, name).run, place).file(file))


@ROUTER.get("/runs/{name}/made/{place}/archive")
def archive(request: Request, name: str, place: str) -> Response:
    """All files of one make with their labels."""
    found = made.made(subject(request, name).run, place)
    saved = f"attachment; filename*=UTF-8''{quote(f'{name}-{place}.zip', '')}"
    return LabelledAgain(found.archive(), found.path, "application/zip", {"Content-Disposition": saved})


async def _made(request: Request, about: Subject, codec: Codec, form: FormData) -> str:
    """Makes what the form asks for; the name of the new folder in the run."""
    here = served(request)
    options = _options(form, about.run, codec)
    form_of, forms = str(form.get("form", "")), _forms(codec)
    if form_of not in forms:
        raise Problem(400, "bad_option", f"form is {form_of[:20]!r}; there are: {', '.join(forms)}.", "form")
    asked = request_of(options)
    if asked.n > MOST:
        raise Problem(
            400, "too_large", f"n is {asked.n:,}; a page makes {MOST:,} at most, a command line any number.", "n"
        )
    drawn = await unless_gone(request, here.engine.draw(about.name, asked, options, caller=caller_of(request)))
    files = await here.engine.answer(drawn, form_of)
    return await run_in_threadpool(made.keep, drawn, files, _command(options, form_of, forms))


def _options(form: FormData, run: Run, codec: Codec) -> MakeOptions:
    first, more = _names(codec, run)
    found = read({**form, "gate": ""}, MakeOptions, [*first, *more])
    if gates := [gate for gate in GATES if gate in form.getlist("gate")]:
        found["gate"] = gates
    conditions = given_of(askable(codec), _conditions(form))
    if conditions:
        found["given"] = ", ".join([*conditions, *([found["given"]] if "given" in found else [])])
    return MakeOptions(run.path, **found)


def _conditions(form: FormData) -> dict[str, str]:
    return {name: str(value).strip() for name, value in form.items() if name.startswith("given.")}


def given_of(columns: Sequence[Askable], asked: dict[str, str]) -> list[str]:
    """Conditions as `--given` takes them, of the fields given.0, given.0.low, given.0.high, ... by the number of the column."""
    out = []
    for i, each in enumerate(columns):
        value, low, high = (asked.get(f"given.{i}{end}", "") for end in ("", ".low", ".high"))
        if value:
            out.append(f"{in_quotes(each.column)}={in_quotes(value)}")
        elif low or high:
            out.append(f"{in_quotes(each.column)}={low}..{high}")
    return out


def _names(codec: Codec, run: Run) -> tuple[list[str], list[str]]:
    """The fields that are asked first and those behind "more", as far as the content knows them."""
    knows = {"n", "seed", "labels", *codec.answers}
    if not run.spec["classes"]:
        knows -= {"label"}
    more = [name for can, names in OF.items() if not can or can in knows for name in names]
    lost = {"visible"} if not codec.shows else set()
    lost |= set() if codec.gated else {"keep", "classes"}
    return [name for name in FIRST if name in knows], [name for name in dict.fromkeys(more) if name not in lost]


def _forms(codec: Codec) -> tuple[str, ...]:
    """Suffixes of files, the usual one first."""
    return tuple(dict.fromkeys((*codec.each, *codec.wholes, *(ARRAYS if codec.each else ()))))


def _form(
    request: Request,
    about: Subject,
    values: dict[str, Any],
    conditions: dict[str, str],
    message: str = "",
    status: int = 200,
) -> HTMLResponse:
    run = about.run
    codec = load_codec(run)
    first, more = _names(codec, run)
    seen = viewer(request)
    return run_page(
        request,
        about,
        "make.html.j2",
        "make",
        command=command("make", about.path.name),
        status=status,
        message=message,
        first=_fields(first, seen, run, values),
        more=_fields(more, seen, run, values),
        columns=askable(codec),
        conditions=conditions,
        forms=_forms(codec),
        form=values.get("form", ""),
        gates=[gate for gate in GATES if gate != "none"] if codec.gated and "prompt" in codec.answers else [],
        gated=codec.gated,
        asked=values,
        before=made.all_made(run)[:12],
    )


def _fields(names: Sequence[str], seen: Viewer, run: Run, values: dict[str, Any]) -> list[Field]:
    laws = [("", seen.t("make.labels.usual")), *((law, seen.t(f"make.labels.{law}")) for law in LAWS)]
    classes = [("", seen.t("make.any")), *((one, one) for one in run.spec["classes"])]
    choices = {"label": classes, "labels": laws}
    return fields_of(MakeOptions, "make.field", seen, only=names, values=values, choices=choices)


def _command(options: MakeOptions, form: str, forms: Sequence[str]) -> str:
    """The line that makes the same."""
    plain = MakeOptions(options.run)
    names = (*FIRST, *(name for names in OF.values() for name in names), "gate")
    asked = {name: getattr(options, name) for name in dict.fromkeys(names)}
    own = {
        "class" if name == "label" else name: value for name, value in asked.items() if value != getattr(plain, name)
    }
    if form != forms[0]:
        own["out"] = f"made{form}"
    return command("make", Path(str(options.run)).name, **own)
