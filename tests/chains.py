"""A table of known dependences, and the chain of trees that learns it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from karat.families.trees import Config, Model
from karat.space import Codes


def known(n: int = 6000, seed: int = 0) -> tuple[Codes, Tensor]:
    """a: 3 kinds; b: a function of a; c: 200 levels round 60 a; d: c to within 2; e: independent, 300 levels; f: 40 choices."""
    rng = np.random.default_rng(seed)
    a = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    b = np.array([1, 0, 3])[a]
    c = np.clip(np.rint(60 * a + 20 * rng.standard_normal(n) + 30), 0, 199).astype(int)
    d = np.clip(c + rng.integers(-2, 3, n), 0, 199)
    e = rng.integers(0, 300, n)
    f = (rng.geometric(0.2, n) + 7 * a).clip(1, 40) - 1
    space = Codes((3, 4, 200, 200, 300, 40), (False, False, True, True, True, False))
    return space, torch.from_numpy(np.stack([a, b, c, d, e, f], 1).astype(np.int64))


def fitted(space: Codes, x: Tensor, config: Config = Config(), seed: int = 0) -> Model:  # noqa: B008 (frozen)
    model = Model(space, 0, config)
    shares = list(model.fit(x, None, seed, None))
    assert shares == sorted(shares) and shares[-1] == 1.0
    return model


def drawn(model: Model, n: int, seed: int = 0) -> np.ndarray:
    return model.sample(n, None, torch.Generator().manual_seed(seed)).numpy()
