"""What a gate is: it looks at made records and says of each why it must not be kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from karat.content.codec import Block, Codec
from karat.errors import GateError
from karat.views import View

Reasons = np.ndarray  # of strings [n], "" where the record is kept


@dataclass(frozen=True)
class Candidates:
    """Made records [n] as gates see them: as the codec has them, as a judge sees them, and as a program of a person's has them."""

    codec: Codec
    block: Block

    def __len__(self) -> int:
        return len(self.block)

    @property
    def records(self) -> Any:
        return self.block.records

    @cached_property
    def view(self) -> View:
        return self.codec.view(self.records)

    @cached_property
    def plain(self) -> Any:
        return self.codec.in_python([self.records])

    def take(self, rows: np.ndarray) -> Candidates:
        """The records at `rows` [k]."""
        labels = self.block.labels
        some = Block(self.codec.chosen(self.records, rows), None if labels is None else labels[rows])
        return Candidates(self.codec, some)


class Gate(ABC):
    """`reasons` sees every candidate once, in the order in which they are drawn, and may remember what it kept.

    Whatever it raises stops the make before anything is exported.
    """

    name: ClassVar[str]

    @abstractmethod
    def reasons(self, some: Candidates) -> Reasons:
        """Why each of the candidates [n] is dropped, in a few words that are counted in the ledger; "" where it is kept."""

    def note(self) -> str | None:
        """What a person should know of it: what it could not look at, or how well it sees."""
        return None


def flagged(bad: np.ndarray, reason: str) -> Reasons:
    """`reason` where `bad` bool [n], else ""."""
    return np.where(bad, reason, "")


def asked(gate: Gate, some: Candidates) -> Reasons:
    """What the gate says of the candidates; GateError where it fails, or answers what is no answer."""
    try:
        found = np.asarray(gate.reasons(some))
    except GateError:
        raise
    except (Exception, SystemExit) as error:  # a gate that ends the program would end it as if all had been made
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise GateError(
            f"the gate {gate.name} failed ({what}), so nothing was exported. Mend it, or leave it out."
        ) from error
    if found.shape != (len(some),) or found.dtype.kind != "U":
        raise GateError(
            f"the gate {gate.name} answered {found.dtype} {list(found.shape)} where a text for each of {len(some):,} records "
            "was wanted, so nothing was exported."
        )
    return found
