"""A column that refers to another of the same table (manager_id to id): what is learned of it, and who refers to whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content.relational.database import joined
from karat.content.relational.links import circular

LOOSE = -2  # a row that refers to nobody there is


def learn(column: pa.Array, keys: pa.Array) -> dict[str, Any]:
    """JSON of `column` [n], whose strings are among the `keys` [n] of the same rows, or missing.

    own: the share of what is there that is the row's own key.   tree: whether no other row descends from itself.
    loose: the share that is nobody's key.   degrees: how many rows are named how often.
    """
    link = joined([column], [keys])
    there = len(column) - column.null_count
    own = link == np.arange(len(link))
    above = np.where(own, -1, link)
    degree, rows = np.unique(np.bincount(above[above >= 0], minlength=len(link)), return_counts=True)
    return {
        "own": float(own.sum()) / max(1, there),
        "tree": not circular(above),
        "loose": float(there - (link >= 0).sum()) / max(1, there),
        "degrees": [degree.tolist(), rows.tolist()],
    }


def drawn(learned: Mapping[str, Any], there: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: the row that each row refers to where `there` [n], else -1; LOOSE for one that leads nowhere.

    Rows are named as often as was learned. In a tree nobody descends from himself: whoever names others comes first, and names
    one that came before; a row before which none came refers to itself where rows do, and else to none.
    """
    n = len(there)
    out = np.full(n, -1)
    loose = there & (rng.random(n) < float(learned.get("loose", 0.0)))
    out[loose] = LOOSE
    own = there & ~loose & (rng.random(n) < float(learned.get("own", 0.0)))
    out[own] = np.flatnonzero(own)
    todo = np.flatnonzero(there & ~loose & ~own)
    if not len(todo):
        return out
    degree, rows = (np.array(x, np.float64) for x in learned.get("degrees", ([1], [1])))
    wanted = rng.choice(degree, n, p=rows / rows.sum()).astype(np.int64)
    if not learned.get("tree", True):
        share = wanted + 0.01
        out[todo] = rng.choice(n, len(todo), p=share / share.sum())
        return out
    spots = rng.permutation(n)
    order = spots[np.lexsort((wanted[spots] == 0, there[spots] & ~loose[spots] & ~own[spots]))]
    below = np.zeros(n, bool)
    below[todo] = True
    open_: list[int] = []  # rows that are to be named, once for each time
    for i, row in enumerate(order.tolist()):
        if below[row]:
            if not open_:  # all that there are once more
                open_ = [r for r in order[:i].tolist() for _ in range(int(wanted[r]))]
            if not i:
                out[row] = row if learned.get("own", 0.0) > 0 else -1
            elif open_:
                k = int(rng.integers(len(open_)))
                open_[k], open_[-1] = open_[-1], open_[k]
                out[row] = open_.pop()
            else:
                out[row] = order[int(rng.integers(i))]
        open_ += [row] * int(wanted[row])
    return out
