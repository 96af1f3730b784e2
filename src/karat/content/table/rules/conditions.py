"""What a person fixes in advance: conditions such as `income=>50K, age=30..40`, and rows of which some cells are given.

Fixed cells become codes that a generator completes; afterwards they are put back exactly as they were given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.convert import cell, logical
from karat.content.table.encoding.coding import NAMED, NUMBERS, draw, present
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Choice, Constant, Presence, Side, Standing
from karat.content.table.encoding.parts import Number, Phase
from karat.content.table.encoding.scales import only
from karat.content.table.rules.expressions import Cells, cells_of, unknown
from karat.content.table.schema.columns import Column
from karat.errors import DataError, FitError

SIGNS = "=<>"  # one of which makes a text a condition, unless it is a file
FORMS = "Conditions are column=value, column!=value, and column=low..high, of which one end may be left out."


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
        return False
    first = re.match(r'(?:"(?:[^"]|"")*"|[^,"])*', text)  # what is before the first comma outside of quotes
    return there or first is None or not any(sign in first[0] for sign in SIGNS)


def parse_given(text: str, layout: Layout, source: str) -> Given:
    """Conditions by column, from `column=value`, `column!=value` and `column=low..high` with commas between.

    The first `=` ends the name. A value is spelled as the file prints it, in double quotes where it holds a comma; none
    at all is a missing cell. Raises DataError with the nearest name or value that is known.
    """
    out: Given = {}
    for name, negated, value, quoted in pieces(text):
        if name not in layout.columns:
            raise DataError(
                f"the condition {_short(text)!r} is on {_short(name)!r}, {unknown(name, list(layout.columns))}"
            )
        if name in out:
            raise DataError(
                f"the condition {_short(text)!r} speaks of {name!r} twice; give one value, or a range low..high."
            )
        out[name] = _condition(layout, layout.columns[name], negated, value, quoted, source)
    if not out:
        raise DataError("the condition is empty; wanted such as income=>50K, age=30..40.")
    return out


def pieces(text: str) -> list[tuple[str, bool, str, bool]]:
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
                raise DataError(f"the condition {_short(text)!r} has no '=' behind {name!r}.")
            rest = rest[1:]
        else:
            name, equals, rest = rest.partition("=")
            rest = rest.removeprefix("=")  # as in programs
            if not equals:
                raise DataError(
                    f"the condition {_short(text)!r} holds {_short(name.strip())!r} without '='; quote a value that holds a "
                    f"comma. {FORMS}"
                )
            if name.rstrip().endswith(("<", ">")):
                raise DataError(
                    f"the condition {_short(text)!r} compares {_short(name.strip()[:-1].strip())!r} by {name.strip()[-1]}=. {FORMS}"
                )
            negated = name.rstrip().endswith("!")
            name = name.rstrip().removesuffix("!").strip()
        rest = rest.lstrip()
        quoted = rest.startswith('"')
        if quoted:
            value, rest = _quoted(rest, text)
            rest = rest.lstrip()
            if rest and not rest.startswith(","):
                raise DataError(
                    f"the condition {_short(text)!r} has {rest[:10]!r} behind a quoted value; wanted a comma."
                )
            rest = rest[1:].lstrip()
        else:
            value, _, rest = rest.partition(",")
            value, rest = value.strip(), rest.lstrip()
        out.append((name, negated, value, quoted))
    return out


def in_quotes(text: str) -> str:
    """A name or a value as a condition may hold it, whatever is in it."""
    return '"' + text.replace('"', '""') + '"'


def _short(text: str) -> str:
    """A text for a message, which says no more of it than one reads."""
    return text if len(text) <= 160 else f"{text[:157]}..."


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
    raise DataError(f"the condition {_short(text)!r} opens a quote that never closes.")


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
            raise DataError(out_of_vocabulary(column.name, value, known))
    if isinstance(part, Constant) and (part.value is None or one[0].as_py() != part.value):
        raise DataError(f"{column.name}={value}: that column has no other value than {part.value!r}.")
    return Condition(column.name, kind, value, one)


def balanced(layout: Layout, name: str) -> list[Condition]:
    """One condition for each value that training rows have in the column `name`; FitError where these are not few."""
    few = {column: values for column in layout.columns if (values := _few(layout, column)) is not None}
    if name not in few:
        listed = f"those of few values are {', '.join(map(repr, list(few)[:8]))}" if few else "no column has few values"
        what = (
            "its values are too many, or nothing is learned of it"
            if name in layout.columns
            else "there is no such column"
        )
        raise FitError(f"--balance {name}: {what}; {listed}.")
    return [
        Condition(name, "is", str(one[0].as_py()), one) for one in (few[name][i : i + 1] for i in range(len(few[name])))
    ]


def _few(layout: Layout, name: str) -> pa.Array | None:
    """The values of a choice, or of a number that has no more than a choice may have by name."""
    part = layout.parts[layout.part_of[name]]
    if isinstance(part, Choice):
        return part.choices.values[part.names.index(name)].drop_null().unique()
    if isinstance(part, Number) and not part.relative and part.fine.exact and part.fine.size <= NAMED:
        return part.grain.array(part.fine.lows)
    return None


def out_of_vocabulary(name: str, value: str, known: pa.Array) -> str:
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
        mine = [given[name] for name in ((part.name,) if isinstance(part, Phase) else part.names) if name in given]
        if isinstance(part, Side) and i in layout.coded and {part.low, part.name} & given.keys():
            # few exceptions say too little of a value to be weighed by it
            codes[:, layout.coded.index(i)] = draw(part.counts(True).astype(np.float64), n, rng)
        if not mine or isinstance(part, (Side, Standing)):
            continue
        first = mine[0]
        if isinstance(part, Computed) and not (first.missing and first.kind == "is"):
            if (
                i in layout.coded and len(part.computed) == 1
            ):  # worked out; what it is made from is solved for when the row is made
                codes[:, layout.coded.index(i)] = int(part.missing > 0)
            continue
        if isinstance(part, Computed) and not part.missing:
            raise DataError(f"{part.name}=: no training row has {part.name!r} missing.")
        if first.missing and first.kind == "is" and not isinstance(part, Computed) and not _gone(part):
            raise DataError(f"{first.column}=: no training row has {first.column!r} missing.")
        if i not in layout.coded:
            continue
        if isinstance(part, Number) and part.relative and not first.missing:
            whole = {name: given[name].cell for name in part.needs if name in given and given[name].kind == "is"}
            turns = len(given) == 1 and first.kind == "range" and not (part.bases or isinstance(part, Phase))
            if turns:
                codes[:, layout.coded.index(i)] = draw(_turns(part, first), n, rng)
            if len(whole) < len(part.needs):
                continue  # its distance is not known yet; it is put back when the row is made
            weights = np.zeros(part.size(True))
            weights[part.encode(Cells({name: c for name, c in whole.items() if c is not None}), True, None)[0][0]] = 1
        else:
            weights = _weights(part, mine)
        if not weights.sum() > 0:
            together = " together" if len(mine) > 1 else ""
            raise DataError(f"no training row has {listed(mine)}; give values that occur{together}.")
        codes[:, layout.coded.index(i)] = draw(weights, n, rng)
    return codes


def listed(conditions: Iterable[Condition]) -> str:
    """Conditions as they are typed."""
    return ", ".join(f"{one.column}{'!=' if one.kind == 'not' else '='}{one.text}" for one in conditions)


def coded(layout: Layout, condition: Condition) -> bool:
    """Whether a code of the column alone says whether a condition holds: not what a formula works out, nor a distance."""
    part = layout.parts[layout.part_of[condition.column]]
    apart = isinstance(part, Number) and part.relative and not condition.missing
    return not (apart or isinstance(part, Computed))


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


def _turns(part: Number, condition: Condition) -> np.ndarray:
    """float64 [codes]: how often training rows have each turn of a cycle, as far as a range reaches into it."""
    assert part.cycle is not None
    scale, far = part.fine, 2.0**52
    low = part.beside(np.array([condition.low]), 1, False)
    high = part.beside(np.array([condition.high]), -1, False)
    begun, over = (
        part.cycle.joined(t.astype(np.int64), np.zeros(len(t), np.int64)) for t in (scale.lows, scale.highs + 1)
    )
    first, last = (part.grain.units(np.clip(end, *part.ends)).astype(np.float64) for end in (low, high))
    share = (np.minimum(over, last + part.grain.step) - np.maximum(begun, first)).clip(0, far) / (over - begun)
    weights = scale.counts * share if (low <= part.ends[1]).all() and (high >= part.ends[0]).all() else 0 * share
    if not weights.sum() > 0:
        raise DataError(f"no training row has {listed([condition])}; give values that occur.")
    return np.append(0.0, weights) if part.missing else weights


def given_cells(layout: Layout, table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """int64 [n, columns of Codes]: the codes of partial rows, -1 where a cell is missing or its code not known yet."""
    cells = cells_of(table)
    codes = np.full((len(table), max(1, len(layout.coded))), -1, np.int64)
    there = {name: present(column) for name, column in cells.columns.items()}
    for j, i in enumerate(layout.coded):
        part = layout.parts[i]
        if isinstance(part, Computed):
            continue
        needed = part.needs if isinstance(part, (Number, Side, Standing)) else part.names
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
            listed = ", ".join(
                f"{name}={kind[str(i)]}" for i, name in enumerate(part.names) if kind[str(i)] is not None
            )
            raise DataError(f"row {mine[0] + 1}: no training row has {listed} together.")
        codes[mine] = draw(part.choices.counts * keeps, len(mine), rng)


EXACT, LOOSE = 2, 1  # how firmly a cell is held: it is given, or it lies in a range
