"""What made records are worth to somebody who can also buy real ones: the exchange rate, against controls that cost nothing.

A learner is taught parts of the real training records (the learning curve), all of them, and all of them with as many made
ones, over paired seeds. Controls take the place of the made ones: duplicates of real records (the null), classes weighted
as if they were equally common, records between neighbours of a class (SMOTE, https://arxiv.org/abs/1106.1813), and what a
view adds of its own. Several learners, since one flatters; the one counts that does best on real records alone.
All training records have to be the base: what was made may carry over what a left-out part of them teaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from karat.assays.details.records import Control, Exchange, Learned, RareRecall
from karat.assays.exchange.curve import Curve, Measured, Rate, exchange_rate, holm, parts
from karat.assays.finding import Finding, Limit, Sample, Score, scored, unknown
from karat.words import said, term

SEEDS, FEW_SEEDS = 10, 5
CHEAP = 60_000  # cells of the training records up to which all seeds are run
MOST = 100_000  # training records that learners are taught anew
GROUPS = 10  # of the test records, left out one by one
LEFT_OUT = 3  # seeds of which that is done: the test records are the same in all
FEWEST = 40  # records that a curve begins with
RARE = 0.05  # share of the rarer of two classes, at most, for recall at a fixed precision
NEIGHBOURS, AMONG = 5, 2000
SURE = 0.05

Learner = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]  # x, y, weights -> predicted for the test
Extra = Callable[[int, np.random.Generator], "Sheet"]


@dataclass(frozen=True)
class Sheet:
    """What learners see of records, x [n, d], and what they are to say of them, y [n]: classes, or numbers."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Sheet:
        return Sheet(self.x[rows], self.y[rows])

    def __add__(self, other: Sheet) -> Sheet:
        return Sheet(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]))


@dataclass(frozen=True)
class Task:
    """What is to be learned, and from what. learners predict for the records of `test`, which are as many as `truth`.

    score: of the truth and what was predicted, 1 at best.   classes: how many, 0 for numbers.   mixed: which columns of x may
    lie between two records'.   fresh: real records that nothing learned from, beside the test.   extra: further controls.
    of: what is predicted, for a person.
    """

    real: Sheet
    made: Sheet
    fresh: Sheet
    truth: np.ndarray
    learners: Mapping[str, Learner]
    score: Callable[[np.ndarray, np.ndarray], float]
    measure: str
    of: str
    classes: int
    mixed: np.ndarray
    extra: Mapping[str, Extra] = field(default_factory=dict)

    @property
    def rare(self) -> int | None:
        """The rarer of two classes where it is rare, else None."""
        if self.classes != 2:
            return None
        share = float((self.real.y == 1).mean())
        return next((k for k, s in ((1, share), (0, 1 - share)) if s <= RARE), None)


def findings(task: Task, thing: str, seed: int) -> list[Finding]:
    """The exchange rate, and where one of two classes is rare, what made records do for its recall."""
    n, m = len(task.real), min(len(task.real), len(task.made) // 2)
    limit = Limit(below=0.0, only=said("with its whole interval"))
    if n > MOST:
        why = said(
            "{n:,} training {thing}s are more than the {most:,} that a learner is taught anew",
            n=n,
            thing=term(thing),
            most=MOST,
        )
        return [unknown("exchange rate", why, limit, said("Not measured: {why}.", why=why))]
    if len(list(parts(n, FEWEST))) < 3 or m < FEWEST // 2 or len(task.truth) < FEWEST:
        needs = (Sample(n, 3 * FEWEST, "training"), Sample(len(task.made), FEWEST, "made"))
        samples = (*needs, Sample(len(task.truth), FEWEST, "unseen real"))
        return [
            unknown(
                "exchange rate", said("too few to learn from"), limit, said("Too few to learn from."), samples=samples
            )
        ]
    seeds = SEEDS if n * task.real.x.shape[1] <= CHEAP else FEW_SEEDS
    lessons = {name: _Lessons(task, learner, m, seeds, seed) for name, learner in task.learners.items()}
    best = max(lessons, key=lambda name: float(lessons[name].measured(task.score).mean[0]))
    out = [_exchange(task, lessons, best, n, m, thing, limit)]
    if task.rare is not None:
        out.append(_rare(task, lessons[best], best, thing))
    return out


class _Lessons:
    """What one learner that is taught each arm, with each seed, predicts of the test records."""

    def __init__(self, task: Task, learner: Learner, m: int, seeds: int, seed: int) -> None:
        n, real = len(task.real), task.real
        self.task, self.seeds, self.m = task, seeds, m
        self.sizes = [*parts(n, FEWEST)]
        self.shares = {"made": m / len(task.made)}
        self.predicted: dict[str, list[np.ndarray]] = {}
        self._teach(learner, "real", real)
        if task.classes:
            self._teach(learner, "class weights", real, _balanced(real.y))
        if len(task.fresh) >= n // 4:
            self._teach(learner, "fresh", real + task.fresh)
        mixer = Mixer(real, task, np.random.default_rng([seed, 83]))
        for round_ in range(seeds):
            rng = np.random.default_rng([seed, 89, round_])  # the same for each learner, so that seeds are paired
            order = rng.permutation(n)
            for size in self.sizes:
                self._teach(learner, f"real {size}", real.take(order[:size]))
            self._teach(learner, "made", real + task.made.take(rng.permutation(len(task.made))[:m]))
            self._teach(learner, "duplicates", real + real.take(rng.integers(n, size=m)))
            self._teach(learner, "interpolated", real + mixer(m, rng))
            for name, extra in task.extra.items():
                self._teach(learner, name, real + extra(m, rng))

    def _teach(self, learner: Learner, arm: str, sheet: Sheet, weights: np.ndarray | None = None) -> None:
        self.predicted.setdefault(arm, []).append(learner(sheet.x, sheet.y, weights))

    @property
    def controls(self) -> list[str]:
        """Arms without a made record, the real ones alone among them."""
        names = ("real", "duplicates", "class weights", "interpolated", *self.task.extra)
        return [name for name in names if name in self.predicted]

    def measured(self, score: Callable[[np.ndarray, np.ndarray], float]) -> Measured:
        """The arms by `score`: "real" first, then as they were taught."""
        truth, arms = self.task.truth, tuple(self.predicted)
        groups = np.arange(len(truth)) % GROUPS
        whole, left = np.zeros((self.seeds, len(arms))), np.zeros((GROUPS, len(arms)))
        for j, arm in enumerate(arms):
            every = self.predicted[arm]
            whole[:, j] = [score(truth, predicted) for predicted in every]  # one for all seeds where all are the same
            for g in range(GROUPS):
                some = groups != g
                left[g, j] = np.mean([score(truth[some], predicted[some]) for predicted in every[:LEFT_OUT]])
        shares = np.array([self.shares.get(arm, 0.0) for arm in arms])
        return Measured(arms, whole, left, shares, 0.5 / len(truth))

    def rate(self, measured: Measured, arm: str) -> Rate | None:
        """How many real records each of `m` records of an arm stands for."""
        n = len(self.task.real)
        sizes = [float(size) for size in self.sizes] + [float(n)]
        names = [f"real {size}" for size in self.sizes] + ["real"]
        if "fresh" in measured.arms:
            sizes.append(float(n + len(self.task.fresh)))
            names.append("fresh")
        half = measured.at(f"real {min(self.sizes, key=lambda size: abs(size - n / 2))}")
        luck = float(measured.scores[:, half].var(ddof=1))  # halves of n records differ as draws of n do
        return exchange_rate(Curve(np.array(sizes), tuple(names), measured, luck), arm, "real", n, self.m)


def _compare(measured: Measured, arm: str, controls: list[str]) -> list[Control]:
    """The arm beside each control: how much better it scores, with p values that are corrected for being several."""
    from scipy.stats import t

    freedom = max(len(measured.scores) - 1, 2)
    wide = float(t.ppf(0.975, freedom))
    pairs = [measured.difference(arm, control) for control in controls]
    p = [float(t.sf(gain / max(error, 1e-12), freedom)) for gain, error in pairs]
    return [
        Control(
            name=control,
            score=float(measured.mean[measured.at(control)]),
            gain=gain,
            low=gain - wide * error,
            high=gain + wide * error,
            p=corrected,
        )
        for control, (gain, error), corrected in zip(controls, pairs, holm(p), strict=True)
    ]


def _exchange(
    task: Task, lessons: Mapping[str, _Lessons], best: str, n: int, m: int, thing: str, limit: Limit
) -> Finding:
    learned: dict[str, Learned] = {}
    rates: dict[str, Rate | None] = {}
    for name, taught in lessons.items():
        measured = taught.measured(task.score)
        rate = rates[name] = taught.rate(measured, "made")
        learned[name] = Learned(
            rate=math.nan if rate is None else rate.value,
            low=-math.inf if rate is None else rate.low,
            high=math.inf if rate is None else rate.high,
            score=float(measured.mean[measured.at("made")]),
            sizes=(*map(float, taught.sizes), float(n)),
            real=tuple(float(measured.mean[measured.at(a)]) for a in (*(f"real {s}" for s in taught.sizes), "real")),
            controls=tuple(_compare(measured, "made", taught.controls)),
        )
    mine, rate = learned[best], rates[best]
    beats = all(control.p < SURE for control in mine.controls)
    detail = Exchange(
        of=task.of,
        measure=task.measure,
        learner=best,
        n=n,
        m=m,
        seeds=lessons[best].seeds,
        beats=beats,
        learners=learned,
    )
    rival = max(mine.controls, key=lambda control: control.score)
    beside = "" if beats or rival.name == "real" else said("; {name} alone would do as well", name=term(rival.name))
    if rate is None or math.isinf(rate.value):
        return _no_rate(task, thing, limit, rate, detail)
    summary = said(
        "Added to all {n:,} real training {thing}s, each of {m:,} made ones stands for {value:.2f} new "
        "real ones ({low:.2f} to {high:.2f}) to {best} that predict {of}{beside}.",
        n=n,
        thing=term(thing),
        m=m,
        value=rate.value,
        low=rate.low,
        high=rate.high,
        best=term(best),
        of=task.of,
        beside=beside,
    )
    score = Score(rate.value, rate.low, rate.high, 1.0, math.nan)
    return scored("exchange rate", score, limit, summary, detail=detail, raised=rate.high < 0)


def _no_rate(task: Task, thing: str, limit: Limit, rate: Rate | None, detail: Exchange) -> Finding:
    """Where the learning curve tells none, and on which side it ends."""
    if rate is None:
        why = said(
            "more real {thing}s teach no more of {of} for certain, so that there is no rate to be had",
            thing=term(thing),
            of=task.of,
        )
        return unknown("exchange rate", why, limit, said("Not measured: {why}.", why=why), detail=detail)
    if rate.value > 0:
        why = said("made {thing}s teach more of {of} than the learning curve reaches", thing=term(thing), of=task.of)
    else:
        why = said("made {thing}s teach less of {of} than the learning curve reaches", thing=term(thing), of=task.of)
    summary = said("Outside the range of the curve: {why}.", why=why)
    if rate.value > 0 and math.isfinite(rate.low):
        summary += said(" At least {low:.2f} real ones each.", low=rate.low)
    return unknown("exchange rate", why, limit, summary, detail=detail)


def _rare(task: Task, taught: _Lessons, learner: str, thing: str) -> Finding:
    """Recall of the rare class at the precision that real records alone reach at half of it, beside the best control."""
    rare = task.rare
    assert rare is not None
    positive = task.truth == rare
    precision = precision_at_half(positive, taught.predicted["real"][0][:, rare])
    measured = taught.measured(lambda truth, predicted: recall_at(truth == rare, predicted[:, rare], precision))
    controls = _compare(measured, "made", taught.controls)
    rival = max(controls, key=lambda control: control.score)
    made = float(measured.mean[measured.at("made")])
    detail = RareRecall(
        of=task.of,
        learner=learner,
        positives=int(positive.sum()),
        precision=precision,
        recall=made,
        beats=all(control.p < SURE for control in controls),
        controls=tuple(controls),
    )
    summary = said(
        "At a precision of {precision:.2f}, {learner} that are taught made {thing}s besides find "
        "{made:.1%} of the rare class of {of}; the best that costs nothing ({name}), {score:.1%}.",
        precision=precision,
        learner=term(learner),
        thing=term(thing),
        made=made,
        of=task.of,
        name=term(rival.name),
        score=rival.score,
    )
    score = Score(rival.gain, rival.low, rival.high, 0.0, math.nan)
    limit = Limit(below=0.0, only=said("with its whole interval"))
    beside = f"the best control, {rival.name}"
    return scored("rare recall", score, limit, summary, detail=detail, raised=rival.high < 0, beside=beside)


def precision_at_half(positive: np.ndarray, score: np.ndarray) -> float:
    """The precision at the threshold that half of the positive records pass."""
    passed = score >= np.median(score[positive])
    return float(positive[passed].mean())


def recall_at(positive: np.ndarray, score: np.ndarray, precision: float) -> float:
    """The most of the positive records that any threshold finds with at least this precision."""
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(positive[order])
    last = np.append(np.diff(score[order]) != 0, True)  # of equal scores a threshold takes all
    fine = last & (found >= precision * np.arange(1, len(score) + 1))
    return float(found[fine].max() / max(positive.sum(), 1)) if fine.any() else 0.0


class Mixer:
    """Records between a record and one of its nearest neighbours of the same class; of a rare class alone, to equal numbers."""

    def __init__(self, real: Sheet, task: Task, rng: np.random.Generator) -> None:
        self.real, self.task = real, task
        self.rare = task.rare
        pool = np.arange(len(real)) if self.rare is None else np.flatnonzero(real.y == self.rare)
        x = known(real.x)
        scale = np.nanstd(x, axis=0)
        z = np.nan_to_num((x - np.nanmean(x, axis=0)) / np.where(scale > 0, scale, 1))
        self.pool = rng.permutation(pool)[:AMONG]
        self.near = _neighbours(z[self.pool], real.y[self.pool] if task.classes else np.zeros(len(self.pool)))

    def __call__(self, m: int, rng: np.random.Generator) -> Sheet:
        if self.rare is not None:
            m = max(1, len(self.real) - 2 * int((self.real.y == self.rare).sum()))
        first = rng.integers(len(self.pool), size=m)
        second = self.near[first, rng.integers(self.near.shape[1], size=m)]
        a, b = self.real.take(self.pool[first]), self.real.take(self.pool[second])
        at = rng.random((m, 1))
        between = np.where(np.isnan(b.x), a.x, a.x + at * (b.x - a.x))
        x = np.where(self.task.mixed, between, np.where(at < 0.5, a.x, b.x))
        return Sheet(x, a.y if self.task.classes else a.y + at[:, 0] * (b.y - a.y))


def known(x: np.ndarray) -> np.ndarray:
    """The same with columns of 0 where nothing is known, of which there is no mean."""
    return np.where(np.isnan(x).all(0), 0.0, x)


def _neighbours(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The nearest records of the same class [n, k]; a record stands for itself where it has none."""
    square = (z**2).sum(1)
    out = np.tile(np.arange(len(z))[:, None], (1, NEIGHBOURS))
    for k in np.unique(y[~np.isnan(y)]):
        rows = np.flatnonzero(y == k)
        far = square[rows, None] + square[rows] - 2 * z[rows] @ z[rows].T
        np.fill_diagonal(far, np.inf)
        few = min(NEIGHBOURS, len(rows) - 1)
        if few > 0:
            near = np.argpartition(far, few - 1, axis=1)[:, :few]
            out[rows] = rows[near[:, np.arange(NEIGHBOURS) % few]]
    return out


def _balanced(y: np.ndarray) -> np.ndarray:
    """Weights by which all classes count the same, 1 on average."""
    classes, counts = np.unique(y, return_counts=True)
    weight = len(y) / (len(classes) * counts)
    balanced: np.ndarray = weight[np.searchsorted(classes, y)]
    return balanced


def ridge(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, test: np.ndarray, classes: int) -> np.ndarray:
    """Ridge regression in closed form: predictions [t] of numbers, or scores [t, classes]. x, test: with a column of ones."""
    goal = np.eye(classes)[y.astype(np.int64)] if classes else y[:, None]
    left = x.T if weights is None else x.T * weights
    gram = left @ x
    gram[np.diag_indices_from(gram)] += 1e-3 * np.trace(gram) / len(gram)
    out: np.ndarray = test @ np.linalg.solve(gram, left @ goal)
    return out if classes else out[:, 0]
