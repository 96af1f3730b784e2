"""Generative adversarial networks: one generator, one critic, and the losses that made them work.

Goodfellow et al. (https://arxiv.org/abs/1406.2661), the non-saturating form; hinge (Lim & Ye,
https://arxiv.org/abs/1705.02894); Wasserstein with gradient penalty (Gulrajani et al., https://arxiv.org/abs/1704.00028);
relativistic pairing with R1 and R2 (Huang et al., R3GAN, https://arxiv.org/abs/2501.05441); R1 (Mescheder et al.,
https://arxiv.org/abs/1801.04406), evaluated lazily (Karras et al., https://arxiv.org/abs/1912.04958). Classes enter as
extra noise for the generator and as a choice among the critic's outputs, which is the projection of Miyato & Koyama
(https://arxiv.org/abs/1802.05637) with a linear head. Without labels, k-means cells can take their place. The critic may judge
packs of points (Lin et al., PacGAN, https://arxiv.org/abs/1712.04086).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat import limits, nets
from karat.errors import FitError
from karat.families.generator import Batches, Learned, Player
from karat.space import UNLIMITED, Allowance, Batch, Fields, Grid, Space


@dataclass(frozen=True)
class Config:
    """Settings of an adversarial game."""

    net: Literal["auto", "conv", "mlp", "article"] = "auto"
    latent: int = 64
    width: int = 32  # of the generator at its largest grid
    critic_width: int = 32
    dropout: float = 0.0  # in the articles' discriminator
    loss: Literal["nonsaturating", "hinge", "wasserstein", "relativistic"] = "nonsaturating"
    penalty: Literal["none", "gp", "r1", "r1r2"] = "r1"
    gamma: float = 0.2  # weight of the penalty
    every: int = 16  # critic turns between two penalties; the weight is scaled up accordingly
    critics: int = 1  # critic turns before each generator turn
    conditional: bool = False  # on the data's labels
    cells: int = 0  # k-means cells that stand for labels where none are used
    augment: float = 0.0  # strength of differentiable augmentation, for small data
    lr: float = 2e-3
    critic_lr: float = 2e-3
    betas: tuple[float, float] = (0.5, 0.99)
    flat: float = 0.5  # share of the budget at the peak rate, before it falls to 0
    pack: int = 1  # points that the critic judges together (PacGAN), so that a lack of variety shows
    temperature: float = 0.2  # of choices among fields, as the critic sees them


class Model(Learned):
    """Players "critic" and "generator"."""

    spaces: ClassVar[tuple[type, ...]] = (Grid, Fields)
    settling: ClassVar[float] = 0.01

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        if config.conditional and classes == 0:
            raise FitError(
                "a conditional GAN needs labels and these data have none; sort them into one folder per class, "
                "or use --recipe gan."
            )
        self.space, self.classes, self.config = space, classes, config
        self.kinds = classes if config.conditional else config.cells
        if config.pack > 1 and self.kinds:
            raise FitError(
                f"pack={config.pack}: a critic of packs judges no classes; set cells=0 and conditional=false."
            )
        outputs = 1 + self.kinds
        self.generator = nets.generator(space, config.latent + self.kinds, width=config.width, net=config.net)
        self.critic = nets.critic(
            _packs(space, config.pack), outputs, width=config.critic_width, dropout=config.dropout, net=config.net
        )
        self.cells = nets.Cells(0 if config.conditional else config.cells, space.numel)
        self.register_buffer("share", torch.full((max(1, classes),), 1.0 / max(1, classes)))
        self._made: tuple[Tensor, Tensor | None] | None = None
        self._turn = 0
        self._fast: tuple[nn.Module, torch.dtype] | None = None

    share: Tensor

    @property
    def conditional(self) -> bool:
        return self.config.conditional

    def players(self) -> dict[str, Player]:
        c = self.config
        return {
            "critic": Player(self.critic, lr=c.critic_lr, betas=c.betas, flat=c.flat, warmup=100),
            "generator": Player(self.generator, lr=c.lr, betas=c.betas, flat=c.flat, warmup=100),
        }

    @property
    def smallest(self) -> int:
        return max(8, self.config.pack)

    def turns(self) -> tuple[str, ...]:
        return ("critic",) * self.config.critics + ("generator",)

    @torch.no_grad()
    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        if player != "critic":  # who plays first has prepared for both
            return
        x, y = batch(0)
        count = -(-min(nets.scanned(self.space), 400 * len(x)) // len(x))
        if y is not None and self.classes:
            labels = torch.cat([other for k in range(count) if (other := batch(k)[1]) is not None])
            self.share.copy_(torch.bincount(labels, minlength=self.classes) / len(labels))
        if len(self.cells.centre):
            rng = torch.Generator(x.device).manual_seed(3)
            self.cells.fit(torch.cat([batch(k)[0] for k in range(count)]), rng)

    def _kind(self, x: Tensor, y: Tensor | None) -> Tensor | None:
        """What the critic is told of real points: their class, their cell, or nothing."""
        if self.config.conditional:
            assert y is not None
            return y
        return self.cells.of(x) if self.kinds else None

    def _generate(self, kind: Tensor | None, n: int, rng: torch.Generator, net: nn.Module | None = None) -> Tensor:
        z = torch.randn(n, self.config.latent, generator=rng, device=rng.device)
        if kind is not None:
            # scaled so that the class is as loud as several noise numbers
            z = torch.cat([z, 2.0 * F.one_hot(kind, self.kinds).to(z.dtype)], 1)
        if net is not None:
            made: Tensor = net(z.to(next(net.parameters()).dtype))
            return made.float()
        raw: Tensor = self.generator(z)
        return raw

    def _packed(self, x: Tensor) -> Tensor:
        """[n, c, ...] as [n // pack, pack * c, ...]; what is left over is left out."""
        pack = self.config.pack
        if pack == 1:
            return x
        if len(x) < pack:
            raise FitError(
                f"pack={pack}: a batch of {len(x)} holds no whole pack; wanted train.batch of at least {pack}."
            )
        return x[: len(x) // pack * pack].reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])

    def _judge(self, x: Tensor, kind: Tensor | None, rng: torch.Generator) -> Tensor:
        """Scores [n]: how real `x` is, and how much it is of its kind."""
        scores: Tensor = self.critic(self._packed(nets.augment(x, self.space, self.config.augment, rng))).float()
        if kind is None:
            return scores[:, 0]
        return scores[:, 0] + scores[:, 1:].gather(1, kind[:, None])[:, 0]

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        rng = batch.rng
        if player == "critic":
            kind = self._kind(batch.x, batch.y)
            # The same made points serve the generator's turn: one forward pass for both players.
            raw = self._generate(kind, len(batch.x), rng).float()
            if isinstance(self.space, Fields):  # a choice that is made has no gradient
                made = self.space.soften(raw, self.config.temperature, rng)
            else:
                made = self.space.squash(raw, rng)
            self._made = (made, kind)
            return self._critic_loss(batch.x, made.detach(), kind, rng)
        assert self._made is not None, "the generator plays after a critic"
        made, kind = self._made
        self._made = None
        fake = self._judge(made, kind, rng)
        if self.config.loss == "relativistic":
            value = F.softplus(self._judge(batch.x, kind, rng) - fake).mean()
        elif self.config.loss == "nonsaturating":
            value = F.softplus(-fake).mean()
        else:
            value = -fake.mean()
        flat = made.detach().float().flatten(1)
        spread = flat.std(0).mean() / batch.x.flatten(1).std(0).mean().clamp_min(1e-6)
        return value, {"generator": value.detach(), "spread": spread}

    def _critic_loss(
        self, real: Tensor, made: Tensor, kind: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        c = self.config
        # a pure function of the step's own chance, so that a resumed run takes the same turns
        penal = c.penalty != "none" and (
            c.every <= 1 or int(torch.randint(c.every, (1,), generator=rng, device=rng.device)) == 0
        )
        if penal and c.penalty in ("r1", "r1r2"):
            real = real.detach().requires_grad_(True)
            if c.penalty == "r1r2":
                made = made.detach().requires_grad_(True)
        true, fake = self._judge(real, kind, rng), self._judge(made, kind, rng)
        if c.loss == "nonsaturating":
            value = F.softplus(-true).mean() + F.softplus(fake).mean()
        elif c.loss == "hinge":
            value = F.relu(1 - true).mean() + F.relu(1 + fake).mean()
        elif c.loss == "relativistic":
            value = F.softplus(fake - true).mean()
        else:
            value = fake.mean() - true.mean()
        metrics = {
            "critic": value.detach(),
            "separated": ((true > 0).float().mean() + (fake < 0).float().mean()).detach() / 2,
        }
        if c.loss in ("wasserstein", "relativistic"):
            metrics["separated"] = (true[:, None] > fake[None]).float().mean().detach()
            metrics["gap"] = (true.mean() - fake.mean()).detach()
        if penal:
            value = value + c.gamma * max(1, c.every) * self._penalty(real, made, true, fake, kind, rng)
        return value, metrics

    def _penalty(
        self, real: Tensor, made: Tensor, true: Tensor, fake: Tensor, kind: Tensor | None, rng: torch.Generator
    ) -> Tensor:
        if self.config.penalty == "gp":
            shape = (len(real),) + (1,) * (real.dim() - 1)
            mix = torch.rand(shape, generator=rng, device=real.device)
            between = (mix * real + (1 - mix) * made).detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self._judge(between, kind, rng).sum(), between, create_graph=True)
            steepness: Tensor = self._packed(slope).float().flatten(1).norm(dim=1)
            return (steepness - 1).square().mean()  # eq. 3 of the WGAN-GP paper
        (slope,) = torch.autograd.grad(true.sum(), real, create_graph=True)
        value = slope.float().square().flatten(1).sum(1).mean() / 2
        if self.config.penalty == "r1r2":
            (slope,) = torch.autograd.grad(fake.sum(), made, create_graph=True)
            value = value + slope.float().square().flatten(1).sum(1).mean() / 2
        return value

    @torch.no_grad()
    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        self._fast = None
        rng = torch.Generator(self.device).manual_seed(4)
        count = min(200 if time.preview else 400, nets.at_once(self.space))
        nets.refresh_norms(
            self.generator,
            lambda k: _drop(self._generate(self._kind_of(None, count, rng), count, rng)),
            3 if time.preview else nets.ROUNDS,
            time,
        )

    def _kind_of(self, y: Tensor | None, n: int, rng: torch.Generator) -> Tensor | None:
        if not self.config.conditional:
            return self.cells.draw(n, rng) if self.kinds else None
        return torch.multinomial(self.share, n, replacement=True, generator=rng) if y is None else y

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        self.eval()
        if y is not None and not self.config.conditional:
            raise FitError("this GAN was not trained on classes; use --recipe cgan, vae or diffusion for --class.")
        if self._fast is None:
            dtype = nets.quick(rng.device) if isinstance(self.space, Grid) else torch.float32
            self._fast = (nets.fold(self.generator).to(dtype), dtype)
        out = []
        for i in range(0, n, 1024):
            limits.pause()
            m = min(1024, n - i)
            kind = self._kind_of(None if y is None else y[i : i + m], m, rng)
            out.append(self.space.squash(self._generate(kind, m, rng, self._fast[0]), rng))
        return torch.cat(out)


def _packs(space: Space, pack: int) -> Space:
    """The space of packs of points, laid side by side."""
    if pack == 1:
        return space
    if isinstance(space, Grid):
        return Grid(space.channels * pack, space.size)
    assert isinstance(space, Fields)
    return Fields(space.widths * pack)


def _drop(_: Tensor) -> None:
    return None
