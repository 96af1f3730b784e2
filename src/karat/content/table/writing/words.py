"""How words of a column follow each other: interpolated Kneser-Ney counts of one to three words, sampled for many rows at once.

Chen & Goodman, "An empirical study of smoothing techniques for language modeling" (Computer Speech & Language, 1999), with one
discount for each length (Kneser & Ney, 1995).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

COMMON = 3  # rows that hold a word, at least, before it is learned
MOST = 8_000  # words
END = 0  # the code of the end; 1, 2, ... are words
RUN = 8  # words on end that are a copy; twice as many where a word is a character
TRIES = 100  # of a word, before the text ends
# A word with the space before it; of scripts that write no spaces each character; punctuation and further spaces by themselves.
_WORD = re.compile(r" ?(?:[\u2e80-\u9fff\uf900-\uffef]|[^\W\u2e80-\u9fff\uf900-\uffef]+|[^\w\s]+)|\s")


def parted(text: str) -> list[str]:
    """The words of a text, which are the text again when they are put on end and the space before is taken away."""
    return _WORD.findall(f" {text}")


def vocabulary(texts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Words that at least `COMMON` of the texts hold, the commonest first."""
    held = Counter(word for text in texts for word in set(text))
    return tuple(word for word, rows in held.most_common(MOST) if rows >= COMMON)


def run_of(words: Sequence[str]) -> int:
    """How many of a column's words (a vocabulary, the commonest first) on end are a copy."""
    common = words[:200]
    return 2 * RUN if 2 * sum(word.strip() >= "\u2e80" for word in common) > len(common) else RUN


@dataclass(frozen=True)
class Chain:
    """Counts of two and three words on end. Codes: END, words from 1 on, and last the beginning, which precedes every first one.

    size: of all codes.   pairs, triples: int64, sorted: the codes of an n-gram as the digits of a number to the base `size`.
    counts: of the triples; those of pairs are how many different words come before them, as Kneser and Ney have it.
    """

    size: int
    triples: np.ndarray
    counts: np.ndarray

    @classmethod
    def fit(cls, coded: Sequence[Sequence[int]], size: int) -> Chain:
        """coded: of each text its codes without END; 0 in their place stands for a word that is not learned."""
        flat = np.concatenate([np.array([size - 1, size - 1, *codes, size], np.int64) for codes in coded])
        a, b, c = flat[:-2], flat[1:-1], flat[2:]
        within = (c != size - 1) & (b != size) & (a != size)
        known = within & (a != END) & (b != END) & (c != END)  # END does not stand for itself yet
        keys = (a[known] * size + b[known]) * size + np.where(c[known] == size, END, c[known])
        triples, counts = np.unique(keys, return_counts=True)
        return cls(size, triples, counts)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """All that end a triple, and how many different words stand before each."""
        return np.unique(self.triples % self.size**2, return_counts=True)

    @cached_property
    def _alone(self) -> np.ndarray:
        words, before = np.unique(self._pairs[0] % self.size, return_counts=True)
        out = np.zeros(self.size)
        out[words] = before / before.sum()
        return out

    @cached_property
    def _short(self) -> _Rows:
        pairs, before = self._pairs
        return _Rows.of(pairs // self.size, pairs % self.size, before)

    @cached_property
    def _long(self) -> _Rows:
        return _Rows.of(self.triples // self.size, self.triples % self.size, self.counts)

    @cached_property
    def _ending(self) -> np.ndarray:
        """float64 [size]: the chance that the end comes behind each code."""
        pairs, short = self._pairs[0], self._short
        out = np.full(self.size, self._alone[END])
        out[short.contexts] *= short.rest
        last = short.codes == END
        out[pairs[last] // self.size] += short.share[last]
        return out

    def after(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """float64 [n, size]: the chance of each code behind `first` [n] and `second` [n]."""
        out = np.tile(self._alone, (len(first), 1))
        self._short.onto(out, second)
        self._long.onto(out, first * self.size + second)
        return out

    def next(self, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n] codes drawn with the chances of `after`: from the longest context, or else from what it leaves to a shorter one."""
        chance = rng.random(len(first))
        out = np.full(len(first), -1)
        for rows, context in ((self._long, first * self.size + second), (self._short, second)):
            left = np.flatnonzero(out < 0)
            out[left], chance[left] = rows.drawn(context[left], chance[left])
        rest = np.flatnonzero(out < 0)
        out[rest] = np.searchsorted(self._alone.cumsum(), chance[rest] * self._alone.sum(), side="right")
        return np.asarray(np.minimum(out, self.size - 1))

    def write(self, tilt: np.ndarray, ends: np.ndarray, rng: np.random.Generator, copies: Runs) -> list[list[int]]:
        """Codes of one text for each row of `tilt` [n, most common codes]: the logarithm of the factor by which there a code is
        likelier than in other rows.

        ends: [longest]: the logarithm of the factor by which the end is likelier at each place; no text goes on behind the last.
        copies: runs of codes that no text holds.
        By rejection: a code is drawn as if nothing were known of the row, and kept as often as its factor is of the greatest.
        That of the end is looked at one word ahead: behind a full stop there is nothing to choose.
        """
        n, common = tilt.shape
        out = np.full((n, len(ends) + copies.length - 1), self.size - 1)
        factors, greatest, rows = np.exp(tilt), np.exp(np.maximum(tilt.max(1), 0.0)), np.arange(n)
        often = np.exp(np.append(ends, ends[-1:]))
        for place, (more, then) in enumerate(zip(often, often[1:], strict=False), copies.length - 1):
            before, later = out[rows, place - copies.length + 1 : place], factors[rows, END] * then
            most = np.maximum(greatest[rows] * np.maximum(later, 1), factors[rows, END] * more)
            drawn, todo = np.full(len(rows), END), np.arange(len(rows))
            for _ in range(TRIES):
                new = self.next(before[todo, -2], before[todo, -1], rng)
                factor = np.where(new < common, factors[rows[todo], np.minimum(new, common - 1)], 1.0)
                factor *= np.where(new == END, more, 1 + self._ending[new] * (later[todo] - 1))
                good = rng.random(len(todo)) * most[todo] < factor
                good[good] &= ~copies.hold(before[todo[good]], new[good])
                drawn[todo[good]] = new[good]
                todo = todo[~good]
                if not len(todo):
                    break
            out[rows, place] = drawn
            rows = rows[drawn != END]
            if not len(rows):
                break
        return [codes[(codes != END) & (codes < self.size - 1)].tolist() for codes in _ended(out)]


@dataclass(frozen=True)
class Runs:
    """Runs of `length` words that fewer than `COMMON` texts hold, in a filter of two bits each (Bloom, 1970).

    bits: bool; about sixteen for each run.   size: of all codes.
    """

    bits: np.ndarray
    size: int
    length: int

    @classmethod
    def fit(cls, coded: Sequence[Sequence[int]], size: int, length: int) -> Runs:
        found = [np.unique(_hashed(_windows(np.array(codes), length))) for codes in coded if len(codes) >= length]
        runs, texts = np.unique(np.concatenate([np.zeros(0, np.uint64), *found]), return_counts=True)
        runs = runs[texts < COMMON]
        bits = np.zeros(max(64, 16 * len(runs)), bool)
        for place in _places(runs, len(bits)):
            bits[place] = True
        return cls(bits, size, length)

    def hold(self, before: np.ndarray, new: np.ndarray) -> np.ndarray:
        """bool [n]: whether `before` [n, length - 1] and `new` [n] are such a run."""
        first, second = _places(_hashed(np.column_stack([before, new])), len(self.bits))
        seen = self.bits[first] & self.bits[second]
        return np.asarray(seen & (before[:, 0] < self.size - 1) & (new != END))


def _windows(codes: np.ndarray, length: int) -> np.ndarray:
    """[m, length]: all runs of learned words."""
    runs = np.lib.stride_tricks.sliding_window_view(codes, length)
    return np.asarray(runs[(runs != END).all(1)])


def _hashed(runs: np.ndarray) -> np.ndarray:
    """uint64 [n]: a polynomial of the codes [n, length] modulo 2^64."""
    out = np.zeros(len(runs), np.uint64)
    for column in runs.T.astype(np.uint64):
        out = out * np.uint64(0x9E3779B97F4A7C15) + column
    return out ^ (out >> np.uint64(29))


def _places(hashes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    return hashes % np.uint64(size), (hashes >> np.uint64(20)) * np.uint64(0xBF58476D1CE4E5B9) % np.uint64(size)


def _ended(codes: np.ndarray) -> np.ndarray:
    """The codes [n, places] with all behind an END as END."""
    over = np.logical_or.accumulate(codes == END, axis=1)
    return np.where(over, END, codes)


@dataclass(frozen=True)
class _Rows:
    """What may follow each context: the contexts sorted, where their codes begin, and the discounted shares of these."""

    contexts: np.ndarray
    begin: np.ndarray
    codes: np.ndarray
    share: np.ndarray
    rest: np.ndarray
    running: np.ndarray  # sum of all shares before each

    @classmethod
    def of(cls, context: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> _Rows:
        off = _discount(counts)
        contexts, begin = np.unique(context, return_index=True)
        begin = np.append(begin, len(context))
        sizes = np.diff(begin)
        total = np.add.reduceat(counts, begin[:-1]) if len(contexts) else np.zeros(0)
        share = (counts - off) / np.repeat(total, sizes)
        rest = off * sizes / np.maximum(total, 1)
        return cls(contexts, begin, codes, share, rest, np.concatenate([[0.0], share.cumsum()]))

    def _at(self, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of `context` [n] were seen, and which contexts these are."""
        if not len(self.contexts):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        at = np.minimum(np.searchsorted(self.contexts, context), len(self.contexts) - 1)
        seen = np.flatnonzero(self.contexts[at] == context)
        return seen, at[seen]

    def onto(self, chances: np.ndarray, context: np.ndarray) -> None:
        """Interpolates the `chances` [n, codes] of shorter contexts with those of `context` [n], where it was seen."""
        seen, at = self._at(context)
        chances[seen] *= self.rest[at, None]
        sizes = self.begin[at + 1] - self.begin[at]
        places = np.repeat(self.begin[at] - (sizes.cumsum() - sizes), sizes) + np.arange(sizes.sum())
        chances[np.repeat(seen, sizes), self.codes[places]] += self.share[places]

    def drawn(self, context: np.ndarray, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes [n], -1 where they are left to a shorter context, and what of `chance` [n] is left to draw them with."""
        out, left = np.full(len(context), -1), chance.copy()
        seen, at = self._at(context)
        u, rest = chance[seen], self.rest[at]
        here = u < 1 - rest
        place = np.searchsorted(self.running, self.running[self.begin[at]] + u, side="right") - 1
        codes = self.codes[np.clip(place, self.begin[at], self.begin[at + 1] - 1)]
        out[seen] = np.where(here, codes, -1)
        left[seen] = np.where(here, u, (u - (1 - rest)) / np.maximum(rest, 1e-300))
        return out, left


def _discount(counts: np.ndarray) -> float:
    """n1 / (n1 + 2 n2), of how many n-grams were counted once and twice."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once else 0.5
