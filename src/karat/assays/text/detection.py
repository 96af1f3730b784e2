"""Whether a classifier tells made text from real: logistic regression on counts of its strings.

Two-sample test: https://arxiv.org/abs/1610.06545.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from karat.assays import power
from karat.assays.chance import limit_of
from karat.assays.classifier import fold_spread, logistic, two_sample_auc
from karat.assays.details.records import TwoSample
from karat.assays.finding import Finding, Score, scored
from karat.assays.text.texts import Case
from karat.words import said

FINDS = ("two-sample auc",)
FOLDS = 4
LEAST = 0.03


def findings(case: Case) -> list[Finding]:
    """Two-sample AUC of weighted counts of made, unseen and training passages.

    The smaller of two: beside unseen and beside training passages. Where these two differ, as the end of a book does from
    the rest, what is like either of them is like real text.
    """
    train, unseen, made = case.counts
    n = min(s.shape[0] for s in case.counts)

    def auc(a: Any, b: Any) -> float:
        return two_sample_auc(a, b, logistic(case.seed), case.seed, FOLDS)

    beside = auc(made[:n], unseen[:n]), auc(made[:n], train[:n])
    apart = auc(train[:n], unseen[:n])
    half = unseen.shape[0] // 2
    value, real = min(beside), min(apart, auc(unseen[:half], unseen[half:]))
    sd = fold_spread(n, FOLDS)
    s = Score(value, value - 1.96 * sd, value + 1.96 * sd, max(real, 0.5), sd * math.sqrt(2)).clipped(0.0, 1.0)
    summary = said(
        "Shown one made and one real passage, a classifier picks the made one {unseen:.1%} of the time "
        "if the real one is unseen, {training:.1%} if it is a training one (50% is guessing); it tells "
        "these two apart {apart:.1%} of the time.",
        unseen=beside[0],
        training=beside[1],
        apart=apart,
    )
    detail = TwoSample(n=n, z=s.z, beside_unseen=beside[0], beside_training=beside[1], unseen_beside_training=apart)
    samples = power.scored("two-sample auc", s.error, made.shape[0], unseen.shape[0], beyond=LEAST)
    limit, shown = limit_of("two-sample auc", s, LEAST), replace(s, real=real)
    return [scored("two-sample auc", shown, limit, summary, detail=detail, samples=samples)]
