"""What rows of a file say of the rows beside them: which rows that are drawn each for itself do not keep, and a person is told so.

A balance goes on from that of the row before by the amount of its own row. Rows of one customer stand in a log for days, and then
no more: they are what one person did, one after another.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.encoding.coding import flat, reals
from karat.content.table.schema.columns import Schema

ROWS = 50_000  # first ones that are looked at
COLUMNS = 24  # numbers, and as many categories and moments
ALWAYS = 0.95  # of the rows, in which one goes on from another
FEWEST = 50  # rows
ENTITIES = 20  # values of a column that names them, at least, and `OFTEN` rows of each in the mean
OFTEN = 1.5
PAIRS = 20.0  # rows that chance would have brought together, and that never were
HANGS = 0.3  # share of the variance of moments that is between entities, beyond chance


def notes(known: Schema, cells: pa.Table) -> list[str]:
    """A sentence for each column that goes on from row to row, and for the column whose rows lie together in time."""
    return [*_running(known, cells.slice(0, ROWS)), *entities(known, cells)] if len(cells) >= FEWEST else []


def _running(known: Schema, cells: pa.Table) -> list[str]:
    """Columns that differ from the row before, or the one behind, by what another column holds."""
    names = [c.name for c in known.columns if c.kind in ("integer", "decimal")][:COLUMNS]
    values = {name: _finite(reals(flat(cells[name]))) for name in names}
    out = []
    for name in names:
        step = np.diff(values[name])
        if not (np.abs(step[np.isfinite(step)]) > 0).any():
            continue
        for other in names:
            found = None if other == name else _goes_on(step, values[name], values[other])
            if found is not None:
                sign, way, share = found
                out.append(
                    f"{name} is that of the row {way} {sign} {other}, in {share:.0%} of the rows. Rows are not made so: leave "
                    f"{name} out, and add it up in what is made."
                )
                break
    return out


def _finite(values: np.ndarray) -> np.ndarray:
    """The same [n], NaN for what is no finite number."""
    return np.where(np.isfinite(values), values, np.nan)


def _goes_on(step: np.ndarray, own: np.ndarray, amount: np.ndarray) -> tuple[str, str, float] | None:
    """Sign and neighbour by which a column goes on, and in which share of the rows; None where it does not."""
    if len(np.unique(amount[np.isfinite(amount)])) < 3:  # it only counts, which says nothing of another column
        return None
    near = 1e-9 * np.nanmax(np.abs(own)) + 1e-12
    for way, moved, by in (("before", step, amount[1:]), ("behind", -step, amount[:-1])):
        for sign, signed in (("+", by), ("-", -by)):
            there = np.isfinite(moved) & np.isfinite(signed) & ((moved != 0) | (signed != 0))
            if there.sum() >= FEWEST and (share := float((np.abs(moved - signed) <= near)[there].mean())) >= ALWAYS:
                return sign, way, share
    return None


def entities(known: Schema, cells: pa.Table) -> list[str]:
    """The column that names who did what, where rows of one lie together in time and among those of others."""
    times = [c.name for c in known.columns if c.kind in ("date", "datetime")][:COLUMNS]
    names = [c.name for c in known.columns if c.kind == "category"][:COLUMNS]
    best, found, cells = HANGS, "", cells.slice(0, ROWS)
    for time in times:
        at = flat(cells[time]).cast(pa.timestamp("us")).cast(pa.int64())
        for name in names:
            both = pc.and_(at.is_valid(), flat(cells[name]).is_valid())
            who = flat(cells[name]).filter(both).dictionary_encode().indices.to_numpy(zero_copy_only=False)
            share = _together(who, at.filter(both).to_numpy(zero_copy_only=False).astype(np.float64))
            if share > best:
                best, many = share, int(who.max()) + 1
                found = (
                    f"{name} has {many:,} values, {len(who) / many:.1f} rows of each, which lie together in {time}. Rows are "
                    f"learned each for itself, so that those of one {name} do not follow from each other in what is made; "
                    f"--set data.entity={name} learns them one after another, and makes new ones."
                )
    return [found] if found else _panel(known, cells)


def _panel(known: Schema, cells: pa.Table) -> list[str]:
    """The column of entities of which each stands at most once for each year, or day: by chance some would stand there twice."""
    steps = [c.name for c in known.columns if c.kind in ("integer", "date", "datetime")][:COLUMNS]
    names = [c.name for c in known.columns if c.kind == "category"][:COLUMNS]
    for name in names:
        who = _codes(cells, name)
        many = len(np.unique(who))
        if many < ENTITIES or len(who) < max(FEWEST, OFTEN * many):
            continue
        for step in steps:
            at = _codes(cells, step)
            often = np.bincount(at)
            # pairs of rows with one entity and one step, if both were dealt anew
            chance = float((np.bincount(who) / len(who)) @ np.bincount(who) * (often / len(at)) @ often / 2)
            if chance >= PAIRS and len(np.unique(who * len(often) + at)) == len(who):
                return [
                    f"{name} has {many:,} values, each at most once for each {step}. Rows are learned each for itself, so that "
                    f"those of one {name} do not follow from each other in what is made; --set data.entity={name} learns them one "
                    "after another, and makes new ones."
                ]
    return []


def _codes(cells: pa.Table, name: str) -> np.ndarray:
    """int64 [n]: which of its values each cell of a column has, the missing ones with one of their own."""
    coded = flat(cells[name]).dictionary_encode()
    out: np.ndarray = pc.fill_null(coded.indices, len(coded.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
    return out


def _together(who: np.ndarray, at: np.ndarray) -> float:
    """Which share of the variance of moments [n] lies between the entities [n], beyond chance (adjusted R2)."""
    n, many = len(who), int(who.max(initial=-1)) + 1
    if many < ENTITIES or n < max(FEWEST, OFTEN * many) or at.std() == 0:
        return 0.0
    sorted_by_time = who[np.argsort(at, kind="stable")]
    if (np.diff(sorted_by_time) != 0).sum() + 1 == many:  # a week or a month, which is the time itself
        return 0.0
    mean = np.bincount(who, at, many) / np.bincount(who, minlength=many)
    return float(1 - ((at - mean[who]) ** 2).sum() / (n - many) / at.var(ddof=1))
