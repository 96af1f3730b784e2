"""How the target, and protected columns such as sex, are distributed in each group and in each pair of groups."""

from __future__ import annotations

import math

import numpy as np

from karat.assays import power
from karat.assays.details.rows import Groups, Widened
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.points.bias import BEYOND, CHANCE, LEAST
from karat.assays.shares import tail
from karat.assays.table.joint.counting import LEAST as LEAST_ROWS
from karat.assays.table.joint.counting import Among, Odd
from karat.assays.table.joint.showing import NAMED, combined, told
from karat.assays.table.joint.survey import Survey
from karat.assays.table.tables import Case
from karat.words import Sentence, said, together

SHOWN = 24
FEW = 12  # levels of a column whose groups are compared with each other
SMALLEST = 0.05  # of the real rows are in a protected group that is to be seen by itself
SOME = 30  # real rows of a group, at least, to be compared with others


def findings(case: Case, survey: Survey) -> list[Finding]:
    """Groups; none where no column is the target or protected, or where there is no other."""
    if not survey.outcomes or case.train.width < 2:
        return []
    odd = _once(survey, [one for one in survey.counted.odd if survey.of_groups(one)])
    shown = tuple(combined(case.made, survey, one, _outcome(survey, one)) for one in odd[:SHOWN])
    column, value, expected, own = _furthest(survey)
    samples = _needed(survey)
    detail = Groups(
        of=tuple(case.train.names[j] for j in survey.outcomes),
        protected=case.train.columns.protected,
        groups=shown,
        gaps=_gaps(survey),
    )
    also = said(
        "where a value is certainly too common or too rare in one group, or pair of groups, by {least:.1%} of all rows",
        least=LEAST_ROWS,
    )
    score = Score(value, max(0.0, value - 1.96 * own), value + 1.96 * own, expected, own)
    limit = Limit(above=expected + LEAST, only=BEYOND, also=also)
    summary = _summary(case, detail, len(odd), column, value, expected)
    return [scored("groups", score, limit, summary, detail=detail, samples=samples, raised=bool(odd), beside=CHANCE)]


def _needed(survey: Survey) -> tuple[Sample, ...]:
    """What it takes to see that a value which 10% of all rows have is lost, or one of 10% in a protected group of 5%."""
    (target, *protected), level, known = survey.outcomes, survey.counted.level, len(survey.train)
    hardest = (1.0, power.GROUP)  # the share of a group, and of those in it that have the value
    for j in protected:
        shape = (survey.levels.sizes[j], survey.levels.sizes[target])
        both = np.ravel_multi_index((survey.real[:, j], survey.real[:, target]), shape)
        table = np.bincount(both, minlength=shape[0] * shape[1]).reshape(shape) / len(both)
        size = table.sum(1, keepdims=True)
        within = table / np.maximum(size, 1e-12)
        for g, value in np.argwhere((size >= SMALLEST) & (within >= power.GROUP) & (within < 1)):
            group, share = float(size[g, 0]), float(within[g, value])
            if group * math.log(1 - share) > hardest[0] * math.log(1 - hardest[1]):
                hardest = group, share
    _, share = hardest

    def sees(n: int, m: int, lost: float) -> bool:
        group = min(1.0, lost / share)
        mine, real = round(group * n), round(group * (m + known))
        return tail(min(real, round(lost * (m + known))), real, 0, mine) < level

    return power.of_count(sees, len(survey.made), len(survey.unseen), hardest[0] * share)


def _furthest(survey: Survey) -> tuple[int, float, float, float]:
    """The column in whose groups the first outcome is furthest from real rows: the share of rows that would have to change it.

    With what chance alone gives, and a standard error.
    """
    outcome = survey.outcomes[0]
    best = (0, -math.inf, 0.0, 0.0)
    for j in range(survey.made.shape[1]):
        if j == outcome:
            continue
        shape = (survey.levels.sizes[j], survey.levels.sizes[outcome])
        a, b = (
            np.bincount(np.ravel_multi_index((x[:, j], x[:, outcome]), shape), minlength=shape[0] * shape[1]).reshape(
                shape
            )
            for x in (survey.made, survey.real)
        )
        n, m = a.sum(1, keepdims=True), b.sum(1, keepdims=True)
        there = ((n > 0) & (m > 0))[:, 0]
        a, b, n, m = a[there], b[there], n[there], m[there]
        gap, pooled = np.abs(a / n - b / m), (a + b) / (n + m)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        weight = n / len(survey.made)
        value, expected = (float((x * weight).sum() / 2) for x in (gap, spread * math.sqrt(2 / math.pi)))
        if value - expected > best[1] - best[2]:
            best = (j, value, expected, float(np.sqrt(((spread * weight) ** 2).sum()) / 2))
    return best


def _once(survey: Survey, odd: list[Odd]) -> list[Odd]:
    """Each group once, with the value that changes most: of two values one is rarer as much as the other is more common."""
    best: dict[tuple[tuple[int, int], ...], Odd] = {}
    for one in odd:
        at = _outcome(survey, one)
        group = tuple(x for i, x in enumerate(zip(one.columns, one.codes, strict=True)) if i != at)
        key = (*group, (one.columns[at], -1))
        if key not in best or _times(one.among[at]) > _times(best[key].among[at]):
            best[key] = one
    return list(best.values())


def _times(of: Among) -> float:
    """How many times as often it is made as it is real, or the other way round."""
    made, real = ((k + 0.5) / (n + 1) for k, n in ((of.made, of.of_made), (of.real, of.of_real)))
    return max(made / real, real / made)


def _outcome(survey: Survey, odd: Odd) -> int:
    """Of which value to tell: that of the outcome, as what rows of this group have."""
    return odd.columns.index(next(j for j in survey.outcomes if j in odd.columns))


def _gaps(survey: Survey) -> tuple[Widened, ...]:
    """Between the groups of each protected column, how far apart they are in the target's values: whether that is amplified."""
    out = []
    target, *protected = survey.outcomes
    for j in protected:
        words, outcomes = survey.levels.columns[j].words, survey.levels.columns[target].words
        sizes = [np.bincount(x[:, j], minlength=len(words)) for x in (survey.made, survey.real)]
        groups = np.flatnonzero((sizes[1] >= SOME) & (sizes[0] > 0))
        if not 2 <= len(groups) <= FEW:
            continue
        worst: Widened | None = None
        for code, word in enumerate(outcomes):
            shares = np.array(
                [
                    [(side[side[:, j] == g, target] == code).mean() for g in groups]
                    for side in (survey.made, survey.real)
                ]
            )
            top, bottom = int(shares[1].argmax()), int(shares[1].argmin())
            made, real = (float(s[top] - s[bottom]) for s in shares)
            if worst is None or abs(made - real) > abs(worst.made - worst.real):
                name, outcome = survey.levels.names[j], f"{survey.levels.names[target]} {word}"
                highest, lowest = (words[groups[k]].removeprefix("= ") for k in (top, bottom))
                worst = Widened(column=name, outcome=outcome, made=made, real=real, highest=highest, lowest=lowest)
        out += [worst] if worst is not None else []
    return tuple(out)


def _summary(case: Case, detail: Groups, odd: int, column: int, value: float, expected: float) -> Sentence:
    of = detail.of[0]
    if not odd:
        return said(
            "{listed}: distributed in every group, and pair of groups, as in real rows, as far as so many show. Furthest off by "
            "{column}: {value:.1%} of the made rows would have to change their {of} (chance alone: {expected:.1%}).",
            listed=", ".join(detail.of[:4]),
            column=case.train.names[column],
            value=value,
            of=of,
            expected=expected,
        )
    sentences = [told(one) for one in detail.groups[:NAMED]]
    widened = [g for g in detail.gaps if abs(g.made - g.real) > LEAST]
    sentences += [
        said(
            "{outcome} is {made:.0%} more common for {column} = {highest} than for {lowest}, {real:.0%} in real rows",
            **vars(g),
        )
        for g in widened[:1]
    ]
    more = odd - NAMED
    text = together(sentences, said(". ")) + said(".")
    return text + said(" And {n} more such groups.", n=more) if more > 0 else text
