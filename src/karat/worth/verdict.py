"""The verdict: gold, bubble or unproven, with its reasons and the measurement that would settle it.

Gold: every hard gate passes, and it is cheaper with probability at least 0.9 (or one made item stands for more real
labels than break-even asks) and pays with probability at least 0.8, and quality is either clear of faults or accepted
by people. Bubble: a hard gate fails, or it pays with probability at most 0.2, or nobody could use what is made, or it
gives no lift over the null control where a lift would have been seen. Unproven: anything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from karat.words import chance, money, number
from karat.worth.inputs import REVIEW_SECONDS, inputs_of
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.value import Input, Value, appraise, sample_size

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

CHEAPER = 0.9  # probabilities and limits of reference E4
PAYS = 0.8
LOSES = 0.2
USELESS = 0.5  # share of what real data teaches that is lost, at least, before nobody could use it
HOPELESS = 0.1  # share of the real data's score, at most
LIFT = 0.1  # share of the lift that as much new real data gives, at most, before there is none to speak of


@dataclass(frozen=True)
class Reason:
    """One thing that the verdict rests on."""

    kind: Literal["gate", "quality", "worth"]
    name: str
    state: Literal["pass", "fail", "unknown"]
    text: str


@dataclass(frozen=True)
class Settle:
    """The measurement that would settle an open verdict, and what it costs (None: no price is known)."""

    what: str
    costs: float | None


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
) -> Verdict:
    """The verdict that follows from these findings and no other; never gold while a hard gate fails or is unknown.

    rights: as `Prices.rights`, which is used where this is None.   labelled: whether what is made carries its label;
    None where that was not looked at.   thing: what one record is called.   reviewed: whether a
    person looks at each of them before it is used. Same arguments, same verdict.
    """
    rights = prices.rights if rights is None else rights
    gates = [_rights(rights), _copying(findings, thing), _privacy(findings, thing), _labels(labelled)]
    quality, usable = _quality(findings, prices, thing)
    inputs, missing = inputs_of(findings, cost, prices, thing, reviewed)
    value = None if missing else appraise(inputs, seed, prices.label_cost_per_item)
    worth = _worth(value, missing, findings, prices.currency, thing)
    reasons = (*gates, *quality, *worth)

    failed = [r for r in reasons if r.state == "fail"]
    unknown = [r for r in reasons if r.state == "unknown"]
    settle: Settle | None = None
    if failed:
        word: Literal["gold", "bubble", "unproven"] = "bubble"
        sentence = f"Bubble: {failed[0].text}{_beside(findings, failed[0])}."
    elif not unknown and usable:
        word = "gold"
        assert value is not None
        sentence = (
            f"Gold: {worth[0].text}, it pays with a probability of {chance(value.p_pays)}, and every gate is passed"
            f"{_headline(findings)}."
        )
    else:
        word = "unproven"
        settle = _settle(unknown, missing, inputs, value, prices, thing)
        first = unknown[0].text if unknown else "how much of it people accept is unknown"
        price = "nothing" if settle.costs == 0 else "about " + money(settle.costs, prices.currency)
        price = "a price that cannot be named with what is declared" if settle.costs is None else price
        sentence = f"Unproven: {first}{_headline(findings)}; what would settle it: {settle.what}, which costs {price}."
    share = None if value is None else value.assumed_share
    return Verdict(word, sentence, reasons, inputs, share, value, settle, prices.currency)


def _rights(rights: str | None) -> Reason:
    word = "unknown" if rights is None else rights.split(":")[0].strip().lower()
    if word == "none":
        return Reason("gate", "rights", "fail", "nobody has the right to use this data")
    if word == "licensed" and rights is not None:
        terms = rights.upper().replace("-", " ").split()
        if "NC" in terms or "NONCOMMERCIAL" in terms or "ND" in terms:
            text = f"the data is {rights}, which limits commercial use or derived works"
            return Reason("gate", "rights", "unknown", text)
    if word in ("owned", "licensed"):
        return Reason("gate", "rights", "pass", f"the data is {rights}")
    return Reason("gate", "rights", "unknown", "nobody has said whether this data may be used")


def _copying(findings: Sequence[Finding], thing: str) -> Reason:
    seen = [f for f in findings if f.kind.feeds == "copying" and math.isfinite(f.value)]
    raised = [f for f in findings if f.kind.feeds == "copying" and f.raised]
    if raised:
        return Reason("gate", "copying", "fail", _plain(raised[0].says))
    if not seen:
        return Reason("gate", "copying", "unknown", f"whether training {thing}s are copied was not measured")
    return Reason("gate", "copying", "pass", f"no copying was found by these tests{_scores(seen)}")


def _privacy(findings: Sequence[Finding], thing: str) -> Reason:
    own = [f for f in findings if f.kind.feeds == "privacy"]
    raised = [f for f in own if f.raised]
    if raised:
        return Reason("gate", "privacy", "fail", _plain(raised[0].says))
    if seen := [f for f in own if math.isfinite(f.value)]:
        return Reason(
            "gate", "privacy", "pass", f"no leak about single {thing}s was found by these tests{_scores(seen)}"
        )
    copying = _copying(findings, thing)
    texts = {
        "pass": "covered by the test for copying; no attack on membership was run",
        "fail": "what is copied is disclosed",
        "unknown": "neither copying nor membership was tested",
    }
    return Reason("gate", "privacy", copying.state, texts[copying.state])


def _scores(findings: Sequence[Finding]) -> str:
    f = findings[0]
    return f" ({f.name} {number(f.value)}, {f.beside} {number(f.real)})"


def _labels(labelled: bool | None) -> Reason:
    if labelled is None:
        return Reason("gate", "labels", "unknown", "whether what is made carries a label of origin was not looked at")
    if labelled:
        return Reason("gate", "labels", "pass", "every file that is made carries a label of origin")
    return Reason("gate", "labels", "fail", "what is made carries no label of origin")


def _quality(findings: Sequence[Finding], prices: Prices, thing: str) -> tuple[list[Reason], bool]:
    """Reasons of quality, and whether nothing in them stands against gold."""
    reasons: list[Reason] = []
    mine = [f for f in findings if f.kind.feeds == "quality"]
    seen = [f for f in mine if math.isfinite(f.value)]
    raised = [f for f in mine if f.raised]
    accepted = prices.acceptance is not None and prices.acceptance[0] > 0
    apart = any(f.assay == "fidelity" for f in raised)
    for f in raised:
        if f.key == "usefulness" and apart and _lost(f) > USELESS:
            text = f"{f.name} is {number(f.value)}, so over half of what real data teaches is lost"
            reasons.append(Reason("quality", f.name, "fail", text))
        elif f.assay == "fidelity" and f.better == "higher" and f.real > 0 and f.high <= HOPELESS * f.real:
            text = f"{f.name} is {number(f.value)}, so almost nothing that is made looks real"
            reasons.append(Reason("quality", f.name, "fail", text))
    for f in mine:
        # The null control is duplicates of real records. Where new real data lifts by more than the interval is wide to one
        # side, and the interval ends below a tenth of that, there was power to see. Who has them accepted one by one has
        # another use for them.
        if f.key == "lift" and f.real > max(0.0, (f.high - f.low) / 2) and f.high <= LIFT * f.real and not accepted:
            text = f"what is made teaches no more than duplicates of real {thing}s do (lift {number(f.value)})"
            reasons.append(Reason("quality", f.name, "fail", text))
    if reasons:
        return reasons, False
    if not seen:
        return [Reason("quality", "quality", "unknown", "no finding says how good it is")], False
    if not raised:
        return [Reason("quality", "quality", "pass", "no finding is far from what unseen real data scores")], True
    names = ", ".join(dict.fromkeys(f.name for f in raised))
    if accepted:
        return [Reason("quality", "quality", "pass", f"faults in {names}, and people still accept what is made")], True
    text = f"{names} {'is' if len({f.name for f in raised}) == 1 else 'are'} far from what unseen real data scores"
    return [
        Reason("quality", "quality", "unknown", f"{text}, and nobody has said how many {thing}s are accepted")
    ], False


def _lost(f: Finding) -> float:
    """The least share of (real - chance) that the finding loses, over its interval: the TSTR gap of reference E2."""
    floor = float(f.detail.get("chance", 0.0))
    span = f.real - floor
    if f.better != "higher" or not span > 0:
        return 0.0
    return (f.real - f.high) / span


def _worth(
    value: Value | None, missing: tuple[str, ...], findings: Sequence[Finding], currency: str | None, thing: str
) -> list[Reason]:
    if value is None:
        return [
            Reason("worth", "money", "unknown", f"the money is unknown until prices.toml declares {_join(missing)}")
        ]
    cost = f"an accepted {thing} costs {money(value.cpa, currency)}"
    cost += f" ({money(value.cpa_low, currency)} to {money(value.cpa_high, currency)})"
    rho = [f for f in findings if f.key == "exchange rate" and math.isfinite(f.low)]
    beats = value.breakeven is not None and any(f.low > value.breakeven for f in rho)
    cheap = value.p_cheaper >= CHEAPER or beats
    text = f"{cost}, below today's cost with a probability of {chance(value.p_cheaper)}"
    if beats:
        text += f", and stands for {number(rho[0].value)} real labels where {number(value.breakeven)} would do"
    unit = Reason("worth", "unit cost", "pass" if cheap else "unknown", text)
    pays = f"it pays with a probability of {chance(value.p_pays)}"
    if value.p_pays <= LOSES:
        return [unit, Reason("worth", "net value", "fail", f"{pays}; {cost}")]
    return [unit, Reason("worth", "net value", "pass" if value.p_pays >= PAYS else "unknown", pays)]


def _settle(
    unknown: Sequence[Reason], missing: tuple[str, ...], inputs: Sequence[Input], value: Value | None, prices: Prices,
    thing: str,
) -> Settle:  # fmt: skip
    """The one next step: an open gate first, because no money can close it; then prices; then the best measurement."""
    steps = {
        "rights": Settle('declare rights = "owned" or "licensed: <which>" in prices.toml', 0.0),
        "copying": Settle(f"run the memory assay against the training {thing}s", 0.0),
        "privacy": Settle(f"run the memory assay against the training {thing}s", 0.0),
        "labels": Settle(f"make a few {thing}s and look whether their label is there (karat check)", 0.0),
    }
    for reason in unknown:
        if reason.kind == "gate":
            if reason.name == "rights" and "limits" in reason.text:
                return Settle("have counsel read the licence", None)
            if reason.name == "rights" and missing:
                return Settle(f"declare {_join(('rights', *missing))} in prices.toml", 0.0)
            return steps[reason.name]
    if any(r.name == "quality" and r.text.startswith("no finding") for r in unknown):
        return Settle("run the fidelity and diversity assays", 0.0)
    if missing:
        return Settle(f"declare {_join(missing)} in prices.toml", 0.0)
    best = max(value.tornado, key=lambda b: b.worth_knowing, default=None) if value is not None else None
    known = {i.name: i for i in inputs}
    seconds = known["review seconds"]
    one = REVIEW_SECONDS if seconds.tag == "assumed" else seconds.middle()
    review = one / 3600 * known["review price"].middle()
    look = sample_size(0.05)
    if best is None or best.name == "accepted share" or any(r.kind == "quality" for r in unknown):
        done = 0 if prices.acceptance is None else prices.acceptance[1]
        more = look if done < look else 4 * done
        return Settle(
            f"let a person review {more} made {thing}s and write acceptance = [accepted, {more}]", more * review
        )
    steps = {
        "review seconds": Settle(
            f"time the review of {look} {thing}s and declare review_seconds_per_item", look * review
        ),
        "review price": Settle("declare review_hour in prices.toml", 0.0),
        "generation cost": Settle("declare cpu_core_hour or gpu_hour in prices.toml", 0.0),
        "computing": Settle("declare cpu_core_hour or gpu_hour in prices.toml", 0.0),
        "discount rate": Settle("declare discount_rate in prices.toml", 0.0),
        "gate share": Settle(f"make more {thing}s and count what passes the gates", 0.0),
    }
    pilot = Settle(f"put the first {thing}s to use and see whether they stay in use", None)
    return steps.get(best.name, pilot)


def _headline(findings: Sequence[Finding]) -> str:
    """The finding to show to a board: a raised one before a fine one, usefulness before looks."""
    order = ("usefulness", "diversity", "fidelity", "memory")
    shown = [f for f in findings if f.assay in order and math.isfinite(f.value) and math.isfinite(f.real)]
    if not shown:
        return ""
    f = min(shown, key=lambda f: (not f.raised, order.index(f.assay)))
    return f" ({f.name} {number(f.value)}, {f.beside} {number(f.real)})"


def _beside(findings: Sequence[Finding], reason: Reason) -> str:
    for f in findings:
        same = f.name == reason.name or (reason.kind == "gate" and f.raised and f.assay in ("memory", "privacy"))
        if same and math.isfinite(f.real) and reason.name not in ("rights", "labels"):
            return f" ({f.name} {number(f.value)}, {f.beside} {number(f.real)})"
    return _headline(findings)


def _plain(sentence: str) -> str:
    return sentence.strip().rstrip(".") or "a test raised it"


def _join(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
