"""What can be asked of the columns of a table: the conditions of `karat make --given`, for whoever offers them to a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from karat.content.codec import Codec
from karat.content.relational.related import Related
from karat.content.table.encoding.coding import NUMBERS
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Choice
from karat.content.table.encoding.parts import Number
from karat.content.table.tables import Tables

MOST = 200  # values of a column that are offered one by one


@dataclass(frozen=True)
class Askable:
    """A column of which a value, or a range between two, can be given.

    values: as `--given` takes them, the commonest first; () of numbers, dates and times, which lie from `low` to `high`: "" where
    these follow from other columns.
    """

    column: str
    kind: str
    values: tuple[str, ...] = ()
    low: str = ""
    high: str = ""


def askable(codec: Codec) -> tuple[Askable, ...]:
    """The columns of which something can be given, in their order; of related tables those of the first; () where none are."""
    if isinstance(codec, Tables):
        return tuple(_of(codec.layout))
    if isinstance(codec, Related):
        own = {column.name for column in codec.tables[codec.first].schema.columns}
        return tuple(each for each in _of(codec.steps[codec.first].what.layout) if each.column in own)
    return ()


def _of(layout: Layout) -> Iterator[Askable]:
    for name, column in layout.columns.items():
        part = layout.parts[layout.part_of[name]]
        if isinstance(part, Choice):
            words = part.choices.values[part.names.index(name)].to_pylist()
            known = list(dict.fromkeys(word for word in words if word is not None))[:MOST]
            values = tuple(str(word).lower() if isinstance(word, bool) else str(word) for word in known)
            yield Askable(name, column.kind, values)
        elif type(part) in (Number, Computed) and column.kind in NUMBERS:
            low = high = ""
            if isinstance(part, Number) and not part.bases:
                own = part.fine.lows.min(), part.fine.highs.max()
                ends = part.grain.array(np.array(own if part.cycle is None else part.ends))
                low, high = (str(end) for end in ends.to_pylist())
            yield Askable(name, column.kind, (), low, high)
