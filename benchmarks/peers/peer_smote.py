"""SMOTE for mixed columns as a generator: rows between a row and one of its five nearest neighbours of the same class.

The class is the last column where it holds words or few values, else all rows are one class: https://arxiv.org/abs/1106.1813
"""

from typing import Any

import numpy as np
import pandas as pd
from driver import drive, text_columns
from imblearn.over_sampling import SMOTE, SMOTENC


def fit(table: pd.DataFrame, seed: int, epochs: int | None) -> Any:
    """All of it happens in the making: nothing is learned beforehand."""
    return table, seed


def make(model: Any, n: int) -> pd.DataFrame:
    table, seed = model
    last = table.columns[-1]
    classes = table[last].astype(str) if table[last].nunique() <= 20 else pd.Series("all", index=table.index)
    rows = table.drop(columns=last) if table[last].nunique() <= 20 else table
    words = text_columns(rows)
    # Twice the class that is wanted: the method adds rows up to a count, and only the added ones are made.
    share = classes.value_counts(normalize=True)
    counts = classes.value_counts()
    wanted = {name: int(counts[name] + round(n * share[name])) for name in counts.index if counts[name] > 5}
    if len(wanted) == 1:  # the library wants two classes: one that is not asked for stands in
        classes = pd.concat([classes, pd.Series(["none"] * 6)], ignore_index=True)
        rows = pd.concat([rows, rows.head(6)], ignore_index=True)
    method = (
        SMOTENC(words, sampling_strategy=wanted, random_state=seed)
        if words
        else SMOTE(sampling_strategy=wanted, random_state=seed)
    )
    made, label = method.fit_resample(rows, classes)
    made, label = made.iloc[len(rows) :], label.iloc[len(rows) :]
    if last not in made:
        like = table[last].astype(str)
        back = dict(zip(like, table[last], strict=True))
        made = made.assign(**{last: label.map(back)})
    return made[table.columns].sample(frac=1, random_state=np.random.RandomState(seed)).reset_index(drop=True)


if __name__ == "__main__":
    drive("imbalanced-learn", fit, make, None)
