"""The report of text: runs, loops and words that anybody can read, and strangers' text that stays text."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from pages import Page

from karat.assays.text import bits
from karat.assays.text.texts import examine
from karat.languages import language
from karat.report import text
from karat.report.page import Exhibits, write_report
from karat.views import TextView
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.verdict import judge

EN = language("en")
HOSTILE = "<script>alert('x')</script> \u202e\x07 "


def test_the_page_shows_runs_loops_words_and_bits_and_no_stranger_gets_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    known = ["apple", "pear", "plum", "fig", "lime", "kiwi", "nut", "date"]
    real = [f"{'ANNA' if i % 2 else 'BERT'}: {' '.join(rng.choice(known, 30))} a{i}@mail.example" for i in range(400)]
    train, unseen = TextView(tuple(real[:200])), TextView(tuple(real[200:]))
    kept = [t for t in real[:200] if t.startswith("ANNA")]
    made = TextView((*kept[:60], *(HOSTILE * 6 + t for t in kept[:60]), HOSTILE + "plum " * 12))
    held = [t for t in unseen.texts[:20]]
    likely = bits.findings([np.full(len(t), math.log(2)) for t in held], held, train.texts)
    findings = [*likely, *examine(train, unseen, made)]
    seen = text.view(findings, EN)
    assert seen is not None and seen.bits is not None and seen.loops and seen.leaks and seen.runs
    assert "BERT:" in [w.name for w in seen.missing]
    verdict = judge(findings, Cost(), Prices(), rights=None, labelled=None, thing="passage")
    html, _ = write_report(
        tmp_path,
        title="t",
        verdict=verdict,
        findings=findings,
        facts={},
        exhibits=Exhibits(".html"),
        curves=[],
        pairs=[],
        cost=[],
        reproduce=[],
        recipe={},
        diagnostics=[],
        data={},
        thing="passage",
    )
    page = html.read_text()
    assert "<script" not in page and "\u202e" not in page and "\x07" not in page and "U+202E" in page
    assert "@mail.example" in page and "<mark>" in page and "counts of 7 characters" in page
    Page(page)  # every tag is closed in its place
    json.loads((tmp_path / "report.json").read_text())


def test_what_is_no_text_has_no_view_of_text() -> None:
    assert text.view([], EN) is None
