"""What generated items are worth: unit cost, break-even, and net present value with its uncertainty.

Formulas: levelised cost as for energy (LCOE) per accepted item; expected value of perfect information as in
Strong, Oakley, Brennan, "Estimating multiparameter partial EVPI" (https://doi.org/10.1177/0272989X13505910); share of
variance by Jansen's estimator of total Sobol indices (https://doi.org/10.1016/S0010-4655(98)00154-4).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from karat.worth.prices import Stage

Floats = NDArray[np.float64]
Tag = Literal["measured", "declared", "assumed"]
DRAWS = 10_000
BINS = 50


@dataclass(frozen=True)
class Input:
    """One number that the value rests on, how it is known, and how uncertain it is.

    law: "point" (a is the value), "lognormal" (median a, spread b of the log), "beta" (a, b), "uniform" (from a to b),
    "normal" (mean a, deviation b, kept within [0, 1]), "amount" (mean a, deviation b, of either sign).
    """

    name: str
    tag: Tag
    law: Literal["point", "lognormal", "beta", "uniform", "normal", "amount"]
    a: float
    b: float = 0.0
    unit: str = ""
    basis: str = ""

    def draw(self, seed: int, n: int) -> Floats:
        """[n] draws that depend on the seed and the name only, so that one input more changes no other's."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        match self.law:
            case "point":
                return np.full(n, float(self.a))
            case "lognormal":
                return self.a * np.exp(self.b * rng.standard_normal(n))
            case "beta":
                return np.maximum(rng.beta(self.a, self.b, n), 1e-6)
            case "uniform":
                return rng.uniform(self.a, self.b, n)
            case "normal":
                return np.clip(rng.normal(self.a, self.b, n), 1e-6, 1.0)
            case "amount":
                return rng.normal(self.a, self.b, n)

    def middle(self) -> float:
        """The median, to three digits for a beta."""
        return (
            self.a if self.law in ("point", "lognormal", "normal", "amount") else float(np.median(self.draw(0, 20_001)))
        )


@dataclass(frozen=True)
class Bar:
    """One row of the tornado: the NPV with this input at its 10% and 90% point and all others at their median.

    worth_knowing: expected gain from knowing this input before deciding (partial EVPI).
    """

    name: str
    tag: Tag
    at_p10: float
    at_p90: float
    worth_knowing: float


@dataclass(frozen=True)
class Gate:
    """A stage, by the kill rule: entered only where what is expected behind it exceeds its costs.

    worth: that expectation, the chance to pass included.
    """

    name: str
    costs: float
    passes: float
    worth: float
    enter: bool


@dataclass(frozen=True)
class Value:
    """Medians and 95% intervals over the draws. cpa: cost per accepted item with its share of what was spent once.

    lcaa: levelised cost of an accepted item.   p_cheaper: P(CPA < today's cost).   p_pays: P(NPV > 0).
    tail: mean of the worst 5% of NPV.   payback_years: median among the draws that pay back; never: share that do not.
    evpi: expected gain from knowing everything before deciding.   assumed_share: share of the NPV's variance that
    comes from assumed inputs.   breakeven: cost per accepted item over the cost of one real label (None: undeclared).
    gates: the declared stages in turn, by the kill rule.
    """

    cpa: float
    cpa_low: float
    cpa_high: float
    lcaa: float
    npv: float
    npv_low: float
    npv_high: float
    tail: float
    p_cheaper: float
    p_pays: float
    payback_years: float | None
    never: float
    evpi: float
    assumed_share: float
    breakeven: float | None
    tornado: tuple[Bar, ...]
    gates: tuple[Gate, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def sample_size(defect_share: float, confidence: float = 0.95) -> int:
    """How many items without a defect must be seen to be `confidence` sure that fewer than `defect_share` have one."""
    assert 0 < defect_share < 1 and 0 < confidence < 1
    return math.ceil(math.log1p(-confidence) / math.log1p(-defect_share))


def unit_cost(
    generation: float | Floats, review: float | Floats, gate_share: float | Floats, accepted_share: float | Floats
) -> Any:
    """Cost of one accepted item before fixed costs: (c_gen + q c_rev) / (q a_h), reference formula E1."""
    return (generation + gate_share * review) / (gate_share * accepted_share)


def levelised(costs: Sequence[float], accepted: Sequence[float], rate: float) -> float:
    """Sum of discounted costs over sum of discounted accepted items, both by year from year 0."""
    discount = [(1 + rate) ** -t for t in range(len(costs))]
    return sum(c * d for c, d in zip(costs, discount, strict=True)) / sum(
        v * d for v, d in zip(accepted, discount, strict=True)
    )


def breakeven_exchange(cpa: float, label_cost: float) -> float:
    """rho*: how many real labels one made item must stand for before making beats labelling (E2)."""
    return cpa / label_cost if label_cost > 0 else math.inf


def appraise(
    inputs: Sequence[Input],
    seed: int,
    label_cost: float | None = None,
    draws: int = DRAWS,
    stages: Sequence[Stage] = (),
) -> Value:
    """The value of `inputs`, which must hold every name of `present_value`'s table; same seed, same value."""
    table = {i.name: i.draw(seed, draws) for i in inputs}
    npv, cpa, marginal, levels, payback = present_value(table)
    lowest = np.sort(npv)[: max(1, draws // 20)]
    paid = payback[np.isfinite(payback)]
    cpa_median = float(np.median(cpa))
    return Value(
        cpa=cpa_median,
        cpa_low=float(np.quantile(cpa, 0.025)),
        cpa_high=float(np.quantile(cpa, 0.975)),
        lcaa=float(np.median(levels)),
        npv=float(np.median(npv)),
        npv_low=float(np.quantile(npv, 0.025)),
        npv_high=float(np.quantile(npv, 0.975)),
        tail=float(lowest.mean()),
        p_cheaper=float((cpa < table["alternative cost"]).mean()),
        p_pays=float((npv > 0).mean()),
        payback_years=float(np.median(paid)) if len(paid) else None,
        never=float(1 - len(paid) / draws),
        evpi=float(np.maximum(npv, 0).mean() - max(npv.mean(), 0.0)),
        assumed_share=_assumed_share(inputs, table, npv, seed),
        breakeven=None if label_cost is None else breakeven_exchange(cpa_median, label_cost),
        tornado=_tornado(inputs, table, npv),
        gates=kill_rule(float(np.maximum(npv, 0).mean()), stages),
    )


def kill_rule(prize: float, stages: Sequence[Stage]) -> tuple[Gate, ...]:
    """Which `stages` are worth entering, the last first (E4). prize: E[max(NPV, 0)] of who has passed them all.

    Before each stage, what is ahead is worth max(0, passes * what is behind it - costs), so that a stage that is not worth
    entering makes all before it worthless too.
    """
    gates: list[Gate] = []
    for stage in reversed(stages):
        worth = stage.passes * prize
        gates.append(Gate(stage.name, stage.costs, stage.passes, worth, worth > stage.costs))
        prize = max(0.0, worth - stage.costs)
    return tuple(reversed(gates))


def present_value(x: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """NPV, full and marginal cost per accepted item, levelised cost, years to payback (inf: never), each [n] (E1, E4).

    NPV = -I + sum_t vol_t S^t (alternative + extra - marginal) / (1 + r)^t. What was spent once is in I only.
    """
    review = x["review seconds"] / 3600 * x["review price"]
    marginal = unit_cost(x["generation cost"], review, x["gate share"], x["accepted share"]) + x["escape loss"]
    years = x["horizon"]
    once = x["computing"] + x["fixed cost"]
    npv = -once
    volume, discounted = np.zeros_like(npv), np.zeros_like(npv)
    payback = np.full_like(npv, np.inf)
    flat = npv.copy()
    for t in range(1, math.ceil(float(years.max())) + 1):
        part = np.clip(years - (t - 1), 0, 1)  # the last year may be a part of one
        at = np.minimum(years, t)
        accepted = x["items wanted"] / years * part * x["persistence"] ** at
        gain = accepted * (x["alternative cost"] + x["extra value"] - marginal)
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = (t - 1) + np.where(part > 0, -flat / gain * part, np.inf)
        now = (flat < 0) & (flat + gain >= 0) & (gain > 0)
        payback = np.where(now & ~np.isfinite(payback), reached, payback)
        flat = flat + gain
        npv = npv + gain * (1 + x["discount rate"]) ** -at
        volume += accepted
        discounted += accepted * (1 + x["discount rate"]) ** -at
    free = (once == 0) & (x["alternative cost"] + x["extra value"] > marginal)
    return (
        npv,
        marginal + once / volume,
        marginal,
        marginal + once / discounted,
        np.where(free, 0.0, payback),
    )


def _tornado(inputs: Sequence[Input], table: Mapping[str, Floats], npv: Floats) -> tuple[Bar, ...]:
    middle = {name: float(np.median(draws)) for name, draws in table.items()}
    bars = []
    for i in inputs:
        if i.law == "point":
            continue
        ends = np.quantile(table[i.name], [0.1, 0.9])
        at = {name: np.full(2, m) for name, m in middle.items()} | {i.name: ends}
        low, high = present_value(at)[0]
        bars.append(Bar(i.name, i.tag, float(low), float(high), _worth_knowing(table[i.name], npv)))
    return tuple(sorted(bars, key=lambda b: -abs(b.at_p90 - b.at_p10)))


def _worth_knowing(x: Floats, npv: Floats) -> float:
    """Partial EVPI: E[max(E[NPV | x], 0)] - max(E[NPV], 0), the inner mean over bins of equal count."""
    means = [part.mean() for part in np.array_split(npv[np.argsort(x, kind="stable")], BINS)]
    return max(0.0, float(np.maximum(means, 0).mean() - max(npv.mean(), 0.0)))


def _assumed_share(inputs: Sequence[Input], table: Mapping[str, Floats], npv: Floats, seed: int) -> float:
    """Total Sobol index of the assumed inputs together: E[(f(A) - f(A with theirs redrawn))^2] / (2 Var f)."""
    again = {i.name: i.draw(seed + 1, len(npv)) if i.tag == "assumed" else table[i.name] for i in inputs}
    variance = float(npv.var())
    if variance <= 1e-18 * max(1.0, float(np.abs(npv).max()) ** 2):
        return 0.0
    return float(min(1.0, ((npv - present_value(again)[0]) ** 2).mean() / (2 * variance)))
