"""What a verdict rests on, and how reasons speak of findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from karat.words import Clause, Sentence, count, listed, parts_of, said, score, term, together

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

MOST_NAMED = 4  # findings named in a sentence


@dataclass(frozen=True)
class Reason:
    """One thing that the verdict rests on.   cause: which of several ways to its state it is, for those who tell it in words."""

    kind: Literal["gate", "quality", "worth"]
    name: str
    state: Literal["pass", "fail", "unknown"]
    text: str
    cause: str = ""

    @property
    def key(self) -> str:
        """Of the sentence about it in a table of language."""
        return ".".join(filter(None, (self.kind, self.name, self.state, self.cause)))


@dataclass(frozen=True)
class Settle:
    """The measurement that would settle an open verdict, and what it costs (None: no price is known).

    gains: what knowing it is expected to gain, where the money is what is open (None: it is not).   alone: whether nothing
    else is open, so that it does settle the verdict; otherwise it is what to do first.
    """

    what: str
    costs: float | None
    gains: float | None = None
    alone: bool = True

    @property
    def worthwhile(self) -> bool:
        """The kill rule for a measurement: not where it surely costs more than it is expected to gain."""
        return self.gains is None or self.costs is None or self.costs == 0 or self.gains > self.costs


def undecided(findings: Sequence[Finding]) -> list[Finding]:
    """Those that the verdict rests on and that cannot tell, for want of records or at all."""
    return [f for f in findings if f.kind.decides and f.state == "cannot tell"]


def cannot_tell(blind: Sequence[Finding], thing: str) -> str:
    """ "coverage and recall cannot tell at n=40; needs 1,200 made rows": the side that lacks most, and by its largest need."""
    few = [(f, s) for f in blind if (s := f.lacking) is not None]
    if not few:
        beyond = [f for f in blind if f.beyond]
        if beyond:
            if all(f.saturated for f in beyond):
                template = "{names} cannot tell: unseen real {thing}s score as high as can be"
            else:
                template = "{names} cannot tell: at so few {thing}s no score it can have would be a fault"
            return said(template, names=named(beyond), thing=term(thing))
        if len(blind) == 1:
            why = plain(blind[0].summary)
            return said("{names} could not be measured ({why})", names=named(blind), why=why)
        return said("{names} could not be measured", names=named(blind))
    side = max((s for _, s in few), key=lambda s: s.needs / max(s.n, 1)).side
    same = [f for f, s in few if s.side == side]
    most = max((s for _, s in few if s.side == side), key=lambda s: s.needs)
    return said(
        "{names} cannot tell at n={n}; needs {wanted} {thing}s",
        names=named(same),
        n=count(most.n),
        wanted=most.wanted,
        thing=term(thing),
    )


def called(f: Finding) -> Sentence:
    """What the finding is called, in each language by its key."""
    name = Sentence(((f.kind.title or f.key, {"of": f.of, "key": f.key}),))
    return name if f.table is None else said("{table} {name}", table=f.table, name=name)


def named(findings: Sequence[Finding]) -> str:
    """Their names, those first that say what is missing, and what that is."""
    names = list(dict.fromkeys(_with_missing(f) for f in sorted(findings, key=lambda f: not f.missing)))
    return listed(names, MOST_NAMED)


def _with_missing(f: Finding) -> str:
    if not f.raised or not f.missing:
        return called(f)
    more = f.missing if len(f.missing) > MOST_NAMED else ()
    gone = listed(more, MOST_NAMED) if more else together(f.missing, term(", "))
    return said("{name} ({missing})", name=called(f), missing=gone)


def scores(f: Finding) -> Sentence:
    return said(" ({name} {value}, {beside})", name=called(f), value=score(f.value), beside=beside(f))


def beside(f: Finding) -> str:
    """What a finding is held against, with its score: a better one than real data get is no better than real, only as good."""
    better = {"higher": f.value >= f.real, "lower": f.value <= f.real, "neither": False}[f.better]
    template = "as good as {what} {score}" if better and not f.raised else "{what} {score}"
    return said(template, what=term(f.beside), score=score(f.real))


def plain(sentence: str) -> str:
    """A finding's sentence inside of another one."""
    return Clause(parts_of(sentence)) or said("a test raised it")
