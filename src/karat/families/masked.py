"""Masked diffusion over tokens: codes are hidden at random and guessed from all that is left; to draw, all are hidden.

Sahoo et al., "Simple and effective masked diffusion language models" (https://arxiv.org/abs/2406.07524), with its linear
schedule: at time t a code is hidden with probability t, and a guess is weighed by 1/t. Codes may be given anywhere, so it
fills in what is missing as well as it begins anew. The logits start at what the two places on either side say by count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat import limits, nets
from karat.families.generator import Batches, Learned, Player
from karat.nets.bothways import BothWays
from karat.space import BEGIN, END, NOTHING, UNLIMITED, Allowance, Batch, Space, Tokens

AT_ONCE = 32  # sequences drawn together
BESIDE = (-2, -1, 1, 2)  # places whose codes are counted
COUNTED = 512  # codes up to which pairs are counted
SCANNED = 20_000  # sequences in which they are
EMPTY = 0.05  # weight of a place behind the end: that content ends is learned, not at the cost of what it says


@dataclass(frozen=True)
class Config:
    """Settings of the net and of the drawing."""

    width: int = 128
    depth: int = 4
    heads: int = 4
    steps: int = 128  # in which a whole sequence is drawn
    temperature: float = 0.9  # of the guesses: errors made side by side are not seen by each other
    least: float = 0.05  # share that is hidden at least, in learning
    unlabelled: float = 0.1  # share of points whose class is hidden in training, so that none can be asked for too
    lr: float = 4e-3  # of embeddings and head
    matrix_lr: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    flat: float = 0.4


class Model(Learned):
    """Player "net"."""

    spaces: ClassVar[tuple[type, ...]] = (Tokens,)

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        assert isinstance(space, Tokens)
        self.space, self.classes, self.config = space, classes, config
        self.hidden = space.vocab  # the code of what is hidden
        kinds = classes + 1 if classes else 0
        c = config
        self.net = BothWays(space.vocab + 1, space.vocab, kinds, width=c.width, depth=c.depth, heads=c.heads)
        # in what each of the places beside says
        self.net.register_parameter("trust", nn.Parameter(torch.tensor([0.3, 0.7, 0.7, 0.3])))
        self.register_buffer("share", torch.zeros(space.vocab))  # log share of each code
        pairs = space.vocab + 1 if space.vocab <= COUNTED else 0
        # logits of a code, given the code beside it, over its share; nothing is told by what is hidden
        self.register_buffer("pairs", torch.zeros(len(BESIDE), pairs, space.vocab if pairs else 0))

    share: Tensor
    pairs: Tensor

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def passes(self) -> int:
        return self.config.steps

    @property
    def imputes(self) -> bool:
        return True

    def players(self) -> dict[str, Player]:
        c = self.config
        matrices = BothWays.MATRICES
        return {"net": Player(self.net, c.lr, c.betas, flat=c.flat, matrices=matrices, matrix_lr=c.matrix_lr)}

    def turns(self) -> tuple[str, ...]:
        return ("net",)

    @torch.no_grad()
    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        x, _ = batch.some(SCANNED)
        vocab = self.hidden
        weight = torch.where(x == NOTHING, EMPTY, 1.0).double()
        single = torch.bincount(x.flatten(), weight.flatten(), minlength=vocab) + 0.1
        self.share.copy_((single / single.sum()).log())
        if not self.pairs.numel():
            return
        for table, step in zip(self.pairs, BESIDE, strict=True):
            here, there = (x[:, -step:], x[:, :step]) if step < 0 else (x[:, :-step], x[:, step:])
            count = torch.bincount((there * vocab + here).flatten(), minlength=vocab**2).reshape(vocab, vocab).double()
            prior = 20 * self.share.double().exp()
            logits = (count + prior) / (count.sum(1, keepdim=True) + 20)
            table[:vocab] = logits.log() - self.share

    def _logits(self, x: Tensor, kind: Tensor | None) -> Tensor:
        """Log-logits [b, length, vocab] at every place of `x` [b, length], what is hidden in it guessed."""
        logits = self.net(x, kind) + self.share
        if self.pairs.numel():
            trust = self.net.get_parameter("trust")
            for k, step in enumerate(BESIDE):
                beside = x.roll(-step, 1)  # x[i + step] at i
                if step < 0:
                    beside[:, :-step] = self.hidden
                else:
                    beside[:, -step:] = self.hidden
                logits = logits + trust[k] * F.embedding(beside, self.pairs[k])
        made: Tensor = logits
        return made

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        x, rng, c = batch.x, batch.rng, self.config
        n, device = len(x), x.device
        # times spread evenly over the batch: Kingma et al., https://arxiv.org/abs/2107.00630, appendix I.1
        at = (torch.rand(1, generator=rng, device=device) + torch.arange(n, device=device) / n) % 1
        t = c.least + (1 - c.least) * at
        hide = torch.rand(x.shape, generator=rng, device=device) < t[:, None]
        hide[:, 0] = False
        kind = None
        if self.classes:
            none = torch.full((n,), self.classes, device=device)
            dropped = torch.rand(n, generator=rng, device=device) < c.unlabelled
            kind = none if batch.y is None else torch.where(dropped, none, batch.y)
        logits = self._logits(x.masked_fill(hide, self.hidden), kind)
        weight = torch.where(x == NOTHING, EMPTY, 1.0)
        nats = F.cross_entropy(logits[hide], x[hide], reduction="none") * (weight / t[:, None])[hide]
        nll = nats.sum() / weight[:, 1:].sum()
        return nll, {"nll": nll.detach()}

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        return self._fill(torch.full((n, *self.space.shape), -1, device=rng.device), y, rng)

    def impute(self, given: Tensor, rng: torch.Generator) -> Tensor:
        return self._fill(given, None, rng)

    @torch.no_grad()
    def _fill(self, given: Tensor, y: Tensor | None, rng: torch.Generator) -> Tensor:
        self.eval()
        if not len(given):
            return given.clone()
        if y is None and self.classes:
            y = torch.full((len(given),), self.classes, device=given.device)
        parts = zip(given.split(AT_ONCE), [None] * len(given) if y is None else y.split(AT_ONCE), strict=False)
        return torch.cat([self._fill_some(part, kind, rng) for part, kind in parts])

    def _fill_some(self, given: Tensor, kind: Tensor | None, rng: torch.Generator) -> Tensor:
        """`given` [n, length] with all that is -1 drawn, place after place in an order of chance."""
        assert isinstance(self.space, Tokens)
        n, length = given.shape
        x = given.clone()
        x[:, 0] = torch.where(x[:, 0] < 0, BEGIN, x[:, 0])
        fixed = given >= END  # tokens and ends that are given: nothing ends before them, nothing follows an end
        goes_on = fixed.flip(1).cumsum(1).flip(1) - fixed.long() > 0
        ended = (given == END).cumsum(1) - (given == END).long() > 0
        x = torch.where(ended & (x < 0), NOTHING, x)
        wanted = x < 0
        x[wanted] = self.hidden
        # when each place is drawn; given ones never
        turn = torch.rand(n, length, generator=rng, device=rng.device).masked_fill(~wanted, 2.0)
        edges = torch.linspace(0, 1, self.config.steps + 1)
        fast = nets.quick(rng.device)
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            limits.pause()
            now = (turn >= low) & (turn < high)
            chance = torch.rand(n, length, generator=rng, device=rng.device)
            if not now.any():
                continue
            with torch.autocast(rng.device.type, fast, enabled=fast != torch.float32):
                logits = self._logits(x, kind)
            logits[..., BEGIN : BEGIN + 2] = -torch.inf  # what begins a sequence stands nowhere else
            logits[..., [NOTHING, END]] = logits[..., [NOTHING, END]].masked_fill(goes_on[..., None], -torch.inf)
            share = (logits[now] / self.config.temperature).softmax(1).cumsum(1)
            level = chance[now][:, None] * share[:, -1:] * (1 - 1e-6)
            x[now] = torch.searchsorted(share, level, right=True)[:, 0]
        # what ends without saying so says so
        first = (x == NOTHING).int().argmax(1, keepdim=True)
        first = first - (given.gather(1, first) == NOTHING).long()
        before = ((x == END) & (torch.arange(length, device=x.device) < first + 1)).any(1, keepdim=True)
        silent = (x == NOTHING).any(1, keepdim=True) & ~before & (given.gather(1, first) < 0)
        kept = self.space.tidy(x.scatter(1, first, torch.where(silent, END, x.gather(1, first))))
        return torch.where(given >= 0, given, kept)
