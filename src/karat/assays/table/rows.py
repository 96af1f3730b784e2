"""Whether rows lie where real rows lie, and everywhere where they lie.

Distances are those of `embed`. Precision, recall: https://arxiv.org/abs/1904.06991. Density, coverage:
https://arxiv.org/abs/2002.09797.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from karat.assays import power
from karat.assays.chance import Draws, averaged, least_of, limit_of, resampled
from karat.assays.details.records import Balls, Covered
from karat.assays.finding import Finding, Score, scored
from karat.assays.neighbours import distances
from karat.assays.points.diversity import coverage, expected_coverage, recall
from karat.assays.points.fidelity import density, precision, radii
from karat.assays.table.tables import Case
from karat.words import said

FINDS = ("precision", "density", "recall", "coverage")
REFERENCE = 3000
EQUAL = 1e-5  # squared distance up to which rows are the same: a ball of radius 0 holds its equals


def findings(case: Case) -> list[Finding]:
    """Precision, density, recall and coverage of embedded rows [n, d]."""
    return [*_inside(*case.embedded), *_reached(*case.embedded, case.tight)]


def _inside(train: Tensor, unseen: Tensor, made: Tensor) -> list[Finding]:
    reference = train[:REFERENCE]
    near = distances(reference, reference)
    near.fill_diagonal_(math.inf)
    sorted_ = near.topk(min(5, len(reference) - 1), dim=1, largest=False).values + EQUAL
    third, fifth = sorted_[:, min(2, sorted_.shape[1] - 1)], sorted_[:, -1]

    def scores(rows: Tensor) -> tuple[Tensor, Tensor]:
        parts = [distances(reference, block) for block in rows[:5000].split(1000)]
        return torch.cat([precision(d, third) for d in parts]), torch.cat([density(d, fifth, 5) for d in parts])

    out = []
    kinds = (
        ("precision", 0.02, "{value:.1%} of what was made lies where real rows lie; unseen real rows: {real:.1%}."),
        (
            "density",
            0.05,
            "Made rows lie in the neighbourhoods of {value:.3g} times as many real ones as expected; unseen real rows: "
            "{real:.3g}.",
        ),
    )
    for (name, least, sentence), a, b in zip(kinds, scores(made), scores(unseen), strict=True):
        s = averaged(a, b, share=name == "precision")
        detail = Balls(n=len(a), reference=len(reference), z=s.z)
        summary = said(sentence, value=s.value, real=s.real)
        samples = power.scored(name, s.error, len(made), len(unseen), s.real, beyond=least)
        out.append(scored(name, s, limit_of(name, s, least), summary, detail=detail, samples=samples))
    return out


def _reached(train: Tensor, unseen: Tensor, made: Tensor, draws: Draws) -> list[Finding]:
    reference = train[: draws.size]
    fifth = radii(reference, 5) + EQUAL
    known: dict[tuple[bool, int, int, int], tuple[float, float]] = {}

    def scores(of: Tensor, rows: Tensor) -> tuple[float, float]:
        key = (of is made, len(rows), int(rows[0]), int(rows[-1]))
        if key not in known:
            some = of[rows]
            d = distances(reference, some)
            known[key] = (recall(d, radii(some, 3) + EQUAL), coverage(d, fifth))
        return known[key]

    out = []
    kinds = (
        ("recall", 0.03, "{value:.1%} of real rows lie where made ones lie; where unseen real ones lie: {real:.1%}."),
        (
            "coverage",
            0.02,
            "{value:.1%} of real rows have a made one in their neighbourhood; one of as many unseen real ones: {real:.1%}.",
        ),
    )
    for i, (name, least, sentence) in enumerate(kinds):
        s: Score = resampled(lambda r, i=i: scores(unseen, r)[i], lambda r, i=i: scores(made, r)[i], draws, True)  # type: ignore[misc]
        detail = Covered(n=draws.size, z=s.z, expected=expected_coverage(draws.size, draws.size, 5))
        least = least_of(least, draws)
        summary, limit = said(sentence, value=s.value, real=s.real), limit_of(name, s, least)
        samples = power.scored(name, s.error, len(made), len(unseen), s.real, beyond=least)
        out.append(scored(name, s, limit, summary, detail=detail, samples=samples))
    return out
