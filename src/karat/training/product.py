"""What a session asks of whoever knows the content that a model is of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self

from karat.families.generator import Learned
from karat.training.loop import State


class Product(Protocol):
    """The model together with its content, which the session does not know."""

    @property
    def suffix(self) -> str:
        """The format of a sheet."""

    def of(self, model: Learned) -> Self:
        """The same with another model of its kind."""

    def glimpse(self, n: int) -> Any:
        """`n` records of one fixed noise."""

    def sheet(self, n: int) -> bytes:
        """A picture of `n` records of that noise."""

    def checkpoint(self, state: State) -> bytes:
        """Everything to continue from."""

    def fit(self, seconds: float | None) -> Iterator[float]:
        """Learns without gradients; yields the share that is done."""

    def metrics(self) -> dict[str, float]:
        """Numbers by name of what `fit` has learned so far."""

    def finish(self) -> None:
        """What is done once, when all is learned."""

    def weights(self) -> bytes:
        """The finished model."""
