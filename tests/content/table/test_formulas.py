"""Cells that a spreadsheet would run are noted when they are made, and quoted when that is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import karat
from karat.content.table.formulas import Guard
from karat.data import load
from karat.run import Run


@pytest.mark.parametrize(
    "text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd|x", "\t=1", '=HYPERLINK("http://x")', "-a"]
)
def test_a_formula_is_quoted(text: str) -> None:
    guard = Guard(safe=True)
    assert guard.look(pa.table({"a": [text, "plain", None]}))["a"].to_pylist() == [f"'{text}", "plain", None]
    assert guard.found == 1 and guard.note() is not None


@pytest.mark.parametrize(
    "text", ["-5", "+49 30 1234", "-1.5e-7", "5-3", "a=b", "", "'=1", "-", "+1 (555) 010-0199", "-12,5 %"]
)
def test_a_number_and_what_does_nothing_stay(text: str) -> None:
    guard = Guard(safe=True)
    assert guard.look(pa.table({"a": [text]}))["a"].to_pylist() == [text] and guard.note() is None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home, r = tmp_path_factory.mktemp("t"), np.random.default_rng(0)
    frame = pd.DataFrame({"how": r.choice(["=A1", "+x", "fine"], 300), "n": r.integers(-9, 9, 300)})
    frame.to_csv(home / "d.csv", index=False)
    return karat.train(home / "d.csv", out=home / "run", threads=1, set=["model.rounds=2"])


def test_made_formulas_are_said_and_quoted_on_request(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    karat.make(run, n=50, out=tmp_path / "x.csv", threads=1)
    assert "--safe-cells quotes them" in " ".join(capsys.readouterr().out.split())
    karat.make(run, n=50, out=tmp_path / "y.csv", safe_cells=True, threads=1)
    assert "behind a quote" in " ".join(capsys.readouterr().out.split())
    plain, safe = (pd.read_csv(tmp_path / name) for name in ("x.csv", "y.csv"))
    assert set(plain["how"]) == {"=A1", "+x", "fine"} and set(safe["how"]) == {"'=A1", "'+x", "fine"}
    assert plain["n"].tolist() == safe["n"].tolist() and plain["n"].min() < 0
    karat.make(run, n=50, out=tmp_path / "z.parquet", threads=1)
    assert "spreadsheet" not in capsys.readouterr().out, "no spreadsheet runs what has a type"


def test_a_column_whose_first_rows_are_all_alike_is_looked_at_like_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(5, 1, (900, 4)).round(2), columns=list("abcd"))
    rows.loc[:699, "d"] = 0.0
    rows.to_csv(tmp_path / "late.csv", index=False)
    assert load(tmp_path / "late.csv").view("train").width == 4  # type: ignore[union-attr]
