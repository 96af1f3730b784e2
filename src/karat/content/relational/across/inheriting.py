"""What rows that are drawn for a parent are given of it beside its columns, so that what holds across tables nearly holds before.

Of a total, what the rows so far leave of it; of the time of the last row, how far it still is. A column that is never below
one of its parent's is drawn as its distance from that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.relational.across.rule import Across
from karat.content.relational.database import Database, Family, Relation, amounts, amounts_beside
from karat.content.table.encoding.coding import flat

EDGES = 64  # parts of a range of times, distances, means and remainders


@dataclass(frozen=True)
class Inherited:
    """hung: by column the parent's column from which it is drawn as a distance, and 1 where it lies above it, -1 where below.

    totals: by the parent's column the columns, one or a product of two, of which it is the sum.   until: the parent's column
    that is the time of the last row, or bounds it.   edges: of what is left of each of these.   kind: of the order column.
    """

    hung: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    totals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: str | None = None
    edges: Mapping[str, np.ndarray] = field(default_factory=dict)
    kind: str = ""

    @classmethod
    def fit(
        cls,
        across: Sequence[Across],
        maker: Relation,
        data: Database,
        free: Collection[str],
        family: Family,
        since: np.ndarray,
        until: str | None = None,
    ) -> Self:
        """What the rules across the relation that makes the rows of a table say.

        free: columns that no other rule is about.   since: the time [n] of the row before each.   until: the parent's moment
        that no rule ties to the last row, but which is never before it.
        """
        mine = [one for one in across if one.relation == maker]
        whole = bool((data.links[maker] >= 0).all())
        hung = {}
        for one in mine:
            known = not np.isnan(amounts(data.cells(maker.parent, one.name))).any()
            if one.kind in ("<=", ">=") and one.columns[0] in free and whole and known:
                hung[one.columns[0]] = one.name, 1 if one.kind == "<=" else -1
        totals = {one.name: one.columns for one in mine if one.kind == "sum"}
        last = (one.name for one in mine if one.kind in ("max", "last") and one.columns == (maker.order,))
        order = next((c.kind for c in data.tables[maker.child].facts.schema.columns if c.name == maker.order), "")
        blank = cls(hung, totals, next(last, None), kind=order)
        if blank.until is None and until not in blank.names:
            blank = replace(blank, until=until)
        left = blank.left(*blank.above(data, maker, family), since)
        return replace(blank, edges={name: quantiles(x) for name, x in left.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """The parent's columns that are given."""
        until = [] if self.until is None else [self.until]
        return tuple(dict.fromkeys([*(name for name, _ in self.hung.values()), *self.totals, *until]))

    def parents(self, cells: pa.Table, link: np.ndarray) -> np.ndarray:
        """float64 [n, names] of the rows `link` [n] of the parent's cells; NaN where there is none."""
        out = np.full((len(link), len(self.names)), np.nan)
        for j, name in enumerate(self.names if len(cells) else ()):
            values = amounts_beside(flat(cells[name]), self.kind) if name == self.until else amounts(flat(cells[name]))
            out[:, j] = np.where(link >= 0, values[link], np.nan)
        return out

    def added(self, cells: pa.Table) -> np.ndarray:
        """float64 [n, totals]: what rows add to each total."""
        out = np.zeros((len(cells), len(self.totals)))
        for j, columns in enumerate(self.totals.values()):
            out[:, j] = np.nan_to_num(np.prod([amounts(flat(cells[c])) for c in columns], axis=0))
        return out

    def above(self, data: Database, maker: Relation, family: Family) -> tuple[np.ndarray, np.ndarray]:
        """`parents` of all rows of a table in `data`, and what the rows before each add [n, totals]."""
        added = self.added(data.tables[maker.child].cells)
        sums = [family.so_far(each)[0] for each in added.T]
        parent = self.parents(data.tables[maker.parent].cells, data.links[maker])
        return parent, np.stack(sums, 1) if sums else added

    def left(self, parent: np.ndarray, sums: np.ndarray, since: np.ndarray) -> dict[str, np.ndarray]:
        """float64 [n] by the parent's column: what is left of each total, and the time until the last row."""
        at = {name: parent[:, j] for j, name in enumerate(self.names)}
        out = {name: np.round(at[name] - sums[:, j], 9) for j, name in enumerate(self.totals)}
        return out if self.until is None else {**out, self.until: at[self.until] - since}

    def asked(self, chain: str) -> list[str]:
        """The parent's columns of which a chain is given what is left."""
        until = [] if self.until is None else [self.until]
        return [*self.totals] if chain == "what" else until if chain == "next" else []

    def context(self, chain: str, left: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """int64 [n, 1] each."""
        return [binned(self.edges[name], left[name][:, None]) for name in self.asked(chain)]

    def sizes(self, chain: str) -> list[tuple[int, bool]]:
        """How many codes each of the context has, and that they are in order."""
        return [(len(self.edges[name]) + 2, True) for name in self.asked(chain)]

    def coded(self, column: str, values: np.ndarray, parent: np.ndarray) -> np.ndarray:
        """float64 [n]: a column of `hung` as its distance from the parent's; `parent` [n, names]."""
        name, side = self.hung[column]
        return np.asarray(side * (values - parent[:, self.names.index(name)]))

    def decoded(self, cells: pa.Table, parent: np.ndarray) -> dict[str, np.ndarray]:
        """The values [n] of the columns of `hung`, of which `cells` are distances."""
        at = {name: parent[:, j] for j, name in enumerate(self.names)}
        return {c: at[name] + side * amounts(flat(cells[c])) for c, (name, side) in self.hung.items()}

    def state(self) -> dict[str, Any]:
        return {
            "hung": {c: list(base) for c, base in self.hung.items()},
            "totals": {name: list(columns) for name, columns in self.totals.items()},
            "until": self.until,
            "kind": self.kind,
            "edges": {name: edges.tolist() for name, edges in self.edges.items()},
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        hung = {c: (str(name), int(side)) for c, (name, side) in state["hung"].items()}
        totals = {name: tuple(columns) for name, columns in state["totals"].items()}
        edges = {name: row(values) for name, values in state["edges"].items()}
        return cls(hung, totals, state["until"], edges, str(state["kind"]))


def row(values: Any) -> np.ndarray:
    """float64 [n] of a list; ValueError for anything else."""
    out = np.array(values, np.float64)
    if out.ndim != 1:
        raise ValueError(f"a list of numbers was wanted, not {str(values)[:40]}")
    return out


def binned(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """int64, as `values`: the part of a range that each lies in, from 1 on; 0 where it is missing."""
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, "right") + 1)


def quantiles(values: np.ndarray) -> np.ndarray:
    """At most `EDGES` different edges between equal shares of what is known."""
    known = values[np.isfinite(values)]
    return np.unique(np.quantile(known, np.linspace(0, 1, EDGES + 1)[1:-1])) if len(known) else np.zeros(0)
