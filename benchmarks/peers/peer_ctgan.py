"""Conditional GAN for tables at its authors' defaults (300 epochs): https://arxiv.org/abs/1907.00503"""

import pandas as pd
from ctgan import CTGAN
from driver import drive, text_columns

EPOCHS = 300


def fit(table: pd.DataFrame, seed: int, epochs: int | None) -> CTGAN:
    model = CTGAN() if epochs is None else CTGAN(epochs=epochs)
    model.set_random_state(seed)
    model.fit(table, text_columns(table))
    return model


if __name__ == "__main__":
    drive("ctgan", fit, lambda model, n: model.sample(n), EPOCHS)
