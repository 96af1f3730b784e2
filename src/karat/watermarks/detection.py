"""What a detector says, and how the evidence of many items adds up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FPR = 0.001  # of clean content, that is taken for marked


@dataclass(frozen=True)
class Detection:
    """What was found of one watermark in a set of items.

    technique: by name.   p_value: how often clean content would look as marked as this under another key, corrected for all
    that was searched.   score: the same in standard deviations of clean content, and threshold: the score at which clean
    content is taken for marked with the rate `fpr`.   found: whether the score reaches it. That it does not says nothing
    of where the content is from.   items: that carry anything, and alone: of these, those that reach the threshold by themselves.
    """

    technique: str
    score: float
    p_value: float
    threshold: float
    fpr: float
    found: bool
    items: int
    alone: int


def detection(
    technique: str, each: np.ndarray, together: np.ndarray | None = None, items: int | None = None
) -> Detection:
    """Of the p values of single items [n], each by itself, and of those to be put together [k], independent where clean.

    items: how many `together` speaks of, where it is one value of several.

    Put together by Fisher's method (Statistical Methods for Research Workers, 1932).
    """
    from scipy import stats

    own = each if together is None else together
    p = float(stats.chi2.sf(-2 * np.log(np.maximum(own, 1e-300)).sum(), 2 * len(own))) if len(own) else 1.0
    p = float(own[0]) if len(own) == 1 else p
    score = float(np.clip(stats.norm.isf(p), -40.0, 40.0))
    threshold, alone = float(stats.norm.isf(FPR)), int((each <= FPR).sum())
    return Detection(technique, score, p, threshold, FPR, p <= FPR, len(own) if items is None else items, alone)


def best_of(p: np.ndarray, tried: int) -> np.ndarray:
    """The p value of the smallest of `tried` independent ones `p` (Sidak, 1967)."""
    return np.asarray(-np.expm1(tried * np.log1p(-np.minimum(p, 1 - 1e-16))))
