"""Runs side by side: the comparison that `karat assay RUN RUN` writes, begun from the list of runs and shown in a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.output import file_name
from karat.server.guard.headers import REPORT
from karat.server.jobs import Job
from karat.server.problems import Problem, without_places
from karat.server.served import served
from karat.studio.forms import sent
from karat.studio.page import go, page, router, viewer
from karat.studio.work import submit

ROUTER = router()
FILE = "comparison.html"
MOST = 12  # runs


@ROUTER.post("/compare")
async def compare(request: Request) -> RedirectResponse:
    """Judges the chosen runs beside the same unseen records."""
    names = list(dict.fromkeys(str(name) for name in (await sent(request)).getlist("run")))
    if not 2 <= len(names) <= MOST:
        raise Problem(400, "bad_choice", viewer(request).t("compare.choose", most=MOST), "run")
    job = submit(request, "assay", {"run": names, "lang": viewer(request).code})
    return go(f"/compare/{Path(job.options['out']).name}")


def _home(request: Request) -> Path:
    return served(request).catalogue.comparisons


@ROUTER.get("/compare")
def comparisons(request: Request) -> HTMLResponse:
    """Those that there are, the newest first."""
    files = sorted(_home(request).glob(f"*/{FILE}"), key=lambda file: -file.stat().st_mtime)
    jobs = _jobs(request)
    found = [(file.parent.name, _names(jobs.get(file.parent.name)), file.stat().st_mtime) for file in files]
    return page(request, "compare.html.j2", command="karat assay RUN RUN", found=found)


def _jobs(request: Request) -> dict[str, Job]:
    """The comparisons that were asked for, by the names of their folders."""
    home = _home(request)
    jobs = served(request).jobs.list(most=1000)
    return {Path(out).name: job for job in jobs if (out := job.options.get("out")) and Path(out).parent == home}


def _names(job: Job | None) -> list[str]:
    return [] if job is None else [Path(str(run)).name for run in job.options["run"]]


@ROUTER.get("/compare/{key}")
def comparison(request: Request, key: str) -> HTMLResponse:
    """One comparison, or how far it is."""
    there, job = _file(request, key).is_file(), _jobs(request).get(key)
    if job is None and not there:
        raise Problem(404, "not_found", f"there is no comparison {key[:80]!r}.")
    names = _names(job)
    line = f"karat assay {shlex.join(names or ['RUN', 'RUN'])}"
    error = "" if job is None else without_places(job.error or job.state, served(request).catalogue.hidden)
    values: dict[str, Any] = {"key": key, "there": there, "job": job, "names": names, "error": error}
    answer = page(request, "comparison.html.j2", command=line, **values)
    if there and "hx-request" in request.headers:  # from a page that waits for it
        answer.headers["HX-Refresh"] = "true"
    return answer


@ROUTER.get("/compare/{key}/page")
def whole(request: Request, key: str) -> HTMLResponse:
    """The comparison as it was written."""
    try:
        text = _file(request, key).read_text(encoding="utf-8")
    except OSError:
        raise Problem(404, "not_found", f"there is no comparison {key[:80]!r}.") from None
    return HTMLResponse(text, headers={"Content-Security-Policy": REPORT})


def _file(request: Request, key: str) -> Path:
    return _home(request) / file_name(key) / FILE
