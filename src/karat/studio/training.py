"""The records that a run learned from, for a person to see beside what it made: the nearest ones of each thing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from karat.content.codec import Codec
from karat.content.showing import Shown, of_records
from karat.errors import DataError, FitError, RunError
from karat.review.nearest import Nearest
from karat.run import Run
from karat.workflow.learning import again

MOST = 10_000  # training records that are searched
AT_ONCE = 500
KEPT = 2  # runs whose records stay at hand
_searching = threading.Lock()


@dataclass(frozen=True)
class Neighbour:
    """A training record.   at: its place among those that were searched.   distance: as of `review.nearest.Near`."""

    at: int
    shown: Shown
    distance: float


class Training:
    """Training records of one run, or up to MOST of them, drawn at random.   total: how many there are."""

    def __init__(self, codec: Codec, records: Any, total: int) -> None:
        self.codec, self.records, self.total = codec, records, total
        self.count = codec.row_count(records)
        self._nearest = Nearest(self._all())

    def record(self, at: int) -> Shown:
        return of_records(self.codec, self.codec.chosen(self.records, np.array([at])))[0]

    def nearest(self, shown: Shown, most: int = 1) -> list[Neighbour]:
        """The nearest first."""
        return [Neighbour(near.at, self.record(near.at), near.distance) for near in self._nearest.of(shown, most)]

    def _all(self) -> Iterator[Shown]:
        for start in range(0, self.count, AT_ONCE):
            rows = np.arange(start, min(self.count, start + AT_ONCE))
            yield from of_records(self.codec, self.codec.chosen(self.records, rows))


def training_of(run: Run) -> Training:
    """Those of a run; FitError or RunError where they are not to be shown, or not at hand, with why.

    Whoever asks first waits until they are read; they are then kept for the next.
    """
    if run.spec["epsilon"] is not None:
        raise FitError("the run is private: what it learned from is not shown beside what it made.")
    with _searching:
        return _read(run.path, run.id, str(run.source))


@lru_cache(maxsize=KEPT)
def _read(path: Path, name: str, source: str) -> Training:
    try:
        data = again(Run.open(path))
    except DataError as error:
        raise RunError(str(error)) from None
    rows = len(data.train)
    records = data.records("train", MOST, 0)
    if not of_records(data.codec, data.codec.chosen(records, np.arange(1))):
        raise FitError("rows of several tables are not shown one by one.")
    return Training(data.codec, records, rows)
