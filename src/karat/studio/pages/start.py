"""The first page, the two switches (language and role), and the files that pages need."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.output import make_folder, write_whole
from karat.server.guard import caller_of
from karat.server.guard.access import MAKE
from karat.server.problems import Problem
from karat.server.served import Served, served
from karat.studio.forms import sent
from karat.studio.page import CODES, LANGUAGE, ROLE, ROLES, STATIC, YEAR, go, local, page, router, viewer
from karat.studio.shelf import rows
from karat.studio.work import below, submit
from karat.workflow.demos import Kind, declared, prepare
from karat.worth.prices import FILE_NAME

ROUTER = router()
LATEST = 5
STEMS: dict[str, tuple[Kind, str]] = {
    "pictures": ("pictures", "digits"),
    "table": ("table", "orders"),
}  # and how their runs are called


@ROUTER.get("/")
def start(request: Request) -> HTMLResponse:
    """Your data, or try it; below, the runs of late."""
    return page(request, "start.html.j2", command="karat demo", latest=rows(served(request).catalogue)[:LATEST])


@ROUTER.post("/try")
async def try_it(request: Request) -> RedirectResponse:
    """What `karat demo` does, as jobs: train on data that come with the install, make some, assay by an example business."""
    on, parts = str((await sent(request)).get("on", "")), served(request)
    if on not in STEMS:
        raise Problem(400, "bad_option", f"there is no demo {on[:40]!r}; there are {', '.join(STEMS)}.", "on")
    kind, stem = STEMS[on]
    path = await run_in_threadpool(_prepared, parts, kind, stem, request)
    return go(f"/runs/{path.name}/training")


def _prepared(parts: Served, kind: Kind, stem: str, request: Request) -> Path:
    folder = parts.catalogue.root.resolve() / "demo" / stem
    make_folder(folder, True)
    sample = prepare(kind, folder)
    write_whole(folder / FILE_NAME, declared(sample).encode())
    prices = below(parts, folder / FILE_NAME)
    data = sample.data if isinstance(sample.data, str) else below(parts, sample.data)
    settings = [f"data.{key}={value}" for key, value in sample.options.items() if key != "labels"]
    path = parts.jobs.free_run(stem)
    learn = {"source": data, "out": path.name, "minutes": sample.seconds / 60, "prices": prices}
    submit(request, "train", {**learn, "set": [*settings, *sample.settings]})
    if MAKE in caller_of(request).scopes:
        submit(request, "make", {"run": path.name, "n": sample.number})
    submit(request, "assay", {"run": path.name, "n": sample.judged, "prices": prices, "lang": viewer(request).code})
    return path


@ROUTER.post("/language")
async def language(request: Request) -> RedirectResponse:
    return await _switched(request, LANGUAGE, CODES)


@ROUTER.post("/role")
async def role(request: Request) -> RedirectResponse:
    return await _switched(request, ROLE, ROLES)


async def _switched(request: Request, cookie: str, known: tuple[str, ...]) -> RedirectResponse:
    form = await sent(request)
    answer = go(local(str(form.get("next", "/"))))
    if (chosen := str(form.get("to"))) in known:
        answer.set_cookie(cookie, chosen, max_age=YEAR, samesite="lax", httponly=True)
    return answer


@ROUTER.get("/static/{name}")
def static(name: str) -> Response:
    if name not in STATIC:
        raise Problem(404, "not_found", f"there is no file {name!r} here.")
    path, kind = STATIC[name]
    return Response(path.read_bytes(), media_type=kind, headers={"Cache-Control": f"public, max-age={YEAR}, immutable"})
