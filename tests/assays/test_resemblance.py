"""What resembles a generator's records: the rate of false alarms is the one that is told, whatever the classifier can do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import karat
from karat.assays.classifier import discriminant
from karat.assays.resemblance import Calibrated, calibrated
from karat.errors import DataError, FitError

WIDTH = 5


HARD = [pytest.param(0.0, 1, 0.0, marks=pytest.mark.exam), pytest.param(2.0, 12, 0.95, marks=pytest.mark.exam)]
EASE = [(2.0, 1, 0.25), *HARD]


def drawn(rng: np.random.Generator, n: int, shift: float) -> np.ndarray:
    return rng.normal(size=(n, WIDTH)) + shift / np.sqrt(WIDTH)


def judge(seed: int, shift: float, n: int = 600) -> Calibrated:
    rng = np.random.default_rng([seed, 0])
    return calibrated(drawn(rng, n, 0), drawn(rng, n, shift), discriminant, seed)


@pytest.mark.parametrize(("shift", "items", "seen"), EASE)
def test_fresh_real_records_are_taken_for_made_as_seldom_as_is_told(shift: float, items: int, seen: float) -> None:
    rng = np.random.default_rng(7)
    alarms, found, told, missed = [], [], [], []
    for seed in range(8):
        compared = judge(seed, shift)
        for _ in range(25):
            real, made = compared.of(drawn(rng, items, 0)), compared.of(drawn(rng, items, shift))
            alarms.append(real.resembles)
            found.append(made.resembles)
            told.append(real.false_positives)
            missed.append(made.missed)
    assert np.mean(alarms) <= 0.03 and abs(np.mean(alarms) - np.mean(told)) <= 0.03
    assert np.mean(found) >= seen and abs(1 - np.mean(found) - np.mean(missed)) <= 0.12


def test_more_records_than_can_be_calibrated_are_drawn_from_and_not_believed_at_once() -> None:
    found = judge(0, 1.0).of(drawn(np.random.default_rng(3), 500, 1.0))
    assert found.items == 18 and found.high >= found.false_positives and found.p_value > 0


def test_too_few_unseen_records_are_said_to_be_so() -> None:
    with pytest.raises(DataError, match="60 unseen real records are too few"):
        judge(0, 1.0, n=60)


def test_what_it_may_resemble_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(FitError, match="--resembles wants --run"):
        karat.check(tmp_path / "a.txt", resembles=True)


@pytest.mark.exam
@pytest.mark.parametrize("kind", ["table", "text", "pictures"])
def test_what_a_run_makes_is_told_from_its_unseen_data(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    if kind == "table":
        rows = [f"{a},{a * a + rng.normal():.2f}" for a in rng.normal(size=2000)]
        (tmp_path / "d.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
        run = karat.train(tmp_path / "d.csv", recipe="vae", steps=5, out=tmp_path / "run", threads=1, holdout=0.5)
    elif kind == "text":
        words = [f"w{i}" for i in range(30)]
        texts = [" ".join(sorted(rng.permutation(words)[:12])) for _ in range(1500)]
        (tmp_path / "d.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        run = karat.train(tmp_path / "d.jsonl", recipe="ngram", out=tmp_path / "run", threads=1, holdout=0.5)
    else:
        plain = ["train.precision=fp32", "model.width=8", "model.critic_width=8"]
        run = karat.train("digits", recipe="gan", steps=2, out=tmp_path / "run", threads=1, set=plain)
    form = {"table": "m.csv", "text": "m.jsonl", "pictures": "made"}[kind]
    karat.make(run, n=200, out=tmp_path / form, threads=1)
    ((_, found),) = karat.check(tmp_path / form, run=run.path, resembles=True).resemblances
    assert found.resembles and found.missed < 0.3 and found.false_positives < 0.15  # 0.21 of the table on one processor
