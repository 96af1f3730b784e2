"""Whether a classifier tells what was made from real rows, and by which columns.

Two-sample test: https://arxiv.org/abs/1610.06545. Boosted trees, because a linear judge flatters tables.
"""

from __future__ import annotations

import math

import numpy as np

from karat.assays import power
from karat.assays.chance import limit_of
from karat.assays.classifier import area, boosted, fold_spread, held_out, two_sample_auc
from karat.assays.details.records import TwoSample
from karat.assays.finding import Finding, Score, scored
from karat.assays.table.cells import GRAINS, grain
from karat.assays.table.derived import quantities
from karat.assays.table.learning import Features, features
from karat.assays.table.sheet import binned
from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import said, together

FINDS = ("two-sample auc",)
ROWS = 10_000  # of each side, at most
CELLS = 400_000  # rows times columns of each side, at most
FOLDS = 5
BINS = 64
PREDICTED = 2000  # columns times columns permuted: a judge of many columns is slow
PERMUTED = 48  # columns whose importance is looked at
LEAST = 0.03


def importance(
    a: np.ndarray, b: np.ndarray, flags: list[bool], seed: int, permuted: tuple[int, ...]
) -> tuple[float, np.ndarray]:
    """The two-sample AUC of `a` [n, d] and `b` [n, d] by boosted trees, and what shuffling columns takes from it.

    The latter [k] in the first fold, per column of `permuted` [k].
    """
    rng = np.random.default_rng([seed, 31])
    areas, lost = [], np.zeros(len(permuted))
    for score, x, y in held_out(a, b, boosted(flags, seed), FOLDS, rng):
        areas.append(area(score(x), y))
        if len(areas) == 1 and permuted:
            some = rng.permutation(len(x))[:2000]
            base = area(score(x[some]), y[some])
            for i, j in enumerate(permuted):
                shuffled = x[some].copy()
                shuffled[:, j] = shuffled[rng.permutation(len(some)), j]
                lost[i] = base - area(score(shuffled), y[some])
    return float(np.mean(areas)), lost


def by_column(train: TableView, real: TableView, made: TableView) -> np.ndarray:
    """The area [c] by which each column alone gives it away: by value (64 bins), or by how finely it is printed."""
    r, m = binned((train, real, made), BINS)[1:]
    out = np.empty(train.width)
    for j, choices in enumerate(train.columns.choices):
        out[j] = _split_area(r[:, j], m[:, j], BINS + 2)
        if not choices:
            printed = [
                np.where(np.isnan(x), len(GRAINS), grain(np.nan_to_num(x)))
                for x in (real.values[:, j], made.values[:, j])
            ]
            out[j] = max(out[j], _split_area(printed[0], printed[1], len(GRAINS) + 1))
    return out


def _split_area(real: np.ndarray, made: np.ndarray, size: int) -> float:
    """Area of codes below `size`, scored by the odds in every other row, on the rows between."""
    odds = [np.bincount(x[::2], minlength=size) + 0.5 for x in (real, made)]
    score = np.log(odds[1] / odds[1].sum()) - np.log(odds[0] / odds[0].sum())
    tested = np.concatenate([real[1::2], made[1::2]])
    return area(score[tested], np.arange(len(tested)) >= len(real[1::2]))


def findings(case: Case) -> list[Finding]:
    """Two-sample AUC, with the columns that give what was made away, and what lies between two of them."""
    return [told_apart("two-sample auc", case.train, case.unseen, case.made, seed=case.seed)]


def told_apart(key: str, train: TableView, unseen: TableView, made: TableView, *, seed: int, of: str = "") -> Finding:
    """The two-sample test of rows in an order that means nothing, as the finding `key`.   of: what the rows are of."""
    featurizer: Features = features((train, unseen, made))
    most = min(ROWS, max(200, CELLS // max(1, len(featurizer.columns))))
    n = min(len(unseen), len(made), len(train), most)
    sides = [s.take(np.arange(n)) for s in (made, unseen, train)]
    alone = by_column(train, sides[1], sides[0])
    order = np.argsort(-alone, kind="stable")
    if featurizer.columns:
        between = quantities(train, seed)
        x = [np.column_stack([featurizer.of(s), *(quantity.of(s) for quantity in between)]) for s in sides]
        flags = featurizer.categorical + [False] * len(between)
        place = {j: i for i, j in enumerate(featurizer.columns)}
        columns = [int(j) for j in order if int(j) in place][: max(4, min(PERMUTED, PREDICTED // len(place)))]
        looked = [train.names[j] for j in columns] + [quantity.name(train.names) for quantity in between]
        at = [place[j] for j in columns] + list(range(len(place), len(place) + len(between)))
        value, lost = importance(x[0], x[1], flags, seed, tuple(at))
        real = two_sample_auc(x[2], x[1], boosted(flags, seed), seed, FOLDS)
    else:
        looked, value, real, lost = [], 0.5, 0.5, np.zeros(0)
    sd = fold_spread(n, FOLDS)
    s = Score(value, value - 1.96 * sd, value + 1.96 * sd, real, sd * math.sqrt(2)).clipped(0.0, 1.0)
    limit = limit_of(key, s, LEAST)
    joint = sorted(zip(looked, lost.tolist(), strict=True), key=lambda p: -p[1])
    summary = said(
        "Shown one made and one real row, boosted trees pick the made one {value:.1%} of the time (50% "
        "is guessing); one training row, {real:.1%}.",
        value=value,
        real=real,
    )
    if limit.broken(value):
        summary += said(
            " Given away most by {most}; alone by {alone}.",
            most=together((name for name, _ in joint[:3]), ", "),
            alone=together((said("{name} ({x:.2f})", name=train.names[j], x=alone[j]) for j in order[:3]), ", "),
        )
    detail = TwoSample(
        n=n,
        z=s.z,
        alone=tuple((train.names[j], float(alone[j])) for j in order[:24]),
        importance=tuple(joint[:24]),
    )
    samples = power.scored(key, s.error, len(made), len(unseen), beyond=LEAST)
    return scored(key, s, limit, summary, detail=detail, samples=samples, of=of)
