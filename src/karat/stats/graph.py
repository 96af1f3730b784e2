"""A graphical model of discrete variables: fitted to noisy marginals, sampled exactly, and conditioned exactly.

Variables are eliminated one after another; what is left of a variable's neighbours then are its parents. So every joint
distribution here is a product of p(variable | parents), cliques are (variable, parents), and each of estimating, drawing
and conditioning is one pass along the order. The fit is that of McKenna, Sheldon & Miklau, "Graphical-model based
estimation and inference for differential privacy" (https://arxiv.org/abs/1901.09136), with a convex dual before its mirror descent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

LEAST = 1e-12  # no conditional probability is below, so that no condition is impossible
SCALE = 1e3  # of the dual, whose first step the search takes for granted to be of size 1
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


def _onto(array: Tensor, own: tuple[int, ...], wanted: tuple[int, ...]) -> Tensor:
    """`array` with axes `own` as one that broadcasts along the axes `wanted`, which hold them."""
    shape = iter(array.shape)
    return array.reshape([next(shape) if v in own else 1 for v in wanted])


def _down(array: Tensor, own: tuple[int, ...], wanted: tuple[int, ...]) -> Tensor:
    """`array` with axes `own`, summed down to `wanted`."""
    axes = [i for i, v in enumerate(own) if v not in wanted]
    return array.sum(axes) if axes else array


def conditionals(graph: Graph, potentials: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """log p(v | parents) of every v, axes as its clique, of the density with these log potentials; and its log sum."""
    grown = list(potentials)
    out = list(potentials)
    log_sum = torch.zeros((), dtype=torch.float64)
    for v in graph.order:
        clique, parents = graph.clique(v), graph.parents[v]
        axis = clique.index(v)
        message = grown[v].logsumexp(axis, keepdim=True)
        out[v] = grown[v] - message
        if parents:
            u = graph.home(parents)
            grown[u] = grown[u] + _onto(message.squeeze(axis), parents, graph.clique(u))
        else:
            log_sum = log_sum + message.squeeze()
    return out, log_sum


def marginals(graph: Graph, tables: Sequence[Tensor]) -> list[Tensor]:
    """The probability of every cell of each clique, of p(v | parents)."""
    out = list(tables)
    for v in reversed(graph.order):
        parents = graph.parents[v]
        if parents:
            u = graph.home(parents)
            above = _down(out[u], graph.clique(u), parents)
            out[v] = tables[v] * _onto(above, parents, graph.clique(v))
    return out


@torch.no_grad()
def estimate(
    graph: Graph, measured: Sequence[Measured], total: float, rounds: int, start: Sequence[Tensor], prior: float
) -> tuple[list[Tensor], list[np.ndarray]]:
    """The distribution of `total` rows that fits what was measured: a log-linear model with a potential a measured cell.

    First the least sum of squares ((rows - counts) / sigma)^2 / 2 - prior * entropy, through its smooth convex dual; from
    there mirror descent on the squares alone. rounds: of each.   start: potentials of the first measurements, to begin
    from.   prior: how many rows' worth the entropy counts. Every measurement must lie in a clique.
    Returns the potentials, and p(v | parents) of every v.
    """
    fit = _Fit(graph, measured, total, prior)
    free = [s.clone() for s in start]
    before = fit.measured_probabilities(fit.tables([*free, *(torch.zeros_like(s) for s in fit.shares[len(free) :])])[0])
    for i in range(len(start), len(measured)):  # as if it stood alone; half of it, where it comes on top of others
        floor = torch.as_tensor(measured[i].sigma, dtype=torch.float64) / (4 * total)
        lift = (fit.shares[i].clamp_min(floor) / before[i].clamp_min(LEAST)).log()
        free.append(lift if not start else lift / 2)
    fit.balance(free, rounds)
    tables = fit.polish(free, rounds)
    return free, [_floored(t.numpy(), fit.cliques[v].index(v)) for v, t in enumerate(tables)]


class _Fit:
    """The problem of `estimate`: where the measurements lie, in shares of the total."""

    def __init__(self, graph: Graph, measured: Sequence[Measured], total: float, prior: float) -> None:
        self.graph, self.measured = graph, measured
        self.homes = [graph.home(m.variables) for m in measured]
        self.cliques = [graph.clique(v) for v in range(len(graph.sizes))]
        self.shares = [torch.from_numpy(m.counts).double() / total for m in measured]
        self.slack = [prior * torch.as_tensor(m.sigma, dtype=torch.float64).square() / total**2 for m in measured]

    def tables(self, free: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """p(v | parents) of every v under these potentials, and the log of their sum."""
        grown = [torch.zeros([self.graph.sizes[u] for u in clique], dtype=torch.float64) for clique in self.cliques]
        for f, m, v in zip(free, self.measured, self.homes, strict=True):
            grown[v] = grown[v] + _onto(f, m.variables, self.cliques[v])
        logs, log_sum = conditionals(self.graph, grown)
        return [t.exp() for t in logs], log_sum

    def measured_probabilities(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """The probabilities of the measured cells."""
        flow = marginals(self.graph, tables)
        return [_down(flow[v], self.cliques[v], m.variables) for m, v in zip(self.measured, self.homes, strict=True)]

    def balance(self, free: list[Tensor], rounds: int) -> None:
        """L-BFGS on the dual, in place."""
        search = torch.optim.LBFGS(
            free,
            max_iter=rounds,
            max_eval=rounds * 5 // 4,
            history_size=30,
            tolerance_grad=1e-9,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )

        def dual() -> Tensor:
            tables, loss = self.tables(free)
            for f, mass, share, s in zip(
                free, self.measured_probabilities(tables), self.shares, self.slack, strict=True
            ):
                f.grad = (mass - share + s * f) * SCALE
                loss = loss - (f * share).sum() + (s * f * f).sum() / 2
            return loss * SCALE

        search.step(dual)
        for f in free:
            f.grad = None

    def polish(self, free: list[Tensor], rounds: int) -> list[Tensor]:
        """Mirror descent with a line search on the squares, in place; gives p(v | parents)."""
        sharpest = max(float((1 / s).max()) for s in self.slack)

        def nll(mass: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
            pulls = [(a - b) / (s * sharpest) for a, b, s in zip(mass, self.shares, self.slack, strict=True)]
            return _dot(pulls, mass, self.shares) / 2, pulls

        tables = self.tables(free)[0]
        mass = self.measured_probabilities(tables)
        loss, pulls = nll(mass)
        step = 1.0
        for _ in range(rounds):
            tried = [f - step * p for f, p in zip(free, pulls, strict=True)]
            new = self.tables(tried)[0]
            moved = self.measured_probabilities(new)
            better, steeper = nll(moved)
            if loss - better >= 0.5 * _dot(pulls, mass, moved) > 0:
                free[:], tables, mass, loss, pulls = tried, new, moved, better, steeper
                step *= 1.5
            else:
                step /= 2
                if step < 1e-9:
                    break
        return tables


def _dot(along: Sequence[Tensor], a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum(float((p * (x - y)).sum()) for p, x, y in zip(along, a, b, strict=True))


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


def nats(graph: Graph, tables: Sequence[np.ndarray], levels: np.ndarray) -> np.ndarray:
    """float64 [n]: -log p of each row of `levels` [n, variables], every one of which is given."""
    out = np.zeros(len(levels))
    for v in graph.order:
        out -= np.log(np.maximum(tables[v][tuple(levels[:, u] for u in graph.clique(v))], 1e-300))
    return out


def draw(rows: np.ndarray, at: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """int64 [n]: one of k values by the probabilities rows[at], `rows` [r, k]; one binary search over all rows' sums."""
    ends = rows.cumsum(1)
    ends = ends / ends[:, -1:] + np.arange(len(rows))[:, None]
    k = rows.shape[1]
    found = np.searchsorted(ends.reshape(-1), at + chance, side="right") - at * k
    out: np.ndarray = np.clip(found, 0, k - 1)
    return out


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
