"""A gate that a person teaches: a folder with what may leave in `good` and what may not in `bad`.

Logistic regression on counts of strings, of pictures and sounds on their leading components. Where it draws the line is told by
files that it did not learn from: as many of the good ones as `ALLOWED` may be dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from karat.assays.chance import wilson
from karat.assays.classifier import logistic
from karat.assays.neighbours import components
from karat.assays.text.counts import Counts
from karat.content.codec import Codec
from karat.curation.copies.bars import RECALL, bar_of
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.errors import DataError, FitError
from karat.views import Points, TextView

GOOD, BAD = "good", "bad"
ALLOWED = 0.01  # of good records that may be dropped
FOLDS = 5
FEWEST = 20  # of each
COMPONENTS = 64


class _Strings:
    @staticmethod
    def both(good: TextView, bad: TextView) -> TextView:
        return TextView(good.texts + bad.texts)

    def __init__(self, known: TextView) -> None:
        self.counts = Counts(known)

    def of(self, view: TextView) -> Any:
        return self.counts.of(view)


class _Looks:
    @staticmethod
    def both(good: Points, bad: Points) -> Points:
        return Points(torch.cat([good.points, bad.points]), good.axes)

    def __init__(self, known: Points) -> None:
        flat = known.points.flatten(1).float()
        self.basis = components(flat, COMPONENTS)
        lifted = self._lifted(flat)
        self.mean, self.spread = lifted.mean(0), lifted.std(0).clamp_min(1e-6)

    def of(self, view: Points) -> np.ndarray:
        return np.asarray(
            ((self._lifted(view.points.flatten(1).float()) - self.mean) / self.spread).clamp(-9, 9).numpy()
        )

    def _lifted(self, flat: torch.Tensor) -> torch.Tensor:
        within = self.basis.of(flat)
        return torch.cat([within, within.abs(), flat.mean(1, keepdim=True), flat.std(1, keepdim=True)], 1)


FEATURES: dict[type, Any] = {TextView: _Strings, Points: _Looks}


class Learned(Gate):
    """recall, false: of bad and good files that were not learned from, how many are dropped, of how many."""

    name = "labelled files"

    def __init__(self, codec: Codec, folder: Path, seed: int = 0) -> None:
        good, bad = (_read(codec, folder / side) for side in (GOOD, BAD))
        self.called, kind = folder.name, type(good)
        if kind not in FEATURES:
            raise FitError(
                f"--gate {folder}: {codec.name} content is not learned from files; give a function of your own."
            )
        both = FEATURES[kind].both(good, bad)
        self.features = FEATURES[kind](both)
        x, y = self.features.of(both), np.arange(len(both)) >= len(good)
        fold = np.random.default_rng([seed, 17]).permutation(len(both)) % FOLDS
        apart = np.zeros(len(both))
        for k in range(FOLDS):
            apart[fold == k] = logistic(seed)(x[fold != k], y[fold != k])(x[fold == k])
        self.bar = bar_of(apart[~y], ALLOWED) if (~y).sum() >= 1 / ALLOWED else float(apart[~y].max())
        self.recall, self.false = ((int((apart[side] > self.bar).sum()), int(side.sum())) for side in (y, ~y))
        self.score = logistic(seed)(x, y)

    def reasons(self, some: Candidates) -> Reasons:
        return flagged(self.score(self.features.of(some.view)) > self.bar, f"like the bad files of {self.called}")

    def note(self) -> str:
        told, missed = [], []
        for (k, n), what in ((self.recall, "bad"), (self.false, "good")):
            low, high = wilson(k, n)
            told.append(f"{k} of {n} {what} ones ({low:.1%} to {high:.1%})")
        if self.recall[0] < RECALL * self.recall[1]:
            missed.append(f"{RECALL:.0%} of the bad ones dropped")
        if self.false[0] > ALLOWED * self.false[1]:
            missed.append(f"at most {ALLOWED:.0%} of the good ones")
        return (
            f"of the files of {self.called}, when it had not learned from them, the gate dropped {' and '.join(told)}"
            + (f"; missed: {' and '.join(missed)}" if missed else "")
        )


def _read(codec: Codec, folder: Path) -> Any:
    if not folder.is_dir():
        raise FitError(f"{folder} is no folder; --gate FOLDER wants files that may leave in good/ and others in bad/.")
    contents = type(codec).read(folder, codec.alike())
    if len(contents.records) < FEWEST:
        raise DataError(f"{folder} holds {len(contents.records)} {codec.thing}s; a gate learns from {FEWEST} or more.")
    return codec.view(codec.conform(contents.records))
