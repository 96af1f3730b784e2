"""Whether what is made is good enough: faults that no use survives, what cannot be told, and what reviewers excuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.assays.details.records import Usefulness
from karat.words import score
from karat.worth.prices import Prices
from karat.worth.reasons import Reason, cannot_tell, named, undecided
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
        return [Reason("quality", "quality", "unknown", "no finding says how good it is")]
    least = prices.least_accepted if reviewed else 0.0
    seldom = prices.acceptance is not None and prices.most_accepted <= HOPELESS
    excused = [f for f in raised if is_excused(f, least)]
    reasons = []
    if people is not None and people.unknown:
        text = f"how many {thing}s people accept is unknown: {'; '.join(people.stamps)}"
        reasons.append(Reason("quality", "reviewers", "unknown", text))
    if seldom and prices.acceptance is not None:
        accepted, of = prices.acceptance
        text = f"of {of:,} reviewed {thing}s {accepted:,} {'was' if accepted == 1 else 'were'} accepted"
        reasons.append(Reason("quality", "acceptance", "unknown", f"{text}: next to nothing that is made can be used"))
    if left := [f for f in raised if f not in excused]:
        reasons.append(Reason("quality", "faults", "unknown", _far(left, prices, thing, reviewed, least)))
    if blind := undecided(mine):
        reasons.append(Reason("quality", "power", "unknown", cannot_tell(blind, thing)))
    if excused:
        text = f"faults in {named(excused)}, and people accept at least {least:.0%} of what is made"
        reasons.append(Reason("quality", "review", "pass", text))
    if not reasons:
        reasons.append(Reason("quality", "quality", "pass", "no finding is far from what unseen real data scores"))
    return reasons


def _hopeless(mine: Sequence[Finding], thing: str) -> list[Reason]:
    """Faults that no use survives."""
    reasons: list[Reason] = []
    raised = [f for f in mine if f.raised]
    apart = any(f.assay == "fidelity" for f in raised)
    for f in raised:
        if f.key == "usefulness" and apart and _lost(f) > USELESS:
            text = f"{f.name} is {score(f.value)}, so over half of what real data teaches is lost"
            reasons.append(Reason("quality", f.name, "fail", text))
        elif f.assay == "fidelity" and f.better == "higher" and f.real > 0 and f.high <= HOPELESS * f.real:
            text = f"{f.name} is {score(f.value)}, so almost nothing that is made looks real"
            reasons.append(Reason("quality", f.name, "fail", text))
        elif f.assay == "diversity" and f.better == "higher" and f.key != "vendi" and 0 <= f.high <= HOPELESS * f.real:
            text = f"{f.name} is {score(f.value)}, so almost nothing of what real data shows is made"
            reasons.append(Reason("quality", f.name, "fail", text))
        elif f.key == "vendi" and f.high - 1 <= HOPELESS * (f.real - 1):  # 1 is one record over and over
            text = f"what is made is as varied as {score(f.value)} different {thing}s, as many real ones as {score(f.real)}"
            reasons.append(Reason("quality", f.name, "fail", text))
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
            text = f"what is made teaches no more than duplicates of real {thing}s do: {f.name} {score(f.value)}"
            reasons.append(Reason("quality", f.name, "fail", text))
    return reasons


def _far(left: Sequence[Finding], prices: Prices, thing: str, reviewed: bool, least: float) -> str:
    """Faults that nothing excuses, and why what people accept does not."""
    text = f"{named(left)} {'is' if len({f.name for f in left}) == 1 else 'are'} far from what real data scores"
    if reviewed and all(f.kind.visible for f in left):
        if prices.acceptance is None:
            return f"{text}, and nobody has said how many {thing}s are accepted"
        of = prices.acceptance[1]
        return f"{text}, and of {of} reviewed {thing}s no more than {least:.0%} are sure to be accepted"
    if reviewed and prices.acceptance is not None:
        hidden = [f for f in left if not f.kind.visible]
        text += f", and who reviews single {thing}s cannot see {named(hidden)}"
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
