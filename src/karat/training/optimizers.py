"""Muon, an optimizer of matrices; that of all other parameters is torch's Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from karat import nets


class Muon(torch.optim.Optimizer):
    """Steps of matrices along the nearest orthogonal one to their momentum: Jordan, https://kellerjordan.github.io/posts/muon.

    A parameter is a stack [..., rows, columns] of matrices of one shape, so that all are made orthogonal in one product:
    at small sizes one by one would cost as much as the rest of the step.   decay: of the weights, times the rate.
    """

    MOMENTUM, FIRST, AFTER = 0.95, 0.85, 200  # momentum, at the first step, and from which step on

    def __init__(self, parameters: list[nn.Parameter], lr: float, decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["step"] = torch.zeros(())
                    state["momentum"] = torch.zeros_like(p)
                share = min(1.0, float(state["step"]) / self.AFTER)
                momentum = self.FIRST + (self.MOMENTUM - self.FIRST) * share
                state["step"] += 1
                state["momentum"].lerp_(p.grad, 1 - momentum)
                ahead = p.grad.lerp(state["momentum"], momentum)  # Nesterov
                rows, columns = p.shape[-2:]
                p.mul_(1 - group["lr"] * group["decay"])
                step = orthogonal(ahead.reshape(-1, rows, columns)).view_as(p)
                p.add_(step, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonal(x: Tensor) -> Tensor:
    """The orthogonal matrices nearest to `x` [k, rows, columns], roughly: singular values between 0.7 and 1.2.

    Five Newton-Schulz steps with the polynomial of Jordan et al., in bfloat16 where the processor multiplies it.
    """
    out = x.to(nets.quick(x.device))
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        out = out.mT
    out = out / (out.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = out @ out.mT
        fourth = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        out = torch.baddbmm(out, fourth, out, beta=3.4445)
    return (out.mT if tall else out).to(x.dtype)
