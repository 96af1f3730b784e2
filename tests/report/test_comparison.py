"""Runs side by side: one table and its sentences, in both languages, with the spread of seeds."""

from __future__ import annotations

import re
from dataclasses import replace

from pages import Page

from karat.assays.finding import Finding, Limit
from karat.report.comparison import Comparison, Group, Judged, Pairing, printed, rendered
from karat.report.differences import Difference, between
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.verdict import judge

COVERAGE = Finding(
    key="coverage", value=0.8, low=0.7, high=0.9, real=0.95, raised=False, summary="", limit=Limit(below=0.1)
)


def run(name: str, seed: int, value: float) -> Judged:
    found = (replace(COVERAGE, value=value, raised=False),)
    return Judged(name, name.split("-")[0], seed, judge(found, Cost(), Prices(), rights=None, labelled=None), found, ())


A = tuple(run(f"<a>-{i}", i, 0.8 + i / 100) for i in range(3))
B = tuple(run(f"b-{i}", i, 0.9 + i / 100) for i in range(3))
GROUPS = (Group("<a>", A), Group("b", B))
SEEDS = Pairing("<a>", "b", tuple(between([r.findings for r in A], [r.findings for r in B])))


def test_two_recipes_of_several_seeds_are_told_with_their_spread_and_their_difference() -> None:
    text = printed(Comparison((*A, *B), GROUPS, (SEEDS,), "row", "en"))
    line = next(line for line in text.splitlines() if line.startswith("coverage"))
    assert "0.81 ± 0.01" in line and "0.91 ± 0.01" in line and re.search(r"better by 0\.1 \(0\.0773 to 0\.123\)", line)
    assert "b is better than <a> in 1 tests and worse in 0" in text
    assert "<a>: 3 seeds (0, 1 and 2); ± is their standard deviation." in text


def test_the_page_is_whole_and_a_name_stays_text_in_both_languages() -> None:
    for code in ("en", "zh"):
        text = rendered(Comparison((*A, *B), GROUPS, (SEEDS,), "row", code))
        assert Page(text).open == [] and "<a>" not in text and "&lt;a&gt;" in text and "0.81 ± 0.01" in text
        assert ("好 0.1" in text) == (code == "zh")


def test_each_answer_has_its_sentence() -> None:
    words = {
        "both as good as real rows": ("alike", -0.1, 0.1, 1.0),
        "worse by 0.2 (0.1 to 0.3)": ("worse", -0.3, -0.1, 1.0),
        "about 3 times as many would tell": ("unknown", -0.1, 0.3, 2.5),
        "over 100 times as many would be needed": ("unknown", -0.3, 0.3, float("inf")),
        "among so many tests one looks so by chance": ("unknown", 0.1, 0.3, float("nan")),
        "too few unseen real ones to say how far chance goes": ("unknown", float("nan"), float("nan"), float("nan")),
    }
    for text, (word, low, high, times) in words.items():
        d = Difference(COVERAGE, 0.8, 0.6, -0.2, low, high, word, times)  # type: ignore[arg-type]
        found = Comparison((A[0], B[0]), (), (Pairing("x", "y", (d,)),), "row", "en")
        assert text in printed(found), text
