"""Which words real text has that what was made lacks, or has too often, and which it invents; all of them by name.

A word or the opening of a line is looked at by the share of passages that hold it. It is missing only where training and
unseen real text both have it: what unseen text lacks as well nobody can be blamed for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from karat.assays import power
from karat.assays.chance import wilson
from karat.assays.details.passages import InventedWords, MissingWords, WordBalance
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.points.bias import doubled
from karat.assays.shares import certain, tail
from karat.assays.text.band import banded
from karat.assays.text.texts import Case
from karat.assays.text.writing import openings, terms
from karat.views import TextView
from karat.words import said, term

FINDS = ("invented words", "missing words", "missing openings", "word balance")
MOST = 20_000  # training passages whose words are counted
ABSENT = 0.2  # of its real share, at most, is missing
SURE, LIKELY = 1e-7, 1e-3  # chances beside all real text, and beside unseen text alone
AWARE = 20  # passages in which a word is to be expected before its absence says anything
OFTEN = 1.5  # times as often or as rare, at least, and
LEAST = 0.02  # of the passages more or fewer
SHOWN = 40


@dataclass(frozen=True)
class Holding:
    """How many passages of each side hold each string."""

    strings: list[str]
    made: np.ndarray
    unseen: np.ndarray
    train: np.ndarray
    sizes: tuple[int, int, int]

    @property
    def shares(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.made / self.sizes[0], self.unseen / self.sizes[1], self.train / self.sizes[2]


def holding(made: TextView, unseen: TextView, train: TextView, of: Callable[[str], list[str]]) -> Holding:
    """The strings `of` gives of the training passages, and in how many passages of each side they stand."""
    known: dict[str, int] = {}
    counts = []
    for side in (train, unseen, made):
        tally: Counter[str] = Counter()
        for text in side.texts:
            tally.update(set(of(text)))
        if side is train:
            known = {string: i for i, string in enumerate(tally)}
        count = np.zeros(len(known), np.int64)
        for string, number in tally.items():
            if string in known:
                count[known[string]] = number
        counts.append(count)
    return Holding(list(known), counts[2], counts[1], counts[0], (len(made), len(unseen), len(train)))


def findings(case: Case) -> list[Finding]:
    """Invented words, missing words, missing openings and word balance."""
    train, unseen, made = case.train, case.unseen, case.made
    vocabulary = {x for text in train.texts for x in terms(text)}
    some = train.take(np.arange(min(len(train), MOST)))
    spoken, opened = holding(made, unseen, some, terms), holding(made, unseen, some, openings)
    return [
        _invented(vocabulary, unseen, made),
        _missing(spoken, "missing words", "word"),
        _missing(opened, "missing openings", "line opening"),
        _balance(spoken, opened),
    ]


def _invented(vocabulary: set[str], unseen: TextView, made: TextView) -> Finding:
    heard = {x for text in unseen.texts for x in terms(text)}
    new: Counter[str] = Counter()
    shares = []
    for side in (made, unseen):
        rate = np.full(len(side), np.nan)
        for i, text in enumerate(side.texts):
            own = terms(text)
            unknown = [x for x in own if x not in vocabulary]
            if own:
                rate[i] = len(unknown) / len(own)
            if side is made:
                new.update(x for x in unknown if x not in heard)
        shares.append(rate)
    s = banded((shares[0], None), (shares[1], unseen.sources), (shares[1], unseen.sources))
    least = max(0.005, 0.1 * s.real)
    limit = replace(s.limit(least), below=None)
    summary = said(
        "{value:.2%} of the made words do not occur in the training text; of unseen real words {real:.2%}",
        value=s.value,
        real=s.real,
    )
    if limit.broken(s.value):
        summary += said(": {listed}.", listed=", ".join(x for x, _ in new.most_common(6)))
    else:
        summary += said(".")
    detail = InventedWords(z=s.z, invented=tuple(new.most_common(SHOWN)))
    samples = power.scored("invented words", max(s.errors), len(made), len(unseen), beyond=least)
    return scored("invented words", s.score.clipped(low=0.0), limit, summary, detail=detail, samples=samples)


def _missing(held: Holding, name: str, kind: str) -> Finding:
    n, m, k = held.sizes
    made, unseen, train = held.shares
    expected = n * np.minimum(unseen, train)
    aware = np.flatnonzero((n * train >= AWARE) & (held.train >= AWARE))
    gone, lacking = [], 0
    for j in aware:
        count, seen, known = int(held.made[j]), int(held.unseen[j]), int(held.train[j])
        lacking += seen == 0
        if count >= ABSENT * expected[j] or unseen[j] < ABSENT * train[j]:
            continue
        if tail(seen + known, m + k, count, n) < SURE and tail(seen, m, count, n) < LIKELY:
            gone.append(int(j))
    gone.sort(key=lambda j: -float(expected[j]))
    missing = tuple(held.strings[j] for j in gone)
    rows = tuple((held.strings[j], float(made[j]), float(unseen[j]), float(train[j])) for j in gone[:SHOWN])
    total = max(1, len(aware))
    listed = ", ".join(repr(x) if kind == "word" else x for x in missing[:8])
    if missing:
        summary = said(
            "Never made, or hardly ever, though all real text has it: the {kind} {listed}",
            kind=term(kind),
            listed=listed,
        )
        summary += said(" and {n} more.", n=len(missing) - 8) if len(missing) > 8 else said(".")
    else:
        summary = said(
            "Each of {n} frequent {kind}s that unseen real text has as well is made.", n=len(aware), kind=term(kind)
        )
    detail = MissingWords(missing=missing[:SHOWN], rows=rows, kind=kind, frequent=len(aware), unseen_lacks=int(lacking))
    samples = power.of_count(
        lambda made, real, share: (
            tail(round(min(1.0, 2 * share) * (real + k)), real + k, 0, made) < SURE
            and tail(round(min(1.0, 2 * share) * real), real, 0, made) < LIKELY
        ),
        n,
        m,
        power.GROUP,
    )
    score = Score(len(gone) / total, *wilson(len(gone), total), 0.0, 0.0)
    return scored(name, score, Limit(above=0.0), summary, detail=detail, samples=samples)


def _balance(*kinds: Holding) -> Finding:
    off: list[tuple[float, str, float, float, float]] = []
    total = drifted = 0
    for held in kinds:
        n, m, k = held.sizes
        made, unseen, train = held.shares
        for j in np.flatnonzero((train >= LEAST / 2) & (held.train >= AWARE) & (np.minimum(m, n) * train >= 5)):
            total += 1
            counts = [(int(held.unseen[j]), m), (int(held.train[j]), k)]
            low, high = sorted((float(unseen[j]), float(train[j])))
            drifted += high > OFTEN * low and high - low > LEAST and certain(*counts[0], *counts[1])
            share = float(made[j])
            more = share > OFTEN * high and share - high > LEAST
            fewer = share < low / OFTEN and low - share > LEAST
            if (more or fewer) and all(certain(int(held.made[j]), n, *c) for c in counts):
                ratio = max(share, 1e-9) / (high if more else low)
                off.append((abs(np.log(ratio)), held.strings[j], share, float(unseen[j]), float(train[j])))
    off.sort(key=lambda x: (x[2] < x[3], -x[0]))
    total = max(1, total)
    if off:
        _, word, share, theirs, _ = off[0]
        summary = said(
            "{n_off} of {total} frequent words and line openings come far too often or too rarely, as "
            "{word}: in {share:.1%} of made passages and {theirs:.1%} of unseen real ones.",
            n_off=len(off),
            total=total,
            word=word,
            share=share,
            theirs=theirs,
        )
    else:
        summary = said(
            "None of {total} frequent words and line openings comes far too often or too rarely.", total=total
        )
    detail = WordBalance(rows=tuple(x[1:] for x in off[:SHOWN]), frequent=total)
    score = Score(len(off) / total, *wilson(len(off), total), float(drifted / total), 0.0)
    samples = doubled(kinds[0].sizes[0], min(kinds[0].sizes[1:]))
    return scored("word balance", score, Limit(above=0.0), summary, detail=detail, samples=samples)
