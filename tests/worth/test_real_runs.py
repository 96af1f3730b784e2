"""Verdicts on what real runs of all kinds were found to be: none is gold while a hard gate is unknown.

The findings are those of the frozen reports (tests/frozen): small runs of rows, a series, related tables, pictures, sounds
and texts. Each is taken as it was found, as if nothing were wrong, as if it could not be told, or left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from good import COST, PAYS

from karat.assays.finding import Finding, Limit, Sample
from karat.worth.verdict import Verdict, judge

GOLDEN = Path(__file__).parents[1] / "frozen" / "golden"
KINDS = sorted(path.stem for path in GOLDEN.glob("*.json"))
GATES = ("copying", "privacy")


def found(kind: str) -> list[Finding]:
    text = (GOLDEN / f"{kind}.json").read_text(encoding="utf-8")
    return [Finding.read(values | {"detail": {}}) for values in json.loads(text)["seen"]["report"]["findings"]]


def fine(f: Finding) -> Finding:
    """As if enough records had been there, and nothing wrong."""
    value = f.real if math.isfinite(f.real) else 0.5
    return replace(f, value=value, low=value, high=value, real=value, raised=False, samples=(), limit=Limit(also="so"))


def blind(f: Finding) -> Finding:
    """As if there had been too few records."""
    return replace(fine(f), samples=(Sample(20, 4000, "made"),))


def unmeasured(f: Finding) -> Finding:
    return replace(fine(f), value=math.nan, low=math.nan, high=math.nan, why="not measured")


def verdict(findings: list[Finding], rights: str | None = "owned", labelled: bool | None = True) -> Verdict:
    return judge(findings, COST, replace(PAYS, rights=None), rights=rights, labelled=labelled, reviewed=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_which_all_is_known_and_well_is_gold_and_none_of_which_a_gate_is_not(kind: str) -> None:
    well = [fine(f) for f in found(kind)]
    assert verdict(well).word == "gold"
    assert verdict(well, rights=None).word == verdict(well, labelled=None).word == "unproven"
    for i, f in enumerate(well):
        if f.kind.feeds in GATES and f.kind.decides:
            v = verdict([*well[:i], (blind, unmeasured)[i % 2](f), *well[i + 1 :]])
            assert v.word == "unproven", f.name
            assert {r.name: r.state for r in v.reasons if r.kind == "gate"}[f.kind.feeds] == "unknown"
    for gate in GATES:
        v = verdict([f for f in well if f.kind.feeds != gate])
        assert v.word == "unproven" and any(r.name == gate and r.state == "unknown" for r in v.reasons)


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_attack_the_gate_of_privacy_is_unknown_and_says_so(kind: str) -> None:
    v = verdict([fine(f) for f in found(kind) if f.key != "membership"])
    (gate,) = (r for r in v.reasons if r.kind == "gate" and r.name == "privacy")
    assert (v.word, gate.state) == ("unproven", "unknown") and "no attack on membership was run" in gate.text


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_known_of_a_real_run_gold_needs_every_gate(kind: str) -> None:
    rng, real = np.random.default_rng(len(kind)), found(kind)
    ways: tuple[Callable[[Finding], Finding], ...] = (lambda f: f, blind, unmeasured)
    for _ in range(6):
        chosen = []
        for f in real:
            way = int(rng.integers(40))
            if way < 39:
                chosen.append(ways[way](f) if way < len(ways) else fine(f))
        rights, labelled = rng.choice(["owned", "owned", "unknown"]), bool(rng.integers(4))
        v = verdict(chosen, str(rights), labelled or None)
        if v.word != "gold":
            continue
        assert rights == "owned" and labelled
        for gate in GATES:
            mine = [f for f in chosen if f.kind.feeds == gate]
            assert any(f.state == "ok" and f.kind.decides for f in mine) and not any(f.raised for f in mine)
            assert not any(f.state == "cannot tell" and f.kind.decides for f in mine), gate
        assert any(f.key == "membership" for f in chosen)
