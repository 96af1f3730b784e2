"""Where sequences stand while they are made, row after row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from karat.content.relational import changes
from karat.content.relational.database import amounts
from karat.content.relational.sequences import encoded, remembered
from karat.content.relational.steps import Before, Steps
from karat.content.table.encoding.coding import flat
from karat.content.table.table import Table
from karat.content.table.tables import Tables


@dataclass
class Sequences:
    """Where the sequences [n] of rows stand, one for each parent: what the next row of each is drawn given.

    ups: the ancestors' columns.   last: the row before.   time: the last known.   sums, many: of each number so far.   past,
    recent: of the columns that are learned as changes, as in `Before`.   parent, added: what is told of the parent, and what
    the rows so far add to its totals.   path: as in `Before`.   done: how many rows there are.
    """

    steps: Steps
    whole: Tables
    ups: np.ndarray
    last: np.ndarray
    time: np.ndarray
    sums: np.ndarray
    many: np.ndarray
    past: np.ndarray
    recent: np.ndarray
    parent: np.ndarray
    added: np.ndarray
    who: np.ndarray
    path: np.ndarray
    done: np.ndarray

    @classmethod
    def begun(cls, ups: np.ndarray, whole: Tables, steps: Steps, parent: np.ndarray) -> Sequences:
        n, means = len(ups), len(steps.means)
        last = np.zeros((n, whole.spaces[0].numel), np.int64)
        k = len(steps.changes)
        sums, many, past = np.zeros((n, means)), np.zeros((n, means)), np.full((n, k), np.nan)
        added, who = np.zeros((n, len(steps.inherited.totals))), np.zeros(n, np.int64)
        time, recent = np.full(n, np.nan), changes.unknown(n, k)
        none = np.zeros(n, np.int64)
        return cls(steps, whole, ups, last, time, sums, many, past, recent, parent, added, who, none, none.copy())

    @classmethod
    def going(cls, steps: Steps, whole: Tables, starts: Before) -> Sequences:
        """Sequences that go on where `starts` [n] are."""
        so_far = starts.place[:, None] if steps.fade == 1 else 1 / (1 - steps.fade)
        many = np.where(np.isnan(starts.means), 0.0, so_far)
        sums = np.nan_to_num(starts.means) * many
        last, time, past, recent = (x.copy() for x in (starts.codes, starts.since, starts.past, starts.recent))
        added, done = starts.sums.copy(), starts.place.copy()
        return cls(
            steps,
            whole,
            starts.up,
            last,
            time,
            sums,
            many,
            past,
            recent,
            starts.parent,
            added,
            starts.who,
            starts.path,
            done,
        )

    def repeated(self, paths: int) -> Sequences:
        """As many draws of all of them, one behind the other."""
        rows, arrays = np.tile(np.arange(len(self.ups)), paths), dict(vars(self))
        arrays = {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in arrays.items()}
        return Sequences(**{**arrays, "path": np.repeat(np.arange(paths), len(self.ups))})

    def known(self, at: np.ndarray, place: int, total: np.ndarray) -> Before:
        """What is known before the next row, that at `place` of what is made, in the sequences `at` of `total` [n] rows each."""
        with np.errstate(invalid="ignore"):
            means = np.where(self.many[at] > 0, self.sums[at] / self.many[at], np.nan)
        places, left = self.done[at], total[at] - 1 - place
        when, past = np.full(len(at), np.nan), self.past[at]
        level = np.full(past.shape, np.nan)
        return Before(
            up=self.ups[at],
            place=places,
            left=left,
            codes=self.last[at],
            means=means,
            since=self.time[at],
            when=when,
            past=past,
            recent=self.recent[at],
            level=level,
            parent=self.parent[at],
            sums=self.added[at],
            who=self.who[at],
            path=self.path[at],
        )

    def add(self, at: np.ndarray, rows: pa.Table, when: np.ndarray) -> None:
        """One more row for each of the sequences `at`."""
        self.done[at] += 1
        self.added[at] += self.steps.inherited.added(rows)
        self.time[at] = np.where(np.isnan(when), self.time[at], when)
        self.last[at] = remembered(
            encoded(self.whole, Table(rows, self.whole.origin), self.steps), self.whole, self.steps
        )
        if self.steps.changes:
            values = [amounts(flat(rows[c.column])) for c in self.steps.changes]
            now = np.stack(changes.away(self.steps.changes, values, self.steps.expected(self.who[at], when)), 1)
            change = changes.coded(self.steps.changes, now, self.past[at])
            self.past[at] = np.where(np.isnan(now), self.past[at], now)
            self.recent[at] = changes.followed(self.steps.changes, self.recent[at], change)
        for j, column in enumerate(self.steps.means):
            value = amounts(flat(rows[column]))
            self.sums[at, j] = self.steps.fade * self.sums[at, j] + np.nan_to_num(value)
            self.many[at, j] = self.steps.fade * self.many[at, j] + ~np.isnan(value)


def order_of(stand: str, link: np.ndarray, when: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: the rows of parents [n] at moments [n] as the file has them, of which `Steps.stand` says how."""
    if stand == "grouped":
        return np.argsort(link, kind="stable")
    if stand == "by order":
        return np.argsort(np.where(np.isnan(when), np.inf, when), kind="stable")
    # the rows of one parent keep their order among themselves
    spot = rng.permutation(len(link))
    out = np.empty(len(link), np.int64)
    out[np.lexsort((spot, link))] = np.argsort(link, kind="stable")
    return out[np.argsort(spot)] if len(link) else out
