"""Runs side by side: their findings in one table, how sure it is that one is better than another, and the spread of seeds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from karat.assays.finding import Finding
from karat.languages import Language, language
from karat.report.differences import Difference
from karat.report.page import environment
from karat.words import number, score
from karat.worth.verdict import Verdict

MOST = 100  # times as many records, beyond which nobody is told how many


@dataclass(frozen=True)
class Judged:
    """One run as it was judged, whole and by blocks."""

    name: str
    recipe: str
    seed: int
    verdict: Verdict
    findings: tuple[Finding, ...]
    blocks: tuple[tuple[Finding, ...], ...]


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only."""

    name: str
    runs: tuple[Judged, ...]


@dataclass(frozen=True)
class Pairing:
    """Two runs, or two groups of seeds, and how they differ in each finding."""

    a: str
    b: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, repr=False)
class Comparison:
    """What judging several runs found. Prints itself; `report` is its page."""

    runs: tuple[Judged, ...]
    groups: tuple[Group, ...]
    pairings: tuple[Pairing, ...]
    thing: str
    lang: str
    report: Path | None = None
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "runs": [
                {
                    **{"name": r.name, "recipe": r.recipe, "seed": r.seed, "verdict": r.verdict.to_dict()},
                    "findings": [f.to_dict() for f in r.findings],
                }
                for r in self.runs
            ],
            "groups": [{"name": g.name, "runs": [r.name for r in g.runs]} for g in self.groups],
            "comparisons": [
                {
                    **{"a": p.a, "b": p.b},
                    "differences": [{**vars(d), "finding": d.finding.name} for d in p.differences],
                }
                for p in self.pairings
            ],
            "failed": list(self.failed),
        }

    def __str__(self) -> str:
        return printed(self)

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Line:
    """One finding of the table: its name and question, a cell for each run and for each group of seeds, and the answers."""

    name: str
    asks: str
    cells: tuple[tuple[str, str], ...]  # score, state
    groups: tuple[str, ...]
    real: str
    answers: tuple[tuple[str, str], ...]  # word, sentence; of each pairing


def lines(found: Comparison, say: Language) -> list[Line]:
    """A line for each finding of the first run, in its order."""
    called = say.thing(found.thing)
    out = []
    for f in found.runs[0].findings:
        same = [next((g for g in r.findings if g.name == f.name), None) for r in found.runs]
        told = [next((d for d in p.differences if d.finding.name == f.name), None) for p in found.pairings]
        out.append(
            Line(
                say.finding(f.name, f.key, f.of, f.table),
                say.say(f"finding.{f.key}.asks", of=f.of, **called),
                tuple(("—", "unknown") if g is None else (score(g.value), g.state) for g in same),
                tuple(_spread(g, f.name, say) for g in found.groups),
                score(f.real),
                tuple(("unknown", "—") if d is None else (d.word, answer(d, found.thing, say)) for d in told),
            )
        )
    return out


def _spread(group: Group, name: str, say: Language) -> str:
    """Mean and standard deviation of a finding over the seeds."""
    values = [f.value for r in group.runs for f in r.findings if f.name == name and math.isfinite(f.value)]
    if len(values) < 2:
        return "—"
    return say.say("compare.spread", mean=score(statistics.fmean(values)), sd=score(statistics.stdev(values)))


def answer(d: Difference, thing: str, say: Language) -> str:
    """How much better or worse the second is, or how many times as many records would tell."""
    if d.word == "alike":
        return say.say("compare.alike", **say.thing(thing))
    if not math.isfinite(d.low):
        return say.say("compare.blind")
    if d.word == "unknown":
        between = {"low": score(d.low), "high": score(d.high)}
        if math.isnan(d.times):  # by itself it is, but of so many one or the other is
            return say.say("compare.several", **between)
        if d.times > MOST:
            return say.say("compare.hardly", **between, **say.thing(thing))
        return say.say("compare.unknown", **between, **say.thing(thing), times=number(math.ceil(d.times)))
    low, high = sorted((abs(d.low), abs(d.high)))
    return say.say(f"compare.{d.word}", by=score(abs(d.by)), low=score(low), high=score(high))


def summaries(found: Comparison, say: Language) -> list[str]:
    """A sentence for each pairing, and one for each finding in which the second is better or worse."""
    out = []
    for p in found.pairings:
        counts = Counter(d.word for d in p.differences)
        n = {word: counts.get(word, 0) for word in ("better", "worse", "alike", "unknown")}
        out.append(say.say("compare.summary", a=p.a, b=p.b, **say.thing(found.thing), **n))
    for g in found.groups:
        seeds = say.listed([str(r.seed) for r in g.runs], len(g.runs))
        out.append(say.say("compare.seeds", name=g.name, n=len(g.runs), seeds=seeds))
    return out


def printed(found: Comparison) -> str:
    """The table and the sentences, for a terminal."""
    say = language(found.lang)
    head = [
        say.say("print.finding"),
        *(r.name for r in found.runs),
        *(g.name for g in found.groups),
        say.say("print.real"),
    ]
    head += [say.say("compare.against", a=p.a, b=p.b) for p in found.pairings]
    rows = [head]
    for line in lines(found, say):
        marks = {"raised": " ▲", "cannot tell": " ?"}
        cells = [value + marks.get(state, "") for value, state in line.cells]
        rows.append([line.name, *cells, *line.groups, line.real, *(text for _, text in line.answers)])
    verdicts = [say.say(f"word.{r.verdict.word}.name") for r in found.runs]
    rows.append([say.say("compare.verdict"), *verdicts, *([""] * (len(found.groups) + 1 + len(found.pairings)))])
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(head))]
    table = ["  ".join(c + " " * (w - cell_len(c)) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*table, say.say("compare.marks"), "", *summaries(found, say)])


def rendered(found: Comparison) -> str:
    """The page."""
    say = language(found.lang)
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            found=found, say=say.say, lines=lines(found, say), summaries=summaries(found, say), words=_state(found, say)
        )
    )


def _state(found: Comparison, say: Language) -> dict[str, str]:
    """States in words."""
    return {
        state: say.say(f"page.state.{key}")
        for state, key in (("raised", "raised"), ("ok", "ok"), ("cannot tell", "blind"))
    }
