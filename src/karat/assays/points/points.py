"""What a generator of pictures or sounds makes, measured: every finding beside the score of unseen real data in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from karat.assays import points as folder
from karat.assays.chance import Draws, draw
from karat.assays.discovery import examined
from karat.assays.encoder import FeatureExtractor, open_extractor
from karat.assays.finding import Finding
from karat.assays.neighbours import Components, components
from karat.assays.points.embedded import Described, Embedded, Kept, embed_points
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import Points, Strings

LEARNED = 60_000  # records that the judge's feature extractor learn from
MOST = 10_000  # unseen and made records that are looked at; nearest-neighbour findings grow with their product


@dataclass(frozen=True)
class Case:
    """What an assay of points judges: records in an order that means nothing, and what several assays need of them.

    classes: the names of the labels.   axes: the names of the points' axes, where content may begin anywhere along the last.
    draws: which unseen and made records take part in a score.   facets: by name, such as a speaker, strings [t] and [n] of
    training and unseen records.   described: the descriptors of training, unseen and made records, where they have any.
    apart: whether the generator is known not to have seen the unseen records.
    exchange: whether learners are taught many times over for the exchange rate.   kept: what is found among `train` and `unseen`.
    """

    train: Embedded
    unseen: Embedded
    made: Embedded
    classes: tuple[str, ...]
    axes: tuple[str, ...]
    seed: int
    draws: Draws
    facets: Mapping[str, tuple[Strings, Strings]] = field(default_factory=dict)
    described: tuple[Described, Described, Described] | None = None
    apart: bool = True
    exchange: bool = False
    kept: Kept = field(default_factory=Kept)

    @property
    def pixels(self) -> Components:
        """The leading 64 components of the training points."""
        return self.kept.of("pixels", lambda: components(self.train.points, 64))


def judge(
    train: Points,
    unseen: Points,
    made: Points,
    *,
    fingerprint: str,
    seed: int,
    pretrained: Path | None,
    apart: bool,
    exchange: bool = False,
    kept: Kept | None = None,
) -> tuple[list[Finding], FeatureExtractor]:
    """All findings about `made`, by an extractor that is fitted to `train` or `pretrained`; and that extractor."""
    kept = kept or Kept()
    kept.beside(train.points, unseen.points, seed)

    def real() -> tuple[FeatureExtractor, Embedded, Embedded]:
        few = train.labels
        extractor = open_extractor(
            train.points[:LEARNED],
            None if few is None else few[:LEARNED],
            len(train.classes),
            fingerprint=fingerprint,
            seed=seed,
            pretrained=pretrained,
        )
        t, u = (embed_points(extractor, x.points, x.labels) for x in (train, unseen))
        return extractor, t, u

    extractor, t, u = kept.of("embedded", real)
    m = embed_points(extractor, made.points, made.labels)
    facets = {name: (values, unseen.facets[name]) for name, values in train.facets.items()}
    a, b, c = (Described(x.descriptors, _described(x)) for x in (train, unseen, made))
    classes, axes = train.classes, train.axes
    described = (a, b, c)
    found = examine(
        t,
        u,
        m,
        classes=classes,
        axes=axes,
        seed=seed,
        facets=facets,
        described=described,
        apart=apart,
        exchange=exchange,
        kept=kept,
    )
    return found, extractor


def _described(x: Points) -> np.ndarray | None:
    """The labels of the records whose descriptors are known."""
    if x.labels is None:
        return None
    return x.labels.numpy() if x.described is None else x.labels.numpy()[x.described]


def examine(
    train: Embedded,
    unseen: Embedded,
    made: Embedded,
    *,
    classes: tuple[str, ...],
    axes: tuple[str, ...] = (),
    seed: int = 0,
    facets: Mapping[str, tuple[Strings, Strings]] | None = None,
    described: tuple[Described, Described, Described] | None = None,
    apart: bool = True,
    exchange: bool = False,
    kept: Kept | None = None,
) -> list[Finding]:
    """All findings about `made`, the same for the same seed; see `Case`.

    train: the records that the generator learned from, all of them, or memory and lift see less than there is.
    unseen: real records that neither the generator nor the judge's feature extractor learned from.
    facets: by name, strings [t] and [n] of training and unseen records, in their order.
    kept: what other made sets were judged by, beside the same `train` and `unseen` and by the same seed.
    Raises DataError for fewer than 20 records in any of the three, or for records of different shapes.
    """
    for name, side in (("training", train), ("unseen real", unseen), ("made", made)):
        if len(side) < FEWEST:
            raise DataError(f"{len(side)} {name} records are too few to judge by; give at least {FEWEST}")
    shapes = {tuple(side.points.shape[1:]) for side in (train, unseen, made)}
    if len(shapes) > 1:
        raise DataError(f"real and made records have different shapes {sorted(shapes)}; bring them to one")
    kept = kept or Kept()
    kept.beside(train.points, unseen.points, seed)
    rng = np.random.default_rng(seed)
    # any order of the rows may mean something (classes, time): what takes the first few takes them from a shuffled set
    orders = [rng.permutation(len(side)) for side in (train, unseen, made)]
    t, u, m = (s.take(torch.from_numpy(order)) for s, order in zip((train, unseen, made), orders, strict=True))
    known = {name: (a[orders[0]], b[orders[1]]) for name, (a, b) in (facets or {}).items()}
    draws = draw(len(unseen), len(made), rng)
    return examined(folder, Case(t, u, m, classes, axes, seed, draws, known, described, apart, exchange, kept))
