"""What a tensor means: the only thing a kind of content and a kind of model share.

A codec turns content into points of a space, a family learns to make new points of it. Neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, isinf, prod

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Points are float `[channels, *size]` in [-1, 1]: pixels (2-D), waves (1-D)."""

    channels: int
    size: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, *self.size)

    @property
    def numel(self) -> int:
        return prod(self.shape)

    def nll(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of `x` [n, *shape] under a Gaussian round `squash(raw)` whose one width is the best for the batch.

        The mean and its gradient are those of numel/2 * log(MSE): Rybkin et al., "Simple and effective VAE training
        with calibrated decoders" (https://arxiv.org/abs/2006.13202), eq. 10, up to a constant.
        """
        error = (torch.tanh(raw) - x).float().square().flatten(1).mean(1)
        width = error.mean().detach().clamp_min(1e-8)
        return self.numel / 2 * (error / width - 1 + width.log())

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """A valid point for any finite `raw`."""
        return torch.tanh(raw)


@dataclass(frozen=True)
class Fields:
    """Points are float `[sum(widths)]`: width 1 is a number in [-1, 1], width k is one of k choices, one-hot."""

    widths: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(self.widths),)

    @property
    def numel(self) -> int:
        return sum(self.widths)

    def nll(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of `x` [n, sum(widths)]: best-width Gaussians for numbers, cross-entropy for choices."""
        total = raw.new_zeros(len(x), dtype=torch.float32)
        numbers, choices, within = self._parts(raw.device)
        if len(numbers):
            error = (torch.tanh(raw[:, numbers]).float() - x[:, numbers]).square()
            best = error.mean(0).detach().clamp_min(1e-8)
            total = total + (error / best - 1 + best.log()).sum(1) / 2
        if len(choices):
            # all choices at once; within +-40 neither a sum of exponentials nor its logarithm can overflow
            logits = raw[:, choices].float().clamp(-40, 40)
            total = total + (logits.exp() @ within).log().sum(1) - (logits * x[:, choices]).sum(1)
        return total

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Numbers through tanh; a choice drawn from the softmax with `rng`, or the likeliest one without."""
        numbers, choices, _ = self._parts(raw.device)
        if rng is not None:
            raw = raw.index_add(1, choices, self._chance(len(raw), len(choices), rng).to(raw.dtype))
        chosen, start = [], 0
        for part in raw.detach().split(self.widths, 1):
            if part.shape[1] > 1:
                chosen.append(part.argmax(1) + start)
            start += part.shape[1]
        out = torch.zeros_like(raw)
        if chosen:
            out = out.scatter(1, torch.stack(chosen, 1), 1.0)
        return out.index_copy(1, numbers, torch.tanh(raw[:, numbers]))

    def soften(self, raw: Tensor, temperature: float, rng: torch.Generator) -> Tensor:
        """As `squash`, but with a gradient: a choice is a softmax of `raw` and chance, the nearer to one-hot the colder.

        Jang et al., "Categorical reparameterization with Gumbel-softmax" (https://arxiv.org/abs/1611.01144).
        """
        numbers, choices, within = self._parts(raw.device)
        logits = (raw[:, choices].float() + self._chance(len(raw), len(choices), rng)) / temperature
        highest = logits.detach().new_full((len(raw), within.shape[1]), -torch.inf)
        which = within.nonzero()[:, 1]
        highest = highest.scatter_reduce(1, which.expand(len(raw), -1), logits.detach(), "amax")
        weight = (logits - highest[:, which]).exp()
        weight = weight / (weight @ within)[:, which]
        out = raw.new_zeros(raw.shape, dtype=torch.float32)
        return out.index_copy(1, numbers, torch.tanh(raw[:, numbers]).float()).index_copy(1, choices, weight)

    def _parts(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Places of the numbers, places of the choices' entries, and which choice [entries, choices] an entry is of."""
        return tuple(t.to(device) for t in _parts(self.widths))  # type: ignore[return-value]

    @staticmethod
    def _chance(n: int, k: int, rng: torch.Generator) -> Tensor:
        """Gumbel noise [n, k], by which the likeliest is as likely as its softmax."""
        return -torch.empty(n, k, device=rng.device).exponential_(generator=rng).clamp_min(1e-30).log()


@lru_cache(maxsize=16)
def _parts(widths: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    width = torch.tensor(widths)
    of = torch.arange(len(widths)).repeat_interleave(width)
    single = width[of] == 1
    within = F.one_hot(of[~single], len(widths))[:, width > 1].float()
    return single.nonzero()[:, 0], (~single).nonzero()[:, 0], within


@dataclass(frozen=True)
class Codes:
    """Points are long `[len(sizes)]`: cell j is one of `sizes[j]` codes; where `ordered[j]`, near codes are near values."""

    sizes: tuple[int, ...]
    ordered: tuple[bool, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.sizes),)

    @property
    def numel(self) -> int:
        return len(self.sizes)

    def nll(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of codes `x` [n, columns] under the softmax of each column's part of `raw` [n, sum(sizes)]."""
        total = raw.new_zeros(len(x), dtype=torch.float32)
        for j, part in enumerate(raw.split(self.sizes, 1)):
            total = total + F.cross_entropy(part.float(), x[:, j], reduction="none")
        return total

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Codes [n, columns] drawn from the softmax of each column's part with `rng`, or the likeliest without."""
        parts = [part.float() for part in raw.split(self.sizes, 1)]
        if rng is None:
            return torch.stack([part.argmax(1) for part in parts], 1)
        return torch.stack([torch.multinomial(part.softmax(1), 1, generator=rng)[:, 0] for part in parts], 1)


NOTHING, BEGIN, MORE, END = range(4)  # codes of `Tokens` that are no token; the first token's code is `MARKS`
MARKS = 4


@dataclass(frozen=True)
class Tokens:
    """Points are long `[length]`, codes below `vocab`: a sequence from left to right.

    The first code is BEGIN, or MORE where the sequence goes on from one that was cut; tokens follow; END where it ends
    before it is full, and NOTHING behind that. A sequence that is cut by its length has no END.
    """

    length: int
    vocab: int  # MARKS and tokens

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def numel(self) -> int:
        return self.length

    def nll(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats [n] of `x` [n, length] under the softmax of `raw` [n, length, vocab]; places that hold NOTHING are free."""
        each = F.cross_entropy(raw.float().flatten(0, 1), x.flatten(), reduction="none", ignore_index=NOTHING)
        return each.reshape(x.shape).sum(1)

    def squash(self, raw: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Codes [n, length] drawn from the softmax of `raw` with `rng`, or the likeliest; NOTHING behind the first END."""
        logits = raw.float()
        if rng is None:
            x = logits.argmax(2)
        else:
            x = torch.multinomial(logits.flatten(0, 1).softmax(1), 1, generator=rng).reshape(raw.shape[:2])
        return self.tidy(x)

    def tidy(self, x: Tensor) -> Tensor:
        """`x` [n, length] with NOTHING behind the first END of each sequence."""
        ended = (x == END).long().cumsum(1) - (x == END).long()
        return x.masked_fill(ended > 0, NOTHING)


Space = Grid | Fields | Codes | Tokens

JUDGED = 20  # records learned from, unseen and made, that a judge needs of each at least, and so a split leaves of each


Pair = tuple[Tensor, Tensor | None]  # points [n, *shape] and their labels [n]


@dataclass(frozen=True)
class Batches:
    """What there is to learn from: called with k, the k-th batch, pure in k."""

    rows: int  # how many points there are
    nth: Callable[[int], Pair]
    some: Callable[
        [int], Pair
    ]  # each of them once in a fixed order; where there are more than so many, that many spread evenly
    sized: Callable[[int], Batches] | None = None  # the same in batches of another size

    def __call__(self, k: int) -> Pair:
        return self.nth(k)


@dataclass(frozen=True)
class Allowance:
    """How long something may take.

    left: says how many seconds remain, by the clock that the budget is counted in; infinite for a budget not in time.
    preview: what is made is looked at and thrown away.
    """

    left: Callable[[], float] = lambda: inf
    preview: bool = False

    def part(self, share: float) -> Allowance:
        """That share of what remains now."""
        if isinf(now := self.left()):
            return self
        after = now * (1 - share)
        return replace(self, left=lambda: self.left() - after)

    def another(self, done: int, began: float) -> bool:
        """Whether one more fits that takes as long as each of the `done` ones, before which `began` seconds remained."""
        left = self.left()
        return done == 0 or isinf(began) or (left > 0 and left * done >= began - left)


UNLIMITED = Allowance()


@dataclass(frozen=True)
class Batch:
    """Points `x` [n, *shape], labels `y` [n] (long) or None, the fraction of the budget used, and where chance comes from."""

    x: Tensor
    y: Tensor | None
    progress: float
    rng: torch.Generator
