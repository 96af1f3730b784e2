"""Which columns of codes depend on which, by binned mutual information."""

from __future__ import annotations

import numpy as np
import torch

from karat.space import Codes

AT_ONCE = 40  # columns whose codes are counted beside those of all columns
ENOUGH = 60  # rows, at least, of a group that is cut off for its range and not for its mass


def grouped(codes: np.ndarray, size: int, ordered: bool, most: int) -> np.ndarray:
    """The group [size] of each code: itself where there are at most `most`; else the commonest and a rest, or, in order,
    ranges of at most that share of the mass, and of the codes where enough rows are left; at most twice `most`."""
    if size <= most:
        return np.arange(size)
    if not ordered:
        return np.minimum(np.arange(size), most - 1)
    mass, enough = np.bincount(codes, minlength=size), max(ENOUGH, len(codes) / (4 * most))
    out, group, held, first = np.zeros(size, np.int64), 0, 0.0, 0
    for code, many in enumerate(mass.tolist()):
        wide = held >= enough and code - first >= size / most
        if held and (wide or held + many > len(codes) / most):
            group, held, first = group + 1, 0.0, code
        out[code], held = group, held + many
    return out


def dependence(cells: np.ndarray, space: Codes, rng: np.random.Generator) -> np.ndarray:
    """Mutual information in nats [columns, columns] between binned columns, less what chance alone gives (Miller, 1955)."""
    n, wide = cells.shape
    rows, bins = (20_000, 24) if wide <= 100 else (2_000, 8)
    if n > rows:
        cells = cells[np.sort(rng.choice(n, rows, replace=False))]
        n = rows
    if not wide or not n:
        return np.zeros((wide, wide))
    parts = [grouped(cells[:, j], space.sizes[j], space.ordered[j], bins)[cells[:, j]] for j in range(wide)]
    counts = [int(p.max()) + 1 for p in parts]
    edges = np.concatenate([[0], np.cumsum(counts)])
    hot = torch.zeros(n, int(edges[-1]))
    for part, edge in zip(parts, edges[:-1], strict=True):
        hot[torch.arange(n), torch.from_numpy(part) + int(edge)] = 1
    share = hot.sum(0).double().numpy() / n
    information = np.zeros((wide, wide))
    for first in range(0, wide, AT_ONCE):  # all pairs of codes of a wide table would be gigabytes
        last, start = min(first + AT_ONCE, wide), int(edges[first])
        mine = slice(start, int(edges[last]))
        met = (hot[:, mine].T @ hot[:, start:]).double().numpy()  # what is before met these already
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(met > 0, met / n * np.log(met / n / (share[mine, None] * share[None, start:])), 0.0)
        own = np.add.reduceat(terms, edges[first:last] - start, 0)
        information[first:last, first:] = np.add.reduceat(own, edges[first:-1] - start, 1)
        information[last:, first:last] = information[first:last, last:].T
    used = np.add.reduceat((share > 0).astype(float), edges[:-1])
    information = np.maximum(0.0, information - (used[:, None] - 1) * (used[None] - 1) / (2 * n))
    np.fill_diagonal(information, 0.0)
    return np.asarray(information)
