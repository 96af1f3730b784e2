"""Several tables that refer to each other, as one row of records: a record is a root row with all that hangs on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.digests import row_digests
from karat.content.table.encoding.coding import NUMBERS, flat, present, reals, whole_units
from karat.content.table.table import Table


@dataclass(frozen=True)
class Relation:
    """`columns` of the table `child` hold values of `keys` of `parent`: one each, or several that are a key together.

    makes: whether the child's rows are drawn as rows of this parent (one relation of a child at most); the values of
    any other relation are chosen among the parent's rows afterwards.   order: the child's column that sorts the rows of one parent.
    rules: what a person declares to hold between a parent's row and its children's, such as "orders.total = sum(items.amount)".
    cut: rows of a window, where the parents are only windows of series that go on from one to the next (`series.cutting`); 0
    where they are parents.   entity: the parent's column that tells these series apart, where there are several.
    """

    child: str
    columns: tuple[str, ...]
    parent: str
    keys: tuple[str, ...]
    order: str | None = None
    makes: bool = True
    rules: tuple[str, ...] = ()
    cut: int = 0
    entity: str | None = None

    @property
    def column(self) -> str:
        """The columns in words."""
        return ", ".join(self.columns)

    @property
    def key(self) -> str:
        """The columns of the parent in words."""
        return ", ".join(self.keys)

    @property
    def text(self) -> str:
        return f"{self.child}.{self.column} = {self.parent}.{self.key}"

    @property
    def own(self) -> bool:
        """Whether a table refers to itself."""
        return self.child == self.parent


@dataclass(frozen=True)
class Database:
    """Tables in an order in which parents stand before the children that they make.

    Its records are the rows without a parent that makes them, each with its descendants: rows of the root tables and
    orphans. `len` counts them; an index array or a slice takes some of them, rows kept in their order.
    """

    tables: Mapping[str, Table]
    relations: tuple[Relation, ...]
    facts: Any = field(default=None, compare=False)

    @cached_property
    def links(self) -> dict[Relation, np.ndarray]:
        """For each relation the parent's row int64 [rows of the child], -1 where the key is missing or nobody's."""
        return {
            r: joined([self.cells(r.child, c) for c in r.columns], [self.cells(r.parent, k) for k in r.keys])
            for r in self.relations
        }

    def strands(self, relation: Relation) -> tuple[np.ndarray, int]:
        """The parent's row [rows of the child] and how many there are; of windows, what goes on from one to the next is one."""
        link, parents = self.links[relation], len(self.tables[relation.parent])
        if not relation.cut:
            return link, parents
        window = whole_units(self.cells(relation.parent, relation.keys[0]).cast(pa.int64()))
        order = np.argsort(window, kind="stable")
        strand = np.empty(parents, np.int64)
        strand[order] = np.cumsum(np.diff(window[order], prepend=window[order[:1]] - 2) != 1) - 1
        return np.where(link >= 0, strand[link], -1), parents

    def series(self, relation: Relation, names: Sequence[str] = ()) -> tuple[np.ndarray, tuple[str, ...]]:
        """Which of `names`, of those found where none are given, the series of each row of the child is (-1 for none of them)."""
        if relation.entity is None:
            return np.zeros(len(self.links[relation]), np.int64), ()
        own = self.cells(relation.parent, relation.entity).cast(pa.string())
        known = names or tuple(sorted(own.drop_null().unique().to_pylist()))
        of = pc.index_in(own, value_set=pa.array(known, pa.string())).fill_null(-1)
        return handed_down(np.asarray(of.to_numpy(zero_copy_only=False), np.int64), self.links[relation]), tuple(known)

    def absent(self, relation: Relation) -> np.ndarray:
        """bool [rows of the child]: rows that name no parent, as one of their columns is missing."""
        return np.asarray(~np.logical_and.reduce([present(self.cells(relation.child, c)) for c in relation.columns]))

    def cells(self, table: str, column: str) -> pa.Array:
        """One column."""
        return flat(self.tables[table].cells[column])

    def maker(self, table: str) -> Relation | None:
        """The relation by which the table's rows are made."""
        return next((r for r in self.relations if r.child == table and r.makes), None)

    @cached_property
    def units(self) -> dict[str, np.ndarray]:
        """The record int64 [rows] that each row of each table belongs to."""
        out: dict[str, np.ndarray] = {}
        total = 0
        for name, table in self.tables.items():
            relation = self.maker(name)
            own = np.full(len(table), -1)
            if relation is not None:
                link = self.links[relation]
                own = np.where(link >= 0, out[relation.parent][link], -1) if len(out[relation.parent]) else own
            alone = own < 0
            own[alone] = total + np.arange(int(alone.sum()))
            total += int(alone.sum())
            out[name] = own
        return out

    def __len__(self) -> int:
        return int(max((int(u.max()) for u in self.units.values() if len(u)), default=-1)) + 1

    def __getitem__(self, rows: Any, /) -> Database:
        taken = np.zeros(len(self), bool)
        taken[rows] = True
        kept = {name: table[np.flatnonzero(taken[self.units[name]])] for name, table in self.tables.items()}
        return Database(kept, self.relations, self.facts)

    def closed(self, rows: np.ndarray) -> Database:
        """The records `rows` and those that they refer to, so that no key leads nowhere that did not."""
        taken = np.zeros(len(self), bool)
        taken[rows] = True
        for r in self.relations:
            if not r.makes:
                link = self.links[r][taken[self.units[r.child]]]
                taken[self.units[r.parent][link[link >= 0]]] = True
        return self[np.flatnonzero(taken)]

    def mixed(self) -> Database:
        """The same rows, but each child of the first relation that makes any is another parent's; each parent has as many."""
        r = next(r for r in self.relations if r.makes)
        cells = self.tables[r.child].cells
        order = np.random.default_rng(0).permutation(len(cells))
        for column in r.columns:
            cells = cells.set_column(cells.column_names.index(column), column, cells[column].take(order))
        return Database(
            {**self.tables, r.child: replace(self.tables[r.child], cells=cells)}, self.relations, self.facts
        )

    def __iter__(self) -> Iterator[Database]:
        return (self[i : i + 1] for i in range(len(self)))

    def digests(self) -> np.ndarray:
        """uint64 [records, 2]: of each root row and, in any order, the rows that hang on it."""
        out = np.zeros((len(self), 2), np.uint64)
        for i, (name, table) in enumerate(self.tables.items()):
            mine = row_digests(table.cells) * np.uint64(2 * i + 1)
            for lane in range(2):
                np.add.at(out[:, lane], self.units[name], mine[:, lane])
        return out


def joined(columns: Sequence[pa.Array], keys: Sequence[pa.Array]) -> np.ndarray:
    """int64 [n]: where in `keys` [m] the values of `columns` [n] stand first, -1 where one is missing or they are not there."""
    column, key = (
        each[0].cast(pa.string()) if len(each) == 1 else together([c.cast(pa.string()) for c in each])
        for each in (columns, keys)
    )
    found = pc.index_in(column, value_set=key, skip_nulls=True)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def together(columns: Sequence[pa.Array]) -> pa.Array:
    """string [n]: one word for the strings of several columns, different for different ones; missing where one is."""
    sized = [pc.binary_join_element_wise(pc.utf8_length(c).cast(pa.string()), c, ":") for c in columns[:-1]]
    return pc.binary_join_element_wise(*sized, columns[-1], "")


def amounts(column: pa.Array) -> np.ndarray:
    """float64 [n]: numbers as they are, dates, times and moments in microseconds; NaN where missing."""
    if pa.types.is_floating(column.type):
        return reals(column)
    out = whole_units(column).astype(np.float64)
    if pa.types.is_date32(column.type):
        out *= 86_400_000_000
    if column.null_count:
        out[np.asarray(column.is_null().to_numpy(zero_copy_only=False))] = np.nan
    return out


def amounts_beside(column: pa.Array, order: str) -> np.ndarray:
    """The same in the unit of an order column of that kind: years of dates and moments beside numbers."""
    if order in ("integer", "decimal") and (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return reals(pc.year(column).cast(pa.float64()))
    return amounts(column)


def from_amounts(values: np.ndarray, kind: str) -> pa.Array:
    """The inverse of `amounts`, for one of `coding.NUMBERS`."""
    gone = np.isnan(values)
    known = np.where(gone, 0, values)
    if kind == "decimal":
        return pa.array(known, pa.float64(), mask=gone)
    whole = np.rint(known).astype(np.int64)
    if kind == "date":
        return pa.array((whole // 86_400_000_000).astype(np.int32), pa.int32(), mask=gone).view(pa.date32())
    of = pa.array(whole, pa.int64(), mask=gone)
    return of if kind == "integer" else of.view(pa.timestamp("us") if kind == "datetime" else pa.time64("us"))


def handed_down(values: np.ndarray, link: np.ndarray) -> np.ndarray:
    """int64 [n]: what each row's parent has of `values`, -1 for a row without one."""
    return np.where(link >= 0, values[link], -1) if len(values) else np.full(len(link), -1)


def handed(codes: np.ndarray, link: np.ndarray) -> np.ndarray:
    """int64 [n, columns]: the parent's codes of each row, 0 for a row without a parent."""
    if not len(codes):
        return np.zeros((len(link), codes.shape[1]), np.int64)
    return np.where(link[:, None] >= 0, codes[link], 0)


def keys_of(keys: pa.Array, link: np.ndarray) -> pa.Array:
    """The key of each row's parent, missing where it has none."""
    if not len(keys):
        return pa.nulls(len(link), keys.type)
    return keys.take(pa.array(np.maximum(link, 0), mask=link < 0))


WARM = 20  # rows after which means and widths of a series are its own, wherever its first row was


@dataclass(frozen=True)
class Family:
    """Who stands where among the rows of one parent.

    place: int64 [n], 0 for the first.   left: how many come after.   before: the row before it, -1 for the first.
    size: int64 [parents], how many each parent has.   Rows without a parent are the only one of their own.
    """

    place: np.ndarray
    left: np.ndarray
    before: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, link: np.ndarray, parents: int, order: pa.Array | None) -> Family:
        """link: the parent's row [n], -1 for none.   order: what sorts the rows of a parent; as they stand, where None."""
        n = len(link)
        at = np.nan_to_num(amounts(order), nan=np.inf) if order is not None else np.zeros(n)
        key = np.where(link < 0, parents + np.arange(n), link)
        rows = np.lexsort((np.arange(n), at, key))
        new = np.ones(n, bool)
        new[1:] = key[rows][1:] != key[rows][:-1]
        begun = np.maximum.accumulate(np.where(new, np.arange(n), 0)) if n else np.zeros(0, np.int64)
        place, before = np.empty(n, np.int64), np.full(n, -1)
        place[rows] = np.arange(n) - begun
        before[rows[1:]] = np.where(new[1:], -1, rows[:-1])
        count = np.bincount(key, minlength=parents + n)
        return cls(place, count[key] - 1 - place, before, count[:parents])

    @cached_property
    def heads(self) -> np.ndarray:
        """int64 [n]: the first row of the parent that each row has."""
        out = np.arange(len(self.place))
        for rows in self.levels():
            out[rows] = out[self.before[rows]]
        return out

    @cached_property
    def warm(self) -> np.ndarray:
        """bool [n]: rows with `WARM` before them, or with a tenth of what their sequence has where that is less; no first ones."""
        return np.asarray(self.place >= np.clip((self.place + self.left + 1) // 10, 1, WARM))

    def among(self, rows: np.ndarray) -> Family:
        """Who stands where among these rows alone."""
        if len(rows) == len(self.place):
            return self
        return Family.of(self.heads[rows], len(self.place), pa.array(self.place[rows]))

    def so_far(self, values: np.ndarray, fade: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """float64 [n] each: the sum of `values` [n] over the rows of the same parent before, and how many of them are known.

        fade: what a row still counts one row later.
        """
        total, count = np.zeros(len(values)), np.zeros(len(values))
        for rows in self.levels():
            back = self.before[rows]
            known = ~np.isnan(values[back])
            total[rows] = fade * total[back] + np.where(known, values[back], 0)
            count[rows] = fade * count[back] + known
        return total, count

    def levels(self) -> list[np.ndarray]:
        """The rows that are second of their parent, those that are third, and so on."""
        order = np.argsort(self.place, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.place[order])) + 1)
        return [rows for rows in parts if len(rows) and self.place[rows[0]] > 0]


def sortable(kind: str) -> bool:
    """Whether a column of this kind can sort rows."""
    return kind in NUMBERS
