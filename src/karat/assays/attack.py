"""Whether somebody who sees only what was made could tell which rows the generator learned from.

DOMIAS (https://arxiv.org/abs/2302.12580): a row is called a training row where what was made is denser than real data
is. Densities are by the nearest neighbour, on the embedding; half of the unseen rows are the attacker's knowledge of
real data, the other half the rows that are none of ours.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from karat.assays.chance import LEVEL, wilson
from karat.assays.finding import Finding, Limit
from karat.assays.learning import area, chance_spread
from karat.assays.memory import CERTAIN, chance_of
from karat.assays.seen import nearest

MOST = 4000  # rows attacked on each side
NEAREST = 10_000  # rows that densities rest on
FLOOR = 0.01  # distance below which rows count as one
LEAST = 0.03
OUTLYING = 0.1


def ratio(rows: Tensor, made: Tensor, known: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """log(p made / p real) [n] of `rows` [n, d] up to scale, and their distance [n] to real data."""
    near, far = (nearest(rows, base[:NEAREST])[0].sqrt() for base in (made, known))
    return ((far + FLOOR).log() - (near + FLOOR).log()).double().numpy(), far.double().numpy()


def findings(train: Tensor, unseen: Tensor, made: Tensor) -> list[Finding]:
    """Membership: the area by which training rows are told from unseen ones."""
    half, third = len(unseen) // 2, len(unseen) // 3
    known, others = unseen[:half], unseen[half:][:MOST]
    members = train[:MOST]
    (a, far_a), (b, far_b) = ratio(members, made, known), ratio(others, made, known)
    n, m = len(a), len(b)
    value, sd = _area(a, b), chance_spread(n, m)
    stand_in = unseen[2 * third :]
    c, d = (ratio(rows, stand_in, unseen[:third])[0] for rows in (members, unseen[third : 2 * third][:MOST]))
    real, real_sd = _area(c, d), chance_spread(len(c), len(d))
    z = (value - real) / math.hypot(sd, real_sd)

    hits, leak = {}, False
    for rate in (0.001, 0.01):
        k = max(1, round(rate * m))
        if rate * m < 1:
            continue
        bar = float(np.sort(b)[-k])
        count = int((a > bar).sum())
        low, high = wilson(count, n)
        hits[f"{rate:.1%}"] = [count / n, low, high]
        leak |= count / n - k / m > 0.01 and chance_of(count, n, k, m) < CERTAIN
    edge = float(np.quantile(np.concatenate([far_a, far_b]), 1 - OUTLYING))
    out_a, out_b = a[far_a >= edge], b[far_b >= edge]
    outlying = _area(out_a, out_b)
    out_sd = chance_spread(max(len(out_a), 1), max(len(out_b), 1))
    rare = outlying - 0.5 > LEVEL * out_sd and outlying - max(real, 0.5) > 0.05 and z > 0
    rare_at = max(0.5 + LEVEL * out_sd, max(real, 0.5) + 0.05)
    limit = Limit(
        above=real + max(LEAST, LEVEL * math.hypot(sd, real_sd)),
        also=f"where outlying rows are told above {rare_at:.3g}, or more than 1 in 100 found beyond false alarms",
    )
    raised = limit.broken(value) or leak or rare
    best = hits.get("1.0%")
    says = (
        f"Who sees what was made tells a training row from another {value:.1%} of the time (50% is guessing), from unseen "
        f"real rows in its place {real:.1%}; of outlying rows {outlying:.1%}"
        + (f"; with 1% of false alarms {best[0]:.1%} of the training rows are found." if best else ".")
    )
    detail = {
        "n": n,
        "z": z,
        "found at false alarm rate": hits,
        "outlying": outlying,
        "outlying n": len(out_a),
        "chance": 0.5,
    }
    low, high = max(0.0, value - 1.96 * sd), min(1.0, value + 1.96 * sd)
    return [Finding("membership", value, low, high, real, "lower", raised, says, detail, limit=limit)]


def _area(members: np.ndarray, others: np.ndarray) -> float:
    score = np.concatenate([members, others])
    return area(score, torch.arange(len(score)).numpy() < len(members))
