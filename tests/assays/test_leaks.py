"""Attacks by loss, with and without shadow models: they find what was learned by heart, and accuse nobody else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from good import COST, GOOD, PAYS

import karat
from karat.assays.chance import exact
from karat.assays.finding import Finding
from karat.assays.leaks import Group, attacked, audited, exposed
from karat.errors import FitError
from karat.worth.verdict import judge


def losses(rng: np.random.Generator, n: int, models: int, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the model [n], whose members are the first half; of shadow models [k, n]; and what each of these learned from.

    How hard a record is varies much more between records than a model's memory of it, `gain`.
    """
    hard, seen = rng.normal(0, 10, n), rng.random((models, n)) < 0.5
    member = np.arange(n) < n // 2
    return (
        hard + rng.normal(0, 1, n) - gain * member,
        hard + rng.normal(0, 1, (models, n)) - gain * seen,
        seen,
    )


def test_shadow_models_find_the_records_that_a_threshold_on_the_loss_does_not() -> None:
    own, shadows, seen = losses(np.random.default_rng(0), 4000, 16, 4.0)
    scores, hard = exposed(own, shadows, seen)
    plain = attacked("loss attack", -own[:2000], -own[2000:])
    known = np.isfinite(scores)
    (a, b), (c, d) = ((x[:2000][known[:2000]], x[2000:][known[2000:]]) for x in (scores, hard))
    strong = attacked("shadow attack", a, b, (c, d), models=16)
    assert strong.raised and strong.value > 0.98 and plain.value < 0.65
    assert strong.detail is not None and strong.detail.outlying > 0.95
    share, low, high = strong.detail.found_at_false_alarm_rate["1.0%"]
    assert share > 0.5 and (low, high) == exact(round(share * len(a)), len(a))


def test_a_model_that_remembers_nothing_is_not_accused() -> None:
    for seed in range(20):
        own, shadows, seen = losses(np.random.default_rng(seed), 1000, 8, 0.0)
        seen[:2] = False
        scores, hard = exposed(own, shadows, seen)
        assert not attacked("loss attack", -own[:900], -own[900:]).raised
        assert not attacked("shadow attack", scores[:900], scores[900:], (hard[:900], hard[900:]), models=8).raised


def test_a_record_that_all_models_learned_from_says_nothing_and_few_records_cannot_tell() -> None:
    own, shadows, seen = losses(np.random.default_rng(0), 50, 6, 0.0)
    seen[:, 3] = True
    scores, _ = exposed(own, shadows, seen)
    assert (np.isnan(scores) == ((~seen).sum(0) < 2)).all() and np.isnan(scores[3])
    assert attacked("loss attack", -own[:25], -own[25:]).state == "cannot tell"


def test_the_smallest_group_is_told_of_by_itself() -> None:
    rng = np.random.default_rng(1)
    members, others = rng.normal(0, 1, 900), rng.normal(0, 1, 300)
    rare = Group("sect = few", np.arange(900) < 60, np.arange(300) < 30)
    members[:60] += 3
    found = attacked(
        "loss attack", members, others, groups=[Group("all", *(np.ones(k, bool) for k in (900, 300))), rare]
    )
    assert "in the smallest group, sect = few (60 and 30), 9" in found.summary


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home, rng = tmp_path_factory.mktemp("leaky"), np.random.default_rng(0)
    values = np.round(rng.normal(size=(3000, 4)) @ rng.normal(size=(4, 4)), 2)
    frame = pd.DataFrame(values, columns=list("abcd"))
    frame.assign(sex=rng.choice(["f", "m"], 3000)).to_csv(home / "t.csv", index=False)
    karat.train(home / "t.csv", set=["data.holdout=0.3"], out=home / "run", threads=1)
    return home / "run"


@pytest.mark.exam
def test_who_has_a_run_of_trees_can_tell_and_no_gate_hangs_on_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = karat.assay(run, shadows=6, canaries=300, n=1000, threads=1, target="a")
    said = capsys.readouterr().out
    assert "--shadows 6: trains 6 models" in said and "CPU s" in said.partition("memory")[0]
    for key in ("loss attack", "shadow attack"):
        assert result[key].raised and "in the smallest group, sex = " in result[key].summary, result[key].summary
    assert result["canaries"].value > 0.5 and not result["canaries"].raised, result["canaries"].summary
    assert "6 shadow models" in result["shadow attack"].summary
    assert "Who has the run" not in next(r for r in result.verdict.reasons if r.name == "privacy").text
    with pytest.raises(FitError, match="at least 4 are wanted"):
        karat.assay(run, shadows=2, n=200, threads=1)


def test_canaries_convict_a_promise_and_acquit_nobody() -> None:
    broken, kept, none = (audited(bound, said, 1e-6, 500) for bound, said in ((2.0, 1.0), (0.5, 1.0), (3.0, None)))
    assert [f.raised for f in (broken, kept, none)] == [True, False, False]
    assert (
        "at least 2.00" in broken.summary and "1 was promised" in broken.summary and "none was promised" in none.summary
    )
    assert Finding.read(json.loads(json.dumps(none.to_dict()))) == none or math.isnan(none.real)
    gates = {
        r.name: r.state for f in (broken,) for r in judge([*GOOD, f], COST, PAYS, rights=None, labelled=True).reasons
    }
    assert gates["privacy"] == "fail"
    assert judge([*GOOD, kept, none], COST, PAYS, rights=None, labelled=True).word == "gold"


def test_further_attacks_on_a_run_need_a_run() -> None:
    with pytest.raises(FitError, match="are for a run"):
        karat.assay(real="a.csv", made="b.csv", shadows=16)


@pytest.mark.exam
def test_shadow_models_of_a_net_are_trained_as_the_run_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(np.round(rng.normal(size=(400, 3)), 2), columns=list("abc"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    karat.train(tmp_path / "t.csv", recipe="tvae", set=["data.holdout=0.4"], steps=30, out=tmp_path / "run", threads=1)
    result = karat.assay(tmp_path / "run", shadows=6, n=100, threads=1)
    assert "--shadows 6: trains 6 models" in capsys.readouterr().out
    found = result["shadow attack"]
    assert "6 shadow models" in found.summary and not found.raised and abs(found.value - 0.5) < 0.15, found.summary
    with pytest.raises(FitError, match="learns by gradient"):
        karat.assay(tmp_path / "run", canaries=500, n=100, threads=1)
