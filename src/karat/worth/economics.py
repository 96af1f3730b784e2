"""Whether it pays: the unit cost beside today's, and the net present value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.assays.details.records import Exchange
from karat.words import chance, listed, money, number, said, term
from karat.worth.policy import Policy
from karat.worth.reasons import Reason
from karat.worth.value import Value

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

LOSES = 0.2  # reference E4


def worth_reasons(
    value: Value | None,
    missing: tuple[str, ...],
    findings: Sequence[Finding],
    currency: str | None,
    thing: str,
    policy: Policy,
) -> list[Reason]:
    if value is None:
        text = said("the money is unknown until prices.toml declares {names}", names=listed(missing))
        return [Reason("worth", "money", "unknown", text)]
    cost = said(
        "an accepted {thing} costs {cost} ({low} to {high})",
        thing=term(thing),
        cost=money(value.cpa, currency),
        low=money(value.cpa_low, currency),
        high=money(value.cpa_high, currency),
    )
    rho = next((f for f in findings if f.key == "exchange rate" and math.isfinite(f.value)), None)
    beats = value.breakeven is not None and rho is not None and _stands_for_more(rho, value.breakeven)
    cheap = value.p_cheaper >= policy.cheaper or beats
    text = cost + said(", below today's cost with a probability of {chance}", chance=chance(value.p_cheaper))
    if value.breakeven is not None and rho is not None:
        enough = ", and stands for {rho} real labels ({low} to {high}) where {breakeven} would do"
        short = ", and stands for {rho} real labels ({low} to {high}) where {breakeven} are needed"
        text += said(
            enough if beats else short,
            rho=number(rho.value),
            low=number(rho.low),
            high=number(rho.high),
            breakeven=number(value.breakeven),
        )
        if isinstance(rho.detail, Exchange) and not rho.detail.beats:
            text += said(", no more than controls that cost nothing")
    unit = Reason("worth", "unit cost", "pass" if cheap else "unknown", text)
    pays = said("it pays with a probability of {chance}", chance=chance(value.p_pays))
    if value.p_pays <= LOSES:
        return [unit, Reason("worth", "net value", "fail", pays + said("; ") + cost)]
    net = Reason("worth", "net value", "pass" if value.p_pays >= policy.pays else "unknown", pays)
    return [unit, net, *_stage_reasons(value, currency)]


def _stands_for_more(rho: Finding, breakeven: float) -> bool:
    """Whether one made item surely stands for more real labels than it costs, and for more than what costs nothing."""
    return rho.low > breakeven and (not isinstance(rho.detail, Exchange) or rho.detail.beats)


def _stage_reasons(value: Value, currency: str | None) -> list[Reason]:
    """The kill rule over the declared stages: none, or one reason."""
    if not value.gates:
        return []
    stop = next((g for g in reversed(value.gates) if not g.enter), None)
    if stop is None:
        template = "every stage is worth entering; {stage} costs {costs}, and what lies behind it is worth {worth}"
    else:
        template = "stop before {stage}: it costs {costs}, and what lies behind it is expected to bring {worth}"
    at = stop or value.gates[0]
    text = said(template, stage=at.name, costs=money(at.costs, currency), worth=money(at.worth, currency))
    return [Reason("worth", "stages", "pass" if stop is None else "fail", text)]
