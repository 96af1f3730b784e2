"""Whether made rows help to single out, to link or to infer what training rows hold, beyond what they tell of unseen rows.

What they tell of unseen rows is what the data are like, and no leak. `karat assay --attacks`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from karat.assays import power
from karat.assays.chance import LEVEL
from karat.assays.finding import MOST as NEVER
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.table.attacks.trying import Tally, Z, alone, distinct, inferred, linked, right, singled
from karat.assays.table.tables import Case
from karat.words import Sentence, said

FINDS = ("singling out", "linkability", "inference")
MOST = 2000  # rows of each side that are attacked
QUERIES = 1000  # predicates that single out a made row
COLUMNS = 3  # of a predicate
SECRETS = 5  # columns that are inferred
RISK = 0.02  # beyond control rows, up to which it is no fault


def findings(case: Case) -> list[Finding]:
    """Singling out, linkability and inference, where they are asked for; of a single column none but the first."""
    if not case.attacks:
        return []
    rng = np.random.default_rng([case.seed, 29])
    n = min(MOST, len(case.unseen), len(case.train))
    train, control = (side.take(rng.permutation(len(side))[:n]) for side in (case.train, case.unseen))
    made, width = case.made, case.made.width
    sides = distinct(train), distinct(control)
    predicates = alone(distinct(made), QUERIES, COLUMNS, rng)
    out = []
    if predicates:
        hits, held = (singled(side, predicates) for side in sides)
        n_said = len(predicates)
        how = said(
            "of {n} descriptions in {columns} columns that fit one made row, alone fit one",
            n=n_said,
            columns=min(COLUMNS, width),
        )
        out.append(_finding("singling out", Tally(hits, n_said, held, n_said), how))
    if width < 2:
        return out
    order = rng.permutation(width).tolist()
    halves = order[: width // 2], order[width // 2 :]
    hits, held = (linked(side, made, halves) for side in (train, control))
    how = said("both halves of the columns have the same nearest made row in the case of")
    out.append(_finding("linkability", Tally(hits, n, held, n, 1 / len(made)), how))
    told = [made.names.index(name) for name in made.names if name == case.target or name in made.columns.protected]
    secrets = [*told, *(j for j in order if j not in told)][: max(SECRETS, len(told))]
    counts = zip(secrets, *(inferred(side, made, secrets) for side in (train, control)), strict=True)
    tries = []
    for j, hits, held in counts:
        guess = made.values[rng.integers(len(made), size=n), j]
        tries.append((Tally(hits, n, held, n, float(right(made, j, guess, train.values[:, j]).mean())), made.names[j]))
    tally, name = max(tries, key=lambda t: t[0].risk[0] / t[0].risk[1])
    how = said(
        "of {n} columns {name} is told best: the nearest made row has its value in the case of", n=len(tries), name=name
    )
    out.append(_finding("inference", tally, how))
    return out


def _finding(key: str, tally: Tally, how: Sentence) -> Finding:
    value, error = tally.risk
    guess = "" if math.isnan(tally.guess) else said("; a guess is right of {guess:.1%}", guess=tally.guess)
    better = math.isnan(tally.guess) or tally.hits / tally.n > tally.guess
    summary = said(
        "Made rows against training rows: {how} {hits:.1%} of these, and {held:.1%} of unseen "
        "ones{guess}. Beyond these {value:.1%} ({low:.1%} to {high:.1%})",
        how=how,
        hits=tally.hits / tally.n,
        held=tally.held / tally.m,
        guess=guess,
        value=value,
        low=value - error,
        high=value + error,
    ) + (said(".") if better else said("; the attack does no better than a guess."))
    limit = Limit(above=min(1.0, max(RISK, LEVEL / Z * error)))
    score = Score(max(0.0, value), value - error, value + error, 0.0, error / Z).clipped(0.0, 1.0)
    known = (s for s in power.scored(key, error / Z, tally.n, tally.m, beyond=RISK) if s.side == "unseen real")
    most = QUERIES if key == FINDS[0] else MOST
    samples = tuple(s if s.needs <= most else replace(s, needs=NEVER) for s in known)  # no more are tried
    return scored(key, score, limit, summary, samples=samples, beside="unseen real data as control")
