"""Which regions of real data are not made, where no labels say what there is.

Every record counts for the training record that is nearest to it, so that blur or noise loses no mode by itself. A ball
round a training record that holds a given share of them should get as large a share of the unseen and of the made records.
It is laid round many, in several sizes and in more than one view of the data, and each is a test of its own: the
hypergeometric tail of the made records in it, times all balls that were looked at (Bonferroni), which overlap. So no mode
hangs on where a clustering puts its borders, which rounding alone can move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from karat.assays import power
from karat.assays.finding import Sample
from karat.assays.seen import distances, nearest
from karat.assays.shares import tails

SHARES = (0.03, 0.05, 0.08, 0.12)  # of the training records, in a ball
HELD = 0.5  # of a mode that is lost, at least, lies in a ball without much else
FEWEST = 5  # training records in a ball
CENTRES = 300  # training records that balls are laid round
REFERENCE = 5000  # training records that say how wide a ball is
ABSENT = 0.2  # of its real share, at most, is lost
CERTAIN, LIKELY = (
    0.05,
    1e-3,
)  # chances of all balls beside all real records, which overlap, and of one beside unseen ones


@dataclass(frozen=True)
class Mode:
    """A ball of real records: the training record in its middle, and the shares of each side in it."""

    row: int
    train: float
    unseen: float
    made: float


def lost(views: Sequence[tuple[Tensor, ...]]) -> list[Mode]:
    """The modes that are certainly not made, those that most records are missing from first.

    views: the training, unseen and made records [., d] of each view, in an order that means nothing.
    """
    t = min(len(views[0][0]), REFERENCE)
    m, n = len(views[0][1]), len(views[0][2])
    sizes = [k for k in sorted({round(share * t) for share in SHARES}) if k >= FEWEST]
    middles = min(CENTRES, t)
    tests = max(1, len(views) * len(sizes) * middles)
    found: list[tuple[float, np.ndarray, Mode]] = []
    for train, unseen, made in views:
        base = train[:t]
        real, own = (np.bincount(nearest(x, base)[1].numpy(), minlength=t) for x in (unseen, made))
        order = distances(base[:middles], base).argsort(1).numpy()
        for k in sizes:
            ball = order[:, :k]
            seen, shown = real[ball].sum(1), own[ball].sum(1)
            least = np.minimum(seen / m, k / t)
            few = np.flatnonzero(shown / n < ABSENT * least)
            p = tails(seen[few] + k, m + t, shown[few], n)
            alone = tails(seen[few], m, shown[few], n)
            for i in few[(p * tests < CERTAIN) & (alone < LIKELY)]:
                mode = Mode(int(i), k / t, float(seen[i] / m), float(shown[i] / n))
                found.append((mode.made - float(least[i]), ball[i], mode))
    return _apart(found, t)


def needed(t: int, m: int, n: int, views: int) -> tuple[Sample, ...]:
    """What `lost` needs to see a mode of a tenth of real data that is never made, of `t` training records."""
    t = min(t, REFERENCE)
    tests = views * len(SHARES) * min(CENTRES, t)

    def sees(made: int, unseen: int) -> bool:
        real = round(HELD * power.GROUP * unseen)
        p = tails(np.array([real + round(HELD * power.GROUP * t)]), unseen + t, np.array([0]), made)[0]
        return bool(p * tests < CERTAIN and tails(np.array([real]), unseen, np.array([0]), made)[0] < LIKELY)

    return power.of_count(sees, n, m)


def _apart(found: list[tuple[float, np.ndarray, Mode]], t: int) -> list[Mode]:
    """Those that share less than half of their records with one that more are missing from."""
    kept: list[Mode] = []
    taken = np.zeros(t, bool)
    for _, ball, mode in sorted(found, key=lambda f: f[0]):
        if taken[ball].mean() < 0.5:
            kept.append(mode)
            taken[ball] = True
    return kept
