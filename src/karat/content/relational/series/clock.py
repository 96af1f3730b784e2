"""When the rows of a parent are: the first one, how far each lies from the one before, and in which steps that is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from karat.content.relational.across.inheriting import quantiles
from karat.content.relational.database import Database, Family, Relation, amounts, amounts_beside, from_amounts
from karat.content.relational.series.calendar import Calendar
from karat.content.table.encoding.layout import Layout
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.tables import Tables

OFFSET = 0.25  # a moment is told by its distance to the order column where that is so much narrower


def previous(family: Family, values: np.ndarray) -> np.ndarray:
    """float64 [n]: the last known of `values` [n] among the rows of the same parent that came before."""
    out = np.full(len(values), np.nan)
    for rows in family.levels():
        back = family.before[rows]
        out[rows] = np.where(np.isnan(values[back]), out[back], values[back])
    return out


@dataclass(frozen=True)
class Clock:
    """What `Steps` says of the times in the order column; nothing where there is none."""

    beside: tuple[str, ...] = ()
    since: str | None = None
    edges: Mapping[str, np.ndarray] = field(default_factory=dict)
    latest: float = np.inf
    first: Tables | None = None
    following: Tables | None = None
    calendar: Calendar | None = None
    until: str | None = None

    @classmethod
    def of_series(
        cls,
        train: Database,
        maker: Relation,
        columns: Mapping[str, Column],
        whole: Tables,
        family: Family,
        when: pa.Array,
    ) -> Clock:
        """The same where the rows are steps of series: no moment is the first, and distances are counted in steps."""
        assert maker.order is not None
        order, at = columns[maker.order], amounts(when)
        dated = order.kind in ("date", "datetime")
        calendar = Calendar.find(np.unique(at), dated)
        later = np.flatnonzero(family.place > 0)
        gap = np.full(len(at), np.nan)
        gap[later] = calendar.ticks(at[later]) - calendar.ticks(at[family.before[later]])
        edges = {"when": np.zeros(0), "gap": quantiles(gap), "calendar": np.array([float(dated)])}
        following = chain(whole, *distance(Column(order.name, "integer"), gap[later]))
        return cls(edges=edges, following=following, calendar=calendar)

    @classmethod
    def of(
        cls,
        train: Database,
        maker: Relation,
        columns: Mapping[str, Column],
        whole: Tables,
        family: Family,
        when: pa.Array,
    ) -> Clock:
        assert maker.order is not None
        name, link, order = maker.child, train.links[maker], columns[maker.order]
        at = amounts(when)
        gap = at - previous(family, at)
        edges = {
            "when": quantiles(at),
            "gap": quantiles(gap),
            "calendar": np.array([float(order.kind in ("date", "datetime"))]),
        }
        beside = tuple(c.name for c in columns.values() if c.name != order.name and _near(c, order, at, train, name))
        begun = np.flatnonzero((family.place == 0) & (link >= 0))
        ended = np.flatnonzero((family.left == 0) & (link >= 0))
        whole_links = bool((link >= 0).all())
        since = _bound(train, maker, order, at, begun, 1) if whole_links else None
        until = _bound(train, maker, order, at, ended, -1) if whole_links else None
        if since is None:
            own = pa.table({order.name: when})
            first = chain(whole, Schema((order,)), own.take(pa.array(np.flatnonzero(family.place == 0))))
        else:
            base = amounts_beside(train.cells(maker.parent, since), order.kind)[link[begun]]
            first = chain(whole, *distance(order, at[begun] - base))
        later = np.flatnonzero(family.place > 0)
        following = chain(whole, *distance(order, gap[later])) if len(later) else None
        latest = float(np.nanmax(at)) if np.isfinite(at).any() else np.inf
        return cls(beside, since, edges, latest, first, following, until=until)


def chain(whole: Tables, known: Schema, cells: pa.Table) -> Tables:
    """A codec of these columns."""
    return Tables(replace(whole.origin, schema=known), Layout.fit(known, cells))


def distance(column: Column, values: np.ndarray) -> tuple[Schema, pa.Table]:
    """A column of differences between values of `column`, in its own unit, microseconds for dates and times."""
    decimal = column.kind == "decimal"
    kind = Column(column.name, "decimal" if decimal else "integer", column.places if decimal else 0)
    if decimal and column.places <= 15:
        values = np.round(values, column.places)
    return Schema((kind,)), pa.table({column.name: from_amounts(values, kind.kind)})


def _near(column: Column, order: Column, at: np.ndarray, train: Database, name: str) -> bool:
    """Whether a moment hardly leaves the time of its row."""
    if column.kind not in ("date", "datetime") or order.kind not in ("date", "datetime"):
        return False
    mine = amounts(train.cells(name, column.name))
    apart = (mine - at)[~np.isnan(mine - at)]
    known = mine[~np.isnan(mine)]
    return len(apart) > 0 and _spread(apart) < OFFSET * _spread(known)


def _spread(values: np.ndarray) -> float:
    low, high = np.quantile(values, [0.05, 0.95])
    return float(high - low)


def _bound(train: Database, maker: Relation, order: Column, at: np.ndarray, ends: np.ndarray, side: int) -> str | None:
    """The parent's moment nearest to the rows `ends` of its children that is never after them (`side` 1), or never before (-1);
    beside an order of numbers, its year.
    """
    best: tuple[float, str] | None = None
    link = train.links[maker][ends]
    for column in train.tables[maker.parent].facts.schema.columns:
        if column.kind not in ("date", "datetime") or order.kind == "time" or column.zone == "mixed":
            continue
        base = amounts_beside(train.cells(maker.parent, column.name), order.kind)
        apart = side * (at[ends] - base[link])
        if np.isnan(apart).any() or not len(apart) or (apart < 0).any():
            continue
        if _spread(apart) < _spread(at[ends]) and (best is None or _spread(apart) < best[0]):
            best = _spread(apart), column.name
    return None if best is None else best[1]
