"""Texts as counts of their strings, and the leading components of these: what a classifier of text sees.

Strings of one to four characters, words and pairs of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from karat.assays.text.writing import joined, words
from karat.views import TextView

BUCKETS = 1 << 15
LETTERS = 4
WIDTH = 96  # components of the counts
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


def components(fitted: Any, sides: Sequence[Any], seed: int) -> tuple[torch.Tensor, ...]:
    """The leading components [n, k] of the counts of each of `sides`, as those of `fitted` have them."""
    from sklearn.decomposition import TruncatedSVD

    k = min(WIDTH, min(fitted.shape) - 1)
    model = TruncatedSVD(k, n_iter=1, random_state=seed).fit(fitted)
    return tuple(torch.from_numpy(np.ascontiguousarray(model.transform(x))).float() for x in sides)
