"""The first page: the answer in words that need no other, what it rests on, what it is worth and what would change it.

It says nothing that the verdict and the findings do not hold; a language's table has all its sentences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from karat import words
from karat.assays.faults import fault as fault_in_words
from karat.languages import Language
from karat.report.named import named
from karat.worth.reasons import Reason
from karat.worth.verdict import MOSTLY, Verdict, conclusive

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding, Sample

FAULTS = 4  # listed on the first page
CHANGES = 5
FAR = 3  # times as many records as most tests need, beyond which that is said too
NAMED = 3  # of what is missing, and of what money hangs on
LONGEST = 60  # characters of a name
MONTH = 1 / 12
SEEN = ("copy rate", "missing classes", "missing words", "two-sample auc", "membership")
Topic = Literal["quality", "gates", "money"]
BAD = ("fail", "faults", "acceptance", "stages")  # answers that are no; what is neither these nor those is open
GOOD = ("pass", "review")


@dataclass(frozen=True)
class Answer:
    """One of the three answers: its question, its word, what that means, and where the evidence is."""

    topic: Topic
    state: str
    name: str
    asks: str
    word: str
    text: str
    link: str

    @property
    def tone(self) -> str:
        return "raised" if self.state in BAD else "fine" if self.state in GOOD else "unknown"


@dataclass(frozen=True)
class Gate:
    """A condition without which nothing may be used."""

    state: str
    name: str
    asks: str
    text: str


@dataclass(frozen=True)
class Fault:
    """A finding that is raised, in words: what it means, what is missing or off by name, what to do, and where its evidence is."""

    name: str
    means: str
    missing: str
    do: str
    link: str


@dataclass(frozen=True)
class Figure:
    """A sum of money or a chance, with what it is."""

    name: str
    value: str
    range: str
    means: str


@dataclass(frozen=True)
class Ground:
    """What is measured, declared or assumed: the word, what it means, and what is so known."""

    tag: str
    name: str
    means: str
    what: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """All that the first page shows."""

    word: str
    means: str
    answers: tuple[Answer, ...]
    gates: tuple[Gate, ...]
    faults: tuple[Fault, ...]
    more: int  # faults that are not listed
    blind: int  # findings that cannot tell
    findings: int
    seen: str  # the least faults that would have been seen, in words; "" where none is reckoned
    changes: tuple[str, ...]
    worth: tuple[Figure, ...]
    grounds: tuple[Ground, ...]
    share: str  # of the doubt about money that rests on assumptions


def states(verdict: Verdict) -> dict[Topic, str]:
    """The three answers as words that do not change with the language: of quality, of the gates, of money."""
    quality, gates, worth = (
        {r.name: r.state for r in verdict.reasons if r.kind == k} for k in ("quality", "gate", "worth")
    )
    return {
        "quality": "fail"
        if "fail" in quality.values()
        else next(
            (n for n in ("reviewers", "acceptance", "faults", "power", "quality") if quality.get(n) == "unknown"),
            _passed(quality),
        ),
        "gates": next((s for s in ("fail", "unknown") if s in gates.values()), "pass"),
        "money": _of_worth(worth),
    }


def _of_worth(worth: Mapping[str, str]) -> str:
    if "money" in worth:
        return "money"
    if worth.get("net value") != "fail" and worth.get("stages") == "fail":
        return "stages"
    return next((s for s in ("fail", "unknown") if s in worth.values()), "pass")


def _passed(quality: Mapping[str, str]) -> str:
    return "review" if "review" in quality else "pass"


def board(verdict: Verdict, findings: Sequence[Finding], thing: str, language: Language) -> Board:
    """The first page of this verdict in this language; `thing` is what one record is called."""
    known, say, called = states(verdict), language.say, language.thing(thing)
    raised = [f for f in findings if f.raised]
    order = [f for f in conclusive(findings) if f.raised]
    faults = [
        fault(f, list(findings).index(f), called, language) for f in [*order, *(f for f in raised if f not in order)]
    ]
    gates = [r for r in verdict.reasons if r.kind == "gate"]
    topics: tuple[Topic, ...] = ("quality", "gates", "money")
    texts = {
        "quality": _of_quality(known["quality"], findings, called, language),
        "gates": _of_gates(gates, called, language),
        "money": _of_money(known["money"], verdict, called, language),
    }
    links = {"quality": "#findings", "gates": "#why", "money": "#cost"}
    return Board(
        say(f"word.{verdict.word}.name"),
        say(f"word.{verdict.word}.means", because=_because(verdict, known, called, language)),
        tuple(
            Answer(
                topic,
                known[topic],
                say(f"answer.{topic}.name"),
                say(f"answer.{topic}.asks", **called),
                say(f"answer.{topic}.{known[topic]}"),
                texts[topic],
                links[topic],
            )
            for topic in topics
        ),
        tuple(
            Gate(
                r.state,
                say(f"gate.{r.name}.name"),
                say(f"gate.{r.name}.asks", **called),
                say(r.key, **called),
            )
            for r in gates
        ),
        tuple(faults[:FAULTS]),
        max(0, len(faults) - FAULTS),
        sum(f.state == "cannot tell" for f in findings),
        len(findings),
        _seen(findings, language),
        tuple(_changes(verdict, known, findings, called, language)[:CHANGES]),
        _worth(verdict, called, language),
        _grounds(verdict, findings, called, language),
        "" if verdict.assumed_share is None else f"{100 * verdict.assumed_share:.0f}%",
    )


def fault(f: Finding, place: int, called: Mapping[str, str], language: Language) -> Fault:
    """What a raised finding means and what to do, for a person; `place` is its place among all findings."""
    name = language.finding(f.name, f.key, f.of, f.table)
    missing = language.listed([n if len(n) <= LONGEST else n[: LONGEST - 1] + "…" for n in named(f, language)], NAMED)
    return Fault(
        name,
        language.say(f"finding.{f.key}.means", **called, of=language.of(f.key, f.of) or f.table or ""),
        missing,
        language.say(f"do.{language.texts[f'finding.{f.key}.do']}", **called),
        f"#finding-{place}",
    )


def judged(f: Finding, thing: str, language: Language) -> str:
    """The state of a finding in words, with how many records are needed where there are too few."""
    if f.state != "cannot tell":
        return language.say(f"page.state.{f.state}")
    if f.lacking is None:
        return language.say("page.state.blind")
    side, n = language.say(f"page.side.{f.lacking.side.split()[0]}"), words.count(f.lacking.n)
    needs = words.count(f.lacking.named)
    return language.say("page.state.needs", **language.thing(thing), n=n, needs=needs, side=side)


def limit(f: Finding, language: Language) -> str:
    """Beyond which values a finding is raised, with a star where more than them decides."""
    within = f.within
    values = {k: words.score(v) for k, v in (("below", within.below), ("above", within.above)) if v is not None}
    if not values:
        return language.say("limit.none" if within.brief == "by none" else "limit.words")
    key = "both" if len(values) == 2 else next(iter(values))
    return language.say(f"limit.{key}", **values) + ("*" if within.also or within.only else "")


def limit_in_full(f: Finding, language: Language) -> str:
    """What raises a finding, with all that decides beside the values."""
    within, numbers = f.within, limit(f, language).rstrip("*")
    parts = [numbers] if within.numbers else []
    parts += [language.again(within.only)] if within.only and parts else []
    if within.also:
        other = language.again(within.also)
        parts.append(language.say("limit.or", other=other) if parts else other)
    return language.texts["form.comma"].join(parts)


def _seen(findings: Sequence[Finding], language: Language) -> str:
    """The least faults that these tests would have seen, those that a reader asks for first."""
    mine = {f.key: f for f in findings if f.key in SEEN}
    told = [
        fault_in_words(key, mine[key].least, language.texts.get(f"finding.{key}.sees")) for key in SEEN if key in mine
    ]
    told = [text for text in told if text]
    return language.say("board.seen", faults=language.listed(told)) if told else ""


def _because(verdict: Verdict, known: Mapping[Topic, str], called: Mapping[str, str], language: Language) -> str:
    """Why the verdict is no gold: what fails, else the first that is open, in the order in which it could be settled."""
    order: tuple[Topic, ...] = ("gates", "quality", "money")
    failed = [topic for topic in order if known[topic] in ("fail", "stages")]
    topic = next(iter(failed or [t for t in order if known[t] not in GOOD]), None)
    if topic is None:
        return ""
    names = [
        language.say(f"gate.{r.name}.name") for r in verdict.reasons if r.kind == "gate" and r.state == known["gates"]
    ]
    return language.say(f"because.{topic}.{known[topic]}", **called, names=language.listed(names))


def _of_quality(state: str, findings: Sequence[Finding], called: Mapping[str, str], language: Language) -> str:
    counts = {s: words.count(sum(f.state == s for f in findings)) for s in ("ok", "raised", "cannot tell")}
    values = {"fine": counts["ok"], "raised": counts["raised"], "blind": counts["cannot tell"]}
    return language.say(f"quality.{state}", **called, **values, all=words.count(len(findings)))


def _of_gates(gates: Sequence[Reason], called: Mapping[str, str], language: Language) -> str:
    """What the first condition says that is not met, or not known to be; else that all are."""
    worst = min(gates, key=lambda r: ("fail", "unknown", "pass").index(r.state))
    if worst.state == "pass":
        return language.say("gates.met")
    return language.say(worst.key, **called)


def _of_money(state: str, verdict: Verdict, called: Mapping[str, str], language: Language) -> str:
    value = verdict.value
    if value is None:
        return language.say("money.money", names=_lacking(verdict, called, language, keys=False))
    return language.say(
        f"money.{state}",
        **called,
        cost=language.money(value.cpa, verdict.currency),
        low=language.money(value.cpa_low, verdict.currency),
        high=language.money(value.cpa_high, verdict.currency),
        today=language.money(_today(verdict), verdict.currency),
        chance=language.chance(value.p_pays),
    )


def _today(verdict: Verdict) -> float:
    return next((i.middle() for i in verdict.inputs if i.name == "alternative cost"), math.nan)


def _lacking(verdict: Verdict, called: Mapping[str, str], language: Language, keys: bool) -> str:
    """The inputs without which no money can be named, in words; with `keys` also what they are called in prices.toml."""
    there = {i.name for i in verdict.inputs}
    wanted = ("alternative cost", "items wanted", "generation cost", "review price")
    names = [(input_name(n, called, language), language.texts[f"input.{n}.key"]) for n in wanted if n not in there]
    return language.listed([f"{name} (`{key}`)" if keys else name for name, key in names])


def input_name(name: str, called: Mapping[str, str], language: Language) -> str:
    """What an input of the money is called; by its own name where the table has none."""
    text = language.texts.get(f"input.{name}.name")
    return name if text is None else text.format_map(called)


def _changes(
    verdict: Verdict,
    known: Mapping[Topic, str],
    findings: Sequence[Finding],
    called: Mapping[str, str],
    language: Language,
) -> list[str]:
    """What to do next: a sentence for each condition that is not met, for quality and for money."""
    gates = [r for r in verdict.reasons if r.kind == "gate"]
    open_gates = {r.name for r in gates if r.state == "unknown"}
    needs = _needs([f for f in findings if f.kind.feeds in open_gates or f.kind.feeds == "quality"], called, language)
    told = {"copying"} if needs and "copying" in open_gates else set()  # by how many records it needs
    found = {r.name for r in gates if r.state == "fail"} & {
        "copying",
        "privacy",
    }  # which nobody has to look for any more
    out = [
        language.say(_next(r, language), **called) for r in gates if r.state != "pass" and r.name not in told | found
    ]
    if found or f"next.quality.{known['quality']}" in language.texts:
        out.append(language.say(f"next.quality.{'faults' if found else known['quality']}", **called))
    if known["quality"] == "power" or (open_gates & {"copying", "privacy"}):
        out += needs
    if known["money"] == "money":
        out.append(language.say("money.next.money", names=_lacking(verdict, called, language, keys=True)))
    elif known["money"] != "pass":
        assert verdict.value is not None
        hangs = [input_name(b.name, called, language) for b in verdict.value.tornado[:NAMED]]
        out.append(language.say(f"money.next.{known['money']}", names=language.listed(hangs)))
    return out or [language.say("next.none")]


def _next(gate: Reason, language: Language) -> str:
    """Of the sentence that says what to do about a gate: that of its cause, else the one for all."""
    own = f"gate.{gate.name}.next.{gate.cause}"
    return own if own in language.texts else f"gate.{gate.name}.next"


def _needs(findings: Sequence[Finding], called: Mapping[str, str], language: Language) -> list[str]:
    """How many more records would let the findings tell that the verdict waits for: a sentence for each side.

    Where one of them needs far more than the others, it is said besides how many most need.
    """
    blind = [f for f in findings if f.kind.decides and f.state == "cannot tell"]
    most: dict[str, Sample] = {}
    for s in (f.lacking for f in blind):
        if s is not None:
            side = s.side.split()[0]
            most[side] = max(most.get(side, s), s, key=lambda x: x.needs)
    if blind and not most:
        names = [language.finding(f.name, f.key, f.of, f.table) for f in blind]
        return [language.say("need.other", names=language.listed(names))]
    out = []
    for side, s in sorted(most.items()):
        n = s.named
        times = f"{n / max(s.n, 1):.1f}"
        key = "need.unreachable" if s.unreachable else f"need.{side}"
        out.append(language.say(key, **called, n=words.count(n), digits=n, times=times))
        few = sorted(x.needs for f in blind if (x := f.lacking) is not None and x.side.split()[0] == side)
        enough = few[math.ceil(MOSTLY * len(few)) - 1]
        if FAR * enough < s.needs:
            settled = sum(needs <= enough for needs in few)
            out[-1] += language.say("need.most", n=words.count(enough), settled=settled, all=len(few))
    return out


def _worth(verdict: Verdict, called: Mapping[str, str], language: Language) -> tuple[Figure, ...]:
    value, currency = verdict.value, verdict.currency
    if value is None:
        return ()

    def money(x: float) -> str:
        return language.money(x, currency)

    def between(low: float, high: float) -> str:
        return language.say("form.range", low=money(low), high=money(high))

    rows = [
        ("cost", money(value.cpa), between(value.cpa_low, value.cpa_high)),
        ("today", money(_today(verdict)), ""),
        ("value", money(value.npv), between(value.npv_low, value.npv_high)),
        ("chance", language.chance(value.p_pays), ""),
    ]
    if value.payback_years is not None:
        years = value.payback_years
        after = language.say("worth.years", years=words.number(years)) if years > MONTH else language.say("worth.soon")
        rows.append(("payback", after, ""))
    return tuple(
        Figure(language.say(f"worth.{name}.name", **called), figure, span, language.say(f"worth.{name}.means"))
        for name, figure, span in rows
    )


def _grounds(
    verdict: Verdict, findings: Sequence[Finding], called: Mapping[str, str], language: Language
) -> tuple[Ground, ...]:
    """What is measured, declared and assumed."""
    # as many as most findings rest on: one may look at a part, or at training records too
    counted = {
        side: Counter(s.n for f in findings for s in f.samples if s.side == side) for side in ("made", "unseen real")
    }
    sizes = {side: max(known, key=lambda n: (known[n], n), default=0) for side, known in counted.items()}
    n = words.count(len(findings))
    tests = (
        language.say("board.tests_only", n=n)
        if not all(sizes.values())
        else language.say(
            "board.tests", n=n, made=words.count(sizes["made"]), unseen=words.count(sizes["unseen real"]), **called
        )
    )
    return tuple(
        Ground(
            tag,
            language.say(f"tag.{tag}.name"),
            language.say(f"tag.{tag}.means"),
            (
                *((tests,) if tag == "measured" and findings else ()),
                *(input_name(i.name, called, language) for i in verdict.inputs if i.tag == tag),
            ),
        )
        for tag in ("measured", "declared", "assumed")
    )
