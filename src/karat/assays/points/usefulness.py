"""Whether what was made teaches what real data teaches, to a learner that sees the records themselves.

The learner is ridge regression on fixed random features of the records' principal components: closed form, so that the
same rows always give the same accuracy and many controls cost little. TSTR, TRTR: https://arxiv.org/abs/1706.02633.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from karat.assays import power
from karat.assays.chance import LEVEL, limit_of, wilson
from karat.assays.details.records import Lift, Usefulness
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.points.points import Case
from karat.words import said

FINDS = ("usefulness", "lift")
WIDTH = 512
ROUNDS = 8


@dataclass(frozen=True)
class RidgeStatistics:
    """What ridge regression needs: Gram matrix [w, w], products with one-hot labels [w, classes]; of two sets, the sums."""

    gram: Tensor
    products: Tensor

    def __add__(self, other: RidgeStatistics) -> RidgeStatistics:
        return RidgeStatistics(self.gram + other.gram, self.products + other.products)

    def weights(self) -> Tensor:
        """Weights [w, classes]."""
        ridge = 1e-3 * self.gram.diagonal().mean() * torch.eye(len(self.gram), dtype=self.gram.dtype)
        weights: Tensor = torch.linalg.solve(self.gram + ridge, self.products)
        return weights


def ridge_statistics(features: Tensor, labels: Tensor, classes: int) -> RidgeStatistics:
    return RidgeStatistics(features.T @ features, features.T @ F.one_hot(labels, classes).to(features.dtype))


def right(weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Per test record [n], whether the learner names its class."""
    return ((features @ weights).argmax(1) == labels).double()


def findings(case: Case) -> list[Finding]:
    """Usefulness (TSTR over TRTR accuracy) and lift; none where the real data has no labels."""
    train, unseen, made, pixels, classes = case.train, case.unseen, case.made, case.pixels, case.classes
    given = made.labels is not None
    if train.labels is None or unseen.labels is None or len(classes) < 2 or (not given and made.read is None):
        return []
    labels = made.labels
    if labels is None:
        assert made.read is not None
        labels = made.read.argmax(1)
    rng = torch.Generator().manual_seed(case.seed)
    expand = random_features(pixels.of(train.points[:5000]), WIDTH, rng)
    t, u, m = (expand(pixels.of(side.points)) for side in (train, unseen, made))
    whose = "" if given else said(" (its labels were read by the judge)")
    return usefulness_and_lift(t, train.labels, u, unseen.labels, m, labels, len(classes), whose, rng)


def random_features(components: Tensor, width: int, rng: torch.Generator) -> Callable[[Tensor], Tensor]:
    """What makes of principal components [n, k] features [n, width + 1], fixed random ones and a 1; by the spread of these."""
    scale = components.std(0).clamp_min(1e-3)
    inner = torch.randn(len(scale), width, generator=rng) / math.sqrt(len(scale))
    offset = torch.randn(width, generator=rng) / 2
    tilt = scale / scale[0] + 0.1  # between raw and whitened: leading components count more

    def expand(components: Tensor) -> Tensor:
        z = components / scale * tilt / tilt.square().mean().sqrt()
        return F.pad(F.relu(z @ inner + offset), (0, 1), value=1.0)

    return expand


def usefulness_and_lift(
    t: Tensor, ty: Tensor, u: Tensor, uy: Tensor, m: Tensor, my: Tensor, k: int, whose: str, rng: torch.Generator
) -> list[Finding]:
    """Usefulness and lift for features [n, d] and labels [n] of training, unseen and made records.

    k: how many classes.   whose: what to say of the made ones' labels where they were not given, else "".
    """
    ratio = _ratio(t, ty, u, uy, m, my, k, whose, rng)
    return [ratio, _lift(t, ty, u, uy, m, my, k, whose, rng)]


def _ratio(
    t: Tensor, ty: Tensor, u: Tensor, uy: Tensor, m: Tensor, my: Tensor, k: int, whose: str, rng: torch.Generator
) -> Finding:
    n = min(len(m), len(u) // 2, len(t))
    made, fair, null = [], [], []
    for _ in range(ROUNDS):
        pick = torch.randperm(len(u), generator=rng)
        test, stand_in = pick[n:][:5000], pick[:n]
        a, b = torch.randperm(len(t), generator=rng)[:n], torch.randperm(len(m), generator=rng)[:n]
        real, unseen, new = (
            float(right(ridge_statistics(x, y, k).weights(), u[test], uy[test]).mean())
            for x, y in ((t[a], ty[a]), (u[stand_in], uy[stand_in]), (m[b], my[b]))
        )
        fair.append(real)
        made.append(new)
        null.append(unseen / max(real, 1 / k))  # who learned less than guessing taught nothing
    spread = torch.tensor(null, dtype=torch.float64)
    trtr, tstr = sum(fair) / ROUNDS, sum(made) / ROUNDS
    accuracy = max(trtr, 1 / k)
    value, real = tstr / accuracy, float(spread.mean())
    tests = len(u) - n
    p = (trtr * tests + 1) / (tests + 2)  # ten of ten records named rightly do not say that it is never wrong
    error = max(float(spread.std()) * math.sqrt(1.5), math.sqrt(2 * p * (1 - p) / tests) / 2)
    low, high = (edge / accuracy for edge in wilson(round(tstr * tests), tests))
    s = Score(value, low, high, real, error)
    summary = said(
        "A classifier trained on {n} made records{whose} is right about {tstr:.1%} of unseen real ones; "
        "trained on as many real ones, {trtr:.1%}.",
        n=n,
        whose=whose,
        tstr=tstr,
        trtr=trtr,
    )
    by = "read by the judge" if whose else "given"
    detail = Usefulness(tstr=tstr, trtr=trtr, gap=trtr - tstr, n=n, labels=by)
    samples = power.scored("usefulness", s.error, len(m), len(u), max(s.real - 1 / k / accuracy, 1e-3), beyond=0.02)
    return scored("usefulness", s, limit_of("usefulness", s, 0.02), summary, detail=detail, samples=samples)


def _lift(
    t: Tensor, ty: Tensor, u: Tensor, uy: Tensor, m: Tensor, my: Tensor, k: int, whose: str, rng: torch.Generator
) -> Finding:
    half = len(u) // 2
    base = ridge_statistics(t, ty, k)

    def against(x: Tensor, y: Tensor, test: slice) -> tuple[float, float]:
        """Mean and standard error of the accuracy gained over duplicates of real rows in equal number."""
        with_it = right((base + ridge_statistics(x, y, k)).weights(), u[test], uy[test])
        controls = []
        for _ in range(2):
            again = torch.randint(len(t), (len(x),), generator=rng)
            controls.append(right((base + ridge_statistics(t[again], ty[again], k)).weights(), u[test], uy[test]))
        gain = with_it - torch.stack(controls).mean(0)
        return float(gain.mean()), max(float(gain.std()) / math.sqrt(len(gain)), 0.5 / len(gain))

    value, error = against(m, my, slice(None))
    real, _ = against(u[:half], uy[:half], slice(half, None))
    found = value > 3 * error and value > 0.002
    limit = Limit(below=-max(LEVEL * error, 0.01))
    score = Score(value, value - 1.96 * error, value + 1.96 * error, real, error)
    verdict = said("a gain") if found else said("a loss") if limit.broken(value) else said("no gain beyond chance")
    summary = said(
        "Added to all {n_t} real training records, what was made{whose} changes a classifier's accuracy "
        "by {value:+.2f} points against duplicates of real records: {verdict}.",
        n_t=len(t),
        whose=whose,
        value=100 * value,
        verdict=verdict,
    )
    detail = Lift(found=found, n=len(m), standard_error=error, labels="read by the judge" if whose else "given")
    samples = power.scored("lift", error, len(m), len(u), beyond=0.01)
    return scored("lift", score, limit, summary, detail=detail, samples=samples)
