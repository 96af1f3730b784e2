"""What may be asked of a job: the options of its verb, with runs by their names and paths below the served root."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from karat.errors import FitError
from karat.options import AssayOptions, LookOptions, MakeOptions, TrainOptions
from karat.run import Run
from karat.server.catalogue import Catalogue
from karat.server.forms import Form, form, options_of, said
from karat.server.jobs.table import Kind
from karat.server.problems import Problem, of_fields, of_karat
from karat.workflow import learning


@dataclass(frozen=True)
class Trained:
    """Train a generator on data, or continue a run exactly where it stopped.

    Parameters
    ----------
    source
        What to learn from (see /v1/look): a path from the served folder, or `digits`; or left out with a run to continue.
    run
        The name of a run to continue; minutes, steps or samples give the new total of its budget.
    out
        The name of the new run, or its path from the served folder; DATA-RECIPE by default.
    """

    source: str | None = None
    run: str | None = None
    out: str | None = None


@dataclass(frozen=True)
class Assayed:
    """Find out what a generator is worth: findings, each beside the score that unseen real data gets, and a verdict.

    Parameters
    ----------
    run
        The name of a run, or of several of the same data, which are compared; or left out, with real and made given.
    """

    run: str | list[str] | None = None


@dataclass(frozen=True)
class Made:
    """Make new content and keep it in the run's folder as ordinary files, each labelled as AI-made.

    Parameters
    ----------
    run
        The name of a run.
    """

    run: str


OPTIONS: dict[Kind, type] = {"train": TrainOptions, "assay": AssayOptions, "look": LookOptions, "make": MakeOptions}
FORMS: dict[Kind, type[Form]] = {
    "train": form("Train", Trained, TrainOptions, examples=[{"source": "tables/adult.csv", "minutes": 2}]),
    "assay": form("Assay", Assayed, AssayOptions, examples=[{"n": 2000, "lang": "en"}]),
    "look": form("LookJob", LookOptions, examples=[{"data": "photos", "probe": False}]),
    "make": form("MakeJob", Made, MakeOptions, without=("stream",), examples=[{"run": "digits-vae", "n": 100}]),
}
OF_RUN: dict[Kind, type[Form]] = {"assay": form("AssayOfRun", AssayOptions, examples=[{"n": 2000, "lang": "en"}])}


@dataclass(frozen=True)
class Asked:
    """What a job is to do.   options: as its verb takes them, those that differ from the defaults, for JSON.   run: the folder
    of the run that it makes or uses, None for a look, samples of others, and several runs."""

    options: dict[str, Any]
    run: Path | None


def asked(kind: Kind, given: Form | Mapping[str, Any], catalogue: Catalogue, promised: Collection[Path]) -> Asked:
    """What a request asks.   promised: folders of runs that other jobs are to make.

    Problem where a field is unknown, which names the nearest, or of a wrong type, and where it leads outside the served root.
    """
    form = given if isinstance(given, Form) else _filled(kind, given)
    request = said(form)
    named = request.get("run")
    if kind == "train" and named is not None and {"source", "out"} & set(request):
        raise Problem(400, "unfit", "run is continued where it is; leave source and out away.", "run")
    to_be = {path.name: path for path in promised}  # what waits behind a training may name its run
    names = [name for name in (named if isinstance(named, list) else [named]) if name is not None]
    runs = [to_be[name] if name in to_be else catalogue.run(name).path for name in names]
    fixed: dict[str, Any] = {}
    if runs and kind != "train":
        fixed["run"] = runs if kind == "assay" else runs[0]
        if len(runs) > 1:
            fixed["out"] = catalogue.comparisons / secrets.token_hex(5)
    elif kind == "train":
        fixed = _training(request, runs, catalogue, promised)
        runs = [fixed["out"] if "out" in fixed else fixed["source"]]
    elif kind == "assay" and not {"real", "calibrate"} & set(request):
        raise Problem(422, "missing_field", "run is missing; a run was wanted, or real and made.", "run")
    options: Any = options_of(form, OPTIONS[kind], catalogue, **fixed)
    if kind == "train" and "out" in fixed:
        _check_settings(options)
    return Asked(_plain(options), runs[0] if len(runs) == 1 else None)


def _check_settings(options: TrainOptions) -> None:
    """Problem (400) for settings that the recipe has not, or not so, as far as that is known before the data are read."""
    try:
        learning.check_settings(options)
    except FitError as error:
        raise replace(of_karat(error), param="set") from None


def _filled(kind: Kind, given: Mapping[str, Any]) -> Form:
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    try:
        return FORMS[kind](**listed)
    except ValidationError as error:
        raise of_fields([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None


def _training(
    request: Mapping[str, Any], runs: Sequence[Path], catalogue: Catalogue, promised: Collection[Path]
) -> dict[str, Any]:
    """Where a training reads and writes: `source` is the run that it continues, or `out` the one that it makes."""
    source, out = request.get("source"), request.get("out")
    if runs:
        return {"source": runs[0]}
    if source is None:
        raise Problem(422, "missing_field", "source is missing; data were wanted, or a run to continue.", "source")
    bundled = source == "digits"
    place = Path(source) if bundled else catalogue.place(source, "source")
    if not bundled and Run.is_run(place):
        return {"source": place}
    if out is None:
        recipe = f"-{request['recipe']}" if "recipe" in request else ""
        return {"out": free_run(catalogue, f"{place.name.split('.')[0] or 'data'}{recipe}", promised)}
    goal = (
        catalogue.place(out, "out", new=True)
        if "/" in out
        else catalogue.home / catalogue.place(out, "out", new=True).name
    )
    if goal.exists() or goal in promised:
        raise Problem(
            409, "run_exists", f"{goal.name} is there already, or a job is to make it; choose another name.", "out"
        )
    if not any(goal.is_relative_to(ground.resolve()) for ground in catalogue.grounds):
        raise Problem(
            400, "no_such_place", f"{goal.name} would lie where no runs are served; give its name alone.", "out"
        )
    if any(map(Run.is_run, goal.parents)):
        raise Problem(400, "no_such_place", f"{goal.name} would lie inside a run; choose another place.", "out")
    return {"out": goal}


def free_run(catalogue: Catalogue, stem: str, promised: Collection[Path]) -> Path:
    """The folder of a new run, `stem` or the first of stem-2, stem-3, ... that is neither a run's name nor to be one."""
    taken = set(catalogue.paths()) | {path.name for path in promised}
    i, name = 1, stem
    while name in taken or (catalogue.home / name).exists():
        i += 1
        name = f"{stem}-{i}"
    return catalogue.home / name


def _plain(options: Any) -> dict[str, Any]:
    """The options that differ from their defaults, as JSON has them."""
    found = {each.name: getattr(options, each.name) for each in fields(options)}
    kept = {each.name: found[each.name] for each in fields(options) if found[each.name] != each.default}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return plain


def typed(kind: Kind, options: Mapping[str, Any]) -> Any:
    """The options as their dataclass."""
    return TypeAdapter(OPTIONS[kind]).validate_python(dict(options))
