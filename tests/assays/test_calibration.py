"""Every reference generator at every strength before the judge: what is planted is found, and what is real is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.references import Plant, plants
from karat.assays.references.calibration import FINE, Exam, exact, table, tally
from karat.data import Data, load
from karat.errors import DataError, FitError
from karat.workflow.calibrating import _parted, exams, without_labels


def found(name: str, raised: bool, needs: int = 0) -> Finding:
    samples = (Sample(10, needs, "made"),)
    score = Score(0.9 if raised else 0.5, 0, 1, 0.5, 0.1)
    return scored(name, score, Limit(0.8), "So.", samples=samples)


def test_an_ok_beside_a_planted_fault_is_wrong_and_cannot_tell_is_not() -> None:
    plant = Plant("copier", 0.05, ("copy rate",), phrase="5% copies")
    said = [found("copy rate", True), found("copy rate", False), found("copy rate", False, needs=40)]
    done = [Exam(plant, seed, 10, (finding, found("ct", seed > 0)), 1.0) for seed, finding in enumerate(said)]
    assert [exam.wrong for exam in done] == [(), ("copy rate",), ()]
    assert [exam.blind for exam in done] == [(), (), ("copy rate",)]
    (one,) = tally(done)
    assert (one.raised, one.blind, one.ok, one.n) == (1, 1, 1, 3)
    assert "| copier | 5% copies | **copy rate** | 1/3 | 0.01 to 0.91 | 1 | 1 | ct 2 |" in table(done)


def test_whatever_speaks_of_real_records_is_a_false_alarm_of_the_whole_report() -> None:
    done = [Exam(Plant("oracle"), s, 10, (found("ct", s == 0), found("copy rate", s < 2)), 1.0) for s in range(4)]
    assert [(t.finding, t.raised, t.n) for t in tally(done)] == [("anything", 2, 4), ("ct", 1, 4), ("copy rate", 2, 4)]
    assert [exam.wrong for exam in done] == [("ct", "copy rate"), ("copy rate",), (), ()]


@pytest.mark.parametrize("count", [0, 1, 7, 19, 20])
def test_an_interval_is_the_exact_one(count: int) -> None:
    theirs = binomtest(count, 20).proportion_ci(0.95, method="exact")
    assert exact(count, 20) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def sold(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    group = rng.choice(list("abcd"), n, p=[0.4, 0.3, 0.18, 0.12])
    price = rng.normal(10 * (group == "a") + 50, 4, n).round(3)
    return pd.DataFrame({"price": price, "weight": (price / 7 + rng.normal(0, 1, n)).round(3), "group": group})


def test_a_table_is_examined_by_one_call() -> None:
    data = load(sold(700, 0), holdout=0.6)
    done = list(exams(data, range(1), names=("oracle", "collapser"), graded=False))
    assert [(e.plant.reference, e.plant.strength) for e in done] == [("oracle", None), ("collapser", 0.1)]
    assert all(exam.wrong == () and exam.made >= 150 for exam in done), table(done)
    assert "missing classes" in done[1].raised


def test_every_reference_that_can_do_something_to_the_data_is_examined_at_each_of_its_strengths() -> None:
    frame = sold(200, 0)
    view, bare = (load(f).view("train") for f in (frame, frame[["price", "weight"]]))
    graded = [(p.reference, p.strength, p.due) for p in plants(view, "group") if p.strength is not None]
    shares = [(0.02, False), (0.05, True), (0.1, True), (0.2, True)]
    assert graded[:4] == [("copier", share, due) for share, due in shares]
    assert [x[0] for x in graded[4:]] == ["collapser"] * 3 + ["skewer"] * 3 + ["strayer"] * 4
    assert {p.reference for p in plants(view)} - {p.reference for p in plants(bare)} == {"collapser", "skewer"}
    shuffled = {
        target: next(p for p in plants(view, target) if p.reference == "shuffler") for target in ("group", None)
    }
    assert shuffled["group"].findings == ("usefulness",) and "usefulness" not in shuffled[None].findings


def test_who_is_asked_for_what_is_not_there_says_so() -> None:
    data = load(sold(200, 0), holdout=0.5)
    with pytest.raises(FitError, match=r"no reference 'alchemist' for these data; there are: oracle, .*unseen"):
        next(exams(data, range(1), names=("alchemist",)))
    with pytest.raises(DataError, match="15 unseen and 15 for the references are too few; wanted at least 20"):
        next(exams(load(sold(200, 0), holdout=0.1), range(1)))


def test_records_of_one_group_stay_on_one_side(data_dir: Path) -> None:
    data = load(data_dir / "text" / "tinyshakespeare.txt", options={"length": 1000})
    groups = data.contents.groups
    assert groups is not None
    first, second = _parted(data, np.random.default_rng(1))
    assert not set(groups[first]) & set(groups[second]) and len(first) + len(second) == len(data.train) + len(
        data.holdout
    )
    assert set(first) != set(data.train) and abs(len(first) - len(data.train)) < 20


KINDS: dict[str, tuple[str, dict[str, Any], float | str, dict[str, int]]] = {
    "pictures": ("images/mnist", {}, 0.1, {"train": 1000, "unseen": 500, "made": 500}),
    "table": ("tables/adult-train.csv", {"target": "income"}, 0.5, {"train": 1500, "unseen": 1000, "made": 1000}),
    "text": ("text/tinyshakespeare.txt", {"length": 400}, 0.5, {"unseen": 700, "made": 700}),
    "sounds": ("audio/fsdd", {"labels": "{label}_{speaker}_{n}"}, "n<20", {"train": 800}),
}


def data_of(data_dir: Path, kind: str) -> tuple[Data, dict[str, int]]:
    path, options, holdout, sizes = KINDS[kind]
    if not (data_dir / path).exists():
        pytest.skip(f"needs {path}")
    return load(data_dir / path, options=options, holdout=holdout), sizes


@pytest.mark.exam
@pytest.mark.parametrize("kind", KINDS)
def test_each_planted_fault_is_found_and_no_real_record_accused(data_dir: Path, kind: str) -> None:
    """Three seeds of each kind of content; the tables of docs/references.md have twenty.

    A finding promises to see its fault 19 times of 20, so that one of three may miss it, and no two.
    """
    data, sizes = data_of(data_dir, kind)
    done = list(exams(data, range(100, 103), **sizes, graded=False))
    assert [(e.plant, e.seed, e.raised) for e in done if e.plant.reference in FINE and e.raised] == [], table(done)
    silent = [t for t in tally(done) if t.plant.reference not in FINE and t.ok > 1]
    missed = [e for e in done if e.wrong]
    assert silent == [] and len(missed) <= 1 and len({e.plant.reference for e in done}) >= 9, table(done)


@pytest.mark.exam
def test_without_labels_the_judge_finds_lost_modes(data_dir: Path) -> None:
    data, _ = data_of(data_dir, "pictures")
    done = list(exams(without_labels(data), range(100, 103), train=2000, unseen=1000, made=1000, names=("collapser",)))
    assert {e.plant.findings for e in done} == {("coverage", "recall", "missing modes")}
    assert all("missing modes" in e.raised for e in done if e.plant.due), table(done)
