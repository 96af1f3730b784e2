"""Whether series take the courses that real ones do: how far they fall from a peak, when they rise and fall, what a fall does.

That falls are followed by wilder steps than rises are is called leverage (Black, "Studies of stock price volatility changes",
1976; Cont, "Empirical properties of asset returns", 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karat.assays.chance import Draws, draw
from karat.assays.details.rows import Courses, Drawn, Lagged, Lags, Phase, Seasons
from karat.assays.finding import Finding
from karat.assays.relational.case import Case
from karat.assays.relational.changing import ENOUGH, Column, Measured, Moves, distance, finding, moved, ranks, sequences
from karat.assays.relational.windows import phases
from karat.assays.table.columns import shape
from karat.assays.table.sheet import resampled_columns
from karat.words import said, term, together

FINDS = ("drawdown", "leverage", "seasonality")
AHEAD = 10  # rows after a change whose sizes are looked at


def findings(case: Case) -> list[Finding]:
    """Of the rows of one table in the order in which they hang on their parents; none where sequences are short."""
    where, (columns, sides) = case.ties[0].child, moved(case)
    if not columns:
        return []
    ties = sequences(case, columns)
    tables = [side.tables[where] for side in case.sides]
    draws = draw(sides[1].parents, sides[2].parents, np.random.default_rng([case.seed, 34]))
    seasons = [phases(table, tie) for table, tie in zip(tables, ties, strict=True)]
    seasons = [{k: p[t.links >= 0] for k, p in one.items()} for one, t in zip(seasons, ties, strict=True)]
    return [
        _drawdown(where, columns, sides, draws),
        *_leverage(where, columns, sides, draws),
        *_seasonality(where, columns, sides, seasons, draws),
    ]


def drawdowns(moves: Moves) -> np.ndarray:
    """float64 [parents, columns]: how far each sequence falls at most from a peak before."""
    level = np.nan_to_num(moves.change)
    peak, out = level.copy(), np.zeros((moves.parents, level.shape[1]))
    rows = np.flatnonzero(moves.before < 0)
    level[rows] = peak[rows] = 0.0
    after = np.full(len(level), -1)
    later = np.flatnonzero(moves.before >= 0)
    after[moves.before[later]] = later
    while len(rows := rows[after[rows] >= 0]):
        new = after[rows]
        level[new] += level[rows]
        peak[new] = np.maximum(peak[rows], level[new])
        np.maximum.at(out, moves.owner[new], peak[new] - level[new])
        rows = new
    return out


def _drawdown(where: str, columns: Sequence[Column], sides: Sequence[Moves], draws: Draws) -> Finding:
    """The distribution of the furthest falls of sequences, the mean of the scores of columns."""
    train, unseen, made = map(drawdowns, sides)

    def of(side: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.array([shape(a, b, 0) for a, b in zip(train.T, side[rows].T, strict=True)])

    score, own, real = resampled_columns(lambda rows: of(unseen, rows), lambda rows: of(made, rows), draws)
    shown = tuple(
        Drawn(
            column=c.name,
            score=float(own[j]),
            real_score=float(real[j]),
            median=float(np.median(made[:, j])),
            real_median=float(np.median(train[:, j])),
        )
        for j, c in enumerate(columns)
    )
    worst = min(shown, key=lambda d: d.score - d.real_score)
    summary = said(
        "{where}: how far a sequence falls at most is distributed as in the training data to "
        "{value:.3f}; unseen real ones: {real:.3f}. Worst: {column}, {median:.3g} in half of them (real "
        "{real_median:.3g}).",
        where=where,
        value=score.value,
        real=score.real,
        column=worst.column,
        median=worst.median,
        real_median=worst.real_median,
    )
    return finding("drawdown", where, score, summary, Courses(n=draws.size, z=score.z, columns=shown), sides)


def _leverage(where: str, columns: Sequence[Column], sides: Sequence[Moves], draws: Draws) -> list[Finding]:
    """Rank correlation of a change with the sizes of those after it: its distance from that of training rows."""
    sums = [
        _ahead(s, ranks(sides[0].change, s.change), ranks(np.abs(sides[0].change), np.abs(s.change))) for s in sides
    ]
    if min(counts.sum(0).min() for *_, counts in sums) < ENOUGH:
        return []
    train, unseen, made = (_correlated(*s) for s in sums)
    overall = [of(np.arange(s.parents)) for of, s in zip((train, unseen, made), sides, strict=True)]
    score = distance(overall[0], unseen, made, draws)
    j = int(np.argmax(np.abs(overall[2] - overall[0]).mean(1)))
    summary = said(
        "{where}: rank correlations of a change with the sizes of the {ahead} after it lie {value:.3f} "
        "from those of the training data, those of unseen real ones {real:.3f}. Worst: {name}, "
        "{made:.2f} on average (real {real_worst:.2f}).",
        where=where,
        ahead=AHEAD,
        value=score.value,
        real=score.real,
        name=columns[j].name,
        made=overall[2][j].mean(),
        real_worst=overall[0][j].mean(),
    )
    curves = tuple(
        Lagged(column=c.name, made=tuple(map(float, overall[2][i])), real=tuple(map(float, overall[0][i])))
        for i, c in enumerate(columns)
    )
    return [finding("leverage", where, score, summary, Lags(n=draws.size, z=score.z, columns=curves), sides)]


def _ahead(moves: Moves, change: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums [parents, columns, lags] of sizes times the change so many rows before, of squares [parents, columns], and counts."""
    change, size = (x - np.nanmean(x, 0) for x in (change, size))
    products, counts = [], []
    for back in moves.lags(AHEAD)[1:]:
        product = np.where(back[:, None] >= 0, size * change[back], np.nan)
        products.append([moves.summed(x) for x in product.T])
        counts.append([moves.summed(np.isfinite(x).astype(float)) for x in product.T])
    squares = np.array([[moves.summed(x) for x in (of**2).T] for of in (change, size)])
    known = np.array([moves.summed(x) for x in np.isfinite(change).astype(float).T])
    spread = np.sqrt(squares.sum(2).prod(0)) / np.maximum(known.sum(1), 1)
    return np.array(products).T / np.maximum(spread, 1e-300)[None, :, None], spread, np.array(counts).T


def _correlated(products: np.ndarray, spread: np.ndarray, counts: np.ndarray) -> Measured:
    def of(parents: np.ndarray) -> np.ndarray:
        return np.asarray(products[parents].sum(0) / np.maximum(counts[parents].sum(0), 1))

    return of


def _seasonality(
    where: str,
    columns: Sequence[Column],
    sides: Sequence[Moves],
    seasons: Sequence[dict[str, np.ndarray]],
    draws: Draws,
) -> list[Finding]:
    """Mean changes by day of the week, month and hour, in standard deviations: their distance from those of training rows."""
    kinds = [name for name in seasons[0] if all(name in one for one in seasons)]
    marks = [(name, int(p)) for name in kinds for p in np.unique(seasons[0][name])]
    spread = np.nanstd(sides[0].change, 0)
    sums = []
    for moves, one in zip(sides, seasons, strict=True):
        known = np.isfinite(moves.change)
        value = np.where(known, moves.change, 0.0) / np.maximum(spread, 1e-300)
        inside = [one[name] == p for name, p in marks]
        total = np.array([[moves.summed(x * m) for x in value.T] for m in inside])
        many = np.array([[moves.summed(k.astype(float) * m) for k in known.T] for m in inside])
        sums.append((total, many))
    often = [i for i in range(len(marks)) if min(many[i].sum(1).min() for _, many in sums) >= ENOUGH / 5]
    if len(often) < 2:
        return []

    def measured(total: np.ndarray, many: np.ndarray) -> Measured:
        return lambda rows: np.asarray(total[often][:, :, rows].sum(2) / np.maximum(many[often][:, :, rows].sum(2), 1))

    train, unseen, made = (measured(*s) for s in sums)
    overall = [of(np.arange(s.parents)) for of, s in zip((train, unseen, made), sides, strict=True)]
    score = distance(overall[0], unseen, made, draws)
    i, j = divmod(int(np.argmax(np.abs(overall[2] - overall[0]))), len(columns))
    name, phase = marks[often[i]]
    summary = said(
        "{where}: mean changes by {kinds} lie {value:.3f} standard deviations from those of the "
        "training data, those of unseen real ones {real:.3f}. Worst: {name} at {kind} {phase}, "
        "{made:.2f} (real {real_worst:.2f}).",
        where=where,
        kinds=together(map(term, kinds), ", "),
        value=score.value,
        real=score.real,
        name=columns[j].name,
        kind=term(name),
        phase=phase + 1,
        made=overall[2][i, j],
        real_worst=overall[0][i, j],
    )
    shown = tuple(
        Phase(
            column=c.name,
            of=marks[k][0],
            number=marks[k][1] + 1,
            made=float(overall[2][a, b]),
            real=float(overall[0][a, b]),
        )
        for a, k in enumerate(often)
        for b, c in enumerate(columns)
    )
    return [finding("seasonality", where, score, summary, Seasons(n=draws.size, z=score.z, phases=shown), sides)]
