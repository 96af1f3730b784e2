"""Diffusion and flow matching: learn to denoise, then walk from noise to data in few steps.

A noisy point is alpha(t) x + sigma(t) noise. Three ways to set the clock: flow matching (Lipman et al.,
https://arxiv.org/abs/2210.02747), EDM (Karras et al., https://arxiv.org/abs/2206.00364) and the cosine
variance-preserving schedule of DDPM (Ho et al., https://arxiv.org/abs/2006.11239; Nichol & Dhariwal, https://arxiv.org/abs/2102.09672).
Samplers: Euler and Heun on dx/dt = alpha' x + sigma' noise, DDIM (Song et al., https://arxiv.org/abs/2010.02502), with
classifier-free guidance (Ho & Salimans, https://arxiv.org/abs/2207.12598). In the latent space of a VAE, when asked
(Rombach et al., https://arxiv.org/abs/2112.10752); without labels, conditioned on k-means cells, or on the components
of a mixture fitted to the latents, from which the walk then begins: it has only to mend what the mixture gets wrong.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from karat import limits, nets
from karat.errors import FitError
from karat.families import vae
from karat.families.generator import Batches, Learned, Player, Start
from karat.space import UNLIMITED, Allowance, Batch, Fields, Grid, Space

BACK, FIXED = 20, 2  # steps back to the noise, at most, and turns towards the point from which each came
LOOKS = (0.3, 0.5, 0.7)  # times at which kinds are compared


@dataclass(frozen=True)
class Config:
    """Settings of a denoiser and of the walk from noise to data."""

    net: Literal["auto", "conv", "mlp"] = "auto"
    parametrisation: Literal["flow", "edm", "ddpm"] = "flow"
    sampler: Literal["heun", "euler", "ddim"] = "heun"
    steps: int = 10
    guidance: float = 1.0  # 1 is none; above 1 trades diversity for likeness to the class
    unlabelled: float = 0.1  # share of points whose class is hidden in training, so that guidance has a baseline
    cells: int = 0  # k-means cells that stand for labels where the data has none
    conditional: bool = True  # on the labels, where there are any
    source: Literal["normal", "mixture"] = "normal"  # where the walk in a latent space begins, without labels
    latent: bool = False  # learn in the latent space of a VAE that is trained first
    share: float = 0.6  # of the budget that the VAE gets
    width: int = 32
    depth: int = 1
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.99)
    flat: float = 0.4
    vae: vae.Config = field(default_factory=vae.Config)


class Model(Learned):
    """Player "denoiser", after player "autoencoder" when it works in a latent space."""

    spaces: ClassVar[tuple[type, ...]] = (Grid, Fields)
    settling: ClassVar[float] = 0.005

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.space, self.classes, self.config = space, classes, config
        self.kinds = classes if classes and config.conditional else config.cells
        self.vae: vae.Model | None = None
        self.denoiser: nn.Module
        if config.latent:
            self.vae = vae.Model(space, classes if config.conditional else 0, config.vae)
            dim = config.vae.latent
            self.denoiser = nets.residual(dim, width=config.width, depth=config.depth, conditions=self.kinds)
            features = dim
        else:
            self.denoiser = nets.denoiser(
                space, width=config.width, depth=config.depth, conditions=self.kinds, net=config.net
            )
            dim, features = 1, space.numel
        self.mixture: nets.Mixture | None = None
        if config.latent and config.source == "mixture" and self.kinds != classes:
            self.mixture = nets.Mixture(self.kinds, dim)
        self.cells = nets.Cells(0 if self.kinds == classes or self.mixture is not None else self.kinds, features)
        self.register_buffer("shift", torch.zeros(dim))  # latents are standardised; points are left as they are
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("spread", torch.tensor(0.5))  # sigma_data of EDM
        self.register_buffer("share", torch.full((max(1, classes),), 1.0 / max(1, classes)))
        self._pool: tuple[Tensor, Tensor, Tensor] | None = None

    shift: Tensor
    scale: Tensor
    spread: Tensor
    share: Tensor

    @property
    def conditional(self) -> bool:
        return self.classes > 0 and self.kinds == self.classes

    @property
    def passes(self) -> int:
        c = self.config
        return c.steps * (2 if c.sampler == "heun" else 1) * (2 if c.guidance != 1 and self.kinds else 1)

    def players(self) -> dict[str, Player]:
        c = self.config
        start = 0.0
        out: dict[str, Player] = {}
        if self.vae is not None:
            start = c.share
            for name, player in self.vae.players().items():
                out[name] = replace(player, start=player.start * start, stop=player.stop * start)
        out["denoiser"] = Player(self.denoiser, lr=c.lr, betas=c.betas, start=start, flat=c.flat, warmup=100)
        return out

    def turns(self) -> tuple[str, ...]:
        return ("denoiser",) if self.vae is None else (*self.vae.turns(), "denoiser")

    @torch.no_grad()
    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        if player != "denoiser":
            assert self.vae is not None
            self.vae.prepare(batch, player, time)
            return
        x, y = batch(0)
        rng = torch.Generator(x.device).manual_seed(5)
        if self.vae is not None:
            mean, deviation, y = self.vae.posterior(batch, min(vae.POINTS, vae.ENCODINGS * batch.rows), time.part(0.5))
            z = mean + deviation * torch.randn(mean.shape, generator=rng, device=mean.device)
            self.shift.copy_(z.mean(0))
            self.scale.copy_(z.std(0).clamp_min(1e-3))
            points = (z - self.shift) / self.scale
        else:
            count = -(-min(nets.scanned(self.space), 400 * len(x)) // len(x))
            parts = [batch(k) for k in range(count)]
            points = torch.cat([p for p, _ in parts])
            y = torch.cat([q for _, q in parts if q is not None]) if y is not None else None
        self.spread.copy_(points.std())
        if y is not None and self.classes:
            self.share.copy_(torch.bincount(y, minlength=self.classes) / len(y))
        if len(self.cells.centre):
            self.cells.fit(points[:20_000], rng)
        if self.mixture is not None:
            self.mixture.fit(points, rng, iterations=20, time=time.part(0.7))
            self._pool = (mean, deviation, self.mixture.of(points, rng))
        elif self.vae is not None:
            kind = (
                y
                if y is not None and self.classes and self.kinds == self.classes
                else (
                    self.cells.of(points) if self.kinds else torch.zeros(len(points), dtype=torch.long, device=x.device)
                )
            )
            self._pool = (mean, deviation, kind)

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        if player != "denoiser":
            assert self.vae is not None
            return self.vae.loss(batch, player)
        rng, n = batch.rng, len(batch.x)
        if self.vae is not None:
            assert self._pool is not None, "prepare fills the pool before the denoiser's first turn"
            mean, deviation, kinds = self._pool
            # latents are cheap: a large batch of them, drawn anew from the posterior each time
            rows = torch.randint(len(mean), (max(512, n),), generator=rng, device=mean.device)
            z = mean[rows] + deviation[rows] * torch.randn(
                (len(rows), mean.shape[1]), generator=rng, device=mean.device
            )
            x, kind = (z - self.shift) / self.scale, kinds[rows]
            if self.mixture is not None:
                x = self.mixture.whitened(kind, x)
            n = len(x)
        else:
            x, kind = batch.x, self._kind(batch.x, batch.y)
        hidden = torch.rand(n, generator=rng, device=x.device) < self.config.unlabelled
        kind = torch.where(hidden, self.kinds, kind) if self.kinds else kind
        t = self._times(n, rng, x.device)
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        shape = (n,) + (1,) * (x.dim() - 1)
        alpha, sigma, _, _ = self._clock(t)
        noisy = alpha.reshape(shape) * x + sigma.reshape(shape) * noise
        clean, predicted = self._predict(noisy, t, kind)
        if self.config.parametrisation == "flow":
            error = ((predicted - clean) - (noise - x)).square()  # velocity
        elif self.config.parametrisation == "edm":
            s = self.spread
            weight = (sigma.square() + s.square()) / (sigma * s).square()  # lambda(sigma), table 1
            error = weight.reshape(shape) * (clean - x).square()
        else:
            error = (predicted - noise).square()
        value = error.float().mean()
        return value, {"denoising": value.detach()}

    def _kind(self, x: Tensor, y: Tensor | None) -> Tensor:
        if self.kinds and y is not None and self.kinds == self.classes:
            return y
        return self.cells.of(x) if self.kinds else torch.zeros(len(x), dtype=torch.long, device=x.device)

    def _times(self, n: int, rng: torch.Generator, device: torch.device) -> Tensor:
        if self.config.parametrisation == "edm":
            return (-1.2 + 1.2 * torch.randn(n, generator=rng, device=device)).exp().clamp(0.002, 80)
        if self.config.parametrisation == "flow" and self.vae is None:
            return torch.randn(n, generator=rng, device=device).sigmoid()  # Esser et al., 2403.03206, eq. 19
        return torch.rand(n, generator=rng, device=device).clamp(1e-4, 1 - 1e-4)

    def _clock(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha, sigma and their derivatives at `t` [n]: t runs from 1 (noise) to 0, or is sigma itself for EDM."""
        if self.config.parametrisation == "flow":
            return 1 - t, t, -torch.ones_like(t), torch.ones_like(t)
        if self.config.parametrisation == "edm":
            return torch.ones_like(t), t, torch.zeros_like(t), torch.ones_like(t)
        a = t * (math.pi / 2)
        return a.cos(), a.sin(), -a.sin() * (math.pi / 2), a.cos() * (math.pi / 2)

    def _predict(self, noisy: Tensor, t: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """The clean point and the noise that the denoiser sees in `noisy` at times `t` [n]."""
        shape = (len(t),) + (1,) * (noisy.dim() - 1)
        alpha, sigma, _, _ = (v.reshape(shape) for v in self._clock(t))
        if self.config.parametrisation == "flow":
            velocity = self.denoiser(noisy, t, kind).float()  # noise - clean
            return noisy - sigma * velocity, noisy + alpha * velocity
        if self.config.parametrisation == "edm":
            s = self.spread
            total = (sigma.square() + s.square()).sqrt()
            guess = self.denoiser(noisy / total, (t.log() / 4 + 1.5) / 3, kind).float()  # eq. 7
            clean = s.square() / total.square() * noisy + sigma * s / total * guess
            return clean, (noisy - clean) / sigma
        noise = self.denoiser(noisy, t, kind).float()
        return (noisy - sigma * noise) / alpha.clamp_min(1e-3), noise

    def _guided(self, x: Tensor, t: float, kind: Tensor) -> tuple[Tensor, Tensor]:
        times = torch.full((len(x),), t, device=x.device)
        clean, noise = self._predict(x, times, kind)
        if self.kinds and self.config.guidance != 1.0:
            base, base_noise = self._predict(x, times, torch.full_like(kind, self.kinds))
            w = self.config.guidance
            clean, noise = base + w * (clean - base), base_noise + w * (noise - base_noise)
        return clean, noise

    def _grid(self, most: int | None = None) -> list[float]:
        """The times visited, from noise to data, in `most` steps at most."""
        n = self.config.steps if most is None else min(most, self.config.steps)
        if self.config.parametrisation == "edm":  # eq. 5, rho = 7
            high, low = 80 ** (1 / 7), 0.002 ** (1 / 7)
            return [(high + i / (n - 1) * (low - high)) ** 7 for i in range(n)] + [0.0] if n > 1 else [80.0, 0.0]
        top = 1.0 if self.config.parametrisation == "flow" else 0.999
        return [top * (1 - i / n) for i in range(n + 1)]

    def _slope(self, x: Tensor, t: float, kind: Tensor) -> Tensor:
        clean, noise = self._guided(x, t, kind)
        _, _, da, ds = (v.item() for v in self._clock(torch.tensor([t])))
        return da * clean + ds * noise

    @torch.no_grad()
    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        if self.vae is not None:
            if self._pool is None and not time.preview:
                raise FitError(
                    "the budget ended before the denoiser's first turn; give a longer one, or a smaller --set model.share."
                )
            if self._pool is None:
                # A preview before the denoiser's part: a look at the latents is enough to place the noise.
                mean, deviation, _ = self.vae.posterior(batch, 2_000, time)
                self.shift.copy_(mean.mean(0))
                self.scale.copy_((mean.var(0) + deviation.square().mean(0)).sqrt())
            self.vae._fast = None
            self._pool = None

    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        return self._sampled(n, y, rng, None)

    @property
    def begins(self) -> bool:
        told = self.vae is not None and self.vae.condition_classes > 0  # the class, of which the latents then hang
        return isinstance(self.space, Grid) and self.mixture is None and not told

    @property
    def noises(self) -> tuple[int, ...]:
        return (len(self.shift),) if self.vae is not None else self.space.shape

    def started(self, n: int, y: Tensor | None, rng: torch.Generator, start: Start) -> Tensor:
        return self._sampled(n, y, rng, start)

    @torch.no_grad()
    def _sampled(self, n: int, y: Tensor | None, rng: torch.Generator, start: Start | None) -> Tensor:
        self.eval()
        # rows of fields are cheap to make: products in the quickest type count
        quick = nets.quick(rng.device) if isinstance(self.space, Fields) else torch.float32
        made = []
        with torch.autocast(rng.device.type, quick, enabled=quick != torch.float32):
            for i in range(0, n, 1024):
                walk = self._walk(min(1024, n - i), None if y is None else y[i : i + 1024], rng, start)
                made.append(deque(walk, maxlen=1)[0]())
        return torch.cat(made)

    @property
    def steps(self) -> int:
        return self.config.steps if isinstance(self.space, Grid) else 1

    def stages(self, n: int, y: Tensor | None, rng: torch.Generator) -> Iterator[Callable[[], Tensor]]:
        self.eval()
        return self._walk(n, y, rng) if self.steps > 1 else super().stages(n, y, rng)

    def _walk(
        self, n: int, y: Tensor | None, rng: torch.Generator, start: Start | None = None
    ) -> Iterator[Callable[[], Tensor]]:
        device = rng.device
        if self.kinds == 0:
            kind = torch.zeros(n, dtype=torch.long, device=device)
        elif self.mixture is not None:
            kind = torch.multinomial(self.mixture.log_weight.exp(), n, replacement=True, generator=rng)
        elif self.kinds == self.classes:
            kind = torch.multinomial(self.share, n, replacement=True, generator=rng) if y is None else y
        else:
            kind = self.cells.draw(n, rng)
        times = self._grid()
        _, sigma, _, _ = self._clock(torch.tensor([times[0]]))
        x = torch.randn((n, *self.noises), generator=rng, device=device)
        x = (x if start is None else start(x, rng)) * sigma.to(device)
        for t, after in zip(times[:-1], times[1:], strict=True):
            limits.pause()
            x = self._step(x, t, after, kind)
            yield partial(self._points, x, kind, rng)

    def _step(self, x: Tensor, t: float, after: float, kind: Tensor) -> Tensor:
        if self.config.sampler == "ddim":
            clean, noise = self._guided(x, t, kind)
            a, s, _, _ = (v.item() for v in self._clock(torch.tensor([after])))
            return a * clean + s * noise
        slope = self._slope(x, t, kind)
        stepped = x + (after - t) * slope
        if self.config.sampler == "heun" and after > 0:
            stepped = x + (after - t) * (slope + self._slope(stepped, after, kind)) / 2
        return stepped

    @torch.no_grad()
    def noise(self, x: Tensor, tried: int) -> Tensor:
        """Each step back (Song et al., section 4.3; by fixed points: Pan et al., https://arxiv.org/abs/2309.04907), from the
        latents of which the decoder makes what is most like `x`; of kinds those that denoise it best (Li et al., https://arxiv.org/abs/2303.16203)."""
        self.eval()
        if self.vae is not None:
            x = (self.vae.rebuilding(x) - self.shift) / self.scale
        kinds = self._likeliest(x, min(tried, max(1, self.kinds)))
        times = self._grid(BACK)
        _, sigma, _, _ = self._clock(torch.tensor([times[0]]))
        found = x.repeat_interleave(kinds.shape[1], 0)
        for after, t in pairwise(reversed(times)):
            limits.pause()
            found = self._back(found, t, after, kinds.flatten())
        noise: Tensor = (found / sigma.to(x.device)).unflatten(0, (len(x), -1))
        return noise

    def _back(self, x: Tensor, t: float, after: float, kind: Tensor) -> Tensor:
        """Where a step from `t` came from that led to `x`."""
        if self.config.sampler == "ddim":  # more turns find no better, as what is lost to the clamp stays lost
            a, s, _, _ = (v.item() for v in self._clock(torch.tensor([t])))
            b, r, _, _ = (v.item() for v in self._clock(torch.tensor([after])))
            _, noise = self._guided(x, t, kind)
            back: Tensor = a / b * (x - r * noise) + s * noise
            return back
        found = x
        for _ in range(FIXED):
            found = x - (self._step(found, t, after, kind) - found)
        return found

    def _likeliest(self, x: Tensor, tried: int) -> Tensor:
        """Kinds [n, tried], those first by which points or latents `x` are denoised best."""
        if not self.kinds:
            return torch.zeros(len(x), 1, dtype=torch.long, device=x.device)
        rng = torch.Generator(x.device).manual_seed(8)
        error = torch.zeros(len(x), self.kinds, device=x.device)
        for t in LOOKS:
            t = math.exp(4 * t - 3) if self.config.parametrisation == "edm" else t  # noqa: PLW2901
            times = torch.full((len(x),), t, device=x.device)
            alpha, sigma, _, _ = (v.item() for v in self._clock(torch.tensor([t])))
            noisy = alpha * x + sigma * torch.randn(x.shape[1:], generator=rng, device=x.device)
            for kind in range(self.kinds):
                clean, _ = self._predict(noisy, times, torch.full_like(times, kind, dtype=torch.long))
                error[:, kind] += (clean - x).square().flatten(1).mean(1)
        return error.argsort(1)[:, :tried]

    def _points(self, x: Tensor, kind: Tensor, rng: torch.Generator) -> Tensor:
        """Points [n, *space.shape] of where the walk is."""
        if self.mixture is not None:
            x = self.mixture.place(kind, x)
        if self.vae is not None:
            return self.vae.decode(x * self.scale + self.shift, rng, kind if self.vae.condition_classes else None)
        return x.clamp(-1, 1) if isinstance(self.space, Grid) else self._choose(x)

    def _choose(self, x: Tensor) -> Tensor:
        """Fields: numbers clipped, choices decided."""
        assert isinstance(self.space, Fields)
        parts = []
        for part, width in zip(x.split(self.space.widths, 1), self.space.widths, strict=True):
            parts.append(
                part.clamp(-1, 1) if width == 1 else nn.functional.one_hot(part.argmax(1), width).to(part.dtype)
            )
        return torch.cat(parts, 1)
