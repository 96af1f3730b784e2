"""How much columns of codes tell of each other."""

from __future__ import annotations

import numpy as np

from karat.space import Codes
from karat.stats.dependence import AT_ONCE, dependence


def test_two_columns_of_many_tell_of_each_other_what_they_tell_alone() -> None:
    rng, wide = np.random.default_rng(0), 2 * AT_ONCE + 7
    sizes = rng.integers(2, 6, wide)
    cells = rng.integers(0, 60, (500, 1)) // 3 + rng.integers(0, 3, (500, wide))
    cells = (cells % sizes).astype(np.int64)
    found = dependence(cells, Codes(tuple(sizes.tolist()), (False,) * wide), rng)
    assert np.allclose(found, found.T, atol=1e-12) and found.max() > 0.1
    for i, j in ((0, 1), (3, AT_ONCE + 2), (AT_ONCE + 2, 3), (AT_ONCE - 1, wide - 1), (wide - 1, 2 * AT_ONCE)):
        alone = dependence(cells[:, [i, j]], Codes((int(sizes[i]), int(sizes[j])), (False, False)), rng)
        assert abs(found[i, j] - alone[0, 1]) < 1e-12
