"""What a generator of tables makes, measured: every finding beside the score of unseen real rows in its place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from karat.assays import table
from karat.assays.chance import Draws, draw
from karat.assays.discovery import examined
from karat.assays.finding import Finding
from karat.assays.table.sheet import embed
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import TableView

MOST = 10_000  # unseen and made rows that are looked at
TRAINING = 1_000_000  # training rows that these are compared with; only copies are looked for among all
EMBEDDED = 50_000  # training rows that distances are measured to
LARGE = 5000  # rows of a draw for findings about columns
SMALL = 2000  # and about distances, which grow with the square
WIDTH = 75_000  # rows of a draw times columns


@dataclass(frozen=True)
class Case:
    """What an assay of a table judges: rows in an order that means nothing, and what several assays need of them.

    wide, tight: which unseen and made rows take part in a score about columns, and in one about distances.
    target: the column whose prediction is taught; None takes the one that real rows teach best.
    whole: all training rows, where `train` is a part of them.
    apart: whether the generator is known not to have seen the unseen rows.
    exchange: whether learners are taught many times over for the exchange rate.
    attacks: whether further attacks on privacy are tried.
    """

    train: TableView
    unseen: TableView
    made: TableView
    wide: Draws
    tight: Draws
    target: str | None = None
    seed: int = 0
    whole: TableView | None = None
    apart: bool = True
    exchange: bool = False
    attacks: bool = False

    @cached_property
    def embedded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Training, unseen and made rows [n, d] in a space of distances, of training rows the first 50,000."""
        few = self.train.take(np.arange(min(len(self.train), EMBEDDED)))
        t, u, m = embed((few, self.unseen, self.made), self.seed)
        return t, u, m


def examine(
    train: TableView,
    unseen: TableView,
    made: TableView,
    *,
    whole: TableView | None = None,
    target: str | None = None,
    seed: int = 0,
    keys: Collection[str] | None = None,
    apart: bool = True,
    exchange: bool = False,
    attacks: bool = False,
) -> list[Finding]:
    """All findings about `made`, the same for the same seed; those of assays that find one of `keys`, where given.

    train: the rows that the generator learned from, all of them, or a part of the `whole`, among which copies are looked for.
    unseen: real rows that it did not learn from.
    target: the column whose prediction is taught; None takes the one that real rows teach best.
    Of unseen and made rows at most 10,000 are looked at, of training rows 1,000,000, a random choice; but copies are
    looked for among all training rows.
    Raises DataError for fewer than 20 rows in any of the three, for different columns and for a target that is none.
    """
    for name, sheet in (("training", train), ("unseen real", unseen), ("made", made)):
        if len(sheet) < FEWEST:
            raise DataError(f"{len(sheet)} {name} rows are too few to judge by; give at least {FEWEST}")
        if sheet.columns != train.columns:
            raise DataError(f"the {name} rows have other columns or choices than the training rows; bring them to one")
    if train.width == 0:
        raise DataError("a table without columns cannot be judged; give at least one column")
    if target is not None and target not in train.names:
        raise DataError(f"the target {target!r} is no column; there are: {', '.join(train.names[:20])}")
    rng = np.random.default_rng(seed)
    # any order of the rows may mean something: what takes the first few takes them from a shuffled sheet
    whole, train = train if whole is None else whole, train.take(rng.permutation(len(train))[:TRAINING])
    unseen, made = (s.take(rng.permutation(len(s))[:MOST]) for s in (unseen, made))
    wide = draw(len(unseen), len(made), rng, int(np.clip(WIDTH // train.width, 300, LARGE)))
    tight = draw(len(unseen), len(made), rng, SMALL)
    return examined(table, Case(train, unseen, made, wide, tight, target, seed, whole, apart, exchange, attacks), keys)
