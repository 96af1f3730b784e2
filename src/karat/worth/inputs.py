"""From ledger, declared prices and findings to the inputs of the value, each tagged with how it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.value import Input

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

REVIEW_SECONDS = 20.0  # published figure behind the worked example of the unit cost: 20 s of review at 30 USD an hour
REVIEW_HOUR_USD = 30.0
CPU_CORE_HOUR_USD = 0.05  # list prices of general-purpose cloud cores are about 0.03 to 0.08
GPU_HOUR_USD = 2.5  # on-demand A100 to H200, May 2026: 0.80 to 7.00


def inputs_of(
    findings: Sequence[Finding], cost: Cost, prices: Prices, thing: str = "item", reviewed: bool = True
) -> tuple[tuple[Input, ...], tuple[str, ...]]:
    """The inputs, and the keys of prices.toml without which no value can be had (then it must not be computed).

    thing: what one record is called.   reviewed: whether a person looks at each of them before it is used.
    """
    out: list[Input] = []
    missing: list[str] = []
    dollars = prices.currency is None or prices.currency.upper() == "USD"

    def declared(name: str, key: str, value: float | None, unit: str) -> None:
        if value is None:
            missing.append(key)
        else:
            out.append(Input(name, "declared", "point", value, unit=unit, basis=f"{key} in prices.toml"))

    declared("alternative cost", "alternative_cost_per_item", prices.alternative_cost_per_item, f"per {thing}")
    declared("items wanted", "items_wanted", prices.items_wanted, f"{thing}s")

    inputs, keys = _generation(cost, prices, dollars)
    out += inputs
    missing += keys
    if prices.review_seconds_per_item is not None:
        declared("review seconds", "review_seconds_per_item", prices.review_seconds_per_item, f"s per {thing}")
    elif not reviewed:
        basis = f"{thing}s are judged together, by this assay, and not one by one"
        out.append(Input("review seconds", "assumed", "point", 0.0, unit=f"s per {thing}", basis=basis))
    else:
        usual = Input(
            "review seconds", "assumed", "lognormal", REVIEW_SECONDS, 0.5, f"s per {thing}", "published example"
        )
        out.append(usual)
    if prices.review_hour is not None or prices.review_seconds_per_item == 0:
        free = 0.0 if prices.review_hour is None else prices.review_hour
        declared("review price", "review_hour", free, "per hour")
    elif dollars:
        paid = Input("review price", "assumed", "lognormal", REVIEW_HOUR_USD, 0.4, "per hour", "published example, USD")
        out.append(paid)
    else:
        missing.append("review_hour")
    out += [_gate_share(findings, thing), _accepted_share(prices, thing, reviewed), _computing(cost, dollars)]
    for name, key, unit, value, otherwise in (
        ("fixed cost", "fixed_cost", "once", prices.fixed_cost, "none"),
        ("escape loss", "escape_loss", f"per {thing}", prices.escape_loss, "none"),
        ("horizon", "value_horizon_years", "years", prices.value_horizon_years, "one year"),
    ):
        if value is None:
            taken = 0.0 if otherwise == "none" else 1.0
            out.append(Input(name, "assumed", "point", taken, unit=unit, basis=f"undeclared: taken as {otherwise}"))
        else:
            declared(name, key, value, unit)
    if prices.discount_rate is None:
        out.append(Input("discount rate", "assumed", "uniform", 0.05, 0.12, "per year", "usual company rates"))
    else:
        declared("discount rate", "discount_rate", prices.discount_rate, "per year")
    survives = "share still in use after a year: at least 30% of projects are abandoned after the pilot (Gartner, 2024)"
    out.append(Input("persistence", "assumed", "uniform", 0.5, 1.0, "per year", survives))
    return tuple(out), tuple(dict.fromkeys(missing))


def _generation(cost: Cost, prices: Prices, dollars: bool) -> tuple[list[Input], list[str]]:
    name, unit = "generation cost", "per attempt"
    if prices.generation_cost_per_item is not None:
        basis = "generation_cost_per_item in prices.toml"
        return [Input(name, "declared", "point", prices.generation_cost_per_item, unit=unit, basis=basis)], []
    if cost.made == 0 or cost.item_cpu_seconds is None or cost.item_gpu_seconds is None:
        return [], ["generation_cost_per_item"]
    note = "seconds measured" + (", other work included" if cost.making_is_upper else "")
    if (
        prices.cpu_core_hour is None
        and prices.gpu_hour is None
        and prices.kwh is not None
        and cost.item_kwh is not None
    ):
        return [
            Input(
                name, "measured", "point", cost.item_kwh * prices.kwh, unit=unit, basis="energy measured, kwh declared"
            )
        ], []
    hours = cost.item_cpu_seconds / 3600, cost.item_gpu_seconds / 3600
    if prices.cpu_core_hour is not None and (prices.gpu_hour is not None or hours[1] == 0):
        gpu = 0.0 if prices.gpu_hour is None else prices.gpu_hour
        amount = hours[0] * prices.cpu_core_hour + hours[1] * gpu
        return [Input(name, "measured", "point", amount, unit=unit, basis=note + ", prices declared")], []
    if prices.gpu_hour is not None and hours[1] > 0:
        return [
            Input(name, "measured", "point", hours[1] * prices.gpu_hour, unit=unit, basis=note + ", price declared")
        ], []
    if not dollars:
        return [], ["gpu_hour" if hours[1] > 0 else "cpu_core_hour"]
    amount = hours[0] * CPU_CORE_HOUR_USD + hours[1] * GPU_HOUR_USD
    return [Input(name, "assumed", "lognormal", amount, 0.5, unit, note + ", at usual cloud prices (USD)")], []


def _computing(cost: Cost, dollars: bool) -> Input:
    """What all runs in the ledger cost, failed ones included."""
    unit, basis = "once", f"{cost.runs} runs of which {cost.failed} failed"
    if cost.money is not None:
        return Input("computing", "measured", "point", cost.money, unit=unit, basis=basis)
    if not dollars:  # without a price nothing can be added; the generation cost has named what is missing
        return Input("computing", "assumed", "point", 0.0, unit=unit, basis="unpriced: taken as free")
    amount = cost.cpu_seconds / 3600 * CPU_CORE_HOUR_USD + cost.gpu_seconds / 3600 * GPU_HOUR_USD
    return Input("computing", "assumed", "lognormal", amount, 0.5, unit, basis + ", at usual cloud prices (USD)")


def _gate_share(findings: Sequence[Finding], thing: str) -> Input:
    for f in findings:
        if f.key == "gate share" and math.isfinite(f.value) and f.value > 0:
            spread = max(f.high - f.low, 0.0) / (2 * 1.96)
            return Input("gate share", "measured", "normal", f.value, spread, f"of made {thing}s", "passed the gates")
    return Input(
        "gate share", "assumed", "point", 1.0, unit=f"of made {thing}s", basis="no automatic gate was measured"
    )


def _accepted_share(prices: Prices, thing: str, reviewed: bool) -> Input:
    unit = f"of reviewed {thing}s"
    if prices.acceptance is None and not reviewed:
        basis = f"{thing}s are taken together: all of them or none"
        return Input("accepted share", "assumed", "point", 1.0, unit=f"of made {thing}s", basis=basis)
    if prices.acceptance is None:
        basis = f"nobody has logged how many made {thing}s are accepted: any share is as likely as any other"
        return Input("accepted share", "assumed", "beta", 1.0, 1.0, unit, basis)
    k, n = prices.acceptance
    return Input("accepted share", "measured", "beta", 1.0 + k, 1.0 + n - k, unit, f"{k} of {n} accepted")
