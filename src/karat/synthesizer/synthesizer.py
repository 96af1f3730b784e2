"""What a synthesizer offers: records for a request, at once or block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from karat.content.codec import Block, Codec
from karat.content.table.bloom import Past
from karat.data import Data
from karat.errors import FitError
from karat.families.generator import Learned
from karat.privacy import Budget
from karat.request import FLAGS, Request


class Synthesizer(ABC):
    """A codec with what was learned in its spaces."""

    codec: Codec

    @abstractmethod
    def draw(self, request: Request, labels: Tensor | None = None) -> Block:
        """All records of a request at once; of the classes `labels` [n] where they are given and the model is conditional."""

    @abstractmethod
    def stream(self, request: Request, past: Past | None = None) -> Iterator[Block]:
        """The same in blocks, of which together no more is held than of one.

        past: of rows that were made before and go with these, which differ from them where they must.
        Raises FitError for what this content or this model cannot be asked for.
        """

    @property
    def gradient(self) -> Learned | None:
        """The model that the one loop trains; None where `fit` learns all."""
        return None

    @property
    def spent(self) -> Budget | None:
        """What a private fit spent."""
        return None

    @abstractmethod
    def fit(self, data: Data, seed: int, seconds: float | None) -> Iterator[float]:
        """Learns what `data` has to learn from, without gradients; yields the share that is done, 1.0 last.

        seconds: how long it may take, None for as long as it wants.
        """

    def metrics(self) -> dict[str, float]:
        """Numbers by name of what `fit` has learned so far."""
        return {}

    def widen(self, data: Data, seed: int) -> None:
        """Once all is learned: sees to it that what is made equals training records no oftener than unseen ones do."""
        return None

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers of a row of all that is learned."""

    def tried(self, n: int) -> tuple[int, ...]:
        """On how many of `n` records a fit is tried, to say how long one takes; twice where few are learned in another way."""
        return (min(n, 1_000),) if n <= 2_000 else (2_000, min(n, 4_000))

    @abstractmethod
    def glimpse(self, n: int) -> Any:
        """At most `n` records to look at: from one fixed noise, of every class in turn."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """All that was learned, by name."""

    def check(self, request: Request) -> None:
        """FitError where something is asked for that this kind of content has not."""
        unknown = [FLAGS[name] for name in request.set_fields() if name not in self.codec.answers]
        if unknown:
            known = [FLAGS[name] for name in FLAGS if name in self.codec.answers]
            raise FitError(
                f"{', '.join(unknown)}: not for {self.codec.name} content, which is asked for with {', '.join(known)}."
            )
