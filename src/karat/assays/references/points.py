"""Generators whose worth is known, on which every assay is proved.

Each takes real training points [t, *shape] and labels, unseen points and labels, a count and a source of chance, and
returns points [n, *shape] and labels [n] or None. `REFERENCES` says which findings must speak of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from karat.assays.neighbours import distances
from karat.assays.points.diversity import cells
from karat.assays.references.reference import Reference

Made = tuple[Tensor, Tensor | None]
Maker = Callable[..., Made]  # of training points, their labels, unseen points, theirs, a count, chance, and a dial


def _take(points: Tensor, labels: Tensor | None, rows: np.ndarray) -> Made:
    pick = torch.from_numpy(rows)
    return points[pick].clone(), None if labels is None else labels[pick].clone()


def _fresh(unseen: Tensor, labels: Tensor | None, n: int, rng: np.random.Generator) -> Made:
    return _take(unseen, labels, rng.permutation(len(unseen))[:n])


def oracle(
    train: Tensor, train_labels: Tensor | None, unseen: Tensor, labels: Tensor | None, n: int, rng: np.random.Generator
) -> Made:
    """Unseen real data: nothing is wrong with it. At most `n` records, as many as there are."""
    return _fresh(unseen, labels, n, rng)


def bootstrap(
    train: Tensor, train_labels: Tensor | None, unseen: Tensor, labels: Tensor | None, n: int, rng: np.random.Generator
) -> Made:
    """Training rows drawn again."""
    return _take(train, train_labels, rng.integers(len(train), size=n))


def copier(
    train: Tensor,
    train_labels: Tensor | None,
    unseen: Tensor,
    labels: Tensor | None,
    n: int,
    rng: np.random.Generator,
    *,
    share: float = 0.02,
    noise: float = 0.03,
    reach: int = 1,
) -> Made:
    """Unseen real data, but a `share` are training items moved by a step and with `noise` (of the range) added.

    reach: the most steps that they are moved along the last axis; more than one, only forwards, where there is room.
    """
    points, made_labels = _fresh(unseen, labels, n, rng)
    count = max(1, round(share * len(points)))
    copies, copied = _take(train, train_labels, rng.permutation(len(train))[:count])
    axes = tuple(range(2, points.ndim))
    steps = [range(-1, 2)] * (len(axes) - 1) + [range(-1 if reach == 1 else 0, reach + 1)] * min(1, len(axes))
    moves = [move for move in itertools.product(*steps) if any(move)] or [()]
    for i in range(len(copies)):
        move = moves[int(rng.integers(len(moves)))]
        if move:
            copies[i] = copies[i].roll(move, tuple(axis - 1 for axis in axes))
    copies = (copies + 2 * noise * torch.from_numpy(rng.standard_normal(tuple(copies.shape))).float()).clamp(-1, 1)
    points[: len(copies)] = copies
    if made_labels is not None and copied is not None:
        made_labels[: len(copies)] = copied
    return points, made_labels


def collapser(
    train: Tensor,
    train_labels: Tensor | None,
    unseen: Tensor,
    labels: Tensor | None,
    n: int,
    rng: np.random.Generator,
    *,
    drop: int = 2,
) -> Made:
    """Unseen real data without `drop` of its classes, or without two clusters in ten where there are no labels."""
    groups = labels
    if groups is None:
        centres = cells(train.flatten(1)[:5000], 10, int(rng.integers(1 << 30)))
        groups = distances(unseen.flatten(1), centres).argmin(1)
    kinds = np.unique(groups.numpy())
    gone = torch.from_numpy(rng.permutation(kinds)[: min(drop, len(kinds) - 1)])
    kept = torch.isin(groups, gone, invert=True).nonzero()[:, 0].numpy()
    return _take(unseen, labels, rng.permutation(kept)[:n])


def blurrer(
    train: Tensor, train_labels: Tensor | None, unseen: Tensor, labels: Tensor | None, n: int, rng: np.random.Generator
) -> Made:
    """Unseen real data smoothed by a (1, 2, 1) filter along each axis; records without axes averaged with another."""
    points, made_labels = _fresh(unseen, labels, n, rng)
    if points.ndim == 2:
        return (points + points[torch.from_numpy(rng.permutation(len(points)))]) / 2, made_labels
    for axis in range(2, points.ndim):
        size = points.shape[axis]
        wide = torch.cat([points.narrow(axis, 0, 1), points, points.narrow(axis, size - 1, 1)], axis)
        points = (wide.narrow(axis, 0, size) + 2 * points + wide.narrow(axis, 2, size)) / 4
    return points, made_labels


def skewer(
    train: Tensor,
    train_labels: Tensor | None,
    unseen: Tensor,
    labels: Tensor | None,
    n: int,
    rng: np.random.Generator,
    *,
    times: float = 3.0,
) -> Made:
    """Unseen real data with one class drawn `times` as often, without repeating a record; as it is without labels."""
    if labels is None:
        return _fresh(unseen, labels, n, rng)
    kinds = np.unique(labels.numpy())
    group = int(kinds[int(rng.integers(len(kinds)))])
    inside, outside = ((labels == group) == side for side in (True, False))
    share = min(0.9, times * float(inside.double().mean()))
    size = min(n, int(int(inside.sum()) / share), int(int(outside.sum()) / (1 - share)))
    many = round(share * size)
    rows = [rng.permutation(side.nonzero()[:, 0].numpy()) for side in (inside, outside)]
    return _take(unseen, labels, rng.permutation(np.concatenate([rows[0][:many], rows[1][: size - many]])))


def shuffler(
    train: Tensor, train_labels: Tensor | None, unseen: Tensor, labels: Tensor | None, n: int, rng: np.random.Generator
) -> Made:
    """Unseen real items with their labels permuted."""
    points, made_labels = _fresh(unseen, labels, n, rng)
    if made_labels is not None:
        made_labels = made_labels[torch.from_numpy(rng.permutation(len(made_labels)))]
    return points, made_labels


def noise(
    train: Tensor, train_labels: Tensor | None, unseen: Tensor, labels: Tensor | None, n: int, rng: np.random.Generator
) -> Made:
    """Even noise over the whole space."""
    points = torch.from_numpy(rng.uniform(-1, 1, (n, *train.shape[1:]))).float()
    if labels is None:
        return points, None
    return points, labels[torch.from_numpy(rng.integers(len(labels), size=n))]


LABELLED = ("missing classes", "usefulness", "class balance")  # findings that need classes
BLIND = ("skewer", "shuffler")  # which do nothing where there are no classes

CHOOSERS = ("oracle", "bootstrap", "collapser", "skewer", "shuffler")  # these only choose among real records

COPIED = "{:.0%} copies"
LOST = "classes lost: {:.0f}"
OVERDRAWN = "one class {:g} times as often"

REFERENCES: dict[str, Reference[Maker]] = {
    "oracle": Reference(oracle),
    "bootstrap": Reference(bootstrap, ("copy rate", "authenticity", "ct")),
    "copier": Reference(copier, ("copy rate",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, COPIED),
    "collapser": Reference(collapser, ("coverage", "recall", "missing classes"), "drop", (1, 2, 3), 2, LOST),
    "blurrer": Reference(blurrer, ("sharpness", "frechet distance", "two-sample auc")),
    "skewer": Reference(skewer, ("class balance",), "times", (2, 3, 4), 3, OVERDRAWN),
    "shuffler": Reference(shuffler, ("usefulness",)),
    "noise": Reference(
        noise, ("frechet distance", "kernel distance", "precision", "density", "two-sample auc", "sharpness")
    ),
}

# for content whose axes have names and which may begin anywhere along the last of them: a spectrogram
SLIDING: dict[str, Reference[Maker]] = {
    **REFERENCES,
    "copier": Reference(
        partial(copier, noise=0.015, reach=12), ("copy rate",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, COPIED
    ),
    "collapser": Reference(collapser, ("missing classes",), "drop", (1, 2, 3), 2, LOST),
    "skewer": Reference(skewer, ("class balance",), "times", (2, 3, 4), 4, OVERDRAWN),
    "blurrer": Reference(blurrer, ("two-sample auc",)),
    "noise": Reference(noise, ("frechet distance", "kernel distance", "precision", "density", "two-sample auc")),
}  # and of the blurrer and of noise "detail along" each axis, by its name
