"""Draws tables of any size from a law whose structure we know, for measuring how time and memory grow.

A hidden group and two hidden numbers move every column; in turns a column is a whole number, an amount with two decimals
and a long tail, a whole amount that is mostly zero, a category of 3 to 60 levels, or the sum of the whole number before
it and a little noise. The last column is the target, whether somebody leaves or stays. Nothing here resembles anybody's data.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

GROUPS = np.array([0.3, 0.25, 0.2, 0.12, 0.08, 0.05])
LEVELS = (3, 8, 20, 60)
BANDS = np.array([-0.7, 0.0, 0.7])


def draw(rows: int, columns: int, target: str, seed: int) -> pa.Table:
    """A table [rows, columns]. The law is the same for every seed."""
    law, rng = np.random.default_rng(7), np.random.default_rng(seed)
    centres = law.normal(size=(len(GROUPS), 2))
    group = rng.choice(len(GROUPS), rows, p=GROUPS)
    hidden = centres[group] + 0.6 * rng.normal(size=(rows, 2))
    cell = group * (len(BANDS) + 1) + np.digitize(hidden[:, 0], BANDS)
    told: dict[str, np.ndarray] = {}
    whole = np.zeros(rows, np.int64)
    for j in range(columns - 1):
        pull, noise = hidden @ law.normal(size=2), rng.normal(size=rows)
        match j % 5:
            case 0:
                whole = np.rint(40 + 12 * pull + 4 * noise).astype(np.int64)
                told[f"count_{j}"] = whole
            case 1:
                told[f"amount_{j}"] = np.round(np.exp(4 + 0.8 * pull + 0.4 * noise), 2)
            case 2:
                some = rng.random(rows) < 1 / (1 + np.exp(2 - pull))
                told[f"rare_{j}"] = np.where(some, np.rint(np.exp(6 + 0.5 * noise)), 0).astype(np.int64)
            case 3:
                told[f"kind_{j}"] = categories(cell, LEVELS[(j // 5) % len(LEVELS)], law, rng)
            case _:
                told[f"sum_{j}"] = whole + 10 + np.rint(noise).astype(np.int64)
    chance = 1 / (1 + np.exp(1 - 1.5 * hidden[:, 0] + hidden[:, 1]))
    told[target] = np.where(rng.random(rows) < chance, "leaves", "stays")
    return pa.table({name: pa.array(values) for name, values in told.items()})


def categories(cell: np.ndarray, levels: int, law: np.random.Generator, rng: np.random.Generator) -> np.ndarray:
    """Words [n], drawn from a law of their own in each cell; few levels are common and many rare."""
    base = -0.8 * np.log(np.arange(1, levels + 1))
    logits = base + law.normal(scale=0.8, size=(len(GROUPS) * (len(BANDS) + 1), levels))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    out = np.zeros(len(cell), np.int64)
    for k in range(len(chances)):
        here = np.flatnonzero(cell == k)
        out[here] = rng.choice(levels, len(here), p=chances[k])
    return np.array([f"level {i}" for i in range(levels)])[out]
