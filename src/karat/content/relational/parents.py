"""Which row of another table each row names: one that it may, near to what it wants, and not more often than is due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from karat.content.relational.database import (
    amounts,
    joined,
    together,
)
from karat.content.table.encoding.coding import flat

CANDIDATES = 64  # rows of another parent among which one is chosen
TRIES = 20  # draws of candidates, before all that are left are looked at one by one
LOAD, FULL = (
    0.3,
    3.0,
)  # what being chosen as often as is due weighs, beside a category that differs (1); at most so often


@dataclass(frozen=True)
class Reach:
    """Which rows of a parent each row may name: those at `start` to `stop` [n] of `order` [m], `mass` [m + 1] what they weigh."""

    order: np.ndarray
    mass: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @classmethod
    def of(
        cls,
        table: pa.Table,
        other: pa.Table,
        fixed: list[tuple[str, str]],
        rank: np.ndarray,
        tree: bool,
        share: np.ndarray,
    ) -> Reach:
        """fixed: columns that are known with the parent's.   rank: of the parent's rows [m].   tree: whether a row names one
        of a lower rank than its own.   share: how often each is to be named.
        """
        n, m = len(table), len(other)
        mine, theirs = np.zeros(n, np.int64), np.zeros(m, np.int64)
        if fixed:
            keys = [flat(other[k]) for _, k in fixed]
            theirs = joined(keys, keys)
            mine = joined([flat(table[c]) for c, _ in fixed], keys)
        order = np.lexsort((rank, theirs))
        start = np.searchsorted(theirs[order], mine, "left")
        stop = np.searchsorted(theirs[order], mine, "right")
        if tree:
            place = np.empty(m, np.int64)
            place[order] = np.arange(m)
            stop = place
        stop = np.where(mine < 0, start, stop)
        return cls(order, np.concatenate([[0.0], np.cumsum(share[order])]), start, stop)

    def some(self) -> np.ndarray:
        """bool [n]: whether there are any."""
        return np.asarray(self.stop > self.start)

    def draw(self, rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        """int64 [rows, k]: rows of the parent, as often as they weigh."""
        low, high = self.mass[self.start[rows], None], self.mass[self.stop[rows], None]
        spot = np.searchsorted(self.mass, low + rng.random((len(rows), k)) * (high - low), "right") - 1
        return np.asarray(self.order[np.clip(spot, self.start[rows, None], self.stop[rows, None] - 1)])

    def all(self, row: int) -> np.ndarray:
        return self.order[self.start[row] : self.stop[row]]


@dataclass
class Apart:
    """Which rows of a parent a row may not name: one that another of its keys names, or that would make two rows agree.

    never: int64 [n] each, a parent's row.   groups: of each set of columns that differs, what the row has of it without the
    key (int64 [n], different from all others where something is missing), and the pairs of it and a parent's row so far.
    """

    parents: int
    never: list[np.ndarray]
    groups: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(
        cls,
        table: pa.Table,
        unique: Iterable[tuple[str, ...]],
        free: set[str],
        closed: set[str],
        never: list[np.ndarray],
        parents: int,
    ) -> Apart:
        """table: the rows so far, of which the columns `closed` are chosen and `free` about to be.   unique: columns that
        together differ in each row.   parents: how many rows the parent has.
        """
        groups = []
        for names in unique:
            if set(names) & free and set(names) <= closed | free:
                rest = [flat(table[c]).cast(pa.string()) for c in names if c not in free]
                base = np.zeros(len(table), np.int64)
                if rest:
                    code = together(rest).dictionary_encode().indices
                    base = np.asarray(code.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
                    base = np.where(base < 0, len(table) + np.arange(len(table)), base)
                groups.append((base, np.zeros(0, np.int64)))
        return cls(parents, never, groups)

    def taken(self, rows: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """bool [rows, k]: which of the parent's rows `shown` [rows, k] each may not name."""
        out = np.zeros(shown.shape, bool)
        for link in self.never:
            out |= shown == link[rows, None]
        for base, known in self.groups:
            if len(known):
                out |= np.isin(base[rows, None] * self.parents + shown, known)
        return out

    def take(self, rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """bool [rows]: those that may have the parent's rows `picked` (-1: none was found) beside each other; they have them
        from now on."""
        good = picked >= 0
        for base, _ in self.groups:
            key = np.where(good, base[rows] * self.parents + picked, -1)
            first = np.zeros(len(rows), bool)
            first[np.unique(key, return_index=True)[1]] = True
            good &= first
        self.groups = [
            (base, np.concatenate([known, base[rows[good]] * self.parents + picked[good]]))
            for base, known in self.groups
        ]
        return good


@dataclass
class Nearest:
    """Chooses a row of a parent for each row: of some that it may name, the nearest to what it wants and the least used.

    comparisons: what each row wants [n], what each parent has [m], and whether these are numbers.
    used: how often each parent [m] was chosen so far.
    """

    reach: Reach
    apart: Apart
    comparisons: list[tuple[np.ndarray, np.ndarray, bool]]
    share: np.ndarray
    rng: np.random.Generator
    used: np.ndarray

    def pick(self, rows: np.ndarray) -> np.ndarray:
        """int64 [rows]: the parent's row of each, -1 where none is to be had."""
        picked = np.full(len(rows), -1)
        left = np.arange(len(rows))
        for _ in range(TRIES):
            if not len(left):
                break
            few = rows[left]
            shown = self.reach.draw(few, min(CANDIDATES, 4 * len(self.share)), self.rng)
            far = self._distance(few, shown)
            at = far.argmin(1)
            mine = np.where(np.isfinite(far[np.arange(len(few)), at]), shown[np.arange(len(few)), at], -1)
            good = self.apart.take(few, mine)
            picked[left[good]] = mine[good]
            self.used += np.bincount(mine[good], minlength=len(self.share))
            left = left[~good]
        for i in left:  # few are left to be had: one of all
            picked[i] = self._any(int(rows[i]))
        return picked

    def _distance(self, rows: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """float64 [rows, k] to the parent's rows `shown` [rows, k]; infinite where a row may not name one."""
        load = np.minimum(self.used / (self.share * max(self.used.sum(), 1)), FULL)
        far: np.ndarray = self.rng.random(shown.shape) * 1e-6 + LOAD * load[shown]
        for a, b, number in self.comparisons:
            if number:
                gap = np.abs(a[rows, None] - b[shown])
                far += np.where(np.isnan(gap), np.isnan(a[rows, None]) != np.isnan(b[shown]), gap)
            else:
                far += a[rows, None] != b[shown]
        far[self.apart.taken(rows, shown)] = np.inf
        return far

    def _any(self, row: int) -> int:
        """One of all the parent's rows that the row may name, -1 where there are none."""
        left = self.reach.all(row)
        left = left[~self.apart.taken(np.array([row]), left[None])[0]]
        if not len(left):
            return -1
        chosen = self.rng.choice(left, p=self.share[left] / self.share[left].sum())
        self.used[chosen] += 1
        self.apart.take(np.array([row]), np.array([chosen]))
        return int(chosen)


Comparison = tuple[np.ndarray, np.ndarray, bool]


def comparisons(mine: pa.Array, theirs: pa.Array, number: bool, same: bool) -> list[Comparison]:
    """Both columns as ranks among `theirs` in 0 to 1, or as codes; as both where a number is always the `same` in both."""
    if not number:
        return [_codes(mine, theirs)]
    return [_ranks(mine, theirs), *([_codes(mine, theirs)] if same else [])]


def _ranks(mine: pa.Array, theirs: pa.Array) -> Comparison:
    known = np.sort(amounts(theirs)[~np.isnan(amounts(theirs))])
    if not len(known):
        known = np.zeros(1)
    both = []
    for values in (amounts(mine), amounts(theirs)):
        middle = (np.searchsorted(known, values) + np.searchsorted(known, values, "right")) / (2 * len(known))
        both.append(np.where(np.isnan(values), np.nan, middle))
    return both[0], both[1], True


def _codes(mine: pa.Array, theirs: pa.Array) -> Comparison:
    coded = pa.concat_arrays([mine.cast(pa.string()), theirs.cast(pa.string())]).dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    return codes[: len(mine)], codes[len(mine) :], False
