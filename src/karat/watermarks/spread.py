"""A keyed pattern of signs spread over many coefficients of a transform, put in with a look at what is there.

Cox et al., "Secure spread spectrum watermarking for multimedia" (1997). Each item has one of NONCES patterns, so that no one
pattern is common to all that a run makes. The item is changed where a small change brings most coefficients to their sign (Malvar &
Florencio, "Improved spread spectrum", 2003), until it stands out by TARGET standard deviations or the change reaches its limit.

The test is the correlation of the clipped coefficients with each pattern: signs by a key that the item knows nothing of give
a sum of mean 0 whose variance is that of the coefficients, and by Hoeffding's inequality its tail is no heavier than exp(-z2 / 2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from karat.watermarks.keyed import signs

NONCES = 16
TARGET = 12.0  # standard deviations
STEPS = 12
FAR, MARGIN = 3.0, 1.5  # coefficients beyond these, in units of the clip, are left as they are: too far off, or safe
AT_ONCE = 512  # items


def patterns(key: bytes, purpose: str, size: int) -> Tensor:
    """float32 [NONCES, size] of -1 and 1."""
    return torch.from_numpy(signs(key, purpose, NONCES * size)).view(NONCES, size)


def correlated(coefficients: Tensor, pattern: Tensor) -> Tensor:
    """z [..., k]: how far coefficients [..., size], in units beyond which they are clipped, go with patterns [k, size]."""
    clipped = coefficients.clamp(-1, 1)
    found: Tensor = clipped @ pattern.T / clipped.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return found


def chance_of(z: np.ndarray) -> np.ndarray:
    """The p values of `z`."""
    from scipy.stats import norm

    return np.asarray(norm.sf(z))


def embedded(
    x: Tensor,
    pattern: Tensor,
    coefficients: Callable[[Tensor], Tensor],
    room: Tensor,
    moved: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """`x` [n, ...] so changed that its coefficients [n, size] follow `pattern` [n, size].

    room: what the largest change of each number is, of the shape of the change.   moved: of x and a change, the changed x.
    """
    change, rate = torch.zeros_like(room), 2.0 / STEPS
    for _ in range(STEPS):
        change.requires_grad_(True)
        y = coefficients(moved(x, change * room))
        # beyond the clip a coefficient of the wrong sign is still to come nearer
        gained = (y * pattern).clamp(-FAR, MARGIN)
        z = (y.detach().clamp(-1, 1) * pattern).sum(1) / y.detach().clamp(-1, 1).norm(dim=1).clamp_min(1e-6)
        (slope,) = torch.autograd.grad(gained.sum(), change)
        with torch.no_grad():
            size = slope.flatten(1).square().mean(1).sqrt().clamp_min(1e-12).view(-1, *[1] * (slope.dim() - 1))
            open_ = (z < TARGET).float().view(size.shape)
            change = (change + open_ * rate * slope / size).clamp(-1, 1)
    return moved(x, change.detach() * room)
