"""Generators whose worth is known, for every kind of view: what proves the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from karat.assays.references import points, tables, texts
from karat.errors import FitError
from karat.views import DatabaseView, Points, TableView, TextView, View

NAMES = tuple(points.REFERENCES)


@dataclass(frozen=True)
class Drawn:
    """What a reference generator makes: a view of it, or rows among the training records (from 0) and the source behind
    these; and its labels [n], where there are any.
    """

    view: View | None
    rows: np.ndarray | None
    labels: np.ndarray | None = None


def draw(name: str, train: View, source: View, n: int, rng: np.random.Generator, target: str | None = None) -> Drawn:
    """What the reference `name` makes of real records that no judge will see (`source`): at most `n`, or as many as there are.

    Who only chooses among real records says which. Raises FitError for a name that this kind of view does not know.
    """
    match train, source:
        case Points(), Points():
            _check(name, points.REFERENCES)
            return _of_points(name, train, source, min(n, len(source)), rng)
        case TableView(), TableView():
            _check(name, tables.REFERENCES)
            return Drawn(tables.REFERENCES[name][0](train, source, min(n, len(source)), rng, target), None)
        case TextView(), TextView():
            _check(name, texts.REFERENCES)
            made = texts.REFERENCES[name][0](train, source, min(n, len(source)), rng)
            return Drawn(made, None, made.labels)
        case DatabaseView(), DatabaseView():
            if name != "oracle":
                raise FitError(f"the reference {name} is for one table; of related tables there is the oracle.")
            return Drawn(None, np.arange(len(source)) + len(train))
    raise TypeError(f"views of different kinds: {type(train).__name__}, {type(source).__name__}")


def _of_points(name: str, train: Points, source: Points, n: int, rng: np.random.Generator) -> Drawn:
    maker = (points.SLIDING if train.axes else points.REFERENCES)[name][0]
    chooses = name in points.CHOOSERS and (train.labels is not None or name != "collapser")
    a, b = train.points, source.points
    if chooses:  # as they are, not as they come back from points
        places = torch.arange(len(a) + len(b))[:, None]
        a, b = places[: len(a)], places[len(a) :]
    made, labels = maker(a, train.labels, b, source.labels, n, rng)
    said = None if labels is None else labels.numpy()
    return Drawn(None, made[:, 0].numpy(), said) if chooses else Drawn(Points(made, train.axes), None, said)


def _check(name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise FitError(f"no reference {name!r}; there are: {', '.join(known)}.")
