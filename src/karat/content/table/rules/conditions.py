"""What a person fixes in advance: conditions such as `income=>50K, age=30..40`, and rows of which some cells are given.

Fixed cells become codes that a generator completes; afterwards they are put back exactly as they were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.relational.database import joined
from karat.content.table.convert import cell, logical, put
from karat.content.table.encoding.coding import NAMED, NUMBERS, Scale, draw, only, present
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.parts import Choice, Computed, Constant, Number, Part, Presence
from karat.content.table.rules.constraints import Formula, repeated, unique_text
from karat.content.table.rules.expressions import Cells, Rule, cells_of, unknown
from karat.content.table.rules.solving import exact, expanded, solved
from karat.content.table.schema.columns import Column
from karat.errors import DataError, FitError

SOLVED = 40  # draws of what several columns are made from, before one of them is solved for
SIGNS = "=<>"  # one of which makes a text a condition, unless it is a file
FORMS = "Conditions are column=value, column!=value, and column=low..high, of which one end may be left out."
TRIES = 30  # to draw rows apart that must differ


@dataclass(frozen=True, eq=False)
class Condition:
    """A column is a cell, is not it, or lies in a range (numbers, days or seconds, both ends included).

    cell: one cell, missing where the condition is about missing ones; None for a range.
    """

    column: str
    kind: Literal["is", "not", "range"]
    text: str
    cell: pa.Array | None = None
    low: float = -np.inf
    high: float = np.inf

    @property
    def missing(self) -> bool:
        """Whether it is about missing cells."""
        return self.cell is not None and self.cell.null_count == 1

    def holds(self, cells: Cells) -> np.ndarray:
        """bool [n]: rows that keep it."""
        column = cells.columns[self.column]
        if self.kind == "range":
            numbers = cells.number(self.column)
            return (numbers >= self.low) & (numbers <= self.high)
        assert self.cell is not None
        same = ~present(column) if self.missing else _equal(column, self.cell)
        return same if self.kind == "is" else ~same


Given = dict[str, Condition]


def _equal(column: pa.Array, cell: pa.Array) -> np.ndarray:
    return np.asarray(pc.equal(column, cell[0]).fill_null(False).to_numpy(zero_copy_only=False))


def names_file(text: str) -> bool:
    """Whether `text` is meant as a file of partial rows rather than as conditions."""
    try:
        there = Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        there = False
    return there or not any(sign in text.split(",")[0] for sign in SIGNS)


def parse_given(text: str, layout: Layout, source: str) -> Given:
    """Conditions by column, from `column=value`, `column!=value` and `column=low..high` with commas between.

    The first `=` ends the name. A value is spelled as the file prints it, in double quotes where it holds a comma; none
    at all is a missing cell. Raises DataError with the nearest name or value that is known.
    """
    out: Given = {}
    for name, negated, value, quoted in _pieces(text):
        if name not in layout.columns:
            raise DataError(f"the condition {text!r} is on {name!r}, {unknown(name, list(layout.columns))}")
        if name in out:
            raise DataError(f"the condition {text!r} speaks of {name!r} twice; give one value, or a range low..high.")
        out[name] = _condition(layout, layout.columns[name], negated, value, quoted, source)
    if not out:
        raise DataError("the condition is empty; wanted such as income=>50K, age=30..40.")
    return out


def _pieces(text: str) -> list[tuple[str, bool, str, bool]]:
    """(name, negated, value, whether the value stood in quotes) of each condition."""
    out: list[tuple[str, bool, str, bool]] = []
    rest = text.strip()
    while rest:
        if rest.startswith('"'):
            name, rest = _quoted(rest, text)
            rest = rest.lstrip()
            negated = rest.startswith("!")
            rest = rest.removeprefix("!")
            if not rest.startswith("="):
                raise DataError(f"the condition {text!r} has no '=' behind {name!r}.")
            rest = rest[1:]
        else:
            name, equals, rest = rest.partition("=")
            if not equals:
                raise DataError(
                    f"the condition {text!r} holds {name.strip()!r} without '='; quote a value that holds a comma. {FORMS}"
                )
            if name.rstrip().endswith(("<", ">")):
                raise DataError(
                    f"the condition {text!r} compares {name.strip()[:-1].strip()!r} by {name.strip()[-1]}=. {FORMS}"
                )
            negated = name.rstrip().endswith("!")
            name = name.rstrip().removesuffix("!").strip()
        rest = rest.lstrip()
        quoted = rest.startswith('"')
        if quoted:
            value, rest = _quoted(rest, text)
            rest = rest.lstrip()
            if rest and not rest.startswith(","):
                raise DataError(f"the condition {text!r} has {rest[:10]!r} behind a quoted value; wanted a comma.")
            rest = rest[1:].lstrip()
        else:
            value, _, rest = rest.partition(",")
            value, rest = value.strip(), rest.lstrip()
        out.append((name, negated, value, quoted))
    return out


def _quoted(rest: str, text: str) -> tuple[str, str]:
    """What stands in the quotes that `rest` begins with (doubled ones are one), and what is behind them."""
    out: list[str] = []
    i = 1
    while i < len(rest):
        if rest[i] == '"':
            if rest[i + 1 : i + 2] != '"':
                return "".join(out), rest[i + 1 :]
            i += 1
        out.append(rest[i])
        i += 1
    raise DataError(f"the condition {text!r} opens a quote that never closes.")


def _condition(layout: Layout, column: Column, negated: bool, value: str, quoted: bool, source: str) -> Condition:
    part = layout.parts[layout.part_of[column.name]]
    kind: Literal["is", "not"] = "not" if negated else "is"
    if not quoted and (value == "" or value in column.missing):
        return Condition(column.name, kind, value, pa.nulls(1, logical(column)))
    if ".." in value and not quoted and column.kind in NUMBERS:
        if negated:
            raise FitError(f"{column.name}!={value} excludes a range; give the range that is wanted.")
        ends = [end.strip() for end in value.split("..", 1)]
        low, high = (
            Cells({column.name: cell(column, end, source)}).number(column.name)[0] if end else np.nan for end in ends
        )
        low, high = -np.inf if np.isnan(low) else low, np.inf if np.isnan(high) else high
        if low > high:
            raise DataError(f"{column.name}={value} is a range from high to low; swap its ends.")
        return Condition(column.name, "range", value, None, float(low), float(high))
    one = cell(column, value, source)
    if isinstance(part, Choice):
        known = part.choices.values[part.names.index(column.name)]
        if not _equal(known, one).any():
            raise DataError(_strange(column.name, value, known))
    if isinstance(part, Constant) and (part.value is None or one[0].as_py() != part.value):
        raise DataError(f"{column.name}={value}: that column has no other value than {part.value!r}.")
    return Condition(column.name, kind, value, one)


def balanced(layout: Layout, name: str) -> list[Condition]:
    """One condition for each value that training rows have in the column `name`; FitError where these are not few."""
    few = {column: values for column in layout.columns if (values := _few(layout, column)) is not None}
    if name not in few:
        told = f"those of few values are {', '.join(map(repr, list(few)[:8]))}" if few else "no column has few values"
        what = (
            "its values are too many, or nothing is learned of it"
            if name in layout.columns
            else "there is no such column"
        )
        raise FitError(f"--balance {name}: {what}; {told}.")
    return [
        Condition(name, "is", str(one[0].as_py()), one) for one in (few[name][i : i + 1] for i in range(len(few[name])))
    ]


def _few(layout: Layout, name: str) -> pa.Array | None:
    """The values of a choice, or of a number that has no more than a choice may have by name."""
    part = layout.parts[layout.part_of[name]]
    if isinstance(part, Choice):
        return part.choices.values[part.names.index(name)].drop_null().unique()
    if isinstance(part, Number) and not part.lowers and part.fine.exact and part.fine.size <= NAMED:
        return part.grain.array(part.fine.lows)
    return None


def _strange(name: str, value: str, known: pa.Array) -> str:
    value = value if len(value) <= 80 else value[:77] + "..."
    words = [str(word)[:80] for word in known.drop_null().unique()[:20_000].to_pylist()]
    near = get_close_matches(value, words, 1, 0.4)
    hint = f"the nearest is {near[0]!r}" if near else f"it has {', '.join(map(repr, words[:5]))}"
    return f"{name}={value}: no training row has it; {hint}."


def pin_conditions(layout: Layout, given: Mapping[str, Condition], n: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [n, columns of Codes]: the codes that `given` fixes, -1 where free.

    Where several codes do, they are drawn as often as the training rows have them. Raises FitError for a column that a
    formula works out.
    """
    codes = np.full((n, max(1, len(layout.coded))), -1, np.int64)
    for i, part in enumerate(layout.parts):
        mine = [given[name] for name in part.names if name in given]
        if not mine:
            continue
        first = mine[0]
        if isinstance(part, Computed) and not (first.missing and first.kind == "is"):
            if i in layout.coded:  # worked out; what it is made from is solved for when the row is made
                codes[:, layout.coded.index(i)] = int(part.missing > 0)
            continue
        if isinstance(part, Computed) and not part.missing:
            raise DataError(f"{part.name}=: no training row has {part.name!r} missing.")
        if first.missing and first.kind == "is" and not isinstance(part, Computed) and not _gone(part):
            raise DataError(f"{first.column}=: no training row has {first.column!r} missing.")
        if i not in layout.coded:
            continue
        if isinstance(part, Number) and part.lowers and not first.missing:
            whole = {name: given[name].cell for name in (part.name, *(low for low, _ in part.lowers))
                     if name in given and given[name].kind == "is"}  # fmt: skip
            if len(whole) < 1 + len(part.lowers):
                continue  # its distance is not known yet; it is put back when the row is made
            weights = np.zeros(part.size(True))
            weights[part.encode(Cells({name: c for name, c in whole.items() if c is not None}), True, None)[0][0]] = 1
        else:
            weights = _weights(part, mine)
        if not weights.sum() > 0:
            said = ", ".join(f"{c.column}{'!=' if c.kind == 'not' else '='}{c.text}" for c in mine)
            raise DataError(
                f"no training row has {said}; give values that occur{' together' if len(mine) > 1 else ''}."
            )
        codes[:, layout.coded.index(i)] = draw(weights, n, rng)
    return codes


def _gone(part: Number | Choice | Presence | Constant) -> bool:
    """Whether some training row has the part missing."""
    return len(part.names) > 1 or (part.choices.missing if isinstance(part, Choice) else part.missing) > 0


def _weights(part: Number | Choice | Presence | Constant | Computed, given: Sequence[Condition]) -> np.ndarray:
    """float64 [codes]: how often training rows have each code and keep the conditions."""
    weights = part.counts(True).astype(np.float64)
    if isinstance(part, Choice):
        cells = Cells(dict(zip(part.names, part.choices.values, strict=True)))
        keeps = np.logical_and.reduce([condition.holds(cells) for condition in given])
        if part.choices.missing:
            absent = Cells({part.names[0]: pa.nulls(1, part.choices.values[0].type)})
            keeps = np.append(given[0].holds(absent), keeps)
        return np.asarray(weights * keeps)
    condition = given[0]
    if condition.missing or isinstance(part, (Presence, Constant, Computed)):
        wanted = condition.missing == (condition.kind == "is")  # whether missing cells are what is wanted
        weights[1:] *= not wanted
        weights[0] *= wanted
        return weights
    if condition.kind == "range":
        low, high = (
            part.grain.at(np.array([end]))[0] if np.isfinite(end) else end for end in (condition.low, condition.high)
        )
        if np.isfinite(low) and part.grain.whole and part.grain.natural(np.array([low]))[0] < condition.low:
            low += 1
        inside = only(part.fine, low, high)
        return np.append(0.0, inside) if part.missing else inside
    assert condition.cell is not None
    code = part.encode(Cells({part.name: condition.cell}), True, None)[0][0]
    if condition.kind == "is":
        weights[:] = 0
        weights[code] = 1
    elif part.fine.lows[code - (part.missing > 0)] == part.fine.highs[code - (part.missing > 0)]:
        weights[code] = 0
    return weights


def given_cells(layout: Layout, table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """int64 [n, columns of Codes]: the codes of partial rows, -1 where a cell is missing or its code not known yet."""
    cells = cells_of(table)
    codes = np.full((len(table), max(1, len(layout.coded))), -1, np.int64)
    there = {name: present(column) for name, column in cells.columns.items()}
    for j, i in enumerate(layout.coded):
        part = layout.parts[i]
        if isinstance(part, Computed):
            continue
        needed = (*part.names, *(low for low, _ in part.lowers)) if isinstance(part, Number) else part.names
        known = np.logical_and.reduce([there[name] for name in needed])
        if isinstance(part, Choice):
            columns = [cells.columns[name] for name in part.names]
            index = part.choices.index(columns)
            codes[:, j] = np.where(known & (index >= 0), index + (part.choices.missing > 0), -1)
            some = np.logical_or.reduce([there[name] for name in part.names])
            if len(part.names) > 1:
                _complete(part, columns, np.flatnonzero(some & (codes[:, j] < 0)), codes[:, j], rng)
            continue
        mine, _ = part.encode(cells, True, None)
        codes[:, j] = np.where(known, mine, -1)
    return codes


def _complete(
    part: Choice, columns: Sequence[pa.Array], rows: np.ndarray, codes: np.ndarray, rng: np.random.Generator
) -> None:
    """Draws a seen combination for each of `rows`, of those that agree with its given cells."""
    if not len(rows):
        return
    names = [str(i) for i in range(len(columns))]
    few = pa.table([column.take(pa.array(rows)) for column in columns], names=names)
    kinds = few.append_column("row", pa.array(rows)).group_by(names, use_threads=False).aggregate([("row", "list")])
    for kind in kinds.to_pylist():
        keeps = np.ones(part.choices.size, bool)
        for i, known in enumerate(part.choices.values):
            if kind[str(i)] is not None:
                keeps &= _equal(known, pa.array([kind[str(i)]], known.type))
        mine = np.array(kind["row_list"])
        if not keeps.any():
            told = ", ".join(f"{name}={kind[str(i)]}" for i, name in enumerate(part.names) if kind[str(i)] is not None)
            raise DataError(f"row {mine[0] + 1}: no training row has {told} together.")
        codes[mine] = draw(part.choices.counts * keeps, len(mine), rng)


def put_back(
    layout: Layout, decoded: pa.Table, given: Mapping[str, Condition] | pa.Table, rng: np.random.Generator
) -> pa.Table:
    """The decoded rows with each given cell exactly as given, and what hangs on it made to fit.

    Raises DataError where the given cells break a rule among themselves, FitError where the rest cannot be made to fit.
    """
    work = _Restoring(layout, dict(cells_of(decoded).columns), len(decoded), rng)
    before = dict(work.cells)
    if isinstance(given, pa.Table):
        for name, column in cells_of(given).columns.items():
            rows = np.flatnonzero(present(column))
            if len(rows):
                work.hold(name, rows, EXACT)
                work.cells[name] = put(work.cells[name], rows, column.take(pa.array(rows)))
    else:
        work.conditions = given
        for name, condition in given.items():
            work.hold(name, np.arange(len(decoded)), EXACT if condition.kind == "is" else LOOSE)
            if condition.kind == "is":
                assert condition.cell is not None
                work.cells[name] = condition.cell.take(pa.array(np.zeros(len(decoded), np.int64)))
            else:
                work.redraw(name, np.flatnonzero(~condition.holds(Cells(work.cells))), False)
    work.follow(before)
    for step in (work.differ, work.order, work.solve, work.compute, work.mend, work.check):
        step()
    return pa.table([work.cells[name] for name in layout.names], names=list(layout.names))


def implied(layout: Layout, table: pa.Table) -> pa.Table:
    """Partial rows with the cells that their given ones leave no choice for: what a formula's result leaves for one column.

    DataError, with the row, where no value of the column will do.
    """
    cells = dict(cells_of(table).columns)
    for _ in layout.rules.formulas:  # one solved for may be what another lacked
        before = dict(cells)
        every = layout.rules.formulas
        known = {name for name, column in cells.items() if column.null_count < len(column)}
        for formula in (*every, *(expanded(f, every, known) for f in every)):
            names = formula.rule.columns(formula.right)
            there = {name: present(cells[name]) for name in (formula.left, *names)}
            for name in names:
                part = layout.parts[layout.part_of[name]]
                rows = np.flatnonzero(
                    np.logical_and.reduce([there[n] for n in (formula.left, *names) if n != name]) & ~there[name]
                )
                if not len(rows) or not isinstance(part, (Number, Computed)):
                    continue
                some = Cells({n: column.take(pa.array(rows)) for n, column in cells.items()})
                own = part if isinstance(part, Number) else _plain(part)
                ticks, alone = solved(formula, own, some)
                if np.isnan(ticks).any():
                    row = int(np.flatnonzero(np.isnan(ticks))[0])
                    given = ", ".join(
                        f"{n} = {some.columns[n][row].as_py()}" for n in (formula.left, *names) if n != name
                    )
                    raise DataError(_unsolved(layout, formula, [name], given, some, row, int(rows[row])))
                if isinstance(part, Number):
                    cells[name] = put(cells[name], rows[alone], own.grain.array(ticks[alone]))
        if all(cells[name] is before[name] for name in cells):
            break
    return pa.table(list(cells.values()), names=list(cells))


def implied_conditions(layout: Layout, given: Given) -> Given:
    """The conditions, and those that follow from them as in `implied`."""
    fixed = {n: c.cell for n, c in given.items() if c.kind == "is" and c.cell is not None and not c.missing}
    table = pa.table(
        [fixed.get(n, pa.nulls(1, logical(c))) for n, c in layout.columns.items()], names=list(layout.columns)
    )
    full = implied(layout, table)
    out = dict(given)
    for name in layout.columns:
        cell = full[name].combine_chunks()
        if name not in fixed and not cell.null_count:
            if name in given and not given[name].holds(Cells({name: cell}))[0]:
                said = f"{name}{'!=' if given[name].kind == 'not' else '='}{given[name].text}"
                raise DataError(
                    f"{said} does not go with what the other conditions leave for {name!r}: {cell[0].as_py()}."
                )
            out[name] = Condition(name, "is", str(cell[0].as_py()), cell)
    return out


def known_cells(layout: Layout, table: pa.Table, place: str) -> None:
    """DataError for a cell of partial rows, with its row, that no training row has in a column of known values."""
    cells = cells_of(table).columns
    for part in layout.parts:
        for name in part.names:
            column, known = cells[name], None
            if isinstance(part, Choice):
                known = part.choices.values[part.names.index(name)]
            elif isinstance(part, Constant) and part.value is not None:
                known = pa.array([part.value], part.type)
            if known is None or pa.types.is_null(column.type):
                continue
            seen = np.asarray(pc.is_in(column, value_set=known.cast(column.type)).to_numpy(zero_copy_only=False), bool)
            strange = np.flatnonzero(~seen & present(column))
            if len(strange):
                row = int(strange[0])
                raise DataError(f"{place}, row {row + 1}: {_strange(name, str(column[row].as_py()), known)}")


def _plain(part: Computed) -> Number:
    """A number of the same lattice, with no bounds."""
    scale = Scale.fit(np.array([0.0, 1.0]), 2, part.grain.whole)
    return Number(part.name, part.grain, 0, scale, scale)


def _unsolved(
    layout: Layout, formula: Formula, free: Sequence[str], given: str, cells: Cells, row: int, shown: int | None = None
) -> str:
    """Why no cell of the columns `free` keeps the formula in a row of `cells`."""
    where, said = f"row {(row if shown is None else shown) + 1}", f"{formula.rule.text!r}"
    part = layout.parts[layout.part_of[free[0]]]
    if len(free) > 1 or not isinstance(part, (Number, Computed)):
        names = " and ".join(map(repr, free))
        return f"{where}: no {names} as training rows have them were found with which {said} holds for {given}; give one too."
    one = Cells({n: column.take(pa.array([row])) for n, column in cells.columns.items()})
    wanted = float(exact(formula, part if isinstance(part, Number) else _plain(part), one)[0])
    why = "none is left for it"
    if np.isfinite(wanted):
        column = layout.columns[free[0]]
        why = f"it would have to be {wanted:.6g}"
        if column.kind == "integer" and not wanted.is_integer():
            why += ", and it holds whole numbers"
        elif column.kind == "decimal" and part.grain.whole:
            why += f", and it has {part.grain.places} decimals" if part.grain.places else ", and it holds whole numbers"
    return f"{where}: no {free[0]!r} keeps {said} with {given}: {why}. Give other cells."


EXACT, LOOSE = 2, 1  # how firmly a cell is held: it is given, or it lies in a range


class _Restoring:
    """Decoded rows in which cells are put back, and what hangs on them made to fit."""

    def __init__(self, layout: Layout, cells: dict[str, pa.Array], n: int, rng: np.random.Generator) -> None:
        self.layout, self.cells, self.n, self.rng = layout, cells, n, rng
        self.held: dict[str, np.ndarray] = {}
        self.conditions: Mapping[str, Condition] = {}

    def hold(self, name: str, rows: np.ndarray, firmly: int) -> None:
        """Remembers that cells of a column are given."""
        self.held[name] = self.firm(name).copy()
        self.held[name][rows] = firmly

    def firm(self, name: str) -> np.ndarray:
        """int8 [n]: how firmly each cell of the column is held; 0 where it is free."""
        return self.held.get(name, np.zeros(self.n, np.int8))

    def follow(self, before: Mapping[str, pa.Array]) -> None:
        """Made references to a row whose key was given follow it."""
        for name, column in self.layout.columns.items():
            if column.refers and column.refers in self.held:
                link = joined([before[name]], [before[column.refers]])
                rows = np.flatnonzero((link >= 0) & (self.firm(name) == 0))
                keys = self.cells[column.refers].take(pa.array(link[rows]))
                self.cells[name] = put(self.cells[name], rows, keys)

    def redraw(self, name: str, rows: np.ndarray, anywhere: bool) -> None:
        """Draws cells of a number again so that its condition holds: in the bin they are in, or in any."""
        part, column = self.layout.parts[self.layout.part_of[name]], self.cells[name]
        if not len(rows) or not isinstance(part, Number):
            return
        condition = self.conditions.get(name)
        low, high, scale = -np.inf, np.inf, part.fine
        ticks = part.grain.ticks(column)[rows]
        if condition is not None and condition.kind == "range":
            low = part.beside(np.array([condition.low]), 1, False)[0]
            high = part.beside(np.array([condition.high]), -1, False)[0]
        if part.lowers or np.isnan(ticks).any():
            ticks = np.where(np.isnan(ticks), low if np.isfinite(low) else high, ticks)
            self.cells[name] = put(column, rows, part.grain.array(np.clip(ticks, low, high)))
            return
        weights = only(scale, low, high)
        if condition is not None and condition.kind == "not" and condition.cell is not None and not condition.missing:
            weights = weights * (scale.lows != part.grain.ticks(condition.cell)[0])
            anywhere = True
        if not weights.sum() > 0:
            raise FitError(f"no training row has {name}={condition.text if condition else ''}; give values that occur.")
        bins = draw(weights, len(rows), self.rng) if anywhere else scale.bins(ticks)
        near, far = np.maximum(scale.lows[bins], low), np.minimum(scale.highs[bins], high)
        drawn = near + self.rng.random(len(rows)) * np.maximum(far - near, 0)
        drawn = np.clip(np.rint(drawn) if part.grain.whole else drawn, low, high)
        self.cells[name] = put(column, rows, part.grain.array(drawn))

    def differ(self) -> None:
        """Rows that became equal under a `unique` rule are drawn apart, in columns that are not given."""
        for names in self.layout.rules.unique:
            for attempt in range(TRIES):
                rows = np.flatnonzero(repeated([self.cells[name] for name in names]))
                free = [name for name in names if self._loose(name, rows)]
                if not len(rows) or not free:
                    break
                self.redraw(free[attempt % len(free)], rows, attempt >= len(free))

    def _loose(self, name: str, rows: np.ndarray) -> bool:
        part = self.layout.parts[self.layout.part_of[name]]
        return isinstance(part, Number) and not part.lowers and bool((self.firm(name)[rows] < EXACT).all())

    def order(self) -> None:
        """Of two columns in the wrong order, the one that is held less gives way."""
        for _ in range(len(self.layout.rules.orders)):
            for order in self.layout.rules.orders:
                kind = self.layout.columns[order.high].kind
                low, high = (Cells(self.cells).beside(name, kind) for name in (order.low, order.high))
                bad = np.flatnonzero(low >= high if order.strict else low > high)
                if not len(bad):
                    continue
                lower, upper = (self.firm(name)[bad] for name in (order.low, order.high))
                both = (lower == EXACT) & (upper == EXACT)
                if both.any():
                    row = int(bad[both][0]) + 1
                    raise DataError(
                        f"row {row}: the given {order.low!r} and {order.high!r} break the order declared for them."
                    )
                above = Cells(self.cells).beside(order.high, self.layout.columns[order.low].kind)
                self._shift(order.low, bad[lower < upper], above, -1, order.strict)
                self._shift(order.high, bad[lower >= upper], low, 1, order.strict)

    def _shift(self, name: str, rows: np.ndarray, beside: np.ndarray, side: int, strict: bool) -> None:
        if not len(rows):
            return
        part = self.layout.parts[self.layout.part_of[name]]
        if not isinstance(part, Number):
            raise FitError(f"{name!r} cannot be made to fit the cells that are given and the order declared for it.")
        ticks = part.beside(beside[rows], side, strict)
        self.cells[name] = put(self.cells[name], rows, part.grain.array(ticks))

    def solve(self) -> None:
        """Where the result of a formula is given, a column that it is made from is what the result leaves for it.

        Of several that are free, all but one are what was drawn; where none of them can be solved for, they are drawn again.
        """
        formulas = [f for f in self.layout.rules.formulas if isinstance(self._part(f.left), Computed)]
        if not any(f.left in self.held for f in formulas):
            return
        given = dict(self.held)
        for attempt in range(SOLVED):
            self._aim(formulas)
            for _ in formulas:  # what is solved for may be the result of another
                whole = [expanded(f, formulas, self.held) for f in formulas]
                for formula in sorted(whole, key=lambda f: len(self._free(f))):
                    rows = self._at_odds(formula)
                    for name in self._free(formula):
                        rows = self._solve_for(formula, name, rows)
            self._work_out(formulas)
            whole = [expanded(f, formulas, self.held) for f in formulas]
            lost = [(formula, rows) for formula in whole if len(rows := self._at_odds(formula))]
            if not lost:
                return
            formula, rows = lost[0]
            if attempt == SOLVED - 1:
                self._say(formula, int(rows[0]))
            for _, rows in lost:
                for name, held in list(self.held.items()):
                    self.held[name] = held.copy()
                    self.held[name][rows] = given.get(name, np.zeros(self.n, np.int8))[rows]
            for formula, rows in lost:
                for name in self._free(formula):
                    self._again(self._part(name), rows)
                    self.redraw(name, rows[self.firm(name)[rows] == LOOSE], True)
            self._work_out(formulas)

    def _at_odds(self, formula: Formula) -> np.ndarray:
        """The rows in which the given result of a formula is not what it gives."""
        return np.flatnonzero(formula.broken(Cells(self.cells)) & (self.firm(formula.left) == EXACT))

    def _part(self, name: str) -> Part:
        return self.layout.parts[self.layout.part_of[name]]

    def _free(self, formula: Formula) -> list[str]:
        """The columns on the right that are not given in every row; those of which there are most values first."""
        names = [n for n in formula.rule.columns(formula.right) if not (self.firm(n) == EXACT).all()]
        grain = {n: getattr(self._part(n), "grain", None) for n in names}
        return sorted(names, key=lambda n: -getattr(grain[n], "unit", 0.0))

    def _aim(self, formulas: Sequence[Formula]) -> None:
        """Results that are to lie in a range, or not to be a value, are given one that is so."""
        for name in {f.left for f in formulas} & set(self.conditions):
            condition, part = self.conditions[name], self._part(name)
            rows = np.flatnonzero(~condition.holds(Cells(self.cells)) & present(self.cells[name]))
            if condition.kind != "range" or not len(rows) or not isinstance(part, Computed):
                continue
            now = part.grain.natural(part.grain.ticks(self.cells[name].take(pa.array(rows))))
            low = condition.low if np.isfinite(condition.low) else np.minimum(now, condition.high)
            high = condition.high if np.isfinite(condition.high) else np.maximum(now, condition.low)
            aim = low + self.rng.random(len(rows)) * (high - low)
            ticks = np.rint(aim * part.grain.unit) if part.grain.whole else aim
            self.cells[name] = put(self.cells[name], rows, part.grain.array(ticks))
            self.hold(name, rows, EXACT)

    def _solve_for(self, formula: Formula, name: str, rows: np.ndarray) -> np.ndarray:
        """Solves a formula for a column in those of `rows` where it is free; the rows that are left.

        Where another column might give way too, it stays within what training rows have.
        """
        part = self._part(name)
        mine = rows[self.firm(name)[rows] < EXACT]
        if not len(mine) or not isinstance(part, (Number, Computed)):
            return rows
        some = Cells({n: column.take(pa.array(mine)) for n, column in self.cells.items()})
        ticks, _ = solved(formula, part if isinstance(part, Number) else _plain(part), some)
        good = ~np.isnan(ticks)
        if isinstance(part, Number) and not part.lowers:
            others = [n for n in formula.rule.columns(formula.right) if n != name]
            alone = (
                np.all([self.firm(n)[mine] == EXACT for n in others], axis=0) if others else np.ones(len(mine), bool)
            )
            good &= alone | (ticks >= part.fine.lows[0]) & (ticks <= part.fine.highs[-1])
        made = put(self.cells[name], mine[good], part.grain.array(ticks[good]))
        if name in self.conditions:
            good &= self.conditions[name].holds(Cells({name: made}))[mine]
            made = put(self.cells[name], mine[good], part.grain.array(ticks[good]))
        self.cells[name] = made
        self.hold(name, mine[good], EXACT)
        return np.setdiff1d(rows, mine[good])

    def _work_out(self, formulas: Sequence[Formula]) -> None:
        """Results that are not given, each after those that it is made from."""
        place = {name: i for i, name in enumerate(self.layout.rules.sequence)}
        for formula in sorted(formulas, key=lambda f: place[f.left]):
            part = self._part(formula.left)
            rows = np.flatnonzero(formula.broken(Cells(self.cells)) & (self.firm(formula.left) < EXACT))
            if len(rows) and isinstance(part, Computed):
                value = formula.value(Cells(self.cells))[rows]
                ticks = np.rint(value * part.grain.unit) if part.grain.whole else value
                self.cells[formula.left] = put(self.cells[formula.left], rows, part.grain.array(ticks))

    def _say(self, formula: Formula, row: int) -> None:
        """Raises FitError that says why no cells keep a formula in a row."""
        names = formula.rule.columns(formula.right)
        free = [n for n in names if self.firm(n)[row] < EXACT]
        given = ", ".join(
            f"{n} = {self.cells[n][row].as_py()}" for n in (formula.left, *(n for n in names if n not in free))
        )
        if not free:
            raise FitError(
                f"row {row + 1}: the given {formula.left!r} is not what {formula.rule.text!r} gives ({given}); give what it is "
                "made from, or other cells."
            )
        raise FitError(_unsolved(self.layout, formula, free, given, Cells(self.cells), row))

    def compute(self) -> None:
        """Formulas are worked out again where what they are made from was put back."""
        for formula in self.layout.rules.formulas:
            part = self.layout.parts[self.layout.part_of[formula.left]]
            value, wrong = formula.value(Cells(self.cells)), formula.broken(Cells(self.cells))
            given = wrong & (self.firm(formula.left) == EXACT)
            if given.any():
                raise FitError(
                    f"row {int(given.argmax()) + 1}: the given {formula.left!r} is not what {formula.rule.text!r} gives; "
                    "give what it is made from."
                )
            rows = np.flatnonzero(wrong)
            if len(rows) and isinstance(part, Computed):
                ticks = np.rint(value[rows] * part.grain.unit) if part.grain.whole else value[rows]
                self.cells[formula.left] = put(self.cells[formula.left], rows, part.grain.array(ticks))

    def mend(self) -> None:
        """Rows that break a rule are drawn again in columns that are not given, what follows `then` first."""
        rules = self.layout.rules.declared
        for attempt in range(TRIES):
            found = self.layout.rules.broken(Cells(self.cells)).items()
            broken = {text: bad for text, bad in found if bad.any() and isinstance(rules.get(text), Rule)}
            if not broken:
                return
            for text, bad in broken.items():
                rule = rules[text]
                assert isinstance(rule, Rule)
                for name in rule.columns(rule.then if attempt < TRIES // 2 else None):
                    self._again(self.layout.parts[self.layout.part_of[name]], np.flatnonzero(bad))
            self.order()
            self.compute()

    def _again(self, part: Part, rows: np.ndarray) -> None:
        """Draws a part anew, as often as training rows have it, in those of `rows` where none of its cells is given."""
        rows = rows[np.all([self.firm(name)[rows] == 0 for name in part.names], axis=0)]
        if not len(rows) or not isinstance(part, (Number, Choice)):
            return
        codes = draw(part.counts(True).astype(np.float64), len(rows), self.rng)
        made = Cells({name: column.take(pa.array(rows)) for name, column in self.cells.items()})
        for name, column in part.decode(codes, self.rng.random(len(rows)), made, True, None).items():
            self.cells[name] = put(self.cells[name], rows, column)

    def check(self) -> None:
        """Raises FitError unless every condition and every rule holds."""
        for name, condition in self.conditions.items():
            lost = int((~condition.holds(Cells(self.cells))).sum())
            if lost:
                raise FitError(f"{lost:,} rows cannot keep {name}={condition.text} and the declared rules; widen it.")
        inferred = {unique_text((column.name,)): column.name for column in self.layout.schema.columns if column.unique}
        for text, bad in self.layout.broken(Cells(self.cells)).items():
            if text in inferred and [inferred[text]] not in self.layout.declared_unique:
                bad = bad & (self.firm(inferred[text]) < EXACT)  # whoever gives a value twice wants it twice
            if bad.any():
                rows = f"{int(bad.sum()):,} row{'s' if bad.sum() > 1 else ''}"
                raise FitError(f"{rows} cannot keep both what is given and the rule {text!r}; give other cells.")
