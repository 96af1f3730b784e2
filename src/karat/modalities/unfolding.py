"""Made tables that fit together: roots first, then row after row of each parent's children, then keys that resolve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import torch

from karat.errors import FitError
from karat.modalities import sensitive
from karat.modalities.codec import Asked
from karat.modalities.coding import NUMBERS, flat, present
from karat.modalities.constraints import unique_text
from karat.modalities.convert import logical, put
from karat.modalities.database import Database, Relation, amounts, from_amounts, handed, keys_of
from karat.modalities.sequences import Before, Steps, borrowed_name, context, encoded, rows_name, snapped, there
from karat.modalities.table import Table
from karat.modalities.tables import Tables

Draw = Callable[[str, np.ndarray], np.ndarray]  # a chain's name and its given cells [n, columns], -1 where free

AGAIN = 8  # draws of a time behind the last one seen, or of a row that breaks a rule
CANDIDATES = 64  # rows of another parent among which one is chosen
TURNS = 100  # in which they are chosen; how often each was is counted anew before each
LOAD, FULL = (
    0.3,
    3.0,
)  # what being chosen as often as is due weighs, beside a category that differs (1); at most so often
FLAT = 0.1  # of the mean count that is added to each, so that none is out of reach


@dataclass
class Unfolding:
    """One making. tables: cells made so far.   counts: children wanted of each row, by relation.   link: parents' rows."""

    wholes: Mapping[str, Tables]
    steps: Mapping[str, Steps]
    relations: tuple[Relation, ...]
    draw: Draw
    rng: np.random.Generator
    tables: dict[str, pa.Table] = field(default_factory=dict)
    up: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[Relation, np.ndarray] = field(default_factory=dict)
    wanted: dict[Relation, tuple[pa.Table, np.ndarray]] = field(default_factory=dict)

    def run(self, roots: Mapping[str, int], orphans: Mapping[str, float], asked: Asked | None) -> Database:
        """roots: how many rows of each root table, the one that `asked` is of first.

        orphans: rows without a parent for each with one.
        """
        for i, name in enumerate(roots):
            self._root(name, roots[name], asked if i == 0 else None)
        for name in self.wholes:
            if name not in roots:
                self._children(name, orphans.get(name, 0.0))
        for relation, (cells, gone) in self.wanted.items():
            self._choose(relation, cells, gone)
        made = {}
        for name, cells in self.tables.items():
            made[name] = Table(cells, self.wholes[name].origin)
        return Database(made, self.relations)

    def _root(self, name: str, n: int, asked: Asked | None) -> None:
        steps = self.steps[name]
        width = steps.what.spaces[0].numel
        given = np.full((n, width), -1) if asked is None else asked.cells.numpy()
        decoded = self._decoded(f"{name}/what", steps.what, self.draw(f"{name}/what", given))
        cells = decoded if asked is None else asked.restore(Table(decoded, steps.what.origin)).cells
        n = len(cells)
        rows = self._rows(steps, cells, np.zeros(n, np.int64), np.full(n, np.nan))
        self._finish(name, rows, cells, np.full(n, -1))

    def _children(self, name: str, loose: float) -> None:
        """Rows of all parents side by side, one step further in each sequence at a time."""
        steps, whole = self.steps[name], self.wholes[name]
        maker = steps.maker
        assert maker is not None
        wanted = np.maximum(self.counts[maker], 0)
        own = int(round(loose * wanted.sum()))
        total = np.concatenate([wanted, np.ones(own, np.int64)])
        ups = np.vstack([self.up[maker.parent], np.zeros((own, self.up[maker.parent].shape[1]), np.int64)])
        n = len(total)
        last = np.zeros((n, whole.spaces[0].numel), np.int64)
        time = np.full(n, np.nan)
        sums, many = np.zeros((n, len(steps.means))), np.zeros((n, len(steps.means)))
        base = None
        if steps.since is not None:
            base = amounts(flat(self.tables[maker.parent][steps.since]))
        pieces: list[tuple[pa.Table, pa.Table, np.ndarray, np.ndarray]] = []
        for place in range(int(total.max(initial=0))):
            at = np.flatnonzero(total > place)
            with np.errstate(invalid="ignore"):
                means = np.where(many[at] > 0, sums[at] / np.maximum(many[at], 1), np.nan)
            known = Before(
                ups[at], np.full(len(at), place), total[at] - 1 - place, last[at], means, time[at], np.full(len(at), np.nan)
            )  # fmt: skip
            rows, cells, when = self._step(steps, known, None if base is None or place else base[at])
            time[at] = np.where(np.isnan(when), time[at], when)
            last[at] = encoded(whole, Table(rows, whole.origin))
            for j, column in enumerate(steps.means):
                value = amounts(flat(rows[column]))
                sums[at, j] += np.nan_to_num(value)
                many[at, j] += ~np.isnan(value)
            pieces.append((rows, cells, at, when))
        if not pieces:  # nobody has children: a table without rows
            nothing = np.zeros((0, steps.what.spaces[0].numel), np.int64)
            cells = self._decoded(f"{name}/what", steps.what, nothing)
            none = np.zeros(0, np.int64)
            pieces.append((self._rows(steps, cells, none, np.zeros(0)), cells, none, np.zeros(0)))
        link, when = (np.concatenate([piece[i] for piece in pieces]) for i in (2, 3))
        order = self._order(steps, link, when)
        rows, cells = (pa.concat_tables([piece[i] for piece in pieces]).take(pa.array(order)) for i in (0, 1))
        link = link[order]
        self._finish(name, rows.combine_chunks(), cells.combine_chunks(), np.where(link < len(wanted), link, -1))

    def _order(self, steps: Steps, link: np.ndarray, when: np.ndarray) -> np.ndarray:
        """The rows [n] as the file has them."""
        if steps.stand == "grouped":
            return np.argsort(link, kind="stable")
        if steps.stand == "by order":
            return np.argsort(np.where(np.isnan(when), np.inf, when), kind="stable")
        # the rows of one parent keep their order among themselves
        spot = self.rng.permutation(len(link))
        out = np.empty(len(link), np.int64)
        out[np.lexsort((spot, link))] = np.argsort(link, kind="stable")
        return out[np.argsort(spot)] if len(link) else out

    def _step(
        self, steps: Steps, known: Before, base: np.ndarray | None
    ) -> tuple[pa.Table, pa.Table, np.ndarray]:  # fmt: skip
        """The rows, what their chain drew, and their times."""
        whole = self.wholes[steps.table]
        rows, cells, when = self._once(steps, known, base)
        if not whole.layout.rules.declared:
            return rows, cells, when
        uniques = {unique_text(names) for names in whole.layout.rules.unique}
        for attempt in range(AGAIN + 1):
            broken = {
                t: bad for t, bad in whole.broken(Table(rows, whole.origin)).items() if t not in uniques and bad.any()
            }
            if not broken:
                break
            wrong = np.flatnonzero(np.logical_or.reduce(list(broken.values())))
            if attempt == AGAIN:
                raise FitError(
                    f"{len(wrong):,} rows of {steps.table} do not keep the rule {next(iter(broken))!r}, which ties columns of "
                    "a sequence together; take the rule away."
                )
            new = self._once(steps, known.take(wrong), None if base is None else base[wrong])
            rows, cells = (_patched(old, wrong, fresh) for old, fresh in ((rows, new[0]), (cells, new[1])))
            when[wrong] = new[2]
        return rows, cells, when

    def _once(
        self, steps: Steps, known: Before, base: np.ndarray | None
    ) -> tuple[pa.Table, pa.Table, np.ndarray]:  # fmt: skip
        name = steps.table
        when = np.full(len(known.place), np.nan)
        if steps.order is not None:
            when = self._times(steps, known, base)
            known = replace(known, when=when)
        told = context(steps, "what", known)
        free = np.full((len(told), steps.what.spaces[0].numel), -1)
        codes = self.draw(f"{name}/what", np.hstack([told, free]))[:, told.shape[1] :]
        cells = self._decoded(f"{name}/what", steps.what, codes)
        return self._rows(steps, cells, known.place, when), cells, when

    def _times(self, steps: Steps, known: Before, base: np.ndarray | None) -> np.ndarray:
        """The time [n] of each row: never before the row before it, nor behind the last time ever seen."""
        assert steps.order is not None
        begin = not known.place.any() or steps.next is None
        which, codec = ("first", steps.first) if begin else ("next", steps.next)
        assert codec is not None
        told = context(steps, which, known)
        out = np.full(len(told), np.nan)
        start = known.since if which == "next" else base
        todo = np.arange(len(told))
        for _ in range(AGAIN):
            free = np.full((len(todo), codec.spaces[0].numel), -1)
            codes = self.draw(f"{steps.table}/{which}", np.hstack([told[todo], free]))[:, told.shape[1] :]
            value = amounts(flat(self._decoded(f"{steps.table}/{which}", codec, codes)[steps.order]))
            if which == "next":
                value = np.maximum(value, 0)
            out[todo] = value if start is None else value + start[todo]
            todo = todo[out[todo] > steps.latest]
            if not len(todo):
                break
        if len(todo):
            low = np.full(len(todo), -np.inf) if start is None else start[todo]
            room = np.maximum(steps.latest - low, 0)
            late = np.where(np.isfinite(low), low + self.rng.random(len(todo)) * room, steps.latest)
            out[todo] = np.floor(late)
        out = snapped(self.wholes[steps.table], steps.order, out)
        return out if start is None else np.fmax(out, start) if which == "next" else out

    def _decoded(self, chain: str, codec: Tables, codes: np.ndarray) -> pa.Table:
        space = codec.spaces[0]
        if not codec.layout.coded:
            codes = np.zeros((len(codes), 1), np.int64)
        return codec.decode(torch.from_numpy(np.ascontiguousarray(codes)), space, self.rng).cells

    def _rows(self, steps: Steps, cells: pa.Table, place: np.ndarray, when: np.ndarray) -> pa.Table:
        """All columns of the table, keys missing and what is made anew only marked."""
        whole = self.wholes[steps.table]
        out = {}
        for column in whole.layout.names:
            mine = whole.layout.columns[column]
            if column == steps.order:
                out[column] = from_amounts(when, mine.kind)
            elif column in steps.ranks:
                out[column] = pa.array(place + steps.ranks[column], pa.int64())
            elif column in steps.beside:
                out[column] = from_amounts(amounts(flat(cells[column])) + when, mine.kind)
            elif column in cells.column_names:
                out[column] = flat(cells[column])
            else:
                out[column] = pa.array(["x"] * len(cells), pa.string())
        return pa.table(out)

    def _finish(self, name: str, rows: pa.Table, cells: pa.Table, link: np.ndarray) -> None:
        """Values made anew, keys, the columns handed down to the children, and how many children each row is to have."""
        steps, whole = self.steps[name], self.wholes[name]
        maker = steps.maker
        for r in steps.counted:
            self.counts[r] = np.rint(amounts(flat(cells[rows_name(r)]))).astype(np.int64)
        for r in steps.chosen:
            names = [borrowed_name(r, column) for column in steps.borrowed[r.column]]
            gone = ~there(cells, r.column) if r.column in cells.column_names else np.zeros(len(rows), bool)
            self.wanted[r] = cells.select(names), gone
        own = encoded(whole, Table(rows, whole.origin))
        if maker is None:
            self.up[name] = own
        else:
            self.up[name] = np.hstack([own, handed(self.up[maker.parent], link)])
        out = {column: flat(rows[column]) for column in rows.column_names}
        for column, mine in whole.layout.columns.items():
            if maker is not None and column == maker.column:
                out[column] = keys_of(flat(self.tables[maker.parent][maker.key]), link)
            elif mine.made and column not in {r.column for r in steps.chosen}:
                spots = np.flatnonzero(present(out[column]))
                fresh = sensitive.fakes(mine, len(spots), self.rng)
                blank = pa.nulls(len(rows), logical(mine))
                out[column] = put(blank, spots, flat(fresh).cast(logical(mine))) if len(spots) else blank
        self.tables[name] = pa.table(out)

    def _choose(self, relation: Relation, wanted: pa.Table, gone: np.ndarray) -> None:
        """A row of the other parent for each row: of some, the nearest to what its chain drew.

        One that was chosen more often than its own count of children says counts as further away.
        """
        other, n = self.tables[relation.parent], len(wanted)
        keys = flat(other[relation.key])
        counts = np.maximum(self.counts.get(relation, np.ones(len(other))), 0).astype(np.float64)
        share = (counts + FLAT * counts.mean() + 1e-9) / (counts + FLAT * counts.mean() + 1e-9).sum()
        used = np.zeros(len(other))
        rows = self.rng.permutation(np.flatnonzero(~gone))
        if not len(other):
            rows, gone = rows[:0], np.ones(n, bool)
        picked = np.zeros(n, np.int64)
        pairs = []
        for column in self.steps[relation.child].borrowed[relation.column]:
            kind = self.wholes[relation.parent].layout.columns[column].kind
            mine = flat(wanted[borrowed_name(relation, column)])
            pairs.append(_comparable(mine, flat(other[column]), kind in NUMBERS))
        for few in np.array_split(rows, max(1, min(len(rows), TURNS))):
            if not len(few):
                break
            shown = self.rng.choice(len(other), (len(few), min(CANDIDATES, 4 * len(other))), p=share)
            load = np.minimum(used / (share * max(used.sum(), 1)), FULL)
            apart = self.rng.random(shown.shape) * 1e-6 + LOAD * load[shown]
            for a, b, number in pairs:
                if number:
                    gap = np.abs(a[few, None] - b[shown])
                    apart += np.where(np.isnan(gap), np.isnan(a[few, None]) != np.isnan(b[shown]), gap)
                else:
                    apart += a[few, None] != b[shown]
            picked[few] = shown[np.arange(len(few)), apart.argmin(1)]
            used += np.bincount(picked[few], minlength=len(other))
        table = self.tables[relation.child]
        place = table.column_names.index(relation.column)
        column = keys_of(keys, np.where(gone, -1, picked))
        self.tables[relation.child] = table.set_column(place, relation.column, column)


def _comparable(mine: pa.Array, theirs: pa.Array, number: bool) -> tuple[np.ndarray, np.ndarray, bool]:
    """Both columns as ranks among `theirs` in 0 to 1, or as codes."""
    if number:
        known = np.sort(amounts(theirs)[~np.isnan(amounts(theirs))])
        if not len(known):
            known = np.zeros(1)
        both = []
        for values in (amounts(mine), amounts(theirs)):
            middle = (np.searchsorted(known, values) + np.searchsorted(known, values, "right")) / (2 * len(known))
            both.append(np.where(np.isnan(values), np.nan, middle))
        return both[0], both[1], True
    coded = pa.concat_arrays([mine.cast(pa.string()), theirs.cast(pa.string())]).dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    return codes[: len(mine)], codes[len(mine) :], False


def _patched(table: pa.Table, rows: np.ndarray, new: pa.Table) -> pa.Table:
    return pa.table({name: put(flat(table[name]), rows, flat(new[name])) for name in table.column_names})
