"""What a generator of text makes, measured: every finding beside the score of unseen real text in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from karat.assays import text
from karat.assays.discovery import examined
from karat.assays.finding import Finding
from karat.assays.text.counts import Counts, components
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import TextView

MOST = 5000  # unseen and made passages that are looked at
ROWS = 2500  # of each side that a classifier sees


@dataclass(frozen=True)
class Case:
    """What an assay of text judges: passages in an order that means nothing, and what several assays need of them.

    classes: the names of the labels.   What is drawn at random is drawn by a generator of the assay's own, of the seed.
    apart: whether the generator is known not to have seen the unseen passages.
    """

    train: TextView
    unseen: TextView
    made: TextView
    classes: tuple[str, ...] = ()
    seed: int = 0
    apart: bool = True

    @cached_property
    def few(self) -> tuple[TextView, TextView, TextView]:
        """At most 2,500 training, unseen and made passages, the first ones."""
        t, u, m = (side.take(np.arange(min(len(side), ROWS))) for side in (self.train, self.unseen, self.made))
        return t, u, m

    @cached_property
    def counts(self) -> tuple[Any, Any, Any]:
        """Those as weighted counts of their strings, sparse [n, 32,768]."""
        train, unseen, made = self.few
        counts = Counts(train)
        made_counts = counts.of(made)  # words are numbered as they come
        return counts.train, counts.of(unseen), made_counts

    @cached_property
    def features(self) -> tuple[Tensor, Tensor, Tensor]:
        """The leading components of those [n, d]."""
        train, unseen, made = components(self.counts[0], self.counts, self.seed)
        return train, unseen, made

    @cached_property
    def alike(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same as half of the training passages have them, and of training passages only the others.

        What components were fitted to stands out in them, beside passages of the same kind.
        """
        train, unseen, made = self.counts
        half = train.shape[0] // 2
        t, u, m = components(train[:half], (train[half:], unseen, made), self.seed)
        return t, u, m

    @cached_property
    def inside(self) -> np.ndarray:
        """bool [n]: half of the training passages, whole documents."""
        _, document = np.unique(self.train.sources, return_inverse=True)
        side = np.random.default_rng([self.seed, 71]).permutation(int(document.max()) + 1) % 2 == 0
        inside: np.ndarray = side[document]
        return inside


def examine(
    train: TextView,
    unseen: TextView,
    made: TextView,
    *,
    classes: tuple[str, ...] = (),
    seed: int = 0,
    apart: bool = True,
) -> list[Finding]:
    """All findings about `made`, the same for the same seed.

    train: the passages that the generator learned from, all of them, or copies of what is left out are not found.
    unseen: real passages that it did not learn from.   classes: the names of the labels.
    Of unseen and made passages at most 5,000 are looked at, a random choice; what is blank is left out.
    Raises DataError for fewer than 20 passages in any of the three.
    """
    sides = []
    rng = np.random.default_rng(seed)
    for name, side in (("training", train), ("unseen real", unseen), ("made", made)):
        rows = [i for i, passage in enumerate(side.texts) if passage.strip()]
        if len(rows) < FEWEST:
            raise DataError(f"{len(rows)} {name} passages with text are too few to judge by; give at least {FEWEST}")
        # any order of the rows may mean something: what takes the first few takes them from a shuffled set
        mixed = rng.permutation(np.array(rows))
        sides.append(side.take(mixed if name == "training" else mixed[:MOST]))
    return examined(text, Case(sides[0], sides[1], sides[2], classes, seed, apart))
