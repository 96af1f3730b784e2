"""The one place where an architecture is chosen, by space and role; and what all nets share: norms and folding."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from karat.errors import FitError
from karat.nets import spectral
from karat.nets.article import ArticleDiscriminator, ArticleGenerator
from karat.nets.conv import ConvDecoder, ConvEncoder, PatchCritic, brighten, cut, translate
from karat.nets.line import LineDecoder, LineDenoiser, LineEncoder, LinePatchCritic
from karat.nets.mlp import Flat, ResidualMLP, stack
from karat.nets.spectral import SHORTEST, SpectralCritic, SpectralDecoder, SpectralEncoder
from karat.nets.unet import UNet
from karat.space import UNLIMITED, Allowance, Grid, Space
from karat.stats.mixture import Cells, Mixture

__all__ = [
    "Cells",
    "Mixture",
    "architectures",
    "at_once",
    "augment",
    "critic",
    "decoder",
    "denoiser",
    "encoder",
    "fold",
    "patch_critic",
    "generator",
    "quick",
    "refresh_norms",
    "residual",
    "scanned",
    "views",
]


def architectures(space: Space) -> tuple[str, ...]:
    """The names of the architectures that can live in `space`, best first."""
    if isinstance(space, Grid) and len(space.size) == 2:
        return ("conv", "mlp", "article")
    return ("conv", "mlp") if isinstance(space, Grid) and len(space.size) == 1 else ("mlp",)


def _pick(space: Space, net: str) -> tuple[str, int, tuple[int, ...]]:
    fits = architectures(space)
    name = fits[0] if net == "auto" else net
    if name not in fits:
        raise FitError(f"net={net!r} cannot live in {space}; those that can: {', '.join(fits)}.")
    channels, size = (space.channels, space.size) if isinstance(space, Grid) else (1, ())
    return name, channels, size


def encoder(space: Space, out: int, *, width: int, hidden: int, net: str = "auto") -> nn.Module:
    """Points to vectors [n, out], with batch normalisation."""
    name, channels, size = _pick(space, net)
    if name == "mlp":
        return Flat(space.shape, (out,), (2 * hidden, hidden), norm=True)
    if len(size) == 1:
        line = SpectralEncoder if size[0] >= SHORTEST else LineEncoder
        return line(channels, size[0], out, width, hidden)
    return ConvEncoder(channels, size, out, width, hidden)


def decoder(space: Space, latent: int, *, width: int, hidden: int, net: str = "auto") -> nn.Module:
    """Vectors [n, latent] to raw points, with batch normalisation."""
    name, channels, size = _pick(space, net)
    if name == "mlp":
        return Flat((latent,), space.shape, (hidden, 2 * hidden), norm=True)
    if len(size) == 1:
        line = SpectralDecoder if size[0] >= SHORTEST else LineDecoder
        return line(channels, size[0], latent, width, hidden)
    return ConvDecoder(channels, size, latent, width, hidden, shuffle=True)


def views(space: Space, *, net: str = "auto") -> Callable[[Tensor], tuple[Tensor, ...]] | None:
    """By what points of `space` are alike, where that is not number by number: tensors [n, channels, ...] of each point."""
    name, _, size = _pick(space, net)
    return spectral.views if name != "mlp" and len(size) == 1 and size[0] >= SHORTEST else None


def generator(space: Space, latent: int, *, width: int, net: str = "auto") -> nn.Module:
    """Noise [n, latent] to raw points, as a player of an adversarial game."""
    name, channels, size = _pick(space, net)
    if name == "mlp":
        return Flat((latent,), space.shape, (4 * width, 8 * width), nn.ReLU, norm=True)
    if name == "article":
        return ArticleGenerator(channels, size, latent, width)
    made: nn.Module
    if len(size) == 1 and size[0] >= SHORTEST:
        made = SpectralDecoder(channels, size[0], latent, width, activation=nn.ReLU)
    elif len(size) == 1:
        made = LineDecoder(channels, size[0], latent, width, activation=nn.ReLU)
    else:
        made = ConvDecoder(channels, size, latent, width, activation=nn.ReLU)
    _small_normal(made)
    return made


def critic(space: Space, out: int, *, width: int, dropout: float = 0.0, net: str = "auto") -> nn.Module:
    """Points to scores [n, out], without batch normalisation, so that no score depends on its neighbours' mean."""
    name, channels, size = _pick(space, net)
    if name == "mlp":
        body = stack((space.numel, 8 * width, 4 * width, out), nn.SiLU)
        return nn.Sequential(nn.Flatten(), body)
    if name == "article":
        return ArticleDiscriminator(channels, size, out, width, dropout)
    made: nn.Module
    if len(size) == 1 and size[0] >= SHORTEST:
        made = SpectralCritic(channels, size[0], out, width)
    elif len(size) == 1:
        made = LineEncoder(channels, size[0], out, width, norm=False, spread=True)
    else:
        made = ConvEncoder(channels, size, out, width, norm=False, spread=True, deep=1 if min(size) >= 12 else 0)
    _small_normal(made)
    return made


def patch_critic(space: Space, out: int, *, width: int, net: str = "auto") -> nn.Module:
    """Points to scores [n, out, patches + 1] of their patches and, last, of the whole."""
    name, channels, size = _pick(space, net)
    if name == "mlp":  # which knows no neighbours
        return nn.Sequential(critic(space, out, width=width, net=net), nn.Unflatten(1, (out, 1)))
    if len(size) == 1 and size[0] >= SHORTEST:
        return SpectralCritic(channels, size[0], out, width, patches=True)
    if len(size) == 1:
        return LinePatchCritic(channels, size[0], out, width)
    return PatchCritic(channels, size, out, width)


def denoiser(space: Space, *, width: int, depth: int, conditions: int, net: str = "auto") -> nn.Module:
    """(points, times [n], classes [n]) to points."""
    name, channels, size = _pick(space, net)
    if name == "mlp":
        return FlatDenoiser(space.shape, width, depth, conditions)
    if len(size) == 1:
        return LineDenoiser(channels, size[0], width, conditions, depth)
    return UNet(channels, size, width, conditions, depth)


def residual(dim: int, *, width: int, depth: int, conditions: int) -> nn.Module:
    """A denoiser of latent vectors [n, dim]."""
    return ResidualMLP(dim, width, depth, conditions)


class FlatDenoiser(nn.Module):
    """ResidualMLP on flattened points."""

    def __init__(self, shape: tuple[int, ...], width: int, depth: int, conditions: int) -> None:
        super().__init__()
        n = 1
        for s in shape:
            n *= s
        self.body = ResidualMLP(n, width, depth, conditions)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.body(x.flatten(1), t, y)
        return out.reshape(x.shape)


def _small_normal(module: nn.Module) -> None:
    """Normal(0, 0.02) weights: Radford et al., DCGAN (https://arxiv.org/abs/1511.06434), section 4."""
    for m in module.modules():
        if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear)):
            nn.init.normal_(m.weight, std=0.02)


def augment(x: Tensor, space: Space, strength: float, rng: torch.Generator) -> Tensor:
    """Differentiable shifts, brightness and cut-outs for grids, shifts of lines; small noise for fields. Random through `rng`.

    Zhao et al., "Differentiable augmentation for data-efficient GAN training" (https://arxiv.org/abs/2006.10738).
    """
    if strength <= 0:
        return x
    n = len(x)
    if isinstance(space, Grid) and len(space.size) == 1:
        reach = max(1, round(space.size[0] * strength / 16))
        shift = torch.randint(-reach, reach + 1, (n, 1), generator=rng, device=x.device)
        return translate(x[:, :, None], torch.cat([torch.zeros_like(shift), shift], 1))[:, :, 0]
    if not isinstance(space, Grid) or len(space.size) != 2:
        return x + 0.05 * strength * torch.randn(x.shape, generator=rng, device=x.device)
    reach = max(1, round(min(space.size) * strength / 8))
    shift = torch.randint(-reach, reach + 1, (n, 2), generator=rng, device=x.device)
    x = brighten(translate(x, shift), strength * (torch.rand(n, generator=rng, device=x.device) - 0.5) / 2)
    side = max(1, round(min(space.size) * strength / 4))
    corner = torch.stack([torch.randint(0, s, (n,), generator=rng, device=x.device) for s in space.size], 1)
    return cut(x, corner - side // 2, side)


ROUNDS = 30  # in which a finished net takes the statistics of its norms anew


def at_once(space: Space, most: int = 1024) -> int:
    """Points that pass a net together where nothing is learned, at most: as many as keep their activations small."""
    return max(8, min(most, 2**20 // space.numel))


def scanned(space: Space) -> int:
    """Points that are looked at before learning, at most: 20,000, fewer of large ones."""
    return max(1_000, min(20_000, 2**25 // space.numel))


def refresh_norms(module: nn.Module, run: Callable[[int], None], batches: int, time: Allowance = UNLIMITED) -> None:
    """Sets the batch-normalisation statistics of `module` to plain averages over `batches` calls of `run`.

    Over fewer where `time` would not hold another one, but at least one.

    Needed because averaged weights have other activations than the weights whose running statistics were kept.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    kept = [(m, m.momentum, m.training) for m in norms]
    was = module.training
    module.eval()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # cumulative average
        m.train()
    with torch.no_grad():
        began = time.left()
        for k in range(batches):
            if not time.another(k, began):
                break
            run(k)
    for m, momentum, training in kept:
        m.momentum = momentum
        m.train(training)
    module.train(was)


def quick(device: torch.device) -> torch.dtype:
    """The type in which inference is quickest here: bfloat16 where the hardware multiplies it, else float32."""
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        hardware = bool(able.get("avx512_bf16") or able.get("amx_bf16")) and torch.backends.mkldnn.is_available()
        return torch.bfloat16 if hardware and _library_may() else torch.float32
    return torch.bfloat16


def _library_may() -> bool:
    """Whether oneDNN, which multiplies bfloat16, may use what the processor has for it: its environment can forbid that.

    https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html
    """
    most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    return any(name in most.upper() for name in ("DEFAULT", "ALL", "BF16", "FP16", "AMX", "AVX10"))


def fold(module: nn.Module) -> nn.Module:
    """A copy of `module` for inference, with every batch normalisation folded into the layer before it."""
    module = copy.deepcopy(module).eval()
    for parent in list(module.modules()):
        if isinstance(parent, nn.Sequential):
            _fold_sequence(parent)
    for m in module.modules():
        if isinstance(m, (nn.SiLU, nn.ReLU, nn.LeakyReLU)):
            m.inplace = True
    return module


def _fold_sequence(sequence: nn.Sequential) -> None:
    layers: list[nn.Module] = []
    for layer in _flatten(sequence):
        before = layers[-1] if layers else None
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and isinstance(before, nn.Linear):
            layers[-1] = fuse_linear_bn_eval(before, layer)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and isinstance(before, nn.modules.conv._ConvNd):
            layers[-1] = fuse_conv_bn_eval(before, layer, transpose=before.transposed)
        else:
            layers.append(layer)
    for i in reversed(range(len(sequence))):
        del sequence[i]
    for layer in layers:
        sequence.append(layer)


def _flatten(sequence: Iterable[nn.Module]) -> Iterable[nn.Module]:
    for layer in sequence:
        if isinstance(layer, nn.Sequential):
            yield from _flatten(layer)
        else:
            yield layer
