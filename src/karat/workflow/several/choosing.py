"""Which recipe suits a table: each is tried on a part of the rows to learn from, and what its rows teach is examined on the rest.

Choosing a model by what its rows teach a learner about real ones: train on made, test on real (https://arxiv.org/abs/1706.02633).
The judge's rows are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from karat import recipe as recipes
from karat import synthesizer
from karat.assays.evaluation import examination
from karat.assays.exchange.teaching import Taught
from karat.data import Data, batches
from karat.errors import KaratError
from karat.recipe import Recipe
from karat.request import Request
from karat.synthesizer import Synthesizer
from karat.training import loop
from karat.views import View
from karat.workflow import budgets

APART = 4  # of the rows to learn from one in so many is kept apart
EXAMINED, ROUNDS = 300, 3  # rows apart that are wanted, of small tables in several rounds, at most so many
DRAWS = 2  # of made rows in each round
FEWEST = 100  # rows to learn from, of fewer of which nothing can be told
MOST = 20_000  # rows that take part in trials, at most
SHARE = 0.5  # of a budget in time that trials may take
NEAR = 0.55  # of made rows that may lie nearer to rows learned from than to others, whatever the first recipe's do


@dataclass(frozen=True)
class Trial:
    """What a recipe made of a part of the rows: `loss` and `nearest` as in `karat.assays.exchange.teaching.Taught`.

    leans: whether what it made lies too near to the rows learned from to be chosen.   why: what kept it from being tried.
    """

    recipe: str
    loss: float | None = None
    nearest: float | None = None
    seconds: float = 0.0
    leans: bool = False
    why: str = ""

    def __str__(self) -> str:
        if self.loss is None or self.nearest is None:
            return f"{self.recipe} was not tried: {self.why}"
        near = f"{self.nearest:.0%} of the rows nearer to rows learned from" + (", too many" if self.leans else "")
        return f"{self.recipe} loses {self.loss:.1%} of what real rows teach, {near}; {self.seconds:.1f} s"


@dataclass(frozen=True)
class Round:
    """A part of the rows to learn from, and what is asked of rows made from it."""

    part: Data
    ask: Callable[[View], Taught]


def choose(
    data: Data, names: Sequence[str], changes: Sequence[str], seed: int, plan: loop.Plan
) -> tuple[str, list[Trial]]:
    """The recipe of `names` whose rows teach most, and what was tried; the first of them where nothing can be told.

    changes: settings, the same for each.   plan: the budget of the run.   None is chosen more of whose rows lie nearer to those
    learned from than of the first one's, beyond `NEAR` and a standard error. Raises FitError for what is no table.
    """
    loaded = [recipes.load(name, changes, None, data.codec.spaces) for name in names]  # wrong settings are said first
    began, tried = plan.now(), list[Trial]()
    if len(data.train) < FEWEST:
        return names[0], []
    rounds = list(_rounds(data, seed))
    most = None
    end = math.inf if plan.minutes is None else began + SHARE * 60 * plan.minutes
    for recipe in loaded:
        trial = _trial(recipe, rounds, seed, plan, end)
        if trial.nearest is not None:
            error = 0.5 / len(rounds[0].part.train) ** 0.5
            most = max(trial.nearest, NEAR) + error if most is None else most
            trial = replace(trial, leans=trial.nearest > most)
        tried.append(trial)
    able = [(trial.loss, i) for i, trial in enumerate(tried) if trial.loss is not None and not trial.leans]
    return (names[min(able)[1]] if able else names[0]), tried


def _rounds(data: Data, seed: int) -> Iterator[Round]:
    """Each with other rows apart."""
    rows = data.rows("train", MOST, seed)
    place = np.random.default_rng([seed, 13]).permutation(len(rows)) * APART // len(rows)
    for k in range(min(ROUNDS, -(-EXAMINED * APART // len(rows)))):
        part = replace(data, train=rows[place != k], holdout=rows[place == k])
        yield Round(part, examination(part.view("train"), part.view("holdout"), data.target, seed))


def _trial(recipe: Recipe, rounds: Sequence[Round], seed: int, plan: loop.Plan, end: float) -> Trial:
    """end: when, by the clock of `plan`, it has to be over."""
    began, found = plan.now(), list[Taught]()
    for each in rounds:
        try:
            synth = synthesizer.new(each.part.codec, recipe, each.part.classes, seed)
            for _ in _learning(synth, recipe, each.part, seed):
                if plan.now() > end:
                    return Trial(recipe.name, why="trials would have taken more than half of the budget")
            synth.widen(each.part, seed)
            asked = [Request(len(each.part.train), seed + k, independent=True) for k in range(DRAWS)]
            made = [each.part.codec.view(synth.draw(request).records) for request in asked]
        except KaratError as error:
            return Trial(recipe.name, why=str(error))
        found += [each.ask(view) for view in made]
    loss, nearest = (float(np.mean([getattr(one, name) for one in found])) for name in ("loss", "nearest"))
    return Trial(recipe.name, loss, nearest, plan.now() - began)


def _learning(synth: Synthesizer, recipe: Recipe, part: Data, seed: int) -> Iterator[Any]:
    """Learns `part` step by step; a net as many points as its recipe says are enough, on any machine the same."""
    model = synth.gradient
    if model is None:
        return synth.fit(part, seed, None)
    plan = budgets.with_budget(recipe, None, None, recipe.train.enough, seed)
    return loop.train(model, batches(part, plan.batch, seed, model.device, model.space), plan, loop.State())
