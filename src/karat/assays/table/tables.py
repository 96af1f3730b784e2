"""What a generator of tables makes, measured: every finding beside the score of unseen real rows in its place."""

from __future__ import annotations

import numpy as np
import torch

from karat.assays.chance import Draws, draw
from karat.assays.finding import Finding
from karat.assays.table import attack, categories, cells, columns, detection, linkage, predicting, rows, rules
from karat.assays.table.sheet import embed
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import TableView

MOST = 10_000  # unseen and made rows that are looked at
EMBEDDED = 50_000  # training rows that distances are measured to
LARGE = 5000  # rows of a draw for findings about columns
SMALL = 2000  # and about distances, which grow with the square
WIDTH = 75_000  # rows of a draw times columns


def examine(
    train: TableView, unseen: TableView, made: TableView, *, target: str | None = None, seed: int = 0
) -> list[Finding]:
    """All findings about `made`, the same for the same seed.

    train: the rows that the generator learned from, all of them.   unseen: real rows that it did not learn from.
    target: the column whose prediction is taught; None takes the one that real rows teach best.
    Of unseen and made rows at most 10,000 are looked at, a random choice.
    Raises DataError for fewer than 20 rows in any of the three, for different columns and for a target that is none.
    """
    for name, sheet in (("training", train), ("unseen real", unseen), ("made", made)):
        if len(sheet) < FEWEST:
            raise DataError(f"{len(sheet)} {name} rows are too few to judge by; give at least {FEWEST}")
        if sheet.columns != train.columns:
            raise DataError(f"the {name} rows have other columns or choices than the training rows; bring them to one")
    if train.width == 0:
        raise DataError("a table without columns cannot be judged; give at least one column")
    rng = np.random.default_rng(seed)
    # any order of the rows may mean something: what takes the first few takes them from a shuffled sheet
    train = train.take(rng.permutation(len(train)))
    unseen, made = (s.take(rng.permutation(len(s))[:MOST]) for s in (unseen, made))
    wide: Draws = draw(len(unseen), len(made), rng, int(np.clip(WIDTH // train.width, 300, LARGE)))
    tight: Draws = draw(len(unseen), len(made), rng, SMALL)
    near = [torch.as_tensor(x) for x in embed((train.take(np.arange(min(len(train), EMBEDDED))), unseen, made), seed)]
    t, u, m = near
    return [
        *detection.findings(train, unseen, made, seed),
        *columns.findings(train, unseen, made, wide, seed),
        *cells.findings(train, unseen, made),
        *rules.findings(train, unseen, made),
        *rows.findings(t, u, m, tight),
        *categories.findings(train, unseen, made, wide, target),
        *linkage.findings(train, unseen, made, (t, u, m), seed),
        *attack.findings(t, u, m),
        *predicting.findings(train, unseen, made, target, seed),
        # rooms stand together in the report: fidelity, diversity, bias, memory, privacy, usefulness
    ]
