"""Pictures and sounds one by one: whether they are odd in one way, repeat each other, and are what they are labelled as.

Odd are how bright they are, where they lie, how they are drawn (`single.outlying`); repeats are the same again with noise, lighter
or darker, louder or softer (`single.repeating`). The judge reads the class of some real records wrongly as well, and of unseen
ones, which it did not learn from, it is known of how many: of each label, and of each label and class that it is read as, made
and unseen ones are counted, and compared by the exact test.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.chance import wilson
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.neighbours import components, distances
from karat.assays.points.points import Case
from karat.assays.shares import tail, tails
from karat.assays.single import repeating
from karat.assays.single.outlying import Read, judged
from karat.assays.single.repeating import Alike, Pairs, choices, grouped
from karat.assays.table.joint.counting import FAMILY
from karat.words import said, term

FINDS = ("outliers", "repeats", "mislabelled")
TRAINING = 5_000  # training records that others are held against
STEP = 0.02  # of what is read, a hundredth of the range
DARKEST = -1.0  # of a point
PLANE = ("height", "width")  # the axes of a picture, which has no names for them
KEPT = 64  # components by which records are compared, in which noise is a small part
RARE = 0.002  # of real records lie so near to another, at the distance from which on records are alike
BLOCK = 1_000
APART = 0.05  # of the records with a label, more than of real ones
WORST = 0.5  # of the unseen records that the judge reads wrongly, from which on it reads no classes


def findings(case: Case) -> list[Finding]:
    """Outliers, repeats, and what is mislabelled where there are labels."""
    return [*outliers(case), *repeats(case), *mislabelled(case)]


def outliers(case: Case) -> list[Finding]:
    """Outliers."""
    points = case.train.points[:TRAINING], case.unseen.points, case.made.points
    sides = [dict(read(side, case.axes)) for side in points]
    measures = [Read(name, a, b, c, STEP) for name in sides[0] for a, b, c in [[side[name].numpy() for side in sides]]]
    # training records lie nearer to components that were fitted to them
    none, unseen, made = (case.pixels.left(side).double().numpy() for side in (points[0][:0], *points[1:]))
    measures.append(Read(said("what is like no real one"), none, unseen, made))
    return judged(measures, "record")[0]


def read(points: Tensor, axes: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """By name, float64 [n] read off each of `points` [n, channels, *size]; `axes` names those behind the channels."""
    x = points.double()
    flat, size = x.flatten(1), x.shape[2:]
    yield term("brightness"), flat.mean(1)
    yield term("contrast"), flat.std(1)
    yield term("the brightest point"), flat.max(1).values
    yield term("the darkest point"), flat.min(1).values
    yield (
        term("fine structure"),
        torch.stack([x.diff(dim=2 + k).abs().flatten(1).mean(1) for k in range(len(size))]).mean(0),
    )
    above = x.mean(1).flatten(1) - DARKEST
    weight = above.sum(1).clamp_min(1e-9)
    for k, length in enumerate(size):
        name = term(axes[k] if k < len(axes) else PLANE[k] if len(size) == len(PLANE) else str(k + 1))
        along = torch.linspace(0, 1, length).double().view([-1 if i == k else 1 for i in range(len(size))])
        place = along.expand(size).flatten()
        middle = (above * place).sum(1) / weight
        yield said("middle along {axis}", axis=name), middle
        spread = ((above * (place - middle[:, None]) ** 2).sum(1) / weight).sqrt()
        yield said("extent along {axis}", axis=name), spread
        ends = torch.stack([x.narrow(2 + k, at, 1).flatten(1).mean(1) for at in (0, length - 1)])
        yield said("edges across {axis}", axis=name), ends.max(0).values


def repeats(case: Case) -> list[Finding]:
    """Repeats."""
    real = torch.cat([case.train.points[: repeating.MOST], case.unseen.points[: repeating.MOST]])
    basis = components(levelled(real), KEPT)
    known, made = (basis.of(levelled(points)) for points in (real, case.made.points[: repeating.MOST]))
    rows = choices(len(known), len(made), case.seed)
    if not rows:
        return []
    near = [_nearest(known[torch.from_numpy(some)]) for some in rows]
    bound = float(torch.quantile(torch.cat(near), RARE))
    sides = [_alike(known[torch.from_numpy(some)], bound) for some in rows]
    return repeating.judged(
        _alike(made, bound),
        sides,
        lambda i: int((distances(made[i : i + 1], known) < bound).sum()),
        len(known),
        "record",
        lambda which: repeating.numbered([case.made.row(i) for i in dict.fromkeys(which)]),
    )


def levelled(points: Tensor) -> Tensor:
    """The points [n, d] without each record's own level and strength."""
    flat = points.flatten(1).float()
    away = flat - flat.mean(1, keepdim=True)
    out: Tensor = away / away.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return out


def _nearest(x: Tensor) -> Tensor:
    """The squared distance [n] of each to the nearest of the others."""
    out = []
    for start in range(0, len(x), BLOCK):
        d = distances(x[start : start + BLOCK], x)
        d[torch.arange(len(d)), start + torch.arange(len(d))] = torch.inf
        out.append(d.min(1).values)
    return torch.cat(out)


def _alike(x: Tensor, bound: float) -> Alike:
    return grouped(len(x), _near(x, bound))


def _near(x: Tensor, bound: float) -> Iterator[Pairs]:
    for start in range(0, len(x), BLOCK):
        a, b = (distances(x[start : start + BLOCK], x) < bound).nonzero().T.numpy()
        yield a + start, b


def mislabelled(case: Case) -> list[Finding]:
    """Mislabelled; none where made records have no labels, or the judge cannot read them."""
    made, unseen = case.made, case.unseen
    if made.labels is None or unseen.labels is None or made.read is None or unseen.read is None:
        return []
    k = len(case.classes)
    a, b = (_table(side.labels.numpy(), side.read.argmax(1).numpy(), k) for side in (made, unseen))  # type: ignore[union-attr]
    n, m = int(a.sum()), int(b.sum())
    wrong, theirs = n - int(np.trace(a)), m - int(np.trace(b))
    real = theirs / m
    if k < 2 or real > WORST:
        return []
    level = FAMILY / max(1, int(((a + b) > 0).sum()))
    value, (low, high) = wrong / n, wilson(wrong, n)
    odd = sorted(_odd(a, b, level), reverse=True)
    every = value - real >= APART and tail(wrong, n, theirs, m) < level  # a few of each label
    named = {label for _, label, read in odd if read != label}
    summary = said(
        "{value:.1%} of the made records are read as of another class than they are labelled with; of unseen real ones {real:.1%}.",
        value=value,
        real=real,
    )
    for _, label, read in [one for one in odd if one[1] != one[2] or one[1] not in named][:3]:
        of_made, of_real = int(a[label].sum()), int(b[label].sum())
        counts = (int(a[label].sum() - a[label, label]), int(b[label].sum() - b[label, label]))
        count, other = counts if read == label else (int(a[label, read]), int(b[label, read]))
        template = (
            " Of {n:,} made ones labelled {label}, {count:,} ({share:.1%}) are read as another class, of real ones {other:.1%}."
            if read == label
            else " Of {n:,} made ones labelled {label}, {count:,} ({share:.1%}) are read as {read}, of real ones {other:.1%}."
        )
        summary += said(
            template,
            n=of_made,
            label=case.classes[label],
            read=case.classes[read],
            count=count,
            share=count / of_made,
            other=other / max(of_real, 1),
        )
    also = said(
        "where {least:.0%} more of one label, or of all, are read as another class, and chance does not explain it",
        least=APART,
    )
    samples = _seen(n, m, real, level)
    score = Score(value, low, high, real, 0.0)
    return [scored("mislabelled", score, Limit(also=also), summary, samples=samples, raised=bool(odd) or every)]


def _table(labels: np.ndarray, read: np.ndarray, k: int) -> np.ndarray:
    """int64 [k, k]: how many records have a label and are read as a class."""
    return np.bincount(labels * k + read, minlength=k * k).reshape(k, k)


def _odd(a: np.ndarray, b: np.ndarray, level: float) -> list[tuple[float, int, int]]:
    """By how much of the label made records are off, the label, and what they are read as: the label itself for all others."""
    out = []
    for label in range(len(a)):
        n, m = int(a[label].sum()), int(b[label].sum())
        if not n or not m:
            continue
        mine, theirs = a[label].copy(), b[label].copy()
        mine[label], theirs[label] = n - mine[label], m - theirs[label]
        p = tails(mine, n, theirs, m)
        gap = mine / n - theirs / m
        out += [(float(gap[j]), label, j) for j in range(len(a)) if gap[j] >= APART and p[j] < level]
    return out


def _seen(n: int, m: int, real: float, level: float) -> tuple[Sample, ...]:
    """What it takes to see that a share of all records has another label, whatever their classes."""

    def sees(made: int, unseen: int, share: float) -> bool:
        usual = round(real * unseen)
        reached = power.reached(made, min(1.0, real + share))
        return reached / made - real >= APART and tail(reached, made, usual, unseen) < level

    return power.of_count(sees, n, m, power.BAD)
