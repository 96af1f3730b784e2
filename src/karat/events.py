"""What happens while a run learns. A session yields these; a terminal, a run's folder or a tracker reads them in a for-loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """After one round of the loop, or a part of a fit: how far, how fast, and what was measured.

    step: rounds, or parts of a fit.   fraction: of the budget used, in [0, 1].   seconds: of the budget's clock, since the run
    began.   samples: points drawn so far, 0 in a fit.   metrics: numbers by name, or tensors of one; reading one waits for the
    device.
    """

    step: int
    fraction: float
    seconds: float
    samples: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One row of the history, at most about two hundred: numbers by name, "fraction", "step" and "seconds" among them."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Note:
    """A line that a person should read."""

    text: str


@dataclass(frozen=True)
class Notice:
    """What goes wrong in a training, the numbers it was seen in, and its remedy. `fraction` is how far the run had come."""

    name: str
    fraction: float
    evidence: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Picture:
    """Records side by side, always of the same noise, at so many percent of the budget; suffix: ".png" or ".html"."""

    percent: int
    step: int
    suffix: str
    content: bytes


@dataclass(frozen=True)
class Checkpoint:
    """Everything to continue from, as one safetensors file."""

    step: int
    content: bytes


@dataclass(frozen=True)
class Weights:
    """The finished model, averaged and settled, as one safetensors file."""

    content: bytes


@dataclass(frozen=True)
class Stopped:
    """The last event of a session that was asked to stop. A training is saved by then; a fit is lost."""

    step: int
    fraction: float


@dataclass(frozen=True)
class Finished:
    """The last event of a session that came to the end of its plan.

    samples: points drawn, 0 in a fit.   spent: seconds by what they were for, where that was not steps.   notices: each kind
    that was seen, with its last evidence.
    """

    step: int
    samples: int
    seconds: float
    spent: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


Event = Progress | Record | Note | Notice | Picture | Checkpoint | Weights | Stopped | Finished
Sink = Callable[[Event], None]  # takes every event of a session in turn; those it does not know it lets pass
