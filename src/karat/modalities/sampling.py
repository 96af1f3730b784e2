"""Rows spread evenly over a source of any length, in bounded memory and one pass, and how much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

SHARE = 4  # a table may take one part in so many of the memory that is free


def available() -> int:
    """Bytes of memory that this process may still take: what the machine has free, or its control group's limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):  # not Linux
        names = getattr(os, "sysconf_names", {})
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in names else 2**20
        free = pages * 4096 // 2
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no group, or "max"
        return free
    return max(0, min(free, limit))


def spread(count: int, rows: int) -> np.ndarray:
    """int64 [min(count, rows)]: indices spread evenly over `count` rows, in order."""
    if rows >= count:
        return np.arange(count, dtype=np.int64)
    return ((np.arange(rows, dtype=np.float64) + 0.5) * count / rows).astype(np.int64)


class Sampler:
    """Keeps every row until there are too many, then every second, then every fourth, ...

    rows: at most this many are given back; None for as many as `room` allows.   room: bytes that may be kept;
    None for a quarter of the memory that is free.
    """

    def __init__(self, rows: int | None, room: int | None = None) -> None:
        self.rows = rows
        self.room = available() // SHARE if room is None else room
        self.total = 0
        self._stride = 1
        self._kept: list[pa.Table] = []
        self._count = 0
        self._bytes = 0

    def add(self, table: pa.Table) -> None:
        """Takes the next rows of the source."""
        if not table.num_rows:
            return
        first = -self.total % self._stride
        self.total += table.num_rows
        if self._stride > 1:
            table = table.take(pa.array(np.arange(first, table.num_rows, self._stride)))
        self._kept.append(table)
        self._count += table.num_rows
        self._bytes += table.nbytes
        while self._count > 1 and (
            self._bytes > self.room or (self.rows is not None and self._count > max(2 * self.rows, 100_000))
        ):
            self._thin()

    def _thin(self) -> None:
        whole = pa.concat_tables(self._kept)
        self._kept = []
        self._kept = [whole.take(pa.array(np.arange(0, whole.num_rows, 2)))]
        self._stride *= 2
        self._count, self._bytes = self._kept[0].num_rows, self._kept[0].nbytes

    def table(self) -> pa.Table:
        """The rows that were kept; at least one `add` must have come before, or ValueError is raised."""
        if not self._kept:
            raise ValueError("no rows were added")
        whole = pa.concat_tables(self._kept)
        if self.rows is not None and whole.num_rows > self.rows:
            whole = whole.take(pa.array(spread(whole.num_rows, self.rows)))
        return whole.unify_dictionaries().combine_chunks()

    def note(self, kept: int) -> tuple[str, ...]:
        """What a person should know: nothing, or that these are not all the rows."""
        if kept == self.total:
            return ()
        why = "as asked" if self.rows is not None and kept == self.rows else "because all of them would fill the memory"
        return (f"{kept:,} of {self.total:,} rows, spread evenly over the source, were taken, {why}.",)
