"""Whether it pays: the unit cost beside today's, and the net present value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.assays.details.records import Exchange
from karat.words import chance, money, number
from karat.worth.policy import Policy
from karat.worth.reasons import Reason, joined
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
        return [
            Reason("worth", "money", "unknown", f"the money is unknown until prices.toml declares {joined(missing)}")
        ]
    cost = f"an accepted {thing} costs {money(value.cpa, currency)}"
    cost += f" ({money(value.cpa_low, currency)} to {money(value.cpa_high, currency)})"
    rho = next((f for f in findings if f.key == "exchange rate" and math.isfinite(f.value)), None)
    beats = value.breakeven is not None and rho is not None and _stands_for_more(rho, value.breakeven)
    cheap = value.p_cheaper >= policy.cheaper or beats
    text = f"{cost}, below today's cost with a probability of {chance(value.p_cheaper)}"
    if value.breakeven is not None and rho is not None:
        would = "would do" if beats else "are needed"
        text += f", and stands for {number(rho.value)} real labels ({number(rho.low)} to {number(rho.high)}) where "
        text += f"{number(value.breakeven)} {would}"
        if isinstance(rho.detail, Exchange) and not rho.detail.beats:
            text += ", no more than controls that cost nothing"
    unit = Reason("worth", "unit cost", "pass" if cheap else "unknown", text)
    pays = f"it pays with a probability of {chance(value.p_pays)}"
    if value.p_pays <= LOSES:
        return [unit, Reason("worth", "net value", "fail", f"{pays}; {cost}")]
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
        first = value.gates[0]
        text = (
            f"every stage is worth entering; {first.name} costs {money(first.costs, currency)}, and what lies behind it"
        )
        return [Reason("worth", "stages", "pass", f"{text} is worth {money(first.worth, currency)}")]
    text = (
        f"stop before {stop.name}: it costs {money(stop.costs, currency)}, and what lies behind it is expected to bring"
    )
    return [Reason("worth", "stages", "fail", f"{text} {money(stop.worth, currency)}")]
