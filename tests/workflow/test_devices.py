"""One step of every recipe with gradients on every device at hand, from the same weights and chance, against the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from karat import recipe
from karat.families.generator import Learned
from karat.nets.article import LeakyDropout
from karat.space import BEGIN, MARKS, Batch, Batches, Codes, Grid, Tokens
from karat.synthesizer import building

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
    ),
]
SPACES = (Grid(3, (16, 16)), Codes((3, 300, 5), (False, True, False)), Tokens(24, 12))
LEARNED = [n for n in recipe.names() if issubclass(recipe.module(recipe.load(n).family).Model, Learned)]


def chance(draw: Callable[..., Tensor], source: torch.Generator) -> Callable[..., Tensor]:
    """`draw` from the CPU's `source`, put where it was asked for: devices have generators of their own."""

    def drawn(*args: Any, generator: torch.Generator, device: Any = None) -> Tensor:
        return draw(*args, generator=source).to(generator.device if device is None else device)

    return drawn


def step(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """The loss and the gradient of the first turn."""
    chosen = recipe.load(name)
    space = next(s for s in SPACES if isinstance(s, recipe.module(chosen.family).Model.spaces))
    classes = 4 if isinstance(space, Grid) else 0
    model = building.build(chosen, space, classes, 0).to(device)
    assert isinstance(model, Learned)
    for part in model.modules():
        if isinstance(part, LeakyDropout):
            part.dropped = 0
    drawn = torch.Generator().manual_seed(1)
    x = torch.rand(16, *space.shape, generator=drawn) * 2 - 1
    if isinstance(space, Codes):
        x = ((x + 1) / 2 * torch.tensor(space.sizes)).long()
    if isinstance(space, Tokens):
        x = (MARKS + (x + 1) / 2 * (space.vocab - MARKS)).long()
        x[:, 0] = BEGIN
    x = x.to(device)
    y = torch.randint(4, (16,), generator=drawn).to(device) if classes else None
    player = model.turns()[0]
    model.train()
    rng = torch.Generator(device).manual_seed(0)
    with monkeypatch.context() as patched:
        source = torch.Generator().manual_seed(2)
        for draw in ("randn", "rand", "randint", "randperm"):
            patched.setattr(torch, draw, chance(getattr(torch, draw), source))
        model.prepare(Batches(16, lambda k: (x, y), lambda most: (x, y)), player)
        model.train()
        loss, _ = model.loss(Batch(x, y, 0.0, rng), player)
    weights = list(model.players()[player].module.parameters())
    loss.backward(inputs=weights)
    return loss.detach().cpu(), torch.cat([w.grad.flatten().cpu() for w in weights if w.grad is not None])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LEARNED)
def test_one_step_agrees_with_the_cpu(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, slope = step(name, "cpu", monkeypatch)
    with torch.backends.cudnn.flags(allow_tf32=False):
        other_loss, other_slope = step(name, device, monkeypatch)
    assert slope.norm() > 0
    assert abs(loss - other_loss) <= 1e-4 * abs(loss)
    assert (slope - other_slope).norm() <= 1e-4 * slope.norm()
