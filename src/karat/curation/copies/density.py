"""How likely a row is: how common each of its cells is, and how common given one other column.

The columns hang together as a tree, each on the one that tells most of it (Chow & Liu, https://doi.org/10.1109/TIT.1968.1054142).
Kept are the values that many rows have, and counts of pairs of coarse bins: of a single row it holds no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from karat.space import Codes
from karat.stats.dependence import dependence
from karat.views import TableView

COMMON, RARE = 1000, 5  # a value is common that one in so many rows have, and at least so many
BINS = 32  # of a column, but one for missing cells
WEIGHT = 4.0  # rows by which a column counts as independent of the other


class Density:
    """Nats of cells.   edges: float, of each column, where its bins begin.   common: values and nats of each column, and `rest`
    of the others.   parents [c]: the column on which each hangs, -1 for the first.   pairs: int [bins of the parent, bins], of
    each column."""

    def __init__(
        self,
        edges: list[np.ndarray],
        common: list[tuple[np.ndarray, np.ndarray]],
        rest: np.ndarray,
        parents: np.ndarray,
        pairs: list[np.ndarray],
    ) -> None:
        self.edges, self.common, self.rest, self.parents, self.pairs = edges, common, rest, parents, pairs

    @classmethod
    def of(cls, train: TableView, rng: np.random.Generator) -> Self:
        edges, common, rest = [], [], []
        for column in train.values.T:
            known = column[~np.isnan(column)]
            values, many = np.unique(known, return_counts=True)
            edges.append(values if len(values) <= BINS else np.unique(np.quantile(known, np.arange(1, BINS) / BINS)))
            often = many >= max(RARE, len(column) / COMMON)
            seldom = many[~often].astype(np.float64)
            common.append((values[often], -np.log(many[often] / len(column))))
            rest.append(np.log(len(column) * seldom.sum() / (seldom**2).sum()) if len(seldom) else 0.0)
        out = cls(edges, common, np.array(rest), np.zeros(0, np.int64), [])
        codes = out._codes(train.values)
        sizes = [len(each) + 1 for each in edges]
        out.parents = _tree(dependence(codes, Codes(tuple(sizes), (True,) * train.width), rng))
        for j, parent in enumerate(out.parents):
            above, height = (np.zeros(len(codes), np.int64), 1) if parent < 0 else (codes[:, parent], sizes[parent])
            many = np.bincount(above * sizes[j] + codes[:, j], minlength=height * sizes[j])
            out.pairs.append(many.reshape(height, sizes[j]).astype(np.int64))
        return out

    def nats(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float [n, c] each: of cells by themselves, and given the column on which theirs hangs."""
        alone, given, codes = np.empty(values.shape), np.empty(values.shape), self._codes(values)
        n = self.pairs[0].sum()
        for j, (column, (known, nats)) in enumerate(zip(values.T, self.common, strict=True)):
            alone[:, j] = self.rest[j]
            if len(known):
                at = np.minimum(np.searchsorted(known, column), len(known) - 1)
                alone[:, j] = np.where(known[at] == column, nats[at], self.rest[j])
            above = np.zeros(len(values), np.int64) if self.parents[j] < 0 else codes[:, self.parents[j]]
            both, whole = self.pairs[j][above, codes[:, j]], self.pairs[j].sum(1)[above]
            share = np.maximum(self.pairs[j].sum(0)[codes[:, j]], 0.5) / n
            given[:, j] = alone[:, j] - np.log((both / share + WEIGHT) / (whole + WEIGHT))
        return alone, given

    def _codes(self, values: np.ndarray) -> np.ndarray:
        """int64 [n, c]: the bin of each cell, 0 where it is missing."""
        out = np.zeros(values.shape, np.int64)
        for j, (column, edges) in enumerate(zip(values.T, self.edges, strict=True)):
            out[:, j] = np.where(np.isnan(column), 0, np.searchsorted(edges, column, "right"))
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it."""
        return {
            "edges": np.concatenate(self.edges),
            "edges.sizes": np.array([len(each) for each in self.edges], np.int64),
            "common": np.concatenate([np.stack(both, 1) for both in self.common]),
            "common.sizes": np.array([len(values) for values, _ in self.common], np.int64),
            "rest": self.rest,
            "parents": self.parents,
            "pairs": np.concatenate([each.ravel() for each in self.pairs]),
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What gave the arrays; KeyError, ValueError or IndexError where they cannot be any."""
        edges = np.split(arrays["edges"], np.cumsum(arrays["edges.sizes"])[:-1])
        common = np.split(arrays["common"], np.cumsum(arrays["common.sizes"])[:-1])
        parents = arrays["parents"]
        shapes = [(1 if p < 0 else len(edges[p]) + 1, len(edges[j]) + 1) for j, p in enumerate(parents)]
        pairs = np.split(arrays["pairs"], np.cumsum([a * b for a, b in shapes])[:-1])
        if not len(edges) == len(common) == len(parents) == len(arrays["rest"]):
            raise ValueError("its columns do not go together")
        tables = [each.reshape(shape) for each, shape in zip(pairs, shapes, strict=True)]
        return cls(edges, [(each[:, 0], each[:, 1]) for each in common], arrays["rest"], parents, tables)


def _tree(information: np.ndarray) -> np.ndarray:
    """int64 [c]: of each column the one on which it hangs in the tree that holds most `information` [c, c]; of the first -1."""
    parents, best = np.full(len(information), -1, np.int64), information[0].copy()
    nearest, left = np.zeros(len(information), np.int64), np.arange(len(information)) > 0
    while left.any():
        j = int(np.where(left, best, -np.inf).argmax())
        parents[j], left[j] = nearest[j], False
        closer = left & (information[j] > best)
        best[closer], nearest[closer] = information[j][closer], j
    return parents
