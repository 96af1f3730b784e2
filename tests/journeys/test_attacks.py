"""Faults planted into real rows of Adult that nobody learned from: each is named by the finding that should speak."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import case

import karat
from karat.assays import Finding, find
from karat.assays.table import joint
from karat.data import Data, load
from karat.views import TableView
from karat.workflow import office

pytestmark = pytest.mark.exam
Frame = pd.DataFrame
Rng = np.random.Generator


def some(rows: pd.Index, share: float, rng: Rng) -> np.ndarray:
    return rng.permutation(rows)[: max(1, round(share * len(rows)))]


def put(frame: Frame, rows: np.ndarray | pd.Index, column: str, value: object) -> Frame:
    frame.loc[rows, column] = value
    return frame


def turned(frame: Frame, rows: pd.Index, by: str) -> Frame:
    """Among `rows` as many earn more as before, but those with least of the column `by`."""
    many = int((frame.loc[rows, "income"] == ">50K").sum())
    least = frame.loc[rows, by].sort_values(kind="stable").index[:many]
    return put(put(frame, rows, "income", "<=50K"), least, "income", ">50K")


ATTACKS: dict[str, tuple[Callable[[Frame, Rng], Frame], str, str]] = {
    "an age of 150 in 3%": (
        lambda f, r: put(f, some(f.index, 0.03, r), "age", 150),
        "out of range",
        "age is at most 90 in all real rows; 3.00% of the made ones lie beyond, to 150",
    ),
    "-40 hours in 1%": (
        lambda f, r: put(f, some(f.index, 0.01, r), "hours-per-week", -40),
        "out of range",
        "hours-per-week is at least 1 in all real rows",
    ),
    "hours of a month in 2%": (
        lambda f, r: f.assign(
            **{
                "hours-per-week": f["hours-per-week"].where(
                    ~f.index.isin(some(f.index, 0.02, r)), f["hours-per-week"] * 4
                )
            }
        ),
        "out of range",
        "hours-per-week is at most 99 in all real rows",
    ),
    "no Black person earns more": (
        lambda f, r: put(f, f.index[f.race == "Black"], "income", "<=50K"),
        "groups",
        "made rows with race = Black, 0 (0.0%) have income = >50K",
    ),
    "no woman earns more": (
        lambda f, r: put(f, f.index[f.sex == "Female"], "income", "<=50K"),
        "groups",
        "made rows with sex = Female, 0 (0.0%) have income = >50K",
    ),
    "of Black people the less educated earn more": (
        lambda f, r: turned(f, f.index[f.race == "Black"], "education-num"),
        "groups",
        "race = Black",
    ),
    "husbands who are female in 1%": (
        lambda f, r: put(f, some(f.index[f.relationship == "Husband"], 0.025, r), "sex", "Female"),
        "combinations",
        "have relationship = Husband; of 10,771 real ones 1 (0.0%)",
    ),
    "half of a category lost": (
        lambda f, r: f[~((f.education == "HS-grad") & (f.sex == "Female"))],
        "groups",
        "made rows with education = HS-grad, 0 (0.0%) have sex = Female",
    ),
    "a column moved by a row": (
        lambda f, r: f.assign(**{"hours-per-week": np.roll(f["hours-per-week"], 1)}),
        "combinations",
        "made rows with hours-per-week 20 to 29",
    ),
    "the ages of widowed people drawn from all": (
        lambda f, r: put(
            f,
            f.index[f["marital-status"] == "Widowed"],
            "age",
            r.choice(f.age, int((f["marital-status"] == "Widowed").sum())),
        ),
        "combinations",
        "made rows with marital-status = Widowed",
    ),
    "a row fifty times": (
        lambda f, r: pd.concat([f.iloc[50:], f.iloc[[7] * 50]]),
        "combinations",
        "One and the same row stands 50 times in 5,000 made rows, 0 times",
    ),
    "rows of which 3% are made twice": (
        lambda f, r: pd.concat([f.iloc[150:], f.iloc[-150:]]),
        "combinations",
        "A row that is another row over again stands 302 times in 5,000 made rows",
    ),
    "the same but for the weight": (
        lambda f, r: pd.concat([f.iloc[150:], f.iloc[-150:].assign(fnlwgt=f.fnlwgt.iloc[:150].to_numpy())]),
        "combinations",
        "A row that is another row but for one cell stands",
    ),
}


@pytest.fixture(scope="module")
def adult(data_dir: Path) -> tuple[Data, TableView, TableView, Frame]:
    """The training file as real data, and 5,000 rows of the test file, which are real as well."""
    data = load(str(data_dir / "tables" / "adult-train.csv"), options={"target": "income"})
    frame = pd.read_csv(data_dir / "tables" / "adult-test.csv", keep_default_na=False)
    train, unseen = data.view("train"), data.view("holdout")
    assert isinstance(train, TableView) and isinstance(unseen, TableView)
    return data, train, unseen, frame.sample(5000, random_state=1).reset_index(drop=True)


def judged(adult: tuple[Data, TableView, TableView, Frame], frame: Frame, path: Path) -> list[Finding]:
    data, train, unseen, _ = adult
    frame.to_csv(path, index=False)
    made = data.codec.view(office.read_made(data, path).records)
    assert isinstance(made, TableView)
    return joint.findings(case(train, unseen, made, "income"))


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_named_by_the_finding_that_should_speak(
    adult: tuple[Data, TableView, TableView, Frame], name: str, tmp_path: Path
) -> None:
    change, key, words = ATTACKS[name]
    found = find(judged(adult, change(adult[3].copy(), np.random.default_rng(5)), tmp_path / "made.csv"), key)
    assert found.raised and words in found.summary, found.summary


def test_the_same_rows_without_a_fault_raise_nothing(
    adult: tuple[Data, TableView, TableView, Frame], tmp_path: Path
) -> None:
    found = judged(adult, adult[3], tmp_path / "made.csv")
    assert not [f.summary for f in found if f.raised]
    assert {f.key: f.state for f in found} == dict.fromkeys(("out of range", "combinations", "groups"), "ok")


def test_the_page_says_what_is_wrong_with_women_and_shows_rows(data_dir: Path, tmp_path: Path) -> None:
    real = pd.read_csv(data_dir / "tables" / "adult-train.csv", keep_default_na=False)[:4000]
    made = pd.read_csv(data_dir / "tables" / "adult-test.csv", keep_default_na=False)[:1500]
    made = put(made, made.index[made.sex == "Female"], "income", "<=50K")
    made = put(made, made.index[:60], "age", 150)
    report = karat.assay(real=real, made=made, target="income", out=tmp_path / "report").report
    assert report is not None
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", report.with_suffix(".html").read_text(encoding="utf-8")))
    for words in (
        "income = &gt;50K, of sex = Female",
        "age: real rows at most 90, made to 150",
        "Row [\\d,]+: age 150",
    ):
        assert re.search(words, text), words
