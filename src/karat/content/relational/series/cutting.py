"""Whether a file holds series, one row for each step of time, and how they are cut into windows that a judge can compare.

A series is one record, of which nothing could be kept for a judge. So its rows are taken as those of windows, of which every
fifth is set aside; what is learned goes on from one window to the next where both are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content.relational.database import amounts
from karat.content.relational.series.calendar import Calendar
from karat.content.table.encoding.coding import flat, present
from karat.content.table.io import formats, sources, sql
from karat.content.table.reading import Origin
from karat.content.table.rules.expressions import unknown
from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import Schema
from karat.content.table.table import Table
from karat.errors import DataError, FitError, KaratError
from karat.space import JUDGED

WINDOWS = 100  # that the rows are cut into, unless these would be
SHORTEST, LONGEST = 12, 250  # rows of each
LARGE, MANY = 8_000_000, 200_000  # bytes and rows up to which a table is read to see whether it is series by itself
GLANCE = 1_000  # first rows that show whether the others are to be looked at
FEWEST = 2 * JUDGED * SHORTEST  # rows, from which on a judge has enough windows
ASIDE = 5  # of so many windows one is for the judge
GROUPS = 2 * JUDGED  # series of one file from which each is a record of its own, and none is cut
HANGS = 0.3  # rank correlation of a number with the row before, from which on rows at irregular times are steps
NUMBERS = ("integer", "decimal")
PLAIN = (*NUMBERS, "boolean", "category", "constant", "date", "datetime", "time")  # of columns beside the time


@dataclass(frozen=True)
class Found:
    """The column by which rows are sorted, the one that tells series apart, and the steps of time."""

    order: str
    entity: str | None
    calendar: Calendar
    words: str


def declared(options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What a person says: the column of the time, "" where the table is to be no series, None where nothing is said; the one
    that tells series apart. Either as a setting, or as a line of the schema.
    """
    said: dict[str, Any] = {}
    if options.get("schema") is not None:
        said, _ = schema.load(Path(options["schema"]))
    order, entity = (options.get(name, said.get(name)) for name in ("series", "entity"))
    if order is False:
        order = ""
    for name, value in (("series", order), ("entity", entity)):
        if value is not None and not isinstance(value, str):
            raise FitError(f"{name} = {value!r}: the name of a column was wanted, or series = false.")
    return order, entity


def find(table: Table, order: str | None, entity: str | None) -> Found | None:
    """The series in a table, None where there is none.   order, entity: columns that a person named.

    DataError or FitError where a column of that name is not there, or cannot sort rows.
    """
    names = [c.name for c in table.facts.schema.columns]
    for what, name in (("series", order), ("entity", entity)):
        if name is not None and name not in names:
            raise DataError(f"{what} is {name!r}, {unknown(name, names)}")
    kinds = {c.name: c.kind for c in table.facts.schema.columns}
    times = [n for n in names if kinds[n] in ("date", "datetime")] if order is None else [order]
    for name in times:
        if kinds[name] not in ("date", "datetime", *NUMBERS):
            raise FitError(
                f"series = {name!r}: a column of dates, times or numbers was wanted, and it holds {kinds[name]}."
            )
        apart = [entity] if entity is not None else [None, *_groups(table, kinds)]
        for group in apart:
            at = _sorted(table, name, group)
            if at is None:
                continue
            one = max(at, key=len)
            calendar = Calendar.find(np.unique(np.concatenate(at)), kinds[name] in ("date", "datetime"))
            words = calendar.words(one, kinds[name] in ("date", "datetime"))
            found = Found(name, group, calendar, words)
            if order is not None or calendar.even(one) or _hangs(table, found):
                return found
    return None


def recognises(source: Any, options: Mapping[str, Any]) -> bool:
    """Whether a file or a frame of one table, none of many rows, is series by what it shows."""
    if any(options.get(name) is not None for name in ("as", "target", "rows", "query", "table", "declared")):
        return False
    if isinstance(source, str | Path):
        path = Path(source)
        if (
            sql.is_url(source)
            or not path.is_file()
            or path.stat().st_size > LARGE
            or formats.is_database(sources.suffix_of(path))
        ):
            return False
    if not sources.recognises(source):
        return False
    try:
        raw = sources.open_table(source, {k: v for k, v in options.items() if k in ("encoding", "sheet")})
        if not FEWEST <= len(raw.cells) <= MANY or not _plain(
            schema.infer(replace(raw, cells=raw.cells.slice(0, GLANCE)))
        ):
            return False
        known = schema.infer(raw)
        if options.get("schema") is not None:
            known = schema.read(Path(options["schema"]), known)
        found = _plain(known) and find(Table(values.parse(raw, known), Origin(known)), None, None)
    except KaratError:  # said where the table is read
        return False
    return bool(found)


def _plain(known: Schema) -> bool:
    """Whether the columns could be those of a series: moments, some numbers, and nothing that tells persons apart."""
    kinds = [c.kind for c in known.columns]
    return (
        any(k in ("date", "datetime") for k in kinds) and any(k in NUMBERS for k in kinds) and set(kinds) <= set(PLAIN)
    )


def _groups(table: Table, kinds: Mapping[str, str]) -> list[str]:
    """Columns of few categories, that with the fewest first."""
    out = []
    for name, kind in kinds.items():
        if kind in ("category", "integer", "boolean"):
            many = len(flat(table.cells[name]).unique())
            if 1 < many <= len(table) / (2 * SHORTEST):
                out.append((many, name))
    return [name for _, name in sorted(out)]


def codes(table: Table, entity: str | None) -> np.ndarray:
    """int64 [n]: which series each row is of, -1 where that is missing."""
    if entity is None:
        return np.zeros(len(table), np.int64)
    coded = flat(table.cells[entity]).cast(pa.string()).dictionary_encode().indices.fill_null(-1)
    return np.asarray(coded.to_numpy(zero_copy_only=False), np.int64)


def _sorted(table: Table, order: str, entity: str | None) -> list[np.ndarray] | None:
    """The times of each series, sorted; None where two rows of one have the same, or one has none."""
    cells = flat(table.cells[order])
    if cells.null_count:
        return None
    at, who = amounts(cells), codes(table, entity)
    rows = np.lexsort((at, who))
    new = np.diff(who[rows]) != 0
    if len(at) < 2 or (np.diff(at[rows])[~new] <= 0).any():
        return None
    return np.split(at[rows], np.flatnonzero(new) + 1)


def _hangs(table: Table, found: Found) -> bool:
    """Whether some number of a row goes with that of the row before; an id that counts rows says nothing."""
    at, who = amounts(flat(table.cells[found.order])), codes(table, found.entity)
    rows = np.lexsort((at, who))
    later = np.flatnonzero(np.diff(who[rows]) == 0)
    for column in table.facts.schema.columns:
        if column.kind not in NUMBERS or column.name in (found.order, found.entity):
            continue
        x = amounts(flat(table.cells[column.name]))[rows]
        pair = np.stack([x[later], x[later + 1]])
        pair = pair[:, ~np.isnan(pair).any(0)]
        if pair.shape[1] > 2 * JUDGED and len(np.unique(pair)) > 2 and not (pair[0] < pair[1]).all():
            a, b = np.argsort(np.argsort(pair, 1), 1)
            if np.corrcoef(a, b)[0, 1] > HANGS:
                return True
    return False


def rows_of_window(table: Table, found: Found) -> int:
    """How many rows a window has; 0 where each series is a record of its own."""
    many = np.bincount(np.maximum(codes(table, found.entity), 0))
    if len(many) >= GROUPS or len(table) < FEWEST or np.median(many) < 2 * SHORTEST:
        return 0
    return int(np.clip(len(table) // WINDOWS, SHORTEST, min(LONGEST, np.median(many) // 2)))


def windows(table: Table, order: str, entity: str | None, rows: int) -> np.ndarray:
    """int64 [n]: the window of each row, each at least `rows` long; their numbers rise by one within a series, by two between."""
    at, who = amounts(flat(table.cells[order])), codes(table, entity)
    out = np.full(len(table), -1)
    first = 0
    for one in np.unique(who[who >= 0]):
        mine = np.flatnonzero(who == one)
        mine = mine[np.argsort(at[mine], kind="stable")]
        many = max(1, len(mine) // rows)
        out[mine] = first + np.minimum(np.arange(len(mine)) // rows, many - 1)
        first += many + 1
    return out


def aside(window: np.ndarray) -> np.ndarray:
    """bool [windows]: those for the judge, of their numbers: every fifth, or as many as he needs."""
    every = _every(len(window))
    return np.asarray(window % every == every - 1)


def _every(windows: int) -> int:
    return max(2, min(ASIDE, windows // JUDGED))


def statics(table: Table, entity: str | None) -> set[str]:
    """The columns that never change within a series."""
    if entity is None:
        return set()
    who = codes(table, entity)
    out = {entity}
    for name in table.cells.column_names:
        mine = codes(table, name)
        if len(np.unique(np.stack([who, mine]), axis=1).T) == len(np.unique(who)):
            out.add(name)
    return out


def sentence(table: Table, found: Found, rows: int) -> str:
    """What was found, for a person."""
    many = len(np.unique(codes(table, found.entity)))
    steps = f"{len(table):,} steps"
    what = f"a series of {steps}" if found.entity is None else f"{many:,} series by {found.entity}, {steps} in all"
    aside = f"one of {_every(len(table) // rows)} for the judge"
    return (
        f"This is {what}, {found.words}, sorted by {found.order}. It is learned in windows of {rows} steps, {aside}, and -n of "
        "`make` counts steps. For a table of rows without order: --set data.as=table."
    )


def missing(table: Table, entity: str | None) -> np.ndarray:
    """bool [n]: rows that belong to no series."""
    return np.zeros(len(table), bool) if entity is None else np.asarray(~present(flat(table.cells[entity])))
