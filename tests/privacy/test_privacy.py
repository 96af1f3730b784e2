"""The accounting of differential privacy, the noise it pays for, what a codec may learn by it, and the audit of it all."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from karat import privacy
from karat.content.table.encoding.private import private_bins, private_categories
from karat.errors import DataError, FitError
from karat.families.marginals import Config, Model
from karat.privacy import Budget, Source
from karat.privacy.audit import bound_of, chance, lower_bound
from karat.recipe import load
from karat.space import Codes


@pytest.mark.parametrize(
    "sigma, epsilon", [(1, 4.37718), (2, 1.99309), (5, 0.72552), (10 / math.sqrt(100), 4.37718)]
)  # the last: 100 times noise 10
def test_the_gaussian_mechanism_has_its_known_epsilon(sigma: float, epsilon: float) -> None:
    assert privacy.gaussian_epsilon(sigma, 1e-5) == pytest.approx(epsilon, abs=5e-6)
    assert privacy.gaussian_delta(sigma, epsilon) == pytest.approx(1e-5, rel=1e-3)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0])
def test_the_conversion_is_its_own_inverse_and_never_below_the_exact_epsilon_nor_far_above(epsilon: float) -> None:
    rho = privacy.rho_of(epsilon, 1e-6)
    assert privacy.epsilon_of(rho, 1e-6) == pytest.approx(epsilon, rel=1e-9)
    exact = privacy.gaussian_epsilon(math.sqrt(1 / (2 * rho)), 1e-6)
    assert 0.9 * epsilon < exact < epsilon


def test_the_conversion_is_the_best_over_all_orders_and_better_than_the_classic_one() -> None:
    rho, delta = 0.05, 1e-6
    alphas = 1 + np.exp(np.linspace(-8, 8, 200_001))
    tried = alphas * rho + (np.log(1 / delta) + (alphas - 1) * np.log(1 - 1 / alphas) - np.log(alphas)) / (alphas - 1)
    assert privacy.epsilon_of(rho, delta) == pytest.approx(float(tried.min()), abs=1e-6)
    assert privacy.epsilon_of(rho, delta) < rho + 2 * math.sqrt(rho * math.log(1 / delta))
    assert privacy.epsilon_of(0.0, delta) == 0


@pytest.mark.parametrize("square", [0.25, 1.0, 20.0])
def test_the_exact_delta_of_the_noise_is_within_what_is_promised(square: float) -> None:
    x = np.arange(-400, 401)
    p = np.exp(-(x**2) / (2 * square))
    p /= p.sum()
    for delta in (1e-3, 1e-6):
        epsilon = privacy.epsilon_of(1 / (2 * square), delta)
        exact = float(np.maximum(0, p[1:] - math.exp(epsilon) * p[:-1]).sum())
        assert exact <= delta


def test_delta_depends_on_the_magnitude_of_the_rows_alone_and_is_below_one_in_ten_times_them() -> None:
    assert privacy.default_delta(40) == privacy.default_delta(32_561) == privacy.default_delta(99_999) == 1e-6
    assert privacy.default_delta(100_000) == privacy.default_delta(999_999) == 1e-7
    for rows in (1, 9, 10, 12_345, 10**6, 9_999_999):
        assert privacy.default_delta(rows) <= 1 / (10 * rows) * (1 + 1e-9)


def test_a_budget_enters_every_spending_and_refuses_to_be_overspent() -> None:
    budget = Budget.of(1.0, 1e-6)
    assert privacy.epsilon_of(budget.rho, 0.9e-6) == pytest.approx(1.0)
    budget.spend("a count", 0.75 * budget.rho, 1.0)
    before = list(budget.spent)
    with pytest.raises(FitError, match="another costs .* is left"):
        budget.spend("another", 0.26 * budget.rho, 1.0)
    with pytest.raises(FitError, match="is left"):
        budget.spend("names", 0.01 * budget.rho, 1.0, delta=2e-7)
    with pytest.raises(FitError, match="no spending"):
        budget.spend("nothing", 0.0, 1.0)
    assert budget.spent == before and before[0].what == "a count"
    budget.spend("the rest", budget.left, 1.0)
    assert budget.left == 0
    again = Budget.from_dict(json.loads(json.dumps(budget.to_dict())))
    assert again.spent == budget.spent and again.left == 0
    assert privacy.composed([budget], 1e-6)[0] == pytest.approx(1.0)


def test_parts_of_a_budget_together_cost_the_whole() -> None:
    whole = Budget.of(2.0, 1e-7)
    codec, family = whole.part(privacy.CODEC), whole.part(1 - privacy.CODEC)
    for part in (codec, family):
        part.spend("all of it", part.left, 1.0)
    assert privacy.composed([codec, family], 1e-7) == (pytest.approx(2.0), 1e-7)
    with pytest.raises(FitError, match="share"):
        whole.part(1.2)


@pytest.mark.parametrize("epsilon, delta", [(0.0, 1e-6), (-1.0, 1e-6), (1.0, 0.0), (1.0, 1.0), (math.inf, 1e-6)])
def test_an_impossible_promise_is_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(FitError, match="wanted an epsilon"):
        Budget.of(epsilon, delta)


def test_noise_is_another_each_time_unless_a_seed_is_asked_for() -> None:
    assert not np.array_equal(Source().words(8), Source().words(8))
    assert np.array_equal(Source(3).words(8), Source(3).words(8))
    assert not np.array_equal(Source(3).words(8), Source(4).words(8))


def test_whole_numbers_below_a_bound_are_uniform() -> None:
    drawn = Source(0).below(np.full(70_000, 7))
    assert np.abs(np.bincount(drawn, minlength=7) - 10_000).max() < 5 * math.sqrt(10_000)
    huge = Source(0).below(np.full(1000, 2**62 + 1))
    assert huge.min() >= 0 and huge.max() <= 2**62


@pytest.mark.parametrize("over, under", [(1, 16), (5, 2), (100, 1), (10**8, 1)])
def test_the_noise_has_the_discrete_gaussian_distribution(over: int, under: int) -> None:
    n = 100_000
    drawn = privacy.discrete_gaussian(Source(1), n, over, under)
    square = over / under
    if square > 50:
        assert drawn.mean() == pytest.approx(0, abs=5 * math.sqrt(square / n))
        assert drawn.var() == pytest.approx(square, rel=5 * math.sqrt(2 / n))
        return
    x = np.arange(-60, 61)
    p = np.exp(-(x**2) / (2 * square))
    p /= p.sum()
    seen = np.array([(drawn == i).sum() for i in x])
    assert (np.abs(seen - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 3).all()


def test_noise_that_would_hide_everything_is_refused() -> None:
    with pytest.raises(FitError, match="noise of"):
        privacy.noise_width(1e-10)


def test_a_choice_follows_the_exponential_mechanism() -> None:
    scores, rho = np.array([0.0, 3.0, 5.0]), 0.02
    epsilon = math.sqrt(8 * rho)
    source, n = Source(5), 20_000
    picked = [privacy.choose(scores, rho, Budget(1.0), source, "x", sensitivity=2.0) for _ in range(n)]
    p = np.exp(epsilon * scores / 4)
    p /= p.sum()
    assert np.bincount(picked, minlength=3) / n == pytest.approx(p, abs=0.02)


def test_cuts_part_a_column_into_equal_masses_and_give_a_heavy_value_a_part_of_its_own() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(np.concatenate([np.full(6000, 40), rng.integers(0, 1000, 4000)]))
    found = privacy.cuts(values, 0, 10**6, 4, 1.0, Budget(1.0), Source(0), "hours")
    assert {40, 41} <= set(found)
    even = np.sort(rng.integers(0, 10**5, 20_000))
    found = privacy.cuts(even, 0, 2**17, 3, 1.0, Budget(1.0), Source(0), "even")
    masses = np.diff(np.searchsorted(even, [0, *found, 2**17]))
    assert len(found) == 7 and masses.min() > 2000 and masses.max() < 3000


def test_a_name_that_one_row_brings_in_is_told_as_rarely_as_delta_says() -> None:
    names = [f"only {i:05d}" for i in range(20_000)]
    found = privacy.known(names, np.ones(20_000, int), 0.5, 0.02, Budget(1.0, 0.05), Source(0), "names")
    assert len(found) <= 0.02 * 20_000
    found = privacy.known(["a", "b", "c"], np.array([50, 500, 1]), 0.05, 1e-7, Budget(1.0, 1e-6), Source(0), "names")
    assert found == ["b", "a"]
    with pytest.raises(FitError, match="Declare the values"):
        privacy.known(["a"], np.array([9]), 0.5, 0.0, Budget(1.0), Source(0), "names")


def bins(values: list[float] | np.ndarray, places: int = 0, rho: float = 1.0, **bounds: float) -> np.ndarray:
    return private_bins(np.asarray(values, float), places, Budget(rho), Source(0), **bounds)


def test_declared_bounds_with_few_values_give_each_a_bin_and_cost_nothing() -> None:
    budget = Budget(0.01)
    edges = private_bins(np.array([17.0, 90.0]), 0, budget, Source(0), low=17, high=90)
    assert edges.tolist() == list(range(17, 92)) and not budget.spent
    assert bins([0.25, 0.75], 2, low=0, high=1).tolist() == pytest.approx([i / 100 for i in range(102)])


@pytest.mark.parametrize(
    "values, places",
    [
        (np.random.default_rng(0).lognormal(10, 1.5, 5000), 2),
        (np.random.default_rng(0).normal(-3000, 10, 5000), 3),
        (18_262 + np.random.default_rng(0).integers(0, 700, 5000), 0),
        (np.where(np.random.default_rng(0).random(5000) < 0.9, 0, 99_999), 0),
    ],
    ids=["money", "negative", "days", "spike"],
)
def test_private_bins_rise_and_hold_the_values(values: np.ndarray, places: int) -> None:
    edges = bins(values, places)
    assert (np.diff(edges) > 0).all() and len(edges) >= 4
    assert edges[0] <= np.quantile(values, 0.02) and edges[-1] > np.quantile(values, 0.98)
    held = np.histogram(values, edges)[0]
    heaviest = np.unique(np.rint(values * 10.0**places), return_counts=True)[1].max()
    assert held.max() <= max(0.15 * len(values), heaviest + 50)


def test_private_bins_of_nothing_one_value_and_absurd_values_are_still_bins() -> None:
    for values in ([], [5.0], [0.0] * 100, [1e300, -1e300] * 500):
        edges = bins(values)
        assert len(edges) >= 2 and (np.diff(edges) > 0).all() and np.isfinite(edges).all()


def test_private_bins_spend_exactly_what_they_were_given() -> None:
    budget = Budget(0.01)
    private_bins(np.random.default_rng(0).normal(0, 1000, 3000), 2, budget, Source(0))
    assert budget.left == pytest.approx(0, abs=1e-12) and {s.sensitivity for s in budget.spent} == {1.0, 0.5}


def test_declared_categories_cost_nothing_and_others_must_be_common() -> None:
    budget = Budget(0.01, 1e-7)
    assert private_categories(["x"], budget, Source(0), declared=["b", "a"]) == ["b", "a"] and not budget.spent
    names = ["common"] * 3000 + ["second"] * 900 + [f"rare {i}" for i in range(300)]
    assert private_categories(names, budget, Source(0)) == ["common", "second"]
    assert budget.left == 0 and budget.left_delta == 0
    assert private_categories([], Budget(0.01, 1e-7), Source(0)) == []


def test_the_chance_of_right_guesses_is_binomial_without_delta_and_more_with_it() -> None:
    q = 1 / (1 + math.exp(-1))
    tail = math.fsum(math.comb(100, i) * q**i * (1 - q) ** (100 - i) for i in range(90, 101))
    assert chance(1000, 100, 90, 1.0, 0.0) == pytest.approx(tail, rel=1e-9)
    assert chance(1000, 100, 90, 1.0, 1e-5) > tail
    assert chance(1000, 100, 0, 1.0, 0.0) == 1.0


def test_the_audit_has_known_answers() -> None:
    q = 0.05 ** (1 / 1000)  # all of 1000 guesses right: e^eps / (1 + e^eps) = 0.05^(1/1000)
    assert bound_of(1000, 1000, 1000, 0.0, 0.05) == pytest.approx(math.log(q / (1 - q)))
    assert bound_of(1000, 1000, 500, 0.0, 0.05) == 0
    included = np.random.default_rng(0).random(1000) < 0.5
    assert lower_bound(included, included.astype(float), 1e-6) > 4
    assert lower_bound(included, 1.0 - included, 1e-6) == 0
    assert lower_bound(included, np.zeros(1000), 1e-6) < 0.2
    with pytest.raises(DataError, match="16 canaries"):
        lower_bound(included[:5], np.zeros(5), 1e-6)


def test_the_audit_of_randomised_response_comes_near_its_epsilon_and_seldom_passes_it() -> None:
    rng, bounds = np.random.default_rng(0), []
    for _ in range(20):
        included = rng.random(1000) < 0.5
        told = np.where(rng.random(1000) < 1 / (1 + math.exp(-1)), included, ~included)
        bounds.append(lower_bound(included, told + 1e-6 * rng.random(1000), 0.0))
    assert np.mean(np.array(bounds) > 1) <= 0.1 and 0.6 < np.median(bounds) < 1


def canaries(noise_scale: float, seed: int = 0, m: int = 400, columns: int = 6) -> float:
    """The bound proved against one fit with epsilon 1 of 2,000 rows and canaries that have a code of their own each."""
    rng = np.random.default_rng(seed)
    included = rng.random(m) < 0.5
    planted = np.repeat(10 + np.arange(m)[included, None], columns, 1)
    points = torch.from_numpy(np.concatenate([rng.integers(0, 10, (2000, columns)), planted]))
    model = Model(Codes((10 + m,) * columns, (False,) * columns), 0, Config(epsilon=1.0, extra=0.0))
    budget = Budget.of(1.0, 1e-6, noise_scale=noise_scale).part(model.config.share)
    for _ in model.learn(points, None, budget, Source(seed), seed):
        pass
    scores = sum(model.weights()[f"noisy.{j}"][10:].double().numpy() for j in range(columns))
    return lower_bound(included, np.asarray(scores), 1e-6)


def test_canaries_do_not_convict_the_honest_fit_and_do_convict_a_broken_accountant() -> None:
    assert canaries(1.0) < 1
    assert canaries(0.05) > 1


def test_nobody_can_break_the_accountant_from_a_recipe() -> None:
    assert not any("scale" in f.name for f in dataclasses.fields(Config))
    with pytest.raises(FitError, match="no setting"):
        load("marginals", ["model.noise_scale=0.05"])
