"""Formulas over columns, in a small part of Python's grammar: parsed by `ast`, walked by hand, never evaluated as code.

    total = round(price * qty, 2)      0 <= age <= 120      if status = 'paid' then paid_on is not missing
    salary is missing iff employed = 'no'

Names are headers as they are; one that could be mistaken for something else stands in `backquotes`. Truth is SQL's:
what a missing cell leaves unknown is unknown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from types import MappingProxyType
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.encoding.coding import flat, present, whole_units
from karat.errors import DataError

Node = ast.expr
MARK = "KARAT_COLUMN_"  # before the number of a column, in what `ast` reads
EPOCH = date(1970, 1, 1)
DAY = 86_400.0  # seconds
ARITHMETIC: Mapping[type[ast.operator], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
FUNCTIONS = ("round", "round_up", "round_down", "min", "max", "abs", "add_months", "either")
NEAR = 1e-9  # relative difference below which two computed numbers are equal


@dataclass(frozen=True)
class Truth:
    """Three-valued: `yes` and `known` are bool [n]; where not known, `yes` is False."""

    yes: np.ndarray
    known: np.ndarray

    def __invert__(self) -> Truth:
        return Truth(self.known & ~self.yes, self.known)

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.yes & other.yes, (self.known & other.known) | self.false | other.false)

    def __or__(self, other: Truth) -> Truth:
        return ~(~self & ~other)

    @property
    def false(self) -> np.ndarray:
        return np.asarray(self.known & ~self.yes)


@dataclass(frozen=True)
class Cells:
    """What a formula is worked out over: columns by name.

    seconds: dates count in seconds, as datetimes do, so that both can stand in one expression: a date is its first moment.
    """

    columns: Mapping[str, pa.Array]
    seconds: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def number(self, name: str) -> np.ndarray:
        """float64 [n], NaN where missing: numbers themselves, days of dates, seconds of datetimes and times."""
        column = self.columns[name]
        if pa.types.is_floating(column.type):
            return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
        out = whole_units(column).astype(np.float64)
        if pa.types.is_timestamp(column.type) or pa.types.is_time(column.type):
            out /= 1e6
        elif self.seconds and pa.types.is_date(column.type):
            out *= DAY
        if column.null_count:
            out[~present(column)] = np.nan
        return out

    def beside(self, name: str, kind: str) -> np.ndarray:
        """The same in the unit of a column of that kind: days beside a date, seconds beside a datetime."""
        column = self.columns[name].type
        if kind == "date" and pa.types.is_timestamp(column):
            return self.number(name) / DAY
        if kind == "datetime" and pa.types.is_date(column):
            return self.number(name) * (1 if self.seconds else DAY)
        return self.number(name)

    def together(self, names: Sequence[str]) -> Cells:
        """The same cells, in seconds where these columns are dates and datetimes."""
        kinds = [self.columns[name].type for name in names if name in self.columns]
        mixed = any(map(pa.types.is_date, kinds)) and any(map(pa.types.is_timestamp, kinds))
        return replace(self, seconds=True) if mixed and not self.seconds else self

    def numeric(self, name: str) -> bool:
        kind = self.columns[name].type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind))


def cells_of(table: pa.Table) -> Cells:
    """The columns of a table, each in one piece."""
    return Cells({name: flat(table[name]) for name in table.column_names})


def ceiled(x: np.ndarray) -> np.ndarray:
    """float64 [n]: rounded up, but for what is whole as far as a float can tell."""
    return np.asarray(np.ceil(x - NEAR * np.maximum(1.0, np.abs(x))))


def floored(x: np.ndarray) -> np.ndarray:
    """float64 [n]: rounded down, in the same way."""
    return np.asarray(-ceiled(-x))


_ALONE: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"round_up": ceiled, "round_down": floored, "abs": np.abs}
FAR = 120_000  # months from 1970, about, beyond which there is no date


def months_after(days: np.ndarray, many: np.ndarray) -> np.ndarray:
    """float64 [n]: `days` [n] since 1970 and so `many` [n] months later, the last day of a month that has no such one; NaN kept."""
    known = (
        ~(np.isnan(days) | np.isnan(many))
        & (np.abs(np.nan_to_num(many)) <= FAR)
        & (np.abs(np.nan_to_num(days)) < 32 * FAR)
    )
    whole, rest = np.divmod(np.where(known, days, 0.0), 1.0)
    day = whole.astype(np.int64).astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    later = month + np.rint(np.where(known, many, 0.0)).astype(np.int64)
    first, following = (x.astype("datetime64[D]").astype(np.int64) for x in (later, later + 1))
    at = first + (day - month.astype("datetime64[D]")).astype(np.int64)
    return np.where(known, np.minimum(at, following - 1) + rest, np.nan)


@dataclass(frozen=True)
class Rule:
    """One rule: `then` holds wherever `when` does, and where `only`, nowhere else.

    names: `names[i]` is the column that stands as number i.
    """

    text: str
    names: tuple[str, ...]
    then: Node
    when: Node | None = None
    only: bool = False

    def columns(self, node: Node | None = None) -> tuple[str, ...]:
        """The columns that `node` (both sides where None) speaks of, in the order of the table."""
        nodes = [n for n in (self.then, self.when) if n is not None] if node is None else [node]
        found = {_number(x) for n in nodes for x in ast.walk(n) if isinstance(x, ast.Name) and _number(x) is not None}
        return tuple(self.names[i] for i in sorted(i for i in found if i is not None))

    def broken(self, cells: Cells) -> np.ndarray:
        """bool [n]: rows in which the rule is false."""
        then = self._truth(self.then, cells)
        if self.when is None:
            return then.false
        when = self._truth(self.when, cells)
        return np.asarray(when.yes & then.false | (when.false & then.yes if self.only else False))

    @property
    def absent(self) -> str | None:
        """The column of which `then` says that it is missing; None where it says something else."""
        node = self.then
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "missing_"
        return self.name(node.args[0]) if called and isinstance(node, ast.Call) else None

    def name(self, node: Node) -> str | None:
        """The column that `node` is, or None."""
        i = _number(node) if isinstance(node, ast.Name) else None
        return None if i is None else self.names[i]

    def value(self, node: Node, cells: Cells) -> np.ndarray:
        """float64 [n] of an arithmetic expression; NaN where unknown."""
        n = len(cells)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return np.full(n, float(node.value))
        name = self.name(node)
        if name is not None:
            if not cells.numeric(name):
                raise DataError(f"the rule {self.text!r} counts with the column {name!r}, which holds no numbers.")
            return cells.number(name)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            value = self.value(node.operand, cells)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            with np.errstate(all="ignore"):
                out = ARITHMETIC[type(node.op)](self.value(node.left, cells), self.value(node.right, cells))
            return np.where(np.isfinite(out), out, np.nan)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args, cells)
        raise DataError(
            f"the rule {self.text!r} holds {ast.unparse(node)!r}; numbers, columns, + - * /, {', '.join(FUNCTIONS)} can be used."
        )

    def _call(self, function: str, args: Sequence[Node], cells: Cells) -> np.ndarray:
        if function == "round" and len(args) in (1, 2):
            places = ast.literal_eval(args[1]) if len(args) == 2 and isinstance(args[1], ast.Constant) else 0
            return np.asarray(np.round(self.value(args[0], cells), int(places)))
        values = [self.value(arg, cells) for arg in args]
        if function in ("min", "max") and len(values) > 1:
            return np.asarray((np.minimum if function == "min" else np.maximum).reduce(values))
        if function == "either" and len(values) > 1:
            out = values[0]
            for value in values[1:]:
                out = np.where(np.isnan(out), value, out)
            return out
        if function in _ALONE and len(values) == 1:
            return _ALONE[function](values[0])
        name = self.name(args[0]) if args else None
        if function == "add_months" and len(values) == 2 and name is not None:
            kind = cells.columns[name].type
            if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
                unit = DAY if pa.types.is_timestamp(kind) or cells.seconds else 1
                return months_after(values[0] / unit, values[1]) * unit
        raise DataError(
            f"the rule {self.text!r} calls {function} with what it does not take; there are round(x, 2), round_up(x), "
            "round_down(x), min(x, y), max(x, y), abs(x), either(x, y) and add_months(date, x)."
        )

    def _truth(self, node: Node, cells: Cells) -> Truth:
        n = len(cells)
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(part, cells) for part in node.values]
            out = parts[0]
            for part in parts[1:]:
                out = out & part if isinstance(node.op, ast.And) else out | part
            return out
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._truth(node.operand, cells)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "missing_":
            name = self.name(node.args[0])
            if name is None:
                raise DataError(f"the rule {self.text!r} asks whether something is missing that is no column.")
            return Truth(~present(cells.columns[name]), np.ones(n, bool))
        if isinstance(node, ast.Compare):
            out = Truth(np.ones(n, bool), np.ones(n, bool))
            left = node.left
            for op, right in zip(node.ops, node.comparators, strict=True):
                out = out & self._compare(left, op, right, cells)
                left = right
            return out
        name = self.name(node)
        if name is not None and pa.types.is_boolean(cells.columns[name].type):
            known = present(cells.columns[name])
            yes = np.asarray(cells.columns[name].fill_null(False).to_numpy(zero_copy_only=False))
            return Truth(yes & known, known)
        raise DataError(f"the rule {self.text!r} holds {ast.unparse(node)!r} where a comparison was wanted.")

    def _compare(self, left: Node, op: ast.cmpop, right: Node, cells: Cells) -> Truth:
        if isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.Tuple, ast.List, ast.Set)):
            out = self._compare(left, ast.Eq(), right.elts[0], cells)
            for one in right.elts[1:]:
                out = out | self._compare(left, ast.Eq(), one, cells)
            return out if isinstance(op, ast.In) else ~out
        words = [self._words(node, cells) for node in (left, right)]
        if words[0] is not None and words[1] is not None and isinstance(op, (ast.Eq, ast.NotEq)):
            if words[0].type != words[1].type:
                raise DataError(f"the rule {self.text!r} compares a word with yes or no; both must be of one kind.")
            same = pc.equal(words[0], words[1])
            if isinstance(same, pa.Scalar):
                same = pa.array([same.as_py()] * len(cells))
            known = present(same)
            out = Truth(np.asarray(same.fill_null(False).to_numpy(zero_copy_only=False)) & known, known)
            return out if isinstance(op, ast.Eq) else ~out
        cells = cells.together([*self.columns(left), *self.columns(right)])
        a, b = self._number_or_date(left, right, cells), self._number_or_date(right, left, cells)
        known = ~(np.isnan(a) | np.isnan(b))
        if isinstance(op, (ast.Eq, ast.NotEq)):
            slack = NEAR * np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
            yes = np.abs(a - b) <= slack
            yes = yes if isinstance(op, ast.Eq) else ~yes
        elif isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
            test = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}[type(op)]
            yes = test(a, b)
        else:
            raise DataError(f"the rule {self.text!r} compares in a way that is not known; use < <= = >= > != or in.")
        return Truth(np.asarray(yes) & known, known)

    def _words(self, node: Node, cells: Cells) -> pa.Array | pa.Scalar | None:
        """The cells of a column of words or truths, or one word; None for anything else."""
        name = self.name(node)
        if name is not None:
            column = cells.columns[name]
            return None if cells.numeric(name) else column
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bool)):
            return pa.scalar(node.value)
        return None

    def _number_or_date(self, node: Node, other: Node, cells: Cells) -> np.ndarray:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = self.name(other)
            if name is not None and cells.numeric(name):
                kind = cells.columns[name].type
                unit = DAY if cells.seconds and pa.types.is_date(kind) else 1
                return np.full(len(cells), moment(node.value, kind, self.text) * unit)
        return self.value(node, cells)


def moment(text: str, kind: pa.DataType, rule: str) -> float:
    """Days, seconds or the number that `text` stands for in a column of Arrow type `kind`; DataError where it is none."""
    try:
        if pa.types.is_date(kind):
            if len(text) > 10:
                return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() / DAY
            return float((date.fromisoformat(text) - EPOCH).days)
        if pa.types.is_timestamp(kind):
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
            return at.timestamp()
        if pa.types.is_time(kind):
            t = time.fromisoformat(text)
            return t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6
        return float(text)
    except ValueError as error:
        raise DataError(
            f"{rule!r} holds {text!r}; that column wants {'a number' if not pa.types.is_temporal(kind) else 'ISO 8601'}."
        ) from error


class _Truths(ast.NodeTransformer):
    """Puts True and False for `true` and `false`, and for the words that columns of truths are compared with."""

    def __init__(self, text: str, names: Sequence[str], spelled: Mapping[str, Sequence[str]]) -> None:
        self.text, self.names, self.spelled = text, names, spelled

    def visit_Name(self, node: ast.Name) -> Node:
        return ast.Constant(node.id == "true") if node.id in ("true", "false") else node

    def visit_Compare(self, node: ast.Compare) -> Node:
        ends = [_number(end) for end in (node.left, *node.comparators) if isinstance(end, ast.Name)]
        for name in [self.names[i] for i in ends if i is not None and self.names[i] in self.spelled]:
            for word in [x for x in ast.walk(node) if isinstance(x, ast.Constant) and isinstance(x.value, str)]:
                if word.value not in self.spelled[name]:
                    listed = " or ".join(map(repr, self.spelled[name]))
                    raise DataError(f"the rule {self.text!r} compares {name!r} with {word.value!r}; it is {listed}.")
                word.value = word.value == self.spelled[name][0]
        return cast(Node, self.generic_visit(node))


def parse(text: str, names: Sequence[str], spelled: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Rule:
    """The rule that `text` declares over columns `names`; DataError says what is not understood.

    spelled: how columns of truths spell true and false.
    """
    marked = _mark(text, names)
    halves = re.fullmatch(r"\s*if\s+(.+?)\s+then\s+(.+)", marked, re.DOTALL)
    both = None if halves else re.fullmatch(r"(.+?)\s+iff\s+(.+)", marked, re.DOTALL)
    sides = halves.groups() if halves else both.groups()[::-1] if both else (marked,)
    try:
        parts = [ast.parse(part.strip(), mode="eval").body for part in sides]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(
            f"the rule {text!r} is not understood. Wanted: a comparison of columns and numbers, "
            "'if ... then ...', or '... iff ...'."
        ) from error
    if len(text) > 2000:
        raise DataError(f"the rule {text[:40]!r}... is {len(text):,} characters long; at most 2,000 are read.")
    parts = [_Truths(text, names, spelled).visit(part) for part in parts]
    for part in parts:
        for node in ast.walk(part):
            known = isinstance(node, ast.Name) and (_number(node) is not None or node.id in (*FUNCTIONS, "missing_"))
            if isinstance(node, ast.Name) and not known:
                raise DataError(f"the rule {text!r} speaks of {node.id!r}, {unknown(node.id, names)}")
    rule = Rule(text, tuple(names), parts[-1], parts[0] if len(parts) == 2 else None, both is not None)
    if not rule.columns():
        raise DataError(f"the rule {text!r} speaks of no column.")
    return rule


def dependency(text: str, names: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """The columns of a rule a -> b or a, b -> c; None for a rule of another form, DataError where it names what is no column."""
    side = r"((?:`[^`]+`|[^`'\"=<>])+)"
    found = re.fullmatch(f"{side}->{side}", text)
    if found is None:
        return None
    whole, right = (one.strip().strip("`") for one in found.groups())
    parts = re.findall(r"(?:`[^`]+`|[^`,])+", found[1])
    left = (whole,) if whole in names else tuple(part.strip().strip("`") for part in parts)
    for name in (*left, right):
        if name not in names:
            raise DataError(f"the rule {text!r} speaks of {name!r}, {unknown(name, names)}")
    if len({*left, right}) <= len(left):
        raise DataError(f"the rule {text!r} says of a column that it goes with itself.")
    return left, right


def unknown(name: str, names: Sequence[str]) -> str:
    """The end of a sentence on a column that is not there, with the nearest that is."""
    near = get_close_matches(name, names, 1, 0.5)
    hint = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(map(repr, names[:5]))}"
    return f"which is no column; {hint}."


def _number(node: ast.Name) -> int | None:
    return int(node.id[len(MARK) :]) if re.fullmatch(MARK + r"\d+", node.id) else None


def _mark(text: str, names: Sequence[str]) -> str:
    """The text with each header as a name that `ast` can read, `=` as `==`, and `is missing` as a call."""
    at = {name: i for i, name in enumerate(names)}
    reserved = {"if", "then", "iff", "and", "or", "not", "in", "is", "missing", *FUNCTIONS}
    heads = sorted((n for n in names if n and n not in reserved), key=len, reverse=True)
    alternatives = "|".join(re.escape(name) for name in heads) if heads else r"(?!)"
    token = re.compile(rf"""(?P<word>'[^']*'|"[^"]*")|`(?P<quoted>[^`]+)`|(?<!\w)(?P<name>{alternatives})(?!\w)""")

    def put(found: re.Match[str]) -> str:
        if found["word"] is not None:
            return found["word"]
        name = found["quoted"] if found["quoted"] is not None else found["name"]
        if name not in at:
            raise DataError(f"the rule {text!r} speaks of {name!r}, {unknown(name, names)}")
        return f"{MARK}{at[name]}"

    marked = token.sub(put, text)
    out = []
    for i, piece in enumerate(re.split(r"""('[^']*'|"[^"]*")""", marked)):
        if i % 2 == 0:
            piece = re.sub(r"(?<![<>=!])=(?!=)", "==", piece).replace("<>", "!=")
            piece = re.sub(rf"\b({MARK}\d+)\s+is\s+not\s+missing\b", r"(not missing_(\1))", piece)
            piece = re.sub(rf"\b({MARK}\d+)\s+is\s+missing\b", r"missing_(\1)", piece)
        out.append(piece)
    return "".join(out)
