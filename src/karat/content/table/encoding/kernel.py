"""Coded rows of a table as points of `Fields` and back, and a kernel that moves them without changing a column by itself.

A row's numbers, as normal scores of their ranks, are shrunk and moved by steps as correlated as the training rows' numbers are
(the smoothed bootstrap that inflates no variance: Silverman, "Density estimation", 1986, section 6.4), so that neither a
column nor what relates two of them by rank changes, however wide the kernel: at width 1 it draws from a Gaussian copula. A
choice keeps its value or is drawn anew by its training count (Aitchison & Aitken, 1976).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from karat.content.table.encoding.coding import draw
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.parts import Number, Part

Places = dict[int, np.ndarray]


@dataclass(frozen=True, eq=False)
class Kernel:
    """width: the standard deviation of a step of a normal score, from 0 to 1.

    factor: float64 [numbers, numbers], of the correlation of the steps: its product with its own transpose.
    """

    width: float
    factor: np.ndarray


def correlated(parts: Sequence[Part], codes: np.ndarray) -> np.ndarray:
    """The `factor` of training rows `codes` [n, parts] of the fine scale; shrunk towards none the more, the fewer they are."""
    from scipy.special import ndtri

    scores = []
    for j, part in enumerate(parts):
        if isinstance(part, Number):
            counts, first = part.counts(True), int(part.missing > 0)
            ends = _ends(counts[first:])
            score = ndtri((ends[:-1] + ends[1:]) / 2)
            scores.append(np.where(codes[:, j] < first, 0.0, score[np.maximum(codes[:, j] - first, 0)]))
    k = len(scores)
    if not k:
        return np.zeros((0, 0))
    both = np.atleast_2d(np.cov(np.stack(scores), bias=True)) + 1e-9 * np.eye(k)
    size = np.sqrt(np.diag(both))
    weight = len(codes) / (len(codes) + k)
    return np.asarray(np.linalg.cholesky(weight * both / size / size[:, None] + (1 - weight) * np.eye(k)))


def to_fields(parts: Sequence[Part], codes: np.ndarray, places: Mapping[int, np.ndarray]) -> np.ndarray:
    """float32 [n, sum of widths] of codes [n, parts], and of the place [n] in its bin of each part that has one."""
    out, rows = [], np.arange(len(codes))
    for j, part in enumerate(parts):
        if part.size(False) > 1:
            hot = np.zeros((len(codes), part.size(False)), np.float32)
            hot[rows, codes[:, j]] = 1
            out.append(hot)
        if part.placed(False):
            out.append((2 * places[j] - 1).astype(np.float32)[:, None])
    return np.concatenate(out, 1)


def from_fields(parts: Sequence[Part], points: np.ndarray) -> tuple[np.ndarray, Places]:
    """Codes int64 [n, parts] and places of any `points`: a choice is its largest entry, a number is clipped."""
    codes, places, at = np.zeros((len(points), len(parts)), np.int64), {}, 0
    for j, part in enumerate(parts):
        if part.size(False) > 1:
            codes[:, j] = points[:, at : at + part.size(False)].argmax(1)
            at += part.size(False)
        if part.placed(False):
            places[j] = np.clip((points[:, at].astype(np.float64) + 1) / 2, 0, 1)
            at += 1
    return codes, places


def moved(
    parts: Sequence[Part],
    codes: np.ndarray,
    places: Mapping[int, np.ndarray],
    fine: bool,
    kernel: Kernel,
    free: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Places]:
    """`codes` [n, parts] and `places` after one step of the kernel, where `free` [n, parts]."""
    keep = np.sqrt(1 - kernel.width**2)  # the correlation of a number with what it was before
    numbers = iter(kernel.width * (rng.standard_normal((len(codes), len(kernel.factor))) @ kernel.factor.T).T)
    codes, out = codes.copy(), dict(places)
    for j, part in enumerate(parts):
        counts = part.counts(fine)
        along = next(numbers) if isinstance(part, Number) else None
        if isinstance(part, Computed) or counts.sum() <= 0:
            continue
        some = np.flatnonzero(free[:, j] & (rng.random(len(codes)) >= keep))
        if along is None or not isinstance(part, Number):
            codes[some, j] = draw(counts, len(some), rng)
            continue
        first = int(part.missing > 0)
        step = np.flatnonzero(free[:, j] & (codes[:, j] >= first))
        code, place = _stepped(
            counts[first:],
            codes[step, j] - first,
            places[j][step] if j in places else rng.random(len(step)),
            keep,
            along[step],
        )
        codes[step, j] = code + first
        if j in out:
            out[j] = out[j].copy()
            out[j][step] = place
        if first:  # whether it is missing is a choice
            gone, anew = rng.random(len(some)) < counts[0] / counts.sum(), draw(counts[1:], len(some), rng) + 1
            codes[some, j] = np.where(gone, 0, np.where(codes[some, j] > 0, codes[some, j], anew))
    return codes, out


def _ends(counts: np.ndarray) -> np.ndarray:
    """The ranks [bins + 1], from 0 to 1, at which bins of so many rows begin and end."""
    return np.asarray(np.append(0.0, np.cumsum(counts)) / counts.sum())


def _stepped(
    counts: np.ndarray, bins: np.ndarray, inside: np.ndarray, keep: float, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bins [k] and places in them after `steps` [k] of the normal score from places `inside` of `bins`."""
    from scipy.special import ndtr, ndtri

    ends = _ends(counts)
    rank = ends[bins] + np.clip(inside, 1e-9, 1 - 1e-9) * (ends[bins + 1] - ends[bins])
    rank = ndtr(keep * ndtri(rank) + steps)
    new = np.clip(np.searchsorted(ends, rank, "right") - 1, 0, len(counts) - 1)
    return new, np.clip((rank - ends[new]) / np.maximum(ends[new + 1] - ends[new], 1e-12), 0, 1)
