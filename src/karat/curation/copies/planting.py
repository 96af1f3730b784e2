"""Training records lightly altered, on which what finds copies is measured: each way of altering by its name.

They are still the record to a person. What makes another record of it, such as a word in four that is another one, is not
here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from karat.views import Points, TableView, TextView

ROWS = ("rows as they are", "rows with a cell changed", "rows with noise in their numbers")
DECIMALS = 9  # of a column of numbers, at most
NOISE = 0.02  # of the range of a point
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, -1))  # in pixels; of sounds in frames


def rows(train: TableView, rng: np.random.Generator) -> dict[str, TableView]:
    """As they are; with one cell of another row; with noise of a hundredth of the spread in all numbers but 0.

    Noise leaves numbers the decimals that their column has: others would give it away.
    """
    cell, noise = train.values.copy(), train.values.copy()
    donors = train.values[rng.permutation(len(train))]
    for row, donor in zip(cell, donors, strict=True):
        differs = np.flatnonzero((row != donor) & ~(np.isnan(row) & np.isnan(donor)))
        if len(differs):
            j = int(differs[rng.integers(len(differs))])
            row[j] = donor[j]
    for j in train.numbers:
        column = train.values[:, j]
        known = column[~np.isnan(column)]
        moved = column + 0.01 * (float(known.std()) if len(known) else 0.0) * rng.standard_normal(len(column))
        moved = np.round(moved, decimals(known))
        noise[:, j] = np.where(column == 0, 0, moved)  # nothing stays nothing
    return dict(zip(ROWS, (train, replace(train, values=cell), replace(train, values=noise)), strict=True))


def decimals(known: np.ndarray) -> int:
    """How many decimals the numbers have, `DECIMALS` at most."""
    return next((d for d in range(DECIMALS) if (known == np.round(known, d)).all()), DECIMALS)


def passages(train: TextView, rng: np.random.Generator) -> dict[str, TextView]:
    """As they are; one character in 60 another one; one word in ten another one; in capitals."""

    def letters(text: str) -> str:
        out = list(text)
        for i in rng.integers(max(1, len(out)), size=max(1, len(out) // 60)) if out else ():
            out[i] = out[int(rng.integers(len(out)))]
        return "".join(out)

    def words(text: str) -> str:
        out = text.split(" ")
        for i in rng.permutation(len(out))[: max(1, len(out) // 10)]:
            out[i] = out[int(rng.integers(len(out)))]
        return " ".join(out)

    ways: dict[str, Callable[[str], str]] = {
        "as it is": str,
        "characters changed": letters,
        "words changed": words,
        "in capitals": str.swapcase,
    }
    return {name: replace(train, texts=tuple(map(way, train.texts))) for name, way in ways.items()}


def points(train: Points, rng: np.random.Generator) -> dict[str, Points]:
    """As they are; with noise; brighter or louder; moved by one step."""
    x = train.points.float()
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape))).float()
    ways: dict[str, Tensor] = {
        "as it is": x,
        "with noise": (x + 2 * NOISE * noise).clamp(-1, 1),
        "brighter or louder": (x + 0.1).clamp(-1, 1),
    }
    if x.ndim == 4:
        moves = rng.integers(len(STEPS), size=len(x))
        ways["moved by a step"] = torch.stack([each.roll(STEPS[m], (1, 2)) for each, m in zip(x, moves, strict=True)])
    return {name: replace(train, points=way) for name, way in ways.items()}
