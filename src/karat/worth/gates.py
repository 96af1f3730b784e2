"""The hard gates: rights, copying, privacy, labels of origin. What nobody measured is unknown and never passed."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from karat.words import Sentence, said, term
from karat.worth.prices import Prices, Source
from karat.worth.reasons import Reason, cannot_tell, plain, scores, undecided

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding


def gate_reasons(
    findings: Sequence[Finding],
    prices: Prices,
    rights: str | None,
    labelled: bool | None,
    thing: str,
    today: datetime.date,
) -> list[Reason]:
    """One reason for each hard gate: rights, copying, privacy, labels of origin."""
    sources = [_of_source(source, today) for source in prices.sources]
    rest = [] if rights is None and sources else [_rights(rights)]
    return [
        min([*sources, *rest], key=lambda r: ("fail", "unknown", "pass").index(r.state)),
        _copying(findings, thing),
        _privacy(findings, thing, prices.personal),
        _labels(labelled, prices.labels),
    ]


def _rights(rights: str | None) -> Reason:
    word = "unknown" if rights is None else rights.split(":")[0].strip().lower()
    if word == "none":
        return _right("fail", "none", said("nobody has the right to use this data"))
    if word == "licensed" and rights is not None:
        licence = rights.partition(":")[2].strip()
        if licence in ("", "?"):
            text = said("the data is under a licence, and nobody has said which")
            return _right("unknown", "unnamed", text)
        terms = rights.upper().replace("-", " ").split()
        if "NC" in terms or "NONCOMMERCIAL" in terms or "ND" in terms:
            text = said("the data is {rights}, which limits commercial use or derived works", rights=_terms(rights))
            return _right("unknown", "limits", text)
    if rights is not None and word in ("owned", "licensed"):
        return _right("pass", word, said("the data is {rights}", rights=_terms(rights)))
    return _right("unknown", "undeclared", said("nobody has said whether this data may be used"))


def _terms(rights: str) -> Sentence:
    """The words of prices.toml: one that the table of a language has, or a licence as it is written."""
    word, _, licence = rights.partition(":")
    return said("{word}: {licence}", word=term(word), licence=licence.strip()) if licence else term(word)


def _right(state: Literal["pass", "fail", "unknown"], cause: str, text: str) -> Reason:
    return Reason("gate", "rights", state, text, cause)


def _of_source(source: Source, today: datetime.date) -> Reason:
    if source.expires is not None and source.expires < today:
        return _right(
            "fail", "ended", said("the right to use {source} ended on {day}", source=source.name, day=source.expires)
        )
    if source.purpose and "train" not in source.purpose.lower():
        text = said(
            "{source} was given for {purpose}, and nobody has said that training is meant",
            source=source.name,
            purpose=source.purpose,
        )
        return _right("unknown", "purpose", text)
    word = source.licence.strip().lower()
    found = _rights(word if word in ("owned", "none", "unknown") else f"licensed: {source.licence}")
    return replace(found, text=said("{source}: {what}", source=source.name, what=found.text))


def _copying(findings: Sequence[Finding], thing: str) -> Reason:
    mine = [f for f in findings if f.kind.feeds == "copying"]
    none = "whether training {thing}s are copied was not measured"
    return _gate("copying", mine, none, "no copying was found by these tests{score}", thing)


def _privacy(findings: Sequence[Finding], thing: str, personal: str | None) -> Reason:
    mine = [f for f in findings if f.kind.feeds == "privacy"]
    reason = _gate(
        "privacy",
        mine,
        "what can be told of single {thing}s was not measured",
        "no leak about single {thing}s was found by these tests{score}",
        thing,
    )
    attacked = any(f.key == "membership" for f in mine)
    if reason.state == "fail":
        return reason
    if not attacked and _copying(findings, thing).state == "fail":
        return Reason("gate", "privacy", "fail", said("what is copied is disclosed"))
    if personal == "none":
        text = said("declared: no {thing} is about a person", thing=term(thing))
        return Reason("gate", "privacy", "pass", text, "declared")
    if not attacked:
        template = "nobody has tried to tell which {thing}s were learned from: no attack on membership was run"
        text = said(template, thing=term(thing))
        return Reason("gate", "privacy", "unknown", text, "untried")
    return replace(reason, cause="tests" if reason.state == "pass" else "undecided")


def _gate(name: str, mine: Sequence[Finding], unmeasured: str, clear: str, thing: str) -> Reason:
    """Fails by any of `mine` that is raised; unknown where none was measured or one that decides cannot tell.

    unmeasured, clear: templates of what is said where none was, and where all are fine.
    """
    raised = [f for f in mine if f.raised]
    if raised:
        return Reason("gate", name, "fail", plain(raised[0].summary))
    blind = undecided(mine)
    if blind:
        return Reason("gate", name, "unknown", cannot_tell(blind, thing))
    fine = [f for f in mine if f.state == "ok"]
    if not any(f.kind.decides for f in fine):
        return Reason("gate", name, "unknown", said(unmeasured, thing=term(thing)))
    return Reason("gate", name, "pass", said(clear, thing=term(thing), score=scores(fine[0])))


def _labels(labelled: bool | None, declared: str | None) -> Reason:
    if labelled:
        text = said("the label of origin was read back from what was made")
        return Reason("gate", "labels", "pass", text, "read")
    if labelled is not None:
        return Reason("gate", "labels", "fail", said("what is made carries no label of origin"))
    if declared == "added":
        text = said("declared: a label of origin is put on all that is shipped")
        return Reason("gate", "labels", "pass", text, "declared")
    text = said("no label of origin was found on the samples given, or none was looked for")
    return Reason("gate", "labels", "unknown", text)
