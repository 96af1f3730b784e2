"""Groups of columns of which exactly one, or at most one, is true in each row, and columns that are missing where others are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import pyarrow as pa

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Columns
from karat.content.table.mining.relation import quoted

FEW_VALUES = 12  # of a column that may say where another is missing
LEAST = 3  # rows in which something must be missing, and in which it must not
NOTICED = 0.02  # share of shuffled rows that must break it


@dataclass(frozen=True)
class Group:
    """Of the truths `names`, one is true (at most one, where not `exactly`) in all but `exceptions` of `rows`."""

    names: tuple[str, ...]
    exactly: bool
    rows: int
    exceptions: int
    chance: float
    evidence: float


def groups(columns: Columns, rng: np.random.Generator) -> list[Group]:
    """Groups of three and more columns, each column in one."""
    truths = {n: v for n, v in columns.truths.items() if not np.isnan(v).any() and 0 < v.mean() < 1}
    names = list(truths)
    if len(names) < 3:
        return []
    x = np.stack([truths[n] for n in names], 1)
    both = x.T @ x
    allowed = evidence.most(len(x))
    left, out = list(range(len(names))), list[Group]()
    for start in sorted(left, key=lambda j: -both[j, j]):
        if start not in left:
            continue
        mine = [start]
        while True:
            covered = x[:, mine].sum(1)
            fits = [j for j in left if j not in mine and all(both[j, k] <= allowed // 4 for k in mine)]
            fits = [j for j in fits if (covered @ x[:, j]) <= allowed // 4]
            if not fits or covered.mean() >= 1:
                break
            mine.append(max(fits, key=lambda j: (both[j, j], -j)))
        found = _group([names[j] for j in sorted(mine)], x[:, sorted(mine)], len(names), rng)
        if found is not None:
            out.append(found)
            left = [j for j in left if j not in mine]
    return out


def _group(names: list[str], x: np.ndarray, of: int, rng: np.random.Generator) -> Group | None:
    if len(names) < 3:
        return None
    shuffled = np.stack([rng.permutation(x[:, j]) for j in range(x.shape[1])], 1).sum(1)
    total, rows = x.sum(1), len(x)
    for exactly in (True, False):
        exceptions = int((total != 1).sum() if exactly else (total > 1).sum())
        chance = float((shuffled != 1).mean() if exactly else (shuffled > 1).mean())
        tests = log(of) * len(names)
        log_p = evidence.log_tail(exceptions, rows, chance) + tests
        if evidence.few(exceptions, rows, chance) and chance >= NOTICED and log_p <= log(evidence.ALPHA):
            return Group(tuple(names), exactly, rows, exceptions, chance, log_p / log(10))
    return None


@dataclass(frozen=True)
class Gone:
    """`name` is missing exactly where `where` holds, but for `exceptions` of `rows`.   names: the columns of both."""

    name: str
    where: str
    names: tuple[str, ...]
    rows: int
    exceptions: int
    chance: float
    evidence: float

    @property
    def rule(self) -> str:
        return f"{quoted(self.name)} is missing iff {self.where}"


def missing(columns: Columns) -> list[Gone]:
    """Columns that are missing where others are missing, or present, or have certain values."""
    gone = {n: ~there for n, there in columns.there.items() if min(there.sum(), (~there).sum()) >= LEAST}
    out: list[Gone] = []
    named: set[str] = set()
    tests = log(max(1, len(gone) * (2 * len(gone) + FEW_VALUES * len(columns.kinds))))
    for i, (name, mine) in enumerate(gone.items()):
        for other, theirs in list(gone.items())[:i]:
            if other not in named:
                for word, there in (("is missing", theirs), ("is not missing", ~theirs)):
                    found = _gone(name, f"{quoted(other)} {word}", (name, other), mine, there, tests)
                    if found is not None and name not in named:
                        out.append(found)
                        named.add(name)
        if name not in named:
            found = _by_value(columns, name, mine, tests)
            if found is not None:
                out.append(found)
    return out


def _by_value(columns: Columns, name: str, mine: np.ndarray, tests: float) -> Gone | None:
    """Where the values of another column say that it is missing."""
    best = None
    for other, column in columns.kinds.items():
        if other == name or column.kind not in ("category", "boolean", "integer"):
            continue
        codes, size = columns.codes(other)
        if not 1 < size <= FEW_VALUES:
            continue
        known = codes >= 0
        if known.mean() < 0.98:
            continue
        share = np.bincount(codes[known], mine[known], size) / np.maximum(np.bincount(codes[known], minlength=size), 1)
        chosen = np.flatnonzero(share > 0.5)
        if not 0 < len(chosen) < size:
            continue
        words = columns.arrays[other].dictionary_encode().dictionary
        spelled = _values(words, chosen if 2 * len(chosen) <= size else np.flatnonzero(share <= 0.5), column.values)
        if spelled is None:
            continue
        flip = 2 * len(chosen) > size
        where = f"{quoted(other)} {_compared(spelled, flip)}"
        found = _gone(name, where, (name, other), mine[known], np.isin(codes[known], chosen), tests)
        if found is not None and (best is None or found.exceptions < best.exceptions):
            best = found
    return best


def _compared(spelled: list[str], flip: bool) -> str:
    if len(spelled) == 1:
        return f"{'!=' if flip else '='} {spelled[0]}"
    return f"{'not in' if flip else 'in'} ({', '.join(spelled)})"


def _values(words: pa.Array, chosen: np.ndarray, truths: Sequence[str]) -> list[str] | None:
    """Values as a rule spells them; None where one cannot be spelled.   truths: how a column of truths spells true and false."""
    out = []
    for k in chosen:
        value = words[int(k)].as_py()
        if isinstance(value, bool) and len(truths) == 2:
            value = truths[not value]
        if isinstance(value, str):
            quote = "'" if "'" not in value else '"'
            if quote in value or "\n" in value or "\\" in value:
                return None
            out.append(f"{quote}{value}{quote}")
        else:
            out.append(str(value).lower())
    return sorted(out)


def _gone(
    name: str, where: str, names: tuple[str, ...], mine: np.ndarray, there: np.ndarray, tests: float
) -> Gone | None:
    rows, exceptions = len(mine), int((mine != there).sum())
    chance = float(mine.mean() * (1 - there.mean()) + there.mean() * (1 - mine.mean()))
    # so many of the ways to lay as many missing cells differ from `there` in no more rows
    log_p = tests + log(exceptions + 1) + evidence.log_choose(rows, exceptions)
    log_p -= evidence.log_choose(rows, int(mine.sum()))
    if not evidence.few(exceptions, rows, chance) or chance < NOTICED or log_p > log(evidence.ALPHA):
        return None
    return Gone(name, where, names, rows, exceptions, chance, log_p / log(10))
