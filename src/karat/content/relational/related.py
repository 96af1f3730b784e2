"""Related tables: a folder of files, a database, or the rows of entities in one file; read, split, and written again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from karat.content.codec import Block, Contents, Delivery
from karat.content.relational import relations, sequences
from karat.content.relational.across import asking, discovery
from karat.content.relational.across.asking import Asked
from karat.content.relational.across.holding import hold
from karat.content.relational.across.rule import Across
from karat.content.relational.across.wording import listed
from karat.content.relational.database import Database, Family, Relation, amounts, handed
from karat.content.relational.declaring import declared
from karat.content.relational.entities import contents_of, parted, split, windowed
from karat.content.relational.series import clock, cutting, going
from karat.content.relational.steps import Before, Steps, context, sizes
from karat.content.relational.unfolding import Draw, Unfolding
from karat.content.roles import Declared
from karat.content.table import fragments
from karat.content.table.formulas import Guard
from karat.content.table.io import lite, sources
from karat.content.table.reading import Origin
from karat.content.table.rules.conditions import names_file
from karat.content.table.rules.constraints import check, compile_rules
from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import DataError, FitError
from karat.output import file_names
from karat.space import Codes, Fields, Space
from karat.views import DatabaseView, Tie, View


@dataclass(frozen=True)
class Related(Declared):
    """Tables that refer to each other. Records are `Database`s: a record is a root row with its descendants.

    tables: of each one, all columns, as a judge and the rows after it see it.   steps: what is learned of each.
    rows: how many rows each root table had for one of the first.   lists: root tables that are only referred to, and their
    rows: a list of goods is as long whoever buys them.   orphans: rows without a parent for each with one.
    single: the schema of the one file whose rows were parted into entities, where it was one.   across: what holds between
    parents and children.
    """

    name = "related"
    thing = "record"
    reviewed = False
    repeats = True
    gated = False
    answers = ("given", "balance")
    sheets = ".html"
    settings = ("schema", "series", "entity", "order", "rows", "encoding", "target", "discover")

    tables: Mapping[str, Tables]
    relations: tuple[Relation, ...]
    steps: Mapping[str, Steps]
    rows: Mapping[str, float]
    orphans: Mapping[str, float]
    lists: Mapping[str, int]
    single: Schema | None = None
    across: tuple[Across, ...] = ()

    @classmethod
    def recognises(cls, path: Any, options: Mapping[str, Any] | None = None) -> bool:
        """Whether there are several tables, or one whose rows are said to be those of entities."""
        given = {} if options is None else options
        if given.get("as") == "table" or relations.several(path, given):
            return given.get("as") != "table"
        order, entity = cutting.declared(given)
        if order is None and entity is None:
            return cutting.recognises(path, given)
        return bool(order or entity)

    @classmethod
    def place(cls, source: Any) -> str:
        return Tables.place(source)

    @classmethod
    def form(cls, records: Database) -> tuple[Any, ...]:
        tables = [(name, *Tables.form(table)) for name, table in records.tables.items()]
        return ("related", *tables, *(f"{r.text} by {r.order}" for r in records.relations))

    @classmethod
    def digests(cls, records: Database) -> np.ndarray:
        return records.digests()

    @classmethod
    def read(cls, path: Any, options: Mapping[str, Any]) -> Contents:
        """The tables at a path. options: schema (a TOML), rows and encoding as of one table; entity and order name columns
        of one file, whose rows are then sequences.
        """
        if not relations.several(path, options):
            return parted(path, options)
        if options.get("order") is not None:
            raise FitError("data.order is of a single file with data.entity; declare it in a [[relation]] of --schema.")
        where = None if options.get("schema") is None else Path(options["schema"])
        stated, text = relations.declared(where)
        found = relations.read(path, stated, text, where, options)
        foreign = relations.foreign(path, found)
        related, notes, chosen = relations.relations(found, stated, where, foreign)
        rows = {name: len(f.raw.cells) for name, f in found.items()}
        declared = sum(1 for e in stated.get("relation", []) if e.get("parent"))
        names, arranged = relations.arranged(rows, related, declared)
        keyed = relations.keyed({name: f.schema for name, f in found.items()}, arranged)
        tables: dict[str, Table] = {}
        for name in names:
            raw, known = found[name].raw, found[name].schema
            made = any(r.child == name and r.makes for r in arranged)
            known = replace(known, columns=tuple(keyed[name, c.name] for c in known.columns))
            if made:  # what only has to differ is made anew in rows that are drawn one after another
                known = replace(
                    known,
                    columns=tuple(
                        relations.as_key(c, True) if c.unique and c.kind == "integer" and not c.format else c
                        for c in known.columns
                    ),
                )
            cells = values.parse(raw, known)
            good, said_of = check(compile_rules(known), cells, raw.place, 0)
            cells = cells.filter(pa.array(good)) if not good.all() else cells
            known = schema.learn(known, cells)
            notes += [f"{name}: {note}" for note in (*raw.notes, *said_of)]
            noted, sought = sources.notes(raw.cells.schema), options.get("discover", True) is True
            origin = Origin(known, raw.source, raw.dialect, found[name].suffix, noted, discover=sought)
            tables[name] = Table(cells.combine_chunks(), origin)
        database = Database(tables, arranged)
        discovery.found(lambda _: database, arranged, sought=False)  # refuses what a person declares and does not hold
        question = next((f.raw.question for f in found.values() if f.raw.question), "")
        return contents_of(database, notes, chosen, None, question)

    @classmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """What the training records show of each table, and of what its rows hang on."""
        data: Database = contents.records
        learned = data[train]
        wholes: dict[str, Tables] = {}
        for name, table in learned.tables.items():
            if not len(table):
                raise DataError(f"the table {name} has no rows to learn from.")
            wholes[name] = Tables.fit(Contents(table), np.arange(len(table)))
        # of a parent that does not make them, children lie on both sides of the split
        across = discovery.found(lambda r: learned if r.makes else data, data.relations, _sought(data))
        steps = {}
        for name, whole in wholes.items():
            wholes[name], steps[name] = sequences.settled(name, data, learned, whole, across)
            if steps[name].calendar is not None:
                steps[name] = going.with_starts(steps, name, learned, wholes)
        made = {r.child: r for r in data.relations if r.makes}
        roots = [name for name in data.tables if name not in made]
        rows = {name: len(data.tables[name]) / len(data.tables[roots[0]]) for name in roots}
        orphans = {}
        for name, r in made.items():
            link = data.links[r]
            orphans[name] = float((link < 0).sum()) / max(1, int((link >= 0).sum()))
        alone = [name for name in roots[1:] if any(r.parent == name for r in data.relations)]
        alone = [name for name in alone if not any(r.parent == name for r in made.values())]
        lists = {name: len(data.tables[name]) for name in alone}
        return cls(wholes, data.relations, steps, rows, orphans, lists, data.facts, across)

    # What the chains learn, and how they make ------------------------------------------------------------------------

    def _up(self, name: str) -> Codes:
        """The space of the columns of the table's ancestors."""
        sizes: list[tuple[int, bool]] = []
        maker = self.steps[name].maker
        while maker is not None:
            own = self.tables[maker.parent].spaces[0]
            sizes += [(size + 1, ordered) for size, ordered in zip(own.sizes, own.ordered, strict=True)]
            maker = self.steps[maker.parent].maker
        return Codes(tuple(size for size, _ in sizes), tuple(ordered for _, ordered in sizes))

    @cached_property
    def chains(self) -> dict[str, tuple[Codes, int]]:
        """Of each chain the space, and how many of its leading columns are always given."""
        out = {}
        for name, steps in self.steps.items():
            for chain, codec in steps.chains.items():
                given = sizes(steps, chain.rpartition("/")[2], self._up(name), self.tables[name].spaces[0])
                own = codec.spaces[0]
                out[chain] = Codes((*given.sizes, *own.sizes), (*given.ordered, *own.ordered)), given.numel
        return out

    def training_codes(self, records: Database) -> dict[str, Tensor]:
        """Long [n, columns] of each chain: the rows that it learns, behind what it is given."""
        out: dict[str, Tensor] = {}
        up: dict[str, np.ndarray] = {}
        for name, steps in self.steps.items():
            whole, maker, rows = self.tables[name], steps.maker, records.tables[name]
            above = np.zeros((len(rows), 0), np.int64)
            if maker is not None:
                link = records.links[maker]
                above = handed(up[maker.parent], link)
            up[name] = np.hstack([sequences.encoded(whole, rows, steps), above])
            known, family = sequences.history(steps, records, whole, above)
            cells = sequences.drawn(steps, records, whole)[1]
            for chain, codec in steps.chains.items():
                kind = chain.rpartition("/")[2]
                mine, of = known, np.arange(len(rows))
                if kind == "level":
                    of = np.flatnonzero(family.place == 0)
                    mine, cells_of = known.take(of), rows.cells.select(list(codec.layout.columns)).take(pa.array(of))
                elif kind != "what":
                    of = np.flatnonzero((family.place == 0) == (kind == "first"))
                    mine, cells_of = known.take(of), self._times(steps, kind, known, of, records)
                elif steps.calendar is not None:  # what a series begins with follows from nothing
                    of = np.flatnonzero(family.warm)
                    mine, cells_of = known.take(of), cells.take(pa.array(of))
                else:
                    cells_of = cells
                codes = codec.encode(Table(cells_of, codec.origin)).numpy()
                out[chain] = torch.from_numpy(np.hstack([context(steps, kind, mine), codes]))
        return out

    def _times(self, steps: Steps, kind: str, known: Before, rows: np.ndarray, records: Database) -> pa.Table:
        """The order column as the chain draws it: itself, or how far it is from what came before."""
        assert steps.order is not None and steps.maker is not None
        column = self.tables[steps.table].layout.columns[steps.order]
        if kind == "next":
            if steps.calendar is not None:
                column = Column(column.name, "integer")
            return clock.distance(column, steps.apart(known.when[rows], known.since[rows]))[1]
        if steps.since is None:
            return pa.table({steps.order: records.cells(steps.table, steps.order).take(pa.array(rows))})
        base = steps.begun(records.tables[steps.maker.parent].cells)
        assert base is not None
        return clock.distance(column, known.when[rows] - base[records.links[steps.maker][rows]])[1]

    @property
    def cut(self) -> Relation | None:
        """The relation of steps to windows, where the records are windows of series."""
        return next((r for r in self.relations if r.cut), None)

    def goes_on(self, given: str | None) -> bool:
        """Whether further rows are asked for: of series, or of the entities whose rows are in a file."""
        return self.cut is not None or self.single is not None and going.rows_in(given, self.relations[0], self.tables)

    def go_on(self, draw: Draw, n: int, rng: np.random.Generator, given: str | None, alone: bool) -> Database:
        """Series of `n` steps each; where `alone`, `n` windows that begin anywhere.   given: their past, or what they are like."""
        r = self.relations[0]
        work = Unfolding(self.tables, self.steps, self.relations, draw, rng)
        if given is None or not names_file(given):
            past = going.begun(self.steps[r.child], self.tables, r, n if alone else None, given, rng)
            return going.grown(work, r, past, r.cut) if alone else going.path(work, r, past, n)
        assert self.single is not None
        before = self.conform(going.given(self.tables, self.single, tuple(self._single_names()), given, r))
        past, of = going.after(self.steps, r, before, self.tables)
        return going.grown(work, r, past, n, None if r.cut else before.tables[r.parent].cells.take(pa.array(of)))

    def make(self, draw: Draw, n: int, rng: np.random.Generator, asked: Asked | None = None) -> Database:
        """A database of `n` rows of the first table, and of what hangs on them; other roots in proportion, lists whole.

        asked: what rows of root tables are to hold, and how many there are.
        """
        given = {} if asked is None else asked
        n = len(given[self.first].cells) if self.first in given else n
        roots = {**self._roots(n), **{name: len(one.cells) for name, one in given.items()}}
        work = Unfolding(self.tables, self.steps, self.relations, draw, rng, across=self.across)
        return hold(work.run(roots, self.orphans, given), self.across, self.tables, rng)

    # What a codec says of itself -------------------------------------------------------------------------------------

    @property
    def first(self) -> str:
        """The root table whose rows are counted."""
        return next(iter(self.rows))

    def phrase(self) -> str:
        if self.cut is not None and self.single is not None:
            return f"windows of steps of a series, {len(self.single.columns)} columns"
        return f"rows, {self.traits()['width']} columns"

    def traits(self) -> dict[str, Any]:
        return {
            "width": sum(len(whole.schema.columns) for whole in self.tables.values()),
            "learned": sum(whole.layout.learned for whole in self.tables.values()),
        }

    @property
    def written(self) -> dict[str, str]:
        """The tables that are written, and the form of each."""
        suffixes = {name: whole.origin.suffix for name, whole in self.tables.items()}
        if self.single is not None:
            child = list(self.tables)[1]
            return {child: suffixes[child]}
        return suffixes

    @property
    def spaces(self) -> tuple[Codes, Fields]:
        """Those of the first table's columns and of how many children its rows have."""
        return self.steps[self.first].what.spaces

    def encode(self, records: Database, space: Space | None = None) -> Tensor:
        """The points of the first table's rows; what hangs on them is `training_codes`."""
        cells = sequences.drawn(self.steps[self.first], records, self.tables[self.first])[1]
        codec = self.steps[self.first].what
        return codec.encode(Table(cells, codec.origin), space)

    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> Any:
        raise FitError("related tables are made by a run as a whole, and not from points.")

    def judging(self, train: Database) -> Related:
        """The same with what holds within the tables and across them, whether or not a generator was told of it.

        Rows of a parent that does not make its children may be on both sides of a split: only what each child says is asked.
        """
        tables = {name: whole.judging(train.tables[name]) for name, whole in self.tables.items()}
        across = self.across if self.across else discovery.discover(lambda _: train, self.relations)
        return replace(self, tables=tables, across=tuple(one for one in across if one.rowwise or one.relation.makes))

    def view(self, records: Database, rows: np.ndarray | None = None) -> DatabaseView:
        """All tables; those of the records `rows` with the whole database that they are a part of."""
        if rows is not None:
            taken = np.isin(np.arange(len(records)), rows)
            own = {name: taken[records.units[name]] for name in self.tables}
            return replace(self.view(records[rows]), whole=self.view(records), own=own)
        tables = {name: whole.view(records.tables[name]) for name, whole in self.tables.items()}
        for one in self.across:
            seen = tables[one.table]
            wrong = seen.broken.get(one.text, False) | one.broken(records)  # by one of two keys of the same rows
            found = seen.found | {one.text} - set(one.relation.rules)
            tables[one.table] = replace(seen, broken={**seen.broken, one.text: wrong}, found=found)
        return DatabaseView(tables, tuple(_tie(records, r) for r in self.relations), len(records))

    def unview(self, seen: View) -> Database:
        return going.of_view(self.tables, self.cut, seen)

    def chosen(self, records: Database, rows: np.ndarray) -> Database:
        return records.closed(rows)

    def row_count(self, records: Database) -> int:
        return sum(map(len, records.tables.values()))

    def count(self, records: Database) -> int:
        """Rows of the first table; steps of each series."""
        many = len(records.tables[self.first])
        return many if self.cut is None else len(records.tables[self.cut.child]) // max(1, many)

    def place_of(self, goal: Path, chosen: bool) -> tuple[Path, str | None]:
        if goal.suffix in lite.SUFFIXES and not goal.is_dir():
            return goal, goal.suffix
        if len(self.written) == 1 and goal.suffix and not goal.is_dir():
            (suffix,) = self.written.values()
            if not goal.name.endswith(suffix):
                raise FitError(f"{goal}: these rows are written as {suffix}, or into a folder.")
            return goal, suffix
        if goal.exists() and not goal.is_dir() or goal.suffix and not goal.is_dir():
            raise FitError(f"{goal}: {len(self.written)} tables are written into a folder or a .db; give its name.")
        return goal, None

    def in_python(self, blocks: Sequence[Database]) -> Any:
        """A frame of each table by its name; the one frame where one file held both."""
        assert len(blocks) == 1, "related tables are drawn at once"
        records = blocks[0]
        if self.single is not None:
            (child,) = self.written
            whole = self.tables[child]
            return replace(whole, origin=replace(whole.origin, schema=self.single)).in_python([self.one_file(records)])
        return {name: self.tables[name].in_python([records.tables[name]]) for name in self.written}

    def stream(self, blocks: Iterator[Block], suffix: str, file: IO[bytes], how: Delivery) -> None:
        base = suffix in lite.SUFFIXES
        for block in blocks:
            packed = self.packed(block.records, how.guard, ".feather" if base else None)
            if base:
                lite.write_packed(packed, file, [(r.child, r.columns, r.parent, r.keys) for r in self.relations])
            else:
                file.write(next(iter(packed.values())))

    def leaves(self, blocks: Iterator[Block], how: Delivery, has: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """A file of each table, by its name as far as that can be a file's: names come from the data."""
        names = file_names([name + suffix for name, suffix in self.written.items()])
        for block in blocks:
            for name, blob in self.packed(block.records, how.guard).items():
                yield names[name + self.written[name]], blob

    def packed(self, records: Database, guard: Guard | None = None, form: str | None = None) -> dict[str, bytes]:
        """The files of the tables in `written`, each in that form, or in the form of its source."""
        if self.single is not None:
            (child,) = self.written
            whole = self.tables[child]
            codec = replace(whole, origin=replace(whole.origin, schema=self.single))
            return {child: codec.pack(self.one_file(records), form or whole.origin.suffix, guard)}
        return {k: self.tables[k].pack(records.tables[k], form or s, guard) for k, s in self.written.items()}

    def one_file(self, records: Database) -> Table:
        """Entities and their rows as the one table that they were."""
        assert self.single is not None
        parent, child = self.tables
        link = pa.array(records.links[self.relations[0]])
        cells = {}
        for name in self._single_names():
            own = name in records.tables[child].cells.column_names
            cells[name] = records.cells(child, name) if own else records.cells(parent, name).take(link)
        return Table(pa.table(cells), self.tables[child].origin)

    def _single_names(self) -> list[str]:
        assert self.single is not None
        names = []
        for column in self.single.columns:
            names += [column.name, *([f"{column.name} zone"] if column.zone == "mixed" else [])]
        return names

    def _roots(self, n: int) -> dict[str, int]:  # rows of each root table beside `n` of the first
        return {name: self.lists.get(name, max(1, round(n * share))) for name, share in self.rows.items()}

    def asked(self, given: str | None, balance: str | None, n: int, rng: np.random.Generator) -> Asked:
        """What rows of root tables are to hold, by table; see `across.asking`."""
        return asking.conditionings(given, balance, self._roots(n), self.steps, self.across, rng)

    def between(self, records: Database) -> list[dict[str, Any]]:
        """What holds between the columns of each table."""
        out = []
        for name, table in records.tables.items():
            for one in self.tables[name].between(table):
                out.append({**one, "table": name, "words": f"{name}: {one['words']}"})
        return out + (
            listed(discovery.beside(lambda _: records, records.relations), records) if _sought(records) else []
        )

    def declared(self, between: Sequence[Mapping[str, Any]] = ()) -> str:
        return declared(self.tables, self.relations, self.single, between)

    def alike(self) -> dict[str, Any]:
        return {} if self.single is None else {"series": ""}

    @property
    def takes(self) -> tuple[str, ...]:
        return (self.name,) if self.single is None else (self.name, Tables.name)

    def conform(self, records: Any) -> Database:
        """Somebody else's tables of the same names and columns."""
        if isinstance(records, Table) and self.single is not None:
            parent, child = self.tables
            cells = Table(records.cells.select(self._single_names()), records.facts)
            if self.cut is not None:
                known = replace(records.facts, schema=self.single)
                order, entity = str(self.cut.order), self.cut.entity
                return self.conform(windowed(Table(cells.cells, known), order, entity, self.cut.cut, child))
            records, _ = split(cells, self.relations[0].column, parent, child, set(self.tables[parent].layout.names))
        if not isinstance(records, Database) or set(records.tables) != set(self.tables):
            found = ", ".join(records.tables) if isinstance(records, Database) else "one table"
            raise DataError(f"{found} was given; the tables {', '.join(self.tables)} were wanted.")
        tables = {name: whole.conform(records.tables[name]) for name, whole in self.tables.items()}
        return Database(tables, self.relations)

    def sheet(self, records: Database, columns: int) -> bytes:
        """Some rows of each table, those of the first records."""
        shown = {name: self.tables[name].sheet(table, columns) for name, table in records[:20].tables.items()}
        return b"".join(f"<p><b>{fragments.escaped(name)}</b></p>".encode() + one for name, one in shown.items())

    def state(self) -> dict[str, Any]:
        return {
            "tables": {name: whole.state() for name, whole in self.tables.items()},
            "relations": [vars(r) for r in self.relations],
            "steps": {name: s.state() for name, s in self.steps.items()},
            "rows": dict(self.rows),
            "orphans": dict(self.orphans),
            "lists": dict(self.lists),
            "single": None if self.single is None else schema.to_dict(self.single),
            "across": [one.state() for one in self.across],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        related = tuple(
            Relation(**{**r, "columns": tuple(r["columns"]), "keys": tuple(r["keys"]), "rules": tuple(r["rules"])})
            for r in state["relations"]
        )
        wholes = {name: Tables.restore(s) for name, s in state["tables"].items()}
        steps = {name: Steps.restore(name, related, s) for name, s in state["steps"].items()}
        single = None if state["single"] is None else schema.from_dict(state["single"])
        across = tuple(Across.restore(one, related) for one in state["across"])
        return cls(wholes, related, steps, state["rows"], state["orphans"], state["lists"], single, across)


def _sought(records: Database) -> bool:
    """Whether relations are to be looked for."""
    return all(table.facts.discover for table in records.tables.values())


def _tie(records: Database, r: Relation) -> Tie:
    link = records.links[r]
    order = None if r.order is None else records.cells(r.child, r.order)
    family = Family.of(link, len(records.tables[r.parent]), order)
    at = None if order is None else amounts(order)
    absent, place = records.absent(r), family.place
    return Tie(r.child, r.parent, r.column, r.makes, link, absent, family.before, place, r.order, at, r.cut > 0)
