"""The verdict: gold, bubble or unproven, with its reasons and the measurement that would settle it.

Gold: every hard gate passes, and it is cheaper with probability at least 0.9 (or one made item stands for more real
labels than break-even asks) and pays with probability at least 0.8, and every finding that decides could see its fault
and saw none, or none but those that the share of items which people accept, by its lower bound, excuses. Bubble: a hard
gate fails, or it pays with probability at most 0.2, or nobody could use what is made, or it gives no lift over the null
control where a lift would have been seen. Unproven: anything else.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from karat.words import Sentence, chance, count, money, said, score, term
from karat.worth.economics import worth_reasons
from karat.worth.gates import gate_reasons
from karat.worth.inputs import inputs_of
from karat.worth.ledger import Cost
from karat.worth.policy import Policy
from karat.worth.prices import Prices
from karat.worth.quality import quality_reasons
from karat.worth.reasons import Reason, Settle, beside, called, scores
from karat.worth.reviewed import Reviewed
from karat.worth.settling import next_step
from karat.worth.value import Input, Value, appraise

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

MOSTLY = 0.75  # of the findings that cannot tell for want of one side's records


@dataclass(frozen=True)
class Verdict:
    """What it is worth. `value` is None while the money is unknown, and `assumed_share` with it."""

    word: Literal["gold", "bubble", "unproven"]
    sentence: str
    reasons: tuple[Reason, ...]
    inputs: tuple[Input, ...]
    assumed_share: float | None
    value: Value | None
    settle: Settle | None
    currency: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    findings: Sequence[Finding],
    cost: Cost,
    prices: Prices,
    *,
    rights: str | None,
    labelled: bool | None,
    thing: str = "item",
    reviewed: bool = True,
    seed: int = 0,
    policy: Policy | None = None,
    today: datetime.date | None = None,
    people: Reviewed | None = None,
) -> Verdict:
    """The verdict that follows from these findings and no other; never gold while a hard gate fails or is unknown.

    rights: as `Prices.rights`, which is used where this is None.   labelled: whether a label of origin was read back from
    what is made; None where that is not known.   thing: what one record is called.   reviewed: whether a
    person looks at each of them before it is used.   policy: what is asked besides.   today: the day on which rights and signatures
    have to hold.   people: what those said who looked, which counts in place of what `prices` declare of it. Same arguments, same
    verdict.
    """
    rights = prices.rights if rights is None else rights
    policy, today, people = policy or Policy(), today or datetime.date.today(), people or Reviewed()
    declared, prices = prices, people.over(prices)
    gates = gate_reasons(findings, prices, rights, labelled, thing, today)
    gates += policy.reasons(findings, prices.personal, today)
    quality = quality_reasons(findings, prices, thing, reviewed, people)
    inputs, missing = inputs_of(findings, cost, declared, thing, reviewed, people)
    value = None if missing else appraise(inputs, seed, prices.label_cost_per_item, stages=prices.stages)
    worth = worth_reasons(value, missing, findings, prices.currency, thing, policy)
    reasons = (*gates, *quality, *worth)

    failed = [r for r in reasons if r.state == "fail"]
    unknown = [r for r in reasons if r.state == "unknown"]
    settle: Settle | None = None
    if failed:
        word: Literal["gold", "bubble", "unproven"] = "bubble"
        beyond = _beside(findings, failed[0])
        sentence = said("Bubble: {because}{shown}.", because=failed[0].text, shown=beyond)
    elif not unknown:
        word = "gold"
        assert value is not None
        template = "Gold: {because}, it pays with a probability of {chance}, and every gate is passed{shown}."
        sentence = said(template, because=worth[0].text, chance=chance(value.p_pays), shown=_headline(findings))
    else:
        word = "unproven"
        settle = next_step(unknown, findings, missing, inputs, value, prices, cost, thing, reviewed)
        together = unknown[0].name == "rights" and bool(missing)  # one step declares both
        settle = replace(settle, alone=len(unknown) == 1 + together)
        all_of_it = "Unproven: {because}; what would settle it: {what}, which costs {price}{shown}."
        sentence = said(
            all_of_it if settle.alone else "Unproven: {because}; what to do first: {what}, which costs {price}{shown}.",
            because=unknown[0].text,
            what=settle.what,
            price=_price(settle, prices.currency),
            shown=_shown(findings),
        )
    share = None if value is None else value.assumed_share
    return Verdict(word, sentence, reasons, inputs, share, value, settle, prices.currency)


def _price(settle: Settle, currency: str | None) -> Sentence:
    if settle.costs is None:
        price = said("a price that cannot be named with what is declared")
    else:
        price = said("about {money}", money=money(settle.costs, currency)) if settle.costs else said("nothing")
    if settle.worthwhile:
        return price
    gains = money(settle.gains, currency)
    return price + said(" and is expected to gain {money} only: stop rather than measure", money=gains)


def _headline(findings: Sequence[Finding]) -> str:
    """The finding to show to a board: a raised one, then one that is surely within its limit; none that cannot tell."""
    f = next(iter(conclusive(findings)), None)
    return "" if f is None else scores(f)


def _shown(findings: Sequence[Finding]) -> str:
    """The same finding where the sentence speaks of something else."""
    f = next(iter(conclusive(findings)), None)
    if f is None:
        return ""
    template = "; raised: {name} {value} ({beside})" if f.raised else "; measured: {name} {value} ({beside})"
    return said(template, name=called(f), value=score(f.value), beside=beside(f))


def conclusive(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say something for certain, the weightiest first.

    Raised ones before fine ones, those whose whole interval keeps to the limit before those that may be beyond it.
    """
    order = ("memory", "privacy", "usefulness", "descriptors", "bias", "diversity", "fidelity")
    calm = ("fidelity", "diversity", "usefulness", "memory", "privacy", "bias", "descriptors")
    shown = [f for f in findings if f.assay in order and f.state != "cannot tell" and math.isfinite(f.value)]
    shown = [f for f in shown if f.kind.feeds != "run"]  # which speaks of what is not given away

    def unsure(f: Finding) -> bool:
        return not f.raised and (f.limit.broken(f.low) or f.limit.broken(f.high))

    def place(f: Finding) -> int:
        return (order if f.raised else calm).index(f.assay)

    return sorted(
        (f for f in shown if math.isfinite(f.real)),
        key=lambda f: (not f.raised, unsure(f), not f.kind.decides, place(f)),
    )


def _beside(findings: Sequence[Finding], reason: Reason) -> str:
    for f in findings:
        same = f.name == reason.name or (reason.kind == "gate" and f.raised and f.kind.feeds == reason.name)
        if same and math.isfinite(f.real) and reason.name not in ("rights", "labels"):
            if f"{f.name} {score(f.value)}" in reason.text or f"{f.name} is {score(f.value)}" in reason.text:
                return said(" ({beside})", beside=beside(f))
            return scores(f)
    return _headline(findings)


def overview(findings: Sequence[Finding], thing: str = "record") -> str:
    """One sentence where most findings cannot tell: how many, which side is too few, and how many would settle most of them.

    "" where at least half can tell. thing: what one record is called.
    """
    blind = [f for f in findings if f.state == "cannot tell"]
    if 2 * len(blind) <= len(findings):
        return ""
    text = said("{n} of {all} findings cannot tell", n=len(blind), all=len(findings))
    lacking = [(f.table, s.side, s) for f in blind if (s := f.lacking) is not None]
    if not lacking:
        return text + said(".")
    # of several tables each has records of its own: that one side of one table is named which most wait for
    kinds = [(table, side) for table, side, _ in lacking]
    table, side = max(kinds, key=kinds.count)
    few = sorted((s for *kind, s in lacking if kind == [table, side]), key=lambda s: s.needs)
    enough = few[math.ceil(MOSTLY * len(few)) - 1]  # all that need less are settled by it too
    settled = sum(s.needs <= enough.needs for s in few)
    sizes = [s.n for s in few]
    values: dict[str, Any] = {
        "n": count(max(sizes, key=sizes.count)),
        "side": term(side),
        "thing": term(thing),
        "table": table,
    }
    values |= {"wanted": enough.wanted, "settled": settled}
    if table:
        few_of = ": {n} {side} {thing}s of {table} are too few; {wanted} ones would let {settled} of them tell."
        return text + said(few_of, **values)
    return text + said(": {n} {side} {thing}s are too few; {wanted} ones would let {settled} of them tell.", **values)
