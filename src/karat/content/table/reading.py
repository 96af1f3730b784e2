"""A table read: what its columns are, as far as they show or a person says, and rows that break a declared rule set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from karat.content.codec import Contents
from karat.content.table import totals
from karat.content.table.encoding.coding import NUMBERS
from karat.content.table.io import sources
from karat.content.table.mining import following
from karat.content.table.mining.columns import MOST, MOST_NUMBERS, nameable
from karat.content.table.personal import protected
from karat.content.table.rules.constraints import check, compile_rules
from karat.content.table.rules.expressions import unknown
from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import MADE, Schema
from karat.content.table.table import Dialect, Raw, Table
from karat.errors import DataError, FitError

PROSE = 60  # characters of a cell, on the average, from which on it is worth being learned as text


@dataclass(frozen=True)
class Origin:
    """Where a table came from and how it was printed there; the `facts` of a `Table`.

    notes: what pandas and polars wrote beside the columns of their frames, so that the types are theirs again: JSON, see
    `sources.notes`.   discover: whether what holds between columns is looked for.
    """

    schema: Schema
    source: str = "csv"
    dialect: Dialect | None = None
    suffix: str = ".csv"
    notes: str = ""
    otherwise: Mapping[str, tuple[float, str, str]] = field(default_factory=dict)  # somebody else's: see `convert`
    discover: bool = False


def read(path: Any, options: Mapping[str, Any], settings: Sequence[str]) -> Contents:
    """See `Tables.read`; `settings` are the options that there are."""
    unknown = sorted(set(options) - {*settings, "cache"})
    if unknown:
        raise FitError(f"Tables have no option {unknown[0]!r}; they have {', '.join(settings)}.")
    mine = {key: value for key, value in options.items() if key in ("query", "table", "rows", "encoding", "sheet")}
    raw = sources.open_table(path, mine)
    found = _schema(raw, options)
    cells = values.parse(raw, found)
    whole = raw.source == "csv" and raw.total is None and options.get("declared") is not True
    raw, less = _without_sums(raw, found, cells, options) if whole else (raw, False)
    if less:
        found = _schema(raw, options)
        cells = values.parse(raw, found)
    first = 1 + (raw.dialect is None or raw.dialect.header) if raw.source == "csv" and raw.total is None else 0
    good, notes = check(compile_rules(found), cells, raw.place, first)
    if not good.all():
        cells = cells.filter(pa.array(good))
    found = schema.linked(found, cells)
    wanted = options.get("discover", True)
    if type(wanted) is not bool:
        raise FitError(f"data.discover={wanted!r}: true or false was wanted.")
    suffix, noted = sources.own_suffix(path, raw), sources.notes(raw.cells.schema)
    origin = Origin(found, raw.source, raw.dialect, suffix, noted, discover=wanted)
    facts: dict[str, Any] = {
        "columns": schema.describe(found, cells),
        "target": found.target,
        "rows_in_source": raw.total if raw.total is not None else len(raw.cells),
        "set_aside": int((~good).sum()),
        "notes": [
            *raw.notes,
            *_prose(path, raw, found),
            *notes,
            *(_wide(found) if wanted else []),
            *(following.notes(found, cells) if wanted and options.get("declared") is not True else []),
            *protected.note(found),
        ],
        "doubt": raw.question,
    }
    return Contents(Table(cells.combine_chunks(), origin), facts=facts)


def _without_sums(raw: Raw, found: Schema, cells: pa.Table, options: Mapping[str, Any]) -> tuple[Raw, bool]:
    """The source without a last row of sums, or with what is to be said of it, as a person wants it; and whether it is less."""
    wanted = options.get("totals")
    if wanted not in (None, "keep", "drop"):
        raise FitError(f"data.totals={wanted!r}: keep or drop was wanted.")
    if wanted == "keep" or not len(raw.cells):
        return raw, False
    last = raw.cells.slice(len(raw.cells) - 1).to_pylist()[0]
    names, sure = totals.summed(found, cells, last)
    less = bool(names) and (sure or wanted == "drop")
    if wanted == "drop" and not names:
        raise DataError("data.totals=drop: no cell of the last row is the sum of those above it; leave it out.")
    notes = (*raw.notes, totals.note(names, last, less)) if names else raw.notes
    return replace(raw, cells=raw.cells.slice(0, len(raw.cells) - less), notes=notes), less


def _schema(raw: Raw, options: Mapping[str, Any]) -> Schema:
    """What the columns are: inferred or, where nothing may be taken from the cells, declared; with what a person says."""
    declared = options.get("declared") is True
    found = schema.bare(raw) if declared else schema.infer(raw)
    if options.get("schema") is not None:
        lost = schema.undeclared(Path(options["schema"]), found) if declared else []
        if lost:
            raise DataError(
                f"{options['schema']} does not say the kind of {', '.join(map(repr, lost[:5]))}"
                f"{' and more' if len(lost) > 5 else ''}, and with --epsilon nothing is taken from the cells. Declare "
                "each, or say with --public-schema that what the cells show may be known."
            )
        found = schema.read(Path(options["schema"]), found)
    if options.get("learn") is not None:
        found = _learning(found, str(options["learn"]).split(","))
    if options.get("target") is not None:
        target = str(options["target"])
        names = [column.name for column in found.columns]
        if target not in names:
            raise DataError(f"the target is {target!r}, {unknown(target, names)}")
        found = replace(found, target=target)
    told = next((column for column in found.columns if column.name == found.target), None)
    if told is not None and (told.kind == "constant" or (told.kind in MADE and not told.keep)):  # which no judge sees
        raise DataError(f"the target is {told.name!r}, of kind {told.kind}; name one of few values, or a number.")
    if options.get("protected") is not None:
        named = protected.declared(options["protected"], [column.name for column in found.columns], "data")
        found = replace(found, protected=named)
    return found


def _learning(found: Schema, names: Sequence[str]) -> Schema:
    """The schema with these columns as text that is learned; DataError for one that is not there or no text."""
    columns = {column.name: column for column in found.columns}
    for name in map(str.strip, names):
        if name not in columns:
            raise DataError(f"data.learn names {name!r}, {unknown(name, list(columns))}")
        if columns[name].kind not in ("text", "category", "identifier"):
            raise DataError(
                f"data.learn names {name!r}, a column of kind {columns[name].kind}; wanted columns of text."
            )
        columns[name] = replace(columns[name], kind="text", learn=True, keep=False, unique=False)
    return replace(found, columns=tuple(columns.values()))


def _wide(known: Schema) -> list[str]:
    """What to say of a table with more columns than relations are looked for among."""
    every = nameable(known)
    numbers = [column for column in every[:MOST] if column.kind in NUMBERS]
    cut = (("Relations between columns", MOST, every), ("Formulas of numbers", MOST_NUMBERS, numbers))
    return [f"{what} are looked for among the first {n} of {len(of):,}." for what, n, of in cut if len(of) > n]


def _prose(place: Any, raw: Raw, known: Schema) -> list[str]:
    """What to say of JSON lines that were taken for a table, and of columns that hold text worth writing."""
    sentences = []
    for column in known.columns:
        if column.kind == "text" and not column.learn and column.name in raw.cells.column_names:
            lengths = pc.mean(pc.utf8_length(raw.cells[column.name].cast(pa.string()))).as_py()
            if lengths is not None and lengths >= PROSE:
                sentences.append(
                    f"{column.name!r} is prose, about {lengths:.0f} characters a cell: a table fills it with common words. "
                    f"--set data.learn={column.name} learns to write it as it goes with the other columns, "
                    f"--set data.text={column.name} text alone."
                )
    if raw.dialect is not None and raw.dialect.form == "jsonl":
        listed = ", ".join(column.name for column in known.columns[:3])
        sentences.append(
            f"Taken for a table, for its fields ({listed}, ...); --set data.text=FIELD learns the text of one field."
        )
    return sentences
