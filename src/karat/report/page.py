"""The report: one HTML file that opens anywhere without network or script, and one JSON with every number in full."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from karat import __version__, words
from karat.assays.details.records import Balance, Descriptor, MissingClasses, MissingModes
from karat.assays.details.rows import Cardinality
from karat.languages import Language, hearing
from karat.languages import language as language_of
from karat.output import Output, digest, make_folder, read_json
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import Label, plain_seal
from karat.report import drawing, table, text
from karat.report.board import board, fault, input_name, judged, limit_in_full, states
from karat.report.printed import told
from karat.worth.ledger import Entry, total
from karat.worth.reasons import Reason
from karat.worth.verdict import Verdict

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

X_NAMES = ("step", "seconds", "samples", "fraction")
PANELS = 6
PAIRS = 12
MOST_CLASSES = 40
_OURS = re.compile(r'(<span class="ours">|\b(?:alt|aria-label)=")([^<"]*)(</span>|")')
PLAIN = ("classes", "imbalance")  # entries whose names are the data's own
EVIDENCE = 6  # findings that a reason links to


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
    lang: str = "en",
    beside: Callable[[dict[str, Any]], Mapping[str, bytes]] = lambda _: {},
) -> tuple[Path, Path]:
    """Writes `report.html` and `report.json` into `folder` and gives their paths; all is wholly there or as before.

    facts: shown in the title block and at the end (run, date, device, seed, versions, fingerprint).
    curves: rows of training with a `step` (or seconds, samples, fraction) and any numbers.
    pairs: the closest pairs as numbers.   diagnostics: notes with `name`, `message`, `remedy`.
    data: the survey; `skipped` is a list of (name, reason), `columns` of what a table holds; other lists and tables are
    shown as they are.   thing: what one record is called.   output: what may be replaced; nothing by default.
    lang: the language of the page.   beside: files by their names that are made of what report.json holds, and written with it.
    """
    output = Output(private=True) if output is None else output
    make_folder(folder, True)
    numbers = {
        **{"format": 1, "title": title, "verdict": verdict.to_dict(), "answers": states(verdict)},
        **_again(verdict, findings, language_of(lang)),
        "findings": [f.to_dict() for f in findings],
        **{"facts": dict(facts), "curves": [dict(c) for c in curves], "pairs": [dict(p) for p in pairs]},
        "cost": {"entries": [vars(e) for e in cost], "total": total(cost).to_dict()},
        **{"reproduce": list(reproduce), "recipe": dict(recipe)},
        **{"diagnostics": [dict(d) for d in diagnostics], "data": dict(data)},
    }
    page = environment().get_template("page.html.j2")
    rendered = page.render(
        title=title,
        verdict=verdict,
        **_said(verdict, findings, thing, language_of(lang)),
        **_headed(verdict, findings, facts, cost),
        **_described(findings, data, language_of(lang)),
        facts=facts,
        exhibits=exhibits,
        thing=thing,
        charts=charts(curves, language_of(lang)),
        closest=list(exhibits.pairs)[:PAIRS],
        cost=cost,
        reproduce=reproduce,
        recipe=recipe,
        diagnostics=diagnostics,
    )
    return _write(output, folder, numbers, rendered, beside)


def _write(
    output: Output,
    folder: Path,
    numbers: dict[str, Any],
    rendered: str,
    beside: Callable[[dict[str, Any]], Mapping[str, bytes]],
) -> tuple[Path, Path]:
    """Both with a label of origin, as they show what was made; its number is the digest of the numbers."""
    html, numbers_at = folder / "report.html", folder / "report.json"
    found = digest(json.dumps(finite(numbers), sort_keys=True).encode("utf-8", "replace"))
    label = Label("karat", "report", found[:16], __version__, law="cn")  # the page names no address
    told = {"AIGC": label.fields(plain_seal({}, found)), **numbers}
    text = json.dumps(finite(told), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = CONTAINERS[".html"].write(rendered.encode("utf-8", "replace"), label)
    others = {folder / name: blob for name, blob in beside(json.loads(text)).items()}
    output.write_all({numbers_at: text.encode("utf-8", "replace"), html: page, **others})
    return html, numbers_at


def _again(verdict: Verdict, findings: Sequence[Finding], language: Language) -> dict[str, Any]:
    """The sentences of the file in the language of the page, in the order of what they are about; in English they stand there."""
    if language.code == "en":
        return {}
    settle = None if verdict.settle is None else language.again(verdict.settle.what)
    reasons, summaries = (
        [language.again(text) for text in texts]
        for texts in ([r.text for r in verdict.reasons], [f.summary for f in findings])
    )
    told = {"sentence": language.again(verdict.sentence), "settle": settle, "reasons": reasons, "findings": summaries}
    return {"said": {"lang": language.code, **told}}


def _said(verdict: Verdict, findings: Sequence[Finding], thing: str, language: Language) -> dict[str, Any]:
    """The first page and what else is said in the language, by the template's names."""
    called = language.thing(thing)

    def t(key: str, **values: object) -> str:
        return language.say(f"page.{key}", **called, **values)

    names = [language.finding(f.name, f.key, f.of, f.table) for f in findings]
    return {
        "language": language,
        "say": language.say,
        "called": called,
        "t": t,
        "money": language.money,
        "again": language.again,
        "word": lambda text: language.again(words.term(text)),
        "in_full": lambda f: limit_in_full(f, language),
        "judged": lambda f: judged(f, thing, language),
        "board": board(verdict, findings, thing, language),
        "names": names,
        "advice": [fault(f, i, called, language).do for i, f in enumerate(findings)],
        "evidence": {r.kind + r.name: _evidence(r, findings) for r in verdict.reasons},
        "inputs": {i.name: input_name(i.name, called, language) for i in verdict.inputs},
        "told": told(findings, thing, language),
        "seal": drawing.seal(verdict.word, language),
        "descriptors": _descriptors(findings, language),
        "tornado": _tornado(verdict, called, language),
        "heard": lambda text: hearing.again(language, str(text)) or text,
        "show": lambda value, key="": _show(value, language, key),
        "entry": lambda key: language.again(words.term(str(key).replace("_", " ").capitalize())),
        "range_bars": [
            drawing.range_bar(f, name, str(f.within) if language.code == "en" else limit_in_full(f, language), language)
            for f, name in zip(findings, names, strict=True)
        ],
        "histograms": _histograms(findings, language),
    }


def _evidence(reason: Reason, findings: Sequence[Finding]) -> list[int]:
    """The places of the findings that a reason rests on: those that speak for it, of many the first few."""
    mine = [
        i for i, f in enumerate(findings) if f.kind.feeds == ("quality" if reason.kind == "quality" else reason.name)
    ]
    if named := [i for i in mine if findings[i].name == reason.name]:
        return named
    wanted = {"power": ("cannot tell",), "faults": ("raised",), "review": ("raised",), "reviewers": ()}.get(
        reason.name, {"pass": ("ok",), "fail": ("raised",), "unknown": ("cannot tell", "raised")}[reason.state]
    )
    return [i for i in mine if findings[i].state in wanted][:EVIDENCE]


def _headed(
    verdict: Verdict, findings: Sequence[Finding], facts: Mapping[str, Any], cost: Sequence[Entry]
) -> dict[str, Any]:
    """What the page shows of the verdict and the findings, by the template's names."""
    judge = str(facts.get("judge", "own"))
    return {
        "rosette": drawing.rosette(),
        "findings": list(findings),
        "groups": list(dict.fromkeys(f.assay for f in findings)),
        "own_features": any(f.name == "frechet distance" for f in findings) and judge.startswith("own"),
        "total": total(cost),
    }


def _described(findings: Sequence[Finding], data: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """What the page shows of the data and of tables and text, by the template's names."""
    described = data.get("columns", ())
    return {
        "tables": table.views(findings, {c["name"]: c["kind"] for c in described}, language),
        "text": text.view(findings, language),
        "described": described,
        "data": {k: v for k, v in data.items() if k not in ("skipped", "columns")},
        "skipped": list(data.get("skipped", ())),
    }


def check(output: Output, folder: Path) -> None:
    """RunError where a report must not be written into `folder`: before the work, and for all of its files."""
    for name in ("report.html", "report.json", "card.md"):
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
def environment() -> Environment:
    """What fills in templates, with our filters; all text is escaped."""
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
        "uri": _uri,
        "fragment": _fragment,
        "share": drawing.share,
    }
    return env


def _code(text: str) -> Markup:
    """The text with commands, which stand between backquotes, as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # escaped: nothing of it is a tag


def _fragment(html: bytes, language: Language) -> Markup:
    """What content made of records, escaped by it, with its own words in the language of the page: those in elements of the
    class "ours", and those by which what is shown is read out.
    """
    text = html.decode()
    if language.code != "en":

        def again(found: re.Match[str]) -> str:
            own = unescape(found[2])
            return f"{found[1]}{escape(hearing.again(language, own) or own)}{found[3]}"

        text = _OURS.sub(again, text)
    return Markup(text)


def _uri(png: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(png).decode())


def _show(value: Any, language: Language, key: str = "") -> Markup | str:
    """A fact as a person reads it: numbers short, lists with commas, tables as pairs.   key: of the entry that it stands in."""
    if isinstance(value, bool):
        return language.again(words.term("yes") if value else words.term("no"))
    if value is None:
        return "—"
    if isinstance(value, int):
        return words.count(value)
    if isinstance(value, float):
        return words.number(value)
    if isinstance(value, Mapping):
        return Markup(", ").join(
            Markup('<span class="pair">{} <b>{}</b></span>').format(
                k if key in PLAIN else _named(str(k), language), _show(v, language, key)
            )
            for k, v in value.items()
        )
    if isinstance(value, list | tuple):
        return Markup(" × " if len(value) in (2, 3) and all(isinstance(v, int) for v in value) else ", ").join(
            escape(_show(v, language, key)) for v in value
        )
    text = str(value) if not isinstance(value, str) else language.again(words.term(value) if key == "kind" else value)
    return (hearing.again(language, " ".join(text.split())) or text) if " " in text else text


def _named(key: str, language: Language) -> str:
    """The name of an entry in an entry, as it stands where it is not one of ours."""
    own = key.replace("_", " ").capitalize()
    said = language.again(words.term(own))
    return key if said == own else said


def _histograms(findings: Sequence[Finding], language: Language) -> list[tuple[str, Markup]]:
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
            drawn = drawing.histogram(list(d.names), list(d.made), list(d.real), language)
            if drawn not in [other for _, other in out]:  # two findings may rest on the same classes
                column = d.column if isinstance(d, Balance) else None
                name = language.finding(f.name, f.key, f.of, f.table)
                key = "page.shares" if column else "page.classes"
                out.append((language.say(key, name=name, column=column), drawn))
    return out


def _descriptors(findings: Sequence[Finding], language: Language) -> list[tuple[str, Markup]]:
    """The distributions of descriptors that vary."""
    out = []
    for f in findings:
        d = f.detail
        if isinstance(d, Descriptor) and d.edges is not None and d.made is not None and d.real is not None:
            edges = [words.number(e) for e in d.edges]
            names = [language.again(words.said("{low} to {high}", low=a, high=b)) for a, b in itertools.pairwise(edges)]
            marks = [(i / 4, edges[round(i * (len(edges) - 1) / 4)]) for i in range(5)]
            name = language.finding(f.name, f.key, f.of, f.table)
            name = f"{name[:1].upper()}{name[1:].lower()}" if language.code == "en" else name
            title = f"{name}, {language.again(words.term(d.unit))}" if d.unit else name
            out.append((title, drawing.steps(names, marks, list(d.made), list(d.real), language)))
    return out


def charts(rows: Sequence[Mapping[str, Any]], say: Language) -> list[tuple[str, Markup]]:
    """Losses together in one chart, every other quantity in one of its own, at most six."""

    def called(name: str) -> str:
        return say.again(words.term(name.replace("_", " ")))

    if len(rows) < 2:
        return []
    x_name = next((n for n in X_NAMES if all(n in r for r in rows)), None)
    x = [float(r[x_name]) for r in rows] if x_name is not None else [float(i) for i in range(len(rows))]
    names = [n for n in dict.fromkeys(k for r in rows for k in r) if n not in X_NAMES]
    columns = {n: [_float(r.get(n)) for r in rows] for n in names}
    columns = {n: c for n, c in columns.items() if sum(map(math.isfinite, c)) >= 2}
    losses = {n: c for n, c in columns.items() if "loss" in n.lower()}
    groups = ([("Losses", losses)] if losses else []) + [(n, {n: c}) for n, c in columns.items() if n not in losses]
    across = called(x_name or "row")
    return [
        (called(title), drawing.curves(called(title), across, x, {called(n): line for n, line in lines.items()}, say))
        for title, lines in groups[:PANELS]
    ]


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _tornado(verdict: Verdict, called: Mapping[str, str], language: Language) -> Markup | None:
    if verdict.value is None or not verdict.value.tornado:
        return None
    rows = [
        (
            f"{b.name} ({b.tag})" if language.code == "en" else _bar_name(b.name, b.tag, called, language),
            b.at_p10,
            b.at_p90,
        )
        for b in verdict.value.tornado[:6]
    ]
    return drawing.tornado(rows, language)


def _bar_name(name: str, tag: str, called: Mapping[str, str], language: Language) -> str:
    """What an input of the money is called, and how it is known."""
    return f"{input_name(name, called, language)}（{language.say(f'tag.{tag}.name')}）"
