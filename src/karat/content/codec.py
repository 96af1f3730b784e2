"""What every kind of content must say of itself, so that any family can learn it and any judge can see it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from torch import Tensor

from karat.content.table.bloom import Past
from karat.content.table.formulas import Guard
from karat.errors import FitError
from karat.space import Space
from karat.views import View


@dataclass(frozen=True)
class Contents:
    """What was found at a path: the things a person recognises, and what he should know about them.

    records: for pictures uint8 or uint16 `[n, height, width, channels]`, in memory or memory-mapped; for tables a `Table`.
    labels: int64 `[n]` into `classes`, or None.   names: where each record came from.
    holdout: bool `[n]`, True where the publisher set the record aside (t10k-*, test/), or None.
    groups: int64 `[n]`, records of one group fall on one side of the split (passages of one document), or None.
    facets: what is known of each record beside its class, such as the speaker and the number in `7_theo_12.wav`: by its
    name, strings `[n]`.
    skipped: (name, reason) of unreadable files.   facts: what `look` shows (sizes, modes, formats found); "doubt", where it is
    there and not "", is what a person must say before anything learns from the data.
    """

    records: Any
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    holdout: np.ndarray | None = None
    groups: np.ndarray | None = None
    facets: Mapping[str, np.ndarray] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


SEPARATOR = "<|endoftext|>"  # a line of its own between two texts of one file
AT_ONCE = 50_000  # records that are drawn together at most
AT_ONCE_NUMBERS = 2**26  # of their points


@dataclass(frozen=True)
class Block:
    """Made records [n], and the labels long [n] that they were made for, where they were."""

    records: Any
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.records)


class Origin(Protocol):
    """How made content says that it was made."""

    def sentence(self) -> str:
        """For a person to read."""

    def mark(self, name: str, blob: bytes) -> bytes:
        """The file `name` with its label, where its format has a place for one."""

    def header(self) -> Mapping[bytes, bytes]:
        """Room for the label in formats that have names and values and may be large, such as Parquet: it is filled later."""


@dataclass(frozen=True)
class Delivery:
    """How made records are to be written: `n` of them in all, with their origin; by what cells are looked at; classes by name."""

    n: int
    origin: Origin
    guard: Guard | None = None
    classes: tuple[str, ...] = ()
    form: str = ""  # suffix of each file, where a file is a record
    visible: str = ""  # what a person is to see of their origin, in words; "" where nothing


class Codec(ABC):
    """Turns files into records, records into points of a space, and points back into labelled files."""

    name: ClassVar[str]
    thing: ClassVar[str] = "item"  # what one record is called
    reviewed: ClassVar[bool] = True  # whether a person looks at each record before it is used
    sheets: ClassVar[Literal[".png", ".html"]] = ".png"  # what `sheet` gives: a picture, or a fragment of a page
    judged_most: ClassVar[int | None] = None  # records of a set that a judge looks at, where that costs much of each
    shows: ClassVar[bool] = False  # whether its files can show a person what they are: `Delivery.visible`
    repeats: ClassVar[bool] = False  # whether equal records are ordinary (rows of a table) and not copies (pictures)
    gated: ClassVar[bool] = True  # whether single records can be taken from those made together
    answers: ClassVar[tuple[str, ...]] = ()  # what a request may ask of it beside a number and a seed, by its fields
    settings: ClassVar[tuple[str, ...]] = ()  # what `options` may hold, as `--set data.<name>=` gives it
    glance: ClassVar[Mapping[str, Any]] = {}  # those that `look` reads large data with, unless a person says others

    @classmethod
    @abstractmethod
    def read(cls, path: Path, options: Mapping[str, Any]) -> Contents:
        """All records at `path`; raises DataError naming the file that cannot be read."""

    @classmethod
    def place(cls, source: Any) -> str:
        """What to call the source in messages and on disk: a path, an address without its password, a word for a frame."""
        return str(source)

    @classmethod
    def form(cls, records: Any) -> tuple[Any, ...]:
        """What the fingerprint must know of the records beside their digests."""
        return (records.shape, records.dtype.name)

    def traits(self) -> dict[str, Any]:
        """What `look` says of every record of this content, as JSON."""
        return {}

    @abstractmethod
    def phrase(self) -> str:
        """What the records are, in words that follow their number: "pictures, 28x28, 1 channel, 8 bit"."""

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `path` looks like this kind of content, without reading it all."""

    @classmethod
    @abstractmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """A codec for these contents that has looked at the rows `train` [k] only."""

    @property
    def wholes(self) -> tuple[str, ...]:
        """Suffixes of files that hold all records; where there are any, the first is the default."""
        return ()

    @property
    def each(self) -> tuple[str, ...]:
        """Suffixes of files that hold one record."""
        return ()

    @property
    @abstractmethod
    def spaces(self) -> tuple[Space, ...]:
        """What the content can become, best first."""

    @abstractmethod
    def encode(self, records: Any, space: Space | None = None) -> Tensor:
        """Points `[n, *shape]` of `space` (the first of `spaces` by default)."""

    @abstractmethod
    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> Any:
        """Records for any points of `space` (the first by default): total, always valid content.

        rng: for what the points leave open (digits below a bin, new identifiers); a fixed one where it is None.
        """

    def decode_next(self, points: Tensor, space: Space, rng: np.random.Generator, past: Past | None) -> Any:
        """The next block of a stream, which differs from what is `past` where records must differ among themselves."""
        return self.decode(points, space, rng)

    def note(self, records: Any, past: Past) -> None:
        """Enters records into the `past` of a stream, from which those that `decode_next` gives differ where they must."""
        return None

    @abstractmethod
    def view(self, records: Any, rows: np.ndarray | None = None) -> View:
        """How a judge looks at the records (at those `rows` of them), whatever the generator used."""

    def judging(self, train: Any) -> Self:
        """The codec as a judge looks through it, who knows of the training records more than what a generator learned."""
        return self

    def finest(self, records: Any) -> View:
        """A view from which `unview` makes the records again: the same, unless that is coarser than they are."""
        return self.view(records)

    def chosen(self, records: Any, rows: np.ndarray) -> Any:
        """The records at `rows`, with all others that they cannot be without."""
        return records[rows]

    def row_count(self, records: Any) -> int:
        """How many rows these records are in all."""
        return len(records)

    def count(self, records: Any) -> int:
        """How many records a person would say that these are."""
        return len(records)

    def in_python(self, blocks: Sequence[Any]) -> Any:
        """The records of all blocks as someone who programs has them: here arrays [n, ...]."""
        return np.concatenate([np.asarray(records) for records in blocks])

    @property
    def at_once(self) -> int:
        """Records that are drawn together at most."""
        return max(1, min(AT_ONCE, AT_ONCE_NUMBERS // max(space.numel for space in self.spaces)))

    @property
    def label_shares(self) -> tuple[float, ...] | None:
        """How often each label is made where none is asked for; None to leave that to the model."""
        return None

    @property
    def target(self) -> str | None:
        """The column of a table that a model would predict, where that was said."""
        return getattr(getattr(self, "schema", None), "target", None)

    def place_of(self, goal: Path, chosen: bool) -> tuple[Path, str | None]:
        """Where made records go that are wanted at `goal`, and the suffix of the one file, None for a folder of files.

        chosen: whether a person named the place.   Raises FitError for a name of a form that is not written.
        """
        suffix = next((s for s in sorted(self.wholes, key=len, reverse=True) if goal.name.endswith(s)), None)
        if suffix is None and goal.suffix and not goal.is_dir():
            raise FitError(f"{goal}: {self.name} content is written as {', '.join(self.wholes)}, or into a folder.")
        return (goal, suffix) if suffix is not None else (goal / f"made{self.wholes[0]}", self.wholes[0])

    def stream(self, blocks: Iterator[Block], suffix: str, file: IO[bytes], how: Delivery) -> None:
        """Blocks of records, in order, as one file, written as they come."""
        raise FitError(f"{self.name} content is not written as one {suffix} file.")

    def leaves(self, blocks: Iterator[Block], how: Delivery, has: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """The files of a folder, by their names in it, as records come; those that it `has` may be left out."""
        raise FitError(f"{self.name} content is written as one file.")

    def held(self, records: Any, form: str) -> list[bytes] | None:
        """What `content_digest` is of for the file of each record in a form; None where only the files tell."""
        return None

    def unview(self, view: View) -> Any:
        """Records that look like `view` to a judge, who sees them as `finest` does."""
        raise FitError(f"{self.name} content cannot be made from what a judge sees of it.")

    def alike(self) -> dict[str, Any]:
        """Options by which `read` reads somebody else's records as ours were read, before `conform`."""
        return {}

    @property
    def takes(self) -> tuple[str, ...]:
        """Kinds of content whose records `conform` brings to the form of ours."""
        return (self.name,)

    @abstractmethod
    def conform(self, records: Any) -> Any:
        """Somebody else's records of this kind of content, brought to the form of ours."""

    @abstractmethod
    def sheet(self, records: Any, columns: int) -> bytes:
        """The records side by side for a person to look at, in the format of `sheets`."""

    def beside(self, made: Any, real: Any, captions: Sequence[str]) -> bytes | None:
        """Made records [n] with real ones [n] that they resemble, `captions` [n] over each pair; None to show two sheets each."""
        return None

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All of this codec as JSON."""

    @classmethod
    @abstractmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The codec that gave `state`."""

    @classmethod
    def digests(cls, records: Any) -> np.ndarray:
        """uint64 `[n, 2]`: 128 bits of BLAKE2b of each record."""
        out = bytearray()
        for start in range(0, len(records), 4096):
            block = np.ascontiguousarray(records[start : start + 4096])
            for row in block.reshape(len(block), -1).view(np.uint8):
                out += hashlib.blake2b(row.data, digest_size=16).digest()
        return np.frombuffer(bytes(out), "<u8").reshape(len(records), 2)
