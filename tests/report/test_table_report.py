"""The report of a table: rows, columns side by side and closest pairs that anybody can read, and verdicts that speak of rows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import case
from pages import Page

import karat
from karat.assays.details.rows import Bins, ColumnShapes, Missing, Portrait
from karat.assays.finding import Finding, Limit
from karat.assays.table import categories
from karat.assays.table.columns import portrait
from karat.content import recognise
from karat.content.table import fragments
from karat.content.table.tables import Tables
from karat.data import load
from karat.errors import DataError, FitError, RunError
from karat.families import trees
from karat.languages import language
from karat.report import drawing, page, table
from karat.request import Request
from karat.synthesizer import Single
from karat.views import TableView
from karat.workflow import office
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.verdict import judge

EN = language("en")
HOSTILE = '<script>alert("x")</script>'


def people(n: int = 900, seed: int = 0) -> pd.DataFrame:
    """Customers of a shop, every kind of column among theirs, one of them with a hostile name."""
    r = np.random.default_rng(seed)
    town = r.choice(["Paris", "Lyon", HOSTILE, "Nice"], n, p=[0.5, 0.3, 0.1, 0.1])
    age = r.integers(18, 80, n)
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(r.integers(0, 700, n), unit="D")
    frame = pd.DataFrame(
        {
            "id": [f"C-{i:05d}" for i in range(n)],
            "email": [f"person{i}@mail{i % 5}.fr" for i in range(n)],
            HOSTILE + "town": town,
            "age": age,
            "spent": [f"{x:.2f}" for x in np.exp(r.normal(3, 1, n)) + age],
            "since": day.strftime("%d/%m/%Y"),
            "at": (day + pd.to_timedelta(r.integers(0, 86_400, n), unit="s")).strftime("%Y-%m-%d %H:%M:%S"),
            "club": np.where(age + r.normal(0, 8, n) > 50, "yes", "no"),
            "currency": "EUR",
        }
    )
    frame["spent"] = frame["spent"].where(r.random(n) > 0.1, None)
    return frame


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "customers.csv"
    people().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def assayed(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[karat.Assay, str, dict[str, Any]]:
    """An assay of training rows slightly altered, and of others, as somebody else's file with columns in another order."""
    folder = tmp_path_factory.mktemp("assayed")
    theirs = people(600, seed=1)
    copies = people()[50:150]
    made = pd.concat([theirs, copies.assign(age=copies["age"] + 1)])
    made[made.columns[::-1]].to_csv(folder / "made.csv", index=False)
    result = karat.assay(
        real=shop, made=folder / "made.csv", out=folder / "report", target="club", junit=folder / "cases.xml"
    )
    assert result.report is not None
    text = result.report.read_text(encoding="utf-8")
    return result, text, json.loads(result.report.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_page_of_a_table_is_whole_loads_nothing_and_keeps_strangers_text(assayed: tuple[Any, str, Any]) -> None:
    text = assayed[1]
    page = Page(text)
    assert page.open == [] and "<script" not in text and "&lt;script&gt;" in text
    assert not {t for t, _ in page.tags} & {"script", "link", "iframe", "img", "form", "object"}
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert "default-src 'none'" in text


def test_the_page_shows_rows_columns_rules_lessons_and_traces(assayed: tuple[Any, str, Any]) -> None:
    text = assayed[1]
    for told in (
        "What it makes, beside real rows",
        "The columns side by side, worst first",
        "Pairs of columns, worst first",
        "What gives the made rows away",
        "What is missing from it",
        "What a model learns from it",
        "Could a real row be found in it?",
        "Closest pairs",
    ):
        assert told in text
    for column in ("age", "spent", "since", "at", "club"):
        assert f"<h3>{column}<span" in text
    assert "2023-" in text and ">date<" in text  # dates are dates on an axis, not days since 1970


def test_closest_pairs_mark_what_differs_and_mask_what_is_sensitive(assayed: tuple[Any, str, Any]) -> None:
    text, numbers = assayed[1], assayed[2]
    pairs = text[text.index('id="pairs"') :]
    assert '<td class="differs">' in pairs and fragments.MASK in pairs and "@mail" not in text
    assert "1 of 7 cells differ" in pairs, "identifiers and e-mails are made anew: they are not compared"
    assert "C-000" not in pairs
    assert numbers["pairs"] and set(numbers["pairs"][0]) == {"made", "nearest", "distance"}


def test_commands_in_a_verdict_are_shown_as_code_and_strangers_marks_stay_text() -> None:
    shown = page._code("set `karat train DATA` for `<b>`")
    assert shown == "set <code>karat train DATA</code> for <code>&lt;b&gt;</code>"


def test_the_verdict_of_copied_rows_speaks_of_rows(assayed: tuple[Any, str, Any]) -> None:
    result = assayed[0]
    assert result["near copies"].raised and result.verdict.word == "bubble"
    gates = {r.name: r for r in result.verdict.reasons}
    assert gates["copying"].state == "fail" and "rows" in gates["copying"].text
    assert "per accepted item" not in assayed[1] and "made items" not in assayed[1]


def test_findings_are_written_as_test_cases_and_never_over_what_is_there(
    assayed: tuple[Any, str, Any], shop: Path, tmp_path: Path
) -> None:
    cases = assayed[0].report.parent.with_name("cases.xml")
    text = cases.read_text(encoding="utf-8")
    assert '<testcase classname="findings.memory" name="near copies">' in text and "Do not give these rows away" in text
    for goal in (cases, shop):
        with pytest.raises(RunError, match=goal.name):
            karat.assay(real=shop, made=shop, out=tmp_path / "other", junit=goal, overwrite=goal == shop)
    assert cases.read_text(encoding="utf-8") == text and not (tmp_path / "other").exists()


def test_the_json_holds_every_column_and_the_page_folds_what_is_many() -> None:
    bins = Bins(names=("a", "b"), made=(0.5, 0.5), real=(0.4, 0.6))
    columns = tuple(
        Portrait(name=f"c{i}", kind="choice", score=0.9, real_score=None, missing=Missing(made=0, real=0.1), bins=bins)
        for i in range(45)
    )
    told = ColumnShapes(n=100, z=-5.0, quality_report=0.9, columns=columns, off=("c3",))
    shapes = Finding(
        key="column shapes",
        value=0.9,
        low=0.8,
        high=1,
        real=0.95,
        raised=True,
        summary=".",
        detail=told,
        limit=Limit(below=0.92),
    )
    seen = table.views([shapes], {"c0": "boolean"}, EN)[0]
    assert len(seen.cards) == table.CARDS and len(seen.cards) + len(seen.folded) == 45
    assert seen.cards[0].off and seen.cards[0].name == "c3", "what is off comes first"
    assert seen.cards[1].kind == "boolean" and seen.cards[1].real is None
    assert table.views([replace(shapes, detail=None)], {}, EN) == []
    several = table.views([replace(shapes, table=name) for name in ("a", "b")], {}, EN)
    assert [one.name for one in several] == ["a", "b"] and several[1].cards[2:] == seen.cards[2:]


def test_a_wide_table_is_cut_and_says_so() -> None:
    frame = pd.DataFrame({f"c{i}": range(5) for i in range(100)})
    import pyarrow as pa

    rows = pa.Table.from_pandas(frame)
    assert f"{100 - fragments.WIDEST} more" in fragments.sheet(rows, ()).decode()
    beside = fragments.beside(rows, rows, {"c1", "c2"}, ["x"] * 5).decode()
    assert f"0 of {fragments.WIDEST - 2} cells differ" in beside and Page(beside).open == []


def test_drawings_name_their_bins_and_mark_what_is_never_made() -> None:
    steps = drawing.steps(["1 to 2", HOSTILE], [(0.0, "1"), (1.0, "3")], [0.4, 0.6], [1.0, 0.0], EN)
    assert Page(steps).open == [] and "&lt;script&gt;" in steps and "40.0% of what was made" in steps
    bars = drawing.bars([("a", 0.0, 0.2, True), ("a long name of a value", 1.0, 0.8, False)], EN)
    assert Page(bars).open == [] and bars.count("✕") == 1 and "a long name of a v" not in bars.split("<text")[2][:40]
    assert [drawing.share(x) for x in (0, 1, 0.3456, 0.0123, 0.00012)] == ["0%", "100%", "35%", "1.2%", "0.012%"]
    assert (
        table.at(19_000, "date") == "2022-01-08"
        and table.at(3660, "time") == "01:01"
        and table.at(9.5, "integer") == "10"
    )


def test_a_view_becomes_rows_with_the_same_view(shop: Path) -> None:
    data = load(shop)
    codec = data.codec
    assert isinstance(codec, Tables)
    seen = codec.view(data.records("holdout"))
    rows = codec.unview(seen)
    assert np.array_equal(codec.view(rows).values, seen.values, equal_nan=True)
    real, like = codec.printed(data.records("holdout")), codec.printed(rows)
    made = {column.name for column in codec.schema.columns if column.made}
    assert "email" in made and "id" in made
    for name in real.column_names:
        assert real[name].equals(like[name]) != (name in made), name


def test_a_view_of_what_no_training_row_has_becomes_rows_too(shop: Path) -> None:
    codec = load(shop).codec
    assert isinstance(codec, Tables)
    seen = codec.view_values(load(shop).records("holdout", 6))
    for j, (name, choices) in enumerate(zip(codec.viewed.names, codec.viewed.choices, strict=True)):
        seen[:, j] = len(choices) if choices and name != "club" else seen[:, j] + 0.3
    seen[0] = float("nan")
    back = codec.view_values(codec.unview(TableView(codec.viewed, seen)))
    town = codec.viewed.names.index(HOSTILE + "town")
    assert back[1:, town].tolist() == [4.0] * 5 and bool(np.isnan(back[0]).all())
    assert (
        back[1:, codec.viewed.names.index("age")].tolist()
        == np.round(seen[1:, codec.viewed.names.index("age")]).tolist()
    )


def test_the_judge_draws_rows_that_are_independent_of_each_other() -> None:
    """Shares of 40 draws of 200 rows vary as binomial ones do, as the judge's intervals want it; a person's rows vary less.

    The variance over that of a binomial share is 1; its mean over five columns and 40 draws strays from that by about 0.1.
    """
    data = load(people(2500))
    model = trees.Model(data.codec.spaces[0], 0)
    assert list(model.fit(data.points("train"), None, 0, None))[-1] == 1.0
    whole, middle = Single(data.codec, model, ()), np.nanmedian(data.view("train").values, 0)

    def above(records: Any) -> np.ndarray:
        return np.asarray((data.codec.view(records).values > middle).mean(0))

    def variance(draws: list[np.ndarray]) -> float:
        share = np.mean(draws, 0)
        varied = np.var(draws, 0, ddof=1)[share > 0.1] / (share * (1 - share) / 200)[share > 0.1]
        assert len(varied) >= 5
        return float(varied.mean())

    alone = [above(whole.draw(Request(200, k, independent=True)).records) for k in range(40)]
    together = [above(whole.draw(Request(200, k)).records) for k in range(10)]
    assert 0.6 < variance(alone) < 1.4
    assert variance(together) < 0.5  # rows that come too near to training ones are drawn anew, each for itself
    assert np.array_equal([above(office.draw(whole, data, 200, k).records) for k in range(3)], alone[:3])


def test_the_collapser_is_raised_and_its_category_named() -> None:
    made, data = office.reference(load(people(9000)), "collapser", 450, 0)
    train, unseen, shown = data.view("train"), data.view("holdout"), data.codec.view(made.records)
    missing = categories.findings(case(train, unseen, shown, most=300))[0]
    assert missing.raised and missing.missing[0] in missing.summary
    columns = tuple(portrait(train, unseen, shown, j, (0.9, 0.99)) for j in range(train.width))
    detail = ColumnShapes(n=300, z=-5.0, quality_report=0.9, columns=columns, off=())
    shapes = Finding(
        key="column shapes",
        value=0.9,
        low=0.8,
        high=1,
        real=0.95,
        raised=True,
        summary=".",
        detail=detail,
        limit=Limit(below=0.92),
    )
    seen = table.views([shapes, missing], {}, EN)[0]
    assert seen.lost[0].note == "never made" and seen.lost[0].made == 0 and missing.missing[0] == seen.lost[0].name
    assert "✕" in "".join(str(c.chart) for c in seen.cards)


def test_frames_can_be_assayed_with_a_target_and_requirements(tmp_path: Path) -> None:
    result = karat.assay(
        real=people(),
        made=people(300, seed=2),
        target="club",
        out=tmp_path,
        require=["two-sample auc<=0.01", "recall>0"],
    )
    assert len(result.failed) == 1 and "two-sample auc" in result.failed[0]
    assert result["usefulness"].detail.target == "club"
    again = json.loads((tmp_path / "report.json").read_text())["reproduce"][0]
    assert again.startswith("karat.assay(real=...")


def test_other_columns_and_targets_are_refused_by_name(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks 'age'"):
        karat.assay(real=shop, made=people(100).drop(columns="age"), out=tmp_path)
    with pytest.raises(DataError, match="'shoe' too many"):
        karat.assay(real=shop, made=people(100).assign(shoe=1), out=tmp_path)
    with pytest.raises(DataError, match="'agee' is no column"):
        karat.assay(real=shop, made=people(100), target="agee", out=tmp_path)
    with pytest.raises(FitError, match="no reference 'copyer'"):
        karat.assay(real=shop, made="reference:copyer", out=tmp_path)


def test_numbers_printed_otherwise_are_read_as_ours(shop: Path) -> None:
    data = load(shop)
    theirs = people(100, seed=3)
    theirs["spent"] = theirs["spent"].astype(float)
    theirs["age"] = theirs["age"].astype(float)
    theirs["since"] = pd.to_datetime(theirs["since"], format="%d/%m/%Y")
    mine = recognise(theirs).read(people(100, seed=3), {}).records
    for column in ("age", "spent", "since"):
        got = office.read_made(data, theirs).records.cells[column]
        assert got.combine_chunks().equals(data.codec.conform(mine).cells[column].combine_chunks()), column


ROWS = [
    Finding(
        key="two-sample auc",
        value=0.51,
        low=0.5,
        high=0.52,
        real=0.5,
        raised=False,
        summary="Told apart 51%.",
        limit=Limit(above=0.56),
    ),
    Finding(
        key="copy rate",
        value=0.001,
        low=0.0,
        high=0.002,
        real=0.001,
        raised=False,
        summary="5 of 5000 equal one.",
        limit=Limit(above=0.005),
    ),
    Finding(
        key="membership",
        value=0.51,
        low=0.5,
        high=0.52,
        real=0.5,
        raised=False,
        summary="51% of the time.",
        limit=Limit(above=0.55),
    ),
    Finding(
        key="usefulness",
        value=0.99,
        low=0.98,
        high=1.0,
        real=1.0,
        raised=False,
        summary="It teaches well.",
        limit=Limit(below=0.95),
    ),
]
PAYS = Prices(currency="USD", cpu_core_hour=0.05, alternative_cost_per_item=0.01, items_wanted=1e6, rights="owned")
COST = Cost(runs=2, made=100_000, item_cpu_seconds=1e-5, item_gpu_seconds=0.0, cpu_seconds=30.0, money=0.01)


def verdict_of(findings: list[Finding]) -> Any:
    return judge(findings, COST, PAYS, rights=None, labelled=True, thing="row", reviewed=False, seed=0)


def test_rows_are_judged_together_and_can_be_gold_without_a_review() -> None:
    v = verdict_of(ROWS)
    assert (
        v.word == "gold"
        and "accepted row costs" in v.sentence
        and "item" not in json.dumps([r.text for r in v.reasons])
    )
    assert {i.name: i for i in v.inputs}["accepted share"].middle() == 1


def test_table_findings_close_the_gate_they_belong_to() -> None:
    for at, gate in ((1, "copying"), (2, "privacy")):
        raised = [replace(f, raised=True, value=0.7) if i == at else f for i, f in enumerate(ROWS)]
        v = verdict_of(raised)
        assert v.word == "bubble" and [r.name for r in v.reasons if r.state == "fail"] == [gate]
    told = verdict_of([f for f in ROWS if f.assay != "privacy"])
    assert next(r for r in told.reasons if r.name == "privacy").state == "unknown"
    far = verdict_of([replace(ROWS[0], value=0.8, raised=True), *ROWS[1:]])
    assert far.word == "unproven" and far.settle is not None
    assert "karat look DATA" in far.settle.what and far.settle.costs == pytest.approx(0.005), (
        "what training cost before"
    )


def test_a_lift_that_chance_explains_is_no_bubble() -> None:
    lift = Finding(
        key="lift",
        value=-0.001,
        low=-0.002,
        high=0.0,
        real=0.0003,
        raised=False,
        summary="no gain",
        limit=Limit(below=-0.01),
    )
    assert verdict_of([*ROWS, lift]).word == "gold"
    assert verdict_of([*ROWS, replace(lift, real=0.02)]).word == "bubble"


def test_the_real_rows_of_the_page_come_from_all_of_the_table_and_not_from_its_beginning(
    assayed: tuple[Any, str, Any],
) -> None:
    above, _, _ = assayed[1].partition("Real rows that the generator has not seen")
    shown = re.findall(r"<td[^>]*>([^<]*)</td>", above.rpartition("<table")[2])
    place = {text: i for i, text in enumerate(people()["spent"].astype(str))}
    rows = [place[cell] for cell in shown if cell in place]
    assert len(rows) >= 15 and max(rows) > 0.8 * len(place) and rows != sorted(rows)


def test_a_stranger_may_have_copied_unseen_rows_too_and_that_is_no_excuse(shop: Path, tmp_path: Path) -> None:
    people().to_csv(tmp_path / "made.csv", index=False)
    result = karat.assay(real=shop, made=tmp_path / "made.csv", out=tmp_path / "report", target="club")
    assert result["copy rate"].raised, "rows that the judge sets aside are copied as often as the others"
