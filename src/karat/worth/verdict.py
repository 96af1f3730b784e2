"""The verdict: gold, bubble or unproven, with its reasons and the measurement that would settle it.

Gold: every hard gate passes, and it is cheaper with probability at least 0.9 (or one made item stands for more real
labels than break-even asks) and pays with probability at least 0.8, and every finding that decides could see its fault
and saw none, or none but those that the share of items which people accept, by its lower bound, excuses. Bubble: a hard
gate fails, or it pays with probability at most 0.2, or nobody could use what is made, or it gives no lift over the null
control where a lift would have been seen. Unproven: anything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from karat.assays.details.records import Usefulness
from karat.words import chance, count, money, number, score
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
MOST_NAMED = 4  # findings named in a sentence
MOSTLY = 0.75  # of the findings that cannot tell for want of one side's records
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

    rights: as `Prices.rights`, which is used where this is None.   labelled: whether a label of origin was read back from
    what is made; None where that is not known.   thing: what one record is called.   reviewed: whether a
    person looks at each of them before it is used. Same arguments, same verdict.
    """
    rights = prices.rights if rights is None else rights
    gates = [
        _rights(rights),
        _copying(findings, thing),
        _privacy(findings, thing, prices.personal),
        _labels(labelled, prices.labels),
    ]
    quality = _quality(findings, prices, thing, reviewed)
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
    elif not unknown:
        word = "gold"
        assert value is not None
        sentence = (
            f"Gold: {worth[0].text}, it pays with a probability of {chance(value.p_pays)}, and every gate is passed"
            f"{_headline(findings)}."
        )
    else:
        word = "unproven"
        settle = _settle(unknown, findings, missing, inputs, value, prices, cost, thing, reviewed)
        first = unknown[0].text
        price = "nothing" if settle.costs == 0 else "about " + money(settle.costs, prices.currency)
        price = "a price that cannot be named with what is declared" if settle.costs is None else price
        sentence = f"Unproven: {first}; what would settle it: {settle.what}, which costs {price}{_shown(findings)}."
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
    mine = [f for f in findings if f.kind.feeds == "copying"]
    return _gate("copying", mine, f"whether training {thing}s are copied", "no copying was found by these tests", thing)


def _privacy(findings: Sequence[Finding], thing: str, personal: str | None) -> Reason:
    mine = [f for f in findings if f.kind.feeds == "privacy"]
    reason = _gate(
        "privacy",
        mine,
        f"what can be told of single {thing}s",
        f"no leak about single {thing}s was found by these tests",
        thing,
    )
    attacked = any(f.key == "membership" for f in mine)
    if reason.state == "fail":
        return reason
    if not attacked and _copying(findings, thing).state == "fail":
        return Reason("gate", "privacy", "fail", "what is copied is disclosed")
    if personal == "none":
        return Reason("gate", "privacy", "pass", f"declared: no {thing} is about a person")
    if not attacked:
        text = f"nobody has tried to tell which {thing}s were learned from: no attack on membership was run"
        return Reason("gate", "privacy", "unknown", text)
    return reason


def _gate(name: str, mine: Sequence[Finding], question: str, clear: str, thing: str) -> Reason:
    """Fails by any of `mine` that is raised; unknown where none was measured or one that decides cannot tell."""
    raised = [f for f in mine if f.raised]
    if raised:
        return Reason("gate", name, "fail", _plain(raised[0].summary))
    blind = _blind(mine)
    if blind:
        return Reason("gate", name, "unknown", _cannot_tell(blind, thing))
    fine = [f for f in mine if f.state == "ok"]
    if not any(f.kind.decides for f in fine):
        return Reason("gate", name, "unknown", f"{question} was not measured")
    return Reason("gate", name, "pass", f"{clear}{_scores(fine)}")


def _blind(findings: Sequence[Finding]) -> list[Finding]:
    """Those that the verdict rests on and that cannot tell, for want of records or at all."""
    return [f for f in findings if f.kind.decides and f.state == "cannot tell"]


def overview(findings: Sequence[Finding], thing: str = "record") -> str:
    """One sentence where most findings cannot tell: how many, which side is too few, and how many would settle most of them.

    "" where at least half can tell. thing: what one record is called.
    """
    blind = [f for f in findings if f.state == "cannot tell"]
    if 2 * len(blind) <= len(findings):
        return ""
    text = f"{len(blind)} of {len(findings)} findings cannot tell"
    lacking = [(f.table, s.side, s) for f in blind if (s := f.lacking) is not None]
    if not lacking:
        return f"{text}."
    # of several tables each has records of its own: that one side of one table is named which most wait for
    kinds = [(table, side) for table, side, _ in lacking]
    table, side = max(kinds, key=kinds.count)
    few = sorted((s for *kind, s in lacking if kind == [table, side]), key=lambda s: s.needs)
    enough = few[math.ceil(MOSTLY * len(few)) - 1]  # all that need less are settled by it too
    settled = sum(s.needs <= enough.needs for s in few)
    sizes = [s.n for s in few]
    n, of = max(sizes, key=sizes.count), f" of {table}" if table else ""
    return f"{text}: {count(n)} {side} {thing}s{of} are too few; {enough.wanted} ones would let {settled} of them tell."


def _cannot_tell(blind: Sequence[Finding], thing: str) -> str:
    """ "coverage and recall cannot tell at n=40; needs 1,200 made rows": the side that lacks most, and by its largest need."""
    few = [(f, s) for f in blind if (s := f.lacking) is not None]
    if not few:
        beyond = [f for f in blind if f.beyond]
        if beyond:
            if all(f.saturated for f in beyond):
                return f"{_named(beyond)} cannot tell: unseen real {thing}s score as high as can be"
            return f"{_named(beyond)} cannot tell: at so few {thing}s no score it can have would be a fault"
        because = f" ({_plain(blind[0].summary)})" if len(blind) == 1 else ""
        return f"{_named(blind)} could not be measured{because}"
    side = max((s for _, s in few), key=lambda s: s.needs / max(s.n, 1)).side
    same = [f for f, s in few if s.side == side]
    most = max((s for _, s in few if s.side == side), key=lambda s: s.needs)
    return f"{_named(same)} cannot tell at n={most.n}; needs {most.wanted} {thing}s"


def _named(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(f.name for f in findings))
    return _join(names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"])


def _scores(findings: Sequence[Finding]) -> str:
    f = findings[0]
    return f" ({f.name} {score(f.value)}, {f.beside} {score(f.real)})"


def _labels(labelled: bool | None, declared: str | None) -> Reason:
    if labelled:
        return Reason("gate", "labels", "pass", "the label of origin was read back from what was made")
    if labelled is not None:
        return Reason("gate", "labels", "fail", "what is made carries no label of origin")
    if declared == "added":
        return Reason("gate", "labels", "pass", "declared: a label of origin is put on all that is shipped")
    return Reason(
        "gate", "labels", "unknown", "no label of origin was found on the samples given, or none was looked for"
    )


def _quality(findings: Sequence[Finding], prices: Prices, thing: str, reviewed: bool) -> list[Reason]:
    """Reasons of quality: a fault that no use survives, what cannot be told, faults, and those that reviewers excuse."""
    mine = [f for f in findings if f.kind.feeds == "quality"]
    raised = [f for f in mine if f.raised]
    if hopeless := _hopeless(mine, thing):
        return hopeless
    if not any(f.state != "cannot tell" for f in mine) and not _blind(mine):
        return [Reason("quality", "quality", "unknown", "no finding says how good it is")]
    least = prices.least_accepted if reviewed else 0.0
    excused = [f for f in raised if _excused(f, least)]
    reasons = []
    if left := [f for f in raised if f not in excused]:
        reasons.append(Reason("quality", "faults", "unknown", _far(left, prices, thing, reviewed, least)))
    if blind := _blind(mine):
        reasons.append(Reason("quality", "power", "unknown", _cannot_tell(blind, thing)))
    if excused:
        text = f"faults in {_named(excused)}, and people accept at least {least:.0%} of what is made"
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
    text = f"{_named(left)} {'is' if len({f.name for f in left}) == 1 else 'are'} far from what real data scores"
    if reviewed and all(f.kind.visible for f in left):
        if prices.acceptance is None:
            return f"{text}, and nobody has said how many {thing}s are accepted"
        of = prices.acceptance[1]
        return f"{text}, and of {of} reviewed {thing}s no more than {least:.0%} are sure to be accepted"
    if reviewed and prices.acceptance is not None:
        hidden = [f for f in left if not f.kind.visible]
        text += f", and who reviews single {thing}s cannot see {_named(hidden)}"
    return text


def _excused(f: Finding, accepted: float) -> bool:
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
        return _more(_blind([f for f in findings if f.kind.feeds == "quality"]), thing)
    if missing:
        return Settle(f"declare {_join(missing)} in prices.toml", 0.0)
    faults = [f for f in findings if f.kind.feeds == "quality" and f.raised and not _excused(f, prices.least_accepted)]
    by_eye = reviewed and all(f.kind.visible for f in faults)
    if any(r.name == "faults" for r in unknown) and not by_eye:
        what = "train for longer or by another recipe (`karat look DATA` names those that suit) and assay again"
        return Settle(what, None if cost.money is None or not cost.runs else cost.money / cost.runs)
    best = max(value.tornado, key=lambda b: b.worth_knowing, default=None) if value is not None else None
    known_inputs = {i.name: i for i in inputs}
    seconds = known_inputs["review seconds"]
    one = REVIEW_SECONDS if seconds.tag == "assumed" else seconds.middle()
    review = one / 3600 * known_inputs["review price"].middle()
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


def _opened(gate: Reason, findings: Sequence[Finding], missing: tuple[str, ...], thing: str) -> Settle:
    """What would close or open a `gate` that is unknown."""
    if gate.name == "rights":
        if "limits" in gate.text:
            return Settle("have counsel read the licence", None)
        names = ('rights = "owned" or "licensed: <which>"',) if not missing else ("rights", *missing)
        return Settle(f"declare {_join(names)} in prices.toml", 0.0)
    if gate.name == "labels":
        return Settle(
            'give files that carry a label, or declare labels = "added" in prices.toml if all shipped do', 0.0
        )
    blind = _blind([f for f in findings if f.kind.feeds == gate.name])
    if any(f.lacking is not None for f in blind):
        return _more(blind, thing)
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
        return Settle(f"find out why {_named(blind)} could not be measured (the report says what was found)", None)
    worst = max(few, key=lambda s: s.needs / max(s.n, 1))
    needs = max(s.needs for s in few if s.side == worst.side)
    if worst.side == "made":
        return Settle(f"assay at least {count(needs)} made {thing}s (`karat assay RUN -n {needs}`)", 0.0)
    if worst.side == "training":
        return Settle(f"learn from at least {count(needs)} real {thing}s", None)
    how = "`karat train DATA --holdout 0.3`, or give more data"
    return Settle(f"set aside at least {count(needs)} real {thing}s that nothing learns from ({how})", None)


def _headline(findings: Sequence[Finding]) -> str:
    """The finding to show to a board: a raised one, then one that is surely within its limit; none that cannot tell."""
    f = next(iter(conclusive(findings)), None)
    return "" if f is None else f" ({f.name} {score(f.value)}, {f.beside} {score(f.real)})"


def _shown(findings: Sequence[Finding]) -> str:
    """The same finding where the sentence speaks of something else."""
    f = next(iter(conclusive(findings)), None)
    if f is None:
        return ""
    return f"; {'raised' if f.raised else 'measured'}: {f.name} {score(f.value)} ({f.beside} {score(f.real)})"


def conclusive(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say something for certain, the weightiest first.

    Raised ones before fine ones, those whose whole interval keeps to the limit before those that may be beyond it.
    """
    order = ("memory", "privacy", "usefulness", "descriptors", "bias", "diversity", "fidelity")
    calm = ("fidelity", "diversity", "usefulness", "memory", "privacy", "bias", "descriptors")
    shown = [f for f in findings if f.assay in order and f.state != "cannot tell" and math.isfinite(f.value)]

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
                return f" ({f.beside} {score(f.real)})"
            return f" ({f.name} {score(f.value)}, {f.beside} {score(f.real)})"
    return _headline(findings)


def _plain(sentence: str) -> str:
    return sentence.strip().rstrip(".") or "a test raised it"


def _join(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
