"""A finding: a number, its interval, and the number that unseen real data gets in the generator's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One measurement of what a generator makes.

    assay: the room it comes from ("fidelity", "diversity", "memory", "usefulness", "bias", ...).
    name: the field's term ("coverage").
    value, low, high: the score of what was made and its 95% interval.   real: the same score of unseen real data.
    better: which way is better; "neither" where only the distance from `real` counts.
    raised: whether it is far enough from `real` to speak of a fault.   says: one sentence for a person.
    detail: JSON for the report (class histogram, missing classes, pairs of indices, curves).
    """

    assay: str
    name: str
    value: float
    low: float
    high: float
    real: float
    better: Literal["higher", "lower", "neither"]
    raised: bool
    says: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
