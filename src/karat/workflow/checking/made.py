"""What a run has made, by digests of content: a file whose label was taken off or replaced is known again by them.

`made.jsonl` in the run is a chain (`chain.py`) that grows with each `make`. It holds no content and no path, only for each file
the first half of its digest (`provenance/content.py`) and the number in its label; of tables and texts, where they are not very
many, also a few hashes of their records (`provenance/sketch.py`), by which one that was changed is known too.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path

from karat.chain import Chain
from karat.errors import DataError, RunError
from karat.provenance.content import content_digest, digest_of_open
from karat.provenance.label import Label
from karat.provenance.reading import read_label
from karat.provenance.sketch import Drawing, Sketch
from karat.run import Run

NAME = "made.jsonl"
HALF = 32  # hex digits of a digest that are kept: nobody can make another content that has them
MOST = 1_000_000  # files of one make that are remembered
SKETCHED = 1000  # of them of which records are remembered
ROOM = 40_000  # characters of a line of the chain


@dataclass(frozen=True)
class Item:
    """One made file: the run, the number and the producer that its label has, when it was made, and whether it was signed."""

    run: str
    number: str
    producer: str
    when: str
    signed: bool


class Memory:
    """What is remembered of what a run has made."""

    def __init__(self, run: Run) -> None:
        self.run, self.chain = run, Chain(run.path / NAME)

    @cached_property
    def _made(self) -> list[tuple[str, Item, Sketch | None]]:
        """Digest of the content of each file, and what is known of it."""
        found = []
        for record in self.chain.records():
            with contextlib.suppress(KeyError, TypeError, ValueError):
                said = str(record["producer"]), str(record["when"]), record.get("signed") is True
                for digest, number, *sketch in record["files"]:
                    parsed = Sketch.parse(sketch[0]) if sketch else None
                    found.append((str(digest), Item(self.run.id, str(number), *said), parsed))
        return found

    @cached_property
    def _items(self) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = defaultdict(list)
        for digest, item, _ in self._made:
            found[digest].append(item)
        return found

    def near(self, sketch: Sketch) -> tuple[float, Item] | None:
        """The share of its records that a changed table or text has in common with a made one; None where it may be chance."""
        shares = ((one.share(sketch), item) for _, item, one in self._made if one is not None)
        return max(((share, item) for share, item in shares if share is not None), key=lambda one: one[0], default=None)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Numbers of all that it has made."""
        return frozenset(item.number for items in self._items.values() for item in items)

    @cached_property
    def keyed(self) -> bool:
        """Whether the run has the key of a watermark, and it is whole."""
        with contextlib.suppress(RunError):
            return self.run.kept_watermark_key is not None or self.run.kept_noise_key is not None
        return False

    @cached_property
    def vouched(self) -> bool:
        """Whether the record is as this user wrote it."""
        found = self.chain.audit()
        return found.holds and found.sealed is True and not found.unsealed

    def items(self, digest: str) -> list[Item]:
        """The files of this content that the run has made."""
        return self._items.get(digest[:HALF], [])


@dataclass(frozen=True)
class Entry:
    """A file that leaves: the digest of its content, the number and the producer in its label, and its sketch where it has one."""

    digest: str
    number: str
    producer: str
    sketch: str = ""

    @classmethod
    def of(cls, name: str, blob: bytes, label: Label, digest: str = "") -> Entry | None:
        """The bytes of a file of that name; None where its form cannot be read again, by which it is known by nothing.

        digest: of its content, where that is known.
        """
        if digest:
            return cls(digest[:HALF], label.fields()["ProduceID"], label.producer)
        with contextlib.suppress(DataError):
            drawing = Drawing()
            digest = digest_of_open(io.BytesIO(blob), name, drawing)[:HALF]
            return cls(digest, label.fields()["ProduceID"], label.producer, drawing.text())
        return None


def remember(run: Run, files: Iterable[Path], signed: bool = False) -> None:
    """Notes in the run what these files hold and which number each has; in a run of another user, nothing."""
    note(run, _entries(islice(files, MOST)), signed)


def note(run: Run, entries: Iterable[Entry], signed: bool = False) -> None:
    """The same of what leaves otherwise than as a file of this machine."""
    chain, when = Chain(run.path / NAME), datetime.now(UTC).isoformat(timespec="seconds")
    try:
        for producer, group in _lines(entries):
            chain.append({"when": when, "producer": producer, "signed": signed, "files": group})
    except OSError as error:
        if isinstance(error, PermissionError) and run.path.stat().st_uid != os.geteuid():
            return  # somebody else's book, of which `Run.open` makes a note
        raise RunError(
            f"what was made cannot be noted in {chain.path}: {error.strerror}. Nothing else was lost."
        ) from None


def _entries(files: Iterable[Path]) -> Iterator[Entry]:
    for i, path in enumerate(files):
        drawing = Drawing() if i < SKETCHED else None
        with contextlib.suppress(DataError):  # a form that we write and cannot read is known by nothing
            label, digest = read_label(path), content_digest(path, drawing)[:HALF]
            if label is not None:
                number, producer = (label.fields.get(name, "") for name in ("ProduceID", "ContentProducer"))
                yield Entry(digest, number, producer, "" if drawing is None else drawing.text())


def _lines(entries: Iterable[Entry]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Producer, and digest, number and sketch of each file, in groups that fit a line."""
    group: list[tuple[str, ...]] = []
    size, producer = 0, ""
    for each in entries:
        if group and (size > ROOM or each.producer != producer):
            yield producer, group
            group, size = [], 0
        producer = each.producer
        group.append((each.digest, each.number, *([each.sketch] if each.sketch else [])))
        size += HALF + len(each.number) + len(each.sketch) + 8
    if group:
        yield producer, group
