"""What a generator of pictures or sounds makes, measured: every finding beside the score of unseen real data in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from karat.assays.chance import draw
from karat.assays.encoder import FeatureExtractor, open_extractor
from karat.assays.finding import Finding
from karat.assays.neighbours import components
from karat.assays.points import bias, diversity, fidelity, membership, memory, usefulness
from karat.assays.points import descriptors as descriptors
from karat.assays.points.seen import Seen, look_at
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import Points

LEARNED = 60_000  # records that the judge's feature extractor learn from
MOST = 10_000  # unseen and made records that are looked at; nearest-neighbour findings grow with their product


def judge(
    train: Points, unseen: Points, made: Points, *, fingerprint: str, seed: int, pretrained: Path | None
) -> tuple[list[Finding], FeatureExtractor]:
    """All findings about `made`, by extractor that are fitted to `train` or `pretrained`; and those extractor."""
    few = train.labels
    extractor = open_extractor(
        train.points[:LEARNED],
        None if few is None else few[:LEARNED],
        len(train.classes),
        fingerprint=fingerprint,
        seed=seed,
        pretrained=pretrained,
    )
    t, u, m = (look_at(extractor, x.points, x.labels) for x in (train, unseen, made))
    findings = examine(t, u, m, classes=train.classes, axes=train.axes, seed=seed)
    known = {name: (values, unseen.facets[name]) for name, values in train.facets.items()}
    a, b, c = (descriptors.Described(x.descriptors, _described(x)) for x in (train, unseen, made))
    return [*findings, *bias.facets(t, u, m, known), *descriptors.findings(a, b, c, train.classes)], extractor


def _described(x: Points) -> np.ndarray | None:
    """The labels of the records whose descriptors are known."""
    if x.labels is None:
        return None
    return x.labels.numpy() if x.described is None else x.labels.numpy()[x.described]


def examine(
    train: Seen, unseen: Seen, made: Seen, *, classes: tuple[str, ...], axes: tuple[str, ...] = (), seed: int = 0
) -> list[Finding]:
    """All findings about `made`, the same for the same seed.

    train: the records that the generator learned from, all of them, or memory and lift see less than there is.
    unseen: real records that neither the generator nor the judge's feature extractor learned from.
    axes: the names of the points' axes, where content may begin anywhere along the last of them.
    Raises DataError for fewer than 20 records in any of the three, or for records of different shapes.
    """
    for name, seen in (("training", train), ("unseen real", unseen), ("made", made)):
        if len(seen) < FEWEST:
            raise DataError(f"{len(seen)} {name} records are too few to judge by; give at least {FEWEST}")
    shapes = {tuple(seen.points.shape[1:]) for seen in (train, unseen, made)}
    if len(shapes) > 1:
        raise DataError(f"real and made records have different shapes {sorted(shapes)}; bring them to one")
    rng = np.random.default_rng(seed)
    # any order of the rows may mean something (classes, time): what takes the first few takes them from a shuffled set
    train, unseen, made = (seen.take(torch.from_numpy(rng.permutation(len(seen)))) for seen in (train, unseen, made))
    draws = draw(len(unseen), len(made), rng)
    pixels = components(train.points, 64)
    return [
        *fidelity.findings(train, unseen, made, draws, pixels, seed, axes),
        *diversity.findings(train, unseen, made, draws, classes),
        *memory.findings(train, unseen, made, seed, slides=bool(axes)),
        *membership.findings(pixels.of(train.points), pixels.of(unseen.points), pixels.of(made.points), seed),
        *usefulness.findings(train, unseen, made, pixels, classes, seed),
        *bias.findings(unseen, made, classes),
    ]
