"""One link of a chain over the columns of a table: how a column is drawn given some of the others.

Boosted trees tell the part of the column's range, a tree of donors the exact value (`codetree`, `donors`). Of few rows a tree
of donors draws alone. Both are shown where boosted trees that learned from all rows at once expect the column (`stacking`):
what is left for a part of the range or a leaf to find in its own few rows is then little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from karat.errors import RunError
from karat.space import Codes
from karat.stats.codetree import CHOICES, Boosting, CodeTree
from karat.stats.dependence import grouped
from karat.stats.donors import FEW_ROWS, Donors, Pruning
from karat.stats.stacking import FEW, MANY, Stacked
from karat.stats.stratified import LEVELS, alike

COARSE = 64  # values of a column that are compared with those of another for pairs that never meet
REDRAWS = 6
NARROW = 12  # parts of a column of few rows up to which pruning tells how deep to go
FEWEST_PARTS = 5  # of a column in order that is predicted for boosted trees; fewer are told apart by few of these
WIDE_LEAF = 8  # rows of a leaf of the others, at least, which are not pruned


@dataclass(frozen=True)
class Growth:
    """How the trees of a link are grown.

    leaf: rows of a leaf of donors, at least.   groups: parts of a column's range.   alone: donors draw without the boosted
    trees' groups.   stacked: what boosted trees predict of columns, kept for the next fit to the same rows; None where trees are
    not shown it.   absent: pairs of values that chance would have
    brought together so often and never met stay apart.
    """

    leaf: int
    pruning: Pruning | None
    groups: int
    boosting: Boosting
    alone: bool
    stacked: dict[int, tuple[Stacked, np.ndarray]] | None
    absent: float


@dataclass
class Link:
    """How one column is drawn given `parents`: `tree` draws the group that `group` maps its codes to, `donors` the code."""

    column: int
    parents: list[int]
    nominal: np.ndarray
    group: np.ndarray
    tree: CodeTree
    donors: Donors | None
    stacked: Stacked | None  # what trees are shown besides the parents
    alone: bool  # the donors draw without a group
    coarse: dict[int, np.ndarray]
    never: dict[int, np.ndarray]
    mass: np.ndarray

    @classmethod
    def fit(
        cls,
        cells: np.ndarray,
        column: int,
        parents: list[int],
        space: Codes,
        growth: Growth,
        rng: np.random.Generator,
    ) -> Link:
        """cells [n, columns]: all columns; of these `parents` are looked at, which tell most first."""
        codes, size = cells[:, column], space.sizes[column]
        group = grouped(codes, size, space.ordered[column], growth.groups)
        groups, count = group[codes], int(group.max()) + 1
        nominal = np.array([not space.ordered[q] for q in parents], bool)
        seen = features(cells, parents, nominal)
        alone = growth.alone and bool(parents)
        boosting = replace(growth.boosting, rounds=0) if alone else growth.boosting
        asked, ordered = cells[:, parents], [space.ordered[q] for q in parents]
        which = np.flatnonzero(nominal).tolist()
        stacked, donors = None, None
        wanted = alone or (bool(parents) and space.ordered[column] and count >= FEWEST_PARTS)
        if growth.stacked is not None and wanted:
            if column not in growth.stacked:
                shape = FEW if alone else MANY
                growth.stacked[column] = Stacked.fit(seen, which, codes, space.ordered[column], shape, rng)
            stacked, predicted = growth.stacked[column]
            seen, asked = np.concatenate([seen, predicted], 1, dtype=np.float32), np.concatenate([asked, predicted], 1)
            ordered += [True] * predicted.shape[1]
        tree = CodeTree.fit(seen, groups, count, which, boosting, rng)
        if alone or count < size:
            leaf, pruning = growth.leaf, growth.pruning
            if pruning is FEW_ROWS and count > NARROW:
                pruning, leaf = None, max(leaf, WIDE_LEAF)
            donors = Donors.fit(asked, ordered, groups, codes, leaf, pruning, rng)
            if not alone:
                some = rng.permutation(len(cells))[: growth.boosting.most]
                donors.calibrate_backoff(donors.node(asked[some], rng), tree.draw(seen[some], rng))
        coarse: dict[int, np.ndarray] = {}
        never: dict[int, np.ndarray] = {}
        mass = np.bincount(groups, minlength=count).astype(np.float64)
        for q in parents:
            bins = grouped(cells[:, q], space.sizes[q], space.ordered[q], COARSE)
            wide = int(bins.max()) + 1
            met = np.bincount(bins[cells[:, q]] * count + groups, minlength=wide * count).reshape(wide, count)
            apart = (met == 0) & (met.sum(1, keepdims=True) * mass[None] / max(1, len(codes)) > growth.absent)
            if apart.any():
                coarse[q], never[q] = bins, apart
        return cls(column, parents, nominal, group, tree, donors, stacked, alone, coarse, never, mass)

    def _shown(self, cells: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What boosted trees, float32, and trees of donors, int64, are shown of rows of `cells` [n, columns]: [n, features]."""
        seen, asked = features(cells, self.parents, self.nominal), cells[:, self.parents]
        if self.stacked is None:
            return seen, asked
        predicted = self.stacked.predict(seen, None if self.alone else rng)
        return np.concatenate([seen, predicted], 1, dtype=np.float32), np.concatenate([asked, predicted], 1)

    def draw(self, cells: np.ndarray, rng: np.random.Generator, stratified: bool) -> np.ndarray:
        """Codes [n] for the rows of `cells` [n, columns], of which the parents' are read.

        stratified: whether like rows together come out as their chances say, or each row for itself.
        """
        out = self._draw(cells, rng, stratified)
        if not self.never:
            return out
        wrong = np.flatnonzero(self._apart(cells, self.group[out]))
        for _ in range(REDRAWS):
            if not len(wrong):
                return out
            out[wrong] = self._draw(cells[wrong], rng, stratified=False)
            wrong = wrong[self._apart(cells[wrong], self.group[out[wrong]])]
        for row in wrong:  # what the trees hardly ever say: by the shares of the values that may stand here
            may = self.mass.copy()
            for q, apart in self.never.items():
                may[apart[self.coarse[q][cells[row, q]]]] = 0
            if may.sum() > 0:
                kind = rng.choice(len(may), p=may / may.sum())
                out[row] = self._within(cells[row : row + 1], np.array([kind]), rng)[0]
        return out

    def _apart(self, cells: np.ndarray, groups: np.ndarray) -> np.ndarray:
        wrong = np.zeros(len(cells), bool)
        for q, apart in self.never.items():
            wrong |= apart[self.coarse[q][cells[:, q]], groups]
        return wrong

    def _draw(self, cells: np.ndarray, rng: np.random.Generator, stratified: bool) -> np.ndarray:
        order = alike(cells[:, self.parents[:LEVELS]], rng) if stratified and not self.alone else None
        seen, asked = self._shown(cells, rng)
        if self.donors is None:
            return self.tree.draw(seen, rng, order)
        node = self.donors.node(asked, rng)
        if self.alone:
            return self.donors.anyone(node, rng, stratified)
        groups = self.tree.draw(seen, rng, order)
        unsupported = np.flatnonzero(self.donors.unsupported(node, groups, rng))
        for _ in range(REDRAWS):
            if not len(unsupported):
                break
            groups[unsupported] = self.tree.draw(seen[unsupported], rng)
            unsupported = unsupported[self.donors.unsupported(node[unsupported], groups[unsupported], rng)]
        out = self.donors.within(node, groups, rng, stratified)
        out[unsupported] = self.donors.anyone(node[unsupported], rng, stratified=False)
        return out

    def _within(self, cells: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.donors is None:
            return groups
        return self.donors.within(self.donors.node(self._shown(cells, rng)[1], rng), groups, rng, stratified=False)

    def likelihood(self, cells: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The chance [n] of `codes` in this column of `cells`, up to what the pruning leaves open."""
        groups = self.group[codes]
        seen, asked = self._shown(cells, rng)
        chance = np.ones(len(codes)) if self.alone else self.tree.likelihood(seen, groups)
        if self.donors is not None:
            chance = chance * self.donors.likelihood(asked, groups, codes, self.alone, rng)
        return np.where(self._apart(cells, groups), 0.0, chance) if self.never else chance

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        out: dict[str, np.ndarray] = {
            "parents": np.array(self.parents, np.int64),
            "group": self.group.astype(np.int32),
            "mass": self.mass,
            "alone": np.array([self.alone]),
        }
        out |= {f"tree.{name}": a for name, a in self.tree.weights().items()}
        if self.donors is not None:
            out |= {f"donors.{name}": a for name, a in self.donors.weights().items()}
        if self.stacked is not None:
            out |= {f"stacked.{name}": a for name, a in self.stacked.weights().items()}
        for q, apart in self.never.items():
            out |= {f"never.{q}": apart, f"coarse.{q}": self.coarse[q].astype(np.int32)}
        return out

    @classmethod
    def restore(cls, weights: dict[str, np.ndarray], column: int, before: list[int], space: Codes) -> Link:
        """The link that gave `weights`; RunError where they do not fit the columns."""

        def part(name: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}

        parents, group, size = weights["parents"].tolist(), weights["group"].astype(np.int64), space.sizes[column]
        count = int(group.max()) + 1 if len(group) else 0
        coarse = {int(q): v.astype(np.int64) for q, v in part("coarse.").items()}
        never = {int(q): v for q, v in part("never.").items()}
        good = (
            set(parents) <= set(before) and len(group) == size and int(group.min()) >= 0 and set(never) == set(coarse)
        )
        for q, apart in never.items():
            good = good and q in parents and len(coarse[q]) == space.sizes[q] and int(coarse[q].min()) >= 0
            good = good and apart.shape == (int(coarse[q].max()) + 1, count)
        if not good or len(weights["mass"]) != count:
            raise RunError(f"the saved trees of column {column} are damaged. Train the run again.")
        nominal = np.array([not space.ordered[q] for q in parents], bool)
        held, more = part("donors."), part("stacked.")
        stacked = Stacked.restore(more, len(parents)) if more else None
        width = len(parents) + (0 if stacked is None else stacked.targets)
        tree = CodeTree.restore(part("tree."), count, width)
        donors = Donors.restore(held, width, size) if held else None
        alone, mass = bool(weights["alone"][0]), weights["mass"]
        return cls(column, parents, nominal, group, tree, donors, stacked, alone, coarse, never, mass)


def features(cells: np.ndarray, parents: list[int], nominal: np.ndarray) -> np.ndarray:
    """float32 [n, parents]: codes; of columns without order only the commonest are told apart."""
    out = cells[:, parents].astype(np.float32)
    if nominal.any():
        out[:, nominal] = np.minimum(out[:, nominal], CHOICES)
    return out
