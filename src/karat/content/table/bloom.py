"""What rows made earlier in a stream hold, as far as later ones must differ from it, in room that does not grow with them.

A Bloom filter forgets nothing: it may take a new value for an old one (1 in 2,000), which then is drawn again, and never an
old one for new. Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970); two hashes make all the others:
Kirsch and Mitzenmacher, "Less hashing, same performance" (2006).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from karat import limits
from karat.content.table.digests import mixed

BITS, HASHES = 16, 8  # for each value
DENSE = 2**31  # whole numbers in a range no wider have a bit each


class BloomFilter:
    """A set of at most `most` values, each known by 64 bits; or of whole numbers from `low` on, `size` of them."""

    def __init__(self, most: int, low: float = 0.0, size: int = 0) -> None:
        self.low, self.size = low, size
        bits = size if size else 1 << max(10, (BITS * most - 1).bit_length())
        limits.need(bits / 8, f"{most:,} values that must all differ", "Lower -n.")
        self.mask = np.uint64(bits - 1)
        self.bits = np.zeros(bits // 8 + 1, np.uint8)

    def has(self, values: np.ndarray) -> np.ndarray:
        """bool [n]: which of the values (uint64 [n], or float64 [n] of whole numbers) may be there."""
        out = np.ones(len(values), bool)
        for at in self._places(values):
            out &= (self.bits[at >> np.uint64(3)] >> (at & np.uint64(7)).astype(np.uint8) & 1).astype(bool)
        return out

    def add(self, values: np.ndarray) -> None:
        for at in self._places(values):
            np.bitwise_or.at(self.bits, at >> np.uint64(3), np.uint8(1) << (at & np.uint64(7)).astype(np.uint8))

    def _places(self, values: np.ndarray) -> list[np.ndarray]:
        if self.size:
            return [np.clip(values - self.low, 0, self.size - 1).astype(np.uint64)]
        first, step = mixed(values), mixed(values ^ np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        return [(first + np.uint64(i) * step) & self.mask for i in range(HASHES)]


@dataclass
class Past:
    """The rows of a stream so far.   total: how many it will have.   next: where running numbers go on, by column.

    first: rows of the shards before it.   shard, shards: which of how many shards it is; what must differ in all of them
    is divided among them.
    """

    total: int
    first: int = 0
    shard: int = 0
    shards: int = 1
    next: dict[str, int] = field(default_factory=dict)
    sets: dict[tuple[str, ...], BloomFilter] = field(default_factory=dict)

    def values(self, names: tuple[str, ...], low: float = 0.0, size: int = 0) -> BloomFilter:
        """What the columns `names` hold."""
        if names not in self.sets:
            self.sets[names] = BloomFilter(self.total, low, size)
        return self.sets[names]
