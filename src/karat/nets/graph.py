"""A graphical model of a few discrete variables: fitted to noisy marginals, sampled exactly, and conditioned exactly.

Variables are eliminated one after another; what is left of a variable's neighbours then are its parents. So every joint
distribution here is a product of p(variable | parents), cliques are (variable, parents), and each of estimating, drawing
and conditioning is one pass along the order. The fit is that of McKenna, Sheldon & Miklau, "Graphical-model based
estimation and inference for differential privacy" (https://arxiv.org/abs/1901.09136): mirror descent on the marginals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEAST = 1e-12  # no conditional probability is below, so that no condition is impossible
BLOCK = 2**22  # cells of messages in memory at a time


@dataclass(frozen=True)
class Graph:
    """Variable v has sizes[v] values; `order` eliminates them, and parents[v] (rising) come after v in it."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]

    def clique(self, v: int) -> tuple[int, ...]:
        """v and its parents, rising; the axes of v's table."""
        return tuple(sorted((v, *self.parents[v])))

    def home(self, variables: Iterable[int]) -> int:
        """The first eliminated of `variables`: where they are all neighbours, its clique holds them."""
        return min(variables, key=self._rank.__getitem__)

    @cached_property
    def _rank(self) -> dict[int, int]:
        return {v: i for i, v in enumerate(self.order)}

    def cells(self) -> tuple[int, int]:
        """How many cells the largest clique has, and all together."""
        each = [math.prod(self.sizes[u] for u in self.clique(v)) for v in self.order]
        return max(each), sum(each)


@dataclass(frozen=True)
class Measured:
    """Noisy counts over `variables` (rising, one axis each), with noise of standard deviation `sigma`, one or each."""

    variables: tuple[int, ...]
    counts: np.ndarray
    sigma: float | np.ndarray


def triangulate(sizes: Sequence[int], edges: Iterable[tuple[int, int]]) -> Graph:
    """The graph of those neighbours, eliminating next whichever variable's clique has the fewest cells."""
    near: dict[int, set[int]] = {v: set() for v in range(len(sizes))}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    cost = {v: math.log(sizes[v]) + sum(math.log(sizes[u]) for u in near[v]) for v in near}
    parents: list[tuple[int, ...]] = [()] * len(sizes)
    order = []
    while cost:
        v = min(cost, key=lambda u: (cost[u], u))
        order.append(v)
        mine = near.pop(v)
        del cost[v]
        parents[v] = tuple(sorted(mine))
        for u in mine:
            near[u] |= mine - {u}
            near[u].discard(v)
        for u in mine:
            cost[u] = math.log(sizes[u]) + sum(math.log(sizes[w]) for w in near[u])
    return Graph(tuple(sizes), tuple(order), tuple(parents))


def _onto(array: np.ndarray, own: tuple[int, ...], wanted: tuple[int, ...]) -> np.ndarray:
    """`array` with axes `own` as one that broadcasts along the axes `wanted`, which hold them."""
    shape = iter(array.shape)
    return array.reshape([next(shape) if v in own else 1 for v in wanted])


def _down(array: np.ndarray, own: tuple[int, ...], wanted: tuple[int, ...]) -> np.ndarray:
    """`array` with axes `own`, summed down to `wanted`."""
    return np.asarray(array.sum(axis=tuple(i for i, v in enumerate(own) if v not in wanted)))


def conditionals(graph: Graph, potentials: Sequence[np.ndarray]) -> list[np.ndarray]:
    """p(v | parents) of every v, axes as its clique, of the density with these log potentials."""
    grown = [p for p in potentials]
    out: list[np.ndarray] = [np.empty(0)] * len(grown)
    for v in graph.order:
        clique = graph.clique(v)
        axis = clique.index(v)
        top = grown[v].max(axis=axis, keepdims=True)
        e = np.exp(grown[v] - top)
        total = e.sum(axis=axis, keepdims=True)
        out[v] = e / total
        if graph.parents[v]:
            u = graph.home(graph.parents[v])
            message = (top + np.log(total)).squeeze(axis)
            grown[u] = grown[u] + _onto(message, graph.parents[v], graph.clique(u))
    return out


def marginals(graph: Graph, tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The probability of every cell of each clique."""
    out: list[np.ndarray] = [np.empty(0)] * len(tables)
    for v in reversed(graph.order):
        parents = graph.parents[v]
        if parents:
            u = graph.home(parents)
            above = _down(out[u], graph.clique(u), parents)
            out[v] = tables[v] * _onto(above, parents, graph.clique(v))
        else:
            out[v] = tables[v]
    return out


def estimate(
    graph: Graph, measured: Sequence[Measured], total: float, rounds: int, start: Sequence[np.ndarray] | None = None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Log potentials, and p(v | parents), of the likeliest distribution of `total` rows given all that was measured.

    Every measurement must lie in a clique. start: potentials to begin from, as `carried` gives them.
    """
    homes = [graph.home(m.variables) for m in measured]
    sharpest = max(float(np.max(1 / np.square(m.sigma))) for m in measured)

    def surprise(flow: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray]]:
        slope = [np.zeros([graph.sizes[u] for u in graph.clique(v)]) for v in range(len(graph.sizes))]
        loss = 0.0
        for m, v in zip(measured, homes, strict=True):
            clique = graph.clique(v)
            gap = total * _down(flow[v], clique, m.variables) - m.counts
            pull = gap / (np.square(m.sigma) * sharpest)
            loss += float((pull * gap).sum()) / 2
            slope[v] += _onto(pull, m.variables, clique)
        return loss, slope

    sizes = [[graph.sizes[u] for u in graph.clique(v)] for v in range(len(graph.sizes))]
    potentials = [np.zeros(s) for s in sizes] if start is None else list(start)
    tables = conditionals(graph, potentials)
    flow = marginals(graph, tables)
    loss, slope = surprise(flow)
    step = 1 / total
    for _ in range(rounds):
        tried = [p - step * s for p, s in zip(potentials, slope, strict=True)]
        new = conditionals(graph, tried)
        moved = marginals(graph, new)
        better, steeper = surprise(moved)
        fall = total * sum(float((s * (a - b)).sum()) for s, a, b in zip(slope, flow, moved, strict=True))
        if loss - better >= 0.5 * fall > 0:
            potentials, tables, flow, loss, slope = tried, new, moved, better, steeper
            step *= 1.25
        else:
            step *= 0.5
            if step * total < 1e-12:
                break
    return potentials, [_floored(t, graph.clique(v).index(v)) for v, t in enumerate(tables)]


def carried(old: Graph, potentials: Sequence[np.ndarray], new: Graph) -> list[np.ndarray]:
    """The same density as potentials of a graph that holds all of the old one's cliques."""
    out = [np.zeros([new.sizes[u] for u in new.clique(v)]) for v in range(len(new.sizes))]
    for v, p in enumerate(potentials):
        clique = old.clique(v)
        home = new.home(clique)
        out[home] = out[home] + _onto(p, clique, new.clique(home))
    return out


def _floored(table: np.ndarray, axis: int) -> np.ndarray:
    table = np.maximum(table, LEAST)
    return np.asarray(table / table.sum(axis=axis, keepdims=True))


def sample(graph: Graph, tables: Sequence[np.ndarray], chance: np.ndarray) -> np.ndarray:
    """int64 [n, variables] drawn by `chance` [n, variables], uniform on [0, 1)."""
    out = np.zeros(chance.shape, np.int64)
    for v in reversed(graph.order):
        clique, parents = graph.clique(v), graph.parents[v]
        rows = np.moveaxis(tables[v], clique.index(v), -1).reshape(-1, graph.sizes[v])
        at = np.zeros(len(out), np.int64)
        for p in parents:
            at = at * graph.sizes[p] + out[:, p]
        out[:, v] = draw(rows, at, chance[:, v])
    return out


def draw(rows: np.ndarray, at: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """int64 [n]: one of k values by the probabilities rows[at], `rows` [r, k]; one binary search over all rows' sums."""
    ends = rows.cumsum(1)
    ends = ends / ends[:, -1:] + np.arange(len(rows))[:, None]
    k = rows.shape[1]
    found = np.searchsorted(ends.reshape(-1), at + chance, side="right") - at * k
    return np.clip(found, 0, k - 1)


def complete(graph: Graph, tables: Sequence[np.ndarray], given: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """int64 [n, variables] equal to `given` where that is not -1, the rest drawn from the exact conditional."""
    out = given.copy()
    patterns, which = np.unique(given >= 0, axis=0, return_inverse=True)
    which = which.reshape(-1)
    for i, pattern in enumerate(patterns):
        rows = np.flatnonzero(which == i)
        widest = max(
            math.prod(graph.sizes[u] for u in graph.clique(v) if not pattern[u]) for v in range(len(graph.sizes))
        )
        for block in np.array_split(rows, math.ceil(len(rows) * widest / BLOCK)):
            out[block] = _complete(graph, tables, pattern, given[block], chance[block])
    return out


def _complete(
    graph: Graph, tables: Sequence[np.ndarray], pattern: np.ndarray, given: np.ndarray, chance: np.ndarray
) -> np.ndarray:
    """`complete` for rows that have the same variables given: messages up the order, then draws down it."""
    n = len(given)
    waiting: dict[int, list[tuple[np.ndarray, tuple[int, ...]]]] = {v: [] for v in graph.order}
    grown: dict[int, np.ndarray] = {}
    for v in graph.order:
        clique = graph.clique(v)
        free = tuple(u for u in clique if not pattern[u])
        if not pattern[v] and not waiting[v]:
            continue  # nothing is known of what hangs below: its probabilities sum to 1
        table = (
            tables[v][tuple(given[:, u] if pattern[u] else slice(None) for u in clique)]
            if len(free) < len(clique)
            else tables[v][None]
        )
        table = _rows_first(table, clique, pattern)
        for message, own in waiting[v]:
            table = table * message.reshape(n, *[graph.sizes[u] if u in own else 1 for u in free])
        if not pattern[v]:
            grown[v] = table
            table = table.sum(axis=1 + free.index(v))
        left = tuple(u for u in free if u != v)
        if left:  # scaled, so that many conditions do not underflow
            table = table / np.maximum(table.max(axis=tuple(range(1, table.ndim)), keepdims=True), 1e-300)
            waiting[graph.home(left)].append((np.broadcast_to(table, (n, *table.shape[1:])), left))
    out = given.copy()
    for v in reversed(graph.order):
        if pattern[v]:
            continue
        clique = graph.clique(v)
        if v in grown:
            free = tuple(u for u in clique if not pattern[u])
            table = np.broadcast_to(grown[v], (n, *grown[v].shape[1:]))
            p = table[(np.arange(n), *[slice(None) if u == v else out[:, u] for u in free])]
            out[:, v] = draw(np.maximum(p, 1e-300), np.arange(n), chance[:, v])
        else:
            rows = np.moveaxis(tables[v], clique.index(v), -1).reshape(-1, graph.sizes[v])
            at = np.zeros(n, np.int64)
            for u in graph.parents[v]:
                at = at * graph.sizes[u] + out[:, u]
            out[:, v] = draw(rows, at, chance[:, v])
    return out


def _rows_first(table: np.ndarray, clique: tuple[int, ...], pattern: np.ndarray) -> np.ndarray:
    """numpy puts indexed axes in front only where a slice parts them; this puts them there always."""
    marks = [bool(pattern[u]) for u in clique]
    if not any(marks):
        return table
    first, count = marks.index(True), sum(marks)
    together = all(marks[first : first + count])
    return np.moveaxis(table, first, 0) if together else table
