"""Variational autoencoders whose prior is fitted to the aggregate posterior, which is what makes them good.

Kingma & Welling (https://arxiv.org/abs/1312.6114); beta of Higgins et al. (https://openreview.net/forum?id=Sy2fzU9gl);
free bits of Kingma et al. (https://arxiv.org/abs/1606.04934); the decoder's width from Rybkin et al.
(https://arxiv.org/abs/2006.13202); the prior after training, as in Ghosh et al. (https://arxiv.org/abs/1903.12436),
is a mixture of full-covariance Gaussians, one mixture per class where there are classes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from karat import nets
from karat.families.generator import Batches, Learned, Player
from karat.space import Batch, Fields, Grid, Space

POINTS = 60_000  # encoded for the prior, at most
LEVELS = 33  # quantiles kept of what the decoder leaves open of a number


@dataclass(frozen=True)
class Config:
    """Settings of a variational autoencoder."""

    net: Literal["auto", "conv", "mlp"] = "auto"
    latent: int = 32
    width: int = 32
    hidden: int = 256
    beta: float = 1.0  # weight of the divergence; it is minimised, as a cost
    free_bits: float = 0.0  # nats per latent that cost nothing
    prior: Literal["mixture", "gaussian", "standard"] = "mixture"
    components: int = 300  # of the mixture, shared among the classes; never fewer than 100 points each
    shrink: float = 16.0  # imaginary points that pull each component's covariance to the pooled one
    iterations: int = 40  # of expectation-maximisation
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.99)


class Model(Learned):
    """An encoder and a decoder as one player, and a mixture in the latent space."""

    spaces: ClassVar[tuple[type, ...]] = (Grid, Fields)
    settling: ClassVar[float] = 0.05

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.space, self.classes, self.config = space, classes, config
        self.autoencoder = nn.ModuleDict(
            {
                "encoder": nets.encoder(
                    space, 2 * config.latent, width=config.width, hidden=config.hidden, net=config.net
                ),
                "decoder": nets.decoder(space, config.latent, width=config.width, hidden=config.hidden, net=config.net),
            }
        )
        groups = max(1, classes)
        parts = 1 if config.prior != "mixture" else max(1, config.components // groups)
        self.mixture = nets.Mixture(groups * parts, config.latent)
        self.register_buffer("share", torch.full((groups,), 1.0 / groups))
        numbers = [i for i, width in enumerate(space.widths) if width == 1] if isinstance(space, Fields) else []
        self.numbers = [sum(space.widths[:i]) for i in numbers] if isinstance(space, Fields) else []
        if numbers:
            self.register_buffer("residual", torch.zeros(LEVELS, len(numbers)))
        self._fast: tuple[nn.Module, torch.dtype] | None = None

    residual: Tensor
    share: Tensor

    @property
    def heeds(self) -> bool:
        return self.classes > 0

    def players(self) -> dict[str, Player]:
        return {"autoencoder": Player(self.autoencoder, lr=self.config.lr, betas=self.config.betas)}

    def turns(self) -> tuple[str, ...]:
        return ("autoencoder",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances [n, latent] of the posterior."""
        mean, logvar = self.autoencoder["encoder"](x).float().chunk(2, 1)
        return mean, logvar.clamp(-12, 4)

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        mean, logvar = self.encode(batch.x)
        noise = torch.randn(mean.shape, generator=batch.rng, device=batch.rng.device)
        raw = self.autoencoder["decoder"](mean + (logvar / 2).exp() * noise)
        surprise = self.space.surprise(raw, batch.x).mean()
        divergence = (mean.square() + logvar.exp() - 1 - logvar).mean(0) / 2  # [latent], eq. 10 of the VAE paper
        cost = divergence.clamp_min(self.config.free_bits).sum()
        total = (surprise + self.config.beta * cost) / self.space.numel
        return total, {
            "surprise": surprise.detach() / self.space.numel,
            "divergence": divergence.detach().sum(),
            "active": (divergence.detach() > 0.02).float().mean(),
        }

    @torch.no_grad()
    def settle(self, batch: Batches, seconds: float | None, points: int) -> None:
        self._fast = None
        began = time.monotonic()
        most = min(points, POINTS if seconds is None else int(min(POINTS, max(1_000, 5_000 * seconds))))
        mean, deviation, y = self.posterior(batch, most)
        rng = torch.Generator(mean.device).manual_seed(1)
        z = mean + deviation * torch.randn(mean.shape, generator=rng, device=mean.device)
        left = None if seconds is None else max(0.1, seconds - (time.monotonic() - began))
        self.fit_prior(z, y, left)

    def posterior(self, batch: Batches, most: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Means and deviations [n, latent] of up to `most` training points and their labels, after refreshing the norms."""
        x, _ = batch(0)
        nets.refresh_norms(self.autoencoder, lambda k: self._pass(batch(k)[0], k), min(30, 1 + most // len(x)))
        self.eval()
        dtype = nets.quick(x.device) if isinstance(self.space, Grid) else torch.float32
        encoder = nets.fold(self.autoencoder["encoder"]).to(dtype)
        at_once = max(1, 1024 // len(x))
        means, deviations, labels = [], [], []
        for start in range(0, -(-most // len(x)), at_once):
            parts = [batch(k) for k in range(start, start + at_once)]
            mean, logvar = encoder(torch.cat([p for p, _ in parts]).to(dtype)).float().chunk(2, 1)
            means.append(mean)
            deviations.append((logvar.clamp(-12, 4) / 2).exp())
            labels += [q for _, q in parts if q is not None]
            if self.numbers and start == 0:
                self._measure(parts, means[0], deviations[0])
        return torch.cat(means)[:most], torch.cat(deviations)[:most], torch.cat(labels)[:most] if labels else None

    def _measure(self, parts: list[tuple[Tensor, Tensor | None]], mean: Tensor, deviation: Tensor) -> None:
        """Quantiles of what the decoder leaves open of each number: drawing them again gives numbers their spread."""
        rng = torch.Generator(mean.device).manual_seed(7)
        z = mean + deviation * torch.randn(mean.shape, generator=rng, device=mean.device)
        made = torch.tanh(self.autoencoder["decoder"](z)[:, self.numbers].float())
        left = torch.cat([x for x, _ in parts])[:, self.numbers] - made
        self.residual.copy_(left.quantile(torch.linspace(0, 1, LEVELS, device=left.device), dim=0))

    def _pass(self, x: Tensor, k: int) -> None:
        mean, logvar = self.encode(x)
        rng = torch.Generator(x.device).manual_seed(k)
        self.autoencoder["decoder"](mean + (logvar / 2).exp() * torch.randn(mean.shape, generator=rng, device=x.device))

    def fit_prior(self, z: Tensor, y: Tensor | None, seconds: float | None) -> None:
        """Fits the mixture, class by class where there are classes; no component starts with under 100 points."""
        config, groups = self.config, len(self.share)
        if config.prior == "standard":
            return
        rng = torch.Generator(z.device).manual_seed(2)
        parts = len(self.mixture.mean) // groups
        labels = torch.zeros(len(z), dtype=torch.long, device=z.device) if self.classes == 0 or y is None else y
        self.share.copy_(torch.bincount(labels, minlength=groups)[:groups] / len(labels))
        for group in range(groups):
            mine = z[labels == group]
            k = max(1, min(parts, len(mine) // 100))
            part = nets.Mixture(k, z.shape[1]).to(z.device)
            if len(mine) > z.shape[1] // 2:
                share = None if seconds is None else seconds * len(mine) / len(z)
                part.fit(mine, rng, iterations=config.iterations, shrink=config.shrink, seconds=share)
            rows = slice(group * parts, group * parts + parts)
            index = torch.arange(parts, device=z.device) % k  # fewer than planned: the rest repeat, with no weight
            self.mixture.mean[rows] = part.mean[index]
            self.mixture.scale[rows] = part.scale[index]
            weight = torch.where(torch.arange(parts, device=z.device) < k, part.log_weight[index], -torch.inf)
            self.mixture.log_weight[rows] = weight + self.share[group].clamp_min(1e-12).log()

    def draw(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        """[n, latent] from the prior, of classes `y` where given."""
        if y is None or self.classes == 0:
            return self.mixture.sample(n, rng)
        parts = len(self.mixture.mean) // len(self.share)
        weight = self.mixture.log_weight.reshape(len(self.share), parts).softmax(1)
        which = torch.multinomial(weight[y], 1, generator=rng)[:, 0] + y * parts
        return self.mixture.sample_of(which, rng)

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        self.eval()
        return self.decode(self.draw(n, y, rng), rng)

    def decode(self, z: Tensor, rng: torch.Generator) -> Tensor:
        """Points from latents [n, latent], by the folded decoder, in bfloat16 where the batch is large enough to gain."""
        fast, dtype = self._folded(len(z))
        out = torch.empty(len(z), *self.space.shape, device=z.device)
        chunk = 256 if z.device.type == "cpu" else 1024  # activations of 256 stay in a core's share of the cache
        for part, into in zip(z.split(chunk), out.split(chunk), strict=True):
            into.copy_(self.space.squash(fast(part.to(dtype)).float(), rng))
        if self.numbers:
            at = torch.rand(len(z), len(self.numbers), generator=rng, device=z.device) * (LEVELS - 1)
            low = at.long().clamp_max(LEVELS - 2)
            a, b = self.residual.gather(0, low), self.residual.gather(0, low + 1)
            out[:, self.numbers] = (out[:, self.numbers] + a + (b - a) * (at - low)).clamp(-1, 1)
        return out

    def _folded(self, n: int) -> tuple[nn.Module, torch.dtype]:
        if self._fast is None or self.training:
            dtype = torch.bfloat16 if isinstance(self.space, Grid) else torch.float32
            fast = nets.fold(self.autoencoder["decoder"]).to(dtype)
            for p in fast.parameters():
                if p.dim() == 4:
                    p.data = p.data.contiguous(memory_format=torch.channels_last)
            self._fast = (fast, dtype)
        return self._fast
