"""A row of totals below a table is no record: it is left out, and a person is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat
from karat.content.table.tables import Tables
from karat.errors import DataError, FitError


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


def read_of(tmp_path: Path, text: str, **options: object) -> tuple[int, str]:
    """How many rows are read, and what is said of sums."""
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    found = Tables.read(tmp_path / "a.csv", options)
    return len(found.records), " ".join(note for note in found.facts["notes"] if "sums of those" in note)


@pytest.mark.parametrize("more", ["", ",a", ",x7"])
def test_a_column_that_doubles_keeps_its_last_row(tmp_path: Path, more: str) -> None:
    doubled = [1, *(2**k for k in range(20))]
    text = "\n".join(["n" + ",k" * bool(more), *(f"{x}{more}" for x in doubled)]) + "\n"
    rows, said = read_of(tmp_path, text)
    assert rows == 21 and "kept as a record" in said and "data.totals=drop" in said
    assert read_of(tmp_path, text, totals="drop")[0] == 20
    assert read_of(tmp_path, text, totals="keep") == (21, "")
    twice = "\n".join(["n,m", *(f"{x},{3 * x}" for x in doubled)]) + "\n"
    assert read_of(tmp_path, twice)[0] == 21, "two that double say the same"


@pytest.mark.parametrize(
    ("last", "left_out"),
    [
        ("Total,,{a},{b}", True),
        ("合计,,{a},{b}", True),
        (",,{a},{b}", True),
        (",,{a},", True),
        ("r7,x,{a},{b}", True),
        ("r7,x,{a},3", False),
    ]
    + [("TOTAL:,,{a},3", True), ("Totally,x,{a},3", False), ("Summe netto,,{a},", True)],
)
def test_a_row_of_sums_is_told_by_its_words_its_gaps_or_two_columns(tmp_path: Path, last: str, left_out: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 900, 60), rng.integers(1, 900, 60)
    rows = ["name,kind,net,tax", *(f"r{i},{'xy'[i % 2]},{a[i]},{b[i]}" for i in range(60))]
    text = "\n".join([*rows, last.format(a=a.sum(), b=b.sum())]) + "\n"
    assert read_of(tmp_path, text)[0] == 61 - left_out
    assert read_of(tmp_path, text, totals="keep")[0] == 61


def test_a_wish_for_totals_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="keep or drop was wanted"):
        read_of(tmp_path, invoices(True), totals="maybe")
    with pytest.raises(DataError, match="no cell of the last row is the sum"):
        read_of(tmp_path, invoices(False), totals="drop")
