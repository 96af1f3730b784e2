"""Tags and notes of a run, and the bin: what is deleted lies there until it is restored."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.errors import RunError
from karat.output import make_folder
from karat.output.files import write_whole
from karat.run import Run
from karat.server.problems import Problem
from karat.server.served import served
from karat.studio.forms import sent
from karat.studio.page import go, page, router
from karat.studio.shelf import notes_of, write_notes
from karat.studio.subject import run_page, subject

ROUTER = router()
BIN = ".karat/bin"
ORIGIN = ".json"  # behind the name of a folder in the bin: where it came from


@dataclass(frozen=True)
class Thrown:
    """A run in the bin.   key: its folder's name there.   name: as it was called.   when: seconds since 1970."""

    key: str
    name: str
    origin: Path
    when: float


def thrown(root: Path) -> list[Thrown]:
    """What lies in the bin, the last one first."""
    out = []
    for file in (root / BIN).glob(f"*{ORIGIN}"):
        try:
            told = json.loads(file.read_bytes())
            found = Thrown(
                file.name.removesuffix(ORIGIN), str(told["name"]), root / str(told["origin"]), float(told["when"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if (root / BIN / found.key).is_dir() and found.origin.resolve().is_relative_to(root):
            out.append(found)
    return sorted(out, key=lambda each: -each.when)


@ROUTER.get("/runs/{name}/notes")
def notes(request: Request, name: str) -> HTMLResponse:
    about = subject(request, name)
    found = notes_of(about.run)
    return run_page(request, about, "notes.html.j2", "notes", command=f"ls {about.path.name}", notes=found)


@ROUTER.post("/runs/{name}/notes")
async def write(request: Request, name: str) -> RedirectResponse:
    about, form = subject(request, name), await sent(request, lines=("note",))
    write_notes(about.run, str(form.get("tags", "")), str(form.get("note", "")))
    return go(f"/runs/{quote(name, '')}/notes")


@ROUTER.post("/runs/{name}/delete")
def delete(request: Request, name: str) -> RedirectResponse:
    """Moves the run into the bin; RunError while somebody works with it."""
    about, root = subject(request, name), served(request).catalogue.root.resolve()
    if not about.path.is_relative_to(root):
        raise Problem(400, "outside", f"{name} lies outside of the served root, where nothing is moved.")
    key = f"{int(time.time())}-{about.path.name}"
    make_folder(root / BIN, True)
    with about.run.lock():
        told = {"name": name, "origin": str(about.path.relative_to(root)), "when": time.time()}
        write_whole(root / BIN / f"{key}{ORIGIN}", json.dumps(told).encode())
        _move(about.path, root / BIN / key)
    return go("/bin")


@ROUTER.get("/bin")
def waste(request: Request) -> HTMLResponse:
    return page(request, "bin.html.j2", command=f"ls {BIN}", thrown=thrown(served(request).catalogue.root.resolve()))


@ROUTER.post("/bin/restore")
async def restore(request: Request) -> RedirectResponse:
    """Puts a run back where it was, or beside what lies there now."""
    root, key = served(request).catalogue.root.resolve(), str((await sent(request)).get("key", ""))
    found = next((each for each in thrown(root) if each.key == key), None)
    if found is None:
        raise Problem(404, "not_found", "that is not in the bin; somebody may have restored it.")
    goal, i = found.origin, 1
    while goal.exists():
        i += 1
        goal = found.origin.with_name(f"{found.origin.name}-{i}")
    make_folder(goal.parent, True)
    _move(root / BIN / key, goal)
    (root / BIN / f"{key}{ORIGIN}").unlink()
    return go(f"/runs/{quote(goal.name, '')}/verdict") if Run.is_run(goal) else go("/runs")


def _move(path: Path, goal: Path) -> None:
    try:
        os.rename(path, goal)
    except OSError as error:
        raise RunError(f"{path.name} cannot be moved: {error.strerror}. Nothing was changed.") from None
