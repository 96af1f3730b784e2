"""Made tables that fit together: roots first, then row after row of each parent's children, then keys that resolve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from karat import limits
from karat.content.relational import changes
from karat.content.relational.across.asking import Asked
from karat.content.relational.across.holding import matched, replaced
from karat.content.relational.across.rule import Across
from karat.content.relational.database import Database, Relation, amounts, from_amounts, handed, joined, keys_of
from karat.content.relational.links import repeats, words_of
from karat.content.relational.parents import Apart, Comparison, Nearest, Reach, comparisons
from karat.content.relational.progress import Sequences, order_of
from karat.content.relational.sequences import encoded, snapped, there
from karat.content.relational.series.together import Drawn
from karat.content.relational.steps import Before, Steps, borrowed_name, context, rows_name
from karat.content.roles import Conditioning
from karat.content.table.convert import logical, put
from karat.content.table.encoding.coding import NUMBERS, flat, present
from karat.content.table.personal import sensitive
from karat.content.table.rules.constraints import unique_text
from karat.content.table.schema.columns import Column
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import FitError

Draw = Callable[[str, np.ndarray], np.ndarray]  # a chain's name and its given cells [n, columns], -1 where free
AGAIN = 8  # draws of a time behind the last one seen, or of a row that breaks a rule
TURNS = 100  # in which they are chosen; how often each was is counted anew before each
ROW = 300  # bytes of memory that a row comes to at least while it is made
FLAT = 0.1  # of the mean count that is added to each, so that none is out of reach


@dataclass
class Unfolding:
    """One making. tables: cells made so far.   counts: children wanted of each row, by relation.   link: of each table whose
    rows were made for parents, the parents' rows.   open: by table, the columns whose keys are not chosen yet.   across: what
    holds between parents and children.
    """

    wholes: Mapping[str, Tables]
    steps: Mapping[str, Steps]
    relations: tuple[Relation, ...]
    draw: Draw
    rng: np.random.Generator
    tables: dict[str, pa.Table] = field(default_factory=dict)
    up: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[Relation, np.ndarray] = field(default_factory=dict)
    wanted: dict[Relation, tuple[pa.Table, np.ndarray]] = field(default_factory=dict)
    link: dict[str, np.ndarray] = field(default_factory=dict)
    open: dict[str, set[str]] = field(default_factory=dict)
    across: Sequence[Across] = ()
    drawn: Drawn = field(default_factory=Drawn)

    def run(self, roots: Mapping[str, int], orphans: Mapping[str, float], asked: Asked) -> Database:
        """roots: how many rows of each root table, which `asked` are to hold something.   orphans: rows without a parent for each
        with one.
        """
        for name in roots:
            self._root(name, roots[name], asked.get(name))
            self._choose_ready()
        for name in self.wholes:
            if name not in roots:
                self._children(name, orphans.get(name, 0.0))
                self._choose_ready()
        self._choose_ready(last=True)
        made = {name: Table(cells, self.wholes[name].origin) for name, cells in self.tables.items()}
        return Database(made, self.relations)

    def _root(self, name: str, n: int, asked: Conditioning | None) -> None:
        steps, chain = self.steps[name], f"{name}/what"
        if asked is None:
            codes = self.draw(chain, np.full((n, steps.what.spaces[0].numel), -1))
            cells = self._decoded(chain, steps.what, codes)
        else:
            points = asked.drawn(lambda given: torch.from_numpy(self.draw(chain, given.numpy())), self.rng)
            cells = asked.restore(steps.what.decode_next(points, steps.what.spaces[0], self.rng, None, asked)).cells
        n = len(cells)
        rows = self._rows(steps, cells, np.zeros(n, np.int64), np.full(n, np.nan), {})
        self._finish(name, rows, cells, np.full(n, -1))

    def _children(self, name: str, loose: float) -> None:
        """Rows of all parents side by side, one step further in each sequence at a time."""
        steps, whole = self.steps[name], self.wholes[name]
        maker = steps.maker
        assert maker is not None
        wanted = np.maximum(self.counts[maker], 0)
        own = round(loose * wanted.sum(dtype=float))
        rows = wanted.sum(dtype=float) + own
        limits.need(ROW * rows, f"{name} ({rows:,.0f} rows)", "Lower -n.")
        total = np.concatenate([wanted, np.ones(own, np.int64)])
        ups = np.vstack([self.up[maker.parent], np.zeros((own, self.up[maker.parent].shape[1]), np.int64)])
        above = steps.inherited.parents(self.tables[maker.parent], np.r_[np.arange(len(wanted)), np.full(own, -1)])
        going = Sequences.begun(ups, whole, steps, above)
        self.grow(steps, going, total, steps.begun(self.tables[maker.parent]), len(wanted))

    def grow(self, steps: Steps, going: Sequences, total: np.ndarray, base: np.ndarray | None, parents: int) -> None:
        """`total` [n] rows more of each sequence, the first `parents` of which belong to a parent; `base` as in `_step`."""
        name, maker = steps.table, steps.maker
        assert maker is not None
        pieces: list[tuple[pa.Table, pa.Table, np.ndarray, np.ndarray]] = []
        early = [
            names
            for names in steps.unique
            if not {c for r in steps.chosen for c in r.columns} - set(maker.columns) & set(names)
        ]
        seen: list[set[tuple[object, ...]]] = [set() for _ in early]
        for place in range(int(total.max(initial=0))):
            at = np.flatnonzero(total > place)
            if not len(at):  # the longest have ended before, as there were no other rows to be had
                break
            known = going.known(at, place, total)
            start = None if base is None or place else base[at]
            rows, cells, when = self._step(steps, known, start)
            for attempt in range(AGAIN + 1) if early else ():
                again = repeats(rows, at, early, seen, maker.columns)
                if not len(again):
                    break
                if attempt < AGAIN:
                    new = self._step(steps, known.take(again), None if start is None else start[again])
                    rows, cells = (_patched(old, again, fresh) for old, fresh in ((rows, new[0]), (cells, new[1])))
                    when[again] = new[2]
                else:  # there are no others to be had: the sequence ends here
                    total[at[again]] = place
                    stay = np.setdiff1d(np.arange(len(at)), again)
                    at, when = at[stay], when[stay]
                    rows, cells = rows.take(pa.array(stay)), cells.take(pa.array(stay))
            for names, known_sets in zip(early, seen, strict=True):
                known_sets.update(k for k in words_of(rows, at, names, maker.columns) if k is not None)
            going.add(at, rows, when)
            pieces.append((rows, cells, at, when))
        pieces = pieces if pieces else [self._nobody(steps)]
        link, when = (np.concatenate([piece[i] for piece in pieces]) for i in (2, 3))
        order = order_of(steps.stand, link, when, self.rng)
        rows, cells = (pa.concat_tables([piece[i] for piece in pieces]).take(pa.array(order)) for i in (0, 1))
        link = link[order]
        self._finish(name, rows.combine_chunks(), cells.combine_chunks(), np.where(link < parents, link, -1))

    def _nobody(self, steps: Steps) -> tuple[pa.Table, pa.Table, np.ndarray, np.ndarray]:
        """A table without rows, where nobody has children."""
        nothing, none = np.zeros((0, steps.what.spaces[0].numel), np.int64), np.zeros(0, np.int64)
        cells = self._decoded(f"{steps.table}/what", steps.what, nothing)
        rows = self._rows(steps, cells, none, np.zeros(0), self._wandered(steps, cells, None))
        return rows, cells, none, np.zeros(0)

    def _step(self, steps: Steps, known: Before, base: np.ndarray | None) -> tuple[pa.Table, pa.Table, np.ndarray]:
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

    def _once(self, steps: Steps, known: Before, base: np.ndarray | None) -> tuple[pa.Table, pa.Table, np.ndarray]:
        when = np.full(len(known.place), np.nan)
        if steps.order is not None:
            when = self._times(steps, known, base)
        known = self._begun(steps, replace(known, when=when))
        turn = 0 * known.who if steps.together is None else known.who
        turns = [np.flatnonzero(turn == one) for one in np.unique(turn)]
        parts, order = [self._what(steps, known.take(rows)) for rows in turns], np.argsort(np.concatenate(turns))
        cells = pa.concat_tables([part[0] for part in parts]).take(pa.array(order))
        wandered = {c: np.concatenate([part[1][c] for part in parts])[order] for c in parts[0][1]}
        return self._rows(steps, cells, known.place, when, wandered), cells, when

    def _what(self, steps: Steps, known: Before) -> tuple[pa.Table, dict[str, np.ndarray]]:
        """What the chain draws of each row, and `_wandered`."""
        given = context(steps, "what", known)
        free = np.full((len(given), steps.what.spaces[0].numel), -1)
        codes = self.draw(f"{steps.table}/what", np.hstack([given, free]))[:, given.shape[1] :]
        cells = self._decoded(f"{steps.table}/what", steps.what, codes)
        return cells, self._wandered(steps, cells, known)

    def _begun(self, steps: Steps, known: Before) -> Before:
        """The same with the levels of first rows, where columns are learned as changes."""
        codec, at = steps.level, np.flatnonzero(known.place == 0)
        if codec is None or not len(at):
            return known
        given = context(steps, "level", known.take(at))
        free = np.full((len(given), codec.spaces[0].numel), -1)
        codes = self.draw(f"{steps.table}/level", np.hstack([given, free]))[:, given.shape[1] :]
        cells, level = self._decoded(f"{steps.table}/level", codec, codes), known.level.copy()
        for j in steps.levels:
            level[at, j] = amounts(flat(cells[steps.changes[j].column]))
        return replace(known, level=level)

    def _wandered(self, steps: Steps, cells: pa.Table, known: Before | None) -> dict[str, np.ndarray]:
        """The values [n] of columns that were drawn as changes, or as distances from the parent's."""
        blank = np.full((len(cells), len(steps.changes)), np.nan)
        level, past = (blank, blank) if known is None else (known.level, known.past)
        recent = changes.unknown(*blank.shape) if known is None else known.recent
        change = {c.column: amounts(flat(cells[c.column])) for c in steps.changes}
        if steps.together is not None and known is not None:
            units, one = np.stack(list(change.values()), 1), int(known.who[0])
            units = self.drawn.joined(steps.together, units, one, known.when, known.path)
            change = dict(zip(change, units.T, strict=True))
        expected = blank if known is None else steps.expected(known.who, known.when)
        out = changes.decoded(steps.changes, change, level, past, recent, expected)
        parent = np.zeros((len(cells), len(steps.inherited.names))) if known is None else known.parent
        return out | steps.inherited.decoded(cells, parent)

    def _times(self, steps: Steps, known: Before, base: np.ndarray | None) -> np.ndarray:
        """The time [n] of each row: never before the row before it, nor behind the last time ever seen."""
        assert steps.order is not None
        begin = steps.calendar is None and (not known.place.any() or steps.next is None)
        which, codec = ("first", steps.first) if begin else ("next", steps.next)
        assert codec is not None
        given = context(steps, which, known)
        out = np.full(len(given), np.nan)
        start = known.since if which == "next" else base
        todo = np.arange(len(given))
        for _ in range(AGAIN):
            free = np.full((len(todo), codec.spaces[0].numel), -1)
            codes = self.draw(f"{steps.table}/{which}", np.hstack([given[todo], free]))[:, given.shape[1] :]
            value = amounts(flat(self._decoded(f"{steps.table}/{which}", codec, codes)[steps.order]))
            if which == "next" and steps.calendar is not None:
                return steps.calendar.after(known.since, value)
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

    def _rows(
        self,
        steps: Steps,
        cells: pa.Table,
        place: np.ndarray,
        when: np.ndarray,
        wandered: Mapping[str, np.ndarray],
    ) -> pa.Table:
        """All columns of the table, keys missing and what is made anew only marked."""
        whole = self.wholes[steps.table]
        out = {}
        for column in whole.layout.names:
            mine = whole.layout.columns[column]
            if column in steps.referring and not mine.made:
                out[column] = pa.nulls(len(cells), logical(mine))
            elif column == steps.order:
                out[column] = from_amounts(when, mine.kind)
            elif column in steps.ranks:
                out[column] = pa.array(place + steps.ranks[column], pa.int64())
            elif column in steps.beside:
                out[column] = from_amounts(amounts(flat(cells[column])) + when, mine.kind)
            elif column in wandered:
                out[column] = from_amounts(wandered[column], mine.kind)
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
            marks = [there(cells, c) for c in r.columns if c in cells.column_names]
            gone = ~np.logical_and.reduce(marks) if marks else np.zeros(len(rows), bool)
            self.wanted[r] = cells.select(names), gone
        self.open[name] = {c for r in steps.chosen for c in r.columns} - (
            set(maker.columns) if maker is not None else set()
        )
        own = encoded(whole, Table(rows, whole.origin), steps)
        if maker is None:
            self.up[name] = own
        else:
            self.up[name] = np.hstack([own, handed(self.up[maker.parent], link)])
        out = {column: flat(rows[column]) for column in rows.column_names}
        self.link[name] = link
        above = {} if maker is None else dict(zip(maker.columns, maker.keys, strict=True))
        for column, mine in whole.layout.columns.items():
            if maker is not None and column in above:
                out[column] = keys_of(flat(self.tables[maker.parent][above[column]]), link).cast(logical(mine))
            elif mine.made and column not in steps.referring:
                spots = np.flatnonzero(present(out[column]))
                blank = pa.nulls(len(rows), logical(mine))
                fresh = whole.layout.invented(column, out, spots, self.rng, mine.unique) if len(spots) else None
                out[column] = blank if fresh is None else put(blank, spots, fresh)
        self.tables[name] = pa.table(out)
        if maker is not None and steps.loose.get(maker.column, 0.0) > 0:
            lost = np.flatnonzero(link < 0)
            self._lose(maker, lost[self.rng.random(len(lost)) < steps.loose[maker.column]])

    def _choose_ready(self, last: bool = False) -> None:
        """Keys of all tables whose parents are there; of several columns first, as others are part of them."""
        for r in sorted(self.wanted, key=lambda r: -len(r.columns)):
            part = any(o.child == r.child and set(r.columns) < set(o.columns) for o in self.wanted)
            if r.parent in self.tables and (last or not part):
                self._choose(r, *self.wanted.pop(r))

    def _choose(self, relation: Relation, wanted: pa.Table, gone: np.ndarray) -> None:
        """A row of the other parent for each row: of some, the nearest to what its chain drew.

        One that was chosen more often than its own count of children says counts as further away. Where some of the columns
        are known already, the parent is one that has them; where no row descends from itself, it stands before the row in an
        order that begins with the roots; what must differ differs, or there is no such row.
        """
        child, other = relation.child, self.tables[relation.parent]
        pairs = list(zip(relation.columns, relation.keys, strict=True))
        free = [(c, k) for c, k in pairs if c in self.open[child]]
        fixed = [(c, k) for c, k in pairs if c not in self.open[child]]
        if not free:  # all of it came with another key
            return
        n = len(self.tables[child])
        if not len(other):
            for c, _ in free:
                self._set(child, c, pa.nulls(n, logical(self._column(child, c))))
            return
        counts = np.maximum(self.counts.get(relation, np.ones(len(other))), 0).astype(np.float64)
        share = (counts + FLAT * counts.mean() + 1e-9) / (counts + FLAT * counts.mean() + 1e-9).sum()
        wanted = self._priced(relation, wanted, share)
        other = self.tables[relation.parent]
        lost, own, todo, rank = self._fates(relation, gone, counts)
        tree = relation.column in self.steps[child].tree
        reach = Reach.of(self.tables[child], other, fixed, rank, tree, share)
        todo = todo & reach.some()
        rows = self.rng.permutation(np.flatnonzero(todo))
        open_now, closed = {c for c, _ in free}, set(self.tables[child].column_names) - self.open[child]
        never = self._never(relation, closed)
        apart = Apart.of(self.tables[child], self.steps[child].unique, open_now, closed, never, len(other))
        nearest = Nearest(reach, apart, self._comparisons(relation, wanted), share, self.rng, np.zeros(len(other)))
        picked = np.where(own, np.arange(n), -1)
        dropped = np.zeros(n, bool)
        for few in np.array_split(rows, max(1, min(len(rows), TURNS))):
            picked[few] = nearest.pick(few)
            dropped[few] = picked[few] < 0
        for c, k in free:
            self._set(child, c, keys_of(flat(other[k]), picked).cast(logical(self._column(child, c))))
        self.open[child] -= open_now
        self._lose(relation, np.flatnonzero(lost))
        if dropped.any():
            self._drop(child, dropped)

    def _priced(self, relation: Relation, wanted: pa.Table, share: np.ndarray) -> pa.Table:
        """What rows want of the parent, where a column of theirs is always the parent's: then it has values of theirs."""
        for one in [one for one in self.across if one.relation == relation and one.kind == "="]:
            whole, mine = self.wholes[relation.parent], flat(self.tables[relation.child][one.columns[0]])
            table = Table(self.tables[relation.parent], whole.origin)
            values = matched(amounts(flat(table.cells[one.name])), share, amounts(mine))
            self.tables[relation.parent] = replaced(table, whole, one.name, values, self.rng).cells
            name = borrowed_name(relation, one.name)
            if name in wanted.column_names:
                wanted = wanted.set_column(wanted.column_names.index(name), name, mine)
        return wanted

    def _never(self, relation: Relation, closed: set[str]) -> list[np.ndarray]:
        """int64 [n] each: rows of the parent that other keys of each row name, which must differ from this one."""
        out = []
        for pair in self.steps[relation.child].unlike:
            for name in pair:
                if relation.column in pair and name != relation.column:
                    r = next(r for r in self.relations if r.child == relation.child and r.column == name)
                    if set(r.columns) <= closed:
                        keys = [flat(self.tables[r.parent][k]) for k in r.keys]
                        out.append(joined([flat(self.tables[r.child][c]) for c in r.columns], keys))
        return out

    def _fates(
        self, relation: Relation, gone: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """bool [n] each: rows whose keys lead nowhere, are their own, and are still to be chosen; and the rank of each parent.

        Where no row descends from itself, a parent's rank is lower than that of its children; else all ranks are 0.
        """
        steps, name, n = self.steps[relation.child], relation.column, len(gone)
        lost = ~gone & (self.rng.random(n) < steps.loose.get(name, 0.0))
        own = np.zeros(n, bool)
        rank = np.zeros(len(counts), np.int64)
        if name not in steps.tree:
            return lost, own, ~gone & ~lost, rank
        own = ~gone & ~lost & (self.rng.random(n) < steps.tree[name])
        root = gone | lost | own
        if n and not root.any():  # one must be: it names itself, nobody there is, or none, as roots of the data do
            root[int(counts.argmax())] = True
            own = root if steps.tree[name] > 0 else own
            lost = root & ~own if steps.loose.get(name) else lost
        rank[np.lexsort((self.rng.random(n), counts == 0, ~root))] = np.arange(n)
        return lost, own, ~root, rank

    def _comparisons(self, relation: Relation, wanted: pa.Table) -> list[Comparison]:
        """By column that is borrowed: what each row wants, what each parent has, and whether these are numbers."""
        out: list[Comparison] = []
        same = {one.name for one in self.across if one.relation == relation and one.kind == "="}
        for column in self.steps[relation.child].borrowed[relation.column]:
            number = self.wholes[relation.parent].layout.columns[column].kind in NUMBERS
            mine, theirs = flat(wanted[borrowed_name(relation, column)]), flat(self.tables[relation.parent][column])
            out += comparisons(mine, theirs, number, column in same)
        return out

    def _set(self, table: str, column: str, cells: pa.Array) -> None:
        before = self.tables[table]
        self.tables[table] = before.set_column(before.column_names.index(column), column, cells)

    def _column(self, table: str, column: str) -> Column:
        return self.wholes[table].layout.columns[column]

    def _lose(self, relation: Relation, rows: np.ndarray) -> None:
        """Gives `rows` keys that lead nowhere."""
        table, other = self.tables[relation.child], self.tables[relation.parent]
        if not len(rows) or not len(other):
            return
        cells: list[pa.Array] = []
        for c, k in zip(relation.columns, relation.keys, strict=True):
            mine, keys = self._column(relation.child, c), flat(other[k])
            if len(relation.columns) > 1:  # parts of different keys
                new = keys.take(pa.array(self.rng.integers(0, len(keys), len(rows))))
            elif mine.made:
                new = flat(sensitive.fakes(replace(mine, unique=False), len(rows), self.rng, keys))
            else:  # whole numbers that are printed in a form of their own
                top = pc.max(keys.cast(pa.int64())).as_py()
                new = pa.array(int(top) + 1 + self.rng.permutation(len(rows)), pa.int64())
            cells.append(new.cast(logical(mine)))
        bad = joined(cells, [flat(other[k]) for k in relation.keys]) < 0
        for c, new in zip(relation.columns, cells, strict=True):
            place = table.column_names.index(c)
            table = table.set_column(place, c, put(flat(table[c]), rows[bad], new.filter(pa.array(bad))))
        self.tables[relation.child] = table

    def _drop(self, name: str, gone: np.ndarray) -> None:
        """Takes rows away, and with them those that were made for them; keys that named them are missing."""
        keep = np.flatnonzero(~gone)
        before = self.tables[name]
        self.tables[name] = before.take(pa.array(keep)).combine_chunks()
        self.up[name], self.link[name] = self.up[name][keep], self.link[name][keep]
        for r in [r for r in self.counts if r.parent == name]:
            self.counts[r] = self.counts[r][keep]
        for r in [r for r in self.wanted if r.child == name]:
            cells, absent = self.wanted[r]
            self.wanted[r] = cells.take(pa.array(keep)), absent[keep]
        new = np.full(len(gone) + 1, -1)
        new[keep] = np.arange(len(keep))
        for r in self.relations:
            if r.parent != name or r.child not in self.tables:
                continue
            if r.makes:
                orphaned = (self.link[r.child] >= 0) & (new[self.link[r.child]] < 0)
                self.link[r.child] = new[self.link[r.child]]
                if orphaned.any():
                    self._drop(r.child, orphaned)
            elif not self.open[r.child] & set(r.columns):
                table = self.tables[r.child]
                keys = [flat(before[k]) for k in r.keys]
                link = joined([flat(table[c]) for c in r.columns], keys)
                lost = np.flatnonzero((link >= 0) & (new[link] < 0))
                for c in r.columns[-1:] if len(lost) else ():
                    column = flat(table[c])
                    blank = put(column, lost, pa.nulls(len(lost), column.type))
                    self.tables[r.child] = table.set_column(table.column_names.index(c), c, blank)


def _patched(table: pa.Table, rows: np.ndarray, new: pa.Table) -> pa.Table:
    return pa.table({name: put(flat(table[name]), rows, flat(new[name])) for name in table.column_names})
