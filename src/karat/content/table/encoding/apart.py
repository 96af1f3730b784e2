"""What must differ in every row of a stream: which columns, and what earlier rows hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from karat.content.table.bloom import DENSE, BloomFilter, Past
from karat.content.table.digests import row_digests
from karat.content.table.encoding.coding import present
from karat.content.table.encoding.marked import Presence
from karat.content.table.encoding.parts import Number, Part


@dataclass(frozen=True)
class Apart:
    """The columns `unique`, of each rule, of a table whose columns are made by `parts` of these names; rows before are `past`."""

    unique: Sequence[Sequence[str]]
    parts: Mapping[str, Part]
    past: Past | None

    @property
    def learned(self) -> list[tuple[str, ...]]:
        """Columns of `unique` rules whose values are drawn, and not made anew."""
        return [tuple(names) for names in self.unique if not any(self.made(name) for name in names)]

    def made(self, name: str) -> bool:
        """Whether values of a column are made anew."""
        return isinstance(self.parts[name], Presence)

    def note(self, cells: Mapping[str, pa.Array]) -> None:
        """Enters rows whose values were drawn into the past."""
        for names in self.learned:
            there = self._there(names, cells)
            self._filter(names).add(self._keys(names, {name: cells[name].filter(pa.array(there)) for name in names}))

    def before(self, names: Sequence[str], cells: Mapping[str, pa.Array]) -> np.ndarray:
        """bool [n]: rows whose values, none of them missing, an earlier part of the stream has."""
        there = self._there(names, cells)
        out = np.zeros(len(there), bool)
        if self.past is not None:
            mine = {name: cells[name].filter(pa.array(there)) for name in names}
            out[there] = self._filter(names).has(self._keys(names, mine))
        return out

    def unseen(self, name: str, ticks: np.ndarray) -> np.ndarray:
        """Those of the whole numbers that no earlier part of the stream has."""
        if self.past is None or not len(ticks):
            return ticks
        if self._dense((name,)) is not None:
            return np.asarray(ticks[~self._filter((name,)).has(ticks)])
        part = self.parts[name]
        assert isinstance(part, Number)
        keys = self._keys((name,), {name: part.grain.array(ticks)})
        return np.asarray(ticks[~self._filter((name,)).has(keys)])

    def _there(self, names: Sequence[str], cells: Mapping[str, pa.Array]) -> np.ndarray:
        return np.asarray(np.logical_and.reduce([present(cells[name]) for name in names]))

    def _dense(self, names: Sequence[str]) -> tuple[float, int] | None:
        """The range of a column of whole numbers that is narrow enough for a bit each: its first, and how many."""
        part = self.parts[names[0]]
        if self.past is None or len(names) > 1 or not isinstance(part, Number) or not part.grain.whole or part.relative:
            return None
        low, high = part.limits()
        low, high = max(low, part.fine.lows[0]), min(high, part.fine.highs[-1] + self.past.total)
        return (low, int(high - low) + 1) if 0 <= high - low < DENSE else None

    def _filter(self, names: Sequence[str]) -> BloomFilter:
        assert self.past is not None
        dense = self._dense(names)
        return self.past.values(tuple(names)) if dense is None else self.past.values(tuple(names), *dense)

    def _keys(self, names: Sequence[str], cells: Mapping[str, pa.Array]) -> np.ndarray:
        """What the rows are known by, none of whose cells is missing."""
        part = self.parts[names[0]]
        if self._dense(names) is not None and isinstance(part, Number):
            return np.asarray(part.grain.ticks(cells[names[0]]))
        return row_digests(pa.table([cells[name] for name in names], names=list(names)))[:, 0]
