"""Made rows equal those learned from no oftener than unseen rows do, however small the table."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.errors import FitError
from karat.families import trees
from karat.stats.copies import copies

Draw = Callable[[int, np.random.Generator], pd.DataFrame]
CART = trees.Config(boost=False, prune=False)
UNSEEN = 3_000


def alone(n: int, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"a": np.rint(rng.normal(50, 15, n)).astype(int)})


def apart(n: int, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"age": rng.integers(18, 81, n), "boss": rng.integers(1, 61, n)})


def related(n: int, rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(50, 15, n)
    return pd.DataFrame({"x": np.rint(x).astype(int), "y": np.rint(0.8 * x + rng.normal(0, 4, n)).astype(int)})


def prices(n: int, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"p": np.round(rng.gamma(2, 1, n), 1), "q": np.round(rng.normal(0, 1, n), 2)})


def gaps(n: int, rng: np.random.Generator) -> pd.DataFrame:
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), "D")
    frame = pd.DataFrame({"day": day.strftime("%Y-%m-%d"), "k": rng.poisson(6, n), "z": rng.choice(list("pqr"), n)})
    frame.loc[rng.random(n) < 0.2, "z"] = None
    return frame


def shares(draw: Draw, n: int, config: trees.Config, seed: int) -> tuple[float, float]:
    """How often made rows equal one of `n` learned from, and how often unseen ones do."""
    rng = np.random.default_rng(seed)
    known, unseen = draw(n, rng), draw(UNSEEN, rng)
    whole = Tables.read(pd.read_csv(io.StringIO(known.to_csv(index=False))), {})
    codec = Tables.fit(whole, np.arange(n))
    model = trees.Model(codec.spaces[0], 0, config)
    list(model.fit(codec.encode(whole.records, codec.spaces[0]), None, seed, None))
    made = codec.decode(model.sample(UNSEEN, None, torch.Generator().manual_seed(seed)), codec.spaces[0])

    def cells(table: Table) -> list[tuple[object, ...]]:
        return list(zip(*[c.to_pylist() for c in codec.printed(table).columns], strict=True))

    real = set(cells(whole.records))
    other = Tables.read(pd.read_csv(io.StringIO(unseen.to_csv(index=False))), {})
    return float(np.mean([row in real for row in cells(made)])), float(
        np.mean([row in real for row in cells(codec.conform(other.records))])
    )


@pytest.mark.parametrize("config", [trees.Config(), CART], ids=["trees", "cart"])
@pytest.mark.parametrize("draw", [alone, apart, related, prices, gaps])
@pytest.mark.parametrize("n", [100, 300, pytest.param(1_000, marks=pytest.mark.exam)])
def test_made_rows_equal_those_learned_from_no_oftener_than_unseen_rows_do(
    draw: Draw, n: int, config: trees.Config
) -> None:
    made, unseen = np.mean([shares(draw, n, config, seed) for seed in range(2)], 0)
    chance = np.sqrt(2 * max(unseen, 1 / n) * (1 - unseen) / (2 * n))
    assert made <= unseen + 2 * chance + 0.02


def test_rows_of_few_categories_repeat_as_often_as_real_ones() -> None:
    def few(n: int, rng: np.random.Generator) -> pd.DataFrame:
        return pd.DataFrame({"a": rng.choice(list("abc"), n), "b": rng.choice(list("xyz"), n)})

    made, unseen = shares(few, 300, trees.Config(), 0)
    assert made >= unseen - 0.01


def test_the_dial_of_privacy_gives_another_model_at_every_size_or_says_why_not() -> None:
    for n, leaves in ((60, (5, 10, 20)), (300, (5, 20, 100)), (3_000, (20, 100, 400))):
        rng = np.random.default_rng(0)
        first = rng.integers(0, 20, n)
        x = torch.from_numpy(np.stack([first, np.clip(first + rng.integers(0, 8, n), 0, 29)], 1))
        space = trees.Codes((20, 30), (True, True))
        seen = []
        for leaf in leaves:
            model = trees.Model(space, 0, trees.Config(leaf=leaf))
            list(model.fit(x, None, 0, None))
            held = np.concatenate([v.double().numpy().ravel() for k, v in sorted(model.weights().items())])
            seen.append(held.tobytes())
        assert len(set(seen)) == 3
        with pytest.raises(FitError, match=f"more than half of the {n:,} rows"):
            list(trees.Model(space, 0, trees.Config(leaf=n // 2 + 1)).fit(x, None, 0, None))


def test_copies_are_told_from_rows_that_repeat() -> None:
    rng = np.random.default_rng(0)
    real, fresh = rng.integers(0, 60, (300, 2)), rng.integers(0, 60, (2_000, 2))
    assert copies(real, real[rng.integers(0, 300, 2_000)])
    assert not copies(real, fresh)
    few = real % 3
    assert not copies(few, few[rng.integers(0, 300, 2_000)])
