"""Several runs: of one recipe with several seeds, and side by side beside the same unseen records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat
from karat.errors import FitError, RunError
from karat.report.comparison import Comparison


def people(path: Path, n: int = 400, seed: int = 0) -> Path:
    r = np.random.default_rng(seed)
    age = r.integers(18, 80, n)
    club = np.where(age + r.normal(0, 8, n) > 50, "yes", "no")
    pd.DataFrame({"age": age, "club": club, "town": r.choice(["Lyon", "Nice"], n)}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[karat.Run, ...]:
    """Two runs of `marginals`, with two seeds."""
    folder = tmp_path_factory.mktemp("several")
    data = people(folder / "people.csv")
    first = karat.train(data, recipe="marginals", seeds=2, seed=3, out=folder / "run", holdout="0.5", minutes=0.01)
    return first.seeds


def test_seeds_are_runs_of_their_own_that_differ_in_nothing_else(runs: tuple[karat.Run, ...]) -> None:
    assert [run.path.name for run in runs] == ["run-1", "run-2"] and [run.spec["seed"] for run in runs] == [3, 4]
    assert runs[0].spec["recipe"] == runs[1].spec["recipe"]


@pytest.mark.exam
def test_runs_are_compared_beside_the_same_rows(runs: tuple[karat.Run, ...], tmp_path: Path) -> None:
    other = karat.train(
        runs[0].spec["data"], recipe="cart", out=tmp_path / "cart", holdout="0.5", minutes=0.01, discover=False
    )
    found = karat.assay([runs[0], other], n=400, out=tmp_path / "c", junit=tmp_path / "c.xml", require=["recall>=2"])
    assert isinstance(found, Comparison) and len(found.failed) == 2
    numbers = json.loads((tmp_path / "c/comparison.json").read_text())
    assert [r["name"] for r in numbers["runs"]] == ["run-1", "cart"]
    differences = {d["finding"]: d for d in numbers["comparisons"][0]["differences"]}
    assert differences["coverage"]["low"] < differences["coverage"]["by"] < differences["coverage"]["high"]
    page = (tmp_path / "c/comparison.html").read_text()
    assert "cart against run-1" in page and "cart against run-1" in str(found)
    assert (tmp_path / "c.xml").read_text().count("<testsuite ") == 2
    with pytest.raises(RunError, match=r"comparison.html"):
        karat.assay([runs[0], other], n=400, out=tmp_path / "c")


def test_runs_of_other_data_or_another_split_are_refused_before_the_work(
    runs: tuple[karat.Run, ...], tmp_path: Path
) -> None:
    data = people(tmp_path / "others.csv", seed=1)
    other = karat.train(data, recipe="marginals", out=tmp_path / "other", holdout="0.5", minutes=0.01)
    with pytest.raises(RunError, match=r"learned from other data .* Compare runs of the same data"):
        karat.assay([runs[0], other], out=tmp_path / "c")
    split = karat.train(runs[0].spec["data"], recipe="marginals", out=tmp_path / "split", holdout="0.4", minutes=0.01)
    with pytest.raises(RunError, match="reads or splits its data otherwise"):
        karat.assay([runs[0], split], out=tmp_path / "c")
    with pytest.raises(FitError, match="named twice"):
        karat.assay([runs[0], runs[0].path], out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_seeds_that_cannot_be_are_refused(runs: tuple[karat.Run, ...], tmp_path: Path) -> None:
    data = runs[0].spec["data"]
    with pytest.raises(FitError, match="--seeds 1: wanted 2 to 1000"):
        karat.train(data, seeds=1, out=tmp_path / "x")
    with pytest.raises(RunError, match="run-1 is there already"):
        karat.train(data, seeds=2, out=runs[0].path.with_name("run"))
    with pytest.raises(FitError, match="is a run, whose seed is fixed"):
        karat.train(runs[0].path, seeds=2)
