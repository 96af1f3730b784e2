"""The assay of text on generators of known worth: each fault is found by its own finding, the oracle raises none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from karat.assays import Finding, find
from karat.assays.details.passages import VerbatimRun
from karat.assays.references import reference
from karat.assays.references.texts import LABELLED, REFERENCES
from karat.assays.text import copying, detection, fluency, labelled, variety, wording
from karat.assays.text.texts import Case, examine
from karat.assays.text.writing import openings
from karat.views import TextView

PARTS = ("first", "second", "third", "fourth", "fifth")
SPEAKERS = ("DUKE VINCENTIO:", "ROMEO:", "GLOUCESTER:", "MENENIUS:")


def cut(text: str, length: int) -> list[str]:
    """Passages of at most `length` characters, cut where a speech ends."""
    out = [""]
    for speech in re.split(r"(?<=\n\n)", text):
        if len(out[-1]) + len(speech) > length:
            out.append("")
        out[-1] += speech[:length]
    return [passage.strip("\n") for passage in out if passage.strip()]


@pytest.fixture(scope="module")
def plays(data_dir: Path) -> TextView:
    """Passages of Shakespeare; the class is which fifth of the file it is from, where other people speak."""
    texts = cut((data_dir / "text" / "tinyshakespeare.txt").read_text()[:600_000], 400)
    return TextView(tuple(texts), np.arange(len(texts)) * len(PARTS) // len(texts))


def parts(plays: TextView, seed: int, labelled: bool = False) -> list[TextView]:
    """Training passages, the judge's unseen ones and those that references may emit."""
    order = np.random.default_rng(seed).permutation(len(plays))
    some = [plays.take(rows) for rows in np.split(order, [len(order) // 2, len(order) * 3 // 4])]
    return [TextView(w.texts, w.labels if labelled else None) for w in some]


def raised(findings: list[Finding]) -> set[str]:
    return {f.name for f in findings if f.raised}


def told(t: TextView, u: TextView, m: TextView) -> list[Finding]:
    case = Case(t, u, m)
    return [*detection.findings(case), *fluency.findings(case)]


def worded(t: TextView, u: TextView, m: TextView) -> list[Finding]:
    return wording.findings(Case(t, u, m))


def varied(t: TextView, u: TextView, m: TextView) -> list[Finding]:
    case = Case(t, u, m)
    return [*detection.findings(case), *variety.findings(case)]


# A whole assay takes seconds; a fault is shown to the rooms whose findings must speak, the benchmark shows all.
ROOMS = {
    "bootstrap": lambda t, u, m: copying.findings(Case(t, u, m)),
    "copier": lambda t, u, m: copying.findings(Case(t, u, m)),
    "collapser": worded,
    "skewer": worded,
    "shuffler": told,
    "looper": lambda t, u, m: fluency.findings(Case(t, u, m)),
    "blurrer": lambda t, u, m: [*varied(t, u, m), *fluency.findings(Case(t, u, m))],
    "noise": lambda t, u, m: [*varied(t, u, m), *fluency.findings(Case(t, u, m)), *worded(t, u, m)],
}


SOON = ("copier", "collapser")


@pytest.mark.parametrize("name", [n if n in SOON else pytest.param(n, marks=pytest.mark.exam) for n in ROOMS])
def test_each_fault_is_found_by_its_own_finding(plays: TextView, name: str) -> None:
    train, unseen, source = parts(plays, 0)
    made = REFERENCES[name].make(reference.Case(train, source, 700, np.random.default_rng(0)))
    findings = ROOMS[name](train, unseen, made)
    must = set(REFERENCES[name].must)
    assert must <= raised(findings), {f.name: f.summary for f in findings if f.name in must and not f.raised}


def test_the_oracle_raises_nothing(plays: TextView) -> None:
    train, unseen, source = parts(plays, 0, labelled=True)
    findings = examine(train, unseen, source, classes=PARTS)
    assert raised(findings) == set(), [f.summary for f in findings if f.raised]
    rooms = [f.assay for f in findings]
    assert rooms == sorted(rooms, key=["fidelity", "diversity", "bias", "memory", "privacy", "usefulness"].index)


def test_the_last_tenth_of_a_book_is_not_at_fault_in_the_place_of_what_was_made(plays: TextView) -> None:
    rows = np.arange(len(plays))
    start = int(0.85 * len(rows))
    aside = np.random.default_rng(0).permutation(rows[start:])
    book = TextView(plays.texts)
    train, unseen, made = (book.take(r) for r in (rows[:start], aside[::2], aside[1::2]))
    findings = [*told(train, unseen, made), *worded(train, unseen, made), *copying.findings(Case(train, unseen, made))]
    assert raised(findings) == set(), [f.summary for f in findings if f.raised]


def test_what_was_learned_from_may_not_be_blamed_on_a_book_that_changes(plays: TextView) -> None:
    # a generator that writes as the first part does, judged by the last one
    rows = np.arange(len(plays))
    start = int(0.8 * len(rows))
    book = TextView(plays.texts)
    early = np.random.default_rng(1).permutation(rows[:start])
    train, made, unseen = book.take(early[400:]), book.take(early[:400]), book.take(rows[start:])
    findings = [*told(train, unseen, made), *worded(train, unseen, made), *copying.findings(Case(train, unseen, made))]
    assert raised(findings) == set(), [f.summary for f in findings if f.raised]


@pytest.mark.parametrize("name", LABELLED)
def test_a_class_that_is_lost_or_overdrawn_is_named(plays: TextView, name: str) -> None:
    train, unseen, source = parts(plays, 1, labelled=True)
    made = REFERENCES[name].make(reference.Case(train, source, 700, np.random.default_rng(1)))
    findings = labelled.findings(Case(train, unseen, made, PARTS))
    assert set(LABELLED[name]) <= raised(findings), [f.summary for f in findings]


def test_a_speaker_who_never_speaks_is_named(plays: TextView) -> None:
    train, unseen, source = parts(plays, 0)
    counts = {name: sum(name in openings(t) for t in train.texts) for name in SPEAKERS}
    gone = max(counts, key=lambda name: counts[name])
    made = source.take(np.array([i for i, t in enumerate(source.texts) if gone not in openings(t)]))
    assert find(worded(train, unseen, made), "missing openings").missing == (gone,)


def test_copied_runs_are_shown_where_they_stand(plays: TextView) -> None:
    train, unseen, source = parts(plays, 0)
    long = max(range(len(train)), key=lambda i: len(train.texts[i]))
    made = TextView(("Nobody said: " + train.texts[long][:300],) * 20 + source.texts[:200])
    found = find(copying.findings(Case(train, unseen, made)), "verbatim run")
    assert found.raised and found.value >= 280 and isinstance(found.detail, VerbatimRun)
    best = found.detail.runs[0]
    assert best.train == long and best.made < 20 and train.texts[long][best.there :].startswith(best.run[:200])


def test_a_skewer_that_finds_no_group_to_overdraw_gives_unseen_passages() -> None:
    same = TextView(("the cat sat on the mat",) * 40)
    made = REFERENCES["skewer"].make(reference.Case(same, same, 20, np.random.default_rng(0)))
    assert made.texts == same.texts[:20]
