"""Made rows that a finding speaks of, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karat.assays.details.rows import Example
from karat.assays.table.joint.levels import spoken
from karat.views import TableView

ROWS = 3
CELLS = 8


def examples(made: TableView, which: np.ndarray, first: Sequence[int]) -> tuple[Example, ...]:
    """The first of the rows `which` [n], with the columns `first` and some of the others in words."""
    columns = [*first, *(j for j in range(made.width) if j not in first)][: max(CELLS, len(first))]
    return tuple(
        Example(
            row=made.row(int(i)),
            cells=tuple((made.names[j], spoken(made.columns, j, float(made.values[i, j]))) for j in columns),
        )
        for i in np.flatnonzero(which)[:ROWS]
    )
