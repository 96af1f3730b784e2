"""Tables: CSV, Parquet, data frames and SQL become rows of typed columns, points of `Codes` or `Fields`, and files again."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from karat.content.codec import AT_ONCE, Block, Contents, Delivery
from karat.content.roles import Conditioned, Conditioning, Declared, Discreet
from karat.content.table import fragments, reading
from karat.content.table.bloom import Past
from karat.content.table.convert import as_kind, otherwise, typed
from karat.content.table.digests import row_digests
from karat.content.table.encoding import kernel, marked
from karat.content.table.encoding.coding import NUMBERS, flat, present
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.discreet import fit_discreetly
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.parts import Number, Part
from karat.content.table.formulas import Guard
from karat.content.table.given import GivenCells
from karat.content.table.io import formats, sources, sql
from karat.content.table.io.columnar import frame
from karat.content.table.io.engines import without_password
from karat.content.table.likeness import observed, table_like
from karat.content.table.mining.coding import kept, with_rules
from karat.content.table.mining.discovery import discover
from karat.content.table.mining.judging import Judged
from karat.content.table.mining.relation import Relation
from karat.content.table.mining.wording import declared, listed
from karat.content.table.personal import protected
from karat.content.table.reading import Origin
from karat.content.table.rules.expressions import Cells, cells_of
from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import SENSITIVE, Schema
from karat.content.table.table import Dialect, Table
from karat.errors import DataError, FitError
from karat.privacy import Budget, Source
from karat.space import Codes, Fields, Space
from karat.views import Columns, TableView, View

SHOWN = 20  # rows of a sheet
LOOKED = 1_000_000  # rows that show what is in a table, spread evenly over it
UNITS = {"date": "days", "datetime": "seconds", "time": "seconds of a day"}  # of what a view has of moments


@dataclass(frozen=True)
class Tables(Conditioned, Declared, Discreet):
    """Rows of one table. Records are `Table`s whose cells have the types of `columns.LOGICAL`."""

    name = "table"
    repeats = True
    shows = True
    answers = ("given", "balance")
    thing = "row"
    reviewed = False
    sheets = ".html"
    glance: ClassVar[Mapping[str, Any]] = {"rows": LOOKED}
    settings = tuple(
        "as series schema query table target protected learn rows encoding sheet declared discover totals".split()
    )

    origin: Origin
    layout: Layout
    found: tuple[Relation, ...] = ()  # what holds between columns, in the training rows
    judged: Judged | None = None  # the same for a judge

    @property
    def schema(self) -> Schema:
        return self.origin.schema

    @classmethod
    def recognises(cls, path: Any) -> bool:
        return bool(sources.recognises(path))

    @classmethod
    def place(cls, source: Any) -> str:
        if isinstance(source, str | Path):
            return without_password(str(source)) if sql.is_url(source) else str(source)
        return f"a {type(source).__name__}"

    @classmethod
    def form(cls, records: Table) -> tuple[Any, ...]:
        return (
            "table",
            *(
                f"{name}:{kind}"
                for name, kind in zip(records.cells.column_names, records.cells.schema.types, strict=True)
            ),
        )

    def traits(self) -> dict[str, Any]:
        """How many columns there are, and how many of them a generator learns."""
        return {"width": len(self.schema.columns), "learned": self.layout.learned}

    def phrase(self) -> str:
        between = f", with {len(self.found)} relation{'s' * (len(self.found) > 1)} between them" if self.found else ""
        return f"rows, {len(self.schema.columns)} columns, of which a generator learns {self.layout.learned}{between}"

    @classmethod
    def read(cls, path: Any, options: Mapping[str, Any]) -> Contents:
        """The table at a path or database URL, or in a data frame.

        options: schema (a TOML that corrects what is inferred), query (SQL) or table (its name) in a database, target (the
        column that a model would predict), protected (columns whose groups a report looks at), learn (columns of text to
        learn, with commas between), rows (how many, evenly spread), encoding, sheet (of a workbook). Rows that break a
        declared rule are set aside; DataError where they are more than 1 %.
        """
        return reading.read(path, options, cls.settings)

    @classmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """What the training rows show of each column, and which relations hold between columns."""
        records = contents.records
        if not len(train):
            raise DataError("the table has no rows to learn from.")
        cells = records[train].cells
        # What made values are like was learned from all rows; only an identifier may know them all, to go on behind them.
        forgotten = tuple(
            replace(column, learned={}) if column.made and column.kind != "identifier" else column
            for column in records.facts.schema.columns
        )
        known = schema.learn(replace(records.facts.schema, columns=forgotten), cells)
        found = discover(cells, known) if records.facts.discover else []
        known = with_rules(known, kept(found, known))
        return cls(replace(records.facts, schema=known), Layout.fit(known, cells), tuple(found))

    @classmethod
    def fit_discreetly(cls, contents: Contents, train: np.ndarray, budget: Budget, source: Source) -> Self:
        """The same under differential privacy: bins and categories are paid from `budget`; see discreet.py."""
        records = contents.records
        bare = tuple(replace(column, learned={}) for column in records.facts.schema.columns)
        known = replace(records.facts.schema, columns=bare)
        layout, _ = fit_discreetly(known, records[train].cells, budget, source)
        return cls(replace(records.facts, schema=known), layout)

    @property
    def wholes(self) -> tuple[str, ...]:
        """The source's own form first."""
        return tuple(dict.fromkeys((self.origin.suffix, *formats.made())))

    @cached_property
    def _spaces(self) -> tuple[Codes, Fields]:
        parts = [self.layout.parts[i] for i in self.layout.coded]
        if not parts:  # nothing is open, and a space needs a cell
            return Codes((1,), (False,)), Fields((1,))
        widths: list[int] = []
        for part in parts:
            widths += [part.size(False)] if part.size(False) > 1 else []
            widths += [1] if part.placed(False) else []
        codes = Codes(tuple(part.size(True) for part in parts), tuple(isinstance(part, Number) for part in parts))
        return codes, Fields(tuple(widths))

    @property
    def spaces(self) -> tuple[Codes, Fields]:
        """`Codes`, one per coded part; `Fields`, for each of them a choice and, where it has bins, a place in [-1, 1]."""
        return self._spaces

    @property
    def coded(self) -> tuple[tuple[str, ...], ...]:
        """The columns that each code of `Codes` stands for: one, or those that only occur together."""
        return tuple(self.layout.parts[i].names for i in self.layout.coded)

    def encode(self, records: Table, space: Space | None = None) -> Tensor:
        """Long `[n, columns]` for `Codes`, float32 `[n, sum(widths)]` for `Fields`."""
        fine = self._fine(space)
        codes, places = self.layout.encode(cells_of(self._mine(records).cells), fine)
        if not self.layout.coded:
            return torch.zeros((len(records), 1), dtype=torch.long if fine else torch.float32)
        if fine:
            return torch.from_numpy(codes)
        at = {i: j for j, i in enumerate(self.layout.coded)}
        return torch.from_numpy(
            kernel.to_fields(self.coded_parts, codes, {at[i]: place for i, place in places.items()})
        )

    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> Table:
        """Rows for any points: codes are brought into range, a choice is its largest entry, a number is clipped.

        Every declared rule holds in the rows; FitError where none can.
        """
        return self.decode_next(points, space, np.random.default_rng(0) if rng is None else rng, None)

    def decode_next(
        self,
        points: Tensor,
        space: Space | None,
        rng: np.random.Generator,
        past: Past | None,
        asked: Conditioning | None = None,
    ) -> Table:
        fine = self._fine(space)
        codes, places = self._coded_points(points, fine)
        coded = {self.layout.coded[j]: place for j, place in places.items()}
        holds = asked.rest.holds if asked is not None and asked.rest is not None else None
        return Table(self.layout.decode(codes, coded, fine, rng, past, holds), self.origin)

    def note(self, records: Table, past: Past) -> None:
        self.layout.note(records.cells, past)

    def moved(
        self, points: Tensor, space: Space, by: kernel.Kernel, rng: np.random.Generator, free: np.ndarray | None = None
    ) -> Tensor:
        """`points` after one step of a kernel that leaves single columns as they are.

        free: bool [n, columns] of `Codes`, what may move; everything by default.
        """
        fine = self._fine(space)
        codes, places = self._coded_points(points, fine)
        free = np.ones(codes.shape, bool) if free is None else free
        codes, places = kernel.moved(self.coded_parts, codes, places, fine, by, free, rng)
        return torch.from_numpy(codes if fine else kernel.to_fields(self.coded_parts, codes, places))

    def cells(self, points: Tensor, space: Space) -> np.ndarray:
        """float64 [n, columns of `Codes`]: the code that any points stand for, and how far they are towards the next."""
        codes, places = self._coded_points(points, self._fine(space))
        cells = codes.astype(np.float64)
        for j, place in places.items():
            cells[:, j] += np.clip(place, 0, 1 - 1e-9)
        return cells

    def correlated(self, records: Table) -> np.ndarray:
        """float64 [numbers, numbers]: how the steps of a kernel go together, so that they follow what relates the columns."""
        return kernel.correlated(self.coded_parts, self.encode(records).numpy())

    @cached_property
    def coded_parts(self) -> list[Part]:
        return [self.layout.parts[i] for i in self.layout.coded]

    def _coded_points(self, points: Tensor, fine: bool) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Codes [n, coded] of any points, and the place of each that has one."""
        if not self.coded_parts:
            return np.zeros((len(points), 0), np.int64), {}
        flatly = points.detach().cpu()
        if fine:
            return np.clip(flatly.long().numpy(), 0, np.array(self._spaces[0].sizes) - 1), {}
        return kernel.from_fields(self.coded_parts, flatly.float().nan_to_num(0.0, 1e9, -1e9).numpy())

    def _fine(self, space: Space | None) -> bool:
        if space is None or space == self._spaces[0]:
            return True
        if space == self._spaces[1]:
            return False
        raise FitError(f"This table can become {self._spaces[0]} or {self._spaces[1]}; {space} was asked for.")

    @cached_property
    def _viewed_columns(self) -> tuple[tuple[str, pa.Array | None], ...]:
        """The columns that a judge sees: numbers (None) and the known values of choices (null for presence)."""
        out: list[tuple[str, pa.Array | None]] = []
        for name in self.layout.names:
            part, kind = self.layout.parts[self.layout.part_of[name]], self.layout.columns[name].kind
            if part.size(True) == 1 and not isinstance(part, Computed):
                continue
            if isinstance(part, (marked.Presence, marked.Constant)):
                out.append((name, pa.nulls(1)))
            elif isinstance(part, marked.Choice) and kind not in NUMBERS:
                out.append((name, part.choices.values[part.names.index(name)].drop_null().unique()))
            else:
                out.append((name, None))
        out += [(name, None) for writer in self.layout.writers for name in writer.traits]
        return tuple(out) or tuple((name, pa.nulls(1)) for name in self.layout.names)

    @property
    def viewed(self) -> Columns:
        """The columns of a view: numbers (days of dates, seconds of times) and choices with the training rows' values.

        What is made anew, and constants, are seen only as missing or present where both occur, or where there is no more; of
        text that is learned also how long it is and which words it holds of those that go with other columns.
        """
        choices = []
        for _, known in self._viewed_columns:
            spelled = () if known is None else tuple(map(_word, known.to_pylist()))
            choices.append(("missing", "present") if known is not None and pa.types.is_null(known.type) else spelled)
        kinds: dict[str, str] = {column.name: column.kind for column in self.schema.columns}
        units = tuple(
            UNITS.get(kinds.get(name, ""), "") if known is None else "" for name, known in self._viewed_columns
        )
        names = tuple(name for name, _ in self._viewed_columns)
        return Columns(names, tuple(choices), units if any(units) else (), protected.of(self.schema, names))

    def judging(self, train: Table) -> Tables:
        """The same with the relations between columns of the training rows, whether or not a generator was told of them."""
        own = self.found or discover(train.cells, self.schema)
        return replace(self, judged=Judged.fit(own, self.schema, train.cells)) if own else self

    def view(self, records: Table, rows: np.ndarray | None = None) -> TableView:
        """What of the rows a judge compares, and which of them break a declared rule, or a relation that he knows of."""
        some = records if rows is None else records[rows]
        origin: Origin | None = some.facts
        otherwise = {} if origin is None else origin.otherwise
        found = {one.text.replace("`", "") for one in self.found}
        broken = {
            rule: bad for rule, bad in self.broken(some).items() if rule.replace("`", "").split(": ")[0] not in found
        }
        if self.judged is None:
            return TableView(self.viewed, self.view_values(some), broken, otherwise)
        between = self.judged.broken(cells_of(self._mine(some).cells))
        return TableView(self.viewed, self.view_values(some), broken | between, otherwise, found=self.judged.names)

    def view_values(self, records: Table) -> np.ndarray:
        """float64 `[n, columns of viewed]`, NaN where missing; an unknown value has the index behind the last."""
        cells = cells_of(self._mine(records).cells)
        read = {k: v for writer in self.layout.writers for k, v in writer.read(cells.columns[writer.name]).items()}
        return observed(self.layout, self._viewed_columns, Cells({**cells.columns, **read}) if read else cells)

    def unview(self, view: View) -> Table:
        """Rows whose view is `view`, numbers rounded to what their column holds; no declared rule is enforced."""
        assert isinstance(view, TableView)
        return Table(table_like(self.layout, self._viewed_columns, view.values, np.random.default_rng(0)), self.origin)

    def unseen(self, records: Table) -> dict[str, int]:
        """How many rows hold a category, or a combination, that no training row has; by column, where there are any."""
        cells = cells_of(self._mine(records).cells)
        out = {}
        for part in self.layout.parts:
            if isinstance(part, marked.Choice):
                unknown = part.choices.index([cells.columns[name] for name in part.names]) < 0
                if len(part.names) == 1:
                    unknown &= present(cells.columns[part.names[0]])
                if unknown.any():
                    out[", ".join(part.names)] = int(unknown.sum())
        return out

    def between(self, records: Table) -> list[dict[str, Any]]:
        return listed(records.cells, records.facts.schema, self.found) if self.origin.discover else []

    def declared(self, between: Sequence[Mapping[str, Any]] = ()) -> str:
        return declared(self.unfound, between)

    @property
    def unfound(self) -> Schema:
        """The schema with what a person declared, and no rule that was found."""
        found = [one.constraint for one in self.found]
        return replace(self.schema, constraints=tuple(one for one in self.schema.constraints if one not in found))

    def broken(self, records: Table) -> dict[str, np.ndarray]:
        """bool `[n]` for each declared rule: the rows that break it."""
        return self.layout.broken(cells_of(self._mine(records).cells))

    def printed(self, records: Table) -> pa.Table:
        """The rows as the source printed them: strings of a delimited file, else the source's own types."""
        return values.printed(records.cells, self.schema)

    def pack(self, records: Table, suffix: str, guard: Guard | None = None) -> bytes:
        """All rows as one file: .csv, .json and the like as the source was printed, .parquet and .feather with types."""
        out = io.BytesIO()
        self.put(iter([records]), suffix, out, guard)
        return out.getvalue()

    @property
    def at_once(self) -> int:
        return AT_ONCE

    def in_python(self, blocks: Sequence[Table]) -> Any:
        """A frame of pandas, or a table of Arrow where there is no pandas; columns have types, and null where missing."""
        return frame([self.pack(records, ".feather") for records in blocks])

    def stream(self, blocks: Iterator[Block], suffix: str, file: IO[bytes], how: Delivery) -> None:
        self.put((block.records for block in blocks), suffix, file, how.guard, how.origin.header(), how.visible)

    def put(
        self,
        blocks: Iterator[Table],
        suffix: str,
        file: IO[bytes],
        guard: Guard | None = None,
        header: Mapping[bytes, bytes] = MappingProxyType({}),
        visible: str = "",
    ) -> None:
        """Blocks of rows into `file` as they come.   guard: what looks at the cells of delimited files.

        header: what formats that have a place for it say of the whole file.   visible: what a column says of each row.
        """
        if suffix not in self.wholes:
            raise FitError(f"a table is written as {', '.join(self.wholes)}; {suffix} was asked for.")
        own, dialect = self.origin, self.origin.dialect
        form, rows = sources.form(suffix), map(self.printed, blocks)
        if dialect is None or (form != dialect.form and form != "delimited"):
            if (words := dialect) is not None:
                rows = map(lambda block: typed(block.cells, self.schema, words), blocks)
            rows, dialect = map(lambda each: sources.noted(each, own.notes, header), rows), None
        else:
            if form == "delimited" == dialect.form and sources.bare(suffix) != sources.bare(own.suffix):
                dialect = replace(dialect, delimiter="\t" if suffix.startswith(".tsv") else ",")
            dialect = dialect if form == dialect.form else None
        rows = map(lambda each: sources.shown(each, visible), rows) if visible else rows
        sources.stream(map(guard.look, rows) if guard and form == "delimited" else rows, suffix, file, dialect)

    def alike(self) -> dict[str, Any]:
        return {"series": ""}  # rows that could be a series as well

    def conform(self, records: Any) -> Table:
        """Somebody else's table with the same columns in any order, brought to our types; values never seen are kept.

        DataError names a column that is missing or too many, or a cell that cannot be read as ours.
        """
        if not isinstance(records, Table):
            raise DataError(f"{type(records).__name__} was given where a table was wanted.")
        theirs: Origin | None = records.facts
        found = records.cells.column_names
        mine = [column.name for column in self.schema.columns]
        lost = [name for name in mine if name not in found]
        extra = [name for name in found if name not in self.layout.names and not _is_zone(name, found)]
        if lost or extra:
            odd = ", ".join(map(repr, (lost or extra)[:5]))
            more = f"{', '.join(map(repr, mine[:8]))}{' and more' if len(mine) > 8 else ''}"
            raise DataError(
                f"that table {f'lacks {odd}' if lost else f'has {odd} too many'}; wanted the columns {more}."
            )
        known = {} if theirs is None else {column.name: column for column in theirs.schema.columns}
        words = records.cells if theirs is None else values.printed(records.cells, theirs.schema)
        columns, apart = [], {}
        for name in self.layout.names:
            ours = self.layout.columns[name]
            if name not in found:  # the zones of a column that had none there
                columns.append(pa.array(["+00:00"] * len(records), pa.string()))
                continue
            column = flat(records.cells[name])
            other = known.get(name)
            spelled = flat(words[name]) if name in words.column_names else column
            columns.append(as_kind(ours, column, spelled, None if other is None else other.kind))
            if theirs is not None and ours.zone != "mixed" and (spelling := otherwise(ours, columns[-1], spelled)):
                apart[name] = spelling
        return Table(pa.table(columns, names=list(self.layout.names)), replace(self.origin, otherwise=apart))

    def _mine(self, records: Table) -> Table:
        if (there := records.cells.column_names) != list(self.layout.names):
            raise DataError(f"the rows have the columns {there[:5]}; {list(self.layout.names[:5])} were wanted.")
        return records

    def conditioning_blocks(
        self, given: str | None, balance: str | None, n: int, rng: np.random.Generator, most: int
    ) -> Iterator[Conditioning]:
        """See `Conditioned`; all rows at once where drawn values must differ in each."""
        return self.conditions.conditioning_blocks(given, balance, n, rng, most)

    @property
    def conditions(self) -> GivenCells:
        return GivenCells(self.origin, self.layout)

    def sheet(self, records: Table, columns: int) -> bytes:
        """Up to 20 rows as an HTML table, printed as in the file; e-mails, names and the like are masked always."""
        return fragments.sheet(self.printed(records[:SHOWN]), self._hidden)

    def beside(self, made: Table, real: Table, captions: Sequence[str]) -> bytes:
        """Made rows [n] over real ones [n] with the cells that differ marked, as one HTML table; `captions` [n] over each pair.

        What is made anew always differs: it is masked as what is sensitive is.
        """
        hidden = self._hidden | {column.name for column in self.schema.columns if column.made}
        return fragments.beside(self.printed(made), self.printed(real), hidden, captions)

    @property
    def _hidden(self) -> set[str]:
        return {column.name for column in self.schema.columns if column.kind in SENSITIVE}

    def state(self) -> dict[str, Any]:
        dialect = None if self.origin.dialect is None else asdict(self.origin.dialect)
        return {
            "schema": schema.to_dict(self.schema),
            "source": self.origin.source,
            "dialect": dialect,
            "suffix": self.origin.suffix,
            "notes": self.origin.notes,
            "layout": self.layout.state(),
            "found": [one.to_dict() for one in self.found],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        found = schema.from_dict(state["schema"])
        told = state["dialect"]
        lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in (told or {}).items()}
        dialect = None if told is None else Dialect(**lists)
        origin = Origin(found, state["source"], dialect, state["suffix"], state["notes"])
        between = tuple(Relation.from_dict(one) for one in state["found"])
        return cls(origin, Layout.restore(found, state["layout"]), between)

    @classmethod
    def digests(cls, records: Table) -> np.ndarray:
        """uint64 `[n, 2]`: a hash of 128 bits of each row over all columns; equal rows, equal digests."""
        return row_digests(records.cells)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_zone(name: str, names: Sequence[str]) -> bool:
    return name.endswith(" zone") and name.removesuffix(" zone") in names
