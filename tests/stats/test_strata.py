"""Draws for many rows at once: each by its own chance, and all together close to what the chances add up to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chains import drawn, fitted, known

from karat.families.trees import Config, Model
from karat.space import Codes
from karat.stats.stratified import alike, dealt, levels, systematic


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


@pytest.mark.parametrize("config", [Config(), Config(boost=False, leaf=15)], ids=["boosted", "plain"])
def test_a_made_table_strays_less_from_what_was_learned_than_independent_draws(config: Config) -> None:
    """The shares of codes and of pairs of codes, of 300 rows; the floor is what 300 of the real rows stray by."""
    space, x = known()
    model = fitted(space, x, config)
    alone = Model(space, 0, Config(boost=config.boost, leaf=config.leaf, stratified=False))
    alone.put(model.weights())

    def shares(rows: np.ndarray) -> list[np.ndarray]:
        part = [np.minimum(rows[:, j] * 8 // size, 7) for j, size in enumerate(space.sizes)]
        every = range(space.numel)
        single = [np.bincount(part[j], minlength=8) for j in every]
        pairs = [np.bincount(8 * part[i] + part[j], minlength=64) for i in every for j in range(i)]
        return [np.stack(some) / len(rows) for some in (single, pairs)]

    whole = shares(x.numpy())

    def strays(rows: np.ndarray) -> list[float]:
        return [float(np.abs(a - b).sum(1).mean()) for a, b in zip(shares(rows), whole, strict=True)]

    made, single = (np.mean([strays(drawn(m, 300, seed)) for seed in range(5)], 0) for m in (model, alone))
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
