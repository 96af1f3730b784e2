"""Causal transformer over tokens that starts from counts: its logits are added to those of n-grams and of what was just read.

The prior is modified Kneser-Ney, cross-fitted for the rows that the net learns from, mixed with a cache over the window; the
net is told the prior's logits and learns what is missing in them. On a few megabytes the counts are worth more than the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat import limits
from karat.errors import FitError
from karat.families.generator import PLAIN, Batches, Learned, Player, Sampling
from karat.nets import quick
from karat.nets.transformer import SingleSteps, Steps, Transformer
from karat.space import BEGIN, END, MORE, NOTHING, UNLIMITED, Allowance, Batch, Space, Tokens
from karat.stats.cache import LONGEST, Cache, Recent
from karat.stats.ngrams.grams import Grams, digest
from karat.stats.ngrams.kneserney import KneserNey

COUNTED = 4_000_000  # codes at most that the prior counts
NARROW = 512  # codes at most of which the net is told all the prior's logits
ASIDE = 32  # rows at most that are kept aside, 1 in 16
ONCE = 1.5  # passes over the data, up to which nothing can be learned by heart
AT_ONCE = 256  # sequences drawn together
WEIGHED = 4096  # codes weighed together


@dataclass(frozen=True)
class Config:
    """Settings of the transformer and of its prior.

    context: codes of a row learned from at once, over which the cache goes; more are cropped at random.   span: codes back that
    a layer sees.   prior_order: longest n-grams counted; 0 for none, and at most 5 where there are more than 256 codes.
    """

    context: int = 512
    span: int = 128
    width: int = 128
    depth: int = 4
    heads: int = 4
    prior_order: int = 9
    folds: int = 10  # parts of the data, each without which the prior is counted for the rows in it
    unlabelled: float = 0.1  # share of the rows that learn without their class
    patience: float = 0.3  # share of the turns so far without a gain on rows kept aside, after which learning ends
    lr: float = 4e-3
    matrix_lr: float = 0.02
    flat: float = 0.4  # share of the budget at the peak rate, before it falls to 0

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise FitError(
                f"width={self.width} with heads={self.heads}: wanted a width that is a multiple of 2 * heads."
            )


class Net(nn.Module):
    """All that learns by gradient."""

    def __init__(self, vocab: int, classes: int, features: int, c: Config) -> None:
        super().__init__()
        self.body = Transformer(
            vocab,
            vocab + bool(features),
            classes + 1 if classes else 0,
            features,
            width=c.width,
            depth=c.depth,
            heads=c.heads,
            span=c.span,
        )
        self.cache = Cache()
        self.scale = nn.Parameter(torch.ones(()))  # of the prior's logits


class _Counts:
    """Counts that copies of the model share: they never change."""

    def __init__(self, counts: KneserNey) -> None:
        self.of = counts

    def __deepcopy__(self, memo: dict[int, Any]) -> _Counts:
        return self


class Model(Learned):
    """Player "net"."""

    spaces: ClassVar[tuple[type, ...]] = (Tokens,)
    settling: ClassVar[float] = 0.01

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        assert isinstance(space, Tokens)
        self.space, self.classes, self.config = space, classes, config
        self.length, self.vocab = space.length, space.vocab
        self.order = config.prior_order if space.vocab <= 256 else min(config.prior_order, 5)
        features = 0 if not self.order else 2 + (self.vocab if self.vocab <= NARROW else 0)
        self.net = Net(space.vocab, classes, features, config)
        barred = torch.zeros(space.vocab)
        barred[[NOTHING, BEGIN, MORE]] = -1e4
        self.register_buffer("barred", barred, persistent=False)
        self.register_buffer("goes_on", torch.zeros(()))  # share of the rows that begin with MORE
        self.register_buffer("trust", torch.ones(()))  # in what the net adds to the prior
        self.register_buffer("turn", torch.zeros((), dtype=torch.long))
        self.register_buffer("least", torch.tensor(torch.inf))  # nll at rows kept aside, and in which turn it was
        self.register_buffer("least_at", torch.zeros((), dtype=torch.long))
        self._counts: _Counts | None = None
        self._aside: Tensor | None = None
        self._marks = torch.zeros(0, dtype=torch.long)
        self._rows = 1

    barred: Tensor
    goes_on: Tensor
    trust: Tensor
    turn: Tensor
    least: Tensor
    least_at: Tensor

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def has_nll(self) -> bool:
        return True

    @property
    def continues(self) -> bool:
        return True

    def players(self) -> dict[str, Player]:
        c = self.config
        matrices = tuple(f"body.{name}" for name in Transformer.MATRICES)
        return {
            "net": Player(
                self.net, lr=c.lr, betas=(0.9, 0.98), flat=c.flat, warmup=20, matrices=matrices, matrix_lr=c.matrix_lr
            )
        }

    def turns(self) -> tuple[str, ...]:
        return ("net",)

    @property
    def finished(self) -> bool:
        turn, least_at = int(self.turn), int(self.least_at)
        return least_at > 0 and turn - least_at > max(40, self.config.patience * turn)

    @torch.no_grad()
    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        """Counts n-grams, and keeps some rows aside."""
        x, y = batch.some(max(1, COUNTED // self.length))
        self._rows = batch.rows
        self.goes_on.copy_((x[:, 0] == MORE).float().mean())
        if self.order:
            self._counts = _Counts(KneserNey(Grams(x, self.vocab, self.order, self.config.folds)))
        marks = digest(x)
        chosen = (marks % 16 == 0).nonzero()[:ASIDE, 0]
        self._aside = x[chosen] if len(chosen) else None
        self._marks = marks[chosen]

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        x, y = batch.x, batch.y
        self.turn += 1
        kind = None
        if self.classes:
            drop = torch.rand(len(x), generator=batch.rng, device=x.device) < self.config.unlabelled
            kind = torch.zeros_like(drop, dtype=torch.long) if y is None else (y + 1).masked_fill(drop, 0)
        fold = self._fold(x)
        learned = ~torch.isin(digest(x), self._marks)
        nll, counted = self._nll(self._crop(x, batch.rng), fold, kind)
        mean = (nll * learned[:, None]).sum() / (counted * learned[:, None]).sum().clamp_min(1)
        metrics = {"nll": mean.detach()}
        if self._aside is not None:
            self._look_aside(len(x))
            if int(self.least_at):
                metrics["unseen"] = self.least.clone()
        return mean, metrics

    def _fold(self, x: Tensor) -> Tensor | None:
        return None if self._counts is None else self._counts.of.fold(x)

    def _crop(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """At most `context` + 1 codes of each row, at random places of those that are longer; without NOTHING in all rows."""
        longest = int((x != NOTHING).sum(1).max())
        x, wanted = x[:, :longest], self.config.context + 1
        if longest <= wanted:
            return x
        room = ((x != NOTHING).sum(1) - wanted).clamp_min(0)
        start = (torch.rand(len(x), generator=rng, device=x.device) * (room + 1)).long()
        return x.gather(1, start[:, None] + torch.arange(wanted, device=x.device))

    def _nll(self, x: Tensor, fold: Tensor | None, kind: Tensor | None, left: int = 0) -> tuple[Tensor, Tensor]:
        """Nats [b, T] of each code of `x` [b, left + T + 1] from the second on, and whether it counts.

        left: how many codes at the beginning only the prior sees.
        """
        log = features = None
        if self._counts is not None:
            given = self._counts.of.along(x, fold)[:, left:]
            x = x[:, left:]
            mixed, match = self.net.cache(x[:, :-1], given.exp_())
            log = mixed.log()
            features = _prior_features(log.detach(), match)
        logits = self._logits(self.net.body(x[:, :-1], features, kind), log)
        target = x[:, 1:]
        nats = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none", ignore_index=NOTHING)
        return nats.view(target.shape), target != NOTHING

    def _logits(self, raw: Tensor, log: Tensor | None) -> Tensor:
        return raw + self.barred if log is None else _joined(raw, log, self.trust, self.net.scale) + self.barred

    @torch.no_grad()
    def _unseen(self) -> Tensor:
        """Nats a code of the rows kept aside."""
        assert self._aside is not None
        total, count = torch.zeros((), device=self._aside.device), 0
        for rows in self._aside.split(4):
            kind = torch.zeros_like(rows[:, 0]) if self.classes else None
            nats, counted = self._nll(rows[:, : self.config.context + 1], self._fold(rows), kind)
            total += nats.sum()
            count += int(counted.sum())
        return total / max(1, count)

    def _look_aside(self, rows: int) -> None:
        """From the second pass over the data on, now and then: whether what is learned still holds of rows not learned from."""
        assert self._aside is not None
        turn, passed = int(self.turn), int(self.turn) * rows / self._rows
        if passed < ONCE or turn % max(1, 20 * len(self._aside) // rows) != 0:
            return
        unseen = self._unseen()
        if unseen < self.least:
            self.least.copy_(unseen)
            self.least_at.copy_(self.turn)

    @torch.no_grad()
    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        """Trusts the net as far as rows kept aside bear it out; the counts alone are the least that is had.

        Not where it saw its data but once: then what it says of them is as good for others.
        """
        self.eval()
        if self._aside is None or self._counts is None or points < ONCE * self._rows:
            return
        best, began = torch.tensor(torch.inf), time.left()
        for tried, trust in enumerate((1.0, 0.75, 0.5, 0.25, 0.0)):
            if not time.another(tried, began):
                break
            before = self.trust.clone()
            self.trust.fill_(trust)
            unseen = self._unseen()
            if unseen > best:
                self.trust.copy_(before)
                break
            best = unseen

    @torch.no_grad()
    def nll(self, stream: Tensor) -> Tensor:
        self.eval()
        device, window = self.device, self.config.context
        self._ready()
        half, left = max(1, window // 2), max(0, self.order - 1)
        k = len(stream)
        starts = torch.arange(0, max(1, k - 1 - half), half)
        padded = F.pad(stream.to(device), (left, window + 1))
        out = torch.zeros(k - 1, device=device)
        kind = torch.zeros(len(starts), dtype=torch.long, device=device) if self.classes else None
        quicker = quick(device) == torch.bfloat16
        for part in starts.split(max(1, WEIGHED // window)):
            at = part.to(device)[:, None] + torch.arange(left + window + 1, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=quicker):
                nats, _ = self._nll(padded[at], None, None if kind is None else kind[: len(part)], left)
            for start, row in zip(part.tolist(), nats, strict=True):
                skip = half if start else 0
                end = min(k - 1, start + window)
                out[start + skip : end] = row[skip : end - start]
        return out

    def _ready(self) -> None:
        if self.order and self._counts is None:
            raise FitError("this model has not counted anything yet; train it first.")

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.passages(n, y, rng, PLAIN)

    def passages(self, n: int, y: Tensor | None, rng: torch.Generator, sampling: Sampling) -> Tensor:
        out = torch.full((n, self.length), NOTHING, device=rng.device)
        for low in range(0, n, AT_ONCE):
            part = out[low : low + AT_ONCE]
            goes_on = torch.rand(len(part), generator=rng, device=rng.device) < self.goes_on.to(rng.device)
            part[:, 0] = torch.where(goes_on, MORE, BEGIN)
            asked = None if y is None else y[low : low + AT_ONCE]
            for place, codes in enumerate(self.continuation(part[:, :1], asked, rng, sampling), 1):
                part[:, place] = codes
        return out

    def continuation(
        self, start: Tensor, y: Tensor | None, rng: torch.Generator, sampling: Sampling = PLAIN, most: int | None = None
    ) -> Iterator[Tensor]:
        self.eval()
        self._ready()
        n, device = len(start), self.device
        most = self.length - start.shape[1] if most is None else most
        with torch.no_grad():
            decoding = _Decoding(self, start.to(device), y)
            alive = torch.arange(n, device=device)
        draw = sampling.drawing(start, rng)
        for _ in range(most):
            limits.pause()
            with torch.no_grad():
                chance = torch.rand(n, generator=rng, device=rng.device)
                codes = draw(decoding.logits, chance[alive].to(device), alive)
                nothing = torch.full((n,), NOTHING, device=device)
                out = codes if len(alive) == n else nothing.index_copy_(0, alive, codes)
                on = codes != END
            yield out.to(rng.device)
            if not bool(on.all()):
                if not bool(on.any()):
                    return
                rows = on.nonzero()[:, 0]
                alive, codes = alive[rows], codes[rows]
                decoding.keep(rows)
            with torch.no_grad():
                decoding.step(codes)

    def weights(self) -> dict[str, Tensor]:
        counts = {} if self._counts is None else self._counts.of.weights()
        return {**self.state_dict(), **{f"prior.{name}": value for name, value in counts.items()}}

    def put(self, weights: dict[str, Tensor]) -> None:
        counts = {name[6:]: value for name, value in weights.items() if name.startswith("prior.")}
        self.load_state_dict({name: value for name, value in weights.items() if not name.startswith("prior.")})
        if counts:
            self._counts = _Counts(KneserNey.put(counts, self.vocab))


def _prior_features(log: Any, match: Any) -> Any:
    """The input to the net made of the prior's logits [..., vocab] and of the longest match [...]; tensors, or arrays."""
    of: Any = torch if isinstance(log, Tensor) else np
    entropy = -(of.exp(log) * log).sum(-1)[..., None]
    parts = [entropy / 2, match[..., None] * (2 / LONGEST)]
    if log.shape[-1] <= NARROW:
        parts.append((log.clip(-12, 0) + 5) / 2)
    return of.concatenate(parts, -1)


def _joined(raw: Any, log: Any, trust: Any, scale: Any) -> Any:
    """The net's logits and the prior's; the last number that the net says is how far it believes the prior here."""
    return raw[..., :-1] * trust + log * (1 + trust * (scale - 1 + raw[..., -1:]))


class _Decoding:
    """n sequences that go on code by code; `logits` [n, vocab] are those of the next."""

    def __init__(self, model: Model, start: Tensor, y: Tensor | None) -> None:
        self.model = model
        n, device = len(start), start.device
        kind = None
        if model.classes:
            kind = torch.zeros(n, dtype=torch.long, device=device) if y is None else y.to(device) + 1
        self.steps: Steps | SingleSteps
        if n == 1 and device.type == "cpu":
            self.steps = SingleSteps(model.net.body, kind)
        else:
            dtype = quick(device) if n >= 64 or device.type != "cpu" else torch.float32
            self.steps = Steps(model.net.body, n, kind, dtype)
        self.trust, self.scale = float(model.trust), float(model.net.scale.detach())
        self.walk = self.recent = None
        tail = start[:, -model.config.context :]
        if model._counts is not None:
            self.walk = model._counts.of.walk(start[:, : -tail.shape[1]])
            self.recent = Recent(model.net.cache, n, model.config.context)
        for codes in tail.T:
            self.step(codes)

    def step(self, codes: Tensor) -> None:
        if self.walk is None or self.recent is None:
            self.logits = torch.as_tensor(self.steps.step(codes, None)) + self.model.barred
            return
        self.walk.step(codes)
        self.recent.step(codes.cpu().numpy())
        mixed, match = self.recent.mix(self.walk.chances())
        log = np.log(mixed)
        if isinstance(self.steps, SingleSteps):
            raw = self.steps.step(codes, _prior_features(log, match)[0])
            self.logits = torch.from_numpy(_joined(raw, log, self.trust, self.scale)) + self.model.barred
        else:
            there = torch.from_numpy(log).to(codes.device)
            features = _prior_features(there, torch.from_numpy(match).to(codes.device))
            self.logits = self.model._logits(self.steps.step(codes, features), there)

    def keep(self, rows: Tensor) -> None:
        self.steps.keep(rows)
        if self.walk is not None and self.recent is not None:
            self.walk.keep(rows)
            self.recent.keep(rows.cpu().numpy())
