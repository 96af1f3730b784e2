"""A Gaussian copula over fitted marginals, SDV's first choice, at its defaults: https://docs.sdv.dev/sdv"""

import pandas as pd
from driver import drive, text_columns
from sdv.metadata import Metadata
from sdv.single_table import GaussianCopulaSynthesizer

TABLE = "table"


def fit(table: pd.DataFrame, seed: int, epochs: int | None) -> GaussianCopulaSynthesizer:
    """Columns are declared as numbers or categories: what detection guesses beyond that would be made by a faker."""
    texts = text_columns(table)
    columns = {name: {"sdtype": "categorical" if name in texts else "numerical"} for name in table.columns}
    model = GaussianCopulaSynthesizer(Metadata.load_from_dict({"tables": {TABLE: {"columns": columns}}}))
    model.fit({TABLE: table})
    return model


if __name__ == "__main__":
    drive("sdv", fit, lambda model, n: model.sample(n)[TABLE], None)
