"""What every watermark offers: a place in the making, and a detector that needs only the content and the key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from karat.content.codec import Block, Codec
from karat.request import Request
from karat.watermarks.detection import Detection


@dataclass(frozen=True)
class Watermark(ABC):
    """One scheme for the content of `codec`, with the secret `key`."""

    technique: ClassVar[str]
    codec: Any
    key: bytes

    def asked(self, request: Request) -> Request:
        """The request with what has to happen while records are drawn."""
        return request

    def embedded(self, records: Any, rng: np.random.Generator) -> Any:
        """Records with the mark, where it is put into them once they are made."""
        return records

    def note(self) -> str | None:
        """How little can be found again of what this codec makes, where that is little."""
        return None

    def blocks(self, blocks: Iterator[Block], seed: int) -> Iterator[Block]:
        """The same blocks with their mark."""
        for i, block in enumerate(blocks):
            yield Block(self.embedded(block.records, np.random.default_rng([seed, i, 3])), block.labels)

    def read(self, path: Path) -> Any:
        """Records at a path, as they are found there and as `detect` takes them."""
        kind: type[Codec] = type(self.codec)
        return kind.read(path, self.codec.alike()).records

    @abstractmethod
    def detect(self, records: Any) -> Detection:
        """What is found in records, which may be altered and not ours."""
