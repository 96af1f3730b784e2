"""The findings of one report as one family: at most one report of 20 on unseen real records may raise anything at all.

At `LEVEL` errors that holds of some hundred findings, whose errors a dozen draws estimate: more than any report has but one of
many related tables. There every score must be off by more, so that a table or a finding that is added does not make a report
accuse real records more often. Counts are judged by exact tests, whose chance is small enough for a hundred thousand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from karat.assays.chance import LEVEL, ROUNDS
from karat.assays.finding import Finding
from karat.assays.power import GAPS

FAMILY = 0.05  # of the reports on unseen real records, at most, in which anything is raised


def level(findings: int) -> float:
    """How many standard errors a score must be off where a report has so many findings; never less than `LEVEL`.

    Bonferroni's correction, by Student's t of the degrees of freedom that `ROUNDS` draws have.
    """
    from scipy.stats import t

    return max(LEVEL, float(t.isf(FAMILY / (2 * max(1, findings)), ROUNDS - 1)))


def corrected(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of one report, the limits of scores as far from real data's as so many findings need."""
    wider = level(len(findings)) / LEVEL
    return [_widened(f, wider) if wider > 1 and f.key in GAPS and math.isfinite(f.real) else f for f in findings]


def _widened(f: Finding, by: float) -> Finding:
    above, below = (None if x is None else f.real + by * (x - f.real) for x in (f.limit.above, f.limit.below))
    if above is None and below is None:
        return f
    limit = replace(f.limit, above=above, below=below)
    return replace(f, limit=limit, raised=f.raised and (limit.broken(f.value) or not f.limit.broken(f.value)))
