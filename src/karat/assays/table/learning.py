"""What learners see of a sheet, and how well they do: boosted trees, a forest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karat.assays.classifier import LEAF, area, filled, sparse
from karat.views import TableView

LEVELS = 250  # choices that a boosted tree tells apart, the commonest; it takes 255
TREES = 50  # of boosting that is taught to predict a column, at twice the usual rate
RATE = 0.2
FOREST = 10
MANY = 64
CLASSES = 20  # that a target may have, the commonest; the others are one


@dataclass(frozen=True)
class Features:
    """Columns as boosted trees take them: numbers as they are, choices by how common they are, missing ones NaN."""

    columns: tuple[int, ...]
    codes: tuple[np.ndarray | None, ...]

    @property
    def categorical(self) -> list[bool]:
        return self.flags()

    def of(self, sheet: TableView, without: int | None = None) -> np.ndarray:
        """float64 [n, columns], without the column `without` of the sheet."""
        parts = []
        for j, code in zip(self.columns, self.codes, strict=True):
            if j != without:
                column = sheet.values[:, j] if code is None else code[sheet.codes(j)]
                parts.append(column)
        return np.stack(parts, 1) if parts else np.zeros((len(sheet), 0))

    def flags(self, without: int | None = None) -> list[bool]:
        """Which of them a boosted tree takes for choices: none where there are more than `MANY`, as each costs it time."""
        few = sum(code is not None for code in self.codes) <= MANY
        return [few and code is not None for j, code in zip(self.columns, self.codes, strict=True) if j != without]


def features(sheets: Sequence[TableView], most: int = 10_000) -> Features:
    """Of the columns that vary in any of the sheets, at most `most`; choices are ranked by the first sheet."""
    train = sheets[0]
    columns: list[int] = []
    codes: list[np.ndarray | None] = []
    for j, choices in enumerate(train.columns.choices):
        both = np.concatenate([s.values[:, j] for s in sheets])
        known = both[~np.isnan(both)]
        if len(known) == 0 or (len(known) == len(both) and known.min() == known.max()):
            continue
        if len(columns) == most:
            break
        columns.append(j)
        if not choices:
            codes.append(None)
            continue
        counts = np.bincount(train.codes(j), minlength=len(choices) + 2)[:-1]
        to = np.full(len(choices) + 2, float(LEVELS))
        common = np.argsort(-counts, kind="stable")[:LEVELS]
        to[common], to[-1] = np.arange(len(common)), np.nan
        codes.append(to)
    return Features(tuple(columns), tuple(codes))


@dataclass(frozen=True)
class Target:
    """The column to be predicted: `of` gives its classes or numbers.

    to: code -> class where it is a choice; None where it is a number.   low, high: the ends that numbers are cut to,
    so that no outlier is all that R2 speaks of.
    """

    column: int
    to: np.ndarray | None
    classes: int
    low: float = -math.inf
    high: float = math.inf

    @property
    def measure(self) -> str:
        return "AUC" if self.to is not None else "R2"

    @property
    def floor(self) -> float:
        """The score of a guess."""
        return 0.5 if self.to is not None else 0.0

    def of(self, sheet: TableView) -> np.ndarray:
        """float64 [n]; NaN where a number is missing."""
        values: np.ndarray = np.clip(sheet.values[:, self.column], self.low, self.high)
        return values if self.to is None else self.to[sheet.codes(self.column)].astype(np.float64)

    def score(self, truth: np.ndarray, predicted: np.ndarray) -> float:
        """R2 of `predicted` [n], or the mean AUC of `predicted` [n, classes], one class against the rest, by how common it is."""
        if self.to is None:
            total = float(((truth - truth.mean()) ** 2).sum())
            return 1 - float(((truth - predicted) ** 2).sum()) / total if total > 0 else 0.0
        weights, areas = [], []
        for k in range(self.classes):
            positive = truth == k
            if 0 < positive.sum() < len(truth):
                weights.append(float(positive.sum()))
                areas.append(area(predicted[:, k], positive))
            if self.classes == 2 and areas:
                break  # the other class has the same area
        return float(np.average(areas, weights=weights)) if areas else 0.5


def target_of(train: TableView, column: int) -> Target | None:
    """The column as a target, or None where it has fewer than two values."""
    choices = train.columns.choices[column]
    if not choices:
        known = train.values[:, column]
        known = known[~np.isnan(known)]
        if len(known) < 10 or known.min() == known.max():
            return None
        # all but the outermost of 200: a spread of their own is kept of what is nearly always the same
        low, high = (float(x) for x in np.quantile(known, [0.005, 0.995], method="inverted_cdf"))
        return Target(column, None, 0, low, high) if low < high else Target(column, None, 0)
    counts = np.bincount(train.codes(column), minlength=len(choices) + 2)
    order = np.argsort(-counts, kind="stable")
    present = int((counts > 0).sum())
    if present < 2:
        return None
    classes = min(present, CLASSES)
    to = np.full(len(counts), classes - 1)  # the rarest is one with all that are rarer
    to[order[:classes]] = np.arange(classes)
    return Target(column, to, classes)


def _usual(target: Target, y: np.ndarray, tests: int) -> np.ndarray:
    """The mean of `y`, or how often each class is in it, for each of the tests."""
    if target.to is None:
        return np.full(tests, y.mean())
    return np.tile(np.bincount(y.astype(np.int64), minlength=target.classes) / len(y), (tests, 1))


def fit_predict(
    target: Target,
    x: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    flags: list[bool],
    learner: str,
    seed: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """What a `learner` ("boosting", "forest") trained on `x` [n, d] and `y` [n] predicts for `test` [m, d].

    weights: of the training rows [n], or None. Numbers [m], or class probabilities [m, classes]; a class that was never shown
    gets 0.
    """
    from sklearn import ensemble

    shown = ~np.isnan(y)
    x, y, weights = x[shown], y[shown], None if weights is None else weights[shown]
    if len(y) == 0 or x.shape[1] == 0 or (target.to is not None and len(np.unique(y)) < 2):
        guess = float(y.mean()) if len(y) else 0.0
        return np.full(len(test), guess) if target.to is None else np.zeros((len(test), target.classes))
    fill = -1.0  # a forest takes missing values only where it was taught some
    if learner == "forest":
        x, test = np.nan_to_num(x, nan=fill), np.nan_to_num(test, nan=fill)
    else:
        if len(y) < 2 * LEAF:  # no tree could divide so few: the usual value is predicted
            return _usual(target, y, len(test))
        few = sparse(x)
        x, test = filled(x, few), filled(test, few)
    if target.to is None:
        model = (
            ensemble.HistGradientBoostingRegressor(
                categorical_features=flags, max_iter=TREES, learning_rate=RATE, min_samples_leaf=LEAF, random_state=seed
            )
            if learner == "boosting"
            else ensemble.RandomForestRegressor(FOREST, min_samples_leaf=5, max_features=0.5, random_state=seed)
        )
        return np.asarray(model.fit(x, y, weights).predict(test))
    rounds = max(15, TREES // max(1, target.classes - 1))
    model = (
        ensemble.HistGradientBoostingClassifier(
            categorical_features=flags, max_iter=rounds, learning_rate=RATE, min_samples_leaf=LEAF, random_state=seed
        )
        if learner == "boosting"
        else ensemble.RandomForestClassifier(FOREST, min_samples_leaf=5, max_features=0.5, random_state=seed)
    )
    out = np.zeros((len(test), target.classes))
    with warnings.catch_warnings():  # many classes in small sets are what was asked for
        warnings.simplefilter("ignore", UserWarning)
        model.fit(x, y, weights)
    out[:, model.classes_.astype(np.int64)] = model.predict_proba(test)
    return out
