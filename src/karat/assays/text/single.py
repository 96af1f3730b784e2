"""Passages one by one: whether they are odd in one way, repeat each other, and end as they began.

Odd are words in disorder, letters of another script, figures, no capitals (`single.outlying`); repeats are the same words, but
for some (`single.repeating`). Cohesion is by words that come again (Halliday and Hasan, "Cohesion in English", 1976),
rare words weighing more, as in a search by words (inverse document frequency).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.chance import averaged, limit_of, outside
from karat.assays.details.rows import Example
from karat.assays.finding import Finding, scored
from karat.assays.single import repeating
from karat.assays.single.outlying import Read, judged
from karat.assays.single.repeating import Alike, Pairs, choices, grouped
from karat.assays.text.fluency import LEARNED, Counted
from karat.assays.text.texts import Case
from karat.assays.text.writing import terms, words
from karat.words import said, term

FINDS = ("outliers", "repeats", "coherence")
REAL = 5_000  # training passages that others are held against
LETTER, CAPITAL, FIGURE, MARK = (re.compile(p) for p in (r"[^\W\d_]", r"[A-ZÀ-ÖØ-Þ]", r"\d", r"[^\w\s]"))
LETTERS = re.compile(r"[^\W\d_]+")
RUN = 4  # words that follow on each other
HALF = 0.5  # of the runs of the shorter of two passages, from which on they are alike
Sparse = Any  # scipy.sparse, which has no types
BLOCK = 1_000  # of them whose pairs are looked at in one go
FEWEST = 12  # words of a passage that has two halves
PASSAGES = 20  # of them on each side, at least
LEAST = 0.1  # of what real passages have


def findings(case: Case) -> list[Finding]:
    """Outliers, repeats, and coherence where passages are long enough to have two halves."""
    return [*_outliers(case), *_repeats(case), *_coherence(case)]


def _outliers(case: Case) -> list[Finding]:
    """Outliers: what is counted of letters is learned from half of the training passages, and the others stand for real."""
    inside = case.inside
    learned, size = [], 0
    for i in np.random.default_rng([case.seed, 90]).permutation(np.flatnonzero(inside)):
        learned.append(case.train.texts[i])
        size += len(learned[-1])
        if size >= LEARNED:
            break
    others = np.flatnonzero(~inside)[:REAL]
    if not learned or not len(others):
        return []
    counted = Counted(learned)
    letters = frozenset(map(chr, counted.known[counted.known >= 0].tolist()))
    texts = [case.train.texts[int(i)] for i in others], case.unseen.texts, case.made.texts
    sides = [dict(_read(side, counted, letters)) for side in texts]
    measures = [Read(name, a, b, c) for name in sides[0] for a, b, c in [[side[name] for side in sides]]]

    def shown(i: int) -> Example:
        return Example(row=case.made.row(i), cells=())  # a stranger's text is no part of a sentence

    return judged(measures, "passage", shown)[0]


def _read(texts: Sequence[str], counted: Counted, letters: frozenset[str]) -> Iterator[tuple[str, np.ndarray]]:
    """By name, float64 [n] read off each passage; NaN where there is nothing to read it from."""
    size = np.array([max(1, len(text)) for text in texts], float)
    many = np.array([len(LETTER.findall(text)) for text in texts], float)

    def share(of: re.Pattern[str], among: np.ndarray) -> np.ndarray:
        found = np.array([len(of.findall(text)) for text in texts], float)
        return np.where(among > 0, found / np.maximum(among, 1), np.nan)

    yield term("bits per character"), counted.per_character(texts)
    yield term("share of capitals"), share(CAPITAL, many)
    yield term("share of figures"), share(FIGURE, size)
    yield term("share of marks"), share(MARK, size)
    yield term("share of letters"), many / size
    yield term("share of unknown characters"), np.array([sum(c not in letters for c in text) for text in texts]) / size
    words = [[len(word) for word in LETTERS.findall(text)] for text in texts]
    yield term("length of its words"), np.array([np.mean(w) if w else np.nan for w in words])
    yield said("longest line"), np.array([max(map(len, text.split("\n"))) for text in texts], float)
    different = [text.casefold().split() for text in texts]
    yield term("share of different words"), np.array([len(set(w)) / len(w) if w else np.nan for w in different])


def _repeats(case: Case) -> list[Finding]:
    """Repeats."""
    real = [*case.train.texts[: repeating.MOST], *case.unseen.texts[: repeating.MOST]]
    made = case.made.texts[: repeating.MOST]
    rows = choices(len(real), len(made), case.seed)
    if not rows:
        return []
    known: dict[str, int] = {}
    mine, theirs = _runs(made, known), _runs(real, known)
    width = max(1, len(known))
    a, b = (_sparse(side, width) for side in (mine, theirs))

    def like(i: int) -> int:
        return int(_near(a[i], b, _sizes(a[i]), _sizes(b))[1].size)

    def shown(which: Sequence[int]) -> str:
        return repeating.numbered([case.made.row(i) for i in dict.fromkeys(which)])

    return repeating.judged(_alike(a), [_alike(b[some]) for some in rows], like, len(real), "passage", shown)


def _runs(texts: Sequence[str], known: dict[str, int]) -> list[np.ndarray]:
    """The different runs of words of each passage, as numbers; of a short one all of it."""
    out = []
    for text in texts:
        found = words(text)
        some = {" ".join(found[i : i + RUN]) for i in range(max(1, len(found) - RUN + 1))} if found else set()
        out.append(np.array(sorted(known.setdefault(run, len(known)) for run in some), np.int64))
    return out


def _sparse(runs: Sequence[np.ndarray], width: int) -> Sparse:
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0, *map(len, runs)])
    return csr_matrix(
        (np.ones(ends[-1], np.float32), np.concatenate([*runs, np.zeros(0, np.int64)]), ends), (len(runs), width)
    )


def _sizes(x: Sparse) -> np.ndarray:
    return np.diff(x.indptr)


def _near(a: Sparse, b: Sparse, m: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of rows of `a` and `b` that share half of the runs of the shorter, of `m` and `n` runs."""
    both = (a @ b.T).tocoo()
    enough = both.data >= np.maximum(1, HALF * np.minimum(m[both.row], n[both.col]))
    return both.row[enough], both.col[enough]


def _alike(x: Sparse) -> Alike:
    return grouped(x.shape[0], _pairs(x, _sizes(x)))


def _pairs(x: Sparse, sizes: np.ndarray) -> Iterator[Pairs]:
    for start in range(0, x.shape[0], BLOCK):
        some = slice(start, start + BLOCK)
        a, b = _near(x[some], x, sizes[some], sizes)
        yield a + start, b


def _coherence(case: Case) -> list[Finding]:
    """Coherence; none where passages are too short to have two halves."""
    sides = [[terms(text) for text in texts] for texts in (case.train.texts[:REAL], case.unseen.texts, case.made.texts)]
    holding = Counter(word for words in sides[0] for word in set(words))
    weight = {word: float(np.log((1 + len(sides[0])) / (1 + n))) for word, n in holding.items()}
    rare = float(np.log(1 + len(sides[0])))
    train, unseen, made = (coherence(side, weight, rare) for side in sides)
    if min(map(len, (train, unseen, made))) < PASSAGES or not float(train.mean()) > 0:
        return []
    by = float(train.mean())
    s, other = averaged(made / by, unseen / by), averaged(made / by, train / by)
    # passages set aside by name, such as the end of a book, may themselves differ from those that were learned from
    limit = outside(*(limit_of("coherence", x, LEAST) for x in (s, other)))
    summary = said(
        "The second half of a made passage takes up {value:.2f} times as many words of the first as in the training text; in "
        "unseen real ones {real:.2f} times as many.",
        value=s.value,
        real=s.real,
    )
    samples = power.scored("coherence", s.error, len(made), len(unseen), beyond=LEAST)
    return [scored("coherence", s, limit, summary, samples=samples)]


def coherence(passages: Sequence[Sequence[str]], weight: Mapping[str, float], rare: float) -> Tensor:
    """float64 [k]: of each passage with two halves, the share of the words of the second that the first has, by their weight.

    rare: the weight of a word that has none.
    """
    out = []
    for passage in passages:
        if len(passage) < FEWEST:
            continue
        first, second = set(passage[: len(passage) // 2]), set(passage[len(passage) // 2 :])
        total = fsum(weight.get(word, rare) for word in second)  # which no order changes: sets have one of their own
        out.append(fsum(weight.get(word, rare) for word in first & second) / max(total, 1e-9))
    return torch.tensor(out, dtype=torch.float64)
