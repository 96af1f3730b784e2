"""Whether every category is made, the rare ones too, and in real proportions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from karat.assays import power
from karat.assays.chance import Draws, least_of, limit_of
from karat.assays.details.records import Balance, Category, ColumnBalance, MissingClasses
from karat.assays.details.rows import RareCategories
from karat.assays.finding import Finding, Limit, Score, exact, scored
from karat.assays.points.bias import BEYOND, CHANCE, LEAST, doubled
from karat.assays.points.diversity import ABSENT, NONE
from karat.assays.shares import CERTAIN, all_certain, certain, scores, tail
from karat.assays.table.sheet import resampled_columns
from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import firsts, said

FINDS = ("missing classes", "rare categories", "class balance")
HALF = 0.58  # standard deviation of min(z, 0) of a normal z: (1/2 - 1/(2 pi))^(1/2)
RARE = 0.05  # share of the training rows below which a category is rare
FEW = 20  # values that a column may have whose balance is looked at
NAMED = 24


def findings(case: Case) -> list[Finding]:
    """Missing classes, rare categories and class balance; none where no column holds choices."""
    train, unseen, made, draws = case.train, case.unseen, case.made, case.wide
    columns = [j for j, choices in enumerate(train.columns.choices) if choices]
    if not columns:
        return []
    return [
        _missing(train, unseen, made, columns),
        *_rare(train, unseen, made, draws, columns),
        *_balance(train, unseen, made, columns, case.target),
    ]


def _counts(sheet: TableView, j: int) -> np.ndarray:
    """How often each choice comes; what is none of them and what is missing left out."""
    return np.bincount(sheet.codes(j), minlength=len(sheet.columns.choices[j]) + 2)[: len(sheet.columns.choices[j])]


def lacks(count: int, n: int, real: int, real_n: int) -> bool:
    """Whether `count` of `n` made rows are certainly fewer than `real` of `real_n`, by the exact test."""
    return count / n < ABSENT * real / real_n and tail(real, real_n, count, n) < CERTAIN


def _missing(train: TableView, unseen: TableView, made: TableView, columns: list[int]) -> Finding:
    """Categories made at less than `ABSENT` of their real rate, certainly below half of it."""
    n, real_n = len(made), len(train) + len(unseen)
    sure: list[Category] = []
    likely = 0
    for j in columns:
        count, real = _counts(made, j), _counts(train, j) + _counts(unseen, j)
        for i in np.flatnonzero(count / n < ABSENT * real / real_n):
            likely += 1
            if lacks(int(count[i]), n, int(real[i]), real_n):
                name, shares = train.columns.choices[j][i], (float(count[i] / n), float(real[i] / real_n))
                sure.append(Category(column=train.names[j], value=name, made=shares[0], real=shares[1]))
    sure.sort(key=lambda c: -c.real)
    named = _named(sure)
    summary = (
        said("Missing from what was made, or nearly: {listed}.", listed=firsts(named))
        if sure
        else said("Every category that is common enough to be sure of is made.")
    )
    detail = MissingClasses(missing=named[:NAMED], categories=tuple(sure[:NAMED]), kind="category")
    samples = power.of_count(
        lambda n, m, share: lacks(0, n, round(share * (m + len(train))), m + len(train)), n, len(unseen), power.GROUP
    )
    high = float(max(likely, len(sure)))
    return exact("missing classes", float(len(sure)), NONE, summary, high=high, detail=detail, samples=samples)


def _named(categories: list[Category]) -> tuple[str, ...]:
    return tuple(f"{c.column} = {c.value}" for c in categories)


def _rare(train: TableView, unseen: TableView, made: TableView, draws: Draws, columns: list[int]) -> list[Finding]:
    """Of the rows that rare categories have in real data, the share that is made: 1 where none is made too rarely."""
    rare = {}
    for j in columns:
        counts = _counts(train, j)
        which = np.flatnonzero((counts > 0) & (counts < RARE * len(train)))
        if len(which):
            rare[j] = (which, counts[which] / len(train))
    if not rare:
        return []

    def kept(of: TableView, rows: np.ndarray) -> np.ndarray:
        out = []
        for j, (which, share) in rare.items():
            codes = of.codes(j)[rows]
            counts = np.bincount(codes, minlength=len(of.columns.choices[j]) + 2)[which] / len(rows)
            out.append(np.minimum(counts, share).sum() / share.sum())
        return np.array(out)

    s, own, real = resampled_columns(lambda rows: kept(unseen, rows), lambda rows: kept(made, rows), draws)
    # of a few rare rows twelve draws show too little spread: that of counts in draws of chance, of which only the lower half counts
    spread = sum(1 / float(share.sum()) for _, share in rare.values()) / len(rare) ** 2
    s = replace(s, error=max(s.error, HALF * math.sqrt(spread * (1 / len(made) + 1 / len(unseen)))))
    fewer = _too_rare(train, unseen, made, {j: which for j, (which, _) in rare.items()})
    named = _named(fewer)
    worst = int(np.argmin(own - real))
    column = train.names[list(rare)[worst]]
    summary = said(
        "Rare categories have {value:.1%} of their real frequency; among as many unseen real rows {real:.1%}",
        value=s.value,
        real=s.real,
    )
    summary += (
        said("; too rare or missing: {listed}.", listed=firsts(named))
        if named
        else said("; least so in {column}.", column=column)
    )
    detail = RareCategories(
        n=draws.size,
        z=s.z,
        missing=named[:NAMED],
        categories=tuple(fewer[:NAMED]),
        columns={train.names[j]: (float(own[k]), float(real[k])) for k, j in enumerate(rare)},
    )
    also = said("where one category certainly comes at under half of its real rate")
    least = least_of(0.03, draws)
    limit = limit_of("rare categories", s, least, also=also)
    raised = bool(fewer) or limit.broken(s.value)
    samples = power.scored("rare categories", s.error, len(made), len(unseen), max(2 * s.real - 1, 1e-3), beyond=least)
    return [
        scored("rare categories", s.clipped(high=1.0), limit, summary, detail=detail, samples=samples, raised=raised)
    ]


def _too_rare(train: TableView, unseen: TableView, made: TableView, rare: dict[int, np.ndarray]) -> list[Category]:
    """Of the categories `rare` of each column, those that certainly come at under half of their real rate, the worst first."""
    fewer: list[Category] = []
    n, real_n = len(made), len(train) + len(unseen)
    for j, which in rare.items():
        count, real = _counts(made, j)[which], (_counts(train, j) + _counts(unseen, j))[which]
        few = np.flatnonzero(count / n < real / real_n / 2)
        for k in few[all_certain(count[few], n, real[few], real_n)]:
            value, shares = train.columns.choices[j][which[k]], (float(count[k] / n), float(real[k] / real_n))
            fewer.append(Category(column=train.names[j], value=value, made=shares[0], real=shares[1]))
    return sorted(fewer, key=lambda c: c.made - c.real)


def _balance(
    train: TableView, unseen: TableView, made: TableView, columns: list[int], target: str | None
) -> list[Finding]:
    """Half the sum of the differences in share, of the column where it is furthest from what chance gives."""
    looked = [j for j in columns if len(train.columns.choices[j]) <= FEW or train.names[j] == target]
    if not looked:
        return []
    balances = [_of_column(train.names[j], train.levels(j), unseen.codes(j), made.codes(j)) for j in looked]
    balances.sort(key=lambda c: (not c.off, c.expected - c.value, c.column != target))
    first = balances[0]
    summary = said(
        "{column} = {worst} makes up {worst_made:.1%} of what was made and {worst_real:.1%} of real "
        "data; {value:.1%} of all rows would have to change their {column} to match (chance alone: "
        "{expected:.1%}).",
        column=first.column,
        worst=first.worst,
        worst_made=first.worst_made,
        worst_real=first.worst_real,
        value=first.value,
        expected=first.expected,
    )
    detail = Balance(
        column=first.column,
        worst=first.worst,
        names=first.names,
        made=first.made,
        real=first.real,
        z=first.z,
        columns=tuple(balances[:NAMED]),
    )
    reach = 1.96 * first.own
    score = Score(first.value, first.value - reach, first.value + reach, first.expected, first.own).clipped(low=0.0)
    limit, samples = Limit(above=first.expected + LEAST, only=BEYOND), doubled(len(made), len(unseen))
    return [
        scored("class balance", score, limit, summary, detail=detail, samples=samples, raised=first.off, beside=CHANCE)
    ]


def _of_column(column: str, levels: tuple[str, ...], real_codes: np.ndarray, made_codes: np.ndarray) -> ColumnBalance:
    """How unlike the shares of the `levels` of a column are; those of other and of missing values where there are any."""
    n, m = len(made_codes), len(real_codes)
    a, b = (np.bincount(codes, minlength=len(levels)) for codes in (made_codes, real_codes))
    there = np.flatnonzero((a > 0) | (b > 0) | (np.arange(len(levels)) < len(levels) - 2))
    a, b = a[there], b[there]
    share, real = a / n, b / m
    pooled = (a + b) / (n + m)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    value = float(np.abs(share - real).sum()) / 2
    expected = float((spread * math.sqrt(2 / math.pi)).sum()) / 2  # by chance: the mean of |N(0, spread^2)|
    z = scores(a, n, b, m)
    worst = int(np.abs(z).argmax())
    return ColumnBalance(
        column=column,
        value=value,
        expected=expected,
        off=bool(value > expected + LEAST and certain(int(a[worst]), n, int(b[worst]), m)),
        own=float(np.sqrt((share * (1 - share) / n).sum())) / 2,
        z=float(z[worst]),
        worst=levels[there[worst]],
        worst_made=float(share[worst]),
        worst_real=float(real[worst]),
        names=tuple(levels[i] for i in there),
        made=tuple(share.tolist()),
        real=tuple(real.tolist()),
    )
