"""A finding: a number, its interval, the number that unseen real data gets in its place, and what it is judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from karat.assays.keys import KEYS, Key
from karat.errors import DataError
from karat.words import count, score

Better = Literal["higher", "lower", "neither"]
State = Literal["ok", "raised", "cannot tell"]
UNSEEN = "unseen real data"
MOST = 100_000  # records, beyond which nobody is told how many more
NOTHING = "by no score at so few records"
SLACK = 1e-9  # by which two ways to reckon the same difference may disagree


@dataclass(frozen=True)
class Limit:
    """Where a finding is raised: at values above `above` or below `below`.

    only: a condition that must hold besides ("where chance does not explain it").   also: another way for it to be raised
    ("where one column is off by more than 0.05").   Raises ValueError where nothing is given that could raise it.
    """

    above: float | None = None
    below: float | None = None
    also: str = ""
    only: str = ""

    def __post_init__(self) -> None:
        if self.above is None and self.below is None and not self.also:
            raise ValueError("a limit needs a value above or below which a finding is raised, or says when else it is")

    def broken(self, value: float, by: float = 0.0) -> bool:
        """Whether `value` lies beyond it, by more than `by`; `only` and `also` are for the caller to know. Never for NaN."""
        over = self.above is not None and value > self.above + by
        return over or (self.below is not None and value < self.below - by)

    def __str__(self) -> str:
        """In words: "raised above 0.6, or where one column is off by more than 0.05"."""
        text = self.numbers
        if text and self.only:
            text += f" {self.only}"
        if self.also:
            text += f"{', or ' if text else ''}{self.also}"
        return f"raised {text}"

    @property
    def numbers(self) -> str:
        """Only the values: "above 0.6", "below 0.9 or above 1.1", "" where there is none."""
        sides = [] if self.below is None else [f"below {score(self.below)}"]
        if self.above is not None:
            sides.append(f"above {score(self.above)}")
        return " or ".join(sides)

    @property
    def brief(self) -> str:
        """The values, with a star where more than them decides."""
        more = "*" if self.also or self.only else ""
        return f"{self.numbers}{more}" if self.numbers else "by none" if self.also == NOTHING else "in words*"


@dataclass(frozen=True)
class Sample:
    """How many records of one side there were, and how many are needed for the finding to see its fault."""

    n: int
    needs: int
    side: Literal["made", "unseen real", "training"]

    @property
    def short(self) -> bool:
        return self.n < self.needs

    @property
    def wanted(self) -> str:
        """In words: "1,200 made", "more than 100,000 unseen real"."""
        return f"{'' if self.needs < MOST else 'more than '}{count(min(self.needs, MOST))} {self.side}"


@dataclass(frozen=True)
class Finding:
    """One measurement of what a generator makes.

    key: which one, a row of `KEYS` ("coverage").   value, low, high: the score of what was made and its 95% interval.
    real: the score that it is held against, of unseen real data unless `beside` says of what else.
    better: which way is better; "neither" where only the distance from `real` counts.
    raised: whether it is far enough from `real` to speak of a fault.   says: one sentence for a person.
    detail: JSON for the report (class histogram, missing classes, pairs of indices, curves).
    limit: what it is judged by.   samples: of each side that it rests on, how many there were and how many it needs.
    of: what it is about where a key alone does not say (an axis, a descriptor).   table: which of several tables.
    why: in a few words, why it could not be measured, where its value is NaN.
    Raises ValueError for a key without a row, and where `raised` and `limit` contradict each other.
    """

    key: str
    value: float
    low: float
    high: float
    real: float
    better: Better
    raised: bool
    says: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    limit: Limit = field(kw_only=True)
    samples: tuple[Sample, ...] = field(default=(), kw_only=True)
    of: str = field(default="", kw_only=True)
    table: str | None = field(default=None, kw_only=True)
    beside: str = field(default=UNSEEN, kw_only=True)
    why: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.key not in KEYS:
            raise ValueError(f"{self.key!r} is no finding: it has no row in karat.assays.keys.KEYS")
        surely, hardly = self.limit.broken(self.value, SLACK), self.limit.broken(self.value, -SLACK)
        if (surely and not self.raised and not self.limit.only) or (self.raised and not hardly and not self.limit.also):
            raise ValueError(f"{self.name} is {self.value} and raised={self.raised}, but: {self.limit}")

    @property
    def kind(self) -> Key:
        return KEYS[self.key]

    @property
    def assay(self) -> str:
        return self.kind.assay

    @property
    def name(self) -> str:
        """What a person calls it: its key, what it is about, and the table before it."""
        name = self.kind.title.format(of=self.of) if self.kind.title else self.key
        return name if self.table is None else f"{self.table} {name}"

    @property
    def lacking(self) -> Sample | None:
        """The side whose records are too few for the fault to be seen; the one that lacks most."""
        short = [s for s in self.samples if s.short]
        return max(short, key=lambda s: s.needs / max(s.n, 1), default=None)

    @property
    def state(self) -> State:
        """A fault that was seen was seen, however few records there are; what was not seen may not have been visible."""
        if self.raised:
            return "raised"
        return "cannot tell" if math.isnan(self.value) or self.lacking is not None or self.beyond else "ok"

    @property
    def beyond(self) -> bool:
        """Whether no score that it can have would break its limit: so wide is chance at these sizes."""
        given = self.limit.above is not None or self.limit.below is not None
        return given and not self.limit.also and not self.within.numbers

    @property
    def saturated(self) -> bool:
        """Whether real data is at the bad end itself, so that more records would not help: rows of which all repeat."""
        low, high = self.kind.ends
        return self.beyond and self.real == {"lower": high, "higher": low}.get(self.better)

    @property
    def within(self) -> Limit:
        """The limit without what no score can pass: an area under a curve is never above 1.05."""
        low, high = self.kind.ends
        above = self.limit.above if self.limit.above is not None and self.limit.above < high else None
        below = self.limit.below if self.limit.below is not None and self.limit.below > low else None
        # a further way to be raised stands for itself; without any left, none is a limit that nothing can pass
        return Limit(
            above, below, self.limit.also or ("" if (above, below) != (None, None) else NOTHING), self.limit.only
        )

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval as far as the score can go; the value itself is always in it."""
        low, high = self.kind.ends
        low, high = min(low, self.value), max(high, self.value)
        return (low if self.low < low else self.low), (high if self.high > high else self.high)

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what it says is missing, such as classes."""
        return tuple(str(name) for name in self.detail.get("missing", ()))

    @property
    def judged(self) -> str:
        """The state in words: "ok", "RAISED", "cannot tell at n=40; needs 120 made"."""
        if self.state != "cannot tell":
            return "RAISED" if self.raised else "ok"
        if self.lacking is None:
            if self.saturated:
                return "cannot tell: unseen real data score as high as can be"
            if self.beyond:
                return "cannot tell: too few for any score to be a fault"
            return f"cannot tell: {self.why or 'not measured'}"
        s = self.lacking
        return f"cannot tell: {self.why}; needs {s.wanted}" if self.why else f"cannot tell at n={s.n}; needs {s.wanted}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: the fields, and what follows from them (assay, name, state)."""
        return {
            "assay": self.assay,
            "name": self.name,
            "state": self.state,
            **asdict(self),
            "threshold": str(self.within),
        }


def find(findings: Sequence[Finding], name: str) -> Finding:
    """The finding called `name`, where spaces, hyphens and underscores are one; DataError lists the names there are."""

    def plain(text: str) -> str:
        return text.lower().replace("-", " ").replace("_", " ").strip()

    for finding in findings:
        if plain(finding.name) == plain(name):
            return finding
    known = ", ".join(finding.name for finding in findings)
    raise DataError(f"no finding is called {name!r}; there are: {known}")
