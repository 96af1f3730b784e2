"""Draws for many rows at once: each by its own chance, and all together close to what the chances add up to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chains import drawn, fitted, known

from karat.families.trees import Config
from karat.space import Codes
from karat.stats.stratified import COARSE, alike, balanced, coarse, dealt, levels, systematic


def test_every_stretch_holds_as_many_as_its_chances_add_up_to_but_for_one() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(5000)
    reached = np.concatenate([[0], np.cumsum(systematic(chance, rng))])
    due = np.concatenate([[0], np.cumsum(chance)])
    for low, high in rng.integers(0, 5001, (500, 2)):
        assert abs((reached[high] - reached[low]) - (due[high] - due[low])) < 1 + 1e-6
    assert systematic(np.ones(7), rng).all() and not systematic(np.zeros(7), rng).any()


def test_each_row_comes_out_by_its_own_chance() -> None:
    rng = np.random.default_rng(1)
    chance = rng.random(40)
    share = np.mean([systematic(chance, rng) for _ in range(4000)], 0)
    assert np.abs(share - chance).max() < 4.5 * 0.5 / 4000**0.5


def test_rows_of_one_range_take_different_donors_as_far_as_there_are() -> None:
    rng = np.random.default_rng(2)
    low, high = np.repeat([0, 10, 10, 30], 10), np.repeat([10, 30, 15, 31], 10)
    got = dealt(low, high, rng)
    assert ((got >= low) & (got < high)).all()
    assert sorted(got[:10]) == list(range(10)), "as many as rows: each once"
    assert len(set(got[10:20])) == 10, "more than rows: none twice"
    assert np.bincount(got[20:30] - 10).tolist() == [2] * 5, "fewer: all as often"
    assert (got[30:] == 30).all()
    share = np.mean([dealt(low, high, rng)[10:20] for _ in range(2000)], 0)
    assert np.abs(share - 19.5).max() < 0.7, "and no row is nearer to some than another"
    assert len(dealt(low[:0], high[:0], rng)) == 0


def test_like_rows_lie_together() -> None:
    rng = np.random.default_rng(3)
    cells = rng.integers(0, 4, (500, 3))
    order, again = alike(cells, rng), alike(cells, rng)
    assert sorted(order) == list(range(500)) and not np.array_equal(order, again)
    for wide in (1, 2, 3):
        here = cells[order][:, :wide]
        runs = 1 + (here[1:] != here[:-1]).any(1).sum()
        assert runs == len(np.unique(here, axis=0)), "each combination in one stretch"
    assert sorted(alike(cells[:, :0], rng)) == list(range(500)) and len(alike(cells[:0], rng)) == 0


@pytest.mark.parametrize(
    "config",
    [pytest.param(Config(), marks=pytest.mark.exam), Config(boost=False, leaf=15)],
    ids=["boosted", "plain"],
)
def test_a_made_table_strays_less_from_what_was_learned_than_independent_draws(config: Config) -> None:
    """The shares of codes and of pairs of codes, of 300 rows; the floor is what 300 of the real rows stray by."""
    space, x = known()
    model = fitted(space, x, config)

    def shares(rows: np.ndarray) -> list[np.ndarray]:
        part = [np.minimum(rows[:, j] * 8 // size, 7) for j, size in enumerate(space.sizes)]
        every = range(space.numel)
        single = [np.bincount(part[j], minlength=8) for j in every]
        pairs = [np.bincount(8 * part[i] + part[j], minlength=64) for i in every for j in range(i)]
        return [np.stack(some) / len(rows) for some in (single, pairs)]

    whole = shares(x.numpy())

    def strays(rows: np.ndarray) -> list[float]:
        return [float(np.abs(a - b).sum(1).mean()) for a, b in zip(shares(rows), whole, strict=True)]

    def alone(seed: int) -> np.ndarray:
        return model.sample(300, None, torch.Generator().manual_seed(seed), independent=True).numpy()

    made = np.mean([strays(drawn(model, 300, seed)) for seed in range(5)], 0)
    single = np.mean([strays(alone(seed)) for seed in range(5)], 0)
    real = strays(x.numpy()[:300])
    assert made[0] < 0.6 * single[0] and made[0] < 0.5 * real[0]
    assert made[1] < 0.85 * single[1] and made[1] < 0.9 * real[1]


def test_rows_made_together_are_in_no_order() -> None:
    space, x = known(2000)
    rows = drawn(fitted(space, x), 2000)
    turns = (rows[1:, 0] != rows[:-1, 0]).mean()
    assert abs(turns - (rows[:, 0][:, None] != rows[:, 0][None]).mean()) < 0.05


def test_columns_that_have_nothing_to_do_with_each_other_stay_so() -> None:
    """If all were drawn along one order of the rows they would follow each other."""
    rng = np.random.default_rng(4)
    chance = np.tile([0.5, 0.5, 0.25, 0.1, 0.02], 5)
    x = torch.from_numpy((rng.random((3000, 25)) < chance).astype(np.int64))
    model = fitted(Codes((2,) * 25, (False,) * 25), x)
    for n in (300, 3000):
        made = drawn(model, n).astype(float)
        near = np.corrcoef(made.T)[np.triu_indices(25, 1)] * n**0.5
        assert np.abs(near).max() < 4.5 and 0.7 < near.std() < 1.2, "as independent draws would be: 300 pairs, n(0, 1)"


def test_levels_are_even_among_like_rows_and_each_is_anywhere() -> None:
    rng = np.random.default_rng(5)
    cells = rng.integers(0, 3, (600, 2))
    level = levels(cells, rng)
    for a in range(3):
        mine = np.sort(level[cells[:, 0] == a])
        assert np.abs(mine - (np.arange(len(mine)) + 0.5) / len(mine)).max() < 4 / len(mine)
    many = np.stack([levels(cells[:20], rng) for _ in range(4000)])
    assert np.abs(many.mean(0) - 0.5).max() < 4.5 * 12**-0.5 / 4000**0.5
    assert np.abs(np.corrcoef(level, levels(cells, rng))[0, 1]) < 4.5 / 600**0.5, "the next column's levels are others"


def test_rows_that_nothing_tells_apart_stay_in_no_order() -> None:
    """There are far more of them than chance has numbers for."""
    order = alike(np.zeros((40_000, 1), np.int64), np.random.default_rng(6))
    near = np.corrcoef(order[1:], order[:-1])[0, 1]
    assert abs(near) < 4.5 / 40_000**0.5, "else the first of many rows would be chosen evenly, and not by chance"


def test_of_two_candidates_one_is_kept_so_that_all_keep_to_the_shares_of_both() -> None:
    rng = np.random.default_rng(7)
    a = rng.integers(0, 3, 2 * 1000)
    cells = np.stack([a, (a + rng.integers(0, 2, len(a))) % 3, rng.integers(0, COARSE, len(a))], 1)
    first, second = np.split(cells, 2)

    def strays(kept: np.ndarray) -> float:
        pairs = [(0, 1), (0, 2), (1, 2)]
        shares = [
            np.stack([np.bincount(COARSE * x[:, i] + x[:, j], minlength=COARSE**2) / len(x) for i, j in pairs])
            for x in (kept, cells)
        ]
        return float(np.abs(shares[0] - shares[1]).sum(1).mean())

    keep = balanced(first, second, rng)
    chosen = np.where(keep[:, None], first, second)
    assert strays(chosen) < 0.3 * strays(np.where(rng.random((1000, 1)) < 0.5, first, second))
    often = np.mean([balanced(first[:40], second[:40], rng) for _ in range(500)], 0)
    assert np.abs(often - 0.5).max() < 4.5 * 0.5 / 500**0.5, "each candidate is kept as often as the other"


def test_columns_are_told_apart_by_parts_of_equal_size_or_by_their_commonest_values() -> None:
    cells = np.stack([np.arange(800.0) ** 3, np.repeat([5.0, 3, 9, 11], [100, 500, 150, 50])], 1)
    told = coarse(cells, np.array([True, False]))
    assert np.bincount(told[:, 0]).tolist() == [100] * COARSE and (np.diff(told[:, 0]) >= 0).all()
    assert told[[0, 100, 600, 750], 1].tolist() == [2, 0, 1, 3]
