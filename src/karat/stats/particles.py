"""Candidates for rows that are filled in around given cells: which rows share them, and which of them are kept by weight."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CROWD = 32  # rows given the same, whose candidates are pooled


def by_given(wanted: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Groups of `rows` with the same given cells; those of few rows together by which cells are given."""
    if not len(rows):
        return
    _, which, many = np.unique(wanted[rows], axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    for group in np.flatnonzero(many >= CROWD):
        yield rows[which == group]
    single = rows[many[which] < CROWD]
    if len(single):
        _, which = np.unique(wanted[single] < 0, axis=0, return_inverse=True)
        for kind in range(int(which.max()) + 1):
            yield single[which.reshape(-1) == kind]


def resample(weight: np.ndarray, many: int, chance: np.random.Generator) -> np.ndarray:
    """`many` indices [n, many] into each row of log weights [n, k], in any order; evenly spaced (Kitagawa, 1996)."""
    edges = np.cumsum(np.exp(weight - weight.max(1, keepdims=True)), 1)
    at = (chance.random((len(weight), 1)) + np.arange(many)) / many * edges[:, -1:]
    out = np.stack([np.searchsorted(edge, row, "right") for edge, row in zip(edges, at, strict=True)])
    return chance.permuted(out.clip(0, weight.shape[1] - 1), axis=1)
