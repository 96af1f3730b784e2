"""When a training is called diverged: by its rates before the first step, its weights meanwhile, its losses at the end.

Every rule is loose by an order of magnitude at least for the recipes' own trainings, adversarial ones included: it speaks of
what cannot be learning, never of what is learned badly, which is for the diagnostics and an assay to say.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from karat.families.generator import Player

GROWN = 30.0  # times 1 or the size they began with: the root mean square of vectors of weights that have diverged
# Times the size they began with, or that at which a unit input has a unit output: that of matrices. At the recipes' rates it
# stays under 2, at rates a thousand times too high it mostly passes this within 200 steps.
OUTGROWN = 10.0
# Times the size of a player's middle matrix that a step at the peak rate may move each weight by: Adam moves it by about the
# rate (Kingma & Ba, https://arxiv.org/abs/1412.6980, section 2.1). That of the recipes is 0.01 to 0.09.
UNSTEADY = 3.0
WALKED = 1000  # steps, from which on the most grows with their root: weights that wander do
ABSURD = (
    1e4  # times 1 or the loss of a player's first turn: the mean of his latest losses in a training that has diverged
)
LATEST = 0.1  # weight of the newest loss in that mean

NUMERIC = re.compile(r"LinAlgError|\b(nan|inf|infinity|NaN|finite)\b|probability|positive.definite", re.IGNORECASE)
LOWER = "Lower the rate, for example --set model.lr=0.0005"
REMEDY = f"{LOWER}; the last good state is kept."

Losses = dict[str, tuple[Tensor, Tensor]]  # of each player: that of the first turn, and a mean of the latest


def hopeless(players: dict[str, Player]) -> str:
    """Says which player, not yet trained, has a rate at which no training can hold, or "" where none has.

    Warm-up and a short budget can hide such a rate: a run of three steps would end before any weight has grown.
    """
    for name, player in players.items():
        named = [(n, p.detach()) for n, p in player.module.named_parameters() if p.dim() > 1 and p.numel()]
        scales = sorted(max(_size(p), _unit(p, n in player.matrices)) for n, p in named)
        scale = scales[len(scales) // 2] if scales else 1.0
        if player.lr > UNSTEADY * scale:
            return (
                f"the rate {player.lr:g} of the {name} would move each of its weights, {scale:.2g} on average, by about "
                f"{player.lr:g} a step"
            )
        if player.matrices and player.matrix_lr > UNSTEADY:
            return f"the rate {player.matrix_lr:g} would move the matrices of the {name} by more than their size a step"
    return ""


def sizes(player: Player) -> Tensor:
    """The root mean square [k] of each tensor of weights."""
    parameters = [p.detach() for p in player.module.parameters() if p.numel()]
    if not parameters:
        return torch.zeros(0)
    counts = torch.tensor([float(p.numel()) for p in parameters]).sqrt()
    return torch.stack(torch._foreach_norm(parameters)).float().cpu() / counts


def largest(player: Player) -> Tensor:
    """The root mean square [k] of each tensor of weights, of a player that begins now, at which they have diverged."""
    named = [(n, p) for n, p in player.module.named_parameters() if p.numel()]
    return torch.tensor(
        [
            OUTGROWN * max(size, _unit(p, n in player.matrices)) if p.dim() > 1 else GROWN * max(size, 1.0)
            for (n, p), size in zip(named, sizes(player).tolist(), strict=True)
        ]
    )


def grown(players: dict[str, Player], most: dict[str, Tensor], step: int) -> str:
    """Says what is wrong with the weights of `players`, whose `largest` was `most`, or "" where they are sound."""
    for name, player in players.items():
        now, allowed = sizes(player), most[name] * max(1.0, step / WALKED) ** 0.5
        excess = now / allowed
        if bool((excess <= 1).all()) or not len(now):
            continue
        if not bool(now.isfinite().all()):
            return f"the weights of the {name} are not finite, up to step {step}"
        worst = int(excess.argmax())
        return (
            f"the weights of the {name} have grown to {float(now[worst]):.2g} on average, where {float(allowed[worst]):.2g} "
            f"is the most that is sound, up to step {step}"
        )
    return ""


def note(losses: Losses, name: str, loss: Tensor) -> None:
    """Keeps what `lost` looks at; nothing waits for the device."""
    now = loss.detach().float()
    first, latest = losses.get(name, (now, now))
    losses[name] = first, latest.lerp(now, LATEST)


def lost(losses: Losses, step: int) -> str:
    """Says whose loss has gone where no learning goes, or "" where none has; asked at the end."""
    for name, (first, latest) in losses.items():
        began, ended = float(first), float(latest)
        if not abs(ended) <= ABSURD * max(1.0, abs(began)):
            return f"the loss of the {name} began at {began:.3g} and was {ended:.3g} up to step {step}"
    return ""


def unreadable(weights: dict[str, Tensor]) -> str:
    """The name of a tensor that could not be read back, since it is not finite, or "": a single number may be infinite."""
    for name, value in weights.items():
        if value.is_floating_point() and not bool((value.isfinite() if value.dim() else ~value.isnan()).all()):
            return name
    return ""


def _size(p: Tensor) -> float:
    size: float = float(p.norm()) / p.numel() ** 0.5
    return size


def _unit(p: Tensor, stacked: bool) -> float:
    """The size at which a unit input has a unit output; of matrices [..., outputs, inputs] that may be `stacked`."""
    size: float = (p.shape[-1] if stacked else p[0].numel()) ** -0.5
    return size
