"""What a person fixes in advance: conditions such as `income=>50K, age=30..40`, and rows of which some cells are given.

Fixed cells become codes that a generator completes; afterwards they are put back exactly as they were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.errors import DataError, FitError
from karat.modalities.coding import NUMBERS, draw, only, present
from karat.modalities.columns import Column
from karat.modalities.constraints import unique_text
from karat.modalities.convert import cell, logical, put
from karat.modalities.expressions import Cells, cells_of, unknown
from karat.modalities.layout import Layout
from karat.modalities.parts import Choice, Computed, Constant, Number, Presence


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
                    f"the condition {text!r} holds {name.strip()!r} without '='; quote a value that holds a comma."
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


def _strange(name: str, value: str, known: pa.Array) -> str:
    words = [str(word) for word in known.drop_null().unique()[:20_000].to_pylist()]
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
        if isinstance(part, Computed) and not (first.missing and first.kind == "is" and part.missing):
            raise FitError(f"{part.name!r} is worked out by a formula; give the columns that it is made from.")
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
    cells = dict(cells_of(decoded).columns)
    fixed: dict[str, np.ndarray] = {}
    n = len(decoded)
    if isinstance(given, pa.Table):
        for name, column in cells_of(given).columns.items():
            rows = np.flatnonzero(present(column))
            fixed[name] = present(column)
            if len(rows):
                cells[name] = put(cells[name], rows, column.take(pa.array(rows)))
    else:
        for name, condition in given.items():
            fixed[name] = np.full(n, condition.kind == "is")
            if condition.kind == "is":
                assert condition.cell is not None
                cells[name] = condition.cell.take(pa.array(np.zeros(n, np.int64)))
            else:
                cells[name] = _inside(layout, cells, condition, rng)
    none = np.zeros(n, bool)
    for _ in range(len(layout.rules.orders)):
        for order in layout.rules.orders:
            low, high = (Cells(cells).number(name) for name in (order.low, order.high))
            bad = np.flatnonzero(low >= high if order.strict else low > high)
            if not len(bad):
                continue
            lower, upper = (fixed.get(name, none)[bad] for name in (order.low, order.high))
            if (lower & upper).any():
                row = int(bad[lower & upper][0]) + 1
                raise DataError(
                    f"row {row}: the given {order.low!r} and {order.high!r} break the order declared for them."
                )
            for name, rows, natural, side in (
                (order.low, bad[~lower], high, -1),
                (order.high, bad[lower], low, 1),
            ):
                part = layout.parts[layout.part_of[name]]
                if len(rows) and not isinstance(part, Number):
                    raise FitError(
                        f"{name!r} cannot be made to fit the {order.low!r} and {order.high!r} that are given."
                    )
                if len(rows) and isinstance(part, Number):
                    ticks = part.beside(natural[rows], side, order.strict)
                    cells[name] = put(cells[name], rows, part.grain.array(ticks))
    for formula in layout.rules.formulas:
        part = layout.parts[layout.part_of[formula.left]]
        value = formula.value(Cells(cells))
        wrong = formula.broken(Cells(cells))
        if (wrong & fixed.get(formula.left, none)).any():
            row = int((wrong & fixed[formula.left]).argmax()) + 1
            raise FitError(
                f"row {row}: the given {formula.left!r} is not what {formula.rule.text!r} gives; give what it is made from."
            )
        rows = np.flatnonzero(wrong)
        if len(rows) and isinstance(part, Computed):
            ticks = np.rint(value[rows] * part.grain.unit) if part.grain.whole else value[rows]
            cells[formula.left] = put(cells[formula.left], rows, part.grain.array(ticks))
    uniques = {unique_text(names) for names in layout.rules.unique}
    for text, bad in layout.broken(Cells(cells)).items():
        if bad.any() and text not in uniques:
            raise FitError(
                f"{int(bad.sum()):,} rows cannot keep both what is given and the rule {text!r}; give other cells."
            )
    return pa.table([cells[name] for name in layout.names], names=list(layout.names))


def _inside(layout: Layout, cells: Mapping[str, pa.Array], condition: Condition, rng: np.random.Generator) -> pa.Array:
    """The column, cells that do not keep a range or a `!=` drawn again from the bins that do."""
    column = cells[condition.column]
    rows = np.flatnonzero(~condition.holds(Cells(cells)))
    part = layout.parts[layout.part_of[condition.column]]
    if not len(rows) or not isinstance(part, Number):
        return column
    if condition.kind == "not":
        scale = part.fine
        other = scale.lows[draw(scale.counts * (scale.lows != part.grain.ticks(column)[rows[0]]), len(rows), rng)]
        return put(column, rows, part.grain.array(other + np.zeros(len(rows))))
    low, high = (
        part.beside(np.array([condition.low]), 1, False)[0],
        part.beside(np.array([condition.high]), -1, False)[0],
    )
    ticks = part.grain.ticks(column)[rows]
    if part.lowers or np.isnan(ticks).any():
        ticks = np.where(np.isnan(ticks), low if np.isfinite(low) else high, ticks)
        return put(column, rows, part.grain.array(np.clip(ticks, low, high)))
    bins = part.fine.bins(ticks)
    near, far = np.maximum(part.fine.lows[bins], low), np.minimum(part.fine.highs[bins], high)
    drawn = near + rng.random(len(rows)) * np.maximum(far - near, 0)
    return put(column, rows, part.grain.array(np.clip(np.rint(drawn) if part.grain.whole else drawn, low, high)))
