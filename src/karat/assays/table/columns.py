"""Whether columns, pairs and triples of columns are distributed as in real data.

Column shapes and column pairs are those of SDMetrics (https://docs.sdv.dev/sdmetrics): the Kolmogorov-Smirnov and total
variation complements, and the correlation and contingency similarities. Numbers are correlated by rank (Spearman's), so
that one outlier accuses nobody. The detail holds its quality report's figures, with Pearson's correlation as there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from karat.assays import power
from karat.assays.chance import LEVEL, Draws, least_of, limit_of
from karat.assays.details import Curve, Detail
from karat.assays.details.rows import Bins, ColumnPairs, ColumnShapes, Combination, Marginals, Missing, Portrait
from karat.assays.finding import Finding, Score, scored
from karat.assays.table.sheet import binned, finite, ranks, resampled_columns
from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import Sentence, said, term, together

FINDS = ("column shapes", "column pairs", "three-way marginals")
PAIRS = 1000  # pairs of columns looked at, at most
TRIPLES = 60
BINS = 8  # of a column in three-way marginals
CELLS = 1 << 18  # of a contingency table that is counted densely
SHOWN = 100  # columns whose histograms the report can show
TAIL = 0.005  # share of a column's values at either end that may lie anywhere
ONE = 0.05  # by which one column or pair must be worse than real ones
STRETCH = 3.0  # times as wide as all but the tails, beyond which they do not count for the bins


def shape(real: np.ndarray, made: np.ndarray, choices: int) -> float:
    """1 - the Kolmogorov-Smirnov distance (total variation where there are `choices`) of what is not missing.

    Both are float64 [n] with NaN where missing; NaN where either side has nothing.
    """
    a, b = finite(real), finite(made)
    if len(a) == 0 or len(b) == 0:
        return math.nan
    if choices:
        p, q = (np.bincount(x.astype(np.int64), minlength=choices + 1) / len(x) for x in (a, b))
        return 1 - float(np.abs(p - q).sum()) / 2
    a, b = np.round(a, 14), np.round(b, 14)
    at = np.concatenate([a, b])
    gap = np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)
    return 1 - float(np.abs(gap).max())


def shapes(real: TableView, made: TableView) -> np.ndarray:
    """The shape score [c] of every column; NaN where a side has nothing but missing cells."""
    return np.array(
        [
            shape(a, b, len(choices))
            for a, b, choices in zip(real.values.T, made.values.T, real.columns.choices, strict=True)
        ]
    )


def pairs_of(sheet: TableView, rng: np.random.Generator) -> list[tuple[int, int]]:
    """All pairs of columns, or `PAIRS` of them drawn by `rng`."""
    return sampled(sheet.width, 2, PAIRS, rng)  # type: ignore[return-value]


def sampled(width: int, of: int, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All combinations of `of` columns, or `most` of them drawn by `rng`."""
    if math.comb(width, of) <= 4 * most:
        every = list(itertools.combinations(range(width), of))
        return every if len(every) <= most else [every[i] for i in np.sort(rng.permutation(len(every))[:most])]
    out: dict[tuple[int, ...], None] = {}
    while len(out) < most:
        out[tuple(sorted(int(j) for j in rng.choice(width, of, replace=False)))] = None
    return list(out)


class Trends:
    """How pairs of columns go together in one sheet: `of(made)` scores another sheet against it.

    Two numbers are correlated by their ranks; a number beside a choice is cut into ten equal bins of the real sheet's
    range, but for outliers, the outer ones open. With `plain` numbers are correlated as they are and cut into ten bins
    of their own sheet's range, as SDMetrics' quality report does: one outlier then moves all.
    """

    def __init__(self, real: TableView, pairs: Sequence[tuple[int, int]], *, plain: bool = False) -> None:
        self.pairs = pairs
        self.plain = plain
        self.edges: dict[int, np.ndarray] = {}
        self.numbers = set(real.numbers)
        self.mixed = [(i, j) for i, j in pairs if not (i in self.numbers and j in self.numbers)]
        self.sizes = [len(choices) + 2 if choices else 12 for choices in real.columns.choices]
        self.needed = sorted({j for pair in self.mixed for j in pair})
        self.correlated = sorted({j for pair in pairs for j in pair if j in self.numbers})
        codes = self._codes(real)
        self.tables = {pair: self._table(codes, pair) for pair in self.mixed}
        self.correlations = self._correlations(real)

    def _codes(self, sheet: TableView) -> dict[int, np.ndarray]:
        out = {}
        for j in self.needed:
            column = sheet.values[:, j]
            if j in self.numbers:
                if self.plain or j not in self.edges:
                    known = column[~np.isnan(column)]
                    edges = np.histogram_bin_edges(known, range=None if self.plain else _range(known))
                    if not self.plain:
                        edges[0], edges[-1] = -np.inf, np.inf
                    self.edges[j] = edges
                out[j] = np.digitize(column, self.edges[j])
            else:
                out[j] = sheet.codes(j)
        return out

    def _table(self, codes: dict[int, np.ndarray], pair: tuple[int, int]) -> tuple[np.ndarray | None, np.ndarray]:
        """Cells (None: all of them) and their shares."""
        i, j = pair
        both = codes[i] * self.sizes[j] + codes[j]
        if self.sizes[i] * self.sizes[j] <= CELLS:
            return None, np.bincount(both, minlength=self.sizes[i] * self.sizes[j]) / len(both)
        cells, counts = np.unique(both, return_counts=True)
        return cells, counts / len(both)

    def _correlations(self, sheet: TableView) -> dict[tuple[int, int], float]:
        """Spearman's, or Pearson's where `plain`, over rows that have both numbers; NaN where one is constant."""
        columns = self.correlated
        values = sheet.values[:, columns]
        there = ~np.isnan(values)
        if not self.plain:
            values = np.stack([ranks(finite(v), v) for v in values.T], 1) if columns else values
        count = there.sum(0)
        safe = np.maximum(count, 1)
        centred = np.where(there, values - np.where(there, values, 0).sum(0) / safe, 0)
        spread = np.sqrt((centred**2).sum(0) / safe)
        x = centred / np.where(spread > 0, spread, 1)
        mask = there.astype(np.float64)
        n, sums, squares, cross = mask.T @ mask, x.T @ mask, (x * x).T @ mask, x.T @ x
        n = np.maximum(n, 1)
        covariance = cross / n - sums * sums.T / n**2
        variance = np.maximum(squares / n - (sums / n) ** 2, 0)
        bottom = np.sqrt(variance * variance.T)
        fine = bottom > 1e-12
        r = np.where(fine, covariance / np.where(fine, bottom, 1), np.nan)
        place = {j: k for k, j in enumerate(columns)}
        return {(i, j): float(r[place[i], place[j]]) for i, j in self.pairs if i in place and j in place}

    def of(self, made: TableView) -> np.ndarray:
        """The score of each pair; NaN for numbers of which one never varies."""
        codes = self._codes(made)
        correlations = self._correlations(made)
        out = np.empty(len(self.pairs))
        for k, pair in enumerate(self.pairs):
            if pair not in self.tables:
                out[k] = 1 - abs(self.correlations[pair] - correlations[pair]) / 2
                continue
            (a_cells, a), (b_cells, b) = self.tables[pair], self._table(codes, pair)
            if a_cells is None or b_cells is None:
                out[k] = 1 - float(np.abs(a - b).sum()) / 2
            else:
                _, left, right = np.intersect1d(a_cells, b_cells, assume_unique=True, return_indices=True)
                out[k] = float(np.minimum(a[left], b[right]).sum())
        return out


def _range(known: np.ndarray) -> tuple[float, float] | None:
    """What ten bins of the finite `known` [n] span: all of it (None), or all but its tails where these reach far out."""
    if not len(known):
        return 0.0, 10.0
    low, high = (float(x) for x in np.quantile(known, [TAIL, 1 - TAIL]))
    return (low, high) if 0 < STRETCH * (high - low) < known.max() - known.min() else None


def mean(scores: np.ndarray) -> float:
    """The mean of what is defined, as SDMetrics averages; 1 where nothing is."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else 1.0


def _cells(codes: np.ndarray, columns: tuple[int, ...], size: int) -> np.ndarray:
    both = np.zeros(len(codes), np.int64)
    for j in columns:
        both = both * size + codes[:, j]
    counted: np.ndarray = np.bincount(both, minlength=size ** len(columns)) / len(codes)
    return counted


def _total_variation(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p - q).sum()) / 2


def findings(case: Case) -> list[Finding]:
    """Column shapes, column pairs and three-way marginals, each against the training rows."""
    train, unseen, made, draws = case.train, case.unseen, case.made, case.wide
    rng = np.random.default_rng([case.seed, 21])
    out = [_shapes(train, unseen, made, draws)]
    if train.width > 1:
        out.append(_pairs(train, unseen, made, draws, rng))
    if train.width > 2:
        out.append(_triples(train, unseen, made, draws, rng))
    return out


def _off(made: np.ndarray, real: np.ndarray, least: float, draws: Draws, filled: tuple[np.ndarray, ...]) -> np.ndarray:
    """Which scores [k] are worse than real ones by more than `least` and than chance moves a share or half a correlation.

    filled: per score, the share of made and of unseen rows that it rests on: those where the column is not missing.
    """
    n, m = (
        np.maximum(x * size, 1) for x, size in zip(filled, (draws.size * len(draws.made), draws.n_unseen), strict=True)
    )
    chance = LEVEL / 2 * np.sqrt(1 / n + 1 / m)
    gap = np.nan_to_num(real - made)
    return np.flatnonzero(gap > np.maximum(least, chance))


def _filled(sheet: TableView, pairs: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The share of rows [k] that a score of each of `pairs` rests on: of numbers, those that have them all.

    Choices are compared with what is missing as one of them, unless they stand alone.
    """
    there = ~np.isnan(sheet.values)
    numbers = set(sheet.numbers)
    counted = [p for p in pairs if len(p) == 1 or numbers.issuperset(p)]
    share = {p: float(there[:, list(p)].all(1).mean()) for p in counted}
    return np.array([share.get(p, 1.0) for p in pairs])


def _shapes(train: TableView, unseen: TableView, made: TableView, draws: Draws) -> Finding:
    s, own, real = resampled_columns(
        lambda rows: shapes(train, unseen.take(rows)), lambda rows: shapes(train, made.take(rows)), draws
    )
    alone = [(j,) for j in range(train.width)]
    off = _off(own, real, ONE, draws, (_filled(made, alone), _filled(unseen, alone)))
    gap = np.nan_to_num(real - own)
    order = np.argsort(-gap, kind="stable")
    named = together(
        (
            said("{name} ({made:.3f}, real {real:.3f})", name=train.names[j], made=own[j], real=real[j])
            for j in order[:3]
        ),
        ", ",
    )
    summary = said(
        "Column shapes agree with the training data to {value:.3f}; unseen real data: {real:.3f}. Worst: {named}.",
        value=s.value,
        real=s.real,
        named=named,
    )
    detail = ColumnShapes(
        n=draws.size,
        z=s.z,
        quality_report=mean(shapes(train, made)),
        off=tuple(train.names[j] for j in sorted(off, key=lambda j: -gap[j])),
        columns=tuple(
            portrait(train, unseen, made, int(j), (rounded(own[j]), rounded(real[j])), 12 if k < SHOWN else 0)
            for k, j in enumerate(order)
        ),
    )
    return _finding("column shapes", s, draws, "column", len(off) > 0, summary, detail)


def _pairs(train: TableView, unseen: TableView, made: TableView, draws: Draws, rng: np.random.Generator) -> Finding:
    pairs = pairs_of(train, rng)
    trends = Trends(train, pairs)
    s, own, real = resampled_columns(
        lambda rows: trends.of(unseen.take(rows)), lambda rows: trends.of(made.take(rows)), draws
    )
    gap = np.nan_to_num(real - own)
    off = _off(own, real, ONE, draws, (_filled(made, pairs), _filled(unseen, pairs)))
    worst = combinations(train.names, pairs, own, real, np.argsort(-gap, kind="stable")[:24])
    named = together((_scores(w, said("{a} and {b}", a=w.columns[0], b=w.columns[1])) for w in worst[:3]), "; ")
    summary = said(
        "Dependence of column pairs agrees with the training data to {value:.3f}; unseen real data: {real:.3f}. ",
        value=s.value,
        real=s.real,
    )
    summary += said("Worst: {named}.", named=named)
    report = mean(Trends(train, pairs, plain=True).of(made))
    detail = ColumnPairs(n=draws.size, z=s.z, pairs_looked_at=len(pairs), quality_report=report, worst=worst)
    return _finding("column pairs", s, draws, "pair", len(off) > 0, summary, detail)


def _scores(worst: Combination, columns: str) -> Sentence:
    return said("{columns} ({made}, real {real})", columns=columns, made=worst.score, real=worst.real_score)


def _triples(train: TableView, unseen: TableView, made: TableView, draws: Draws, rng: np.random.Generator) -> Finding:
    triples = sampled(train.width, 3, TRIPLES, rng)
    size = BINS + 2
    t, u, m = binned((train, unseen, made), BINS)
    theirs = [_cells(t, triple, size) for triple in triples]

    def scores(of: np.ndarray) -> np.ndarray:
        return np.array([_total_variation(a, _cells(of, x, size)) for a, x in zip(theirs, triples, strict=True)])

    s, own, real = resampled_columns(lambda rows: scores(u[rows]), lambda rows: scores(m[rows]), draws)
    worst = combinations(train.names, triples, own, real, np.argsort(real - own, kind="stable")[:12])
    named = _scores(worst[0], ", ".join(worst[0].columns))
    summary = said(
        "In {n} triples of columns, {value:.1%} of the rows would have to move to match the "
        "training data; of as many unseen real ones, {real:.1%}. Worst: {named}.",
        n=len(triples),
        value=s.value,
        real=s.real,
        named=named,
    )
    detail = Marginals(n=draws.size, z=s.z, triples=len(triples), worst=worst)
    least = least_of(0.02, draws)
    limit = limit_of("three-way marginals", s, least)
    samples = power.scored("three-way marginals", s.error, len(made), len(unseen), floor=s.real, beyond=least)
    return scored("three-way marginals", s, limit, summary, detail=detail, samples=samples)


def combinations(
    names: tuple[str, ...], columns: Sequence[tuple[int, ...]], own: np.ndarray, real: np.ndarray, rows: np.ndarray
) -> tuple[Combination, ...]:
    """Of the scores of combinations of `columns` [k], `own` [k] and `real` [k], those at `rows`."""
    return tuple(
        Combination(columns=tuple(names[j] for j in columns[k]), score=rounded(own[k]), real_score=rounded(real[k]))
        for k in rows
    )


def _finding(key: str, s: Score, draws: Draws, one: str, off: bool, summary: str, detail: Detail) -> Finding:
    """off: whether one of the scores that `s` is the mean of is worse by more than `_off` allows."""
    also = said("where one {one} is worse than real by {by} and by more than chance", one=term(one), by=ONE)
    limit = limit_of(key, s, least_of(0.01, draws), also=also)
    raised = off or limit.broken(s.value)
    n, m = draws.size * len(draws.made), draws.n_unseen
    error = math.sqrt(1 / n + 1 / m) / 2  # of the one column or pair: the mean moves less
    samples = power.scored(key, error, n, m, floor=1 - s.real, beyond=ONE)
    return scored(key, s.clipped(high=1.0), limit, summary, detail=detail, samples=samples, raised=raised)


def rounded(x: float) -> float | None:
    """The score as the report has it, None where it is not defined."""
    return None if math.isnan(x) else round(float(x), 4)


def portrait(
    train: TableView,
    unseen: TableView,
    made: TableView,
    j: int,
    scores: tuple[float | None, float | None] = (None, None),
    bins: int = 12,
) -> Portrait:
    """Column `j` for the report: its kind, its share of missing cells and its histogram, made and real (unseen).

    Numbers fall into `bins` equal ones between the training data's 1% and 99% quantiles, the outer ones open (`edges`), or
    into one per value where these are as few (`values`); of choices the `bins` commonest are shown. With 0 bins there is no
    histogram.
    """
    kind = "choice" if train.columns.choices[j] else "number"
    sides = made.values[:, j], unseen.values[:, j]
    missing = Missing(made=float(np.isnan(sides[0]).mean()), real=float(np.isnan(sides[1]).mean()))
    shown = _bins(train, sides, j, bins) if bins else None
    score, real = scores
    return Portrait(score=score, real_score=real, name=train.names[j], kind=kind, missing=missing, bins=shown)


def _bins(train: TableView, sides: tuple[np.ndarray, np.ndarray], j: int, bins: int) -> Bins | None:
    """The histogram of a column's values, made and unseen; None where the training rows have no number."""
    choices = train.columns.choices[j]
    values: Curve | None = None
    ends: Curve | None = None
    if choices:
        counts = np.bincount(train.codes(j), minlength=len(choices) + 2)[: len(choices)]
        common = np.argsort(-counts, kind="stable")[:bins]
        to = np.full(len(choices) + 1, len(common))
        to[common] = np.arange(len(common))
        names = [choices[i] for i in common] + (["others"] if len(choices) > len(common) else [])
        codes = [to[x[~np.isnan(x)].astype(np.int64)] for x in sides]
        names += [said("another value")] if any((c >= len(names)).any() for c in codes) else []
    else:
        known = finite(train.values[:, j])
        if len(known) == 0:
            return None
        distinct = np.unique(known)
        if len(distinct) <= bins:
            edges, names, values = distinct[1:], [f"{x:g}" for x in distinct], tuple(distinct.tolist())
        else:
            low, high = np.quantile(known, [0.01, 0.99])
            if low == high:
                low, high = known[0], known[-1]
            points = np.linspace(low, high, bins + 1)
            edges, ends = points[1:-1], tuple(points.tolist())
            names = [f"{a:.4g} to {b:.4g}" for a, b in itertools.pairwise(points)]
        codes = [np.searchsorted(edges, x[~np.isnan(x)], "right") for x in sides]
    shares = [np.bincount(c, minlength=len(names)) / max(len(c), 1) for c in codes]
    made, real = (tuple(x.tolist()) for x in shares)
    return Bins(names=tuple(names), made=made, real=real, values=values, edges=ends)
