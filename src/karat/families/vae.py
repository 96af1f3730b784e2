"""Variational autoencoders whose prior is fitted to the aggregate posterior, which is what makes them good.

Kingma & Welling (https://arxiv.org/abs/1312.6114); beta of Higgins et al. (https://openreview.net/forum?id=Sy2fzU9gl);
free bits of Kingma et al. (https://arxiv.org/abs/1606.04934); the decoder's width from Rybkin et al.
(https://arxiv.org/abs/2006.13202); the prior after training, as in Ghosh et al. (https://arxiv.org/abs/1903.12436),
is a mixture of full-covariance Gaussians, one mixture per class where there are classes. A critic may sharpen the
decoder in the last part of the budget, on what it rebuilds and on what it makes from the prior (VAE/GAN: Larsen et al.,
https://arxiv.org/abs/1512.09300): the encoder rests by then, the averages of small blocks stay tied to what was encoded,
and the detail within them is left to the critic.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat import limits, nets
from karat.errors import FitError
from karat.families.generator import Batches, Learned, Player
from karat.space import UNLIMITED, Allowance, Batch, Fields, Grid, Space

UNUSED = -1e4  # log weight of a component that stands for nothing: exp of it is 0, and it is saved as a number
POINTS = 60_000  # encoded for the prior, at most
LEVELS = 33  # quantiles kept of what the decoder leaves open of a number
INTERIM = 10_000  # encoded for the prior from which the decoder is sharpened
PENALTY = 16  # critic turns between two penalties of its slope
ENCODINGS = (
    8  # times that each training point is encoded for the prior, at most, each time drawn anew from its posterior
)
MADE = 128  # points at a time that the norms and the detail of a sharpened decoder are taken from
TRIES, CLOSE = 4, 0.02  # of how much of the sharpening is right, and how near to the logarithm of the detail wanted
NEAREST, FURTHEST = 0.3, 1.3  # times the way from the decoder before to the one after
TURNS = 100  # of the search for the latents of a point
DISTINCT = 16  # training points behind each component of the mixture, at least


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
    conditional: bool = False  # the decoder is told the class, where there are classes, so that the latents need not
    components: int = 300  # of the mixture, shared among the classes; never fewer than 100 points each
    shrink: float = 16.0  # imaginary points that pull each component's covariance to the pooled one
    narrow: float = 8.0  # imaginary points at each component's mean: those fitted to few points are drawn closer in
    iterations: int = 40  # of expectation-maximisation
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.99)
    critic: float = 0.0  # share of the budget, at its end, in which a critic sharpens the decoder
    critic_width: int = 32
    critic_lr: float = 2e-3
    sharpen_lr: float = 1e-3
    gamma: float = 0.2  # weight of the critic's slope at real points
    augment: float = 0.25  # of all that the critic sees: shifts, without which its strides leave their pattern behind
    anchor: float = 1.0  # weight of what ties the averages of blocks to the points that were encoded
    block: int = 4  # cells along each axis of a block
    detail: float = (
        1.05  # times the training points', that a sharpened decoder is to make: what follows takes some away
    )
    grain: float = 10.0  # weight of what ties the detail along each axis to that


class Model(Learned):
    """An encoder and a decoder as one player, and a mixture in the latent space."""

    spaces: ClassVar[tuple[type, ...]] = (Grid, Fields)
    settling: ClassVar[float] = 0.05

    def __init__(self, space: Space, classes: int, config: Config = Config()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.space, self.classes, self.config = space, classes, config
        self.condition_classes = classes if config.conditional else 0
        self.autoencoder = nn.ModuleDict(
            {
                "encoder": nets.encoder(
                    space, 2 * config.latent, width=config.width, hidden=config.hidden, net=config.net
                ),
                "decoder": nets.decoder(
                    space,
                    config.latent + self.condition_classes,
                    width=config.width,
                    hidden=config.hidden,
                    net=config.net,
                ),
            }
        )
        if config.critic > 0 and not isinstance(space, Grid):
            raise FitError(
                f"critic={config.critic:g}: a critic sharpens grids; leave it at 0 for {type(space).__name__}."
            )
        self.critic: nn.Module | None = None
        self.before: nn.Module | None = None  # the decoder as it was when the critic came
        if config.critic > 0:
            self.before = copy.deepcopy(self.autoencoder["decoder"]).requires_grad_(False)
            self.register_buffer("begun", torch.tensor(False))
            self.critic = nets.patch_critic(space, 1 + classes, width=config.critic_width, net=config.net)
        self._views = nets.views(space, net=config.net)
        groups = max(1, classes)
        parts = 1 if config.prior != "mixture" else max(1, config.components // groups)
        self.mixture = nets.Mixture(groups * parts, config.latent)
        self.register_buffer("share", torch.full((groups,), 1.0 / groups))
        numbers = [i for i, width in enumerate(space.widths) if width == 1] if isinstance(space, Fields) else []
        self.numbers = [sum(space.widths[:i]) for i in numbers] if isinstance(space, Fields) else []
        if numbers:
            self.register_buffer("residual", torch.zeros(LEVELS, len(numbers)))
        self._fast: tuple[nn.Module, torch.dtype] | None = None
        self._encoder: tuple[nn.Module, torch.dtype] | None = None  # a tuple, or it would count among the weights
        self._made: Tensor | None = None

    begun: Tensor
    residual: Tensor
    share: Tensor

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def encodes(self) -> bool:
        return True

    def players(self) -> dict[str, Player]:
        c = self.config
        start = 1 - c.critic
        out = {"autoencoder": Player(self.autoencoder, lr=c.lr, betas=c.betas, stop=start)}
        if self.critic is not None:
            out["critic"] = Player(self.critic, lr=c.critic_lr, betas=(0.5, 0.99), start=start)
            out["decoder"] = Player(self.autoencoder["decoder"], lr=c.sharpen_lr, betas=(0.5, 0.99), start=start)
        return out

    def turns(self) -> tuple[str, ...]:
        return ("autoencoder",) if self.critic is None else ("autoencoder", "critic", "decoder")

    @torch.no_grad()
    def prepare(self, batch: Batches, player: str, time: Allowance = UNLIMITED) -> None:
        if player != "critic":
            return
        assert self.before is not None
        if not self.begun:  # a run that is continued has the prior and the norms among its weights
            self.before.load_state_dict(self.autoencoder["decoder"].state_dict())
            self.begun.fill_(True)
            mean, deviation, y = self.posterior(batch, min(INTERIM, 2 * batch.rows), time.part(0.5))
            rng = torch.Generator(mean.device).manual_seed(6)
            z = mean + deviation * torch.randn(mean.shape, generator=rng, device=mean.device)
            self.fit_prior(z, y, time, batch.rows, iterations=15)
        dtype = nets.quick(self.device)
        self._encoder = (nets.fold(self.autoencoder["encoder"]).to(dtype), dtype)

    def _with(self, z: Tensor, y: Tensor | None) -> Tensor:
        """What the decoder is given: latents [n, latent], and the class where it is told."""
        if not self.condition_classes:
            return z
        assert y is not None
        return torch.cat([z, F.one_hot(y, self.condition_classes).to(z.dtype)], 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances [n, latent] of the posterior."""
        mean, logvar = self.autoencoder["encoder"](x).float().chunk(2, 1)
        return mean, logvar.clamp(-12, 4)

    def loss(self, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        if player == "critic":
            return self._criticise(batch)
        if player == "decoder":
            return self._sharpen(batch)
        mean, logvar = self.encode(batch.x)
        noise = torch.randn(mean.shape, generator=batch.rng, device=batch.rng.device)
        raw = self.autoencoder["decoder"](self._with(mean + (logvar / 2).exp() * noise, batch.y))
        nll = self._nll(raw, batch.x)
        divergence = (mean.square() + logvar.exp() - 1 - logvar).mean(0) / 2  # [latent], eq. 10 of the VAE paper
        cost = divergence.clamp_min(self.config.free_bits).sum()
        total = (nll + self.config.beta * cost) / self.space.numel
        return total, {
            "nll": nll.detach() / self.space.numel,
            "divergence": divergence.detach().sum(),
            "active": (divergence.detach() > 0.02).float().mean(),
        }

    def _nll(self, raw: Tensor, x: Tensor) -> Tensor:
        """Nats: the space's own, or that of a Gaussian round each view, of the best width for the batch."""
        if self._views is None:
            return self.space.nll(raw, x).mean()
        pairs = zip(self._views(self.space.squash(raw)), self._views(x), strict=True)
        widths = [(made - true).square().mean().clamp_min(1e-8).log() for made, true in pairs]
        return self.space.numel / 2 * torch.stack(widths).mean()

    def _criticise(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Half of what the critic sees is rebuilt from the batch, half is made from the prior for the batch's labels."""
        assert self._encoder is not None, "prepare sets the encoder before the critic's first turn"
        x, y, rng = batch.x, batch.y if self.classes else None, batch.rng
        half = len(x) // 2
        with torch.no_grad():
            encoder, dtype = self._encoder
            mean, logvar = encoder(x[:half].to(dtype)).float().chunk(2, 1)
            z = mean + (logvar.clamp(-12, 4) / 2).exp() * torch.randn(mean.shape, generator=rng, device=x.device)
            other, _ = self.draw(len(x) - half, None if y is None else y[half:], rng)
        made = self.space.squash(self.autoencoder["decoder"](self._with(torch.cat([z, other]), y))).float()
        penal = int(torch.randint(PENALTY, (1,), generator=rng, device=x.device)) == 0
        if penal:
            x = x.detach().requires_grad_(True)
        true, fake = self._judge(x, y, rng), self._judge(made.detach(), y, rng)
        self._made = made
        value = _both(F.softplus(-true)) + _both(F.softplus(fake))
        metrics = {
            "critic": value.detach(),
            "separated": ((true > 0).float().mean() + (fake < 0).float().mean()).detach() / 2,
        }
        if penal:
            (slope,) = torch.autograd.grad(_both(true) * len(x), x, create_graph=True)
            value = value + self.config.gamma * PENALTY * slope.float().square().flatten(1).sum(1).mean() / 2
        return value, metrics

    def _judge(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> Tensor:
        """Scores [n, patches + 1]: how real `x` looks there and as a whole, and how much it is of its class."""
        assert self.critic is not None
        scores: Tensor = self.critic(nets.augment(x, self.space, self.config.augment, rng)).float()
        return scores[:, 0] if y is None else scores[:, 0] + scores[torch.arange(len(y), device=x.device), 1 + y]

    def _sharpen(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert self._made is not None, "the decoder plays after the critic"
        made, self._made = self._made, None
        value = _both(F.softplus(-self._judge(made, batch.y if self.classes else None, batch.rng)))
        half = len(made) // 2
        error = self._apart(made[:half], batch.x[:half])
        spread = self._spread(made.detach()) / self._spread(batch.x).clamp_min(1e-6)
        # as in `Grid.nll`: the width is the best for the batch, so that the weight needs no scale
        grain = (self._grain(made) - self._grain(batch.x) - math.log(self.config.detail)).square().sum()
        return value + self.config.anchor * error.clamp_min(1e-8).log() / 2 + self.config.grain * grain, {
            "sharpening": value.detach(),
            "anchor": error.detach(),
            "spread": spread,
        }

    def _apart(self, made: Tensor, x: Tensor) -> Tensor:
        """The mean square between averages of blocks, of the points or of their views."""
        pairs = zip(self._compared(made), self._compared(x), strict=True)
        return torch.stack([(self._coarse(a) - self._coarse(b)).square().mean() for a, b in pairs]).mean()

    def _compared(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,) if self._views is None else self._views(x)

    def _spread(self, x: Tensor) -> Tensor:
        return torch.stack([view.flatten(1).std(0).mean() for view in self._compared(x)]).mean()

    def _coarse(self, x: Tensor) -> Tensor:
        """Averages of blocks."""
        block = min(self.config.block, *x.shape[2:])
        return F.avg_pool1d(x, block) if x.dim() == 3 else F.avg_pool2d(x, block)

    @torch.no_grad()
    def settle(self, batch: Batches, time: Allowance, points: int) -> None:
        self._fast = None
        most = min(max(points, 1_000), POINTS, ENCODINGS * batch.rows)
        if math.isfinite(time.left()):
            most = min(most, int(max(1_000, 5_000 * time.left())))
        mean, deviation, y = self.posterior(batch, most, time.part(0.4))
        rng = torch.Generator(mean.device).manual_seed(1)
        z = mean + deviation * torch.randn(mean.shape, generator=rng, device=mean.device)
        self.fit_prior(z, y, time if self.critic is None else time.part(0.7), batch.rows)
        if self.critic is not None:  # what is made comes from the prior, and so must the statistics
            self._encoder = self._made = None
            if self.begun and not time.preview:
                self._temper(batch, rng, time.part(0.7))
            self._refresh(4 if time.preview else nets.ROUNDS, rng, time)

    def _refresh(self, rounds: int, rng: torch.Generator, time: Allowance = UNLIMITED) -> list[Tensor]:
        """Sets the norms of the decoder by points made from the prior, which come back."""
        made: list[Tensor] = []
        decoder, n = self.autoencoder["decoder"], nets.at_once(self.space, MADE)
        nets.refresh_norms(
            decoder,
            lambda _: made.append(self.space.squash(decoder(self._with(*self.draw(n, None, rng))).float())),
            rounds,
            time,
        )
        return made

    def _temper(self, batch: Batches, rng: torch.Generator, time: Allowance = UNLIMITED) -> None:
        """Sets the decoder on the line from the one before the critic came through the one after, where it makes as much
        detail as wanted.

        How much grain a critic leaves behind when the budget ends is chance; along this line it grows evenly (weights of
        one lineage can be averaged: Wortsman et al., https://arxiv.org/abs/2109.01903).
        """
        assert self.before is not None
        some = len(batch(0)[0])
        goal = math.log(self.config.detail) + self._detail([batch(k)[0] for k in range(-(-4 * MADE // some))])
        own: list[Tensor] = list(self.autoencoder["decoder"].parameters())
        old: list[Tensor] = list(self.before.parameters())
        new = [p.clone() for p in own]
        at = 1.0
        tried: dict[float, float] = {}
        began = time.left()
        while at not in tried and len(tried) < TRIES and time.another(len(tried), began):
            torch._foreach_copy_(own, torch._foreach_lerp(old, new, at))
            tried[at] = self._detail(self._refresh(4, rng, time.part(0.5))) - goal
            if abs(tried[at]) < CLOSE:
                return
            (a, low), (b, high) = [(at - 0.1, tried[at] - 0.1), *tried.items()][-2:]  # at first, as detail mostly grows
            at = min(FURTHEST, max(NEAREST, at - tried[at] / max((high - low) / (b - a), 0.5)))
        best = min(tried, key=lambda place: abs(tried[place]))
        torch._foreach_copy_(own, torch._foreach_lerp(old, new, best))

    def _detail(self, points: list[Tensor]) -> float:
        """The logarithm of the mean |second difference| of the points, evenly over axes and views."""
        return float(torch.stack([self._grain(x) for x in points]).mean())

    def _grain(self, x: Tensor) -> Tensor:
        """The logarithm [views * axes] of the mean |second difference| along each axis of each view."""
        sizes = [
            view.diff(n=2, dim=axis).abs().mean()
            for view in self._compared(x)
            for axis in range(2, view.dim())
            if view.shape[axis] > 2
        ]
        return torch.stack(sizes or [x.new_ones(())]).clamp_min(1e-8).log()

    def posterior(self, batch: Batches, most: int, time: Allowance = UNLIMITED) -> tuple[Tensor, Tensor, Tensor | None]:
        """Means and deviations [n, latent] of up to `most` training points and their labels, after refreshing the norms.

        Of fewer where `time` holds no more. Where there are fewer points than `most`, each is encoded once and stands in the
        answer as often as it would have come: its posterior does not change.
        """
        x, _ = batch(0)
        different = min(most, batch.rows)
        refreshed = min(30, 1 + most // len(x))
        nets.refresh_norms(self.autoencoder, lambda k: self._pass(*batch(k), k), refreshed, time.part(0.4))
        self.eval()
        dtype = nets.quick(x.device) if isinstance(self.space, Grid) else torch.float32
        encoder = nets.fold(self.autoencoder["encoder"]).to(dtype)
        at_once = max(1, nets.at_once(self.space) // len(x))
        means, deviations, labels = [], [], []
        began = time.left()
        count = -(-different // len(x))
        for start in range(0, count, at_once):
            if not time.another(start // at_once, began):
                break
            parts = [batch(k) for k in range(start, min(count, start + at_once))]
            mean, logvar = encoder(torch.cat([p for p, _ in parts]).to(dtype)).float().chunk(2, 1)
            means.append(mean)
            deviations.append((logvar.clamp(-12, 4) / 2).exp())
            labels += [q for _, q in parts if q is not None]
            if self.numbers and start == 0:
                self._measure(parts, means[0], deviations[0])
        mean, deviation = torch.cat(means)[:different], torch.cat(deviations)[:different]
        again = torch.arange(len(mean) * most // different, device=mean.device) % len(mean)
        return mean[again], deviation[again], torch.cat(labels)[again] if labels else None

    def _measure(self, parts: list[tuple[Tensor, Tensor | None]], mean: Tensor, deviation: Tensor) -> None:
        """Quantiles of what the decoder leaves open of each number: drawing them again gives numbers their spread."""
        rng = torch.Generator(mean.device).manual_seed(7)
        z = mean + deviation * torch.randn(mean.shape, generator=rng, device=mean.device)
        y = torch.cat([q for _, q in parts if q is not None]) if self.condition_classes else None
        made = torch.tanh(self.autoencoder["decoder"](self._with(z, y))[:, self.numbers].float())
        left = torch.cat([x for x, _ in parts])[:, self.numbers] - made
        self.residual.copy_(left.quantile(torch.linspace(0, 1, LEVELS, device=left.device), dim=0))

    def _pass(self, x: Tensor, y: Tensor | None, k: int) -> None:
        mean, logvar = self.encode(x)
        rng = torch.Generator(x.device).manual_seed(k)
        noise = torch.randn(mean.shape, generator=rng, device=x.device)
        self.autoencoder["decoder"](self._with(mean + (logvar / 2).exp() * noise, y))

    def fit_prior(self, z: Tensor, y: Tensor | None, time: Allowance, rows: int, iterations: int | None = None) -> None:
        """Fits the mixture, class by class where there are classes, to latents [n, latent] of `rows` different points.

        No component starts with under 100 latents, nor under DISTINCT points: with fewer it begins to copy them.
        """
        config, groups = self.config, len(self.share)
        if config.prior == "standard":
            return
        rng = torch.Generator(z.device).manual_seed(2)
        parts = len(self.mixture.mean) // groups
        labels = torch.zeros(len(z), dtype=torch.long, device=z.device) if self.classes == 0 or y is None else y
        self.share.copy_(torch.bincount(labels, minlength=groups)[:groups] / len(labels))
        copies = max(1.0, len(z) / max(1, rows))
        sizes = torch.bincount(labels, minlength=groups).tolist()
        for group in range(groups):
            mine = z[labels == group]
            k = max(1, min(parts, len(mine) // 100, int(len(mine) / copies) // DISTINCT))
            part = nets.Mixture(k, z.shape[1]).to(z.device)
            if len(mine) > z.shape[1] // 2:
                part.fit(
                    mine,
                    rng,
                    iterations=config.iterations if iterations is None else iterations,
                    shrink=config.shrink * copies,
                    time=time.part(len(mine) / max(1, sum(sizes[group:]))),
                )
            place = slice(group * parts, group * parts + parts)
            index = torch.arange(parts, device=z.device) % k  # fewer than planned: the rest repeat, with no weight
            self.mixture.mean[place] = part.mean[index]
            held = part.log_weight.exp() * (len(mine) / copies)  # distinct points behind each component
            closer = (held / (held + config.narrow)).sqrt() if k > 1 else torch.ones_like(held)
            self.mixture.scale[place] = (part.scale * closer[:, None, None])[index]
            weight = torch.where(torch.arange(parts, device=z.device) < k, part.log_weight[index], UNUSED)
            self.mixture.log_weight[place] = weight + self.share[group].clamp_min(1e-12).log()

    def draw(self, n: int, y: Tensor | None, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """[n, latent] from the prior and their classes [n], `y` where given; no classes where the decoder is told none."""
        if self.classes == 0 or (y is None and not self.condition_classes):
            return self.mixture.sample(n, rng), None
        if y is None:
            y = torch.multinomial(self.share, n, replacement=True, generator=rng)
        parts = len(self.mixture.mean) // len(self.share)
        weight = self.mixture.log_weight.reshape(len(self.share), parts).softmax(1)
        which = torch.multinomial(weight[y], 1, generator=rng)[:, 0] + y * parts
        return self.mixture.sample_of(which, rng), y

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
        self.eval()
        z, y = self.draw(n, y, rng)
        return self.decode(z, rng, y)

    def weights(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if not name.startswith("before.")}

    def put(self, weights: dict[str, Tensor]) -> None:
        own = {name: value for name, value in self.state_dict().items() if name.startswith("before.")}
        self.load_state_dict(own | weights)

    def decode(self, z: Tensor, rng: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Points from latents [n, latent], of classes `y` [n] where the decoder is told them.

        By the folded decoder, of grids in the quickest type here.
        """
        z = self._with(z, y)
        fast, dtype = self._folded()
        out = torch.empty(len(z), *self.space.shape, device=z.device)
        # activations of 256 small points stay in a core's share of the cache
        chunk = nets.at_once(self.space, 256 if z.device.type == "cpu" else 1024)
        for part, into in zip(z.split(chunk), out.split(chunk), strict=True):
            limits.pause()
            into.copy_(self.space.squash(fast(part.to(dtype)).float(), rng))
        if self.numbers:
            at = torch.rand(len(z), len(self.numbers), generator=rng, device=z.device) * (LEVELS - 1)
            low = at.long().clamp_max(LEVELS - 2)
            a, b = self.residual.gather(0, low), self.residual.gather(0, low + 1)
            out[:, self.numbers] = (out[:, self.numbers] + a + (b - a) * (at - low)).clamp(-1, 1)
        return out

    def rebuilding(self, x: Tensor) -> Tensor:
        """Latents [n, latent] of which a decoder that is told no class makes what is most like points `x` of a grid.

        Down from the posterior's mean (Hong et al., https://arxiv.org/abs/2312.07731).
        """
        decoder = nets.fold(self.autoencoder["decoder"])
        with torch.enable_grad():
            z = self.encode(x)[0].detach().requires_grad_(True)
            optimizer = torch.optim.Adam([z], lr=0.1)
            for step in range(TURNS):
                limits.pause()
                optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / TURNS)
                error = (self.space.squash(decoder(z)).float() - x).square().sum()
                (z.grad,) = torch.autograd.grad(error, z)
                optimizer.step()
        return z.detach()

    def _folded(self) -> tuple[nn.Module, torch.dtype]:
        if self._fast is None or self.training:
            dtype = nets.quick(self.device) if isinstance(self.space, Grid) else torch.float32
            fast = nets.fold(self.autoencoder["decoder"]).to(dtype)
            for p in fast.parameters():
                if p.dim() == 4:
                    p.data = p.data.contiguous(memory_format=torch.channels_last)
            self._fast = (fast, dtype)
        return self._fast


def _both(scores: Tensor) -> Tensor:
    """The mean over patches and that over wholes weigh the same: scores [n, patches + 1]."""
    return (scores[:, :-1].mean() + scores[:, -1].mean()) / 2 if scores.shape[1] > 1 else scores.mean()
