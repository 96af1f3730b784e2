"""One set of records as the judge sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Sees(Protocol):
    """Whoever turns points into features and, where it was fitted to labels, into class probabilities."""

    def see(self, points: Tensor) -> Tensor: ...

    def read(self, points: Tensor) -> Tensor | None: ...


@dataclass(frozen=True)
class Seen:
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

    def take(self, rows: Tensor) -> Seen:
        """The records at `rows` [k]."""
        return Seen(
            self.points[rows],
            self.features[rows],
            None if self.labels is None else self.labels[rows],
            None if self.read is None else self.read[rows],
            rows if self.rows is None else self.rows[rows],
        )

    def row(self, i: int) -> int:
        """Where record `i` stood in the caller's set."""
        return i if self.rows is None else int(self.rows[i])


def look_at(eyes: Sees, points: Tensor, labels: Tensor | None) -> Seen:
    """`points` [n, *shape] with their features, and the classes that the eyes read where they can."""
    return Seen(points, eyes.see(points), labels, eyes.read(points))


@dataclass(frozen=True)
class Components:
    """The leading principal components of a set: `of(points)` is [n, k], centred on that set."""

    centre: Tensor
    basis: Tensor

    def of(self, flat: Tensor) -> Tensor:
        return (flat.flatten(1).float() - self.centre) @ self.basis


def components(flat: Tensor, k: int) -> Components:
    """At most `k` components of `flat` [n, ...], from its first 5,000 rows."""
    some = flat[:5000].flatten(1).double()
    _, vectors = torch.linalg.eigh(torch.atleast_2d(torch.cov(some.T)))
    return Components(some.mean(0).float(), vectors.flip(1)[:, : min(k, some.shape[1])].float())


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances [n, m] of `a` [n, d] and `b` [m, d], never negative."""
    out = torch.addmm(b.square().sum(1)[None], a, b.T, alpha=-2)
    return out.add_(a.square().sum(1)[:, None]).clamp_min_(0)
