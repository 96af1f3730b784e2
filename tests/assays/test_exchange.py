"""How many real records a made one stands for: 1 for new real ones, 0 for duplicates, less than nothing for false labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from karat.assays.chance import draw
from karat.assays.details.records import Exchange, RareRecall
from karat.assays.exchange.curve import Curve, Measured, Rate, exchange_rate, holm
from karat.assays.exchange.lessons import Sheet, Task, _Lessons, findings, recall_at, ridge
from karat.assays.finding import Finding
from karat.assays.points import exchanging
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case
from karat.assays.table import tables
from karat.assays.table.exchanging import Linear
from karat.assays.table.learning import Target
from karat.views import Columns, TableView

CLASSES = Target(0, np.arange(2), 2)


def measured(rng: np.random.Generator, worth: float, noise: float, n: int = 800) -> tuple[Curve, Rate | None]:
    """Ten seeds of a learner whose error is 0.1 + n^-0.5, with made records each of which stands for `worth` real ones."""
    sizes = np.array([100, 200, 400, n])
    names = ("real 100", "real 200", "real 400", "real")
    error = 0.1 + np.append(sizes, n + worth * n) ** -0.5
    test, seeds = noise * rng.standard_normal(), rng.standard_normal((10, 5)) * noise
    seeds[:, 3] = 0  # all records are the same in all seeds
    scores = 1 - error + test + seeds
    left = scores.mean(0) + rng.standard_normal((10, 1)) * noise / 3 + np.zeros((10, 5))
    curve = Curve(sizes.astype(float), names, Measured((*names, "made"), scores, left, np.zeros(5)), 1e-9)
    return curve, exchange_rate(curve, "made", "real", n, n)


@pytest.mark.parametrize("worth", [-0.5, 0.0, 0.4, 1.0])
def test_the_rate_is_read_off_the_learning_curve(worth: float) -> None:
    _, found = measured(np.random.default_rng(0), worth, 1e-5)
    assert found is not None and found.value == pytest.approx(worth, abs=0.02)


def test_the_interval_of_the_rate_holds_the_truth_as_often_as_it_says() -> None:
    found = [measured(np.random.default_rng(seed), 0.4, 0.001)[1] for seed in range(100)]
    assert sum(f is not None and f.low <= 0.4 <= f.high for f in found) >= 92
    assert np.mean([f is not None and f.low > 0 for f in found]) > 0.8, "and is narrow enough to be of use"


def test_a_curve_that_does_not_rise_gives_no_rate() -> None:
    rng = np.random.default_rng(0)
    names = ("real 100", "real 200", "real 400", "real", "made")
    scores = 0.8 + 0.01 * rng.standard_normal((10, 5))
    flat = Measured(names, scores, 0.8 + 0.003 * rng.standard_normal((10, 5)), np.zeros(5))
    curve = Curve(np.array([100.0, 200, 400, 800]), names[:4], flat, 1e-4)
    found = exchange_rate(curve, "made", "real", 800, 800)
    assert found is None or (found.low < 0 and found.high > 1)


def test_several_comparisons_are_corrected_in_their_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_recall_at_a_precision_takes_the_best_threshold_and_cuts_no_ties() -> None:
    positive = np.array([1, 0, 1, 1, 0, 0], bool)
    assert recall_at(positive, np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), 0.7) == pytest.approx(1.0)
    assert recall_at(positive, np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), 0.8) == pytest.approx(1 / 3)
    assert recall_at(positive, np.full(6, 0.5), 0.6) == 0.0


def people(n: int, rng: np.random.Generator, share: float = 0.5) -> Sheet:
    """Two classes that lie apart along one direction of forty."""
    y = (rng.random(n) < share).astype(float)
    x = rng.standard_normal((n, 40))
    x[:, 0] += 1.5 * y
    return Sheet(x, y)


def task(made: Sheet, real: Sheet, rng: np.random.Generator, share: float = 0.5) -> Task:
    test = people(2000, rng, share)

    def linear(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        ones = [np.pad(side, ((0, 0), (0, 1)), constant_values=1) for side in (x, test.x)]
        return ridge(ones[0], y, weights, ones[1], 2)

    fresh = people(len(real), rng, share)
    return Task(real, made, fresh, test.y, {"linear": linear}, CLASSES.score, "AUC", "class", 2, np.ones(40, bool))


def exchanged(kind: str, seed: int, n: int = 400) -> Task:
    rng = np.random.default_rng(seed)
    real, fresh = people(n, rng), people(2 * n, rng)
    made = {
        "oracle": fresh,
        "bootstrap": real.take(rng.integers(n, size=2 * n)),
        "shuffled": replace(fresh, y=rng.permutation(fresh.y)),
    }[kind]
    return task(made, real, rng)


def found(kind: str, seed: int) -> Finding:
    return findings(exchanged(kind, seed), "row", seed)[0]


def test_new_real_records_stand_for_themselves_duplicates_for_none_and_false_labels_for_less() -> None:
    oracle, bootstrap, shuffled = (found(kind, 4) for kind in ("oracle", "bootstrap", "shuffled"))
    assert (
        isinstance(oracle.detail, Exchange)
        and oracle.detail.beats
        and oracle.low <= 1 <= oracle.high
        and oracle.value > bootstrap.value
    )
    assert (
        bootstrap.low <= 0 <= bootstrap.high and isinstance(bootstrap.detail, Exchange) and not bootstrap.detail.beats
    )
    assert shuffled.high < 0 and shuffled.raised


def pooled(kind: str, draws: int) -> Rate:
    """The rate over draws of the real records too, whose luck a single draw cannot know."""
    every = []
    for seed in range(draws):
        drawn = exchanged(kind, seed)
        every.append(_Lessons(drawn, drawn.learners["linear"], len(drawn.real), 2, seed))
    measured = [lessons.measured(CLASSES.score) for lessons in every]
    scores = np.stack([one.mean for one in measured])
    left = np.mean([one.left_out for one in measured], axis=0)
    whole = Measured(measured[0].arms, scores, left, np.zeros(len(measured[0].arms)))
    names = [arm for arm in whole.arms if arm.startswith("real ")]
    sizes = [float(arm.split()[1]) for arm in names]
    n = len(drawn.real)
    curve = Curve(np.array([*sizes, n, 2 * n], float), (*names, "real", "fresh"), whole, 0.0)
    rate = exchange_rate(curve, "made", "real", n, n)
    assert rate is not None
    return rate


@pytest.mark.exam
def test_over_draws_of_the_data_new_real_records_stand_for_one_each() -> None:
    oracle, bootstrap, shuffled = (pooled(kind, 40) for kind in ("oracle", "bootstrap", "shuffled"))
    assert oracle.value == pytest.approx(1.0, abs=0.15) and oracle.low > 0.5
    # who draws records again counts some of them twice and others not: that teaches less than each of them once
    assert -0.3 < bootstrap.low < bootstrap.high < 0 and shuffled.high < bootstrap.low


@pytest.mark.exam
def test_the_interval_of_one_draw_holds_1_for_new_real_records_and_0_for_duplicates() -> None:
    oracle, bootstrap = ([found(kind, seed) for seed in range(10)] for kind in ("oracle", "bootstrap"))
    assert all(f.low <= 1 <= f.high for f in oracle) and np.mean([f.value for f in oracle]) == pytest.approx(
        1.0, abs=0.15
    )
    assert all(f.low <= 0 <= f.high for f in bootstrap)
    assert not any(isinstance(f.detail, Exchange) and f.detail.beats for f in bootstrap)


def test_a_rare_class_is_examined_beside_class_weights_and_smote() -> None:
    rng = np.random.default_rng(3)
    real = people(2000, rng, 0.02)
    _, rare = findings(task(people(4000, rng, 0.02), real, rng, 0.02), "row", 0)
    assert rare.key == "rare recall" and isinstance(rare.detail, RareRecall) and rare.low <= rare.value <= rare.high
    assert {c.name for c in rare.detail.controls} == {"real", "duplicates", "class weights", "interpolated"}
    assert 0 < rare.detail.precision < 1 and "class weights" in rare.summary + str(rare.detail)


def test_rows_of_a_table_are_exchanged_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    columns = Columns(("a", "kind", "class"), ((), ("x", "y", "z"), ("no", "yes")))

    def rows(n: int) -> TableView:
        a, kind = rng.standard_normal(n), rng.integers(0, 3, n)
        goal = (a + (kind == 1) + 0.7 * rng.standard_normal(n) > 0.4).astype(float)
        a[rng.random(n) < 0.1] = np.nan
        return TableView(columns, np.stack([a, kind, goal], 1))

    train, unseen, made = rows(124), rows(60), rows(100)
    asked = tables.examine(train, unseen, made, target="class", keys=("exchange rate",), exchange=True)
    assert [f.key for f in asked] == ["exchange rate"] and isinstance(asked[0].detail, Exchange)
    assert set(asked[0].detail.learners) == {"boosted trees", "linear models"} and "class" in asked[0].summary
    assert not tables.examine(train, unseen, made, target="class", keys=("exchange rate",))


def test_pictures_are_exchanged_beside_shifted_copies() -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = torch.randn(3, 1, 6, 6, generator=rng)

    def pictures(n: int) -> Embedded:
        labels = torch.arange(n) % 3
        x = (0.25 * shapes[labels] + 0.6 * torch.randn(n, 1, 6, 6, generator=rng)).clamp(-1, 1)
        return Embedded(x, x.flatten(1), labels, None)

    draws = draw(300, 200, np.random.default_rng(0))
    case = Case(pictures(160), pictures(300), pictures(200), ("a", "b", "c"), (), 0, draws, exchange=True)
    (asked,) = exchanging.findings(case)
    assert isinstance(asked.detail, Exchange) and asked.detail.measure == "accuracy" and asked.high > 0
    learned = asked.detail.learners["linear models"]
    assert {"duplicates", "class weights", "interpolated", "shifted copies"} < {c.name for c in learned.controls}
    assert not exchanging.findings(replace(case, exchange=False))


def test_a_linear_learner_takes_choices_alone_and_columns_of_which_nothing_is_known() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 60).astype(float)
    goal = (kind == 1).astype(float)
    nothing = np.full((60, 1), np.nan)
    for x, flags in ((kind[:, None], [True]), (np.concatenate([kind[:, None], nothing], 1), [True, False])):
        predicted = Linear(x, flags, x, 2)(x, goal, None)
        assert (predicted.argmax(1) == goal).all()


def test_equal_scores_on_few_test_records_are_not_equal_for_certain() -> None:
    same = Measured(("made", "real"), np.full((5, 2), 0.9), np.full((10, 2), 0.9), np.zeros(2), 0.005)
    assert same.difference("made", "real") == (0.0, 0.005)
