"""Which of two runs is better: intervals that hold the truth, no word by chance, and how much more would tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from karat.assays.finding import Finding, Limit
from karat.report.differences import between, holm, paired

BASE = Finding(
    key="coverage", value=0.9, low=0.8, high=1.0, real=0.95, raised=False, summary="", limit=Limit(below=0.1)
)
TABLES = [f"t{i}" for i in range(20)]


def findings(values: Sequence[float]) -> list[Finding]:
    """One finding of coverage for each of so many tables."""
    return [replace(BASE, table=name, value=v, low=v, high=v) for name, v in zip(TABLES, values, strict=False)]


def drawn(rng: np.random.Generator, gap: float, n: int = 20, spread: float = 0.02) -> tuple[list[Finding], ...]:
    """Two runs, whose scores share what chance does to the unseen records, whole and in eight blocks."""
    shared = rng.normal(0, 0.05, (8, n))
    own = rng.normal(0, spread, (2, 8, n))
    a, b = 0.8 + shared + own[0], 0.8 + gap + shared + own[1]
    return findings(a.mean(0)), findings(b.mean(0)), [(findings(x), findings(y)) for x, y in zip(a, b, strict=True)]  # type: ignore[return-value]


def test_intervals_hold_the_difference_95_times_of_100_and_no_word_is_given_by_chance() -> None:
    rng = np.random.default_rng(0)
    held, words = [], []
    for _ in range(150):
        told = paired(*drawn(rng, 0.0))  # type: ignore[arg-type]
        held += [d.low <= 0 <= d.high for d in told]
        words.append(any(d.word in ("better", "worse") for d in told))
    assert 0.935 < np.mean(held) < 0.965  # 3,000 intervals, standard error 0.004
    assert np.mean(words) < 0.09  # of 150 reports, 5% and two standard errors


def test_what_runs_share_does_not_hide_their_difference() -> None:
    """Unpaired, chance among the unseen records (0.05) would drown a difference of 0.05; paired, 20 of 20 are told."""
    told = paired(*drawn(np.random.default_rng(1), 0.05, spread=0.004))  # type: ignore[arg-type]
    assert {d.word for d in told} == {"better"} and all(0.03 < d.low < d.by < d.high < 0.07 for d in told)
    back = paired(*[(b, a, [(y, x) for x, y in parts]) for a, b, parts in [drawn(np.random.default_rng(1), 0.05)]][0])
    assert all(d.by < 0 for d in back)


def test_as_many_records_as_it_says_would_tell() -> None:
    rng = np.random.default_rng(2)
    told = next(d for _ in range(50) for d in paired(*drawn(rng, 0.01, 1)) if d.word == "unknown" and d.times > 1)  # type: ignore[arg-type]
    half = (told.high - told.low) / 2
    assert half / math.sqrt(told.times) == pytest.approx(abs(told.by))


def test_two_equal_scores_are_told_by_no_number_of_records() -> None:
    blocks = [(findings([0.5]), findings([0.5 + e])) for e in (-0.01, 0.0, 0.01, 0.0)]
    assert paired(findings([0.5]), findings([0.5]), blocks)[0].times == math.inf


def test_both_at_least_as_good_as_real_data_is_no_contest() -> None:
    above = [replace(f, real=0.3) for f in findings([0.4, 0.5])]
    other = [replace(f, real=0.3) for f in findings([0.9, 0.31])]
    assert {d.word for d in paired(above, other, [])} == {"alike"}


def test_without_blocks_or_numbers_nothing_is_told() -> None:
    told = paired(findings([0.5, math.nan]), findings([0.9, 0.5]), [])
    assert {d.word for d in told} == {"unknown"} and all(math.isnan(d.low) and math.isnan(d.times) for d in told)


def test_lower_is_better_where_the_finding_says_so_and_nearness_to_real_where_neither_is() -> None:
    lower = replace(BASE, key="two-sample auc", value=0.9, real=0.5, limit=Limit(above=1.0))
    blocks = [([replace(lower, value=0.9 + e)], [replace(lower, value=0.6 - e)]) for e in (-0.01, 0.0, 0.01, 0.02)]
    assert paired([lower], [replace(lower, value=0.6)], blocks)[0].word == "better"
    near = replace(BASE, key="descriptor", of="length", value=2.0, real=1.0, limit=Limit(above=9.0))
    blocks = [([replace(near, value=2 + e)], [replace(near, value=0.7 + e)]) for e in (-0.01, 0.0, 0.01, 0.02)]
    told = paired([near], [replace(near, value=0.7)], blocks)[0]
    assert told.word == "better" and told.by == pytest.approx(0.7)


def test_seeds_of_two_recipes_are_compared_by_their_spread() -> None:
    a, b = ([findings([0.8 + e]) for e in side] for side in ((-0.01, 0.0, 0.01), (0.05, 0.06, 0.07)))
    told = between(a, b)[0]
    assert told.word == "better" and told.by == pytest.approx(0.06)
    assert told.high - told.by == pytest.approx(2.776 * 0.01 * math.sqrt(2 / 3), rel=1e-3)  # t of 4 degrees of freedom
    assert between(a[:1], b)[0].word == "unknown"


def test_holms_correction_is_that_of_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([math.nan, 0.04]) == [False, True] and holm([]) == []
