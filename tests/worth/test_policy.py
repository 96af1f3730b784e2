"""What a policy asks is a gate of its own: not signed is not known, and a right has an owner, a purpose and an end."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from good import COST, GOOD, PAYS, USE

from karat import recipe
from karat.assays.finding import Finding
from karat.errors import FitError
from karat.worth.ledger import Cost
from karat.worth.policy import PACKS, Policy
from karat.worth.prices import Prices, Source
from karat.worth.verdict import Verdict, judge

TODAY = date(2027, 3, 1)
BALANCE = replace(USE, key="class balance", value=0.9)
SIGNED = {"what": "that it may be used", "who": "Ada", "when": date(2027, 1, 31), "until": date(2027, 12, 31)}


def verdict(prices: Prices = PAYS, findings: list[Finding] = GOOD, cost: Cost = COST, **policy: object) -> Verdict:
    asked = Policy.from_mapping({"title": "House", **policy}, "house.toml")
    return judge(findings, cost, prices, rights=None, labelled=True, policy=asked, today=TODAY)


@pytest.mark.parametrize("pack", ["eu", "cn"])
def test_a_pack_that_nobody_signed_is_never_gold(pack: str) -> None:
    asked = Policy.load(pack)
    v = judge(GOOD, COST, PAYS, rights=None, labelled=True, policy=asked, today=TODAY)
    assert v.word == "unproven" and "nobody has signed" in v.sentence and asked.title in v.sentence
    signed = replace(asked, signatures=tuple(replace(s, who="Ada", when=date(2027, 1, 31)) for s in asked.signatures))
    v = judge(GOOD, COST, PAYS, rights=None, labelled=True, policy=signed, today=TODAY)
    assert v.word == "gold" and "Ada on 2027-01-31" in next(r.text for r in v.reasons if r.name == "policy")


def test_a_signature_holds_from_its_day_to_its_end_and_only_where_it_is_needed() -> None:
    assert verdict(signatures=[SIGNED]).word == "gold"
    assert verdict(signatures=[SIGNED | {"until": date(2027, 2, 28)}]).word == "unproven"
    assert verdict(signatures=[SIGNED | {"when": date(2027, 3, 2)}]).word == "unproven"
    assert verdict(signatures=[SIGNED | {"who": " "}]).word == "unproven"
    person = {"what": "that persons agree", "personal": True}
    assert verdict(signatures=[person]).word == "unproven"
    assert verdict(replace(PAYS, personal="none"), signatures=[person]).word == "gold"


def test_a_finding_that_has_to_be_fine_is_a_hard_gate() -> None:
    fine = ["class balance"]
    assert verdict(findings=[*GOOD, BALANCE], fine=fine).word == "gold"
    raised = verdict(findings=[*GOOD, replace(BALANCE, value=0.5, raised=True)], fine=fine)
    assert raised.word == "bubble" and "class balance would have to be fine" in raised.sentence
    blind = verdict(findings=[*GOOD, replace(BALANCE, value=float("nan"))], fine=fine)
    assert next(r for r in blind.reasons if r.name == "policy").state == "unknown"


def test_thresholds_are_those_of_the_policy() -> None:
    near = replace(PAYS, acceptance=(3, 4), alternative_cost_per_item=0.3, items_wanted=1e6)
    assert verdict(near).word == "unproven"
    assert verdict(near, thresholds={"pays": 0.3, "cheaper": 0.3}).word == "gold"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('fine = ["beauty"]', "beauty"),
        ("[thresholds]\npays = 2", "probability"),
        ('[[signatures]]\nwhat = "x"\nwhen = "today"', "date"),
        ('gates = ["rights"]', "gates"),
        ("title = ", "not TOML"),
        ("title = 3", "text"),
        ("fine = [[1]]", "no finding"),
        ("fine = 3", "a list"),
        ("thresholds = 3", "a table"),
        ("signatures = 3", "signatures"),
        ('[[signatures]]\nwhat = "x"\nwho = 5\nwhen = 2027-01-01', "text"),
        ('[[signatures]]\nwhat = "x"\npersonal = "no"', "true or false"),
        ("a = " + "[" * 5000, "not TOML"),
    ],
)
def test_a_policy_that_cannot_be_is_told_why(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(FitError, match=says):
        Policy.load(tmp_path / "p.toml")
    with pytest.raises(FitError, match="one of cn, eu"):
        Policy.load("mars")
    assert {p.stem for p in PACKS.glob("*.toml")} == {"cn", "eu"}


@pytest.mark.parametrize(
    ("source", "state"),
    [
        (Source("photos", "CC BY 4.0"), "pass"),
        (Source("photos", "owned", purpose="training", expires=TODAY), "pass"),
        (Source("photos", "owned", expires=date(2027, 2, 28)), "fail"),
        (Source("photos", "none"), "fail"),
        (Source("photos", "CC BY-NC 4.0"), "unknown"),
        (Source("photos", "owned", purpose="billing"), "unknown"),
        (Source("photos", "unknown"), "unknown"),
        (Source("photos", ""), "unknown"),
    ],
)
def test_every_source_needs_a_right_that_holds_today(source: Source, state: str) -> None:
    fine = Source("orders", "owned")
    for rights in (None, "owned"):
        v = verdict(replace(PAYS, rights=rights, sources=(fine, source)))
        found = next(r for r in v.reasons if r.name == "rights")
        assert found.state == state and (state == "pass" or "photos" in found.text)
        assert v.word == {"pass": "gold", "fail": "bubble", "unknown": "unproven"}[state]
    assert (
        next(r for r in verdict(replace(PAYS, rights="none", sources=(fine,))).reasons if r.name == "rights").state
        == "fail"
    )


def test_sources_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[sources]]\nname = "a"\nlicence = "MIT"\nexpires = 2027-12-31\n')
    assert Prices.load(path).sources == (Source("a", "MIT", expires=date(2027, 12, 31)),)
    for wrong in ('name = "a"', 'name = "a"\nlicence = "MIT"\nexpires = "soon"', 'name = "a"\nlicence = 4'):
        path.write_text(f"[[sources]]\n{wrong}\n")
        with pytest.raises(FitError, match="sources"):
            Prices.load(path)


@pytest.mark.parametrize("rights", ["licensed", "licensed:", "licensed: ?"])
def test_a_licence_that_nobody_names_is_no_right(rights: str) -> None:
    assert verdict(replace(PAYS, rights=rights)).word == "unproven"


@pytest.mark.parametrize(
    "line",
    [
        "items_wanted = [[1, 2], 3]",
        f"items_wanted = 1{'0' * 400}",
        "alternative_cost_per_item = [1, 1e308]",
        "extra_value_per_item = -1e308",
        "value_horizon_years = 1e9",
        "gate_share = 1e-320",
        "acceptance = [1, 10000000000000000000000]",
    ],
)
def test_an_amount_that_cannot_be_reckoned_with_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(line)
    with pytest.raises(FitError, match=line.split()[0]):
        Prices.load(path)


def test_one_source_may_be_a_table_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[sources]\nname = "a"\nlicence = "MIT"\n')
    assert Prices.load(path).sources == (Source("a", "MIT"),)


def test_a_file_that_begins_with_a_byte_order_mark_is_read_as_any_other(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"  # as Notepad writes it
    prices, policy, own = tmp_path / "prices.toml", tmp_path / "house.toml", tmp_path / "mine.toml"
    prices.write_bytes(mark + b'currency = "EUR"\n')
    policy.write_bytes(mark + b'title = "House"\n')
    own.write_bytes(mark + b'family = "marginals"\n')
    assert Prices.load(prices).currency == "EUR"
    assert Policy.load(policy).title == "House"
    assert recipe.load(str(own)).family == "marginals"
