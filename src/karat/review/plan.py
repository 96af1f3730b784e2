"""How many things must be seen, which, and in what order, with what tells whether a reviewer looks.

A plan of 5% shows as many as must be without a fault for 95% confidence that fewer than 5% have one: 59. Among them stand,
blind, some that come a second time, some real ones, and some that are scrambled, which nobody who looks accepts.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from karat.errors import FitError
from karat.worth.value import sample_size

BLIND = 0.05  # of the things in a plan: as many come twice, as many real ones and as many scrambled ones are among them
FEWEST = 3  # of each of these
Role = Literal["made", "again", "real", "scrambled"]


@dataclass(frozen=True)
class Look:
    """One thing to be looked at.   at: its place among what was made, for `real` among the real things at hand."""

    role: Role
    at: int


def wanted(plan: str, total: int) -> int:
    """How many of `total` things a plan shows: "all", or a share of faults such as "5%"; FitError for what is neither."""
    if plan == "all":
        return total
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%", plan.strip())
    share = float(found[1]) / 100 if found else 0.0
    if not 0 < share < 1:
        raise FitError(f"--plan {plan}: a share of faults such as 5% or 1% was wanted, or all.")
    return min(total, sample_size(share))


def queue(total: int, n: int, reals: int, reviewer: str, seed: int) -> tuple[Look, ...]:
    """What a reviewer looks at, in order. The same `n` of `total` things for everybody, each in an order of his own."""
    sample = np.random.default_rng([seed, 1]).choice(total, n, replace=False)
    rng = np.random.default_rng([seed, 2, zlib.crc32(reviewer.encode())])
    out = [Look("made", int(at)) for at in rng.permutation(sample)]
    each = max(FEWEST, int(np.ceil(BLIND * n)))
    for at in rng.permutation(sample)[: min(each, n)]:
        out.insert(int(rng.integers(len(out) + 1)), Look("scrambled", int(at)))
    for at in rng.permutation(reals)[:each]:
        out.insert(int(rng.integers(len(out) + 1)), Look("real", int(at)))
    for at in rng.permutation(sample)[: min(each, n)]:  # behind its first look, as far as the order allows
        first = out.index(Look("made", int(at)))
        out.insert(int(rng.integers(min(first + 1 + FEWEST, len(out)), len(out) + 1)), Look("again", int(at)))
    return tuple(out)


def promise(plan: str, seen: int, faults: int) -> str:
    """What a plan says once `seen` things were looked at and `faults` of them were not good as they were made."""
    from karat.assays.chance import exact

    low, high = exact(faults, seen)
    most = 1 - 0.05 ** (1 / seen) if faults == 0 else None
    text = f"{faults:,} of {seen:,} had a fault: {faults / seen:.1%} (95% interval {low:.1%} to {high:.1%}, Clopper-Pearson)"
    if most is None:
        return f"{text}."
    kept = plan.endswith("%") and 100 * most <= float(plan.rstrip("%"))
    return f"{text}; with 95% confidence fewer than {most:.1%} have one{f', as --plan {plan} asks' if kept else ''}."
