"""One command examines the judge on a person's own data, within the time it is given, and the next report remembers it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import karat
from karat import cli
from karat.assays.finding import Finding, Limit, Sample, Score, scored
from karat.assays.references import Plant
from karat.assays.references.calibration import Exam
from karat.errors import FitError, RunError
from karat.languages import language
from karat.workflow.calibrating import Calibration, _progress, remembered


def sold(folder: Path, n: int = 460) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"price": rng.normal(50, 4, n).round(3), "group": rng.choice(list("abcd"), n)})
    frame.to_csv(folder / "sold.csv", index=False)
    return folder / "sold.csv"


def finding(key: str, raised: bool, needs: int = 0) -> Finding:
    samples = (Sample(100, needs, "made", 0.031),)
    return scored(key, Score(0.9 if raised else 0.5, 0, 1, 0.5, 0.1), Limit(0.8), "So.", samples=samples)


def exam(plant: Plant, seed: int, *findings: Finding) -> Exam:
    return Exam(plant, seed, 100, findings, 1.5)


def calibration(*exams: Exam, stopped: bool = False) -> Calibration:
    return Calibration(exams, Path("calibration.json"), "row", 20, stopped)


COPIES = [Plant("copier", share, ("copy rate",), share >= 0.05, f"{share:.0%} copies") for share in (0.02, 0.05, 0.2)]
SEEN = (False, True, True)


def test_the_weakest_fault_found_in_every_exam_is_named_and_none_that_a_stronger_one_was_missed_above() -> None:
    done = [exam(p, s, finding("copy rate", r)) for s in range(2) for p, r in zip(COPIES, SEEN, strict=True)]
    assert calibration(*done).seen == {"copy rate": ("5% copies", "2 of 2")}
    worse = [exam(p, s, finding("copy rate", not r)) for s in range(2) for p, r in zip(COPIES, SEEN, strict=True)]
    assert calibration(*worse).seen == {}  # 2% were found and 20% were not: nothing is promised


def test_the_table_says_what_was_found_what_accused_real_rows_and_what_it_cost() -> None:
    fine = [exam(Plant("oracle"), s, finding("copy rate", s == 0), finding("ct", False, needs=900)) for s in range(4)]
    text = str(calibration(*fine, exam(COPIES[1], 0, finding("copy rate", True)), stopped=True))
    assert "copier: 5% copies  copy rate  1/1" in text
    assert "Of unseen real rows 1 of 4 reports raised anything." in text
    assert "copy rate: 3.1% copies" in text and "Too few rows to see the fault that matters: ct." in text
    assert "5 exams over 4 seeds, 7.5 s of CPU." in text and "Time was up before all exams of 20 seeds" in text


def test_it_is_said_how_long_the_rest_takes_once_a_seed_is_done() -> None:
    done = [exam(p, 0, finding("copy rate", True)) for p in COPIES]
    assert _progress(done, 20, 6.0, 600.0).endswith("at most 9 min 54 s left")
    more = [*done, exam(COPIES[0], 1, finding("copy rate", True))]
    assert _progress(more, 5, 8.0, 600.0) == "seed 2 of 5, 4 exams, 0 of them wrong; about 22 s left"
    assert _progress(more, 5, 8.0, 20.0).endswith("about 12 s left, until time is up")


def test_the_command_writes_private_files_stops_in_time_and_the_next_report_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path / "cache"))
    data = sold(tmp_path)
    command = ["assay", "--calibrate", str(data), "--minutes", "0.0001", "--set", "data.holdout=0.5", "--json"]
    cli.main(command)
    told = json.loads(capsys.readouterr().out)
    assert (told["exams"], told["seeds"], told["asked"]) == (1, 1, 20)  # one exam, and time is up
    assert told["found"][0]["reference"] == "oracle" and told["sights"]
    folder = tmp_path / "calibration"
    assert told["report"] == "calibration/calibration.json"
    numbers = json.loads((folder / "calibration.json").read_text())
    assert numbers["found"] == told["found"] and numbers["data"] == "sold.csv"
    assert "| oracle |" in (folder / "calibration.md").read_text()
    assert {stat.S_IMODE(p.stat().st_mode) for p in (folder, *folder.iterdir())} == {0o700, 0o600}
    with pytest.raises(RunError, match="is there already"):
        karat.assay(calibrate=data, out=folder)
    assert remembered(numbers["fingerprint"]) == ""  # nothing was planted before time was up
    kept = tmp_path / "cache" / f"calibration-{numbers['fingerprint']}.json"
    of = {"template": "{strength:.0%} copies", "strength": 0.05, "n": "20", "m": "20"}
    seen: dict[str, Any] = {"seen": {"copy rate": {"fault": "5% copies", "exams": "20 of 20", **of}}, "seeds": 20}
    kept.write_text(json.dumps(numbers | seen))
    found = karat.assay(real=data, made="reference:oracle", n=20, out=tmp_path / "out")
    assert not isinstance(found, Calibration)
    assert found.calibrated.endswith("made rows, and found in every exam: 5% copies (copy rate, 20 of 20).")
    assert "5% 的复制品（复制率，20 次中 20 次）" in language("zh").again(found.calibrated)
    assert found.calibrated in str(found) and found.to_dict()["calibrated"] == found.calibrated
    kept.write_text("[]")
    assert remembered(numbers["fingerprint"]) == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"made": "reference:oracle"}, "goes without --made"),
        ({"require": ["coverage>=0.8"]}, "goes without --require"),
        ({"seeds": 0}, "--seeds 0: at least 1"),
        ({"minutes": 0.0}, "--minutes 0: more than 0"),
        ({"n": 3}, "-n 3: a judge needs at least 20"),
    ],
)
def test_what_a_calibration_cannot_use_is_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FitError, match=said):
        karat.assay(calibrate=sold(tmp_path), out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
