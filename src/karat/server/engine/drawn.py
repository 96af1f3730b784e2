"""What the engine gives: records for one request, and files of them, each with its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from karat.content.codec import Block, Codec
from karat.curation.drawing import Tally
from karat.options import MakeOptions
from karat.provenance.label import Label
from karat.request import Request
from karat.run import Run


@dataclass(frozen=True)
class Drawn:
    """Made records of one request.

    name: of the run in the catalogue; run: as it was when it was loaded.   blocks: the records, in order, with the labels (of
    classes) that they were made for.   label: of origin.   tally: what the gates dropped.   waited, seconds: in the queue, and
    its share of the time of drawing.   money: what that cost, None where no prices are declared; in `currency`.
    """

    name: str
    run: Run
    codec: Codec
    request: Request
    options: MakeOptions
    blocks: tuple[Block, ...]
    label: Label
    tally: Tally
    waited: float = 0.0
    seconds: float = 0.0
    money: float | None = None
    currency: str | None = None

    @property
    def count(self) -> int:
        """How many records a person would say that these are."""
        return sum(self.codec.count(block.records) for block in self.blocks)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that `blocks` have labels of."""
        return tuple(self.run.spec["classes"])

    @property
    def records(self) -> Any:
        """All of them as someone who programs has them: arrays, strings, a frame."""
        return self.codec.in_python([block.records for block in self.blocks])


@dataclass(frozen=True)
class Partial:
    """How far a picture is: its records as they would be now, after `step` of `steps`."""

    step: int
    steps: int
    block: Block


@dataclass(frozen=True)
class File:
    """A file of made content.   name: as a folder would have it.   content: with its label inside, where its format has a place
    for one.   label: of origin, for `answers.Labelled`.   media_type: for HTTP.   digest: `content_digest`, where it is known."""

    name: str
    content: bytes
    label: Label
    media_type: str
    digest: str = ""
