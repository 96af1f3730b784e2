"""Which regions of real data are not made, where no labels say what there is.

A region is where records crowd round one of them: from each training record a path leads to the densest of its nearest
neighbours, again and again, and all whose paths end at the same record are of one region (Koontz, Narendra & Fukunaga,
https://doi.org/10.1109/TC.1976.1674719). The regions of a view of the data with some number of neighbours are disjoint and
cover it; few neighbours give many small ones. Every unseen or made record counts for the region of the training record that
is nearest to it, so that blur or noise loses no mode by itself. Each region is a test of its own: the hypergeometric tail of
the made records in it, times all regions that were looked at (Bonferroni). Several numbers of neighbours in more than one
view leave no mode to where one clustering puts its borders, which rounding alone can move.

Whether a lost mode would be found at all depends on the data: a group of records may be one region, or lie scattered over
many. So `needed` plants the fault: it takes regions at random, until they hold a tenth of real records, leaves these records
out, and looks whether the finding speaks in the views that the regions do not come from, where their borders are as blurred
as those of a group that nobody drew. How many of such plants must be found was set on data with classes, of which one was left
out and the labels hidden (docs/references.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.finding import Sample
from karat.assays.neighbours import distances, nearest
from karat.assays.shares import tails

CROWDS = (5, 8, 12)  # neighbours, the densest of which the path goes on to
FEWEST = 5  # training records in a region
REFERENCE = 5000  # training records that regions are made of
DOUBLINGS = 13  # of the length of paths: 2 ** 13 > REFERENCE
ABSENT = 0.5  # of its real share, at most, is lost
CERTAIN, LIKELY = 0.01, 1e-3  # chances of all regions beside all real records, and of one beside unseen ones alone
PLANTS = 40
FOUND = 0.7  # of the plants, where a class that was left out is found in 19 of 20 tries
CLEAREST = 12  # regions of each plant that are looked at further
WIDE = 0.5  # standard errors by which the counts of a plant are worse than expected


@dataclass(frozen=True)
class Mode:
    """A region of real records: the training record at its densest place, and the shares of each side in it."""

    row: int
    train: float
    unseen: float
    made: float


@dataclass(frozen=True)
class Look:
    """One view of the data: training records have a region for each of `CROWDS`, other records a nearest training record.

    regions: [crowds, t] in the order of training records, numbered from 0.   densest: of each crowd, the training record
    [regions] at the densest place of each.   train, unseen, made: the training record nearest to each record, itself excluded.
    """

    regions: tuple[np.ndarray, ...]
    densest: tuple[np.ndarray, ...]
    train: np.ndarray
    unseen: np.ndarray
    made: np.ndarray

    @property
    def real(self) -> np.ndarray:
        return np.concatenate([self.train, self.unseen])


def look(views: Sequence[tuple[Tensor, ...]]) -> list[Look]:
    """The views of training, unseen and made records [., d], in an order that means nothing."""
    return [_look(*view) for view in views]


def lost(looks: Sequence[Look]) -> list[Mode]:
    """The modes that are certainly made at less than `ABSENT` of their real share, those that most are missing from first."""
    m, n, t = len(looks[0].unseen), len(looks[0].made), len(looks[0].train)
    tests = _tests(looks)
    found: list[tuple[float, np.ndarray, Mode]] = []
    for seen in looks:
        for region, densest in zip(seen.regions, seen.densest, strict=True):
            held, real, own = (_sizes(x, len(densest)) for x in (region, region[seen.unseen], region[seen.made]))
            least = np.minimum(real / m, held / t)
            few = np.flatnonzero((held >= FEWEST) & (own / n < ABSENT * least))
            sure = few[_certain(real[few], held[few], own[few], m, t, n, tests)]
            for i in sure:
                mode = Mode(int(densest[i]), held[i] / t, float(real[i] / m), float(own[i] / n))
                found.append((mode.made - float(least[i]), np.flatnonzero(region == i), mode))
    return _apart(found, t)


def needed(looks: Sequence[Look]) -> tuple[Sample, ...]:
    """What `lost` needs to see, in as many plants as tell of it, that a tenth of real data is never made."""
    t, tests = len(looks[0].train), _tests(looks)
    rng = np.random.default_rng(0)
    plants = [_plant(looks, i, rng) for i in range(PLANTS)]
    everything, left, held = (np.concatenate([p[i] for p in plants]) for i in range(3))
    which = np.repeat(np.arange(PLANTS), [len(p[0]) for p in plants])

    def sees(made: int, unseen: int, share: float) -> bool:
        if share < power.GROUP:  # of which nothing was planted
            return False
        own = np.ceil(made * left + WIDE * np.sqrt(made * left)).astype(int)
        real = np.floor(unseen * everything - WIDE * np.sqrt(unseen * everything)).clip(0).astype(int)
        few = own / made < ABSENT * np.minimum(real / unseen, held / t)
        spoken = which[few][_certain(real[few], held[few], own[few], unseen, t, made, tests)]
        return len(np.unique(spoken)) >= FOUND * PLANTS

    return power.of_count(sees, len(looks[0].made), len(looks[0].unseen), power.GROUP)


def _look(train: Tensor, unseen: Tensor, made: Tensor) -> Look:
    base = train[:REFERENCE]
    t = len(base)
    far, near = [], []
    for start in range(0, t, 1000):
        d = distances(base[start : start + 1000], base)
        d[torch.arange(len(d)), torch.arange(start, start + len(d))] = -1.0  # itself first, whatever equals it
        closest = d.topk(min(max(CROWDS) + 1, t), dim=1, largest=False)
        far.append(closest.values)
        near.append(closest.indices)
    radius, others = torch.cat(far), torch.cat(near)
    regions, densest = [], []
    for k in CROWDS:
        k = min(k, t - 1)
        up = others[:, : k + 1].gather(1, radius[:, k][others[:, : k + 1]].argmin(1, keepdim=True))[:, 0]
        for _ in range(DOUBLINGS):
            up = up[up]
        top, of = np.unique(up.numpy(), return_inverse=True)
        regions.append(of)
        densest.append(top)
    apart = (nearest(x, base)[1].numpy() for x in (unseen, made))
    return Look(tuple(regions), tuple(densest), others[:, 1].numpy(), *apart)


def _sizes(regions: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(regions, minlength=n)


def _tests(looks: Sequence[Look]) -> int:
    return max(1, sum(int((_sizes(region, 1) >= FEWEST).sum()) for seen in looks for region in seen.regions))


def _certain(real: np.ndarray, held: np.ndarray, own: np.ndarray, m: int, t: int, n: int, tests: int) -> np.ndarray:
    """Whether regions of `real` of m unseen, `held` of t training and `own` of n made records are lost by the exact tests."""
    sure: np.ndarray = (tails(real + held, m + t, own, n) * tests < CERTAIN) & (tails(real, m, own, n) < LIKELY)
    return sure


def _plant(looks: Sequence[Look], i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real shares, shares once a group is left out, and training records of the regions that tell most of it.

    Regions and records take turns in `i`. Regions are looked for in the other views, or in their own where it is the only one.
    """
    mine, t = looks[i % len(looks)], len(looks[0].train)
    region = mine.regions[i // len(looks) % len(CROWDS)]
    of = region[mine.real]
    share = _sizes(of, region.max() + 1) / len(of)
    order = rng.permutation(len(share))
    gone = order[: 1 + int(np.searchsorted(np.cumsum(share[order]), power.GROUP))]
    kept = ~np.isin(of, gone)
    if not kept.any():
        return np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
    parts = []
    for seen in looks if len(looks) == 1 else (x for x in looks if x is not mine):
        for other in seen.regions:
            held = _sizes(other, other.max() + 1)
            big = held >= FEWEST
            everything, left = (_sizes(other[x], len(held)) / len(x) for x in (seen.real, seen.real[kept]))
            parts.append((everything[big], left[big], held[big]))
    everything, left, held = (np.concatenate([p[j] for p in parts]) for j in range(3))
    few = np.flatnonzero(left < ABSENT * np.minimum(everything, held / t))
    clear = few[np.argsort((left - everything)[few] / np.sqrt(everything[few]), kind="stable")[:CLEAREST]]
    return everything[clear], left[clear], held[clear]


def _apart(found: list[tuple[float, np.ndarray, Mode]], t: int) -> list[Mode]:
    """Those that share less than half of their records with one that more are missing from."""
    kept: list[Mode] = []
    taken = np.zeros(t, bool)
    for _, rows, mode in sorted(found, key=lambda f: f[0]):
        if taken[rows].mean() < 0.5:
            kept.append(mode)
            taken[rows] = True
    return kept
