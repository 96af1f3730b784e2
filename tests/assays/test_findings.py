"""A finding says what it is judged by, whether it could have seen its fault, and weighs by its key, never by its name."""

import json
import math
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.assays import points, relational, table, text
from karat.assays.details import Detail
from karat.assays.details.records import MissingClasses
from karat.assays.details.rows import Gaps
from karat.assays.discovery import examined, modules
from karat.assays.finding import Finding, Limit, Sample, unknown
from karat.assays.keys import KEYS
from karat.errors import DataError
from karat.report.page import finite
from karat.workflow.concluding import Assay, require
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.verdict import judge, overview


def finding(**changed: Any) -> Finding:
    told: dict[str, Any] = {
        "key": "two-sample auc",
        "value": 0.55,
        "low": 0.5,
        "high": 0.6,
        "real": 0.5,
        "raised": False,
        "summary": "Told apart 55% of the time.",
        "limit": Limit(above=0.6),
    }
    return Finding(**told | changed)


def test_a_finding_without_a_threshold_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="limit"):
        Finding(key="coverage", value=0.5, low=0.4, high=0.6, real=0.9, raised=False, summary="Half.")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="a limit needs a value"):
        Limit()
    with pytest.raises(ValueError, match="no row"):
        finding(key="loudness of colours")


@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_what_is_raised_and_the_threshold_shown_never_contradict(value: float, above: float, raised: bool) -> None:
    wanted = value > above
    if abs(value - above) < 1e-6:
        return
    if raised == wanted:
        assert finding(value=value, limit=Limit(above=above), raised=raised).raised is raised
    else:
        with pytest.raises(ValueError, match="but: raised above"):
            finding(value=value, limit=Limit(above=above), raised=raised)


def test_the_threshold_reads_as_a_sentence() -> None:
    assert str(Limit(above=0.6)) == "raised above 0.6"
    assert str(Limit(above=1.25, below=0.9)) == "raised below 0.9 or above 1.25"
    assert str(Limit(below=0.9, also="where one column is off")) == "raised below 0.9, or where one column is off"
    assert str(Limit(also="where 5 passages are")) == "raised where 5 passages are"
    assert Limit(above=0.1).brief == "above 0.1" and Limit(above=0.1, only="by chance").brief == "above 0.1*"


def test_a_fault_that_few_records_cannot_show_is_not_ok() -> None:
    few = finding(samples=(Sample(40, 120, "made"), Sample(500, 100, "unseen real")))
    assert few.state == "cannot tell" and few.judged == "cannot tell at n=40; needs 120 made"
    enough = replace(few, samples=(Sample(120, 120, "made"),))
    assert enough.state == "ok" and enough.judged == "ok"
    seen = replace(few, value=0.9, raised=True)
    assert seen.state == "raised", "a fault that is seen is seen, by however few"
    assert finding(value=math.nan).state == "cannot tell"


def test_the_side_that_lacks_most_is_named() -> None:
    both = finding(samples=(Sample(40, 60, "made"), Sample(25, 1200, "unseen real")))
    assert both.judged == "cannot tell at n=25; needs 1,200 unseen real"


VIEWS = (points, relational, table, text)
ELSEWHERE = {  # found of a run's own model, or by what is measured of its worth
    *("bits per character", "bits per byte", "gate share", "trial", "loss attack", "shadow attack", "canaries"),
}


def test_every_key_is_found_by_a_module_that_says_so_and_by_one_only_in_each_view() -> None:
    found = [[key for module in modules(view) for key in module.FINDS] for view in VIEWS]
    assert all(len(keys) == len(set(keys)) for keys in found)
    assert {key for keys in found for key in keys} == set(KEYS) - ELSEWHERE


def test_a_module_that_finds_what_it_does_not_name_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sly.py").write_text("FINDS = ('loops',)\ndef findings(case):\n    return [case]\n", encoding="utf-8")
    monkeypatch.setattr(text, "__path__", [str(tmp_path)])
    try:
        with pytest.raises(ValueError, match=r"sly finds two-sample auc; name it in its FINDS"):
            examined(text, finding())
        assert [f.key for f in examined(text, finding(key="loops"))] == ["loops"]
    finally:
        sys.modules.pop("karat.assays.text.sly", None)


def example(kind: Any) -> Any:
    """A value of a type, as details have them; of what may be missing, one that is there."""
    args = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return example(args[0])
    if get_origin(kind) is tuple:
        return (example(args[0]),) * 2 if args[-1] is Ellipsis else tuple(map(example, args))
    if args:
        return {"a b": example(args[1])}
    if issubclass(kind, Detail):
        return kind(**{f.name: example(get_type_hints(kind)[f.name]) for f in fields(kind)})
    return {int: 3, float: 0.25, str: "x_y", bool: True}[kind]


def again(found: Finding) -> Finding:
    return Finding.read(json.loads(json.dumps(finite(found.to_dict()))))


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_finding_is_the_same_after_a_journey_through_the_report(key: str) -> None:
    kind = KEYS[key].detail
    found = finding(key=key, samples=(Sample(3, 9, "made"),), detail=None if kind is None else example(kind))
    assert again(found) == found and again(replace(found, detail=None)).detail is None
    if kind is not None:
        few = kind(**{f.name: example(get_type_hints(kind)[f.name]) for f in fields(kind) if f.default is MISSING})
        assert again(replace(found, detail=few)).detail == (few if few.to_dict() else None)
        told = finite(few.to_dict())
        assert "_" not in "".join(told) and len(told) == sum(f.default is MISSING for f in fields(kind))


@pytest.mark.parametrize("name", ["pictures", "sounds", "texts", "rows", "sequence", "related"])
def test_what_a_report_of_each_kind_holds_is_read_and_written_again_as_it_was(name: str) -> None:
    golden = Path(__file__).parents[1] / "frozen" / "golden" / f"{name}.json"
    told = json.loads(golden.read_text(encoding="utf-8"))["seen"]["report"]["findings"]
    assert len(told) > 10
    for row in told:
        for passage in row["detail"].get("runs", ()):
            passage["run"] = "frozen reports are without what is called so"
        found = Finding.read(row)
        assert finite(found.to_dict()) == row
        assert found.detail is None or type(found.detail) is KEYS[found.key].detail
        assert found.limit.above is None or found.better != "higher", "a fault lies on the side that is worse"
        assert found.limit.below is None or found.better != "lower", found.key


def test_a_detail_of_another_key_is_refused_and_so_is_a_key_that_is_unknown() -> None:
    with pytest.raises(ValueError, match="membership has a detail of type Gaps; its key has Membership"):
        finding(key="membership", detail=Gaps(backwards=1))
    with pytest.raises(ValueError, match="its key has none"):
        finding(key="dangling keys", detail=Gaps(backwards=1))
    with pytest.raises(DataError, match="no finding has the key 'beauty'"):
        Finding.read(finding().to_dict() | {"key": "beauty"})


def test_what_could_not_be_measured_is_read_as_such() -> None:
    found = unknown("membership", "nobody was asked", Limit(above=0.6), "Nobody was asked.")
    back = again(found)
    assert all(map(math.isnan, (back.value, back.low, back.high, back.real))) and back.judged == found.judged


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_table_before_the_name_changes_nothing_but_the_name(key: str) -> None:
    plain = finding(key=key, of="x")
    theirs = replace(plain, table="orders")
    assert theirs.name == f"orders {plain.name}" and theirs.kind is plain.kind and theirs.assay == plain.assay


def test_the_terminal_and_the_notebook_show_threshold_state_and_what_is_missing() -> None:
    found = (
        finding(samples=(Sample(40, 120, "made"),)),
        finding(
            key="missing classes",
            value=7.0,
            low=7.0,
            high=7.0,
            real=4.086e-14,
            raised=True,
            limit=Limit(above=0.0),
            detail=MissingClasses(missing=tuple(f"class <{i}>" for i in range(7)), kind="class"),
            table="orders",
        ),
        finding(key="bits per byte", value=1.5, limit=Limit(above=1.9), real=1.7, beside="counts of 7 characters"),
        finding(
            key="membership", value=math.nan, low=math.nan, high=math.nan, limit=Limit(above=0.6, also="where it is")
        ),
    )
    verdict = judge(found, Cost(), Prices(), rights=None, labelled=None)
    shown = str(Assay(verdict, found, None))
    assert "cannot tell at n=40; needs 120 made" in shown and "1.70 (counts of 7 characters)" in shown
    line = next(line for line in shown.split("\n") if "orders missing classes" in line)
    assert line.endswith("RAISED: class <0>, class <1>, class <2>, class <3>, class <4>, class <5> and 1 more")
    assert "e-14" not in shown and "  0  " in line and "above 0.6*" in shown and "* a further condition" in shown
    page = Assay(verdict, found, None)._repr_html_()
    assert "raised above 0.6, or where it is" in page and "class &lt;0&gt;" in page and page.count("<tr>") == 5
    failed = require(found, ["orders missing classes<=0", "two-sample auc<=0.9"])
    assert failed == ("orders missing classes<=0 does not hold: orders missing classes is 7",)


@pytest.mark.parametrize("key", [key for key, row in KEYS.items() if row.ends == (0.0, 1.0)])
def test_a_limit_that_no_score_can_pass_is_no_test_and_never_reads_ok(key: str) -> None:
    told = {"key": key, "value": 0.4, "low": 0.0, "high": 1.0, "real": 0.5}
    wide = [
        finding(**told, limit=Limit(above=1.57)),
        finding(**told, limit=Limit(below=-0.2)),
        finding(**told, limit=Limit(above=1.0, below=0.0)),
    ]
    assert [f.state for f in wide] == ["cannot tell"] * 3
    assert all(f.judged.startswith("cannot tell: too few") for f in wide)
    narrow = [
        finding(**told, limit=Limit(above=0.9)),
        finding(**told, limit=Limit(above=1.2, below=0.1)),
        finding(**told, limit=Limit(above=1.2, also="where one category is gone")),
    ]
    assert [f.state for f in narrow] == ["ok"] * 3


def test_no_limit_and_no_interval_is_shown_that_no_score_can_reach() -> None:
    wide = finding(value=0.95, low=0.86, high=1.04, real=0.9, limit=Limit(above=1.2, below=0.1))
    assert wide.within.brief == "below 0.1" and wide.interval == (0.86, 1.0)
    useful = finding(key="usefulness", value=0.5, low=-0.4, high=1.3, limit=Limit(below=-0.25))
    assert useful.within.brief == "by none" and useful.interval == (0.0, 1.3) and useful.state == "cannot tell"
    verdict = judge((wide, useful), Cost(), Prices(), rights=None, labelled=None)
    shown = str(Assay(verdict, (wide, useful), None)) + Assay(verdict, (wide, useful), None)._repr_html_()
    assert "1.04" not in shown and "1.2" not in shown and "0.25" not in shown


@pytest.mark.parametrize("key", ["clipped density", "clipped coverage", "density"])
def test_an_interval_holds_its_value_also_where_made_records_score_above_real_ones(key: str) -> None:
    found = Finding(
        key=key, value=1.3, low=1.27, high=1.33, real=1.0, raised=False, summary="says", limit=Limit(below=0.7)
    )
    low, high = found.interval
    assert low == 1.27 and high >= 1.3


def test_where_most_findings_cannot_tell_one_sentence_says_how_many_records_would_settle_most() -> None:
    few = [
        finding(key=key, samples=(Sample(40, needs, "unseen real"),), limit=Limit(above=0.9))
        for key, needs in (("two-sample auc", 120), ("loops", 200), ("membership", 300), ("invented words", 9000))
    ]
    fine = [finding(key="copy rate", value=0.0, low=0.0, high=0.01, real=0.0, limit=Limit(above=0.05))] * 3
    assert overview([*few, *fine], "row") == (
        "4 of 7 findings cannot tell: 40 unseen real rows are too few; 300 unseen real ones would let 3 of them tell."
    )
    assert overview([*few[:3], *fine], "row") == ""
    two = [
        *(replace(f, table="teams") for f in few),
        finding(table="games", samples=(Sample(489, 900, "unseen real"),)),
    ]
    assert "40 unseen real rows of teams are too few; 300 unseen real ones would let 3 of them" in overview(two, "row")


def test_copies_where_every_unseen_row_is_one_are_not_blamed_on_few_rows() -> None:
    known = finding(key="copy rate", value=0.99, low=0.9, high=1.0, real=1.0, limit=Limit(above=1.0))
    assert known.judged == "cannot tell: unseen real data score as high as can be"
    reasons = judge([known], Cost(), Prices(), rights="owned", labelled=True, thing="row").reasons
    assert "unseen real rows score as high as can be" in next(r.text for r in reasons if r.name == "copying")


def test_what_could_not_be_measured_says_why_where_it_is_judged() -> None:
    none = finding(key="membership", value=math.nan, low=math.nan, high=math.nan, why="nobody was asked")
    assert none.judged == "cannot tell: nobody was asked"
    assert replace(none, samples=(Sample(4, 9, "made"),)).judged == "cannot tell: nobody was asked; needs 9 made"


def test_what_could_not_be_raised_leaves_the_verdict_open_and_says_why() -> None:
    shown = [
        finding(limit=Limit(above=1.66)),
        finding(key="copy rate", value=0.0, low=0.0, high=0.01, real=0.0, limit=Limit(above=0.05)),
    ]
    reasons = judge(shown, Cost(), Prices(), rights="owned", labelled=True).reasons
    power = next(r for r in reasons if r.name == "power")
    assert power.state == "unknown" and "two-sample auc cannot tell: at so few items" in power.text


@pytest.mark.parametrize("key", ["recall", "coverage"])
def test_one_record_over_and_over_is_a_bubble(key: str) -> None:
    shown = [finding(key=key, value=0.01, low=0.0, high=0.03, real=0.9, raised=True, limit=Limit(below=0.7))]
    verdict = judge(shown, Cost(), Prices(), rights="owned", labelled=True)
    assert verdict.word == "bubble" and "almost nothing of what real data shows" in verdict.sentence
