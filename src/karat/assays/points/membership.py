"""The attack on membership for records that lie in a space of features: pictures, sounds, text.

It compares training with unseen records, so the two must be of one kind. Where unseen ones were set aside by name or by
place (another speaker, the end of a book), a generator that writes as the training data do would look like a leak.
"""

from __future__ import annotations

from torch import Tensor

from karat.assays.chance import LEVEL
from karat.assays.details.records import Membership
from karat.assays.finding import Finding, Limit, unknown
from karat.assays.neighbours import components
from karat.assays.points.fidelity import discriminant_auc
from karat.assays.points.points import Case
from karat.assays.table.membership import membership
from karat.words import said

FINDS = ("membership",)
ALIKE = 3.0  # standard errors by which a classifier may tell training from unseen records


def findings(case: Case) -> list[Finding]:
    """Membership, by the leading components of half of the training points; the other half is attacked.

    What components were fitted to stands out in them, beside unseen records of the same kind.
    """
    points = case.train.points
    half = len(points) // 2
    basis = components(points[:half], 64)
    train, unseen, made = (basis.of(x) for x in (points[half:], case.unseen.points, case.made.points))
    return [attacked(train, unseen, made, case.seed, len(points))]


def attacked(train: Tensor, unseen: Tensor, made: Tensor, seed: int, learned: int) -> Finding:
    """Membership, of features [n, d] of each side; NaN where training and unseen records differ of themselves.

    learned: how many training records there are, of which `train` are some.
    """
    apart, sd = discriminant_auc(unseen, train, seed)
    if apart - 0.5 <= ALIKE * sd:
        return membership(train, unseen, made, learned)
    summary = said(
        "Unseen records are told from training ones {apart:.1%} of the time, before anything is made "
        "(50% is guessing): beside these, an attack on membership would measure that difference and no "
        "leak.",
        apart=apart,
    )
    why = said("unseen records differ from training ones before anything is made")
    detail = Membership(unseen_beside_training=apart)
    return unknown("membership", why, Limit(above=0.5 + LEVEL * sd), summary, detail=detail)
