"""Places in the latent space of a family that has one: what is made there, along its leading directions and between two items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat.errors import FitError
from karat.synthesizer.single import Single
from karat.synthesizer.synthesizer import Synthesizer

DRAWN = 2000  # latents of which the directions are taken
AXES = 8  # leading directions at most


@dataclass(frozen=True)
class Latent:
    """The latent space of one class, or of all.

    centre: [d], the mean of what is drawn.   axes: [k, d], the directions in which it spreads most, each as long as its spread.
    """

    synth: Single
    kind: int | None
    centre: Tensor
    axes: Tensor

    @classmethod
    def of(cls, synth: Synthesizer, label: str | None, seed: int = 0) -> Latent:
        """FitError where the run's family has no such space, or the run no such class."""
        if not has_latents(synth):
            raise FitError("this run's family has no latent space to look into; vae has one.")
        assert isinstance(synth, Single)
        if label is not None and label not in synth.classes:
            raise FitError(f"there is no class {label!r}; there are: {', '.join(synth.classes)}.")
        kind = None if label is None else synth.classes.index(label)
        z, told = _drawn(synth, kind, DRAWN, seed)
        if kind is None and told is not None:  # a decoder that is told the class has a space for each
            return cls.of(synth, synth.classes[0], seed)
        values, vectors = torch.linalg.eigh(torch.cov(z.double().T))
        axes = (vectors * values.clamp_min(0).sqrt()).T.flip(0)[:AXES].float()
        turned = axes[torch.arange(len(axes)), axes.abs().argmax(1)] < 0  # the same sign wherever it is computed
        return cls(synth, kind, z.mean(0), torch.where(turned[:, None], -axes, axes))

    def items(self, n: int, seed: int) -> Tensor:
        """Latents [n, d] of items as the run makes them."""
        return _drawn(self.synth, self.kind, n, seed)[0]

    def grid(self, across: int, down: int, side: int, reach: float) -> Tensor:
        """Latents [side * side, d], row by row: up to `reach` spreads from the centre along two of the axes, from 0."""
        steps = torch.linspace(-reach, reach, side)
        return torch.stack([self.centre + b * self.axes[down] + a * self.axes[across] for b in steps for a in steps])

    def between(self, one: Tensor, other: Tensor, n: int) -> Tensor:
        """Latents [n, d] on the way from `one` [d] to `other`, as far from the centre on the way as at its ends."""
        a, b = one - self.centre, other - self.centre
        part = torch.linspace(0, 1, n)[:, None]
        way = (1 - part) * a + part * b
        wanted = (1 - part) * a.norm() + part * b.norm()
        out: Tensor = self.centre + way * (wanted / way.norm(dim=1, keepdim=True).clamp_min(1e-9))
        return out

    def made(self, z: Tensor, seed: int) -> Any:
        """Records of latents [n, d]."""
        model, codec = self.synth.model, self.synth.codec
        y = None if not model.conditional else torch.full((len(z),), self.kind or 0, device=model.device)
        with torch.no_grad():
            points = model.decode(z.to(model.device), torch.Generator(model.device).manual_seed(seed), y)
        return codec.decode(points.cpu(), model.space, np.random.default_rng(seed))


def has_latents(synth: Synthesizer) -> bool:
    return isinstance(synth, Single) and synth.model.encodes


def _drawn(synth: Single, kind: int | None, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
    model = synth.model
    y = None if kind is None else torch.full((n,), kind, device=model.device)
    with torch.no_grad():
        z, y = model.draw(n, y, torch.Generator(model.device).manual_seed(seed))
    return z.cpu(), y
