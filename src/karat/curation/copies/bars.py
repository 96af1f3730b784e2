"""Where a score of likeness begins to accuse: so high that no more than a share of innocent records lie beyond it."""

from __future__ import annotations

import math

import numpy as np

REJECTED = 0.0075  # of unseen real records on average, so that in few sets it is more than 1 in 100
RECALL = 0.95  # of copies, below which a person is told
WORTH = 0.5  # of copies planted in one way, below which only the rarest records would go


def bar_of(innocent: np.ndarray, share: float) -> float:
    """The score beyond which a new innocent record lies with a chance of at most `share`; infinite where they are too few to say.

    The k-th largest of n: any of n + 1 alike records is as likely as another to be among the first k.
    """
    k = math.floor(share * (len(innocent) + 1))
    return math.inf if k < 1 else float(np.partition(innocent, len(innocent) - k)[len(innocent) - k])
