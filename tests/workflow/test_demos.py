"""The demo of every kind of content runs from look to report, and clears away only what a demo left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import karat
from karat.errors import RunError
from karat.provenance.reading import labelled
from karat.workflow import demos


@pytest.mark.parametrize(
    "on", ["table", pytest.param("text", marks=pytest.mark.exam), pytest.param("audio", marks=pytest.mark.exam)]
)
def test_a_demo_ends_with_a_report_and_labelled_content(
    tmp_path: Path, on: demos.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos, "ORDERS", 300)
    out = tmp_path / "demo"
    found = karat.demo(on=on, seconds=8 if on == "text" else 4, out=out)
    assert found.report is not None and found.report.is_file() and found.findings
    told = json.loads(found.report.with_suffix(".json").read_text(encoding="utf-8"))
    verdict = told["verdict"]
    states = {r["state"] for r in verdict["reasons"]}
    assert verdict["word"] == ("bubble" if "fail" in states else "unproven" if "unknown" in states else "gold")
    gates = {r["name"]: r["state"] for r in verdict["reasons"] if r["kind"] == "gate"}
    assert verdict["value"] is not None, "the example business is declared"
    assert gates["rights"] == gates["labels"] == "pass", "the demo declares the one and makes files with the other"
    made = out / demos.prepare(on, out).file
    label = made / "label.json" if made.is_dir() else made.with_name(f"{made.name}.label.json")
    assert label.is_file() and labelled(made) is True
    assert len(list(made.glob("*.wav"))) > 1 if made.is_dir() else made.stat().st_size > 1000


@pytest.mark.exam
@pytest.mark.parametrize(("on", "word"), [("table", "gold"), ("pictures", "bubble")])
def test_one_example_business_is_gold_and_another_a_bubble(tmp_path: Path, on: demos.Kind, word: str) -> None:
    found = karat.demo(on=on, out=tmp_path / "demo")
    assert found.verdict.word == word, found.verdict.sentence
    assert "example business" in (tmp_path / "demo" / "prices.toml").read_text()
    first_page = (tmp_path / "demo" / "report" / "report.html").read_text().split("</header>")[0]
    assert "an example business, made up for this demo" in first_page


def test_a_demo_takes_the_place_of_a_demo_and_of_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="no former demo"):
        karat.demo(on="table", out=folder)
    assert (folder / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("voice", demos.VOICES)
def test_a_note_has_the_pitch_that_it_is_called_by(voice: str) -> None:
    rng = np.random.default_rng(0)
    for pitch in demos.NOTES.values():
        sound = demos.render(voice, pitch, rng)[: demos.RATE // 2]
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 16 * len(sound))) ** 2
        frequency = np.fft.rfftfreq(16 * len(sound), 1 / demos.RATE)
        near = power[np.abs(frequency - pitch) < 12].sum()
        assert near > 0.15 * power.sum()
        assert frequency[power.argmax()] > pitch - 12 and np.abs(sound).max() <= 1
