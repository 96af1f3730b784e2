"""Whether groups come in the proportions of real data: classes, and what else is known of real records, such as a speaker."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.details.records import Balance
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.neighbours import components, nearest
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case
from karat.assays.shares import certain
from karat.words import said, term

FINDS = ("class balance", "balance")
LEAST = 0.03  # of total variation above what chance gives
READABLE = 0.8  # of unseen real records whose value the nearest training record must have
MOST_VALUES = 40
FEWEST_OF_EACH = 10  # training records
CHANCE = "chance alone"  # that a balance is held against
BEYOND = said("where chance does not explain it")


def findings(case: Case) -> list[Finding]:
    """Class balance, and the balance of what else is known of real records."""
    return [
        *class_balance(case.unseen, case.made, case.classes),
        *facets(case.train, case.unseen, case.made, case.facets),
    ]


def class_balance(unseen: Embedded, made: Embedded, classes: tuple[str, ...]) -> list[Finding]:
    """Class balance: half the sum of the differences in share, as the judge reads both sets; none without classes.

    Where labels were given, theirs, if they are further apart.
    """
    if made.read is None or unseen.read is None:
        return []
    sides = [(made.read.argmax(1), unseen.read.argmax(1))]
    if made.labels is not None and unseen.labels is not None:  # reading blurs the shares: what was asked for counts too
        sides.append((made.labels, unseen.labels))
    k = len(classes)
    counts = [[torch.bincount(x, minlength=k).double() for x in pair] for pair in sides]
    found = [_balance("class balance", "", "Class", "class", classes, *pair) for pair in counts]
    return [max(found, key=lambda balance: (balance[0].raised, abs(balance[1].z)))[0]]


def facets(
    train: Embedded,
    unseen: Embedded,
    made: Embedded,
    known: Mapping[str, tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]],
) -> list[Finding]:
    """The balance of what is `known` of training and unseen records beside their class: strings [t] and [n] by name.

    What was made has the value of the training record that lies nearest to it. Nothing is said of what cannot be read
    like that off unseen real records (the number of a take), nor of values that only one side has.
    """
    out, rows = [], None
    for name, (values, aside) in known.items():
        names, of, count = np.unique(values, return_inverse=True, return_counts=True)
        if not 2 <= len(names) <= MOST_VALUES or count.min() < FEWEST_OF_EACH or set(aside) != set(names):
            continue
        if rows is None:
            basis = components(train.points, 64)
            base = basis.of(train.points)
            rows = [torch.cat([nearest(basis.of(x), base)[1] for x in s.points.split(500)]) for s in (made, unseen)]
        kinds: Tensor = torch.from_numpy(of)
        shown, real = kinds[rows[0]], kinds[rows[1]]
        truth = torch.from_numpy(np.searchsorted(names, aside))
        if float((real == truth).double().mean()) < READABLE:
            continue
        a, b = (torch.bincount(x, minlength=len(names)).double() for x in (shown, real))
        out.append(_balance("balance", name, name.capitalize(), name, tuple(str(n) for n in names), a, b)[0])
    return out


def doubled(n: int, m: int) -> tuple[Sample, ...]:
    """What a balance needs to see that a group is made twice as often."""

    def sees(made: int, real: int, share: float) -> bool:
        share = min(share, 0.45)  # twice as many are not all
        a, b = power.reached_apart(made, 2 * share, real, share)
        return certain(a, made, b, real)

    return power.of_count(sees, n, m, power.TWICE)


def _balance(
    key: str, of: str, one: str, what: str, names: tuple[str, ...], a: Tensor, b: Tensor
) -> tuple[Finding, Balance]:
    """The finding and its detail: how unlike the shares of the counts `a` [k], made, are to those of `b` [k], unseen real."""
    n, m = int(a.sum()), int(b.sum())
    share, real = a / n, b / m
    gaps = share - real
    value = float(gaps.abs().sum() / 2)
    pooled = (a + b) / (n + m)
    spread = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    expected = float((spread * math.sqrt(2 / math.pi)).sum() / 2)  # mean of |N(0, spread^2)|: total variation by chance
    own = float(((share * (1 - share) / n).sum()).sqrt() / 2)
    z = gaps / spread.clamp_min(1e-12)
    worst = int(z.abs().argmax())
    limit = Limit(above=expected + LEAST, only=BEYOND)
    raised = limit.broken(value) and certain(int(a[worst]), n, int(b[worst]), m)
    summary = said(
        "{one} {names} makes up {share:.1%} of what was made and {real:.1%} of real data; {value:.1%} "
        "of all records would have to change {what} to match (chance alone: {expected:.1%}).",
        one=term(one),
        names=names[worst],
        share=float(share[worst]),
        real=float(real[worst]),
        value=value,
        what=term(what),
        expected=expected,
    )
    detail = Balance(
        worst=names[worst], names=names, made=tuple(share.tolist()), real=tuple(real.tolist()), z=float(z[worst])
    )
    score = Score(value, max(0.0, value - 1.96 * own), value + 1.96 * own, expected, own)
    samples = doubled(n, m)
    return scored(
        key, score, limit, summary, detail=detail, samples=samples, raised=raised, of=of, beside=CHANCE
    ), detail
