"""What is asked of rows: given cells, a file of partial rows, or each value of a column as often as another."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from karat.content.codec import Asked
from karat.content.table.encoding.parts import Choice, Number
from karat.content.table.rules.conditions import (
    Given,
    balanced,
    names_file,
)
from karat.content.table.table import Table
from karat.errors import FitError

if TYPE_CHECKING:
    from karat.content.table.tables import Tables


def asks(
    codec: Tables, given: str | None, balance: str | None, n: int, rng: np.random.Generator, most: int
) -> Iterator[Asked]:
    """See `Tables.asks`."""
    if any(
        isinstance(codec.layout.parts[codec.layout.part_of[name]], Number | Choice)
        for names in codec.layout.rules.unique
        for name in names
    ):
        most = sys.maxsize
    if given is not None and names_file(given):
        rows = codec.partial(Path(given))
        if balance is not None:
            raise FitError("--balance and a file of partial rows both say what the rows hold; give one of them.")
        for first in range(0, len(rows), most):
            part = rows[first : first + most]
            yield Asked(codec.pin_rows(part, rng), functools.partial(codec.restore_given, given=part, rng=rng))
        return
    conditions = {} if given is None else codec.given(given)
    turns = None if balance is None else balanced(codec.layout, balance)
    if balance in conditions:
        raise FitError(f"--given and --balance both speak of {balance!r}; leave one of them out.")
    for first in range(0, n, most):
        count = min(most, n - first)
        if turns is None or balance is None:
            yield Asked(
                codec.pin(conditions, count, rng), functools.partial(codec.restore_given, given=conditions, rng=rng)
            )
        else:
            yield _balanced(codec, [{**conditions, balance: one} for one in turns], first, count, rng)


def _balanced(codec: Tables, wanted: Sequence[Given], first: int, n: int, rng: np.random.Generator) -> Asked:
    """`n` rows of a stream, from the `first` on, in which one wish comes as often as another."""
    turn = rng.permutation((first + np.arange(n)) % len(wanted))
    cells = torch.full((n, len(codec.spaces[0].sizes)), -1, dtype=torch.long)
    for i, one in enumerate(wanted):
        mine = np.flatnonzero(turn == i)
        cells[mine] = codec.pin(one, len(mine), rng)

    def restore(made: Table) -> Table:
        parts = [codec.restore_given(made[np.flatnonzero(turn == i)], one, rng) for i, one in enumerate(wanted)]
        back = np.argsort(np.concatenate([np.flatnonzero(turn == i) for i in range(len(wanted))]))
        return Table(pa.concat_tables([part.cells for part in parts]), codec.origin)[back]

    return Asked(cells, restore)
