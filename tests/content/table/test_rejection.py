"""Ranges that no code stands for: rows are drawn again until they hold, and all other columns follow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from karat.content.table.tables import Tables
from karat.errors import FitError

N = 3000


def orders(rng: np.random.Generator) -> pa.Table:
    """Cheap articles are bought by the dozen; a firm pays what is dear, and gets it later."""
    cheap = rng.random(N) < 0.6
    price = np.round(np.where(cheap, 2.0, 60.0) * np.exp(0.3 * rng.normal(size=N)), 2)
    qty = 1 + rng.poisson(np.where(cheap, 12, 1))
    amount = np.round(price * qty, 2)
    ordered = np.datetime64("2024-01-01") + rng.integers(0, 300, N)
    arrived = ordered + np.where(amount > 60, 6, 2) + rng.integers(0, 3, N)
    who = np.where(rng.random(N) < np.where(amount > 60, 0.9, 0.2), "firm", "home")
    return pa.table({"who": who, "price": price, "qty": qty, "amount": amount, "ordered": ordered, "arrived": arrived})


@pytest.fixture(scope="module")
def known() -> tuple[Tables, Tensor]:
    """The codec, and the codes of the rows that it learned, of which rows are drawn: a generator without a fault."""
    contents = Tables.read(orders(np.random.default_rng(0)), {})
    codec = Tables.fit(contents, np.arange(N))
    assert any("price * qty" in str(rule) for rule in codec.schema.constraints), "amount is worked out"
    return codec, codec.encode(contents.records)


def made(known: tuple[Tables, Tensor], given: str, n: int = 600, balance: str | None = None) -> pa.Table:
    codec, codes = known
    rng = np.random.default_rng(1)
    asked = codec.conditioning(given, balance, n, rng)

    def draw(cells: Tensor) -> Tensor:
        """Learned rows that have what is given, any at all where none has."""
        out = []
        for one in cells.unique(dim=0):
            fits = torch.nonzero(((codes == one) | (one < 0)).all(1)).flatten().numpy()
            rows = torch.nonzero((cells == one).all(1)).flatten()
            picked = codes[torch.from_numpy(rng.choice(fits if len(fits) else N, len(rows)))]
            out.append((rows, torch.where(one < 0, picked, one)))
        return torch.cat([rows for _, rows in out])[torch.cat([at for at, _ in out]).argsort()]

    return asked.restore(codec.decode_next(asked.drawn(draw, rng), codec.spaces[0], rng, None, asked)).cells


@pytest.mark.parametrize(
    ("given", "column", "low", "high"),
    [
        ("amount=100..", "amount", 100, np.inf),
        ("amount=20..30", "amount", 20, 30),
        ("arrived=2024-03-01..2024-03-20", "arrived", np.datetime64("2024-03-01"), np.datetime64("2024-03-20")),
        ("who=firm, amount=..25", "amount", 0, 25),
        ("price=50..70, who=home", "price", 50, 70),
    ],
)
def test_all_columns_follow_a_range_of_one(
    known: tuple[Tables, Tensor], given: str, column: str, low: float, high: float
) -> None:
    rows, real = made(known, given).to_pandas(), orders(np.random.default_rng(0)).to_pandas()
    of = dict(one.split("=") for one in given.split(", ") if one.startswith("who"))
    real = real[(real[column].to_numpy() >= low) & (real[column].to_numpy() <= high)]
    real = real[real["who"] == of["who"]] if of else real
    values = rows[column].to_numpy().astype(real[column].to_numpy().dtype)
    assert ((values >= low) & (values <= high)).all()
    assert (np.abs(rows["price"] * rows["qty"] - rows["amount"]) < 0.0051).all()
    for part in ("price", "qty"):  # logarithms, whose spread a mean of few rows is told by
        there, here = np.log(real[part]), np.log(rows[part])
        assert abs(there.mean() - here.mean()) < 4 * there.std() / len(real) ** 0.5 + 0.02, part
    for frame in (rows, real):
        frame["wait"] = (
            frame["arrived"].to_numpy().astype("M8[D]") - frame["ordered"].to_numpy().astype("M8[D]")
        ).astype(int)
    assert abs(rows["wait"].mean() - real["wait"].mean()) < 0.4
    assert abs((rows["who"] == "firm").mean() - (real["who"] == "firm").mean()) < 0.1


def test_a_rare_range_takes_its_parts_from_the_few_rows_that_have_it(known: tuple[Tables, Tensor]) -> None:
    real = orders(np.random.default_rng(0)).to_pandas()
    low = real["amount"].nlargest(2).iloc[-1]
    rows = made(known, f"amount={low}..", 50).to_pandas()
    assert (rows["amount"] >= low).all() and (np.abs(rows["price"] * rows["qty"] - rows["amount"]) < 0.0051).all()


def test_a_range_that_no_row_has_is_refused_with_how_many_were_drawn(known: tuple[Tables, Tensor]) -> None:
    with pytest.raises(
        FitError, match=r"not one of 2\d\d,\d+ rows that were drawn has amount=90000\.\.; give a wider range"
    ):
        made(known, "amount=90000..", 10)


def test_balanced_rows_keep_a_range_each_in_its_turn(known: tuple[Tables, Tensor]) -> None:
    rows = made(known, "amount=..25", 100, balance="who").to_pandas()
    assert (rows["amount"] <= 25).all() and (rows["who"] == "firm").sum() == 50
