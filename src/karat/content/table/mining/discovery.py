"""What holds between the columns of a table, from its rows alone.

Each form of relation is looked for in a few thousand rows, and what is found there is counted in all of them. Of what says
the same twice one is kept: a chain and not its links, a sum and not the differences that it implies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa

from karat.content.table.mining import dependencies, distances, evidence, groups, orders
from karat.content.table.mining.columns import MOST_NUMBERS, ROWS, Columns, Number, sample_of
from karat.content.table.mining.formulas import calendar, extremes, factors, mixtures, products, steps, sums
from karat.content.table.mining.formulas.worked import Formulas, Worked, equal
from karat.content.table.mining.relation import SHOWN, Relation, plain, quoted
from karat.content.table.rules.constraints import compile_rules
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.columns import Schema
from karat.errors import DataError

FEWEST = 20  # rows, below which nothing is looked for
MOST_EITHER = 20  # columns that are looked at in pairs for such as are there by turns
WORKED = ("equal", "sum", "linear", "product", "ratio")  # forms of formulas


def discover(table: pa.Table, schema: Schema, seed: int = 0) -> list[Relation]:
    """The relations between columns of the logical cells `table`, what holds always first; none in fewer than 20 rows.

    What the rules of the schema say already is left out. The same seed finds the same.
    """
    if len(table) < FEWEST:
        return []
    rng = np.random.default_rng(seed & 2**63 - 1)
    some, _ = sample_of(table, ROWS, rng)
    sample = Columns(some, schema)
    full = sample if len(some) == len(table) else Columns(table, schema)
    found: list[Relation] = []
    declared = _declared(schema)
    one_of = groups.groups(sample, rng)
    together = [frozenset(g.names) for g in one_of]
    worked = _worked(sample, together)
    implied = declared + together + _implied(worked)
    found += _kept(_formula(w, schema, full) for w in worked.found if w.support not in declared)
    found += _kept(_group(g, full) for g in one_of)
    alone = declared + [w.support for w in worked.found if len(w.support) == 2]
    alone += [frozenset(pair) for group in together for pair in combinations(group, 2)]
    depending = dependencies.dependencies(sample, full, alone, worked.lefts, rng)
    found += _kept(_dependency(d, full) for d in depending)
    ordered = orders.orders(sample, implied)
    found += _kept(_chain(chain, full) for chain in orders.chains(ordered, sample))
    implied += orders.joined(ordered)
    found += _kept(_distance(d, schema, full) for d in distances.distances(sample, implied))
    found += _kept(_gone(g, schema, full) for g in groups.missing(sample))
    known = {str(entry.get("rule")) for entry in schema.constraints}
    found = [r for r in found if r.text not in known]
    return sorted(found, key=lambda r: r.exceptions > 0)


def _declared(schema: Schema) -> list[frozenset[str]]:
    """Sets of columns that the rules of a schema speak of together."""
    if not schema.constraints:
        return []
    rules = compile_rules(schema)
    out = [frozenset((o.low, o.high)) for o in rules.orders]
    out += [frozenset((f.left, *f.rule.columns(f.right))) for f in rules.formulas]
    return out + [frozenset(group) for group in rules.together]


def _worked(sample: Columns, together: Sequence[frozenset[str]]) -> Formulas:
    """All formulas of the table, no column worked out twice, and none among the columns of a group."""
    one_of = frozenset[str]().union(*together)
    every = [n for n in sample.numbers.values() if n.name not in one_of][:MOST_NUMBERS]
    known = Formulas()
    extremes.extremes(every, known)  # before what it mostly equals
    others = known.lefts
    equal(every, known)
    without = known.lefts - others
    calendar.terms(every, known, without)
    numbers = [n for n in every if n.unit == "number"]
    spans = [
        s for unit in ("moment", "time") for s in _spans([n for n in every if n.unit == unit and n.name not in without])
    ]
    sums.sums(numbers, known, without, spans)
    sums.shares(numbers, known, without, spans)
    tried = products.Products(numbers, without)
    tried.plainly(known)
    factors.factors(numbers, known, without, list(_eithers([n for n in numbers if n.name not in without])))
    tried.within_sums(known)
    tried.quotients(known)
    steps.steps(numbers, known, without, spans)
    mixtures.mixtures(every, known, without)
    return known


def _implied(worked: Formulas) -> list[frozenset[str]]:
    """Pairs of columns of which one is worked out from the other, directly or by others between, or both from one alone."""
    out = [frozenset((name, other)) for name in worked.lefts for other in worked.ancestors(name)]
    alone: dict[str, list[str]] = {}
    for one in worked.found:
        if len(one.names) == 1:
            alone.setdefault(one.names[0], []).append(one.left)
    return out + [frozenset(pair) for lefts in alone.values() for pair in combinations(lefts, 2)]


def _spans(moments: Sequence[Number]) -> Iterator[tuple[str, Number]]:
    """The time between each two moments, as an expression and as a column: days of dates, seconds of others."""
    for a, b in combinations(moments, 2):
        apart = b.values - a.values
        if np.nanmedian(apart) < 0 if not np.isnan(apart).all() else False:
            a, b, apart = b, a, -apart
        days = a.day and b.day
        text = f"({quoted(b.name)} - {quoted(a.name)})"
        yield text, Number(f"{b.name}\0{a.name}", apart / 86_400 if days else apart, "number", 0 if days else 6, False)


def _eithers(numbers: Sequence[Number]) -> Iterator[tuple[str, Number]]:
    """Pairs of columns of which each row has one, as debit and credit: the amount, as an expression and as a column."""
    gone = {n.name: np.isnan(n.values) for n in numbers}
    some = [n for n in numbers if evidence.FEWEST <= gone[n.name].sum() <= len(n.values) - evidence.FEWEST]
    for a, b in combinations(some[:MOST_EITHER], 2):
        if (gone[a.name] != gone[b.name]).all():
            value = np.where(gone[a.name], b.values, a.values)
            text = f"either({quoted(a.name)}, {quoted(b.name)})"
            yield text, Number(f"{a.name}\0{b.name}", value, "number", max(a.decimals, b.decimals), False)


def _kept(found: Iterator[Relation | None]) -> list[Relation]:
    return [r for r in found if r is not None]


def _relation(
    form: str,
    constraint: dict[str, object],
    names: Sequence[str],
    rows: int,
    broken: np.ndarray,
    chance: float,
    log_p: float,
) -> Relation | None:
    """The relation as all rows have it; None where too many of them break it."""
    exceptions = int(broken.sum())
    if exceptions > evidence.most(rows, evidence.WORKED if form in WORKED else evidence.RARELY):
        return None
    first = tuple(int(i) for i in np.flatnonzero(broken)[:SHOWN])
    nearly = {"nearly": True} if exceptions and "rule" in constraint else {}
    return Relation(form, {**constraint, **nearly}, tuple(names), rows, exceptions, first, chance, log_p)  # type: ignore[arg-type]


def _by_rule(schema: Schema, text: str, full: Columns) -> np.ndarray | None:
    """bool [n]: the rows that break a rule; None where it cannot be read."""
    bare = replace(
        schema,
        constraints=({"rule": text},),
        columns=tuple(replace(c, low=None, high=None, unique=False) for c in schema.columns),
    )
    try:
        found = compile_rules(bare).broken(Cells(full.arrays))
    except DataError:
        return None
    return np.asarray(np.logical_or.reduce(list(found.values())))


def _formula(one: Worked, schema: Schema, full: Columns) -> Relation | None:
    text = one.text
    broken = _by_rule(schema, text, full)
    if broken is None:
        return None
    there = [full.there[name] for name in one.support]
    rows = int((full.there[one.left] if "either(" in text else np.logical_and.reduce(there)).sum())
    return _relation(one.form, {"rule": text}, (one.left, *one.names), rows, broken, one.chance, one.evidence)


def _group(one: groups.Group, full: Columns) -> Relation | None:
    total = np.sum([full.truths[name] for name in one.names], 0) if all(n in full.truths for n in one.names) else None
    if total is None:
        return None
    with np.errstate(invalid="ignore"):
        broken = (total != 1) if one.exactly else (total > 1)
    return _relation(
        "one of many", {"together": list(one.names)}, one.names, full.rows, broken, one.chance, one.evidence
    )


def _dependency(one: dependencies.Dependency, full: Columns) -> Relation | None:
    rows, broken = dependencies.counted([full.codes(name)[0] for name in one.left], full.codes(one.right)[0])
    text = f"{', '.join(map(quoted, one.left))} -> {quoted(one.right)}"
    return _relation("dependency", {"rule": text}, (*one.left, one.right), rows, broken, one.chance, one.evidence)


def _chain(chain: Sequence[orders.Ordered], full: Columns) -> Relation | None:
    every = [orders.counted(o, full) for o in chain]
    names = [chain[0].low, *(o.high for o in chain)]
    text = quoted(names[0]) + "".join(f" {'<' if o.strict else '<='} {quoted(o.high)}" for o, _ in every)
    broken = np.logical_or.reduce([b for _, b in every])
    rows = min(o.rows for o, _ in every)
    chance = max(o.chance for o, _ in every)
    return _relation("order", {"rule": text}, names, rows, broken, chance, max(o.evidence for o, _ in every))


def _distance(one: distances.Distance, schema: Schema, full: Columns) -> Relation | None:
    low, high = full.numbers[one.low], full.numbers[one.high]
    apart = (high.values - low.values) / (86_400.0 if one.days else 1.0)
    known = ~np.isnan(apart)
    places = max(low.decimals, high.decimals) if min(low.decimals, high.decimals) >= 0 else 9
    unit = 10.0**-places
    least, most = np.floor(apart[known].min() / unit + 1e-6) * unit, np.ceil(apart[known].max() / unit - 1e-6) * unit
    ends = plain(round(float(least), places)), plain(round(float(most), places))
    text = f"{ends[0]} <= {quoted(one.high)} - {quoted(one.low)} <= {ends[1]}"
    if ends[0] == ends[1]:
        text = f"{quoted(one.high)} - {quoted(one.low)} = {ends[0]}"
    broken = np.zeros(full.rows, bool)
    return _relation(
        "distance", {"rule": text}, (one.low, one.high), int(known.sum()), broken, one.chance, one.evidence
    )


def _gone(one: groups.Gone, schema: Schema, full: Columns) -> Relation | None:
    broken = _by_rule(schema, one.rule, full)
    if broken is None:
        return None
    return _relation("missing", {"rule": one.rule}, one.names, full.rows, broken, one.chance, one.evidence)
