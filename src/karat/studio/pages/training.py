"""A training as it goes: curves, samples, diagnostics, stop and go on. All is read from the run, so a reload loses nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from karat import __version__
from karat.errors import RunError
from karat.events import Notice
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import Label
from karat.report.page import charts
from karat.run import Run
from karat.server.answers import Labelled
from karat.server.guard import caller_of
from karat.server.problems import Problem, without_places
from karat.server.served import served
from karat.studio.page import ALONE, go, rendered, router, viewer
from karat.studio.subject import Subject, run_page, subject
from karat.studio.work import command, submit
from karat.training.diagnostics import watch

ROUTER = router()
LAST = 8  # lines of the log
NOTICES = ("non-finite loss", "saturated discriminator", "vanishing gradients", "posterior collapse", "mode collapse")


@dataclass(frozen=True)
class Sample:
    """What was made at so many percent of the budget."""

    percent: int
    name: str
    picture: bool


def live(request: Request, about: Subject) -> dict[str, Any]:
    """What the part of the page that changes shows."""
    history: list[dict[str, float]] = []
    spec: dict[str, Any] = {}
    if about.row is not None and not about.row.error:
        run = about.run
        spec, history = run.spec, run.lines("history.jsonl")
    job = about.working
    jobs, caller = served(request).jobs, caller_of(request)
    failed, hidden = next(iter(about.jobs), None), served(request).catalogue.hidden
    told = failed if job is None else job
    log = jobs.log(told.id, caller) if told is not None and caller.owns(told.caller) else ""
    return {
        "job": job,
        "waiting": None if job is None else jobs.places().get(job.id),
        "failed": without_places(failed.error or "" if caller.owns(failed.caller) else "", hidden)
        if job is None and failed is not None and failed.state == "failed"
        else None,
        "stopped": job is None and failed is not None and failed.state == "cancelled",
        "fraction": _fraction(history, spec),
        "seconds": float(history[-1]["seconds"]) if history else 0.0,
        "charts": charts(_moving(history), viewer(request).language),
        "samples": samples(about.path),
        "notices": notices(about.path, history),
        "known": NOTICES,
        "lines": [without_places(line, hidden) for line in log.splitlines() if line.strip()][-LAST:],
    }


def _fraction(history: list[dict[str, float]], spec: dict[str, Any]) -> float:
    if spec.get("status") == "trained":
        return 1.0
    return min(1.0, float(history[-1]["fraction"])) if history else 0.0


def _moving(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Without the numbers that were 0 all along, such as that of turns that were skipped, and without counts of what is done.

    A fit that is no loop (`trees`) has no losses, and counts its columns and leaves in whole numbers.
    """
    moved = {
        k for row in history for k, value in row.items() if k == "step" or (isinstance(value, float) and value != 0)
    }
    return [{key: value for key, value in row.items() if key in moved} for row in history]


def samples(path: Path) -> list[Sample]:
    """Those of the tenths of the budget that are there."""
    found = sorted(p for p in (path / "samples").glob("[0-9][0-9][0-9].*") if p.suffix in (".png", ".html"))
    return [Sample(int(p.stem), p.name, p.suffix == ".png") for p in found]


def notices(path: Path, history: list[dict[str, float]]) -> list[Notice]:
    """What was noticed: as the run kept it at its end, while it learns from its history."""
    try:
        kept = json.loads((path / "diagnostics.json").read_bytes())
        return [Notice(**{key: row[key] for key in ("name", "fraction", "evidence", "remedy")}) for row in kept]
    except (OSError, ValueError, KeyError, TypeError):
        return watch(history)


@ROUTER.get("/runs/{name}/training")
def training(request: Request, name: str) -> HTMLResponse:
    about = subject(request, name)
    line = command("train", about.path.name)
    if about.row is None:  # it waits, and there is no run yet to go on with
        first = next((job.options for job in about.jobs if job.kind == "train"), {})
        source = without_places(str(first.get("source", "DATA")), served(request).catalogue.hidden)
        asked = {key: first.get(key) for key in ("recipe", "minutes")}
        line = command("train", source, out=about.path.name, **asked)
    return run_page(request, about, "training.html.j2", "training", command=line, **live(request, about))


@ROUTER.get("/runs/{name}/training/live")
def part(request: Request, name: str) -> HTMLResponse:
    """The part that changes. When the last job of the run has found its verdict, the page goes there."""
    about = subject(request, name)
    answer = HTMLResponse(rendered(request, "training_live.html.j2", subject=about, **live(request, about)))
    last = next(iter(about.jobs), None)
    if about.working is None and last is not None and last.kind == "assay" and last.state == "succeeded":
        answer.headers["HX-Redirect"] = f"/runs/{quote(name, '')}/verdict"
    return answer


@ROUTER.post("/runs/{name}/stop")
def stop(request: Request, name: str) -> RedirectResponse:
    """Stops what is done with the run, and takes what waits for it out of the queue."""
    about = subject(request, name)
    for job in about.jobs:
        if not job.over:
            served(request).jobs.cancel(job.id, caller_of(request))
    return go(f"/runs/{quote(name, '')}/training")


@ROUTER.post("/runs/{name}/continue")
def proceed(request: Request, name: str) -> RedirectResponse:
    """Goes on with what was stopped or failed last; with a run that was cut off, where it was saved."""
    about, jobs = subject(request, name), served(request).jobs
    if about.working is None:
        stopped = list(takewhile(lambda job: job.state in ("cancelled", "failed"), about.jobs))
        first = next((i for i, job in enumerate(stopped) if job.kind == "train"), len(stopped) - 1)
        for job in reversed(stopped[: first + 1]):  # a training, and what waited behind it
            jobs.resume(job.id, caller_of(request))
        if not stopped:
            submit(request, "train", {"run": about.name})
    return go(f"/runs/{quote(name, '')}/training")


@ROUTER.get("/runs/{name}/samples/{file}")
def sample(request: Request, name: str, file: str) -> Response:
    about = subject(request, name)
    if file not in {each.name for each in samples(about.path)}:
        raise Problem(404, "not_found", f"{name} has no sample {file[:80]!r}.")
    try:
        blob = Run.open(about.path).file(f"samples/{file}").read_bytes()
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}.") from None
    label = Label(
        "karat", about.run.id, f"sample-{Path(file).stem}", __version__, recipe=about.row.recipe if about.row else ""
    )
    if file.endswith(".png"):
        return Labelled(CONTAINERS[".png"].write(blob, label), label, "image/png")
    whole = rendered(request, "sheet.html.j2", blob=blob.decode("utf-8", "replace")).encode()
    return Labelled(
        CONTAINERS[".html"].write(whole, label), label, "text/html", headers={"Content-Security-Policy": ALONE}
    )
