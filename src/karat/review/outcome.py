"""What all decisions say together: how much is accepted, how long a look takes, and how far each reviewer can be believed.

Agreement is Cohen's kappa (https://doi.org/10.1177/001316446002000104): 1 is full agreement, 0 what two who look at nothing
would reach by chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any

from karat.review.decisions import Decision, standing
from karat.review.plan import FEWEST
from karat.words import several
from karat.worth.reviewed import Reviewed

ACCEPTS_NOISE = 0.1  # of scrambled things, what a person who looks accepts by a slip of the finger, at most
CHANCE = 0.01  # of such a person accepting as many, below which nobody believes in slips
TOO_FAST = 0.5  # of the things accepted, the share answered before they can have been seen, from which on nobody looked
ENOUGH = 10  # things accepted, before their seconds tell

Pairs = Sequence[tuple[bool, bool]]


@dataclass(frozen=True)
class Reviewer:
    """One reviewer.   accepted, mended, rejected: of different made things.   again: first and second look at the same things.

    real, scrambled: (accepted, seen) of the hidden ones.   seconds: of each look at a made thing.   fast: (answered before
    they can have been seen, accepted).   idle: looks of which only the first part is counted.
    """

    name: str
    accepted: int
    mended: int
    rejected: int
    reasons: dict[str, int]
    again: tuple[tuple[bool, bool], ...]
    real: tuple[int, int]
    scrambled: tuple[int, int]
    seconds: tuple[float, ...]
    fast: tuple[int, int]
    idle: int

    @property
    def seen(self) -> int:
        return self.accepted + self.mended + self.rejected

    @property
    def agreed(self) -> int:
        """How many of the things looked at twice were judged alike."""
        return sum(first == second for first, second in self.again)

    @property
    def called(self) -> str:
        return f"the reviewer {self.name!r}" if self.name else "the reviewer without a name"

    @property
    def stamp(self) -> str:
        """What shows that this reviewer accepts without looking, in words; "" where nothing does."""
        signs = []
        accepted, seen = self.scrambled
        if seen >= FEWEST and _at_least(accepted, seen, ACCEPTS_NOISE) < CHANCE:
            signs.append(f"accepted {accepted} of {seen} things that were scrambled and look like nothing")
        fast, of = self.fast
        if of >= ENOUGH and fast >= TOO_FAST * of:
            signs.append(f"answered {fast} of {of} that were accepted sooner than anybody can have seen them")
        if not signs:
            return ""
        also = f", all {self.seen} made ones among them" if self.seen and self.accepted == self.seen else ""
        return f"{' and '.join(signs)}{also}"


@dataclass(frozen=True)
class Outcome:
    """What all reviewers said.   between: the first and the second of two reviewers who can be believed, of the same things."""

    reviewers: tuple[Reviewer, ...]
    reviewed: Reviewed
    between: tuple[tuple[bool, bool], ...] = ()
    faults: int = 0  # of the things seen, those that were not accepted as they were made
    reasons: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """What there is to say of it, a sentence each."""
        out = []
        for each in self.reviewers:
            if each.stamp:
                out.append(f"{each.called} {each.stamp}: a rubber stamp, whose decisions do not count.")
                continue
            said = f"{each.called}: {each.accepted:,} accepted, {each.mended:,} mended, {each.rejected:,} rejected"
            why = ", ".join(f"{n} {reason}" for reason, n in sorted(each.reasons.items(), key=lambda x: -x[1]))
            out.append(said + (f" ({why})" if why else "") + "; " + "; ".join(_signs(each)) + ".")
        if self.between:
            out.append(f"two reviewers of the same things: {_agreement(self.between)}.")
        return out


def outcome(decisions: Iterable[Decision], model: str | None = None) -> Outcome:
    """The outcome of all decisions that stand; of those about what this `model` made, where one is named."""
    stands = [d for d in standing(decisions) if model is None or d.model in ("", model)]
    by = {name: [d for d in stands if d.reviewer == name] for name in dict.fromkeys(d.reviewer for d in stands)}
    reviewers = tuple(_reviewer(name, mine) for name, mine in by.items())
    believed = {each.name for each in reviewers if not each.stamp}
    mine = [d for d in stands if d.reviewer in believed]
    said = {name: _firsts(d for d in mine if d.reviewer == name) for name in by if name in believed}
    keys = list(dict.fromkeys(key for each in said.values() for key in each))
    words = {key: {each[key].verdict for each in said.values() if key in each} for key in keys}
    accepted = sum("reject" not in found for found in words.values())
    looks = [d.seconds + d.mending for d in mine if d.role == "made"]
    usual = fmean(looks) if looks else None
    between = tuple(
        (_yes(a[key]), _yes(b[key]))
        for i, a in enumerate(said.values())
        for b in list(said.values())[i + 1 :]
        for key in a
        if key in b
    )
    again = [pair for each in reviewers if not each.stamp for pair in each.again]
    told = [f"with themselves: {_agreement(again)}"] if again else []
    told += [f"with each other: {_agreement(between)}"] if between else []
    return Outcome(
        reviewers,
        Reviewed(
            accepted,
            len(keys),
            usual,
            stdev(looks) / math.sqrt(len(looks)) if len(looks) > 1 else 0.0,
            "; ".join(told),
            # without a name: reports are shown to others
            tuple(f"a reviewer {each.stamp}" for each in reviewers if each.stamp),
        ),
        between,
        sum(found != {"accept"} for found in words.values()),
        dict(Counter(d.reason for d in mine if d.role == "made" and d.verdict == "reject")),
    )


def kappa(pairs: Pairs) -> float | None:
    """Cohen's kappa of what was said twice; None where both said the same of everything, so that there is no chance to beat."""
    if not pairs:
        return None
    agreed = fmean(a == b for a, b in pairs)
    first, second = fmean(a for a, _ in pairs), fmean(b for _, b in pairs)
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def _reviewer(name: str, mine: Sequence[Decision]) -> Reviewer:
    first = _firsts(mine)
    made = Counter(d.verdict for d in first.values())
    hidden = {
        role: (sum(map(_yes, some)), len(some))
        for role in ("real", "scrambled")
        for some in [[d for d in mine if d.role == role]]
    }
    taken = [d for d in mine if d.verdict == "accept"]
    again = tuple((_yes(first[d.key]), _yes(d)) for d in mine if d.role == "again" and d.key in first)
    return Reviewer(
        name,
        made["accept"],
        made["edit"],
        made["reject"],
        dict(Counter(d.reason for d in first.values() if d.verdict == "reject")),
        again,
        hidden["real"],
        hidden["scrambled"],
        tuple(d.seconds for d in mine if d.role == "made"),
        (sum(d.seconds < d.least for d in taken), len(taken)),
        sum(d.idle for d in mine),
    )


def _firsts(mine: Iterable[Decision]) -> dict[tuple[str, str], Decision]:
    """The newest decision about each made thing, second looks aside."""
    return {d.key: d for d in mine if d.role == "made"}


def _yes(decision: Decision) -> bool:
    """Whether a thing was taken as it was made."""
    return decision.verdict == "accept"


def _signs(each: Reviewer) -> list[str]:
    out = [f"{fmean(each.seconds):.1f} s a look" + (f", {each.idle} of them cut short" if each.idle else "")]
    out = out if each.seconds else []
    out += [f"the same again: {_agreement(each.again)}"] if each.again else []
    out += [f"{each.real[0]} of {each.real[1]} hidden real ones accepted"] if each.real[1] else []
    out += [f"{each.scrambled[0]} of {each.scrambled[1]} scrambled ones accepted"] if each.scrambled[1] else []
    return out


def _agreement(pairs: Pairs) -> str:
    same, found = sum(a == b for a, b in pairs), kappa(pairs)
    return f"{same} of {several(len(pairs), 'time')}" + ("" if found is None else f", kappa {found:.2f}")


def _at_least(k: int, n: int, p: float) -> float:
    """The chance of `k` or more of `n`."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
