"""Whether made text is a training passage, as it is or with characters, words or the order of its lines changed.

A run keeps hashes of strings of the training text, one in four at most, and which passage each is of (`assays.text.copying`).
A passage is a copy that has more of its strings in one training passage than these have in each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from karat.assays.text.copying import SHINGLE, Shingles
from karat.assays.text.writing import dense
from karat.curation.copies.bars import REJECTED, bar_of
from karat.errors import RunError
from karat.views import TextView

MOST_LETTERS = 20_000_000  # of training text; of more a random choice of passages is kept
KEPT = 1_000_000  # strings, and of all of them one in `SPARSE` at most
SPARSE = 4
ASKED = 5000  # training passages that are compared with the others


class Passages:
    """What tells copies of the passages that it was fitted to."""

    def __init__(self, shingles: Shingles, usual: int, bar: float) -> None:
        """usual: characters of a passage; longer ones are looked at in parts.   bar: share of strings beyond which it is a copy."""
        self.shingles, self.usual, self.bar = shingles, usual, bar

    @classmethod
    def fit(cls, train: TextView, seed: int) -> Self:
        rng = np.random.default_rng([seed, 15])
        sizes = np.array([len(text) for text in train.texts])
        order = rng.permutation(len(train))
        some = np.sort(order[: max(1, int((np.cumsum(sizes[order]) <= MOST_LETTERS).sum()))])
        known = train.take(some)
        step = max(SPARSE, -(-int(sizes[some].sum()) // KEPT))
        shingles = Shingles(known, SHINGLE[dense(known.texts[:200]) > 0.3], step)
        asked = np.sort(rng.permutation(len(known))[:ASKED])
        innocent, _ = shingles.likeness(known.take(asked), asked)
        return cls(shingles, int(np.median(sizes)), bar_of(innocent, REJECTED))

    def copied(self, made: TextView) -> np.ndarray:
        """bool [n]."""
        parts: list[str] = []
        owner: list[int] = []
        for i, text in enumerate(made.texts):
            size = len(text) if len(text) < 2 * self.usual else self.usual
            parts += [text[k : k + size] for k in range(0, max(1, len(text) - size // 2), max(1, size))]
            owner += [i] * (len(parts) - len(owner))
        score, _ = self.shingles.likeness(TextView(tuple(parts)))
        out = np.zeros(len(made))
        np.maximum.at(out, np.array(owner, np.int64), score)
        return np.asarray(out > self.bar)

    @property
    def blind(self) -> bool:
        return not np.isfinite(self.bar)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it."""
        own = self.shingles
        numbers = np.array([own.size, int(own.step), own.passages, self.usual], np.int64)
        return {"keys": own.keys.view(np.int64), "owner": own.owner, "numbers": numbers, "bar": np.array([self.bar])}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What gave the arrays; RunError where they cannot be any."""
        try:
            size, step, passages, usual = (int(x) for x in arrays["numbers"])
            keys, owner, bar = arrays["keys"].view(np.uint64), arrays["owner"], float(arrays["bar"][0])
        except (KeyError, ValueError, IndexError) as error:
            raise RunError(
                f"what tells copies of training text has another form than this version gives it ({error}). Train the run again."
            ) from None
        if not 0 < size < 100 or step < 1 or usual < 0 or keys.shape != owner.shape or passages < 1:
            raise RunError(
                "what tells copies of training text has another form than this version gives it. Train the run again."
            )
        return cls(Shingles.of(keys, owner, size, step, passages), usual, bar)
