"""The best share of what is made, by how likely a classifier takes each record for a real one.

The classifier is the assay's two-sample test (`assays.classifier`). It learns from training records, never from those set
aside, and from records that were made for it alone and are not kept; where it draws the line is told by others of both, so
that it judges no record that it learned from. What is kept lies nearer to the real records (precision), and spreads less
(coverage).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from karat.assays.classifier import Scorer, area, boosted, discriminant, logistic
from karat.assays.encoder import open_extractor
from karat.assays.neighbours import distances
from karat.assays.points.diversity import coverage
from karat.assays.points.fidelity import precision, radii
from karat.assays.table.learning import features
from karat.assays.text.counts import Counts
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.errors import FitError
from karat.views import Points, TableView, TextView, View

MADE = (400, 2000)  # records that are made for the classifier, at least and at most
TELLS = 0.55  # area below which a choice by the classifier is hardly one
FEW = 40  # of a class, below which it is ranked among all
EXTRACTED = 60_000  # training records that the encoder learns from
OTHER = 7_000_003  # beyond the seed: the encoder is another one than the judge's


class _Rows:
    def __init__(self, real: TableView, made: TableView, fingerprint: str, seed: int) -> None:
        self.seen, self.seed = features((real, made)), seed

    def of(self, view: TableView) -> tuple[Any, np.ndarray]:
        return self.seen.of(view), np.zeros(len(view), np.int64)

    def learned(self, x: Any, y: np.ndarray) -> Scorer:
        return boosted(self.seen.categorical, self.seed)(x, y)


class _Texts:
    def __init__(self, real: TextView, made: TextView, fingerprint: str, seed: int) -> None:
        self.seen, self.seed = Counts(real), seed

    def of(self, view: TextView) -> tuple[Any, np.ndarray]:
        return self.seen.of(view), np.zeros(len(view), np.int64)

    def learned(self, x: Any, y: np.ndarray) -> Scorer:
        return logistic(self.seed)(x, y)


class _Looks:
    def __init__(self, real: Points, made: Points, fingerprint: str, seed: int) -> None:
        labels = None if real.labels is None else real.labels[:EXTRACTED]
        self.seen = open_extractor(
            real.points[:EXTRACTED], labels, len(real.classes), fingerprint=fingerprint, seed=seed + OTHER
        )

    def of(self, view: Points) -> tuple[Any, np.ndarray]:
        x, read = self.seen.embed(view.points)
        return x.numpy(), np.zeros(len(x), np.int64) if read is None else read.argmax(1).numpy()

    def learned(self, x: Any, y: np.ndarray) -> Scorer:
        return discriminant(x, y)


SEEN: Mapping[type, Any] = {TableView: _Rows, TextView: _Texts, Points: _Looks}


class Ranking(Gate):
    """auc: by which the classifier told made from real records that it had not learned from."""

    name = "ranking"

    def __init__(self, real: View, made: Sequence[View], share: float, fingerprint: str, seed: int) -> None:
        """real: training records.   made: of the same generator, for this alone.   share: of the candidates that is kept."""
        if type(real) not in SEEN:
            raise FitError("--keep is for pictures, sounds, text and single tables; leave it out.")
        rng, count = np.random.default_rng([seed, 21]), sum(map(len, made))
        some = real.take(np.sort(rng.permutation(len(real))[:count]))
        self.share, self.seen = share, SEEN[type(real)](real, made[0], fingerprint, seed)
        x, (rows, groups) = self.seen.of(some)[0], zip(*map(self.seen.of, made), strict=True)
        z, group = _stacked(*rows), np.concatenate(groups)
        a, b = (rng.permutation(n) % 2 == 0 for n in (len(some), count))
        self.score = self.seen.learned(_stacked(x[a], z[b]), np.arange(int(a.sum() + b.sum())) < a.sum())
        mine, theirs = self.score(z[~b]), self.score(x[~a])
        self.auc = area(np.concatenate([theirs, mine]), np.arange(len(theirs) + len(mine)) < len(theirs))
        self.bars = {-1: float(np.quantile(mine, 1 - share))}
        for k in np.unique(group[~b]):
            of = mine[group[~b] == k]
            if len(of) >= FEW:
                self.bars[int(k)] = float(np.quantile(of, 1 - share))
        best = mine >= self._bar(group[~b])
        self.change = _change(x[~a], z[~b], best) if SEEN[type(real)] is _Looks else ""

    def reasons(self, some: Candidates) -> Reasons:
        x, group = self.seen.of(some.view)
        return flagged(self.score(x) < self._bar(group), f"ranked below the best {self.share:.0%}")

    def _bar(self, group: np.ndarray) -> np.ndarray:
        return np.array([self.bars.get(int(k), self.bars[-1]) for k in group])

    def note(self) -> str:
        if self.auc < TELLS:
            return (
                f"--keep: a classifier picks the real one of a made and a real record {self.auc:.0%} of the time (50% is "
                "guessing), so what was kept is hardly better than what was dropped"
            )
        return (
            f"kept the best {self.share:.0%} of each class by a classifier, which picks the real one of a made and a real record "
            f"{self.auc:.0%} of the time (50% is guessing); they are likelier real, and may be less varied{self.change}"
        )


def _change(real: np.ndarray, made: np.ndarray, best: np.ndarray) -> str:
    """How precision and coverage of made records [m, d] change beside real ones [n, d] where only the `best` are kept, in words."""
    few = int(best.sum())
    ours, kept, all_of = (torch.from_numpy(x[:few]).float() for x in (real, made[best], made))
    before, after = (
        (precision(d, radii(ours, 3)), coverage(d, radii(ours, 5)))
        for d in map(partial(distances, ours), (all_of, kept))
    )
    (a, b), (c, d) = ((float(p.mean()), q) for p, q in (before, after))
    return f"; of {few:,} that it had not learned from: precision {a:.2f} to {c:.2f}, coverage {b:.2f} to {d:.2f}"


def _stacked(*parts: Any) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.vstack(parts)
    from scipy.sparse import vstack

    return vstack(parts).tocsr()


def aside(n: int) -> int:
    """How many records are made for the classifier where `n` are wanted."""
    return min(max(n, MADE[0]), MADE[1])


def checked(share: float | None) -> float:
    """The share to keep; FitError for what is none."""
    if share is None:
        return 1.0
    if not (math.isfinite(share) and 0.02 <= share <= 1):
        raise FitError(f"--keep {share:g}: wanted a share from 0.02 to 1.")
    return share
