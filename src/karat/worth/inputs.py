"""From ledger, declared prices and findings to the inputs of the value, each tagged with how it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.assays.details.records import Exchange, Trial
from karat.words import Sentence, said, term, together
from karat.worth.ledger import Cost
from karat.worth.prices import Amount, Prices
from karat.worth.reviewed import Reviewed
from karat.worth.value import Input

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

REVIEW_SECONDS = 20.0  # published figure behind the worked example of the unit cost: 20 s of review at 30 USD an hour
REVIEW_HOUR_USD = 30.0
CPU_CORE_HOUR_USD = 0.05  # list prices of general-purpose cloud cores are about 0.03 to 0.08
LEAST_SPREAD = 0.02  # of the log of measured seconds
CLOUD = ", at usual cloud prices (USD)"
GPU_HOUR_USD = 2.5  # on-demand A100 to H200, May 2026: 0.80 to 7.00


# Inputs that are taken as something where nobody declared them: name, key, unit, number, what it is taken as.
TAKEN = (
    ("fixed cost", "fixed_cost", "once", 0.0, "none"),
    ("escape loss", "escape_loss", "per {thing}", 0.0, "none"),
    ("horizon", "value_horizon_years", "years", 1.0, "one year"),
)
# And those that may be anything in between.
USUAL = (
    ("discount rate", "discount_rate", (0.05, 0.12), "usual company rates"),
    (
        "persistence",
        "persistence",
        (0.5, 1.0),
        "share still in use after a year: at least 30% of projects are abandoned after the pilot (Gartner, 2024)",
    ),
)
TRIALS = {"sales": "margin", "conversions": "value_per_conversion", "clicks": "value_per_click"}


def inputs_of(
    findings: Sequence[Finding],
    cost: Cost,
    prices: Prices,
    thing: str = "item",
    reviewed: bool = True,
    people: Reviewed | None = None,
) -> tuple[tuple[Input, ...], tuple[str, ...]]:
    """The inputs, and the keys of prices.toml without which no value can be had (then it must not be computed).

    thing: what one record is called.   reviewed: whether a person looks at each of them before it is used.   people: what those
    said who looked, which counts in place of what is declared of it.
    """
    people = people or Reviewed()
    out: list[Input] = []
    missing: list[str] = []
    dollars = prices.currency is None or prices.currency.upper() == "USD"

    def add(part: tuple[list[Input], list[str]]) -> None:
        out.extend(part[0])
        missing.extend(part[1])

    add(_alternative(findings, prices, thing))
    if prices.items_wanted is None:
        missing.append("items_wanted")
    else:
        out.append(_declared("items wanted", "items_wanted", prices.items_wanted, _of("{thing}s", thing)))
    add(_generation(cost, prices, dollars))
    add(_review(prices, thing, reviewed, dollars, people))
    out += [_gate_share(cost, prices, thing), _accepted_share(prices, thing, reviewed, people)]
    out += [_computing(cost, prices, dollars), _extra_value(findings, prices, thing)]
    for name, key, unit, taken, word in TAKEN:
        given, per = getattr(prices, key), _of(unit, thing)
        basis = said("undeclared: taken as {word}", word=term(word))
        nothing = Input(name, "assumed", "point", taken, unit=per, basis=basis)
        out.append(nothing if given is None else _declared(name, key, given, per))
    for name, key, (low, high), source in USUAL:
        given = getattr(prices, key)
        per = term("per year")
        usual = Input(name, "assumed", "uniform", low, high, per, term(source))
        out.append(usual if given is None else _declared(name, key, given, per))
    return tuple(out), tuple(dict.fromkeys(missing))


def _of(unit: str, thing: str) -> Sentence:
    return said(unit, thing=term(thing))


def _declared(name: str, key: str, value: Amount, unit: str) -> Input:
    basis = said("{key} in prices.toml", key=key)
    if isinstance(value, tuple):
        return Input(name, "declared", "uniform", *value, unit, basis)
    return Input(name, "declared", "point", value, unit=unit, basis=basis)


def _alternative(findings: Sequence[Finding], prices: Prices, thing: str) -> tuple[list[Input], list[str]]:
    """What an item costs today: as declared, else the real labels that it stands for at the price of a label."""
    name, unit = "alternative cost", _of("per {thing}", thing)
    if prices.alternative_cost_per_item is not None:
        return [_declared(name, "alternative_cost_per_item", prices.alternative_cost_per_item, unit)], []
    label = prices.label_cost_per_item
    rho = next((f for f in findings if f.key == "exchange rate" and math.isfinite(f.high - f.low)), None)
    if label is None or rho is None:
        return [], ["alternative_cost_per_item"]
    basis, value = said("real labels that one made item stands for, measured, at label_cost_per_item"), rho.value
    if isinstance(rho.detail, Exchange) and not rho.detail.beats:
        basis, value = (
            said("no better than what costs nothing, such as duplicates: stands for no real label"),
            min(0.0, value),
        )
    spread = (rho.high - rho.low) / (2 * 1.96)
    return [Input(name, "measured", "amount", value * label, spread * label, unit, basis)], []


def _review(
    prices: Prices, thing: str, reviewed: bool, dollars: bool, people: Reviewed
) -> tuple[list[Input], list[str]]:
    """Seconds of review, and what an hour of it costs."""
    seconds, price, unit = prices.review_seconds_per_item, prices.review_hour, _of("s per {thing}", thing)
    hourly = term("per hour")
    if reviewed and people.seen and people.seconds:
        basis = said("{n} {thing}s looked at, mending included", n=people.seen, thing=term(thing))
        basis += _unused("review_seconds_per_item", seconds)
        spread = max(people.error / people.seconds, LEAST_SPREAD) if people.error else 0.5
        time = Input("review seconds", "measured", "lognormal", people.seconds, spread, unit, basis)
        seconds = people.seconds
    elif seconds is not None:
        time = _declared("review seconds", "review_seconds_per_item", seconds, unit)
    elif not reviewed:
        basis = said("{thing}s are judged together, by this assay, and not one by one", thing=term(thing))
        time = Input("review seconds", "assumed", "point", 0.0, unit=unit, basis=basis)
    else:
        time = Input("review seconds", "assumed", "lognormal", REVIEW_SECONDS, 0.5, unit, term("published example"))
    if price is not None:
        return [time, _declared("review price", "review_hour", price, hourly)], []
    if seconds == 0:
        basis = said("nobody looks at {thing}s", thing=term(thing))
        return [time, Input("review price", "assumed", "point", 0.0, unit=hourly, basis=basis)], []
    if dollars:
        basis = term("published example, USD")
        return [time, Input("review price", "assumed", "lognormal", REVIEW_HOUR_USD, 0.4, hourly, basis)], []
    return [time], ["review_hour"]


def _extra_value(findings: Sequence[Finding], prices: Prices, thing: str) -> Input:
    """What an item brings beyond the one that it replaces: by an A/B result where its worth is declared."""
    name, unit = "extra value", _of("per {thing}", thing)
    for f in findings:
        if isinstance(f.detail, Trial) and prices.shown_per_item is not None:
            key = TRIALS[f.detail.measure]
            worth = getattr(prices, key)
            if worth is not None:
                each = prices.shown_per_item * worth
                template = "A/B result in {measure}, at shown_per_item and {key}"
                basis = said(template, measure=term(f.detail.measure), key=key)
                return Input(
                    name, "measured", "amount", f.value * each, (f.high - f.low) / (2 * 1.96) * each, unit, basis
                )
    if prices.extra_value_per_item is not None:
        return _declared(name, "extra_value_per_item", prices.extra_value_per_item, unit)
    return Input(name, "assumed", "point", 0.0, unit=unit, basis=said("undeclared: taken as {word}", word=term("none")))


def _generation(cost: Cost, prices: Prices, dollars: bool) -> tuple[list[Input], list[str]]:
    name, unit = "generation cost", term("per attempt")
    if prices.generation_cost_per_item is not None:
        return [_declared(name, "generation_cost_per_item", prices.generation_cost_per_item, unit)], []
    if cost.made == 0 or cost.item_cpu_seconds is None or cost.item_gpu_seconds is None:
        return [], ["generation_cost_per_item"]
    note = said("seconds measured") + (said(", other work included") if cost.making_is_upper else "")
    if (
        prices.cpu_core_hour is None
        and prices.gpu_hour is None
        and prices.kwh is not None
        and cost.item_kwh is not None
    ):
        basis = said("energy measured, kwh declared")
        return [Input(name, "measured", "point", cost.item_kwh * prices.kwh, unit=unit, basis=basis)], []
    hours = cost.item_cpu_seconds / 3600, cost.item_gpu_seconds / 3600
    if prices.cpu_core_hour is not None and (prices.gpu_hour is not None or hours[1] == 0):
        gpu = 0.0 if prices.gpu_hour is None else prices.gpu_hour
        amount = hours[0] * prices.cpu_core_hour + hours[1] * gpu
        return [Input(name, "measured", "point", amount, unit=unit, basis=note + said(", prices declared"))], []
    if prices.gpu_hour is not None and hours[1] > 0:
        basis = note + said(", price declared")
        return [Input(name, "measured", "point", hours[1] * prices.gpu_hour, unit=unit, basis=basis)], []
    if not dollars:
        return [], ["gpu_hour" if hours[1] > 0 else "cpu_core_hour"]
    amount = hours[0] * CPU_CORE_HOUR_USD + hours[1] * GPU_HOUR_USD
    return [Input(name, "assumed", "lognormal", amount, 0.5, unit, note + term(CLOUD))], []


def _computing(cost: Cost, prices: Prices, dollars: bool) -> Input:
    """What all runs in the ledger cost, failed ones included."""
    if prices.computing_cost is not None:
        return _declared("computing", "computing_cost", prices.computing_cost, term("once"))
    unit, basis = term("once"), said("{runs} runs of which {failed} failed", runs=cost.runs, failed=cost.failed)
    if cost.money is not None:
        return Input("computing", "measured", "point", cost.money, unit=unit, basis=basis)
    if not dollars:  # without a price nothing can be added; the generation cost has named what is missing
        return Input("computing", "assumed", "point", 0.0, unit=unit, basis=said("unpriced: taken as free"))
    amount = cost.cpu_seconds / 3600 * CPU_CORE_HOUR_USD + cost.gpu_seconds / 3600 * GPU_HOUR_USD
    return Input("computing", "assumed", "lognormal", amount, 0.5, unit, basis + term(CLOUD))


def _gate_share(cost: Cost, prices: Prices, thing: str) -> Input:
    unit = _of("of made {thing}s", thing)
    if cost.gated[1]:
        k, n = cost.gated
        basis = said("{k:,} of {n:,} candidates were kept, by the ledger", k=k, n=n)
        return Input("gate share", "measured", "beta", 1.0 + k, 1.0 + n - k, unit, basis)
    if prices.gate_share is not None:
        return _declared("gate share", "gate_share", prices.gate_share, unit)
    return Input("gate share", "assumed", "point", 1.0, unit=unit, basis=said("no automatic gate was measured"))


def _unused(key: str, declared: object) -> str:
    """That what was measured took the place of what prices.toml declares."""
    return "" if declared is None else said("; {key} in prices.toml is not used", key=key)


def _accepted_share(prices: Prices, thing: str, reviewed: bool, people: Reviewed) -> Input:
    unit = _of("of reviewed {thing}s", thing)
    unused = _unused("acceptance", prices.acceptance)
    if people.unknown:
        basis = said("unknown: {why}", why=together(people.stamps, "; ")) + unused
        return Input("accepted share", "assumed", "beta", 1.0, 1.0, unit, basis)
    if people.seen:
        k, n = people.accepted, people.seen
        basis = said("{k} of {n} accepted, as reviewers were logged", k=k, n=n)
        basis += said("; {agreement}", agreement=people.agreement) if people.agreement else ""
        basis += said("; not counted: {why}", why=together(people.stamps, "; ")) if people.stamps else ""
        basis += unused
        return Input("accepted share", "measured", "beta", 1.0 + k, 1.0 + n - k, unit, basis)
    if prices.acceptance is None and not reviewed:
        basis = said("{thing}s are taken together: all of them or none", thing=term(thing))
        return Input("accepted share", "assumed", "point", 1.0, unit=_of("of made {thing}s", thing), basis=basis)
    if prices.acceptance is None:
        template = "nobody has logged how many made {thing}s are accepted: any share is as likely as any other"
        basis = said(template, thing=term(thing))
        return Input("accepted share", "assumed", "beta", 1.0, 1.0, unit, basis)
    k, n = prices.acceptance
    return Input(
        "accepted share", "measured", "beta", 1.0 + k, 1.0 + n - k, unit, said("{k} of {n} accepted", k=k, n=n)
    )
