"""What a table's columns can be asked is what `--given` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from karat.content.askable import askable
from karat.content.table.tables import Tables
from karat.data import load


def test_every_value_and_every_end_that_is_offered_can_be_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {
        "key": np.arange(300),
        "kind": rng.choice(['tea, "green"', "rice", "salt"], 300, p=[0.6, 0.3, 0.1]),
        "paid": rng.choice([True, False], 300),
        "weight": np.round(rng.normal(50, 9, 300), 2),
        "day": pd.date_range("2024-01-01", periods=300).strftime("%d/%m/%Y"),
        "always": "x",
    }
    pd.DataFrame(rows).to_csv(tmp_path / "shop.csv", index=False)
    codec = load(tmp_path / "shop.csv").codec
    assert isinstance(codec, Tables)
    found = {each.column: each for each in askable(codec)}
    assert set(found) == {"kind", "paid", "weight", "day"}, "no key, and nothing where there is no choice"
    assert found["kind"].values == ('tea, "green"', "rice", "salt"), "the commonest first"
    assert set(found["paid"].values) == {"true", "false"}
    assert float(found["weight"].low) <= np.min(rows["weight"]) and found["day"].low[:4] == "2024"
    chance = np.random.default_rng(1)
    for each in found.values():
        for value in (*each.values, f"{each.low}..{each.high}"):
            if value != "..":
                spelled = value if ".." in value else '"' + value.replace('"', '""') + '"'
                codec.conditioning(f'"{each.column}"={spelled}', None, 3, chance)


def test_columns_that_follow_from_others_are_offered_without_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, 300), "D")
    rows = {"start": start, "end": start + pd.to_timedelta(rng.integers(1, 40, 300), "D")}
    rows |= {"price": rng.integers(5, 40, 300), "count": rng.integers(1, 9, 300)}
    pd.DataFrame({**rows, "amount": rows["price"] * rows["count"]}).to_csv(tmp_path / "orders.csv", index=False)
    codec = load(tmp_path / "orders.csv").codec
    assert isinstance(codec, Tables)
    found = {each.column: each for each in askable(codec)}
    assert set(found) == {"start", "end", "price", "count", "amount"} and found["price"].low
    assert {name for name, each in found.items() if not each.low} == {"end", "amount"}
    for text in ("amount=100..200", "end=2024-05-01..2024-06-01"):
        codec.conditioning(text, None, 3, rng)


def test_pictures_have_no_columns() -> None:
    assert askable(load("digits").codec) == ()
