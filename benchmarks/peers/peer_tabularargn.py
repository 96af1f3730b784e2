"""TabularARGN, an autoregressive net in any order, at its defaults (early stop, 100 epochs at most): https://arxiv.org/abs/2501.12012"""

import pandas as pd
from driver import drive
from mostlyai.engine import TabularARGN

EPOCHS = 100


def fit(table: pd.DataFrame, seed: int, epochs: int | None) -> TabularARGN:
    model = TabularARGN(random_state=seed) if epochs is None else TabularARGN(random_state=seed, max_epochs=epochs)
    return model.fit(table)


if __name__ == "__main__":
    drive("mostlyai-engine", fit, lambda model, n: model.sample(n), EPOCHS)
