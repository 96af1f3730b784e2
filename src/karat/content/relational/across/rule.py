"""What holds between a row and the rows that refer to it: a total and its items, a first order and a customer's signup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from karat.content.relational.database import Database, Family, Relation, amounts
from karat.content.table.mining import evidence
from karat.content.table.mining.formulas.worked import slack_of
from karat.content.table.mining.relation import SHOWN, Form, quoted
from karat.content.table.mining.relation import Relation as Found
from karat.errors import DataError, FitError

Kind = Literal["count", "sum", "min", "max", "first", "last", "=", "<=", ">="]
ROWWISE = ("=", "<=", ">=")
KEPT = 200  # differences of exceptions that are kept
_NAME = r"(`[^`]+`|[^\W\d]\w*)"
_PAIR = rf"{_NAME}\.{_NAME}"
_AGGREGATE = re.compile(rf"{_PAIR} = (?:count\({_NAME}\)|(sum|min|max|first|last)\({_PAIR}(?: \* {_PAIR})?\))")
_ROW = re.compile(rf"{_PAIR} (=|<=|>=) {_PAIR}")


@dataclass(frozen=True)
class Across:
    """The parent's column `name` is the count, sum, ... of the children's `columns`, one or a product of two; or, of kinds =, <=
    and >=, it is so beside that of every child.

    half: by how much a sum may differ, as it is rounded.   found: how often it holds: of parents, and of children where it is
    about each child.   apart: of exceptions, how far the parent's column lies from what it should be.   empty: whether the
    parent's column is missing where there are no children, and loose: whether it may be where there are some.
    """

    relation: Relation
    name: str
    kind: Kind
    columns: tuple[str, ...]
    half: float
    found: Found
    apart: tuple[float, ...] = ()
    empty: bool = False
    loose: bool = False

    @property
    def text(self) -> str:
        """The rule in one line, as a schema has it."""
        return self.found.text

    @property
    def rowwise(self) -> bool:
        """Whether it is about every child, and not about all of one parent."""
        return self.kind in ROWWISE

    @property
    def table(self) -> str:
        """The table whose rows break it."""
        return self.relation.child if self.rowwise else self.relation.parent

    def value(self, data: Database) -> np.ndarray:
        """float64 [parents]: what the parent's column should be; NaN where no child says it."""
        return aggregate(
            self.kind, [amounts(data.cells(self.relation.child, c)) for c in self.columns], data, self.relation
        )

    def gap(self, data: Database) -> np.ndarray:
        """float64 [rows of `table`]: how far a row is from keeping it, 0 where it does, NaN where it says nothing of the row."""
        mine = amounts(data.cells(self.relation.parent, self.name))
        if not self.rowwise:
            should = self.value(data)
            return _beyond(mine - should, slack_of(np.nan_to_num(should), self.half))
        other = amounts(data.cells(self.relation.child, self.columns[0]))
        link = data.links[self.relation]
        if not len(mine):
            return np.full(len(link), np.nan)
        apart = np.where(link >= 0, mine[link], np.nan) - other
        if self.kind != "=":
            apart = np.maximum(apart, 0) if self.kind == "<=" else np.minimum(apart, 0)
        return _beyond(apart, slack_of(np.nan_to_num(other), 0.0))

    def broken(self, data: Database) -> np.ndarray:
        """bool [rows of `table`]: the rows that break it."""
        gap = self.gap(data)
        return np.asarray(~np.isnan(gap) & (gap != 0))

    def counted(self, data: Database) -> Across:
        """The same with the rows of `data` that break it."""
        gap = self.gap(data)
        known = ~np.isnan(gap)
        broken = known & (gap != 0)
        first = tuple(int(i) for i in np.flatnonzero(broken)[:SHOWN])
        found = replace(self.found, rows=int(known.sum()), exceptions=int(broken.sum()), first=first)
        if self.rowwise:
            return replace(self, found=found)
        children = aggregate("count", [], data, self.relation) > 0
        missing = np.isnan(amounts(data.cells(self.relation.parent, self.name)))
        empty = bool(missing[~children].mean() > 0.5) if (~children).any() else False
        some = tuple(np.random.default_rng(0).permutation(gap[broken])[:KEPT].tolist())
        return replace(self, found=found, apart=some, empty=empty, loose=bool((missing & children).any()))

    def state(self) -> dict[str, Any]:
        own = {"child": self.relation.child, "column": self.relation.column, "found": self.found.to_dict()}
        return {**{k: v for k, v in vars(self).items() if k not in ("relation", "found")}, **own}

    @classmethod
    def restore(cls, state: Mapping[str, Any], relations: tuple[Relation, ...]) -> Self:
        by = {(r.child, r.column): r for r in relations}
        return cls(
            by[state["child"], state["column"]],
            state["name"],
            state["kind"],
            tuple(state["columns"]),
            float(state["half"]),
            Found.from_dict(state["found"]),
            tuple(float(x) for x in state["apart"]),
            bool(state["empty"]),
            bool(state["loose"]),
        )


def _beyond(apart: np.ndarray, slack: np.ndarray) -> np.ndarray:
    return np.where(np.abs(apart) <= slack, 0.0, apart)


def rule(
    relation: Relation,
    name: str,
    kind: Kind,
    columns: tuple[str, ...],
    half: float,
    chance: float = 0.0,
    log10_p: float = 0.0,
) -> Across:
    """A rule that is still to be counted."""
    text = text_of(relation, name, kind, columns)
    form: Form = "aggregate" if kind not in ROWWISE else "equal" if kind == "=" else "order"
    found = Found(form, {"rule": text}, (name, *columns), 0, 0, (), chance, log10_p)
    return Across(relation, name, kind, columns, half, found)


def text_of(relation: Relation, name: str, kind: Kind, columns: tuple[str, ...]) -> str:
    """The rule in one line."""
    own = f"{quoted(relation.parent)}.{quoted(name)}"
    theirs = " * ".join(f"{quoted(relation.child)}.{quoted(c)}" for c in columns)
    if kind in ROWWISE:
        return f"{own} {kind} {theirs}"
    return f"{own} = {kind}({theirs if columns else quoted(relation.child)})"


def parsed(text: str, relation: Relation) -> Across:
    """The rule that a person wrote for a relation; FitError where it is none."""
    wanted = (
        f"wanted such as {relation.parent}.total = sum({relation.child}.amount), with count, sum, min, max, first or last, or "
        f"{relation.parent}.begun <= {relation.child}.day"
    )
    plain = (
        re.sub(r"\s*([*=(),]|[<>]=)\s*", r" \1 ", text)
        .replace(" ( ", "(")
        .replace(" )", ")")
        .replace("< =", "<=")
        .strip()
    )
    plain = re.sub(r"\s+", " ", plain)
    match = _AGGREGATE.fullmatch(plain)
    if match is not None:
        groups = [g.strip("`") for g in match.groups() if g is not None]
        parent, name = groups[0], groups[1]
        kind = "count" if match[3] is not None else match[4]
        tables = {match[3].strip("`")} if match[3] is not None else {groups[3], *groups[5:6]}
        columns = () if match[3] is not None else tuple(groups[4::2])
    elif (row := _ROW.fullmatch(plain)) is not None:
        parent, name, kind, table, column = (g.strip("`") for g in row.groups())
        if parent == relation.child and not relation.own:  # written the other way round
            parent, name, table, column = table, column, parent, name
            kind = {"<=": ">=", ">=": "<="}.get(kind, kind)
        tables, columns = {table}, (column,)
    else:
        raise FitError(f"the rule {text!r} of {relation.text} cannot be read; {wanted}.")
    if parent != relation.parent or tables != {relation.child}:
        raise FitError(f"the rule {text!r} speaks of {', '.join(dict.fromkeys((parent, *tables)))}; {wanted}.")
    return rule(relation, name, kind, columns, 0.0)  # type: ignore[arg-type]


def declared(text: str, data: Database, relation: Relation) -> Across:
    """A rule that a person declares, counted; FitError for an unknown column, DataError where too many rows break it."""
    one = parsed(text, relation)
    for table, column in ((relation.parent, one.name), *((relation.child, c) for c in one.columns)):
        known = {c.name: c.kind for c in data.tables[table].facts.schema.columns}
        if known.get(column) not in NUMERIC:
            what = f"is {known[column]}" if column in known else "is not there"
            raise FitError(f"the rule {text!r} needs a number, a date or a time, and {table}.{column} {what}.")
    one = replace(one, half=half_of(data, relation, one.name, one.columns, one.kind)).counted(data)
    if one.found.exceptions > evidence.most(one.found.rows):
        raise DataError(
            f"the rule {text!r} is broken by {one.found.exceptions:,} of {one.found.rows:,} rows of {one.table}; take it out of "
            "the schema, or correct the data."
        )
    return one


NUMERIC = ("integer", "decimal", "date", "datetime", "time")


def half_of(data: Database, relation: Relation, name: str, columns: tuple[str, ...], kind: str) -> float:
    """Half a unit of the last decimal of the parent's column, where what is summed has more decimals."""
    mine = _places(data, relation.parent, name)
    theirs = sum(_places(data, relation.child, c) for c in columns)
    return 0.5 * 10.0**-mine if kind == "sum" and theirs > mine else 0.0


def _places(data: Database, table: str, column: str) -> int:
    known = next(c for c in data.tables[table].facts.schema.columns if c.name == column)
    return min(known.places, 17) if known.kind == "decimal" else 0


def aggregate(kind: str, values: list[np.ndarray], data: Database, relation: Relation) -> np.ndarray:
    """float64 [parents] of the product of `values` [children]; NaN where no child has one, but 0 of counts and sums."""
    link, parents = data.links[relation], len(data.tables[relation.parent])
    if kind == "count":
        return np.bincount(link[link >= 0], minlength=parents).astype(np.float64)
    value = values[0] if len(values) == 1 else np.round(values[0] * values[1], 9)
    rows = np.flatnonzero((link >= 0) & ~np.isnan(value))
    if kind == "sum":
        return np.round(np.bincount(link[rows], value[rows], minlength=parents), 9)
    out = np.full(parents, np.nan)
    if kind in ("min", "max"):
        out = np.full(parents, np.inf if kind == "min" else -np.inf)
        (np.minimum if kind == "min" else np.maximum).at(out, link[rows], value[rows])
        return np.where(np.isfinite(out), out, np.nan)
    order = None if relation.order is None else data.cells(relation.child, relation.order)
    family = Family.of(link, parents, order)
    rows = np.flatnonzero((link >= 0) & ((family.place if kind == "first" else family.left) == 0))
    out[link[rows]] = value[rows]
    return out
