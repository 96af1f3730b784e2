"""Three attacks on made rows and how often each succeeds: singling out, linking, inferring (Giomi et al., PoPETs 2023,
https://arxiv.org/abs/2211.10459). Agreement with its authors' Anonymeter is tested on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from karat.views import TableView

WITHIN = 0.05  # of the guess, that a number may be off
AT_ONCE = 250  # rows whose distances are held
TRIES = 20  # predicates made for each one that is wanted, at most
Z = 1.959964  # standard errors of a 95% interval


@dataclass(frozen=True)
class Tally:
    """How often an attack succeeded: hits of n tries on training rows, held of m tries on the control rows, and the share that
    guessing at random gets, NaN where there is no such thing.
    """

    hits: int
    n: int
    held: int
    m: int
    guess: float = math.nan

    @property
    def risk(self) -> tuple[float, float]:
        """Success beyond that on control rows, as a share of what these leave open, and how far it may be off at 95%."""
        (a, own), (c, other) = _rate(self.hits, self.n), _rate(self.held, self.m)
        return (a - c) / (1 - c), math.hypot(own / (1 - c), other * (1 - a) / (1 - c) ** 2)


def _rate(count: int, n: int) -> tuple[float, float]:
    """The middle of Wilson's interval of a share, and half of its width."""
    whole = n + Z * Z
    return (count + Z * Z / 2) / whole, Z / whole * math.sqrt(count * (n - count) / n + Z * Z / 4)


def widths(rows: TableView, made: TableView) -> list[float]:
    """The range of each column over both sides; 1 for choices and where all is one."""
    out = []
    for j, choices in enumerate(made.columns.choices):
        both = np.concatenate([rows.values[:, j], made.values[:, j]])
        both = both[~np.isnan(both)]
        out.append(float(both.max() - both.min()) or 1.0 if len(both) and not choices else 1.0)
    return out


def gaps(rows: TableView, made: TableView, span: list[float]) -> list[np.ndarray]:
    """By column, float32 [n, m]: how far each of `rows` is from each made row, of its `span`; 1 where choices differ.

    A missing cell is as far from all others as can be, and none from another one. Gower, 1971.
    """
    out = []
    for j, choices in enumerate(made.columns.choices):
        a, b = rows.values[:, j, None], made.values[None, :, j]
        gap = a != b if choices else np.abs(a - b) / span[j]
        lost = np.isnan(a), np.isnan(b)
        out.append(np.where(lost[0] | lost[1], lost[0] != lost[1], gap).astype(np.float32))
    return out


def linked(rows: TableView, made: TableView, halves: tuple[list[int], list[int]]) -> int:
    """Of how many `rows` both halves of the columns have the same nearest made row: who holds the halves can join them."""
    count, span = 0, widths(rows, made)
    for part in _parts(rows):
        near = gaps(part, made, span)
        first, second = (np.sum([near[j] for j in half], 0).argmin(1) for half in halves)
        count += int((first == second).sum())
    return count


def inferred(rows: TableView, made: TableView, secrets: list[int]) -> list[int]:
    """By secret column, of how many `rows` the made row nearest in all other columns has the value, numbers within 5%."""
    counts, span = np.zeros(len(secrets), np.int64), widths(rows, made)
    for part in _parts(rows):
        near = gaps(part, made, span)
        total = np.sum(near, 0, dtype=np.float64)
        for i, j in enumerate(secrets):
            guess = made.values[(total - near[j]).argmin(1), j]
            counts[i] += int(right(made, j, guess, part.values[:, j]).sum())
    return counts.tolist()


def _parts(rows: TableView) -> Iterator[TableView]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows.take(np.arange(start, min(start + AT_ONCE, len(rows))))


def right(made: TableView, j: int, guess: np.ndarray, secret: np.ndarray) -> np.ndarray:
    """bool [n]: whether each `guess` of column `j` is its `secret`."""
    same = guess == secret if made.columns.choices[j] else np.abs(guess - secret) <= WITHIN * np.abs(guess)
    return np.asarray(same | (np.isnan(guess) & np.isnan(secret)))


@dataclass(frozen=True)
class Predicate:
    """What a row must be in some columns: the sign says whether its cell must be at most (-1), equal (0) or at least (1)."""

    cells: tuple[tuple[int, int, float], ...]

    def holds(self, sheet: TableView) -> np.ndarray:
        """bool [n]."""
        out = np.ones(len(sheet), bool)
        for j, sign, value in self.cells:
            x = sheet.values[:, j]
            out &= np.isnan(x) if math.isnan(value) else x == value if not sign else sign * x >= sign * value
        return out


def alone(made: TableView, wanted: int, width: int, rng: np.random.Generator) -> list[Predicate]:
    """At most `wanted` different predicates on `width` columns that one made row alone meets, from rows drawn at random.

    Numbers as large as the row's, where that is above the median, else as small; choices equal.
    """
    known = (x[~np.isnan(x)] for x in made.values.T)
    medians = [float(np.median(x)) if len(x) else 0.0 for x in known]
    width, found = min(width, made.width), dict[Predicate, None]()
    for _ in range(TRIES * wanted):
        row = made.values[rng.integers(len(made))]
        chosen = sorted(rng.permutation(made.width)[:width].tolist())
        signs = (0 if made.columns.choices[j] else 1 if row[j] > medians[j] else -1 for j in chosen)
        tried = Predicate(tuple((j, sign, float(row[j])) for j, sign in zip(chosen, signs, strict=True)))
        if tried not in found and tried.holds(made).sum() == 1:
            found[tried] = None
            if len(found) == wanted:
                break
    return list(found)


def singled(rows: TableView, predicates: list[Predicate]) -> int:
    """How many of the predicates one of `rows` alone meets."""
    return sum(int(p.holds(rows).sum()) == 1 for p in predicates)


def distinct(sheet: TableView) -> TableView:
    """The rows that equal no earlier one."""
    return sheet.take(np.sort(np.unique(sheet.values, axis=0, return_index=True)[1]))
