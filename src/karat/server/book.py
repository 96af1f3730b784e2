"""What leaves the server is noted in the run that made it, so that `karat check` knows it again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from karat.provenance.label import Label
from karat.run import Run
from karat.workflow.checking import Entry, note

SMALL = 2**14  # bytes of files that are looked at sooner than a thread is woken for it


@dataclass
class _Waiting:
    run: Run
    entries: list[Entry]
    error: Exception | None = None


class Book:
    """Notes are on disk before what they are of has left; those that wait at the same time are written together."""

    def __init__(self) -> None:
        self._lock, self._waiting = Lock(), list[_Waiting]()
        self._writer = ThreadPoolExecutor(1, "book")

    async def note(self, run: Run, files: Sequence[tuple[str, bytes, Label]]) -> None:
        """Notes files by their names (whose ends say how they are read), bytes and labels; RunError where that fails."""
        small = sum(len(content) for _, content, _ in files) <= SMALL
        one = _Waiting(run, _entries(files) if small else await asyncio.to_thread(_entries, files))
        with self._lock:
            self._waiting.append(one)
        # Whoever writes takes all that waits; one whose notes were taken by another finds them written when its turn comes.
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write)
        if one.error is not None:
            raise one.error

    def close(self) -> None:
        """Writes what waits, and ends."""
        self._writer.shutdown()

    def _write(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, []
        for path in dict.fromkeys(one.run.path for one in taken):
            group = [one for one in taken if one.run.path == path]
            try:
                note(group[0].run, [entry for one in group for entry in one.entries])
            except Exception as error:
                for one in group:
                    one.error = error


def _entries(files: Sequence[tuple[str, bytes, Label]]) -> list[Entry]:
    return [entry for each in files if (entry := Entry.of(*each)) is not None]
