"""Whether tables hang together as real ones do: children per parent, keys, parent with child, a row with the one before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from karat.assays import power
from karat.assays.chance import draw, limit_of, resampled, wilson
from karat.assays.details.rows import Cardinality, ColumnPairs, Gaps
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.table.columns import Trends, combinations, shape
from karat.assays.table.sheet import resampled_columns
from karat.space import JUDGED as FEWEST
from karat.views import TableView

MOST_PAIRS = 400


def cardinality(where: str, train: np.ndarray, unseen: np.ndarray, made: np.ndarray, *, seed: int) -> list[Finding]:
    """Children per parent: 1 - the Kolmogorov-Smirnov distance to the training parents' [n], beside unseen parents'."""
    score = _shape(train, unseen, made, seed)
    if score is None:
        return []
    summary = (
        f"{where}: a made parent has {made.mean():.3g} rows on average ({_range(made)} but for one in a hundred), a real "
        f"one {train.mean():.3g} ({_range(train)}); "
        f"the distributions agree to {score.value:.3f}, unseen real ones to {score.real:.3f}."
    )
    top = int(max(train.max(initial=0), made.max(initial=0)))
    detail = None
    if 2 <= top + 1 <= 40:
        shown, real = (tuple((np.bincount(v, minlength=top + 1) / len(v)).tolist()) for v in (made, train))
        detail = Cardinality(names=tuple(str(i) for i in range(top + 1)), made=shown, real=real)
    limit, samples = (
        limit_of(score, 0.02, "higher"),
        power.scored("cardinality", score.error, len(made), len(unseen), floor=1 - score.real),
    )
    return [scored("cardinality", score.clipped(high=1.0), limit, summary, detail=detail, samples=samples, of=where)]


def gaps(where: str, train: np.ndarray, unseen: np.ndarray, made: np.ndarray, *, seed: int) -> list[Finding]:
    """How far a row is from the one before it, as `cardinality`; and whether every sequence is sorted."""
    score = _shape(train, unseen, made, seed)
    if score is None:
        return []
    back = int((made < 0).sum())
    summary = (
        f"{where}: distances between neighbours are distributed as in the training data to {score.value:.3f}; unseen real "
        f"ones: {score.real:.3f}. {back:,} of {len(made):,} made neighbours stand in the wrong order."
    )
    limit = limit_of(score, 0.02, "higher", also="where a row stands in the wrong order")
    raised = limit.broken(score.value) or back > 0
    samples, detail = (
        power.scored("gaps", score.error, len(made), len(unseen), floor=1 - score.real),
        Gaps(backwards=back),
    )
    within = score.clipped(high=1.0)
    return [scored("gaps", within, limit, summary, detail=detail, samples=samples, raised=raised, of=where)]


def _shape(train: np.ndarray, unseen: np.ndarray, made: np.ndarray, seed: int) -> Score | None:
    train, unseen, made = (x.astype(np.float64) for x in (train, unseen, made))
    if min(len(unseen), len(made)) < FEWEST or not len(train):
        return None
    draws = draw(len(unseen), len(made), np.random.default_rng([seed, 31]))

    def of(values: np.ndarray, rows: torch.Tensor) -> float:
        score = shape(train, values[rows.numpy()], 0)
        return 1.0 if math.isnan(score) else score

    return resampled(lambda rows: of(unseen, rows), lambda rows: of(made, rows), draws)


def dangling(where: str, loose: int, n: int, real_loose: int, real_n: int) -> Finding:
    """The share of keys that are nobody's; of what is made, no more may be than of what is real: none, where all resolve."""
    low, high = wilson(loose, n) if n else (0.0, 0.0)
    real, top = real_loose / max(real_n, 1), wilson(real_loose, real_n)[1] if real_loose else 0.0
    summary = (
        f"{where}: {loose:,} of {n:,} made keys refer to no row; in the real tables {real_loose:,} of {real_n:,} do."
    )
    score = Score(loose / max(n, 1), low, high, real, 0.0)
    limit = Limit(above=top, only="where chance does not explain it" if top else "")
    return scored("dangling keys", score, limit, summary, raised=low > top, of=where)


def pairs(
    key: str,
    of: str,
    what: str,
    train: TableView,
    unseen: TableView,
    made: TableView,
    *,
    pairs: Sequence[tuple[int, int]],
    seed: int,
) -> list[Finding]:
    """How pairs of columns go together, the mean score over `pairs` (see `columns.Trends`) against the training rows."""
    rng = np.random.default_rng([seed, 32])
    if min(len(unseen), len(made)) < FEWEST or not pairs:
        return []
    chosen = [pairs[i] for i in np.sort(rng.permutation(len(pairs))[:MOST_PAIRS])]
    trends = Trends(train, chosen)
    draws = draw(len(unseen), len(made), rng)
    score, own, real = resampled_columns(
        lambda rows: trends.of(unseen.take(rows)), lambda rows: trends.of(made.take(rows)), draws
    )
    gap = np.nan_to_num(real - own)
    worst = combinations(train.names, chosen, own, real, np.argsort(-gap, kind="stable")[:12])
    first = " and ".join(train.names[i] for i in chosen[int(np.argmax(gap))])
    summary = (
        f"Dependence of columns of {what} agrees with the training data to {score.value:.3f}; unseen real ones: {score.real:.3f}. "
        f"Worst: {first} ({worst[0].score}, real {worst[0].real_score})."
    )
    detail = ColumnPairs(n=draws.size, z=score.z, pairs_looked_at=len(chosen), worst=worst)
    limit, samples = (
        limit_of(score, 0.02, "higher"),
        power.scored("pairs", score.error, len(made), len(unseen), floor=1 - score.real),
    )
    return [scored(key, score.clipped(high=1.0), limit, summary, detail=detail, samples=samples, of=of)]


def _range(counts: np.ndarray) -> str:
    low, high = np.quantile(counts, [0.005, 0.995])
    return f"{low:.0f} to {high:.0f}"
