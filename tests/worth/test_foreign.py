"""Samples that karat did not make: what is declared and measured decides, and all of it together can be gold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat
from karat.provenance.label import Label, label_record
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.verdict import Verdict, judge

PRICES = """
currency = "USD"
alternative_cost_per_item = 1.0
items_wanted = 100000
generation_cost_per_item = 0.01
fixed_cost = 0
review_seconds_per_item = 0
rights = "owned"
"""


def frame(n: int, rng: np.random.Generator) -> pd.DataFrame:
    group = rng.choice(list("abc"), n, p=[0.5, 0.3, 0.2])
    x = rng.normal(0, 1, n) + (group == "a")
    y = (2 * x + rng.normal(0, 1, n)).round(3)
    near = {f"z{i}": (rng.normal(0, 1, n) + x).round(3) for i in range(4)}
    return pd.DataFrame({"group": group, "x": x.round(3), "y": y, "count": rng.integers(0, 50, n), **near})


def written(folder: Path, real: int, made: int, labelled: bool) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    paths = folder / "real.csv", folder / "made.csv"
    for path, n in zip(paths, (real, made), strict=True):
        frame(n, rng).to_csv(path, index=False)
    if labelled:
        digests = {"made.csv": hashlib.sha256(paths[1].read_bytes()).hexdigest()}
        record = label_record(Label("they", "run", "1", "1"), digests)
        (folder / "made.csv.label.json").write_text(json.dumps(record))
    return paths


def verdict(folder: Path, real: Path, made: Path, declared: str) -> Verdict:
    (folder / "p.toml").write_text(declared)
    return karat.assay(real=real, made=made, prices=folder / "p.toml", out=folder / "report", threads=1).verdict


@pytest.mark.exam
def test_samples_of_others_are_gold_where_all_is_declared_and_measured(tmp_path: Path) -> None:
    v = verdict(tmp_path, *written(tmp_path, 40_000, 10_000, labelled=True), PRICES)
    assert v.word == "gold", v.sentence


@pytest.mark.parametrize(
    "columns",
    [pytest.param(["group", "x", "y", "count"], marks=pytest.mark.exam), ["group", "count"]],
    ids=["four", "two"],
)
def test_where_no_number_of_rows_would_show_copies_nobody_is_sent_for_more(columns: list[str], tmp_path: Path) -> None:
    real, made = written(tmp_path, 6000, 2000, labelled=False)
    for path in (real, made):
        pd.read_csv(path)[columns].to_csv(path, index=False)
    v = verdict(tmp_path, real, made, PRICES + 'personal = "none"\nlabels = "added"\n')
    assert v.word == "unproven" and v.settle is not None
    assert "--epsilon" in v.settle.what and "set aside" not in v.settle.what, v.settle.what


def test_each_thing_that_is_not_declared_or_measured_is_named(tmp_path: Path) -> None:
    real, made = written(tmp_path, 300, 150, labelled=False)
    (tmp_path / "p.toml").write_text(PRICES)
    found = karat.assay(real=real, made=made, prices=tmp_path / "p.toml", out=tmp_path / "report", threads=1)
    states = {r.name: r.state for r in found.verdict.reasons}
    assert states["labels"] == "unknown" and states["rights"] == "pass" and "money" not in states
    declared = Prices.load(tmp_path / "p.toml")
    added = judge(found.findings, Cost(), replace(declared, labels="added"), rights=None, labelled=None)
    assert {r.name: r.state for r in added.reasons}["labels"] == "pass"
    bare = judge(found.findings, Cost(), Prices(), rights=None, labelled=None)
    assert bare.word == "unproven" and bare.settle is not None and "generation_cost_per_item" in bare.settle.what


@pytest.mark.exam
@pytest.mark.parametrize(
    ("made", "prices", "n", "word", "says"),
    [
        ("oracle", PRICES, 5000, "gold", ["pays with a probability"]),
        ("oracle", PRICES.replace("per_item = 1.0", "per_item = 0.001"), 5000, "bubble", ["under 1%"]),
        ("oracle", PRICES, 20, "unproven", ["n=20", "needs"]),
        ("copier", PRICES, 5000, "bubble", ["cop"]),
        ("collapser", PRICES, 5000, "unproven", ["missing classes (group = c)"]),
    ],
)
def test_generators_of_known_worth_get_the_verdict_that_they_deserve(
    tmp_path: Path, made: str, prices: str, n: int, word: str, says: list[str]
) -> None:
    rng = np.random.default_rng(0)
    real = frame(40_000, rng)
    real.to_csv(tmp_path / "real.csv", index=False)
    (tmp_path / "p.toml").write_text(prices + 'personal = "none"\nlabels = "added"\n')
    options = {"prices": tmp_path / "p.toml", "out": tmp_path / "report", "threads": 1}
    found = karat.assay(real=tmp_path / "real.csv", made=f"reference:{made}", n=n, **options).verdict
    assert found.word == word, found.sentence
    assert all(part in found.sentence for part in says), found.sentence
