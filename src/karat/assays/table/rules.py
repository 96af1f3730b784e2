"""Whether rows keep the rules of real data: those that a person declared, and those that its columns keep of themselves.

Relations between columns (orders, sums, products, one price per article) come with the view, found in the training rows.
Beside them a rule is found here where a value of one column goes with one value of another in all but one of a thousand
training rows, and would not by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karat.assays import power
from karat.assays.chance import wilson
from karat.assays.details.rows import Kept, Rules
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.points.bias import BEYOND
from karat.assays.shares import certain
from karat.assays.table.cells import apart
from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import said

FINDS = ("rules",)
LEVELS = 200  # values of a column that may take part in a rule
COLUMNS = 60
SUPPORT = 30  # rows that show a rule, at least
ROWS = 20_000  # training rows that rules are looked for in
CHANCE = -20.0  # log of the probability by which columns that do not depend would show a rule
SURE = 0.999
MARGIN = 0.01  # share of rows that break a rule that was found, above what real ones do
DECLARED = 0.001  # the same for declared ones
RELATED = 0.005  # and for those that were found, of one rule by itself


@dataclass(frozen=True)
class Rule:
    """Where column `given` has code a, column `then` has code `to[a]`; -1 where nothing follows."""

    given: int
    then: int
    to: np.ndarray
    whole: bool  # whether (nearly) all rows fall under it
    text: str


@dataclass(frozen=True)
class Coded:
    """Columns whose values are few, as codes: `values[k]` sorted, `columns[k]` where in the sheet."""

    columns: tuple[int, ...]
    values: tuple[np.ndarray, ...]

    def of(self, sheet: TableView) -> list[np.ndarray]:
        """Codes [n] per column; len(values) for one that training rows lack, one more for a missing one."""
        out = []
        for j, known in zip(self.columns, self.values, strict=True):
            column = sheet.values[:, j]
            at = np.minimum(np.searchsorted(known, column), len(known) - 1)
            codes = np.where(known[at] == column, at, len(known))
            out.append(np.where(np.isnan(column), len(known) + 1, codes))
        return out


def coded(train: TableView) -> Coded:
    """The first `COLUMNS` columns of 2 to `LEVELS` values."""
    columns: list[int] = []
    values: list[np.ndarray] = []
    for j in range(train.width):
        column = train.values[:, j]
        known = np.unique(column[~np.isnan(column)])
        if len(known) + bool(np.isnan(column).any()) >= 2 and 1 <= len(known) <= LEVELS and len(columns) < COLUMNS:
            columns.append(j)
            values.append(known)
    return Coded(tuple(columns), tuple(values))


def discover(train: TableView, few: Coded) -> list[Rule]:
    """Every rule from one value to another that `train` shows, together by pair of columns."""
    codes = few.of(train)
    sizes = [len(v) + 2 for v in few.values]
    base = [np.bincount(c, minlength=s) / len(train) for c, s in zip(codes, sizes, strict=True)]
    out = []
    for a in range(len(codes)):
        for b in range(len(codes)):
            if a == b:
                continue
            table = np.bincount(codes[a] * sizes[b] + codes[b], minlength=sizes[a] * sizes[b]).reshape(
                sizes[a], sizes[b]
            )
            total, best = table.sum(1), table.argmax(1)
            most = table[np.arange(len(table)), best]
            with np.errstate(divide="ignore"):
                luck = total * np.log(base[b][best])
            holds = (total >= SUPPORT) & (most >= SURE * total) & (luck < CHANCE)
            if holds.any():
                under = float(total[holds].sum() / len(train))
                distinct = len(np.unique(best[holds]))
                whole = under > 0.95 and distinct > 1
                given, then = few.columns[a], few.columns[b]
                top = int(np.where(holds, total, 0).argmax())
                text = said("{given} determines {then}", given=train.names[given], then=train.names[then])
                if not whole:
                    text = said(
                        "{given} = {one} means {then} = {other}",
                        given=train.names[given],
                        one=_value(train, few, a, top),
                        then=train.names[then],
                        other=_value(train, few, b, int(best[top])),
                    )
                    text += said(" (and {n} more)", n=int(holds.sum()) - 1) if holds.sum() > 1 else ""
                out.append(Rule(a, b, np.where(holds, best, -1), whole, text))
    return out


def _value(train: TableView, few: Coded, column: int, code: int) -> str:
    values, j = few.values[column], few.columns[column]
    if code > len(values):
        return said("missing")
    if code == len(values):
        return said("another value")
    choices = train.columns.choices[j]
    return f"{values[code]:g}" if not choices else (*choices, "another value")[int(values[code])]


def breaks(rule: Rule, codes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Which rows [n] fall under the rule, and which break it."""
    want = rule.to[codes[rule.given]]
    under = want >= 0
    return under, under & (codes[rule.then] != want)


def findings(case: Case) -> list[Finding]:
    """Rules: the share of rows that break one that was declared or found; none where there is neither."""
    train, unseen, made = case.train, case.unseen, case.made
    few = coded(train)
    shown = train.take(np.arange(min(len(train), ROWS)))
    found = discover(shown, few)
    rules = [rule for rule in made.broken if rule in unseen.broken]
    between = [rule for rule in rules if rule in made.found]
    if not found and not rules:
        return []
    n, m = len(made), len(unseen)
    rates: list[Kept] = []
    any_made, any_real = np.zeros(n, bool), np.zeros(m, bool)
    for name in rules:
        a, b = made.broken[name], unseen.broken[name]
        any_made, any_real = any_made | a, any_real | b
        least = RELATED if name in made.found else DECLARED
        learned = int(train.broken[name].sum()), len(train)
        rates.append(
            _rule_rates(name, name not in made.found, least, n, int(a.sum()), m, int(b.sum()), len(train), learned)
        )
    rest = train.take(np.arange(len(shown), len(train)))  # in which no rule was looked for: as fresh as unseen ones
    codes = [few.of(side) for side in (made, unseen, rest, shown)]
    for rule in found:
        sides = [breaks(rule, of) for of in codes]
        any_made, any_real = any_made | sides[0][1], any_real | sides[1][1]
        (n_m, a_m), (n_u, a_u), later, (support, _) = ((int(u.sum()), int(b.sum())) for u, b in sides)
        rates.append(_rule_rates(rule.text, False, RELATED, n_m, a_m, n_u, a_u, support, later[::-1]))
    count, real_count = int(any_made.sum()), int(any_real.sum())
    value, real = count / n, real_count / m
    low, high = wilson(count, n)
    also = said(
        "where one rule is broken by {declared:.1%} (declared) or {related:.1%} (found) more rows than real ones",
        declared=DECLARED,
        related=RELATED,
    )
    limit = Limit(above=real + MARGIN, only=BEYOND, also=also)
    raised = any(t.off for t in rates) or (limit.broken(value) and certain(count, n, real_count, m))
    rates.sort(key=lambda t: (not (t.declared and t.off), not t.off, t.real - t.made))
    first = rates[0]
    summary = said(
        "{value:.2%} of what was made breaks one of {n_rules} declared rules and {n_between} found in "
        "the training data; of unseen real rows {real:.2%}. Most of all: {rule} (broken by {made:.2%}, "
        "real {real_first:.2%}).",
        value=value,
        n_rules=len(rules) - len(between),
        n_between=len(between) + len(found),
        real=real,
        rule=first.rule,
        made=first.made,
        real_first=first.real,
    )
    detail = Rules(declared=len(rules) - len(between), found=len(between) + len(found), rules=tuple(rates[:24]))
    score, samples = Score(value, low, high, real, 0.0), apart(n, m, power.BAD, MARGIN)
    return [scored("rules", score, limit, summary, detail=detail, samples=samples, raised=raised)]


def _rule_rates(
    rule: str,
    declared: bool,
    least: float,
    n: int,
    count: int,
    m: int,
    real: int,
    support: int,
    learned: tuple[int, int] = (0, 0),
) -> Kept:
    """What is known of a rule that `count` of `n` made rows break, and `real` of `m` unseen ones.

    learned: how many training rows break it, and of how many, where that is evidence of how often real rows do: a few hundred
    unseen rows that all keep a rule do not show that two in a hundred made ones are too many, thousands of training rows do.
    """
    made_share, real_share = count / max(n, 1), real / max(m, 1)
    off = n > 0 and m > 0 and made_share - real_share > least and certain(count, n, real + learned[0], m + learned[1])
    return Kept(rule=rule, declared=declared, made=made_share, real=real_share, support=support, off=bool(off))
