"""Smooth functions of several columns: what they find, what they say of nothing, what they refuse to load."""

from __future__ import annotations

import numpy as np
import pytest

from karat.errors import RunError
from karat.stats.smooth import KINDS, Smooth, smoothed


def error(features: np.ndarray, nominal: list[int], target: np.ndarray) -> float:
    """The share of the variance of `target` [n] that functions fitted to the other rows leave."""
    fold = np.arange(len(target)) % 3
    _, told = smoothed(features, nominal, target[:, None], fold, np.random.default_rng(0))
    return float(((told[:, 0] - target) ** 2).mean() / target.var())


def test_what_is_linear_or_curved_or_goes_by_kinds_is_found_of_few_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((240, 6)).astype(np.float32)
    assert error(x, [], x[:, :4].mean(1).astype(float)) < 1e-3
    assert error(x[:, :3], [], (0.5 + 0.4 * np.sin(6 * x[:, 0]) * x[:, 1]).astype(float)) < 0.05
    x[:, 2] = rng.integers(4, size=240)
    assert error(x, [2], np.array([0.1, 0.9, 0.3, 0.6])[x[:, 2].astype(int)]) < 1e-3
    assert error(x, [2], rng.random(240)) > 0.95, "what goes with nothing is hardly guessed at"


def test_columns_of_one_value_and_kinds_never_seen_are_no_trouble() -> None:
    rng = np.random.default_rng(1)
    x = np.zeros((120, 3), np.float32)
    x[:, 1] = rng.integers(3, size=120)
    fit = Smooth.fit(x, [1, 2], (x[:, [1]] == 1).astype(float), rng)
    x[0] = (1e6, KINDS + 5, 3)
    told = fit.predict(x)
    assert np.isfinite(told).all() and told.min() >= 0 and told.max() <= 1
    assert np.abs(told[1:, 0] - (x[1:, 1] == 1)).max() < 0.02


def test_a_damaged_one_is_refused() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((150, 4)).astype(np.float32)
    fit = Smooth.fit(x, [], np.stack([x[:, 0], x[:, 1] ** 2], 1), rng)
    good = fit.weights()
    back = Smooth.restore(good, 4, 2)
    assert np.array_equal(back.predict(x), fit.predict(x))
    assert np.allclose(fit.of([1]).predict(x)[:, 0], fit.predict(x)[:, 1])
    for name, wrong in [
        ("weights", good["weights"][:-1]),
        ("scale", np.zeros_like(good["scale"])),
        ("kinds", np.full_like(good["kinds"], 7)),
        ("base", np.full_like(good["base"], np.nan)),
    ]:
        with pytest.raises(RunError, match="damaged"):
            Smooth.restore({**good, name: wrong}, 4, 2)
    with pytest.raises(RunError, match="damaged"):
        Smooth.restore(good, 5, 2)
