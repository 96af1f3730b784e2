"""Predictions of boosted trees as features of another tree (stacked generalization: Wolpert, 1992).

What many columns say only together a single tree of few rows does not find, boosted trees do; the tree that is shown their
predictions asks of these what its own questions leave open. Rows that were learned from are predicted out of fold, by
boosted trees that did not see them, so that what lies in a leaf is as uncertain as it is for new rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from karat.errors import RunError
from karat.stats.codetree import engine, packed, unpacked

FOLDS, FEWEST = 3, 100  # rows, of fewer of which nothing is predicted
CLASSES, RARE = 8, 10  # values of a column without order that are predicted, at most, and rows of the rarest of them
ROUNDS = (5, 10, 20, 40, 70, 100)  # of boosting, of which held-out rows say how many
TELLS = 0.01  # of the loss of a guess, which a prediction takes off at least
STEPS = 1_000  # in which predictions from 0 to 1 are kept apart
SPARSE = 30  # rows per leaf of a tree
RATE = 0.1  # of boosting
CLIP = 0.005  # of a probability: what is sure and wrong costs no more


class Shape(NamedTuple):
    """Of the boosted trees: leaves of a tree, rows of a leaf, share of the features that a tree sees, and rows learned from."""

    leaves: int
    leaf: int
    columns: float
    most: int


FEW, MANY = Shape(15, 5, 0.7, 1_000_000), Shape(31, 20, 1.0, 30_000)


class Stacked:
    """`boosters` [targets][FOLDS], each of which predicts one number from 0 to 1."""

    def __init__(self, boosters: list[list[Any]]) -> None:
        self.boosters = boosters

    @property
    def targets(self) -> int:
        return len(self.boosters)

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        nominal: list[int],
        codes: np.ndarray,
        ordered: bool,
        shape: Shape,
        rng: np.random.Generator,
    ) -> tuple[Stacked, np.ndarray]:
        """The predictors of `codes` [n] from `features` float32 [n, f], and their predictions for these rows, int64 [n, targets].

        Of no target where the features tell nothing.   nominal: features without order.   ordered: whether codes have one.
        Rows beyond `shape.most` are only predicted.
        """
        place = rng.permutation(len(codes))
        fold, learned = place % FOLDS, place < shape.most
        kept, predicted = [], []
        for target in _targets(codes, ordered):
            boosters, own = _boosted(features, nominal, target, fold, learned, shape)
            if boosters:
                kept.append(boosters)
                predicted.append(own)
        return cls(kept), _steps(np.array(predicted).reshape(len(kept), len(codes)).T)

    def predict(self, features: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """int64 [n, targets] for new rows of `features` [n, f]: by the boosters of one fold, another for each row, so that they
        are as uncertain as those that were learned from; without `rng` the mean of all folds.
        """
        out = np.zeros((len(features), self.targets))
        every = np.arange(len(features))
        mine = [every] * FOLDS if rng is None else np.array_split(rng.permutation(every), FOLDS)
        for j, boosters in enumerate(self.boosters):
            for rows, booster in zip(mine, boosters, strict=True):
                if len(rows):
                    out[rows, j] += booster.predict(features[rows], num_threads=1, predict_disable_shape_check=True)
        return _steps(out / FOLDS if rng is None else out)

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        return {"text": packed([booster for boosters in self.boosters for booster in boosters])}

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], width: int) -> Stacked:
        """The predictors over `width` features that gave `weights`; RunError where they cannot be any."""
        made = unpacked(weights["text"], width)
        if len(made) % FOLDS:
            raise RunError("boosted predictors of this run are damaged: one is missing. Train the run again.")
        return cls([made[i : i + FOLDS] for i in range(0, len(made), FOLDS)])


def _targets(codes: np.ndarray, ordered: bool) -> list[np.ndarray]:
    """float64 [n] each, from 0 to 1: the rank of `codes` [n] in order, or which of the commonest values they are."""
    value, which, many = np.unique(codes, return_inverse=True, return_counts=True)
    if len(value) < 2 or len(codes) < FEWEST:
        return []
    if len(value) == 2:
        return [which.astype(np.float64)]
    if ordered:
        return [((np.cumsum(many) - many / 2) / len(codes))[which]]
    common = [k for k in np.argsort(-many, kind="stable")[:CLASSES] if many[k] >= RARE]
    return [(which == k).astype(np.float64) for k in common]


def _boosted(
    features: np.ndarray, nominal: list[int], target: np.ndarray, fold: np.ndarray, learned: np.ndarray, shape: Shape
) -> tuple[list[Any], np.ndarray]:
    """A booster for each fold, learned from the others' `learned` rows, and its predictions for its own rows [n].

    No booster where these are no better than a guess.
    """
    lightgbm = engine()
    classes = bool(np.isin(target, (0, 1)).all())
    settings: dict[str, Any] = {
        "objective": "binary" if classes else "regression",
        "learning_rate": RATE,
        "num_leaves": max(2, min(shape.leaves, len(target) // SPARSE)),
        "min_data_in_leaf": shape.leaf,
        "lambda_l2": 1.0,
        "feature_fraction": shape.columns,
        "min_data_per_group": RARE,
        "verbose": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 0,
    }
    guess, boosters = np.zeros(len(target)), []
    for f in range(FOLDS):
        other = (fold != f) & learned
        guess[fold == f] = target[other].mean()
        if target[other].min() == target[other].max():
            return [], guess
        data = lightgbm.Dataset(
            features[other], target[other], categorical_feature=nominal, params={"verbose": -1, "max_bin": 255}
        )
        boosters.append(lightgbm.Booster(settings, data))
    best, rounds, least = guess, 0, _loss(guess, target, classes)
    enough = (1 - TELLS) * least
    for more in ROUNDS:
        predicted = np.empty(len(target))
        for f, booster in enumerate(boosters):
            while booster.current_iteration() < more and not booster.update():
                pass  # until nothing is left to split
            predicted[fold == f] = booster.predict(features[fold == f], num_threads=1)
        loss = _loss(predicted, target, classes)
        if loss >= least:
            break
        best, rounds, least = predicted, more, loss
    if least > enough:
        return [], guess
    return [lightgbm.Booster(model_str=b.model_to_string(num_iteration=rounds)) for b in boosters], best


def _loss(predicted: np.ndarray, target: np.ndarray, classes: bool) -> float:
    """The mean surprise in nats, of numbers the mean squared error."""
    if not classes:
        return float(((predicted - target) ** 2).mean())
    sure = predicted.clip(CLIP, 1 - CLIP)
    return float(-np.log(np.where(target > 0, sure, 1 - sure)).mean())


def _steps(predicted: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(STEPS * predicted), np.int64)
