"""Whether what a person reads off each record (its length, its loudness) comes as in real data, class by class.

A descriptor differs where its mean, its distribution (Kolmogorov and Smirnov's distance), how often there is one, or its
mean in a class lies further from both the training data and unseen real data than chance explains: a hold-out that
differs from the training data of itself accuses nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from karat.assays import power
from karat.assays.chance import LEVEL
from karat.assays.finding import Finding, Limit

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

FEWEST = 20  # records that have a descriptor; of a class, half as many
MATTERS = 0.1  # of the real spread, by which a mean must differ; twice that in a class
DISTANCE = 0.08  # Kolmogorov and Smirnov's, by which a distribution must differ
BINS = 24
OFTEN = "where records have one far more or less often than real ones"
OTHERWISE = f"where it is spread otherwise by {DISTANCE}, or a class is off by {2 * MATTERS} of the real spread"


class Kind(TypedDict):
    """A class: its means of a descriptor, how many standard errors they are apart, and how much of the real spread."""

    name: str
    made: float
    real: float
    level: float
    off: float


@dataclass(frozen=True)
class Described:
    """The descriptors of a set of records, NaN where a record has none, and its labels [n] or None."""

    descriptors: Mapping[str, Values]
    labels: Labels | None


def kolmogorov_smirnov(a: Values, b: Values) -> float:
    """The largest difference between the two distribution functions of `a` [n] and `b` [m]."""
    both = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _ks_level(a: Values, b: Values) -> float:
    """The distance of `a` and `b` as standard errors of a mean would be counted that are as unlikely by chance."""
    reach = math.sqrt(len(a) * len(b) / (len(a) + len(b))) * kolmogorov_smirnov(a, b)
    # the leading term of Kolmogorov's distribution, 2 exp(-2 reach^2), taken for a normal's exp(-z^2 / 2)
    return math.sqrt(max(0.0, 4 * reach * reach - 2 * math.log(2)))


def _mean_level(a: Values, b: Values) -> float:
    """By how many standard errors the mean of `a` lies above that of `b`; no spread counts less than a pooled half."""
    return float((a.mean() - b.mean()) / _mean_error(a, b))


def _mean_error(a: Values, b: Values) -> float:
    pooled = float(np.concatenate([a, b]).var()) / 4
    parts = [max(float(x.var(ddof=1)), pooled) / len(x) for x in (a, b)]
    return max(math.sqrt(sum(parts)), 1e-12)


def _share_level(a: Values, b: Values) -> float:
    """By how many standard errors the share of NaN in `a` lies above that in `b`."""
    gone = np.isnan(a).sum(), np.isnan(b).sum()
    share = (gone[0] + gone[1]) / (len(a) + len(b))
    error = math.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    return float((gone[0] / len(a) - gone[1] / len(b)) / error) if error else 0.0


def _nearer(levels: Sequence[float]) -> float:
    """The smaller of two distances on the same side, 0 of two on opposite sides."""
    return min(levels, key=abs) if min(levels) * max(levels) > 0 else 0.0


def findings(train: Described, unseen: Described, made: Described, classes: tuple[str, ...]) -> list[Finding]:
    """One finding for each descriptor that at least 20 training and unseen records have: its mean, and what is wrong with it."""
    out = []
    for title in made.descriptors:
        name, _, unit = title.removesuffix(")").partition(" (")
        t, u, m = (np.asarray(part.descriptors[title], np.float64) for part in (train, unseen, made))
        if min(int(np.isfinite(x).sum()) for x in (t, u)) >= FEWEST:
            out.append(_one(name, unit, (t, u, m), (train.labels, unseen.labels, made.labels), classes))
    return out


def _one(
    name: str, unit: str, values: tuple[Values, ...], labels: tuple[Labels | None, ...], classes: tuple[str, ...]
) -> Finding:
    absent = _nearer([_share_level(values[2], x) for x in values[:2]])
    t, u, m = has = tuple(x[np.isfinite(x)] for x in values)
    shown = f" {unit}" if unit else ""
    faults = []
    if abs(absent) > LEVEL and abs(len(m) / len(values[2]) - len(u) / len(values[1])) > 0.02:
        faults.append(
            f"{len(m) / len(values[2]):.0%} of what was made have one, {len(u) / len(values[1]):.0%} of real data"
        )
    if len(m) < FEWEST:
        says = f"{name.capitalize()}: {len(m)} made records have one, {len(u)} of {len(values[1])} unseen real ones do."
        middle, limit = float(m.mean()) if len(m) else math.nan, Limit(also=OFTEN)
        return Finding(
            "descriptor",
            middle,
            middle,
            middle,
            float(u.mean()),
            "neither",
            bool(faults),
            says,
            {"unit": unit},
            limit=limit,
            of=name,
            why="no made record has one",
        )
    spread = float(np.concatenate([t, u]).std())
    mean, real = float(m.mean()), float(u.mean())
    own = 1.96 * float(m.std(ddof=1)) / math.sqrt(len(m))
    by_mean = _nearer([_mean_level(m, x) for x in (t, u)])
    limit = _limit(m, (t, u), spread)
    by_shape = min(_ks_level(m, x) for x in (t, u))
    apart = kolmogorov_smirnov(m, u)
    if limit.broken(mean):
        faults.append("too high on average" if mean > real else "too low on average")
    elif by_shape > LEVEL and min(apart, kolmogorov_smirnov(m, t)) > DISTANCE:
        faults.append(
            f"spread otherwise than in real data: {_middle(m)} for half of what was made, {_middle(u)} for real"
        )
    kinds = _by_class(values, labels, classes)
    worst = max(kinds, key=lambda kind: abs(kind["level"]), default=None)
    if worst is not None and abs(worst["level"]) > LEVEL and abs(worst["off"]) > 2 * MATTERS:
        faults.append(
            f"class {worst['name']} {_said(worst['made'])}{shown} on average, really {_said(worst['real'])}{shown}"
        )
    change = f", {(mean / real - 1):+.1%}" if min(float(x.min()) for x in has) > 0 else ""
    says = (
        f"{name.capitalize()} is {_said(mean)}{shown} on average and half lie in {_middle(m)}; "
        f"of unseen real data {_said(real)}{shown}{change} and {_middle(u)}"
        + (": " + "; ".join(faults) if faults else "")
        + "."
    )
    detail = {
        "unit": unit,
        "z": by_mean,
        "ks": apart,
        "ks of real": kolmogorov_smirnov(u, t),
        "training": float(t.mean()),
        "spread": [float(m.std()), float(u.std())],
        "classes": kinds,
        **_bins(m, u),
    }
    return Finding(
        "descriptor",
        mean,
        mean - own,
        mean + own,
        real,
        "neither",
        bool(faults),
        says,
        detail,
        limit=limit,
        of=name,
        samples=power.scored("descriptor", math.sqrt(1 / len(m) + 1 / len(u)), len(m), len(u)),
    )


def _limit(m: Values, others: tuple[Values, Values], spread: float) -> Limit:
    """Where the mean lies beyond both `others` by more than chance and by more than matters of the real `spread`."""
    reach = [max(LEVEL * _mean_error(m, x), MATTERS * spread) for x in others]
    above = max(float(x.mean()) + r for x, r in zip(others, reach, strict=True))
    below = min(float(x.mean()) - r for x, r in zip(others, reach, strict=True))
    return Limit(above, below, also=OTHERWISE)


def _middle(values: Values) -> str:
    low, high = np.quantile(values, [0.25, 0.75])
    return f"{_said(low)} to {_said(high)}"


def _said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _by_class(values: tuple[Values, ...], labels: tuple[Labels | None, ...], classes: tuple[str, ...]) -> list[Kind]:
    """Each class that enough records of all three sets are of: its means, and how far they are apart."""
    out: list[Kind] = []
    if any(y is None for y in labels):
        return out
    for c, name in enumerate(classes):
        t, u, m = (x[(y == c) & np.isfinite(x)] for x, y in zip(values, labels, strict=True))
        if min(len(t), len(u), len(m)) < FEWEST // 2:
            continue
        spread = max(float(np.concatenate([t, u]).std()), 1e-12)
        level = _nearer([_mean_level(m, x) for x in (t, u)])
        off = _nearer([float(m.mean() - x.mean()) / spread for x in (t, u)])
        out.append({"name": name, "made": float(m.mean()), "real": float(u.mean()), "level": level, "off": off})
    return out


def _bins(made: Values, real: Values) -> dict[str, list[float]]:
    """Shares of both in even bins between the 1st and the 99th percentile of both, what lies beyond in the outermost."""
    low, high = np.quantile(np.concatenate([made, real]), [0.01, 0.99])
    if not high > low:
        return {}
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(x.clip(low, high), edges)[0] / len(x) for x in (made, real)]
    return {"edges": edges.tolist(), "made": shares[0].tolist(), "real": shares[1].tolist()}
