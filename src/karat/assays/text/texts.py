"""What a generator of text makes, measured: every finding beside the score of unseen real text in its place."""

from __future__ import annotations

import numpy as np

from karat.assays.finding import Finding
from karat.assays.points import membership
from karat.assays.text import disclosure, echo, fluency, telling, variety, wording
from karat.errors import DataError
from karat.space import JUDGED as FEWEST
from karat.views import TextView

ROOMS = ("fidelity", "diversity", "bias", "memory", "privacy", "usefulness")
BY_THEMSELVES = (disclosure.findings,)  # assays that need the three sides and nothing that another assay has found
MOST = 5000  # unseen and made passages that are looked at


def examine(
    train: TextView, unseen: TextView, made: TextView, *, classes: tuple[str, ...] = (), seed: int = 0
) -> list[Finding]:
    """All findings about `made`, the same for the same seed.

    train: the passages that the generator learned from, all of them, or copies of what is left out are not found.
    unseen: real passages that it did not learn from.   classes: the names of the labels.
    Of unseen and made passages at most 5,000 are looked at, a random choice; what is blank is left out.
    Raises DataError for fewer than 20 passages in any of the three.
    """
    sides = []
    rng = np.random.default_rng(seed)
    for name, side in (("training", train), ("unseen real", unseen), ("made", made)):
        rows = [i for i, text in enumerate(side.texts) if text.strip()]
        if len(rows) < FEWEST:
            raise DataError(f"{len(rows)} {name} passages with text are too few to judge by; give at least {FEWEST}")
        # any order of the rows may mean something: what takes the first few takes them from a shuffled set
        mixed = rng.permutation(np.array(rows))
        sides.append(side.take(mixed if name == "training" else mixed[:MOST]))
    train, unseen, made = sides
    told, classed, seen = telling.findings(train, unseen, made, classes, seed)
    fidelity, diversity, bias = wording.findings(train, unseen, made)
    inside = echo.halves(train, seed)
    out = [
        told,
        *fluency.findings(train, unseen, made, inside, seed),
        *fidelity,
        *variety.findings(train, unseen, made, seen, rng, seed),
        *diversity,
        bias,
        *classed,
        *echo.findings(train, unseen, made, seed),
        *(finding for assay in BY_THEMSELVES for finding in assay(train, unseen, made)),
        *membership.findings(seen["train"], seen["unseen"], seen["made"], seed),
    ]
    return sorted(out, key=lambda f: ROOMS.index(f.assay))  # rooms stand together in the report
