"""Whether groups come in the proportions of real data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from karat.assays.chance import LEVEL
from karat.assays.finding import Finding
from karat.assays.seen import Seen

LEAST = 0.03  # of total variation above what chance gives


def findings(unseen: Seen, made: Seen, classes: tuple[str, ...]) -> list[Finding]:
    """Class balance: half the sum of the differences in share, as the judge reads both sets; absent without classes."""
    if made.read is None or unseen.read is None:
        return []
    return [balance(unseen.read.argmax(1), made.read.argmax(1), classes)]


def balance(unseen: Tensor, made: Tensor, classes: tuple[str, ...]) -> Finding:
    """Class balance of the classes `made` [n] beside those of unseen real records [m]."""
    k, n, m = len(classes), len(made), len(unseen)
    a = torch.bincount(made, minlength=k).double()
    b = torch.bincount(unseen, minlength=k).double()
    share, real = a / n, b / m
    gaps = share - real
    value = float(gaps.abs().sum() / 2)
    pooled = (a + b) / (n + m)
    spread = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    expected = float((spread * math.sqrt(2 / math.pi)).sum() / 2)  # mean of |N(0, spread^2)|: total variation by chance
    own = float(((share * (1 - share) / n).sum()).sqrt() / 2)
    z = gaps / spread.clamp_min(1e-12)
    worst = int(z.abs().argmax())
    raised = float(z.abs().max()) > LEVEL and value > expected + LEAST
    says = (
        f"Class {classes[worst]} makes up {float(share[worst]):.1%} of what was made and {float(real[worst]):.1%} of "
        f"real data; {value:.1%} of all records would have to change class to match (chance alone: {expected:.1%})."
    )
    detail = {
        "worst": classes[worst],
        "names": list(classes),
        "made": share.tolist(),
        "real": real.tolist(),
        "z": float(z[worst]),
    }
    low, high = max(0.0, value - 1.96 * own), value + 1.96 * own
    return Finding("bias", "class balance", value, low, high, expected, "lower", raised, says, detail)
