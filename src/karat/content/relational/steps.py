"""What is learned of one table beside its columns, and what each of its chains of columns is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.relational.across.inheriting import Inherited, binned, row
from karat.content.relational.changes import Change
from karat.content.relational.database import Relation, amounts_beside
from karat.content.relational.series.calendar import Calendar
from karat.content.relational.series.stretches import Stretches
from karat.content.relational.series.together import Together
from karat.content.table.encoding.coding import flat
from karat.content.table.tables import Tables
from karat.space import Codes

PLACES = 32  # positions in a sequence that are told apart
HOURS = 48  # times of the day
FADE = 0.9  # of what a mean so far still holds one row later, where a series has no first row that is its own


def expected(changes: Sequence[Change], who: np.ndarray, when: np.ndarray, calendar: Calendar | None) -> np.ndarray:
    """float64 [n, k]: what is to be expected of each column at moments [n] of the series `who` [n]; 0 without a season."""
    out = np.zeros((len(who), len(changes)))
    for j, c in enumerate(changes):
        if c.season is not None and calendar is not None:
            out[:, j] = c.season.of(who, when, calendar)
    return out


def rows_name(relation: Relation) -> str:
    """The name of a column that counts the children of a row."""
    return f"rows of {relation.child} by {relation.column}"


def borrowed_name(relation: Relation, column: str) -> str:
    """The name of a column of the row that `relation` refers to."""
    return f"{relation.column}: {column}"


@dataclass(frozen=True)
class Steps:
    """What is learned of one table beside its columns.

    maker: the relation that its rows are made by.   counted: relations whose children are counted, a column each.
    chosen: relations whose rows are chosen afterwards, by the `borrowed` columns of the other table.
    ranks: columns that only count the rows of a parent, with the first value.   beside: moments told by their distance
    to the order column.   since: the parent's moment from which the first row's is counted.
    edges: of times ("when"), distances ("gap") and of each number's mean.   latest: the last time seen.
    unique: columns in which no two rows agree.   loose: by relation, the share of the keys that lead nowhere: of those that
    are there, or of the rows without a parent where the relation makes the rows.   tree: by relation of the table to itself,
    where no row descends from itself, the share of its keys that are the row's own.   unlike: pairs of relations to one
    parent that never meet in one row.
    what, first, next, level: the codecs of the chains.   changes: numbers that are learned as changes, of which `level` draws
    those in the first rows.   stand: how the file has its rows: grouped, by order, or mixed.
    calendar: the steps of a series, in which its distances are told.   starts: places in series from which one may go on.
    series: names of several series in one file.   together: how these move together, None where each goes by itself.
    stretches: what long stretches of a series are like.
    inherited: what rows are given of their parent by what holds across tables.
    """

    table: str
    maker: Relation | None
    counted: tuple[Relation, ...]
    chosen: tuple[Relation, ...]
    borrowed: Mapping[str, tuple[str, ...]]
    ranks: Mapping[str, int]
    beside: tuple[str, ...]
    since: str | None
    edges: Mapping[str, np.ndarray]
    latest: float
    stand: str
    unique: tuple[tuple[str, ...], ...]
    loose: Mapping[str, float]
    tree: Mapping[str, float]
    unlike: tuple[tuple[str, str], ...]
    what: Tables
    first: Tables | None
    next: Tables | None
    changes: tuple[Change, ...] = ()
    level: Tables | None = None
    calendar: Calendar | None = None
    starts: Before | None = None
    inherited: Inherited = Inherited()
    series: tuple[str, ...] = ()
    together: Together | None = None
    stretches: Stretches | None = None

    def expected(self, who: np.ndarray, when: np.ndarray) -> np.ndarray:
        """float64 [n, k]: what is to be expected of the columns that are learned as changes, of series `who` [n] at moments [n]."""
        return expected(self.changes, who, when, self.calendar)

    @property
    def fade(self) -> float:
        """What a mean so far still holds one row later."""
        return 1.0 if self.calendar is None else FADE

    def apart(self, later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        """How far moments [n] lie from earlier ones, in steps of the calendar where there is one."""
        if self.calendar is None:
            return np.asarray(later - earlier)
        there = ~np.isnan(later + earlier)
        out = np.full(len(later), np.nan)
        out[there] = self.calendar.ticks(later[there]) - self.calendar.ticks(earlier[there])
        return out

    @property
    def referring(self) -> set[str]:
        """The columns that refer to a table."""
        return {c for r in (*self.chosen, *([self.maker] if self.maker is not None else [])) for c in r.columns}

    @property
    def order(self) -> str | None:
        return None if self.maker is None else self.maker.order

    def begun(self, parents: pa.Table) -> np.ndarray | None:
        """float64 [n]: the moment of each parent from which the first row's is counted; None where it is not."""
        return None if self.since is None else amounts_beside(flat(parents[self.since]), self.inherited.kind)

    @property
    def chains(self) -> dict[str, Tables]:
        """The codec of each chain by its name."""
        mine = {"what": self.what, "first": self.first, "next": self.next, "level": self.level}
        return {f"{self.table}/{name}": codec for name, codec in mine.items() if codec is not None}

    @property
    def means(self) -> tuple[str, ...]:
        return tuple(name.removeprefix("mean ") for name in self.edges if name.startswith("mean "))

    @property
    def levels(self) -> tuple[int, ...]:
        """Which of `changes` have a level in the first rows."""
        return tuple(j for j, c in enumerate(self.changes) if c.own)

    def state(self) -> dict[str, Any]:
        def one(r: Relation) -> list[str]:
            return [r.child, r.column]

        return {
            "counted": [one(r) for r in self.counted],
            "borrowed": {k: list(v) for k, v in self.borrowed.items()},
            "ranks": dict(self.ranks),
            "beside": list(self.beside),
            "since": self.since,
            "stand": self.stand,
            "edges": {k: v.tolist() for k, v in self.edges.items()},
            "unique": [list(u) for u in self.unique],
            "loose": dict(self.loose),
            "tree": dict(self.tree),
            "unlike": [list(u) for u in self.unlike],
            "latest": self.latest if np.isfinite(self.latest) else None,
            "changes": [c.state() for c in self.changes],
            "calendar": None if self.calendar is None else self.calendar.state(),
            "series": list(self.series),
            "together": None if self.together is None else self.together.state(),
            "stretches": None if self.stretches is None else self.stretches.state(),
            "starts": None if self.starts is None else self.starts.state(),
            "inherited": self.inherited.state(),
            **{name.rpartition("/")[2]: codec.state() for name, codec in self.chains.items()},
        }

    @classmethod
    def restore(cls, table: str, relations: tuple[Relation, ...], state: Mapping[str, Any]) -> Self:
        by = {(r.child, r.column): r for r in relations}
        mine = [r for r in relations if r.child == table]
        codecs = [
            None if name not in state else Tables.restore(state[name]) for name in ("what", "first", "next", "level")
        ]
        assert codecs[0] is not None
        return cls(
            table,
            next((r for r in mine if r.makes), None),
            tuple(by[child, column] for child, column in state["counted"]),
            tuple(r for r in mine if not r.makes),
            {k: tuple(v) for k, v in state["borrowed"].items()},
            state["ranks"],
            tuple(state["beside"]),
            state["since"],
            {k: row(v) for k, v in state["edges"].items()},
            np.inf if state["latest"] is None else state["latest"],
            state["stand"],
            tuple(tuple(u) for u in state["unique"]),
            state["loose"],
            state["tree"],
            tuple((a, b) for a, b in state["unlike"]),
            codecs[0],
            codecs[1],
            codecs[2],
            tuple(Change.restore(c) for c in state["changes"]),
            codecs[3],
            None if state["calendar"] is None else Calendar.restore(state["calendar"]),
            None if state["starts"] is None else Before.restore(state["starts"]),
            Inherited.restore(state["inherited"]),
            tuple(str(name) for name in state["series"]),
            None if state["together"] is None else Together.restore(state["together"]),
            None if state["stretches"] is None else Stretches.restore(state["stretches"]),
        )


@dataclass(frozen=True)
class Before:
    """What a chain may know of the rows [n] to be drawn, before it draws.

    up: codes of the ancestors' columns [n, k], 0 where there is none.   place, left: [n].
    codes: of the row before [n, columns], 0 where there is none.   means: of each number so far [n, numbers], NaN where none.
    since: the time [n] of the row before.   when: the row's own time [n], once it is known.   Of the columns that are learned
    as changes past: the values [n, k] of the row before, recent: what is told of changes before (`changes.followed`), level:
    the row's own values [n, k] where it is a first one, once they are known.   parent: the parent's columns that are told
    [n, `inherited.names`], and sums: what the rows before add to each of its totals [n, `inherited.totals`].   who: which of
    `Steps.series` each is of [n].   path: which of several draws of all series [n].
    """

    up: np.ndarray
    place: np.ndarray
    left: np.ndarray
    codes: np.ndarray
    means: np.ndarray
    since: np.ndarray
    when: np.ndarray
    past: np.ndarray
    recent: np.ndarray
    level: np.ndarray
    parent: np.ndarray
    sums: np.ndarray
    who: np.ndarray
    path: np.ndarray

    def take(self, rows: np.ndarray) -> Before:
        return Before(**{name: array[rows] for name, array in vars(self).items()})

    def state(self) -> dict[str, Any]:
        return {
            name: [array.shape[1:], array.dtype.kind, np.asarray(np.where(np.isnan(array), None, array)).tolist()]
            for name, array in vars(self).items()
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        def array(shape: Any, kind: str, values: Any) -> np.ndarray:
            wanted = np.int64 if kind == "i" else np.float64
            return np.array(values, np.float64).astype(wanted).reshape(len(values), *shape)

        return cls(**{name: array(*state[name]) for name in cls.__dataclass_fields__})


def context(steps: Steps, chain: str, known: Before) -> np.ndarray:
    """int64 [n, columns]: what the chain is given, in the order of `sizes`."""
    if steps.maker is None:
        return np.zeros((len(known.place), 0), np.int64)
    few = [np.minimum(known.place, PLACES - 1)[:, None], np.minimum(known.left, PLACES - 1)[:, None]]
    if steps.calendar is not None:  # a window begins and ends anywhere
        few = [0 * each for each in few]
    parts = [known.up, *few]
    if chain == "level":
        if steps.order is not None:
            parts += [binned(steps.edges["when"], known.when[:, None]), *_calendar(steps, known.when)]
        return np.hstack(parts).astype(np.int64)
    if chain != "first":
        parts.append(known.codes)
        parts += [binned(steps.edges[f"mean {n}"], known.means[:, [j]]) for j, n in enumerate(steps.means)]
    if steps.order is not None and chain == "next":
        parts += [binned(steps.edges["when"], known.since[:, None]), *_calendar(steps, known.since)]
    if steps.order is not None and chain == "what":
        gap = steps.apart(known.when, known.since)[:, None]
        parts += [binned(steps.edges["when"], known.when[:, None]), binned(steps.edges["gap"], gap)]
        parts += _calendar(steps, known.when)
    if chain == "what":
        base = np.where(np.isnan(known.past), known.level, known.past)
        parts += [binned(steps.edges[f"level {steps.changes[j].column}"], base[:, [j]]) for j in steps.levels]
        parts += [binned(edges, known.recent[:, [j]]) for j, edges in enumerate(_recent(steps))]
    parts += steps.inherited.context(chain, steps.inherited.left(known.parent, known.sums, known.since))
    return np.hstack(parts).astype(np.int64)


def sizes(steps: Steps, chain: str, up: Codes, own: Codes) -> Codes:
    """The space of the context: `up` is that of the ancestors, `own` that of a row of this table."""
    if steps.maker is None:
        return Codes((), ())
    out = list(zip(up.sizes, up.ordered, strict=True)) + [(PLACES, True)] * 2
    when, gap = ((len(steps.edges.get(name, ())) + 2, True) for name in ("when", "gap"))
    days = [(13, True), (8, True)] if _dated(steps) else []
    days += [(HOURS + 1, True)] if _timed(steps) else []
    if chain == "level":
        out += [when, *days] if steps.order is not None else []
        return Codes(tuple(size for size, _ in out), tuple(ordered for _, ordered in out))
    if chain != "first":
        out += [(size + 1, ordered) for size, ordered in zip(own.sizes, own.ordered, strict=True)]
        out += [(len(steps.edges[f"mean {n}"]) + 2, True) for n in steps.means]
    if steps.order is not None and chain == "next":
        out += [when]
    if steps.order is not None and chain == "what":
        out += [when, gap]
    if steps.order is not None and chain != "first":
        out += days
    if chain == "what":
        out += [(len(steps.edges[f"level {steps.changes[j].column}"]) + 2, True) for j in steps.levels]
        out += [(len(edges) + 2, True) for edges in _recent(steps)]
    out += steps.inherited.sizes(chain)
    return Codes(tuple(size for size, _ in out), tuple(ordered for _, ordered in out))


def _recent(steps: Steps) -> list[np.ndarray]:
    """Edges of each column of `Before.recent`."""
    return [steps.edges[f"change {i} {c.column}"] for i in range(2) for c in steps.changes]


def _dated(steps: Steps) -> bool:
    return steps.order is not None and bool(steps.edges["calendar"][0])


def _timed(steps: Steps) -> bool:
    return _dated(steps) and steps.calendar is not None and steps.calendar.slots > 1


def _calendar(steps: Steps, when: np.ndarray) -> list[np.ndarray]:
    """Month, day of the week and, in a series, time of the day [n, 1] each, 0 where missing."""
    if not _dated(steps):
        return []
    gone = np.isnan(when)
    moment = np.where(gone, 0, when).astype(np.int64).astype("datetime64[us]")
    month = moment.astype("datetime64[M]").astype(np.int64) % 12 + 1
    day = (moment.astype("datetime64[D]").astype(np.int64) + 3) % 7 + 1
    out = [month, day]
    if _timed(steps) and steps.calendar is not None:
        slots = steps.calendar.slots
        out.append(steps.calendar.slot(when) * min(slots, HOURS) // slots + 1)
    return [np.where(gone, 0, part)[:, None] for part in out]
