"""Whether what a person reads off each record (its length, its loudness) comes as in real data, class by class.

A descriptor differs where its mean, its distribution (Kolmogorov and Smirnov's distance), how often there is one, or its
mean in a class lies further from both the training data and unseen real data than chance explains: a hold-out that
differs from the training data of itself accuses nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from karat.assays import power
from karat.assays.chance import LEVEL
from karat.assays.details import Curve
from karat.assays.details.records import ClassMean, Descriptor
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.points.embedded import Described, Labels, Values
from karat.assays.points.points import Case
from karat.words import Sentence, said, term, together

FINDS = ("descriptor",)
FEWEST = 20  # records that have a descriptor; of a class, half as many
MATTERS = 0.1  # of the real spread, by which a mean must differ; twice that in a class
DISTANCE = 0.08  # Kolmogorov and Smirnov's, by which a distribution must differ
BINS = 24
OFTEN = said("where records have one far more or less often than real ones")
OTHERWISE = said(
    "where it is spread otherwise by {distance}, or a class is off by {off} of the real spread",
    distance=DISTANCE,
    off=2 * MATTERS,
)


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


def findings(case: Case) -> list[Finding]:
    """A finding for each descriptor of the records."""
    return described(*case.described, case.classes) if case.described else []


def described(train: Described, unseen: Described, made: Described, classes: tuple[str, ...]) -> list[Finding]:
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
    t, u, m = has = tuple(x[np.isfinite(x)] for x in values)
    often = _how_often(values, has)
    if len(m) < FEWEST:
        return _too_few(name, unit, has, len(values[1]), often)
    mean, real = float(m.mean()), float(u.mean())
    limit = _limit(m, (t, u), float(np.concatenate([t, u]).std()))
    kinds = _by_class(values, labels, classes)
    faults = [*often, *_how_spread(m, (t, u), limit), *_off_class(kinds, unit)]
    shown = f" {unit}" if unit else ""
    change = f", {(mean / real - 1):+.1%}" if min(float(x.min()) for x in has) > 0 else ""
    summary = said(
        "{name} is {mean}{shown} on average and half lie in {m}; of unseen real data {real}{shown}{change} and {u}",
        name=term(name.capitalize()),
        mean=_formatted(mean),
        shown=shown,
        m=_middle(m),
        real=_formatted(real),
        change=change,
        u=_middle(u),
    ) + (said(": {faults}.", faults=together(faults, "; ")) if faults else said("."))
    bins = _bins(m, u)
    detail = Descriptor(
        unit=unit,
        z=_nearer([_mean_level(m, x) for x in (t, u)]),
        ks=kolmogorov_smirnov(m, u),
        ks_of_real=kolmogorov_smirnov(u, t),
        training=float(t.mean()),
        spread=(float(m.std()), float(u.std())),
        classes=kinds,
        edges=bins and bins[0],
        made=bins and bins[1],
        real=bins and bins[2],
    )
    own = 1.96 * float(m.std(ddof=1)) / math.sqrt(len(m))
    score = Score(mean, mean - own, mean + own, real, own / 1.96)
    samples = power.scored("descriptor", math.sqrt(1 / len(m) + 1 / len(u)), len(m), len(u), beyond=MATTERS)
    return scored("descriptor", score, limit, summary, detail=detail, samples=samples, raised=bool(faults), of=name)


def _too_few(name: str, unit: str, has: tuple[Values, ...], n_unseen: int, faults: list[Sentence]) -> Finding:
    """The finding where hardly any made record has the descriptor: only that can be a fault."""
    _, u, m = has
    summary = said(
        "{name}: {n_m} made records have one, {n_u} of {n_unseen} unseen real ones do.",
        name=term(name.capitalize()),
        n_m=len(m),
        n_u=len(u),
        n_unseen=n_unseen,
    )
    middle = float(m.mean()) if len(m) else math.nan
    score, detail = Score(middle, middle, middle, float(u.mean()), math.nan), Descriptor(unit=unit)
    found = scored("descriptor", score, Limit(also=OFTEN), summary, detail=detail, raised=bool(faults), of=name)
    return replace(found, why="no made record has one")


def _how_often(values: tuple[Values, ...], has: tuple[Values, ...]) -> list[Sentence]:
    """What is wrong with how many records have one."""
    share, real = len(has[2]) / len(values[2]), len(has[1]) / len(values[1])
    if abs(_nearer([_share_level(values[2], x) for x in values[:2]])) <= LEVEL or abs(share - real) <= 0.02:
        return []
    return [said("{share:.0%} of what was made have one, {real:.0%} of real data", share=share, real=real)]


def _how_spread(m: Values, others: tuple[Values, Values], limit: Limit) -> list[Sentence]:
    """What is wrong with the mean of `m`, or else with its distribution, beside training and unseen values."""
    t, u = others
    mean = float(m.mean())
    if limit.broken(mean):
        return [said("too high on average") if mean > float(u.mean()) else said("too low on average")]
    if min(_ks_level(m, x) for x in others) <= LEVEL or min(kolmogorov_smirnov(m, x) for x in (u, t)) <= DISTANCE:
        return []
    return [
        said(
            "spread otherwise than in real data: {made} for half of what was made, {real} for real",
            made=_middle(m),
            real=_middle(u),
        )
    ]


def _off_class(kinds: tuple[ClassMean, ...], unit: str) -> list[Sentence]:
    """What is wrong with the class that is furthest off."""
    worst = max(kinds, key=lambda kind: abs(kind.level), default=None)
    if worst is None or abs(worst.level) <= LEVEL or abs(worst.off) <= 2 * MATTERS:
        return []
    shown = f" {unit}" if unit else ""
    return [
        said(
            "class {name} {made}{shown} on average, really {real}{shown}",
            name=worst.name,
            made=_formatted(worst.made),
            real=_formatted(worst.real),
            shown=shown,
        )
    ]


def _limit(m: Values, others: tuple[Values, Values], spread: float) -> Limit:
    """Where the mean lies beyond both `others` by more than chance and by more than matters of the real `spread`."""
    reach = [max(LEVEL * _mean_error(m, x), MATTERS * spread) for x in others]
    above = max(float(x.mean()) + r for x, r in zip(others, reach, strict=True))
    below = min(float(x.mean()) - r for x, r in zip(others, reach, strict=True))
    return Limit(above, below, also=OTHERWISE)


def _middle(values: Values) -> Sentence:
    low, high = np.quantile(values, [0.25, 0.75])
    return said("{low} to {high}", low=_formatted(low), high=_formatted(high))


def _formatted(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _by_class(
    values: tuple[Values, ...], labels: tuple[Labels | None, ...], classes: tuple[str, ...]
) -> tuple[ClassMean, ...]:
    """Each class that enough records of all three sets are of: its means, and how far they are apart."""
    if any(y is None for y in labels):
        return ()
    out = []
    for c, name in enumerate(classes):
        t, u, m = (x[(y == c) & np.isfinite(x)] for x, y in zip(values, labels, strict=True))
        if min(len(t), len(u), len(m)) < FEWEST // 2:
            continue
        spread = max(float(np.concatenate([t, u]).std()), 1e-12)
        level = _nearer([_mean_level(m, x) for x in (t, u)])
        off = _nearer([float(m.mean() - x.mean()) / spread for x in (t, u)])
        out.append(ClassMean(name=name, made=float(m.mean()), real=float(u.mean()), level=level, off=off))
    return tuple(out)


def _bins(made: Values, real: Values) -> tuple[Curve, Curve, Curve] | None:
    """Edges of even bins between the 1st and the 99th percentile of both, and the shares of both in them.

    What lies beyond is in the outermost. None where nothing varies.
    """
    low, high = np.quantile(np.concatenate([made, real]), [0.01, 0.99])
    if not high > low:
        return None
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(x.clip(low, high), edges)[0] / len(x) for x in (made, real)]
    return tuple(edges.tolist()), tuple(shares[0].tolist()), tuple(shares[1].tolist())
