"""What would settle an open verdict, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from karat.words import Sentence, count, listed, said, term
from karat.worth.inputs import REVIEW_SECONDS
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.quality import is_excused
from karat.worth.reasons import Reason, Settle, named, undecided
from karat.worth.value import Input, Value, sample_size

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding


def next_step(
    unknown: Sequence[Reason],
    findings: Sequence[Finding],
    missing: tuple[str, ...],
    inputs: Sequence[Input],
    value: Value | None,
    prices: Prices,
    cost: Cost,
    thing: str,
    reviewed: bool,
) -> Settle:
    """The one next step: an open gate first, because no money can close it; then prices; then the best measurement."""
    for reason in unknown:
        if reason.kind == "gate":
            return _opened(reason, findings, missing, thing)
    if any(r.name == "quality" for r in unknown):
        return Settle(said("assay more {thing}s: `karat assay RUN -n 5000`", thing=term(thing)), 0.0)
    if any(r.name == "power" for r in unknown) and not any(r.name == "faults" for r in unknown):
        return _more(undecided([f for f in findings if f.kind.feeds == "quality"]), thing)
    if missing:
        return _declare(*missing)
    faults = [
        f for f in findings if f.kind.feeds == "quality" and f.raised and not is_excused(f, prices.least_accepted)
    ]
    by_eye = reviewed and all(f.kind.visible for f in faults)
    if any(r.name == "acceptance" or (r.name == "faults" and not by_eye) for r in unknown):
        what = said("train for longer or by another recipe (`karat look DATA` names those that suit) and assay again")
        return Settle(what, None if cost.money is None or not cost.runs else cost.money / cost.runs)
    best = max(value.tornado, key=lambda b: b.worth_knowing, default=None) if value is not None else None
    known_inputs = {i.name: i for i in inputs}
    seconds = known_inputs["review seconds"]
    one = REVIEW_SECONDS if seconds.tag == "assumed" else seconds.middle()
    review = one / 3600 * known_inputs["review price"].middle()
    look = sample_size(0.05)
    if any(r.name == "reviewers" for r in unknown):
        template = "let another person look at {n} made {thing}s: `karat review RUN --reviewer NAME`"
        what = said(template, n=look, thing=term(thing))
        return Settle(what, look * REVIEW_SECONDS / 3600 * known_inputs["review price"].middle())
    money_alone = best is not None and not any(r.kind == "quality" for r in unknown)
    if best is None or best.name == "accepted share" or not money_alone:
        done = 0 if prices.acceptance is None else prices.acceptance[1]
        more = look if done < look else 4 * done
        asked = "--plan 5%" if more == look else f"-n {more}"
        template = "let a person review {n} made {thing}s: `karat review RUN {asked}`"
        what = said(template, n=more, thing=term(thing), asked=asked)
        return Settle(what, more * review, best.worth_knowing if best is not None and money_alone else None)
    return replace(_narrowed(known_inputs[best.name], look, look * review, thing), gains=best.worth_knowing)


def _narrowed(what: Input, look: int, price: float, thing: str) -> Settle:
    """What would narrow the input that the money hangs on.   look, price: things that a person reviews, and what that costs."""
    if what.tag == "declared":
        return Settle(said("declare a narrower range of {what}", what=what.basis), 0.0)
    timed = "let a person review {n} {thing}s, which is timed: `karat review RUN --plan 5%`"
    priced = _declare_one_of("cpu_core_hour", "gpu_hour")
    steps = {
        "review seconds": Settle(said(timed, n=look, thing=term(thing)), price),
        "review price": _declare("review_hour"),
        "generation cost": priced,
        "computing": priced,
        "discount rate": _declare("discount_rate"),
        "gate share": Settle(said("make more {thing}s and count what passes the gates", thing=term(thing)), 0.0),
        "extra value": Settle(
            said("show made and today's {thing}s to more people and give the counts as --ab", thing=term(thing)), None
        ),
    }
    template = "put the first {thing}s to use, see whether they stay in use, and declare persistence"
    pilot = Settle(said(template, thing=term(thing)), None)
    return steps.get(what.name, pilot)


def _opened(gate: Reason, findings: Sequence[Finding], missing: tuple[str, ...], thing: str) -> Settle:
    """What would close or open a `gate` that is unknown."""
    if gate.name == "rights":
        if gate.cause == "limits":
            return Settle(said("have counsel read the licence"), None)
        return (
            _declare(term('rights = "owned" or "licensed: <which>"')) if not missing else _declare("rights", *missing)
        )
    if gate.name == "policy":
        return Settle(said("measure and sign what the policy asks, and name the signed copy as --policy"), None)
    if gate.name == "labels":
        template = 'give files that carry a label, or declare labels = "added" in prices.toml if all shipped do'
        return Settle(said(template), 0.0)
    blind = undecided([f for f in findings if f.kind.feeds == gate.name])
    if any(f.lacking is not None for f in blind):
        return _more(blind, thing)
    if gate.name == "copying" and blind:
        return _alike(blind, said("since unseen real {thing}s are as like them", thing=term(thing)))
    if gate.name == "copying":
        template = "assay beside the {thing}s that were learned from: `karat assay --real DATA --made SAMPLES`"
        return Settle(said(template, thing=term(thing)), 0.0)
    template = (
        'an attack on membership by somebody who knows how, or personal = "none" in prices.toml '
        "if no {thing} is about a person"
    )
    return Settle(said(template, thing=term(thing)), None)


def _declare(*keys: str) -> Settle:
    return Settle(said("declare {keys} in prices.toml", keys=listed(keys)), 0.0)


def _declare_one_of(one: str, other: str) -> Settle:
    return Settle(said("declare {one} or {other} in prices.toml", one=one, other=other), 0.0)


def _more(blind: Sequence[Finding], thing: str) -> Settle:
    """So many more records that the findings which cannot tell could."""
    few = [s for f in blind if (s := f.lacking) is not None]
    if not few:
        template = "find out why {names} could not be measured (the report says what was found)"
        return Settle(said(template, names=named(blind)), None)
    worst = max(few, key=lambda s: s.needs / max(s.n, 1))
    most = max((s for s in few if s.side == worst.side), key=lambda s: s.needs)
    needs, n = most.needs, count(most.needs)
    if most.unreachable:
        return _alike(blind, said("even with {n} {thing}s", n=count(most.named), thing=term(thing)))
    if worst.side == "made":
        template = "assay at least {n} made {thing}s (`karat assay RUN -n {digits}`)"
        return Settle(said(template, n=n, thing=term(thing), digits=needs), 0.0)
    if worst.side == "training":
        return Settle(said("learn from at least {n} real {thing}s", n=n, thing=term(thing)), None)
    template = (
        "set aside at least {n} real {thing}s that nothing learns from "
        "({times:.1f} times as many as now: a larger `--holdout`, or more data)"
    )
    return Settle(said(template, n=n, thing=term(thing), times=needs / max(most.n, 1)), None)


def _alike(blind: Sequence[Finding], because: Sentence) -> Settle:
    """Where more records do not help: rows of few coarse columns are alike by chance, whatever was copied."""
    template = (
        "compare the pairs in the report, or learn with differential privacy (`--epsilon`): "
        "{names} cannot tell {because}"
    )
    return Settle(said(template, names=named(blind), because=because), None)
