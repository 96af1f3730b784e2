"""The report: one HTML file that opens anywhere without network or script, and one JSON with every number in full."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from karat import words
from karat.assays.details.records import Balance, Descriptor, MissingClasses, MissingModes
from karat.assays.details.rows import Cardinality
from karat.output import Output, make_folder, read_json
from karat.report import drawing, table, text
from karat.worth.ledger import Entry, total
from karat.worth.verdict import Verdict, conclusive, overview

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

X_NAMES = ("step", "seconds", "samples", "fraction")
PANELS = 6
PAIRS = 12
MOST_CLASSES = 40


Form = Literal[".png", ".html"]


@dataclass(frozen=True)
class Pair:
    """A made item and the training item nearest to it, each as a sheet of one, and how far they are apart."""

    made: bytes
    nearest: bytes
    distance: float


@dataclass(frozen=True)
class Exhibits:
    """What there is to see, all in one form: PNG bytes, or fragments of HTML that are escaped already.

    made, real: a sheet of what was made and one of real items of the same size.   by_class: of made items, class by class.
    progress: what was made as training went on, each with its caption.   beside: all closest pairs as one exhibit, where
    the content can show them so; else `pairs`.
    """

    form: Form = ".png"
    made: bytes | None = None
    real: bytes | None = None
    progress: Sequence[tuple[str, bytes]] = ()
    pairs: Sequence[Pair] = ()
    beside: bytes | None = None
    by_class: bytes | None = None


def write_report(
    folder: Path,
    *,
    title: str,
    verdict: Verdict,
    findings: Sequence[Finding],
    facts: Mapping[str, Any],
    exhibits: Exhibits,
    curves: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    cost: Sequence[Entry],
    reproduce: Sequence[str],
    recipe: Mapping[str, Any],
    diagnostics: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    thing: str = "item",
    output: Output | None = None,
) -> tuple[Path, Path]:
    """Writes `report.html` and `report.json` into `folder` and gives their paths; each is wholly there or as before.

    facts: shown in the title block and at the end (run, date, device, seed, versions, fingerprint).
    curves: rows of training with a `step` (or seconds, samples, fraction) and any numbers.
    pairs: the closest pairs as numbers.   diagnostics: notes with `name`, `message`, `remedy`.
    data: the survey; `skipped` is a list of (name, reason), `columns` of what a table holds; other lists and tables are
    shown as they are.   thing: what one record is called.   output: what may be replaced; nothing by default.
    """
    output = Output(private=True) if output is None else output
    make_folder(folder, True)
    numbers = {
        "format": 1,
        "title": title,
        "verdict": verdict.to_dict(),
        "findings": [f.to_dict() for f in findings],
        "facts": dict(facts),
        "curves": [dict(c) for c in curves],
        "pairs": [dict(p) for p in pairs],
        "cost": {"entries": [vars(e) for e in cost], "total": total(cost).to_dict()},
        "reproduce": list(reproduce),
        "recipe": dict(recipe),
        "diagnostics": [dict(d) for d in diagnostics],
        "data": dict(data),
    }
    page = _environment().get_template("page.html.j2")
    rendered = page.render(
        title=title,
        verdict=verdict,
        **_headed(verdict, findings, facts, cost, thing),
        **_described(findings, data),
        facts=facts,
        exhibits=exhibits,
        thing=thing,
        charts=_charts(curves),
        closest=list(exhibits.pairs)[:PAIRS],
        cost=cost,
        reproduce=reproduce,
        recipe=recipe,
        diagnostics=diagnostics,
    )
    return _write(output, folder, numbers, rendered)


def _write(output: Output, folder: Path, numbers: dict[str, Any], rendered: str) -> tuple[Path, Path]:
    html, numbers_at = folder / "report.html", folder / "report.json"
    text = json.dumps(finite(numbers), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    output.write_all({numbers_at: text.encode("utf-8", "replace"), html: rendered.encode("utf-8", "replace")})
    return html, numbers_at


def _headed(
    verdict: Verdict, findings: Sequence[Finding], facts: Mapping[str, Any], cost: Sequence[Entry], thing: str
) -> dict[str, Any]:
    """What the page shows of the verdict and the findings, by the template's names."""
    judge = str(facts.get("judge", "own"))
    return {
        "seal": drawing.seal(verdict.word),
        "rosette": drawing.rosette(),
        "sentence": verdict.sentence.partition(": ")[2] or verdict.sentence,
        "key_numbers": _key_numbers(verdict, findings, cost, thing),
        "unknown": [r for r in verdict.reasons if r.state == "unknown"],
        "findings": findings,
        "groups": list(dict.fromkeys(f.assay for f in findings)),
        "histograms": _histograms(findings),
        "descriptors": _descriptors(findings),
        "own_features": any(f.name == "frechet distance" for f in findings) and judge.startswith("own"),
        "blind": overview(findings, thing),
        "total": total(cost),
        "tornado": _tornado(verdict),
    }


def _described(findings: Sequence[Finding], data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of the data and of tables and text, by the template's names."""
    described = data.get("columns", ())
    return {
        "tables": table.views(findings, {c["name"]: c["kind"] for c in described}),
        "text": text.view(findings),
        "described": described,
        "data": {k: v for k, v in data.items() if k not in ("skipped", "columns")},
        "skipped": list(data.get("skipped", ())),
    }


def check(output: Output, folder: Path) -> None:
    """RunError where a report must not be written into `folder`: before the work, and for both of its files."""
    for name in ("report.html", "report.json"):
        output.check(folder / name)


def is_report(folder: Path) -> bool:
    """Whether a report that `write_report` wrote is all that stands in the way in `folder`."""
    html, numbers = folder / "report.html", folder / "report.json"
    if not html.exists() and not numbers.exists():
        return True
    content = read_json(numbers)
    return isinstance(content, dict) and {"format", "verdict", "findings", "reproduce"} <= set(content)


def finite(value: Any) -> Any:
    """The value as strict JSON: tuples as lists, arrays and numpy scalars as numbers, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [finite(v) for v in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    return str(value)


@lru_cache(maxsize=1)  # compiling the page takes longer than filling it in
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # class and file names are strangers' text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "code": _code,
        "number": words.number,
        "score": words.score,
        "count": words.count,
        "duration": words.duration,
        "range_bar": drawing.range_bar,
        "uri": _uri,
        "fragment": lambda html: Markup(html.decode()),  # of our own making, and escaped
        "share": drawing.share,
        "show": _show,
        "title_case": lambda s: str(s).replace("_", " ").capitalize(),
    }
    env.globals["money"] = words.money
    return env


def _code(text: str) -> Markup:
    """The text with commands, which stand between backquotes, as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # escaped: nothing of it is a tag


def _uri(png: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(png).decode())


def _show(value: Any) -> Markup | str:
    """A fact as a person reads it: numbers short, lists with commas, tables as pairs."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "—"
    if isinstance(value, int):
        return words.count(value)
    if isinstance(value, float):
        return words.number(value)
    if isinstance(value, Mapping):
        return Markup(", ").join(
            Markup('<span class="pair">{} <b>{}</b></span>').format(k, _show(v)) for k, v in value.items()
        )
    if isinstance(value, list | tuple):
        return Markup(" × " if len(value) in (2, 3) and all(isinstance(v, int) for v in value) else ", ").join(
            escape(_show(v)) for v in value
        )
    return str(value)


def _key_numbers(
    verdict: Verdict, findings: Sequence[Finding], cost: Sequence[Entry], thing: str
) -> list[tuple[str, str, str]]:
    """Four of (number, what it is, beside what): money, then the findings that say most; effort fills what is left."""
    out: list[tuple[str, str, str]] = []
    value = verdict.value
    if value is not None:
        low, high = words.money(value.cpa_low, verdict.currency), words.money(value.cpa_high, verdict.currency)
        out.append((words.money(value.cpa, verdict.currency), f"per accepted {thing}", f"95% interval {low} to {high}"))
        share = "" if verdict.assumed_share is None else f"{100 * verdict.assumed_share:.0f}% of its spread is assumed"
        out.append((words.chance(value.p_pays), "chance that it pays", share))
    for f in _weightiest(findings)[: 4 - len(out)]:
        out.append((words.score(f.value), f.name, f"{f.beside}: {words.score(f.real)}"))
    spent = total(cost)
    out.append((words.duration(spent.wall_seconds), "of work in all", f"{words.duration(spent.cpu_seconds)} of CPU"))
    out.append((words.count(spent.runs), "runs in the ledger", f"{spent.failed} failed"))
    return out[:4]


def _weightiest(findings: Sequence[Finding]) -> list[Finding]:
    """One finding per room, the weightiest of it that says something for certain; what cannot tell is none of them."""
    out: dict[str, Finding] = {}
    for f in conclusive(findings):
        out.setdefault(f.assay, f)
    return list(out.values())


def _histograms(findings: Sequence[Finding]) -> list[tuple[str, Markup]]:
    """Histograms of the findings whose detail holds shares by name, each with its title; a column is named in it."""
    out: list[tuple[str, Markup]] = []
    for f in findings:
        d = f.detail
        if (
            not isinstance(d, MissingClasses | MissingModes | Balance | Cardinality)
            or d.names is None
            or d.made is None
            or d.real is None
        ):
            continue
        if 2 <= len(d.names) <= MOST_CLASSES:
            drawn = drawing.histogram(list(d.names), list(d.made), list(d.real))
            if drawn not in [other for _, other in out]:  # two findings may rest on the same classes
                column = d.column if isinstance(d, Balance) else None
                out.append((f"{f.name.capitalize()}: {column}" if column else f"Classes: {f.name}", drawn))
    return out


def _descriptors(findings: Sequence[Finding]) -> list[tuple[str, Markup]]:
    """The distributions of descriptors that vary."""
    out = []
    for f in findings:
        d = f.detail
        if isinstance(d, Descriptor) and d.edges is not None and d.made is not None and d.real is not None:
            edges = [words.number(e) for e in d.edges]
            names = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
            marks = [(i / 4, edges[round(i * (len(edges) - 1) / 4)]) for i in range(5)]
            title = f"{f.name.capitalize()}, {d.unit}" if d.unit else f.name.capitalize()
            out.append((title, drawing.steps(names, marks, list(d.made), list(d.real))))
    return out


def _charts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """Losses together in one chart, every other quantity in one of its own, at most six."""
    if len(rows) < 2:
        return []
    x_name = next((n for n in X_NAMES if all(n in r for r in rows)), None)
    x = [float(r[x_name]) for r in rows] if x_name is not None else [float(i) for i in range(len(rows))]
    names = [n for n in dict.fromkeys(k for r in rows for k in r) if n not in X_NAMES]
    columns = {n: [_float(r.get(n)) for r in rows] for n in names}
    columns = {n: c for n, c in columns.items() if sum(map(math.isfinite, c)) >= 2}
    losses = {n: c for n, c in columns.items() if "loss" in n.lower()}
    groups = ([("Losses", losses)] if losses else []) + [(n, {n: c}) for n, c in columns.items() if n not in losses]
    shown = x_name or "row"
    return [(t.replace("_", " "), drawing.curves(t, shown, x, s)) for t, s in groups[:PANELS]]


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _tornado(verdict: Verdict) -> Markup | None:
    if verdict.value is None or not verdict.value.tornado:
        return None
    return drawing.tornado([(f"{b.name} ({b.tag})", b.at_p10, b.at_p90) for b in verdict.value.tornado[:6]])
