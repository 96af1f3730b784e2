"""Made rows that a finding speaks of, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karat.assays.details.rows import Combined, Example
from karat.assays.table.joint.counting import Odd
from karat.assays.table.joint.levels import spoken
from karat.assays.table.joint.survey import Survey
from karat.views import TableView
from karat.words import Sentence, said

ROWS = 3
NAMED = 3  # combinations that a sentence tells of
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


def combined(made: TableView, survey: Survey, odd: Odd, of: int) -> Combined:
    """A combination, told of the rows that have all of its values but that number `of`."""
    among, rest = odd.among[of], [i for i in range(len(odd.columns)) if i != of]
    return Combined(
        values=survey.levels.said([odd.columns[of]], [odd.codes[of]]),
        given=survey.levels.said([odd.columns[i] for i in rest], [odd.codes[i] for i in rest]),
        made=among.made,
        of_made=among.of_made,
        real=among.real,
        of_real=among.of_real,
        examples=examples(made, survey.rows(odd), odd.columns),
    )


def told(one: Combined) -> Sentence:
    """In a sentence: "Of 200 made rows with sex = Female, 50 (25.0%) have relationship = Husband; of 1,000 real ones 1 (0.1%)"."""
    if not one.given:
        return said(
            "{values} stands {made:,} times in {of_made:,} made rows, {real:,} times in {of_real:,} real ones",
            **vars(one),
        )
    made, real = (f"{k:,} ({k / n:.1%})" for k, n in ((one.made, one.of_made), (one.real, one.of_real)))
    return said(
        "Of {of_made:,} made rows with {given}, {made} have {values}; of {of_real:,} real ones {real}",
        **{**vars(one), "made": made, "real": real},
    )
