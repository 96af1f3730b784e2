"""Rules between two columns that the coding keeps by itself: one goes with the other, or keeps near it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pyarrow as pa

from karat.errors import DataError


@dataclass(frozen=True)
class Dependency:
    """Each value of `left`, or of several columns together, goes with one value of `right`; where `nearly`, with few others."""

    left: tuple[str, ...]
    right: str
    nearly: bool = False

    @property
    def text(self) -> str:
        return f"{', '.join(self.left)} -> {self.right}"


@dataclass(frozen=True)
class Near:
    """`high` is coded as its distance from `low`.   apart: whether distances below 0 (or of 0, where strict) are exceptions."""

    low: str
    high: str
    apart: bool = False
    strict: bool = False


def near_and_sequence(
    wanted: Sequence[Near],
    depends: Sequence[Dependency],
    held: Collection[str],
    names: Sequence[str],
    edges: Sequence[tuple[str, str]],
    together: Sequence[tuple[str, ...]],
) -> tuple[dict[str, Near], tuple[Dependency, ...], tuple[str, ...]]:
    """Of each column the one that it is coded from, the dependencies that are kept, and the columns, each after those that it
    is made from.

    wanted: distances, which are turned round or left out where they would go in a circle, as dependencies are left out.
    held: columns that are coded otherwise.   edges: (what a column is made from, the column). DataError where these go in a
    circle.
    """
    near: dict[str, Near] = {}
    sequence = _sequence(names, edges, together)
    kept: list[Dependency] = []
    for pair in depends:
        if pair.right in held or pair.right in {d.right for d in kept}:
            continue
        try:
            sequence = _sequence(names, [*edges, *((left, pair.right) for left in pair.left)], together)
        except DataError:
            continue
        edges = [*edges, *((left, pair.right) for left in pair.left)]
        kept.append(pair)
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
    return near, tuple(kept), sequence


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


def unlike(left: Sequence[pa.Array], right: pa.Array) -> np.ndarray:
    """bool [n]: rows whose `right` is not the one that goes with their `left` in most of these rows; missing cells go with any."""
    x, y = joint([_codes(one) for one in left]), _codes(right)
    there = (x >= 0) & (y >= 0)
    out = np.zeros(len(x), bool)
    out[there] = commonest(x[there], y[there])[x[there]] != y[there]
    return out


def joint(codes: Sequence[np.ndarray]) -> np.ndarray:
    """int64 [n]: one code for the codes of several columns, -1 where one of them is; of one column its own."""
    out = codes[0]
    for one in codes[1:]:
        there = (out >= 0) & (one >= 0)
        pairs = np.unique(out[there] * (int(one.max(initial=0)) + 1) + one[there], return_inverse=True)[1]
        out = np.full(len(out), -1)
        out[there] = pairs
    return out


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
