"""GET /v1/models: the runs that can make something, as clients of OpenAI's API list models."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from fastapi import Request as Http
from pydantic import BaseModel

from karat.errors import RunError
from karat.provenance.label import TIME
from karat.run import Run
from karat.server.catalogue import Catalogue
from karat.server.problems import Problem, short
from karat.server.served import served

ROUTER = APIRouter(tags=["models"])


class Model(BaseModel):
    """A run. id: its name in requests.   makes: the kind of its content.   classes: what prompt, input and label may ask for."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["karat"] = "karat"
    makes: str
    recipe: str
    classes: list[str]


class Models(BaseModel):
    """All runs that can make something."""

    object: Literal["list"] = "list"
    data: list[Model]


@ROUTER.get("/v1/models")
async def models(http: Http) -> Models:
    """The runs that can make something."""
    return await asyncio.to_thread(_all, served(http).catalogue)


@ROUTER.get("/v1/models/{model}")
async def model(model: str, http: Http) -> Model:
    """One run that can make something."""
    found = await asyncio.to_thread(_of, model, served(http).catalogue.run(model))
    if found is None:
        raise Problem(
            404, "model_not_found", f"the run {short(model)} cannot make anything yet; /v1/runs/{model} says why."
        )
    return found


def _all(catalogue: Catalogue) -> Models:
    found = []
    for name, path in catalogue.paths().items():
        try:
            found.append(_of(name, Run.open(path)))
        except RunError:  # one that is damaged, or has just gone, keeps no other from being listed
            continue
    return Models(data=[one for one in found if one is not None])


def _of(name: str, run: Run) -> Model | None:
    """None where it has learned nothing yet, or is damaged."""
    if not run.spec.get("models"):
        return None
    try:
        makes = str(run.get("codec.json")["name"])
    except (RunError, KeyError, TypeError):
        return None
    return Model(
        id=name,
        created=seconds_of(run),
        makes=makes,
        recipe=str(run.spec["recipe"].get("name", "")),
        classes=list(run.spec["classes"]),
    )


def seconds_of(run: Run) -> int:
    """When a run ended, in seconds since 1970; 0 where it has not."""
    ended = str(run.spec.get("ended", ""))
    return int(datetime.strptime(ended, TIME).replace(tzinfo=UTC).timestamp()) if ended else 0
