"""What would settle an open verdict, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from karat.words import count
from karat.worth.inputs import REVIEW_SECONDS
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.quality import is_excused
from karat.worth.reasons import Reason, Settle, joined, named, undecided
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
        return Settle(f"assay more {thing}s: `karat assay RUN -n 5000`", 0.0)
    if any(r.name == "power" for r in unknown) and not any(r.name == "faults" for r in unknown):
        return _more(undecided([f for f in findings if f.kind.feeds == "quality"]), thing)
    if missing:
        return Settle(f"declare {joined(missing)} in prices.toml", 0.0)
    faults = [
        f for f in findings if f.kind.feeds == "quality" and f.raised and not is_excused(f, prices.least_accepted)
    ]
    by_eye = reviewed and all(f.kind.visible for f in faults)
    if any(r.name == "acceptance" or (r.name == "faults" and not by_eye) for r in unknown):
        what = "train for longer or by another recipe (`karat look DATA` names those that suit) and assay again"
        return Settle(what, None if cost.money is None or not cost.runs else cost.money / cost.runs)
    best = max(value.tornado, key=lambda b: b.worth_knowing, default=None) if value is not None else None
    known_inputs = {i.name: i for i in inputs}
    seconds = known_inputs["review seconds"]
    one = REVIEW_SECONDS if seconds.tag == "assumed" else seconds.middle()
    review = one / 3600 * known_inputs["review price"].middle()
    look = sample_size(0.05)
    if any(r.name == "reviewers" for r in unknown):
        what = f"let another person look at {look} made {thing}s: `karat review RUN --reviewer NAME`"
        return Settle(what, look * REVIEW_SECONDS / 3600 * known_inputs["review price"].middle())
    money_alone = best is not None and not any(r.kind == "quality" for r in unknown)
    if best is None or best.name == "accepted share" or not money_alone:
        done = 0 if prices.acceptance is None else prices.acceptance[1]
        more = look if done < look else 4 * done
        asked = "--plan 5%" if more == look else f"-n {more}"
        what = f"let a person review {more} made {thing}s: `karat review RUN {asked}`"
        return Settle(what, more * review, best.worth_knowing if best is not None and money_alone else None)
    steps = {
        "review seconds": Settle(
            f"let a person review {look} {thing}s, which is timed: `karat review RUN --plan 5%`", look * review
        ),
        "review price": Settle("declare review_hour in prices.toml", 0.0),
        "generation cost": Settle("declare cpu_core_hour or gpu_hour in prices.toml", 0.0),
        "computing": Settle("declare cpu_core_hour or gpu_hour in prices.toml", 0.0),
        "discount rate": Settle("declare discount_rate in prices.toml", 0.0),
        "gate share": Settle(f"make more {thing}s and count what passes the gates", 0.0),
        "extra value": Settle(f"show made and today's {thing}s to more people and give the counts as --ab", None),
    }
    narrower = known_inputs[best.name]
    if narrower.tag == "declared":
        steps[best.name] = Settle(f"declare a narrower range of {narrower.basis}", 0.0)
    pilot = Settle(f"put the first {thing}s to use, see whether they stay in use, and declare persistence", None)
    return replace(steps.get(best.name, pilot), gains=best.worth_knowing)


def _opened(gate: Reason, findings: Sequence[Finding], missing: tuple[str, ...], thing: str) -> Settle:
    """What would close or open a `gate` that is unknown."""
    if gate.name == "rights":
        if "limits" in gate.text:
            return Settle("have counsel read the licence", None)
        names = ('rights = "owned" or "licensed: <which>"',) if not missing else ("rights", *missing)
        return Settle(f"declare {joined(names)} in prices.toml", 0.0)
    if gate.name == "policy":
        return Settle("measure and sign what the policy asks, and name the signed copy as --policy", None)
    if gate.name == "labels":
        return Settle(
            'give files that carry a label, or declare labels = "added" in prices.toml if all shipped do', 0.0
        )
    blind = undecided([f for f in findings if f.kind.feeds == gate.name])
    if any(f.lacking is not None for f in blind):
        return _more(blind, thing)
    if gate.name == "copying" and blind:
        return _alike(blind, f"since unseen real {thing}s are as like them")
    if gate.name == "copying":
        return Settle(
            f"assay beside the {thing}s that were learned from: `karat assay --real DATA --made SAMPLES`", 0.0
        )
    text = f'an attack on membership by somebody who knows how, or personal = "none" in prices.toml if no {thing} is about a person'
    return Settle(text, None)


def _more(blind: Sequence[Finding], thing: str) -> Settle:
    """So many more records that the findings which cannot tell could."""
    few = [s for f in blind if (s := f.lacking) is not None]
    if not few:
        return Settle(f"find out why {named(blind)} could not be measured (the report says what was found)", None)
    worst = max(few, key=lambda s: s.needs / max(s.n, 1))
    most = max((s for s in few if s.side == worst.side), key=lambda s: s.needs)
    needs = most.needs
    if most.unreachable:
        return _alike(blind, f"even with {count(most.named)} {thing}s")
    if worst.side == "made":
        return Settle(f"assay at least {count(needs)} made {thing}s (`karat assay RUN -n {needs}`)", 0.0)
    if worst.side == "training":
        return Settle(f"learn from at least {count(needs)} real {thing}s", None)
    how = f"{needs / max(most.n, 1):.1f} times as many as now: a larger `--holdout`, or more data"
    return Settle(f"set aside at least {count(needs)} real {thing}s that nothing learns from ({how})", None)


def _alike(blind: Sequence[Finding], because: str) -> Settle:
    """Where more records do not help: rows of few coarse columns are alike by chance, whatever was copied."""
    what = "compare the pairs in the report, or learn with differential privacy (`--epsilon`)"
    return Settle(f"{what}: {named(blind)} cannot tell {because}", None)
