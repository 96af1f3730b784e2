"""Text made of a column's own common words: chains of word pairs with the column's lengths (Shannon, 1948).

What it is: a filler that has the words, the word order over two words, the punctuation and the lengths of the column, for
forms and systems that expect text there. What it is not: text that means anything, or that follows the other columns.
A word, and a pair of words, is learned only where at least `COMMON` rows hold it; a row of more than three words is
never repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

COMMON = 5
_WORDS, _NEXT = 5000, 40  # the most words, and the most that may follow one
_ROWS = 50_000
_PLAIN = ("note", "item", "order", "part", "day", "about", "after", "more", "this", "with", "the", "of", "and", "to")
_PLAIN_WIDE = tuple("今日订单信息已经处理完成请查看相关内容说明如下")


def learn(texts: Sequence[str], counts: np.ndarray) -> dict[str, Any]:
    """JSON of what the distinct `texts`, each `counts` times there, have in common."""
    step = max(1, len(texts) // _ROWS)
    rows, weights = texts[::step], counts[::step]
    wide = sum(" " not in t and any(c > "\u2e7f" for c in t) for t in rows[:500]) > len(rows[:500]) / 2
    split = [list(t) if wide else t.split() for t in rows]
    lengths = np.array([len(s) for s in split] or [1])
    # A row counts once for a word, however often it holds it and however often it is there.
    words = Counter(w for s in split for w in set(s))
    known = [w for w, c in words.most_common(_WORDS) if c >= COMMON]
    index = {w: k for k, w in enumerate(known)}
    starts: Counter[int] = Counter(index[s[0]] for s in split if s and s[0] in index)
    pairs: Counter[tuple[int, int]] = Counter()
    for s in split:
        codes = [index.get(w, -1) for w in s]
        pairs.update({(a, b) for a, b in zip(codes, codes[1:], strict=False) if a >= 0 and b >= 0})
    follow: dict[str, list[int]] = {}
    for (a, b), c in pairs.most_common():
        if c >= COMMON and len(row := follow.setdefault(str(a), [])) < 2 * _NEXT:
            row += [b, c]
    quantiles = np.repeat(lengths, np.minimum(weights, 100).astype(int)) if len(lengths) == len(weights) else lengths
    return {
        "words": known,
        "mass": [words[w] for w in known],
        "starts": [x for a, c in starts.most_common(500) if c >= COMMON for x in (a, c)],
        "follow": follow,
        "lengths": [int(q) for q in np.quantile(quantiles, np.linspace(0, 1, 33))],
        "wide": wide,
    }


def make(learned: Mapping[str, Any], n: int, rng: np.random.Generator, avoid: Collection[str] = ()) -> list[str]:
    """n texts; none of `avoid` that is longer than three words (or eight Chinese characters)."""
    wide = bool(learned.get("wide", False))
    words: list[str] = list(learned.get("words", ()))
    mass = np.array(learned.get("mass", ()), float)
    if len(words) < 2:
        words = list(_PLAIN_WIDE if wide else _PLAIN)
        mass = np.ones(len(words))
    glue, few = ("", 8) if wide else (" ", 3)
    follow = {int(a): _drawn(row) for a, row in learned.get("follow", {}).items()}
    starts = _drawn(learned.get("starts", ()))
    every = (np.arange(len(words)), np.cumsum(mass) / mass.sum())
    grid = np.array(learned.get("lengths", (3, 12)), float)
    lengths = np.maximum(1, np.rint(np.interp(rng.random(n), np.linspace(0, 1, len(grid)), grid))).astype(int)
    chance = rng.random(int(lengths.sum()))
    out: list[str] = []
    place = 0
    for size in lengths:
        codes: list[int] = []
        table = starts if len(starts[0]) else every
        for u in chance[place : place + size]:
            code = _at(table, u)
            codes.append(code)
            table = follow.get(code, every)
        place += size
        text = glue.join(words[c] for c in codes)
        for _ in range(8):
            if size <= few or text not in avoid:
                break
            codes[int(rng.integers(size))] = _at(every, float(rng.random()))
            text = glue.join(words[c] for c in codes)
        if size > few and text in avoid:  # the words allow of little else
            text = glue.join([text, words[_at(every, float(rng.random()))], words[_at(every, float(rng.random()))]])
        out.append(text)
    return out


def _drawn(row: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    codes, mass = np.array(row[::2], np.int64), np.array(row[1::2], float)
    return codes, np.cumsum(mass) / max(mass.sum(), 1)


def _at(table: tuple[np.ndarray, np.ndarray], u: float) -> int:
    codes, steps = table
    return int(codes[min(int(np.searchsorted(steps, u, side="right")), len(codes) - 1)])
