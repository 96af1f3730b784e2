"""Rules between two columns that the coding keeps by itself: one goes with the other, or keeps near it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.errors import DataError


@dataclass(frozen=True)
class Dependency:
    """Each value of `left` goes with one value of `right`; where `nearly`, with few others."""

    left: str
    right: str
    nearly: bool = False

    @property
    def text(self) -> str:
        return f"{self.left} -> {self.right}"


@dataclass(frozen=True)
class Near:
    """`high` is coded as its distance from `low`.   apart: whether distances below 0 (or of 0, where strict) are exceptions."""

    low: str
    high: str
    apart: bool = False
    strict: bool = False


def groups_of(depends: Sequence[Dependency], taken: Collection[str]) -> list[tuple[str, ...]]:
    """Columns that go with one, directly or by others, each in one group; that one comes first.

    taken: columns that are coded otherwise. A column that two others determine goes with the first.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while name in above:
            name = above[name]
        return name

    for one in depends:
        if not {one.left, one.right} & set(taken) and one.right not in above and top(one.left) != one.right:
            above[one.right] = one.left
    out: dict[str, list[str]] = {}
    for name in above:
        out.setdefault(top(name), []).append(name)
    return [(head, *names) for head, names in out.items()]


def near_and_sequence(
    wanted: Sequence[Near],
    held: Collection[str],
    names: Sequence[str],
    edges: Sequence[tuple[str, str]],
    together: Sequence[tuple[str, ...]],
) -> tuple[dict[str, Near], tuple[str, ...]]:
    """Of each column the one that it is coded from, and the columns, each after those that it is made from.

    wanted: distances, which are turned round or left out where they would go in a circle.   held: columns that are coded
    otherwise.   edges: (what a column is made from, the column). DataError where these go in a circle.
    """
    near: dict[str, Near] = {}
    sequence = _sequence(names, edges, together)
    for one in wanted:
        for turn in (one,) if one.apart else (one, replace(one, low=one.high, high=one.low)):
            if turn.high in near or turn.high in held:
                continue
            try:
                sequence = _sequence(
                    names, [*edges, *((n.low, n.high) for n in near.values()), (turn.low, turn.high)], together
                )
            except DataError:
                continue
            near[turn.high] = turn
            break
    return near, sequence


def _sequence(
    names: Sequence[str], edges: Sequence[tuple[str, str]], together: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    sorter: TopologicalSorter[str] = TopologicalSorter({name: () for name in names})
    head = {name: group[0] for group in together for name in group}  # one code makes them all at once
    for group in together:
        for name in group[1:]:
            sorter.add(name, group[0])
    for before, name in edges:
        sorter.add(name, head.get(before, before))
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        raise DataError(f"the rules go round in a circle: {' -> '.join(map(str, error.args[1]))}.") from error


def unlike(left: pa.Array, right: pa.Array, known: tuple[pa.Array, pa.Array] | None = None) -> np.ndarray:
    """bool [n]: rows whose `right` is not what goes with their `left`.

    known: two columns [k] of the pairs that occur; without, it is the commonest in these rows. A row with a missing cell, or
    with a `left` that is not known, goes with anything.
    """
    if known is None:
        x, y = _codes(left), _codes(right)
        there = (x >= 0) & (y >= 0)
        out = np.zeros(len(x), bool)
        out[there] = commonest(x[there], y[there])[x[there]] != y[there]
        return out
    heads, tails = (known[0].unique(), known[1].unique())
    x, y = _index(left, heads), _index(right, tails)
    a, b = _index(known[0], heads), _index(known[1], tails)
    wide = len(tails) + 1
    pairs = np.unique(a * wide + np.where(b < 0, len(tails), b))
    there = (x >= 0) & np.asarray(right.is_valid().to_numpy(zero_copy_only=False))
    return np.asarray(there & ~np.isin(x * wide + np.where(y < 0, -wide * wide, y), pairs))


def commonest(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """int64 [values of x]: the commonest y beside each, the least of several; -1 where there is none."""
    wide = int(y.max(initial=0)) + 1
    pairs, counts = np.unique(x * wide + y, return_counts=True)
    order = np.lexsort((pairs, -counts, pairs // wide))
    of = pairs[order] // wide
    first = np.flatnonzero(np.diff(of, prepend=-1))
    out = np.full(int(x.max(initial=-1)) + 1, -1)
    out[of[first]] = pairs[order][first] % wide
    return out


def _codes(column: pa.Array) -> np.ndarray:
    return np.asarray(column.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int64)


def _index(column: pa.Array, known: pa.Array) -> np.ndarray:
    found = pc.index_in(column.cast(known.type), value_set=known, skip_nulls=True)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int64)
