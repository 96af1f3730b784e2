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
from karat.stats.smooth import Smooth, smoothed

FOLDS, FEWEST = 3, 100  # rows, of fewer of which nothing is predicted
CLASSES, RARE = 8, 10  # values of a column without order that boosted trees predict, and rows of the rarest of them
SMOOTH_CLASSES, SMOOTH_RARE = 32, 5  # the same of smooth functions, for which another value costs next to nothing
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of boosted trees in what is predicted
ROUNDS = (5, 10, 20, 40, 70, 100)  # of boosting, of which held-out rows say how many
TELLS = 0.01  # of the loss of a guess, which a prediction takes off at least
ERRORS = 2.5  # standard errors of what it takes off, likewise
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
    smooth: bool  # whether smooth functions are blended in


FEW, MANY = Shape(15, 5, 0.7, 1_000_000, True), Shape(31, 20, 1.0, 30_000, False)


class Stacked:
    """Predictors of numbers from 0 to 1, of each `FOLDS`, by `share` [targets] boosted trees and for the rest smooth functions.

    `boosters` [targets of which they have a share][FOLDS]; `smooth` [FOLDS], each of all targets, or none.
    """

    def __init__(self, share: np.ndarray, boosters: list[list[Any]], smooth: list[Smooth]) -> None:
        self.share, self.boosters, self.smooth = share, boosters, smooth

    @property
    def targets(self) -> int:
        return len(self.share)

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

        Of no target where the features tell nothing.   nominal: features without order; where these are most, no smooth functions
        are: on combinations of words that no row has, and drawn rows have, they are wild.   ordered: whether codes have one.
        Rows beyond `shape.most` are only predicted.
        """
        place = rng.permutation(len(codes))
        fold, learned = place % FOLDS, place < shape.most
        targets = _targets(codes, ordered, *((SMOOTH_CLASSES, SMOOTH_RARE) if shape.smooth else (CLASSES, RARE)))
        smooth: list[Smooth] = []
        curved = np.zeros((len(codes), 0))
        if shape.smooth and targets and 2 * len(nominal) <= features.shape[1]:
            smooth, curved = smoothed(features, nominal, np.stack(targets, 1), fold, rng)
        kept, share, boosters, predicted = [], [], [], []
        for j, target in enumerate(targets):
            classes = bool(np.isin(target, (0, 1)).all())
            guess = _guess(target, fold, learned)
            tried: dict[float, np.ndarray] = {}
            grown: list[Any] = []
            if j < CLASSES and min((target > 0).sum(), (target < 1).sum()) >= RARE:
                grown, own = _boosted(features, nominal, target, fold, learned, shape)
                if grown:
                    tried[1.0] = own
            if smooth:
                few = SHARES if grown else (0.0,)
                tried |= {s: s * tried[1.0] + (1 - s) * curved[:, j] if s else curved[:, j] for s in few}
            if not tried:
                continue
            best = min(tried, key=lambda s: _losses(tried[s], target, classes).mean())
            if not _tells(_losses(tried[best], target, classes), _losses(guess, target, classes)):
                continue
            kept.append(j)
            share.append(best)
            predicted.append(tried[best])
            if best > 0:
                boosters.append(grown)
        if not kept or max(1 - s for s in share) == 0:
            smooth = []
        smooth = [each.of(kept) for each in smooth]
        return cls(np.array(share), boosters, smooth), _steps(np.array(predicted).reshape(len(kept), len(codes)).T)

    def predict(self, features: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """int64 [n, targets] for new rows of `features` [n, f]: by the predictors of one fold, another for each row, so that they
        are as uncertain as those that were learned from; without `rng` the mean of all folds.
        """
        out = np.zeros((len(features), self.targets))
        every = np.arange(len(features))
        mine = [every] * FOLDS if rng is None else np.array_split(rng.permutation(every), FOLDS)
        for f, rows in enumerate(mine):
            if not len(rows):
                continue
            for j, boosters in zip(np.flatnonzero(self.share), self.boosters, strict=True):
                told = boosters[f].predict(features[rows], num_threads=1, predict_disable_shape_check=True)
                out[rows, j] += self.share[j] * told
            if self.smooth:
                out[rows] += (1 - self.share) * self.smooth[f].predict(features[rows])
        return _steps(out / FOLDS if rng is None else out)

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        out = {"share": self.share, "text": packed([booster for boosters in self.boosters for booster in boosters])}
        for f, each in enumerate(self.smooth):
            out |= {f"smooth{f}.{name}": a for name, a in each.weights().items()}
        return out

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], width: int) -> Stacked:
        """The predictors over `width` features that gave `weights`; RunError where they cannot be any."""
        share = np.atleast_1d(np.asarray(weights["share"], np.float64))
        made = unpacked(weights["text"], width)
        curved = []
        for f in range(FOLDS):
            mine = {k.split(".", 1)[1]: v for k, v in weights.items() if k.startswith(f"smooth{f}.")}
            curved += [Smooth.restore(mine, width, len(share))] if mine else []
        good = share.ndim == 1 and bool(((share >= 0) & (share <= 1)).all()) and len(made) == FOLDS * (share > 0).sum()
        if not good or len(curved) not in (0, FOLDS) or (not curved and bool((share < 1).any())):
            raise RunError("predictors of this run are damaged: one is missing. Train the run again.")
        return cls(share, [made[i : i + FOLDS] for i in range(0, len(made), FOLDS)], curved)


def _targets(codes: np.ndarray, ordered: bool, classes: int, rare: int) -> list[np.ndarray]:
    """float64 [n] each, from 0 to 1: the rank of `codes` [n] in order, or which of the commonest values they are."""
    value, which, many = np.unique(codes, return_inverse=True, return_counts=True)
    if len(value) < 2 or len(codes) < FEWEST:
        return []
    if len(value) == 2:
        return [which.astype(np.float64)]
    if ordered:
        return [((np.cumsum(many) - many / 2) / len(codes))[which]]
    common = [k for k in np.argsort(-many, kind="stable")[:classes] if many[k] >= rare]
    return [(which == k).astype(np.float64) for k in common]


def _guess(target: np.ndarray, fold: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """What the rows of the other folds are in the mean [n]."""
    out = np.empty(len(target))
    for f in range(FOLDS):
        out[fold == f] = target[(fold != f) & learned].mean()
    return out


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
    guess, boosters = _guess(target, fold, learned), []
    for f in range(FOLDS):
        other = (fold != f) & learned
        if target[other].min() == target[other].max():
            return [], guess
        data = lightgbm.Dataset(
            features[other], target[other], categorical_feature=nominal, params={"verbose": -1, "max_bin": 255}
        )
        boosters.append(lightgbm.Booster(settings, data))
    best, rounds, least = guess, 0, float(_losses(guess, target, classes).mean())
    enough = (1 - TELLS) * least
    for more in ROUNDS:
        predicted = np.empty(len(target))
        for f, booster in enumerate(boosters):
            while booster.current_iteration() < more and not booster.update():
                pass  # until nothing is left to split
            predicted[fold == f] = booster.predict(features[fold == f], num_threads=1)
        loss = float(_losses(predicted, target, classes).mean())
        if loss >= least:
            break
        best, rounds, least = predicted, more, loss
    if least > enough:
        return [], guess
    return [lightgbm.Booster(model_str=b.model_to_string(num_iteration=rounds)) for b in boosters], best


def _losses(predicted: np.ndarray, target: np.ndarray, classes: bool) -> np.ndarray:
    """The surprise [n] in nats, of numbers the squared error."""
    if not classes:
        return np.asarray((predicted - target) ** 2)
    sure = predicted.clip(CLIP, 1 - CLIP)
    return np.asarray(-np.log(np.where(target > 0, sure, 1 - sure)))


def _tells(losses: np.ndarray, guesses: np.ndarray) -> bool:
    """Whether a prediction of these `losses` [n] is better than a guess, by more than chance."""
    gain = guesses - losses
    return bool(gain.mean() > max(TELLS * guesses.mean(), ERRORS * gain.std() / np.sqrt(len(gain))))


def _steps(predicted: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(STEPS * predicted), np.int64)
