"""Noise drawn without floating point: the discrete Gaussian of Canonne, Kamath & Steinke (https://arxiv.org/abs/2004.00010)."""

from __future__ import annotations

import math
import os

import numpy as np


class Source:
    """Where noise comes from: the operating system's secure generator, or with a seed a stream that can be drawn again.

    Whoever knows the seed can take the noise away again: a seed is for tests and audits, and voids the guarantee.
    """

    def __init__(self, seed: int | None = None) -> None:
        mixed = None if seed is None else np.random.SeedSequence(seed & 2**64 - 1)
        self._stream = None if mixed is None else np.random.Philox(mixed)

    def words(self, n: int) -> np.ndarray:
        """uint64 [n], uniform."""
        if self._stream is None:
            return np.frombuffer(os.urandom(8 * n), np.uint64).copy()
        return np.asarray(self._stream.random_raw(n), np.uint64).reshape(n)

    def below(self, bound: np.ndarray) -> np.ndarray:
        """int64 [n], exactly uniform on 0 .. bound - 1 for each of `bound` [n], at least 1."""
        b = bound.astype(np.uint64)
        first = (np.uint64(2**64 - 1) - b + np.uint64(1)) % b  # 2^64 mod b: what would come once too often
        out = self.words(len(b))
        again = np.flatnonzero(out < first)
        while len(again):
            out[again] = self.words(len(again))
            again = again[out[again] < first[again]]
        return (out % b).astype(np.int64)

    def gumbel(self, n: int) -> np.ndarray:
        """float64 [n], standard Gumbel, with 128 bits in the tail that decides a choice."""
        high, low = self.words(n), self.words(n)
        small = (high.astype(np.float64) + (low.astype(np.float64) + 0.5) * 2.0**-64) * 2.0**-64
        return -np.log(-np.log1p(-np.minimum(small, 1 - 2.0**-53)))


def _flips(source: Source, over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """bool [n], each True with probability exactly exp(-over / under); integers (Canonne et al., algorithm 1)."""
    whole, rest = np.divmod(over, under)
    result = np.zeros(len(over), bool)
    live, k = np.arange(len(over)), 1
    while len(live):  # how many independent events rest / under, then 1 / 2, 1 / 3, ... happen in a row
        happens = source.below(under[live]) < rest[live]
        if k > 1:
            happens &= source.below(np.full(len(live), k)) == 0
        result[live[~happens]] = k % 2 == 1
        live, k = live[happens], k + 1
    live, done = np.flatnonzero(result & (whole > 0)), 0
    while len(live):  # and exp(-1) for every whole
        kept = _one_over_e(source, len(live))
        result[live[~kept]] = False
        live, done = live[kept], done + 1
        live = live[whole[live] > done]
    return result


def _one_over_e(source: Source, n: int) -> np.ndarray:
    """bool [n], each True with probability exactly 1 / e."""
    result = np.zeros(n, bool)
    live, k = np.arange(n), 1
    while len(live):
        happens = source.below(np.full(len(live), k)) == 0
        result[live[~happens]] = k % 2 == 1
        live, k = live[happens], k + 1
    return result


def discrete_gaussian(source: Source, n: int, over: int, under: int) -> np.ndarray:
    """int64 [n] of the discrete Gaussian with sigma^2 = over / under, exactly (Canonne et al., algorithm 3)."""
    t = math.isqrt(over // under) + 1
    out = np.zeros(n, np.int64)
    todo = np.arange(n)
    while len(todo):
        m = len(todo)
        u = source.below(np.full(m, t))
        ok = _flips(source, u, np.full(m, t))
        v = np.zeros(m, np.int64)
        live = np.flatnonzero(ok)
        while len(live):
            live = live[_one_over_e(source, len(live))]
            v[live] += 1
        minus = source.below(np.full(m, 2)) == 1
        size = u + t * v
        ok &= ~(minus & (size == 0))
        ok &= v < 20  # what lies 20 t out would pass the next step with probability below exp(-170)
        keep = np.flatnonzero(ok)
        gap = np.abs(size[keep] * (t * under) - over)
        passed = _flips(source, gap * gap, np.full(len(keep), 2 * over * t * t * under))
        keep = keep[passed]
        out[todo[keep]] = np.where(minus[keep], -size[keep], size[keep])
        todo = np.delete(todo, keep)
    return out
