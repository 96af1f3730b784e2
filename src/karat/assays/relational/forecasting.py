"""Whether steps that were made teach a plain forecaster what real ones teach him: boosted trees on lags, examined on real steps.

Train on synthetic, test on real: Esteban, Hyland & Rätsch, "Real-valued medical time series generation" (2017). What is foretold
are ranks, so that one crash is one change among others. Windows are the units that chance draws, as the steps of one are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from karat.assays import power
from karat.assays.chance import Draws, draw, limit_of, resampled
from karat.assays.details.records import Usefulness
from karat.assays.finding import Finding, Score, scored
from karat.assays.relational.case import Case
from karat.assays.relational.changing import judged, ranks, sequences
from karat.assays.relational.windows import lagged
from karat.space import JUDGED as FEWEST
from karat.views import TableView
from karat.words import said

FINDS = ("forecast",)
COLUMNS = 4  # whose changes and sizes of changes are foretold
STEPS = 4_000  # that teach at once, about
DRAWS = 4  # of training windows that teach
TEACHABLE = 0.02  # R2 of ranks, up to which real steps foretell nothing
FOREST = {
    "max_iter": 50,
    "max_leaf_nodes": 4,
    "min_samples_leaf": 40,
}  # of trees too small to learn single steps by heart


@dataclass(frozen=True)
class Steps:
    """What is known before each step [n, features], the rank that is to be foretold of it [n], and its window [n]."""

    known: np.ndarray
    goal: np.ndarray
    owner: np.ndarray

    def of(self, windows: np.ndarray) -> np.ndarray:
        """bool [n]: the steps of these windows."""
        return np.isin(self.owner, windows)


def findings(case: Case) -> list[Finding]:
    """Of what can be foretold best of a next step: a change, or its size; none where sequences are short, or real steps teach
    nothing.
    """
    where, ties = case.ties[0].child, case.ties
    tables = [side.tables[where] for side in case.sides]
    columns = (judged(tables[0], ties[0]) if ties[0].makes else [])[:COLUMNS]
    if not columns:
        return []
    some = zip(tables, sequences(case, columns), strict=True)
    sheets, owners = zip(*(lagged(table, tie, columns) for table, tie in some), strict=True)
    windows = [np.unique(owner) for owner in owners]
    if min(map(len, windows)) < FEWEST or len({s.names for s in sheets}) > 1:
        return []
    rng = np.random.default_rng([case.seed, 35])
    most = max(FEWEST, STEPS * len(windows[0]) // len(sheets[0]))
    draws = draw(len(windows[1]), len(windows[2]), rng, most)
    teachers = [rng.permutation(windows[0])[: draws.size] for _ in range(DRAWS)]
    aims = [j for j, name in enumerate(sheets[0].names) if "change of " in name]
    exams = [_exam(sheets, owners, aims, aim, teachers, case.seed) for aim in aims]
    best = int(np.argmax([exam.fair(windows[1]) for exam in exams]))
    exam = exams[best]
    if (fair := exam.fair(windows[1])) <= TEACHABLE:
        return []

    def of_unseen(rows: Tensor) -> float:
        """Those that do not teach are foretold."""
        return exam.worth(exam.unseen, windows[1][rows], np.delete(windows[1], rows))

    score = resampled(of_unseen, lambda rows: exam.worth(exam.made, windows[2][rows], windows[1]), draws)
    return [_finding(where, sheets[0].names[aims[best]], fair, score, draws, (len(windows[2]), len(windows[1])))]


@dataclass(frozen=True)
class Exam:
    """One thing that is foretold.   told: float64 [teachers, n], what training windows teach of the unseen steps [n]."""

    unseen: Steps
    made: Steps
    told: np.ndarray
    seed: int

    def fair(self, windows: np.ndarray) -> float:
        """The R2 that training windows teach, of the steps of unseen `windows`."""
        asked = self.unseen.of(windows)
        return float(np.mean([r2(self.unseen.goal[asked], told[asked]) for told in self.told]))

    def worth(self, teacher: Steps, some: np.ndarray, windows: np.ndarray) -> float:
        """The R2 that `some` windows of a teacher teach, of the steps of unseen `windows`, in parts of `fair` of the same steps."""
        asked = self.unseen.of(windows)
        told = foretold(teacher, some, self.unseen.known[asked], self.seed)
        return r2(self.unseen.goal[asked], told) / max(self.fair(windows), TEACHABLE)


def _exam(
    sheets: Sequence[TableView],
    owners: Sequence[np.ndarray],
    aims: list[int],
    aim: int,
    teachers: Sequence[np.ndarray],
    seed: int,
) -> Exam:
    """The column `aim` as what is foretold, without the other `aims` of the same step."""
    sides = []
    for sheet, owner in zip(sheets, owners, strict=True):
        goal = ranks(sheets[0].values[:, [aim]], sheet.values[:, [aim]])[:, 0]
        there = np.isfinite(goal)
        sides.append(Steps(np.delete(sheet.values, aims, 1)[there], goal[there], owner[there]))
    train, unseen, made = sides
    return Exam(unseen, made, np.stack([foretold(train, some, unseen.known, seed) for some in teachers]), seed)


def foretold(teacher: Steps, some: np.ndarray, known: np.ndarray, seed: int) -> np.ndarray:
    """float64 [n]: what boosted trees that saw `some` windows of the teacher foretell where `known` [n, features] went before."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    taught = teacher.of(some)
    if taught.sum() < FEWEST:
        return np.full(len(known), 0.5)
    model = HistGradientBoostingRegressor(**FOREST, early_stopping=False, random_state=seed)
    return np.asarray(model.fit(teacher.known[taught], teacher.goal[taught]).predict(known))


def r2(truth: np.ndarray, told: np.ndarray) -> float:
    """0 for one below, whom one may leave unasked."""
    return max(0.0, 1 - float(((truth - told) ** 2).mean()) / max(float(truth.var()), 1e-12))


def _finding(where: str, name: str, fair: float, s: Score, draws: Draws, windows: tuple[int, int]) -> Finding:
    """The finding that the score `s` of `windows`, made and unseen, is, in parts of what training windows teach, `fair`."""
    summary = said(
        "{where}: boosted trees trained on {size} made windows foretell {name} of unseen real steps "
        "with an R2 of ranks of {value:.3f}; trained on as many training windows, {fair:.3f}; on unseen "
        "real ones, {real:.3f}.",
        where=where,
        size=draws.size,
        name=name,
        value=s.value * fair,
        fair=fair,
        real=s.real * fair,
    )
    detail = Usefulness(
        target=name,
        measure="R2 of ranks",
        tstr=s.value * fair,
        trtr=fair,
        gap=fair * (1 - s.value),
        n=draws.size,
        z=s.z,
        chance=0.0,
    )
    samples = power.scored("forecast", s.error, *windows, unit=max(s.real, 1e-3))
    return scored("forecast", s, limit_of("forecast", s, 0.02), summary, detail=detail, samples=samples, of=where)
