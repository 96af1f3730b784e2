"""The verdict follows from its findings: never gold past a closed or unknown gate; open ones name the next step."""

from dataclasses import replace
from typing import Any

import pytest
from good import COPY, COST, COVERAGE, GOOD, MEMBER, PAYS, PRECISION, USE
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.assays.finding import Finding, Limit, Sample
from karat.assays.keys import KEYS
from karat.worth.ledger import Cost
from karat.worth.prices import Prices, Stage
from karat.worth.verdict import Verdict, judge


def verdict(findings: list[Finding], prices: Prices = PAYS, labelled: bool | None = True) -> Verdict:
    return judge(findings, COST, prices, rights=None, labelled=labelled, seed=0)


def test_all_gates_passed_and_it_pays_is_gold() -> None:
    v = verdict(GOOD)
    assert v.word == "gold" and v.settle is None and v.value is not None
    assert "$0." in v.sentence and "unseen real data" in v.sentence and v.sentence.count(". ") == 0
    assert v == verdict(GOOD) and v.to_dict()["word"] == "gold"


def test_copying_is_a_bubble_whatever_it_pays() -> None:
    copied = replace(COPY, value=0.12, raised=True, summary="12% are copies of training items.")
    v = verdict([copied, COVERAGE])
    assert v.word == "bubble" and "12% are copies" in v.sentence and "0.003" in v.sentence


@pytest.mark.parametrize("rights", ["unknown", "licensed: CC BY-NC 4.0", None])
def test_rights_that_are_not_clear_leave_it_unproven(rights: str | None) -> None:
    v = verdict(GOOD, replace(PAYS, rights=rights))
    assert v.word == "unproven" and v.settle is not None
    assert ("counsel" if rights and "NC" in rights else "rights") in v.settle.what


def test_no_rights_and_no_label_are_bubbles() -> None:
    assert verdict(GOOD, replace(PAYS, rights="none")).word == "bubble"
    assert verdict(GOOD, labelled=False).word == "bubble"
    assert verdict(GOOD, labelled=None).word == "unproven"


def test_without_prices_the_verdict_names_what_to_declare() -> None:
    v = verdict(GOOD, Prices(rights="owned"))
    assert v.word == "unproven" and v.value is None and v.assumed_share is None and v.settle is not None
    assert "alternative_cost_per_item" in v.settle.what and "items_wanted" in v.settle.what and v.settle.costs == 0
    assert "costs nothing" in v.sentence


def test_the_price_of_a_look_is_not_called_declared_where_nobody_looks_and_nobody_declared_it() -> None:
    tags = {i.name: i.tag for i in verdict(GOOD, replace(PAYS, review_seconds_per_item=0.0, review_hour=None)).inputs}
    assert tags["review seconds"] == "declared" and tags["review price"] == "assumed"


def test_a_step_is_said_to_settle_it_only_where_nothing_else_is_open() -> None:
    declare = verdict(GOOD, Prices())
    assert declare.settle is not None and "rights" in declare.settle.what and "items_wanted" in declare.settle.what
    assert declare.settle.alone and "what would settle it: declare" in declare.sentence
    blind = verdict([replace(MEMBER, samples=(Sample(169, 1226, "unseen real"),)), COPY, USE, COVERAGE], Prices())
    assert blind.settle is not None and not blind.settle.alone and "what to do first: declare" in blind.sentence
    more = verdict([replace(MEMBER, samples=(Sample(169, 1226, "unseen real"),)), COPY, USE, COVERAGE])
    assert more.settle is not None and more.settle.alone and "7.3 times as many as now" in more.settle.what


def test_what_costs_more_than_today_is_a_bubble() -> None:
    v = verdict(GOOD, replace(PAYS, alternative_cost_per_item=0.05))
    assert v.word == "bubble" and "pays with a probability of under 1%" in v.sentence


def test_unlogged_acceptance_is_settled_by_a_priced_review() -> None:
    v = verdict(GOOD, replace(PAYS, acceptance=None, alternative_cost_per_item=0.6))
    assert v.word == "unproven" and v.settle is not None and "59" in v.settle.what
    assert v.settle.costs == pytest.approx(59 * 20 / 3600 * 30)


def test_noise_is_a_bubble_and_a_fault_alone_is_not() -> None:
    noise = replace(PRECISION, value=0.0, low=0.0, high=0.01, raised=True)
    assert verdict([COPY, MEMBER, noise]).word == "bubble"
    useless = replace(USE, value=0.12, low=0.1, high=0.14, raised=True)
    assert verdict([COPY, replace(PRECISION, value=0.7, raised=True), useless]).word == "bubble"
    blurred = replace(PRECISION, value=0.84, low=0.82, high=0.86, raised=True)
    v = verdict([*GOOD, blurred], replace(PAYS, acceptance=None))
    assert v.word == "unproven" and v.settle is not None and "review" in v.settle.what


def blurred(value: float) -> Finding:
    return replace(PRECISION, value=value, low=value - 0.02, high=value + 0.02, raised=True)


@pytest.mark.parametrize("acceptance", [(1, 1), (1, 1000), (0, 50), (10, 10)])
@pytest.mark.parametrize("far", [blurred(0.6), blurred(0.3)])
def test_a_few_or_seldom_accepted_items_clear_no_fault(acceptance: tuple[int, int], far: Finding) -> None:
    dear = replace(PAYS, acceptance=acceptance, alternative_cost_per_item=1e5)
    v = verdict([*GOOD, far], dear)
    assert v.word == "unproven" and "precision" in v.sentence


@pytest.mark.parametrize("acceptance", [(1, 1000), (0, 100), (40, 1000)])
def test_what_people_hardly_ever_accept_is_no_gold_however_dear_an_item_is_today(acceptance: tuple[int, int]) -> None:
    v = verdict(GOOD, replace(PAYS, acceptance=acceptance, alternative_cost_per_item=1e7, items_wanted=1e6))
    assert v.word == "unproven" and f"of {acceptance[1]:,} reviewed items" in v.sentence
    assert v.settle is not None and "train for longer" in v.settle.what
    assert verdict(GOOD, replace(PAYS, acceptance=(300, 1000))).word == "gold"


def test_a_stage_that_is_not_worth_entering_is_a_bubble() -> None:
    pilot = Stage("pilot", 2000.0, 0.5)
    v = verdict(GOOD, replace(PAYS, stages=(pilot,)))
    assert v.word == "gold" and next(r for r in v.reasons if r.name == "stages").state == "pass"
    v = verdict(GOOD, replace(PAYS, stages=(pilot, Stage("launch", 1e6, 0.9))))
    assert v.word == "bubble" and "stop before launch" in v.sentence and "$1,000,000" in v.sentence


def test_a_measurement_that_costs_more_than_it_gains_is_not_asked_for() -> None:
    v = verdict(GOOD, replace(PAYS, acceptance=(3, 4), alternative_cost_per_item=0.3, items_wanted=30))
    assert v.word == "unproven" and v.settle is not None and v.settle.gains is not None
    assert not v.settle.worthwhile and "stop rather than measure" in v.sentence
    v = verdict(GOOD, replace(PAYS, acceptance=(3, 4), alternative_cost_per_item=0.3, items_wanted=1e6))
    assert v.settle is not None and v.settle.worthwhile and "stop" not in v.sentence


def test_what_nearly_all_people_accept_clears_what_they_could_see() -> None:
    telling = Finding(
        key="two-sample auc",
        value=0.93,
        low=0.92,
        high=0.94,
        real=0.5,
        raised=True,
        summary="Told apart.",
        limit=Limit(above=0.55),
    )
    most = replace(PAYS, acceptance=(400, 400))
    v = verdict([*GOOD, blurred(0.6), telling], most)
    assert v.word == "gold" and "99%" in next(r.text for r in v.reasons if r.name == "review")
    assert verdict([*GOOD, telling], replace(PAYS, acceptance=(30, 40))).word == "unproven"


HIDDEN = sorted(k for k, key in KEYS.items() if key.feeds == "quality" and not key.visible)


@pytest.mark.parametrize("key", HIDDEN)
def test_no_acceptance_clears_what_a_reviewer_of_single_items_cannot_see(key: str) -> None:
    fault = Finding(
        key=key,
        value=0.9,
        low=0.85,
        high=0.95,
        real=0.1,
        raised=True,
        summary="A fault.",
        limit=Limit(above=0.3, also="where it is"),
        of="x",
    )
    v = verdict([*GOOD, fault], replace(PAYS, acceptance=(5000, 5000)))
    assert v.word == "unproven" and fault.name in v.sentence, v.sentence
    assert v.settle is not None and "review" not in v.settle.what


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_finding_about_one_of_several_tables_weighs_as_much_as_any_other(key: str) -> None:
    for raised, value in ((True, 0.02), (False, 0.02), (False, float("nan"))):
        mine = Finding(
            key=key,
            value=value,
            low=value,
            high=value,
            real=0.5,
            raised=raised,
            summary="So it is.",
            limit=Limit(below=0.0, also="where it says so"),
            of="x",
        )
        plain, theirs = verdict([*GOOD, mine]), verdict([*GOOD, replace(mine, table="orders")])
        assert (plain.word, [(r.kind, r.state) for r in plain.reasons]) == (
            theirs.word,
            [(r.kind, r.state) for r in theirs.reasons],
        )
        if raised and KEYS[key].feeds not in ("worth", "run"):
            assert plain.word != "gold"
        if raised and KEYS[key].feeds == "run":  # which is not given away
            assert plain.word == "gold"
        if raised and KEYS[key].feeds in ("copying", "privacy"):
            assert plain.word == "bubble"
        if value != value and KEYS[key].decides:
            assert plain.word == "unproven"


def test_a_descriptor_that_is_off_stands_against_gold() -> None:
    loud = Finding(
        key="descriptor",
        value=3.0,
        low=2.9,
        high=3.1,
        real=1.0,
        raised=True,
        summary="Too loud.",
        limit=Limit(above=1.2, below=0.8),
        of="loudness",
    )
    v = verdict([*GOOD, loud])
    assert v.word == "unproven" and "loudness" in v.sentence


@pytest.mark.parametrize(("n", "side"), [(40, "made"), (50, "unseen real")])
def test_what_too_few_records_cannot_show_is_unproven_and_the_number_is_named(n: int, side: Any) -> None:
    few = [replace(f, samples=(Sample(n, 1250, side),)) for f in (COVERAGE, PRECISION)]
    v = verdict([COPY, MEMBER, USE, *few])
    assert v.word == "unproven" and f"cannot tell at n={n}; needs 1,250 {side} items" in v.sentence
    assert v.settle is not None and "1,250" in v.settle.what
    gates = verdict([replace(COPY, samples=(Sample(n, 900, side),)), MEMBER, COVERAGE, PRECISION])
    assert gates.word == "unproven" and "needs 900" in gates.sentence
    assert next(r for r in gates.reasons if r.name == "copying").state == "unknown"
    assert verdict([*GOOD, replace(USE, key="lift", samples=(Sample(n, 9000, side),))]).word == "gold", (
        "none waits for it"
    )


def test_a_gate_that_nobody_measured_is_unknown() -> None:
    without = [f for f in GOOD if f.key != "membership"]
    v = verdict(without)
    assert v.word == "unproven" and "membership" in v.sentence and v.settle is not None
    assert next(r for r in v.reasons if r.name == "privacy").state == "unknown"
    assert verdict(without, replace(PAYS, personal="none")).word == "gold"
    shifted = verdict([*without, replace(MEMBER, value=float("nan"), summary="Unseen records differ.")])
    assert "membership could not be measured (Unseen records differ)" in shifted.sentence
    assert shifted.settle is not None and "personal" in shifted.settle.what
    assert verdict(without, replace(PAYS, personal="some")).word == "unproven"
    leak = replace(MEMBER, value=0.9, raised=True)
    assert verdict([*without, leak], replace(PAYS, personal="none")).word == "bubble", (
        "what was seen is not declared away"
    )
    found = Finding(
        key="personal data",
        value=0.0,
        low=0.0,
        high=0.001,
        real=0.0,
        raised=False,
        summary="None.",
        limit=Limit(above=0.002),
    )
    assert verdict([*without, found]).word == "unproven", "no address that came back is no attack on membership"
    assert verdict([f for f in GOOD if f.key != "copy rate"]).word == "unproven"
    assert verdict(GOOD, replace(PAYS, labels="added"), labelled=None).word == "gold"
    assert verdict(GOOD, replace(PAYS, labels="added"), labelled=False).word == "bubble"


def test_what_is_uncertain_is_not_put_first() -> None:
    wide = replace(USE, value=0.95, low=0.28, high=1.2)
    v = verdict([wide, *GOOD[:-1]], Prices())
    assert "usefulness" not in v.sentence and "precision" in v.sentence


def test_no_lift_counts_only_where_real_data_would_lift() -> None:
    lift = Finding(
        key="lift",
        value=-0.001,
        low=-0.002,
        high=0.0005,
        real=0.02,
        raised=False,
        summary="no gain",
        limit=Limit(below=-0.01),
    )
    unlogged = replace(PAYS, acceptance=None)
    assert verdict([*GOOD, lift], unlogged).word == "bubble"
    assert verdict([*GOOD, replace(lift, real=0.0)], unlogged).word != "bubble"
    assert verdict([*GOOD, replace(lift, high=0.01)], unlogged).word != "bubble"
    assert verdict([*GOOD, replace(lift, samples=(Sample(40, 9000, "made"),))], unlogged).word != "bubble"


SCORES = st.one_of(st.floats(0, 1), st.just(float("nan")))
FINDINGS = st.builds(
    Finding,
    key=st.sampled_from(sorted(KEYS)),
    value=SCORES,
    low=SCORES,
    high=SCORES,
    real=SCORES,
    raised=st.booleans(),
    summary=st.text(max_size=20),
    limit=st.just(Limit(above=0.5, also="where the test says so", only="where it says so")),
    table=st.sampled_from([None, "orders"]),
)
PRICES = st.builds(
    Prices,
    currency=st.sampled_from([None, "USD", "EUR"]),
    cpu_core_hour=st.sampled_from([None, 0.05]),
    alternative_cost_per_item=st.sampled_from([None, 0.0, 0.1, 5.0, 100.0]),
    items_wanted=st.sampled_from([None, 1.0, 10_000.0]),
    review_seconds_per_item=st.sampled_from([None, 0.0, 20.0]),
    review_hour=st.sampled_from([None, 30.0]),
    acceptance=st.sampled_from([None, (0, 0), (0, 50), (50, 50), (1, 1000)]),
    persistence=st.sampled_from([None, 0.8, (0.5, 0.9)]),
    stages=st.sampled_from([(), (Stage("pilot", 100.0, 0.5),)]),
    personal=st.sampled_from([None, "none", "some"]),
    labels=st.sampled_from([None, "added", "none"]),
    label_cost_per_item=st.sampled_from([None, 0.0, 1.0]),
    rights=st.sampled_from([None, "owned", "unknown", "none", "licensed: MIT", "licensed: CC BY-NC 4.0"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FINDINGS, max_size=6), PRICES, st.sampled_from([True, False, None]), st.sampled_from([COST, Cost()]))
def test_gold_needs_every_gate_and_the_money(
    findings: list[Finding], prices: Prices, labelled: bool | None, cost: Cost
) -> None:
    v = judge(findings, cost, prices, rights=None, labelled=labelled, seed=0)
    gates = {r.name: r.state for r in v.reasons if r.kind == "gate"}
    assert set(gates) == {"rights", "copying", "privacy", "labels"}
    if v.word == "gold":
        assert set(gates.values()) == {"pass"} and v.value is not None and v.value.p_pays >= 0.8
        assert prices.acceptance not in ((0, 50), (1, 1000))
        assert any(f.assay == "memory" for f in findings) and (labelled or prices.labels == "added")
        assert any(f.key == "membership" for f in findings) or prices.personal == "none"
        assert not any(f.raised for f in findings if f.assay in ("memory", "privacy"))
        assert not any(f.state == "cannot tell" and f.kind.decides for f in findings if f.kind.feeds == "quality")
    if "fail" in gates.values():
        assert v.word == "bubble"
    assert (v.settle is not None) == (v.word == "unproven")
    assert v.sentence.startswith(v.word.capitalize()) and v.sentence.endswith(".")


def test_a_fault_that_was_seen_is_mended_before_more_records_are_asked_for() -> None:
    far = replace(COVERAGE, value=0.6, low=0.58, high=0.62, raised=True)
    blind = replace(PRECISION, samples=(Sample(100, 9250, "made"),))
    v = verdict([COPY, MEMBER, USE, far, blind])
    assert v.word == "unproven" and v.settle is not None and "coverage" in v.sentence
    assert "train for longer" in v.settle.what and "9,250" not in v.settle.what
    open_ = verdict([COPY, MEMBER, USE, COVERAGE, blind]).settle
    assert open_ is not None and "9,250" in open_.what


def test_a_score_better_than_that_of_real_data_is_told_as_good_and_not_as_better() -> None:
    better = replace(USE, value=0.983, low=0.97, high=0.99, real=0.854)
    told = verdict([COPY, MEMBER, better], replace(PAYS, rights=None)).sentence
    assert "usefulness 0.983 (as good as unseen real data 0.854)" in told
    worse = verdict([COPY, MEMBER, USE], replace(PAYS, rights=None)).sentence
    assert "usefulness 0.97 (unseen real data 1" in worse
