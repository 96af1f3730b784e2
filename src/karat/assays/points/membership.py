"""The attack on membership for records that lie in a space of features: pictures, sounds, text.

It compares training with unseen records, so the two must be of one kind. Where unseen ones were set aside by name or by
place (another speaker, the end of a book), a generator that writes as the training data do would look like a leak.
"""

from __future__ import annotations

import math

from torch import Tensor

from karat.assays.chance import LEVEL
from karat.assays.finding import Finding, Limit
from karat.assays.points.fidelity import told_apart
from karat.assays.table import attack

ALIKE = 3.0  # standard errors by which a classifier may tell training from unseen records


def findings(train: Tensor, unseen: Tensor, made: Tensor, seed: int) -> list[Finding]:
    """Membership, of features [n, d] of each side; NaN where training and unseen records differ of themselves."""
    apart, sd = told_apart(unseen, train, seed)
    if apart - 0.5 <= ALIKE * sd:
        return attack.findings(train, unseen, made)
    says = (
        f"Unseen records are told from training ones {apart:.1%} of the time, before anything is made (50% is guessing): "
        "with these, who sees what was made cannot be asked which records it was learned from."
    )
    nothing, limit = math.nan, Limit(above=0.5 + LEVEL * sd)
    detail = {"unseen beside training": apart}
    return [
        Finding(
            "membership",
            nothing,
            nothing,
            nothing,
            nothing,
            "lower",
            False,
            says,
            detail,
            limit=limit,
            why="unseen records differ from training ones before anything is made",
        )
    ]
