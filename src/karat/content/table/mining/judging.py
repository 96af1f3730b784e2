"""Relations as a judge asks of rows whether they keep them, whoever made these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import flat, present
from karat.content.table.encoding.lookups import Lookup
from karat.content.table.mining.relation import Relation
from karat.content.table.rules.between import unlike
from karat.content.table.rules.constraints import Rules, compile_rules
from karat.content.table.rules.expressions import Cells, cells_of
from karat.content.table.schema.columns import Schema


@dataclass(frozen=True, eq=False)
class Judged:
    """Relations that training rows show, each with what is needed to tell whether a row keeps it.

    rules: of those that the row alone decides.   lookups: what goes with what, of dependencies.   groups: of columns of
    which one is true, or at most one (False).
    """

    rules: Mapping[str, Rules]
    lookups: Mapping[str, Lookup]
    groups: Mapping[str, tuple[tuple[str, ...], bool]]

    @classmethod
    def fit(cls, found: Sequence[Relation], schema: Schema, cells: pa.Table) -> Self:
        """cells: the logical training cells.

        Of a dependency with exceptions, what goes with a value is what goes with it most often.
        """
        bare = replace(
            schema,
            constraints=(),
            columns=tuple(replace(column, low=None, high=None, unique=False) for column in schema.columns),
        )
        rules, lookups, groups = {}, {}, {}
        for one in found:
            if one.form == "dependency":
                columns = {name: flat(cells[name]) for name in one.columns}
                *left, right = columns.values()
                usual = pa.array(~unlike(left, right))
                columns = {name: column.filter(usual) for name, column in columns.items()}
                lookups[one.text] = Lookup.fit(one.columns[:-1], one.columns[-1], columns, False)
            elif one.form == "one of many":
                total = _trues(cells_of(cells), one.columns)
                groups[one.text] = one.columns, bool((total[~np.isnan(total)] == 1).mean() > 0.5)
            else:
                rules[one.text] = compile_rules(replace(bare, constraints=({"rule": one.text},)))
        return cls(rules, lookups, groups)

    @property
    def names(self) -> frozenset[str]:
        """The relations as rules."""
        return frozenset((*self.rules, *self.lookups, *self.groups))

    def broken(self, cells: Cells) -> dict[str, np.ndarray]:
        """bool [n] of each relation: the rows that break it. What is missing, or new to the training rows, breaks none."""
        out = {}
        for text, rules in self.rules.items():
            wrong = list(rules.broken(cells).values())
            if wrong:  # a rule that is coded, and not checked, has none
                out[text] = np.asarray(np.logical_or.reduce(wrong))
        for text, lookup in self.lookups.items():
            out[text] = lookup.broken(cells.columns)
        for text, (names, exactly) in self.groups.items():
            total = _trues(cells, names)
            with np.errstate(invalid="ignore"):
                out[text] = (total != 1) & ~np.isnan(total) if exactly else total > 1
        return out


def _trues(cells: Cells, names: Sequence[str]) -> np.ndarray:
    """float64 [n]: how many of the columns are true, or 1; NaN where one of them is missing."""
    total = np.zeros(len(cells.columns[names[0]]))
    for name in names:
        column = cells.columns[name]
        if pa.types.is_boolean(column.type):
            yes = np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), np.float64)
            total += np.where(present(column), yes, np.nan)
        else:
            total += cells.number(name)
    return total
