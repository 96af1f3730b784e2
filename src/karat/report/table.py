"""What a report says of a table: its columns side by side, worst first, and what findings hold of them, made readable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup

from karat import words
from karat.assays.details import Detail
from karat.assays.details.records import Category, MissingClasses, TwoSample, Usefulness
from karat.assays.details.rows import (
    Bins,
    ColumnPairs,
    ColumnShapes,
    Combination,
    Combinations,
    Combined,
    Example,
    Formatting,
    Groups,
    Holes,
    Marginals,
    Missingness,
    OutOfRange,
    RareCategories,
    Rules,
)
from karat.languages import Language
from karat.report import drawing
from karat.words import said, term

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

Found = Mapping[str, Detail | None]  # the details of the findings about one table, by key

CARDS = 30  # columns that are drawn; the others are folded away
BARS = 7  # values of a column that are drawn, at most
ROWS = 10  # of a list
SURE, LEAST = 5.0, 0.01  # standard errors, and share of rows, by which a rate of missing cells is off


@dataclass(frozen=True)
class Card:
    """One column: its shape score beside real's own, the share of its cells that are missing, and its histogram."""

    name: str
    kind: str
    score: float | None
    real: float | None
    missing: tuple[float, float]  # made, real
    off: bool
    chart: Markup | None


@dataclass(frozen=True)
class Row:
    """One line of a list: what it is about, a number of what was made, the same of unseen real rows, whether it is off."""

    name: str
    made: float
    real: float
    off: bool = False
    note: str = ""


@dataclass(frozen=True)
class Predicted:
    """How well a column is predicted by a learner trained on made rows and by one trained on real ones."""

    column: str
    learner: str
    measure: str
    made: float
    real: float


@dataclass(frozen=True)
class TableView:
    """All that the page shows of a table beyond its findings; empty lists where there is nothing to show."""

    name: str  # "" where it is the only one
    cards: tuple[Card, ...]
    folded: tuple[Card, ...]
    pairs: tuple[Row, ...]
    triples: tuple[Row, ...]
    signs: tuple[tuple[str, float, float | None], ...]  # column, area alone, area lost without it
    lost: tuple[Row, ...]
    holes: tuple[Row, ...]
    prints: tuple[Row, ...]
    rules: tuple[Row, ...]
    kept: int  # further rules that every row keeps
    outside: tuple[Row, ...]  # values that lie outside of real rows
    combined: tuple[Row, ...]  # values that come together too often or too seldom
    groups: tuple[Row, ...]  # groups in which the target, or a protected column, is off
    gaps: tuple[Row, ...]  # how far groups are apart
    predicted: tuple[Predicted, ...]
    traces: tuple[tuple[str, str, bool], ...]  # test, what it says, raised


def views(findings: Sequence[Finding], kinds: Mapping[str, str], language: Language) -> list[TableView]:
    """A view of each table that findings speak of, none where there is none. `kinds`: what each column holds, where known.

    Where there are several tables, the name of each stands in `kinds` before those of its columns with a point between.
    """
    out = []
    for f in findings:
        if isinstance(f.detail, ColumnShapes):
            name = f.table or ""
            known = {**kinds, **{k.removeprefix(f"{name}."): v for k, v in kinds.items()}} if name else kinds
            out.append(_view(name, f.detail, [g for g in findings if g.table == f.table], known, language))
    return out


def _view(
    name: str, shapes: ColumnShapes, findings: Sequence[Finding], kinds: Mapping[str, str], language: Language
) -> TableView:
    found = {f.key: f.detail for f in findings}
    cards = _cards(shapes, found, kinds, language)
    rules, kept = _rules(found.get("rules"))
    pairs, triples, holes = found.get("column pairs"), found.get("three-way marginals"), _holes(found)
    return TableView(
        name,
        cards[:CARDS],
        cards[CARDS:],
        _scored(pairs.worst if isinstance(pairs, ColumnPairs) else (), " × "),
        _scored(triples.worst if isinstance(triples, Marginals) else (), " × "),
        _signs(found.get("two-sample auc")),
        _lost(found),
        tuple(
            Row(" and ".join(r.columns), r.made, r.real, off)
            for r, off in sorted(holes, key=lambda hole: not hole[1])
            if len(r.columns) == 1 or off
        )[: 2 * ROWS],
        _prints(found.get("formatting")),
        rules,
        kept,
        _outside(found.get("out of range")),
        _combined(found.get("combinations")),
        *_groups(found.get("groups")),
        _predicted(found.get("usefulness")),
        tuple((f.key, f.summary, f.raised) for f in findings if f.assay in ("memory", "privacy")),
    )


def _rules(detail: Detail | None) -> tuple[tuple[Row, ...], int]:
    """The rules that were declared or are broken, and how many more every row keeps."""
    if not isinstance(detail, Rules):
        return (), 0
    broken = [r for r in detail.rules if r.declared or r.made > 0 or r.real > 0]
    rows = tuple(
        Row(r.rule, r.made, r.real, r.off, term("declared") if r.declared else term("found in the training rows"))
        for r in broken[: 2 * ROWS]
    )
    return rows, detail.found + detail.declared - len(broken)


def _outside(detail: Detail | None) -> tuple[Row, ...]:
    """Columns that hold values outside of real rows, with a row to look at."""
    rows = detail.columns if isinstance(detail, OutOfRange) else ()
    return tuple(
        Row(
            said(
                "{column}: real rows {bound}, made to {furthest}", column=r.column, bound=r.bound, furthest=r.furthest
            ),
            r.made,
            r.real,
            True,
            _example(r.examples),
        )
        for r in rows
        if r.off
    )[:ROWS]


def _combined(detail: Detail | None) -> tuple[Row, ...]:
    """Values that come together too often or too seldom, furthest off first."""
    if not isinstance(detail, Combinations):
        return ()
    out = []
    if detail.examples:
        name = said("a new combination of {names}", names=", ".join(detail.new))
        out.append(Row(name, detail.made, detail.real, True, _example(detail.examples)))
    return (*out, *map(_among, detail.odd))[:ROWS]


def _groups(detail: Detail | None) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Groups where a value is too common or too rare, furthest off first; and how far apart groups are."""
    if not isinstance(detail, Groups):
        return (), ()
    sentence = "{outcome}: {column} = {highest} above {lowest}"
    gaps = [
        Row(
            said(sentence, outcome=g.outcome, column=g.column, highest=g.highest, lowest=g.lowest),
            g.made,
            g.real,
        )
        for g in detail.gaps
    ]
    return tuple(map(_among, detail.groups[:ROWS])), tuple(gaps)


def _among(r: Combined) -> Row:
    counts = said(
        "{made:,} of {of_made:,} made rows, {real:,} of {of_real:,} real ones. {example}",
        made=r.made,
        of_made=r.of_made,
        real=r.real,
        of_real=r.of_real,
        example=_example(r.examples),
    )
    name = said("{values}, of {given}", values=r.values, given=r.given) if r.given else r.values
    return Row(name, r.made / r.of_made, r.real / r.of_real, True, counts)


def _example(examples: Sequence[Example]) -> str:
    """The first of the rows in words."""
    if not examples:
        return ""
    cells = ", ".join(f"{name} {value}" for name, value in examples[0].cells)
    return said("Row {n:,}: {cells}", n=examples[0].row + 1, cells=cells)


def _prints(detail: Detail | None) -> tuple[Row, ...]:
    rows = detail.columns[:ROWS] if isinstance(detail, Formatting) else ()
    return tuple(Row(r.column, r.made, r.real, r.off, r.grain) for r in rows if r.off)


def _cards(shapes: ColumnShapes, found: Found, kinds: Mapping[str, str], language: Language) -> tuple[Card, ...]:
    off = set(shapes.off) | {r.columns[0] for r, off in _holes(found) if off and len(r.columns) == 1}
    lost = {(c.column, c.value) for c in _categories(found.get("missing classes"))}
    off |= {column for column, _ in lost}
    out = []
    for c in shapes.columns:
        kind = kinds.get(c.name, c.kind)
        absent = {value for column, value in lost if column == c.name}
        chart = None if c.bins is None else _chart(c.bins, c.kind == "choice", kind, absent, language)
        missing = c.missing.made, c.missing.real
        out.append(Card(c.name, kind, c.score, c.real_score, missing, c.name in off, chart))
    return tuple(sorted(out, key=lambda c: (not c.off, -_gap(c))))


def _categories(detail: Detail | None) -> tuple[Category, ...]:
    return detail.categories or () if isinstance(detail, MissingClasses | RareCategories) else ()


def _gap(card: Card) -> float:
    """The share of rows by which a column is off, by its shape or by what is missing, beyond what real rows are."""
    shape = 0.0 if card.score is None or card.real is None else card.real - card.score
    return max(shape, abs(card.missing[0] - card.missing[1]))


def _holes(found: Found) -> list[tuple[Holes, bool]]:
    """Columns with missing cells, and pairs of them; whether they are off, where chance is no explanation."""
    detail = found.get("missingness")
    rows = [*detail.columns, *detail.pairs] if isinstance(detail, Missingness) else []
    return [(r, abs(r.z) > SURE and abs(r.made - r.real) > LEAST) for r in rows]


def _chart(bins: Bins, choice: bool, kind: str, lost: set[str], language: Language) -> Markup:
    made, real = list(bins.made), list(bins.real)
    if choice:
        return drawing.bars(
            [(language.again(name), m, r, gone) for name, m, r, gone in _few(list(bins.names), made, real, lost)],
            language,
        )
    if bins.edges is not None:
        edges = [at(x, kind) for x in bins.edges]
        told = [said("{low} to {high}", low=a, high=b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        told[0], told[-1] = said("up to {high}", high=edges[1]), said("from {low}", low=edges[-2])
        marks = [(k / (len(edges) - 1), edges[k]) for k in (0, len(edges) // 2, len(edges) - 1)]
        return drawing.steps(list(map(language.again, told)), marks, made, real, language)
    names = list(bins.names) if bins.values is None else [at(x, kind) for x in bins.values]
    places = [((k + 0.5) / len(names), name) for k, name in enumerate(names)]
    room = max(1, math.ceil(sum(len(n) for n in names) * 6.5 / 300))
    return drawing.steps(names, places[::room], made, real, language)


def _few(
    names: list[str], made: list[float], real: list[float], lost: set[str]
) -> list[tuple[str, float, float, bool]]:
    """The commonest values and those furthest off, in the order of the training rows; the rest as one."""
    gaps = sorted(
        range(len(names)), key=lambda i: (names[i] == "others", names[i] not in lost, -abs(made[i] - real[i]))
    )
    most = len(names) if len(names) <= BARS else BARS - 1
    keep = sorted([*dict.fromkeys([*range(min(BARS - 3, len(names))), *gaps])][:most])
    rows = [(names[i], made[i], real[i], names[i] in lost) for i in keep]
    rest = [i for i in range(len(names)) if i not in keep]
    if rest:
        several = said("{n} others", n=len(rest))
        more = term("others") if "others" in (names[i] for i in rest) else several
        rows.append((more, sum(made[i] for i in rest), sum(real[i] for i in rest), False))
    return rows


def at(x: float, kind: str) -> str:
    """A number of a column of that kind as a person reads it: days as a date, seconds as a moment or a time of day."""
    try:
        if kind == "date":
            return (date(1970, 1, 1) + timedelta(days=round(x))).isoformat()
        if kind == "datetime":
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(x))).strftime("%Y-%m-%d")
    except OverflowError:
        pass
    if kind == "integer" and abs(x) < 10_000:
        return str(round(x))
    if kind == "time":
        return f"{int(x) // 3600:02d}:{int(x) // 60 % 60:02d}"
    return str(int(x)) if float(x).is_integer() and abs(x) < 10_000 else words.number(x)


def _scored(rows: Sequence[Combination], joint: str) -> tuple[Row, ...]:
    """Worst first: score and real score of combinations of columns."""
    out = []
    for r in rows:
        if r.score is not None and r.real_score is not None:
            out.append(Row(joint.join(r.columns), r.score, r.real_score))
    return tuple(out[:ROWS])


def _signs(detail: Detail | None) -> tuple[tuple[str, float, float | None], ...]:
    """Columns by how well a judge who sees nothing else tells the made rows."""
    if not isinstance(detail, TwoSample):
        return ()
    joint, alone = dict(detail.importance or ()), dict(detail.alone or ())
    names = sorted(alone, key=lambda n: -max(alone[n] - 0.5, joint.get(n, 0.0)))
    return tuple((n, alone[n], joint.get(n)) for n in names[:ROWS])


def _lost(found: Found) -> tuple[Row, ...]:
    """Values that are never made, or far too rarely, each once."""
    out: dict[str, Row] = {}
    for name, note in (("missing classes", term("missing")), ("rare categories", term("too rare"))):
        for c in _categories(found.get(name)):
            what = f"{c.column} = {c.value}"
            out.setdefault(what, Row(what, c.made, c.real, True, term("never made") if c.made == 0 else note))
    return tuple(out.values())


def _predicted(detail: Detail | None) -> tuple[Predicted, ...]:
    if not isinstance(detail, Usefulness):
        return ()
    out = []
    for learner, scores in (detail.learners or {}).items():
        known = "boosted trees" + learner.removeprefix("boosting") if learner.startswith("boosting") else learner
        out.append(Predicted(detail.target or "", known, detail.measure or "", scores.tstr, scores.trtr))
    for other in detail.others or ():
        out.append(Predicted(other.column, "forest", other.measure, other.tstr, other.trtr))
    return tuple(out)
