"""Whether every category is made, the rare ones too, and in real proportions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from karat.assays import power
from karat.assays.chance import Draws, limit_of
from karat.assays.finding import Finding, Limit
from karat.assays.points.bias import BEYOND, LEAST, doubled
from karat.assays.points.diversity import ABSENT
from karat.assays.shares import CERTAIN, all_certain, certain, scores, tail
from karat.assays.table.sheet import least_of, resampled_columns
from karat.views import TableView

RARE = 0.05  # share of the training rows below which a category is rare
FEW = 20  # values that a column may have whose balance is looked at
NAMED = 24


def findings(train: TableView, unseen: TableView, made: TableView, draws: Draws, target: str | None) -> list[Finding]:
    """Missing classes, rare categories and class balance; none where no column holds choices."""
    columns = [j for j, choices in enumerate(train.columns.choices) if choices]
    if not columns:
        return []
    return [
        _missing(train, unseen, made, columns),
        *_rare(train, unseen, made, draws, columns),
        *_balance(train, unseen, made, columns, target),
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
    sure: list[dict[str, Any]] = []
    likely = 0
    for j in columns:
        count, real = _counts(made, j), _counts(train, j) + _counts(unseen, j)
        for i in np.flatnonzero(count / n < ABSENT * real / real_n):
            share = real[i] / real_n
            likely += 1
            if lacks(int(count[i]), n, int(real[i]), real_n):
                name = train.columns.choices[j][i]
                sure.append(
                    {"column": train.names[j], "value": name, "made": float(count[i] / n), "real": float(share)}
                )
    sure.sort(key=lambda c: -c["real"])
    named = [f"{c['column']} = {c['value']}" for c in sure]
    says = (
        f"Missing from what was made, or nearly: {', '.join(named[:8])}{' and more' if len(named) > 8 else ''}."
        if sure
        else "Every category that is common enough to be sure of is made."
    )
    value = float(len(sure))
    detail = {"missing": named[:NAMED], "categories": sure[:NAMED], "kind": "category"}
    high = float(max(likely, len(sure)))
    limit = Limit(above=0.0)
    return Finding(
        "missing classes",
        value,
        value,
        high,
        0.0,
        "lower",
        bool(sure),
        says,
        detail,
        limit=limit,
        samples=power.of_count(
            lambda n, m: lacks(0, n, round(power.GROUP * (m + len(train))), m + len(train)), n, len(unseen)
        ),
    )


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
    fewer = _too_rare(train, unseen, made, {j: which for j, (which, _) in rare.items()})
    named = [f"{c['column']} = {c['value']}" for c in fewer]
    worst = int(np.argmin(own - real))
    column = train.names[list(rare)[worst]]
    says = (
        f"Rare categories are made to {s.value:.1%} of their real number, by as many unseen real rows to {s.real:.1%}"
    )
    says += f"; too rare or missing: {', '.join(named[:8])}." if named else f"; least so in {column}."
    detail = {
        "n": draws.size,
        "z": s.z,
        "missing": named[:NAMED],
        "categories": fewer[:NAMED],
        "columns": {train.names[j]: [float(own[k]), float(real[k])] for k, j in enumerate(rare)},
    }
    also = "where one category certainly comes at under half of its real rate"
    limit = limit_of(s, least_of(0.03, draws), "higher", also=also)
    raised, high = bool(fewer) or limit.broken(s.value), min(s.high, 1.0)
    samples = power.scored("rare categories", s.error, len(made), len(unseen))
    return [
        Finding(
            "rare categories",
            s.value,
            s.low,
            high,
            s.real,
            "higher",
            raised,
            says,
            detail,
            limit=limit,
            samples=samples,
        )
    ]


def _too_rare(
    train: TableView, unseen: TableView, made: TableView, rare: dict[int, np.ndarray]
) -> list[dict[str, Any]]:
    """Of the categories `rare` of each column, those that certainly come at under half of their real rate, the worst first."""
    fewer: list[dict[str, Any]] = []
    n, real_n = len(made), len(train) + len(unseen)
    for j, which in rare.items():
        count, whole = _counts(made, j)[which], (_counts(train, j) + _counts(unseen, j))[which]
        few = np.flatnonzero(count / n < whole / real_n / 2)
        for k in few[all_certain(count[few], n, whole[few], real_n)]:
            value, rate = train.columns.choices[j][which[k]], float(whole[k] / real_n)
            fewer.append({"column": train.names[j], "value": value, "made": float(count[k] / n), "real": rate})
    return sorted(fewer, key=lambda c: c["made"] - c["real"])


def _balance(
    train: TableView, unseen: TableView, made: TableView, columns: list[int], target: str | None
) -> list[Finding]:
    """Half the sum of the differences in share, of the column where it is furthest from what chance gives."""
    n, m = len(made), len(unseen)
    told: list[dict[str, Any]] = []
    for j in columns:
        if len(train.columns.choices[j]) > FEW and train.names[j] != target:
            continue
        names = train.levels(j)
        a, b = (np.bincount(s.codes(j), minlength=len(names)) for s in (made, unseen))
        there = np.flatnonzero((a > 0) | (b > 0) | (np.arange(len(names)) < len(names) - 2))
        a, b = a[there], b[there]
        share, real = a / n, b / m
        pooled = (a + b) / (n + m)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        value = float(np.abs(share - real).sum()) / 2
        expected = float((spread * math.sqrt(2 / math.pi)).sum()) / 2  # by chance: the mean of |N(0, spread^2)|
        z = scores(a, n, b, m)
        worst = int(np.abs(z).argmax())
        off = value > expected + LEAST and certain(int(a[worst]), n, int(b[worst]), m)
        own = float(np.sqrt((share * (1 - share) / n).sum())) / 2
        told.append(
            {
                "column": train.names[j],
                "value": value,
                "expected": expected,
                "off": off,
                "own": own,
                "z": float(z[worst]),
                "worst": names[there[worst]],
                "worst made": float(share[worst]),
                "worst real": float(real[worst]),
                "names": [names[i] for i in there],
                "made": share.tolist(),
                "real": real.tolist(),
            }
        )
    if not told:
        return []
    told.sort(key=lambda c: (not c["off"], c["expected"] - c["value"], c["column"] != target))
    first = told[0]
    says = (
        f"{first['column']} = {first['worst']} makes up {first['worst made']:.1%} of what was made and "
        f"{first['worst real']:.1%} of real data; {first['value']:.1%} of all rows would have to change their "
        f"{first['column']} to match (chance alone: {first['expected']:.1%})."
    )
    detail = {k: first[k] for k in ("column", "worst", "names", "made", "real", "z")} | {"columns": told[:NAMED]}
    low, high = max(0.0, first["value"] - 1.96 * first["own"]), first["value"] + 1.96 * first["own"]
    limit = Limit(above=first["expected"] + LEAST, only=BEYOND)
    return [
        Finding(
            "class balance",
            first["value"],
            low,
            high,
            first["expected"],
            "lower",
            bool(first["off"]),
            says,
            detail,
            limit=limit,
            beside="chance alone",
            samples=doubled(n, m),
        )
    ]
