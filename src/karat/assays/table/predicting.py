"""Whether rows that were made teach a learner what real rows teach him.

TSTR, TRTR: https://arxiv.org/abs/1706.02633.
"""

from __future__ import annotations

import math

import numpy as np

from karat.assays import power
from karat.assays.chance import LEVEL, limit_of
from karat.assays.details.records import Learner, Lift, Predicted, Usefulness
from karat.assays.finding import Finding, Limit, Sample, Score, scored, unknown
from karat.assays.table.learning import Features, Target, features, fit_predict, target_of
from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import said

FINDS = ("usefulness", "lift")
ROUNDS = 3
ROWS = 10_000  # that a learner is taught by, of each kind
CELLS = 300_000  # rows times columns that a learner is taught by
OTHERS = 8  # other columns that are predicted as well
OTHER_ROWS = 1500
TEACHABLE = 0.02  # above the score of a guess, before rows teach anything
ENOUGH = 500  # training rows that teach nothing before nothing can be taught
REPEATS = 40  # of the test rows, for the error of a difference


class PredictionTask:
    """One target column, what learners see of the others, and the unseen rows that they are examined on."""

    def __init__(self, featurizer: Features, target: Target, unseen: TableView) -> None:
        self.featurizer, self.target = featurizer, target
        self.flags = featurizer.flags(target.column)
        truth = target.of(unseen)
        self.there = np.flatnonzero(~np.isnan(truth))
        self.truth = truth[self.there]
        self.test = featurizer.of(unseen.take(self.there), target.column)

    def predictions(self, learner: str, seed: int, *sheets: TableView) -> np.ndarray:
        """What a learner that is trained on all of `sheets` predicts for the test rows."""
        x = np.vstack([self.featurizer.of(s, self.target.column) for s in sheets])
        y = np.concatenate([self.target.of(s) for s in sheets])
        return fit_predict(self.target, x, y, self.test, self.flags, learner, seed)

    def score(self, predicted: np.ndarray, rows: np.ndarray) -> float:
        return self.target.score(self.truth[rows], predicted[rows])

    def worth(self, predicted: np.ndarray, rows: np.ndarray) -> float:
        """The score of a learner whom one may leave unasked: an R2 below 0 is as useless as one of 0."""
        return max(0.0, self.score(predicted, rows))

    def spread(self, a: np.ndarray, b: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> float:
        """Standard error of the difference of two scores on the same test `rows`, by the bootstrap."""
        gaps = []
        for _ in range(REPEATS):
            some = rows[rng.integers(len(rows), size=len(rows))]
            gaps.append(self.score(a, some) - self.score(b, some))
        return float(np.std(gaps, ddof=1))


def findings(case: Case) -> list[Finding]:
    """Usefulness and lift for the target, or for the column that real rows teach best; none where nothing can be taught."""
    train, unseen, made, target, seed = case.train, case.unseen, case.made, case.target, case.seed
    featurizer = features((train, unseen, made), CELLS // 100)
    rng = np.random.default_rng([seed, 41])
    wanted = None if target is None else train.names.index(target)
    others = _others(featurizer, train, unseen, made, wanted, seed)
    if wanted is None:
        wanted = _best(others, train)
        if wanted is None:
            return []
    goal = target_of(train, wanted)
    if goal is None or len(featurizer.columns) < 2:
        return []
    task = PredictionTask(featurizer, goal, unseen)
    if len(task.there) < 10:
        return []
    most = int(np.clip(CELLS // len(featurizer.columns), 200, ROWS))
    return [
        ratio(task, train, unseen, made, others, most, rng, seed),
        _lift(task, train, unseen, made, most, rng, seed),
    ]


def best_taught(featurizer: Features, case: Case) -> int | None:
    """The column that real rows teach best, of those that are looked at; None where they teach none."""
    return _best(_others(featurizer, case.train, case.unseen, case.made, None, case.seed), case.train)


def _best(others: list[Predicted], train: TableView) -> int | None:
    able = [o for o in others if o.above_chance > 0.05]
    return train.names.index(max(able, key=lambda o: o.above_chance).column) if able else None


def _others(
    featurizer: Features, train: TableView, unseen: TableView, made: TableView, wanted: int | None, seed: int
) -> list[Predicted]:
    """How well a forest taught by made and by real rows predicts up to `OTHERS` columns besides the target."""
    out: list[Predicted] = []
    n = min(len(train), len(made), OTHER_ROWS)
    columns = [j for j in featurizer.columns if j != wanted]
    for j in columns[:: max(1, math.ceil(len(columns) / OTHERS))]:
        goal = target_of(train, j)
        if goal is None or len(featurizer.columns) < 2:
            continue
        task = PredictionTask(featurizer, goal, unseen.take(np.arange(min(len(unseen), OTHER_ROWS))))
        if len(task.there) < 10:
            continue
        every = np.arange(len(task.there))
        rows = np.arange(n)
        tstr, trtr = (task.score(task.predictions("forest", seed, s.take(rows)), every) for s in (made, train))
        above = (trtr - goal.floor) / (1 - goal.floor)
        out.append(Predicted(column=train.names[j], measure=goal.measure, tstr=tstr, trtr=trtr, above_chance=above))
    return out


def ratio(
    task: PredictionTask,
    train: TableView,
    unseen: TableView,
    made: TableView,
    others: list[Predicted],
    most: int,
    rng: np.random.Generator,
    seed: int,
) -> Finding:
    """Usefulness: what made rows teach of the target, in parts of what as many training rows do."""
    n = min(len(made), len(unseen) // 2, len(train), most)
    fair, own, null, error = _rounds(task, train, unseen, made, n, rng, seed)
    trtr, tstr, stand = (sum(x) / ROUNDS for x in (fair, own, null))
    goal, name = task.target, train.names[task.target.column]
    span = max(trtr, goal.floor + TEACHABLE)  # what hardly more than guesses are divided by says nothing
    moved = float(np.std(np.array(null) - np.array(fair), ddof=1))
    error = max(error, moved, 0.5 / len(task.there)) / span
    s = Score(tstr / span, tstr / span - 1.96 * error, tstr / span + 1.96 * error, stand / span, error)
    boosting = Learner(tstr=tstr, trtr=trtr, unseen=stand)
    summary = said(
        "Boosted trees trained on {n} made rows predict {name} of unseen real ones with {measure} "
        "{tstr:.3f}; trained on as many training rows, {trtr:.3f}; on unseen real ones, {stand:.3f}.",
        n=n,
        name=name,
        measure=goal.measure,
        tstr=tstr,
        trtr=trtr,
        stand=stand,
    )
    detail = Usefulness(
        target=name,
        measure=goal.measure,
        tstr=tstr,
        trtr=trtr,
        gap=trtr - tstr,
        n=n,
        z=s.z,
        chance=goal.floor / span,
        learners={"boosting": boosting, **_other_learners(task, train, made, n, most, seed)},
        others=tuple(others),
    )
    lost = max(s.real - goal.floor / span, 1e-3)
    samples = power.scored("usefulness", s.error, len(made), len(unseen), lost, beyond=0.02)
    teachable = trtr - goal.floor > TEACHABLE
    if not teachable or any(x.short for x in samples):
        samples = _wanted(task, train, made, unseen, error * span, most, seed)
    if teachable:
        return scored("usefulness", s, limit_of("usefulness", s, 0.02), summary, detail=detail, samples=samples)
    # a ratio to what is hardly taught is no fault at any value
    limit = Limit(also=said("where real rows teach {name} and made ones do not", name=name))
    summary += said(
        " A guess scores {floor:g}: {n} real rows teach no more than that, so that made ones have nothing to lose.",
        floor=goal.floor,
        n=n,
    )
    if any(x.short for x in samples):  # a ratio to what was not taught says nothing, and more rows may teach it
        why = said("{n} real rows teach boosted trees no more of {name} than a guess", n=n, name=name)
        return unknown("usefulness", why, limit, summary, detail=detail, samples=samples)
    return scored("usefulness", s, limit, summary, detail=detail, samples=samples)


def _rounds(
    task: PredictionTask,
    train: TableView,
    unseen: TableView,
    made: TableView,
    n: int,
    rng: np.random.Generator,
    seed: int,
) -> tuple[list[float], list[float], list[float], float]:
    """In each round what `n` training, made and unseen rows teach of other unseen ones; and the error of the made score."""
    tests = len(task.there)
    fair, own, null = list[float](), list[float](), list[float]()
    error = 0.0
    for round_ in range(ROUNDS):
        pick = rng.permutation(tests)
        stand_in, rows = task.there[pick[: tests // 2]][:n], pick[tests // 2 :]
        real, new, fresh = (
            task.predictions("boosting", seed + round_, side)
            for side in (
                train.take(rng.permutation(len(train))[:n]),
                made.take(rng.permutation(len(made))[:n]),
                unseen.take(stand_in),
            )
        )
        a, b, c = (task.worth(predicted, rows) for predicted in (real, new, fresh))
        fair.append(a)
        own.append(b)
        null.append(c)
        if round_ == 0:
            error = task.spread(new, real, rows, rng)  # of the scores as they are: those at 0 do not vary
    return fair, own, null, error


def _other_learners(
    task: PredictionTask, train: TableView, made: TableView, n: int, most: int, seed: int
) -> dict[str, Learner]:
    """Scores of another learner, and of the same one taught by all rows."""
    every, first = np.arange(len(task.there)), np.arange(min(n, OTHER_ROWS))
    forest = [task.score(task.predictions("forest", seed, x.take(first)), every) for x in (made, train)]
    out = {"forest": Learner(tstr=forest[0], trtr=forest[1])}
    whole = min(len(train), len(made), most)
    if whole > n:
        full = [task.score(task.predictions("boosting", seed, x.take(np.arange(whole))), every) for x in (made, train)]
        out[f"boosting, {whole} rows"] = Learner(tstr=full[0], trtr=full[1])
    return out


def _wanted(
    task: PredictionTask, train: TableView, made: TableView, unseen: TableView, error: float, most: int, seed: int
) -> tuple[Sample, ...]:
    """What usefulness needs where so few rows teach too little to see it lost, by what all training rows teach.

    error: of the difference of two scores.
    """
    goal = task.target
    some = train.take(np.arange(min(len(train), most)))
    score = task.score(task.predictions("boosting", seed, some), np.arange(len(task.there)))
    if score - goal.floor <= TEACHABLE:
        # real rows do not teach it either: nothing is lost that was there, if they are enough to say so
        return (Sample(len(train), ENOUGH, "training"),)
    samples = power.scored("usefulness", error, len(made), len(unseen), score - goal.floor)
    if any(x.short for x in samples):
        return samples
    # they would be enough if so few taught as well: half of the unseen ones teach in the place of the made ones
    if len(made) < len(unseen) // 2:
        return (Sample(len(made), 2 * len(made), "made"),)
    return (Sample(len(unseen), 2 * len(unseen), "unseen real"),)


def _lift(
    task: PredictionTask,
    train: TableView,
    unseen: TableView,
    made: TableView,
    most: int,
    rng: np.random.Generator,
    seed: int,
) -> Finding:
    base = train.take(rng.permutation(len(train))[:most])
    extra = made.take(np.arange(min(len(made), most)))
    tests = len(task.there)
    half = np.arange(tests // 2)
    fresh = unseen.take(task.there[tests // 2 :][:most])

    def gained(addition: TableView, rows: np.ndarray, controls: int) -> tuple[float, float]:
        """The score gained over duplicates of real rows in equal number, and its standard error."""
        predicted = task.predictions("boosting", seed, base, addition)
        again = [
            task.predictions("boosting", seed, base, base.take(rng.integers(len(base), size=len(addition))))
            for _ in range(controls)
        ]
        scores = [task.score(x, rows) for x in again]
        # a learner moves by itself as well as with the test rows: about as much as two controls differ
        moved = abs(scores[0] - scores[-1]) / 2 if controls > 1 else 0.0
        error = math.hypot(task.spread(predicted, again[0], rows, rng), moved)
        return task.score(predicted, rows) - sum(scores) / controls, max(error, 0.5 / len(rows))

    value, error = gained(extra, np.arange(tests), 2)
    real, _ = gained(fresh, half, 1)
    found = value > 3 * error and value > 0.002
    limit = Limit(below=-max(LEVEL * error, 0.01))
    verdict = said("a gain") if found else said("a loss") if limit.broken(value) else said("no gain beyond chance")
    goal = task.target
    summary = said(
        "Added to {n} training rows, {made} made ones change how well {name} is predicted by "
        "{value:+.4f} of {measure} against duplicates of real rows: {verdict}; {fresh} unseen real "
        "ones, {real:+.4f}.",
        n=len(base),
        made=len(extra),
        name=train.names[goal.column],
        value=value,
        measure=goal.measure,
        verdict=verdict,
        fresh=len(fresh),
        real=real,
    )
    detail = Lift(found=found, n=len(extra), standard_error=error, target=train.names[goal.column])
    score = Score(value, value - 1.96 * error, value + 1.96 * error, real, error)
    samples = power.scored("lift", error, len(made), len(unseen), beyond=0.01)
    return scored("lift", score, limit, summary, detail=detail, samples=samples)
