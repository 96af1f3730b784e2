"""A set of records with what the extractor makes of it: features and class probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


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
