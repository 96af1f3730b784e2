"""Which records are to learn from and which are the judge's alone: the publisher's split, a rule, or by content."""

from __future__ import annotations

import hashlib
import re

import numpy as np

from karat.content.codec import Contents
from karat.errors import FitError
from karat.space import JUDGED

FACET = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|!=|<|>|=)\s*(.+?)\s*")
FEWEST = 32  # different records; fewer teach nothing
HOLDOUT_MOST = 10_000
VALIDATED, VALIDATED_LEAST, VALIDATED_MOST = 0.05, 64, 256  # share and number of records by which weights are chosen
CROWD, SELDOM = (
    10,
    0.05,
)  # rows that are many of one kind, and the share of such kinds, and of the others that repeat, at the most
BLOCK = 65_536  # records whose side is decided at once


def rows_aside(contents: Contents, rule: str, share: float) -> np.ndarray:
    """bool [n]: the records that `rule` sets aside; FitError where it sets aside none or all."""
    n = len(contents.records)
    if rule == "last":
        return np.arange(n) >= round(n * (1 - share))
    match = FACET.fullmatch(rule)
    assert match is not None
    name, sign, wanted = match.groups()
    if name not in contents.facets:
        known = ", ".join(contents.facets) if contents.facets else "none, for want of --labels"
        raise FitError(f"--holdout {rule!r}: nothing called {name!r} is known of these records; there are: {known}.")
    have = contents.facets[name]
    if sign in ("=", "!="):
        aside: np.ndarray = (have == wanted) == (sign == "=")
    else:
        try:
            numbers, least = have.astype(float), float(wanted)
        except ValueError:
            raise FitError(f"--holdout {rule!r}: {name} is not a number in every name; compare it with =.") from None
        aside = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[sign](numbers, least)
    if not 0 < aside.sum() < n:
        raise FitError(f"--holdout {rule!r} sets aside {int(aside.sum())} of {n} records; some were wanted, not all.")
    return aside


def sides_of(digests: np.ndarray, groups: np.ndarray | None, repeats: bool) -> tuple[np.ndarray, list[str]]:
    """What decides the side of each record, [n, 2], and a sentence where some come suspiciously often.

    digests: of the records, [n, 2].   groups: that stay together.   repeats: whether equal records mean something.
    """
    if groups is not None:
        return together(digests, groups), []
    if not repeats:
        return digests, []
    before = earlier(digests)
    return occurrences(digests, before), crowds(before)


def together(digests: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """`digests` [n, 2] with those of each group's first record in place of its others'."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.ascontiguousarray(digests[first][inverse])


def earlier(digests: np.ndarray) -> np.ndarray:
    """How many equal ones come before each of `digests` [n, 2]: uint64 [n]."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    new = np.ones(len(order), bool)
    if len(order):
        new[1:] = False
        for half in digests.T:
            ranked = half[order]
            new[1:] |= ranked[1:] != ranked[:-1]
    begun = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    count = np.empty(len(order), np.uint64)
    count[order] = (np.arange(len(order)) - begun).astype(np.uint64)
    return count


def occurrences(digests: np.ndarray, before: np.ndarray) -> np.ndarray:
    """`digests` [n, 2] with the second half mixed with how many equal ones came `before`: equal rows fall on both sides."""
    return np.stack([digests[:, 0], digests[:, 1] + before * np.uint64(0x9E3779B97F4A7C15)], 1)


def crowds(before: np.ndarray) -> list[str]:
    """A sentence, where a few rows stand many times and nearly all others once, as rows do that were put there.

    before: of each row how many equal ones come before it.
    """
    many, rows = int((before == CROWD - 1).sum()), len(before)
    taken = CROWD * many + int((before >= CROWD).sum())
    others, first = rows - taken, int((before == 0).sum()) - many
    if not many or many > SELDOM * first or others - first > SELDOM * others:
        return []
    what = "One row stands" if many == 1 else f"{many:,} different rows stand"
    return [
        f"{what} {CROWD} times or more ({taken:,} of {rows:,} rows), where nearly all others stand once. A generator repeats what "
        "repeats: if a mistake or a stranger put them there, take them out."
    ]


def split(
    digests: np.ndarray, unique: np.ndarray, aside: np.ndarray | None, share: float, seed: int, *, asked: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Train and holdout rows, sorted and disjoint, of the unique records; as many of each as a judge needs, where there are.

    Records with equal digests fall on one side.   asked: `aside` is what a person asked for, and stays as it is.
    """
    notes: list[str] = []
    if aside is not None:
        train, held = unique[~aside[unique]], unique[aside[unique]]
        if asked and (len(train) < FEWEST // 2 or not len(held)):
            raise FitError(
                f"--holdout leaves {len(train)} to learn from and {len(held)} for the judge; wanted at least {FEWEST // 2} and 1, "
                f"and {JUDGED} of each for an assay."
            )
        if asked or min(len(held), len(train)) >= JUDGED:
            return train, held, _unjudged(train, held)
        notes.append(
            f"The publisher's split leaves {len(train)} to learn from and {len(held)} aside, "
            f"too few of one of them, so all was split anew."
        )
    chance = _chances(digests[unique], seed)
    order = np.argsort(chance, kind="stable")
    below = int((chance < np.uint64(int(share * 2**64))).sum())
    count = _between_groups(chance[order], min(max(below, JUDGED), HOLDOUT_MOST, max(0, len(unique) - JUDGED)))
    train, held = np.sort(unique[order[count:]]), np.sort(unique[order[:count]])
    return train, held, [*notes, *_unjudged(train, held)]


def _chances(digests: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [n], even over all of them: BLAKE2b of each digest [n, 2], keyed by the seed."""
    fresh = hashlib.blake2b(digest_size=8, key=seed.to_bytes(16, "little", signed=True))
    out = np.empty(len(digests), "<u8")
    for start in range(0, len(digests), BLOCK):  # an object for each of ten million rows would be 400 MB
        block = digests[start : start + BLOCK].tobytes()
        each = []
        for at in range(0, len(block), 16):
            one = fresh.copy()
            one.update(block[at : at + 16])
            each.append(one.digest())
        out[start : start + len(each)] = np.frombuffer(b"".join(each), "<u8")
    return out.astype(np.uint64)


def _between_groups(chance: np.ndarray, count: int) -> int:
    """`count`, or the nearest place in the sorted `chance` where no group, of equal chances, is cut and both sides are enough."""
    first = int(np.searchsorted(chance, chance[count], "left"))
    if first == count or first >= JUDGED:
        return first
    last = int(np.searchsorted(chance, chance[count], "right"))
    return last if len(chance) - last >= JUDGED else count


def _unjudged(train: np.ndarray, held: np.ndarray) -> list[str]:
    """A sentence, where a judge will have too little to judge by."""
    if min(len(train), len(held)) >= JUDGED:
        return []
    return [
        f"{len(train)} to learn from and {len(held)} set aside: no assay will be possible, for the judge needs at least "
        f"{JUDGED} of each. Give at least {2 * JUDGED} different records, or another --holdout."
    ]


def validation(train: np.ndarray, keys: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows `train` without a validation part, and that part, both sorted; records of one of `keys` [n] stay together.

    Raises FitError where there are too few of them.
    """
    wanted = int(np.clip(round(VALIDATED * len(train)), VALIDATED_LEAST, VALIDATED_MOST))
    _, inverse = np.unique(keys, return_inverse=True)
    place = np.random.default_rng([seed, 23]).permutation(inverse.max(initial=0) + 1)[inverse]  # of each record's key
    order = np.argsort(place, kind="stable")
    last = place[order[min(wanted, len(order)) - 1]]
    part = place <= last
    if len(train) < 4 * VALIDATED_LEAST or 2 * part.sum() > len(train):
        raise FitError(
            f"--keep-best keeps {int(part.sum())} of the {len(train)} records to learn from for validation, since those that "
            f"belong together stay so; wanted at least {4 * VALIDATED_LEAST} records, and most of them to learn from. Add more, "
            "or leave it out."
        )
    return train[~part], train[part]


def unique_rows(digests: np.ndarray, aside: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sorted first rows of each set of equals, a row to learn from before one set aside; and the first of each row."""
    order = np.arange(len(digests)) if aside is None else np.argsort(aside, kind="stable")
    keys = np.ascontiguousarray(digests[order]).view("V16")[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    kept = np.empty(len(digests), np.int64)
    kept[order] = order[first][inverse]
    return np.sort(order[first]), kept
