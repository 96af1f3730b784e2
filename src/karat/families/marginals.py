"""Differentially private tables: noisy marginals, the pairs worth measuring chosen privately, and the likeliest model of them.

As MST (McKenna, Miklau & Sheldon, https://arxiv.org/abs/2108.04978) it measures every column, then a tree of pairs; as
AIM (McKenna et al., https://arxiv.org/abs/2201.12677) it then measures the pairs that the model still has most wrong, as
far as they stand out of their own noise and the model stays small enough for exact inference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from karat import privacy
from karat.errors import FitError
from karat.families.generator import Fitted
from karat.privacy import Budget, Source
from karat.space import Codes, Space
from karat.stats import graph as graphs
from karat.stats.graph import Graph, Measured

ALONE, CHOICE = (
    0.15,
    0.1,
)  # shares of the family's budget: for single columns, for choosing pairs; the rest measures them
BATCHES = 3  # of pairs, after the tree, before the model is fitted anew
LARGEST, ALL = 2**16, 2**19  # cells: of a clique, of all together
PAIRS = 5000  # pairs considered, at most
TRIED = 400  # pairs whose clique sizes are worked out, in a batch
ROUNDS = 100  # of each stage of each fit
NARROW = 2.0  # the more, the fewer levels an ordered column has beside the noise of a pair
STANDING = 3.0  # standard deviations of noise that a level of an ordered column holds at least
PRIOR = 1000.0  # rows that evenness is worth, where the noise leaves a choice
ROWS = 50_000  # drawn from the model to see what it has wrong

Columns = tuple[int, ...]


@dataclass(frozen=True)
class Config:
    """Settings of the private marginals."""

    epsilon: float = 1.0
    delta: float = 0.0  # 0: by the number of rows, as `privacy.default_delta` says
    share: float = 1 - privacy.CODEC  # of the whole budget; the rest was for the codec's bins and categories
    levels: int = 40  # of a column, at most, as the pairs see it
    extra: float = 1.0  # pairs measured beyond the tree, for each column
    noise: Literal["secure", "seeded"] = (
        "secure"  # "seeded": repeatable, for tests; no privacy against who knows the seed
    )


class Model(Fitted):
    """Each column in levels (codes, or groups of rare or neighbouring ones), and a graphical model of the levels."""

    spaces: ClassVar[tuple[type, ...]] = (Codes,)

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        if not isinstance(space, Codes):
            raise FitError(f"private marginals are of Codes, and these data are {type(space).__name__}.")
        if not 0 < config.epsilon < math.inf or not 0 <= config.delta < 1:
            raise FitError(
                f"epsilon={config.epsilon:g}, delta={config.delta:g}: wanted an epsilon above 0 and a delta of 0 (by the "
                "number of rows) or between 0 and 1."
            )
        self.space, self.classes, self.config = space, classes, config
        self.sizes = (*space.sizes, *((classes,) if classes else ()))
        self.ordered = (*space.ordered, *((False,) if classes else ()))
        self.budget: Budget | None = None  # what the fit spent, after it
        self.level: list[np.ndarray] = []  # of each column: the level of every code
        self.within: list[np.ndarray] = []  # and its probability in that level
        self.noisy: list[np.ndarray] = []  # and how many rows hold it, as released
        self.graph = Graph((), (), ())
        self.tables: list[np.ndarray] = []

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def imputes(self) -> bool:
        return True

    def metrics(self) -> dict[str, float]:
        """Noisy measurements so far, and what they cost of the budget, as rho of zero-concentrated privacy."""
        return (
            {}
            if self.budget is None
            else {"measured": len(self.budget.spent), "rho": self.budget.rho - self.budget.left}
        )

    def fit(self, points: Tensor, y: Tensor | None, seed: int, seconds: float | None) -> Iterator[float]:
        """Learns codes [n, columns]; the same seed gives the same only where `noise` is "seeded"."""
        c = self.config
        delta = privacy.Target(c.epsilon, c.delta).delta_of(len(points))
        budget = Budget.of(c.epsilon, delta).part(c.share)
        yield from self.learn(points, y, budget, Source(seed if c.noise == "seeded" else None), seed)

    def learn(self, points: Tensor, y: Tensor | None, budget: Budget, source: Source, seed: int) -> Iterator[float]:
        """`fit` with a budget and noise of one's own. seed: for what is no secret (which pairs to consider)."""
        if self.classes and y is None:
            raise FitError(f"this model was made for {self.classes} classes, and the rows have none.")
        parts = [points, y[:, None]] if self.classes and y is not None else [points]
        codes = torch.cat(parts, 1).cpu().numpy()
        self.budget = budget
        public = np.random.default_rng(seed & 2**63 - 1)
        d = len(self.sizes)
        alone = budget.rho * (1 if d == 1 else ALONE) / d
        sigma = privacy.noise_width(alone)
        self.noisy = [
            privacy.noisy_counts(np.bincount(codes[:, j], minlength=k), alone, budget, source, f"column {j}")
            for j, k in enumerate(self.sizes)
        ]
        total = self._total()
        extra = round(self.config.extra * d)
        asked = max(1, d - 1 + extra)
        rho = budget.rho * (1 - ALONE - CHOICE) / asked
        rough = privacy.noise_width(rho) if d > 1 else sigma
        self._cut(total, sigma, rough)
        rows = np.stack([level[codes[:, j]] for j, level in enumerate(self.level)], 1)
        sizes = [int(level.max()) + 1 for level in self.level]
        single = [
            Measured((j,), _fold(self.noisy[j], level), sigma * np.sqrt(np.bincount(level)))
            for j, level in enumerate(self.level)
        ]
        self.graph = graphs.triangulate(sizes, ())
        potentials, self.tables = graphs.estimate(self.graph, single, total, ROUNDS, [], PRIOR)
        yield 0.1
        picker = _Picker(rows, sizes, budget, source, public, rough, budget.rho * CHOICE / asked)
        joint: list[Measured] = []
        plan = [d - 1] + [extra // BATCHES + (i < extra % BATCHES) for i in range(BATCHES)] if d > 1 else []
        for i, count in enumerate(plan):
            drawn = graphs.sample(self.graph, self.tables, public.random((ROWS, d)))
            chosen = picker.tree(drawn, total) if i == 0 else picker.worst(drawn, total, count)
            for columns in chosen:
                what = "columns " + ", ".join(map(str, columns))
                joint.append(
                    Measured(
                        columns, privacy.noisy_counts(picker.count(rows, columns), rho, budget, source, what), rough
                    )
                )
            if not chosen:
                continue
            self.graph = graphs.triangulate(sizes, picker.edges)
            every = [*single, *joint]
            potentials, self.tables = graphs.estimate(self.graph, every, total, ROUNDS, potentials, PRIOR)
            yield 0.1 + 0.9 * (i + 1) / (len(plan) + 1)
        yield 1.0

    def _total(self) -> float:
        """How many rows there are, by the noisy counts: the mean of the columns' sums, the surer the heavier."""
        weights = [1 / k for k in self.sizes]
        held = math.fsum(w * float(c.sum()) for w, c in zip(weights, self.noisy, strict=True))
        return max(1.0, held / math.fsum(weights))

    def _cut(self, total: float, sigma: float, rough: float) -> None:
        """Levels of every column from its noisy counts alone: neighbours of an ordered one and rare codes share one."""
        most = int(min(self.config.levels, max(4.0, math.sqrt(total / (NARROW * rough)))))
        self.level, self.within = [], []
        for j, counts in enumerate(self.noisy):
            level = (
                _neighbours(counts, total, most, sigma)
                if self.ordered[j]
                else _common(counts, sigma, self.config.levels)
            )
            held = np.maximum(counts, 0).astype(np.float64)
            sums = np.bincount(level, held)
            empty = sums[level] <= 0
            held = np.where(empty, 1.0, held)
            self.level.append(level)
            self.within.append(held / np.bincount(level, held)[level])

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        if y is not None and self.classes:
            given = torch.full((n, len(self.sizes)), -1)
            given[:, -1] = y
            return self._complete(given.numpy(), rng)
        d = len(self.sizes)
        chance = torch.rand(2, n, d, generator=rng, dtype=torch.float64, device=rng.device).cpu().numpy()
        levels = graphs.sample(self.graph, self.tables, chance[0])
        return self._codes(levels, chance[1]).to(rng.device)

    def impute(self, given: Tensor, rng: torch.Generator) -> Tensor:
        """Codes [n, columns] equal to `given` where that is not -1, the rest from the model's exact conditional."""
        wanted = given.cpu().numpy()
        for j, k in enumerate(self.sizes[: self.space.numel]):
            if len(wanted) and int(wanted[:, j].max()) >= k:
                raise FitError(f"column {j} is given as code {int(wanted[:, j].max())}; it has codes 0 to {k - 1}.")
        if self.classes:
            wanted = np.concatenate([wanted, np.full((len(wanted), 1), -1)], 1)
        return self._complete(wanted, rng)

    @property
    def weighs(self) -> bool:
        return True

    def losses(self, points: Tensor, y: Tensor | None, seed: int) -> Tensor:
        """Nats of each row, and of its class where there are classes."""
        codes = points.cpu().numpy()
        if self.classes and y is not None:
            codes = np.concatenate([codes, y.cpu().numpy()[:, None]], 1)
        levels = np.stack([level[codes[:, j]] for j, level in enumerate(self.level)], 1)
        within = np.stack([w[codes[:, j]] for j, w in enumerate(self.within)], 1)
        return torch.from_numpy(
            graphs.nats(self.graph, self.tables, levels) - np.log(np.maximum(within, 1e-300)).sum(1)
        )

    def _complete(self, given: np.ndarray, rng: torch.Generator) -> Tensor:
        chance = torch.rand(2, *given.shape, generator=rng, dtype=torch.float64, device=rng.device).cpu().numpy()
        known = [np.where(given[:, j] >= 0, level[given[:, j]], -1) for j, level in enumerate(self.level)]
        levels = graphs.complete(self.graph, self.tables, np.stack(known, 1), chance[0])
        made = self._codes(levels, chance[1])
        wanted = torch.from_numpy(given)[:, : self.space.numel]
        return torch.where(wanted >= 0, wanted, made).to(rng.device)

    def _codes(self, levels: np.ndarray, chance: np.ndarray) -> Tensor:
        """Codes [n, columns of the space] of levels, each drawn among those that share its level."""
        out = np.empty((len(levels), self.space.numel), np.int64)
        for j in range(self.space.numel):
            order = np.argsort(self.level[j], kind="stable")
            sums = np.cumsum(self.within[j][order])
            starts = np.searchsorted(self.level[j][order], np.arange(int(self.level[j].max()) + 2))
            found = np.searchsorted(sums, levels[:, j] + chance[:, j], side="right")
            out[:, j] = order[np.clip(found, starts[levels[:, j]], starts[levels[:, j] + 1] - 1)]
        return torch.from_numpy(out)

    def weights(self) -> dict[str, Tensor]:
        """The noisy counts of every column, its levels, the elimination order, and p(level | parents' levels)."""
        out = {"order": torch.tensor(self.graph.order, dtype=torch.int64)}
        for j in range(len(self.level)):
            out[f"level.{j}"] = torch.from_numpy(self.level[j])
            out[f"within.{j}"] = torch.from_numpy(self.within[j])
            out[f"noisy.{j}"] = torch.from_numpy(self.noisy[j])
            out[f"parents.{j}"] = torch.tensor(self.graph.parents[j], dtype=torch.int64)
            out[f"table.{j}"] = torch.from_numpy(np.ascontiguousarray(self.tables[j]))
        return out

    def put(self, weights: dict[str, Tensor]) -> None:
        d = len(self.sizes)
        try:
            take = {
                name: [weights[f"{name}.{j}"].cpu().numpy() for j in range(d)]
                for name in ("level", "within", "noisy", "parents", "table")
            }
            order = tuple(int(v) for v in weights["order"])
        except KeyError as error:
            raise RuntimeError(
                f"these are no weights of private marginals over {d} columns: {error} is missing."
            ) from None
        if len(weights) != 5 * d + 1 or tuple(len(v) for v in take["level"]) != self.sizes:
            raise RuntimeError(f"these weights are of other columns than {self.sizes}.")
        self.level, self.within, self.noisy = take["level"], take["within"], take["noisy"]
        sizes = tuple(int(level.max()) + 1 for level in self.level)
        self.graph = Graph(sizes, order, tuple(tuple(int(u) for u in p) for p in take["parents"]))
        self.tables = take["table"]


class _Picker:
    """Chooses sets of columns by the exponential mechanism: those that the model has most wrong, less their noise."""

    def __init__(
        self,
        rows: np.ndarray,
        sizes: Sequence[int],
        budget: Budget,
        source: Source,
        public: np.random.Generator,
        rough: float,
        rho: float,
    ) -> None:
        self.rows, self.sizes, self.budget, self.source, self.public = rows, sizes, budget, source, public
        self.rough, self.rho = rough, rho
        pairs = list(itertools.combinations(range(len(sizes)), 2))
        if len(pairs) > PAIRS:
            pairs = [pairs[i] for i in np.sort(public.choice(len(pairs), PAIRS, replace=False))]
        self.pairs: list[Columns] = [p for p in pairs if sizes[p[0]] * sizes[p[1]] <= LARGEST]
        self.held: dict[Columns, np.ndarray] = {}
        self.chosen: set[Columns] = set()

    @property
    def edges(self) -> set[tuple[int, int]]:
        """Which columns the model must hold together."""
        return {(a, b) for columns in self.chosen for a, b in itertools.combinations(columns, 2)}

    def count(self, rows: np.ndarray, columns: Columns) -> np.ndarray:
        """int64, one axis for each of the columns: how many of the rows hold each combination."""
        shape = tuple(self.sizes[j] for j in columns)
        at = np.ravel_multi_index(tuple(rows[:, j] for j in columns), shape)
        return np.bincount(at, minlength=math.prod(shape)).reshape(shape)

    def _score(self, columns: Columns, drawn: np.ndarray, total: float) -> float:
        """|counts - model's counts| in rows, which one row moves by at most 1, less what the noise would add."""
        if columns not in self.held:
            self.held[columns] = self.count(self.rows, columns)
        own = self.held[columns]
        expected = np.rint(self.count(drawn, columns) * (total / len(drawn)))
        return float(np.abs(own - expected).sum()) - math.sqrt(2 / math.pi) * self.rough * own.size

    def _choose(self, scores: Sequence[float] | np.ndarray) -> int:
        """An index of the scores, or -1: none is worth its noise."""
        found = privacy.choose(np.array([0.0, *scores]), self.rho, self.budget, self.source, "choice of columns")
        return found - 1

    def tree(self, drawn: np.ndarray, total: float) -> list[Columns]:
        """Pairs that join all columns, one after another."""
        scores = {pair: self._score(pair, drawn, total) for pair in self.pairs}
        group = list(range(len(self.sizes)))
        chosen: list[Columns] = []
        while len(chosen) < len(self.sizes) - 1:
            apart = [p for p in self.pairs if group[p[0]] != group[p[1]]]
            i = self._choose([scores[p] for p in apart]) if apart else -1
            if i < 0:
                break
            a, b = apart[i]
            chosen.append(apart[i])
            old, new = group[b], group[a]
            group = [new if g == old else g for g in group]
        self.chosen |= set(chosen)
        return chosen

    def worst(self, drawn: np.ndarray, total: float, count: int) -> list[Columns]:
        """Up to `count` further pairs, or triples that the model holds together already."""
        open_ = self._open()
        scores = np.array([self._score(columns, drawn, total) for columns in open_])
        chosen: list[Columns] = []
        while len(chosen) < count and len(open_):
            i = self._choose(scores)
            if i < 0:
                break
            columns, scores = open_.pop(i), np.delete(scores, i)
            if self._fits(columns):
                self.chosen.add(columns)
                chosen.append(columns)
            else:  # those chosen before it made the model too large for it; the choice is paid all the same
                count -= 1
        return chosen

    def _fits(self, columns: Columns) -> bool:
        edges = self.edges | set(itertools.combinations(columns, 2))
        largest, every = graphs.triangulate(self.sizes, edges).cells()
        return largest <= LARGEST and every <= ALL

    def _open(self) -> list[Columns]:
        """Pairs that would fit, and triples of columns that the model holds together already."""
        graph = graphs.triangulate(self.sizes, self.edges)
        cliques = [graph.clique(v) for v in graph.order]
        together = {c for clique in cliques for k in (2, 3) for c in itertools.combinations(clique, k)}
        apart = [p for p in self.pairs if p not in together]
        if len(apart) > TRIED:
            apart = [apart[i] for i in np.sort(self.public.choice(len(apart), TRIED, replace=False))]
        return [*sorted(together - self.chosen), *(pair for pair in apart if self._fits(pair))]


def _fold(counts: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Counts of the levels, of counts of the codes."""
    out = np.zeros(int(level.max()) + 1, np.int64)
    np.add.at(out, level, counts)
    return out


def _common(counts: np.ndarray, sigma: float, most: int) -> np.ndarray:
    """Levels [codes]: each code that stands out of the noise is one, up to `most`; the others share the last."""
    least = sigma * max(3.0, math.sqrt(2 * math.log(max(2, len(counts)))))
    order = np.argsort(-counts, kind="stable")
    kept = [int(i) for i in order[:most] if counts[i] >= least]
    if not kept:
        kept = [int(order[0])]
    level = np.full(len(counts), len(kept))
    level[kept] = np.arange(len(kept))
    return level


def _neighbours(counts: np.ndarray, total: float, most: int, sigma: float) -> np.ndarray:
    """Levels [codes], rising: runs of codes of about total / most rows, at least STANDING sigma; heavier codes stand alone."""
    heavy = counts[counts >= total / most]
    spread = total - float(heavy.sum())
    wanted = max(spread / max(1, most - len(heavy)), STANDING * sigma)
    level = np.zeros(len(counts), np.int64)
    now, held = 0, 0.0
    for i, count in enumerate(counts):
        if i and held > 0 and (held >= wanted or count >= wanted):
            now, held = now + 1, 0.0
        held += float(count)
        level[i] = now
    if now and held < wanted / 2:
        level[level == now] = now - 1
    return level
