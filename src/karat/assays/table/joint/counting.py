"""How often values come together in made rows and in real ones: every combination of two or three columns, by exact tests.

A combination counts only for what nothing smaller explains. Of two values each is looked at among the rows that have the other one:
where women are made too seldom, women of each occupation are too, and among women the occupations are as they were. Of three
values each is looked at among the rows that have the other two. One of these must be beyond all chance, and the others must
point the same way.

If made and real rows were drawn alike, each chance would be exact whatever else holds (Fisher), so that those of all combinations
that occur share one chance between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from karat.assays.shares import CERTAIN, scores, tails

FAMILY = 5e-4  # chance that any combination of alike rows is called odd
DENSE = 1 << 18  # cells of a combination of columns, at most
NEAR = 3.5  # standard errors by which a combination is off among the rows that have each of its other values, at least
LEAST = 0.002  # share of the made rows that are too many, or of the rows that are lacking
TIMES, GAP = (
    2.0,
    0.1,
)  # how many times as often as in real rows, or what share further, among the rows that have the others


@dataclass(frozen=True)
class Among:
    """How many of the `of` rows that have the other values have this one too, made and real."""

    made: int
    of_made: int
    real: int
    of_real: int

    @property
    def shares(self) -> tuple[float, float]:
        return self.made / self.of_made, self.real / self.of_real


@dataclass(frozen=True)
class Odd:
    """Values that come together too often or too seldom.

    columns, codes: which ones.   among: for each of them the rows that have the others.   p: the chance of the clearest.
    excess: rows too many, in shares of all made ones; negative where they lack.
    """

    columns: tuple[int, ...]
    codes: tuple[int, ...]
    among: tuple[Among, ...]
    p: float
    excess: float

    @property
    def made(self) -> int:
        return self.among[0].made

    @property
    def real(self) -> int:
        return self.among[0].real


@dataclass(frozen=True)
class Counted:
    """What was found among `tests` combinations, those furthest off first; `level`: the chance below which one is odd."""

    odd: tuple[Odd, ...]
    tests: int
    level: float


def level_of(tests: int) -> float:
    """The chance below which one of so many tests is taken for no chance."""
    return min(CERTAIN, FAMILY / max(tests, 1))


def count(made: np.ndarray, real: np.ndarray, sizes: Sequence[int], wanted: Iterable[tuple[int, ...]]) -> Counted:
    """The odd ones of all combinations of the `wanted` columns, of the levels `made` [n, c] and `real` [m, c]."""
    found: list[Odd] = []
    tests = 0
    for columns in wanted:
        shape = tuple(sizes[j] for j in columns)
        if int(np.prod(shape)) > DENSE or not len(made):
            continue
        a, b = (_table(codes, columns, shape) for codes in (made, real))
        tests += int(((a + b) > 0).sum())
        found += _odd(a, b, columns, len(made))
    level = level_of(tests)
    kept = sorted((one for one in found if one.p < level), key=lambda one: -abs(one.excess))
    return Counted(tuple(kept), tests, level)


def _table(codes: np.ndarray, columns: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    at = np.ravel_multi_index(tuple(codes[:, j] for j in columns), shape)
    return np.bincount(at, minlength=int(np.prod(shape))).reshape(shape)


def _odd(a: np.ndarray, b: np.ndarray, columns: tuple[int, ...], n: int) -> list[Odd]:
    """Of the counts `a`, made, and `b`, real, those that are far enough off, with their chance."""
    far, much = np.ones(a.shape, bool), np.zeros(a.shape, bool)
    side, excess = np.zeros(a.shape), np.full(a.shape, np.inf)
    for axis in range(a.ndim):
        of_a, of_b = (np.broadcast_to(x.sum(axis, keepdims=True), x.shape) for x in (a, b))
        there = (of_a > 0) & (of_b > 0)
        p, q = a / np.maximum(of_a, 1), b / np.maximum(of_b, 1)
        gap = np.where(there, p - q, 0.0)
        side += np.sign(gap)
        much |= there & ((np.maximum(p, q) >= TIMES * np.minimum(p, q)) | (np.abs(gap) >= GAP))
        excess = np.where(np.abs(gap * of_a / n) < np.abs(excess), gap * of_a / n, excess)
        far &= there & (np.abs(_scores(a, of_a, b, of_b)) >= NEAR)
    out = []
    for at in np.argwhere(far & much & (np.abs(side) == a.ndim) & (np.abs(excess) >= LEAST)):
        place = tuple(int(i) for i in at)
        among = []
        for axis in range(a.ndim):
            mine, theirs = (int(x.sum(axis, keepdims=True)[*place[:axis], 0, *place[axis + 1 :]]) for x in (a, b))
            among.append(Among(int(a[place]), mine, int(b[place]), theirs))
        out.append(Odd(columns, place, tuple(among), a.ndim * min(map(chance, among)), float(excess[place])))
    return out


def _scores(a: np.ndarray, n: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    return scores(a, np.maximum(n, 1), b, np.maximum(m, 1))


def chance(of: Among) -> float:
    """The exact chance of shares so far apart in that direction."""
    sides = ((of.made, of.of_made), (of.real, of.of_real))
    (k, n), (c, m) = sides if of.shares[0] > of.shares[1] else sides[::-1]
    return float(tails(np.array([k]), n, np.array([c]), m)[0])
