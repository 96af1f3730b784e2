"""Tables as an assay judges them, in the order that a test gives them."""

from __future__ import annotations

import numpy as np

from karat.assays.chance import draw
from karat.assays.table.tables import Case
from karat.views import TableView


def case(
    train: TableView, unseen: TableView, made: TableView, target: str | None = None, seed: int = 0, most: int = 2000
) -> Case:
    """The case of three tables, with draws of at most `most` rows."""
    draws = draw(len(unseen), len(made), np.random.default_rng(0), most)
    return Case(train, unseen, made, draws, draws, target, seed)
