"""How many bits a model needs for held-out text, beside counts and packers that read the same training text.

Bits per byte and per character compare across tokens, perplexity does not.
"""

from __future__ import annotations

import gzip
import lzma
import math
from collections.abc import Sequence

import numpy as np

from karat.assays.chance import LEVEL
from karat.assays.details.passages import Bits
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.text.fluency import Counted
from karat.words import said, term, together

ORDER = 7
MOST = 8_000_000  # characters of the training text that the counts and the packers read, the last ones
BLOCK = 512  # codes that vary together
LEAST = 0.02  # bits


def findings(nats: Sequence[np.ndarray], held: Sequence[str], known: Sequence[str]) -> list[Finding]:
    """Bits per character and per byte of the held-out texts `held`, of which the model has said `nats`, one array for each.

    known: the training text, in pieces that are on end.
    """
    characters, size = sum(map(len, held)), sum(len(text.encode()) for text in held)
    if not characters:
        return []
    blocks = [part.sum() for one in nats for part in np.array_split(one, max(1, len(one) // BLOCK))]
    sums = np.array(blocks) / math.log(2)
    error = float(sums.std(ddof=1)) * math.sqrt(len(sums)) if len(sums) > 1 else math.nan
    own = float(sums.sum())
    read: list[str] = []
    room = MOST
    for text in reversed(known):
        if room <= 0:
            break
        read.insert(0, text[-room:])
        room -= len(text)
    rows = [
        ("this model", own),
        (said("counts of {n} characters", n=ORDER), _counted(read, held)),
        *_packed(read, held),
    ]
    out = []
    for name, unit in (("bits per character", characters), ("bits per byte", size)):
        baselines = tuple((what, total / unit) for what, total in rows)
        value, ngram = baselines[0][1], baselines[1][1]
        spread = error / unit
        limit = Limit(above=ngram + (max(LEVEL * spread, LEAST) if math.isfinite(spread) else LEAST))
        others = together((term(what) + f" {needs:.3f}" for what, needs in baselines[1:]), "; ")
        summary = said(
            "{value:.3f} {name} on {characters:,} held-out characters; {others}",
            value=value,
            name=term(name),
            characters=characters,
            others=others,
        )
        summary += said(": n-gram counts do better.") if limit.broken(value) else said(".")
        detail = Bits(rows=baselines, characters=characters, bytes=size)
        score = Score(value, value - 1.96 * spread, value + 1.96 * spread, ngram, spread)
        beside = said("counts of {n} characters", n=ORDER)  # text has no bits of its own: two models of it are compared
        out.append(scored(name, score, limit, summary, detail=detail, beside=beside))
    return out


def _counted(known: Sequence[str], held: Sequence[str]) -> float:
    """Bits that modified Kneser-Ney counts of `known` need for `held`."""
    bits, starts, sizes = Counted(known, ORDER).bits(held)
    return float(sum(bits[a : a + n].sum() for a, n in zip(starts, sizes, strict=True)))


def _packed(known: Sequence[str], held: Sequence[str]) -> list[tuple[str, float]]:
    """Bits that xz adds for `held` when it has packed `known`, and gzip's of `held`: it looks back no further than 32 KB."""
    before, after = "".join(known).encode(), "".join(held).encode()
    more = len(lzma.compress(before + after)) - len(lzma.compress(before))
    return [("xz after the training text", 8.0 * more), ("gzip", 8.0 * len(gzip.compress(after, 9)))]
