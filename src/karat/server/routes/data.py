"""POST /v1/look: what is in data.   POST /v1/check and /v1/content_provenance_checks: where a file comes from."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, File, Form, UploadFile
from fastapi import Request as Http
from pydantic import BaseModel

from karat.errors import RunError
from karat.options import LookOptions
from karat.output import scratch, to_json
from karat.provenance.signing import Trust
from karat.run import Run
from karat.server import forms
from karat.server.bodies import Route
from karat.server.catalogue import Catalogue
from karat.server.problems import below, without_places
from karat.server.routes.documented import errors
from karat.server.served import Served, served
from karat.workflow import probing
from karat.workflow.checking.files import FileCheck, Result, check_file
from karat.workflow.checking.made import Memory

ROUTER = APIRouter(tags=["data"], route_class=Route)
AT_ONCE = CapacityLimiter(2)  # looks and checks, each of which may read large files
SUFFIX = re.compile(r"\.[a-z0-9]{1,12}")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LookAsked:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost.

    Parameters
    ----------
    data
        A file or folder below the served folder, by its path from there, or digits.
    """

    data: str


Asked = forms.form(
    "LookRequest",
    LookAsked,
    LookOptions,
    without=("prices",),
    examples=[{"data": "tables/adult.csv", "probe": False}],
)


class Survey(BaseModel, extra="allow"):
    """What is in data.

    path: as it was asked for.   count, what: how many records, of what kind.   train, holdout: those to learn from, and those
    set aside.   classes: records of each.   warnings: what a person should know.   recipes: those that fit, the usual one
    first, and what each would take.
    """

    path: str
    count: int
    what: str
    train: int
    holdout: int
    classes: dict[str, int]
    warnings: list[str]
    recipes: list[dict[str, Any]]


class Technique(BaseModel):
    """What one technique found in a file.

    type: label (in the file), label_beside, c2pa, signature (beside), record (of a run), watermark, resemblance.
    """

    type: str
    outcome: Literal["detected", "not_detected", "not_applicable"]
    validation_state: Literal["trusted", "valid", "invalid", "absent", "not_present"]
    issuer: str | None = None
    model: str | None = None
    generated_at: str | None = None
    false_positive_rate: float | None = None


class Checked(BaseModel):
    """Where a file comes from. state: intact, stripped, edited, relabelled, other key, no label or damaged.   says: in words.

    No label found says nothing about who made it.   content: SHA-256 of what it holds apart from a label.
    """

    object: Literal["check"] = "check"
    state: str
    says: str
    content: str | None
    results: list[Technique]


class ProvenanceCheck(BaseModel):
    """The same as clients of OpenAI's API know it, with the techniques that it has no word for besides."""

    object: Literal["content_provenance_check"] = "content_provenance_check"
    created_at: int
    results: list[Technique]


Upload = Annotated[UploadFile, File(description="The file; its name ends in what it is, such as .png.")]
OfRun = Annotated[
    str | None, Form(description="The run that may have made it, by its name; by default all that are served.")
]


@ROUTER.post("/v1/look")
@forms.takes(Asked)
async def look(asked: forms.Form, http: Http) -> Survey:
    """What is in data below the served folder, what is wrong with it, which recipes fit, and what each would cost."""
    here = served(http)
    options = forms.options_of(asked, LookOptions, here.catalogue)
    name = str(forms.said(asked)["data"])
    return Survey(**await slowly(lambda: _surveyed(options, name, here.catalogue)))


@ROUTER.post("/v1/check", responses=errors(404))
async def check(http: Http, file: Upload, run: OfRun = None) -> Checked:
    """Where an uploaded file comes from, and whether it is as it was made."""
    found = await _checked(served(http), file, run)
    results = [Technique(**vars(result)) for result in found.results]
    return Checked(state=found.state, says=found.says, content=found.content, results=results)


@ROUTER.post("/v1/content_provenance_checks", responses=errors(404))
async def provenance(http: Http, file: Upload, run: OfRun = None) -> ProvenanceCheck:
    """The same, in the words of OpenAI's API."""
    found = await _checked(served(http), file, run)
    return ProvenanceCheck(created_at=int(time.time()), results=[_theirs(result) for result in found.results])


async def slowly(work: Callable[[], T]) -> T:
    """What `work` gives, in a thread, with no more than a few others."""
    return await run_sync(work, limiter=AT_ONCE)


def _surveyed(options: LookOptions, name: str, catalogue: Catalogue) -> dict[str, Any]:
    data, info = probing.surveyed(options)
    info["recipes"] = probing.suited(data, options)
    info["path"] = name
    told: dict[str, Any] = below(json.loads(to_json(info)), catalogue.hidden)
    return told


async def _checked(here: Served, file: UploadFile, run: str | None) -> FileCheck:
    """The upload lies in a folder of its own while it is looked at, under a name that is ours."""
    of = None if run is None else here.catalogue.run(run)
    found = await slowly(lambda: _looked(here.catalogue, file, of))
    return found


def _looked(catalogue: Catalogue, file: UploadFile, run: Run | None) -> FileCheck:
    suffix = SUFFIX.fullmatch(Path(file.filename or "").suffix.lower())
    folder: AbstractContextManager[Path] = scratch()
    with folder as aside:
        path = aside / f"file{'' if suffix is None else suffix[0]}"
        with path.open("wb") as copy:
            shutil.copyfileobj(file.file, copy)
        found = check_file(path, memories(catalogue) if run is None else [Memory(run)], Trust.of(()))
        return FileCheck(
            path, found.state, without_places(found.says, (aside, *catalogue.hidden)), found.results, found.content
        )


def memories(catalogue: Catalogue) -> list[Memory]:
    """What all runs that are served remember of what they made."""
    found = []
    for path in catalogue.paths().values():
        try:
            found.append(Memory(Run.open(path)))
        except RunError:  # one that is damaged vouches for nothing
            continue
    return found


def _theirs(result: Result) -> Technique:
    state = "not_present" if result.validation_state == "absent" else result.validation_state
    outcome = "detected" if result.outcome == "detected" else "not_detected"
    return Technique(**{**vars(result), "outcome": outcome, "validation_state": state})
