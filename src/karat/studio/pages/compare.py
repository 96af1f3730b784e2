"""Runs side by side: the comparison that `karat assay RUN RUN` writes, begun from the list of runs and shown in a page."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.server.jobs import Job
from karat.server.problems import Problem
from karat.server.served import Served, served
from karat.studio.page import go, page, router, viewer
from karat.studio.pages.verdict import CONTENT
from karat.studio.subject import subject
from karat.studio.work import below, command, submit

ROUTER = router()
HOME, FILE = "comparisons", "comparison.html"
NAME = re.compile(r"[0-9]{1,6}")
MOST = 12  # runs


@ROUTER.post("/compare")
async def compare(request: Request) -> RedirectResponse:
    """Judges the chosen runs beside the same unseen records."""
    names = [str(name) for name in (await request.form()).getlist("run")][: MOST + 1]
    if not 2 <= len(set(names)) <= MOST:
        raise Problem(400, "bad_choice", viewer(request).t("compare.choose", most=MOST), "run")
    parts = served(request)
    runs = [below(parts, subject(request, name).path) for name in dict.fromkeys(names)]
    home = parts.catalogue.root.resolve() / HOME
    taken = {int(p.name) for p in home.glob("*") if NAME.fullmatch(p.name)} | {_number(job) for job in _jobs(parts)}
    number = max(taken, default=0) + 1
    submit(request, "assay", {"run": runs, "out": f"{HOME}/{number}", "lang": viewer(request).code})
    return go(f"/compare/{number}")


def _jobs(parts: Served) -> list[Job]:
    return [
        job for job in parts.jobs.list(most=500) if job.kind == "assay" and isinstance(job.options.get("run"), list)
    ]


def _number(job: Job) -> int:
    name = Path(str(job.options.get("out", ""))).name
    return int(name) if NAME.fullmatch(name) else 0


@ROUTER.get("/compare")
def comparisons(request: Request) -> HTMLResponse:
    """Those that there are, and how one is begun."""
    home = served(request).catalogue.root.resolve() / HOME
    found = sorted(
        (int(p.name) for p in home.glob("*") if NAME.fullmatch(p.name) and (p / FILE).is_file()), reverse=True
    )
    return page(request, "compare.html.j2", command=command("assay", "RUN", out=None) + " RUN", found=found)


@ROUTER.get("/compare/{number}")
def comparison(request: Request, number: int) -> HTMLResponse:
    """One comparison, or how far it is."""
    parts = served(request)
    there = (parts.catalogue.root.resolve() / HOME / str(number) / FILE).is_file()
    job = next((job for job in _jobs(parts) if _number(job) == number), None)
    if job is None and not there:
        raise Problem(404, "not_found", f"there is no comparison {number}.")
    names = [] if job is None else [Path(str(run)).name for run in job.options["run"]]
    return page(
        request,
        "comparison.html.j2",
        command=f"karat assay {' '.join(names or ['RUN', 'RUN'])}",
        number=number,
        there=there,
        job=job,
        names=names,
    )


@ROUTER.get("/compare/{number}/page")
def whole(request: Request, number: int) -> HTMLResponse:
    """The comparison as it was written."""
    file = served(request).catalogue.root.resolve() / HOME / str(number) / FILE
    try:
        return HTMLResponse(file.read_text(encoding="utf-8"), headers={"Content-Security-Policy": CONTENT})
    except OSError:
        raise Problem(404, "not_found", f"there is no comparison {number}.") from None
