"""Generators of points whose worth is known, on which every assay is proved; `REFERENCES` says which findings must speak."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from karat.assays.neighbours import distances
from karat.assays.points.aligned import affine, seen
from karat.assays.points.diversity import cells
from karat.assays.references.reference import Case, Reference, bootstrap, oracle, overdrawn
from karat.views import Points


def copier(case: Case[Points], *, share: float = 0.02, noise: float = 0.03, reach: int = 1) -> Points:
    """Unseen real data, but a `share` are training items moved by a step and with `noise` (of the range) added.

    reach: the most steps that they are moved along the last axis; more than one, only forwards, where there is room.
    """
    rng, made = case.rng, case.fresh()
    copied = case.train.take(rng.permutation(len(case.train))[: max(1, round(share * len(made)))])
    copies, count = copied.points, len(copied)
    axes = tuple(range(2, copies.ndim))
    steps = [range(-1, 2)] * (len(axes) - 1) + [range(-1 if reach == 1 else 0, reach + 1)] * min(1, len(axes))
    moves = [move for move in itertools.product(*steps) if any(move)] or [()]
    for i in range(count):
        move = moves[int(rng.integers(len(moves)))]
        if move:
            copies[i] = copies[i].roll(move, tuple(axis - 1 for axis in axes))
    copies = (copies + 2 * noise * torch.from_numpy(rng.standard_normal(tuple(copies.shape))).float()).clamp(-1, 1)
    labels = made.labels
    if labels is not None and copied.labels is not None:
        labels = torch.cat([copied.labels, labels[count:]])
    return replace(made, points=torch.cat([copies, made.points[count:]]), labels=labels)


def changer(case: Case[Points], *, share: float = 0.05, only: str = "") -> Points:
    """Unseen real data, but a `share` are training items changed in turn as `CHANGES` of pictures or `PLAYED` of sounds say.

    only: one of these for all.   Each has noise of 1% of the range added.   Records without axes are copied as they are.
    """
    rng, made = case.rng, case.fresh()
    copied = case.train.take(rng.permutation(len(case.train))[: max(1, round(share * len(made)))])
    points = copied.points.clone()
    known = PLAYED if case.train.axes else CHANGES
    ways = (known[only],) if only else tuple(known.values())
    for i in range(len(points) if points.ndim == 4 else 0):
        change, gain, level = ways[i % len(ways)]
        one = seen(points[i : i + 1] + 1, change[None], "zeros" if case.train.axes else "border") - 1
        points[i] = (gain * one + level)[0]
    points = (points + 0.02 * torch.from_numpy(rng.standard_normal(tuple(points.shape))).float()).clamp(-1, 1)
    labels = made.labels
    if labels is not None and copied.labels is not None:
        labels = torch.cat([copied.labels, labels[len(copied) :]])
    return replace(made, points=torch.cat([points, made.points[len(copied) :]]), labels=labels)


def _turned(degrees: float) -> Tensor:
    """The turn of a square picture; one that is not square is sheared a little as well."""
    out, angle = torch.eye(3), math.radians(degrees)
    out[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return out


# by name: where each place of the copy is taken from, and the factor and level of what is there
CHANGES = {
    "mirrored": (affine((-1, 1)), 1.0, 0.0),
    "moved": (affine(moved=(6 / 28, 6 / 28)), 1.0, 0.0),  # 3 of 28 pixels both ways
    "turned": (_turned(10), 1.0, 0.0),
    "smaller": (affine((1 / 0.9, 1 / 0.9)), 1.0, 0.0),
    "larger": (affine((1 / 1.1, 1 / 1.1)), 1.0, 0.0),
    "flatter": (affine(), 0.7, 0.1),
}
PLAYED = {  # what is first and what is lowest stays
    "faster": (affine((1.1, 1.06), (0.1, 0.06)), 1.0, 0.0),
    "slower": (affine((0.9, 0.94), (-0.1, -0.06)), 1.0, 0.0),
    "later": (affine(moved=(-0.2, 0)), 1.0, 0.0),  # a tenth of the frames
    "softer": (affine(), 1.0, -0.15),
}


def collapser(case: Case[Points], *, drop: int = 2) -> Points:
    """Unseen real data without `drop` of its classes, or without two clusters in ten where there are no labels."""
    rng, groups = case.rng, case.unseen.labels
    if groups is None:
        centres = cells(case.train.points.flatten(1)[:5000], 10, int(rng.integers(1 << 30)))
        groups = distances(case.unseen.points.flatten(1), centres).argmin(1)
    kinds = np.unique(groups.numpy())
    gone = rng.permutation(kinds)[: min(drop, len(kinds) - 1)]
    kept = np.flatnonzero(~np.isin(groups.numpy(), gone))
    return case.unseen.take(rng.permutation(kept)[: case.n])


def blurrer(case: Case[Points]) -> Points:
    """Unseen real data smoothed by a (1, 2, 1) filter along each axis; records without axes averaged with another."""
    made = case.fresh()
    points = made.points
    if points.ndim == 2:
        return replace(made, points=(points + points[torch.from_numpy(case.rng.permutation(len(points)))]) / 2)
    for axis in range(2, points.ndim):
        size = points.shape[axis]
        wide = torch.cat([points.narrow(axis, 0, 1), points, points.narrow(axis, size - 1, 1)], axis)
        points = (wide.narrow(axis, 0, size) + 2 * points + wide.narrow(axis, 2, size)) / 4
    return replace(made, points=points)


def skewer(case: Case[Points], *, times: float = 3.0) -> Points:
    """Unseen real data with one class drawn `times` as often, without repeating a record; as it is without labels."""
    if case.unseen.labels is None:
        return case.fresh()
    labels = case.unseen.labels.numpy()
    kinds = np.unique(labels)
    return overdrawn(case, labels == int(kinds[int(case.rng.integers(len(kinds)))]), times)


def shuffler(case: Case[Points]) -> Points:
    """Unseen real items with their labels permuted."""
    made = case.fresh()
    if made.labels is None:
        return made
    return replace(made, labels=made.labels[torch.from_numpy(case.rng.permutation(len(made)))])


def noise(case: Case[Points]) -> Points:
    """Even noise over the whole space."""
    shape = (case.n, *case.train.points.shape[1:])
    points, labels = torch.from_numpy(case.rng.uniform(-1, 1, shape)).float(), case.unseen.labels
    if labels is not None:
        labels = labels[torch.from_numpy(case.rng.integers(len(labels), size=case.n))]
    return Points(points, case.train.axes, labels, case.train.classes)


LABELLED = ("missing classes", "usefulness", "class balance")  # findings that need classes
BLIND = ("skewer", "shuffler")  # which do nothing where there are no classes

CHOOSERS = ("oracle", "bootstrap", "collapser", "skewer", "shuffler")  # these only choose among real records

COPIED = "{strength:.0%} copies"
LOST = "classes lost: {strength:.0f}"
OVERDRAWN = "one class {strength:g} times as often"

REFERENCES: dict[str, Reference[Points]] = {
    "oracle": Reference(oracle),
    "bootstrap": Reference(bootstrap, ("copy rate", "authenticity", "ct")),
    "copier": Reference(copier, ("copy rate",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, COPIED),
    "changer": Reference(
        changer, ("copy rate",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, "{strength:.0%} changed copies"
    ),
    "collapser": Reference(collapser, ("coverage", "recall", "missing classes"), "drop", (1, 2, 3), 2, LOST),
    "blurrer": Reference(blurrer, ("sharpness", "frechet distance", "two-sample auc")),
    "skewer": Reference(skewer, ("class balance",), "times", (2, 3, 4), 3, OVERDRAWN),
    "shuffler": Reference(shuffler, ("usefulness",)),
    "noise": Reference(
        noise, ("frechet distance", "kernel distance", "precision", "density", "two-sample auc", "sharpness")
    ),
}

# for content whose axes have names and which may begin anywhere along the last of them: a spectrogram
SLIDING: dict[str, Reference[Points]] = {
    **REFERENCES,
    "copier": Reference(
        partial(copier, noise=0.015, reach=12), ("copy rate",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, COPIED
    ),
    "collapser": Reference(collapser, ("missing classes",), "drop", (1, 2, 3), 2, LOST),
    "skewer": Reference(skewer, ("class balance",), "times", (2, 3, 4), 4, OVERDRAWN),
    "blurrer": Reference(blurrer, ("two-sample auc",)),
    "noise": Reference(noise, ("frechet distance", "kernel distance", "precision", "density", "two-sample auc")),
}  # and of the blurrer and of noise "detail along" each axis, by its name
