"""How much likelier a row is among real ones than among drawn ones, so that drawn rows can be kept in that proportion.

The odds are a boosted classifier's that was shown both. Drawing by them: Azadi et al., "Discriminator rejection sampling"
(https://arxiv.org/abs/1810.06758); Grover et al., "Bias correction of learned generative models using likelihood-free
importance weighting" (https://arxiv.org/abs/1906.09531).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from karat.errors import RunError
from karat.stats.codetree import engine, packed, unpacked

RATE, LEAVES, LEAF, RIDGE, COLUMNS = 0.15, 31, 100, 50.0, 0.5  # cautious: what is told apart here is hardly there
ENOUGH = 6_000  # real rows, below which there are proportionally fewer rounds: few rows tell little
NARROW = 8  # columns, up to which each tree looks at all of them
TOP = 1.5  # times the mean odds, above which a row is no likelier to be kept: so many are drawn for each that stays


class Odds:
    """`level`: the log odds from which on a row is always kept."""

    def __init__(self, classifier: Any, level: float) -> None:
        self.classifier, self.level = classifier, level

    @classmethod
    def fit(
        cls, real: np.ndarray, drawn: np.ndarray, nominal: list[int], rounds: int, leaf: int, rng: np.random.Generator
    ) -> Odds:
        """real, drawn float32 [n, f], [m, f]; nominal: features without order; leaf: rows that a leaf at least holds;
        rounds: of boosting, fewer where there are few real rows.
        """
        lightgbm = engine()
        rows = np.concatenate([real, drawn])
        truth = np.arange(len(rows)) < len(real)
        weight = np.where(truth, len(rows) / (2 * len(real)), len(rows) / (2 * len(drawn)))
        share = COLUMNS if rows.shape[1] > NARROW else 1.0
        settings = {
            "objective": "binary",
            "learning_rate": RATE,
            "num_leaves": LEAVES,
            "min_data_in_leaf": max(leaf, LEAF),
            "lambda_l2": RIDGE,
            "feature_fraction": share,
            "verbose": -1,
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "seed": int(rng.integers(1 << 31)),
        }
        data = lightgbm.Dataset(
            rows,
            truth.astype(np.float32),
            weight=weight,
            categorical_feature=nominal,
            params={"verbose": -1, "max_bin": 255},
        )
        booster = lightgbm.Booster(settings, data)
        # rows set aside cannot say when to stop: the draws follow all rows, so what the others have too much of, those
        # set aside have too little of
        for _ in range(math.ceil(rounds * min(1.0, len(real) / ENOUGH))):
            if booster.update():  # nothing is left to split
                break
        booster.free_dataset()
        odds = np.exp(booster.predict(drawn, raw_score=True, num_threads=1))
        return cls(booster, float(np.log(TOP * odds.mean())))

    def stays(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """bool [n]: which of the drawn `rows` float32 [n, f] are kept, each by chance in proportion to its odds."""
        score = self.classifier.predict(rows, raw_score=True, num_threads=1, predict_disable_shape_check=True)
        return np.asarray(np.log(rng.random(len(rows))) < score - self.level)

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        return {"text": packed([self.classifier]), "level": np.array([self.level])}

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], width: int) -> Odds:
        """The odds over `width` features that gave `weights`; RunError where they cannot be any."""
        made, level = unpacked(weights["text"], width), np.asarray(weights["level"])
        if len(made) != 1 or level.shape != (1,) or not np.isfinite(level[0]):
            raise RunError("the odds of drawn rows are damaged. Train the run again.")
        return cls(made[0], float(level[0]))
