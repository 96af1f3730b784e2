"""Decoded rows with the given cells as they were given, and the rules kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from karat.content.relational.database import joined
from karat.content.table.convert import put
from karat.content.table.encoding.coding import draw, present
from karat.content.table.encoding.computed import Computed
from karat.content.table.encoding.layout import Layout
from karat.content.table.encoding.marked import Choice
from karat.content.table.encoding.parts import Number, Part
from karat.content.table.encoding.scales import only
from karat.content.table.rules.conditions import EXACT, LOOSE, Condition
from karat.content.table.rules.constraints import Formula, repeated, unique_text
from karat.content.table.rules.expressions import Cells, Rule, cells_of
from karat.content.table.rules.implied import plain_part, unsolved
from karat.content.table.rules.solving import expanded, solved
from karat.errors import DataError, FitError

SOLVED = 40  # draws of what several columns are made from, before one of them is solved for
TRIES = 30  # to draw rows apart that must differ


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
    for step in (work.differ, work.order, work.pair, work.solve, work.pair, work.compute, work.mend, work.check):
        step()
    return pa.table([work.cells[name] for name in layout.names], names=list(layout.names))


class _Restoring:
    """Decoded rows in which cells are put back, and what hangs on them made to fit."""

    def __init__(self, layout: Layout, cells: dict[str, pa.Array], n: int, rng: np.random.Generator) -> None:
        self.layout, self.cells, self.n, self.rng = layout, cells, n, rng
        self.held: dict[str, np.ndarray] = {}
        self.conditions: Mapping[str, Condition] = {}
        # of a formula with several alternatives each row keeps to the one that it was made with
        self.which = {f.left: f.which(Cells(cells)) for f in layout.rules.formulas if len(f.alternatives) > 1}

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
        if part.relative or np.isnan(ticks).any():
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
        return isinstance(part, Number) and not part.relative and bool((self.firm(name)[rows] < EXACT).all())

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
            if attempt == SOLVED - 1 and all(f.nearly for f, _ in lost):
                return
            if attempt == SOLVED - 1:
                self._say(*next((f, int(r[0])) for f, r in lost if not f.nearly))
            for _, rows in lost:
                for name, held in list(self.held.items()):
                    self.held[name] = held.copy()
                    self.held[name][rows] = given.get(name, np.zeros(self.n, np.int8))[rows]
            for formula, rows in lost:
                for name in self._free(formula):
                    self._again(self._part(name), rows)
                    self.redraw(name, rows[self.firm(name)[rows] == LOOSE], True)
            self._work_out(formulas)

    def pair(self) -> None:
        """Of two columns that go together, one that is given, or that a given result is made from, stays and the other follows."""
        for lookup in self.layout.lookups:
            wrong = lookup.broken(self.cells)
            formulas = [f for f in self.layout.rules.formulas if lookup.right in f.rule.columns(f.right)]
            held = np.any([self.firm(name) > 0 for name in (lookup.right, *(f.left for f in formulas))], axis=0)
            free = np.all([self.firm(name) == 0 for name in lookup.left], axis=0)
            self.cells |= lookup.turned(self.cells, np.flatnonzero(wrong & held & free), self.rng)
            rest = np.flatnonzero(lookup.broken(self.cells) & ~held)
            mended = lookup.mended(self.cells, self.rng).take(pa.array(rest))
            self.cells[lookup.right] = put(self.cells[lookup.right], rest, mended)

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
        """Results that are to lie in a range are given one that does: of a range without an end, one of another row that does."""
        for name in {f.left for f in formulas} & set(self.conditions):
            condition, part = self.conditions[name], self._part(name)
            inside, there = condition.holds(Cells(self.cells)), present(self.cells[name])
            rows, like = np.flatnonzero(~inside & there), np.flatnonzero(inside & there)
            if condition.kind != "range" or not len(rows) or not isinstance(part, Computed):
                continue
            now = part.grain.natural(part.grain.ticks(self.cells[name].take(pa.array(rows))))
            low = condition.low if np.isfinite(condition.low) else np.minimum(now, condition.high)
            high = condition.high if np.isfinite(condition.high) else np.maximum(now, condition.low)
            aim = low + self.rng.random(len(rows)) * (high - low)
            if (
                len(like) and not np.isfinite([condition.low, condition.high]).all()
            ):  # else all would lie at the one end
                others = self.cells[name].take(pa.array(self.rng.choice(like, len(rows))))
                aim = part.grain.natural(part.grain.ticks(others))
            ticks = np.rint(aim * part.grain.unit) if part.grain.whole else aim
            self.cells[name] = put(self.cells[name], rows, part.grain.array(ticks))
            self.hold(name, rows, EXACT)

    def _solve_for(self, formula: Formula, name: str, rows: np.ndarray) -> np.ndarray:
        """Solves a formula for a column in those of `rows` where it is free; the rows that are left.

        Where another column might give way too, it stays within what training rows have.
        """
        part = self._part(name)
        mine = rows[self.firm(name)[rows] < EXACT]
        looked_up = name in {lookup.right for lookup in self.layout.lookups}
        if not len(mine) or not isinstance(part, (Number, Computed)) or looked_up:
            return rows
        some = Cells({n: column.take(pa.array(mine)) for n, column in self.cells.items()})
        ticks, _ = solved(formula, part if isinstance(part, Number) else plain_part(part), some)
        good = ~np.isnan(ticks)
        if isinstance(part, Number):
            others = [n for n in formula.rule.columns(formula.right) if n != name]
            alone = (
                np.all([self.firm(n)[mine] == EXACT for n in others], axis=0) if others else np.ones(len(mine), bool)
            )
            apart = part.apart(ticks, some)
            good &= alone | (apart >= part.fine.lows[0]) & (apart <= part.fine.highs[-1])
            good &= alone | ~self._out_of_order(name, some, part.grain.array(ticks))
        made = put(self.cells[name], mine[good], part.grain.array(ticks[good]))
        if name in self.conditions:
            good &= self.conditions[name].holds(Cells({name: made}))[mine]
            made = put(self.cells[name], mine[good], part.grain.array(ticks[good]))
        self.cells[name] = made
        self.hold(name, mine[good], EXACT)
        return np.setdiff1d(rows, mine[good])

    def _out_of_order(self, name: str, some: Cells, made: pa.Array) -> np.ndarray:
        """bool [n]: rows of cells in which a column that holds `made` breaks an order."""
        cells = Cells({**some.columns, name: made})
        mine = [rule for rule in self.layout.rules.declared.values() if isinstance(rule, Rule) and rule.when is None]
        mine = [rule for rule in mine if name in rule.columns() and len(rule.columns()) > 1]
        return np.asarray(np.any([np.zeros(len(made), bool), *(rule.broken(cells) for rule in mine)], axis=0))

    def _work_out(self, formulas: Sequence[Formula]) -> None:
        """Results that are not given, each after those that it is made from."""
        place = {name: i for i, name in enumerate(self.layout.rules.sequence)}
        for formula in sorted(formulas, key=lambda f: place[f.left]):
            part = self._part(formula.left)
            wrong = formula.broken(Cells(self.cells)) & (self.firm(formula.left) < EXACT)
            rows = np.flatnonzero(wrong & self._led(formula) if formula.nearly else wrong)
            if len(rows) and isinstance(part, Computed):
                value = formula.value(Cells(self.cells), self.which.get(formula.left, 0))[rows]
                ticks = np.rint(value * part.grain.unit) if part.grain.whole else value
                self.cells[formula.left] = put(self.cells[formula.left], rows, part.grain.array(ticks))

    def _led(self, formula: Formula) -> np.ndarray:
        """bool [n]: rows in which something that a result is made from, directly or not, is given, and it was worked out."""
        by = {f.left: f for f in self.layout.rules.formulas}
        found, queue = set[str](), [formula]
        while queue:
            mine = queue.pop()
            new = {*mine.rule.columns(mine.right)} - found
            found |= new
            queue += [by[name] for name in new if name in by]
        own = self.which.get(formula.left, np.zeros(self.n, np.int64)) < 0
        return np.asarray(np.any([self.firm(name) > 0 for name in found], axis=0) & ~own)

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
        raise FitError(unsolved(self.layout, formula, free, given, Cells(self.cells), row))

    def compute(self) -> None:
        """Formulas are worked out again where what they are made from was put back."""
        for formula in self.layout.rules.formulas:
            part = self.layout.parts[self.layout.part_of[formula.left]]
            value = formula.value(Cells(self.cells), self.which.get(formula.left, 0))
            wrong = formula.broken(Cells(self.cells))
            given = wrong & (self.firm(formula.left) == EXACT)
            if formula.nearly:  # exceptions stay where nothing that they are made from is given
                wrong = wrong & ~given & self._led(formula)
            elif given.any():
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
