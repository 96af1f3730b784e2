"""Which codes stand for a table, and in what order its columns are made from them again, so that the declared rules hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from karat.content.relational import ancestry
from karat.content.table.bloom import Past
from karat.content.table.convert import logical, put
from karat.content.table.digests import row_digests
from karat.content.table.encoding import numbers
from karat.content.table.encoding.apart import Apart
from karat.content.table.encoding.coding import NUMBERS, Choices, Grain, draw, flat, present
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.lookups import Lookup
from karat.content.table.encoding.marked import Choice, Constant, Presence, Side, Standing
from karat.content.table.encoding.parts import Number, Part, Phase, restore_part
from karat.content.table.personal import sensitive
from karat.content.table.rules.constraints import (
    Bounds,
    Formula,
    Rules,
    compile_rules,
    repeated,
    together_text,
    unique_text,
)
from karat.content.table.rules.expressions import Cells, Rule
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.writing.writer import ROWS, Writer
from karat.errors import FitError, RunError

ATTEMPTS = 30  # to draw a row that breaks a rule again, before one that keeps them all takes its place
FIRST = 10  # of them that touch only what comes after `then`


@dataclass(frozen=True)
class Layout:
    """The coded parts of a table, in the order of its columns.

    lookups: the columns of which one determines the other.   writers: of the columns of text that are learned.
    extra: columns beside those of the schema (the zones of mixed offsets), each behind its own.
    """

    schema: Schema
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    lookups: tuple[Lookup, ...] = ()
    writers: tuple[Writer, ...] = ()

    @classmethod
    def fit(cls, schema: Schema, table: pa.Table) -> Self:
        """What the training rows `table` show of each column."""
        rules = compile_rules(schema)
        columns = {column.name: column for column in schema.columns}
        cells = Cells({name: flat(table[name]) for name in table.column_names})
        joint = {name: group for group in rules.together for name in group}
        formulas = {formula.left: formula for formula in rules.formulas}
        parts: list[Part] = []
        for name in table.column_names:
            column, values = columns.get(name, Column(name, "category")), cells.columns[name]
            if name in joint:
                group = joint[name]
                if name == min(group, key=table.column_names.index):
                    parts.append(Choice(Choices.fit(group, [cells.columns[n] for n in group])))
            elif column.made:
                parts.append(Presence(name, values.null_count, len(values) - values.null_count))
            elif values.null_count == len(values) or column.kind == "constant":
                first = values.drop_null()
                value = first[0].as_py() if len(first) else None
                parts.append(Constant(name, value, values.type, values.null_count, len(values)))
            elif name in formulas:
                formula, grain = formulas[name], Grain.fit(column, values)
                odd = formula.broken(cells) if formula.nearly else None
                parts.append(Computed.fit(name, grain, values, formula.values(cells), odd))
            elif column.kind in NUMBERS:
                parts += numbers.fitted(column, cells, rules, columns)
            else:
                parts.append(Choice(Choices.fit((name,), (values,))))
        known = [d for d in rules.looked_up if {*d.left, d.right} <= {*cells.columns}]
        known = [d for d in known if not any(columns[name].made for name in (*d.left, d.right))]
        lookups = tuple(Lookup.fit(d.left, d.right, cells.columns, d.nearly) for d in known)
        plain = cls(schema, tuple(table.column_names), tuple(parts), lookups)
        return replace(plain, writers=tuple(plain._writer(c.name, cells) for c in schema.columns if c.learn))

    def _writer(self, name: str, cells: Cells) -> Writer:
        there = np.flatnonzero(present(cells.columns[name]))
        there = there[:: max(1, -(-len(there) // ROWS))]
        ordered = [isinstance(self.parts[i], Number) for i in self.coded]
        texts = cells.columns[name].take(pa.array(there)).to_pylist()
        return Writer.fit(name, texts, self.encode(cells, False)[0][there], self._sizes, ordered)

    def invented(
        self,
        name: str,
        cells: Mapping[str, pa.Array],
        there: np.ndarray,
        rng: np.random.Generator,
        unique: bool = False,
        past: Past | None = None,
    ) -> pa.Array:
        """New values of the column `name` for the rows `there` of `cells`, text that is learned as it goes with these."""
        for writer in self.writers:
            if writer.name == name:
                codes = self.encode(Cells(cells), False)[0][there]
                return pa.array(writer.write(np.maximum(codes, 0), rng), pa.string())
        column = replace(self.columns[name], unique=unique)
        return flat(sensitive.fakes(column, len(there), rng, past=past)).cast(logical(column))

    def apart(self, past: Past | None) -> Apart:
        """What must differ in every row, of a stream of which `past` is known."""
        return Apart(self.rules.unique, {name: self.parts[i] for name, i in self.part_of.items()}, past)

    def note(self, rows: pa.Table, past: Past) -> None:
        """Enters rows into what a stream must differ from; running numbers go on by themselves."""
        apart, cells = self.apart(past), {name: flat(rows.column(name)) for name in self.names}
        apart.note(cells)
        for name, column in self.columns.items():
            if apart.made(name) and (column.unique or any(name in group for group in self.rules.unique)):
                known = flat(cells[name]).drop_null().cast(pa.string())
                past.values((name,)).add(row_digests(pa.table([known], names=["key"]))[:, 0])

    @cached_property
    def rules(self) -> Rules:
        return compile_rules(self.schema)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column by name; one that the schema does not know is a category."""
        known = {column.name: column for column in self.schema.columns}
        return {name: known.get(name, Column(name, "category")) for name in self.names}

    @cached_property
    def declared_unique(self) -> list[list[str]]:
        """The columns of each `unique` rule that a person wrote, beside those that were found to be so."""
        found = [entry["unique"] for entry in self.schema.constraints if "unique" in entry]
        return [[names] if isinstance(names, str) else list(names) for names in found]

    @cached_property
    def part_of(self) -> dict[str, int]:
        """Which part makes a column."""
        return {name: i for i, part in enumerate(self.parts) for name in part.names}

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """Parts, each after those that it is made from."""
        known = [*self.rules.sequence, *self.names]
        phased = [i for i, part in enumerate(self.parts) if isinstance(part, (Phase, Side, Standing))]
        return tuple(dict.fromkeys([*phased, *(self.part_of[name] for name in known if name in self.part_of)]))

    def behind(self, names: Iterable[str]) -> set[str]:
        """The columns `names`, and all that they are made from."""
        formulas = {formula.left: formula for formula in self.rules.formulas}
        found, queue = set[str](), list(names)
        while queue:
            name = queue.pop()
            if name not in found:
                found.add(name)
                part = self.parts[self.part_of[name]]
                queue += formulas[name].rule.columns(formulas[name].right) if isinstance(part, Computed) else ()
                queue += part.bases if isinstance(part, Number) else ()
                queue += [low for lookup in self.lookups if lookup.right == name for low in lookup.left]
        return found

    def codes_of(self, names: Collection[str]) -> list[int]:
        """The columns of codes that make the columns `names`."""
        mine = [(p.name,) if isinstance(p := self.parts[i], (Phase, Side, Standing)) else p.names for i in self.coded]
        return [j for j, own in enumerate(mine) if not {*own}.isdisjoint(names)]

    @cached_property
    def coded(self) -> tuple[int, ...]:
        """Parts that have something to choose, in order."""
        return tuple(i for i, part in enumerate(self.parts) if part.size(True) > 1)

    @cached_property
    def learned(self) -> int:
        """How many columns of the schema have something to choose: one may be made of several parts, and a part make several."""
        known = {column.name for column in self.schema.columns}
        return len(known.intersection(name for i in self.coded for name in self.parts[i].names))

    def encode(self, cells: Cells, fine: bool) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Codes int64 [n, coded], and the place [n] in its bin for each part that has one."""
        codes = np.zeros((len(cells), len(self.coded)), np.int64)
        places = {}
        formulas = {formula.left: formula for formula in self.rules.formulas}
        for j, i in enumerate(self.coded):
            part = self.parts[i]
            formula = formulas[part.name].values(cells) if isinstance(part, Computed) else None
            codes[:, j], place = part.encode(cells, fine, formula)
            if place is not None:
                places[i] = place
        return codes, places

    def decode(
        self,
        codes: np.ndarray,
        places: Mapping[int, np.ndarray],
        fine: bool,
        rng: np.random.Generator,
        past: Past | None = None,
        holds: Callable[[Cells], np.ndarray] | None = None,
    ) -> pa.Table:
        """The table of codes [n, coded]; what `places` leaves open is drawn. All declared rules hold in it.

        past: of a stream of tables, in which the rules hold as if they were one.   holds: bool [n], rows that keep a condition;
        other places in their bins are drawn for those that do not.
        """
        work = self._work(codes, places, fine, rng, past)
        cells = work.make(np.arange(len(codes)))
        if holds is not None:
            cells = work.keep(cells, holds)
        cells = work.invent(work.distinct(work.mend(cells)))
        return pa.table([cells[name] for name in self.names], names=list(self.names))

    def drafted(self, codes: np.ndarray, rng: np.random.Generator) -> Cells:
        """The cells of codes [n, coded] as they are drawn first, marks where new values will stand."""
        return Cells(self._work(codes, {}, True, rng, None).make(np.arange(len(codes))))

    def _work(
        self,
        codes: np.ndarray,
        places: Mapping[int, np.ndarray],
        fine: bool,
        rng: np.random.Generator,
        past: Past | None,
    ) -> _Work:
        work = _Work(self, codes.copy(), dict(places), fine, rng, past)
        for i in self.sequence:
            if i not in work.places and self.parts[i].chancy(fine):
                work.places[i] = rng.random(len(codes))
        return work

    def broken(self, cells: Cells) -> dict[str, np.ndarray]:
        """bool [n] for each declared rule: the rows that break it."""
        out = self.rules.broken(cells)
        for group in self.rules.together:
            part = self.parts[self.part_of[group[0]]]
            assert isinstance(part, Choice)
            out[together_text(group)] = part.choices.index([cells.columns[name] for name in part.names]) < 0
        text = {(*one.left, one.right): one.text for one in self.rules.depends if not one.nearly}
        for lookup in self.lookups:
            if lookup.pairs.names in text:
                out[text[lookup.pairs.names]] = lookup.broken(cells.columns)
        return out

    def state(self) -> dict[str, Any]:
        parts, lookups, writers = ([one.state() for one in some] for some in (self.parts, self.lookups, self.writers))
        return {"names": list(self.names), "parts": parts, "lookups": lookups, "writers": writers}

    @classmethod
    def restore(cls, schema: Schema, state: Mapping[str, Any]) -> Self:
        lookups = tuple(map(Lookup.restore, state["lookups"]))
        writers = tuple(map(Writer.restore, state["writers"]))
        out = cls(schema, tuple(state["names"]), tuple(map(restore_part, state["parts"])), lookups, writers)
        learned = [column.name for column in schema.columns if column.learn]
        if [w.name for w in writers] != learned or not all(w.beside.fits(out._sizes) for w in writers):
            raise RunError("what was learned of a text column is of other columns; train anew")
        return out

    @property
    def _sizes(self) -> list[int]:
        return [self.parts[i].size(False) for i in self.coded]


@dataclass
class _Work:
    """One decoding: rows are made, and those that break a rule are made again."""

    layout: Layout
    codes: np.ndarray
    places: dict[int, np.ndarray]
    fine: bool
    rng: np.random.Generator
    past: Past | None = None

    @property
    def apart(self) -> Apart:
        return self.layout.apart(self.past)

    def make(self, rows: np.ndarray) -> dict[str, pa.Array]:
        """The columns of `rows`."""
        layout, out = self.layout, dict[str, pa.Array]()
        formulas = {formula.left: formula for formula in layout.rules.formulas}
        at = {i: j for j, i in enumerate(layout.coded)}
        looked_up = {name: [x for x in layout.lookups if x.right == name] for name in layout.names}
        for i in layout.sequence:
            part = layout.parts[i]
            codes = self.codes[rows, at[i]] if i in at else np.zeros(len(rows), np.int64)
            place = self.places[i][rows] if i in self.places else None
            formula = formulas[part.name].values(Cells(out)) if isinstance(part, Computed) else None
            out.update(part.decode(codes, place, Cells(out), self.fine, formula))
            for lookup in looked_up.get(part.names[0], ()) if part.names else ():
                out[lookup.right] = lookup.mended(out, self.rng)
        return out

    def keep(self, cells: dict[str, pa.Array], holds: Callable[[Cells], np.ndarray]) -> dict[str, pa.Array]:
        """The cells, other places in their bins drawn where a condition does not hold that does for some."""
        for _ in range(ATTEMPTS):
            rows = np.flatnonzero(~holds(Cells(cells)))
            if not len(rows):
                break
            for place in self.places.values():
                place[rows] = self.rng.random(len(rows))
            cells = _patch(cells, rows, self.make(rows))
        return cells

    def invent(self, cells: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The cells, marks replaced by new values: all of a column at once, so that they differ where they must."""
        layout = self.layout
        out = dict(cells)
        for name, column in layout.columns.items():
            if not isinstance(layout.parts[layout.part_of[name]], Presence) or column.refers:
                continue
            there = np.flatnonzero(present(cells[name]))
            if len(there):
                unique = column.unique or any(name in group for group in layout.rules.unique)
                made = layout.invented(name, out, there, self.rng, unique, self.past)
                out[name] = put(cells[name].cast(made.type), there, made)
        for name, column in layout.columns.items():
            if column.refers and isinstance(layout.parts[layout.part_of[name]], Presence):
                out[name] = self._referring(column, present(cells[name]), out[column.refers])
        return out

    def _referring(self, column: Column, there: np.ndarray, keys: pa.Array) -> pa.Array:
        """Keys of other made rows, where they are to be."""
        link = ancestry.drawn(column.learned.get("links", {}), there, self.rng)
        out = keys.cast(pa.string()).take(pa.array(np.maximum(link, 0), mask=link < 0))
        loose = np.flatnonzero(link == ancestry.LOOSE)
        if len(loose):
            out = put(out, loose, flat(sensitive.fakes(column, len(loose), self.rng, keys.cast(pa.string()))))
        return out.cast(logical(column))

    def mend(self, cells: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The cells, rows that break a rule drawn again; what follows `then` first."""
        rules = self.layout.rules
        if not rules.declared:
            return cells
        every = np.arange(len(self.codes))
        for attempt in range(ATTEMPTS + 1):
            broken = {text: bad for text, bad in self._broken(cells).items() if bad.any()}
            if not broken:
                return cells
            wrong = np.logical_or.reduce(list(broken.values()))
            rows = every[wrong]
            if attempt == ATTEMPTS:
                break
            for text, bad in broken.items():
                rule = rules.declared[text]
                if not (isinstance(rule, Rule) and self._turn(rule, every[bad])):
                    self._redraw(self._touched(rule, text, attempt), every[bad])
            cells = _patch(cells, rows, self.make(rows))
        good = every[~wrong]
        if not len(good):
            raise FitError(
                f"not one of {len(every):,} rows keeps the rule {next(iter(broken))!r}; train longer or take the rule away."
            )
        donors = self.rng.choice(good, len(rows))
        self.codes[rows] = self.codes[donors]
        return {name: put(column, rows, column.take(pa.array(donors))) for name, column in cells.items()}

    def _broken(self, cells: Mapping[str, pa.Array]) -> dict[str, np.ndarray]:
        uniques = {unique_text(names) for names in self.layout.rules.unique}
        found = self.layout.rules.broken(Cells(cells))
        return {text: bad for text, bad in found.items() if text not in uniques}

    def _touched(self, rule: Rule | Formula | Bounds, text: str, attempt: int) -> list[int]:
        """Parts to draw again, for a rule that is broken."""
        layout = self.layout
        if isinstance(rule, Bounds):
            names: Sequence[str] = (text.split(" in [")[0],)
        elif isinstance(rule, Formula):
            names = rule.rule.columns()
        else:
            names = rule.columns(rule.then if attempt < FIRST else None)
        formulas = {formula.left: formula for formula in layout.rules.formulas}
        found, queue = set[int](), list(names)
        while queue:
            name = queue.pop()
            i = layout.part_of[name]
            if i not in found:
                found.add(i)
                if isinstance(layout.parts[i], Computed):
                    queue.extend(formulas[name].rule.columns(formulas[name].right))
        return sorted(found)

    def _turn(self, rule: Rule, rows: np.ndarray) -> bool:
        """Whether a rule says where alone a column is missing: then it is missing in these rows where it was not, and back."""
        name = rule.absent if rule.only else None
        i = -1 if name is None else self.layout.part_of[name]
        part = self.layout.parts[i]
        if i not in self.layout.coded or len(part.names) > 1 or isinstance(part, (Side, Standing)):
            return False
        counts = part.counts(self.fine).astype(np.float64)
        gone = part.choices.missing if isinstance(part, Choice) else part.missing
        if not gone or not counts[1:].any():
            return False
        mine = self.codes[:, self.layout.coded.index(i)]
        away = mine[rows] == 0
        counts[0] = 0
        mine[rows] = np.where(away, draw(counts, len(rows), self.rng), 0)
        return True

    def _redraw(self, parts: Sequence[int], rows: np.ndarray) -> None:
        at = {i: j for j, i in enumerate(self.layout.coded)}
        for i in parts:
            if i in at:
                self.codes[rows, at[i]] = draw(self.layout.parts[i].counts(self.fine), len(rows), self.rng)
            if i in self.places:
                self.places[i][rows] = self.rng.random(len(rows))

    def distinct(self, cells: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The cells, duplicates under a `unique` rule made anew."""
        layout = self.layout
        apart = self.apart.learned if self.past is not None else []
        if apart and self.past is not None and self.past.shards > 1:
            raise FitError(
                f"{', '.join(map(repr, apart[0]))} must differ in each row and are drawn as they were learned, which shards "
                "cannot divide among them; leave --shards out, or take the rule away."
            )
        for names in layout.rules.unique:
            parts = sorted({layout.part_of[name] for name in names})
            if any(isinstance(layout.parts[i], Presence) for i in parts):
                continue  # new values differ by themselves
            at = {i: j for j, i in enumerate(layout.coded)}
            for attempt in range(ATTEMPTS + 1):
                rows = np.flatnonzero(repeated([cells[name] for name in names]) | self.apart.before(names, cells))
                if not len(rows):
                    break
                if attempt == ATTEMPTS:
                    cells = self._fresh(cells, names, rows)
                    break
                if attempt < 3:  # first other digits, then other codes
                    for i in parts:
                        if i in self.places:
                            self.places[i][rows] = self.rng.random(len(rows))
                else:
                    self._redraw([i for i in parts if i in at or i in self.places], rows)
                cells = _patch(cells, rows, self.make(rows))
                cells = self.mend(cells)
        if self.past is not None:
            self.apart.note(cells)
        return cells

    def _fresh(self, cells: dict[str, pa.Array], names: Sequence[str], rows: np.ndarray) -> dict[str, pa.Array]:
        """Values that no row has yet, between the least and the greatest one learned or else above it."""
        layout = self.layout
        leaning = {order.low for order in layout.rules.orders} | {n.low for n in layout.rules.near.values()}
        leaning |= {name for formula in layout.rules.formulas for name in formula.rule.columns(formula.right)}
        for name in names:
            part = layout.parts[layout.part_of[name]]
            if not isinstance(part, Number) or not part.grain.whole or part.relative or name in leaning:
                continue
            taken = part.grain.ticks(cells[name])
            low, high = part.limits()
            low, top = max(low, part.fine.lows[0]), min(high, part.fine.highs[-1])
            high = min(high, top + (len(self.codes) if self.past is None else self.past.total))
            used = np.unique(taken[~np.isnan(taken)])
            if high - low < 2**24:
                free = self.apart.unseen(name, np.setdiff1d(np.arange(low, high + 1), used))
                inside = free[free <= top]
                free = self.rng.permutation(inside) if len(inside) >= len(rows) else free
            else:
                free = self.rng.integers(int(low), int(top), 4 * len(rows) + 64, endpoint=True).astype(np.float64)
                free = self.apart.unseen(name, np.setdiff1d(free, used))
            if len(free) >= len(rows):
                fresh = part.grain.array(self.rng.permutation(free[: len(rows)]))
                out = {**cells, name: put(cells[name], rows, fresh)}
                if not any(bad.any() for bad in self._broken(out).values()):
                    return out
        rest = 0 if self.past is None else self.past.total - len(self.codes)
        raise FitError(
            f"{len(self.codes) + rest:,} rows were asked for and {', '.join(map(repr, names))} must differ in each; there are "
            f"{'fewer' if rest else f'{len(self.codes) - len(rows):,}'} different ones to be had. Ask for fewer rows, or take "
            "the rule away."
        )


def _patch(cells: Mapping[str, pa.Array], rows: np.ndarray, new: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    return {name: put(column, rows, new[name]) for name, column in cells.items()}
