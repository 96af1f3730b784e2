"""Whether text reads like real text to a count of letters: bits per character, loops, how far it can be packed.

The judge counts strings of up to six characters in half of the training text (modified Kneser-Ney, Chen and Goodman,
https://arxiv.org/abs/cmp-lg/9606011). Too many bits are broken text, too few are dull text that loops:
Holtzman et al., https://arxiv.org/abs/1904.09751.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karat.assays import power
from karat.assays.chance import limit_of_share
from karat.assays.details.passages import Compression, Fluency, Loop, Loops, Unlikely
from karat.assays.finding import Finding, Score, scored
from karat.assays.shares import certain
from karat.assays.table.cells import apart
from karat.assays.text.band import Band, banded
from karat.assays.text.texts import Case
from karat.assays.text.writing import joined
from karat.views import TextView
from karat.words import said

FINDS = ("fluency", "loops", "compression")
ORDER = 6
PASSAGES = 1500  # of each kind that are read
LEARNED = 4_000_000  # characters that the judge counts at most
CHUNK = 16_384  # bytes that are packed at a time
PERIOD = 200  # characters of what is repeated, at most
TURNS = 4  # of it, at least, and
LEAST = 24  # characters in all
SHOWN = 8
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Order:
    """Hashes of strings of one length, sorted, with the discounted count of each; and of what they follow on, the total
    and what was discounted."""

    keys: np.ndarray
    counts: np.ndarray
    before: np.ndarray
    totals: np.ndarray
    saved: np.ndarray


class Counted:
    """What follows on what in a text: the judge's own model of it."""

    def __init__(self, texts: Sequence[str], order: int = ORDER) -> None:
        codes, _ = joined(texts)
        self.known = np.unique(codes)
        hashes = _hashes(codes, order)
        orders: list[Order] = []
        ends = np.arange(order - 1, len(codes))  # of the strings that are counted: below the top, each left side once
        for n in range(order, 0, -1):
            keys, first, counts = np.unique(hashes[n][ends], return_index=True, return_counts=True)
            ends = ends[first]
            before, at = np.unique(hashes[n - 1][ends - 1], return_inverse=True)
            lost = _discounts(counts)[np.minimum(counts, 3)]
            totals, saved = np.bincount(at, weights=counts), np.bincount(at, weights=lost)
            orders.insert(0, Order(keys, counts - lost, before, totals, saved))
        self.orders = orders

    def bits(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bits of every code of all texts on end, where each text starts [n], and the characters of each [n]."""
        codes, starts = joined(texts)
        hashes = _hashes(codes, len(self.orders))
        p = np.full(len(codes), 1 / (len(self.known) + 1))
        for n, order in enumerate(self.orders, 1):
            context = np.zeros(len(codes), np.uint64)
            if n > 1:
                context[1:] = hashes[n - 1][:-1]
            at, there = _find(order.before, context)
            there[: n - 1] = False
            key, seen = _find(order.keys, hashes[n])
            mixed = (np.where(seen, order.counts[key], 0) + order.saved[at] * p) / order.totals[at]
            p = np.where(there, mixed, p)
        sizes = np.diff(np.append(starts, len(codes))) - 1
        return -np.log2(np.maximum(p, 1e-12)), starts, sizes

    def per_character(self, texts: Sequence[str]) -> np.ndarray:
        """Bits per character of each text [n]; NaN where it is empty."""
        bits, starts, sizes = self.bits(texts)
        bits[np.append(starts[1:], len(bits) + 1) - 2] = 0  # its end is no character
        return np.where(sizes > 0, np.add.reduceat(bits, starts) / np.maximum(sizes, 1), np.nan)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken [4] from counts of 0, 1, 2 and more (Chen and Goodman, section 4)."""
    n = [float((counts == i).sum()) for i in range(1, 5)]
    y = n[0] / (n[0] + 2 * n[1]) if n[0] else 0.0
    taken = [i - (i + 1) * y * n[i] / n[i - 1] if n[i - 1] else 0.0 for i in (1, 2, 3)]
    return np.array([0.0, *(min(max(d, 0.0), float(i)) for i, d in enumerate(taken, 1))])


def _hashes(codes: np.ndarray, order: int) -> list[np.ndarray]:
    """For n = 0 to `order`, the hash of the n codes that end at each place."""
    letters = (codes + 2).astype(np.uint64)
    out = [np.zeros(len(codes), np.uint64)]
    for _ in range(order):
        moved = np.zeros(len(codes), np.uint64)
        moved[1:] = out[-1][:-1]
        out.append((moved * MULTIPLIER + letters) * np.uint64(0xD6E8FEB86659FD93))
    return out


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def findings(case: Case) -> list[Finding]:
    """Fluency, loops and compression. Half of the training passages are counted; the others stand for real."""
    sides = case.train, case.unseen, case.made
    return [_fluency(*sides, case.inside, case.seed), _loops(*sides), _compression(*sides)]


def _fluency(train: TextView, unseen: TextView, made: TextView, inside: np.ndarray, seed: int) -> Finding:
    rng = np.random.default_rng([seed, 89])
    learned, size = [], 0
    for i in rng.permutation(np.flatnonzero(inside)):
        learned.append(train.texts[i])
        size += len(learned[-1])
        if size > LEARNED:
            break
    judge = Counted(learned)
    rest = train.take(rng.permutation(np.flatnonzero(~inside))[:PASSAGES])
    sides = [w.take(rng.permutation(len(w))[:PASSAGES]) for w in (made, unseen)]
    m, u, t = (judge.per_character(w.texts) for w in (*sides, rest))
    s = banded((m, None), (u, sides[1].sources), (t, rest.sources))
    limit = s.limit(0.03 * s.real)
    how = said("less") if s.gap > 0 else said("more")
    summary = said(
        "A character n-gram model of half the training text needs {value:.2f} bits per character for "
        "made passages; {real:.2f} for unseen real ones, {train:.2f} for the other half",
        value=s.value,
        real=s.real,
        train=s.train,
    ) + (said(": what was made is {how} predictable than real text.", how=how) if limit.broken(s.value) else said("."))
    order = np.argsort(-np.nan_to_num(m), kind="stable")
    extremes = tuple(
        Unlikely(made=sides[0].row(int(i)), bits=float(m[i]), text=sides[0].texts[i][:200]) for i in order[:3]
    )
    detail = Fluency(z=s.z, train=s.train, n=len(m), order=ORDER, strangest=extremes)
    samples = power.scored("fluency", max(s.errors), len(made), len(unseen), s.real, beyond=0.03 * s.real)
    return scored("fluency", s.score, limit, summary, detail=detail, samples=samples)


def loop(text: str) -> tuple[int, int, int] | None:
    """Start, length and period of the longest string in `text` that is one thing over and over, at least four times."""
    found = _looping([text])
    return (int(found[1][0]), int(found[0][0]), int(found[2][0])) if found[0][0] else None


def _looping(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per text [n], length, start and period of its longest loop; length 0 where there is none."""
    codes, starts = joined(texts)
    length, start, period = (np.zeros(len(texts), np.int64) for _ in range(3))
    ends = np.flatnonzero(codes == -1)
    unique = codes.copy()
    unique[ends] = -1 - np.arange(len(ends))  # nothing repeats across the end of a text
    for p in range(1, min(PERIOD, len(codes) - 1) + 1):
        same = unique[p:] == unique[:-p]
        edge = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        first, last = edge[::2], edge[1::2]
        whole = last - first + p
        long = whole >= max(TURNS * p, LEAST)
        if not long.any():
            continue
        first, whole = first[long], whole[long]
        owner = np.searchsorted(starts, first, side="right") - 1
        for i, at, size in zip(owner.tolist(), first.tolist(), whole.tolist(), strict=True):
            if size > length[i]:  # periods rise, so that "ab" and not "abab" is what is repeated
                length[i], start[i], period[i] = size, at - starts[i], p
    return length, start, period


def _loops(train: TextView, unseen: TextView, made: TextView) -> Finding:
    length, start, period = _looping(made.texts)
    rest = [_looping(w.take(np.arange(min(len(w), 5000))).texts)[0] > 0 for w in (unseen, train)]
    count, n = int((length > 0).sum()), len(made)
    value, real, own = count / n, float(rest[0].mean()), float(rest[1].mean())
    spread = math.sqrt(max(value * (1 - value), 1 / n) / n)
    among = np.concatenate(rest)  # real text loops seldom, and as seldom here as there
    looping = int(among.sum())
    limit = limit_of_share(n, lambda c: certain(c, n, looping, len(among)) and c / n > max(real, own) + 0.005)
    longest = [int(i) for i in np.argsort(-length, kind="stable")[:SHOWN] if length[i]]
    shown = tuple(_shown(made, i, int(start[i]), int(length[i]), int(period[i])) for i in longest)
    summary = said(
        "{value:.1%} of made passages repeat one string at least {turns} times in a row; of unseen real "
        "ones {real:.1%}",
        value=value,
        turns=TURNS,
        real=real,
    )
    if limit.broken(value):
        summary += said(", the longest for {length} characters.", length=int(length.max()))
    else:
        summary += said(".")
    score = Score(value, value - 1.96 * spread, value + 1.96 * spread, real, spread).clipped(0.0, 1.0)
    samples = apart(n, len(among), power.BAD, 0.005)
    return scored("loops", score, limit, summary, detail=Loops(train=own, loops=shown, n=n), samples=samples)


def _shown(made: TextView, i: int, at: int, length: int, period: int) -> Loop:
    text = made.texts[i]
    before, loop = text[max(0, at - 60) : at], text[at : at + length][:400]
    return Loop(made=made.row(i), start=at, length=length, unit=text[at : at + period], before=before, loop=loop)


def _packed(writing: TextView) -> np.ndarray:
    """Share of its bytes to which gzip's method packs each piece of 16 KiB of the text."""
    text = "\n\n".join(writing.texts).encode("utf-8", "replace")
    size = min(CHUNK, max(1024, len(text) // 12))
    pieces = [text[i : i + size] for i in range(0, len(text) - size + 1, size)] or [text]
    return np.array([len(zlib.compress(piece, 6)) / max(1, len(piece)) for piece in pieces[:200]])


def _compression(train: TextView, unseen: TextView, made: TextView) -> Finding:
    size = min(sum(map(len, w.texts)) for w in (train, unseen, made))
    m, u, t = (_packed(_upto(w, size)) for w in (made, unseen, train))
    s: Band = banded((m, None), (u, None), (t, None))
    limit = s.limit(0.02 * s.real)
    summary = said(
        "gzip compresses what was made to {value:.1%} of its bytes, unseen real text to {real:.1%}",
        value=s.value,
        real=s.real,
    ) + (
        said(".")
        if not limit.broken(s.value)
        else said(": it repeats itself more than real text.")
        if s.gap < 0
        else said(": it repeats itself less than real text.")
    )
    detail = Compression(z=s.z, train=s.train, pieces=len(m))
    samples = power.scored("compression", max(s.errors), len(made), len(unseen), s.real, beyond=0.02 * s.real)
    return scored("compression", s.score, limit, summary, detail=detail, samples=samples)


def _upto(writing: TextView, size: int) -> TextView:
    """The first passages, of `size` characters in all, so that all are packed in pieces alike."""
    total = np.cumsum([len(t) for t in writing.texts])
    return writing.take(np.arange(max(1, int(np.searchsorted(total, size, side="right")))))
