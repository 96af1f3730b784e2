"""Autoregressive net over codes that knows every column given any set of the others, so that it can fill in what is missing.

An order-agnostic neural autoregressive model (Uria et al., "A deep and tractable density estimator",
https://arxiv.org/abs/1310.1757): a sum of embeddings says what is known of a row, and a small net for each column
turns it into the logits of that column's codes. Some of the rows learn with nothing given, the others with a random set
of cells given; what is not given follows in one fixed order, in training as in use. A column of many codes is spelled
in two digits, so that 100,000 codes cost as much as twice 317 (the two-level softmax of Goodman,
https://arxiv.org/abs/cs/0108006).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, isqrt, pi
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat import limits, nets
from karat.errors import FitError
from karat.families.generator import Batches, Learned, Player, Stratified
from karat.space import UNLIMITED, Allowance, Batch, Codes, Space
from karat.stats.copies import LOOKED, copies
from karat.stats.stratified import LEVELS, levels

SCANNED = 200_000  # rows whose codes are counted before learning
GROUPS = 16  # of a batch; the rows of a group have the same cells given
ASIDE = 100_000  # different rows, under which 1 in 16 is kept aside to see when learning turns to memorising
TOGETHER = 32_768  # rows drawn together
AT_ONCE = 2048  # of them that the net sees at once
SETTLED = 100_000  # rows that drawn ones are compared with
TRUST = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.0)  # in the net, less where it copies


@dataclass(frozen=True)
class Config:
    """Settings of an autoregressive net over codes."""

    known: int = 192  # width of the sum that says what is known of a row
    width: int = 128  # of the net of each column
    dropout: float = 0.2
    given: float = 0.5  # share of the rows that learn with a random set of cells given
    split: int = 256  # columns of more codes than this are spelled in two digits
    targets: int = 64  # digits learned in one step, at most
    patience: float = 0.3  # share of the turns so far without a gain on rows kept aside, after which learning ends
    lr: float = 4e-3
    betas: tuple[float, float] = (0.9, 0.99)
    flat: float = 0.2  # share of the budget at the peak rate, before it falls to 0


@dataclass(frozen=True)
class Digit:
    """One softmax: column `column` has code // step % size in it. `after`: how many codes the digit before it has, or 1."""

    column: int
    step: int
    size: int
    after: int = 1


def spell(sizes: tuple[int, ...], split: int) -> list[Digit]:
    """Each column as one digit, or as two where it has more than `split` codes."""
    out = []
    for j, size in enumerate(sizes):
        if size <= split:
            out.append(Digit(j, 1, size))
        else:
            base = isqrt(size - 1) + 1
            first = -(-size // base)
            out += [Digit(j, base, first), Digit(j, 1, base, first)]
    return out


class Net(nn.Module):
    """Embeddings of digits, and for each digit a net from what is known to the logits of its codes."""

    def __init__(self, digits: list[Digit], ordered: tuple[bool, ...], config: Config) -> None:
        super().__init__()
        n, known, width = len(digits), config.known, config.width
        total = sum(d.size for d in digits)
        self.embed = nn.Parameter(torch.randn(total, known))
        with torch.no_grad():  # near codes begin with near embeddings
            for d, part in zip(digits, self.embed.split([d.size for d in digits]), strict=True):
                if ordered[d.column] and d.size > 2:
                    part.copy_(waves(d.size) @ torch.randn(WAVES, known) / 2 + 0.3 * part)
        self.first = nn.Parameter(torch.randn(n, known, width) / known**0.5)
        self.second = nn.Parameter(torch.randn(n, width, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(2, n, 1, width))
        self.logits = nn.Parameter(torch.zeros(width, total))
        self.drop = config.dropout

    def forward(self, known: Tensor, which: list[int]) -> Tensor:
        """Hidden [k, b, width] of the k digits `which`, for what is known of the rows of each [k, b, known]."""
        h = F.layer_norm(known, known.shape[-1:])
        h = self._dropout(F.silu(torch.baddbmm(self.bias[0, which], h, self.first[which])))
        return h + self._dropout(F.silu(torch.baddbmm(self.bias[1, which], h, self.second[which])))

    def _dropout(self, h: Tensor) -> Tensor:
        """One mask for all digits: drawing one for each would cost as much as the products."""
        return h * F.dropout(torch.ones_like(h[0]), self.drop) if self.training and self.drop > 0 else h


LEAST = 40  # turns without a gain, at least, before learning ends
WAVES = 8


def _marks(x: Tensor) -> Tensor:
    """A hash [n] of each row of codes, the same wherever the row turns up."""
    mark = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for column in x.T:
        mark = (mark ^ column) * 0x100000001B3  # FNV-1a, whole codes for bytes; products wrap round
        mark = mark ^ (mark >> 29)
    return mark & (2**62 - 1)


def _distinct(marks: Tensor) -> tuple[Tensor, Tensor]:
    """The different values of `marks`, and where each comes first."""
    values, which = marks.unique(return_inverse=True)
    first = torch.full_like(values, len(marks)).scatter_reduce_(
        0, which, torch.arange(len(marks), device=marks.device), "amin"
    )
    return values, first


def waves(size: int) -> Tensor:
    """[size, WAVES] smooth functions of an ordered code."""
    at = (torch.arange(size) + 0.5)[:, None] / size
    return torch.cos(pi * at * torch.arange(1, WAVES + 1)) * 2**0.5


class Model(Learned, Stratified):
    """Player "net"."""

    spaces: ClassVar[tuple[type, ...]] = (Codes,)

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        assert isinstance(space, Codes)
        self.space, self.classes, self.config = space, classes, config
        self.sizes = space.sizes
        self.digits = spell(space.sizes, config.split)
        self.net = Net(self.digits, space.ordered, config)
        self.starts = [0]
        self.places = [0]
        for d in self.digits:
            self.starts.append(self.starts[-1] + d.size)
            self.places.append(self.places[-1] + d.size * d.after)
        self.register_buffer("share", torch.zeros(self.places[-1]))  # log shares of codes, given the digit before
        self.register_buffer("order", torch.arange(len(space.sizes)))  # in which columns are filled in
        self.register_buffer("turn", torch.zeros((), dtype=torch.long))
        self.register_buffer("least", torch.tensor(torch.inf))  # nll at rows kept aside, and in which turn it was
        self.register_buffer("least_at", torch.zeros((), dtype=torch.long))
        self.register_buffer("trust", torch.ones(()))  # in what the net adds to the columns' own shares
        self._aside: Tensor | None = None
        self._fast: tuple[Any, torch.dtype] | None = None

    share: Tensor
    order: Tensor
    turn: Tensor
    least: Tensor
    least_at: Tensor
    trust: Tensor

    @property
    def imputes(self) -> bool:
        return True

    def players(self) -> dict[str, Player]:
        c = self.config
        return {"net": Player(self.net, lr=c.lr, betas=c.betas, flat=c.flat, warmup=100)}

    def turns(self) -> tuple[str, ...]:
        return ("net",)

    @property
    def finished(self) -> bool:
        turn, least_at = int(self.turn), int(self.least_at)
        return self._aside is not None and turn - least_at > max(LEAST, self.config.patience * turn)

    @torch.no_grad()
    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        """Counts codes: the logits begin at every column's own shares, and columns of small entropy come first."""
        x, _ = batch(0)
        x = torch.cat([batch(k)[0] for k in range(-(-min(SCANNED, 400 * len(x)) // len(x)))])
        entropy = torch.zeros(len(self.sizes))
        for i, (d, code) in enumerate(zip(self.digits, self._spelled(x), strict=True)):
            before = x[:, d.column] // d.size if d.after > 1 else torch.zeros_like(code)
            count = torch.bincount(before * d.size + code, minlength=d.after * d.size).reshape(d.after, d.size).double()
            valid = torch.arange(d.after)[:, None] * d.size + torch.arange(d.size) < self.sizes[d.column]
            valid = valid.to(x.device) if d.after > 1 else torch.ones_like(count, dtype=torch.bool)
            logits = ((count + 0.1) * valid).clamp_min(1e-30)
            share = logits / logits.sum(1, keepdim=True)
            entropy[d.column] -= float((count / count.sum() * share.log()).sum())
            self.share[self.places[i] : self.places[i + 1]] = share.log().where(valid, -1e9).float().flatten()
        self.order.copy_(entropy.argsort(stable=True))
        marks = _marks(x)
        different, first = _distinct(marks)
        aside = x[first[different % 16 == 0]]
        self._aside = aside[:1024] if len(different) < ASIDE and len(aside) else None

    def _spelled(self, x: Tensor) -> Tensor:
        """Codes [n, columns] as digits [digits, n]."""
        return torch.stack([x[:, d.column] // d.step % d.size for d in self.digits])

    def _sequence(self) -> list[int]:
        """Digits in the order in which they are filled in."""
        of: dict[int, list[int]] = {}
        for i, d in enumerate(self.digits):
            of.setdefault(d.column, []).append(i)
        return [i for j in self.order.tolist() for i in of[j]]

    def _logits(self, i: int, hidden: Tensor, weight: Tensor, before: Tensor | None) -> Tensor:
        """Logits [b, size] of digit `i`; `before` [b] is the digit before it in its column."""
        d = self.digits[i]
        share = self.share[self.places[i] : self.places[i + 1]].reshape(d.after, d.size)
        if d.after > 1:
            assert before is not None
            share = share[before]
        return hidden @ (weight[:, self.starts[i] : self.starts[i + 1]] * self.trust.to(weight.dtype)) + share

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        if self._aside is None:
            nll = self._nll(batch.x, batch.rng).mean()
            return nll, {"nll": nll.detach()}
        self.turn += 1
        learned = (_marks(batch.x) % 16 != 0).float()
        nll = (self._nll(batch.x, batch.rng) * learned).sum() / learned.sum().clamp_min(1)
        if int(self.turn) % max(1, len(self._aside) // 50) == 0:
            self.eval()
            with torch.no_grad():
                unseen = self._nll(self._aside, torch.Generator(batch.x.device).manual_seed(6)).mean()
            self.train()
            if unseen < self.least:
                self.least.copy_(unseen)
                self.least_at.copy_(self.turn)
        return nll, {"nll": nll.detach(), "unseen": self.least.clone()}

    def _nll(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Nats a column [b] of the rows `x` [b, columns], with cells given at random to some of them."""
        device, n, rows = x.device, len(self.digits), len(x)
        groups = gcd(rows, GROUPS)
        sequence = self._sequence()
        codes = self._spelled(x)
        start = torch.tensor([self.starts[i] for i in sequence], device=device)
        index = (codes[sequence] + start[:, None]).reshape(n, groups, -1).transpose(0, 1)
        embedded = F.embedding(index, self.net.embed)  # [groups, digits in sequence, rows of a group, known]
        given = self._given(groups, sequence, rng)
        at = torch.arange(n, device=device)
        earlier = at[None, :] < at[:, None]
        # what is given comes first, so that of two given cells the earlier is still learned from and the later learned
        mask = torch.where(given[:, :, None], given[:, None, :] & earlier, given[:, None, :] | earlier)
        if n > self.config.targets:
            chosen = torch.randperm(n, generator=rng, device=device)[: self.config.targets].sort().values
            mask = mask[:, chosen]
            learned = [sequence[k] for k in chosen.tolist()]
        else:
            learned = sequence
        known = torch.bmm(mask.to(embedded.dtype), embedded.flatten(2))
        known = (
            known.reshape(groups, len(learned), -1, embedded.shape[-1]).transpose(0, 1).reshape(len(learned), rows, -1)
        )
        hidden = self.net(known, learned)
        nll = torch.zeros(rows, device=device)
        for h, i in zip(hidden, learned, strict=True):
            before = codes[i - 1] if self.digits[i].after > 1 else None
            logits = self._logits(i, h, self.net.logits, before).float()
            nll = nll + F.cross_entropy(logits, codes[i], reduction="none")
        mean: Tensor = nll * (n / len(learned) / len(self.sizes))
        return mean

    def _given(self, groups: int, sequence: list[int], rng: torch.Generator) -> Tensor:
        """Bool [groups, digits in sequence]: which cells are given, both digits of a column or none."""
        device, columns = rng.device, len(self.sizes)
        share = torch.rand(groups, 1, generator=rng, device=device)
        some = torch.rand(groups, 1, generator=rng, device=device) < self.config.given
        cells = some & (torch.rand(groups, columns, generator=rng, device=device) < share)
        return cells[:, [self.digits[i].column for i in sequence]]

    @torch.no_grad()
    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        """Believes the net no further than it makes rows that are not copies of those learned from."""
        self._fast = None
        if time.preview:
            return
        real = batch.some(SETTLED)[0].cpu().numpy()
        for trust in TRUST:
            self.trust.fill_(trust)
            rng = torch.Generator(self.device).manual_seed(7)
            if not copies(real, self.sample(LOOKED, None, rng).cpu().numpy()):
                break

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator, independent: bool = False) -> Tensor:
        if y is not None:
            raise FitError("this family makes no classes on request; give it cells to keep instead (--given).")
        return self.impute(torch.full((n, len(self.sizes)), -1, device=rng.device), rng, independent)

    @torch.no_grad()
    def impute(self, given: Tensor, rng: torch.Generator, independent: bool = False) -> Tensor:
        self.eval()
        parts = [self._complete(part, rng, not independent) for part in given.split(TOGETHER)]
        return torch.cat(parts) if len(given) else given.clone()

    def _levels(self, seen: Tensor, rng: torch.Generator, stratified: bool) -> Tensor:
        """Float32 [n] in [0, 1): how far up its logits each row's next code lies, for rows of whose digits `seen` [k, n] are."""
        if not stratified:
            return torch.rand(seen.shape[1], generator=rng, device=rng.device)
        chance = np.random.default_rng(int(torch.randint(1 << 62, (), generator=rng, device=rng.device)))
        return torch.from_numpy(levels(seen.T.cpu().numpy(), chance)).float().to(rng.device)

    def _complete(self, given: Tensor, rng: torch.Generator, stratified: bool) -> Tensor:
        if self._fast is None:
            dtype = nets.quick(rng.device)
            self._fast = (nets.fold(self.net).to(dtype), dtype)
        net: Any
        net, dtype = self._fast
        out = given.clone()
        wanted = given < 0
        known = torch.zeros(len(given), self.config.known, device=given.device)
        codes = self._spelled(given.clamp_min(0))
        for i, d in enumerate(self.digits):
            rows = (~wanted[:, d.column]).nonzero()[:, 0]
            if len(rows):
                known.index_add_(0, rows, net.embed[codes[i, rows] + self.starts[i]].float())
        sequence = self._sequence()
        for k, i in enumerate(sequence):
            d = self.digits[i]
            rows = wanted[:, d.column].nonzero()[:, 0]
            if not len(rows):
                continue
            heights = self._levels(codes[sequence[: min(k, LEVELS)]][:, rows], rng, stratified)
            for some, height in zip(rows.split(AT_ONCE), heights.split(AT_ONCE), strict=True):
                limits.pause()
                hidden = net(known[some].to(dtype)[None], [i])[0]
                logits = self._logits(i, hidden, net.logits, codes[i - 1, some] if d.after > 1 else None).float()
                reach = logits.softmax(1).cumsum(1)
                code = torch.searchsorted(reach, height[:, None] * (reach[:, -1:] * (1 - 1e-6)), right=True)[:, 0]
                codes[i, some] = code
                known.index_add_(0, some, net.embed[code + self.starts[i]].float())
        for i, d in enumerate(self.digits):
            if d.after > 1:
                code = codes[i - 1] * d.size + codes[i]
            elif d.step == 1:
                code = codes[i]
            else:
                continue
            out[:, d.column] = torch.where(wanted[:, d.column], code, given[:, d.column])
        return out
