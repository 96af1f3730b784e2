"""What findings of text hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from karat.assays.details import Curve, Detail


@dataclass(frozen=True, kw_only=True)
class Run(Detail):
    """A string of made passage `made` that stands in training passage `train`, with what stands round it."""

    made: int
    start: int
    length: int
    train: int
    there: int
    before: str
    run: str
    after: str
    train_before: str
    train_after: str


@dataclass(frozen=True, kw_only=True)
class VerbatimRun(Detail):
    """over: passages with a longer run than real ones have.   made, unseen, within: the lengths at the quantiles."""

    bar: float
    p: float
    copies: int
    n: int
    over: int
    runs: tuple[Run, ...]
    quantiles: Curve
    made: Curve
    unseen: Curve
    within: Curve


@dataclass(frozen=True, kw_only=True)
class Repeat(Detail):
    """A string of training passage `train` that leads to a person, in made passage `made`."""

    made: int
    train: int
    kind: str
    string: str


@dataclass(frozen=True, kw_only=True)
class PersonalData(Detail):
    """known: such strings in the training text."""

    known: int
    repeats: tuple[Repeat, ...]


@dataclass(frozen=True, kw_only=True)
class Unlikely(Detail):
    """A made passage, its bits per character and its beginning."""

    made: int
    bits: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Fluency(Detail):
    """train: the score of training passages.   order: characters of a string that is counted."""

    z: float
    train: float
    n: int
    order: int
    strangest: tuple[Unlikely, ...]


@dataclass(frozen=True, kw_only=True)
class Loop(Detail):
    """A string of made passage `made` that repeats `unit`, and what stands before it."""

    made: int
    start: int
    length: int
    unit: str
    before: str
    loop: str


@dataclass(frozen=True, kw_only=True)
class Loops(Detail):
    train: float
    loops: tuple[Loop, ...]
    n: int


@dataclass(frozen=True, kw_only=True)
class Compression(Detail):
    z: float
    train: float
    pieces: int


@dataclass(frozen=True, kw_only=True)
class InventedWords(Detail):
    """invented: words and how often they were made."""

    z: float
    invented: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class MissingWords(Detail):
    """rows: string, and the shares of made, unseen and training passages.   unseen lacks: of the frequent ones."""

    missing: tuple[str, ...]
    rows: tuple[tuple[str, float, float, float], ...]
    kind: str
    frequent: int
    unseen_lacks: int


@dataclass(frozen=True, kw_only=True)
class WordBalance(Detail):
    """rows: as in `MissingWords`."""

    rows: tuple[tuple[str, float, float, float], ...]
    frequent: int


@dataclass(frozen=True, kw_only=True)
class Lengths(Detail):
    """medians: what was measured, of made and of unseen passages."""

    z: float
    medians: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Mauve(Detail):
    z: float
    n: int
    buckets: int


@dataclass(frozen=True, kw_only=True)
class Variety(Detail):
    """words: of a passage.   train: the score of training passages.   Also the shares of different words and triples, made
    and unseen."""

    z: float
    n: int
    words: int
    train: float
    distinct_1: tuple[float, float] | None = field(default=None, metadata={"json": "distinct-1"})
    distinct_3: tuple[float, float] | None = field(default=None, metadata={"json": "distinct-3"})


@dataclass(frozen=True, kw_only=True)
class Bits(Detail):
    """rows: who weighs the held-out text, and the bits it needs for each unit.   characters, bytes: of that text."""

    rows: tuple[tuple[str, float], ...]
    characters: int
    bytes: int
