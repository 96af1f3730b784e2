"""Related tables from data to made files: a chain of trees for each step of a sequence, fitted, saved, drawn and judged.

Drawing a parent first and then its children given its columns: Patki et al., "The synthetic data vault" (2016).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from torch import Tensor

from karat import limits
from karat.content import Related
from karat.content.relational.database import Database
from karat.content.table.formulas import Guard
from karat.data import Data
from karat.errors import FitError, RunError
from karat.families.generator import Fitted
from karat.output import BESIDE, Output, file_names, write_whole
from karat.provenance.label import Label
from karat.recipe import Recipe, module
from karat.run import Run
from karat.training.loop import Plan
from karat.workflow.runner import build, put, weights_of
from karat.worth.prices import Prices

FEW = 200  # first rows by which is judged what more of them take
CELL = 150  # bytes of memory that a cell comes to while it is made
FITTED_MOST = 1_000_000  # rows that one chain learns


class Chains:
    """The models of all chains by their names, as the recipe has them."""

    def __init__(self, codec: Related, recipe: Recipe, seed: int) -> None:
        check(recipe)
        self.models: dict[str, Fitted] = {}
        self.given: dict[str, int] = {}
        for name, (space, given) in codec.chains.items():
            own = replace(recipe, model={**recipe.model, "context": given})
            model = build(own, space, 0, seed)
            assert isinstance(model, Fitted)
            self.models[name], self.given[name] = model, given

    def learn(self, lessons: Mapping[str, Tensor], seed: int) -> None:
        """Fits every chain to its rows [n, columns]; a random choice of very many."""
        for i, (name, model) in enumerate(self.models.items()):
            points = lessons[name]
            if not len(points):
                continue
            if len(points) > FITTED_MOST:
                few = np.random.default_rng([seed, i]).choice(len(points), FITTED_MOST, replace=False)
                points = points[torch.from_numpy(np.sort(few))]
            for _ in model.fit(points, None, seed + i, None):
                pass

    def weights(self) -> dict[str, Tensor]:
        return {f"{name}:{k}": v.cpu().contiguous() for name, m in self.models.items() for k, v in m.weights().items()}

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Takes back what `weights` gave; RunError where they are of another model."""
        for name, model in self.models.items():
            mine = {k.removeprefix(f"{name}:"): v for k, v in weights.items() if k.startswith(f"{name}:")}
            if not mine:
                raise RunError(f"the saved weights hold nothing of {name}. Train the run again.")
            put(model, mine)

    def draw(self, seed: int, chain: str, given: np.ndarray) -> np.ndarray:
        """Codes [n, columns] that equal `given` wherever that is not -1."""
        if not len(given):
            return given
        rng = torch.Generator().manual_seed(seed)
        return np.asarray(self.models[chain].complete(torch.from_numpy(given.astype(np.int64)), rng).numpy())


def fits(recipe: Recipe) -> bool:
    """Whether the recipe can draw columns given others that it never draws."""
    known = {f.name for f in fields(module(recipe.family, recipe.digest).Config)}
    return "context" in known and issubclass(module(recipe.family, recipe.digest).Model, Fitted)


def check(recipe: Recipe) -> None:
    """FitError for a recipe that cannot draw rows given their parent's."""
    if not fits(recipe):
        raise FitError(
            f"the recipe {recipe.name} cannot draw rows given their parent's; related tables want trees or cart."
        )


def fit(run: Run, data: Data, plan: Plan, console: Console) -> float:
    """Fits all chains of a run and saves them; the seconds it took."""
    codec, records = data.codec, data.records("train")
    assert isinstance(codec, Related)
    began = plan.now()
    chains = Chains(codec, Recipe.from_dict(run.spec["recipe"]), plan.seed)
    with console.status("fitting"):
        chains.learn(codec.lessons(records), plan.seed)
    seconds = plan.now() - began
    run.save_model(safetensors.torch.save(chains.weights()))
    run.put("doctor.json", [])
    sheet = codec.sheet(made_by(codec, chains, 8, 0), 8)
    write_whole(run.file(f"samples/100{codec.sheets}"), sheet)
    return seconds


def measure(data: Data, recipe: Recipe, prices: Prices) -> dict[str, Any]:
    """What a fit to some of the records takes, and from there in proportion: see `probing.estimates`."""
    codec, few = data.codec, data.records("train", max(32, len(data.train) // 10))
    assert isinstance(codec, Related)
    began = time.perf_counter()
    chains = Chains(codec, recipe, 0)
    chains.learn(codec.lessons(few), 0)
    minutes = (time.perf_counter() - began) / 60 * len(data.train) / len(few)
    rows = sum(len(table) for table in data.contents.records.tables.values())
    weights = sum(w.numel() * w.element_size() for w in chains.weights().values())
    hour = prices.cpu_core_hour
    return {
        "samples_per_second": rows / max(60 * minutes, 1e-9), "minutes": minutes,
        "memory_mb": (5 * weights + 96 * rows * sum(s.numel for s, _ in codec.chains.values())) / 2**20 + 300,
        "money": None if hour is None else minutes / 60 * hour, "currency": prices.currency,
    }  # fmt: skip


def load(run: Run, codec: Related) -> Chains:
    """The chains of a finished run."""
    chains = Chains(codec, Recipe.from_dict(run.spec["recipe"]), run.spec["seed"])
    chains.put(weights_of(run.load_model()))
    return chains


def made_by(
    codec: Related, chains: Chains, n: int, seed: int, given: str | None = None, balance: str | None = None
) -> Database:
    """`n` rows of the first table, or as many as the file `given` has, and all that hangs on them."""
    rng = np.random.default_rng(seed)
    asked = None if given is None and balance is None else codec.ask(given, balance, n, rng)
    turn = np.random.default_rng([seed, 1])
    return codec.make(lambda chain, cells: chains.draw(int(turn.integers(1 << 62)), chain, cells), n, rng, asked)


def make(
    run: Run,
    codec: Related,
    n: int,
    goal: Path,
    given: str | None,
    balance: str | None,
    seed: int,
    label: Label,
    output: Output,
    request: Mapping[str, Any],
    guard: Guard,
) -> tuple[int, Path, tuple[Path, ...]]:
    """Writes all tables under `goal`, labelled; how many first rows there are, where they are, and the files.

    A table's file has its name as far as that can be one (see `output.file_name`): names come from the data.
    """
    wanted = codec.written
    if len(wanted) == 1 and goal.suffix and not goal.is_dir():
        (suffix,) = wanted.values()
        if not goal.name.endswith(suffix):
            raise FitError(f"{goal}: these rows are written as {suffix}, or into a folder.")
        made = _affordable(codec, load(run, codec), n, seed, given, balance)
        with output.labelled(goal, label) as file:
            file.write(next(iter(codec.packed(made, guard).values())))
        return len(made.tables[codec.first]), goal, (goal, goal.with_name(goal.name + BESIDE))
    if goal.exists() and not goal.is_dir() or goal.suffix and not goal.is_dir():
        raise FitError(f"{goal}: {len(wanted)} tables are written into a folder; give its name.")
    names = file_names([name + suffix for name, suffix in wanted.items()])
    with output.folder(goal, label, request) as folder:
        made = _affordable(codec, load(run, codec), n, seed, given, balance)
        for name, blob in codec.packed(made, guard).items():
            folder.write(names[name + wanted[name]], blob)
    return len(made.tables[codec.first]), goal, folder.paths


def _affordable(codec: Related, chains: Chains, n: int, seed: int, given: str | None, balance: str | None) -> Database:
    """`made_by`; TooLarge where, by what a few take, that many do not fit into memory, in which all are made together."""
    if n > FEW:
        few = made_by(codec, chains, FEW, seed)
        cells = sum(len(table) * table.cells.num_columns for table in few.tables.values())
        limits.need(cells * CELL / FEW * n, f"{n:,} {codec.thing}s with all that hangs on them", "Lower -n.")
    return made_by(codec, chains, n, seed, given, balance)
