"""What the keys of a table show as a whole: which columns differ in every row, which keys lead nowhere, what is a tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa

from karat.content.relational.database import Database
from karat.content.table.rules.constraints import repeated

EXPECTED = 5.0  # rows that would be equal by chance, so that it says something that none are
MOST = 12  # columns beside the keys that are looked at
WIDEST = 4  # keys that are a key together


def differing(data: Database, name: str, declared: Sequence[Sequence[str]]) -> list[list[str]]:
    """The smallest groups of columns in which no two rows of the table agree, of those that hold keys.

    They are: declared ones; keys of several columns to which others refer; the keys of a table that joins others; such keys
    with one column more, where rows would agree by chance.
    """
    mine = [r.columns for r in data.relations if r.child == name]
    out = [list(names) for names in declared]
    out += [list(r.keys) for r in data.relations if r.parent == name and len(r.keys) > 1]

    def fresh(names: Iterable[str]) -> bool:
        return not any(set(known) <= set(names) for known in out)

    for size in range(1, min(WIDEST, len(mine)) + 1):
        for group in combinations(mine, size):
            names = list(dict.fromkeys(c for columns in group for c in columns))
            if fresh(names) and _differ(data, name, names):
                out.append(names)
    referring = {c for columns in mine for c in columns}
    if not mine or any(set(names) & referring for names in out):
        return _without_repeats(out)
    schema = data.tables[name].facts.schema
    few = [
        c for c in schema.columns if c.name not in referring and not c.made and c.kind not in ("decimal", "constant")
    ]
    if any(c.unique for c in schema.columns if c.name not in referring):
        return _without_repeats(out)
    for base in [*mine, *([tuple(referring)] if len(mine) > 1 else [])]:
        for column in few[:MOST]:
            names = [*sorted(base, key=list(data.tables[name].cells.column_names).index), column.name]
            if fresh(names) and _chance(data, name, base, column.name) >= EXPECTED and _differ(data, name, names):
                out.append(names)
    return _without_repeats(out)


def _without_repeats(groups: list[list[str]]) -> list[list[str]]:
    return [list(names) for names in dict.fromkeys(tuple(names) for names in groups)]


def _differ(data: Database, name: str, names: Sequence[str]) -> bool:
    columns = [data.cells(name, c) for c in names]
    whole = np.logical_and.reduce([np.asarray(c.is_valid().to_numpy(zero_copy_only=False)) for c in columns])
    return bool(whole.sum() > 1) and not repeated(columns).any()


def _codes(column: pa.Array) -> np.ndarray:
    coded = column.dictionary_encode().indices
    return np.asarray(coded.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def _chance(data: Database, name: str, base: Sequence[str], column: str) -> float:
    """How many pairs of rows with one key would agree in the column, were it drawn without regard to the key."""
    key = np.stack([_codes(data.cells(name, c)) for c in base], 1)
    _, size = np.unique(key, axis=0, return_counts=True)
    share = np.unique(_codes(data.cells(name, column)), return_counts=True)[1] / max(1, len(key))
    return float((size * (size - 1) / 2).sum() * np.square(share).sum())


def loose(data: Database, name: str) -> dict[str, float]:
    """By relation of the table: the share of its keys that lead nowhere, of those that are there.

    Of the relation that makes the rows it is the share of the rows without a parent whose key is there.
    """
    out = {}
    for r in data.relations:
        if r.child == name:
            gone, lost = data.absent(r), data.links[r] < 0
            whole = int(lost.sum()) if r.makes else int((~gone).sum())
            out[r.column] = float((lost & ~gone).sum()) / max(1, whole)
    return out


def trees(data: Database, name: str) -> dict[str, float]:
    """By relation of the table to itself in which no row descends from itself: the share of keys that are the row's own."""
    out = {}
    for r in data.relations:
        if r.child == name and r.own:
            link = data.links[r].copy()
            own = link == np.arange(len(link))
            there = int((link >= 0).sum())
            link[own] = -1
            if not circular(link):
                out[r.column] = float(own.sum()) / max(1, there)
    return out


def circular(link: np.ndarray) -> bool:
    """Whether following the links [n], -1 for none, ever comes back to where it began."""
    at = link.copy()
    for _ in range(max(1, len(link).bit_length() + 1)):  # twice as far each time
        at = np.where(at >= 0, at[at], -1)
    return bool((at >= 0).any())


def unlike(data: Database, name: str) -> tuple[tuple[str, str], ...]:
    """Pairs of relations to one parent that never name the same row of it, where they would by chance."""
    out = []
    for a, b in combinations([r for r in data.relations if r.child == name], 2):
        if a.parent != b.parent or a.keys != b.keys:
            continue
        one, two = data.links[a], data.links[b]
        both = (one >= 0) & (two >= 0)
        if not both.any():
            continue
        rows = len(data.tables[a.parent])
        met = np.bincount(one[both], minlength=rows) @ np.bincount(two[both], minlength=rows) / both.sum()
        if met >= EXPECTED and not (one[both] == two[both]).any():
            out.append((a.column, b.column))
    return tuple(out)


def words_of(
    rows: pa.Table, at: np.ndarray, names: Sequence[str], above: Sequence[str]
) -> list[tuple[object, ...] | None]:
    """What each row has of the columns `names`, its parent's row `at` in place of the key `above`; None where one is missing."""
    own = [rows[c].to_pylist() for c in names if c not in above]
    whole = [at.tolist() if set(above) <= set(names) else [0] * len(at), *own]
    return [None if any(x is None for x in row) else row for row in zip(*whole, strict=True)]


def repeats(
    rows: pa.Table,
    at: np.ndarray,
    sets: Sequence[Sequence[str]],
    seen: Sequence[set[tuple[object, ...]]],
    above: Sequence[str],
) -> np.ndarray:
    """The rows that agree with one before them in one of the sets of columns."""
    out = np.zeros(len(at), bool)
    for names, known in zip(sets, seen, strict=True):
        mine = set[tuple[object, ...]]()
        for i, word in enumerate(words_of(rows, at, names, above)):
            if word is not None:
                out[i] |= word in known or word in mine
                mine.add(word)
    return np.flatnonzero(out)
