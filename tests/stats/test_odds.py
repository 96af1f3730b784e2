"""The odds by which drawn rows stand: they mend what is wrong in the draws, and are refused where they are damaged."""

from __future__ import annotations

import numpy as np
import pytest

from karat.errors import RunError
from karat.stats.odds import Odds


def rows(share: float, n: int, seed: int) -> np.ndarray:
    """Two columns that are equal in `share` of `n` rows, float32 [n, 2]."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 8, n)
    return np.stack([first, np.where(rng.random(n) < share, first, rng.integers(0, 8, n))], 1).astype(np.float32)


def odds() -> Odds:
    return Odds.fit(rows(0.5, 20_000, 0), rows(0.45, 20_000, 1), [0, 1], 60, 20, np.random.default_rng(0))


def test_rows_that_are_too_rare_among_the_drawn_stay_more_often() -> None:
    drawn = rows(0.45, 40_000, 2)
    kept = drawn[odds().stays(drawn, np.random.default_rng(0))]
    equal = [float((part[:, 0] == part[:, 1]).mean()) for part in (rows(0.5, 40_000, 3), drawn, kept)]
    assert abs(equal[2] - equal[0]) < abs(equal[1] - equal[0]) / 2
    assert len(kept) > len(drawn) / 2, "most are kept"


def test_saved_odds_are_the_same_and_damaged_ones_are_refused() -> None:
    one, drawn = odds(), rows(0.45, 1000, 2)
    back = Odds.restore(one.weights(), 2)
    assert np.array_equal(*(o.stays(drawn, np.random.default_rng(0)) for o in (one, back)))
    for change in ({"level": np.array([np.nan])}, {"text": np.empty(0, np.uint8)}):
        with pytest.raises(RunError, match="damaged"):
            Odds.restore({**one.weights(), **change}, 2)
    with pytest.raises(RunError, match="damaged"):
        Odds.restore(one.weights(), 1)
