"""What some kinds of content can do beside being learned and judged; who needs it asks by `isinstance`."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor

from karat.content.codec import Codec, Contents
from karat.content.table.bloom import Past
from karat.content.table.rejection import Rejection
from karat.privacy import Budget, Source
from karat.space import Space


class Continued(Codec):
    """Text, that goes on from a prompt code by code."""

    @property
    @abstractmethod
    def spelling(self) -> tuple[bytes, ...]:
        """The UTF-8 of each code of `Tokens`."""

    @abstractmethod
    def opening(self, prompt: str | None) -> Tensor:
        """Codes (long) of `Tokens` with which new content begins that opens with `prompt`."""

    @abstractmethod
    def of_texts(self, texts: Sequence[str], ended: np.ndarray) -> Any:
        """Records of texts that were followed as they grew, whole documents where `ended` [n]."""

    @abstractmethod
    def streams(self, contents: Contents, rows: np.ndarray) -> list[tuple[Tensor, int, int]]:
        """What is to be read on end at the sorted `rows`: codes (long), characters and UTF-8 bytes.

        Neighbouring passages of one document are one stream.
        """


@dataclass(frozen=True)
class Conditioning:
    """Cells that are given: long [n, columns of `Codes`], -1 where free; `restore` puts them back exactly once decoded.

    rest: conditions that rows are drawn again for until they hold; None where codes say all.
    """

    cells: Tensor
    restore: Callable[[Any], Any]
    rest: Rejection | None = None

    def drawn(self, draw: Callable[[Tensor], Tensor], rng: np.random.Generator) -> Tensor:
        """Codes [n, columns] that keep to what is asked.   draw: codes drawn around cells [m, columns], -1 where free."""
        return draw(self.cells) if self.rest is None else self.rest.filled(self.cells, draw, rng)


class Conditioned(Codec):
    """Rows, some of whose cells may be given."""

    def conditioning(self, given: str | None, balance: str | None, n: int, rng: np.random.Generator) -> Conditioning:
        """What records are asked to hold: `given` conditions or a file of partial records, and a column to be balanced."""
        return next(self.conditioning_blocks(given, balance, n, rng, sys.maxsize))

    @abstractmethod
    def decode_next(
        self,
        points: Tensor,
        space: Space,
        rng: np.random.Generator,
        past: Past | None,
        asked: Conditioning | None = None,
    ) -> Any:
        """As of every codec; of rows that were `asked` for, what is decoded keeps their conditions where its codes can."""

    @abstractmethod
    def conditioning_blocks(
        self, given: str | None, balance: str | None, n: int, rng: np.random.Generator, most: int
    ) -> Iterator[Conditioning]:
        """The same, of at most `most` records at once.

        Raises DataError for what is not known, FitError for what cannot be balanced.
        """


class Discreet(Codec):
    """Records that can be learned under differential privacy."""

    @classmethod
    @abstractmethod
    def fit_discreetly(cls, contents: Contents, train: np.ndarray, budget: Budget, source: Source) -> Self:
        """A codec that has looked at the rows `train` [k] only, paid from `budget`, its noise from `source`."""


class Declared(Codec):
    """Columns with a schema, which a person may correct."""

    @abstractmethod
    def between(self, records: Any) -> list[dict[str, Any]]:
        """What holds between the columns of the records: each with `words`, a sentence, and whether it holds `always`."""

    @abstractmethod
    def declared(self, between: Sequence[Mapping[str, Any]] = ()) -> str:
        """What is inferred of the content, as TOML.   between: what holds between columns, which is written as rules."""


class Thumbnailed(Codec):
    """Records that show at a glance whether two are nearly the same, as pictures do."""

    @abstractmethod
    def thumbnails(self, records: Any) -> Tensor:
        """float `[n, d]`: equal but for contrast where records are nearly the same."""


class Paired(Codec):
    """Records of which two may be nearly the same in ways that take a search of their own, as sounds may."""

    @abstractmethod
    def doubles(self, records: Any) -> np.ndarray:
        """Pairs [k, 2] of records that are nearly the same, each pair once."""
