"""Whether a classifier tells made text from real, which class it reads in it, and what the made text teaches.

It sees counts of strings of one to four characters, of words and of pairs of words, and is logistic regression or, for
classes, ridge regression. Two-sample test: https://arxiv.org/abs/1610.06545. TSTR: https://arxiv.org/abs/1706.02633.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from karat.assays import power
from karat.assays.chance import Score, limit_of
from karat.assays.classifier import fold_spread, logistic, two_sample_auc
from karat.assays.finding import Finding, Limit
from karat.assays.points import bias
from karat.assays.points.diversity import absent, missed, needed
from karat.assays.points.seen import Seen
from karat.assays.points.usefulness import lessons
from karat.assays.text.writing import joined, words
from karat.views import TextView

BUCKETS = 1 << 15
LETTERS = 4
ROWS = 2500  # of each side that the classifier sees
FOLDS = 4
WIDTH = 96  # components of the counts
LEAST = 0.03
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FINAL = np.uint64(0xBF58476D1CE4E5B9)


class Counts:
    """Texts as weighted counts [n, 32,768]: sqrt of the count, rare strings weighing more, rows of length one."""

    def __init__(self, train: TextView) -> None:
        self.known: dict[str, int] = {}
        raw = self._raw(train)
        shown = np.bincount(raw.indices, minlength=BUCKETS)
        self.weights = np.log((1 + len(train)) / (1 + shown)) + 0.1
        self.train = self._weighed(raw)

    def of(self, writing: TextView) -> Any:
        """scipy.sparse.csr_matrix float32 [n, 32,768]."""
        return self._weighed(self._raw(writing))

    def _weighed(self, raw: Any) -> Any:
        raw.data = np.sqrt(raw.data) * self.weights[raw.indices].astype(np.float32)
        norm = np.sqrt(np.add.reduceat(np.append(raw.data**2, 0), np.minimum(raw.indptr[:-1], len(raw.data))))
        raw.data /= np.repeat(np.maximum(norm, 1e-9), np.diff(raw.indptr)).astype(np.float32)
        return raw

    def _raw(self, writing: TextView) -> Any:
        from scipy.sparse import csr_matrix

        codes, _ = joined(writing.texts)
        owner = np.cumsum(codes == -1) - (codes == -1)
        places = [_hashed(codes, owner, range(1, LETTERS + 1), 0)]
        spoken = [words(text) for text in writing.texts]
        numbers = np.array([self.known.setdefault(w, len(self.known)) for text in spoken for w in text], np.int64)
        whose = np.repeat(np.arange(len(writing)), [len(text) for text in spoken])
        places.append(_hashed(numbers, whose, (1, 2), 1))
        key, count = np.unique(np.concatenate(places), return_counts=True)
        rows = key // BUCKETS
        ends = np.searchsorted(rows, np.arange(len(writing) + 1))
        return csr_matrix(
            (count.astype(np.float32), (key % BUCKETS).astype(np.int32), ends.astype(np.int32)), (len(writing), BUCKETS)
        )


def _hashed(codes: np.ndarray, owner: np.ndarray, sizes: range | tuple[int, ...], salt: int) -> np.ndarray:
    """row * BUCKETS + bucket of every string of `sizes` codes that lies within one row."""
    out, key = [], np.zeros(len(codes), np.uint64)
    letters = (codes + 3 + (salt << 32)).astype(np.uint64)
    for size in range(1, max(sizes) + 1):
        count = max(0, len(codes) - size + 1)
        key = (key[:count] * MULTIPLIER + letters[size - 1 :]) * FINAL
        if size in sizes:
            inside = (owner[:count] == owner[size - 1 :]) & (codes[size - 1 :] >= 0)
            bucket = (key[inside] >> np.uint64(64 - BUCKETS.bit_length() + 1)).astype(np.int64)
            out.append(owner[:count][inside] * BUCKETS + bucket)
    return np.concatenate(out)


def telling(sides: tuple[Any, Any, Any], seed: int) -> Finding:
    """Two-sample AUC of `sides`: weighted counts of made, unseen and training passages, in an order that means nothing.

    The smaller of two: beside unseen and beside training passages. Where these two differ, as the end of a book does from
    the rest, what is like either of them is like real text.
    """
    made, unseen, train = sides
    n = min(s.shape[0] for s in sides)

    def told(a: Any, b: Any) -> float:
        return two_sample_auc(a, b, logistic(seed), seed, FOLDS)

    beside = told(made[:n], unseen[:n]), told(made[:n], train[:n])
    apart = told(train[:n], unseen[:n])
    half = unseen.shape[0] // 2
    value, real = min(beside), min(apart, told(unseen[:half], unseen[half:]))
    sd = fold_spread(n, FOLDS)
    low, high = max(0.0, value - 1.96 * sd), min(1.0, value + 1.96 * sd)
    s = Score(value, low, high, max(real, 0.5), sd * math.sqrt(2))
    says = (
        f"Shown one made and one real passage, a classifier picks the made one {beside[0]:.1%} of the time if the real one is "
        f"unseen, {beside[1]:.1%} if it is a training one (50% is guessing); it tells these two apart {apart:.1%} of the time."
    )
    limit = limit_of(s, LEAST, "lower")
    raised = limit.broken(value)
    detail = {
        "n": n,
        "z": s.z,
        "beside unseen": beside[0],
        "beside training": beside[1],
        "unseen beside training": apart,
    }
    samples = power.scored("two-sample auc", s.error, made.shape[0], unseen.shape[0])
    return Finding(
        "two-sample auc", value, low, high, real, "lower", raised, says, detail, limit=limit, samples=samples
    )


def findings(
    train: TextView, unseen: TextView, made: TextView, classes: tuple[str, ...], seed: int
) -> tuple[Finding, list[Finding], dict[str, torch.Tensor]]:
    """Two-sample AUC; what needs classes (missing classes, usefulness, lift, class balance); and features [n, d] by side.

    At most 2,500 passages of each are looked at, the first ones.
    """
    train, unseen, made = (w.take(np.arange(min(len(w), ROWS))) for w in (train, unseen, made))
    counts = Counts(train)
    sides = (counts.of(made), counts.of(unseen), counts.train)
    told = telling(sides, seed)
    seen = dict(zip(("made", "unseen", "train"), _components(sides, seed), strict=True))
    return told, _classes(train, unseen, made, classes, sides, seen, seed), seen


def _components(sides: tuple[Any, Any, Any], seed: int) -> list[torch.Tensor]:
    """The leading components [n, k] of made, unseen and training counts, as the training counts have them."""
    from sklearn.decomposition import TruncatedSVD

    k = min(WIDTH, min(sides[2].shape) - 1)
    model = TruncatedSVD(k, n_iter=1, random_state=seed).fit(sides[2])
    return [torch.from_numpy(np.ascontiguousarray(model.transform(x))).float() for x in sides]


def _classes(
    train: TextView,
    unseen: TextView,
    made: TextView,
    classes: tuple[str, ...],
    sides: tuple[Any, Any, Any],
    seen: dict[str, torch.Tensor],
    seed: int,
) -> list[Finding]:
    if train.labels is None or unseen.labels is None or len(classes) < 2 or len(np.unique(train.labels)) < 2:
        return []
    from sklearn.linear_model import RidgeClassifier

    reader = RidgeClassifier(alpha=0.3).fit(sides[2], train.labels)
    read, truth = (torch.from_numpy(reader.predict(x).astype(np.int64)) for x in sides[:2])
    real = torch.from_numpy(unseen.labels)
    learned = torch.from_numpy(train.labels)
    sure, likely, shares, share = absent(read, truth, real, learned, len(classes))
    own = None if made.labels is None else torch.from_numpy(made.labels)
    if own is not None:  # also what was never asked for is missing
        asked = absent(own, real, real, learned, len(classes))
        sure, likely = sorted({*sure, *asked[0]}), sorted({*likely, *asked[1]})
    gone = [classes[i] for i in sure]
    says = (
        f"Missing from what was made, or nearly: {missed(sure, classes, shares, share)}."
        if gone
        else "Every class that real text shows is made."
    )
    detail = {
        "missing": gone,
        "names": list(classes),
        "made": shares.tolist(),
        "real": share.tolist(),
        "kind": "class",
        "read rightly": float((truth == real).double().mean()),
    }
    count, high = float(len(gone)), float(max(len(likely), len(sure)))
    limit = Limit(above=0.0)
    missing = Finding(
        "missing classes",
        count,
        count,
        high,
        0.0,
        "lower",
        bool(gone),
        says,
        detail,
        limit=limit,
        samples=needed(len(made), len(unseen), len(classes)),
    )
    whose = " (its labels were read by the judge)" if own is None else ""
    taken = [torch.nn.functional.pad(seen[side], (0, 1), value=0.1).double() for side in ("train", "unseen", "made")]
    taught = lessons(
        taken[0],
        learned,
        taken[1],
        real,
        taken[2],
        read if own is None else own,
        len(classes),
        whose,
        torch.Generator().manual_seed(seed),
    )
    shown = (seen["unseen"], truth, seen["made"], read) if own is None else (seen["unseen"], real, seen["made"], own)
    k = len(classes)
    there, here = (Seen(x, x, None, torch.nn.functional.one_hot(y, k)) for x, y in (shown[:2], shown[2:]))
    return [missing, *taught, *bias.findings(there, here, classes)]
