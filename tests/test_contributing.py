"""CONTRIBUTING fits one screen, and its family works exactly as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import karat
from karat import cli
from karat.run import Run

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_it_fits_one_screen_and_the_family_forty_lines() -> None:
    assert len(TEXT.splitlines()) <= 60 and max(map(len, TEXT.splitlines())) <= 140
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    assert "arxiv.org" in code, "a family names its paper"


def test_the_printed_family_trains_continues_makes_and_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    Path("flow.py").write_text(code, encoding="utf-8")
    command = ["train", "digits", "--family", "flow.py", "--threads", "1", "--set", "train.precision=fp32"]
    cli.main([*command, "--steps", "30", "--out", "r", "--set", "model.width=64"])
    run = Run.open(Path("r"))
    assert run.spec["status"] == "trained" and run.spec["recipe"]["model"] == {"width": 64}
    history = run.lines("history.jsonl")
    assert history[-1]["nats"] < history[0]["nats"], "it learns"
    cli.main(["train", "r", "--steps", "40", "--threads", "1"])
    files = karat.make("r", n=4, out=tmp_path / "new", threads=1)
    assert len(files) == 4
    assay = karat.assay("r", n=150, threads=1)
    assert assay.findings and "flow" in capsys.readouterr().out
