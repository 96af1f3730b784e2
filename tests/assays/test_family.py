"""However many findings a report has, real records are accused in at most one report of twenty."""

from __future__ import annotations

import numpy as np
import pytest

from karat.assays.chance import LEVEL, ROUNDS, limit_of
from karat.assays.finding import Finding, Limit, Score, exact, scored
from karat.assays.keys import KEYS
from karat.assays.power import FAMILY, corrected, level

REPORTS = 4000


def null(findings: int, rng: np.random.Generator) -> np.ndarray:
    """float64 [reports, findings]: how many errors scores of real records are off, errors estimated from `ROUNDS` draws."""
    off = rng.standard_normal((REPORTS, findings))
    spread = np.sqrt(rng.chisquare(ROUNDS - 1, (REPORTS, findings)) / (ROUNDS - 1))
    return np.asarray(np.abs(off / spread))


@pytest.mark.parametrize("findings", [20, len(KEYS), 124, 400])
def test_random_scores_raise_something_in_at_most_a_twentieth_of_the_reports(findings: int) -> None:
    rng = np.random.default_rng(findings)
    alarms = int((null(findings, rng).max(1) > level(findings)).sum())
    assert alarms <= FAMILY * REPORTS + 3 * np.sqrt(FAMILY * REPORTS), alarms
    if findings == 400:  # which a level that stays as it is does not hold
        assert (null(findings, rng).max(1) > LEVEL).mean() > 2 * FAMILY


def test_up_to_a_hundred_findings_need_no_more_than_each_alone() -> None:
    assert level(1) == level(len(KEYS)) == level(124) == LEVEL < level(150) < level(1500) < 1.5 * LEVEL


def finding(z: float, table: int = 0, also: str = "", raised: bool | None = None) -> Finding:
    score = Score(0.5 + 0.01 * z, 0.0, 1.0, 0.5, 0.01)
    return scored(
        "two-sample auc", score, limit_of("two-sample auc", score, 0.0, also), "So.", raised=raised, of=str(table)
    )


def test_a_score_that_is_just_off_is_raised_among_few_findings_and_not_among_hundreds() -> None:
    few = [finding(5.5), *(finding(0.1, i) for i in range(1, 100))]
    assert [f.raised for f in corrected(few)][:2] == [True, False] and corrected(few) == few
    many = [*few, *(finding(0.1, i) for i in range(100, 400)), finding(9.0, 400)]
    found = corrected(many)
    assert [f.of for f in found if f.raised] == ["400"]
    assert found[0].limit.above == pytest.approx(0.5 + 0.01 * level(401))
    assert len(found) == 401 and level(401) > 5.5


def test_what_is_raised_by_an_exact_test_stays_so_among_any_number() -> None:
    copies = exact("copy rate", 0.1, Limit(above=0.05), "So.")
    one = finding(2.0, also="where one column is worse", raised=True)  # not by its score
    many = [copies, one, *(finding(0.1, i) for i in range(500))]
    assert [f.raised for f in corrected(many)[:3]] == [True, True, False]
    assert corrected(many)[0] == copies
