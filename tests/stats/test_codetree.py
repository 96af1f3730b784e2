"""Trees over codes: how boldly the forks are boosted is what held-out rows say."""

from __future__ import annotations

import numpy as np
import pytest

from karat.stats.codetree import Boosting, CodeTree


def surprise(seen: np.ndarray, codes: np.ndarray, how: Boosting) -> float:
    """Nats per row of unseen rows, of a tree that half of the rows of `seen` [n, f] and `codes` [n] taught."""
    half = len(codes) // 2
    tree = CodeTree.fit(seen[:half], codes[:half], 2, [], how, np.random.default_rng(0))
    return float(-np.log(tree.likelihood(seen[half:], codes[half:]).clip(1e-3)).mean())


@pytest.mark.parametrize("told", [True, False])
def test_what_many_small_regions_tell_is_boosted_boldly_and_noise_is_not(told: bool) -> None:
    rng = np.random.default_rng(1)
    seen = rng.integers(0, 1_000, (4_000, 2)).astype(np.float32)
    board = rng.integers(0, 2, (10, 10))[*(seen / 100).astype(int).T]
    codes = board if told else (rng.random(len(seen)) < 0.3 + 0.4 * (seen[:, 0] > 500)).astype(np.int64)
    plain, bold = {"gain": 2.0, "signal": 0.0}, {"gain": 0.0, "signal": 0.0, "rounds": 120, "leaves": 31}
    tuned = surprise(seen, codes, Boosting(**plain, tuned=120))
    assert tuned < 0.9 * surprise(seen, codes, Boosting(**(plain if told else bold)))
