"""Whether training text was copied: verbatim runs, windows that occur in it, passages slightly altered.

What counts as a copy is set by real text twice: by unseen passages, and by training passages beside the rest of the
training text, because a generator that writes as the training text does repeats what that repeats. Lee et al.,
https://arxiv.org/abs/2107.06499; Carlini et al., https://arxiv.org/abs/2202.07646. "Not found by these tests" is never
"not copied".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from karat.assays import power
from karat.assays.chance import fewest, wilson
from karat.assays.details import Curve
from karat.assays.details.passages import Run, VerbatimRun
from karat.assays.details.records import CopyRate, NearCopies
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.met import Met, beside
from karat.assays.points.memory import CERTAIN, chance_of
from karat.assays.text.suffixes import matches
from karat.assays.text.texts import Case
from karat.assays.text.writing import dense, joined
from karat.views import TextView
from karat.words import Sentence, said

FINDS = ("verbatim run", "copy rate", "near copies")
NEAR = 0.0025  # share of real passages above whose score a passage counts as a copy
WINDOW = {False: 50, True: 20}  # characters of a window that is looked up; True where ideographs are many
SHINGLE = {False: 12, True: 6}  # letters
COMMON = 8  # training passages that hold a shingle before it says nothing
SHINGLES = 8_000_000  # of the training text that are kept, a choice by their hash
MOST = 5000  # training passages whose own likeness is looked at
SHOWN = 24
QUANTILES = (0.5, 0.9, 0.99, 0.999)  # of the longest runs that the report has


@dataclass(frozen=True)
class Runs:
    """Per passage [n]: the longest run that the base holds, where it starts in the passage and in the base, and how many
    windows are copied of how many."""

    longest: np.ndarray
    start: np.ndarray
    place: np.ndarray
    copied: np.ndarray
    windows: np.ndarray


@dataclass(frozen=True)
class Beyond:
    """How many of the made passages lie above the bar that real ones set, and how likely that is by chance.

    least: how many of them must, before chance does not explain it and they are more than matters.
    met: how many are due to, as far as unseen passages are met so as well.
    """

    bar: float
    count: int
    n: int
    real: float
    p: float
    least: int
    samples: tuple[Sample, ...]
    met: Met | None = None

    @property
    def raised(self) -> bool:
        return self.count >= self.least

    @property
    def due(self) -> Sentence:
        """In words how many are due, where that is known."""
        return Sentence(()) if self.met is None else self.met.summary(self.n)


def runs(query: TextView, base: np.ndarray, window: int) -> Runs:
    """What the passages of `query` share with the text `base` (code points, each text closed by -1)."""
    codes, starts = joined(query.texts)
    length, place = matches(codes, base)
    longest = np.maximum.reduceat(length, starts)
    sizes = np.diff(np.append(starts, len(codes)))
    first = np.flatnonzero(length == np.repeat(longest, sizes))
    owner = np.repeat(np.arange(len(starts)), sizes)[first]
    at = first[np.searchsorted(owner, np.arange(len(starts)))]
    copied = np.add.reduceat((length >= window).astype(np.int64), starts)
    return Runs(longest, at - starts, place[at], copied, np.maximum(sizes - window, 0))


def beyond(
    made: np.ndarray,
    unseen: np.ndarray,
    within: np.ndarray,
    among: Callable[[], tuple[np.ndarray, np.ndarray]] | None,
    learned: int,
) -> Beyond:
    """Scores of made passages [n] against those of `unseen` [m] and of training passages beside the others, `within` [k].

    among: scores [n] of the made passages beside training and unseen ones alike, and which of these gave them [n], of which the
    first `learned` are the training ones. Asked only where copies seem to be found. None where unseen
    passages may have been copied too, and tell nothing.
    """
    far = _beyond(made, unseen, within)
    if not far.raised or among is None:
        return far
    score, whose = among()
    above, mine = score > far.bar, whose < learned
    met = Met.of(whose[above & mine].tolist(), learned, whose[above & ~mine].tolist(), len(unseen))
    return far if met is None else _beyond(np.where(mine, score, -1), unseen, within, met)


def _beyond(made: np.ndarray, unseen: np.ndarray, within: np.ndarray, met: Met | None = None) -> Beyond:
    real = np.concatenate([unseen, within])
    k = max(3, math.ceil(NEAR * len(real)))
    bar = float(np.sort(real)[-min(k, len(real))])
    count = int((made > bar).sum())
    usual, n = k / (len(real) + 1), len(made)
    held = len(real)

    def raises(c: int) -> bool:
        return chance_of(c, n, k, held) < CERTAIN and c / n - usual > 0.003 and (met is None or met.more(c))

    def sees(shown: int, aside: int, copies: float) -> bool:
        among = aside + len(within)
        if met is not None and not met.sees(shown / n, aside / len(unseen), copies * shown):
            return False
        count = power.reached(shown, copies)
        least = max(3, math.ceil(NEAR * among))
        return count / shown - least / among > 0.003 and chance_of(count, shown, least, among) < CERTAIN

    samples = power.of_count(sees, n, len(unseen), power.COPIES)
    return Beyond(bar, count, n, usual, chance_of(count, n, k, held), fewest(n, raises), samples, met)


def findings(case: Case) -> list[Finding]:
    """Verbatim run, copy rate and near copies; `train` must be all that the generator learned from."""
    train, unseen, made, seed = case.train, case.unseen, case.made, case.seed
    crowded = dense(train.texts[:200]) > 0.3
    window = WINDOW[crowded]
    base, starts = joined(train.texts)
    m, u = runs(made, base, window), runs(unseen, base, window)
    rng = np.random.default_rng([seed, 73])
    parts = []
    for side in (case.inside, ~case.inside):
        asked = rng.permutation(np.flatnonzero(side))[: MOST // 2]
        if len(asked) and not side.all():
            rest = joined(t for t, mine in zip(train.texts, side, strict=True) if not mine)[0]
            parts.append(runs(train.take(np.sort(asked)), rest, window))
    own = [
        np.concatenate([getattr(p, name) for p in parts]) if parts else np.zeros(0) for name in ("longest", "copied")
    ]
    both = TextView(train.texts + unseen.texts)

    @cache
    def among() -> tuple[Runs, np.ndarray]:
        """What made passages share with training and unseen ones alike, and the one that holds the longest run of each."""
        known, at = joined(both.texts)
        shared = runs(made, known, window)
        return shared, np.searchsorted(at, shared.place, side="right") - 1

    verbatim = beyond(
        m.longest, u.longest, own[0], (lambda: (among()[0].longest, among()[1])) if case.apart else None, len(train)
    )
    copied = beyond(
        m.copied, u.copied, own[1], (lambda: (among()[0].copied, among()[1])) if case.apart else None, len(train)
    )
    return [
        _verbatim(verbatim, m, u, own[0], made, train, starts, seed),
        _rate(copied, m, u, window, seed),
        _near(train, unseen, made, SHINGLE[crowded], rng, case.apart),
    ]


def _verbatim(
    far: Beyond, m: Runs, u: Runs, own: np.ndarray, made: TextView, train: TextView, starts: np.ndarray, seed: int
) -> Finding:
    value, real = float(m.longest.max()), float(np.quantile(u.longest, 0.999))
    rng = np.random.default_rng([seed, 79])
    again = np.sort([m.longest[rng.integers(len(m.longest), size=len(m.longest))].max() for _ in range(200)])
    over = int((m.longest > real).sum())
    longest = np.argsort(-m.longest, kind="stable")[:SHOWN]
    within = ""
    if len(own):
        within = said(", of training passages beside the others {length:.0f}", length=np.quantile(own, 0.999))
    summary = (
        said(
            "The longest string shared with the training text has {value:.0f} characters; one in 1,000 "
            "unseen real passages shares {real:.0f}{within}. {over} of {n_made} made passages share more "
            "than {real:.0f}",
            value=value,
            real=real,
            within=within,
            over=over,
            n_made=len(made),
        )
        + far.due
        + (said(": training text was copied.") if far.raised else said("."))
    )
    detail = VerbatimRun(
        bar=far.bar,
        p=far.p,
        copies=far.count,
        n=far.n,
        over=over,
        runs=tuple(_shown(m, int(i), made, train, starts) for i in longest),
        quantiles=QUANTILES,
        made=_quantiles(m.longest),
        unseen=_quantiles(u.longest),
        within=_quantiles(own),
    )
    score = Score(value, float(again[5]), float(again[-6]), real, 0.0)
    limit = Limit(above=far.bar, only=said("by {least:,} or more of {n:,} passages", least=far.least, n=far.n))
    return scored("verbatim run", score, limit, summary, detail=detail, samples=far.samples, raised=far.raised)


def _quantiles(lengths: np.ndarray) -> Curve:
    return tuple(np.quantile(lengths, QUANTILES).tolist()) if len(lengths) else ()


def _shown(m: Runs, i: int, made: TextView, train: TextView, starts: np.ndarray) -> Run:
    """The longest run of made passage `i`, with what stands round it on both sides."""
    size, at = int(m.longest[i]), int(m.start[i])
    t = int(np.searchsorted(starts, m.place[i], side="right")) - 1
    there = int(m.place[i] - starts[t])
    return Run(
        made=made.row(i),
        start=at,
        length=size,
        train=train.row(t),
        there=there,
        before=made.texts[i][max(0, at - 60) : at],
        run=made.texts[i][at : at + size][:1000],
        after=made.texts[i][at + size : at + size + 60],
        train_before=train.texts[t][max(0, there - 60) : there],
        train_after=train.texts[t][there + size : there + size + 60],
    )


def _rate(far: Beyond, m: Runs, u: Runs, window: int, seed: int) -> Finding:
    rng = np.random.default_rng([seed, 83])
    value, real = (float(r.copied.sum() / max(1, r.windows.sum())) for r in (m, u))
    again = []
    for _ in range(200):
        some = rng.integers(len(m.copied), size=len(m.copied))
        again.append(float(m.copied[some].sum() / max(1, m.windows[some].sum())))
    low, high = (float(x) for x in np.quantile(again, [0.025, 0.975]))
    summary = said(
        "{value:.2%} of all strings of {window} characters occur in the training text; of those of "
        "unseen real text, {real:.2%}",
        value=value,
        window=window,
        real=real,
    ) + (
        said("; {count} of {n} passages hold more of them than real ones{due}.", count=far.count, n=far.n, due=far.due)
        if far.raised or far.due
        else said(".")
    )
    score, detail = (
        Score(value, low, high, real, 0.0),
        CopyRate(window=window, bar=far.bar, p=far.p, copies=far.count, n=far.n),
    )
    limit = Limit(
        also=said(
            "where {least:,} of {n:,} passages hold over {bar:.0f} copied strings each",
            least=far.least,
            n=far.n,
            bar=far.bar,
        )
    )
    return scored("copy rate", score, limit, summary, detail=detail, samples=far.samples, raised=far.raised)


def _near(
    train: TextView, unseen: TextView, made: TextView, size: int, rng: np.random.Generator, apart: bool
) -> Finding:
    index = Shingles(train, size)
    own = np.sort(rng.permutation(len(train))[:MOST])
    m, who = index.likeness(made)
    u, _ = index.likeness(unseen)
    w, _ = index.likeness(train.take(own), own)
    both = TextView(train.texts + unseen.texts)
    far = beyond(m, u, w, (lambda: Shingles(both, size).likeness(made)) if apart else None, len(train))
    value, (low, high) = far.count / far.n, wilson(far.count, far.n)
    order = np.argsort(-m, kind="stable")
    pairs = tuple((made.row(int(i)), train.row(int(who[i])), float(m[i])) for i in order[:SHOWN] if m[i] > 0)
    summary = (
        said(
            "{count} of {n} made passages ({value:.1%}) have over {bar:.0%} of their text, whatever its "
            "order, in one training passage; {real:.2%} of real ones do",
            count=far.count,
            n=far.n,
            value=value,
            bar=far.bar,
            real=far.real,
        )
        + far.due
        + (
            said(": training passages were copied and altered.")
            if far.raised
            else said("; no more than chance explains.")
        )
    )
    detail = NearCopies(
        bar=far.bar,
        p=far.p,
        copies=far.count,
        n=far.n,
        shingle=size,
        pairs=pairs,
        criterion="shares {:.0%} of its text",
    )
    score, limit = Score(value, low, high, far.real, 0.0), Limit(above=min(1.0, (far.least - 1) / far.n))
    found = scored("near copies", score, limit, summary, detail=detail, samples=far.samples, raised=far.raised)
    return beside(far.met, far.n, found)


class Shingles:
    """Which training passages hold which strings of `size` letters; case, spaces and marks do not count."""

    def __init__(self, train: TextView, size: int, step: int | None = None) -> None:
        """step: of all strings one in so many is kept, by its hash; by default as few as keep `SHINGLES`."""
        self.size, self.passages = size, len(train)
        total = sum(map(len, train.texts))
        self.step = np.uint64(max(1, math.ceil(total / SHINGLES)) if step is None else step)
        keys, owner = self._of(train)
        order = np.argsort(keys, kind="stable")
        self.keys, self.owner = keys[order], owner[order]

    @classmethod
    def of(cls, keys: np.ndarray, owner: np.ndarray, size: int, step: int, passages: int) -> Shingles:
        """What has the `keys` and `owner` of another one."""
        out = cls(TextView(()), size, step)
        out.keys, out.owner, out.passages = keys, owner, passages
        return out

    def _of(self, writing: TextView) -> tuple[np.ndarray, np.ndarray]:
        """Different shingles of each passage, hashed, and the passage of each."""
        codes, _ = joined(t.casefold() for t in writing.texts)
        passage = np.cumsum(codes == -1) - (codes == -1)
        kept = _letters(codes)
        codes, passage = codes[kept], passage[kept]
        if len(codes) < self.size:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        count = len(codes) - self.size + 1
        key = np.zeros(count, np.uint64)
        for i in range(self.size):
            key = key * np.uint64(0x9E3779B97F4A7C15) + codes[i : i + count].astype(np.uint64)
        key ^= key >> np.uint64(29)
        key *= np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(32)
        whole = (passage[:count] == passage[self.size - 1 :]) & (key % self.step == 0)
        key, owner = key[whole], passage[:count][whole]
        order = np.lexsort((key, owner))
        key, owner = key[order], owner[order]
        new = np.ones(len(key), bool)
        new[1:] = (key[1:] != key[:-1]) | (owner[1:] != owner[:-1])
        return key[new], owner[new]

    def likeness(self, writing: TextView, own: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per passage [n], the largest share of its shingles that one training passage holds, and which; `own` [n] is not."""
        key, owner = self._of(writing)
        count = np.bincount(owner, minlength=len(writing))
        low, high = (np.searchsorted(self.keys, key, side=side) for side in ("left", "right"))
        many = high - low
        some = (many > 0) & (many <= COMMON)
        low, many, owner = low[some], many[some], owner[some]
        total = int(many.sum())
        at = np.arange(total) - np.repeat(np.cumsum(many) - many, many) + np.repeat(low, many)
        mine, theirs = np.repeat(owner, many), self.owner[at]
        if own is not None:
            other = own[mine] != theirs
            mine, theirs = mine[other], theirs[other]
        pair, shared = np.unique(mine * self.passages + theirs, return_counts=True)
        mine, theirs = pair // self.passages, pair % self.passages
        order = np.lexsort((shared, mine))
        score, who = np.zeros(len(writing)), np.zeros(len(writing), np.int64)
        score[mine[order]] = shared[order]  # the last of each passage is its largest
        who[mine[order]] = theirs[order]
        return score / np.maximum(count, 1), who


def _letters(codes: np.ndarray) -> np.ndarray:
    """bool [n]: which code points are letters or digits."""
    known = np.unique(codes)
    is_letter = np.array([c >= 0 and chr(int(c)).isalnum() for c in known], bool)
    inside: np.ndarray = is_letter[np.searchsorted(known, codes)]
    return inside
