"""Whether tables hang together as real ones do: children per parent, keys, parent with child, a row with the one before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from karat.assays import power
from karat.assays.chance import HANDFUL, draw, limit_of, resampled, wilson
from karat.assays.details import Detail
from karat.assays.details.rows import Cardinality, ColumnPairs, Gaps
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.relational.case import Case
from karat.assays.relational.kin import records, thinned
from karat.assays.table.columns import Trends, combinations, shape
from karat.assays.table.detection import told_apart
from karat.assays.table.sheet import resampled_columns
from karat.space import JUDGED as FEWEST
from karat.views import Columns, DatabaseView, TableView, Tie
from karat.words import Sentence, said, term

FINDS = (
    "dangling keys",
    "cardinality",
    "cardinality pairs",
    "parent-child auc",
    "parent-child pairs",
    "sequences",
    "gaps",
)
MOST_PAIRS = 400


def findings(case: Case) -> list[Finding]:
    """How the children of one tie hang on their parents; of rows that belong to one record also how many, and in what order."""
    if case.made.ties[case.number].cut:  # windows are no parents, and each has as many steps
        return _sequences(case)
    out = [_dangling(case), *_together(case)]
    return (
        [*out, *_cardinality(case), *_counts(case), *_joined(case), *_sequences(case)]
        if case.made.ties[case.number].makes
        else out
    )


def _dangling(case: Case) -> Finding:
    """The share of keys that are nobody's; of what is made, no more may be than of what is real: none, where all resolve."""
    tie = case.made.ties[case.number]
    (loose, n), (real_loose, real_n) = (
        (int((t.links[~t.absent] < 0).sum()), int((~t.absent).sum())) for t in (tie, case.train.all.ties[case.number])
    )
    low, high = wilson(loose, n) if n else (0.0, 0.0)
    real, top = real_loose / max(real_n, 1), wilson(real_loose, real_n)[1] if real_loose else 0.0
    summary = said(
        "{where}: {loose:,} of {n:,} made keys refer to no row; in the real tables {real_loose:,} of {real_n:,} do.",
        where=tie.where,
        loose=loose,
        n=n,
        real_loose=real_loose,
        real_n=real_n,
    )
    score = Score(loose / max(n, 1), low, high, real, 0.0)
    limit = Limit(above=top, only=said("where chance does not explain it") if top else "")
    samples = power.of_count(
        lambda made, _, share: wilson(power.reached(made, share), made)[0] > top, max(n, 1), max(real_n, 1), power.BAD
    )
    return scored("dangling keys", score, limit, summary, raised=low > top, of=tie.where, samples=samples)


def _cardinality(case: Case) -> list[Finding]:
    """Children per parent: 1 - the Kolmogorov-Smirnov distance to the training parents' [n], beside unseen parents'."""
    sides = zip(case.sides, case.ties, strict=True)
    count = Columns(("rows",), ((),))
    parts = [TableView(count, _many(side, tie)[:, None].astype(float)) for side, tie in sides]
    train, unseen, made = (part.values[rows, 0] for part, rows in zip(parts, _parents(case, parts), strict=True))
    where, score = case.ties[0].where, _shape(train, unseen, made, case.seed)
    if score is None:
        return []
    summary = said(
        "{where}: a made parent has {made:.3g} rows on average ({range} but for one in a hundred), a "
        "real one {train:.3g} ({train_range}); the distributions agree to {value:.3f}, unseen real ones to "
        "{real:.3f}.",
        where=where,
        made=made.mean(),
        range=_range(made),
        train=train.mean(),
        train_range=_range(train),
        value=score.value,
        real=score.real,
    )
    top = int(max(train.max(initial=0), made.max(initial=0)))
    detail = None
    if 2 <= top + 1 <= 40:
        shown, real = (tuple((np.bincount(v.astype(int), minlength=top + 1) / len(v)).tolist()) for v in (made, train))
        detail = Cardinality(names=tuple(str(i) for i in range(top + 1)), made=shown, real=real)
    return [_agreement("cardinality", where, score, summary, detail, len(made), len(unseen))]


def _many(side: DatabaseView, tie: Tie) -> np.ndarray:
    """int64 [parents]: how many children each has."""
    return np.bincount(tie.links[tie.links >= 0], minlength=len(side.tables[tie.parent]))


def _parents(case: Case, parts: Sequence[TableView]) -> list[np.ndarray]:
    """Which rows of the parents are looked at, as many of each record as may count as independent; all where a parent is one.

    parts: what is looked at of each parent, on each side.
    """
    kin = [records(side, tie.parent) for side, tie in zip(case.sides, case.ties, strict=True)]
    orders = [np.random.default_rng([case.seed, 36]).permutation(len(of)) for of in kin]
    return [np.sort(rows) for rows in thinned(parts, kin, case.seed, orders)]


def _counts(case: Case) -> list[Finding]:
    """How the number of children goes with the parent's columns, and with how many it has in tables that stand before."""
    tie, parts = case.made.ties[case.number], []
    for side in case.sides:
        own, mine = (
            side.tables[tie.parent],
            [t for t in side.ties[: case.number + 1] if t.makes and t.parent == tie.parent],
        )
        counts = Columns(tuple(t.where for t in mine), ((),) * len(mine))
        values = np.column_stack([own.values, *(_many(side, t) for t in mine)])
        parts.append(TableView(_beside(own.columns, counts, tie.parent, "rows"), values))
    parts = [part.take(rows) for part, rows in zip(parts, _parents(case, parts), strict=True)]
    last = parts[0].width - 1
    pairs = [(j, last) for j in range(last)]
    return _pairs(
        "cardinality pairs", tie.where, "a parent and how many children it has", *parts, pairs=pairs, seed=case.seed
    )


def _joined(case: Case) -> list[Finding]:
    """Whether a child with its parent, its place and the number of its siblings is told from a real one."""
    parts, kin = [], []
    for side, tie in zip(case.sides, case.ties, strict=True):
        rows = np.random.default_rng([case.seed, 7]).permutation(np.flatnonzero(tie.links >= 0))
        kin.append(records(side, tie.child)[rows])
        parent, child = side.tables[tie.parent], side.tables[tie.child]
        columns = _beside(parent.columns, child.columns, tie.parent, tie.child)
        columns = _beside(columns, Columns(("place", "siblings"), ((), ())), "", "")
        of = tie.links[rows]
        beside = [parent.values[of], child.values[rows], tie.place[rows], _many(side, tie)[of]]
        parts.append(TableView(columns, np.column_stack(beside)))
    rng = np.random.default_rng([case.seed, 8])
    parts = [part.take(rng.permutation(rows)) for part, rows in zip(parts, thinned(parts, kin, case.seed), strict=True)]
    if min(map(len, parts)) < FEWEST:
        return []
    return [told_apart("parent-child auc", *parts, seed=case.seed, of=case.ties[0].where)]


def _together(case: Case) -> list[Finding]:
    """How columns of parent and child go together, in rows that may count as independent; the parent may lie on either side of
    the split where it does not make its children.
    """
    i, made, tie, parts, kin = case.number, case.made, case.ties[2], [], []
    columns = _beside(made.tables[tie.parent].columns, made.tables[tie.child].columns, tie.parent, tie.child)
    for side in case.sides:
        base, link = side.all, side.all.ties[i].links
        rows = np.random.default_rng([case.seed, 5]).permutation(np.flatnonzero((link >= 0) & side.mine(tie.child)))
        kin.append(records(base, tie.child)[rows])
        left = base.tables[tie.parent].values[link[rows]]
        parts.append(TableView(columns, np.hstack([left, base.tables[tie.child].values[rows]])))
    parts = [part.take(rows) for part, rows in zip(parts, thinned(parts, kin, case.seed), strict=True)]
    if min(map(len, parts)) < FEWEST:
        return []
    first = made.tables[tie.parent].width
    pairs = [(i, j) for i in range(first) for j in range(first, len(columns.names))]
    return _pairs("parent-child pairs", tie.where, "parent and child", *parts, pairs=pairs, seed=case.seed)


def _beside(a: Columns, b: Columns, left: str, right: str) -> Columns:
    names = (*(f"{left}.{n}".lstrip(".") for n in a.names), *(f"{right}.{n}".lstrip(".") for n in b.names))
    units = [x.units if x.units else ("",) * len(x.names) for x in (a, b)]
    return Columns(names, (*a.choices, *b.choices), (*units[0], *units[1]) if any(map(any, units)) else ())


def _sequences(case: Case) -> list[Finding]:
    """How a row goes together with the one before it, in neighbours that may count as independent; and the gaps between them."""
    parts, kin, gaps = [], [], []
    name, order = case.made.ties[case.number].child, case.made.ties[case.number].order
    own = case.made.tables[name].columns
    for side, tie in zip(case.sides, case.ties, strict=True):
        rows = np.random.default_rng([case.seed, 6]).permutation(np.flatnonzero((tie.before >= 0) & (tie.links >= 0)))
        kin.append(records(side, name)[rows])
        now, back = (side.tables[name].values[at] for at in (rows, tie.before[rows]))
        parts.append(TableView(_beside(own, own, "before", name), np.hstack([back, now])))
        if tie.at is not None:
            gaps.append(tie.at[rows] - tie.at[tie.before[rows]])
    width = len(own.names)
    pairs = [(j, width + j) for j in range(width) if own.names[j] != order]
    apart = [TableView(Columns(("gap",), ((),)), gap[:, None].astype(float)) for gap in gaps]
    gaps = [gap[rows] for gap, rows in zip(gaps, thinned(apart, kin, case.seed), strict=True)] if gaps else []
    judged = [_only(part, sorted({j for pair in pairs for j in pair})) for part in parts]
    parts = [part.take(rows) for part, rows in zip(parts, thinned(judged, kin, case.seed), strict=True)]
    if min(map(len, parts)) < FEWEST:
        return []
    out = _pairs("sequences", name, "a row and the one before it", *parts, pairs=pairs, seed=case.seed)
    return [*out, *(_gaps(name, *gaps, seed=case.seed) if gaps else [])]


def _only(part: TableView, columns: Sequence[int]) -> TableView:
    """Some columns of the part."""
    some = Columns(tuple(part.names[j] for j in columns), tuple(part.columns.choices[j] for j in columns))
    return TableView(some, part.values[:, columns])


def _pairs(
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
    a, b = (train.names[i] for i in chosen[int(np.argmax(gap))])
    first = said("{a} and {b}", a=a, b=b)
    summary = said(
        "Dependence of columns of {what} agrees with the training data to {value:.3f}; unseen real "
        "ones: {real:.3f}. Worst: {first} ({score}, real {real_score}).",
        what=term(what),
        value=score.value,
        real=score.real,
        first=first,
        score=worst[0].score,
        real_score=worst[0].real_score,
    )
    detail = ColumnPairs(n=draws.size, z=score.z, pairs_looked_at=len(chosen), worst=worst)
    return [_agreement(key, of, score, summary, detail, len(made), len(unseen))]


def _gaps(where: str, train: np.ndarray, unseen: np.ndarray, made: np.ndarray, *, seed: int) -> list[Finding]:
    """How far a row is from the one before it, as `cardinality`; and whether every sequence is sorted."""
    score = _shape(train, unseen, made, seed)
    if score is None:
        return []
    back = int((made < 0).sum())
    summary = said(
        "{where}: distances between neighbours are distributed as in the training data to {value:.3f}; "
        "unseen real ones: {real:.3f}. {back:,} of {n:,} made neighbours stand in the wrong order.",
        where=where,
        value=score.value,
        real=score.real,
        back=back,
        n=len(made),
    )
    also, detail = said("where a row stands in the wrong order"), Gaps(backwards=back)
    return [_agreement("gaps", where, score, summary, detail, len(made), len(unseen), back > 0, also)]


def _agreement(
    key: str,
    of: str,
    score: Score,
    summary: str,
    detail: Detail | None,
    made: int,
    unseen: int,
    off: bool = False,
    also: str = "",
) -> Finding:
    """The finding that `score` is, 1 where all agrees, of so many made and unseen records.   off: raised whatever it is."""
    least = max(
        0.02, HANDFUL / min(made, unseen // 2)
    )  # what a handful of rows would make: draws of few do not show it
    limit = limit_of(key, score, least, also)
    samples = power.scored(key, score.error, made, unseen, floor=1 - score.real, beyond=least)
    raised = off or limit.broken(score.value)
    return scored(key, score.clipped(high=1.0), limit, summary, detail=detail, samples=samples, raised=raised, of=of)


def _shape(train: np.ndarray, unseen: np.ndarray, made: np.ndarray, seed: int) -> Score | None:
    train, unseen, made = (x.astype(np.float64) for x in (train, unseen, made))
    if min(len(unseen), len(made)) < FEWEST or not len(train):
        return None
    draws = draw(len(unseen), len(made), np.random.default_rng([seed, 31]))

    def of(values: np.ndarray, rows: torch.Tensor) -> float:
        score = shape(train, values[rows.numpy()], 0)
        return 1.0 if math.isnan(score) else score

    return resampled(lambda rows: of(unseen, rows), lambda rows: of(made, rows), draws)


def _range(counts: np.ndarray) -> Sentence:
    low, high = np.quantile(counts, [0.005, 0.995])
    return said("{low:.0f} to {high:.0f}", low=low, high=high)
