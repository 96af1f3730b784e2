"""How many real rows a made one is worth to who would predict the target: see `karat.assays.exchange.lessons`."""

from __future__ import annotations

import numpy as np

from karat.assays.exchange import lessons
from karat.assays.exchange.lessons import Learner, Sheet, Task, known, ridge
from karat.assays.finding import Finding
from karat.assays.table.learning import Features, Target, features, fit_predict, target_of
from karat.assays.table.predicting import CELLS, best_taught
from karat.assays.table.tables import Case
from karat.views import TableView

FINDS = ("exchange rate", "rare recall")
SHOWN = 20  # choices of a column that the linear learner tells apart, the commonest


def findings(case: Case) -> list[Finding]:
    """The exchange rate and the recall of a rare class, where they are asked for and there is a target."""
    if not case.exchange:
        return []
    train = case.train if case.whole is None else case.whole
    featurizer = features((train, case.unseen, case.made), CELLS // 100)
    wanted = best_taught(featurizer, case) if case.target is None else train.names.index(case.target)
    goal = None if wanted is None else target_of(train, wanted)
    if goal is None or len(featurizer.columns) < 2:
        return []
    return lessons.findings(task_of(featurizer, goal, train, case), "row", case.seed)


def task_of(featurizer: Features, goal: Target, train: TableView, case: Case) -> Task:
    """What boosted trees and a linear learner are taught of `goal`. Half of the unseen rows are fresh where they are many."""
    real, unseen, made = (_sheet(featurizer, goal, side) for side in (train, case.unseen, case.made))
    half = len(unseen) // 2 if len(unseen) // 2 >= len(real) // 4 else 0
    fresh, test = (unseen.take(np.arange(*ends)) for ends in ((0, half), (half, len(unseen))))
    flags = featurizer.flags(goal.column)
    linear = Linear(real.x, flags, test.x, goal.classes)

    def boosting(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return fit_predict(goal, x, y, test.x, flags, "boosting", case.seed, weights)

    learners: dict[str, Learner] = {"boosted trees": boosting, "linear models": linear}
    return Task(
        real=real,
        made=made,
        fresh=fresh,
        truth=test.y,
        learners=learners,
        score=goal.score,
        measure=goal.measure,
        of=train.names[goal.column],
        classes=goal.classes,
        mixed=~np.array(flags, bool),
    )


def _sheet(featurizer: Features, goal: Target, side: TableView) -> Sheet:
    """The rows of which the target is known."""
    y = goal.of(side)
    return Sheet(featurizer.of(side, goal.column), y).take(np.flatnonzero(~np.isnan(y)))


class Linear:
    """Ridge regression on standardised numbers, whether they are missing, and common choices one by one."""

    def __init__(self, real: np.ndarray, flags: list[bool], test: np.ndarray, classes: int) -> None:
        self.flags, self.classes = np.array(flags, bool), classes
        numbers = known(real[:, ~self.flags])
        ends = [0.01, 0.99]  # no outlier is all that it sees
        sides: np.ndarray = np.nanquantile(numbers, ends, axis=0) if numbers.size else np.zeros((2, numbers.shape[1]))
        self.low, self.high = sides[0], sides[1]
        clipped = np.clip(numbers, self.low, self.high)
        self.middle, scale = np.nanmean(clipped, axis=0), np.nanstd(clipped, axis=0)
        self.scale = np.where(scale > 0, scale, 1.0)
        self.test = self.of(test)

    def of(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, features], the last one 1."""
        numbers, codes = x[:, ~self.flags], x[:, self.flags]
        z = (np.clip(numbers, self.low, self.high) - self.middle) / self.scale
        shown = (codes[:, :, None] == np.arange(SHOWN)).reshape(len(x), -1)
        return np.concatenate([np.nan_to_num(z), np.isnan(numbers), shown, np.ones((len(x), 1))], 1)

    def __call__(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return ridge(self.of(x), y, weights, self.test, self.classes)
