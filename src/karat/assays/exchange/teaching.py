"""How much of what rows say about a column is taught by made ones, and whether these lean on the rows learned from.

A small question, asked of several generators while one of them is chosen; what a generator is worth is asked by `predicting`
and `linkage`, of rows that were never learned from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from karat.assays.table.learning import Features, features, target_of
from karat.assays.table.linkage import share_of
from karat.assays.table.predicting import TEACHABLE, PredictionTask
from karat.assays.table.sheet import embed
from karat.views import TableView

LEARNERS = ("boosting", "forest")
OTHERS = 4  # columns that are predicted where the target cannot be
ROWS, CELLS = 5_000, 200_000  # rows, and rows times columns, that a learner is taught by
FEWEST = 10  # rows that a learner is examined on


@dataclass(frozen=True)
class Taught:
    """loss: what real rows teach, less what made ones do, in parts of what can be taught beyond a guess.

    nearest: the share of made rows that lie nearer to a row learned from than to one kept apart.
    """

    loss: float
    nearest: float


def examination(train: TableView, apart: TableView, target: str | None, seed: int) -> Callable[[TableView], Taught]:
    """What is asked of made rows: how well learners that they taught predict the target in `apart`, from the other columns.

    target: None for the last column, which of most tables is the one to be predicted. Where real rows teach nothing of it,
    a few others are predicted.
    """
    featurizer = features((train, apart))
    most = int(np.clip(CELLS // max(1, len(featurizer.columns)), 200, ROWS))
    known = train.take(np.arange(min(len(train), most)))
    wanted = len(train.names) - 1 if target is None else train.names.index(target)
    others = [j for j in featurizer.columns if j != wanted]
    tasks = list(_tasks(featurizer, known, apart, [wanted], seed))
    if not tasks:
        tasks = list(_tasks(featurizer, known, apart, others[:: max(1, math.ceil(len(others) / OTHERS))], seed))
    some = np.random.default_rng([seed, 5]).permutation(len(train))[: len(apart)]

    def ask(made: TableView) -> Taught:
        few = made.take(np.arange(min(len(made), most)))
        losses = [(real - _score(task, few, seed)) / (1 - task.target.floor) for task, real in tasks]
        ours, theirs, drawn = embed((train, apart, made), seed)
        nearest, _ = share_of(drawn, ours[some], theirs[: len(some)])
        return Taught(float(np.mean(losses)) if losses else 0.0, nearest)

    return ask


def _tasks(
    featurizer: Features, train: TableView, apart: TableView, columns: list[int], seed: int
) -> Iterator[tuple[PredictionTask, float]]:
    """For each column of which real rows teach something, its task and what they teach."""
    for j in columns:
        goal = target_of(train, j)
        if goal is None or len(featurizer.columns) < 2:
            continue
        task = PredictionTask(featurizer, goal, apart)
        if len(task.there) >= FEWEST and (real := _score(task, train, seed)) > goal.floor + TEACHABLE:
            yield task, real


def _score(task: PredictionTask, rows: TableView, seed: int) -> float:
    """The mean score of all learners that `rows` taught."""
    every = np.arange(len(task.there))
    return float(np.mean([task.score(task.predictions(name, seed, rows), every) for name in LEARNERS]))
