"""What a report says of a table: its columns side by side, worst first, and what findings hold of them, made readable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from karat import words
from karat.report import drawing

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

CARDS = 30  # columns that are drawn; the others are folded away
BARS = 7  # values of a column that are drawn, at most
ROWS = 10  # of a list
SURE, LEAST = 5.0, 0.01  # standard errors, and share of rows, by which a rate of missing cells is off
SHAPES = "column shapes"  # the finding that makes a table of what it speaks of


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
class Lesson:
    """How well a column is predicted by a learner taught by made rows and by real ones."""

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
    lessons: tuple[Lesson, ...]
    traces: tuple[tuple[str, str, bool], ...]  # test, what it says, raised


def views(findings: Sequence[Finding], kinds: Mapping[str, str]) -> list[TableView]:
    """A view of each table that findings speak of, none where there is none. `kinds`: what each column holds, where known.

    Where there are several tables, the name of each stands in `kinds` before those of its columns with a point between.
    """
    out = []
    for f in findings:
        if f.key == SHAPES and "columns" in f.detail:
            name = f.table or ""
            known = {**kinds, **{k.removeprefix(f"{name}."): v for k, v in kinds.items()}} if name else kinds
            out.append(_view(name, [g for g in findings if g.table == f.table], known))
    return out


def _view(name: str, findings: Sequence[Finding], kinds: Mapping[str, str]) -> TableView:
    found = {f.key: f for f in findings}
    cards = _cards(found, kinds)
    known = _detail(found, "rules")
    broken = [r for r in known.get("rules", ()) if r["declared"] or r["made"] > 0 or r["real"] > 0]
    rules = tuple(
        Row(r["rule"], r["made"], r["real"], r["off"], "declared" if r["declared"] else "found in the training rows")
        for r in broken[: 2 * ROWS]
    )
    return TableView(
        name,
        cards[:CARDS],
        cards[CARDS:],
        _scored(found, "column pairs", " × "),
        _scored(found, "three-way marginals", " × "),
        _signs(_detail(found, "two-sample auc")),
        _lost(found),
        tuple(
            Row(" and ".join(r["columns"]), r["made"], r["real"], r["off"])
            for r in sorted(_holes(found), key=lambda r: not r["off"])
            if len(r["columns"]) == 1 or r["off"]
        )[: 2 * ROWS],
        tuple(
            Row(r["column"], r["made"], r["real"], r["off"], r["grain"])
            for r in _detail(found, "formatting").get("columns", ())[:ROWS]
            if r["off"]
        ),
        rules,
        known.get("found", 0) + known.get("declared", 0) - len(broken) if known else 0,
        _lessons(_detail(found, "usefulness")),
        tuple((f.key, f.says, f.raised) for f in findings if f.assay in ("memory", "privacy")),
    )


def _detail(found: Mapping[str, Finding], name: str) -> Mapping[str, Any]:
    return found[name].detail if name in found else {}


def _cards(found: Mapping[str, Finding], kinds: Mapping[str, str]) -> tuple[Card, ...]:
    detail = _detail(found, SHAPES)
    off = set(detail.get("off", ())) | {r["columns"][0] for r in _holes(found) if r["off"] and len(r["columns"]) == 1}
    lost = {(c["column"], c["value"]) for c in _detail(found, "missing classes").get("categories", ())}
    off |= {column for column, _ in lost}
    out = []
    for c in detail["columns"]:
        kind = kinds.get(c["name"], c["kind"])
        chart = None if c["bins"] is None else _chart(c, kind, {value for column, value in lost if column == c["name"]})
        missing = c["missing"]["made"], c["missing"]["real"]
        out.append(Card(c["name"], kind, c["score"], c["real score"], missing, c["name"] in off, chart))
    return tuple(sorted(out, key=lambda c: (not c.off, -_gap(c))))


def _gap(card: Card) -> float:
    """The share of rows by which a column is off, by its shape or by what is missing, beyond what real rows are."""
    shape = 0.0 if card.score is None or card.real is None else card.real - card.score
    return max(shape, abs(card.missing[0] - card.missing[1]))


def _holes(found: Mapping[str, Finding]) -> list[dict[str, Any]]:
    """Columns with missing cells, and pairs of them; off where chance is no explanation."""
    detail = _detail(found, "missingness")
    rows = [r for key in ("columns", "pairs") for r in detail.get(key, ())]
    return [{**r, "off": abs(r["z"]) > SURE and abs(r["made"] - r["real"]) > LEAST} for r in rows]


def _chart(c: Mapping[str, Any], kind: str, lost: set[str]) -> Markup:
    bins = c["bins"]
    made, real = list(bins["made"]), list(bins["real"])
    if c["kind"] == "choice":
        return drawing.bars(_few(list(bins["names"]), made, real, lost))
    if "edges" in bins:
        edges = [at(x, kind) for x in bins["edges"]]
        names = [f"{a} to {b}" for a, b in zip(edges[:-1], edges[1:], strict=True)]
        names[0], names[-1] = f"up to {edges[1]}", f"from {edges[-2]}"
        return drawing.steps(
            names, [(k / (len(edges) - 1), edges[k]) for k in (0, len(edges) // 2, len(edges) - 1)], made, real
        )
    names = [at(x, kind) for x in bins["values"]] if "values" in bins else list(bins["names"])
    places = [((k + 0.5) / len(names), name) for k, name in enumerate(names)]
    room = max(1, math.ceil(sum(len(n) for n in names) * 6.5 / 300))
    return drawing.steps(names, places[::room], made, real)


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
        more = "others" if "others" in (names[i] for i in rest) else f"{len(rest)} others"
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


def _scored(found: Mapping[str, Finding], name: str, joint: str) -> tuple[Row, ...]:
    """Worst first: score and real score of combinations of columns."""
    rows = _detail(found, name).get("worst", ())
    known = [r for r in rows if r["score"] is not None and r["real score"] is not None]
    return tuple(Row(joint.join(r["columns"]), r["score"], r["real score"]) for r in known[:ROWS])


def _signs(detail: Mapping[str, Any]) -> tuple[tuple[str, float, float | None], ...]:
    """Columns by how well a judge who sees nothing else tells the made rows."""
    joint = dict(detail.get("importance", ()))
    alone = dict(detail.get("alone", ()))
    names = sorted(alone, key=lambda n: -max(alone[n] - 0.5, joint.get(n, 0.0)))
    return tuple((n, alone[n], joint.get(n)) for n in names[:ROWS])


def _lost(found: Mapping[str, Finding]) -> tuple[Row, ...]:
    """Values that are never made, or far too rarely, each once."""
    out: dict[str, Row] = {}
    for name, note in (("missing classes", "missing"), ("rare categories", "too rare")):
        for c in _detail(found, name).get("categories", ()):
            what = f"{c['column']} = {c['value']}"
            out.setdefault(what, Row(what, c["made"], c["real"], True, "never made" if c["made"] == 0 else note))
    return tuple(out.values())


def _lessons(detail: Mapping[str, Any]) -> tuple[Lesson, ...]:
    if not detail:
        return ()
    out = []
    for learner, scores in detail.get("learners", {}).items():
        known = "boosted trees" + learner.removeprefix("boosting") if learner.startswith("boosting") else learner
        out.append(Lesson(detail["target"], known, detail["measure"], scores["tstr"], scores["trtr"]))
    for other in detail.get("others", ()):
        out.append(Lesson(other["column"], "forest", other["measure"], other["tstr"], other["trtr"]))
    return tuple(out)
