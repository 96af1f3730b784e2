"""The first page: three answers, each with its word, in words that need no other, in both languages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.assays.details.records import Balance, MissingClasses
from karat.assays.details.rows import ColumnPairs, Combination, Kept, Rules
from karat.assays.finding import Finding, Limit, Sample
from karat.assays.keys import KEYS
from karat.languages import language
from karat.report.board import Board, board, states
from karat.report.junit import junit
from karat.report.named import named
from karat.report.page import Exhibits, write_report
from karat.report.printed import printed
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.verdict import Verdict, judge

COST = Cost(runs=1, made=1000, item_cpu_seconds=0.01, item_gpu_seconds=0.0, cpu_seconds=60.0, money=0.05)
PRICES = Prices(
    currency="USD",
    cpu_core_hour=0.05,
    alternative_cost_per_item=1.5,
    items_wanted=1e4,
    acceptance=(49, 50),
    rights="owned",
    personal="none",
)
CLASSES = tuple(f"native-country = Country {i} of several with a name beyond all measure" for i in range(7))


def found(key: str, state: str = "ok", needs: int = 0) -> Finding:
    """A finding of that key in that state, as its direction has it."""
    better, missing = KEYS[key].better, None
    value, real = (0.5, 0.9) if better == "higher" else (0.9, 0.5)
    limit = Limit(below=0.6) if better == "higher" else Limit(above=0.8)
    if state != "raised":
        value = real
    if KEYS[key].detail is MissingClasses and state == "raised":
        missing = MissingClasses(names=None, made=None, real=None, missing=CLASSES, kind="value")
    return Finding(
        key=key,
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        real=real,
        raised=state == "raised",
        summary="In the words of the judge.",
        limit=limit,
        detail=missing,
        samples=(Sample(5000, 5000 + needs, "made", least=0.02), Sample(800, 800, "unseen real")),
        of="a table" if KEYS[key].title else "",
    )


GOOD = [found(key) for key in ("copy rate", "membership", "coverage", "two-sample auc")]


def of(findings: list[Finding], prices: Prices = PRICES, labelled: bool | None = True) -> Verdict:
    return judge(findings, COST, prices, rights=None, labelled=labelled, thing="row", reviewed=False)


def shown(findings: list[Finding], prices: Prices = PRICES, code: str = "en") -> Board:
    return board(of(findings, prices), findings, "row", language(code))


def test_missing_prices_are_no_word_against_quality() -> None:
    bare = shown(GOOD, Prices(rights="owned", personal="none"))
    assert [a.word for a in bare.answers] == ["good", "all clear", "not known"]
    assert bare.word == "unproven" and "says nothing against its quality" in bare.means
    assert "what one row costs today" in bare.answers[2].text and "_" not in bare.answers[2].text
    assert "(`alternative_cost_per_item`)" in bare.changes[0], (
        "what is to be written is named where it is to be written"
    )


def test_each_answer_has_its_own_word() -> None:
    assert states(of(GOOD)) == {"quality": "pass", "gates": "pass", "money": "pass"}
    raised = [*GOOD, found("column pairs", "raised")]
    assert states(of(raised)) == {"quality": "faults", "gates": "pass", "money": "pass"}
    blind = [*GOOD, found("precision", needs=1000)]
    assert states(of(blind)) == {"quality": "power", "gates": "pass", "money": "pass"}
    copied = [found("copy rate", "raised"), *GOOD[1:]]
    assert states(of(copied)) == {"quality": "pass", "gates": "fail", "money": "pass"}
    dear = replace(PRICES, alternative_cost_per_item=1e-9)
    assert states(of(GOOD, dear)) == {"quality": "pass", "gates": "pass", "money": "fail"}
    assert states(of([]))["quality"] == "quality" and states(of(GOOD, labelled=False))["gates"] == "fail"


def test_too_few_records_are_told_with_the_number_that_is_needed() -> None:
    few = shown([*GOOD, found("precision", needs=1000)])
    assert few.answers[0].word == "cannot tell yet"
    assert "Judge at least 6,000 made rows: `karat assay RUN -n 6,000`." not in few.changes, "a command has no commas"
    assert "Judge at least 6,000 made rows: `karat assay RUN -n 6000`." in few.changes
    sides = [
        replace(f, samples=(Sample(300, 6000, side),))
        for f, side in zip(GOOD[:2], ("made", "unseen real"), strict=True)
    ]
    both = shown([*sides, *GOOD[2:], found("membership", needs=900)], Prices())
    assert any("Judge at least 6,000" in text for text in both.changes), both.changes
    assert any("Set aside at least 6,000" in text and "20.0 times" in text for text in both.changes), both.changes
    assert any("items_wanted" in text for text in both.changes), (
        "what is open must not be cut off by what is open before it"
    )


@pytest.mark.parametrize("key", ["copy rate", "membership"])
def test_what_was_found_is_not_told_to_be_looked_for(key: str) -> None:
    caught = shown([found(key, "raised"), *(f for f in GOOD if f.key != key)], replace(PRICES, personal=None))
    for told in ("would be seen", "can be tried", 'personal = "none"'):
        assert not any(told in text for text in caught.changes), caught.changes
    assert caught.changes[0] == "Mend the faults listed here and judge again."


@pytest.mark.parametrize(
    ("code", "said"), [("en", "2,000 would let 3 of the 4"), ("zh", "有 2,000 个时，4 项中有 3 项就能判断")]
)
def test_where_one_test_needs_very_many_records_it_is_said_how_many_most_need(code: str, said: str) -> None:
    wanted = {"precision": 1_000, "coverage": 1_500, "recall": 2_000, "rare categories": 60_000}
    few = [replace(found(key, "ok"), samples=(Sample(80, needs, "unseen real"),)) for key, needs in wanted.items()]
    text = " ".join(shown([*GOOD[:2], *few], code=code).changes)
    assert "60,000" in text and said in text
    near = [replace(f, samples=(Sample(80, min(f.samples[0].needs, 2_500), "unseen real"),)) for f in few]
    assert "would let" not in " ".join(shown([*GOOD[:2], *near]).changes)


def test_records_are_counted_as_most_findings_count_them() -> None:
    wide = replace(found("rules"), samples=(Sample(5000, 5000, "made"), Sample(9000, 9000, "unseen real")))
    assert "5,000 made and 800 real" in shown([*GOOD, wide]).grounds[0].what[0]


def test_a_raised_finding_is_told_with_what_it_means_what_is_missing_and_what_to_do() -> None:
    first = shown([*GOOD, found("missing classes", "raised")]).faults[0]
    assert first.means == "Some groups are never made, or hardly ever."
    assert first.missing.startswith("native-country = Country 0 of several with a name beyond al…, ")
    assert first.missing.endswith("2 of several with a name beyond al… and 4 more")
    assert first.do.startswith("Give more real examples") and first.link == "#finding-4"


def test_groups_columns_and_rules_that_are_off_are_named_worst_first() -> None:
    shares = {"names": ("a", "b", "c"), "made": (0.5, 0.49, 0.01), "real": (0.3, 0.48, 0.22)}
    balance = replace(found("class balance", "raised"), detail=Balance(**shares, worst="c", z=9.0, column="sex"))
    assert named(balance, language("en")) == ("sex = c: 1.0% instead of 22%", "sex = a: 50% instead of 30%")
    pairs = (Combination(columns=("age", "income"), score=0.5, real_score=0.9),)
    pair = replace(found("column pairs", "raised"), detail=ColumnPairs(n=9, z=-9, pairs_looked_at=3, worst=pairs))
    assert shown([*GOOD, pair]).faults[0].missing == "age × income"
    kept = [Kept(rule=f"rule {i}", declared=False, made=0.1, real=0.0, support=9, off=i > 0) for i in range(2)]
    rules = replace(found("rules", "raised"), detail=Rules(declared=0, found=2, rules=tuple(kept)))
    assert named(rules, language("en")) == ("rule 1",)


def test_the_first_page_says_what_would_have_been_seen() -> None:
    assert shown(GOOD).seen == (
        "These tests would have seen, 19 times of 20: 2% copies, 4% of what is made being unlike real data and an attacker who "
        "is right 52% of the time."
    )
    assert "2% 的复制品" in shown(GOOD, code="zh").seen and shown([]).seen == ""


@pytest.mark.parametrize("code", ["en", "zh"])
def test_no_jargon_stands_on_the_first_page_without_its_meaning(code: str) -> None:
    """Names of tests stand beside what they mean; nothing else of the field's words, no key, no score."""
    findings = [*GOOD, *(found(key, "raised") for key in ("recall", "usefulness", "missing classes", "class balance"))]
    for prices in (PRICES, Prices()):
        page = shown(findings, prices, code)
        told = [page.means, *(a.text for a in page.answers), *(g.text for g in page.gates)]
        told += [f.means for f in page.faults] + [w.name + w.means for w in page.worth]
        told += [w for g in page.grounds for w in (g.means, *g.what)]
        for text in told:
            assert not re.search(r"_|\b(recall|AUC|NPV|EVPI|TSTR|interval|precision|0\.\d{3})\b", text), text


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(KEYS)), max_size=8, unique=True),
    st.randoms(use_true_random=False),
    st.sampled_from([PRICES, Prices(), Prices(rights="none"), replace(PRICES, alternative_cost_per_item=1e-9)]),
    st.sampled_from([True, False, None]),
)
def test_every_verdict_has_a_first_page_and_a_print_in_both_languages(
    keys: list[str], chance: object, prices: Prices, labelled: bool | None
) -> None:
    findings = [found(k, chance.choice(["ok", "raised"]), chance.choice([0, 900])) for k in keys]  # type: ignore[attr-defined]
    verdict = of(findings, prices, labelled)
    for code in ("en", "zh"):
        page = board(verdict, findings, "row", language(code))
        assert len(page.answers) == 3 and len(page.gates) == 4 and page.changes
        text = printed(findings, verdict, "row", language(code))
        assert not re.search(r"\de-\d", text)
        for f in page.faults:
            assert f.do in text and f.means in text
        if verdict.word == "gold":
            assert {a.tone for a in page.answers} == {"fine"}


def test_the_print_names_what_is_missing_and_is_chinese_where_it_is_asked_for() -> None:
    findings = [*GOOD, found("missing classes", "raised")]
    text = printed(findings, of(findings), "row", language("en"))
    assert re.search(r"missing classes .*RAISED: native-country = Country 0 of several .* and 1 more", text)
    assert "Quality: faults found. 1 of 5 tests found a fault" in text
    chinese = printed(findings, of(findings), "row", language("zh"))
    assert "缺失的类别 (missing classes)" in chinese and "质量：发现缺陷。" in chinese
    assert "faults" not in chinese and "unproven" not in chinese.lower()


def test_columns_stand_under_each_other_where_letters_are_two_wide() -> None:
    from rich.cells import cell_len

    lines = printed(GOOD, of(GOOD), "row", language("zh")).splitlines()[: len(GOOD) + 1]
    ends = {
        cell_len(line[: line.index(mark)]) for line, mark in zip(lines, ["生成的", *["0."] * len(GOOD)], strict=True)
    }
    assert len(ends) == 1


def test_junit_fails_what_is_raised_skips_what_cannot_tell_and_tells_requirements() -> None:
    findings = [*GOOD, found("missing classes", "raised"), found("precision", needs=10)]
    findings[4] = replace(findings[4], summary="Missing \x07 <&>.")
    failed = ("coverage>=0.99 does not hold: coverage is 0.9",)
    root = ElementTree.fromstring(junit([("run", findings, ["coverage>=0.99", "recall<2"], failed)], "row"))
    suite = root.find("testsuite")
    assert suite is not None and suite.attrib == {"name": "run", "tests": "8", "failures": "2", "skipped": "1"}
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["missing classes"] == ["failure"] and cases["precision"] == ["skipped"] and cases["coverage"] == []
    assert cases["coverage>=0.99"] == ["failure"] and cases["recall<2"] == []


def worst(folder: Path, code: str) -> Path:
    """The fullest first page there can be."""
    keys = ("usefulness", "class balance", "coverage", "missing classes", "two-sample auc", "column pairs", "rules")
    findings = [found("copy rate", needs=900), found("membership", needs=900), *(found(k, "raised") for k in keys)]
    html, _ = write_report(
        folder,
        title="customers-of-all-branches.csv, autoregressive",
        verdict=of(findings, replace(PRICES, rights=None, personal=None), None),
        findings=findings,
        facts={"run": "customers-autoregressive-2", "date": "2026-01-02 03:04 UTC", "data": "customers.csv"},
        exhibits=Exhibits(),
        curves=[],
        pairs=[],
        cost=[],
        reproduce=[],
        recipe={},
        diagnostics=[],
        data={},
        thing="row",
        lang=code,
    )
    return html


def test_a_browser_prints_the_first_page_on_one_sheet_and_shows_it_on_a_phone(tmp_path: Path, browser: Any) -> None:
    said: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    for code in ("en", "zh"):
        page.set_viewport_size({"width": 688, "height": 900})  # A4 within margins of 14 mm, at 96 dots an inch
        page.emulate_media(media="print")
        page.goto(worst(tmp_path / code, code).as_uri())
        assert page.evaluate("document.documentElement.lang").startswith(code)
        assert page.locator(".board").bounding_box()["height"] <= 1017
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        links = page.evaluate("[...document.querySelectorAll('.board a')].map(a => a.getAttribute('href'))")
        assert len(links) >= 7 and all(page.locator(f"[id='{link[1:]}']").count() == 1 for link in links)
    assert said == []


CAUSES = {  # by what is declared: the sentence about the gate, of which no part is about something else
    "rights.pass.owned": {"rights": "owned"},
    "rights.pass.licensed": {"rights": "licensed: CC-BY-4.0"},
    "rights.fail.none": {"rights": "none"},
    "rights.fail.ended": {"sources": [{"name": "a", "licence": "owned", "expires": date(2020, 1, 1)}]},
    "rights.unknown.undeclared": {},
    "rights.unknown.unnamed": {"rights": "licensed: ?"},
    "rights.unknown.limits": {"rights": "licensed: CC-BY-NC-4.0"},
    "rights.unknown.purpose": {"sources": [{"name": "a", "licence": "owned", "purpose": "billing"}]},
    "privacy.pass.declared": {"personal": "none"},
    "privacy.pass.tests": {},
    "privacy.unknown.untried": {},
    "privacy.unknown.undecided": {},
    "labels.pass.read": {},
    "labels.pass.declared": {"labels": "added"},
}


@pytest.mark.parametrize("code", ["en", "zh"])
@pytest.mark.parametrize("cause", CAUSES)
def test_a_condition_is_told_by_its_own_cause_and_by_no_other(cause: str, code: str) -> None:
    membership = found("membership", needs=500 if cause == "privacy.unknown.undecided" else 0)
    findings = [found("copy rate"), *([] if cause == "privacy.unknown.untried" else [membership])]
    labelled = None if cause == "labels.pass.declared" else True
    prices = Prices.from_mapping(CAUSES[cause])
    words, name = language(code), cause.split(".")[0]
    page = board(of(findings, prices, labelled), findings, "row", words)
    told = {gate.name: gate.text for gate in page.gates}
    assert told[words.say(f"gate.{name}.name")] == words.say(f"gate.{cause}", **words.thing("row"))
