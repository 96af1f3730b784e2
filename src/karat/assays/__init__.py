"""What a generator makes, measured: every finding with its interval and the score of unseen real data in its place."""

from __future__ import annotations

import numpy as np
import torch

from karat.assays.chance import draw
from karat.assays.finding import UNSEEN, Finding
from karat.assays.points import bias, diversity, fidelity, membership, memory, usefulness
from karat.assays.points.seen import Seen, Sees, components, look_at
from karat.errors import DataError
from karat.space import JUDGED as FEWEST

__all__ = ["FEWEST", "UNSEEN", "Finding", "Seen", "Sees", "examine", "find", "look_at"]


def examine(
    train: Seen, unseen: Seen, made: Seen, *, classes: tuple[str, ...], axes: tuple[str, ...] = (), seed: int = 0
) -> list[Finding]:
    """All findings about `made`, the same for the same seed.

    train: the records that the generator learned from, all of them, or memory and lift see less than there is.
    unseen: real records that neither the generator nor the judge's eyes learned from.
    axes: the names of the points' axes, where content may begin anywhere along the last of them.
    Raises DataError for fewer than 20 records in any of the three, or for records of different shapes.
    """
    for name, seen in (("training", train), ("unseen real", unseen), ("made", made)):
        if len(seen) < FEWEST:
            raise DataError(f"{len(seen)} {name} records are too few to judge by; give at least {FEWEST}")
    shapes = {tuple(seen.points.shape[1:]) for seen in (train, unseen, made)}
    if len(shapes) > 1:
        raise DataError(f"real and made records have different shapes {sorted(shapes)}; bring them to one")
    rng = np.random.default_rng(seed)
    # any order of the rows may mean something (classes, time): what takes the first few takes them from a shuffled set
    train, unseen, made = (seen.take(torch.from_numpy(rng.permutation(len(seen)))) for seen in (train, unseen, made))
    draws = draw(len(unseen), len(made), rng)
    pixels = components(train.points, 64)
    return [
        *fidelity.findings(train, unseen, made, draws, pixels, seed, axes),
        *diversity.findings(train, unseen, made, draws, classes),
        *memory.findings(train, unseen, made, seed, slides=bool(axes)),
        *membership.findings(pixels.of(train.points), pixels.of(unseen.points), pixels.of(made.points), seed),
        *usefulness.findings(train, unseen, made, pixels, classes, seed),
        *bias.findings(unseen, made, classes),
    ]


def find(findings: list[Finding], name: str) -> Finding:
    """The finding called `name`, where spaces, hyphens and underscores are one; DataError lists the names there are."""

    def plain(text: str) -> str:
        return text.lower().replace("-", " ").replace("_", " ").strip()

    for finding in findings:
        if plain(finding.name) == plain(name):
            return finding
    known = ", ".join(finding.name for finding in findings)
    raise DataError(f"no finding is called {name!r}; there are: {known}")
