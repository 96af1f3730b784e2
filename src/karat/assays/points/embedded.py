"""A set of records with what the extractor makes of it: features and class probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
T = TypeVar("T")


class Kept:
    """What is found among real records alone, for whoever judges several made sets beside the same ones by one seed.

    It holds the records as well, and lives as long as whoever asked for it.
    """

    def __init__(self) -> None:
        self._sides: tuple[Tensor, Tensor, int] | None = None
        self._found: dict[object, Any] = {}

    def beside(self, train: Tensor, unseen: Tensor, seed: int) -> None:
        """Says which points are judged by.   Raises ValueError where what is kept is of others."""
        a, b, c = self._sides = self._sides or (train, unseen, seed)
        if a is not train or b is not unseen or c != seed:
            raise ValueError("what is kept is of other real records or another seed; begin anew with Kept()")

    def of(self, name: object, find: Callable[[], T]) -> T:
        """What `find` returned when it was first asked for by this name."""
        if name not in self._found:
            self._found[name] = find()
        found: T = self._found[name]
        return found


@dataclass(frozen=True)
class Described:
    """The descriptors of a set of records, NaN where a record has none, and its labels [n] or None."""

    descriptors: Mapping[str, Values]
    labels: Labels | None


class Extractor(Protocol):
    """What turns points into features and, where it was fitted to labels, into class probabilities."""

    def embed(self, points: Tensor) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class Embedded:
    """points [n, *shape] in [-1, 1], features [n, d]; labels given [n], class probabilities read [n, classes], or None.

    rows: where each record stood in the caller's set, once some were taken.
    """

    points: Tensor
    features: Tensor
    labels: Tensor | None
    read: Tensor | None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: Tensor) -> Embedded:
        """The records at `rows` [k]."""
        return Embedded(
            self.points[rows],
            self.features[rows],
            None if self.labels is None else self.labels[rows],
            None if self.read is None else self.read[rows],
            rows if self.rows is None else self.rows[rows],
        )

    def row(self, i: int) -> int:
        """Where record `i` stood in the caller's set."""
        return i if self.rows is None else int(self.rows[i])


def embed_points(extractor: Extractor, points: Tensor, labels: Tensor | None) -> Embedded:
    """`points` [n, *shape] with their features, and the classes that the extractor read where they can."""
    features, read = extractor.embed(points)
    return Embedded(points, features, labels, read)
