"""A classification tree that draws one of its own training rows: sharp where the data is, and no deeper than it supports.

The tree is CART (scikit-learn's), as in synthpop (Nowok, Raab & Dibben, 2016). How far down a row goes is drawn from the
posterior over all prunings of the tree (Buntine, "Learning classification trees", 1992; context tree weighting, Willems,
Shtarkov & Tjalkens, 1995), so that a column that hardly depends on the others is drawn from nearly all rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from karat.errors import RunError
from karat.stats.stratified import dealt

SPLIT_VALUES = 24  # values of a feature without order that may be asked for one by one
SHARP = 0.03  # of all rows, whose proposed group is none of their node's, beyond what is to be expected
FAINT = 0.1  # of a row, by which a group that no donor at a node has is still possible there
FEW = 5.0  # rows at a node that say little of who proposes groups there
MOST = 100_000  # rows that a tree is grown on

ARRAYS = ("column", "value", "threshold", "left", "right", "parent", "start", "end", "reach", "fresh", "key", "code")


class Pruning(NamedTuple):
    """What is believed of a tree before the data is seen."""

    prior: float  # imaginary rows, spread as the root's, in the Dirichlet prior of every node
    cost: float  # nats that a split must pay for having been chosen among many


MANY_ROWS, FEW_ROWS = Pruning(10.0, 2.0), Pruning(2.0, 0.0)  # few rows would hardly ever pay for a split


class Donors:
    """Nodes as arrays: a row goes left at a node where its cell of `column` is at most `threshold`, or, where `value` is not
    -1, where it is not `value`. `start`, `end`: the node's rows among the donors, which lie in the order of the leaves, and
    in each leaf of the codes. `reach`: the chance that a row comes at least this deep. `fresh`: the share let pass of groups
    that none of the node's donors has; before `calibrate_backoff`, the chance of such a group, by Good & Turing the share of
    rows alone in theirs. `key`, `code`: donors by (group, place), and their codes."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.at = {name: np.asarray(arrays[name]) for name in ARRAYS}
        self.count = len(self.at["code"])
        place = self.at["key"] % max(1, self.count)
        self.ordered = np.empty(self.count, np.int64)  # codes in the order of the leaves
        self.ordered[place] = self.at["code"]

    @classmethod
    def fit(
        cls,
        cells: np.ndarray,
        ordered: list[bool],
        groups: np.ndarray,
        codes: np.ndarray,
        leaf: int,
        pruning: Pruning | None,
        rng: np.random.Generator,
    ) -> Donors:
        """cells int [n, f], the features; groups [n], what the splits tell apart; codes [n], what is drawn.

        pruning: None for draws from the leaves.
        """
        if len(codes) > MOST:
            some = np.sort(rng.choice(len(codes), MOST, replace=False))
            cells, groups, codes = cells[some], groups[some], codes[some]
        asks, seen = _split_features(cells, ordered)
        tree = _grown(seen, groups, leaf, rng)
        n, leaves = tree.node_count, tree.apply(seen)
        left, right = tree.children_left.astype(np.int32), tree.children_right.astype(np.int32)
        parent, start, total = _donors_below(leaves, left, right)
        table = np.array(asks, np.int32)[np.maximum(tree.feature, 0)]
        weight = tree.value[:, 0, :] * tree.weighted_n_node_samples[:, None]
        place = np.empty(len(codes), np.int64)
        place[np.lexsort((codes, leaves))] = np.arange(len(codes))
        key = groups * len(codes) + place
        by = np.argsort(key)
        return cls(
            {
                "column": table[:, 0],
                "value": table[:, 1],
                "threshold": tree.threshold.astype(np.float32),
                "left": left,
                "right": right,
                "parent": parent,
                "start": start,
                "end": (start + total).astype(np.int64),
                "reach": _reach(weight, left, right, pruning) if pruning else np.ones(n),
                "fresh": (np.rint(weight) == 1).sum(1) / weight.sum(1),
                "key": key[by],
                "code": codes[by].astype(np.int32),
            }
        )

    def leaf(self, cells: np.ndarray) -> np.ndarray:
        """The leaf [n] that each row of `cells` [n, f] comes to."""
        at, node = self.at, np.zeros(len(cells), np.int64)
        going = np.arange(len(cells)) if at["left"][0] >= 0 else np.arange(0)
        while len(going):
            here = node[going]
            cell, value = cells[going, at["column"][here]], at["value"][here]
            stays = np.where(value < 0, cell <= at["threshold"][here], cell != value)
            node[going] = np.where(stays, at["left"][here], at["right"][here])
            going = going[at["left"][node[going]] >= 0]
        return node

    def node(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The node [n] that a draw for each row of `cells` [n, f] stops at."""
        node, depth = self.leaf(cells), rng.random(len(cells))
        parent, reach = self.at["parent"], self.at["reach"]
        going = np.flatnonzero(depth >= reach[node])
        while len(going):
            node[going] = parent[node[going]]
            going = going[depth[going] >= reach[node[going]]]
        return node

    def _held(self, node: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where in `key` the donors of each group begin and end at each node."""
        offset = groups * self.count
        low = np.searchsorted(self.at["key"], offset + self.at["start"][node])
        return low, np.searchsorted(self.at["key"], offset + self.at["end"][node])

    def _climb(self, node: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nearest node at or above each that has a donor of the group, and where those begin and end."""
        node = node.copy()
        low, high = self._held(node, groups)
        going = np.flatnonzero((high <= low) & (node > 0))
        while len(going):
            node[going] = self.at["parent"][node[going]]
            low[going], high[going] = self._held(node[going], groups[going])
            going = going[(high[going] <= low[going]) & (node[going] > 0)]
        return node, low, high

    def calibrate_backoff(self, node: np.ndarray, groups: np.ndarray) -> None:
        """Looks at the `groups` [n] that a proposer gives rows that stop at `node` [n], and sets how many unsupported ones pass.

        Where it often names groups that no donor at the node has, as it does where a column nearly follows from others,
        only as many are let pass as are to be expected. A few more or less are left alone: they keep the margins right.
        """
        low, high = self._held(node, groups)
        nodes, share = len(self.at["left"]), self.at["fresh"]
        if float((high <= low).mean() - share[node].mean()) < SHARP:
            self.at["fresh"] = np.ones(nodes)
            return
        seen = np.bincount(node, minlength=nodes)
        absent = np.bincount(node, weights=high <= low, minlength=nodes)
        rate = (absent + FEW * share) / (seen + FEW)
        self.at["fresh"] = np.where(rate > share, share / np.maximum(rate, 1e-12), 1.0)

    def unsupported(self, node: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """bool [n]: where no donor at the node has the group, but for as many as are let pass."""
        low, high = self._held(node, groups)
        return np.asarray((high <= low) & (rng.random(len(node)) >= self.at["fresh"][node]))

    def within(self, node: np.ndarray, groups: np.ndarray, rng: np.random.Generator, stratified: bool) -> np.ndarray:
        """The code [n] of a donor of the group at the node, or at the nearest node above that has one.

        stratified: whether rows that could have the same donors take different ones, as far as there are.
        """
        _, low, high = self._climb(node, groups)
        return np.asarray(self.at["code"][_picked(low, high, rng, stratified)], np.int64)

    def anyone(self, node: np.ndarray, rng: np.random.Generator, stratified: bool) -> np.ndarray:
        """The code [n] of any donor at the node; `stratified` as above."""
        return np.asarray(self.ordered[_picked(self.at["start"][node], self.at["end"][node], rng, stratified)])

    def likelihood(
        self, cells: np.ndarray, groups: np.ndarray, codes: np.ndarray, alone: bool, rng: np.random.Generator
    ) -> np.ndarray:
        """The chance float64 [n] of `codes` at the nodes that a draw would stop at, given their `groups`, or, `alone`, of both."""
        stop = self.node(cells, rng)
        chance = self._group_chance(stop, groups) if alone else np.ones(len(codes))
        node, low, high = self._climb(stop, groups)
        by_code = np.sort(self._code_key())
        offset = codes * self.count
        same = np.searchsorted(by_code, offset + self.at["end"][node]) - np.searchsorted(
            by_code, offset + self.at["start"][node]
        )
        return np.asarray(chance * (same + 1e-3) / np.maximum(1, high - low + 1e-3))

    def _group_chance(self, node: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The share [n] of the donors at each node that have the group, with `FAINT` of a row more that is spread as all are."""
        root = np.zeros(len(node), np.int64)
        (low, high), (first, last) = self._held(node, groups), self._held(root, groups)
        total = self.at["end"][node] - self.at["start"][node]
        return np.asarray((high - low + FAINT * (last - first + 1e-3) / self.count) / (total + FAINT))

    def _code_key(self) -> np.ndarray:
        return np.asarray(self.ordered * self.count + np.arange(self.count))

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        return {**self.at, "reach": self.at["reach"].astype(np.float32), "fresh": self.at["fresh"].astype(np.float32)}

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], width: int, codes: int) -> Donors:
        """The tree over `width` features and `codes` codes that gave `weights`; RunError where they cannot be one."""
        at = {name: np.asarray(weights[name]) for name in ARRAYS}
        n, count, index = len(at["left"]), len(at["code"]), np.arange(len(at["left"]))
        inner = at["left"] >= 0
        good = n > 0 and count > 0 and len(at["key"]) == count and all(len(at[k]) == n for k in ARRAYS[:10])
        good = good and bool(((at["column"] >= 0) & (at["column"] < max(1, width))).all())
        good = good and all(bool((at[s][inner] > index[inner]).all() and (at[s] < n).all()) for s in ("left", "right"))
        good = good and bool((at["parent"][1:] < index[1:]).all() and (at["parent"] >= 0).all())
        good = good and bool(
            (at["start"] >= 0).all() and (at["end"] > at["start"]).all() and (at["end"] <= count).all()
        )
        good = good and bool((at["code"] >= 0).all() and (at["code"] < codes).all() and at["reach"][0] >= 1)
        good = good and len(np.unique(at["key"] % count)) == count and bool((np.diff(at["key"]) > 0).all())
        if not good:
            raise RunError("a tree of donors is damaged: its nodes lead nowhere. Train the run again.")
        return cls(at)


def _split_features(cells: np.ndarray, ordered: list[bool]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """What a tree may ask of `cells` [n, f], as (column, value) with -1 for its order, and the answers float32 [n, asks].

    Where there are no features it is asked of nothing, which is 0.
    """
    asks = [(j, -1) for j in range(cells.shape[1])]
    for j in range(cells.shape[1]):
        if not ordered[j]:
            asks += [(j, v) for v in range(min(SPLIT_VALUES, int(cells[:, j].max()) + 1))]
    if not asks:
        return [(0, -1)], np.zeros((len(cells), 1), np.float32)
    seen = np.empty((len(cells), len(asks)), np.float32)
    for i, (j, v) in enumerate(asks):
        seen[:, i] = cells[:, j] if v < 0 else cells[:, j] == v
    return asks, seen


def _grown(seen: np.ndarray, groups: np.ndarray, leaf: int, rng: np.random.Generator) -> Any:
    """scikit-learn's tree that tells `groups` [n] apart by `seen` [n, asks], with at least `leaf` rows in each leaf."""
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(
        criterion="entropy", min_samples_leaf=max(1, leaf), random_state=int(rng.integers(1 << 31))
    )
    with warnings.catch_warnings():  # few rows have nearly as many groups, and are no regression for that
        warnings.simplefilter("ignore", UserWarning)
        return model.fit(seen, groups).tree_


def _donors_below(leaves: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parent of each node, where its rows begin among the donors, and how many they are; `leaves` [n]: of each row."""
    n = len(left)
    parent, total = np.zeros(n, np.int32), np.bincount(leaves, minlength=n)
    start = np.concatenate([[0], np.cumsum(total)[:-1]])  # scikit-learn numbers nodes depth first: leaves ascend
    for i in range(n - 1, -1, -1):
        if left[i] >= 0:
            parent[left[i]] = parent[right[i]] = i
            total[i] = total[left[i]] + total[right[i]]
    return parent, start.astype(np.int64), total


def _picked(low: np.ndarray, high: np.ndarray, rng: np.random.Generator, stratified: bool) -> np.ndarray:
    return dealt(low, high, rng) if stratified else low + (rng.random(len(low)) * (high - low)).astype(np.int64)


def _reach(counts: np.ndarray, left: np.ndarray, right: np.ndarray, pruning: Pruning) -> np.ndarray:
    """The chance [nodes] of coming at least to each node under the posterior over prunings; `counts` [nodes, groups].

    Evidence of a node: Dirichlet-multinomial. A split and its absence are equally likely before the data is seen.
    """
    from scipy.special import gammaln

    prior = pruning.prior * counts[0] / counts[0].sum() + 1e-9
    alone = gammaln(prior.sum()) - gammaln(prior.sum() + counts.sum(1))
    alone += (gammaln(counts + prior) - gammaln(prior)).sum(1)
    best, split = alone.copy(), np.zeros(len(left))
    for i in range(len(left) - 1, -1, -1):
        if left[i] >= 0:
            deeper = best[left[i]] + best[right[i]] - pruning.cost
            best[i] = np.logaddexp(deeper, alone[i])
            split[i] = np.exp(deeper - best[i])
            best[i] -= np.log(2)
    reach = np.ones(len(left))
    for i in range(len(left)):
        if left[i] >= 0:
            reach[left[i]] = reach[right[i]] = reach[i] * split[i]
    return reach
