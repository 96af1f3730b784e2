"""Scores of very few unseen records: what is 1 in every draw of ten is not known without error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import case
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from karat.assays.chance import averaged, draw, limit_of, resampled
from karat.assays.classifier import LEAF, boosted
from karat.assays.points.usefulness import usefulness_and_lift
from karat.assays.table import predicting
from karat.assays.table.learning import RATE, TREES, Target, fit_predict
from karat.views import Columns, TableView


def clouds(n: int, classes: int, apart: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [n, 8] around a centre of each class, and the classes [n]."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centres = torch.eye(8)[:classes] * apart
    return centres[y] + torch.randn(n, 8, generator=rng), y


def useful(apart: float, classes: int, n: int, seed: int, shuffled: bool = False):
    (t, ty), (u, uy), (m, my) = (clouds(k, classes, apart, seed + i) for i, k in enumerate((120, n, 120)))
    my = my[torch.randperm(len(my), generator=torch.Generator().manual_seed(seed))] if shuffled else my
    rng = torch.Generator().manual_seed(seed)
    with_one = [torch.nn.functional.pad(x, (0, 1), value=1.0) for x in (t, u, m)]
    return usefulness_and_lift(with_one[0], ty, with_one[1], uy, with_one[2], my, classes, "", rng)[0]


def test_twenty_unseen_records_that_are_all_named_rightly_raise_no_perfect_generator() -> None:
    found = [useful(6.0, 2, 20, seed) for seed in range(0, 60, 3)]
    assert [f.value for f in found if f.raised] == [] and any(f.value < 0.99 for f in found)


def test_labels_that_are_shuffled_are_still_found_among_many_unseen_records() -> None:
    assert useful(6.0, 2, 400, 1, shuffled=True).raised


def test_usefulness_stays_a_ratio_where_real_records_teach_nothing() -> None:
    for seed in range(0, 40, 2):
        f = useful(0.0, 6, 30, seed)
        assert 0 <= f.value <= 6 and 0 <= f.real <= 6 and not f.raised


def test_a_share_that_is_one_in_every_draw_of_ten_has_an_error_of_its_own() -> None:
    draws = draw(20, 300, np.random.default_rng(0))
    score = resampled(lambda _: 1.0, lambda _: 0.9, draws, 1 / draws.size)
    assert not limit_of("coverage", score, 0.02).broken(score.value)
    many = draw(4000, 8000, np.random.default_rng(0))
    score = resampled(lambda _: 1.0, lambda _: 0.9, many, 1 / many.size)
    assert limit_of("coverage", score, 0.02).broken(score.value)


def test_thirty_of_thirty_unseen_rows_inside_raise_no_precision_that_misses_one_of_twelve() -> None:
    made, unseen = torch.ones(600), torch.ones(30)
    made[:50] = 0
    limit = limit_of("coverage", averaged(made, unseen, share=True), 0.02)
    assert not limit.broken(float(made.mean())) and limit.broken(0.5)
    many = limit_of("coverage", averaged(made, torch.ones(3000), share=True), 0.02)
    assert many.broken(float(made.mean()))


def rows_of_noise(n: int, seed: int, choices: bool) -> TableView:
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.standard_normal(n), rng.standard_normal(n), rng.standard_normal(n)])
    names = (("low", "high"), ()) if choices else ((), ())
    if choices:
        values[:, 0] = rng.integers(0, 2, n)
    return TableView(Columns(("a", "b", "c"), (names[0], (), ())), values)


@pytest.mark.parametrize("choices", [True, False])
def test_what_few_real_rows_do_not_teach_gives_no_ratio_and_says_why(choices: bool) -> None:
    found = predicting.findings(
        case(*(rows_of_noise(n, i, choices) for i, n in enumerate((120, 60, 120))), target="a")
    )[0]
    assert np.isnan(found.value) and not found.raised and found.state == "cannot tell"
    assert "teach boosted trees no more of a than a guess" in found.judged and "needs" in found.judged


@pytest.mark.parametrize("choices", [True, False])
def test_what_many_real_rows_do_not_teach_gives_a_ratio_within_bounds(choices: bool) -> None:
    found = predicting.findings(
        case(*(rows_of_noise(n, i, choices) for i, n in enumerate((600, 60, 120))), target="a")
    )[0]
    assert 0 <= found.value <= 50 and 0 <= found.real <= 50 and not found.raised


@pytest.mark.parametrize("n", [2 * LEAF - 1, 2 * LEAF])
def test_rows_that_no_tree_can_divide_are_scored_as_boosted_trees_score_them(n: int) -> None:
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(n, 2)), rng.normal(size=(9, 2))
    y = x[:, 0] > 0.3
    theirs = HistGradientBoostingClassifier(random_state=0).fit(x, y).predict_proba(test)[:, 1]
    assert boosted([False, False], 0)(x, y)(test) == pytest.approx(theirs, abs=1e-6)
    assert (np.ptp(theirs) == 0) == (n < 2 * LEAF)
    number, choice = Target(0, None, 0), Target(0, np.arange(3), 2)
    told = fit_predict(number, x, x[:, 1], test, [False, False], "boosting", 0)
    plain = {"max_iter": TREES, "learning_rate": RATE, "random_state": 0}
    assert told == pytest.approx(HistGradientBoostingRegressor(**plain).fit(x, x[:, 1]).predict(test), abs=1e-6)
    classes = fit_predict(choice, x, y.astype(float), test, [False, False], "boosting", 0)
    fitted = HistGradientBoostingClassifier(**plain).fit(x, y.astype(float))
    assert classes == pytest.approx(fitted.predict_proba(test), abs=1e-6)
