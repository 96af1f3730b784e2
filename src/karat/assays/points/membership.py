"""The attack on membership for records that lie in a space of features: pictures, sounds, text.

It compares training with unseen records, so the two must be of one kind. Where unseen ones were set aside by name or by
place (another speaker, the end of a book), a generator that writes as the training data do would look like a leak.
"""

from __future__ import annotations

from torch import Tensor

from karat.assays.chance import LEVEL
from karat.assays.details.records import Membership
from karat.assays.finding import Finding, Limit, unknown
from karat.assays.points.fidelity import discriminant_auc
from karat.assays.points.points import Case
from karat.assays.table.membership import membership

FINDS = ("membership",)
ALIKE = 3.0  # standard errors by which a classifier may tell training from unseen records


def findings(case: Case) -> list[Finding]:
    """Membership, by the leading components of the points."""
    train, unseen, made = (case.pixels.of(side.points) for side in (case.train, case.unseen, case.made))
    return [attacked(train, unseen, made, case.seed)]


def attacked(train: Tensor, unseen: Tensor, made: Tensor, seed: int) -> Finding:
    """Membership, of features [n, d] of each side; NaN where training and unseen records differ of themselves."""
    apart, sd = discriminant_auc(unseen, train, seed)
    if apart - 0.5 <= ALIKE * sd:
        return membership(train, unseen, made)
    summary = (
        f"Unseen records are told from training ones {apart:.1%} of the time, before anything is made (50% is guessing): "
        "beside these, an attack on membership would measure that difference and no leak."
    )
    why = "unseen records differ from training ones before anything is made"
    detail = Membership(unseen_beside_training=apart)
    return unknown("membership", why, Limit(above=0.5 + LEVEL * sd), summary, detail=detail)
