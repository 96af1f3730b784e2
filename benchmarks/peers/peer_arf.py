"""Adversarial random forests at their defaults (30 trees): https://arxiv.org/abs/2205.09435"""

from typing import Any

import pandas as pd
from arfpy import arf
from driver import drive, text_columns


def fit(table: pd.DataFrame, seed: int, epochs: int | None) -> Any:
    table = table.astype(dict.fromkeys(text_columns(table), object))
    model = arf.arf(x=table, random_state=seed, verbose=False)
    model.forde()
    return model, [name for name in table if pd.api.types.is_integer_dtype(table[name])]


def make(model: Any, n: int) -> pd.DataFrame:
    forest, whole = model
    made = forest.forge(n=n)
    return made.assign(**{name: made[name].round().astype("int64") for name in whole})


if __name__ == "__main__":
    drive("arfpy", fit, make, None)
