"""What is taken off the counts of n-grams for those not seen: the classic estimate, and what suits the data better.

Chen & Goodman (1999) take one of three discounts off, by the count; here also by how much its context was seen, and as
rows say that were not counted. Gradients are by hand: they take a tenth of the time of automatic ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from karat.stats.ngrams.grams import Grams, Tree, ending

SIZES = 12  # groups of contexts: not seen, then seen once, 2 to 3 times, 4 to 7, ...
CLASSES = 4  # of counts: 1, 2, 3, more
PLAIN = (0.5, 1.0, 1.5)  # where there are too few n-grams to estimate them
PLACES = 50_000  # of rows not counted that the discounts are fitted to
STEPS = 12
TIGHT = 1.0  # nats that it costs to move a discount by a logit of 1

TOPS = np.arange(1, CLASSES + 1)  # no more than this is taken off


def sizes(total: np.ndarray) -> np.ndarray:
    """The group of contexts that were counted so often."""
    return np.minimum(np.frexp(total.astype(np.float64))[1], SIZES - 1)


def discounts(tree: Tree, count: np.ndarray) -> np.ndarray:
    """float64 [order, SIZES, CLASSES + 1]: what is taken off a count, by the length of its context, how often that was
    counted, and the count; the same for all contexts of a length (equation 26 of the paper)."""
    out = np.zeros((tree.order, SIZES, CLASSES + 1))
    for k, (low, high) in enumerate(zip(tree.ends, tree.ends[1:], strict=False)):
        n = np.bincount(np.minimum(count[low:high], 5), minlength=6).astype(np.float64)
        found = list(PLAIN)
        if n[1:5].all():
            y = n[1] / (n[1] + 2 * n[2])
            exact = [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
            found = [d if 0.05 * i <= d <= 0.95 * i else PLAIN[i - 1] for i, d in enumerate(exact, 1)]
        out[k, :, 1:] = [*found, found[-1]]
    return out


@dataclass
class _Level:
    """At the places whose context of one length was counted: what their chances of that length depend on."""

    place: np.ndarray
    size: np.ndarray  # [k]: of the context
    per: np.ndarray  # [k]: 1 / how often it was counted
    classes: np.ndarray  # [CLASSES, k]: how many n-grams of each count it begins, over the same
    share: np.ndarray  # [k]: the count of the n-gram that came, over the same
    taken: np.ndarray  # [k]: which discount that count has, size * (CLASSES + 1) + class


def tuned(grams: Grams, start: np.ndarray) -> np.ndarray:
    """Discounts [order, SIZES, CLASSES + 1] under which rows are likeliest, each given counts without its fold."""
    if grams.order == 1:
        return start
    base, levels = _observed(grams)
    share = np.clip(start[1:, :, 1:] / TOPS, 0.01, 0.99)
    logit = np.log(share / (1 - share))

    def slope(moved: np.ndarray) -> tuple[float, np.ndarray]:
        part = 1 / (1 + np.exp(-(logit + moved)))
        loss, by = _loss(base, levels, part * TOPS)
        by = by * TOPS * part * (1 - part) + 2 * TIGHT * moved
        return (loss + TIGHT * float(np.square(moved).sum())) / len(base), by / len(base)

    moved = _lowest(slope, np.zeros_like(logit))
    out = start.copy()
    out[1:, :, 1:] = TOPS / (1 + np.exp(-(logit + moved)))
    return out.astype(np.float32).astype(np.float64)  # as it is saved


def _lowest(slope: Callable[[np.ndarray], tuple[float, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """Where a smooth function is low, STEPS steps of L-BFGS from `x` (Nocedal, 1980), halved while they do not help."""
    loss, by = slope(x)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(STEPS):
        way, kept = -by, []
        for step, turn in reversed(pairs):
            kept.append(float((step * way).sum() / (step * turn).sum()))
            way = way - kept[-1] * turn
        if pairs:
            step, turn = pairs[-1]
            way = way * float((step * turn).sum() / np.square(turn).sum())
        else:
            way = way / max(float(np.abs(way).max()), 1e-12)
        for (step, turn), share in zip(pairs, reversed(kept), strict=True):
            way = way + (share - float((turn * way).sum() / (step * turn).sum())) * step
        long = 1.0
        while True:
            there, then = slope(x + long * way)
            if there <= loss + 1e-4 * long * float((way * by).sum()):
                break
            long /= 2
            if long < 1e-3:
                return x
        step, turn = long * way, then - by
        if float((step * turn).sum()) > 1e-12 * float(np.square(turn).sum()):
            pairs.append((step, turn))
        x, loss, by = x + step, there, then
    return x


def _observed(grams: Grams) -> tuple[np.ndarray, list[_Level]]:
    """The chances [k] of codes that came, by themselves, and what those by longer contexts depend on."""
    tree = grams.tree
    key = torch.from_numpy(tree.key)
    bases: list[np.ndarray] = []
    parts: list[list[_Level]] = [[] for _ in range(1, tree.order)]
    places = 0
    for fold in range(grams.folds):
        x = grams.rows(fold, PLACES // grams.folds).cpu()
        found = [gram.numpy() for gram in ending(key, tree.ends, tree.vocab, x, tree.order)]
        at = np.flatnonzero(found[1][:, 1:].ravel() >= 0)
        count = grams.count(fold)
        total = tree.sums(count)
        kinds = [tree.sums(count == i) for i in range(1, CLASSES)]
        kinds.append(tree.sums(count > 0) - sum(kinds))
        one = count[: tree.ends[1]]
        bases.append((one[found[1][:, 1:].ravel()[at]] + 0.5) / (one.sum() + 0.5 * tree.vocab))
        for k in range(1, tree.order):
            node, gram = (found[k][:, :-1] + 1).ravel()[at], found[k + 1][:, 1:].ravel()[at]
            live = np.flatnonzero((node > 0) & (total[np.maximum(node, 0)] > 0))
            node, gram = node[live], gram[live]
            came = np.where(gram >= 0, count[np.maximum(gram, 0)], 0)
            per, size = 1 / total[node], sizes(total[node])
            taken = size * (CLASSES + 1) + np.minimum(came, CLASSES)
            parts[k - 1].append(
                _Level(live + places, size, per, np.stack([n[node] for n in kinds]) * per, came * per, taken)
            )
        places += len(at)
    joined = [
        _Level(
            *(
                np.concatenate([getattr(part, name) for part in level], axis=-1)
                for name in ("place", "size", "per", "classes", "share", "taken")
            )
        )
        for level in parts
    ]
    return np.concatenate(bases), joined


def _loss(base: np.ndarray, levels: list[_Level], taken: np.ndarray) -> tuple[float, np.ndarray]:
    """Nats of all places under discounts `taken` [order - 1, SIZES, CLASSES], and their gradient."""
    chance, before, left = base.copy(), [], []
    for level, off in zip(levels, taken, strict=True):
        shorter = chance[level.place]
        rest = np.einsum("ic,ci->i", off[level.size], level.classes)
        came = np.concatenate([np.zeros((SIZES, 1)), off], 1).ravel()[level.taken]
        chance[level.place] = shorter * rest + level.share - came * level.per
        before.append(shorter)
        left.append(rest)
    chance = np.maximum(chance, 1e-30)
    loss, back, slope = -float(np.log(chance).sum()), -1 / chance, np.zeros_like(taken)
    for k in range(len(levels) - 1, -1, -1):
        level = levels[k]
        own = back[level.place]
        through = own * before[k]
        slope[k] = np.stack([np.bincount(level.size, through * n, minlength=SIZES) for n in level.classes], 1)
        came = np.bincount(level.taken, own * level.per, minlength=SIZES * (CLASSES + 1))
        slope[k] -= came.reshape(SIZES, -1)[:, 1:]
        back[level.place] = own * left[k]
    return loss, slope
