"""Whether made text is as varied as real text, and its passages as long and laid out alike.

Distinct-n: https://arxiv.org/abs/1510.03055. Self-BLEU: https://arxiv.org/abs/1802.01886. MAUVE:
https://arxiv.org/abs/2102.01454; here on counts of letters and words instead of a language model's features, so that it
compares with nothing that papers print. All depend on how much text is looked at, which is the same for real and made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.chance import LEVEL, Draws, draw, least_of, limit_of, resampled
from karat.assays.details.passages import Lengths, Mauve, Variety
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.neighbours import nearest
from karat.assays.points.diversity import cells
from karat.assays.text.texts import Case
from karat.assays.text.writing import words
from karat.views import TextView
from karat.words import said, term

FINDS = ("length", "layout", "own-feature mauve", "distinct-2", "self-bleu")
SAMPLE = 500  # passages of a draw
MIXTURES = 25  # points of the divergence frontier
SCALE = 5.0


def distinct(ids: np.ndarray, n: int) -> float:
    """Different strings of `n` words over all of them; `ids` [passages, words]. Of "a b a b": 0.5 for 1, 2/3 for 2."""
    grams = np.lib.stride_tricks.sliding_window_view(ids, n, axis=1).reshape(-1, n)
    return len(np.unique(_keys(grams))) / len(grams)


def self_bleu(ids: np.ndarray, most: int = 4) -> float:
    """BLEU of each passage with all others as its references, mean; `ids` [passages, words], all equally long.

    The geometric mean of the precisions of one to `most` words; a count is clipped by the largest in any other passage.
    """
    logs = np.zeros(len(ids))
    for n in range(1, most + 1):
        grams = np.lib.stride_tricks.sliding_window_view(ids, n, axis=1)
        per = grams.shape[1]
        key = _keys(grams.reshape(-1, n))
        owner = np.repeat(np.arange(len(ids)), per)
        _, key = np.unique(key, return_inverse=True)
        pair, count = np.unique(key * len(ids) + owner, return_counts=True)
        gram, passage = pair // len(ids), pair % len(ids)
        order = np.lexsort((-count, gram))
        gram, passage, count = gram[order], passage[order], count[order]
        first = np.ones(len(gram), bool)
        first[1:] = gram[1:] != gram[:-1]
        start = np.flatnonzero(first)
        which = np.cumsum(first) - 1
        top = count[start]
        second = np.where(np.append(start[1:], len(gram)) - start > 1, count[np.minimum(start + 1, len(gram) - 1)], 0)
        other = np.where(first, second[which], top[which])  # the largest in another passage
        shared = np.bincount(passage, weights=np.minimum(count, other), minlength=len(ids))
        logs += np.log(np.maximum(shared, 0.1) / per)
    return float(np.exp(logs / most).mean())


def divergence_curve(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """[MIXTURES + 2, 2]: exp(-c KL) of `q` and of `p` [k] to mixtures of both, from (1, 0) to (0, 1).

    Pillutla et al., https://arxiv.org/abs/2102.01454, section 2.
    """
    p, q = p / p.sum(), q / q.sum()
    points = [(1.0, 0.0)]
    for weight in np.linspace(1e-6, 1 - 1e-6, MIXTURES):
        r = weight * p + (1 - weight) * q
        points.append((math.exp(-SCALE * _divergence(q, r)), math.exp(-SCALE * _divergence(p, r))))
    return np.array([*points, (0.0, 1.0)])


def frontier(p: np.ndarray, q: np.ndarray) -> float:
    """MAUVE of two histograms [k]: the area under the divergence frontier; 1 for equal ones."""
    points = divergence_curve(p, q)
    x, y = points[np.lexsort((-points[:, 1], points[:, 0]))].T
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())


def _divergence(p: np.ndarray, r: np.ndarray) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / r[some])).sum())


def _keys(grams: np.ndarray) -> np.ndarray:
    """One hash for each row of `grams` [n, k]."""
    key = np.zeros(len(grams), np.uint64)
    for column in grams.T:
        key = (key * np.uint64(0x9E3779B97F4A7C15) + column.astype(np.uint64) + np.uint64(1)) * np.uint64(
            0xBF58476D1CE4E5B9
        )
    return key


def findings(case: Case) -> list[Finding]:
    """Length, layout, MAUVE on own features, distinct-n and self-BLEU."""
    rng = np.random.default_rng([case.seed, 97])
    sides = case.train, case.unseen, case.made
    wide = draw(len(case.unseen), len(case.made), rng)
    return [*_shape(*sides, wide), _mauve(case.features, rng, case.seed), *_varied(*sides, rng)]


def _shape(train: TextView, unseen: TextView, made: TextView, draws: Draws) -> list[Finding]:
    """How far the lengths of passages and of lines, and the lines of a passage, are from training or from unseen ones.

    The nearer of the two counts, as everywhere here. Unseen passages are laid beside the unseen ones that are not drawn.
    """
    descriptors = {
        "length": (("characters of a passage", lambda t: [len(t)]),),
        "layout": (
            ("lines of a passage", lambda t: [t.count("\n") + 1]),
            ("characters of a line", lambda t: [len(t) / (t.count("\n") + 1)]),
            ("empty lines", lambda t: [sum(not line.strip() for line in t.split("\n"))]),
        ),
    }
    out = []
    for name, parts in descriptors.items():
        measured: list[tuple[Score, str, float, float]] = []
        for what, descriptor in parts:
            t, u, m = (np.array([descriptor(x)[0] for x in w.texts], float) for w in (train, unseen, made))

            def near(x: np.ndarray, rest: np.ndarray, t: np.ndarray = t) -> float:
                return min(_gap(x, t), _gap(x, rest))

            s = _sided(near, m, u, draws)
            measured.append((s, what, float(np.median(m)), float(np.median(u))))
        bad = [x for x in measured if limit_of(name, x[0], 0.05).broken(x[0].value)]
        s, what, mine, theirs = max(bad or measured, key=lambda x: x[0].value - x[0].real)
        summary = said(
            "{what}: the median is {mine:.4g} of what was made and {theirs:.4g} of unseen real text; "
            "Kolmogorov and Smirnov's distance from other real text is {value:.3f} and {real:.3f}.",
            what=term(what[0].upper() + what[1:]),
            mine=mine,
            theirs=theirs,
            value=s.value,
            real=s.real,
        )
        detail = Lengths(z=s.z, medians=tuple(x[1:] for x in measured))
        samples = power.scored(name, s.error, len(made), len(unseen), floor=s.real, beyond=0.05)
        limit = limit_of(name, s, 0.05)
        out.append(scored(name, s.clipped(0.0, 1.0), limit, summary, detail=detail, samples=samples, raised=bool(bad)))
    return out


def _gap(x: np.ndarray, base: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance of `x` [n] from `base` [m]."""
    points = np.unique(np.concatenate([x, base]))
    mine, theirs = (np.searchsorted(np.sort(v), points, side="right") / len(v) for v in (x, base))
    return float(np.abs(mine - theirs).max())


def _sided(of: Callable[[np.ndarray, np.ndarray], float], made: np.ndarray, unseen: np.ndarray, draws: Draws) -> Score:
    """The score `of` draws of made and of unseen passages, each beside as many unseen ones that are not in the draw."""
    every = np.arange(len(unseen))
    rest = {id(rows): np.setdiff1d(every, rows.numpy())[: draws.size] for rows in draws.unseen}
    mine = unseen[rest[id(draws.unseen[0])]]
    return resampled(lambda r: of(unseen[r.numpy()], unseen[rest[id(r)]]), lambda r: of(made[r.numpy()], mine), draws)


def _mauve(features: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator, seed: int) -> Finding:
    sides = [torch.nn.functional.normalize(x, dim=1) for x in features]
    draws = draw(len(sides[1]), len(sides[2]), rng)
    k = int(np.clip(draws.size // 10, 4, 100))
    centres = cells(torch.cat(sides)[rng.permutation(sum(map(len, sides)))], k, seed)
    t, u, m = (nearest(side, centres)[1].numpy() for side in sides)
    base = np.bincount(t, minlength=k).astype(float)

    def near(x: np.ndarray, rest: np.ndarray) -> float:
        mine, theirs = (np.bincount(which, minlength=k).astype(float) for which in (x, rest))
        return max(frontier(base, mine), frontier(theirs, mine))

    s = _sided(near, m, u, draws)
    # two samples of few passages fill the same few clusters and score 1 in every draw, though some have not been drawn
    s = replace(s, error=max(s.error, least_of(0.0, draws) / LEVEL))
    summary = said(
        "MAUVE over {k} clusters of passages is {value:.3f}; of unseen real text {real:.3f} (1 is the "
        "same distribution; on own features, so that it compares with no published MAUVE).",
        k=k,
        value=s.value,
        real=s.real,
    )
    detail, limit = Mauve(z=s.z, n=draws.size, buckets=k), limit_of("own-feature mauve", s, 0.03)
    samples = power.scored("own-feature mauve", s.error, len(m), len(u), beyond=0.03)
    return scored("own-feature mauve", s.clipped(0.0, 1.0), limit, summary, detail=detail, samples=samples)


def _varied(train: TextView, unseen: TextView, made: TextView, rng: np.random.Generator) -> list[Finding]:
    """Distinct-2 and self-BLEU of as many passages of as many words each; none where passages have too few words."""
    known: dict[str, int] = {}
    sides = []
    for w in (made, unseen, train.take(np.arange(min(len(train), 4000)))):
        sides.append([[known.setdefault(x, len(known)) for x in words(text)] for text in w.texts])
    size = int(min(np.quantile([len(x) for x in side], 0.3) for side in sides))
    size = min(size, 100)
    if size < 8:
        return []
    m, u, t = (np.array([x[:size] for x in side if len(x) >= size], np.int64) for side in sides)
    draws = draw(len(u), len(m), rng, SAMPLE)
    if draws.size < 10:
        return []
    t = t if len(t) >= draws.size else u
    out = []
    for name, of, least, what in (
        ("distinct-2", lambda x: distinct(x, 2), 0.02, "Different pairs of words among all"),
        ("self-bleu", self_bleu, 0.02, "BLEU of each passage against all others"),
    ):
        s = resampled(lambda r, of=of: of(u[r.numpy()]), lambda r, of=of: of(m[r.numpy()]), draws)  # type: ignore[misc]
        picks = [rng.permutation(len(t))[: draws.size] for _ in range(4)]
        own = float(np.mean([of(t[p]) for p in picks]))
        edges = sorted([s.real, own])
        gap = s.value - (edges[0] if s.value < edges[0] else edges[1] if s.value > edges[1] else s.value)
        error, reach = s.error, max(LEVEL * s.error, least)
        limit = Limit(above=edges[1] + reach, below=edges[0] - reach)
        sentence = said(
            "{what} in {n} passages of {size} words: {value:.3f}; in as much unseen real text {real:.3f}.",
            what=term(what),
            n=draws.size,
            size=size,
            value=s.value,
            real=s.real,
        )
        detail = Variety(z=gap / error if error else 0.0, n=draws.size, words=size, train=own)
        if name == "distinct-2":
            one, three = ((distinct(m[: draws.size], n), distinct(u[: draws.size], n)) for n in (1, 3))
            detail = replace(detail, distinct_1=one, distinct_3=three)
        samples = power.scored(name, s.error, len(m), len(u), beyond=least)
        out.append(scored(name, s.clipped(0.0, 1.0), limit, sentence, detail=detail, samples=samples))
    return out
