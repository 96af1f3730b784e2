"""Whether somebody who sees only what was made could tell which rows the generator learned from.

DOMIAS (https://arxiv.org/abs/2302.12580): a row is called a training row where what was made is denser than real data
is. Densities are by the nearest neighbour, on the embedding; half of the unseen rows are the attacker's knowledge of
real data, the other half the rows that are none of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.chance import LEVEL, exact
from karat.assays.classifier import area, chance_spread
from karat.assays.details.records import Membership
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.neighbours import distances, nearest
from karat.assays.points.memory import CERTAIN, chance_of
from karat.assays.table.tables import Case
from karat.words import said, together

FINDS = ("membership",)
MOST = 4000  # rows attacked on each side
NEAREST = 10_000  # rows that densities rest on
FLOOR, ROUNDED = 0.01, 3e-4  # distances below which rows count as one, at most and at least: float32 is no finer
LEAST = 0.03
OFTEN, MOST_OFTEN = 0.3, 50  # of the made records that there are for each training row, those that lie nearest
GUARD = 3.0  # standard errors
MADE = 500  # rows that are enough to be asked of any generator
OUTLYING = 0.1


def ratio(rows: Tensor, made: Tensor, known: Tensor, floor: float, often: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """log(p made / p real) [n] of `rows` [n, d] up to scale, and their distance [n] to real data.

    floor: the distance below which rows count as one.   often: how many made records may come of one training row, so that
    as many lie near it.
    """
    far = nearest(rows, known[:NEAREST])[0].sqrt()
    near = nearest(rows, made[:NEAREST])[0].sqrt()
    score = (far + floor).log() - (near + floor).log()
    if often > 1:
        few = min(often, len(made))
        blocks = [
            distances(part, made[:NEAREST]).topk(few, dim=1, largest=False).values[:, -1] for part in rows.split(500)
        ]
        score = score - (torch.cat(blocks).sqrt() + floor).log()
    return score.double().numpy(), far.double().numpy()


@dataclass(frozen=True)
class Attack:
    """Scores of training and of other rows in one part of the attack, and how far they lie from real data, [n] and [m]."""

    members: np.ndarray
    others: np.ndarray
    far: tuple[np.ndarray, np.ndarray]

    @property
    def area(self) -> float:
        return area(np.concatenate([self.members, self.others]), self._is_member)

    @property
    def spread(self) -> float:
        """Its standard error where the two are one."""
        return chance_spread(max(len(self.members), 1), max(len(self.others), 1))

    @property
    def outlying(self) -> Attack:
        """The same of the tenth of all rows that lie furthest from real data."""
        edge = float(np.quantile(np.concatenate(self.far), 1 - OUTLYING))
        rows = [f >= edge for f in self.far]
        return Attack(self.members[rows[0]], self.others[rows[1]], (self.far[0][rows[0]], self.far[1][rows[1]]))

    @property
    def _is_member(self) -> np.ndarray:
        return np.arange(len(self.members) + len(self.others)) < len(self.members)


def attacks(train: Tensor, unseen: Tensor, made: Tensor | None, parts: int, learned: int) -> list[Attack]:
    """The attack in as many `parts`: in each, one of the unseen rows is what is known of real data, another one is attacked.

    So all unseen rows count. made: None stands for a further part of the unseen rows in the place of what was made.
    learned: how many training rows there are, of which `train` are some.
    """
    pieces, shares = unseen.tensor_split(parts), train.tensor_split(parts)
    out = []
    often = 1 if made is None else int(np.clip(OFTEN * min(len(made), NEAREST) / learned, 1, MOST_OFTEN))
    floor = min(FLOOR, max(0.1 / len(train), ROUNDED))  # numbers lie as far apart as there are ranks
    for i in range(parts):
        known, others = pieces[i], pieces[(i + 1) % parts][: MOST // 2]
        given = pieces[(i + 2) % parts] if made is None else made
        (a, far_a), (b, far_b) = (ratio(rows, given, known, floor, often) for rows in (shares[i][: MOST // 2], others))
        out.append(Attack(a, b, (far_a, far_b)))
    return out


def mean(parts: list[Attack]) -> tuple[float, float]:
    """The mean area of parts, and its standard error where nothing can be told."""
    sure = [p for p in parts if len(p.members) and len(p.others)]
    if not sure:
        return 0.5, 0.5
    return sum(p.area for p in sure) / len(sure), math.sqrt(sum(p.spread**2 for p in sure)) / len(sure)


def ceil_leak(t: int) -> int:
    """Made rows that give `t` training rows away if all are copies: of n, a share 1 - exp(-n / t) of them is seen."""
    return math.ceil(-t * math.log(1 - 2 * power.GAPS["membership"]))


def findings(case: Case) -> list[Finding]:
    """Membership."""
    return [membership(*case.embedded)]


def membership(train: Tensor, unseen: Tensor, made: Tensor, learned: int | None = None) -> Finding:
    """Membership, of rows [n, d] of each side: the area by which training rows are told from unseen ones.

    Where the two are of one kind, guessing gives 0.5, by a rank test; where they are not, what unseen rows give in the
    place of made ones. Both must be passed, chance by `LEVEL` standard errors and the other, a guard, by `GUARD`.

    learned: how many training rows there are, where `train` are some of them.
    """
    learned = len(train) if learned is None else learned
    tried = attacks(train, unseen, made, 2, learned)
    value, sd = mean(tried)
    real, real_sd = mean(attacks(train, unseen, None, 3, learned))
    z = (value - real) / math.hypot(sd, real_sd)
    hits, leak = caught(tried)
    far = [t.outlying for t in tried]
    outlying, out_sd = mean(far)
    rare_at = max(0.5 + LEVEL * out_sd, max(real, 0.5) + 0.05)
    limit = Limit(
        above=min(1.0, max(0.5 + LEVEL * sd, real + max(LEAST, GUARD * math.hypot(sd, real_sd)))),
        also=said(
            "where outlying records are told above {bar:.3g}, or more than 1 in 100 found beyond false alarms",
            bar=rare_at,
        )
        if rare_at < 1
        else said("where more than 1 in 100 found beyond false alarms"),
    )
    found = together(
        (
            said("at {rate} {share:.1%} ({low:.1%} to {high:.1%})", rate=rate, share=share, low=low, high=high)
            for rate, (share, low, high) in hits.items()
        ),
        said(" and "),
    )
    summary = said(
        "An attacker who sees what was made tells a training record from another {value:.1%} of the "
        "time (50% is guessing), one who sees unseen real records instead {real:.1%}; of outlying "
        "records {outlying:.1%}",
        value=value,
        real=real,
        outlying=outlying,
    ) + (
        said(". Of the training records are found, by the rate of false alarms: {found}.", found=found)
        if hits
        else said(".")
    )
    detail = Membership(
        n=sum(len(t.members) for t in tried),
        z=z,
        found_at_false_alarm_rate=hits,
        outlying=outlying,
        outlying_n=sum(len(f.members) for f in far),
        chance=0.5,
    )
    score = Score(value, value - 1.96 * sd, value + 1.96 * sd, real, sd).clipped(0.0, 1.0)
    raised = limit.broken(value) or leak or (outlying > rare_at and z > 0)
    given = Sample(len(made), min(ceil_leak(learned), MADE), "made")
    others = (s for s in power.scored("membership", sd, len(train), len(unseen)) if s.side == "unseen real")
    return scored("membership", score, limit, summary, detail=detail, raised=raised, samples=(given, *others))


def caught(tried: list[Attack]) -> tuple[dict[str, tuple[float, float, float]], bool]:
    """By rate of false alarms, the share of training rows that is found with its exact interval; and whether that is a leak."""
    a, b = (np.concatenate([getattr(t, side) for t in tried]) for side in ("members", "others"))
    n, m = len(a), len(b)
    hits, leak = {}, False
    for rate in (0.001, 0.01):
        k = max(1, round(rate * m))
        if rate * m < 1:
            continue
        bar = float(np.sort(b)[-k])
        count = int((a > bar).sum())
        hits[f"{rate:.1%}"] = (count / n, *exact(count, n))
        leak |= count / n - k / m > 0.01 and chance_of(count, n, k, m) < CERTAIN
    return hits, leak
