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


def test_pictures_have_no_columns() -> None:
    assert askable(load("digits").codec) == ()
