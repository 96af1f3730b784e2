"""What every idea of how to generate must offer: samples; and, for the one loop, players, turns and losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from karat.errors import DivergedError, FitError
from karat.space import BEGIN, NOTHING, UNLIMITED, Allowance, Batch, Space
from karat.space import Batches as Batches

Draw = Callable[
    [Tensor, Tensor, Tensor], Tensor
]  # codes [n], of three tensors of which the last says which rows they are of

Start = Callable[[Tensor, torch.Generator], Tensor]  # normal noise [n, ...] as drawn, to that with which to begin

COLD = 1e-4  # temperatures below which the likeliest is taken: logits over less are no numbers
SAME = 16  # times that a record is in the batch by whose loss it is weighed


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn from their logits.

    temperature: logits ** (1 / temperature); 0 takes the likeliest.   top_p: of the likeliest that hold this share together
    (https://arxiv.org/abs/1904.09751).   min_p: of those at least this share of the likeliest (https://arxiv.org/abs/2407.01082).
    chooser: given codes [n, k] that are to be gone on with, what has the last word in each step: of shares [n, vocab], codes [n]
    drawn of them and the rows [n] that they go on with, it makes codes [n].
    """

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    chooser: Callable[[Tensor, torch.Generator], Draw] | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.temperature < 100 and 0 < self.top_p <= 1 and 0 <= self.min_p < 1):
            raise FitError(
                f"temperature {self.temperature:g}, top_p {self.top_p:g}, min_p {self.min_p:g}: wanted a temperature from 0, "
                "top_p above 0 and at most 1, min_p from 0 and under 1."
            )

    @property
    def certain(self) -> bool:
        """Whether the likeliest is taken, with no chance in it."""
        return self.temperature < COLD

    def drawing(self, start: Tensor, rng: torch.Generator) -> Draw:
        """What draws the codes that follow `start` [n, k]: of logits [m, vocab], chances [m], and the rows [m] that go on."""
        if self.chooser is None or self.certain:
            return lambda logits, chance, rows: self.draw(logits, chance)
        chosen = self.chooser(start, rng)

        def draw(logits: Tensor, chance: Tensor, rows: Tensor) -> Tensor:
            shares = self.shares(logits)
            return chosen(shares, _drawn(shares, chance), rows)

        return draw

    def draw(self, logits: Tensor, chance: Tensor) -> Tensor:
        """Codes [n] from logits [n, vocab], each by its own number of `chance` [n] in [0, 1)."""
        return logits.argmax(1) if self.certain else _drawn(self.shares(logits), chance)

    def shares(self, logits: Tensor) -> Tensor:
        """How often each code is drawn [n, vocab], in any unit, where that is not `certain`."""
        share = (logits if self.temperature == 1 else logits / self.temperature).softmax(1)
        if self.min_p > 0:
            share = share.masked_fill(share < self.min_p * share.amax(1, keepdim=True), 0)
        if self.top_p < 1:
            falling, order = share.sort(stable=True, dim=1, descending=True)
            before = falling.cumsum(1) - falling
            beyond = before >= self.top_p * falling.sum(1, keepdim=True)
            beyond[:, 0] = False  # the likeliest stays, however little is to be held
            falling = falling.masked_fill(beyond, 0)
            share = torch.zeros_like(share).scatter(1, order, falling)
        return share


def _drawn(share: Tensor, chance: Tensor) -> Tensor:
    """Codes [n] of shares [n, vocab], each by its own number of `chance` [n] in [0, 1)."""
    reach = share.cumsum(1)
    if not bool(reach[:, -1].isfinite().all()):
        raise DivergedError("the logits of what comes next are not finite: lower --set model.lr and train again.")
    level = chance[:, None] * (reach[:, -1:] * (1 - 1e-6))  # under the end, however it is rounded
    return torch.searchsorted(reach, level, right=True)[:, 0]


PLAIN = Sampling()


@dataclass(frozen=True)
class Player:
    """Who owns an optimiser, and in which part of the budget he plays. `lr` is the peak; the loop owns its schedule."""

    module: nn.Module
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    start: float = 0.0
    stop: float = 1.0
    flat: float = 0.5  # share of his part that is played at the peak before the rate falls linearly to 0
    warmup: int = 50  # steps
    matrices: tuple[
        str, ...
    ] = ()  # names of the parameters of `module` that are (stacks of) matrices, for Muon; the rest: Adam
    matrix_lr: float = 0.02
    matrix_decay: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.start < self.stop <= 1 and 0 <= self.flat <= 1):
            raise FitError(
                f"a player has the part {self.start:g} to {self.stop:g} of the budget, {self.flat:g} of it at the peak rate; "
                "wanted shares in [0, 1], the start before the stop."
            )
        if not self.lr >= 0 or not all(0 <= b < 1 for b in self.betas):
            raise FitError(f"lr={self.lr:g}, betas={self.betas}: wanted a rate of at least 0 and betas in [0, 1).")


class Generator(nn.Module, ABC):
    """Whatever makes new points of a space.

    A family is one file exporting `Config` (a frozen dataclass with defaults that work) and `Model`
    (`Model(space, classes, config)`, where `classes` is the number of labels, 0 for none).
    """

    spaces: ClassVar[tuple[type, ...]]  # the types of space that the family can live in, the one it likes best first
    space: Space
    classes: int
    # the kernel through which rows of tables are drawn, its width and its factor; None for none: see `karat.synthesizer.widening`
    kernel: tuple[float, Tensor] | None = None
    fair: bool = False  # while learning, a model of half of the rows was found to draw those of the other half as often

    @property
    def conditional(self) -> bool:
        """Whether `sample` makes what `y` asks for."""
        return False

    @property
    def imputes(self) -> bool:
        """Whether `impute` works."""
        return False

    @property
    def device(self) -> torch.device:
        """Where it computes: where its weights are, the CPU for what has none of torch's."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @abstractmethod
    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        """Points [n, *space.shape] on rng.device, of classes `y` [n] where given. Chance comes only from `rng`."""

    @property
    def encodes(self) -> bool:
        """Whether `draw` and `decode` work: what is made comes from a space in which what lies near is alike."""
        return False

    def draw(self, n: int, y: Tensor | None, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Latents [n, d] of what `sample` would make of classes `y` [n] where given, and the classes that a decoder is told."""
        raise FitError("this family has no latent space; vae has one.")

    def decode(self, z: Tensor, rng: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Points [n, *space.shape] of latents [n, d], of classes `y` [n] where the decoder is told them."""
        raise FitError("this family has no latent space; vae has one.")

    @property
    def begins(self) -> bool:
        """Whether `started` and `noise` work: what is made follows from normal noise, which can be told from it again."""
        return False

    @property
    def noises(self) -> tuple[int, ...]:
        """The shape of that noise, of one point."""
        return ()

    def started(self, n: int, y: Tensor | None, rng: torch.Generator, start: Start) -> Tensor:
        """As `sample`, from the noise that `start` makes of what was drawn."""
        raise FitError("this recipe makes nothing of noise that could be told from it again; diffusion and ddpm do.")

    def noise(self, x: Tensor, tried: int) -> Tensor:
        """The noise [n, k, *noises] from which points `x` [n, *space.shape] were made, if they were, as far as can be told.

        One for each of the kinds that `x` may be of, at most the `tried` likeliest.
        """
        raise FitError("this recipe makes nothing of noise that could be told from it again; diffusion and ddpm do.")

    def impute(self, given: Tensor, rng: torch.Generator) -> Tensor:
        """Codes [n, columns] that equal `given` [n, columns] (long) wherever that is not -1, the rest drawn to fit it."""
        raise FitError("this family cannot fill in what is missing around given cells; trees and autoregressive can.")

    @property
    def passes(self) -> int:
        """How often a point passes the net while it is made."""
        return 1

    @property
    def steps(self) -> int:
        """How many `stages` there are."""
        return 1

    def stages(self, n: int, y: Tensor | None, rng: torch.Generator) -> Iterator[Callable[[], Tensor]]:
        """What shows the points after each step on the way to those of `sample`, which are the last."""
        yield lambda: self.sample(n, y, rng)

    @property
    def has_nll(self) -> bool:
        """Whether `nll` works."""
        return False

    def nll(self, stream: Tensor) -> Tensor:
        """Nats [k - 1] of each code of `stream` [k] (long, of `Tokens`) but the first, given those before it.

        However long the stream is: a window slides over it, no longer than what was learned from.
        """
        raise FitError("this family does not say how likely content is; autoregressive and ngram do.")

    @property
    def weighs(self) -> bool:
        """Whether `losses` works."""
        return self.has_nll

    def losses(self, points: Tensor, y: Tensor | None, seed: int) -> Tensor:
        """How badly each of `points` [n, *space.shape], of classes `y` [n] where given, fits what was learned, float64 [n].

        In whatever unit the family learns by, less for what fits better; the same chance for each, so that they compare.
        """
        if not self.has_nll:
            raise FitError("this family does not say how well a record fits what it learned.")
        kept = [row[row != NOTHING] for row in points]
        return torch.stack([self.nll(x.to(self.device)).double().mean().cpu() for x in kept])

    @property
    def continues(self) -> bool:
        """Whether `continuation` works."""
        return False

    def continuation(
        self, start: Tensor, y: Tensor | None, rng: torch.Generator, sampling: Sampling = PLAIN, most: int | None = None
    ) -> Iterator[Tensor]:
        """Codes [n] (long, of `Tokens`), one step after another, that follow `start` [n, k]; NOTHING for rows that ended.

        Of classes `y` [n] where given.   most: steps at most, by default to the space's length. Ends when all have ended.
        """
        raise FitError("this family does not continue what is begun; autoregressive and ngram do.")

    def passages(self, n: int, y: Tensor | None, rng: torch.Generator, sampling: Sampling) -> Tensor:
        """As `sample`, each code drawn as `sampling` says, where `continues`."""
        if not self.continues:
            raise FitError(
                "this family draws passages as a whole; autoregressive and ngram write them from left to right."
            )
        start = torch.full((n, 1), BEGIN, device=rng.device)
        return torch.stack([start[:, 0], *self.continuation(start, y, rng, sampling)], 1)

    def weights(self) -> dict[str, Tensor]:
        """All that it learned, by name."""
        return self.state_dict()

    def put(self, weights: dict[str, Tensor]) -> None:
        """Takes back what `weights()` gave; RuntimeError where they are of another model."""
        self.load_state_dict(weights)


class Stratified(Generator):
    """A generator that by itself draws points which together keep to what was learned, and so are not independent.

    Every point alone comes as it would by itself, and their order is random. Of other generators rows of tables are chosen
    from more than are wanted: `karat.synthesizer.drawing`.
    """

    @abstractmethod
    def sample(self, n: int, y: Tensor | None, rng: torch.Generator, independent: bool = False) -> Tensor:
        """As above; independent: no point is drawn with a look at the others."""

    @abstractmethod
    def impute(self, given: Tensor, rng: torch.Generator, independent: bool = False) -> Tensor:
        """As above; independent: no row is drawn with a look at the others."""


class Fitted(Generator):
    """A generator that learns in closed form or by its own library: trees, marginals, n-grams."""

    @abstractmethod
    def fit(self, points: Tensor, y: Tensor | None, seed: int, seconds: float | None) -> Iterator[float]:
        """Learns `points` [n, *space.shape] with labels `y` [n]; yields the share that is done, 1.0 last.

        seconds: how long it may take, None for as long as it wants; most take far less. The same seed gives the same.
        """

    def metrics(self) -> dict[str, float]:
        """Numbers by name of what is learned so far, for the history; what is private tells only what was paid for."""
        return {}


class Learned(Generator):
    """A generator that learns by gradient: a game of one or more players."""

    settling: ClassVar[float] = 0.0  # share of the budget kept for `settle`

    @property
    def finished(self) -> bool:
        """Whether it has learned all it can from these data, though there is budget left: the rate falls, the loop ends soon."""
        return False

    @property
    def weighs(self) -> bool:
        return True

    def losses(self, points: Tensor, y: Tensor | None, seed: int) -> Tensor:
        """As above, by the loss of the first player: of a batch that is one record `SAME` times over, each with other noise."""
        if self.has_nll:
            return Generator.losses(self, points, y, seed)
        out, first = [], self.turns()[0]
        for i, x in enumerate(points.to(self.device)):
            rng = torch.Generator(self.device).manual_seed(seed)
            kind = None if y is None else y[i : i + 1].to(self.device).expand(SAME)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                loss, _ = self.eval().loss(Batch(x.expand(SAME, *x.shape).clone(), kind, 1.0, rng), first)
            out.append(loss.detach().double().cpu())
        return torch.stack(out)

    @abstractmethod
    def players(self) -> dict[str, Player]:
        """Each player by name."""

    @abstractmethod
    def turns(self) -> tuple[str, ...]:
        """One round of the game, e.g. five times "critic", then "generator"."""

    @abstractmethod
    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        """The player's scalar loss, and what the diagnostics and the curves want to see."""

    @property
    def smallest(self) -> int:
        """Points in a batch, at least, from which it can learn: a batch that takes too long is made as small as that."""
        return 8

    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        """Before the first turn of `player`, and again when a run is continued, with the same result."""
        return None

    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        """Once, inside the budget, under the averaged weights: normalisation statistics, a fitted prior.

        time: how long it may take.   points: how many points were learned from.
        """
        return None
