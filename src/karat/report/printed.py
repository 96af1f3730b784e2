"""What an assay prints: the findings as a table, what to do about those that are raised, and the three answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from rich.cells import cell_len

from karat.assays.sights import sentence
from karat.languages import Language
from karat.report.board import Board, board, judged, limit
from karat.words import score
from karat.worth.verdict import Verdict, overview

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

NAMED = 6  # of what is missing
UNSEEN = "unseen real data"
TITLES = ("finding", "made", "interval", "real", "raised", "judged")


def printed(findings: Sequence[Finding], verdict: Verdict, thing: str, language: Language, calibrated: str = "") -> str:
    """All of it, for a terminal.   calibrated: what was found of faults that were planted in these data."""
    head = ("", *(language.say(f"print.{title}") for title in TITLES))
    rows = [head, *((f.assay, *row(f, thing, language)) for f in findings)]
    widths = [max(cell_len(r[i]) for r in rows) for i in range(len(head))]
    lines = ["  ".join(c + " " * (w - cell_len(c)) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    if any(f.within.brief.endswith("*") for f in findings):
        lines.append(language.say("print.more"))
    first = board(verdict, findings, thing, language)
    notes = [*told(findings, thing, language), *([language.again(calibrated)] if calibrated else [])]
    return "\n".join([*lines, "", *_to_do(first, language), *notes, *_answers(first, verdict, language)])


def row(f: Finding, thing: str, language: Language) -> tuple[str, ...]:
    """One line of the table: its name, its score with the interval, that of real data, the limit, and how it is judged."""
    low, high = f.interval
    interval = language.say("form.range", low=score(low), high=score(high))
    name = language.finding(f.name, f.key, f.of, f.table)
    gone = f": {language.listed(f.missing, NAMED)}" if f.raised and f.missing else ""
    return (
        name if name == f.name else f"{name} ({f.name})",
        score(f.value),
        interval if math.isfinite(low) or math.isfinite(high) else "—",
        score(f.real) if f.beside == UNSEEN else f"{score(f.real)} ({language.beside(f.beside)})",
        limit(f, language),
        f"{judged(f, thing, language)}{gone}",
    )


def _to_do(first: Board, language: Language) -> list[str]:
    """Each raised finding with what it means and what to do."""
    lines = []
    for f in first.faults:
        gone = f" {f.missing}." if f.missing else ""
        lines += [f"▲ {f.name}: {f.means}{gone}", f"  → {f.do}"]
    more = [language.say("print.faults", n=first.more)] if first.more else []
    return [*lines, *more, ""] if lines else []


def _answers(first: Board, verdict: Verdict, language: Language) -> list[str]:
    answers = [language.say("print.answer", name=a.name, word=a.word, text=a.text) for a in first.answers]
    return [*answers, language.again(verdict.sentence)]


def told(findings: Sequence[Finding], thing: str, language: Language) -> list[str]:
    """What is said of all findings together: how many cannot tell, and what they would have seen."""
    said = overview(findings, thing), sentence(findings, thing)
    return [language.again(text) for text in said if text]


def in_html(findings: Sequence[Finding], verdict: Verdict, thing: str, language: Language) -> str:
    """The table for a notebook."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in (*cells[:4], str(f.within), cells[5])) + "</tr>"
        for f, cells in ((f, row(f, thing, language)) for f in findings)
    )
    head = "<tr>" + "".join(f"<th>{language.say(f'print.{title}')}</th>" for title in TITLES) + "</tr>"
    return f"<p><b>{escape(language.again(verdict.sentence))}</b></p><table>{head}{rows}</table>"
