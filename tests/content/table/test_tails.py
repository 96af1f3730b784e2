"""What is made beyond the greatest value of a column: as often as unseen values are, and only where there is such a tail."""

from __future__ import annotations

import numpy as np
import pytest

from karat.content.table.encoding.coding import Grain
from karat.content.table.encoding.scales import Scale, fit_scales
from karat.content.table.encoding.tails import tail_of

REAL = Grain("decimal", -1)


def scales(values: np.ndarray) -> tuple[Scale, Scale]:
    return fit_scales(values, REAL, False)


def made(scale: Scale, n: int, rng: np.random.Generator) -> np.ndarray:
    return scale.ticks(rng.choice(scale.size, n, p=scale.counts / scale.counts.sum()), rng.random(n))


@pytest.mark.parametrize("fine", [True, False])
@pytest.mark.parametrize("kind", ["pareto", "lognormal"])
def test_the_greatest_of_made_values_is_spread_as_that_of_as_many_unseen_ones(kind: str, fine: bool) -> None:
    n, beyond, more = 1000, [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        real, unseen = (rng.pareto(2, n) if kind == "pareto" else np.exp(1.5 * rng.normal(size=n)) for _ in range(2))
        greatest = made(scales(real)[not fine], n, rng).max()
        beyond.append(greatest > real.max())
        more.append(greatest > unseen.max())
    assert 0.3 < np.mean(beyond) < 0.65, "unseen values exceed the greatest in half of the tables"
    assert 0.35 < np.mean(more) < 0.65


def test_values_with_an_end_keep_it() -> None:
    rng = np.random.default_rng(0)
    heavy = rng.pareto(1, 1000)
    shares = np.sort(heavy / heavy.max() * 0.8)
    for values in (rng.random(1000), np.minimum(heavy, 20), rng.beta(2, 3, 1000), shares, 120 * shares):
        for scale in scales(values):
            assert scale.highs[-1] == values.max()


def test_losses_have_a_tail_below_and_what_is_never_negative_has_none() -> None:
    rng = np.random.default_rng(0)
    gains = rng.standard_t(2, 2000)
    for scale in scales(gains):
        assert scale.lows[0] < gains.min() and scale.highs[-1] > gains.max()
        assert np.all(np.diff(scale.at) >= 0) and np.all(np.diff(scale.value) >= 0)
        bins, place = scale.locate(gains)
        assert np.allclose(np.sort(scale.ticks(bins, place))[20:-20], np.sort(gains)[20:-20], rtol=0.2, atol=0.05)
    for scale in scales(rng.pareto(1, 2000)):
        assert scale.lows[0] >= 0


def test_days_go_no_further_than_the_last_one() -> None:
    days = np.floor(100 * np.random.default_rng(0).pareto(1, 1000))
    for scale in fit_scales(days, Grain("date", 0), False):
        assert scale.highs[-1] == days.max()


@pytest.mark.parametrize("shape", [0.3, 0.8])
def test_the_shape_of_a_tail_is_found(shape: float) -> None:
    values = np.sort(np.random.default_rng(1).pareto(1 / shape, 50_000))
    tail = tail_of(values, 0.0)
    assert tail is not None and abs(tail.shape - shape) < 0.12
    chance = float((values > tail.above).mean())
    far = tail.beyond(np.array([1e-3 / chance]))[0]
    assert far == pytest.approx(1e-3**-shape - 1, rel=0.15), "what one of a thousand exceeds"


def test_no_tail_reaches_further_again_than_the_greatest_value_has_come() -> None:
    rng = np.random.default_rng(0)
    owed = np.exp(rng.normal(9, 1.5, 500))  # few, and so spread that a tail without a mean is estimated
    for scale in scales(np.append(-owed, rng.normal(40_000, 20_000, 20_000).clip(1))):
        assert -2 * owed.max() <= scale.lows[0] < -owed.max()
        assert np.all(np.diff(scale.at) >= 0) and np.all(np.diff(scale.value) >= 0)


def test_a_tail_whose_quartile_is_a_third_of_its_greatest_value_is_estimated_as_well() -> None:
    # one of the rates that are tried is then 0, at which the likelihood is 0 / 0
    over = np.concatenate([np.linspace(1, 299, 100), [300], np.linspace(301, 899, 300), [900]])
    values = np.concatenate([np.linspace(0, 9, 17_600), [10], 10 + over])
    with np.errstate(all="raise"):
        assert tail_of(values, 0.0) is None, "it is even, and ends"
