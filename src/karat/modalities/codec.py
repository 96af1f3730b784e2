"""What every kind of content must say of itself, so that any family can learn it and any judge can see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from karat.space import Space


@dataclass(frozen=True)
class Contents:
    """What was found at a path: the things a person recognises, and what he should know about them.

    records: for pictures uint8 or uint16 `[n, height, width, channels]`, in memory or memory-mapped.
    labels: int64 `[n]` into `classes`, or None.   names: where each record came from.
    holdout: bool `[n]`, True where the publisher set the record aside (t10k-*, test/), or None.
    skipped: (name, reason) of unreadable files.   facts: what `look` shows (sizes, modes, formats found).
    """

    records: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    holdout: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Codec(ABC):
    """Turns files into records, records into points of a space, and points back into labelled files."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def read(cls, path: Path, options: Mapping[str, Any]) -> Contents:
        """All records at `path`; raises DataError naming the file that cannot be read."""

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `path` looks like this kind of content, without reading it all."""

    @classmethod
    @abstractmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """A codec for these contents that has looked at the rows `train` [k] only."""

    @property
    @abstractmethod
    def spaces(self) -> tuple[Space, ...]:
        """What the content can become, best first."""

    @property
    @abstractmethod
    def viewed(self) -> Space:
        """The space in which the judge looks at the content, whatever the generator used."""

    @abstractmethod
    def encode(self, records: np.ndarray, space: Space | None = None) -> Tensor:
        """Points `[n, *shape]` of `space` (the first of `spaces` by default)."""

    @abstractmethod
    def decode(self, points: Tensor) -> np.ndarray:
        """Records for any finite points: total, always valid content."""

    @abstractmethod
    def view(self, records: np.ndarray) -> Tensor:
        """Points `[n, *viewed.shape]` as the judge sees the records."""

    @abstractmethod
    def write(self, records: np.ndarray, folder: Path, stems: list[str]) -> list[Path]:
        """Ordinary files, one per record, named `<stem><suffix>`."""

    @abstractmethod
    def conform(self, records: np.ndarray) -> np.ndarray:
        """Somebody else's records of this kind of content, brought to the form of ours."""

    @abstractmethod
    def sheet(self, records: np.ndarray, columns: int) -> bytes:
        """A PNG that shows the records side by side, for a person to look at."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All of this codec as JSON."""

    @classmethod
    @abstractmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The codec that gave `state`."""
