"""A row of totals below a table is no record: it is left out, and a person is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import karat
from karat.content.table.tables import Tables


def invoices(total: bool) -> str:
    rng = np.random.default_rng(0)
    net = np.round(np.exp(rng.normal(5, 1, 300)), 2)
    rows = [f"R-{1000 + i};{rng.choice(['A', 'B'])};{x:.2f}".replace(".", ",") for i, x in enumerate(net)]
    rows += [f"Summe;;{net.sum():.2f}".replace(".", ",")] if total else []
    return "\n".join(["Nr;Kunde;Netto", *rows, ""])


def test_the_sums_below_a_table_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(invoices(True))
    (tmp_path / "b.csv").write_text(invoices(False))
    found, plain = (Tables.read(tmp_path / name, {}) for name in ("a.csv", "b.csv"))
    assert len(found.records) == 300 and found.records.cells.equals(plain.records.cells)
    assert found.records.facts.schema == plain.records.facts.schema, "nothing is learned of how its other cells look"
    assert any("sums of those above" in note and "Netto" in note for note in found.facts["notes"])
    assert not any("sums of those above" in note for note in plain.facts["notes"])
    run = karat.train(tmp_path / "a.csv", out=tmp_path / "run", threads=1)
    karat.make(run.path, n=400, out=tmp_path / "new.csv", threads=1)
    made = pd.read_csv(tmp_path / "new.csv", sep=";", decimal=",")
    assert made["Nr"].str.match(r"R-\d+$").all() and made["Netto"].max() < 10_000


def test_a_last_row_like_others_stays(tmp_path: Path) -> None:
    for last in ("0", "1", "54", "55"):  # 55 is the sum, and of too few
        (tmp_path / "a.csv").write_text("x\n" + "\n".join(["1", "54", *["0"] * 40, last]) + "\n")
        assert len(Tables.read(tmp_path / "a.csv", {}).records) == 43
