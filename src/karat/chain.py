"""Records that show where they were changed: lines of JSON, each of which holds the hash of the one before it.

A line has its number (`line`) and the SHA-256 of the line before (`before`), so that one which was changed, taken out, put in
or moved contradicts its neighbours. What is missing at the end contradicts only the *head*, which is kept in a file beside
(`NAME.head`): number and hash of the newest line, sealed with this user's key (`trust.py`). Who has that key can still write
all of it anew, and who kept an old copy can put it back: a head that was noted elsewhere shows either.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from karat.output import read_json, to_json, write_whole
from karat.trust import keyed_text, knows_text

LINE_MOST = 1 << 16  # bytes of a record; of a longer line, which no writer of ours left, only the end is read
HEAD = ".head"
OWN = ("line", "before", "unsealed")
PURPOSE = "karat chain"


@dataclass(frozen=True)
class Break:
    """Where a chain does not hold.   line: number of the record, from 1.   count: how many records from there on."""

    line: int
    what: Literal["changed", "missing", "moved", "added", "cut", "head"]
    count: int = 1

    def __str__(self) -> str:
        if self.count > 1:
            lines, was = f"lines {self.line} to {self.line + self.count - 1}", "were"
        else:
            lines, was = f"line {self.line}", "was"
        return {
            "changed": f"{lines} {was} changed",
            "missing": f"{lines} {was} taken out",
            "moved": f"{lines} {was} moved",
            "added": f"{lines} {was} put in by another hand",
            "cut": f"{lines} {was} cut off the end",
            "head": f"the head is missing: whether lines after line {self.line} were cut off cannot be told",
        }[self.what]


@dataclass(frozen=True)
class Audit:
    """What was found of a chain.   lines: records in it.   older: how many at its beginning are from before it was one.

    head: hash of its newest record.   sealed: whether the head carries this user's seal; None where it has none, or there is
    no key to tell.   unsealed: lines written by this user upon a head that another one had sealed, or nobody.
    """

    lines: int
    older: int
    breaks: tuple[Break, ...]
    head: str | None
    sealed: bool | None
    unsealed: tuple[int, ...]

    @property
    def holds(self) -> bool:
        return not self.breaks


@dataclass(frozen=True)
class _Line:
    number: int
    before: str | None
    hash: str
    unsealed: bool = False


class Chain:
    """A file of records, one JSON line each, that is only ever added to. Several processes may add to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Mapping[str, Any]) -> None:
        """The record is on disk when this returns; a line that a crash has torn is completed or cut off first.

        Raises OSError where the file cannot be written, RunError where its head cannot.
        """
        assert not set(OWN) & set(record), record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
            _wait_for(file)
            _mend(file)
            last, head = self._last(file), _head(self.path)
            chained = head is not None or (last is not None and last.before is not None)
            if head is not None and (
                last is None or head.number >= last.number
            ):  # also where the end was cut or changed
                last = head
            own: dict[str, Any] = {"line": 1, "before": ""}
            if last is not None:
                own = {"line": last.number + 1, "before": last.hash}
            if chained and _sealed(self.path) is not True:  # nobody vouches that its end was not cut
                own["unsealed"] = True
            text = json.dumps({**own, **record}, ensure_ascii=False, allow_nan=False).encode()
            left = text + b"\n"
            while left:
                left = left[os.write(file.fileno(), left) :]
            os.fsync(file.fileno())
            _keep_head(self.path, own["line"], _hash(text))

    def records(self) -> Iterator[dict[str, Any]]:
        """The records, oldest first, without what makes them a chain; what is no record is left out."""
        for line in self.lines():
            found = _parsed(line)
            if found is not None:
                yield {k: v for k, v in found.items() if k not in OWN}

    def lines(self) -> Iterator[bytes]:
        """The lines that are not empty, without their ends; of a longer one than `LINE_MOST` bytes only these many."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                yield from _lines(file)

    def audit(self) -> Audit:
        """Whether the chain holds, and where it does not."""
        lines = list(_numbered(self.lines()))
        chained = [line for line in lines if line.before is not None]
        breaks = [
            *_moved(lines),
            *_against_neighbours(sorted(lines, key=lambda line: (line.number, line.before is None))),
        ]
        breaks += _against_head(lines, _head(self.path)) if chained or _head(self.path) is not None else []
        named = {(found.line, found.what): found for found in breaks}
        return Audit(
            len(lines),
            next((i for i, line in enumerate(lines) if line.before is not None), len(lines)),
            tuple(sorted(named.values(), key=lambda found: (found.line, found.what))),
            lines[-1].hash if lines else None,
            _sealed(self.path),
            tuple(line.number for line in lines if line.unsealed),
        )

    def _last(self, file: IO[bytes]) -> _Line | None:
        """The newest line: by its own number, or where it has none, by counting."""
        text = _tail(file)
        if not text.strip():
            return None
        record = _parsed(text)
        number = _number(record)
        if number is None or record is None:
            *_, line = _numbered(self.lines())
            return line
        return _Line(number, str(record["before"]), _hash(text))


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(record: dict[str, Any] | None) -> int | None:
    number = None if record is None else record.get("line")
    return (
        number
        if type(number) is int and 0 < number < 2**53 and isinstance(record, dict) and "before" in record
        else None
    )


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LINE_MOST):
        while not line.endswith(b"\n") and (more := file.readline(LINE_MOST)):
            line = (line + more)[-LINE_MOST - 1 :]
        line = line.removesuffix(b"\n")[-LINE_MOST:]
        if line.strip():
            yield line


def _tail(file: IO[bytes]) -> bytes:
    """The last line that is not empty, or its end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LINE_MOST - 1))
    text = file.read(LINE_MOST + 1).rstrip(b"\n")
    return text[text.rfind(b"\n") + 1 :][-LINE_MOST:]


def _mend(file: IO[bytes]) -> None:
    """A last line without its end is given one, or goes where it is no record."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LINE_MOST))
    text = file.read(LINE_MOST)
    torn = text[text.rfind(b"\n") + 1 :]
    if 0 < len(torn) < LINE_MOST and _parsed(torn) is None:
        os.ftruncate(file.fileno(), size - len(torn))
    elif torn:
        os.write(file.fileno(), b"\n")


def _wait_for(file: IO[bytes]) -> None:
    """Holds the file until it is closed: two that add at once would both follow the same line."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover
        return
    with contextlib.suppress(OSError):  # a file system that cannot
        fcntl.flock(file, fcntl.LOCK_EX)


# The head ---------------------------------------------------------------------------------------------------------------


def _beside(path: Path) -> Path:
    return path.with_name(path.name + HEAD)


def _keep_head(path: Path, number: int, found: str) -> None:
    seal = keyed_text(PURPOSE, f"{number} {found}")
    write_whole(_beside(path), to_json({"line": number, "hash": found, "seal": seal}))


def _head(path: Path) -> _Line | None:
    kept = read_json(_beside(path))
    if not isinstance(kept, dict) or not isinstance(kept.get("hash"), str) or type(kept.get("line")) is not int:
        return None
    return _Line(kept["line"], None, kept["hash"])


def _sealed(path: Path) -> bool | None:
    kept, head = read_json(_beside(path)), _head(path)
    seal = kept.get("seal") if isinstance(kept, dict) else None
    return None if head is None or seal is None else knows_text(PURPOSE, f"{head.number} {head.hash}", seal)


# What contradicts what --------------------------------------------------------------------------------------------------


def _numbered(lines: Iterator[bytes]) -> Iterator[_Line]:
    """A line that has no number of its own takes the one after the line above."""
    before = 0
    for text in lines:
        record = _parsed(text)
        number = _number(record)
        if number is None or record is None:
            yield _Line(before := before + 1, None, _hash(text))
        else:
            before = number
            yield _Line(number, str(record["before"]), _hash(text), record.get("unsealed") is True)


def _moved(lines: list[_Line]) -> Iterator[Break]:
    """Lines that stand behind one with a higher number."""
    highest = 0
    for line in lines:
        if line.number < highest and line.before is not None:
            yield Break(line.number, "moved")
        highest = max(highest, line.number)


def _against_neighbours(lines: list[_Line]) -> Iterator[Break]:
    """What the lines, in the order of their numbers, say of the line before each."""
    before = _Line(0, None, "")
    begun = False
    for line in lines:
        begun = begun or line.before is not None
        if line.number == before.number:
            yield Break(line.number, "added")
            continue
        if line.number > before.number + 1:
            yield Break(before.number + 1, "missing", line.number - before.number - 1)
        elif line.before is not None and line.before != before.hash:
            yield Break(max(1, before.number), "changed")
        before = line
    if begun and lines and lines[-1].before is None:  # and no later line vouches for it
        yield Break(lines[-1].number, "added")


def _against_head(lines: list[_Line], head: _Line | None) -> list[Break]:
    last = max((line.number for line in lines), default=0)
    if head is None:
        return [Break(last, "head")]
    if head.number > last:
        return [Break(last + 1, "cut", head.number - last)]
    same = [line for line in lines if line.number == head.number]
    return [] if any(line.hash == head.hash for line in same) else [Break(head.number, "changed")]
