"""How many real pictures or sounds a made one is worth to who would name their class: see `karat.assays.exchange.lessons`."""

from __future__ import annotations

import numpy as np
import torch

from karat.assays.exchange import lessons
from karat.assays.exchange.lessons import Sheet, Task, ridge
from karat.assays.finding import Finding
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case
from karat.assays.points.usefulness import random_features

FINDS = ("exchange rate", "rare recall")
WIDTH = 256
SHIFT = 14  # parts of a side, by one of which a shifted copy is moved at most


def findings(case: Case) -> list[Finding]:
    """The exchange rate where it is asked for and records have classes; of made ones without, those that the judge reads."""
    train, unseen, made = case.train, case.unseen, case.made
    readable = made.labels is not None or made.read is not None
    if not case.exchange or train.labels is None or unseen.labels is None or len(case.classes) < 2 or not readable:
        return []
    return lessons.findings(task_of(case), "record", case.seed)


def task_of(case: Case) -> Task:
    """What two learners are taught: ridge regression on principal components, and on random features of them."""
    real, unseen, made = (_sheet(case, side) for side in (case.train, case.unseen, case.made))
    half = len(unseen) // 2 if len(unseen) // 2 >= len(real) // 4 else 0
    fresh, test = (unseen.take(np.arange(*ends)) for ends in ((0, half), (half, len(unseen))))
    k = len(case.classes)
    expand = random_features(torch.from_numpy(real.x[:5000]), WIDTH, torch.Generator().manual_seed(case.seed))

    def expanded(x: np.ndarray) -> np.ndarray:
        return expand(torch.from_numpy(x).float()).double().numpy()

    def with_one(x: np.ndarray) -> np.ndarray:
        return np.pad(x.astype(np.float64), ((0, 0), (0, 1)), constant_values=1.0)

    tests = expanded(test.x), with_one(test.x)
    return Task(
        real=real,
        made=made,
        fresh=fresh,
        truth=test.y,
        learners={
            "random features": lambda x, y, weights: ridge(expanded(x), y, weights, tests[0], k),
            "linear models": lambda x, y, weights: ridge(with_one(x), y, weights, tests[1], k),
        },
        score=lambda truth, predicted: float((predicted.argmax(1) == truth).mean()),
        measure="accuracy",
        of="the class",
        classes=k,
        mixed=np.ones(real.x.shape[1], bool),
        extra={"shifted copies": lambda m, rng: _shifted(case, m, rng)},
    )


def _sheet(case: Case, side: Embedded) -> Sheet:
    labels = side.labels
    if labels is None:
        assert side.read is not None
        labels = side.read.argmax(1)
    return Sheet(case.pixels.of(side.points).numpy(), labels.numpy().astype(np.float64))


def _shifted(case: Case, m: int, rng: np.random.Generator) -> Sheet:
    """Copies of training records, moved along their axes by up to a part of their length: along time alone, where they have it."""
    rows = torch.from_numpy(rng.integers(len(case.train), size=m))
    side = case.train.take(rows)
    points = side.points.clone()
    axes = range(points.ndim - 1 if case.axes else 2, points.ndim)
    for axis in axes:
        most = max(1, points.shape[axis] // SHIFT)
        moved = torch.from_numpy(rng.integers(-most, most + 1, size=m))
        for by in range(-most, most + 1):
            points[moved == by] = points[moved == by].roll(by, dims=axis)
    return _sheet(case, Embedded(points, side.features, side.labels, side.read))
