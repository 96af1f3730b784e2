"""Text made of a column's own common words: chains of word pairs with the column's lengths (Shannon, 1948).

What it is: a filler that has the words, the word order over two words, the punctuation and the lengths of the column, for
forms and systems that expect text there. What it is not: text that means anything, or that follows the other columns.
A word, and a pair of words, is learned only where at least `COMMON` rows hold it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COMMON = 5
_WORDS, _NEXT = 5000, 40  # the most words, and the most that may follow one
_ROWS = 20_000
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


def make(learned: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[str]:
    """n texts of what `learn` gave, or of plain words where that is nothing."""
    wide = bool(learned.get("wide", False))
    words: list[str] = list(learned.get("words", ()))
    mass = np.array(learned.get("mass", ()), float)
    if len(words) < 2:
        words = list(_PLAIN_WIDE if wide else _PLAIN)
        learned, mass = {"lengths": learned.get("lengths", (3, 12))}, np.ones(len(words))
    glue = "" if wide else " "
    grid = np.array(learned["lengths"], float)
    lengths = np.maximum(1, np.rint(np.interp(rng.random(n), np.linspace(0, 1, len(grid)), grid))).astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    running = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")  # rows longer than t
    follows, steps, state = _chain(learned, mass)
    codes = np.zeros((n, len(running)), np.int64)
    now = np.full(n, len(words))
    for t, k in enumerate(running):
        now = state[now[:k]]
        now = follows[np.minimum(np.searchsorted(steps, now + rng.random(k), side="right"), len(follows) - 1)]
        codes[order[:k], t] = now
    table = np.array(words, object)
    return [glue.join(table[row[:size]]) for row, size in zip(codes, lengths, strict=True)]


def _chain(learned: Mapping[str, Any], mass: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words, and where each state's share of them ends; the state after each word, and last the one before the first.

    State s covers (s, s + 1], so that one search finds the next word of all rows at once.
    """
    size = len(mass)
    rows: list[tuple[np.ndarray, np.ndarray]] = [(np.arange(size), mass)]  # state 0: any word
    state = np.zeros(size + 1, np.int64)
    pairs = [(int(a), row) for a, row in learned.get("follow", {}).items()] + [(size, learned.get("starts", ()))]
    for after, row in pairs:
        if len(row):
            state[after] = len(rows)
            rows.append((np.array(row[::2], np.int64), np.array(row[1::2], float)))
    steps = [s + np.cumsum(weight) / weight.sum() for s, (_, weight) in enumerate(rows)]
    return np.concatenate([codes for codes, _ in rows]), np.concatenate(steps), state
