"""Related tables: a chain of fitted models for each step of a sequence, learned, saved and drawn from together.

Drawing a parent first and then its children given its columns: Patki et al., "The synthetic data vault" (2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from karat import limits
from karat.content.codec import Block
from karat.content.relational.database import Database
from karat.content.relational.related import Related
from karat.content.table.bloom import Past
from karat.data import Data
from karat.errors import FitError, RunError
from karat.families.generator import Fitted, Stratified
from karat.recipe import Recipe, module
from karat.request import Request
from karat.synthesizer import drawing
from karat.synthesizer.building import build, put
from karat.synthesizer.synthesizer import Synthesizer

GLIMPSED = 8  # records with all that hangs on them
FEW = 200  # first rows by which is judged what more of them take
CELL = 150  # bytes of memory that a cell comes to while it is made
FITTED_MOST = 1_000_000  # rows that one chain learns


class Hierarchical(Synthesizer):
    """The models of all chains of a database by their names, as the recipe has them."""

    def __init__(self, codec: Related, recipe: Recipe, seed: int) -> None:
        check(recipe)
        self.codec = self._codec = codec
        self.models: dict[str, Fitted] = {}
        self.given: dict[str, int] = {}
        self._done = 0  # chains that are fitted
        for name, (space, given) in codec.chains.items():
            own = replace(recipe, model={**recipe.model, "context": given})
            model = build(own, space, 0, seed)
            assert isinstance(model, Fitted)
            self.models[name], self.given[name] = model, given

    def fit(self, data: Data, seed: int, seconds: float | None) -> Iterator[float]:
        yield from self.learn(data.records("train"), seed)

    def metrics(self) -> dict[str, float]:
        return {"chains": self._done}

    @property
    def width(self) -> int:
        return sum(model.space.numel for model in self.models.values())

    def tried(self, n: int) -> tuple[int, ...]:
        return (max(32, n // 10),)

    def glimpse(self, n: int) -> Database:
        made: Database = self.draw(Request(min(n, GLIMPSED))).records
        return made

    def learn(self, records: Database, seed: int) -> Iterator[float]:
        """Fits every chain to its rows of `records`, to a random choice of very many; yields the share that is done."""
        training_codes = self._codec.training_codes(records)
        if not self.models:
            yield 1.0
        for i, (name, model) in enumerate(self.models.items()):
            points = training_codes[name]
            if len(points) > FITTED_MOST:
                few = np.random.default_rng([seed, i]).choice(len(points), FITTED_MOST, replace=False)
                points = points[torch.from_numpy(np.sort(few))]
            if len(points):
                for share in model.fit(points, None, seed + i, None):
                    if share < 1:
                        yield (i + share) / len(self.models)
            self._done = i + 1
            yield self._done / len(self.models)

    def weights(self) -> dict[str, Tensor]:
        return {f"{name}:{k}": v.cpu().contiguous() for name, m in self.models.items() for k, v in m.weights().items()}

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Takes back what `weights` gave; RunError where they are of another model."""
        for name, model in self.models.items():
            mine = {k.removeprefix(f"{name}:"): v for k, v in weights.items() if k.startswith(f"{name}:")}
            if not mine:
                raise RunError(f"the saved weights hold nothing of {name}. Train the run again.")
            put(model, mine)

    def draw(self, request: Request, labels: Tensor | None = None) -> Block:
        """`n` rows of the first table, or as many as the file that is given has, and all that hangs on them."""
        self.check(request)
        rng = np.random.default_rng(request.seed)
        turn, chance = np.random.default_rng([request.seed, 1]), np.random.default_rng([request.seed, 2])

        # steps of several series at one moment are no sample of which one should be high where another is low
        alone = request.independent or self._codec.cut is not None

        def rows(chain: str, cells: np.ndarray) -> np.ndarray:
            pick = request.picks.get(chain)
            if pick is None or not len(cells):
                return self._rows(turn, chain, cells, alone)
            draws = [self._rows(turn, chain, cells, alone) for _ in range(pick.draws)]
            space, given = self._codec.chains[chain]
            if not (cells >= 0).any():  # what keeps the rows of each draw together keeps together what is picked
                draws = drawing.side_by_side(draws, draws, np.array(space.ordered), chance)
            best = np.stack([pick.score(one[:, given:], chance) for one in draws]).argmax(0)
            return np.asarray(np.stack(draws)[best, np.arange(len(best))])

        if self._codec.cut is not None and request.balance is not None:
            raise FitError("--balance: steps of a series follow from each other, and none is drawn for its value.")
        if self._codec.goes_on(request.given):
            made = self._codec.go_on(rows, request.n, rng, request.given, request.independent)
            return Block(made, None)
        asked = self._codec.asked(request.given, request.balance, request.n, rng) if request.imputes else {}
        made = self._codec.make(rows, request.n, rng, asked)
        return Block(made, None)

    def stream(self, request: Request, past: Past | None = None) -> Iterator[Block]:
        """One block: what hangs together is made together. TooLarge where, by what a few take, it would not fit into memory."""
        self.check(request)
        if request.shard.of > 1:
            raise FitError(
                "related tables are made at once, so that what refers to each other does; leave --shards out."
            )
        if request.n > FEW:
            few = self.draw(Request(FEW, request.seed)).records
            cells = sum(len(table) * table.cells.num_columns for table in few.tables.values())
            what = f"{request.n:,} {self.codec.thing}s with all that hangs on them"
            limits.need(cells * CELL / FEW * request.n, what, "Lower -n.")
        yield self.draw(request)

    def _rows(self, turn: np.random.Generator, chain: str, given: np.ndarray, independent: bool) -> np.ndarray:
        """Codes [n, columns] that equal `given` wherever that is not -1."""
        seed = int(turn.integers(1 << 62))
        if not len(given):
            return given
        rng = torch.Generator().manual_seed(seed)
        model, cells = self.models[chain], torch.from_numpy(given.astype(np.int64))
        if independent and isinstance(model, Stratified):
            return np.asarray(model.impute(cells, rng, independent=True).numpy())
        return np.asarray(model.impute(cells, rng).numpy())


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
