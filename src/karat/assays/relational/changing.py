"""Whether numbers of sequences change as real ones do: how far, one change after another, and several columns at once.

The stylised facts of series: a distribution of changes with its tails, changes that hardly go with those before, sizes of
changes that do (volatility clusters), and columns that move together (Cont, "Empirical properties of asset returns", 2001).
Sequences are the units that chance draws, as the rows of one sequence are alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from karat.assays import power
from karat.assays.chance import Draws, draw, limit_of, resampled
from karat.assays.details.rows import Changes, Courses, Lagged, Lags, Moved, Pair, Seasons, Together
from karat.assays.finding import Finding, Score, scored
from karat.assays.keys import KEYS
from karat.assays.relational.case import Case
from karat.assays.relational.kin import records, thinned
from karat.assays.table.columns import shape
from karat.assays.table.sheet import resampled_columns
from karat.space import JUDGED as FEWEST
from karat.views import Columns, TableView, Tie
from karat.words import said, term

FINDS = ("changes", "autocorrelation", "volatility", "cross-correlation")
LONG = 10  # rows that half of the sequences have at least, where changes are looked at
FURTHEST = 20  # rows back
ENOUGH = 200  # pairs of changes so many rows apart, where a lag is looked at
MOST = 12  # columns
FEW = 10  # different changes, below which a column is none of numbers that change
Measured = Callable[[np.ndarray], np.ndarray]  # of sequences [k], what is measured of them together
WIDE = 2.0  # greatest of a column to its least, from which positive numbers change by factors


@dataclass(frozen=True)
class Column:
    """A number that is judged: its place in the table, and its least value where it changes by factors, else 0."""

    at: int
    name: str
    least: float

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """The values [n], or their logarithms, of which what is not positive has the least that training rows have."""
        if not self.least:
            return values
        return np.log(np.where(values > 0, values, self.least))

    def natural(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `scaled`."""
        return np.exp(values) if self.least else values


@dataclass(frozen=True)
class Moves:
    """Changes [n, columns] of rows, NaN in first rows and beside missing cells; the sequence [n] of each and the row before."""

    change: np.ndarray
    owner: np.ndarray
    before: np.ndarray
    parents: int

    @classmethod
    def of(cls, table: TableView, tie: Tie, columns: Sequence[Column]) -> Moves:
        """Sequences are numbered anew, so that none is without rows."""
        rows = np.flatnonzero(tie.links >= 0)
        place = np.full(len(tie.links) + 1, -1)
        place[rows] = np.arange(len(rows))
        before = place[tie.before[rows]]
        values = np.stack([c.scaled(table.values[rows, c.at]) for c in columns], 1)
        change = np.where(before[:, None] >= 0, values - values[before], np.nan)
        owners, owner = np.unique(tie.links[rows], return_inverse=True)
        return cls(change, owner, before, len(owners))

    def lags(self, most: int) -> list[np.ndarray]:
        """The row so many rows back, -1 where there is none, for 0 to `most`."""
        out = [np.arange(len(self.owner))]
        for _ in range(most):
            out.append(np.where(out[-1] >= 0, self.before[out[-1]], -1))
        return out

    def summed(self, values: np.ndarray) -> np.ndarray:
        """The sums [parents] of values [n], which count as 0 where they are not known."""
        return np.bincount(self.owner, np.nan_to_num(values), self.parents)


def findings(case: Case) -> list[Finding]:
    """Of the rows of one table in the order in which they hang on their parents; none where sequences are short."""
    where, (columns, sides) = case.ties[0].child, moved(case)
    if not columns:
        return []
    draws = draw(sides[1].parents, sides[2].parents, np.random.default_rng([case.seed, 33]))
    out = [_changes(where, columns, sides, draws)]
    for key in ("autocorrelation", "volatility"):
        out += _lagged(key, where, columns, sides, draws)
    return out + _together(where, columns, sides, draws)


def sequences(case: Case, columns: Sequence[Column]) -> tuple[Tie, ...]:
    """The ties of the case, with as many sequences of each record as may count as independent by how wild their changes are and
    where they lead; the rows of others are nobody's. All of them where each sequence is a record.
    """
    if not any(tie.makes and tie.child == case.ties[0].parent for tie in case.train.ties):
        return case.ties
    kin = [records(side, tie.parent) for side, tie in zip(case.sides, case.ties, strict=True)]
    parts, owners = [], []
    for side, tie in zip(case.sides, case.ties, strict=True):
        moves = Moves.of(side.tables[tie.child], tie, columns)
        sums = [moves.summed(x) for step in moves.change.T for x in (step, step**2)]
        parts.append(TableView(Columns(("",) * len(sums), ((),) * len(sums)), np.stack(sums, 1)))
        owners.append(np.unique(tie.links[tie.links >= 0]))
    orders = [np.random.default_rng([case.seed, 37]).permutation(len(owner)) for owner in owners]
    chosen = thinned(parts, [of[owner] for of, owner in zip(kin, owners, strict=True)], case.seed, orders)
    kept = [np.isin(tie.links, owner[rows]) for tie, owner, rows in zip(case.ties, owners, chosen, strict=True)]
    return tuple(
        replace(tie, links=np.where(mine, tie.links, -1), before=np.where(mine, tie.before, -1))
        for tie, mine in zip(case.ties, kept, strict=True)
    )


def moved(case: Case) -> tuple[list[Column], list[Moves]]:
    """The columns whose changes are judged, and the changes of each side; no columns where sequences are short or few."""
    ties, tables = case.ties, [side.tables[case.ties[0].child] for side in case.sides]
    columns = judged(tables[0], ties[0]) if ties[0].makes else []
    if not columns:
        return [], []
    some = sequences(case, columns)
    sides = [Moves.of(table, tie, columns) for table, tie in zip(tables, some, strict=True)]
    if min(s.parents for s in sides[1:]) < FEWEST or not all(np.isfinite(s.change).any(0).all() for s in sides):
        return [], []
    return columns, sides


def judged(table: TableView, tie: Tie) -> list[Column]:
    """The numbers of training rows whose sequences are long enough to show how they change; the first few of them."""
    owned = tie.links[tie.links >= 0]
    many = np.bincount(owned) if len(owned) else np.zeros(1)
    if np.median(many[many > 0] if (many > 0).any() else many) < LONG:
        return []
    later = np.flatnonzero((tie.before >= 0) & (tie.links >= 0))
    out = []
    for j in table.numbers:
        x = table.values[:, j]
        change = (x[later] - x[tie.before[later]])[:10_000]
        if table.names[j] == tie.order or len(np.unique(change[~np.isnan(change)])) < FEW:
            continue
        low, high = np.nanmin(x), np.nanmax(x)
        out.append(Column(j, table.names[j], float(low) if low > 0 and high > WIDE * low else 0.0))
    return out[:MOST]


def _changes(where: str, columns: Sequence[Column], sides: Sequence[Moves], draws: Draws) -> Finding:
    """The distribution of changes, the mean of the scores of columns."""
    train, unseen, made = sides
    order = [np.argsort(s.owner, kind="stable") for s in sides]
    ends = [np.searchsorted(s.owner[o], np.arange(s.parents + 1)) for s, o in zip(sides, order, strict=True)]

    def of(i: int, parents: np.ndarray) -> np.ndarray:
        rows = np.concatenate([order[i][ends[i][p] : ends[i][p + 1]] for p in parents])
        return np.array([shape(a, b, 0) for a, b in zip(train.change.T, sides[i].change[rows].T, strict=True)])

    score, own, real = resampled_columns(lambda rows: of(1, rows), lambda rows: of(2, rows), draws)
    moved = tuple(
        Moved(
            column=c.name,
            factors=c.least > 0,
            score=float(own[j]),
            real_score=float(real[j]),
            spread=_deviation(made.change[:, j]),
            real_spread=_deviation(train.change[:, j]),
            kurtosis=_kurtosis(made.change[:, j]),
            real_kurtosis=_kurtosis(train.change[:, j]),
        )
        for j, c in enumerate(columns)
    )
    worst = min(moved, key=lambda m: m.score - m.real_score)
    summary = said(
        "{where}: changes from a row to the next are distributed as in the training data to "
        "{value:.3f}; unseen real ones: {real:.3f}. Worst: {column}, whose changes have a standard "
        "deviation of {spread:.3g} (real {real_spread:.3g}) and a kurtosis of {kurtosis:.3g} (real "
        "{real_kurtosis:.3g}).",
        where=where,
        value=score.value,
        real=score.real,
        column=worst.column,
        spread=worst.spread,
        real_spread=worst.real_spread,
        kurtosis=worst.kurtosis,
        real_kurtosis=worst.real_kurtosis,
    )
    return finding("changes", where, score, summary, Changes(n=draws.size, z=score.z, columns=moved), sides)


def _lagged(key: str, where: str, columns: Sequence[Column], sides: Sequence[Moves], draws: Draws) -> list[Finding]:
    """Autocorrelation of the ranks of changes, or of their sizes, at lags up to 20: its distance from that of training rows."""
    values = [np.abs(s.change) if key == "volatility" else s.change for s in sides]
    shapes = [_products(s, ranks(values[0], x)) for s, x in zip(sides, values, strict=True)]
    pairs = np.min([counts.sum(0).min(0) for _, counts in shapes], 0)  # of each lag
    lags = int(np.argmin(np.append(pairs >= ENOUGH, False)))
    if lags < 2:
        return []
    (train, real, own), what = (
        [_ratios(*s, lags) for s in shapes],
        "sizes of changes" if key == "volatility" else "changes",
    )
    overall = [of(np.arange(s.parents)) for of, s in zip((train, real, own), sides, strict=True)]
    score = distance(overall[0], real, own, draws)
    apart = np.abs(overall[2] - overall[0]).mean(1)
    j = int(np.argmax(apart))
    summary = said(
        "{where}: rank autocorrelations of {what} at 1 to {lags} rows lie {value:.3f} from those of the "
        "training data, those of unseen real ones {real:.3f}. Worst: {name}, {made:.2f} at one row "
        "(real {real_worst:.2f}).",
        where=where,
        what=term(what),
        lags=lags - 1,
        value=score.value,
        real=score.real,
        name=columns[j].name,
        made=overall[2][j, 0],
        real_worst=overall[0][j, 0],
    )
    curves = tuple(
        Lagged(column=c.name, made=tuple(map(float, overall[2][i])), real=tuple(map(float, overall[0][i])))
        for i, c in enumerate(columns)
    )
    return [finding(key, where, score, summary, Lags(n=draws.size, z=score.z, columns=curves), sides)]


def _together(where: str, columns: Sequence[Column], sides: Sequence[Moves], draws: Draws) -> list[Finding]:
    """Correlation of changes of pairs of columns in one row: its distance from that of training rows."""
    if len(columns) < 2:
        return []
    pairs = list(combinations(range(len(columns)), 2))

    def statistics(s: Moves) -> np.ndarray:
        x = s.change - np.nanmean(s.change, 0)
        return np.array([[s.summed(x[:, i] * x[:, j]), *(s.summed(x[:, k] ** 2) for k in (i, j))] for i, j in pairs])

    def of(sums: np.ndarray, parents: np.ndarray) -> np.ndarray:
        both, a, b = sums[:, :, parents].sum(2).T
        return np.asarray(both / np.maximum(np.sqrt(a * b), 1e-300))

    train, unseen, made = map(statistics, sides)
    overall = of(train, np.arange(sides[0].parents))
    score = distance(overall, lambda rows: of(unseen, rows), lambda rows: of(made, rows), draws)
    mine = of(made, np.arange(sides[2].parents))
    shown = tuple(
        Pair(columns=(columns[i].name, columns[j].name), made=float(mine[k]), real=float(overall[k]))
        for k, (i, j) in enumerate(pairs)
    )
    worst = max(shown, key=lambda p: abs(p.made - p.real))
    summary = said(
        "{where}: correlations of the changes of two columns lie {value:.3f} from those of the training "
        "data, those of unseen real ones {real:.3f}. Worst: {columns}, {made:.2f} (real {real_worst:.2f}).",
        where=where,
        value=score.value,
        real=score.real,
        columns=said("{a} and {b}", a=worst.columns[0], b=worst.columns[1]),
        made=worst.made,
        real_worst=worst.real,
    )
    return [finding("cross-correlation", where, score, summary, Together(n=draws.size, z=score.z, pairs=shown), sides)]


def finding(
    key: str,
    where: str,
    score: Score,
    summary: str,
    detail: Changes | Courses | Lags | Seasons | Together,
    sides: Sequence[Moves],
) -> Finding:
    """The finding about sequences that `score` is; 0.02 beside chance are no fault."""
    floor = 1 - score.real if KEYS[key].better == "higher" else score.real
    samples = power.scored(key, score.error, sides[2].parents, sides[1].parents, floor=floor, beyond=0.02)
    score, limit = score.clipped(*KEYS[key].ends), limit_of(key, score, 0.02)
    return scored(key, score, limit, summary, detail=detail, samples=samples, of=where)


def distance(train: np.ndarray, unseen: Measured, made: Measured, draws: Draws) -> Score:
    """The root mean square distance of what `unseen` and `made` say of some sequences from what is so of all training ones."""
    return resampled(
        lambda rows: float(np.sqrt(((unseen(rows.numpy()) - train) ** 2).mean())),
        lambda rows: float(np.sqrt(((made(rows.numpy()) - train) ** 2).mean())),
        draws,
    )


def ranks(train: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The shares [n, columns] of training values below each of `values`, so that one crash is one change among others."""
    out = np.full(values.shape, np.nan)
    for j, (real, mine) in enumerate(zip(train.T, values.T, strict=True)):
        known, there = np.sort(real[~np.isnan(real)]), ~np.isnan(mine)
        sides = (np.searchsorted(known, mine[there], side) for side in ("left", "right"))
        out[there, j] = sum(sides) / (2 * len(known))
    return out


def _products(moves: Moves, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts [parents, columns, 1 + lags] of the products of values with those so many rows before.

    Each sequence is centred by its own mean: that some are wilder than others throughout says nothing of the order of rows.
    """
    known = np.isfinite(values).astype(float)
    many = np.stack([moves.summed(column) for column in known.T], 1)
    x = values - (np.stack([moves.summed(column) for column in values.T], 1) / np.maximum(many, 1))[moves.owner]
    sums, counts = [], []
    for back in moves.lags(FURTHEST):
        product = np.where(back[:, None] >= 0, x * x[back], np.nan)
        sums.append([moves.summed(column) for column in product.T])
        counts.append([moves.summed(np.isfinite(column).astype(float)) for column in product.T])
    return np.array(sums).T, np.array(counts).T


def _ratios(sums: np.ndarray, counts: np.ndarray, lags: int) -> Measured:
    """A function of sequences that gives autocorrelations [columns, lags - 1] of all of them together."""

    def of(parents: np.ndarray) -> np.ndarray:
        mean = sums[parents, :, :lags].sum(0) / np.maximum(counts[parents, :, :lags].sum(0), 1)
        return np.asarray(mean[:, 1:] / np.maximum(mean[:, :1], 1e-300))

    return of


def _deviation(change: np.ndarray) -> float:
    return float(np.nanstd(change))


def _kurtosis(change: np.ndarray) -> float:
    """The fourth moment over the squared second, 3 of a normal distribution; 0 where nothing changes."""
    x = change[~np.isnan(change)]
    x = x - x.mean()
    square = float((x**2).mean())
    return float((x**4).mean()) / square**2 if square > 0 and math.isfinite(square) else 0.0
