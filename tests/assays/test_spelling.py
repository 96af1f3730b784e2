"""How somebody's file spells the cells of ours: formatting speaks where the numbers are right and the print is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from karat.assays import Finding, find
from karat.data import load
from karat.workflow.office import judge_records, read_made


def real(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    qty = rng.integers(1, 60, n)
    day = pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 200, n), "D")
    price = np.round(qty * 1.5 + rng.normal(0, 2, n), 2)
    cells = {"qty": qty.astype(str), "price": [f"{p:.2f}" for p in price], "day": day.strftime("%Y-%m-%d")}
    return pd.DataFrame({**cells, "paid": np.where(qty > 30, "yes", "no")})


def judged(folder: Path, spelled: Callable[[pd.DataFrame], pd.DataFrame]) -> Finding:
    real(500, 0).to_csv(folder / "real.csv", index=False)
    spelled(real(150, 1)).to_csv(folder / "made.csv", index=False)
    data = load(folder / "real.csv")
    return find(judge_records(data, read_made(data, folder / "made.csv"), seed=0).findings, "formatting")


@pytest.mark.parametrize(
    ("column", "spelled", "shown"),
    [
        ("qty", lambda x: x + ".0", "'.*[.]0' where real data have"),
        ("qty", lambda x: x.str.zfill(1).radd("+"), "'[+]"),
        ("price", lambda x: x + "0", "'.*0' where real data have"),
        ("day", lambda x: x.str.replace("-", "/"), "'2024/"),
    ],
)
def test_cells_that_are_right_and_printed_otherwise_are_noticed(
    tmp_path: Path, column: str, spelled: Callable[[pd.Series], pd.Series], shown: str
) -> None:
    found = judged(tmp_path, lambda f: f.assign(**{column: spelled(f[column])}))
    assert found.raised and found.value == 1.0 and column in found.summary
    assert pd.Series([found.summary]).str.contains(shown).all(), found.summary


@pytest.mark.parametrize("n", [20, 150])
def test_cells_that_are_printed_as_real_ones_are_not_accused(tmp_path: Path, n: int) -> None:
    found = judged(tmp_path, lambda f: f.head(n))
    assert not found.raised, found.summary


def test_shorter_decimals_among_those_that_leave_zeros_out_are_real(tmp_path: Path) -> None:
    short = lambda f: f.assign(price=f["price"].astype(float).map(lambda p: f"{p:g}"))  # noqa: E731
    short(real(500, 0)).to_csv(tmp_path / "real.csv", index=False)
    few = short(real(2000, 1))
    few[few["price"].str.len() < 5].to_csv(tmp_path / "made.csv", index=False)
    data = load(tmp_path / "real.csv")
    made = read_made(data, tmp_path / "made.csv")
    assert data.codec.view(made.records).otherwise == {}
