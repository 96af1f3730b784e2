"""Generators whose worth is known, for every kind of view: what proves the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from karat.assays.references import databases, points, series, tables, texts
from karat.assays.references.reference import Case, Reference
from karat.errors import FitError
from karat.views import DatabaseView, Points, TableView, TextView, View
from karat.words import said

NAMES = tuple(points.REFERENCES)


@dataclass(frozen=True)
class Drawn:
    """What a reference generator makes: a view of it, or rows among the training records (from 0) and the source behind
    these; and its labels [n], where there are any.   mixed: whether children of related tables are given to other parents.
    """

    view: View | None
    rows: np.ndarray | None
    labels: np.ndarray | None = None
    mixed: bool = False


@dataclass(frozen=True)
class Plant:
    """A reference generator at one strength, None where it has no dial, and the findings that may speak of it.

    due: whether they must: at its usual strength and beyond, where `phrase` states it in words.
    """

    reference: str
    strength: float | None = None
    findings: tuple[str, ...] = ()
    due: bool = True
    phrase: str = ""


def _phrase(template: str, strength: float | None) -> str:
    return said(template, strength=strength) if template else ""


def plants(train: View, target: str | None = None, graded: bool = True) -> list[Plant]:
    """Every reference generator of such a view at each of its strengths, from weak to strong; the oracle first.

    train: whose labels and axes decide which findings there are.   target: a table's column that is predicted.
    graded: else only at the usual strength.
    """
    out = []
    for name, reference in _known(train).items():
        findings = _due(name, reference, train, target)
        if findings is None:
            continue
        for strength in (reference.strengths if graded or not reference.dial else (reference.usual,)) or (None,):
            due, phrase = strength is None or strength >= reference.usual, _phrase(reference.phrase, strength)
            if _able(name, train, strength):
                out.append(Plant(name, strength, findings, due, phrase))
    return out


def draw(
    name: str,
    train: View,
    source: View,
    n: int,
    rng: np.random.Generator,
    target: str | None = None,
    strength: float | None = None,
) -> Drawn:
    """What the reference `name` makes of real records that no judge will see (`source`): at most `n`, or as many as there are.

    Who only chooses among real records says which.   strength: of its dial, the usual one by default.
    Raises FitError for a name that this kind of view does not know, and for a strength where there is no dial.
    """
    known = _known(train)
    if name not in known:
        raise FitError(f"no reference {name!r}; there are: {', '.join(known)}.")
    dial = known[name].dial
    if strength is not None and not dial:
        raise FitError(f"the reference {name} has no strength; leave it out.")
    how, n = {} if strength is None else {dial: strength}, min(n, len(source))
    match train, source:
        case Points(), Points():
            return _of_points(name, Case(train, source, n, rng), how)
        case TableView(), TableView():
            return Drawn(known[name].make(Case(train, source, n, rng, target), **how), None)
        case TextView(), TextView():
            made = known[name].make(Case(train, source, n, rng), **how)
            return Drawn(made, None, made.labels)
        case DatabaseView(), DatabaseView() if known is databases.REFERENCES:  # who choose among records
            rows = databases.REFERENCES[name].choose(Case(train, source, n, rng), **how)
            return Drawn(None, rows, mixed=name == databases.MIXED)
        case DatabaseView(), DatabaseView() if name == "oracle":
            return Drawn(None, len(train) + rng.permutation(len(source))[:n])
        case DatabaseView(), DatabaseView():
            return Drawn(known[name].make(Case(train, source, n, rng), **how), None)
    raise TypeError(f"views of different kinds: {type(train).__name__}, {type(source).__name__}")


def _known(view: View) -> Mapping[str, Any]:
    match view:
        case Points():
            return points.SLIDING if view.axes else points.REFERENCES
        case TableView():
            return tables.REFERENCES
        case TextView():
            return texts.REFERENCES
    return series.REFERENCES if series.has(view) else databases.REFERENCES


def _able(name: str, train: View, strength: float | None) -> bool:
    """Whether the reference does anything to such data."""
    if isinstance(train, DatabaseView) and not series.has(train):
        return databases.able(name, train, strength)
    return not isinstance(train, TableView) or tables.able(name, train, strength)


def _due(name: str, reference: Reference[Any], train: View, target: str | None) -> tuple[str, ...] | None:
    """The findings that must speak of a reference; None where it can do nothing to such data."""
    match train:
        case Points() if name == "changer" and train.points.ndim != 4:
            return None
        case Points():
            along = tuple(f"detail along {axis}" for axis in train.axes) if name in ("blurrer", "noise") else ()
            if train.labels is not None:
                return reference.must + along
            if name in points.BLIND:
                return None
            seen = tuple(f for f in reference.must if f not in points.LABELLED)
            return seen + along + (("missing modes",) if name == "collapser" else ())
        case TextView():
            return texts.LABELLED.get(name, reference.must) if train.labels is not None else reference.must
        case TableView():
            return tables.due(name, train, target)
        case DatabaseView() if not series.has(train):
            return databases.due(name, train)
    return reference.must


def _of_points(name: str, case: Case[Points], how: Mapping[str, float]) -> Drawn:
    labelled = case.train.labels is not None
    chooses = name in points.CHOOSERS and (labelled or name != "collapser")
    if chooses:  # records as they are, not as they come back from points
        places = torch.arange(len(case.train) + len(case.unseen))[:, None].split([len(case.train), len(case.unseen)])
        train, unseen = (replace(side, points=at) for side, at in zip((case.train, case.unseen), places, strict=True))
        case = replace(case, train=train, unseen=unseen)
    made = _known(case.train)[name].make(case, **how)
    labels = None if made.labels is None else made.labels.numpy()
    return Drawn(None, made.points[:, 0].numpy(), labels) if chooses else Drawn(made, None, labels)
