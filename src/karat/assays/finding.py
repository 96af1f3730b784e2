"""A finding: a number, its interval, the number that unseen real data gets in its place, and what it is judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from karat.assays.details import Detail
from karat.assays.details.passages import MissingWords
from karat.assays.details.records import MissingClasses, MissingModes
from karat.assays.details.rows import RareCategories
from karat.assays.faults import fault
from karat.assays.keys import KEYS, Better, Key
from karat.errors import DataError
from karat.words import count, said, score, term

State = Literal["ok", "raised", "cannot tell"]
UNSEEN = "unseen real data"
MOST = 100_000  # records, beyond which nobody is told how many more
NOTHING = said("by no score at so few records")
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
    """How many records of one side there were, and how many are needed for the finding to see the fault that matters.

    least: the least fault that it sees in 19 of 20 tries at the sizes that there are, in the unit of its row in
    `karat.assays.faults`; None where it sees none, or that was not reckoned.
    """

    n: int
    needs: int
    side: Literal["made", "unseen real", "training"]
    least: float | None = None

    @property
    def short(self) -> bool:
        return self.n < self.needs

    @property
    def unreachable(self) -> bool:
        """Whether not even `MOST` records would do: in such data what is looked for is hardly told from chance."""
        return self.needs >= MOST

    @property
    def named(self) -> int:
        """How many are named to a person: what it needs, up to `MOST`."""
        return min(self.needs, MOST)

    @property
    def wanted(self) -> str:
        """In words: "1,200 made", "more than 100,000 unseen real"."""
        return said(
            "more than {n} {side}" if self.unreachable else "{n} {side}", n=count(self.named), side=term(self.side)
        )


@dataclass(frozen=True)
class Score:
    """A score with its 95% interval, what unseen real data gets, and the standard error of the difference of the two."""

    value: float
    low: float
    high: float
    real: float
    error: float

    @property
    def z(self) -> float:
        """How many standard errors the score lies above that of real data."""
        return (self.value - self.real) / self.error

    def clipped(self, low: float = -math.inf, high: float = math.inf) -> Score:
        """The same with its interval inside of `low` and `high`."""
        return replace(self, low=max(low, self.low), high=min(high, self.high))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One measurement of what a generator makes.

    key: which one, a row of `KEYS` ("coverage").   value, low, high: the score of what was made and its 95% interval.
    real: the score that it is held against, of unseen real data unless `beside` says of what else.
    raised: whether it is far enough from `real` to speak of a fault.   summary: one sentence for a person.
    detail: what the report shows beside it, of the type that the key has, or None.
    limit: what it is judged by.   samples: of each side that it rests on, how many there were and how many it needs.
    of: what it is about where a key alone does not say (an axis, a descriptor).   table: which of several tables.
    why: in a few words, why it could not be measured, where its value is NaN.
    Raises ValueError for a key without a row, a detail of another type, and where `raised` and `limit` contradict each other.
    `scored`, `exact` and `unknown` make the common ones.
    """

    key: str
    value: float
    low: float
    high: float
    real: float
    raised: bool
    summary: str
    detail: Detail | None = None
    limit: Limit
    samples: tuple[Sample, ...] = ()
    of: str = ""
    table: str | None = None
    beside: str = UNSEEN
    why: str = ""

    def __post_init__(self) -> None:
        if self.key not in KEYS:
            raise ValueError(f"{self.key!r} is no finding: it has no row in karat.assays.keys.KEYS")
        wanted = self.kind.detail
        if self.detail is not None and type(self.detail) is not wanted:
            name = "none" if wanted is None else wanted.__name__
            raise ValueError(f"{self.name} has a detail of type {type(self.detail).__name__}; its key has {name}")
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
    def better(self) -> Better:
        return self.kind.better

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
    def least(self) -> float | None:
        """The least fault that it sees in 19 of 20 tries at these sizes; None where it sees none, or that was not reckoned."""
        return next((s.least for s in self.samples if s.least is not None), None)

    @property
    def sees(self) -> str:
        """That fault in words: "3% copies"."""
        return fault(self.key, self.least)

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
        return (
            self.detail.missing
            if isinstance(self.detail, MissingClasses | MissingModes | RareCategories | MissingWords)
            else ()
        )

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
        return (
            f"cannot tell: {self.why}; needs {s.wanted}"
            if self.why
            else f"cannot tell at n={count(s.n)}; needs {s.wanted}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: the fields, and what follows from them (assay, name, state, which way is better)."""
        return {
            "assay": self.assay,
            "name": self.name,
            "state": self.state,
            **{f.name: getattr(self, f.name) for f in fields(self)},
            "better": self.better,
            "detail": {} if self.detail is None else self.detail.to_dict(),
            "limit": asdict(self.limit),
            "samples": [asdict(s) for s in self.samples],
            "threshold": str(self.within),
            "sees": self.sees,
        }

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that gave `values`, also as JSON has it, without NaN; DataError where there is no such key."""
        row = KEYS.get(values["key"])
        if row is None:
            raise DataError(f"no finding has the key {values['key']!r}; was the report written by another version?")
        known = {f.name: values[f.name] for f in fields(cls)}
        numbers = {k: math.nan if values[k] is None else values[k] for k in ("value", "low", "high", "real")}
        detail = row.detail.read(values["detail"]) if row.detail is not None and values["detail"] else None
        samples = tuple(Sample(**s) for s in values["samples"])
        limit = dict(values["limit"])
        if limit["above"] is None and limit["below"] is None and not limit["also"]:
            limit["above"] = math.inf  # which JSON has not: so few records that no score would be a fault
        return cls(**known | numbers | {"detail": detail, "limit": Limit(**limit), "samples": samples})


def scored(
    key: str,
    score: Score,
    limit: Limit,
    summary: str,
    *,
    detail: Detail | None = None,
    samples: tuple[Sample, ...] = (),
    raised: bool | None = None,
    of: str = "",
    beside: str = UNSEEN,
) -> Finding:
    """The finding that `score` is, raised where it breaks its limit unless `raised` says otherwise."""
    return Finding(
        key=key,
        value=score.value,
        low=score.low,
        high=score.high,
        real=score.real,
        raised=limit.broken(score.value) if raised is None else raised,
        summary=summary,
        detail=detail,
        limit=limit,
        samples=samples,
        of=of,
        beside=beside,
    )


def exact(
    key: str,
    value: float,
    limit: Limit,
    summary: str,
    *,
    high: float | None = None,
    real: float = 0.0,
    raised: bool | None = None,
    detail: Detail | None = None,
    samples: tuple[Sample, ...] = (),
) -> Finding:
    """A count of what was certainly found, up to `high` of what may be; real data have `real` of it."""
    score = Score(value, value, value if high is None else high, real, 0.0)
    return scored(key, score, limit, summary, detail=detail, samples=samples, raised=raised)


def unknown(
    key: str, why: str, limit: Limit, summary: str, *, detail: Detail | None = None, samples: tuple[Sample, ...] = ()
) -> Finding:
    """What could not be measured, and in a few words why."""
    none = Score(math.nan, math.nan, math.nan, math.nan, math.nan)
    return replace(scored(key, none, limit, summary, detail=detail, samples=samples), why=why)


def find(findings: Sequence[Finding], name: str) -> Finding:
    """The finding called `name`, where spaces, hyphens and underscores are one; DataError lists the names there are."""

    def plain(text: str) -> str:
        return text.lower().replace("-", " ").replace("_", " ").strip()

    for finding in findings:
        if plain(finding.name) == plain(name):
            return finding
    known = ", ".join(finding.name for finding in findings)
    raise DataError(f"no finding is called {name!r}; there are: {known}")
