"""The judge of sounds on generators of known worth: each fault is found, and unseen recordings raise nothing.

A third of the spoken digits; that a class is missing or drawn too often shows only among more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from karat.assays import Finding, find
from karat.assays.references.points import SLIDING
from karat.data import Data, load
from karat.workflow import office

LABELS = "{label}_{speaker}_{n}"


@pytest.fixture(scope="module")
def digits(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = data_dir / "audio" / "fsdd"
    if not folder.is_dir():
        pytest.skip("needs the spoken digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KARAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load(folder, options={"labels": LABELS, "limit": 1000}, holdout="n<20")


@pytest.fixture(autouse=True)
def cached(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the extractor of this file."""
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path_factory.getbasetemp() / "extractor"))


def raised(findings: list[Finding]) -> dict[str, str]:
    return {f.name: f.summary for f in findings if f.raised}


@pytest.mark.exam
@pytest.mark.parametrize("name", ["oracle", "bootstrap", "blurrer"])
def test_each_fault_is_found_by_its_own_finding(digits: Data, name: str) -> None:
    made, data = office.reference(digits, name, 3000, seed=1)
    found = raised(office.judge_records(data, made, seed=0).findings)
    must = set(SLIDING[name].must)
    if name == "blurrer":
        must |= {"detail along frequency", "detail along time"}
    assert must <= set(found), found
    if name == "oracle":
        assert found == {}


@pytest.mark.exam
def test_a_speaker_drawn_too_often_is_named(digits: Data) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(digits.holdout)
    source, kept = order[:200], np.sort(order[200:])
    speaker = digits.contents.facets["speaker"][source]
    rows = np.concatenate([source[speaker == "theo"], source[speaker != "theo"][:25]])
    assert digits.contents.labels is not None
    made = office.Made(digits.contents.records[rows], torch.from_numpy(digits.contents.labels[rows]), None)
    findings = office.judge_records(replace(digits, holdout=kept), made, seed=0).findings
    balance = find(findings, "speaker balance")
    assert balance.raised and balance.detail.worst == "theo"


@pytest.mark.exam
def test_copied_recordings_are_found_through_noise_pitch_shift_and_level(digits: Data) -> None:
    soxr = pytest.importorskip("soxr")
    rng = np.random.default_rng(0)
    order = rng.permutation(digits.holdout)
    source, kept = order[:200], np.sort(order[200:])
    copied = rng.permutation(digits.train)[:20]
    records = np.array(digits.contents.records[source])
    for i, row in enumerate(copied):
        wave = digits.contents.records[row][:, 0]
        wave = soxr.resample(wave, 8000, 8000 * (1 + rng.choice([-1, 1]) * rng.uniform(0.01, 0.03))) * rng.uniform(
            0.4, 1
        )
        wave = np.concatenate([np.zeros(int(rng.uniform(0, 1600))), wave])[: records.shape[1]]
        hiss = 10 ** (-30 / 20) * np.sqrt(np.square(wave).mean()) * rng.standard_normal(records.shape[1])
        hiss[: len(wave)] += wave
        records[i, :, 0] = hiss.clip(-1, 1)
    made = office.Made(records, None, None)
    rate = find(office.judge_records(replace(digits, holdout=kept), made, seed=0).findings, "copy rate")
    assert rate.raised and rate.value > 0.05, rate.summary
    shown = [(i, digits.train[j]) for i, j, _ in rate.detail.pairs[:12]]
    assert np.mean([i < 20 and copied[i] == j for i, j in shown]) > 0.8
