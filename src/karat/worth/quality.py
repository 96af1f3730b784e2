"""Whether what is made is good enough: faults that no use survives, what cannot be told, and what reviewers excuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.assays.details.records import Usefulness
from karat.words import Sentence, said, score, term, together
from karat.worth.prices import Prices
from karat.worth.reasons import Reason, called, cannot_tell, named, undecided
from karat.worth.reviewed import Reviewed

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

USELESS = 0.5  # share of what real data teaches that is lost, at least, before nobody could use it
HOPELESS = 0.1  # share of the real data's score, or of the items that people accept, at most
LIFT = 0.1  # share of the lift that as much new real data gives, at most, before there is none to speak of


def quality_reasons(
    findings: Sequence[Finding], prices: Prices, thing: str, reviewed: bool, people: Reviewed | None = None
) -> list[Reason]:
    """Reasons of quality: a fault that no use survives, what cannot be told, faults, and those that reviewers excuse."""
    mine = [f for f in findings if f.kind.feeds == "quality"]
    raised = [f for f in mine if f.raised]
    if hopeless := _hopeless(mine, thing):
        return hopeless
    if not any(f.state != "cannot tell" for f in mine) and not undecided(mine):
        return [Reason("quality", "quality", "unknown", said("no finding says how good it is"))]
    least = prices.least_accepted if reviewed else 0.0
    seldom = prices.acceptance is not None and prices.most_accepted <= HOPELESS
    excused = [f for f in raised if is_excused(f, least)]
    reasons = []
    if people is not None and people.unknown:
        why = together(people.stamps, "; ")
        text = said("how many {thing}s people accept is unknown: {why}", thing=term(thing), why=why)
        reasons.append(Reason("quality", "reviewers", "unknown", text))
    if seldom and prices.acceptance is not None:
        accepted, of = prices.acceptance
        one = "of {of:,} reviewed {thing}s {accepted:,} was accepted: next to nothing that is made can be used"
        many = "of {of:,} reviewed {thing}s {accepted:,} were accepted: next to nothing that is made can be used"
        text = said(one if accepted == 1 else many, of=of, thing=term(thing), accepted=accepted)
        reasons.append(Reason("quality", "acceptance", "unknown", text))
    if left := [f for f in raised if f not in excused]:
        reasons.append(Reason("quality", "faults", "unknown", _far(left, prices, thing, reviewed, least)))
    if blind := undecided(mine):
        reasons.append(Reason("quality", "power", "unknown", cannot_tell(blind, thing)))
    if excused:
        template = "faults in {names}, and people accept at least {least:.0%} of what is made"
        text = said(template, names=named(excused), least=least)
        reasons.append(Reason("quality", "review", "pass", text))
    if not reasons:
        reasons.append(
            Reason("quality", "quality", "pass", said("no finding is far from what unseen real data scores"))
        )
    return reasons


def _hopeless(mine: Sequence[Finding], thing: str) -> list[Reason]:
    """Faults that no use survives."""
    reasons: list[Reason] = []
    raised = [f for f in mine if f.raised]
    apart = any(f.assay == "fidelity" for f in raised)
    for f in raised:
        if f.key == "usefulness" and apart and _lost(f) > USELESS:
            template = "{name} is {value}, so over half of what real data teaches is lost"
        elif f.assay == "fidelity" and f.better == "higher" and f.real > 0 and f.high <= HOPELESS * f.real:
            template = "{name} is {value}, so almost nothing that is made looks real"
        elif f.assay == "diversity" and f.better == "higher" and f.key != "vendi" and 0 <= f.high <= HOPELESS * f.real:
            template = "{name} is {value}, so almost nothing of what real data shows is made"
        elif f.key == "vendi" and f.high - 1 <= HOPELESS * (f.real - 1):  # 1 is one record over and over
            template = "what is made is as varied as {value} different {thing}s, as many real ones as {real}"
        else:
            continue
        reasons.append(_failed(f, template, thing))
    for f in mine:
        # The null control is duplicates of real records. Where new real data lifts by more than the interval is wide to one
        # side, and the interval ends below a tenth of that, there was power to see. A bubble rests on nothing that says of
        # itself that it cannot tell.
        if (
            f.key == "lift"
            and f.state != "cannot tell"
            and f.real > max(0.0, (f.high - f.low) / 2)
            and f.high <= LIFT * f.real
        ):
            template = "what is made teaches no more than duplicates of real {thing}s do: {name} {value}"
            reasons.append(_failed(f, template, thing))
    return reasons


def _failed(f: Finding, template: str, thing: str) -> Reason:
    told = said(template, name=called(f), value=score(f.value), real=score(f.real), thing=term(thing))
    return Reason("quality", f.name, "fail", told)


def _far(left: Sequence[Finding], prices: Prices, thing: str, reviewed: bool, least: float) -> Sentence:
    """Faults that nothing excuses, and why what people accept does not."""
    one = len({f.name for f in left}) == 1
    far = "{names} is far from what real data scores" if one else "{names} are far from what real data scores"
    text = said(far, names=named(left))
    if reviewed and all(f.kind.visible for f in left):
        if prices.acceptance is None:
            return text + said(", and nobody has said how many {thing}s are accepted", thing=term(thing))
        template = ", and of {of} reviewed {thing}s no more than {least:.0%} are sure to be accepted"
        return text + said(template, of=prices.acceptance[1], thing=term(thing), least=least)
    if reviewed and prices.acceptance is not None:
        hidden = [f for f in left if not f.kind.visible]
        text += said(", and who reviews single {thing}s cannot see {names}", thing=term(thing), names=named(hidden))
    return text


def is_excused(f: Finding, accepted: float) -> bool:
    """Whether `f` would not be raised if the share of items that is `accepted`, at least, scored as real data do.

    Scores of single items are means over them, so the gap shrinks by that share. What is raised by more than its value
    says, or cannot be seen in single items, no acceptance excuses.
    """
    lifted = f.real + (1 - accepted) * (f.value - f.real)
    return f.kind.visible and f.limit.broken(f.value) and not f.limit.broken(lifted)


def _lost(f: Finding) -> float:
    """The least share of (real - chance) that the finding loses, over its interval: the TSTR gap of reference E2."""
    floor = f.detail.chance if isinstance(f.detail, Usefulness) and f.detail.chance is not None else 0.0
    span = f.real - floor
    if f.better != "higher" or not span > 0:
        return 0.0
    return (f.real - f.high) / span
