"""Rules that a person declares among the columns of a table, and which of them the coding can hold by itself.

    [[constraint]]
    rule = "start < end"                      an order: the later column is coded as its distance from the earlier
    rule = "total = price * qty"              a formula: the left side is worked out again, not learned
    rule = "tip in (0, round(0.1 * fare, 2))" several formulas: which of them is learned
    rule = "0 <= age <= 120"                  a range: what is made is brought inside
    rule = "if married then spouse is not missing"          anything else: rows that break it are drawn anew
    unique = ["a", "b"]                       no two rows agree in all of these
    together = ["city", "country"]            only combinations that were seen
    rule = "article -> price"                 a dependency: each article has one price
    rule = "article, country -> price"        the same of two columns together
    rule = "-2 <= b - a <= 3"                 a distance: b is coded as its distance from a

With nearly = true a rule has exceptions: they are learned, as often as they occur, and no row is set aside for them.
A missing cell satisfies a rule that it leaves unknown, and is never a duplicate.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import NUMBERS, flat
from karat.content.table.rules.between import Dependency, Near, near_and_sequence, unlike
from karat.content.table.rules.expressions import DAY, Cells, Node, Rule, dependency, moment, parse, unknown
from karat.content.table.schema.columns import LOGICAL, Column, Schema
from karat.errors import DataError

KEYS = ("rule", "unique", "together")
MOST_BROKEN = 0.01  # of the rows; above it the rule, not the rows, is taken to be wrong


@dataclass(frozen=True)
class Bounds:
    """low <= value <= high, without the ends where `above` or `below`; in numbers, days or seconds."""

    low: float = -np.inf
    high: float = np.inf
    above: bool = False
    below: bool = False

    def meet(self, other: Bounds) -> Bounds:
        """What lies in both."""
        low, above = max((self.low, self.above), (other.low, other.above))
        high, open_ = min((self.high, not self.below), (other.high, not other.below))
        return Bounds(low, high, above, not open_)

    def scaled(self, factor: float) -> Bounds:
        """The same in a unit of which so many are one of this."""
        return self if factor == 1 else replace(self, low=self.low * factor, high=self.high * factor)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """bool [n]; NaN holds."""
        low = values <= self.low if self.above else values < self.low
        high = values >= self.high if self.below else values > self.high
        return ~(low | high)


@dataclass(frozen=True)
class Order:
    """`low` < `high` where strict, else <=."""

    low: str
    high: str
    strict: bool


@dataclass(frozen=True)
class Formula:
    """The column `left` is `right` rounded to its places (-1: not rounded); where `nearly`, with exceptions.

    Of a tuple on the right it is one: which, is open.
    """

    left: str
    right: Node
    places: int
    rule: Rule
    nearly: bool = False

    @property
    def alternatives(self) -> tuple[Node, ...]:
        """What stands on the right: one expression, or several of which one gives the left side."""
        return tuple(self.right.elts) if isinstance(self.right, ast.Tuple) else (self.right,)

    def values(self, cells: Cells) -> np.ndarray:
        """float64 [alternatives, n] of the right side, rounded; NaN in all where something in one is missing."""
        cells = cells.together(self.rule.columns(self.right))
        values = np.stack([self.rule.value(node, cells) for node in self.alternatives])
        values = np.where(np.isnan(values).any(0), np.nan, values)
        return np.round(values, self.places) if self.places >= 0 else values

    def value(self, cells: Cells, which: np.ndarray | int = 0) -> np.ndarray:
        """float64 [n] of one alternative, or of that of each row."""
        values = self.values(cells)
        return np.asarray(values[np.maximum(which, 0), np.arange(values.shape[1])])

    def which(self, cells: Cells) -> np.ndarray:
        """int64 [n]: the alternative that the left side is, the first of several; -1 where it is none."""
        off = np.stack([self._off(node, cells) for node in self.alternatives])
        return np.where(off.all(0), -1, np.argmin(off, 0))

    def broken(self, cells: Cells) -> np.ndarray:
        return np.asarray(np.logical_and.reduce([self._off(node, cells) for node in self.alternatives]))

    def _off(self, node: Node, cells: Cells) -> np.ndarray:
        """bool [n]: rows whose left side is known not to be what one alternative gives."""
        places = self.places
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round":
            inner = int(ast.literal_eval(node.args[1])) if len(node.args) == 2 else 0
            node, places = (
                node.args[0],
                inner if places < 0 else min(inner, places),
            )  # a half is rounded up by some, to even by others
        right = self.rule.value(node, cells.together(self.rule.columns(node)))
        left = cells.number(self.left)
        slack = 1e-9 * np.maximum(1.0, np.abs(right)) + (0.5 * 10.0**-places if places >= 0 else 0.0)
        known = ~(np.isnan(left) | np.isnan(right))
        return np.asarray(known & (np.abs(left - np.where(known, right, 0)) > slack))


@dataclass(frozen=True)
class Rules:
    """All rules of a schema, by how they are held. `declared` are those that are checked, by their text.

    depends: all dependencies.   looked_up: those that the coding keeps, one for each column.   near: by column, what it is
    coded from.
    """

    bounds: Mapping[str, Bounds]
    orders: tuple[Order, ...]
    formulas: tuple[Formula, ...]
    together: tuple[tuple[str, ...], ...]
    unique: tuple[tuple[str, ...], ...]
    declared: Mapping[str, Rule | Formula | Bounds]
    sequence: tuple[str, ...]  # columns, each after those that it is made from
    depends: tuple[Dependency, ...] = ()
    looked_up: tuple[Dependency, ...] = ()
    near: Mapping[str, Near] = field(default_factory=dict)

    def broken(self, cells: Cells) -> dict[str, np.ndarray]:
        """bool [n] for each declared rule: the rows that break it. Of equal rows under `unique`, all but the first do."""
        out = {}
        for text, rule in self.declared.items():
            if isinstance(rule, Bounds):
                out[text] = ~rule.holds(cells.number(text.split(" in [")[0]))
            else:
                out[text] = rule.broken(cells)
        for names in self.unique:
            out[unique_text(names)] = repeated([cells.columns[name] for name in names])
        return out


def unique_text(names: Sequence[str]) -> str:
    return f"unique {', '.join(names)}"


def together_text(names: Sequence[str]) -> str:
    return f"together {', '.join(names)}"


def repeated(columns: Sequence[pa.Array]) -> np.ndarray:
    """bool [n]: rows equal to an earlier one in all columns; a row with a missing cell is equal to none."""
    n = len(columns[0])
    key, gone = np.zeros(n, np.int64), np.zeros(n, bool)
    for column in columns:
        codes = column.dictionary_encode().indices
        mine = np.asarray(codes.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int64)
        gone |= mine < 0
        key = np.unique(key * (int(mine.max(initial=0)) + 2) + mine, return_inverse=True)[1]
    out = np.ones(n, bool)
    out[np.unique(key, return_index=True)[1]] = False
    # A row with a missing cell may be the first of its key: no complete row shares that key, as -1 is part of it.
    return out & ~gone


def compile_rules(schema: Schema) -> Rules:
    """The rules of `schema`; DataError names a rule that cannot be read or that contradicts another."""
    columns = {column.name: column for column in schema.columns}
    held = _Held(columns)
    for column in schema.columns:
        held.add_column(column)
    for entry in schema.constraints:
        kind, value, nearly = _entry(entry)
        if kind == "rule":
            held.add_rule(value, nearly)
            continue
        for name in value:
            if name not in columns:
                raise DataError(
                    f"the constraint {kind} = {list(value)} names {name!r}, {unknown(name, tuple(columns))}"
                )
        (held.unique if kind == "unique" else held.together).append(tuple(value))
    joint = [name for group in held.together for name in group]
    if len(set(joint)) < len(joint):
        twice = next(name for name in joint if joint.count(name) > 1)
        raise DataError(f"{twice!r} stands in two 'together' rules (or in one twice); write them as one.")
    made = {formula.left for formula in held.formulas}
    formulas = [formula for formula in held.formulas if formula.left not in joint]
    orders = [order for order in held.orders if order.high not in made and order.high not in joint]
    limits_of = _spread({n: b for n, b in held.bounds.items() if n not in made and n not in joint}, orders, columns)
    edges = [(order.low, order.high) for order in orders]
    edges += [(name, f.left) for f in formulas for name in f.rule.columns(f.right)]
    otherwise = {*made, *joint}
    near, depends, sequence = near_and_sequence(
        held.near, held.depends, otherwise, tuple(columns), edges, held.together
    )
    return Rules(
        limits_of,
        tuple(orders),
        tuple(formulas),
        tuple(held.together),
        tuple(dict.fromkeys(held.unique)),
        held.declared,
        sequence,
        tuple(held.depends),
        depends,
        near,
    )


class _Held:
    """Rules as they are read, by how the coding can hold them."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = columns
        self.spelled = {n: c.values or ("true", "false") for n, c in columns.items() if c.kind == "boolean"}
        self.bounds: dict[str, Bounds] = {}
        self.orders: list[Order] = []
        self.formulas: list[Formula] = []
        self.declared: dict[str, Rule | Formula | Bounds] = {}
        self.together: list[tuple[str, ...]] = []
        self.unique: list[tuple[str, ...]] = []
        self.depends: list[Dependency] = []
        self.near: list[Near] = []

    def add_column(self, column: Column) -> None:
        """What the column itself says: that it is unique, and its bounds."""
        if column.unique:
            self.unique.append((column.name,))
        if column.low is None and column.high is None:
            return
        if column.kind not in NUMBERS:
            raise DataError(
                f"the column {column.name!r} is {column.kind} and has a low or high; numbers and dates can."
            )
        limits = Bounds(
            -np.inf if column.low is None else float(column.low), np.inf if column.high is None else float(column.high)
        )
        self.bounds[column.name] = limits
        self.declared[f"{column.name} in [{limits.low:g}, {limits.high:g}]"] = limits

    def add_rule(self, text: str, nearly: bool = False) -> None:
        pair = dependency(text, tuple(self.columns))
        if pair is not None:
            self.depends.append(Dependency(*pair, nearly))
            return
        rule = parse(text, tuple(self.columns), self.spelled)
        _one_clock(rule, self.columns)
        for part in _parts(rule):
            sort = _sort(part, self.columns)
            if isinstance(sort, Near) or isinstance(sort, Order) and nearly:
                self.near.append(Near(sort.low, sort.high, nearly, sort.strict))
            elif isinstance(sort, Order):
                self.orders.append(sort)
            elif isinstance(sort, Formula) and sort.left not in [f.left for f in self.formulas]:
                self.formulas.append(replace(sort, nearly=nearly))
            elif isinstance(sort, tuple) and isinstance(sort[1], Bounds) and not nearly:
                self.bounds[sort[0]] = self.bounds.get(sort[0], Bounds()).meet(sort[1])
            elif isinstance(sort, tuple) and not isinstance(sort[1], Bounds):
                self.together.append((str(sort[0]), str(sort[1])))
            if not nearly:
                self.declared[text if part is rule else part.text] = sort if isinstance(sort, Formula) else part


def _one_clock(rule: Rule, columns: Mapping[str, Column]) -> None:
    """DataError where a rule compares or counts with datetimes of which one has a time zone and another has none."""
    parts = [part for part in (rule.then, rule.when) if part is not None]
    for node in [n for part in parts for n in ast.walk(part) if isinstance(n, ast.Compare)]:
        own = [columns[name] for name in rule.columns(node) if columns[name].kind in ("date", "datetime")]
        aware = [c for c in own if c.zone]
        local = any(c.zone != "UTC" for c in aware)  # where a day begins at another time than in UTC
        plain = [c for c in own if not c.zone and (c.kind == "datetime" or local)]
        if aware and plain:
            zone = aware[0].zone if aware[0].zone != "mixed" else "UTC"
            raise DataError(
                f"the rule {rule.text!r} compares {aware[0].name!r}, which has a time zone ({aware[0].zone}), with "
                f"{plain[0].name!r}, which has none: which is first cannot be told. Say its zone in the schema, as in "
                f'{plain[0].name} = {{ kind = "datetime", format = "{_format(plain[0])}", zone = "{zone}" }}, or take '
                "the rule away."
            )


def _format(column: Column) -> str:
    return column.format or ("%Y-%m-%d" if column.kind == "date" else "%Y-%m-%d %H:%M:%S")


def _entry(entry: Mapping[str, Any]) -> tuple[str, Any, bool]:
    """What an entry declares: of which kind, what, and whether only nearly."""
    keys, nearly = [key for key in entry if key in KEYS], entry.get("nearly", False)
    if len(keys) != 1 or set(entry) - {keys[0], "nearly"} or "nearly" in entry and keys[0] != "rule":
        raise DataError(
            f"the constraint {dict(entry)} is not understood; wanted one of rule, unique, together, and with a rule perhaps "
            "nearly = true."
        )
    if type(nearly) is not bool:
        raise DataError(f"the constraint nearly = {nearly!r} is neither true nor false.")
    value = entry[keys[0]]
    if keys[0] == "rule":
        if not isinstance(value, str):
            raise DataError(f'the constraint rule = {value!r} is no text; wanted such as rule = "start < end".')
        return "rule", value, nearly
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(name, str) for name in value):
        raise DataError(f"the constraint {keys[0]} = {value!r} is no list of columns.")
    if keys[0] == "together" and len(value) < 2:
        raise DataError(f"the constraint together = {list(value)} has one column; wanted two or more.")
    return keys[0], value, False


def _parts(rule: Rule) -> list[Rule]:
    """The rule, a chain such as a < b < c as its links, and what follows from them where something between is missing: a < c."""
    node = rule.then
    if rule.when is not None or not isinstance(node, ast.Compare) or len(node.ops) == 1:
        return [rule]
    parts, sides = [], [node.left, *node.comparators]
    for i, left in enumerate(sides):
        for j in range(i + 1, len(sides)):
            follows = _follows(node.ops[i:j])
            if follows is not None and (j == i + 1 or rule.columns(left) and rule.columns(sides[j])):
                parts.append(replace(rule, then=ast.Compare(left, [follows], [sides[j]])))
    words = [_spelled(part) for part in parts]
    return [replace(part, text=f"{rule.text}: {word}") for part, word in zip(parts, words, strict=True)]


def _follows(ops: Sequence[ast.cmpop]) -> ast.cmpop | None:
    """The comparison of the ends of a chain with these comparisons; None where nothing follows."""
    if len(ops) == 1:
        return ops[0]
    for strict, loose in ((ast.Lt, ast.LtE), (ast.Gt, ast.GtE)):
        if all(isinstance(op, (strict, loose, ast.Eq)) for op in ops) and not all(isinstance(op, ast.Eq) for op in ops):
            return strict() if any(isinstance(op, strict) for op in ops) else loose()
    return None


def _spelled(rule: Rule) -> str:
    text = ast.unparse(rule.then)
    for i in reversed(range(len(rule.names))):
        text = text.replace(f"KARAT_COLUMN_{i}", rule.names[i])
    return text


def _sort(
    rule: Rule, columns: Mapping[str, Column]
) -> Order | Near | Formula | tuple[str, Bounds] | tuple[str, str] | None:
    """How the coding can hold a rule by itself; None where it cannot."""
    node = rule.then
    if rule.when is not None or not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    op, right = node.ops[0], node.comparators[0]
    if isinstance(op, ast.Eq):
        return _equation(rule, node.left, right, columns)
    if isinstance(op, ast.In) and isinstance(right, ast.Tuple) and len(right.elts) > 1 and rule.columns(right):
        found = _equation(rule, node.left, right, columns)
        return found if isinstance(found, Formula) else None
    if not isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
        return None
    a, b = rule.name(node.left), rule.name(right)
    strict, rising = isinstance(op, (ast.Lt, ast.Gt)), isinstance(op, (ast.Lt, ast.LtE))
    if a is not None and b is not None:
        kinds = {columns[a].kind, columns[b].kind}
        if not kinds <= set(NUMBERS) or (
            len(kinds) > 1 and kinds not in ({"integer", "decimal"}, {"date", "datetime"})
        ):
            raise DataError(
                f"the rule {rule.text!r} compares {columns[a].kind} with {columns[b].kind}; both must be numbers, "
                "dates or datetimes, or of one kind."
            )
        return Order(a, b, strict) if rising else Order(b, a, strict)
    name, other = (a, right) if a is not None else (b, node.left)
    if a is None and b is None:
        return _distance(rule, node.left, columns) or _distance(rule, right, columns)
    if name is None or columns[name].kind not in NUMBERS:
        return None
    limit = _constant(other, columns[name], rule.text)
    if limit is None:
        return None
    if rising == (a is not None):  # name < limit
        return name, Bounds(high=limit, below=strict)
    return name, Bounds(low=limit, above=strict)


def _distance(rule: Rule, node: Node, columns: Mapping[str, Column]) -> Near | None:
    """The distance that `node` is: one column less another of its kind."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
        return None
    high, low = rule.name(node.left), rule.name(node.right)
    if high is None or low is None or high == low:
        return None
    kinds = {columns[name].kind for name in (low, high)}
    alike = len(kinds) == 1 or kinds in ({"integer", "decimal"}, {"date", "datetime"})
    return Near(low, high) if alike and kinds <= set(NUMBERS) else None


def _equation(
    rule: Rule, left: ast.expr, right: ast.expr, columns: Mapping[str, Column]
) -> Formula | tuple[str, str] | None:
    """The formula of a column of numbers, or two columns of words that go together."""
    a, b = rule.name(left), rule.name(right)
    if a is None:
        return None
    kind = columns[a].kind
    if b is not None and kind not in NUMBERS and columns[b].kind not in NUMBERS:
        return (a, b)
    if kind not in NUMBERS or not rule.columns(right) or a in rule.columns(right):
        return None
    kinds = {columns[name].kind for name in (a, *rule.columns(right))}
    if {"date", "datetime"} <= kinds and kind in ("date", "datetime"):
        raise DataError(
            f"the rule {rule.text!r} works out {a!r} from dates and datetimes at once; bring them to one kind, "
            f'such as [columns] {a} = {{ kind = "datetime", format = "%Y-%m-%d" }}.'
        )
    places = columns[a].places if kind == "decimal" else 6 if kind in ("datetime", "time") else 0
    return Formula(a, right, places, rule)


def _constant(node: Node, column: Column, text: str) -> float | None:
    """The number, days or seconds that a literal stands for beside `column`."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    if isinstance(value, str):
        return moment(value, LOGICAL[column.kind], text)
    return float(value) if isinstance(value, (int, float)) else None


def _spread(bounds: dict[str, Bounds], orders: Sequence[Order], columns: Mapping[str, Column]) -> dict[str, Bounds]:
    """The bounds, those of one side of each order brought to the other."""
    out = dict(bounds)
    unit = {name: DAY if column.kind == "date" else 1.0 for name, column in columns.items()}
    for _ in range(len(orders)):
        before = dict(out)
        for order in orders:
            low, high = out.get(order.low, Bounds()), out.get(order.high, Bounds())
            same = columns[order.low].kind == columns[order.high].kind
            up = 1.0 if same else unit[order.low] / unit[order.high]
            beyond, below = high.scaled(1 / up), low.scaled(up)
            out[order.low] = low.meet(Bounds(high=beyond.high, below=beyond.below or order.strict))
            out[order.high] = high.meet(Bounds(low=below.low, above=below.above or order.strict))
        if out == before:
            break
    for name, limits in out.items():
        if limits.low > limits.high or (limits.low == limits.high and (limits.above or limits.below)):
            raise DataError(f"the rules leave no value for {name!r}: at least {limits.low:g}, at most {limits.high:g}.")
    return out


def check(rules: Rules, table: pa.Table, place: str, first_line: int) -> tuple[np.ndarray, list[str]]:
    """bool [n], the rows that break no rule, and a note on each rule that some break.

    first_line: the line of the first row in its file, 0 where it has no lines. DataError where more than 1 % of the rows
    break a rule.
    """
    good, notes = np.ones(len(table), bool), []
    cells = Cells({name: flat(table[name]) for name in table.column_names})
    found = rules.broken(cells)
    for one in rules.depends:
        if not one.nearly:
            found[one.text] = unlike([cells.columns[name] for name in one.left], cells.columns[one.right])
    for text, bad in found.items():
        count = int(bad.sum())
        if not count:
            continue
        row = int(bad.argmax())
        where = f"line {row + first_line}" if first_line else f"row {row + 1}"
        message = f"{count:,} of {len(bad):,} rows break the rule '{text}', the first in {where}"
        if count > MOST_BROKEN * len(bad):
            raise DataError(f"{place}: {message}. At most {MOST_BROKEN:.0%} may; mend the data or take the rule away.")
        good &= ~bad
        notes.append(f"{message}; they were set aside.")
    return good, notes
