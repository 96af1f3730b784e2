"""ForestDiffusion, gradient boosted trees that learn a flow: https://arxiv.org/abs/2309.09968

Its defaults (50 times of noise, every row 100 times) take hours on tens of thousands of rows. Here there are 10 times of
noise, every row is taken as often as makes 5,000, but three times at least, and a budget buys boosted trees: their number is
what stands as epochs. Rows taken once, as before, are learned by heart with the noise they met, and what is made is noise
(chosen on six small tables at 1 to 6 CPU seconds: twice and four times the rows or the times of noise left too few trees).
"""

from typing import Any

import pandas as pd
from driver import drive, text_columns
from ForestDiffusion import ForestDiffusionModel

TREES = 100
TIMES = 10
ROWS, LEAST = 5_000, 3


class Model(ForestDiffusionModel):
    """As it is, but that no column's name ends with another's: of 11 columns, 1 and 11 were taken for one."""

    def dummify(self, X: Any) -> Any:
        before = pd.DataFrame(X, columns=[f"c{k}" for k in range(X.shape[1])])
        words = [f"c{k}" for k in self.cat_indexes]
        after = pd.get_dummies(before, columns=words, dtype="float", drop_first=True)
        return after.to_numpy(), before.columns, after.columns


def fit(table: pd.DataFrame, seed: int, epochs: int | None) -> Any:
    words = text_columns(table)
    levels = {name: pd.Categorical(table[name]).categories for name in words}
    codes = table.assign(**{name: pd.Categorical(table[name]).codes for name in words})
    at = [table.columns.get_loc(name) for name in words]
    whole = [k for k, name in enumerate(table) if name not in words and pd.api.types.is_integer_dtype(table[name])]
    model = Model(
        codes.to_numpy(float),
        n_t=TIMES,
        duplicate_K=max(LEAST, ROWS // len(table)),
        n_estimators=TREES if epochs is None else epochs,
        cat_indexes=at,
        int_indexes=whole,
        n_jobs=1,
        seed=seed,
    )
    return model, list(table.columns), levels


def make(fitted: Any, n: int) -> pd.DataFrame:
    model, names, levels = fitted
    made = pd.DataFrame(model.generate(batch_size=n), columns=names)
    return made.assign(**{name: kinds[made[name].astype(int)] for name, kinds in levels.items()})


if __name__ == "__main__":
    drive("ForestDiffusion", fit, make, TREES)
