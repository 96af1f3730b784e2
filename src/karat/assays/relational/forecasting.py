"""Whether steps that were made teach a plain forecaster what real ones teach him: boosted trees on lags, examined on real steps.

Train on synthetic, test on real: Esteban, Hyland & Rätsch, "Real-valued medical time series generation" (2017).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from karat.assays.finding import Finding
from karat.assays.relational.case import Case
from karat.assays.relational.changing import judged
from karat.assays.relational.windows import lagged
from karat.assays.table.learning import features, target_of
from karat.assays.table.predicting import PredictionTask, ratio
from karat.space import JUDGED as FEWEST
from karat.views import Columns, TableView

FINDS = ("forecast",)
COLUMNS = 4  # whose changes and sizes of changes are foretold
STEPS = 4_000  # that teach and examine, at most
TRIED = 1_500  # by which is seen what can be foretold best


def findings(case: Case) -> list[Finding]:
    """Of what can be foretold best of a next step: a change, or its size; none where sequences are short."""
    where, ties = case.ties[0].child, case.ties
    tables = [side.tables[where] for side in case.sides]
    columns = (judged(tables[0], ties[0]) if ties[0].makes else [])[:COLUMNS]
    if not columns:
        return []
    rng = np.random.default_rng([case.seed, 35])
    sheets = [lagged(table, tie, columns) for table, tie in zip(tables, ties, strict=True)]
    if min(map(len, sheets)) < 5 * FEWEST or len({s.names for s in sheets}) > 1:
        return []
    sheets = [s.take(rng.permutation(len(s))[:STEPS]) for s in sheets]
    goals = [name for name in sheets[0].names if "change of " in name]
    tasks = [_task([_without(s, goals, goal) for s in sheets], case.seed) for goal in goals]
    able = [(score, i) for i, (score, _, _) in enumerate(tasks)]
    _, task, (train, unseen, made) = tasks[max(able)[1]]
    if task is None:
        return []
    found = ratio(task, train, unseen, made, [], len(train), rng, case.seed)
    return [replace(found, key="forecast", of=where, summary=f"{where}: {found.summary}")]


def _without(sheet: TableView, goals: list[str], goal: str) -> TableView:
    """The sheet without the other things that could be foretold of the same step."""
    kept = [j for j, name in enumerate(sheet.names) if name == goal or name not in goals]
    return TableView(Columns(tuple(sheet.names[j] for j in kept), ((),) * len(kept)), sheet.values[:, kept])


def _task(sheets: list[TableView], seed: int) -> tuple[float, PredictionTask | None, list[TableView]]:
    """How well training steps foretell unseen ones, the task, and the sheets."""
    train, unseen, _ = sheets
    column = next(j for j, name in enumerate(train.names) if "change of " in name)
    goal = target_of(train, column)
    if goal is None:
        return -np.inf, None, sheets
    task = PredictionTask(features(sheets), goal, unseen)
    if len(task.there) < FEWEST:
        return -np.inf, None, sheets
    few = train.take(np.arange(min(len(train), TRIED)))
    return task.score(task.predictions("forest", seed, few), np.arange(len(task.there))), task, sheets
