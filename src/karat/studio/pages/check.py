"""Check: files that are dropped on the page, and in words where they come from. Nothing of them is kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import UploadFile

from karat.output import BESIDE, INSIDE, file_name, scratch
from karat.provenance.containers import container_of
from karat.provenance.signing import Trust
from karat.server.bodies import FIELDS
from karat.server.problems import Problem
from karat.server.routes.data import memories, slowly
from karat.server.served import Served, served
from karat.studio.page import page, router
from karat.studio.work import command
from karat.workflow.checking import FileCheck
from karat.workflow.checking.files import check_file
from karat.workflow.checking.made import Memory

ROUTER = router()
MOST = 50  # files at once
GOOD = ("intact",)
UNKNOWN = ("no label",)  # which says nothing of where a file is from


@dataclass(frozen=True)
class Checked:
    """What was found of one file.   name: as it was sent.   mood: by which it is coloured: fine, raised or unknown.

    beside: the name of the label that may lie beside it and was not sent, "" where its form carries labels inside.
    """

    name: str
    found: FileCheck

    @property
    def beside(self) -> str:
        lost = self.found.state in UNKNOWN and container_of(self.name) is None
        return self.name + BESIDE if lost else ""

    @property
    def mood(self) -> str:
        return "fine" if self.found.state in GOOD else "unknown" if self.found.state in UNKNOWN else "raised"


@ROUTER.get("/check")
def check(request: Request) -> HTMLResponse:
    return _page(request, [], "")


@ROUTER.post("/check")
async def checked(request: Request) -> HTMLResponse:
    """What is known of the files of the form; labels that lie beside files may be sent with them."""
    async with request.form(max_files=MOST, max_fields=FIELDS["max_fields"]) as form:
        files = [one for one in form.getlist("file") if isinstance(one, UploadFile) and one.filename]
        run = str(form.get("run", ""))
        if not files:
            raise Problem(400, "no_file", "no file was sent; choose one, or drop it on the page.", "file")
        found = await slowly(lambda: _looked(served(request), files, run))
    return _page(request, found, run)


def _page(request: Request, found: Sequence[Checked], run: str) -> HTMLResponse:
    names = [one.name for one in found]
    runs = list(served(request).catalogue.paths())
    line = command("check", *(names[:1] or ["FILE"]), run=run or None)
    return page(request, "check.html.j2", command=line, found=found, run=run, runs=runs)


def _looked(here: Served, files: Sequence[UploadFile], run: str) -> list[Checked]:
    """Each file lies in a folder of its own while it is looked at, beside the labels that came with it."""
    known = [Memory(here.catalogue.run(run))] if run else memories(here.catalogue)
    with scratch() as folder:
        names = {}
        for one in files:
            sent = str(one.filename).replace("\\", "/").rpartition("/")[2]
            path = folder / file_name(sent)
            with path.open("wb") as copy:
                shutil.copyfileobj(one.file, copy)
            names[path] = sent
        trust = Trust.of(())
        lone = [path for path in names if not _is_label(path) or len(names) == 1]
        return [Checked(names[path], check_file(path, known, trust)) for path in lone]


def _is_label(path: Path) -> bool:
    return path.name == INSIDE or path.name.endswith((BESIDE, ".signature.json"))
