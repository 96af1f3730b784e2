"""Whether somebody who sees what was made could tell which passages were learned from, by the components of their counts."""

from __future__ import annotations

from karat.assays.finding import Finding
from karat.assays.points.membership import attacked
from karat.assays.text.texts import Case

FINDS = ("membership",)


def findings(case: Case) -> list[Finding]:
    """Membership."""
    return [attacked(*case.alike, case.seed, len(case.train))]
