"""A table as its judge sees it: numbers as they are, choices as indices, missing cells NaN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from karat.assays.chance import Draws, resampled
from karat.assays.finding import Score
from karat.views import TableView

ONE_HOT = 64  # choices up to which a column becomes one-hot in distances; more become random signs
WIDE = 768  # dimensions beyond which a row is projected
NARROW = 512  # dimensions that it is projected to


def ranks(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mid-ranks [n] in [0, 1] of `values` among the sorted finite `reference`; NaN stays NaN."""
    if len(reference) == 0:
        return np.where(np.isnan(values), np.nan, 0.5)
    low, high = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    return np.where(np.isnan(values), np.nan, (low + high) / (2 * len(reference)))


def placed(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """As `ranks`, but values that lie between the same two of the reference lie apart: only equal ones share a place."""
    if len(reference) == 0:
        return ranks(reference, values)
    known, first = np.unique(reference, return_index=True)
    middle = (first + np.append(first[1:], len(reference))) / (2 * len(reference))
    out: np.ndarray = np.interp(values, known, middle, left=0.0, right=1.0)
    return out


def finite(column: np.ndarray) -> np.ndarray:
    """The sorted values of `column` that are not missing."""
    return np.sort(column[~np.isnan(column)])


def embed(sheets: Sequence[TableView], seed: int) -> list[Tensor]:
    """float32 [n, d] of each sheet: Euclidean distances in which every column spans about 1.

    A number is its mid-rank among those of the first sheet, a missing one stands apart; choices are one-hot over the
    square root of 2. A column of more than 64 choices gets random signs in place of one-hot, and rows of more than 768
    dimensions are projected to 512: their distances are right within some percent, those of equal rows exactly 0.
    """
    train = sheets[0]
    widths = [
        1 + any(bool(np.isnan(s.values[:, j]).any()) for s in sheets) if not choices else min(len(choices), ONE_HOT) + 2
        for j, choices in enumerate(train.columns.choices)
    ]
    project = sum(widths) > WIDE
    rng = np.random.default_rng([seed, 11])
    out: list[list[np.ndarray]] = [[] for _ in sheets]
    total = [np.zeros((len(s), NARROW), np.float32) if project else None for s in sheets]
    for j, choices in enumerate(train.columns.choices):
        if choices and len(choices) > ONE_HOT:
            signs = rng.integers(0, 2, (len(choices) + 2, widths[j])) * 2 - 1
            table = (signs / np.sqrt(2 * widths[j])).astype(np.float32)
        else:
            table = (np.eye(widths[j]) / np.sqrt(2)).astype(np.float32)
        scale = rng.standard_normal((widths[j], NARROW)).astype(np.float32) / np.sqrt(NARROW) if project else None
        known = finite(train.values[:, j]) if not choices else None
        for i, sheet in enumerate(sheets):
            if known is None:
                block = table[sheet.codes(j)]
            else:
                place = placed(known, sheet.values[:, j])
                parts = [np.nan_to_num(place, nan=0.5), np.isnan(place)][: widths[j]]
                block = np.stack(parts, 1).astype(np.float32)
            product = total[i]
            if product is not None:
                product += block @ scale
            else:
                out[i].append(block)
    return [
        torch.from_numpy(np.hstack(o) if product is None else product) for o, product in zip(out, total, strict=True)
    ]


def binned(sheets: Sequence[TableView], bins: int) -> list[np.ndarray]:
    """int64 [n, c] of each sheet: numbers in `bins` quantile bins of the first sheet, its `bins` commonest choices.

    Everything rarer is one code (`bins`), what is missing another (`bins` + 1).
    """
    train = sheets[0]
    out = [np.empty(s.values.shape, np.int64) for s in sheets]
    for j, choices in enumerate(train.columns.choices):
        if choices:
            counts = np.bincount(train.codes(j), minlength=len(choices) + 2)[:-1]
            common = np.argsort(-counts, kind="stable")[:bins]
            to = np.full(len(choices) + 2, bins)
            to[common], to[-1] = np.arange(len(common)), bins + 1
            for codes, sheet in zip(out, sheets, strict=True):
                codes[:, j] = to[sheet.codes(j)]
        else:
            known = finite(train.values[:, j])
            edges = np.unique(known[(len(known) * np.arange(1, bins)) // bins]) if len(known) else known
            for codes, sheet in zip(out, sheets, strict=True):
                column = sheet.values[:, j]
                codes[:, j] = np.where(np.isnan(column), bins + 1, np.searchsorted(edges, column, "right"))
    return out


def resampled_columns(
    of_unseen: Callable[[np.ndarray], np.ndarray], of_made: Callable[[np.ndarray], np.ndarray], draws: Draws
) -> tuple[Score, np.ndarray, np.ndarray]:
    """As `resampled` for the mean of many scores (NaN: not defined), and their own means [k] over draws, made and real.

    The functions take rows and return the scores [k].
    """
    kept: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def mean(function: Callable[[np.ndarray], np.ndarray], store: list[np.ndarray], rows: Tensor) -> float:
        scores = function(rows.numpy())
        store.append(scores)
        known = scores[~np.isnan(scores)]
        return float(known.mean()) if len(known) else 1.0

    score = resampled(lambda r: mean(of_unseen, kept[1], r), lambda r: mean(of_made, kept[0], r), draws)
    made, real = np.stack(kept[0][: len(draws.made)]), np.stack(kept[1])
    return score, made.mean(0), real.mean(0)
