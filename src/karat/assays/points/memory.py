"""Whether training records were copied, as they are or changed in a way that makes no new record of them.

Each made record is brought into register with the training records most like it (`assays.points.aligned`); the distance to
the nearest, over the mean of that to the next best, tells a copy from a record in a crowded place (Carlini et al.,
https://arxiv.org/abs/2301.13188, section 4). What counts as near is set by unseen real records, put to the same search;
where they are few, also by training records beside all others. C_T: Meehan et al., https://arxiv.org/abs/2004.05675.
Authenticity: Alaa et al., https://arxiv.org/abs/2102.08921. "Not found by these tests" is never "private".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.assays import power
from karat.assays.chance import LEVEL, averaged, fewest, limit_of, limit_of_share, wilson
from karat.assays.details.records import CT, CopyRate, Standardised
from karat.assays.finding import UNSEEN, Finding, Limit, Score, scored
from karat.assays.met import Met, beside
from karat.assays.neighbours import Components, components, distances, nearest
from karat.assays.points.aligned import Aligned, Matches, Pictures, Sounds, smoothed
from karat.assays.points.diversity import cells
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case
from karat.words import Sentence, said, term, together

FINDS = ("copy rate", "authenticity", "ct")
NEAR = 0.0025  # quantile of real records below which a record counts as a copy
FEW = 1200  # unseen records that alone cannot say where that quantile lies
STAND_INS = 1000  # training records that then help to
CROWD = 50
MOST = 4000  # records searched for on each side; half as many where training records are many
CERTAIN = 1e-6
OFTEN = 0.05  # of the copies, from which on a change is named
NEAR_UNSEEN = (
    "{count} of {n} made records ({value:.1%}) lie as close to a training record as only {real:.2%} of un"
    "seen real ones do"
)
NEAR_OTHERS = (
    "{count} of {n} made records ({value:.1%}) lie as close to a training record as only {real:.2%} of real ones lie to any "
    "other"
)
CRITERION = "{:.2f} of the distance to the next nearest"


@dataclass(frozen=True)
class Nearest:
    """Per record [n]: the squared distance to the nearest training record as it stands, and its row."""

    plain: Tensor
    row: Tensor


class Placed:
    """Training points of no picture or sound, [t, d]: they are compared as they are."""

    def __init__(self, train: Tensor) -> None:
        self.base = train.flatten(1).float()

    def search(self, points: Tensor, own: Tensor | None = None) -> Matches:
        """As `Aligned.search`, beside the mean of the `CROWD` next."""
        ratio, row = [], []
        for start in range(0, len(points), 500):
            d = distances(points[start : start + 500].flatten(1).float(), self.base)
            if own is not None:
                d[torch.arange(len(d)), own[start : start + 500]] = math.inf
            near = d.topk(min(CROWD + 1, len(self.base) - (own is not None)), dim=1, largest=False)
            far = near.values.sqrt()
            ratio.append(far[:, 0] / far[:, 1:].mean(1).clamp_min(1e-9))
            row.append(near.indices[:, 0])
        return Matches(torch.cat(ratio), torch.cat(row), torch.eye(3).expand(len(points), 3, 3))


def searcher(train: Tensor, axes: tuple[str, ...]) -> Aligned | Placed:
    """What finds the nearest of `train` [t, *shape]; axes: their names, where content may begin anywhere along the last."""
    if train.ndim != 4:
        return Placed(train)
    return Aligned(train, (Sounds if axes else Pictures)(*train.shape[2:]))


def smooth(points: Tensor) -> Tensor:
    """`points` [n, c, *size] smoothed, large pictures halved, flat [n, d]; anything without axes as it is."""
    out = smoothed(points.float())
    if out.ndim == 4 and min(out.shape[2:]) >= 16:
        out = F.avg_pool2d(out, 2, ceil_mode=True)
    return out.flatten(1)


def rank_z(made: Tensor, real: Tensor) -> float:
    """Mann-Whitney's Z_U of distances `made` [m] against `real` [n]: far below 0 where made lies nearer to train."""
    m, n = len(made), len(real)
    both = torch.cat([made, real]).double()
    order = both.sort()
    _, inverse, counts = torch.unique_consecutive(order.values, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks = torch.empty(len(both), dtype=torch.float64)
    ranks[order.indices] = (ends - (counts - 1) / 2)[inverse]  # ties share their mean rank
    u = float(ranks[:m].sum()) - m * (m + 1) / 2
    return (u - (n * m / 2 - 0.5)) / math.sqrt(n * m * (n + m + 1) / 12)


@lru_cache(1 << 14)  # what a finding needs is searched for among the same few numbers
def chance_of(count: int, n: int, k: int, m: int) -> float:
    """P(at least `count` of `n` records fall below the k-th smallest of `m` others): beta-binomial(n, k, m - k + 1)."""

    from scipy.special import betaln, gammaln

    i = np.arange(count, n + 1, dtype=np.float64)
    choose = gammaln(n + 1) - gammaln(i + 1) - gammaln(n - i + 1)
    terms = np.exp(choose + betaln(i + k, n - i + m - k + 1) - betaln(k, m - k + 1))
    return min(1.0, float(terms.sum()))


def findings(case: Case) -> list[Finding]:
    """Copy rate (with the closest pairs), authenticity and C_T; `train` must be all that the generator learned from.

    Where the points' axes have names, content may begin anywhere along the last of them.
    """
    train, unseen, made = case.train, case.unseen, case.made
    most = MOST if len(train) <= 20_000 else MOST // 2
    copies = _copied(case, most, case.kept.of("searcher", lambda: searcher(train.points, case.axes)))
    if not copies.raised and copies.beside == UNSEEN and train.points.ndim == 4:
        # where real records are each other's mirror images, only what comes back as it stands can be told from them
        plain = _copied(case, most, Placed(train.points))
        copies = plain if plain.raised or plain.beside != UNSEEN else copies
    basis, base, theirs = case.kept.of("smooth", lambda: _smooth_sides(train.points, unseen.points[:most]))
    mine = _nearest(made.points[:most], basis, base)
    rest = [_authenticity(mine, theirs, base), _ct(mine, theirs, made, unseen, base, basis, case.seed)]
    # A smooth picture lies nearer to every training picture than a real one does, so these two fall through blur as well
    # as through copying. They speak only beside copies, and otherwise leave blur to the findings that can tell it.
    beside = [replace(f, limit=replace(f.limit, only=said("where copies were found too"))) for f in rest]
    return [copies, *(f if copies.raised else replace(f, raised=False) for f in beside)]


def _smooth_sides(train: Tensor, unseen: Tensor) -> tuple[Components, Tensor, Nearest]:
    """The leading components of the smoothed training points, those points in them [t, k], and the nearest of unseen ones."""
    smoothest = torch.cat([smooth(x) for x in train.split(5000)])
    basis = components(smoothest, 64)
    base = basis.of(smoothest)
    return basis, base, _nearest(unseen, basis, base)


def _nearest(points: Tensor, basis: Components, base: Tensor) -> Nearest:
    return Nearest(*nearest(torch.cat([basis.of(smooth(x)) for x in points.split(500)]), base))


def _copied(case: Case, most: int, known: Aligned | Placed) -> Finding:
    """The copy rate by what `known` finds of at most `most` records of each side."""
    train, unseen, made = case.train, case.unseen, case.made
    helped = min(most, len(unseen)) < FEW and len(train) > 2 * CROWD

    def searched() -> Tensor:
        ratio = known.search(unseen.points[:most]).ratio
        if not helped:
            return ratio
        some = torch.arange(min(STAND_INS, len(train)))
        return torch.cat([ratio, known.search(train.points[some], some).ratio])

    m, real = known.search(made.points[:most]), case.kept.of(type(known), searched)
    found = _copies(m, real, helped, case)
    if not found.raised or not case.apart:
        return found
    # where whatever is like real records is one of few, unseen ones are met as often
    together = torch.cat([train.points, unseen.points])
    both = Placed(together) if isinstance(known, Placed) else searcher(together, case.axes)
    again = _copies(both.search(made.points[:most]), real, helped, case, len(unseen))
    return found if again.beside == UNSEEN else again


def _copies(m: Matches, ratio: Tensor, helped: bool, case: Case, unseen: int = 0) -> Finding:
    """`ratio` [k] of real records; helped: whether training records are among them.

    unseen: how many unseen records follow the training ones in what was searched.
    """
    train, made = case.train, case.made
    n, held = len(m.ratio), len(ratio)
    k = max(3, math.ceil(NEAR * held))
    bar = float(ratio.sort().values[min(k, held) - 1])
    mine, near = m.row < len(train), m.ratio < bar
    met = Met.of(m.row[near & mine].tolist(), len(train), m.row[near & ~mine].tolist(), unseen) if unseen else None
    count = int((near & mine).sum())
    value, real = count / n, k / (held + 1)
    low, high = wilson(count, n)
    tests = 2 if helped else 1
    p = min(1.0, tests * chance_of(count, n, k, held))
    # Two ways to be sure: so many lie below the bar, or (the quantile of few records is known badly, and that none of them
    # lies nearer says more of plain copies) so many lie nearer than any real one.
    nearer = 0.0
    if helped:
        closest = int(((m.ratio < ratio.min()) & mine).sum())
        by_closest = min(1.0, 2 * chance_of(closest, n, 1, held))
        p = min(p, by_closest)
        nearer = (fewest(n, lambda c: 2 * chance_of(c, n, 1, held) < CERTAIN)) / n
    also = said("where {nearer:.1%} lie nearer than any real one", nearer=nearer) if helped else ""

    def beyond(c: int) -> bool:
        return c / n - real > 0.003 and (met is None or met.more(c))

    limit = limit_of_share(n, lambda c: tests * chance_of(c, n, k, held) < CERTAIN and beyond(c), also=also)
    raised = p < CERTAIN and beyond(count)
    order = torch.where(mine, m.ratio, torch.inf).argsort(stable=True)[: min(24, int(mine.sum()))]
    pairs = tuple((made.row(int(i)), train.row(int(m.row[i])), float(m.ratio[i])) for i in order)
    changes = Counter(c for c in m.changes((near & mine).nonzero()[:, 0].tolist()) if c)
    often = [(change, c) for change, c in changes.most_common() if c >= OFTEN * count]
    summary = said(NEAR_OTHERS if helped else NEAR_UNSEEN, count=count, n=n, value=value, real=real)
    summary += ("" if met is None else met.summary(n)) + _ends(often, raised)
    shown = tuple(change if near[i] else "" for i, change in zip(order, m.changes(order.tolist()), strict=True))
    detail = CopyRate(pairs=pairs, bar=bar, p=p, copies=count, n=n, searched=n, criterion=CRITERION, changes=shown)

    def sees(shown: int, real: int, copies: float) -> bool:
        least = max(3, math.ceil(NEAR * real))
        if met is not None and not met.sees(shown / n, real / held, copies * shown):
            return False
        count = power.reached(shown, copies)
        return count / shown - least / real > 0.003 and tests * chance_of(count, shown, least, real) < CERTAIN

    score, samples = Score(value, low, high, real, 0.0), power.of_count(sees, n, held, power.COPIES)
    if helped:  # what is wanted are unseen records, and training ones that stood in for them are none
        alone = len(case.unseen)
        samples = tuple(replace(s, n=alone) if s.short and s.side == "unseen real" else s for s in samples)
    return beside(met, n, scored("copy rate", score, limit, summary, detail=detail, samples=samples, raised=raised))


def _ends(changes: Sequence[tuple[str, int]], raised: bool) -> Sentence:
    """How the sentence on copies ends.   changes: what was often done to them, and to how many."""
    if not raised:
        return said("; no more than chance explains.")
    told = together(said(", {c} of them {change}", c=c, change=term(change)) for change, c in changes)
    return said(": training records were copied{told}.", told=told)


def _authenticity(m: Nearest, u: Nearest, base: Tensor) -> Finding:
    rows = torch.cat([m.row, u.row]).unique()
    own = torch.zeros(len(base))
    for block in rows.split(1000):
        d = distances(base[block], base)
        d[torch.arange(len(block)), block] = math.inf
        own[block] = d.amin(1)
    s = averaged((m.plain > own[m.row]).float(), (u.plain > own[u.row]).float(), share=True)
    summary = said(
        "{value:.1%} of what was made is further from its nearest training record than that one is from "
        "its own neighbour; unseen real data: {real:.1%}.",
        value=s.value,
        real=s.real,
    )
    detail, limit = Standardised(z=s.z), limit_of("authenticity", s, 0.05)
    samples = power.scored("authenticity", s.error, len(m.plain), len(u.plain), s.real, beyond=0.05)
    return scored("authenticity", s, limit, summary, detail=detail, samples=samples)


def _ct(
    m: Nearest, u: Nearest, made: Embedded, unseen: Embedded, base: Tensor, basis: Components, seed: int
) -> Finding:
    centres = cells(base, max(1, min(10, len(u.plain) // 40)), seed)
    where_m, where_u = (
        distances(basis.of(smooth(s.points[: len(x.plain)])), centres).argmin(1) for s, x in ((made, m), (unseen, u))
    )
    scores, weights, nulls, errors = [], [], [], []
    for cell in range(len(centres)):
        a, b = m.plain[where_m == cell], u.plain[where_u == cell]
        if min(len(a), len(b)) >= 20:
            scores.append(rank_z(a, b))
            weights.append(float(len(b)))
            errors.append(_rank_error(len(a), len(b)))
            nulls.append(rank_z(b[: len(b) // 2], b[len(b) // 2 :]))
    if not scores:  # too little of either in every cell: one cell of all
        half = len(u.plain) // 2
        scores, weights, errors = [rank_z(m.plain, u.plain)], [1.0], [_rank_error(len(m.plain), len(u.plain))]
        nulls = [rank_z(u.plain[:half], u.plain[half:])]
    w = torch.tensor(weights, dtype=torch.float64)
    w = w / w.sum()
    value, real = (float((w * torch.tensor(x, dtype=torch.float64)).sum()) for x in (scores, nulls))
    sd = float(w.square().sum().sqrt())  # each cell's Z is N(0, 1) by chance
    summary = said(
        "Nearness to training records (C_T): {value:.1f}; 0 is as unseen real data, below -3 is nearer "
        "than it should be, by copying or by smoothness.",
        value=value,
    )
    detail = CT(worst_cell=min(scores), cells=tuple(scores), z=value / sd)
    score, limit = Score(value, value - 1.96 * sd, value + 1.96 * sd, real, sd), Limit(below=min(-3.0, -LEVEL * sd))
    error = sum(errors) / len(errors)  # of the share of pairs in which the made record is the nearer one
    samples = power.scored("ct", error * sd, len(m.plain), len(u.plain), beyond=3 * error)
    return scored("ct", score, limit, summary, detail=detail, samples=samples)


def _rank_error(n: int, m: int) -> float:
    """The standard error of the share of pairs, of `n` and `m`, in which the first is the smaller, where both are alike."""
    return math.sqrt((n + m + 1) / (12 * n * m))
