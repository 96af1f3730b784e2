"""What somebody who has the run, and not only what it made, can tell: which records were learned from, by how well they fit.

By loss: what fits best was learned from (Yeom et al., https://arxiv.org/abs/1709.01604). By shadow models, trained on random
halves of all records: what fits much better than it does a model that never saw it (the offline likelihood ratio of Carlini et
al., https://arxiv.org/abs/2112.03570). The verdict reads neither: what is given away are made records, which `membership`
attacks, and not the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from karat.assays import power
from karat.assays.chance import LEVEL
from karat.assays.details.records import Membership
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.table.membership import LEAST, Attack, caught
from karat.words import Sentence, said

FEW = 20  # records of a group on each side, at least
SHRINK = 8  # models by which one record's spread leans on that of all


@dataclass(frozen=True)
class Group:
    """Records that something is known of: which of the training and of the unseen ones, bool [n] and [m]."""

    name: str
    members: np.ndarray
    others: np.ndarray


def exposed(losses: np.ndarray, shadows: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much better each record fits the model than models that never saw it, in standard deviations, and their mean loss.

    losses: of the model [n].   shadows: of shadow models [k, n].   seen: bool [k, n], what each of these learned from.
    A Gaussian for each record; its width leans on that of all, as few models tell it badly. NaN where fewer than two models
    did not see a record.
    """
    out = np.where(seen, np.nan, shadows)
    count = (~seen).sum(0)
    fine = count >= 2
    mean, own = np.full(len(losses), np.nan), np.full(len(losses), np.nan)
    mean[fine], own[fine] = np.nanmean(out[:, fine], 0), np.nanvar(out[:, fine], 0, ddof=1)
    free = np.maximum(count - 1, 0)
    whole = float((own[fine] * free[fine]).sum() / max(1, free[fine].sum()))
    width = np.sqrt(np.maximum((np.nan_to_num(own) * free + whole * SHRINK) / (free + SHRINK), 1e-24))
    return (mean - losses) / width, mean


def attacked(
    key: Literal["loss attack", "shadow attack"],
    members: np.ndarray,
    others: np.ndarray,
    hard: tuple[np.ndarray, np.ndarray] | None = None,
    groups: Sequence[Group] = (),
    models: int = 0,
) -> Finding:
    """How well scores tell training records (`members` [n]) from unseen ones (`others` [m]); higher says learned from.

    hard: how badly each fits models that never saw it; the tenth that fits worst is told of by itself. groups: the smallest of
    `FEW` records and more on each side is, too.   models: shadow models.
    """
    nothing = np.zeros(len(members)), np.zeros(len(others))
    whole = Attack(members, others, nothing if hard is None else hard)
    value, sd = whole.area, whole.spread
    hits, leak = caught([whole])
    worst = whole.outlying if hard is not None else None
    far = None if worst is None or not min(len(worst.members), len(worst.others)) else worst
    summary = _summary(whole.area, models, hits)
    if far is not None:
        summary += said("; of the tenth of records that such models know least {area:.1%}", area=far.area)
    if smallest := _smallest(groups):
        summary += _of(smallest, Attack(members[smallest.members], others[smallest.others], nothing))
    summary += said(".")
    detail = Membership(
        n=len(members),
        z=(value - 0.5) / sd,
        found_at_false_alarm_rate=hits,
        outlying=None if far is None else far.area,
        outlying_n=None if far is None else len(far.members),
        chance=0.5,
    )
    limit = Limit(
        above=min(1.0, 0.5 + max(LEAST, LEVEL * sd)), also=said("where more than 1 in 100 found beyond false alarms")
    )
    score = Score(value, value - 1.96 * sd, value + 1.96 * sd, 0.5, sd).clipped(0.0, 1.0)
    samples = tuple(s for s in power.scored(key, sd, len(members), len(others)) if s.side == "unseen real")
    raised = limit.broken(value) or leak
    return scored(key, score, limit, summary, detail=detail, raised=raised, samples=samples, beside="guessing")


def _summary(value: float, models: int, hits: Mapping[str, tuple[float, float, float]]) -> Sentence:
    by = said("by how well it fits")
    if models:
        by = said("by how much better it fits than {models} shadow models", models=models)
    text = said(
        "Who has the run tells a training record from another {value:.1%} of the time {by} (50% is guessing)",
        value=value,
        by=by,
    )
    for rate, (x, low, high) in hits.items():
        text += said(
            "; at {rate} of false alarms {x:.1%} are found ({low:.1%} to {high:.1%})",
            rate=rate,
            x=x,
            low=low,
            high=high,
        )
    return text


def _of(group: Group, part: Attack) -> Sentence:
    return said(
        "; in the smallest group, {name} ({n} and {m}), {area:.1%}",
        name=group.name,
        n=len(part.members),
        m=len(part.others),
        area=part.area,
    )


def audited(bound: float, promised: float | None, delta: float, canaries: int) -> Finding:
    """The epsilon that `canaries` prove a fit to have, at least; raised where less was `promised`. Lower bounds acquit nobody."""
    told = said("none was promised") if promised is None else said("{promised:g} was promised", promised=promised)
    summary = said(
        "By {canaries} rows of chance, half of which were learned from besides, a fit like this one has "
        "an epsilon of at least {bound:.2f} (95%, delta {delta:g}); {told}. That it is no larger is not "
        "shown.",
        canaries=canaries,
        bound=bound,
        delta=delta,
        told=told,
    )
    limit = Limit(also=said("where an epsilon was promised")) if promised is None else Limit(above=promised)
    beside = "no promise" if promised is None else "the promised epsilon"
    score = Score(bound, bound, math.inf, math.nan if promised is None else promised, 0.0)
    return scored("canaries", score, limit, summary, beside=beside, raised=promised is not None and bound > promised)


def _smallest(groups: Sequence[Group]) -> Group | None:
    known = [g for g in groups if min(int(g.members.sum()), int(g.others.sum())) >= FEW]
    return min(known, key=lambda g: (int(g.others.sum()), g.name), default=None)
