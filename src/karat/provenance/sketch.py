"""A few of a file's records by their hashes, from which it is told whether another file has mostly the same.

Bottom-k sampling (Broder, 1997): of all distinct records those with the least hashes, and of these the ones that occur once.
Of two sets that are drawn independently from one distribution at most 24% of the records that occur once in either occur once
in both: with n draws a record of probability p is alone in a set with probability q = np(1-p)^(n-1), near e^-1 at the most, and
q / (2 - q) of those that are alone in one are so in both (24% where n is a dozen). Many more are no chance, whatever the data are.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

KEPT = 64
CHANCE = 0.24
RATE = 1e-6  # at most so often are independent sets taken for the same


@dataclass(frozen=True)
class Sketch:
    """limit: of all records with a hash up to this one   once: the hashes of those that occur once."""

    limit: int
    once: frozenset[int]

    @classmethod
    def of(cls, records: Iterable[bytes]) -> Sketch:
        drawing = Drawing()
        drawing.take(records)
        return drawing.sketch()

    def share(self, other: Sketch) -> float | None:
        """The share of the records that both have, of those in either; None where it may be chance."""
        limit = min(self.limit, other.limit)
        mine, theirs = ({x for x in one.once if x <= limit} for one in (self, other))
        both, either = len(mine & theirs), len(mine | theirs)
        tail = sum(math.comb(either, k) * CHANCE**k * (1 - CHANCE) ** (either - k) for k in range(both, either + 1))
        return both / either if both and tail <= RATE else None

    def __str__(self) -> str:
        numbers = np.array([self.limit, *sorted(self.once)], np.uint64)
        return base64.b85encode(numbers.astype("<u8").tobytes()).decode()

    @classmethod
    def parse(cls, text: str) -> Sketch:
        """What `str` gave; ValueError where it is none."""
        limit, *once = np.frombuffer(base64.b85decode(text), "<u8").tolist()
        return cls(limit, frozenset(once))


class Drawing:
    """A sketch in the making: of any number of records, held are a few hundred hashes."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._limit = b"\xff" * 8

    def take(self, records: Iterable[bytes]) -> None:
        for record in records:
            found = hashlib.blake2b(record, digest_size=8).digest()
            if found <= self._limit:
                self._counts[found] = self._counts.get(found, 0) + 1
                if len(self._counts) > 4 * KEPT:
                    self._cut()

    def _cut(self) -> None:
        if len(self._counts) > KEPT:
            kept = sorted(self._counts)[:KEPT]
            self._counts, self._limit = {one: self._counts[one] for one in kept}, kept[-1]

    def text(self) -> str:
        """The sketch as text, "" of so few records that it could tell nothing."""
        found = self.sketch()
        return str(found) if found.share(found) is not None else ""

    def sketch(self) -> Sketch:
        self._cut()
        once = (one for one, count in self._counts.items() if count == 1)
        return Sketch(int.from_bytes(self._limit, "big"), frozenset(int.from_bytes(one, "big") for one in once))
