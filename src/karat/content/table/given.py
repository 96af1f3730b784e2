"""What is asked of rows: given cells, a file of partial rows, or each value of a column as often as another."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from karat.content.roles import Conditioning
from karat.content.table.convert import parsed_cells
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Choice
from karat.content.table.encoding.parts import Number
from karat.content.table.io import sources
from karat.content.table.reading import Origin
from karat.content.table.rejection import Rejection
from karat.content.table.rules.conditions import (
    Condition,
    Given,
    balanced,
    coded,
    given_cells,
    listed,
    names_file,
    parse_given,
    pin_conditions,
)
from karat.content.table.rules.expressions import unknown
from karat.content.table.rules.implied import implied, implied_conditions, known_cells
from karat.content.table.rules.restoring import put_back
from karat.content.table.table import Table
from karat.errors import DataError, FitError


@dataclass(frozen=True)
class GivenCells:
    """Conditions on the rows of one table, and how they are met exactly."""

    origin: Origin
    layout: Layout

    def conditioning_blocks(
        self, given: str | None, balance: str | None, n: int, rng: np.random.Generator, most: int
    ) -> Iterator[Conditioning]:
        """See `Tables.conditioning_blocks`."""
        if any(
            isinstance(self.layout.parts[self.layout.part_of[name]], Number | Choice)
            for names in self.layout.rules.unique
            for name in names
        ):
            most = sys.maxsize
        if given is not None and names_file(given):
            rows = self.partial(Path(given))
            if balance is not None:
                raise FitError("--balance and a file of partial rows both say what the rows hold; give one of them.")
            for first in range(0, len(rows), most):
                part = rows[first : first + most]
                yield Conditioning(self.pin_rows(part, rng), functools.partial(self.restore, given=part, rng=rng))
            return
        conditions = {} if given is None else self.given(given)
        turns = None if balance is None else balanced(self.layout, balance)
        if balance in conditions:
            raise FitError(f"--given and --balance both speak of {balance!r}; leave one of them out.")
        for first in range(0, n, most):
            count = min(most, n - first)
            if turns is None or balance is None:
                restore = functools.partial(self.restore, given=conditions, rng=rng)
                cells = self.pin(conditions, count, rng)
                yield Conditioning(cells, restore, self.rejection(conditions, cells))
            else:
                yield self._balanced([{**conditions, balance: one} for one in turns], first, count, rng)

    def given(self, text: str) -> Given:
        """Conditions such as `income=>50K, sex=Female, age=30..40, state!=?`; DataError names what is not known."""
        return implied_conditions(self.layout, parse_given(text, self.layout, self.origin.source))

    def pin(self, conditions: Mapping[str, Condition], n: int, rng: np.random.Generator) -> Tensor:
        """Long `[n, columns of Codes]`, -1 where free; a range is drawn inside, as often as the training rows have it."""
        return torch.from_numpy(pin_conditions(self.layout, conditions, n, rng))

    def rejection(self, conditions: Mapping[str, Condition], pinned: Tensor) -> Rejection | None:
        """What rows are drawn again for: ranges and the like, unless one range alone is asked for that codes can say, and columns
        that are moved where they would break an order.

        pinned: long [n, columns of `Codes`] of all conditions.
        """
        parts = {name: self.layout.parts[self.layout.part_of[name]] for name in conditions}
        moved = {name for name, part in parts.items() if isinstance(part, Number) and part.own}
        wide = {name: one for name, one in conditions.items() if one.kind != "is" or name in moved}
        beyond = [name for name, one in wide.items() if not coded(self.layout, one)]
        if not wide or not beyond and not moved and len(conditions) == 1:
            return None
        free = self.layout.codes_of(wide.keys() - {*beyond, *(name for name in moved if conditions[name].kind == "is")})
        cells = pinned.clone()
        cells[:, [j for j in free if j not in self.layout.codes_of(conditions.keys() - wide.keys())]] = -1
        return Rejection(
            cells,
            lambda made: np.logical_and.reduce([one.holds(made) for one in wide.values()]),
            lambda points, rng: self.layout.drafted(points.numpy(), rng),
            tuple(self.layout.codes_of(self.layout.behind(beyond))),
            listed(wide.values()),
        )

    def partial(self, path: Any) -> Table:
        """Rows to be completed, from a file with some of our columns in any order: what is absent or empty is missing."""
        raw = sources.open_table(path, {})
        if raw.question:
            raise DataError(raw.question.partition(" Say ")[0] + " Save it as UTF-8.")
        names = [column.name for column in self.origin.schema.columns]
        for name in raw.cells.column_names:
            if name not in names:
                raise DataError(f"{raw.place} has the column {name!r}, {unknown(name, names)}")
        cells = parsed_cells(raw, dict(self.layout.columns), self.origin.source)
        known_cells(self.layout, cells, raw.place)
        return Table(implied(self.layout, cells), self.origin)

    def pin_rows(self, records: Table, rng: np.random.Generator) -> Tensor:
        """Long `[n, columns of Codes]` of partial rows, -1 where a cell is missing."""
        return torch.from_numpy(given_cells(self.layout, records.cells, rng))

    def restore(self, decoded: Table, given: Mapping[str, Condition] | Table, rng: np.random.Generator) -> Table:
        """The decoded rows with the given cells exactly as given, and ranges kept."""
        cells = given.cells if isinstance(given, Table) else given
        return Table(put_back(self.layout, decoded.cells, cells, rng), self.origin)

    def _balanced(self, wanted: Sequence[Given], first: int, n: int, rng: np.random.Generator) -> Conditioning:
        """`n` rows of a stream, from the `first` on, in which one wish comes as often as another."""
        turn = rng.permutation((first + np.arange(n)) % len(wanted))
        pinned = [self.pin(one, int((turn == i).sum()), rng) for i, one in enumerate(wanted)]
        cells = torch.cat(pinned)[torch.from_numpy(_back(turn, len(wanted)))]
        rest = self.rejection(wanted[0], cells)  # in what is balanced alone they differ, and that is one value

        def restore(made: Table) -> Table:
            parts = [self.restore(made[np.flatnonzero(turn == i)], one, rng) for i, one in enumerate(wanted)]
            return Table(pa.concat_tables([part.cells for part in parts]), self.origin)[_back(turn, len(wanted))]

        return Conditioning(cells, restore, rest)


def _back(turn: np.ndarray, k: int) -> np.ndarray:
    """int64 [n]: where each row stands once those of the first of `k` turns are put before those of the next."""
    return np.argsort(np.concatenate([np.flatnonzero(turn == i) for i in range(k)]))
