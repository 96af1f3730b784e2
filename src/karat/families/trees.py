"""A chain of trees over the columns of a table: each column is drawn given those before it, in an order found in the data.

Which part of its range a column falls in is told by boosted trees, the exact value by a pruned tree of donors, so that
smooth relations stay smooth and sharp ones sharp; rows that are likelier drawn than real are drawn again. Chains of trees:
Reiter, "Using CART to generate partially synthetic public use microdata" (2005). Filling in around given cells:
sequential importance resampling (Liu & Chen, 1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from karat import limits
from karat.errors import FitError, RunError
from karat.families.generator import Fitted, Stratified
from karat.space import Codes, Space
from karat.stats.codetree import Boosting
from karat.stats.copies import LOOKED, Learned, Refusal, as_often, copies, shares, unseen
from karat.stats.dependence import dependence
from karat.stats.donors import FEW_ROWS, MANY_ROWS, Pruning
from karat.stats.links import Growth, Link, features
from karat.stats.odds import Odds
from karat.stats.particles import CROWD, by_given, resample
from karat.stats.smooth import smoothed
from karat.stats.stacking import Stacked

LINKED = 2_400  # columns times parents, beyond which columns of a wide table are drawn given fewer
FEW_PARENTS = 8  # that they are left, at least
LEAF, SMALL_LEAF = 20, 5  # rows of a leaf to begin with, where the pruning says how deep to go; in a table of few rows
PLAIN_LEAF = 15  # where nothing is boosted or pruned
PARTS = 3  # of the rows, each of which is left out once to see whether it comes out as often as those that are learned
PARTED = 20_000  # rows, at most, that are parted so
LEANS = 0.03  # of many rows that plain trees may copy beyond what is to be expected, told by bins of values and not by values
CLASSES, FEWEST = 32, 100  # of a last column that may be drawn first, at most, and rows at least
TOLD, WELL = 0.25, 0.4  # nats of such a class, and share of all it has, that the others tell of unseen rows
FIFTHS = 5  # of the rows, each of which the others tell
ALONE = 0.75  # of these, that the others tell each for itself
FAINT = 0.01  # chance of a class, at least
STACKED = 40  # columns, those drawn last, that boosted trees predict: seconds
AT_ONCE = 400_000
COMPARED = 40_000  # rows, at most, that are drawn to be compared with those learned from
CELLS = 600_000  # of the rows that are compared: fewer rows of a wide table
AGAIN = 3  # times, at most, that a row which is hardly a real one is drawn again
PASS = 0.8  # of what is left of a fit, that one pass over the columns is taken to be: few tables need another
SPARE = 1.3  # rows drawn for each that is to replace one; every draw asks all classifiers, however few its rows


@dataclass(frozen=True)
class Config:
    """Settings of a chain of trees. `leaf` is the dial of privacy: rows that a leaf at least holds; 0 for as few as make rows
    equal to those learned from no oftener than these are equal to each other."""

    leaf: int = 0
    groups: int = 48  # parts of a column's range that the boosted trees tell apart
    boost: bool = True  # False for plain trees of donors
    rounds: int = 30  # of boosting
    rate: float = 0.2
    tuned: int = (
        120  # rounds up to which held-out rows say how boldly is boosted; 0 for `rounds`, `leaves` and `gain` as given
    )
    odds: int = 60  # rounds of the classifier by whose odds drawn rows stand or are drawn again; 0 for none
    leaves: int = 15
    gain: float = 2.0  # log-likelihood that a split of a boosted tree must gain
    signal: float = 30.0  # gain of a first split below which nothing is learned of that part
    most: int = 30_000  # rows that one boosted classifier learns from
    prune: bool = True  # whether trees of donors go no deeper than the data supports
    parents: int = 24  # columns that a column is drawn given, at most; fewer from 100 columns on
    absent: float = 10.0  # pairs of values that chance would have brought together so often and never met stay apart
    particles: int = 32  # candidates for each row that is filled in around given cells
    small: int = 2_000  # rows below which plain trees of small leaves do better
    context: int = 0  # leading columns that are always given and never drawn


class Plan(NamedTuple):
    """How a chain is grown: the order of its columns and what they tell of each other [columns, columns], rows of a leaf, how
    deep trees of donors go, and how many columns, those drawn last, boosted trees predict."""

    chain: list[int]
    information: np.ndarray
    leaf: int
    pruning: Pruning | None
    stacked: int

    @property
    def plainest(self) -> bool:
        """Whether it is pruned as hard as it can be, so that only larger leaves make it lean less on the rows learned from."""
        return self.stacked <= 1 and self.pruning is MANY_ROWS


class Model(Fitted, Stratified):
    """One link for each column: the columns it looks at, the groups of its codes, and the trees that draw them."""

    spaces: ClassVar[tuple[type, ...]] = (Codes,)

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        assert isinstance(space, Codes)
        self.space, self.classes, self.config = space, classes, config
        self.links: list[Link] = []
        self.odds: Odds | None = None
        self.refusal: Refusal | None = None
        self._leaf = 0
        self._stacked: dict[int, tuple[Stacked, np.ndarray]] = {}  # only while learning

    @property
    def imputes(self) -> bool:
        return True

    @property
    def weighs(self) -> bool:
        return True

    def losses(self, points: Tensor, y: Tensor | None, seed: int) -> Tensor:
        """Nats of each row, its columns given those before them in the chain."""
        cells, chance = points.cpu().numpy().astype(np.int64), np.random.default_rng(seed)
        likely = [np.maximum(link.likelihood(cells, cells[:, link.column], chance), 1e-12) for link in self.links]
        return torch.from_numpy(-np.log(np.stack(likely)).sum(0))

    def metrics(self) -> dict[str, float]:
        """Columns that are linked so far, those of them that boosted trees predict, and rows of the smallest leaf, which
        doubles where rows came out as copies.
        """
        stacked = sum(link.stacked is not None and link.stacked.targets > 0 for link in self.links)
        return {"links": len(self.links), **({"predicted": stacked} if stacked else {}), "leaf": self._leaf}

    def fit(self, points: Tensor, y: Tensor | None, seed: int, seconds: float | None) -> Iterator[float]:
        assert isinstance(self.space, Codes)
        cells = points.cpu().numpy().astype(np.int64)
        rng = np.random.default_rng(seed)
        most_leaf = len(cells) // 2
        if self.config.leaf > max(1, most_leaf):
            raise FitError(
                f"model.leaf={self.config.leaf} is more than half of the {len(cells):,} rows to learn from, so that no leaf "
                f"could be split; wanted at most {max(1, most_leaf)}, or 0 to leave it to the data."
            )
        information = dependence(cells, self.space, rng)
        self.odds, self.refusal, self.fair, self._stacked = None, None, False, {}
        given = self.config.context > 0
        few = len(cells) < self.config.small
        prune = self.config.prune
        last = self._last(cells, information, rng) if few and prune and not given else 0
        rest = _chain(information, self.config.context, last)
        pruning = None if not prune else FEW_ROWS if few and not given else MANY_ROWS
        stacked = STACKED if prune and self.config.boost and not (few and given) else 0
        leaf = self.config.leaf or ((SMALL_LEAF if few else LEAF) if prune else PLAIN_LEAF)
        plan = Plan(rest, information, leaf, pruning, stacked)
        leans = 0.0 if few or prune else LEANS
        many = min(COMPARED, CELLS // max(1, cells.shape[1]))
        done, left = 0.0, 0.9
        while True:
            for share in self._linked(cells, plan, rng):
                yield done + left * PASS * share
            done, left = done + left * PASS, left * (1 - PASS)
            # what pruned trees draw given other columns was no oftener a copy than unseen rows are
            settled = self.config.leaf or plan.leaf >= most_leaf or (given and prune)
            if settled or not self._copies(cells, min(many, LOOKED), leans, rng):
                break
            self.fair = not given and self._fair(cells, plan, rng)
            if self.fair:
                break
            if plan.stacked > 1:
                plan = plan._replace(stacked=1)  # of few combinations boosted trees recall those that they learned
            elif plan.pruning is FEW_ROWS:
                plan = plan._replace(pruning=MANY_ROWS)
            else:
                more = (3 * plan.leaf + 1) // 2 if given else 2 * plan.leaf
                plan = plan._replace(leaf=min(more, most_leaf))
        if not (self.fair or given) and len(cells) <= PARTED:
            self.refusal = self._refused(cells, np.full(2, np.inf), rng)
        if self.config.odds and self.config.boost and rest and min(len(cells), many) >= self.config.small:
            self.odds = self._compared(cells, many, plan.leaf, rng)
        self._stacked = {}
        yield 1.0

    def _last(self, cells: np.ndarray, information: np.ndarray, rng: np.random.Generator) -> int:
        """Where in the chain of a table of few rows its last column stands, which most often is what the others are to predict.

        At the end (1), given them all. A class that the others tell well, and each for itself, comes first (-1): then what they
        have of it does not fade on the way along the chain.
        """
        assert isinstance(self.space, Codes)
        value, which, many = np.unique(cells[:, -1], return_inverse=True, return_counts=True)
        share = many / len(cells)
        entropy = float(-(share * np.log(share)).sum())
        single = float(information[-1, :-1].sum())
        sorts = not self.space.ordered[-1] and 1 < len(value) <= CLASSES and len(cells) >= FEWEST
        if not sorts or entropy < TOLD or single < ALONE * entropy:
            return 1
        others = list(range(cells.shape[1] - 1))
        seen, nominal = features(cells, others, self._nominal[:-1]), np.flatnonzero(self._nominal[:-1]).tolist()
        _, told = smoothed(seen, nominal, np.eye(len(value))[which], rng.permutation(len(cells)) % FIFTHS, rng)
        told = np.maximum(told, FAINT)
        left = -np.log(told[np.arange(len(cells)), which] / told.sum(1)).mean()
        return -1 if entropy - left >= max(TOLD, WELL * entropy) else 1

    def _linked(self, cells: np.ndarray, plan: Plan, rng: np.random.Generator) -> Iterator[float]:
        """Fits a link for each column of the chain."""
        self.links, self._leaf = [], plan.leaf
        before = list(range(self.config.context))
        most = min(self.config.parents, max(FEW_PARENTS, LINKED // max(1, cells.shape[1])))
        growth = self._growth(len(cells), plan.leaf, plan.pruning)
        for i, j in enumerate(plan.chain):
            assert isinstance(self.space, Codes)
            parents = sorted(before, key=lambda q: (-plan.information[j, q], q))[:most]
            how = replace(growth, stacked=self._stacked) if i >= len(plan.chain) - plan.stacked else growth
            self.links.append(Link.fit(cells, j, parents, self.space, how, rng))
            before = [*before, j]
            yield (i + 1) / (len(plan.chain) + 1)

    def _growth(self, rows: int, leaf: int, pruning: Pruning | None) -> Growth:
        """How trees of so many `rows` are grown."""
        c = self.config
        boosted = leaf if c.leaf else min(leaf, LEAF)  # the boosted draw ranges of values, and copy none
        boosting = Boosting(c.rounds, c.rate, c.leaves, boosted, c.gain, 1.0, c.signal, c.most, c.tuned)
        return Growth(leaf, pruning, c.groups, boosting, rows < c.small or not c.boost, None, c.absent)

    def _copies(self, cells: np.ndarray, many: int, leans: float, rng: np.random.Generator) -> bool:
        """Whether drawn rows equal those of `cells` [n, columns] oftener than these equal each other, by more than `leans`.

        Of what is drawn: columns that are always given are as in the data, and are not compared.
        """
        context = self.config.context
        if context:
            wanted = np.full((many, cells.shape[1]), -1)
            wanted[:, :context] = cells[rng.integers(len(cells), size=many), :context]
            return copies(cells[:, context:], self._drawn(wanted, rng, True)[:, context:], leans)
        return copies(cells, self._drawn(np.full((many, cells.shape[1]), -1), rng, True), leans)

    def _fair(self, cells: np.ndarray, plan: Plan, rng: np.random.Generator) -> bool:
        """Whether draws come near `cells` [n, columns] no oftener than near rows left out, once some of them are refused.

        Then what they equal they equal for want of other ones, as in a table that lists every combination once: real rows never
        repeat there, but no model of them could avoid them.
        """
        if not 4 * plan.leaf <= len(cells) <= PARTED:
            return False
        met = np.zeros((2, 2))
        parts = np.array_split(cells[rng.permutation(len(cells))], PARTS)
        for i, other in enumerate(parts):
            own = np.concatenate(parts[:i] + parts[i + 1 :])
            model = Model(self.space, self.classes, self.config)
            for _ in model._linked(own, plan, rng):
                pass
            drawn = model._free(min(LOOKED, CELLS // max(1, cells.shape[1])), rng, False)
            some = own[rng.choice(len(own), len(other), replace=False)]
            met += [shares(Learned.of(rows).kinds(drawn)) / PARTS for rows in (some, other)]
        fair = as_often(float(met[0, 0]), float(met[1, 0]), len(cells))
        if fair or plan.plainest:
            self.refusal = self._refused(cells, met[0] / np.maximum(met[1], 1e-9), rng)
        return fair or self.refusal is not None

    def _refused(self, cells: np.ndarray, leans: np.ndarray, rng: np.random.Generator) -> Refusal | None:
        """What takes back how much draws lean on `cells` [n, columns]: `leans` [2] times as much as on rows left out."""
        learned = Learned.of(cells)
        drawn = shares(learned.kinds(self._free(min(LOOKED, CELLS // max(1, cells.shape[1])), rng, True)))
        return Refusal.fit(learned, drawn, leans, unseen(cells))

    def _free(self, n: int, rng: np.random.Generator, stratified: bool) -> np.ndarray:
        """`n` rows of which nothing is given."""
        return self._drawn(np.full((n, self.space.numel), -1), rng, stratified)

    def _compared(self, cells: np.ndarray, many: int, leaf: int, rng: np.random.Generator) -> Odds:
        """The odds of rows of `cells` [n, columns] to `many` drawn ones; given columns are as in the data."""
        wanted = np.full((many, cells.shape[1]), -1)
        context = self.config.context
        wanted[:, :context] = cells[rng.integers(len(cells), size=many), :context]
        drawn = self._drawn(wanted, rng, True)
        real = cells if len(cells) <= many else cells[np.sort(rng.choice(len(cells), many, replace=False))]
        nominal = np.flatnonzero(self._nominal).tolist()
        return Odds.fit(self._whole(real), self._whole(drawn), nominal, self.config.odds, leaf, rng)

    @property
    def _nominal(self) -> np.ndarray:
        assert isinstance(self.space, Codes)
        return ~np.array(self.space.ordered, bool)

    def _whole(self, cells: np.ndarray) -> np.ndarray:
        return features(cells, list(range(cells.shape[1])), self._nominal)

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator, independent: bool = False) -> Tensor:
        if self.config.context:
            raise FitError(f"the first {self.config.context} columns are always given to this model; use impute().")
        return self.impute(torch.full((n, self.space.numel), -1), rng, independent)

    def impute(self, given: Tensor, rng: torch.Generator, independent: bool = False) -> Tensor:
        assert isinstance(self.space, Codes)
        chance = np.random.default_rng(int(torch.randint(1 << 62, (), generator=rng, device=rng.device)))
        wanted = given.cpu().numpy().astype(np.int64)
        free = wanted < 0
        sizes = np.array(self.space.sizes, np.int64)
        if wanted.shape[1:] != self.space.shape or (~free & (wanted >= sizes[None])).any():
            raise FitError(f"given cells are long [n, {len(sizes)}], -1 or a code below the column's size.")
        out = self._drawn(wanted, chance, not independent)
        rows = np.flatnonzero(free.any(1))
        for _ in range(AGAIN if self.odds or self.refusal else 0):
            rows = rows[~self._stays(out[rows], chance)]
            if len(rows) and (wanted[rows] < 0).all():
                more = np.full((int(SPARE * len(rows)) + CROWD, len(sizes)), -1)
                fresh = self._drawn(more, chance, not independent)
                fresh = fresh[self._stays(fresh, chance)][: len(rows)]
                out[rows[: len(fresh)]] = fresh
                rows = rows[len(fresh) :]
            if not len(rows):
                break
            out[rows] = self._drawn(wanted[rows], chance, not independent)
        return torch.from_numpy(out).to(given.device)

    def _stays(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """bool [n]: which drawn rows `cells` [n, columns] are kept."""
        stays = np.ones(len(cells), bool)
        if self.odds is not None:
            stays &= self.odds.stays(self._whole(cells), rng)
        if self.refusal is not None:
            stays &= self.refusal.stays(cells, rng)
        return stays

    def _drawn(self, wanted: np.ndarray, chance: np.random.Generator, stratified: bool) -> np.ndarray:
        """`wanted` [n, columns] with every -1 drawn to fit the rest; `stratified` as in `Link.draw`."""
        free = wanted < 0
        out = np.where(free, 0, wanted)
        # a row needs candidates only up to its last given cell, and none where the given cells come first in the chain
        order = [link.column for link in self.links]
        pinned = ~free[:, order]
        last = np.where(pinned.any(1), pinned.shape[1] - 1 - pinned[:, ::-1].argmax(1), -1)
        hard = np.flatnonzero(last >= np.maximum(np.logical_and.accumulate(pinned, axis=1).sum(1), 1))
        for rows in by_given(wanted, hard):
            out[rows] = self._candidates(out[rows], pinned[rows[0]], chance, stratified)
        begun = np.zeros(len(out), np.int64)
        begun[hard] = last[hard] + 1
        for i, link in enumerate(self.links):
            limits.pause()
            rows = np.flatnonzero((begun <= i) & ~pinned[:, i])
            if len(rows):  # all of a wide table are not copied for each of its columns
                some = out if len(rows) == len(out) else out[rows]
                out[rows, link.column] = link.draw(some, chance, stratified)
        return out

    def _candidates(
        self, cells: np.ndarray, pinned: np.ndarray, chance: np.random.Generator, stratified: bool
    ) -> np.ndarray:
        """Rows filled in up to their last given cell, the links `pinned` being given.

        Candidates are drawn side by side, weighed by how well what is given fits them, and drawn again by that weight:
        each row among its own, or, where all rows are given the same, among all.
        """
        k, n = self.config.particles, len(cells)
        same = n >= CROWD and bool((cells == cells[:1]).all())
        many = np.repeat(cells, k, axis=0)
        pool = (1, n * k) if same else (n, k)
        weight = np.zeros(pool)
        for i in range(int(np.flatnonzero(pinned).max()) + 1):
            link = self.links[i]
            for part in np.array_split(np.arange(n * k), n * k // AT_ONCE + 1):
                limits.pause()
                if not pinned[i]:
                    many[part, link.column] = link.draw(many[part], chance, stratified)
                else:
                    fits = link.likelihood(many[part], many[part, link.column], chance)
                    weight.reshape(-1)[part] += np.log(np.maximum(fits, 1e-12))
            if pinned[i]:
                share = np.exp(weight - weight.max(1, keepdims=True))
                few = np.flatnonzero(share.sum(1) ** 2 / (share**2).sum(1) < pool[1] / 2)
                if len(few):
                    kept = few[:, None] * pool[1] + resample(weight[few], pool[1], chance)
                    many[(few[:, None] * pool[1] + np.arange(pool[1])).ravel()] = many[kept.ravel()]
                    weight[few] = 0.0
        chosen = resample(weight, n // pool[0], chance)
        return np.asarray(many[(np.arange(pool[0])[:, None] * pool[1] + chosen).ravel()])

    def weights(self) -> dict[str, Tensor]:
        out = {"links": torch.tensor([link.column for link in self.links])}
        parts = {**{str(i): link for i, link in enumerate(self.links)}, "odds": self.odds, "refusal": self.refusal}
        for whose, part in parts.items():
            held = part.weights() if part is not None else {}
            out |= {f"{whose}.{name}": torch.from_numpy(np.ascontiguousarray(a)) for name, a in held.items()}
        return out

    def put(self, weights: dict[str, Tensor]) -> None:
        assert isinstance(self.space, Codes)

        def part(name: str) -> dict[str, np.ndarray]:
            return {k.split(".", 1)[1]: v.numpy() for k, v in weights.items() if k.split(".", 1)[0] == name}

        columns = weights["links"].tolist()
        if sorted(columns) != list(range(self.config.context, self.space.numel)):
            raise RunError("the saved chain of trees is for other columns than these. Train the run again.")
        before = list(range(self.config.context))
        self.links = []
        for i, column in enumerate(columns):
            self.links.append(Link.restore(part(str(i)), column, before, self.space))
            before.append(column)
        odds, refusal = part("odds"), part("refusal")
        self.odds = Odds.restore(odds, self.space.numel) if odds else None
        self.refusal = Refusal.restore(refusal, self.space.numel) if refusal else None


def _chain(information: np.ndarray, context: int, last: int) -> list[int]:
    """The order of the columns behind the first `context`: what tells most of the others comes first.

    The last column of the table is drawn given them all where `last` is 1, and all given it where it is -1.
    """
    order = sorted(range(context, len(information)), key=lambda j: (-information[j].sum(), j))
    return sorted(order, key=lambda j: last * (j == len(information) - 1))
