"""What leaves the server is noted in the run that made it, so that `karat check` knows it again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from karat.provenance.label import Label
from karat.run import Run
from karat.workflow.checking import Entry, note

SMALL = 2**14  # bytes of files that are looked at sooner than a thread is woken for it

Noted = tuple[str, bytes, Label] | tuple[str, bytes, Label, str]


@dataclass
class _Waiting:
    run: Run
    entries: list[Entry]
    error: Exception | None = None


class Book:
    """Notes are on disk before what they are of has left; those that wait at the same time are written together."""

    def __init__(self) -> None:
        self._lock, self._waiting = Lock(), list[_Waiting]()
        self._next: Future[None] | None = None  # which will write what waits
        self._writer = ThreadPoolExecutor(1, "book")

    async def note(self, run: Run, files: Sequence[Noted]) -> None:
        """Notes files by their names (whose ends say how they are read), bytes, labels, and digests where they are known;
        RunError where that fails."""
        small = sum(len(content) for _, content, *_ in files) <= SMALL
        one = _Waiting(run, _entries(files) if small else await asyncio.to_thread(_entries, files))
        with self._lock:
            self._waiting.append(one)
            if self._next is None:
                self._next = self._writer.submit(self._write)
            written = self._next
        await asyncio.shield(asyncio.wrap_future(written))  # who leaves takes nobody's notes along
        if one.error is not None:
            raise one.error

    def close(self) -> None:
        """Writes what waits, and ends."""
        self._writer.shutdown()

    def _write(self) -> None:
        with self._lock:
            taken, self._waiting, self._next = self._waiting, [], None
        for path in dict.fromkeys(one.run.path for one in taken):
            group = [one for one in taken if one.run.path == path]
            try:
                note(group[0].run, [entry for one in group for entry in one.entries])
            except Exception as error:
                for one in group:
                    one.error = error


def _entries(files: Sequence[Noted]) -> list[Entry]:
    return [entry for each in files if (entry := Entry.of(*each)) is not None]
