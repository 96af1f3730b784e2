"""Counts of n-grams, and a cache of what was just read: a generator of tokens that is fitted in about a second.

Modified Kneser-Ney (Chen & Goodman, https://people.eecs.berkeley.edu/~klein/cs294-5/chen_goodman.pdf), its discounts and the
share of the cache fitted to rows that were not counted. No net; what a net should be measured against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from karat import limits
from karat.errors import FitError, RunError
from karat.families.generator import PLAIN, Fitted, Sampling
from karat.space import BEGIN, END, MORE, NOTHING, Space, Tokens
from karat.stats.cache import SURE, Cache, Recent
from karat.stats.ngrams.grams import MOST, Grams
from karat.stats.ngrams.kneserney import KneserNey

LONGEST = 8  # codes of an n-gram, where nothing else is asked for
AT_ONCE = 256  # sequences drawn together
WIDE = 2**22  # chances worked on at once
FITTED_PLACES = 20_000  # places to which the cache's share is fitted
ROUNDS, TIGHT = 20, 20.0  # of that fit; places that its beginning is worth, for each of its kinds


@dataclass(frozen=True)
class Config:
    """Settings of the counts.

    order: codes of the longest n-gram; 0 for 8, or as many as go into 63 bits where there are many codes. Longer ones are
    left out where there would be more than eight million; those that tell nothing new get next to no weight.
    window: codes back that the cache looks; 0 for no cache.   folds: parts of the data, each of which is once not counted.
    most: codes counted; of more, rows spread evenly.
    """

    order: int = 0
    window: int = 512
    folds: int = 5
    most: int = 4_000_000

    def __post_init__(self) -> None:
        if self.order < 0 or self.order > 30 or self.window < 0 or not 2 <= self.folds <= 100 or self.most < 1:
            raise FitError(
                f"order={self.order}, window={self.window}, folds={self.folds}, most={self.most}: wanted an order from 0 to "
                "30, a window of at least 0, 2 to 100 folds and at least one code."
            )


class Model(Fitted):
    """Kneser-Ney counts mixed with a cache."""

    spaces: ClassVar[tuple[type, ...]] = (Tokens,)

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        if not isinstance(space, Tokens):
            raise FitError(f"n-grams are of Tokens, and these data are {type(space).__name__}.")
        self.space, self.classes, self.config = space, classes, config
        self.length, self.vocab = space.length, space.vocab
        bits = max(1, (space.vocab - 1).bit_length())
        self.order = config.order if config.order > 0 else max(2, min(LONGEST, 63 // bits))
        self.cache = Cache().requires_grad_(False)
        self.goes_on = 0.0  # share of the rows that begin with MORE
        self._counts: KneserNey | None = None
        self._nll: float | None = None

    @property
    def has_nll(self) -> bool:
        return True

    @property
    def continues(self) -> bool:
        return True

    @property
    def counts(self) -> KneserNey:
        """What was counted; FitError before that."""
        if self._counts is None:
            raise FitError("this model has not counted anything yet; train it first.")
        return self._counts

    def metrics(self) -> dict[str, float]:
        """Nats a token on rows that were not counted."""
        return {} if self._nll is None else {"nll": self._nll}

    def fit(self, points: Tensor, y: Tensor | None, seed: int, seconds: float | None) -> Iterator[float]:
        """Counts `points` [n, length]; nothing is left to chance."""
        rows = max(1, self.config.most // self.length)
        if len(points) > rows:
            points = points[torch.arange(rows) * len(points) // rows]
        self.goes_on = float((points[:, 0] == MORE).float().mean())
        grams = Grams(points, self.vocab, self.order, self.config.folds, MOST)
        yield 0.4
        self._counts = KneserNey(grams)
        yield 0.8
        if self.config.window:
            self._listen(grams)
        self._counts.forget()
        yield 1.0

    @torch.no_grad()
    def _listen(self, grams: Grams) -> None:
        """Fits the share of the cache to rows whose fold was not counted, by expectation maximisation."""
        length = min(self.length, self.config.window + 1)
        places = min(FITTED_PLACES, WIDE * 8 // self.vocab)
        given, cached, kind = [], [], []
        surely = Cache().requires_grad_(False)
        surely.share.fill_(40.0)
        for fold in range(grams.folds):
            for x in grams.rows(fold, places // grams.folds).split(max(1, WIDE // (self.vocab * length))):
                x = x[:, :length]
                chances = self.counts.along(x, torch.full_like(x[:, 0], fold)).exp_()
                sure = (chances.amax(2) * SURE).long().clamp(0, SURE - 1)
                mixed, longest = surely(x[:, :-1], chances)
                target = x[:, 1:, None]
                there = x[:, 1:] != NOTHING
                given.append(chances.gather(2, target)[..., 0][there])
                cached.append(mixed.gather(2, target)[..., 0][there])
                kind.append((longest * self.cache.share.shape[1] + sure)[there])
        p, c, k = torch.cat(given).double(), torch.cat(cached).double(), torch.cat(kind)
        begin = self.cache.share.double().sigmoid().flatten()
        share, seen = begin, torch.bincount(k, minlength=len(begin))
        for _ in range(ROUNDS):
            own = share[k] * c
            of = torch.bincount(k, own / (own + (1 - share[k]) * p), minlength=len(begin))
            share = (of + TIGHT * begin) / (seen + TIGHT)
        self._nll = -float((share[k] * c + (1 - share[k]) * p).log().mean())
        self.cache.share.copy_(share.logit().view_as(self.cache.share))

    @torch.no_grad()
    def nll(self, stream: Tensor) -> Tensor:
        counts, window = self.counts, self.config.window
        if not window or len(stream) < 2:
            return counts.nats(stream[None])[0]
        half, left, k = max(1, window // 2), counts.order - 1, len(stream)
        starts = torch.arange(0, max(1, k - 1 - half), half, device=stream.device)
        padded = F.pad(stream, (left, window + 1))
        out = stream.new_zeros(k - 1, dtype=torch.float32)
        for part in starts.split(max(1, WIDE // (self.vocab * (left + window + 1)))):
            x = padded[part[:, None] + torch.arange(left + window + 1, device=stream.device)]
            mixed, _ = self.cache(x[:, left:-1], counts.along(x)[:, left:].exp_())
            nats = -mixed.gather(2, x[:, left + 1 :, None])[..., 0].log()
            for start, row in zip(part.tolist(), nats, strict=True):
                skip = half if start else 0
                end = min(k - 1, start + window)
                out[start + skip : end] = row[skip : end - start]
        return out

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.passages(n, y, rng, PLAIN)

    def passages(self, n: int, y: Tensor | None, rng: torch.Generator, sampling: Sampling) -> Tensor:
        out = torch.full((n, self.length), NOTHING, device=rng.device)
        for part in out.split(AT_ONCE):
            goes_on = torch.rand(len(part), generator=rng, device=rng.device) < self.goes_on
            part[:, 0] = torch.where(goes_on, MORE, BEGIN)
            for place, codes in enumerate(self.continuation(part[:, :1], None, rng, sampling), 1):
                part[:, place] = codes
        return out

    @torch.no_grad()
    def continuation(
        self, start: Tensor, y: Tensor | None, rng: torch.Generator, sampling: Sampling = PLAIN, most: int | None = None
    ) -> Iterator[Tensor]:
        n, start = len(start), start.cpu()
        walk = self.counts.walk(start)
        recent = None
        if self.config.window:
            recent = Recent(self.cache, n, self.config.window)
            for codes in start[:, -self.config.window :].T.numpy():
                recent.step(codes)
        alive = torch.arange(n)
        draw = sampling.drawing(start, rng)
        for _ in range(self.length - start.shape[1] if most is None else most):
            limits.pause()
            chances = walk.chances()
            if recent is not None:
                chances = recent.mix(chances)[0]
            chance = torch.rand(n, generator=rng, device=rng.device).cpu()
            drawn = draw(torch.from_numpy(chances).log(), chance if len(alive) == n else chance[alive], alive)
            on = drawn != END
            out = drawn if len(alive) == n else torch.full((n,), NOTHING).index_copy_(0, alive, drawn)
            yield out.to(rng.device)
            if not bool(on.all()):
                rows = on.nonzero()[:, 0]
                if not len(rows):
                    return
                alive, drawn = alive[rows], drawn[rows]
                walk.keep(rows)
                if recent is not None:
                    recent.keep(rows.numpy())
            walk.step(drawn)
            if recent is not None:
                recent.step(drawn.numpy())

    def weights(self) -> dict[str, Tensor]:
        own = {"goes_on": torch.tensor(self.goes_on, dtype=torch.float64)}
        own |= {f"cache.{name}": value for name, value in self.cache.state_dict().items()}
        return own | {f"counts.{name}": value for name, value in self.counts.weights().items()}

    def put(self, weights: dict[str, Tensor]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"cache": {}, "counts": {}}
        for name, value in weights.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = value
        if "goes_on" not in weights:
            raise RunError("the weights in this run are not of an n-gram model; train it anew.")
        self.goes_on = float(weights["goes_on"])
        self.cache.load_state_dict(parts["cache"])
        self._counts = KneserNey.put(parts["counts"], self.vocab)
